//! Batches, nested transactions and read-only ones.

use std::time::Duration;

use hostel_tests::{Answer, Attack, Client, TestPlatform, eventually};
use insta::assert_snapshot;
use serde_json::{Value, json};

const ADD: &str = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, $2)";

async fn batch(client: &Client, statements: Value, in_transaction: bool) -> Answer {
    let body = json!({ "statements": statements, "in_transaction": in_transaction });
    client.post("/api/probe/sql/batch", body).await
}

async fn nested(client: &Client, steps: Value) -> Answer {
    client.post("/api/probe/sql/nested", steps).await
}

fn add(name: &str) -> Value {
    let statement =
        format!("INSERT INTO things (id, name, amount) VALUES (randomblob(16), '{name}', 1)");
    json!({ "run": statement })
}

async fn names(client: &Client) -> Vec<String> {
    let rows = client.query("SELECT name FROM things ORDER BY name", json!([])).await.ok();
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_batch_runs_each_statement_with_each_of_its_parameters() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let statements = json!([
        { "statement": ADD, "runs": [["a", 1], ["b", 2], ["c", 3]] },
        { "statement": "UPDATE things SET amount = amount + 1 WHERE amount > 1", "runs": [[]] },
        { "statement": "DELETE FROM things", "runs": [] },
    ]);
    assert_eq!(batch(&acme, statements, false).await.ok(), json!([3, 2, 0]));
    let rows = acme.query("SELECT sum(amount) AS n FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "n": 8 }]));
    assert_eq!(batch(&acme, json!([]), false).await.ok(), json!([]));
}

#[tokio::test]
async fn a_batch_that_fails_changes_nothing_and_says_where_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let statements = json!([
        { "statement": "DELETE FROM things WHERE name = $1", "runs": [["x"]] },
        { "statement": ADD, "runs": [["a", 1], ["b", 2], ["a", 3]] },
    ]);
    for in_transaction in [false, true] {
        let failed = batch(&acme, statements.clone(), in_transaction).await;
        assert_snapshot!("batch_failed", failed.problem());
        assert_eq!(names(&acme).await, [""; 0]);
    }
    let wrong = json!([{ "statement": ADD, "runs": [["a"]] }]);
    assert_snapshot!("batch_parameters", batch(&acme, wrong, false).await.problem());
    let refused = json!([{ "statement": "COMMIT", "runs": [[]] }]);
    assert_eq!(batch(&acme, refused, true).await.code(), "403 denied");
}

/// A server gets hundreds of runs at once, and says of none of them which it is.
#[tokio::test]
async fn a_batch_says_which_of_many_runs_has_failed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for failing in [2, 200, 201, 650] {
        let name = |n: usize| if n == failing { 0 } else { n };
        let runs: Vec<Value> = (0..700).map(|n| json!([format!("row {}", name(n)), n])).collect();
        let delete = json!({ "statement": "DELETE FROM things WHERE name = $1", "runs": [["x"]] });
        let statements = json!([delete, { "statement": ADD, "runs": runs }]);
        let failed = batch(&acme, statements, false).await;
        assert_eq!(failed.code(), "409 conflict");
        let run = format!("statement 2, run {}", failing + 1);
        assert!(failed.text().contains(&run), "{}", failed.text());
        assert_eq!(names(&acme).await, [""; 0]);
    }
}

#[tokio::test]
async fn ten_thousand_rows_are_inserted_at_once() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let changed = acme.post("/api/probe/sql/import?rows=10000", json!({})).await;
    assert_eq!(changed.ok(), json!({ "changed": 10_000 }));
    // More than fits into one call of the host.
    let acme = platform.tenant("other").await;
    let changed = acme.post("/api/probe/sql/import?rows=2000&bytes=10000", json!({})).await;
    assert_eq!(changed.ok(), json!({ "changed": 2_000 }));
}

#[tokio::test]
async fn a_nested_transaction_is_undone_by_itself_or_with_the_outer_one() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let steps = json!([
        "begin",
        add("outer"),
        "begin",
        add("kept"),
        "commit",
        "begin",
        add("lost"),
        "begin",
        add("lost too"),
        "commit",
        "rollback",
        add("last"),
        "commit"
    ]);
    let told = nested(&acme, steps.clone()).await.ok();
    assert_eq!(told, json!(vec!["ok"; steps.as_array().unwrap().len()]));
    assert_eq!(names(&acme).await, ["kept", "last", "outer"]);
    let undone = json!(["begin", "begin", add("inner"), "commit", "rollback"]);
    nested(&acme, undone).await.ok();
    let dropped = json!(["begin", "begin", add("inner")]);
    nested(&acme, dropped).await.ok();
    let panics = json!(["begin", "begin", add("inner"), "commit", "panic"]);
    assert_eq!(nested(&acme, panics).await.status(), 500);
    assert_eq!(names(&acme).await, ["kept", "last", "outer"]);
}

