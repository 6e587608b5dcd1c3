//! Forms of several parts: what a guest sees of them, and those that are not as they should be.

use bytes::Bytes;
use futures_util::stream;
use hostel_tests::{Answer, Client, Peer, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};

const MIB: usize = 1024 * 1024;

/// A form in the making.
#[derive(Default)]
struct Form(Vec<u8>);

impl Form {
    fn part(mut self, head: &str, bytes: &[u8]) -> Self {
        let head = format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        for piece in [head.as_bytes(), bytes, b"\r\n"] {
            self.0.extend_from_slice(piece);
        }
        self
    }

    fn field(self, name: &str, text: &str) -> Self {
        self.part(&format!("name=\"{name}\""), text.as_bytes())
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        let head = format!("name=\"{name}\"; filename=\"a.bin\"\r\nContent-Type: image/png");
        self.part(&head, bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"--edge--\r\n");
        self.0
    }
}

async fn send_to(client: &Client, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = client.request("POST", path);
    request.header("content-type", "multipart/form-data; boundary=edge").body(body).send().await
}

async fn send(client: &Client, body: impl Into<reqwest::Body>) -> Answer {
    send_to(client, "/api/probe/parts", body).await
}

/// A body that arrives in pieces of this length.
fn in_pieces(body: &[u8], bytes: usize) -> reqwest::Body {
    let pieces: Vec<_> = body
        .chunks(bytes)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

#[tokio::test]
async fn fields_and_files_come_in_their_order() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let body = Form::default()
        .field("title", "Grüße\r\n--edg")
        .file("picture", b"\x89PNG\r\n\r\n--\xff")
        .part("name=\"empty\"", b"")
        .part("filename=ä.txt; name=file", b"text")
        .end();
    assert_snapshot!(send(&acme, body).await.text());
    assert_eq!(send(&acme, Form::default().end()).await.ok(), json!([]));
    let quoted = acme.request("POST", "/api/probe/parts");
    let quoted =
        quoted.header("content-type", "Multipart/Form-Data; charset=utf-8; Boundary=\"edge\"");
    let answer = quoted.body(Form::default().field("a", "b").end()).send().await;
    assert_eq!(answer.ok()[0]["text"], "b");
}

#[tokio::test]
async fn a_form_is_the_same_however_it_is_cut() {
    let platform = TestPlatform::configured("[http]\nbody_inline_max_bytes = 50").await;
    let acme = platform.tenant("acme").await;
    let body = Form::default().field("a", "\r\r\n--edg").field("b", "\r\n--edgE").end();
    for bytes in [1, 2, 3, 7, 60, 1_000] {
        let seen = send(&acme, in_pieces(&body, bytes)).await.ok();
        assert_eq!(seen[0]["text"], "\r\r\n--edg", "{bytes}");
        assert_eq!(seen[1]["text"], "\r\n--edgE", "{bytes}");
    }
}

#[tokio::test]
async fn a_large_file_reaches_the_guest_as_it_arrives() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let body = Form::default()
        .file("large", &vec![b'\r'; 20 * MIB])
        .field("skipped", &"x".repeat(20 * MIB))
        .field("last", "here")
        .end();
    for body in [body.clone().into(), in_pieces(&body, 100_000)] {
        let seen = send(&acme, body).await.ok();
        assert_eq!(seen[0]["bytes"], 20 * MIB);
        assert!(seen[0]["chunks"].as_u64().unwrap() > 100, "{seen}");
        assert_eq!((&seen[1]["name"], &seen[1]["bytes"]), (&json!("skipped"), &json!(0)));
        assert_eq!(seen[2]["text"], "here");
    }
}

#[tokio::test]
async fn a_part_is_over_when_the_next_one_was_asked_for() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let body = Form::default().field("a", "first").field("b", "second").end();
    assert_eq!(
        send_to(&acme, "/api/probe/parts/misread", body).await.ok(),
        json!(["f", "ErrorKind::Invalid: this part is over: a later one was asked for", "second"])
    );
}

#[tokio::test]
async fn a_form_that_is_malformed_is_the_clients_fault() {
    let platform = TestPlatform::configured("[http]\nbody_inline_max_bytes = 100").await;
    let acme = platform.tenant("acme").await;
    let whole = Form::default().field("a", "b").end();
    let cut = |bytes: usize| whole[..whole.len() - bytes].to_vec();
    let no_name = Form::default().part("filename=\"x\"", b"").end();
    let head = |head: &str| format!("--edge\r\n{head}\r\n\r\nb\r\n--edge--\r\n").into_bytes();
    for body in [
        b"no form at all".to_vec(),
        vec![b'-'; 10_000],
        cut(5),
        cut(12),
        cut(14),
        cut(20),
        no_name,
        head("no header"),
        head("Content-Disposition: form-data; name=\0"),
        head(&"X: y\r\n".repeat(40)),
        [&whole[..8], &whole[..]].concat(),
        b"--edgeX\r\n\r\n".to_vec(),
    ] {
        let answer = send(&acme, body.clone()).await;
        assert_eq!(answer.code(), "400 invalid-multipart", "{}", String::from_utf8_lossy(&body));
    }
    assert_snapshot!(send(&acme, cut(12)).await.problem());
    let latin = Form::default().part("name=\"a\"", b"\xff").end();
    assert_snapshot!(send(&acme, latin).await.problem());
    let none = send(&acme, "").await;
    assert_eq!(none.code(), "400 invalid-multipart");
}

