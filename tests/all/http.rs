//! A request's life, as clients see it: ids, tenants, routes, permissions, problems, health.

use hostel_tests::{Client, Folder, HalfSent, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The values of a header, as the guest saw them.
fn seen<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = echo["headers"].as_array().unwrap();
    let named = headers.iter().filter(|header| header[0] == name);
    named.map(|header| header[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let id_for = async |own: Option<&str>| {
        let request = acme.request("GET", "/api/probe/counter");
        let request = own.into_iter().fold(request, |r, id| r.header("x-request-id", id));
        request.send().await.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id_for(Some("order-17/a")).await, "order-17/a");
    let (first, second) = (id_for(None).await, id_for(None).await);
    assert_ne!(first, second);
    assert_eq!(first.len(), 36, "a UUID: {first}");
    for unfit in ["with space", &"long".repeat(20)] {
        assert_eq!(id_for(Some(unfit)).await.len(), 36, "{unfit} is replaced");
    }
}

#[tokio::test]
async fn a_trace_is_carried_into_problems_and_the_log() {
    let folder = Folder::warm().await;
    folder.module("hostile", hostel_tests::hostile());
    let hostel = folder.start(&["serve"]);
    let answer = hostel
        .nobody()
        .request("GET", "/api/hostile/panic")
        .header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .header("x-request-id", "traced-1")
        .send()
        .await;
    assert_eq!(answer.code(), "500 module-failed");
    assert_eq!(answer.json()["trace_id"], TRACE);
    assert!(!answer.text().contains("asked"), "nothing of the guest's fault is told");

    let access: Value =
        serde_json::from_str(&hostel.line(&["hostel::access", "traced-1"])).unwrap();
    assert_eq!(access["trace_id"], TRACE);
    assert_eq!(access["tenant"], "default");
    assert_eq!(access["status"], 500);
    let fault = hostel.line(&["module-failed", "traced-1"]);
    assert!(fault.contains("wasm backtrace"), "the log has the trap: {fault}");
    assert!(!fault.contains("_ZN") && !fault.contains("_R"), "its names can be read: {fault}");
    hostel.line(&["as it was asked to", "hostel::guest", "traced-1"]);
    assert!(!hostel.lines().iter().any(|line| line.contains("RUST_BACKTRACE")));
}

#[tokio::test]
async fn a_modules_own_code_is_in_the_log_and_in_no_label() {
    let folder = Folder::warm().await;
    let hostel = folder.start(&["dev"]);
    let nobody = hostel.nobody();
    let path = "/api/notes/01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(nobody.get(path).await.code(), "404 not-found");
    hostel.line(&["GET /api/notes/0189", "code=not-found"]);
    let metrics = nobody.get("/metrics").await;
    assert!(metrics.text().contains("code=\"module\""), "{}", metrics.text());
}

#[tokio::test]
async fn a_tenant_is_named_by_header_by_subdomain_or_by_default() {
    let platform = TestPlatform::configured(
        "[tenancy]\nbase_domain = 'hostel.example'\ndefault_tenant = 'lobby'",
    )
    .await;
    platform.tenant("acme").await;
    platform.tenant("beta").await;
    let tenant_of = async |client: Client, host: &str| {
        let request = client.request("GET", "/api/probe/echo/x").header("host", host);
        request.send().await.ok()["tenant"]["slug"].as_str().unwrap().to_owned()
    };
    assert_eq!(tenant_of(platform.client("acme"), "127.0.0.1").await, "acme");
    assert_eq!(tenant_of(platform.nobody(), "beta.hostel.example").await, "beta");
    assert_eq!(tenant_of(platform.nobody(), "BETA.Hostel.Example:8080").await, "beta");
    assert_eq!(tenant_of(platform.client("acme"), "beta.hostel.example").await, "acme");
    assert_eq!(tenant_of(platform.nobody(), "hostel.example").await, "lobby");
    assert_eq!(tenant_of(platform.nobody(), "elsewhere.example").await, "lobby");
}

#[tokio::test]
async fn without_a_default_a_request_must_name_its_tenant() {
    let platform =
        TestPlatform::configured("[tenancy]\nheader = 'x-house'\ndefault_tenant = ''").await;
    let nobody = platform.nobody();
    assert_snapshot!(nobody.get("/api/notes").await.problem());
    platform.tenant("acme").await;
    let named = nobody.request("GET", "/api/probe/echo/x").header("x-house", "acme").send().await;
    let echo = named.ok();
    assert_eq!(echo["tenant"]["slug"], "acme");
    assert!(seen(&echo, "x-house").is_empty(), "the host has used it up");
}

#[tokio::test]
async fn an_unknown_tenant_is_not_found_until_it_is_made() {
    let platform = TestPlatform::start().await;
    let early = platform.client("early");
    assert_snapshot!(early.get("/api/notes").await.problem());
    for odd in ["../acme", "ACME", "a b", "a_b"] {
        assert_eq!(platform.client(odd).get("/api/notes").await.code(), "404 tenant-not-found");
    }
    platform.tenant("early").await;
    assert_eq!(early.get("/api/notes").await.status(), 200);
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_without_a_restart_on_sqlite() {
    let platform = TestPlatform::start().await;
    let (acme, beta) = (platform.tenant("acme").await, platform.tenant("beta").await);
    assert_eq!(acme.get("/api/notes").await.status(), 200);

    set_status(&platform, "acme", "suspended").await;
    let refused = eventually("the suspension is seen", async || {
        Some(acme.get("/api/notes").await).filter(|answer| answer.status() != 200)
    })
    .await;
    assert_snapshot!(refused.problem());
    assert_eq!(beta.get("/api/notes").await.status(), 200);

    set_status(&platform, "acme", "active").await;
    eventually("the tenant is back", async || {
        (acme.get("/api/notes").await.status() == 200).then_some(())
    })
    .await;
}

/// As another process on the same data would.
async fn set_status(platform: &TestPlatform, slug: &str, status: &str) {
    let path = platform.data("platform.db");
    let url = format!("sqlite://{}", path.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(
        "UPDATE tenants SET status = $2, revision = (SELECT 1 + max(revision) FROM tenants)
         WHERE slug = $1",
    )
    .bind(slug)
    .bind(status)
    .execute(&mut database)
    .await
    .unwrap();
}

#[tokio::test]
async fn what_nothing_serves_is_a_problem() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    assert_snapshot!("no_path", acme.get("/nowhere?x=1").await.problem());
    assert_snapshot!("no_route", acme.get("/api/probe/nowhere").await.problem());
    assert_eq!(acme.get("/api/absent/x").await.code(), "404 route-not-found");
    for path in ["/", "/api", "/api/", "/health", "/health/else", "/api//probe"] {
        let answer = acme.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        answer.problem();
    }
}

#[tokio::test]
async fn another_method_is_told_what_there_is() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let answer = acme.request("DELETE", "/api/probe/echo/x").send().await;
    assert_snapshot!(answer.problem());
    let allow: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
    assert!(allow.contains(&"GET") && !allow.contains(&"DELETE"), "{allow:?}");
    let odd = acme.request("BREW", "/api/probe/echo/x").send().await;
    assert_eq!(odd.code(), "405 method-not-allowed");
}

#[tokio::test]
async fn a_permission_that_nobody_granted_is_asked_for() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let answer = acme.get("/api/probe/secret").await;
    assert_snapshot!(answer.problem());
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));

    let open = TestPlatform::configured("[dev]\nanonymous_grants = ['probe:secret']").await;
    let acme = open.tenant("acme").await;
    assert_eq!(acme.get("/api/probe/secret").await.text(), "the secret");
    assert_eq!(acme.get("/api/notes").await.code(), "401 unauthenticated");
}

