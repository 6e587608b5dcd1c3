//! Migrations in PostgreSQL's own words: indexes that are built while others write, and units that an
//! earlier version made.

use std::process::Stdio;

use hostel::ModuleSource;
use hostel_tests::{Client, TestPlatform, eventually, hostile_with_migrations, reversible};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

use super::postgres::as_superuser;

fn module(with_index: bool) -> Vec<u8> {
    let pots = reversible("CREATE TABLE pots (id int PRIMARY KEY, name text)", "DROP TABLE pots");
    let by_name = reversible(
        "CREATE UNIQUE INDEX CONCURRENTLY pots_by_name ON pots (name)",
        "DROP INDEX CONCURRENTLY pots_by_name",
    );
    let steps = [pots.as_str(), by_name.as_str()];
    hostile_with_migrations(steps.into_iter().take(if with_index { 2 } else { 1 }))
}

/// A platform with a tenant whose module has no index yet; the next version is in `next.wasm`.
async fn serving() -> (TestPlatform, Client, String) {
    let platform = TestPlatform::setup().hostile_is(&module(false)).start().await;
    let acme = platform.tenant("acme").await;
    acme.get("/api/hostile/counter").await.ok();
    insert(&acme, 1, "first").await;
    std::fs::write(platform.data("next.wasm"), module(true)).unwrap();
    let schema = platform.schema("acme").await;
    (platform, acme, schema)
}

async fn insert(client: &Client, id: i64, name: &str) {
    let statement = "INSERT INTO pots (id, name) VALUES ($1, $2)";
    client.execute(statement, json!([id, name])).await.ok();
}

async fn say(server: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(server).await.unwrap();
}

/// Which index there is, and whether it is whole.
async fn index(server: &mut PgConnection, schema: &str) -> Option<(i64, bool)> {
    sqlx::query_as(
        "SELECT indexrelid::oid::int8, indisvalid FROM pg_index
         WHERE indexrelid = to_regclass($1 || '.pots_by_name')",
    )
    .bind(schema)
    .fetch_optional(server)
    .await
    .unwrap()
}

const WITH: [&str; 6] = ["--module", "hostile", "--tenant", "acme", "--with", "next.wasm"];

async fn migrate(platform: &TestPlatform, arguments: &[&str]) -> Option<i32> {
    let arguments = [&["migrate"], arguments, WITH.as_slice()].concat();
    platform.run(&arguments).await.code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_built_while_others_write() {
    let (platform, acme, schema) = serving().await;
    let mut server = as_superuser(&platform).await;
    // Whoever builds an index waits for those who began to write before.
    say(&mut server, format!("BEGIN; INSERT INTO {schema}.pots VALUES (2, 'second')")).await;
    let mut up = platform.command(&[&["migrate", "up"], WITH.as_slice()].concat());
    let mut up = up.stdout(Stdio::null()).spawn().unwrap();
    let mut other = as_superuser(&platform).await;
    eventually("it is begun", async || {
        index(&mut other, &schema).await.filter(|(_, is_whole)| !is_whole).map(|_| ())
    })
    .await;
    insert(&acme, 3, "third").await;
    assert!(up.try_wait().unwrap().is_none(), "it waits");
    say(&mut server, "COMMIT".to_owned()).await;
    let ended = tokio::task::spawn_blocking(move || up.wait().unwrap()).await.unwrap();
    assert!(ended.success());
    assert!(index(&mut server, &schema).await.unwrap().1);

    assert_eq!(migrate(&platform, &["down", "--yes"]).await, Some(0));
    assert_eq!(index(&mut server, &schema).await, None);
    // A version that is served from now on brings the index along.
    let next = ModuleSource::file(platform.data("next.wasm")).unwrap();
    assert_eq!(migrate(&platform, &["up"]).await, Some(0));
    platform.inner().install(next).await.unwrap();
    acme.warm("/api/hostile/counter").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_with_an_index_of_its_own_is_installed() {
    let (before, ..) = serving().await;
    let platform = before.stop().await.start().await;
    let acme = platform.client("acme");
    acme.get("/api/hostile/counter").await.ok();
    let next = ModuleSource::file(platform.data("next.wasm")).unwrap();
    platform.inner().install(next).await.unwrap();
    let schema = platform.schema("acme").await;
    assert!(index(&mut as_superuser(&platform).await, &schema).await.unwrap().1);
    acme.get("/api/hostile/counter").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_built_leaves_nothing() {
    let (platform, acme, schema) = serving().await;
    insert(&acme, 2, "first").await;
    assert_eq!(migrate(&platform, &["up"]).await, Some(1));
    let mut server = as_superuser(&platform).await;
    assert_eq!(index(&mut server, &schema).await, None);
    insert(&acme, 3, "first").await;
    acme.execute("DELETE FROM pots WHERE id > 1", json!([])).await.ok();
    assert_eq!(migrate(&platform, &["up"]).await, Some(0));
    assert!(index(&mut server, &schema).await.unwrap().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_built_by_half_is_built_anew_and_what_is_whole_is_kept() {
    let (platform, _, schema) = serving().await;
    let mut server = as_superuser(&platform).await;
    let build = format!("CREATE UNIQUE INDEX pots_by_name ON {schema}.pots (name)");
    say(&mut server, build.clone()).await;
    say(
        &mut server,
        format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{schema}.pots_by_name'::regclass"),
    )
    .await;
    let half = index(&mut server, &schema).await.unwrap();
    assert_eq!(migrate(&platform, &["up"]).await, Some(0));
    let whole = index(&mut server, &schema).await.unwrap();
    assert!(whole.1 && whole.0 != half.0, "{half:?} {whole:?}");

    // As if the process had died before it was written down.
    say(&mut server, format!("DELETE FROM {schema}.hostel_migrations WHERE id = '0001'")).await;
    assert_eq!(migrate(&platform, &["up"]).await, Some(0));
    assert_eq!(index(&mut server, &schema).await, Some(whole));
    assert_eq!(migrate(&platform, &["status", "--check"]).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_built_beside_others_stands_alone_in_its_migration() {
    let mixed = "CREATE TABLE pots (id int); CREATE INDEX CONCURRENTLY pots_by_id ON pots (id)";
    let wasm = hostile_with_migrations([mixed]);
    let platform = TestPlatform::setup().hostile_is(&wasm).start().await;
    let acme = platform.tenant("acme").await;
    assert_eq!(acme.get("/api/hostile/counter").await.code(), "503 migration-failed");
    let path = "/platform/v1/quarantine?tenant=acme";
    let request = platform.nobody().request("GET", path).bearer(&platform.operator_token());
    let found = request.send().await.ok();
    let cause = found["items"][0]["cause"].as_str().unwrap();
    assert!(cause.contains("put it into a migration that does nothing else"), "{cause}");
}

/// Its owner could not take anything out of the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_of_an_earlier_version_is_taken_back_too() {
    let (platform, acme, schema) = serving().await;
    assert_eq!(migrate(&platform, &["up"]).await, Some(0));
    let mut server = as_superuser(&platform).await;
    let owner = schema.replacen("t_", "o_", 1);
    say(&mut server, format!("REVOKE DELETE ON {schema}.hostel_migrations FROM {owner}")).await;
    assert_eq!(migrate(&platform, &["down", "--yes"]).await, Some(0));
    assert_eq!(index(&mut server, &schema).await, None);
    acme.get("/api/hostile/counter").await.ok();
}
