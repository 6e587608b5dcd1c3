//! The rule for paths, and that no spelling gets around it.

use hostel_tests::TestPlatform;

/// Status and code of an answer to a `GET` of exactly this path, with these headers.
async fn get(platform: &TestPlatform, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
    let answer = platform.raw(request).await;
    let status = &answer["HTTP/1.1 ".len()..][..3];
    let code = answer.split_once(r#""code":""#).and_then(|(_, rest)| rest.split_once('"'));
    match code {
        Some((code, _)) => format!("{status} {code}"),
        None => status.to_owned(),
    }
}

#[tokio::test]
async fn a_path_is_reached_as_it_is_written_and_in_no_other_way() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await;
    for (path, outcome) in [
        ("/api/probe/counter", "200"),
        ("/api/notes", "200"),
        ("/api/notes/", "200"),
        ("http://elsewhere/api/probe/counter", "200"),
        // Case, and letters that did not need to be encoded, make another path.
        ("/api/probe/Counter", "404 route-not-found"),
        ("/api/Probe/counter", "404 route-not-found"),
        ("/API/probe/counter", "404 not-found"),
        ("/api/probe/%63ounter", "404 route-not-found"),
        ("/api/%70robe/counter", "404 route-not-found"),
        ("/%61pi/probe/counter", "404 not-found"),
        // So do slashes.
        ("/api/probe/counter/", "404 route-not-found"),
        ("/api/probe//counter", "404 route-not-found"),
        ("/api//probe/counter", "404 route-not-found"),
        ("//api/probe/counter", "404 not-found"),
        ("/api/probe%2Fcounter", "404 route-not-found"),
        ("/api/probe/echo/a//b", "404 route-not-found"),
        ("/api/probe/echo/a%2F%2Fb/", "200"),
        // What somebody before us may have taken for another path is refused.
        ("/api/probe/./counter", "400 invalid-path"),
        ("/api/probe/x/../counter", "400 invalid-path"),
        ("/api/probe/%2e%2E/counter", "400 invalid-path"),
        ("/api/probe/echo/..", "400 invalid-path"),
        ("/api/probe/echo/.%2e/x", "400 invalid-path"),
        ("/api/probe\\counter", "400 invalid-path"),
        ("/api/probe/echo/a\\b", "400 invalid-path"),
        ("/api/probe/echo/é", "400 invalid-path"),
        ("/api/probe/echo/%00", "400 invalid-path"),
        ("/api/probe/echo/...", "200"),
        ("/api/probe/echo/%252e%252e", "200"),
        ("/api/probe/echo/a;b=c", "200"),
        ("/api/probe/echo/x?q=%zz", "400 invalid-query"),
        ("/api/probe/echo/x?q=%FF", "400 invalid-query"),
        ("/api/probe/echo/x?q=../..//", "200"),
    ] {
        assert_eq!(get(&platform, path, "x-tenant: acme\r\n").await, outcome, "{path}");
    }
}

#[tokio::test]
async fn a_tenant_is_named_once_and_exactly() {
    let platform = TestPlatform::configured("[tenancy]\nbase_domain = 'hostel.example'").await;
    platform.tenant("acme").await;
    platform.tenant("beta").await;
    for (headers, outcome) in [
        ("x-tenant: acme\r\n", "200"),
        ("X-Tenant:acme \r\n", "200"),
        ("x-tenant: acme\r\nx-tenant: beta\r\n", "400 tenant-ambiguous"),
        ("x-tenant: acme, beta\r\n", "404 tenant-not-found"),
        ("x-tenant: Acme\r\n", "404 tenant-not-found"),
        ("x-tenant: %61cme\r\n", "404 tenant-not-found"),
        ("x-tenant: acmé\r\n", "404 tenant-not-found"),
        ("x-tenant:\r\n", "404 tenant-not-found"),
        // Nobody who is no proxy says for which host a request was.
        ("x-forwarded-host: gamma.hostel.example\r\n", "200"),
    ] {
        assert_eq!(get(&platform, "/api/probe/counter", headers).await, outcome, "{headers:?}");
    }
}
