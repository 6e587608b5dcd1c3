//! Guests that keep their database busy, ask it for too much, fill it, or hold it.

use std::fmt::Write as _;

use futures_util::future::join_all;
use hostel_tests::{Attack, Client, Friendly, TestPlatform, taken_at_most};
use insta::assert_snapshot;
use serde_json::json;

/// Statements that never end by themselves.
const ENDLESS: &[(&str, &str)] = &[
    (
        "for ever",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    ),
    (
        "sorts for ever",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n ORDER BY random() LIMIT 1",
    ),
    (
        "joins for ever",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT count(*) FROM n a, n b, n c, n d",
    ),
    (
        "large functions without end",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(length(hex(zeroblob(1900000 + i % 2)))) FROM n",
    ),
    (
        "a function for each row of a window",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT count(*) FROM (SELECT group_concat(i) OVER (ORDER BY i ROWS BETWEEN 10000 PRECEDING AND CURRENT ROW) FROM n)",
    ),
];

/// Statements that ask for too much, or that could take minutes in functions which nothing can
/// interrupt.
const GREEDY: &[(&str, &str)] = &[
    (
        "millions of rows",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000000) SELECT i FROM n",
    ),
    (
        "rows of many megabytes",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20) SELECT zeroblob(3000000) FROM n",
    ),
    ("a blob of a gigabyte", "SELECT length(zeroblob(1000000000))"),
    ("random bytes of a gigabyte", "SELECT length(randomblob(1000000000))"),
    (
        "replace bomb",
        "SELECT length(replace(replace(replace(hex(zeroblob(100)), '0', hex(zeroblob(500))), '0', hex(zeroblob(500))), '0', hex(zeroblob(500))))",
    ),
    ("a format of a gigabyte", "SELECT length(format('%1000000000d', 1))"),
    (
        "an aggregate of a gigabyte",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT length(group_concat(hex(zeroblob(500000)))) FROM n",
    ),
    (
        "instr of megabytes in megabytes",
        "SELECT instr(hex(zeroblob(1900000)), hex(zeroblob(900000)) || '1')",
    ),
    (
        "replace of megabytes in megabytes",
        "SELECT length(replace(hex(zeroblob(1900000)), hex(zeroblob(900000)) || '1', ''))",
    ),
    (
        "trim of megabytes by megabytes",
        "SELECT length(trim(hex(zeroblob(1900000)), replace(hex(zeroblob(1900000)), '0', '1') || '0'))",
    ),
    (
        "like with many wildcards",
        "SELECT hex(zeroblob(1900000)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%1'",
    ),
    (
        "glob with many wildcards",
        "SELECT hex(zeroblob(1900000)) GLOB '*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*1'",
    ),
    (
        "glob with many sets",
        "SELECT hex(zeroblob(1900000)) GLOB '*[^1]*[^1]*[^1]*[^1]*[^1]*[^1]*[^1]*[^1]1'",
    ),
    ("a pattern that is too long", "SELECT 'a' LIKE hex(zeroblob(100))"),
    ("deep JSON", "SELECT json_valid(replace(hex(zeroblob(1900000)), '0', '['))"),
];

/// Statements that keep tens of megabytes in temporary files, each for another reason.
const SPILLING: &[(&str, &str)] = &[
    (
        "a sort",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT i FROM n ORDER BY hex(randomblob(50)) LIMIT -1 OFFSET 299999",
    ),
    (
        "groups",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(*) AS c FROM (SELECT count(*) FROM n GROUP BY hex(randomblob(50)))",
    ),
    (
        "distinct values",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(DISTINCT hex(randomblob(50))) AS c FROM n",
    ),
    (
        "a union",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(*) AS c FROM (SELECT hex(randomblob(50)) FROM n UNION SELECT 'a')",
    ),
    (
        "a window",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT max(p) AS p FROM (SELECT rank() OVER (ORDER BY hex(randomblob(50))) AS p FROM n)",
    ),
    (
        "a table that is kept",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000), m AS MATERIALIZED (SELECT hex(randomblob(50)) AS r FROM n) SELECT count(*) AS c FROM m a, m b WHERE a.r = b.r",
    ),
    (
        "a recursion's queue",
        "WITH RECURSIVE n(i, r) AS (SELECT 1, '' UNION SELECT i + 1, hex(randomblob(50)) FROM n LIMIT 300000) SELECT count(*) AS c FROM n",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_keeps_more_in_temporary_files_than_it_may() {
    let attack = Attack::on(
        "[limits]\nsql_statement_timeout_ms = 600000\ncpu_ms = 600000\n[sql]\ntemp_file_max_bytes = 8388608",
    )
    .await;
    let hostile = &attack.hostile;
    for (what, statement) in SPILLING {
        let answer = hostile.query(statement, json!([])).await;
        assert_eq!(answer.code(), "429 limit", "{what}: {}", answer.text());
        assert!(answer.text().contains("too much space"), "{what}: {}", answer.text());
        let less = statement.replace("300000", "3000").replace("299999", "2999");
        hostile.query(&less, json!([])).await.ok();
    }
    // What it changed before is undone with it.
    let insert = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'a', 1)";
    let (_, sort) = SPILLING[0];
    let undone = hostile.transaction(&[insert, sort], "commit").await;
    assert_eq!(undone.code(), "429 limit");
    assert_eq!(hostile.query("SELECT name FROM things", json!([])).await.ok(), json!([]));
    attack.end().await;
}

