//! The contract of `hostel:sql`: types, errors, transactions, limits, tenants.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hostel_tests::{Client, Folder, TestPlatform, eventually, probe};
use insta::assert_snapshot;
use serde_json::json;

const ID: &str = "0192f0c1-2345-7890-abcd-ef0123456789";

async fn insert(client: &Client, name: &str) -> hostel_tests::Answer {
    client
        .execute(
            "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, 1)",
            json!([name]),
        )
        .await
}

async fn names(client: &Client) -> Vec<String> {
    let rows = client.query("SELECT name FROM things ORDER BY name", json!([])).await.ok();
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_value_comes_back_as_the_type_that_its_column_declares() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let row = json!([
        { "uuid": ID }, "näme", 7, true, { "json": { "a": [1, null] } }, { "timestamp": -1 }
    ]);
    let inserted = acme
        .execute(
            "INSERT INTO things (id, name, amount, done, data, made_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            row.clone(),
        )
        .await;
    assert_eq!(inserted.ok()["changed"], 1);
    let read = acme.query("SELECT * FROM things WHERE id = $1", json!([{ "uuid": ID }])).await.ok();
    let expected = json!([{
        "id": { "uuid": ID }, "name": "näme", "amount": 7, "done": true,
        "data": { "json": { "a": [1, null] } }, "made_at": { "timestamp": -1 }, "price": null
    }]);
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_document_is_any_json_and_null_is_null() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for document in [json!(7), json!(1.5), json!("text"), json!(true), json!([]), json!("7")] {
        acme.execute("DELETE FROM things", json!([])).await.ok();
        acme.execute(
            "INSERT INTO things (id, name, amount, data) VALUES ($1, 'a', 0, $2)",
            json!([{ "uuid": ID }, { "json": document }]),
        )
        .await
        .ok();
        let rows = acme.query("SELECT done, data, made_at FROM things", json!([])).await.ok();
        let expected = json!([{ "done": null, "data": { "json": document }, "made_at": null }]);
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn an_expression_has_the_type_of_its_value_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let rows = acme
        .query(
            "SELECT $1 AS i, $2 AS r, $3 AS t, $4 AS b, $5 AS n, 1 = 1 AS yes, count(*) AS c FROM things",
            json!([i64::MIN, 0.5, "", { "bytes": [0, 255] }, null]),
        )
        .await
        .ok();
    let expected = json!([{
        "i": i64::MIN, "r": 0.5, "t": "", "b": { "bytes": [0, 255] }, "n": null, "yes": 1, "c": 0
    }]);
    assert_eq!(rows, expected);
    let nothing = acme.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(nothing, json!([]));
}

/// SQLite keeps whatever it is given, and columns only say what they would like. What does not fit is
/// told as what it is; texts in columns of documents alone are told as such, and read by nobody before
/// the module does.
#[tokio::test]
async fn a_value_that_does_not_fit_its_column_is_told_as_what_it_is_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.execute(
        "INSERT INTO things (id, name, amount) VALUES ($1, 'a', 0)",
        json!([{ "uuid": ID }]),
    )
    .await
    .ok();
    let mut told = String::new();
    for column in ["done", "data", "made_at", "price"] {
        for value in ["7", "-9e999", "0.5", "'7'", "'text'", "''", "'{\"a\":'", "x'00ff'", "x''"] {
            let update = format!("UPDATE things SET {column} = {value}");
            acme.execute(&update, json!([])).await.ok();
            let answer = acme.query(&format!("SELECT {column} AS a FROM things"), json!([])).await;
            writeln!(told, "{column} = {value}: {}", answer.text()).unwrap();
        }
    }
    for value in ["7", "0.5", "'text'", "x'00'", "zeroblob(17)"] {
        acme.execute(&format!("UPDATE things SET id = {value}"), json!([])).await.ok();
        let answer = acme.query("SELECT id AS a FROM things", json!([])).await;
        writeln!(told, "id = {value}: {}", answer.text()).unwrap();
    }
    assert_snapshot!(told);
}

#[tokio::test]
async fn errors_have_a_kind_and_name_the_constraint_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    insert(&acme, "one").await.ok();
    let unique = insert(&acme, "one").await;
    assert_snapshot!("unique", unique.problem());
    let check = acme.execute(
        "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'two', -1)",
        json!([]),
    );
    assert_snapshot!("check", check.await.problem());
    let not_null = acme.execute("INSERT INTO things (id, name) VALUES ('x', 'two')", json!([]));
    assert_snapshot!("not_null", not_null.await.problem());
    let syntax = acme.query("SELEKT 1", json!([])).await;
    assert_snapshot!("syntax", syntax.problem());
    let unknown = acme.query("SELECT * FROM absent", json!([])).await;
    assert_snapshot!("unknown_table", unknown.problem());
    let quoted = acme.query("SELECT name FROM things WHERE name = \"one\"", json!([])).await;
    assert_snapshot!("double_quotes", quoted.problem());
    assert_eq!(names(&acme).await, ["one"]);
}

