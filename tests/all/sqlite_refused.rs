//! The wall around a tenant's database: statements that modules may not run.

use hostel_tests::{Client, TestPlatform};
use serde_json::json;

/// Refused whoever reads them: each reaches beyond the rows of the module's own tables.
pub(crate) const REFUSED: &[&str] = &[
    "PRAGMA journal_mode = DELETE",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA writable_schema = 1",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA table_info(things)",
    "ATTACH DATABASE 'other.db' AS other",
    "ATTACH DATABASE ':memory:' AS other",
    "DETACH DATABASE main",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT a",
    "RELEASE a",
    "ROLLBACK TO a",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "ANALYZE",
    "REINDEX",
    "CREATE TABLE more (a)",
    "CREATE TABLE more AS SELECT * FROM things",
    "CREATE TEMP TABLE more (a)",
    "CREATE TEMPORARY VIEW more AS SELECT 1",
    "CREATE TEMP TRIGGER t AFTER INSERT ON things BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE more USING fts5(a)",
    "CREATE VIRTUAL TABLE more USING dbstat",
    "CREATE INDEX more ON things (amount)",
    "CREATE VIEW more AS SELECT 1",
    "CREATE TRIGGER t AFTER INSERT ON things BEGIN SELECT 1; END",
    "DROP TABLE things",
    "ALTER TABLE things ADD COLUMN more",
    "ALTER TABLE things RENAME TO more",
    "ALTER TABLE things RENAME COLUMN name TO more",
    "ALTER TABLE things DROP COLUMN data",
    "SELECT sqlite_rename_table('main', 'table', 'a', 'CREATE TABLE a (b)', 'a', 'c', 0)",
    "SELECT sqlite_rename_column('CREATE TABLE a (b)', 'table', 'a', 'main', 'a', 0, 'c', 0, 0)",
    "SELECT sqlite_rename_quotefix('main', 'CREATE TABLE a (b)')",
    "SELECT sqlite_rename_test('main', 'CREATE TABLE a (b)', 'table', 'a', 0, '', 0)",
    "SELECT sqlite_drop_column(0, 'CREATE TABLE a (b, c)', 1)",
    "SELECT * FROM hostel_migrations",
    "SELECT * FROM HOSTEL_MIGRATIONS",
    "SELECT * FROM \"hostel_migrations\"",
    "SELECT * FROM main.hostel_migrations",
    "INSERT INTO hostel_migrations (module, id, checksum) VALUES ('a', 'b', x'00')",
    "UPDATE hostel_migrations SET checksum = x'00'",
    "DELETE FROM hostel_migrations",
    "WITH m AS (SELECT * FROM hostel_migrations) SELECT * FROM m",
    "DELETE FROM things WHERE name IN (SELECT id FROM hostel_migrations)",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "UPDATE sqlite_master SET sql = ''",
    "SELECT * FROM pragma_table_info('things')",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_compile_options()",
    "SELECT * FROM dbstat",
    "SELECT load_extension('x')",
    "SELECT sqlite_version()",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT readfile('/etc/passwd')",
    "SELECT fts3_tokenizer('simple')",
    // Published: tokenizers by their address (CVE-2015-7036), shadow tables of full-text search
    // ("Magellan", CVE-2018-20346), nodes of an R-tree (CVE-2019-8457), pages as they lie in the file,
    // and functions of the shell that schemas have called.
    "SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "CREATE VIRTUAL TABLE more USING fts3(a)",
    "INSERT INTO things_segdir (level) VALUES (1)",
    "CREATE VIRTUAL TABLE more USING rtree(a, b, c)",
    "SELECT rtreenode(2, x'00')",
    "SELECT rtreecheck('things')",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM bytecode('SELECT 1')",
    "SELECT writefile('/tmp/a', 'a')",
    "SELECT edit('a', 'id')",
    "SELECT last_insert_rowid()",
    "SELECT total_changes()",
    "EXPLAIN SELECT * FROM hostel_migrations",
    "SELECT \"a string\" FROM things",
    "/* a comment */ PRAGMA user_version = 1",
    "  \n-- a comment\nBEGIN",
    "SELECT 1; PRAGMA user_version = 1",
    "SELECT 1; COMMIT",
];

