//! The forms of one answer: compressed, or left out because the client has it.

use std::io::Read as _;

use hostel_tests::{Answer, Client, TestPlatform};

fn text() -> String {
    (0..2_000).map(|n| format!("line {n}\n")).collect()
}

async fn echoed(client: &Client, content_type: &str, text: &str, accept: Option<&str>) -> Answer {
    let request = client.request("POST", "/api/probe/echo").header("content-type", content_type);
    let request = accept.into_iter().fold(request, |r, accept| r.header("accept-encoding", accept));
    request.body(text.to_owned()).send().await
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let (mut plain, bytes) = (Vec::new(), answer.bytes());
    match answer.header("content-encoding") {
        None => plain.extend(bytes),
        Some("gzip") => {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        }
        Some("br") => {
            brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain).unwrap();
        }
        Some("zstd") => plain = zstd::stream::decode_all(bytes).unwrap(),
        Some(other) => panic!("{other} was not asked for"),
    }
    plain
}

#[tokio::test]
async fn a_large_text_is_compressed_as_the_client_prefers() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for (accept, encoding) in [
        (Some("gzip"), Some("gzip")),
        (Some("br"), Some("br")),
        (Some("zstd"), Some("zstd")),
        (Some("gzip, deflate, br, zstd"), Some("zstd")),
        (Some("gzip;q=0.9, br;q=0.5"), Some("gzip")),
        (Some("gzip;q=0, br;q=0.1"), Some("br")),
        (Some("*"), Some("zstd")),
        (Some("zstd;q=0, *"), Some("br")),
        (Some("identity"), None),
        (Some("gzip;q=0"), None),
        (Some("deflate"), None),
        // Nothing at all is no answer that anybody could want.
        (Some("identity;q=0, x;q=1"), None),
        (Some(""), None),
        (None, None),
    ] {
        let answer = echoed(&acme, "text/plain", &text(), accept).await;
        assert_eq!(answer.status(), 200, "{accept:?}");
        assert_eq!(answer.header("content-encoding"), encoding, "{accept:?}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{accept:?}");
        assert_eq!(decoded(&answer), text().as_bytes(), "{accept:?}");
        let is_smaller = answer.bytes().len() < text().len() / 2;
        assert_eq!(is_smaller, encoding.is_some(), "{accept:?}");
    }
}

#[tokio::test]
async fn what_gains_nothing_is_not_compressed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let sent = async |content_type: &str, text: &str| {
        let answer = echoed(&acme, content_type, text, Some("gzip")).await;
        let is_compressed = answer.header("content-encoding").is_some();
        assert_eq!(is_compressed, answer.header("vary").is_some(), "{content_type}");
        is_compressed
    };
    assert!(sent("application/json", &"x".repeat(1024)).await);
    assert!(!sent("application/json", &"x".repeat(1023)).await);
    for other in ["image/png", "application/zip", "text/event-stream", "application/octet-stream"] {
        assert!(!sent(other, &text()).await, "{other}");
    }
    assert!(sent("application/vnd.own+json; charset=utf-8", &text()).await);
    assert!(sent("image/svg+xml", &text()).await);
}

#[tokio::test]
async fn which_encodings_there_are_is_configured() {
    let platform =
        TestPlatform::configured("[http.compression]\nencodings = ['gzip']\nmin_bytes = 5000")
            .await;
    let acme = platform.tenant("acme").await;
    let answer = echoed(&acme, "text/plain", &text(), Some("br, gzip;q=0.1")).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let answer = echoed(&acme, "text/plain", &text()[..4000], Some("gzip")).await;
    assert_eq!(answer.header("content-encoding"), None);
    let off = TestPlatform::configured("[http.compression]\nencodings = []").await;
    let acme = off.tenant("acme").await;
    let answer = echoed(&acme, "text/plain", &text(), Some("gzip")).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
}

#[tokio::test]
async fn a_large_answer_arrives_whole_and_others_are_served_meanwhile() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let large = text().repeat(100);
    let answers = (0..4).map(|_| echoed(&acme, "text/plain", &large, Some("br")));
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(decoded(&answer), large.as_bytes());
    }
}

#[tokio::test]
async fn head_says_how_the_answer_would_be_compressed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let request = acme.request("HEAD", "/api/probe/tagged/1").header("accept-encoding", "gzip");
    let head = request.send().await;
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    // It is not known before it is compressed.
    assert_eq!((head.header("content-length"), head.bytes()), (None, &b""[..]));
}

async fn read(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = client.request("GET", path);
    headers.iter().fold(request, |r, (name, value)| r.header(name, value)).send().await
}

#[tokio::test]
async fn a_client_that_has_an_answer_is_told_so() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let first = read(&acme, "/api/probe/digest/a", &[]).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!((first.status(), first.text()), (200, "a"));
    assert_eq!(read(&acme, "/api/probe/digest/a", &[]).await.header("etag"), Some(&*tag));
    assert_ne!(read(&acme, "/api/probe/digest/b", &[]).await.header("etag"), Some(&*tag));

    for known in [tag.clone(), format!("W/{tag}"), format!("\"x,y\", {tag}"), "*".to_owned()] {
        let again = read(&acme, "/api/probe/digest/a", &[("if-none-match", &known)]).await;
        assert_eq!((again.status(), again.bytes()), (304, &b""[..]), "{known}");
        assert_eq!(again.header("etag"), Some(&*tag), "{known}");
        assert_eq!(again.header("content-type"), None, "{known}");
    }
    for other in ["\"other\"", "nonsense", "", "\"a\tb\"", "\"a b\""] {
        let again = read(&acme, "/api/probe/digest/a", &[("if-none-match", other)]).await;
        assert_eq!((again.status(), again.text()), (200, "a"), "{other}");
    }
    let request = acme.request("HEAD", "/api/probe/digest/a").header("if-none-match", &tag);
    assert_eq!(request.send().await.status(), 304);
    assert_eq!(read(&acme, "/api/probe/counter", &[]).await.header("etag"), None);
}

#[tokio::test]
async fn a_modules_own_tag_guards_its_changes() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let path = "/api/probe/tagged/7";
    let plain = read(&acme, path, &[]).await;
    assert_eq!(plain.header("etag"), Some("\"7\""));
    // Compressed, it is the same and not byte for byte.
    let compressed = read(&acme, path, &[("accept-encoding", "br")]).await;
    assert_eq!(compressed.header("etag"), Some("W/\"7\""));
    for tag in ["\"7\"", "W/\"7\""] {
        let known = [("if-none-match", tag), ("accept-encoding", "br")];
        assert_eq!(read(&acme, path, &known).await.status(), 304, "{tag}");
    }

    let change = async |if_match: Option<&str>| {
        let request = acme.request("PUT", path);
        if_match.into_iter().fold(request, |r, tag| r.header("if-match", tag)).send().await
    };
    for good in [None, Some("\"7\""), Some("W/\"7\""), Some("*"), Some("\"6\", \"7\"")] {
        assert_eq!(change(good).await.status(), 204, "{good:?}");
    }
    assert_eq!(change(Some("\"8\"")).await.code(), "412 precondition-failed");
}