#[tokio::test]
async fn a_parameter_that_is_missing_is_no_null() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let missing = acme.query("SELECT $1 AS a, $2 AS b", json!([1])).await;
    assert_eq!(missing.json()["code"], "invalid", "{}", missing.text());
}

#[tokio::test]
async fn a_parameter_that_the_statement_does_not_have_is_refused() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let surplus = acme.query("SELECT $1 AS a", json!([1, 2])).await;
    assert_eq!(surplus.json()["code"], "invalid", "{}", surplus.text());
}

#[tokio::test]
async fn parameters_are_numbered_from_one_without_gaps() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for (statement, values) in [
        ("SELECT $0 AS a", json!([1])),
        ("SELECT $2 AS a", json!([1])),
        ("SELECT $1 AS a, $3 AS b", json!([1, 2])),
        ("SELECT $a$ || $0 || $a$ AS a", json!([1, 2, 3])),
        ("SELECT :name AS a", json!([1])),
    ] {
        let refused = acme.query(statement, values).await;
        assert_eq!(refused.json()["code"], "invalid", "{statement}: {}", refused.text());
    }
}

#[tokio::test]
async fn a_statement_has_thousands_of_parameters_and_no_more() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let ask = async |count: usize| {
        let names: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
        let values: Vec<usize> = (1..=count).collect();
        let text = format!("SELECT '$0' AS text WHERE {count} IN ({})", names.join(", "));
        acme.query(&text, json!(values)).await
    };
    assert_eq!(ask(4_096).await.ok(), json!([{ "text": "$0" }]));
    let refused = ask(4_097).await;
    assert_eq!(refused.code(), "422 invalid", "{}", refused.text());
    assert!(refused.text().contains("at most 4096 parameters"), "{}", refused.text());
}

#[tokio::test]
async fn a_transaction_is_whole_or_not_at_all() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let add = |name: &str| {
        format!("INSERT INTO things (id, name, amount) VALUES (randomblob(16), '{name}', 1)")
    };
    for end in ["rollback", "drop", "panic"] {
        let answer = acme.transaction(&[&add("lost"), &add("lost too")], end).await;
        assert_eq!(answer.status(), if end == "panic" { 500 } else { 200 }, "{end}");
        assert_eq!(names(&acme).await, [""; 0], "{end}");
    }
    let failed = acme.transaction(&[&add("lost"), &add("lost")], "commit").await;
    assert_eq!(failed.code(), "409 conflict");
    assert_eq!(names(&acme).await, [""; 0], "the first statement went with the second");
    acme.transaction(&[&add("kept"), "UPDATE things SET amount = 5"], "commit").await.ok();
    assert_eq!(names(&acme).await, ["kept"]);
}

/// Runs until it is interrupted.
const ENDLESS: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
    SELECT count(*) AS n FROM c";

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_transaction_behind() {
    let platform = TestPlatform::configured(
        "[limits]\nsql_statement_timeout_ms = 60000\n[sql]\nwait_timeout_ms = 30000",
    )
    .await;
    let acme = platform.tenant("acme").await;
    assert_eq!(names(&acme).await, [""; 0]);
    let endless = format!(
        "INSERT INTO things (id, name, amount) SELECT randomblob(16), 'y', n FROM ({ENDLESS}) AS e"
    );
    let work =
        ["INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'lost', 1)", &endless];
    let hanging = acme.transaction(&work, "commit");
    let hung = tokio::time::timeout(Duration::from_millis(500), hanging).await;
    assert!(hung.is_err(), "the transaction was still running");
    let started = Instant::now();
    insert(&acme, "next").await.ok();
    assert!(started.elapsed() < Duration::from_secs(10), "the next writer did not have to wait");
    assert_eq!(names(&acme).await, ["next"]);
}

#[tokio::test]
async fn a_statement_without_end_is_interrupted() {
    let platform = TestPlatform::configured("[limits]\nsql_statement_timeout_ms = 200").await;
    let acme = platform.tenant("acme").await;
    assert_snapshot!("endless", acme.query(ENDLESS, json!([])).await.problem());
    insert(&acme, "after").await.ok();
    assert_eq!(names(&acme).await, ["after"]);
}