async fn assert_all_refused(client: &Client, in_transaction: bool) {
    let mut wrong = Vec::new();
    for statement in REFUSED {
        let answers = if in_transaction {
            vec![client.transaction(&[statement], "commit").await]
        } else {
            vec![
                client.query(statement, json!([])).await,
                client.execute(statement, json!([])).await,
            ]
        };
        for answer in answers {
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            if !["denied", "invalid"].contains(&code.as_str()) {
                wrong.push(format!("{statement}: {} {}", answer.status(), answer.text()));
            }
            if answer.text().contains("/tenants/") || answer.text().contains("tenant.db") {
                wrong.push(format!("{statement}: tells of the host: {}", answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
}

/// The tenant's tables are as they were.
async fn assert_intact(client: &Client) {
    let rows = client.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "kept" }]));
    let added = client.execute(
        "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'other', 1)",
        json!([]),
    );
    assert_eq!(added.await.ok()["changed"], 1);
    client.execute("DELETE FROM things WHERE name = 'other'", json!([])).await.ok();
}

async fn with_one_row(platform: &TestPlatform) -> Client {
    let acme = platform.tenant("acme").await;
    let kept = acme.execute(
        "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'kept', 1)",
        json!([]),
    );
    kept.await.ok();
    acme
}

#[tokio::test]
async fn what_reaches_beyond_the_modules_rows_is_refused() {
    let platform = TestPlatform::start().await;
    let acme = with_one_row(&platform).await;
    assert_all_refused(&acme, false).await;
    assert_intact(&acme).await;
}

#[tokio::test]
async fn it_is_refused_inside_a_transaction_too() {
    let platform = TestPlatform::start().await;
    let acme = with_one_row(&platform).await;
    assert_all_refused(&acme, true).await;
    assert_intact(&acme).await;
}

#[tokio::test]
async fn a_guest_cannot_find_the_hosts_statements_in_the_cache() {
    // One connection, on which the host has just spoken these very words.
    let platform = TestPlatform::configured("[sql]\nconnections_per_unit_max = 1").await;
    let acme = with_one_row(&platform).await;
    acme.transaction(&["UPDATE things SET amount = 2"], "commit").await.ok();
    for statement in [
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "SELECT id, checksum FROM hostel_migrations WHERE module = $1 ORDER BY id",
    ] {
        let parameters = if statement.contains("$1") { json!(["probe"]) } else { json!([]) };
        let answer = acme.query(statement, parameters).await;
        assert_eq!(answer.json()["code"], "denied", "{statement}: {}", answer.text());
    }
    assert_intact(&acme).await;
}

#[tokio::test]
async fn what_reads_like_an_ordinary_program_is_allowed() {
    let platform = TestPlatform::start().await;
    let acme = with_one_row(&platform).await;
    for statement in [
        "SELECT json_extract(value, '$.a') AS a FROM json_each('[{\"a\":1}]')",
        "SELECT name, rank() OVER (ORDER BY amount) AS place FROM things",
        "SELECT strftime('%Y', 'now') AS year, lower(name) AS l FROM things WHERE name LIKE 'k%'",
        "SELECT a.name AS n FROM things a LEFT JOIN things b ON a.id = b.id GROUP BY a.name",
        "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'kept', 9)
         ON CONFLICT (name) DO UPDATE SET amount = excluded.amount RETURNING amount",
        "WITH t AS (SELECT 1 AS a) SELECT a FROM t UNION SELECT 2",
        "VALUES (1), (2)",
        "EXPLAIN QUERY PLAN SELECT name FROM things",
    ] {
        let answer = acme.query(statement, json!([])).await;
        assert_eq!(answer.status(), 200, "{statement}: {}", answer.text());
    }
}