#[tokio::test]
async fn a_form_without_a_boundary_is_refused_before_the_module_runs() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let send = async |content_type: &str| {
        let request = acme.request("POST", "/api/probe/parts").header("content-type", content_type);
        request.body(Form::default().field("a", "b").end()).send().await
    };
    assert_snapshot!(send("multipart/form-data").await.problem());
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for content_type in ["multipart/form-data; boundary=", "multipart/form-data; charset", &long] {
        assert_eq!(send(content_type).await.code(), "400 invalid-boundary", "{content_type}");
    }
    for content_type in ["multipart/mixed; boundary=edge", "text/plain"] {
        assert_eq!(send(content_type).await.code(), "415 unsupported-media-type");
    }
}

#[tokio::test]
async fn a_form_where_another_body_is_expected_is_of_the_wrong_type() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let body = Form::default().field("name", "b").end();
    for path in ["/api/probe/echo", "/api/probe/form", "/api/probe/sql/query"] {
        let answer = send_to(&acme, path, body.clone()).await;
        assert_eq!(answer.code(), "415 unsupported-media-type", "{path}");
    }
}

#[tokio::test]
async fn a_form_has_limits() {
    let platform = TestPlatform::configured("[http]\nbody_max_bytes = 3000000").await;
    let acme = platform.tenant("acme").await;
    let many = |parts: usize| (0..parts).fold(Form::default(), |form, _| form.field("a", "b"));
    assert_eq!(send(&acme, many(1_000).end()).await.ok().as_array().map(Vec::len), Some(1_000));
    assert_snapshot!(send(&acme, many(1_001).end()).await.problem());
    // A head, what comes before the first part, and a body that only its sender knows the length of.
    let long = Form::default().field(&"x".repeat(20_000), "b").end();
    assert_snapshot!(send(&acme, long).await.problem());
    let endless = Form::default().field(&"x".repeat(2_000_000), "b").end();
    let noise = [vec![b'x'; 2_000_000], Form::default().end()].concat();
    let file = Form::default().file("a", &vec![0; 3_000_000]).end();
    for body in [endless, noise, file] {
        assert_eq!(send(&acme, in_pieces(&body, 10_000)).await.code(), "413 body-too-large");
    }
    assert_eq!(send(&acme, Form::default().field("a", "b").end()).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_in_the_middle_ends_its_call_alone() {
    let platform =
        TestPlatform::configured("[limits]\ntenant_calls_max = 1\nqueue_timeout_ms = 50").await;
    let acme = platform.tenant("acme").await;
    let begun = Form::default().field("a", "b").file("c", &vec![b'x'; 2 * MIB]);
    let mut request = b"POST /api/probe/parts HTTP/1.1\r\nhost: x\r\nx-tenant: acme\r\n\
        content-type: multipart/form-data; boundary=edge\r\ncontent-length: 10000000\r\n\r\n"
        .to_vec();
    request.extend_from_slice(&begun.0);
    let peer = Peer::sending(platform.address(), &request).await;
    eventually("the only turn is taken", async || {
        let queued: Value = acme.get("/api/probe/counter").await.json();
        (queued["code"] == "tenant-busy").then_some(())
    })
    .await;
    drop(peer);
    eventually("the turn is free", async || {
        (acme.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_form_that_does_not_arrive_ends_with_the_call() {
    let platform = TestPlatform::configured("[limits]\ncall_timeout_ms = 500").await;
    platform.tenant("acme").await.warm("/api/probe/counter").await;
    for begun in [Form::default().0, Form::default().file("c", &vec![b'x'; 2 * MIB]).0] {
        let mut request = b"POST /api/probe/parts HTTP/1.1\r\nhost: x\r\nx-tenant: acme\r\n\
            content-type: multipart/form-data; boundary=edge\r\ncontent-length: 10000000\r\n\r\n"
            .to_vec();
        request.extend_from_slice(&begun);
        let mut peer = Peer::sending(platform.address(), &request).await;
        let answer = peer.answer().await;
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    }
}