#[tokio::test]
async fn an_answer_has_a_limit_of_rows_and_of_bytes() {
    let platform =
        TestPlatform::configured("[limits]\nsql_rows_max = 100\nsql_result_max_bytes = 10000")
            .await;
    let acme = platform.tenant("acme").await;
    let rows = |n: u32| {
        format!(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {n})
             SELECT n FROM c"
        )
    };
    let whole = acme.query(&rows(100), json!([])).await.ok();
    assert_eq!(whole.as_array().unwrap().len(), 100);
    assert_snapshot!("rows", acme.query(&rows(101), json!([])).await.problem());
    let bytes = acme.query("SELECT zeroblob(20000) AS b", json!([])).await;
    assert_snapshot!("bytes", bytes.problem());
    insert(&acme, "after").await.ok();
}

#[tokio::test]
async fn bombs_do_not_go_off_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for bomb in [
        "SELECT zeroblob(1000000000) AS b",
        "SELECT length(zeroblob(5000000)) AS b",
        "SELECT randomblob(1000000000) AS b",
        "SELECT length(replace(hex(zeroblob(1900000)), '0', 'xxxxxxxx')) AS b",
        "SELECT group_concat(hex(zeroblob(1000000))) AS b FROM json_each('[1,2,3,4,5,6,7,8]')",
    ] {
        let answer = acme.query(bomb, json!([])).await;
        let code = answer.code();
        assert!(["limit", "invalid"].iter().any(|kind| code.ends_with(kind)), "{bomb}: {code}");
    }
    // SQLite's own answer to this one is that there is no such text.
    let text = acme.query("SELECT printf('%.*c', 100000000, 'x') AS b", json!([])).await;
    assert_eq!(text.ok(), json!([{ "b": null }]));
    let nested = format!("SELECT {}1{} AS b", "1+(".repeat(5_000), ")".repeat(5_000));
    assert!(acme.query(&nested, json!([])).await.code().ends_with("invalid"));
    let long = format!("SELECT '{}' AS b", "x".repeat(200_000));
    assert!(acme.query(&long, json!([])).await.code().ends_with("limit"));
    insert(&acme, "after").await.ok();
}

#[tokio::test]
async fn a_unit_does_not_outgrow_its_quota_on_sqlite() {
    let platform = TestPlatform::configured("[limits]\ndatabase_max_bytes = 1048576").await;
    let acme = platform.tenant("acme").await;
    let fill = async || {
        acme.execute(
            "INSERT INTO things (id, name, amount, data)
             VALUES (randomblob(16), hex(randomblob(8)), 1, zeroblob(200000))",
            json!([]),
        )
        .await
    };
    let mut answer = fill().await;
    for _ in 0..20 {
        if answer.status() != 200 {
            break;
        }
        answer = fill().await;
    }
    assert_snapshot!("quota", answer.problem());
    let deleted = acme.execute("DELETE FROM things", json!([])).await;
    assert!(deleted.ok()["changed"].as_u64().unwrap() > 0, "what is full can be emptied");
}

#[tokio::test]
async fn tenants_do_not_see_each_others_rows_on_sqlite() {
    let platform = TestPlatform::start().await;
    let (acme, beta) = (platform.tenant("acme").await, platform.tenant("beta").await);
    insert(&acme, "of acme").await.ok();
    insert(&beta, "of beta").await.ok();
    insert(&beta, "of acme").await.ok();
    assert_eq!(names(&acme).await, ["of acme"]);
    assert_eq!(names(&beta).await, ["of acme", "of beta"]);
    let (one, other) = (platform.unit("acme").await, platform.unit("beta").await);
    assert_ne!(one, other);
    assert!(one.is_file() && other.is_file());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_come_at_once_all_write() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let add = |n: usize| {
        let acme = acme.clone();
        async move {
            let name = format!("{n:03}");
            if n.is_multiple_of(2) {
                insert(&acme, &name).await.ok()
            } else {
                let statement = format!(
                    "INSERT INTO things (id, name, amount) VALUES (randomblob(16), '{name}', 1)"
                );
                acme.transaction(&[&statement], "commit").await.ok()
            }
        }
    };
    join_all((0..40).map(add)).await;
    let expected: Vec<String> = (0..40).map(|n| format!("{n:03}")).collect();
    assert_eq!(names(&acme).await, expected);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let platform = TestPlatform::start().await;
    insert(&platform.tenant("acme").await, "kept").await.ok();
    let platform = platform.stop().await.start().await;
    assert_eq!(names(&platform.client("acme")).await, ["kept"]);
}

