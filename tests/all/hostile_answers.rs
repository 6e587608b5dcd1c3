//! Guests that do not answer, and guests whose answers must not be sent.

use std::fmt::Write as _;

use futures_util::future::join_all;
use hostel_tests::{Attack, Peer};
use insta::assert_snapshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_told_to_nobody() {
    let attack = Attack::on("").await;
    let answer = attack.hostile.get("/api/hostile/panic").await;
    assert_snapshot!("panic", answer.problem());
    assert!(!answer.text().contains("asked to"), "the panic's message stays in the log");
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_way_a_guest_ends_only_its_own_request_fails() {
    let attack = Attack::on("").await;
    for way in ["panic", "abort", "exit", "unreachable", "trap-afterwards"] {
        let path = format!("/api/hostile/{way}");
        let answers = join_all((0..10).map(|_| attack.hostile.get(&path))).await;
        assert!(answers.iter().all(|answer| answer.code() == "500 module-failed"), "{way}");
    }
    // Where the host wants to put a request, there is no memory.
    let body = "x".repeat(54_321);
    let answer = attack.hostile.request("POST", "/api/hostile/body").body(body).send().await;
    assert_eq!(answer.code(), "500 module-failed");
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_too_large_is_not_sent() {
    let attack = Attack::on("[limits]\nanswer_max_bytes = 1048576").await;
    let hostile = &attack.hostile;
    assert_eq!(hostile.get("/api/hostile/huge?mib=1").await.bytes().len(), 1 << 20);
    assert_snapshot!("too_large", hostile.get("/api/hostile/huge?mib=2").await.problem());
    let larger = join_all((0..10).map(|_| hostile.get("/api/hostile/huge?mib=40"))).await;
    assert!(larger.iter().all(|answer| answer.code() == "500 answer-too-large"));
    // No guest can hold what a hundred megabytes take.
    assert_eq!(hostile.get("/api/hostile/huge?mib=100").await.code(), "500 memory-limit");
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_within_the_limit_is_sent_whatever_one_host_call_may_take() {
    let attack = Attack::on("").await;
    assert_eq!(attack.hostile.get("/api/hostile/huge?mib=10").await.bytes().len(), 10 << 20);
    assert_eq!(attack.hostile.get("/api/hostile/huge?mib=11").await.code(), "500 answer-too-large");
    attack.end().await;
}

/// Names and values, percent-encoded, and what the client gets.
const HEADERS: &[(&str, &str)] = &[
    ("x-own", "fine"),
    ("x-own", "one%0D%0Aset-cookie:%20stolen=yes"),
    ("x-own", "one%0Aset-cookie:%20stolen=yes"),
    ("x-own", "one%00two"),
    ("x-own%0D%0Aset-cookie", "stolen"),
    ("x%20own", "a%20space"),
    ("", "no%20name"),
    ("x-%C3%A9", "no%20ASCII"),
    ("content-length", "3"),
    ("content-length", "300"),
    ("Content-Length", "5"),
    ("transfer-encoding", "chunked"),
    ("content-type", "text/html"),
    ("connection", "close"),
    ("connection", "x-request-id"),
    ("keep-alive", "timeout=600"),
    ("proxy-connection", "close"),
    ("upgrade", "h2c"),
    ("te", "trailers"),
    ("trailer", "x-own"),
    ("x-request-id", "another"),
    ("date", "Thu,%2001%20Jan%201970%2000:00:00%20GMT"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_of_a_guest_breaks_an_answer_in_two_or_speaks_of_the_connection() {
    let attack = Attack::on("").await;
    let mut told = String::new();
    for (name, value) in HEADERS {
        let path = format!("/api/hostile/header?name={name}&value={value}");
        // Twice on one connection: what the first leaves behind would spoil the second.
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-tenant: hostile\r\n\r\n");
        let mut peer = Peer::sending(attack.platform.address(), &request).await;
        let first = peer.answer().await;
        peer.send(&request).await;
        let second = peer.answer().await;
        assert_eq!(first.lines().next(), second.lines().next(), "{name}: {value}");
        assert!(!first.to_ascii_lowercase().contains("\r\nset-cookie"), "{first}");
        let answer = attack.hostile.get(&path).await;
        let outcome = match answer.status() {
            200 => format!("200, {} bytes", answer.bytes().len()),
            _ => answer.code(),
        };
        writeln!(told, "{name}: {value} → {outcome}").unwrap();
    }
    assert_snapshot!("headers", told);
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_http_is_not_sent() {
    let attack = Attack::on("").await;
    let mut told = String::new();
    for path in [
        "status/0",
        "status/99",
        "status/100",
        "status/101",
        "status/199",
        "status/200",
        "status/299",
        "status/304",
        "status/599",
        "status/999",
        "status/1000",
        "status/65535",
        "problem?status=200&code=fine",
        "problem?status=99&code=fine",
        "problem?status=600&code=fine",
        "problem?status=409&code=",
        "problem?status=409&code=No%20Code%0D%0A",
        "problem?status=409&code=fine&member=request_id",
        "problem?status=409&code=fine&member=no",
        "problem?status=409&code=fine&member=a%22%3A1",
        "headers?count=90",
        "headers?count=100000",
        "no-utf8",
    ] {
        let answer = attack.hostile.get(&format!("/api/hostile/{path}")).await;
        let outcome = match answer.header("content-type") {
            Some("application/problem+json") => answer.code(),
            _ => answer.status().to_string(),
        };
        writeln!(told, "{path} → {outcome}").unwrap();
    }
    assert_snapshot!("no_http", told);
    attack.end().await;
}
