//! What a hostile or broken guest can do: end its own call, and nothing else.

use futures_util::future::{join, join_all};
use hostel_tests::{Client, Folder, HalfSent, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The tenant is served as if nothing had happened.
async fn assert_unharmed(client: &Client) {
    assert_eq!(client.get("/api/probe/counter").await.ok(), json!({ "count": 1 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_ends_with_its_cpu_time_and_neighbours_are_served_meanwhile() {
    let platform = TestPlatform::configured("[limits]\ncpu_ms = 300").await;
    let (hostile, friendly) = (platform.tenant("hostile").await, platform.tenant("friendly").await);
    assert_unharmed(&friendly).await;
    let attack = join_all((0..6).map(|_| hostile.get("/api/probe/spin")));
    let attacked = std::sync::atomic::AtomicBool::new(false);
    let attack = async {
        let answers = attack.await;
        attacked.store(true, std::sync::atomic::Ordering::Relaxed);
        answers
    };
    let service = async {
        let mut served = 0;
        while !attacked.load(std::sync::atomic::Ordering::Relaxed) {
            assert_unharmed(&friendly).await;
            served += 1;
        }
        served
    };
    let (answers, served) = join(attack, service).await;
    assert!(served >= 10, "only {served} requests were answered during the attack");
    assert_snapshot!("cpu", answers[0].problem());
    assert!(answers.iter().all(|answer| answer.code() == "504 cpu-limit"));
    assert_unharmed(&hostile).await;
}

#[tokio::test]
async fn a_loop_of_host_calls_ends_too() {
    let platform = TestPlatform::configured("[limits]\ncpu_ms = 50").await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/api/probe/sleepless").await.code(), "504 cpu-limit");
    assert_unharmed(&acme).await;
}

#[tokio::test]
async fn a_call_ends_with_its_time() {
    let platform = TestPlatform::configured("[limits]\ncall_timeout_ms = 200").await;
    let acme = platform.tenant("acme").await;
    assert_snapshot!("timeout", acme.get("/api/probe/spin").await.problem());
    assert_unharmed(&acme).await;
}

#[tokio::test]
async fn a_panic_is_told_to_nobody() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let answer = acme.get("/api/probe/panic").await;
    assert_snapshot!("panic", answer.problem());
    assert!(!answer.text().contains("asked to"), "the panic's message stays in the log");
    assert_unharmed(&acme).await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_not_given() {
    let platform = TestPlatform::configured("[limits]\nmemory_max_bytes = 16777216").await;
    let acme = platform.tenant("acme").await;
    let allowed = acme.get("/api/probe/alloc?mib=8").await.ok();
    assert_eq!(allowed["bytes"], 8 * 1024 * 1024);
    assert_snapshot!("memory", acme.get("/api/probe/alloc?mib=20").await.problem());
    assert_eq!(acme.get("/api/probe/alloc?mib=1500").await.code(), "500 memory-limit");
    assert_unharmed(&acme).await;
}

#[tokio::test]
async fn a_stack_that_grows_without_end_is_cut_off() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/api/probe/recurse").await.code(), "500 stack-limit");
    assert_unharmed(&acme).await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_sent() {
    let platform = TestPlatform::configured("[limits]\nanswer_max_bytes = 1048576").await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/api/probe/huge?mib=1").await.bytes().len(), 1024 * 1024);
    assert_snapshot!("answer", acme.get("/api/probe/huge?mib=2").await.problem());
    assert_unharmed(&acme).await;
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_off() {
    let folder = Folder::warm().await;
    folder.write("data/modules/probe.wasm", std::fs::read(hostel_tests::probe()).unwrap());
    folder.write("platform.toml", "[limits]\nlog_lines_max = 7");
    let hostel = folder.start(&["serve"]);
    let nobody = hostel.nobody();
    let flood = nobody.request("GET", "/api/probe/log?lines=500").header("x-request-id", "flood");
    assert_eq!(flood.send().await.status(), 204);
    let lost: Value = serde_json::from_str(&hostel.line(&["flood", "\"lost\""])).unwrap();
    assert_eq!(lost["lost"], 493);
    hostel.line(&["hostel::access", "flood"]);
    let lines = hostel.lines();
    let written: Vec<&String> =
        lines.iter().filter(|line| line.contains("a line of the probe")).collect();
    assert_eq!(written.len(), 7);
    let line: Value = serde_json::from_str(written[0]).unwrap();
    assert_eq!(line["module"], "probe");
    assert_eq!(line["tenant"], "default");
    assert_eq!(line["request_id"], "flood");
}

#[tokio::test]
async fn a_tenant_that_calls_too_much_at_once_is_told_to_wait_and_others_are_not() {
    let config = "
        [http]
        body_inline_max_bytes = 0
        [limits]
        tenant_calls_max = 2
        queue_timeout_ms = 50
    ";
    let platform = TestPlatform::configured(config).await;
    let (greedy, modest) = (platform.tenant("greedy").await, platform.tenant("modest").await);
    let mut running = [
        HalfSent::to(platform.address(), "/api/probe/length", "greedy").await,
        HalfSent::to(platform.address(), "/api/probe/length", "greedy").await,
    ];
    let refused = greedy.get("/api/probe/counter").await;
    assert_snapshot!("tenant_busy", refused.problem());
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_unharmed(&modest).await;
    for request in &mut running {
        let answer = request.finish().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_unharmed(&greedy).await;
}

#[tokio::test]
async fn a_host_that_is_full_says_so() {
    let config = "
        [http]
        body_inline_max_bytes = 0
        [runtime]
        pool_slots = 2
        calls_max = 2
        idle_instances_max = 0
        [limits]
        tenant_calls_max = 2
        queue_timeout_ms = 50
    ";
    let platform = TestPlatform::configured(config).await;
    platform.tenant("greedy").await;
    platform.tenant("busy").await;
    let modest = platform.tenant("modest").await;
    let running = [
        HalfSent::to(platform.address(), "/api/probe/length", "greedy").await,
        HalfSent::to(platform.address(), "/api/probe/length", "busy").await,
    ];
    // Half of the turns are the most that one tenant can hold.
    assert_eq!(platform.client("greedy").get("/api/probe/counter").await.code(), "503 host-busy");
    let refused = modest.get("/api/probe/counter").await;
    assert_eq!(refused.code(), "503 host-busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Clients that hang up give their turns back.
    drop(running);
    eventually("the turns are free again", async || {
        (modest.get("/api/probe/counter").await.status() == 200).then_some(())
    })
    .await;
}
