//! A module's tables: made once, never changed behind a tenant's back, whole or not at all.

use futures_util::future::join_all;
use hostel_tests::{
    Answer, Client, TestPlatform, eventually, hostile_with_migrations, patched, probe,
};
use insta::assert_snapshot;
use serde_json::json;
use sqlx::{Connection as _, Row as _, SqliteConnection};

async fn unit(platform: &TestPlatform) -> SqliteConnection {
    let path = platform.unit("acme").await;
    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
}

/// The ledger's rows: module, migration, when.
async fn ledger(platform: &TestPlatform) -> Vec<(String, String, i64)> {
    sqlx::query("SELECT module, id, applied_at FROM hostel_migrations ORDER BY module, id")
        .fetch_all(&mut unit(platform).await)
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

async fn tables(platform: &TestPlatform) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .fetch_all(&mut unit(platform).await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_migration_is_applied_once_and_recorded_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    assert!(!platform.unit("acme").await.exists(), "nothing is made before it is needed");
    let first = join_all((0..10).map(|_| acme.query("SELECT name FROM things", json!([]))));
    for answer in first.await {
        assert_eq!(answer.ok(), json!([]));
    }
    let once = ledger(&platform).await;
    let names: Vec<_> = once.iter().map(|(module, id, _)| (module.as_str(), id.as_str())).collect();
    assert_eq!(names, [("probe", "0001_things")], "notes has not been called");
    acme.get("/api/notes").await.ok();
    assert_eq!(tables(&platform).await, ["hostel_migrations", "notes", "things"]);

    let platform = platform.stop().await.start().await;
    let acme = platform.client("acme");
    acme.query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(ledger(&platform).await.len(), 2);
    assert!(ledger(&platform).await.contains(&once[0]), "not applied again");
}

#[tokio::test]
async fn a_migration_that_changed_after_it_was_applied_is_refused() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let add = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), 'kept', 1)";
    acme.execute(add, json!([])).await.ok();

    let changed = patched(probe(), "CHECK (amount >= 0)", "CHECK (amount >= 7)");
    let platform = platform.stop().await.probe_is(&changed).start().await;
    let acme = platform.client("acme");
    let refused = acme.query("SELECT name FROM things", json!([])).await;
    assert_snapshot!("changed", refused.problem());
    assert!(!refused.text().contains("0001_things"), "which one is for the log");
    assert_eq!(acme.get("/api/notes").await.status(), 200, "other modules are served");
    let fresh = platform.tenant("fresh").await;
    fresh.query("SELECT name FROM things", json!([])).await.ok();

    let platform = platform.stop().await.probe_is(&std::fs::read(probe()).unwrap()).start().await;
    let rows = platform.client("acme").query("SELECT name FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "kept" }]), "restored, it goes on");
}

#[tokio::test]
async fn a_ledger_that_disagrees_is_refused_on_sqlite() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.query("SELECT name FROM things", json!([])).await.ok();
    sqlx::query("UPDATE hostel_migrations SET checksum = x'00'")
        .execute(&mut unit(&platform).await)
        .await
        .unwrap();
    let platform = platform.stop().await.start().await;
    let answer = platform.client("acme").get("/api/probe/counter").await;
    assert_eq!(answer.code(), "503 migration-changed");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_is_tried_again_on_sqlite() {
    let broken = patched(
        probe(),
        "    data    json,\n    made_at timestamptz,\n    price   decimal(30, 4)\n);",
        "    data    json\n);CREATE TABEL x(y);",
    );
    let platform = TestPlatform::setup().probe_is(&broken).start().await;
    let acme = platform.tenant("acme").await;
    for _ in 0..2 {
        let answer = acme.query("SELECT name FROM things", json!([])).await;
        assert_eq!(answer.code(), "503 migration-failed");
    }
    assert_eq!(tables(&platform).await, ["hostel_migrations"]);
    assert_eq!(ledger(&platform).await, []);
    assert_eq!(acme.get("/api/notes").await.status(), 200, "other modules are served");

    let platform = platform.stop().await.probe_is(&std::fs::read(probe()).unwrap()).start().await;
    platform.client("acme").query("SELECT name, made_at FROM things", json!([])).await.ok();
}

#[tokio::test]
async fn a_migration_reaches_no_further_than_its_unit_on_sqlite() {
    let original = "    done    boolean,\n    data    json,\n    made_at timestamptz,\n    price   decimal(30, 4)\n);";
    for script in [
        ");ATTACH 'a.db' AS a;",
        ");PRAGMA user_version=1;",
        ");COMMIT;BEGIN;",
        ");DELETE FROM hostel_migrations;",
        ");VACUUM;",
    ] {
        let hostile = patched(probe(), original, &format!("    done boolean{script}"));
        let platform = TestPlatform::setup().probe_is(&hostile).start().await;
        let acme = platform.tenant("acme").await;
        let answer = acme.query("SELECT name FROM things", json!([])).await;
        assert_eq!(answer.code(), "503 migration-failed", "{script}");
        assert_eq!(tables(&platform).await, ["hostel_migrations"], "{script}");
    }
}

const POTS: &str = "CREATE TABLE pots (id integer PRIMARY KEY, name text, CHECK (length(name) > 0));
     CREATE TABLE lids (id integer PRIMARY KEY, pot integer REFERENCES pots (id) ON DELETE CASCADE);
     INSERT INTO pots VALUES (1, 'blue'), (2, 'red'); INSERT INTO lids VALUES (1, 1), (2, 2), (3, 2)";

