//! Bodies that are never whole in memory: as they come, as they are written, and both at once; and
//! what becomes of those that are cut off.

use bytes::Bytes;
use futures_util::stream;
use hostel_tests::{Client, Folder, TestPlatform, chunked, eventually, taken_at_most_of};
use serde_json::json;
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 64 * 1024;
static EXPECTED: [u8; PIECE_BYTES] = [b'x'; PIECE_BYTES];
/// Everything comes as it arrives, however small.
const AS_IT_ARRIVES: &str = "[http]\nbody_inline_max_bytes = 0";

/// How many bytes an answer has, none of which is kept.
async fn drain(mut answer: reqwest::Response) -> Result<u64, reqwest::Error> {
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await? {
        let is_right = |part: &[u8]| part == &EXPECTED[..part.len()];
        assert!(chunk.chunks(PIECE_BYTES).all(is_right), "other bytes came back");
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

/// Whether the tenant is served, with all turns free.
async fn is_served(client: &Client) {
    eventually("it is served", async || {
        (client.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_written_bit_by_bit_arrives_whole() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for client in [acme.clone(), acme.over_http2()] {
        for bytes in [0, 1, 65_536, 65_537, 3_000_000] {
            let path = format!("/api/probe/streams/bytes/{bytes}");
            let answer = client.request("GET", &path).begin().await;
            assert_eq!(answer.headers()["content-type"], "application/octet-stream");
            assert!(!answer.headers().contains_key("content-length"));
            assert_eq!(drain(answer).await.unwrap(), bytes);
        }
        let answer = client
            .request("POST", "/api/probe/streams/echo")
            .body(chunked(40, PIECE_BYTES))
            .begin();
        let answer = answer.await;
        assert_eq!(answer.status(), 201);
        assert_eq!(drain(answer).await.unwrap(), 40 * PIECE_BYTES as u64);
    }
    let lines = acme.get("/api/probe/streams/lines?count=3").await;
    assert_eq!(lines.text(), "0 0\n1 0\n2 0\n");
}

#[tokio::test]
async fn what_was_sent_comes_back_before_more_is_sent() {
    let platform = TestPlatform::configured(AS_IT_ARRIVES).await;
    let acme = platform.tenant("acme").await;
    for client in [acme.clone(), acme.over_http2()] {
        let (send, coming) = mpsc::unbounded_channel::<Bytes>();
        let coming = stream::unfold(coming, async |mut coming| {
            coming.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), coming))
        });
        send.send("first".into()).unwrap();
        let body = reqwest::Body::wrap_stream(Box::pin(coming));
        let mut answer = client.request("POST", "/api/probe/streams/echo").body(body).begin().await;
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "first");
        for piece in ["second", "third"] {
            send.send(piece.into()).unwrap();
            assert_eq!(answer.chunk().await.unwrap().unwrap(), piece);
        }
        drop(send);
        assert!(answer.chunk().await.unwrap().is_none_or(|last| last.is_empty()));
    }
}

#[tokio::test]
async fn a_head_is_checked_and_a_promised_length_is_kept() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let head = async |query: &str| acme.request("GET", &format!("/api/probe/streams/head?{query}"));
    let good = head("status=202&name=x-own&value=1&length=4").await.send().await;
    assert_eq!((good.status(), good.text()), (202, "four"));
    assert_eq!((good.header("x-own"), good.header("content-length")), (Some("1"), Some("4")));
    for bad in [
        "status=99&name=x-own&value=1",
        "status=200&name=connection&value=close",
        "status=200&name=not%20one&value=1",
        "status=200&name=x-own&value=%0A",
        "status=200&name=content-length&value=-4",
    ] {
        assert_eq!(head(bad).await.send().await.code(), "500 bad-answer", "{bad}");
    }
    for wrong in [3, 5] {
        let query = format!("status=200&name=x-own&value=1&length={wrong}");
        assert!(head(&query).await.try_send().await.is_err(), "4 bytes passed for {wrong}");
    }
    is_served(&acme).await;
}

#[tokio::test]
async fn an_answer_that_goes_wrong_is_cut_off_and_nobody_else_notices() {
    let platform = TestPlatform::configured("[limits]\ncpu_ms = 200").await;
    let acme = platform.tenant("acme").await;
    for client in [acme.clone(), acme.over_http2()] {
        for how in ["problem", "trap", "spin", "twice", "dropped"] {
            let path = format!("/api/probe/streams/broken/{how}");
            let answer = client.request("GET", &path).begin().await;
            assert_eq!(answer.status(), 200, "{how}");
            assert!(drain(answer).await.is_err(), "{how}: the client took it for whole");
        }
        // Nothing was sent: there is room for the truth.
        let before = client.get("/api/probe/streams/broken/before").await;
        assert_eq!(before.code(), "409 too-late");
    }
    is_served(&acme).await;
}

