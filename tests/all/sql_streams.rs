//! Cursors: answers of any size, taken chunk by chunk.

use std::time::Duration;

use hostel_tests::{Answer, Attack, Client, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};

async fn stream(client: &Client, body: Value) -> Answer {
    client.post("/api/probe/sql/stream", body).await
}

fn numbers(n: u64) -> String {
    format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {n})
         SELECT n, 'a text of some length' AS t FROM c"
    )
}

const ENDLESS: &str =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";

#[tokio::test]
async fn more_rows_than_an_answer_may_have_come_in_chunks() {
    let platform =
        TestPlatform::configured("[limits]\nsql_rows_max = 100\nsql_result_max_bytes = 10000")
            .await;
    let acme = platform.tenant("acme").await;
    for rows in [0, 1, 50_000] {
        let told = stream(&acme, json!({ "statement": numbers(rows.max(1)), "rows_max": rows }));
        let expected = json!({ "rows": rows, "sum": rows * (rows + 1) / 2, "error": null });
        assert_eq!(told.await.ok(), expected);
    }
    let none = stream(&acme, json!({ "statement": "SELECT name FROM things" })).await.ok();
    assert_eq!(none["rows"], 0);
    let large = stream(&acme, json!({ "statement": "SELECT 1, zeroblob(20000)" })).await.ok();
    assert_snapshot!("row_too_large", large["error"].as_str().unwrap());
}

#[tokio::test]
async fn a_stream_is_dropped_before_its_end() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for _ in 0..20 {
        let told = stream(&acme, json!({ "statement": ENDLESS, "rows_max": 3 })).await.ok();
        assert_eq!(told, json!({ "rows": 3, "sum": 6, "error": null }));
    }
}

#[tokio::test]
async fn an_error_ends_a_stream_on_sqlite() {
    let platform = TestPlatform::configured("[limits]\nhostcalls_total_max_bytes = 1000000").await;
    let acme = platform.tenant("acme").await;
    let wrong = stream(&acme, json!({ "statement": "SELECT * FROM absent" })).await.ok();
    assert_snapshot!("absent", wrong.to_string());
    let refused = stream(&acme, json!({ "statement": "PRAGMA user_version = 1" })).await.ok();
    assert!(refused["error"].as_str().unwrap().contains("Denied"), "{refused}");
    let all = stream(&acme, json!({ "statement": ENDLESS })).await.ok();
    assert_snapshot!("out_of_bytes", all["error"].as_str().unwrap());
    let after = stream(&acme, json!({ "statement": numbers(10) })).await.ok();
    assert_eq!(after["sum"], 55);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_a_client_that_leaves() {
    let attack = Attack::on("[sql]\nwait_timeout_ms = 30000").await;
    // Each takes a turn to read; there are two.
    for _ in 0..6 {
        let kept = json!({ "statement": ENDLESS, "rows_max": 3, "sleep": true });
        let keeping = stream(&attack.hostile, kept);
        assert!(tokio::time::timeout(Duration::from_millis(200), keeping).await.is_err());
    }
    eventually("a turn to read", async || {
        let again = stream(&attack.hostile, json!({ "statement": numbers(3) })).await;
        (again.status() == 200).then_some(())
    })
    .await;
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_are_one() {
    let attack = Attack::on("").await;
    let many = attack.hostile.get("/api/hostile/streams?count=10000").await;
    assert_snapshot!("many_streams", many.problem());
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_uses_its_tenants_cpu_time_on_sqlite() {
    let attack = Attack::on("[limits]\ncpu_ms = 200\ncall_timeout_ms = 600000").await;
    let computing = format!("SELECT count(*) FROM ({ENDLESS}) AS e");
    let answer = stream(&attack.hostile, json!({ "statement": computing })).await;
    let told = answer.text();
    assert!(told.contains("Timeout") || answer.code() == "504 cpu-limit", "{told}");
    attack.end().await;
}