#[tokio::test]
async fn credentials_that_nobody_knows_are_refused_even_where_none_are_needed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let request = acme.request("GET", "/api/probe/counter").bearer("abc");
    let answer = request.send().await;
    assert_snapshot!(answer.problem());
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn a_guest_sees_no_credentials_and_nothing_of_the_connection() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let hidden = [
        ("cookie", "session=1"),
        ("proxy-authorization", "Basic abc"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-connection", "close"),
        ("x-request-id", "r-1"),
    ];
    let request = acme.request("GET", "/api/probe/echo/x").header("x-own", "kept");
    let request = hidden.iter().fold(request, |r, (name, value)| r.header(name, value));
    let echo = request.send().await.ok();
    assert_eq!(seen(&echo, "x-own"), ["kept"]);
    // The client names its tenant and its host by itself.
    for name in hidden.iter().map(|(name, _)| *name).chain(["host", "x-tenant", "connection"]) {
        assert!(seen(&echo, name).is_empty(), "{name} reached the guest");
    }
}

#[tokio::test]
async fn a_header_that_connection_names_is_hidden_too() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await;
    let answer = platform
        .raw("GET /api/probe/echo/x HTTP/1.1\r\nhost: x\r\nx-tenant: acme\r\nx-hop: 1\r\nconnection: close, x-hop\r\n\r\n")
        .await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let echo: Value = serde_json::from_str(body).unwrap();
    assert!(seen(&echo, "x-hop").is_empty(), "RFC 9110, section 7.6.1: {echo}");
}