/// The files of units that this process has open.
fn open_units() -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    // Some are closed while they are looked at.
    let files = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    files.filter(|file| file.ends_with("tenant.db")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_were_closed_for_others_are_opened_again_on_sqlite() {
    const OPEN_MAX: usize = 3;

    let platform = TestPlatform::configured(&format!("[sql]\nunits_open_max = {OPEN_MAX}")).await;
    let mut tenants = Vec::new();
    for n in 0..12 {
        tenants.push(platform.tenant(&format!("tenant-{n}")).await);
    }
    let rounds = ["first", "second", "third"];
    for round in rounds {
        for answer in join_all(tenants.iter().map(|tenant| insert(tenant, round))).await {
            answer.ok();
        }
        // Those that are too many are closed while others are asked.
        eventually("no more are open than may be", async || {
            names(&tenants[0]).await;
            (open_units().len() <= OPEN_MAX).then_some(())
        })
        .await;
    }
    for tenant in &tenants {
        assert_eq!(names(tenant).await, rounds);
    }
}

#[tokio::test]
async fn a_decimal_keeps_what_its_column_can() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let insert = "INSERT INTO things (id, name, amount, price) VALUES (randomblob(16), $1, 0, $2)";
    for (name, price) in [("a", "12.50"), ("b", "7"), ("c", "0.1"), ("d", "-3")] {
        acme.execute(insert, json!([name, { "decimal": price }])).await.ok();
    }
    let rows = acme.query("SELECT price FROM things ORDER BY name", json!([])).await.ok();
    let expected = json!([
        { "price": { "decimal": "12.5" } },
        { "price": { "decimal": "7" } },
        { "price": { "decimal": "0.1" } },
        { "price": { "decimal": "-3" } },
    ]);
    assert_eq!(rows, expected);
    let above = "SELECT name FROM things WHERE price > $1 ORDER BY name";
    let rows = acme.query(above, json!([{ "decimal": "0.10" }])).await.ok();
    assert_eq!(rows, json!([{ "name": "a" }, { "name": "b" }]));
    for wrong in ["", "1e5", "1.", ".5", "NaN", "1,5", "+1", "0x1"] {
        let refused = acme.query("SELECT $1 AS n", json!([{ "decimal": wrong }])).await;
        assert_eq!(refused.code(), "422 invalid", "{wrong}");
    }
}

#[tokio::test]
async fn a_decimal_is_read_as_the_number_that_it_is() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let insert = "INSERT INTO things (id, name, amount, price) VALUES (randomblob(16), 'a', 0, $1)";
    for (amount, expected) in [
        ("12.50", json!({ "decimal": "12.5", "whole": null, "real": 12.5 })),
        ("12.00", json!({ "decimal": "12", "whole": 12, "real": 12.0 })),
    ] {
        acme.execute("DELETE FROM things", json!([])).await.ok();
        acme.execute(insert, json!([{ "decimal": amount }])).await.ok();
        let statement = json!({ "statement": "SELECT price AS n FROM things" });
        assert_eq!(acme.post("/api/probe/sql/numbers", statement).await.ok(), expected);
    }
}

#[tokio::test]
async fn a_plan_tells_of_indexes_and_runs_nothing_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    insert(&acme, "kept").await.ok();
    let explain = async |statement: &str, parameters: serde_json::Value| {
        let body = json!({ "statement": statement, "parameters": parameters });
        acme.post("/api/probe/sql/explain", body).await
    };
    let indexed = "SELECT amount FROM things WHERE name = $1
        AND id IN (SELECT id FROM things WHERE amount > $2 ORDER BY made_at)";
    assert_snapshot!("plan", explain(indexed, json!(["a", 1])).await.text());
    assert_eq!(explain("DELETE FROM things", json!([])).await.status(), 200);
    for refused in ["SELECT * FROM hostel_migrations", "SELECT 1; DELETE FROM things", "COMMIT"] {
        let answer = explain(refused, json!([])).await;
        assert!([403, 422].contains(&answer.status()), "{refused}: {}", answer.text());
    }
    assert_eq!(names(&acme).await, ["kept"]);
    insert(&acme, "after").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_is_logged_without_its_values() {
    let folder = Folder::new();
    folder.module("probe.wasm", probe());
    let config = "[sql]\nslow_statement_ms = 1\n[limits]\nsql_statement_timeout_ms = 100";
    folder.write("platform.toml", config);
    let hostel = folder.start(&["serve"]);
    let client = hostel.client("default");
    let slow = format!("SELECT 'secret', 5, $1 FROM ({ENDLESS})");
    let answer = client.query(&slow, json!(["bound"])).await;
    assert_eq!(answer.code(), "504 timeout");
    let parts =
        ["a statement was slow", "SELECT ?, ?, $1 FROM (WITH RECURSIVE", "probe", "default"];
    let line = hostel.line(&parts);
    assert!(line.contains("milliseconds") && line.contains("request_id"), "{line}");
    assert!(!line.contains("secret") && !line.contains("bound"), "{line}");
}
