//! Requests that are broken, too large, ambiguous or too many at once, over HTTP/1.

use std::fmt::Write as _;

use hostel_tests::{Folder, Friendly, Peer, TestPlatform, hostile, probe};
use insta::assert_snapshot;

const CLOSE: &str = "connection: close\r\n\r\n";

/// What a request that nothing is wrong with begins with.
fn post(headers: &str) -> String {
    format!("POST /api/probe/length HTTP/1.1\r\nhost: x\r\nx-tenant: friendly\r\n{headers}")
}

/// What another request would be, if it was taken for one.
fn smuggled() -> String {
    format!("GET /api/probe/counter HTTP/1.1\r\nhost: x\r\nx-tenant: friendly\r\n{CLOSE}")
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused() {
    let platform = TestPlatform::start().await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let refused = [
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "content-length: 5, 6\r\n\r\nhello",
        "content-length: 5, 5\r\n\r\nhello",
        "content-length: +5\r\n\r\nhello",
        "content-length: -5\r\n\r\nhello",
        "content-length: 0x5\r\n\r\nhello",
        "content-length: 99999999999999999999\r\n\r\nhello",
        "content-length : 5\r\n\r\nhello",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: xchunked\r\ncontent-length: 5\r\n\r\nhello",
        "x-folded: one\r\n two\r\ncontent-length: 0\r\n\r\n",
        " x-first: folded\r\n\r\n",
        "x-nul: a\0b\r\n\r\n",
        "x-na\0me: a\r\n\r\n",
        "x-cr: a\rb\r\n\r\n",
        ": no name\r\n\r\n",
        "no colon\r\n\r\n",
    ];
    for headers in refused {
        let answers = platform.raw(post(headers) + &smuggled()).await;
        assert_eq!(statuses(&answers), ["400"], "{headers:?}: {answers}");
    }
    let twice = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nhost: y\r\n{CLOSE}");
    assert!(platform.raw(twice).await.contains(r#""code":"invalid-host""#));
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_none_end_the_connection() {
    let platform = TestPlatform::start().await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let broken = [
        "FFFFFFFFFFFFFFFFF\r\nx",
        "10000000000000000\r\nx",
        "-1\r\nx",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
    ];
    for body in broken {
        let request = post("transfer-encoding: chunked\r\n\r\n") + body + &smuggled();
        let answers = platform.raw(request).await;
        assert_eq!(statuses(&answers), ["400"], "{body:?}: {answers}");
        assert!(answers.contains(r#""code":"body-broken""#), "{body:?}: {answers}");
    }
    // More of an extension, or of a trailer, than a chunk needs.
    let extended = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let mut trailed = "5\r\nhello\r\n0\r\n".to_owned();
    (0..10_000).for_each(|n| write!(trailed, "x-{n}: y\r\n").unwrap());
    for body in [extended, trailed] {
        let mut peer = Peer::to(platform.address()).await;
        let request = post("transfer-encoding: chunked\r\n\r\n") + &body + &smuggled();
        // The host may close before all of it is sent.
        let _ = peer.try_send(request).await;
        let answers = peer.until_closed().await;
        assert!(statuses(&answers).iter().all(|status| *status == "400"), "{answers}");
    }
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_body_of_chunks_nothing_is_taken_for_a_request() {
    let platform = TestPlatform::start().await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    // By its length the first request ends elsewhere than by its chunks.
    let both = [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for headers in both {
        let answers = platform.raw(post(headers) + &smuggled()).await;
        assert_eq!(statuses(&answers), ["200"], "{headers:?}: {answers}");
        assert!(answers.contains("connection: close\r\n"), "{answers}");
        assert!(answers.ends_with(r#"{"bytes":5,"chunks":1}"#), "{answers}");
    }
    // What agrees with itself is no danger.
    let same = "content-length: 5\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(statuses(&platform.raw(post(same) + &smuggled()).await), ["200", "200"]);
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test]
async fn a_bare_line_feed_ends_a_line_and_nothing_else() {
    let platform = TestPlatform::start().await;
    platform.tenant("friendly").await;
    // RFC 9112, section 2.2, lets a server take it so; a head is then read in one way only.
    let request = post("x-one: a\ncontent-length: 5\r\n\r\nhello") + &smuggled();
    assert_eq!(statuses(&platform.raw(request).await), ["200", "200"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_limits() {
    let platform =
        TestPlatform::configured("[http]\nhead_max_bytes = 16384\nurl_max_bytes = 1000").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let nobody = platform.nobody();
    let long = |bytes: usize| format!("/health/live?{}", "x".repeat(bytes - "/health/live?".len()));
    assert_eq!(nobody.get(&long(1000)).await.status(), 200);
    let refused = nobody.get(&long(1001)).await;
    assert_eq!(refused.code(), "414 uri-too-long");
    assert_snapshot!(refused.json()["detail"].as_str().unwrap());

    let get = |rest: &str| format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{rest}{CLOSE}");
    let many = |n: u32| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    for (request, status) in [
        (get(&many(98)), "200"),
        (get(&many(99)), "431"),
        (get(&format!("x-large: {}\r\n", "y".repeat(20_000))), "431"),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n{CLOSE}", "x".repeat(20_000)), "431"),
        (format!("GET /health/live HTTP/1.1\r\n{CLOSE}"), "400"),
        (format!("GET /health/live HTTP/1.0\r\n{CLOSE}"), "200"),
        (format!("GET /health/live HTTP/2.0\r\nhost: x\r\n{CLOSE}"), "400"),
        (format!("GET /health\0/live HTTP/1.1\r\nhost: x\r\n{CLOSE}"), "400"),
        (format!("GET  /health/live HTTP/1.1\r\nhost: x\r\n{CLOSE}"), "400"),
        (format!("GE(T /health/live HTTP/1.1\r\nhost: x\r\n{CLOSE}"), "400"),
        ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03".repeat(10), "400"),
    ] {
        let mut peer = Peer::to(platform.address()).await;
        let _ = peer.try_send(&request).await;
        let answers = peer.until_closed().await;
        let status_line = answers.split("\r\n").next().unwrap();
        assert!(status_line.contains(&format!(" {status} ")), "{request:?}: {answers}");
    }
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test]
async fn a_path_that_is_not_encoded_well_is_refused() {
    let platform = TestPlatform::start().await;
    platform.tenant("friendly").await;
    for bad in ["%", "%4", "%zz", "%4%31", "%FF", "%C3%28"] {
        let request = format!(
            "GET /api/probe/echo/{bad} HTTP/1.1\r\nhost: x\r\nx-tenant: friendly\r\n{CLOSE}"
        );
        let answer = platform.raw(request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad}: {answer}");
        assert!(answer.contains(r#""code":"invalid-path""#), "{bad}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_refused_is_not_asked_for() {
    let platform = TestPlatform::configured("[http]\nbody_max_bytes = 1000").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let expects = post("expect: 100-continue\r\ncontent-length: 1001\r\n\r\n");
    let answers = platform.raw(&expects).await;
    assert_eq!(statuses(&answers), ["413"], "{answers}");
    // Nor is it taken for a request when it is sent all the same.
    assert_eq!(statuses(&platform.raw(expects + &smuggled()).await), ["413"]);
    let chunks = format!("3E9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let answers = platform.raw(post("transfer-encoding: chunked\r\n\r\n") + &chunks + &smuggled());
    assert_eq!(statuses(&answers.await), ["413"]);
    // What is longer than announced is another request, and none.
    let answers = platform.raw(post("content-length: 5\r\n\r\nhello and more\r\n\r\n")).await;
    assert_eq!(statuses(&answers), ["200", "400"]);
    let mut short = Peer::sending(platform.address(), post("content-length: 5\r\n\r\nhell")).await;
    short.close_own_side().await;
    let answer = short.until_closed().await;
    assert!(answer.is_empty() || statuses(&answer) == ["400"], "{answer}");
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    // With one turn and hardly a wait for it, a second call at once would be refused.
    let platform = TestPlatform::configured(
        "[limits]\ntenant_calls_max = 1\ntenant_queue_max = 0\nqueue_timeout_ms = 1",
    )
    .await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    platform.tenant("hostile").await;
    let request = |n: usize, rest: &str| {
        format!("GET /api/probe/echo/{n} HTTP/1.1\r\nhost: x\r\nx-tenant: hostile\r\n{rest}")
    };
    let requests: String = (0..99).map(|n| request(n, "\r\n")).collect();
    let answers = platform.raw(requests + &request(99, CLOSE)).await;
    assert_eq!(statuses(&answers), ["200"; 100], "{answers}");
    let order: Vec<&str> = answers.split(r#""parameters":[""#).skip(1).collect();
    for (n, answer) in order.iter().enumerate() {
        assert!(answer.starts_with(&format!("{n}\"")), "{n}: {answer}");
    }
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_answers_is_given_few() {
    let folder = Folder::warm().await;
    folder.module("hostile", hostile());
    folder.module("probe", probe());
    folder.write("platform.toml", "[http]\nwrite_timeout_ms = 1000");
    let hostel = folder.start(&["serve"]);
    let friendly = Friendly::of(hostel.nobody()).await;
    let mut peer = Peer::with_a_small_buffer(hostel.address()).await;
    let request = "GET /api/hostile/huge?mib=4 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    while peer.try_send(&request).await.is_ok() {}
    // The first, which is never taken whole.
    let given = hostel.lines().iter().filter(|line| line.contains("/api/hostile/huge")).count();
    assert!(given <= 2, "{given} answers were made");
    println!("friendly: {} requests", friendly.finish().await);
}