#[tokio::test]
async fn an_outer_transaction_waits_for_the_nested_one() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let outer = json!({ "run-outer": "DELETE FROM things" });
    let steps = json!(["begin", "begin", add("a"), outer, "commit-outer", add("b"), "commit"]);
    assert_snapshot!("outer_used", nested(&acme, steps).await.text());
    let steps = json!(["begin", "begin", "begin", "drop-outer", add("a"), "commit", "commit"]);
    assert_snapshot!("outer_dropped", nested(&acme, steps).await.text());
    assert_eq!(names(&acme).await, [""; 0]);
    acme.execute(ADD, json!(["after", 1])).await.ok();
}

#[tokio::test]
async fn a_nested_transaction_goes_on_after_a_broken_constraint() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let steps = json!(["begin", add("a"), "begin", add("b"), add("a"), "rollback", "commit"]);
    let told = nested(&acme, steps).await.ok();
    let told = told.as_array().unwrap().iter().filter(|it| *it != "ok").count();
    assert_eq!(told, 1, "the second `a`");
    assert_eq!(names(&acme).await, ["a"]);
}

/// SQLite undoes a whole transaction when a statement that writes is interrupted.
#[tokio::test]
async fn nothing_takes_effect_after_the_database_has_undone_a_transaction_on_sqlite() {
    let platform = TestPlatform::configured("[limits]\nsql_statement_timeout_ms = 200").await;
    let acme = platform.tenant("acme").await;
    let endless = json!({ "run": "INSERT INTO things (id, name, amount)
        WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
        SELECT randomblob(16), 'x', count(*) FROM c" });
    let steps = json!(["begin", add("before"), endless, add("after"), "commit"]);
    assert_snapshot!("undone", nested(&acme, steps).await.text());
    assert_eq!(names(&acme).await, [""; 0]);
}

#[tokio::test]
async fn a_read_only_transaction_writes_nothing() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.execute(ADD, json!(["a", 1])).await.ok();
    // Prepared before, for somebody who may write.
    acme.execute("DELETE FROM things", json!([])).await.ok();
    acme.execute(ADD, json!(["b", 1])).await.ok();
    assert_snapshot!("read_only", nested(&acme, json!(["read-only"])).await.text());
    // It takes no turn to write, and the connection writes again afterwards.
    let beside = nested(&acme, json!(["begin", add("c"), "read-only", "commit"])).await.ok();
    assert_eq!(beside[3], "ok");
    for n in 0..8 {
        acme.execute(ADD, json!([format!("later {n}"), 1])).await.ok();
    }
    assert_eq!(names(&acme).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_transactions_end_with_a_client_that_leaves() {
    let attack = Attack::on("[sql]\nwait_timeout_ms = 30000").await;
    let hostile = &attack.hostile;
    let steps = json!(["begin", add("lost"), "begin", add("lost too"), "commit", "begin", "sleep"]);
    let hanging = nested(hostile, steps);
    assert!(tokio::time::timeout(Duration::from_millis(500), hanging).await.is_err());
    eventually("the turn to write", async || {
        (hostile.execute("UPDATE things SET amount = 2", json!([])).await.status() == 200)
            .then_some(())
    })
    .await;
    assert_eq!(names(hostile).await, [""; 0]);
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_transactions_without_end_and_huge_batches_cost_their_call_alone() {
    let attack = Attack::on("").await;
    let hostile = &attack.hostile;
    let deep = hostile.get("/api/hostile/nested?count=10000").await;
    assert_snapshot!("nested_many", deep.problem());
    for (what, query) in [
        ("many runs", "runs=10000000"),
        ("many statements", "statements=100000"),
        ("large values", "runs=1000&bytes=100000"),
    ] {
        let answer = hostile.get(&format!("/api/hostile/batch?{query}")).await;
        assert!(answer.status() >= 400, "{what}: {}", answer.text());
    }
    hostile.execute(ADD, json!(["after", 1])).await.ok();
    attack.end().await;
}