#[tokio::test]
async fn paths_and_queries_reach_the_guest_decoded() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let echo = acme.get("/api/probe/echo/a%2Fb/%C3%A9%20?q=a+b&q=%26&empty").await.ok();
    assert_eq!(echo["path"], "/api/probe/echo/a%2Fb/%C3%A9%20");
    assert_eq!(echo["parameters"], json!(["a/b/é "]));
    assert_eq!(echo["query"], json!([["q", "a b"], ["q", "&"], ["empty", ""]]));
    assert_eq!(echo["principal"]["kind"], "anonymous");
    assert_snapshot!(acme.get("/api/probe/echo/%FF").await.problem());
}

#[tokio::test]
async fn a_modules_own_problem_keeps_its_code_and_fields() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    assert_snapshot!(acme.get("/api/probe/problem").await.problem());
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_tells_nothing() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let forged = "/api/hostile/header?name=x-own&value=one%0D%0Aset-cookie:%20stolen=yes";
    let header = acme.get(forged).await;
    assert_snapshot!("bad_header", header.problem());
    assert!(header.header("set-cookie").is_none() && header.header("x-own").is_none());
    assert!(!header.text().contains("stolen"));
    assert_snapshot!("bad_status", acme.get("/api/hostile/status/99").await.problem());
    assert_eq!(acme.get("/api/probe/counter").await.status(), 200);
}

#[tokio::test]
async fn health_says_live_and_ready_and_needs_no_tenant() {
    let platform = TestPlatform::configured("[tenancy]\ndefault_tenant = ''").await;
    let nobody = platform.nobody();
    assert_eq!(nobody.get("/health/live").await.ok(), json!({ "status": "live" }));
    let ready = nobody.get("/health/ready").await.ok();
    assert_eq!(ready, json!({ "status": "ready", "database": "up" }));
}

#[tokio::test]
async fn a_request_that_runs_ends_although_the_platform_stops() {
    let mut platform = TestPlatform::start().await;
    platform.tenant("acme").await;
    let address = platform.address();
    let mut running = HalfSent::to(address, "/api/probe/echo", "acme").await;
    platform.begin_stop();
    eventually("no new connection is taken", async || TcpStream::connect(address).await.err())
        .await;
    let answer = running.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    platform.stop().await;
}

#[tokio::test]
async fn a_draining_platform_is_not_ready() {
    let mut platform = TestPlatform::start().await;
    let mut idle = TcpStream::connect(platform.address()).await.unwrap();
    // A connection whose request has begun before the stop, and ends after it.
    idle.write_all(b"GET /health/ready HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    platform.nobody().get("/health/live").await;
    platform.begin_stop();
    let address = platform.address();
    eventually("no new connection is taken", async || TcpStream::connect(address).await.err())
        .await;
    idle.write_all(b"connection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("draining"), "{answer}");
}

#[tokio::test]
async fn a_module_looks_at_requests_before_its_handlers_and_at_answers_after_them() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let ask = async |path: &str, name: &str| {
        acme.request("GET", path).header(name, "because").send().await
    };
    let refused = ask("/api/probe/counter", "x-refuse").await;
    assert_eq!(refused.code(), "409 refused");
    assert_eq!(refused.json()["detail"], "because");
    let marked = ask("/api/probe/counter", "x-mark").await;
    assert_eq!((marked.status(), marked.header("x-marked")), (200, Some("because")));
    assert_eq!(ask("/api/probe/problem", "x-mark").await.header("x-marked"), None);
}