#[tokio::test]
async fn a_client_that_leaves_or_wants_no_body_ends_the_call() {
    let platform = TestPlatform::configured(
        "[limits]\ntenant_calls_max = 1\ncall_timeout_ms = 600000\nqueue_timeout_ms = 30000",
    )
    .await;
    let acme = platform.tenant("acme").await;
    let endless = format!("/api/probe/streams/bytes/{}", u64::MAX);
    for client in [acme.clone(), acme.over_http2()] {
        let mut answer = client.request("GET", &endless).begin().await;
        answer.chunk().await.unwrap().unwrap();
        drop(answer);
        is_served(&acme).await;
        let head = client.request("HEAD", &endless).send().await;
        assert_eq!((head.status(), head.bytes()), (200, &b""[..]));
        is_served(&acme).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_its_turn_no_longer_than_a_call_may_take() {
    let platform = TestPlatform::configured(
        "[limits]\ntenant_calls_max = 1\ncall_timeout_ms = 500\nqueue_timeout_ms = 30000",
    )
    .await;
    let acme = platform.tenant("acme").await;
    acme.warm("/api/probe/counter").await;
    for client in [acme.clone(), acme.over_http2()] {
        let path = format!("/api/probe/streams/bytes/{}", u64::MAX);
        let answer = client.request("GET", &path).begin().await;
        is_served(&acme).await;
        assert!(drain(answer).await.is_err(), "an answer without an end ended");
    }
}

#[tokio::test]
async fn however_small_the_pieces_they_are_not_too_many_host_calls() {
    let platform =
        TestPlatform::configured(&format!("{AS_IT_ARRIVES}\n[limits]\nhost_calls_max = 100")).await;
    let acme = platform.tenant("acme").await;
    let body = chunked(2_000, 1);
    let answer = acme.request("POST", "/api/probe/streams/echo").body(body).begin().await;
    assert_eq!(drain(answer).await.unwrap(), 2_000);
}

/// Up, down and both at once, through a host of which the memory is measured. It takes longer than a
/// call may, which moves its end with each piece. So much in the ordinary run; a variable says more:
/// `HOSTEL_TEST_STREAM_MIB=1024`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_goes_through_a_host_that_keeps_little_of_it() {
    const MIB: u64 = 1024 * 1024;
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how much")]
    let wanted = std::env::var("HOSTEL_TEST_STREAM_MIB").ok();
    let bytes = wanted.map_or(192, |wanted| wanted.parse().unwrap()) * MIB;
    const TAKEN_MAX_BYTES: u64 = 64 * MIB;
    let folder = Folder::warm().await;
    folder.module("probe", hostel_tests::probe());
    folder.write(
        "platform.toml",
        "[http]\nbody_max_bytes = 1099511627776\n[limits]\ncpu_ms = 600000\ncall_timeout_ms = 1000\n",
    );
    let mut hostel = folder.start(&["serve"]);
    let client = hostel.nobody();
    client.warm("/api/probe/counter").await;
    // Over HTTP/2, clients and hosts talk so much of windows that less has to do here.
    for (client, bytes) in [(client.clone(), bytes), (client.over_http2(), bytes / 2)] {
        // What is made once is made before anybody measures.
        client.get("/api/probe/streams/bytes/1000000").await;
        let body = || chunked(usize::try_from(bytes).unwrap() / PIECE_BYTES, PIECE_BYTES);
        let up = async {
            let answer = client.request("POST", "/api/probe/length").body(body()).send().await;
            assert_eq!(answer.ok()["bytes"], json!(bytes));
        };
        let down = async {
            let path = format!("/api/probe/streams/bytes/{bytes}");
            let answer = client.request("GET", &path).begin().await;
            assert_eq!(drain(answer).await.unwrap(), bytes);
        };
        let echo = async {
            let echo = client.request("POST", "/api/probe/streams/echo").body(body());
            assert_eq!(drain(echo.begin().await).await.unwrap(), bytes);
        };
        let ((), up) = taken_at_most_of(hostel.process(), up).await;
        let ((), down) = taken_at_most_of(hostel.process(), down).await;
        let ((), echo) = taken_at_most_of(hostel.process(), echo).await;
        let [up, down, echo] = [up, down, echo].map(|taken| {
            assert!(taken < TAKEN_MAX_BYTES, "{taken} bytes of memory");
            taken / 1024
        });
        println!("KiB of memory: {up} for what comes, {down} for what goes, {echo} for both");
    }
    hostel.terminate();
    assert_eq!(hostel.wait(), Some(0));
}
