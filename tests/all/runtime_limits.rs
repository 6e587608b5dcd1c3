//! What a tenant may have at once, and what a call may write to the log.

use hostel_tests::{Client, Folder, HalfSent, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The tenant is served as if nothing had happened.
async fn assert_unharmed(client: &Client) {
    assert_eq!(client.get("/api/probe/counter").await.ok(), json!({ "count": 1 }));
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_off() {
    let folder = Folder::warm().await;
    folder.module("probe", hostel_tests::probe());
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
