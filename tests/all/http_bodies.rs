//! Bodies: their limits, and how large and slow ones reach a guest.

use hostel_tests::{Client, HalfSent, TestPlatform, chunked};
use insta::assert_snapshot;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

async fn length(client: &Client, body: impl Into<reqwest::Body>) -> hostel_tests::Answer {
    client.request("POST", "/api/probe/length").body(body).send().await
}

#[tokio::test]
async fn a_small_body_comes_back_with_its_type() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let body = "<p>é</p>".as_bytes();
    let request = acme.request("POST", "/api/probe/echo").header("content-type", "text/html");
    let answer = request.body(body).send().await;
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.bytes(), body);
    let empty = acme.request("POST", "/api/probe/echo").send().await;
    assert_eq!((empty.status(), empty.bytes()), (200, &b""[..]));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes() {
    let platform = TestPlatform::configured("[http]\nbody_max_bytes = 100000").await;
    let acme = platform.tenant("acme").await;
    assert_eq!(length(&acme, vec![0; 100_000]).await.ok()["bytes"], 100_000);
    assert_snapshot!(length(&acme, vec![0; 100_001]).await.problem());
    assert_eq!(length(&acme, chunked(100, 1_000)).await.ok()["bytes"], 100_000);
    assert_eq!(length(&acme, chunked(101, 1_000)).await.code(), "413 body-too-large");
}

#[tokio::test]
async fn a_body_that_lies_about_its_length_is_refused_before_it_is_sent() {
    let platform = TestPlatform::configured("[http]\nbody_max_bytes = 1000").await;
    platform.tenant("acme").await;
    let answer = platform
        .raw("POST /api/probe/length HTTP/1.1\r\nhost: x\r\nx-tenant: acme\r\ncontent-length: 10000000000\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_large_body_reaches_the_guest_as_it_arrives() {
    let platform = TestPlatform::configured("[http]\nbody_inline_max_bytes = 4096").await;
    let acme = platform.tenant("acme").await;
    let five_mib = 5 * 1024 * 1024;
    for body in [vec![b'x'; five_mib].into(), chunked(5 * 1024, 1024)] {
        let counted = length(&acme, body).await.ok();
        assert_eq!(counted["bytes"], five_mib);
        assert!(counted["chunks"].as_u64().unwrap() > 1, "{counted}");
    }
}

#[tokio::test]
async fn a_streamed_body_that_grows_over_the_limit_fails_in_the_guests_hands() {
    let platform =
        TestPlatform::configured("[http]\nbody_inline_max_bytes = 1000\nbody_max_bytes = 100000")
            .await;
    let acme = platform.tenant("acme").await;
    assert_eq!(length(&acme, chunked(200, 1_000)).await.code(), "413 body-too-large");
    assert_eq!(length(&acme, chunked(50, 1_000)).await.ok()["bytes"], 50_000);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let platform = TestPlatform::configured("[http]\nbody_timeout_ms = 200").await;
    platform.tenant("acme").await;
    let mut slow = HalfSent::to(platform.address(), "/api/probe/echo", "acme").await;
    let answer = slow.read().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"body-timeout""#), "{answer}");
}

#[tokio::test]
async fn a_streamed_body_that_stops_coming_ends_with_the_call() {
    let platform = TestPlatform::configured(
        "[http]\nbody_inline_max_bytes = 0\n[limits]\ncall_timeout_ms = 300",
    )
    .await;
    let acme = platform.tenant("acme").await;
    acme.warm("/api/probe/counter").await;
    let mut slow = HalfSent::to(platform.address(), "/api/probe/length", "acme").await;
    let answer = slow.read().await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(acme.get("/api/probe/counter").await.status(), 200);
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let platform = TestPlatform::configured("[http]\nhead_timeout_ms = 200").await;
    // Nothing; what may yet become HTTP/2; the beginning of a head.
    for begun in ["", "P", "GET /health/live HTTP/1.1\r\nx-slow: "] {
        let mut stream = TcpStream::connect(platform.address()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(hostel_tests::DEADLINE, stream.read_to_end(&mut rest));
        read.await.unwrap_or_else(|_| panic!("still open after {begun:?}")).unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let platform = TestPlatform::configured("[http]\nhead_max_bytes = 8192").await;
    let value = "x".repeat(20_000);
    let answer = platform
        .raw(format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx-large: {value}\r\n\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(platform.nobody().get("/health/live").await.status(), 200);
}

#[tokio::test]
async fn a_form_is_read_and_what_is_wrong_in_it_is_named() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let send = async |content_type: &str, body: &'static str| {
        let request = acme.request("POST", "/api/probe/form").header("content-type", content_type);
        request.body(body).send().await
    };
    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    let answer = send(FORM, "name=J%C3%BCrgen+K&age=7").await;
    assert_eq!(answer.ok(), json!({ "name": "Jürgen K", "age": 7 }));
    assert_eq!(send(FORM, "name=").await.ok(), json!({ "name": "", "age": null }));
    for (body, pointer) in [("age=7", "/name"), ("name=a&age=x", "/age"), ("name=a&b=c", "/b")] {
        let refused = send(FORM, body).await;
        assert_eq!(refused.code(), "422 invalid-fields");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(send("text/plain", "name=a").await.code(), "415 unsupported-media-type");
}

#[tokio::test]
async fn json_that_can_be_read_in_two_ways_or_is_too_deep_is_refused() {
    let platform = TestPlatform::configured("[http]\njson_depth_max = 10").await;
    let acme = platform.tenant("acme").await;
    let send = async |content_type: &str, body: String| {
        let request = acme.request("POST", "/api/probe/echo").header("content-type", content_type);
        request.body(body).send().await
    };
    let twice = r#"{"title":"a","tags":[{"x":1,"x":2}]}"#;
    assert_snapshot!("twice", send("application/json", twice.to_owned()).await.problem());
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let refused = send("application/merge-patch+json; charset=utf-8", deep(11)).await;
    assert_snapshot!("too_deep", refused.problem());
    assert_eq!(send("application/json", deep(10)).await.text(), deep(10));
    // What is no JSON, or does not say that it is, is the module's.
    assert_eq!(send("text/plain", twice.to_owned()).await.text(), twice);
    assert_eq!(send("application/json", "{".to_owned()).await.text(), "{");
}

#[tokio::test]
async fn a_compressed_body_is_refused_where_json_is_expected() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let send = async |path: &str| {
        let request = acme.request("POST", path).header("content-encoding", "gzip");
        request.header("content-type", "application/json").body("no gzip").send().await
    };
    let refused = send("/api/notes").await;
    assert_eq!(refused.code(), "415 content-encoded");
    assert_eq!(refused.header("accept-encoding"), Some("identity"));
    assert_eq!(send("/api/probe/echo").await.text(), "no gzip", "a module takes any bytes");
}
