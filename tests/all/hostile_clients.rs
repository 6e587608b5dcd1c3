//! Clients that are slow, silent or gone: what they hold ends, and a tenant beside them is served
//! all the while.

use futures_util::future::join_all;
use hostel_tests::{Client, Friendly, HalfSent, Peer, TestPlatform, eventually};

const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// The head of a request of the tenant `hostile`, without its end.
fn head(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nx-tenant: hostile\r\n")
}

/// As many calls run at once as the tenant may have: no turn was kept.
async fn has_its_turns_back(tenant: &Client) {
    eventually("the turns are free", async || {
        (tenant.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_not_waited_for() {
    let platform = TestPlatform::configured("[http]\nhead_timeout_ms = 2000").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let address = platform.address();
    // A head; a method; a line; what may yet become HTTP/2.
    let begun = ["GET /health/live HTTP/1.1\r\nx-slow: ", "G", "GET /", "PRI * HTTP/2.0\r\n\r\n"];
    let slow = begun.iter().cycle().take(40).map(async |begun| {
        let answer = Peer::sending(address, begun).await.drip().await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    });
    let silent = (0..20).map(async |_| {
        assert_eq!(Peer::to(address).await.until_closed().await, "");
    });
    tokio::join!(join_all(slow), join_all(silent));
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_head_of_a_connection_is_not_waited_for_either() {
    let platform = TestPlatform::configured("[http]\nhead_timeout_ms = 2000").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let again = async |begun: &str, drips: bool| {
        let mut peer = Peer::sending(platform.address(), LIVE).await;
        assert!(peer.answer().await.starts_with("HTTP/1.1 200"));
        peer.send(begun).await;
        let rest = if drips { peer.drip().await } else { peer.until_closed().await };
        assert!(!rest.starts_with("HTTP/1.1 2"), "{rest}");
    };
    let slow = (0..20).map(|_| again("GET /health/live HTTP/1.1\r\nx-slow: ", true));
    let silent = (0..20).map(|_| again("", false));
    tokio::join!(join_all(slow), join_all(silent));
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_byte_by_byte_is_not_waited_for() {
    let config = "[http]\nbody_timeout_ms = 500\n[limits]\ntenant_calls_max = 2";
    let platform = TestPlatform::configured(config).await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let hostile = platform.tenant("hostile").await;
    let announced =
        ["content-length: 100000\r\n\r\n", "transfer-encoding: chunked\r\n\r\nFFFFF\r\n"];
    join_all(announced.iter().cycle().take(20).map(async |announced| {
        let request = head("POST", "/api/probe/echo") + announced;
        let answer = Peer::sending(platform.address(), request).await.drip().await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(r#""code":"body-timeout""#), "{answer}");
    }))
    .await;
    has_its_turns_back(&hostile).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_waits_for_a_body_until_its_call_ends() {
    let platform = TestPlatform::configured(
        "[http]\nbody_inline_max_bytes = 0\n[limits]\ncall_timeout_ms = 500\ntenant_calls_max = 2",
    )
    .await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let hostile = platform.tenant("hostile").await;
    hostile.warm("/api/probe/counter").await;
    let slow = (0..2).map(async |_| {
        let request = head("POST", "/api/probe/length") + "content-length: 100000\r\n\r\n";
        let answer = Peer::sending(platform.address(), request).await.drip().await;
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        assert!(answer.contains(r#"timeout""#), "{answer}");
    });
    join_all(slow).await;
    has_its_turns_back(&hostile).await;
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_is_not_written_to_for_ever() {
    let platform = TestPlatform::configured(
        "[http]\nwrite_timeout_ms = 500\n[limits]\ntenant_calls_max = 2\nqueue_timeout_ms = 20000",
    )
    .await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let hostile = platform.tenant("hostile").await;
    let address = platform.address();
    let mut peers = join_all((0..3).map(async |_| {
        let mut peer = Peer::with_a_small_buffer(address).await;
        // The second request waits until the first is answered: nothing reads it.
        let request = head("GET", "/api/hostile/huge?mib=4") + "\r\n";
        peer.send(request.repeat(2)).await;
        peer
    }))
    .await;
    // They hold nothing of the tenant's, although none of them has its answer.
    has_its_turns_back(&hostile).await;
    for peer in &mut peers {
        eventually("it is closed", async || peer.is_closed().await.then_some(())).await;
    }
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_gets_its_answer() {
    let platform = TestPlatform::configured("[http]\nwrite_timeout_ms = 2000").await;
    platform.tenant("hostile").await;
    let mut peer = Peer::with_a_small_buffer(platform.address()).await;
    peer.send(head("GET", "/api/hostile/huge?mib=1") + "connection: close\r\n\r\n").await;
    let mut read = 0;
    // As slowly as it may: the scheduler has its turn after each piece.
    while let Ok(piece) = peer.try_read(1024).await {
        read += piece.len();
        tokio::task::yield_now().await;
    }
    assert!(read >= 1024 * 1024, "{read} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_in_the_middle_leave_nothing_behind() {
    let platform = TestPlatform::configured(
        "[http]\nbody_inline_max_bytes = 0
         [limits]\ntenant_calls_max = 2\nqueue_timeout_ms = 1000\ncpu_ms = 60000\ncall_timeout_ms = 60000",
    )
    .await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let hostile = platform.tenant("hostile").await;
    let address = platform.address();
    let spin = head("GET", "/api/hostile/spin") + "\r\n";
    let leave: [fn(Peer); 2] = [Peer::reset, drop];
    for leave in leave {
        // One that had to wait for its turn too long was refused: another takes its place.
        let mut running = Vec::new();
        eventually("all turns are taken", async || {
            running.push(Peer::sending(address, &spin).await);
            (hostile.get("/api/probe/counter").await.status() == 429).then_some(())
        })
        .await;
        running.into_iter().for_each(leave);
        has_its_turns_back(&hostile).await;
    }
    // In the middle of a head, and of a body that a guest reads.
    for begun in [
        "POST /api/probe/length HTT",
        &(head("POST", "/api/probe/length") + "content-length: 9\r\n\r\nx"),
    ] {
        for _ in 0..20 {
            Peer::sending(address, begun).await.reset();
        }
        has_its_turns_back(&hostile).await;
    }
    println!("friendly: {} requests", friendly.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_its_side_has_left() {
    let platform = TestPlatform::configured(
        "[http]\nbody_inline_max_bytes = 0
         [limits]\ntenant_calls_max = 1\nqueue_timeout_ms = 50\ncpu_ms = 60000\ncall_timeout_ms = 60000",
    )
    .await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    let hostile = platform.tenant("hostile").await;
    // The same segment says that it wants an answer, and that it is gone; no server can tell which.
    let mut spinning =
        Peer::sending(platform.address(), head("GET", "/api/hostile/spin") + "\r\n").await;
    spinning.close_own_side().await;
    assert_eq!(spinning.until_closed().await, "");
    has_its_turns_back(&hostile).await;
    let mut waiting = HalfSent::to(platform.address(), "/api/probe/length", "hostile").await;
    assert!(waiting.finish().await.starts_with("HTTP/1.1 200"));
    println!("friendly: {} requests", friendly.finish().await);
}