/// Statements that ask for gigabytes of memory, each in another way.
fn hungry() -> [(&'static str, String); 4] {
    let values = |value: &str, number| vec![value; number].join(", ");
    let nested = |first: &str, each: &str, depth| {
        let levels = (1..=depth).map(|level| format!("c{level} AS ({each} FROM c{})", level - 1));
        let levels = levels.collect::<Vec<_>>().join(", ");
        format!("WITH c0 AS ({first}), {levels} SELECT count(*) AS n FROM c{depth} WHERE x > 5")
    };
    [
        (
            "a sum of sums of sums",
            nested("SELECT amount AS x FROM things", "SELECT x + x AS x", 22),
        ),
        (
            "the greatest of the greatest",
            nested(
                "SELECT amount AS x FROM things",
                &format!("SELECT max({}) AS x", values("x", 30)),
                5,
            ),
        ),
        (
            "a row of large values",
            format!("SELECT length(concat({}))", values("randomblob(3900000)", 90)),
        ),
        (
            "large aggregates",
            format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) SELECT {} FROM n",
                (0..200)
                    .map(|number| format!(
                        "group_concat(hex(zeroblob(1900)) || {number}) AS c{number}"
                    ))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_takes_more_memory_than_it_may() {
    const MAX: u64 = 64 << 20;

    // Far more time than any of them needs. What was taken stays with the C library's allocator.
    let setup = TestPlatform::setup();
    let platform =
        setup.config("[limits]\nsql_statement_timeout_ms = 600000\ncpu_ms = 600000").start().await;
    let hostile = platform.tenant("hostile").await;
    let friendly = Friendly::beside(&platform, "friendly").await;
    for (what, statement) in hungry() {
        let (answer, taken) = taken_at_most(hostile.query(&statement, json!([]))).await;
        assert_eq!(answer.code(), "429 limit", "{what}: {}", answer.text());
        assert!(answer.text().contains("too much memory"), "{what}: {}", answer.text());
        assert!(taken < 2 * MAX, "{what} took {taken}");
        assert_eq!(hostile.query("SELECT name FROM things", json!([])).await.ok(), json!([]));
    }
    friendly.finish().await;
}

/// What is compiled is kept for the next time: as much as there is room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_are_kept_take_no_more_memory_than_a_connection_may() {
    let platform = TestPlatform::setup().config("[sql]\nmemory_max_bytes = 33554432").start().await;
    let acme = platform.tenant("acme").await;
    let (_, sum) = &hungry()[0];
    let shallow = sum.split_once(", c16").unwrap().0;
    let (refused, taken) = taken_at_most(async {
        let mut refused = 0;
        for number in 0..40 {
            let statement =
                format!("{shallow} SELECT count(*) + {number} AS n FROM c15 WHERE x > 5");
            let answer = acme.query(&statement, json!([])).await;
            assert!([200, 429].contains(&answer.status()), "{}", answer.text());
            refused += u32::from(answer.status() == 429);
        }
        refused
    })
    .await;
    // Who is refused begins anew.
    assert!((1..20).contains(&refused), "{refused}");
    assert!(taken < 128 << 20, "{taken}");
}

/// A hundred rows of so many values.
fn large_rows(values: u32, bytes: u32) -> String {
    let values = (0..values).map(|number| format!("randomblob({bytes} + i % 2) AS c{number}"));
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT {} FROM n",
        values.collect::<Vec<_>>().join(", ")
    )
}

/// What SQLite has made waits until it is taken, and so does SQLite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_nobody_takes_are_not_made() {
    let platform = TestPlatform::setup().config("[limits]\ncall_timeout_ms = 2000").start().await;
    let hostile = platform.tenant("hostile").await;
    // Nine large ones are more than half of what a connection may have.
    for (values, bytes) in [(1, 3_900_000), (9, 3_900_000), (1_900, 4_000), (1_900, 20_000)] {
        let streaming =
            json!({ "statement": large_rows(values, bytes), "rows_max": 1, "sleep": true });
        let (answer, taken) = taken_at_most(hostile.post("/api/probe/sql/stream", streaming)).await;
        assert_eq!(answer.code(), "504 call-timeout", "it sleeps");
        assert!(taken < 256 << 20, "{values} of {bytes}: {taken}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_large_rows_gets_all_of_them() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for (values, bytes) in [(1, 3_900_000), (1_900, 1_000)] {
        let few = large_rows(values, bytes).replace("LIMIT 100", "LIMIT 12");
        let counted = acme.post("/api/probe/sql/stream", json!({ "statement": few })).await;
        assert_eq!(counted.ok()["rows"], 12, "{values} of {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_runs_for_ever() {
    let attack = Attack::on("[limits]\nsql_statement_timeout_ms = 300").await;
    for (what, statement) in ENDLESS {
        let answer = attack.hostile.query(statement, json!([])).await;
        assert_eq!(answer.code(), "504 timeout", "{what}");
    }
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_answers_more_than_it_may_or_hides_in_a_function() {
    // Far more than any of them needs.
    let attack = Attack::on("[limits]\nsql_statement_timeout_ms = 600000\ncpu_ms = 600000").await;
    let mut told = String::new();
    for (what, statement) in GREEDY {
        let answer = attack.hostile.query(statement, json!([])).await;
        let outcome = match answer.status() {
            200 => format!("200 {}", answer.text()),
            _ => format!("{}: {}", answer.code(), answer.json()["detail"].as_str().unwrap()),
        };
        writeln!(told, "{what} → {outcome}").unwrap();
    }
    assert_snapshot!("greedy", told);
    attack.end().await;
}

/// The threads of a tenant's connections give way to requests, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_use_their_tenants_cpu_time() {
    let attack = Attack::on(
        "[limits]\ncpu_ms = 200\nsql_statement_timeout_ms = 600000\ncall_timeout_ms = 600000",
    )
    .await;
    let (_, for_ever) = ENDLESS[0];
    // As many as there are connections.
    let busy = join_all((0..4).map(|_| attack.hostile.query(for_ever, json!([])))).await;
    for answer in busy {
        assert!(["504 timeout", "504 cpu-limit"].contains(&&*answer.code()), "{}", answer.text());
    }
    let told = attack.platform.nobody().get("/metrics").await;
    let spent = told.figure("hostel_cpu_seconds_total", &["\"hostile\""]);
    assert!(spent > 4.0 * 0.2 * 0.9, "four calls that used up their time are accounted {spent} s");
    attack.end().await;
}

async fn fill(client: &Client) -> String {
    let insert = "INSERT INTO things (id, name, amount, data) VALUES (randomblob(16), hex(randomblob(8)), 1, hex(randomblob(100000)))";
    loop {
        let answer = client.execute(insert, json!([])).await;
        if answer.status() != 200 {
            return answer.problem();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_full_can_be_read_and_emptied() {
    let attack = Attack::on("[limits]\ndatabase_max_bytes = 2097152").await;
    let hostile = &attack.hostile;
    assert_snapshot!("full", fill(hostile).await);
    let file = attack.platform.unit("hostile").await;
    assert!(file.metadata().unwrap().len() <= 2_097_152);
    let rows = hostile.query("SELECT count(*) AS n FROM things", json!([])).await.ok();
    assert!(rows[0]["n"].as_u64().unwrap() > 5);
    hostile.execute("DELETE FROM things", json!([])).await.ok();
    assert!(fill(hostile).await.contains("database has reached its size limit"));
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sleeps_in_a_transaction_keeps_it_until_the_call_ends() {
    let attack = Attack::on("[limits]\ncall_timeout_ms = 500").await;
    let holding = join_all((0..4).map(|_| attack.hostile.get("/api/hostile/hold"))).await;
    for answer in holding {
        // The first ones sleep; the others have waited for them.
        assert!([503, 504].contains(&answer.status()), "{}", answer.text());
    }
    let insert = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'a', 1)";
    assert_eq!(attack.hostile.execute(insert, json!([])).await.ok()["changed"], 1);
    attack.end().await;
}
