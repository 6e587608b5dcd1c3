//! Who is asking, when a proxy stands in between.

use hostel_tests::{Folder, Hostel, probe};
use serde_json::Value;

async fn hostel(config: &str) -> (Folder, Hostel) {
    let folder = Folder::warm().await;
    folder.module("probe", probe());
    folder.write("platform.toml", config);
    let hostel = folder.start(&["serve"]);
    (folder, hostel)
}

/// The answer, and the client's address in the log.
async fn asked(
    hostel: &Hostel,
    id: &str,
    headers: &[(&str, &str)],
) -> (hostel_tests::Answer, String) {
    let request = hostel.nobody().request("GET", "/api/probe/echo/x").header("x-request-id", id);
    let answer =
        headers.iter().fold(request, |r, (name, value)| r.header(name, value)).send().await;
    let line: Value = serde_json::from_str(&hostel.line(&["hostel::access", id])).unwrap();
    (answer, line["client"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn without_proxies_the_client_is_who_connects() {
    let (_folder, hostel) = hostel("").await;
    let forged = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.9;proto=https"),
    ];
    let (answer, client) = asked(&hostel, "direct-1", &forged).await;
    assert_eq!(client, "127.0.0.1");
    assert_eq!(answer.header("strict-transport-security"), None);
    let seen = answer.text();
    assert!(!seen.contains("203.0.113.9"), "a module could believe it: {seen}");
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_who_asks() {
    let (folder, hostel) =
        hostel("[http]\ntrusted_proxies = ['127.0.0.0/8', '10.0.0.1']\n[tenancy]\nbase_domain = 'hostel.example'")
            .await;
    assert_eq!(folder.run(&["tenant", "create", "acme"]).code, Some(0));
    let told = [
        ("x-forwarded-for", "198.51.100.1, 203.0.113.9, 10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "acme.hostel.example:443"),
        // It is not what this proxy was said to send.
        ("forwarded", "for=192.0.2.1"),
    ];
    let (answer, client) = asked(&hostel, "proxied-1", &told).await;
    assert_eq!(client, "203.0.113.9");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(answer.json()["tenant"]["slug"], "acme");
    let metrics = hostel.nobody().request("GET", "/metrics").header("x-forwarded-for", "127.0.0.1");
    assert_eq!(metrics.send().await.status(), 401, "not every client of a proxy here is here");
}

#[tokio::test]
async fn a_proxy_may_speak_the_standards_words() {
    let (_folder, hostel) =
        hostel("[http]\ntrusted_proxies = ['127.0.0.1']\nforwarded_by = 'forwarded'").await;
    let told = [
        ("forwarded", "for=198.51.100.1, for=\"[2001:db8::9]:1234\";proto=https"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let (answer, client) = asked(&hostel, "standard-1", &told).await;
    assert_eq!(client, "2001:db8::9");
    assert!(answer.header("strict-transport-security").is_some());
}

#[test]
fn a_network_that_is_none_is_named() {
    let folder = Folder::new();
    folder.write("platform.toml", "[http]\ntrusted_proxies = ['10.0.0.0/33']");
    let told = folder.run(&["config", "check"]).stderr;
    assert!(
        told.contains("`http.trusted_proxies[0]`") && told.contains("such as 10.0.0.0/8"),
        "{told}"
    );
}