/// A tenant whose hostile module has these migrations, which were tried.
async fn with_pots(step: &str) -> (TestPlatform, Client, Answer) {
    let platform = TestPlatform::setup().hostile_is(&hostile_with_migrations([POTS])).start().await;
    let acme = platform.tenant("acme").await;
    acme.get("/api/hostile/counter").await.ok();
    let wasm = hostile_with_migrations([POTS, step]);
    let platform = platform.stop().await.hostile_is(&wasm).start().await;
    let acme = platform.client("acme");
    let answer = acme.get("/api/hostile/counter").await;
    (platform, acme, answer)
}

#[tokio::test]
async fn a_table_that_is_made_anew_keeps_what_refers_to_it_on_sqlite() {
    let anew = |which: &str| {
        format!(
            "CREATE TABLE pots_new (id integer PRIMARY KEY, name text NOT NULL);
             INSERT INTO pots_new SELECT id, name FROM pots {which};
             DROP TABLE pots; ALTER TABLE pots_new RENAME TO pots"
        )
    };
    let (_platform, acme, answer) = with_pots(&anew("")).await;
    answer.ok();
    let count = "SELECT (SELECT count(*) FROM pots) AS pots, (SELECT count(*) FROM lids) AS lids";
    assert_eq!(acme.query(count, json!([])).await.ok(), json!([{ "pots": 2, "lids": 3 }]));
    acme.execute("DELETE FROM pots WHERE id = 2", json!([])).await.ok();
    assert_eq!(acme.query(count, json!([])).await.ok(), json!([{ "pots": 1, "lids": 1 }]));
    let orphan = acme.execute("INSERT INTO lids VALUES (9, 9)", json!([])).await;
    assert!(orphan.status() >= 400, "keys hold again: {}", orphan.text());

    let (_platform, acme, answer) = with_pots(&anew("WHERE id = 1")).await;
    assert_eq!(answer.code(), "503 migration-failed");
    assert_eq!(acme.query(count, json!([])).await.ok(), json!([{ "pots": 2, "lids": 3 }]));
}

#[tokio::test]
async fn a_column_is_added_to_a_table_with_checks() {
    let add = "ALTER TABLE pots ADD COLUMN size integer DEFAULT 3 CHECK (size > 2)";
    let (_platform, acme, answer) = with_pots(add).await;
    answer.ok();
    let rows = acme.query("SELECT size FROM pots WHERE id = 1", json!([])).await.ok();
    assert_eq!(rows, json!([{ "size": 3 }]));
    let (_platform, _, answer) = with_pots(&add.replace("> 2", "> 3")).await;
    assert_eq!(answer.code(), "503 migration-failed", "rows must fit");
}

/// Takes seconds, on both databases.
const SLOW: &str = "CREATE TABLE slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000000) SELECT count(*) AS c FROM n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_goes_on_without_the_calls_that_wait_for_it() {
    let wasm = hostile_with_migrations([SLOW]);
    let config = "[limits]\ncall_timeout_ms = 300";
    let platform = TestPlatform::setup().config(config).hostile_is(&wasm).start().await;
    let acme = platform.tenant("acme").await;
    for answer in join_all((0..5).map(|_| acme.get("/api/hostile/counter"))).await {
        assert_eq!(answer.code(), "503 migrating");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    eventually("its tables are there", async || {
        let answer = acme.get("/api/hostile/counter").await;
        (answer.status() == 200).then_some(())
    })
    .await;
    let told = platform.nobody().get("/metrics").await;
    let calls = told.figure("hostel_limit_hits_total", &["\"acme\"", "\"migrating\""]);
    assert!(calls >= 5.0, "{calls} calls were told to come again");
}

/// Whoever waits for a migration keeps nobody else from being served, and may leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_migration_holds_up_nobody() {
    let wasm = hostile_with_migrations([SLOW]);
    let config = "[runtime]\ncalls_max = 1\n[limits]\ntenant_calls_max = 1";
    let platform = TestPlatform::setup().config(config).hostile_is(&wasm).start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    other.get("/api/probe/counter").await.ok();
    let served = async {
        for _ in 0..3 {
            other.get("/api/probe/counter").await.ok();
        }
    };
    tokio::select! {
        answer = acme.get("/api/hostile/counter") => panic!("it did not wait: {}", answer.text()),
        () = served => {}
    }
    acme.get("/api/hostile/counter").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_uses_its_tenants_cpu_time_on_sqlite() {
    let wasm = hostile_with_migrations([SLOW]);
    let config = "[limits]\ntenant_minute_cpu_ms = 200";
    let platform = TestPlatform::setup().config(config).hostile_is(&wasm).start().await;
    let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
    other.get("/api/probe/counter").await.ok();
    let refused = acme.get("/api/hostile/counter").await;
    assert_eq!(refused.code(), "429 tenant-cpu-limit");
    let told = platform.nobody().get("/metrics").await;
    let spent = told.figure("hostel_cpu_seconds_total", &["\"acme\"", "\"hostile\""]);
    assert!(spent > 0.2, "a migration of seconds is accounted {spent} s");
    other.get("/api/probe/counter").await.ok();
}
