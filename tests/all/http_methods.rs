//! Methods that the host answers by itself, over HTTP/1 and HTTP/2, and what a client accepts.

use hostel_tests::frames::{
    END_HEADERS, END_STREAM, Frame, HEADERS, frame, get_fields, literal, preface, until_frame,
};
use hostel_tests::{Peer, TestPlatform};
use insta::assert_snapshot;

const CLOSE: &str = "connection: close\r\n\r\n";

/// The head of an answer, by line, and its body.
fn apart(answer: &str) -> (Vec<&str>, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split("\r\n").collect(), body)
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await;
    let ask = async |method: &str, path: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nx-tenant: acme\r\n{CLOSE}");
        platform.raw(head).await
    };
    for path in ["/api/probe/counter", "/api/probe/nowhere", "/health/live", "/nowhere"] {
        let (with, without) = (ask("GET", path).await, ask("HEAD", path).await);
        let ((got, got_body), (head, body)) = (apart(&with), apart(&without));
        assert_eq!(body, "", "{path}");
        assert_eq!(head[0], got[0], "{path}");
        let length = format!("content-length: {}", got_body.len());
        assert!(got_body.len() > 10 && head.contains(&&*length), "{path}: {head:?}");
        let names = |head: &[&str]| {
            let mut names: Vec<String> =
                head[1..].iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&head), names(&got), "{path}");
    }
}

#[tokio::test]
async fn over_http2_head_has_no_body_either() {
    let platform = TestPlatform::start().await;
    platform.tenant("hostile").await;
    let mut peer = Peer::sending(platform.address(), preface(&[])).await;
    let fields = [literal(":method", "HEAD"), get_fields("/api/probe/counter")[1..].to_vec()];
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields.concat())).await;
    let answer = until_frame(&mut peer, |frame: &Frame| frame.stream == 1).await.unwrap();
    assert_eq!((answer.kind, answer.flags & END_STREAM), (HEADERS, END_STREAM), "{answer:?}");
}

#[tokio::test]
async fn options_are_told_to_everybody() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for (path, allow) in [
        ("/api/probe/counter", "GET, HEAD, OPTIONS"),
        ("/api/probe/secret", "GET, HEAD, OPTIONS"),
        ("/api/probe/tagged/1", "GET, PUT, HEAD, OPTIONS"),
        ("/api/notes", "GET, POST, HEAD, OPTIONS"),
    ] {
        let answer = acme.request("OPTIONS", path).send().await;
        assert_eq!((answer.status(), answer.header("allow")), (204, Some(allow)), "{path}");
        assert!(answer.header("access-control-allow-origin").is_none(), "CORS is off");
        assert!(answer.header("content-length").is_none(), "RFC 9110, section 8.6");
    }
    let nowhere = acme.request("OPTIONS", "/api/probe/nowhere").send().await;
    assert_eq!(nowhere.code(), "404 route-not-found");
    let unknown = platform.client("unknown").request("OPTIONS", "/api/notes").send().await;
    assert_eq!(unknown.code(), "404 tenant-not-found");
    let all = platform.raw(format!("OPTIONS * HTTP/1.1\r\nhost: x\r\n{CLOSE}")).await;
    assert!(all.starts_with("HTTP/1.1 204"), "{all}");
}

#[tokio::test]
async fn the_hosts_own_paths_say_what_they_answer() {
    let platform = TestPlatform::start().await;
    let nobody = platform.nobody();
    for path in ["/health/live", "/health/ready", "/metrics", "/platform/v1/usage"] {
        let refused = nobody.request("DELETE", path).send().await;
        assert_eq!(refused.code(), "405 method-not-allowed", "{path}");
        assert_eq!(refused.header("allow"), Some("GET,HEAD"), "{path}");
        let options = nobody.request("OPTIONS", path).send().await;
        assert_eq!((options.status(), options.header("allow")), (204, Some("GET,HEAD")), "{path}");
    }
    assert_eq!(nobody.request("OPTIONS", "/nowhere").send().await.status(), 404);
}

#[tokio::test]
async fn who_takes_no_json_is_told_before_the_module_runs() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let ask = async |path: &str, accept: &str| {
        acme.request("GET", path).header("accept", accept).send().await
    };
    assert_snapshot!("not_acceptable", ask("/api/probe/counter", "text/html").await.problem());
    assert_eq!(ask("/api/probe/counter", "text/html, */*;q=0.1").await.status(), 200);
    let page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    assert_eq!(ask("/api/probe/counter", page).await.status(), 200);
    // A route that does not say what it answers may answer anything.
    assert_eq!(ask("/api/probe/digest/x", "application/xml").await.status(), 200);
}
