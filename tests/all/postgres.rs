//! The walls around a tenant's schema on PostgreSQL: what a role that guests speak as can reach, and
//! what stops who holds too much.

use futures_util::future::join_all;
use hostel_tests::{
    Attack, Client, Folder, TestPlatform, bookings, eventually, library, superuser, taken_at_most,
};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
};
use tokio::task::JoinSet;

/// Refused whoever reads them, or without anything in them that is not the tenant's own. `OTHER` is
/// another tenant's schema.
pub(crate) const ATTACKS: &[&str] = &[
    // Sessions, roles and settings.
    "SET ROLE postgres",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION postgres",
    "SET search_path = OTHER",
    "SET statement_timeout = 0",
    "RESET ALL",
    "DISCARD ALL",
    "SELECT set_config('search_path', 'OTHER', false)",
    "SELECT pg_catalog.set_config('role', 'postgres', false)",
    "SELECT U&\"\\0073et_config\"('role', 'postgres', false)",
    "UPDATE pg_settings SET setting = '0' WHERE name = 'statement_timeout'",
    "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
    "ALTER USER CURRENT_USER SET search_path = OTHER",
    "CREATE ROLE another LOGIN",
    "GRANT ALL ON things TO PUBLIC",
    // The host's transaction.
    "BEGIN",
    "COMMIT",
    "/* a comment */ COMMIT",
    "-- a comment\nROLLBACK",
    "END",
    "ABORT",
    "SAVEPOINT a",
    "PREPARE TRANSACTION 'a'",
    // In the host's own words, which its connections have prepared.
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "SAVEPOINT nested",
    "ROLLBACK TO SAVEPOINT nested; RELEASE SAVEPOINT nested",
    "SELECT 1; COMMIT",
    "SELECT 1; DROP TABLE things",
    // Another tenant's rows, in whatever spelling.
    "SELECT * FROM OTHER.things",
    "SELECT * FROM \"OTHER\".\"things\"",
    "TABLE OTHER.things",
    "WITH a AS (SELECT * FROM OTHER.things) SELECT * FROM a",
    "INSERT INTO OTHER.things (id, name, amount) VALUES (gen_random_uuid(), 'x', 1)",
    "UPDATE OTHER.things SET name = 'x'",
    "DELETE FROM OTHER.things",
    "WITH a AS (DELETE FROM OTHER.things RETURNING *) SELECT * FROM a",
    "MERGE INTO OTHER.things t USING things s ON t.id = s.id WHEN MATCHED THEN DELETE",
    "SELECT query_to_xml('SELECT * FROM OTHER.things', true, true, '')::text",
    "SELECT table_to_xml('OTHER.things'::regclass, true, true, '')::text",
    "SELECT ts_stat('SELECT to_tsvector(name) FROM OTHER.things')::text",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery FROM OTHER.things')::text",
    "SELECT currval('OTHER.things')",
    "SELECT has_table_privilege('OTHER.things', 'SELECT')",
    "SELECT 'OTHER.things'::regclass::text",
    // The platform's tables and those of the host in the unit.
    "SELECT * FROM hostel.tenants",
    "SELECT * FROM hostel.manifests",
    "SELECT * FROM hostel_migrations",
    "DELETE FROM hostel_migrations",
    "INSERT INTO hostel_migrations (module, id, checksum) VALUES ('a', 'b', '')",
    // Other tables, code and triggers.
    "CREATE TABLE more (a int)",
    "CREATE TEMP TABLE more (a int)",
    "SELECT 1 AS a INTO more",
    "SELECT 1 AS a INTO TEMP more",
    "DROP TABLE things",
    "TRUNCATE things",
    "ALTER TABLE things ADD COLUMN more int",
    "CREATE INDEX more ON things (amount)",
    "CREATE VIEW more AS SELECT 1",
    "CREATE RULE r AS ON SELECT TO things DO INSTEAD SELECT 1",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CREATE SCHEMA more",
    "CREATE EXTENSION dblink",
    "COMMENT ON TABLE things IS 'x'",
    "LOCK TABLE things IN ACCESS EXCLUSIVE MODE",
    "VACUUM things",
    "ANALYZE things",
    "REINDEX TABLE things",
    "CLUSTER",
    "CHECKPOINT",
    // Files, large objects, messages and locks that others see.
    "COPY things TO '/tmp/things'",
    "COPY things TO PROGRAM 'id'",
    "COPY things FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(1)",
    "SELECT lo_from_bytea(0, 'x')",
    "LISTEN changes",
    "NOTIFY changes",
    "SELECT pg_notify('changes', 'x')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_export_snapshot()",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_sleep(1)",
    "SELECT pg_sleep_for('1 second')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    // Others' sessions, and what the cluster keeps secret.
    "SELECT * FROM pg_stat_activity",
    "SELECT pg_stat_get_activity(NULL)::text",
    "SELECT * FROM pg_locks",
    "SELECT * FROM pg_settings",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_roles",
    "SELECT * FROM pg_user",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_stat_statements",
    "SELECT pg_database_size(current_database())",
    // Where the server is, and since when.
    "SELECT inet_server_addr()::text",
    "SELECT inet_client_port()",
    "SELECT pg_postmaster_start_time()",
    "SELECT system_identifier FROM pg_control_system()",
    "SELECT * FROM pg_replication_slots",
    // What versions after 15 brought.
    "SELECT * FROM pg_available_wal_summaries()",
    "SELECT pg_get_wal_summarizer_state()::text",
    "SELECT pg_clear_relation_stats('OTHER', 'things')",
    "SELECT pg_restore_relation_stats('schemaname', 'OTHER', 'relname', 'things', 'relpages', 1)",
    "SELECT pg_sync_replication_slots()",
    "SELECT pg_create_logical_replication_slot('a', 'pgoutput', false, false, true)",
    "MERGE INTO OTHER.things t USING things s ON true WHEN MATCHED THEN DELETE RETURNING t.name",
    // Published: programs (CVE-2019-9193), names in a schema that is everybody's (CVE-2018-1058), samples
    // of others' columns (CVE-2017-7484, CVE-2019-10130, CVE-2024-4317), tables with a schema
    // (CVE-2023-2454), signals to the server's own processes (CVE-2023-5870), scripts of extensions
    // (CVE-2020-14350), an environment (CVE-2024-10979), connections of the server's (CVE-2007-6601).
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    "SELECT stavalues1::text FROM pg_statistic",
    "SELECT stxdmcv::text FROM pg_statistic_ext_data",
    "CREATE SCHEMA AUTHORIZATION CURRENT_USER CREATE TABLE more (a int)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE '%launcher'",
    "ALTER EXTENSION plpgsql UPDATE",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plperl AS '$ENV{PATH} = 1'",
    "SELECT dblink_connect('host=127.0.0.1')",
    // Statements about statements.
    "EXPLAIN ANALYZE DELETE FROM things",
    "PREPARE a AS SELECT 1",
    "EXECUTE a",
    "DEALLOCATE ALL",
    "DECLARE a CURSOR WITH HOLD FOR SELECT 1",
    "FETCH ALL FROM a",
    "CALL a()",
    "SHOW ALL",
    "SECURITY LABEL ON TABLE things IS 'x'",
    "REASSIGN OWNED BY CURRENT_USER TO postgres",
    "DROP OWNED BY CURRENT_USER",
];

const INSERT: &str = "INSERT INTO things (id, name, amount)
    VALUES (gen_random_uuid(), gen_random_uuid()::text, 1)";

async fn count(client: &Client) -> i64 {
    let counted = client.query("SELECT count(*) AS n FROM things", json!([])).await.ok();
    counted[0]["n"].as_i64().unwrap()
}

struct Walls {
    platform: TestPlatform,
    acme: Client,
    other: Client,
    /// The other tenant's schema.
    schema: String,
}

impl Walls {
    async fn new() -> Self {
        let platform = TestPlatform::start().await;
        let (acme, other) = (platform.tenant("acme").await, platform.tenant("other").await);
        for (client, name) in [(&acme, "own"), (&other, "canary")] {
            let insert = "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), $1, 1)";
            client.execute(insert, json!([name])).await.ok();
        }
        let schema = platform.schema("other").await;
        Self { platform, acme, other, schema }
    }

    /// Ends the other tenant's connections, and waits until it is served all the same.
    async fn other_logs_in_again(&self, server: &mut PgConnection) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        sqlx::query(end).bind(&self.schema).execute(server).await.unwrap();
        // The first may meet the connection that was ended.
        eventually("the other tenant is served", async || {
            let answer = self.other.query("SELECT name FROM things", json!([])).await;
            (answer.status() == 200).then_some(())
        })
        .await;
    }

    async fn are_whole(&self, after: &str) {
        for (client, name) in [(&self.acme, "own"), (&self.other, "canary")] {
            let rows = client.query("SELECT name, amount FROM things", json!([])).await.ok();
            assert_eq!(rows, json!([{ "name": name, "amount": 1 }]), "{after}");
        }
    }
}

/// Speaks to the test's database as the server's superuser.
pub(super) async fn as_superuser(platform: &TestPlatform) -> PgConnection {
    let config = platform.inner().config();
    let own: PgConnectOptions = config.database.url.as_ref().unwrap().expose().parse().unwrap();
    let superuser: PgConnectOptions = superuser().unwrap().parse().unwrap();
    superuser.database(own.get_database().unwrap()).connect().await.unwrap()
}

/// How many processes serve roles of tenants, and how many of them are busy.
async fn guests(connection: &mut PgConnection) -> (i64, i64) {
    let row = sqlx::query(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity
         WHERE datname = current_database() AND usename ~ '^[to]_[0-9a-f]{32}(_|$)'",
    )
    .fetch_one(connection)
    .await
    .unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn no_statement_reaches_beyond_the_tenants_own_rows() {
    let walls = Walls::new().await;
    for attack in ATTACKS {
        let attack = attack.replace("OTHER", &walls.schema);
        for answer in [
            walls.acme.query(&attack, json!([])).await,
            walls.acme.execute(&attack, json!([])).await,
        ] {
            assert!([403, 422].contains(&answer.status()), "{attack}: {}", answer.text());
        }
    }
    walls.are_whole("all of them").await;
}

#[tokio::test]
async fn nor_does_one_inside_a_transaction() {
    let walls = Walls::new().await;
    for attack in ATTACKS {
        let attack = attack.replace("OTHER", &walls.schema);
        let work = ["UPDATE things SET amount = 2", &attack, "UPDATE things SET amount = 3"];
        let answer = walls.acme.transaction(&work, "commit").await;
        assert!([403, 422].contains(&answer.status()), "{attack}: {}", answer.text());
    }
    walls.are_whole("all of them").await;
}

/// What a guest may see of the catalogue are names made of ids.
#[tokio::test]
async fn the_catalogue_tells_no_tenants_name() {
    let walls = Walls::new().await;
    for catalogue in ["pg_class", "pg_namespace", "pg_database", "pg_type", "pg_attribute"] {
        let asked = format!("SELECT c::text AS row FROM pg_catalog.{catalogue} c");
        let rows = walls.acme.query(&asked, json!([])).await;
        assert!(!rows.text().contains("canary"), "{catalogue}");
        assert!(!rows.text().contains("acme"), "{catalogue}");
    }
}

/// Whatever the catalogue shows to everybody, it shows no tenant's name, rows, secrets or statements,
/// and not how busy anybody is.
#[tokio::test]
async fn nothing_that_a_guest_can_read_tells_of_others() {
    let walls = Walls::new().await;
    let secrets = walls.platform.inner().secrets();
    let kept = hostel::Secret::new("hunter2".to_owned());
    secrets.set(&"other".parse().unwrap(), "KEY", &kept).await.unwrap();
    let mut server = as_superuser(&walls.platform).await;
    let analyse = format!("ANALYZE {}.things", walls.schema);
    sqlx::raw_sql(AssertSqlSafe(analyse)).execute(&mut server).await.unwrap();
    let relations: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'v')
         AND relnamespace = 'pg_catalog'::regnamespace ORDER BY relname",
    )
    .fetch_all(&mut server)
    .await
    .unwrap();
    assert!(relations.len() > 100);
    for relation in relations {
        let asked = format!(
            "SELECT count(*) AS n FROM pg_catalog.{relation} c
             WHERE c::text ~ '([c]anary|[a]cme|[h]unter2|[S]CRAM|[I]NSERT INTO things)'"
        );
        let answer = walls.acme.query(&asked, json!([])).await;
        let hides = ["pg_stat_", "pg_statio_", "pg_locks", "pg_settings", "pg_roles", "pg_authid"];
        if hides.iter().any(|hidden| relation.starts_with(hidden)) || answer.status() != 200 {
            assert_eq!(answer.code(), "403 denied", "{relation}: {}", answer.text());
        } else {
            assert_eq!(answer.ok(), json!([{ "n": 0 }]), "{relation}");
        }
    }
    for function in [
        "pg_relation_size(oid)",
        "pg_total_relation_size(oid)",
        "pg_stat_get_live_tuples(oid)",
        "pg_stat_get_numscans(oid)",
        "pg_stat_get_db_xact_commit(1)",
        "pg_current_wal_lsn()::text",
        "pg_show_all_settings()::text",
    ] {
        let asked = format!("SELECT {function} AS a FROM pg_class WHERE relname = 'things'");
        let answer = walls.acme.query(&asked, json!([])).await;
        assert_eq!(answer.code(), "403 denied", "{function}: {}", answer.text());
    }
    // What is there and what is not are refused alike.
    let ask = async |table: &str| {
        let asked = format!("SELECT * FROM {}.{table}", walls.schema);
        walls.acme.query(&asked, json!([])).await.json()["detail"].clone()
    };
    assert_eq!(ask("things").await, ask("absent").await);
}

/// The server repeats in an error what it could not read.
#[tokio::test]
async fn an_error_is_told_in_a_few_words() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let answer = acme.query("SELECT repeat('a', 1000000)::integer AS a", json!([])).await;
    assert_eq!(answer.code(), "422 invalid");
    assert!(answer.text().len() < 2_000, "{} bytes", answer.text().len());
}

/// What a statement answers, or is refused with, is not held by the host before it is known to be too
/// large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_be_told_takes_none_of_the_hosts_memory() {
    const TAKEN_MAX_BYTES: u64 = 48 * 1024 * 1024;

    let attack = Attack::on("[limits]\nsql_statement_timeout_ms = 30000").await;
    let hostile = &attack.hostile;
    hostile.query("SELECT name FROM things", json!([])).await.ok();
    let insert = "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), 'kept', 1)";
    hostile.execute(insert, json!([])).await.ok();
    for bomb in [
        "SELECT repeat('a', 100000000) AS a",
        // The server repeats in its error what it could not read.
        "SELECT repeat('a', 100000000)::integer AS a",
        "SELECT convert_to(repeat('a', 100000000), 'UTF8') AS a",
        "UPDATE things SET amount = 2 RETURNING repeat(name, 25000000) AS a",
    ] {
        let both = async {
            let update = "UPDATE things SET amount = 3";
            let streamed = json!({ "statement": bomb });
            (
                hostile.query(bomb, json!([])).await,
                hostile.transaction(&[update, bomb, update], "commit").await,
                hostile.post("/api/probe/sql/stream", streamed).await,
            )
        };
        let ((answered, undone, streamed), taken) = taken_at_most(both).await;
        assert!(taken < TAKEN_MAX_BYTES, "{bomb}: {taken} bytes");
        assert_eq!(answered.code(), "429 limit", "{bomb}: {}", answered.text());
        assert_eq!(undone.code(), "429 limit", "{bomb}: {}", undone.text());
        assert!(streamed.text().contains("too many bytes"), "{bomb}: {}", streamed.text());
        let rows = hostile.query("SELECT name, amount FROM things", json!([])).await.ok();
        assert_eq!(rows, json!([{ "name": "kept", "amount": 1 }]), "{bomb}");
    }
    // None of them is too large by itself.
    let many = "SELECT repeat('a', 1000000) AS a FROM generate_series(1, 100)";
    let (answered, taken) = taken_at_most(hostile.query(many, json!([]))).await;
    assert!(taken < TAKEN_MAX_BYTES, "{taken} bytes");
    assert_eq!(answered.code(), "429 limit", "{}", answered.text());
    attack.end().await;
}

/// A statement that leaves its connection otherwise than it was is seen by nobody.
#[tokio::test]
async fn connections_are_given_on_as_they_were() {
    let walls = Walls::new().await;
    let settings = "SELECT current_setting('search_path') AS path,
        current_setting('default_transaction_isolation') AS isolation, current_user::text AS name,
        session_user::text AS login";
    let before = walls.acme.query(settings, json!([])).await.ok();
    for attack in ATTACKS.iter().take(20) {
        walls.acme.execute(attack, json!([])).await;
    }
    assert_eq!(walls.acme.query(settings, json!([])).await.ok(), before);
}

#[tokio::test]
async fn a_password_that_was_changed_is_set_again() {
    let walls = Walls::new().await;
    let mut server = as_superuser(&walls.platform).await;
    let change = format!("ALTER ROLE {} PASSWORD 'another'", walls.schema);
    sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut server).await.unwrap();
    walls.other_logs_in_again(&mut server).await;
    walls.are_whole("a changed password").await;
}

/// A dump of a database that is restored into a new one brings all schemas, and no grant on the database.
#[tokio::test]
async fn who_may_no_longer_connect_is_let_in_again() {
    let walls = Walls::new().await;
    let mut server = as_superuser(&walls.platform).await;
    let database: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut server).await.unwrap();
    let shut = format!(r#"REVOKE CONNECT ON DATABASE "{database}" FROM "{database}_guests""#);
    sqlx::raw_sql(AssertSqlSafe(shut)).execute(&mut server).await.unwrap();
    let may_connect =
        format!("SELECT has_database_privilege('{}', current_database(), 'CONNECT')", walls.schema);
    let may_connect = || sqlx::query_scalar::<_, bool>(AssertSqlSafe(may_connect.clone()));
    assert!(!may_connect().fetch_one(&mut server).await.unwrap());
    walls.other_logs_in_again(&mut server).await;
    assert!(may_connect().fetch_one(&mut server).await.unwrap());
    walls.are_whole("a lost grant").await;
}

/// Gives rows for as long as they are taken.
const NUMBERS: &str =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";

/// Runs until it is stopped.
const ENDLESS: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n > 0)
    SELECT count(*) AS n FROM c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_for_too_long_is_ended_on_the_server_too() {
    let setup = TestPlatform::setup().config("[limits]\nsql_statement_timeout_ms = 300");
    let platform = setup.start().await;
    let acme = platform.tenant("acme").await;
    let mut server = as_superuser(&platform).await;
    acme.query("SELECT name FROM things", json!([])).await.ok();
    let bombs = [
        ENDLESS,
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT i FROM generate_series(1, 100000000) i ORDER BY random() DESC",
        "SELECT length(repeat('a', 100000000)) FROM generate_series(1, 1000000)",
        "SELECT regexp_replace(repeat('a', 100000), '(a*)*b', '') FROM generate_series(1, 1000000)",
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b",
    ];
    for bomb in bombs {
        for answer in join_all((0..4).map(|_| acme.query(bomb, json!([])))).await {
            assert!([429, 504, 503].contains(&answer.status()), "{bomb}: {}", answer.text());
        }
        eventually("nothing runs any more", async || {
            (guests(&mut server).await.1 == 0).then_some(())
        })
        .await;
        acme.query("SELECT name FROM things", json!([])).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_leaves_nothing_on_the_server() {
    let platform = TestPlatform::configured("[limits]\nsql_statement_timeout_ms = 600000").await;
    let acme = platform.tenant("acme").await;
    let mut server = as_superuser(&platform).await;
    acme.query("SELECT name FROM things", json!([])).await.ok();
    let hanging = acme.query(ENDLESS, json!([]));
    let running = eventually("it runs", async || (guests(&mut server).await.1 == 1).then_some(()));
    tokio::select! {
        answer = hanging => panic!("it ended: {}", answer.text()),
        () = running => {}
    }
    eventually("nothing runs any more", async || (guests(&mut server).await.1 == 0).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_tenants_than_connections_wait_and_are_all_served() {
    let setup = TestPlatform::setup()
        .config("[sql]\nwait_timeout_ms = 60000\n[limits]\ncall_timeout_ms = 60000")
        .config("[database]\nconnections_max = 6");
    let platform = setup.start().await;
    let mut server = as_superuser(&platform).await;
    let mut tenants = Vec::new();
    for n in 0..30 {
        tenants.push(platform.tenant(&format!("tenant-{n}")).await);
    }
    for _ in 0..3 {
        let asked = tenants.iter().map(|tenant| tenant.query("SELECT name FROM things", json!([])));
        for answer in join_all(asked).await {
            answer.ok();
        }
        let (connected, _) = guests(&mut server).await;
        assert!(connected <= 6, "{connected} are connected");
    }
}

/// Who keeps a stream and sleeps, in however many tenants, leaves connections to those who do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_keeps_connections_leaves_some_to_others() {
    let setup = TestPlatform::setup()
        .config("[sql]\nwait_timeout_ms = 1000\n[limits]\ncall_timeout_ms = 60000")
        .config("[database]\nconnections_max = 8");
    let platform = setup.start().await;
    let friend = platform.tenant("friend").await;
    friend.execute(INSERT, json!([])).await.ok();
    let mut sleeping = JoinSet::new();
    for n in 0..12 {
        let tenant = platform.tenant(&format!("tenant-{n}")).await;
        let steps = json!({ "statement": NUMBERS, "rows_max": 3, "sleep": true });
        sleeping.spawn(async move { tenant.post("/api/probe/sql/stream", steps).await });
    }
    for _ in 0..6 {
        let refused = sleeping.join_next().await.unwrap().unwrap();
        assert_eq!(refused.code(), "503 unavailable", "{}", refused.text());
    }
    let mut server = as_superuser(&platform).await;
    eventually("as many as may keep one do", async || {
        (guests(&mut server).await.1 == 6).then_some(())
    })
    .await;
    friend.execute(INSERT, json!([])).await.ok();
    let batch = json!({ "statements": [{ "statement": INSERT, "runs": [[]] }] });
    friend.post("/api/probe/sql/batch", batch).await.ok();
    assert_eq!(count(&friend).await, 3);
    sleeping.abort_all();
    // Whoever leaves gives back what it kept.
    eventually("a transaction of its own", async || {
        (friend.transaction(&[INSERT], "commit").await.status() == 200).then_some(())
    })
    .await;
}

/// What bounds the roles of a unit is what the configuration says now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bounds_of_a_unit_are_those_of_the_configuration() {
    let platform = TestPlatform::start().await;
    platform.tenant("acme").await.execute(INSERT, json!([])).await.ok();
    let schema = platform.schema("acme").await;
    let mut server = as_superuser(&platform).await;
    let earlier = format!(
        "ALTER ROLE {schema} CONNECTION LIMIT 1;
         ALTER ROLE {schema} RESET max_parallel_workers_per_gather"
    );
    sqlx::raw_sql(AssertSqlSafe(earlier)).execute(&mut server).await.unwrap();
    let setup = platform.stop().await.config("[sql]\nwait_timeout_ms = 1234");
    let platform = setup.start().await;
    platform.client("acme").execute(INSERT, json!([])).await.ok();
    let (limit, settings): (i32, Vec<String>) =
        sqlx::query_as("SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = $1")
            .bind(&schema)
            .fetch_one(&mut server)
            .await
            .unwrap();
    assert!(limit > 40, "{limit} for all hosts");
    for expected in ["lock_timeout=1234ms", "max_parallel_workers_per_gather=0"] {
        assert!(settings.iter().any(|setting| setting == expected), "{settings:?}");
    }
}

/// From PostgreSQL 16 on, who made a role may change it, and an upgrade of the server does not say who that
/// was. Preparing the database again does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_of_an_upgraded_server_are_the_platforms_again() {
    let platform = TestPlatform::configured("[modules.databases]\nnotes = 'own'").await;
    let acme = platform.tenant("acme").await;
    let note = json!({ "title": "First" });
    acme.execute(INSERT, json!([])).await.ok();
    acme.post("/api/notes", note.clone()).await.ok();
    let schemas = [None, Some("notes")].map(|module| platform.schema_of("acme", module));
    let schemas = futures_util::future::join_all(schemas).await;
    let owners = schemas.iter().map(|schema| schema.replacen('t', "o", 1));
    let roles: Vec<_> = schemas.iter().cloned().chain(owners).collect();
    let mut server = as_superuser(&platform).await;
    let url = platform.inner().config().database.url.clone().unwrap();
    let own: PgConnectOptions = url.expose().parse().unwrap();
    // As it is after an upgrade from 15, where it was none of them.
    let (name, guests) = (own.get_username(), format!("{}_guests", own.get_database().unwrap()));
    let roles_of_units = roles.join(", ");
    let upgrade = format!(
        "REVOKE {roles_of_units}, {guests} FROM {name} CASCADE;
         GRANT {guests} TO {roles_of_units}"
    );
    sqlx::raw_sql(AssertSqlSafe(upgrade)).execute(&mut server).await.unwrap();
    let superuser = hostel::Secret::new(superuser().unwrap());
    hostel::Preparation::plan(&superuser, &url).await.unwrap().apply().await.unwrap();

    let setup = platform.stop().await.config("[sql]\nwait_timeout_ms = 1234");
    let platform = setup.start().await;
    // Its roles are changed, which only who made them may.
    platform.client("acme").execute(INSERT, json!([])).await.ok();
    platform.client("acme").post("/api/notes", note).await.ok();
    platform.tenant("later").await.execute(INSERT, json!([])).await.ok();
    let slug = "acme".parse().unwrap();
    platform.inner().tenants().delete_now(&slug).await.unwrap();
    let left = "SELECT 1 FROM pg_roles WHERE rolname = ANY (string_to_array($1, ', '))";
    let left = sqlx::query(left).bind(&roles_of_units);
    assert!(left.fetch_optional(&mut server).await.unwrap().is_none());
}

/// Less isolation sees what others commit in between, or does not, and waits for nobody's turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_as_isolated_as_it_asks_to_be() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let schema = platform.schema("acme").await;
    for (level, seen) in [("read-committed", 2), ("repeatable-read", 1)] {
        acme.execute("DELETE FROM things", json!([])).await.ok();
        acme.execute(INSERT, json!([])).await.ok();
        let mut server = as_superuser(&platform).await;
        let lock = format!("BEGIN; UPDATE {schema}.things SET amount = 2");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut server).await.unwrap();
        let statements = json!([
            "UPDATE things SET amount = amount",
            "INSERT INTO things (id, name, amount)
             SELECT gen_random_uuid(), 'seen', count(*) FROM things",
        ]);
        let (client, steps) = (acme.clone(), json!([{ "with": [level, statements] }]));
        let mut asking = JoinSet::new();
        asking.spawn(async move { client.post("/api/probe/sql/nested", steps).await });
        let mut other = as_superuser(&platform).await;
        eventually("it waits for the lock", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                           WHERE usename = $1 AND wait_event_type = 'Lock'";
            let waiting = sqlx::query_scalar::<_, i64>(waiting).bind(&schema);
            (waiting.fetch_one(&mut other).await.unwrap() == 1).then_some(())
        })
        .await;
        acme.transaction(&[INSERT], "commit").await.ok();
        sqlx::raw_sql("ROLLBACK").execute(&mut server).await.unwrap();
        assert_eq!(asking.join_next().await.unwrap().unwrap().ok(), json!(["ok"]));
        let counted = "SELECT amount FROM things WHERE name = 'seen'";
        let counted = acme.query(counted, json!([])).await.ok();
        assert_eq!(counted, json!([{ "amount": seen }]), "{level}");
    }
}

/// What a statement sorts is not the server's disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_keeps_more_in_temporary_files_than_it_may() {
    let platform = TestPlatform::configured("[sql]\ntemp_file_max_bytes = 16777216").await;
    let acme = platform.tenant("acme").await;
    let sort = |rows: u32| {
        format!(
            "SELECT count(*) AS n FROM
             (SELECT a, row_number() OVER (ORDER BY -a) FROM generate_series(1, {rows}) a) b"
        )
    };
    let refused = acme.query(&sort(3_000_000), json!([])).await;
    assert_eq!(refused.code(), "429 limit", "{}", refused.text());
    assert!(refused.text().contains("too much space"), "{}", refused.text());
    acme.query(&sort(1_000), json!([])).await.ok();
}

/// A transaction of which time has run out is undone, and its connection closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_ends_with_its_time() {
    let limits = "[limits]\ncall_timeout_ms = 1500\nsql_statement_timeout_ms = 300";
    let platform = TestPlatform::configured(limits).await;
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!([])).await.ok();
    let mut server = as_superuser(&platform).await;
    let begun = [json!("begin"), json!({ "run": INSERT })];
    let slept = [begun.as_slice(), &[json!("sleep")]].concat();
    let ended = acme.post("/api/probe/sql/nested", json!(slept)).await;
    assert_eq!(ended.code(), "504 call-timeout");
    is_undone(&acme, &mut server).await;
    let overdue = [begun.as_slice(), &[json!({ "ask": ENDLESS }), json!("commit")]].concat();
    let told = acme.post("/api/probe/sql/nested", json!(overdue)).await.ok();
    assert!(told[2].as_str().unwrap().contains("Timeout"), "{told}");
    assert_ne!(told[3], "ok");
    is_undone(&acme, &mut server).await;
}

/// Whether all that a client's calls left is its one row.
async fn is_undone(client: &Client, server: &mut PgConnection) {
    eventually("nothing runs any more", async || (guests(server).await.1 == 0).then_some(())).await;
    assert_eq!(count(client).await, 1);
}

/// A row that two transactions both looked for is taken once: what the second did is done again, or
/// it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_transactions_take_effect_as_if_one_came_first() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.query("SELECT name FROM things", json!([])).await.ok();
    let take = "INSERT INTO things (id, name, amount)
        SELECT gen_random_uuid(), gen_random_uuid()::text, 1
        WHERE (SELECT count(*) FROM things) < 5";
    for answer in join_all((0..20).map(|_| acme.execute(take, json!([])))).await {
        assert!([200, 409].contains(&answer.status()), "{}", answer.text());
    }
    let rows = acme.query("SELECT count(*) AS n FROM things", json!([])).await.ok();
    assert!(rows[0]["n"].as_i64().unwrap() <= 5, "{rows}");
}

#[tokio::test]
async fn a_schema_does_not_outgrow_its_quota() {
    let platform = TestPlatform::configured("[limits]\ndatabase_max_bytes = 1048576").await;
    let acme = platform.tenant("acme").await;
    let insert = "INSERT INTO things (id, name, amount, data)
        SELECT gen_random_uuid(), gen_random_uuid()::text, 1,
            to_json((SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 2000)))";
    let refused = eventually("it is full", async || {
        let answer = acme.execute(insert, json!([])).await;
        (answer.status() != 200).then_some(answer)
    })
    .await;
    assert_eq!(refused.code(), "429 limit");
    acme.query("SELECT count(*) FROM things", json!([])).await.ok();
    acme.execute("DELETE FROM things", json!([])).await.ok();
}

#[tokio::test]
async fn values_come_back_as_what_they_are() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let rows = acme
        .query(
            "SELECT $1 AS i, $2 AS r, $3 AS t, $4 AS b, $5 AS n, 1 = 1 AS yes, count(*) AS c,
                sum(2) AS s, avg(2.5) AS a, date '2026-02-01' AS d, 'x'::char(3) AS x,
                1::smallint AS small, 0.5::real AS real, '[1]'::jsonb AS j
             FROM things",
            json!([i64::MIN, 0.5, "", { "bytes": [0, 255] }, null]),
        )
        .await
        .ok();
    let expected = json!([{
        "i": i64::MIN, "r": 0.5, "t": "", "b": { "bytes": [0, 255] }, "n": null, "yes": true,
        "c": 0, "s": null, "a": null, "d": "2026-02-01", "x": "x  ", "small": 1, "real": 0.5,
        "j": { "json": [1] }
    }]);
    assert_eq!(rows, expected);
    let unreadable = acme.query("SELECT ARRAY[1, 2] AS numbers", json!([])).await;
    assert_eq!(unreadable.code(), "422 invalid");
    assert!(unreadable.text().contains("cast it"), "{}", unreadable.text());
    let numbers =
        "INSERT INTO things (id, name, amount, price) VALUES (gen_random_uuid(), $1, $2, $3)";
    acme.execute(numbers, json!(["a", 7, 3])).await.ok();
    acme.execute(numbers, json!(["b", true, 2.5])).await.ok();
    let wrong = acme.execute(numbers, json!(["c", "seven", 1])).await;
    assert_eq!(wrong.code(), "422 invalid", "{}", wrong.text());
    assert!(wrong.text().contains("parameter $2 is a text"), "{}", wrong.text());
}

/// The server's types are more than the contract's. What has none of those is refused by its name, and
/// no value is ever taken for one of another type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_taken_for_one_of_another_type() {
    let walls = Walls::new().await;
    let shown = [
        ("'a'::\"char\"", json!("a")),
        ("'a'::name", json!("a")),
        ("7::oid", json!(7)),
        ("'infinity'::float8::text", json!("Infinity")),
        ("'7.10'::numeric", json!({ "decimal": "7.1" })),
        ("'[1, null]'::json", json!({ "json": [1, null] })),
        ("'{}'::jsonb", json!({ "json": {} })),
        ("NULL::record", json!(null)),
        ("NULL::int[]", json!(null)),
        ("'infinity'::timestamptz", json!({ "timestamp": i64::MAX })),
    ];
    for (expression, expected) in shown {
        let answer = walls.acme.query(&format!("SELECT {expression} AS a"), json!([])).await;
        assert_eq!(answer.ok(), json!([{ "a": expected }]), "{expression}");
    }
    let refused = [
        "ROW(1, 'a')",
        "(SELECT things FROM things)",
        "ARRAY(SELECT things FROM things)",
        "'{1,2}'::int[]",
        "'{\"a\"}'::text[]",
        "'1 2'::oidvector",
        "'(0,1)'::tid",
        "'1'::xid8",
        "'1/1'::pg_lsn",
        "'pg_class'::regclass",
        "'NaN'::numeric",
        "'infinity'::date",
        "'24:00'::time",
        "'1 day'::interval",
        "'1.1.1.1'::inet",
        "B'101'",
        "'$'::jsonpath",
        "int4range(1, 2)",
        "'<a/>'::xml",
        "'1.5'::money",
        "point(1, 2)",
        "to_tsvector('a')",
        "'a'::refcursor",
        "pg_current_snapshot()",
    ];
    for expression in refused {
        let answer = walls.acme.query(&format!("SELECT {expression} AS a"), json!([])).await;
        assert_eq!(answer.code(), "422 invalid", "{expression}: {}", answer.text());
    }
    walls.are_whole("values of all types").await;
}

/// Whatever is said to be whatever, the server takes or refuses, and the next statement finds the
/// connection as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_of_any_type_is_taken_or_refused() {
    let walls = Walls::new().await;
    let values = json!([
        null, true, 7, i64::MIN, 0.5, "", "7", "OTHER.things", { "bytes": [0, 255] },
        { "bytes": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] },
        { "uuid": "0192f0c1-2345-7890-abcd-ef0123456789" }, { "timestamp": i64::MIN },
        { "timestamp": 0 }, { "json": [1] }, { "decimal": "1e300" },
    ]);
    let types = "bool int2 int4 int8 oid float4 float8 numeric numeric(3,1) text varchar(2) char(2) \
        name \"char\" json jsonb bytea uuid timestamp timestamptz date time interval int[] record \
        regclass tid xid cid pg_lsn oidvector inet bit xml money point int4range tsvector refcursor \
        jsonpath void cstring anyelement internal pg_node_tree aclitem";
    for kind in types.split_whitespace() {
        for value in values.as_array().unwrap() {
            let asked = format!("SELECT count($1::{kind}) AS n");
            let answer = walls.acme.query(&asked, json!([value])).await;
            let is_known = [200, 422].contains(&answer.status());
            assert!(is_known, "{value} as {kind}: {}", answer.text());
        }
    }
    walls.are_whole("parameters of all types").await;
}

#[tokio::test]
async fn a_plan_takes_the_parameters_that_the_statement_takes() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let explain = async |statement: &str, parameters: serde_json::Value| {
        let body = json!({ "statement": statement, "parameters": parameters });
        acme.post("/api/probe/sql/explain", body).await
    };
    let indexed = explain("SELECT amount FROM things WHERE name = $1", json!(["a"])).await;
    assert!(indexed.text().contains("things_name"), "{}", indexed.text());
    // Nothing in the statement says what these are.
    let open = explain("SELECT $1 AS a, $2 AS b, $3 AS c", json!([7, "x", null])).await;
    assert_eq!(open.status(), 200, "{}", open.text());
    let missing = explain("SELECT amount FROM things WHERE name = $1", json!([])).await;
    assert_eq!(missing.code(), "422 invalid");
    assert_eq!(explain("COMMIT", json!([])).await.code(), "403 denied");
}

/// Statements that ask the server for gigabytes of memory, each in another way.
fn hungry() -> [(&'static str, String); 4] {
    let each = |value: &dyn Fn(u32) -> String, number| {
        (0..number).map(value).collect::<Vec<_>>().join(", ")
    };
    let nested = |first: &str, each: &str, depth| {
        let levels = (1..=depth).map(|level| {
            let below = format!("c{}", level - 1);
            format!("c{level} AS NOT MATERIALIZED ({})", each.replace("BELOW", &below))
        });
        let levels = levels.collect::<Vec<_>>().join(", ");
        format!(
            "WITH c0 AS NOT MATERIALIZED ({first}), {levels} SELECT count(*) AS n FROM c{depth}"
        )
    };
    let first = "SELECT amount AS x FROM things";
    [
        ("tables of tables", nested(first, "SELECT a.x FROM BELOW a, BELOW b", 24)),
        ("a sum of sums", nested(first, "SELECT x + x AS x FROM BELOW", 40) + " WHERE x > 5"),
        (
            "a row of large values",
            format!(
                "SELECT {}",
                each(&|number| format!("repeat('a', 200000000) AS c{number}"), 30)
            ),
        ),
        (
            "large aggregates",
            format!(
                "SELECT {} FROM generate_series(1, 1000000) i",
                each(
                    &|number| format!(
                        "cardinality(array_agg(repeat('a', 1000) || i)) AS c{number}"
                    ),
                    40
                )
            ),
        ),
    ]
}

/// A server whose machine has no more memory ends all of its processes, and begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_takes_more_memory_than_the_server_gives_to_one() {
    let attack = Attack::on("[limits]\nsql_statement_timeout_ms = 60000\ncpu_ms = 60000").await;
    let mut server = as_superuser(&attack.platform).await;
    let limits = "SELECT pg_read_file('/proc/self/limits')";
    let limits: String = sqlx::query_scalar(limits).fetch_one(&mut server).await.unwrap();
    let bounded = limits.lines().find_map(|line| line.strip_prefix("Max data size")).unwrap();
    assert!(!bounded.trim_start().starts_with("unlimited"), "start the server after `ulimit -d`");
    for (what, statement) in hungry() {
        let answer = attack.hostile.query(&statement, json!([])).await;
        assert_eq!(answer.code(), "429 limit", "{what}: {}", answer.text());
        assert!(answer.text().contains("too much memory"), "{what}: {}", answer.text());
        assert_eq!(
            attack.hostile.query("SELECT name FROM things", json!([])).await.ok(),
            json!([])
        );
    }
    sqlx::query("SELECT").execute(&mut server).await.expect("it was never ended");
    attack.end().await;
}

/// Who waits for workers of its own computes nothing that can be seen, and they would be more than
/// its share of the server.
#[tokio::test]
async fn a_statement_has_no_workers_beside_it() {
    let platform = TestPlatform::start().await;
    let generous = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET parallel_setup_cost = 0', current_database());
        EXECUTE format('ALTER DATABASE %I SET parallel_tuple_cost = 0', current_database());
        EXECUTE format('ALTER DATABASE %I SET min_parallel_table_scan_size = 0', current_database()); END $$";
    as_superuser(&platform).await.execute(generous).await.unwrap();
    let acme = platform.tenant("acme").await;
    let rows = "INSERT INTO things (id, name, amount)
        SELECT gen_random_uuid(), a::text, 1 FROM generate_series(1, 5000) a";
    acme.execute(rows, json!([])).await.ok();
    let heavy = "SELECT sum(a.amount) AS n FROM things a, things b WHERE a.amount <> b.amount";
    let plan = acme.post("/api/probe/sql/explain", json!({ "statement": heavy })).await;
    assert!(plan.text().contains("Nested Loop"), "{}", plan.text());
    assert!(!plan.text().contains("Gather"), "{}", plan.text());
    // Anybody else has them.
    let mut server = as_superuser(&platform).await;
    let schema = platform.schema("acme").await;
    let heavy = heavy.replace("things", &format!("{schema}.things"));
    let plan = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("EXPLAIN {heavy}")));
    let plan = plan.fetch_all(&mut server).await.unwrap();
    assert!(plan.iter().any(|line| line.contains("Gather")), "{plan:?}");
}

/// What is streamed stays within the limits that hold for what is not.
#[tokio::test]
async fn a_stream_is_of_a_statement_that_there_is_room_for() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let long = format!("SELECT 1 AS a WHERE 'x' <> '{}'", "y".repeat(100_000));
    let told = acme.post("/api/probe/sql/stream", json!({ "statement": long })).await;
    assert!(told.text().contains("too large"), "{}", told.text());
}

#[tokio::test]
async fn errors_name_the_constraint() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let insert = "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), $1, $2)";
    acme.execute(insert, json!(["one", 1])).await.ok();
    for (row, code, constraint) in [
        (json!(["one", 1]), "409 conflict", "things_name"),
        (json!(["two", -1]), "422 invalid", "things_amount"),
    ] {
        let answer = acme.execute(insert, row).await;
        assert_eq!(answer.code(), code);
        assert!(answer.text().contains(constraint), "{}", answer.text());
    }
    assert_eq!(acme.query("SELEKT 1", json!([])).await.code(), "403 denied");
    assert_eq!(acme.query("SELECT * FROM absent", json!([])).await.code(), "422 invalid");
}

/// What was prepared before a table changed is prepared again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_changes_under_a_statement_is_read_as_it_is() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.query("SELECT * FROM things", json!([])).await.ok();
    let schema = platform.schema("acme").await;
    let mut server = as_superuser(&platform).await;
    let change = format!("ALTER TABLE {schema}.things ADD COLUMN more text DEFAULT 'x'");
    sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut server).await.unwrap();
    acme.execute(INSERT, json!([])).await.ok();
    let rows = acme.query("SELECT * FROM things", json!([])).await.ok();
    assert_eq!(rows[0]["more"], "x");
}

/// Somebody waits for a lock that another call holds: not for longer than it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_is_not_waited_for_for_ever() {
    let platform = TestPlatform::configured("[sql]\nwait_timeout_ms = 500").await;
    let acme = platform.tenant("acme").await;
    acme.execute(INSERT, json!([])).await.ok();
    let schema = platform.schema("acme").await;
    let mut server = as_superuser(&platform).await;
    let lock = format!("BEGIN; UPDATE {schema}.things SET amount = 2");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut server).await.unwrap();
    let answer = acme.execute("UPDATE things SET amount = 3", json!([])).await;
    assert_eq!(answer.code(), "503 unavailable");
    sqlx::raw_sql("ROLLBACK").execute(&mut server).await.unwrap();
    acme.execute("UPDATE things SET amount = 3", json!([])).await.ok();
}

/// The platform has few connections of its own, and none of them waits for what a tenant has locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_holds_up_nothing_of_the_platforms() {
    let walls = Walls::new().await;
    walls.other.post("/api/notes", json!({ "title": "First" })).await.ok();
    let mut server = as_superuser(&walls.platform).await;
    let lock = format!("BEGIN; LOCK TABLE {}.things IN ACCESS EXCLUSIVE MODE", walls.schema);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut server).await.unwrap();
    // The unit is measured when it was not for a while.
    let setup = TestPlatform::setup().beside(&walls.platform);
    let beside = setup.start().await;
    let answer = beside.client("other").post("/api/notes", json!({ "title": "Second" })).await;
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let waiting: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND wait_event_type = 'Lock'",
    )
    .fetch_one(&mut server)
    .await
    .unwrap();
    assert_eq!(waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_serve_the_same_tenants() {
    let one = TestPlatform::start().await;
    let two = TestPlatform::setup().beside(&one).start().await;
    let here = one.tenant("acme").await;
    let there = two.client("acme");
    // Both find the schema missing, and its tables.
    let insert = "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), $1, 1)";
    let both = [("a", &here), ("b", &there), ("c", &here), ("d", &there)];
    let written = both.iter().map(|(name, client)| client.execute(insert, json!([name])));
    for answer in join_all(written).await {
        assert_eq!(answer.ok()["changed"], 1);
    }
    for client in [&here, &there] {
        let rows = client.query("SELECT count(*) AS n FROM things", json!([])).await.ok();
        assert_eq!(rows, json!([{ "n": 4 }]));
    }
    one.change("acme", json!({ "limits": { "sql_rows_max": 3 } })).await.unwrap();
    eventually("the other host knows the tenant's limits", async || {
        let answer = there.query("SELECT name FROM things", json!([])).await;
        (answer.status() == 429).then_some(())
    })
    .await;
}

/// Who listens on the server for changes of the platform.
async fn listeners(server: &mut PgConnection) -> Vec<i32> {
    sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN %' ORDER BY pid",
    )
    .fetch_all(server)
    .await
    .unwrap()
}

/// A host does not only look at times: it tells others of its changes, and hears of theirs, over
/// another connection too where one was cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_through_the_server() {
    let one = TestPlatform::start().await;
    let two = TestPlatform::setup().beside(&one).start().await;
    let mut server = as_superuser(&one).await;
    let before = eventually("both hosts listen", async || {
        let listeners = listeners(&mut server).await;
        (listeners.len() == 2).then_some(listeners)
    })
    .await;

    let url = one.inner().config().database.url.clone().unwrap();
    let mut told = PgListener::connect(url.expose()).await.unwrap();
    told.listen("hostel_changes").await.unwrap();
    one.tenant("acme").await;
    assert_eq!(told.recv().await.unwrap().payload(), "");
    drop(told);

    for pid in &before {
        sqlx::query("SELECT pg_terminate_backend($1)")
            .bind(pid)
            .execute(&mut server)
            .await
            .unwrap();
    }
    eventually("both hosts listen again", async || {
        let listeners = listeners(&mut server).await;
        (listeners.iter().filter(|pid| !before.contains(pid)).count() == 2).then_some(())
    })
    .await;
    let there = two.client("acme");
    there.query("SELECT name FROM things", json!([])).await.ok();
    one.inner().tenants().suspend(&"acme".parse().unwrap()).await.unwrap();
    eventually("the other host knows of it", async || {
        let answer = there.query("SELECT name FROM things", json!([])).await;
        (answer.status() != 200).then_some(())
    })
    .await;
}

/// Where hosts share a folder of modules, the one that hears of a change tells the others: theirs may
/// be another machine's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_looks_at_its_modules_when_another_says_that_they_changed() {
    let one = TestPlatform::start().await;
    let two = TestPlatform::setup().beside(&one).start().await;
    one.tenant("acme").await;
    let served = async |path| {
        for platform in [&one, &two] {
            let client = platform.client("acme");
            eventually(path, async || (client.get(path).await.status() != 404).then_some(())).await;
        }
    };
    let file = "modules/shared.wasm";
    std::fs::copy(bookings(), one.data(file)).unwrap();
    std::fs::hard_link(one.data(file), two.data(file)).unwrap();
    served("/api/bookings").await;
    // It is written by its other name, of which nobody is told who watches this one.
    std::fs::write(one.data(file), std::fs::read(library()).unwrap()).unwrap();
    served("/api/library/numbers").await;
    assert_eq!(two.client("acme").get("/api/bookings").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_tenant_is_forgotten_by_every_host() {
    let one = TestPlatform::start().await;
    let two = TestPlatform::setup().beside(&one).start().await;
    let (here, there) = (one.tenant("acme").await, two.client("acme"));
    let insert = "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), $1, 1)";
    for (client, name) in [(&here, "here"), (&there, "there")] {
        client.execute(insert, json!([name])).await.ok();
    }
    let (tenants, slug) = (one.inner().tenants(), "acme".parse().unwrap());
    tenants.delete(&slug).await.unwrap();
    tenants.purge(&slug).await.unwrap();
    eventually("it is unknown there", async || {
        let answer = there.query("SELECT name FROM things", json!([])).await;
        (answer.code() == "404 tenant-not-found").then_some(())
    })
    .await;
    let mut server = as_superuser(&one).await;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^t_[0-9a-f]{32}$'")
            .fetch_one(&mut server)
            .await
            .unwrap();
    assert_eq!(left, 0);
    one.tenant("acme").await;
    let rows = eventually("the new one is served there", async || {
        let answer = there.query("SELECT name FROM things", json!([])).await;
        (answer.status() == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(rows, json!([]));
}

/// A transaction has a lock for each table that it removes, and the server only so many for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_more_tables_than_the_server_has_locks_is_removed() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    acme.query("SELECT name FROM things", json!([])).await.ok();
    let schema = platform.schema("acme").await;
    let mut server = as_superuser(&platform).await;
    let locks: i64 = sqlx::query_scalar(
        "SELECT current_setting('max_locks_per_transaction')::bigint
            * current_setting('max_connections')::bigint",
    )
    .fetch_one(&mut server)
    .await
    .unwrap();
    // Each has two types, which take locks as well.
    let mut made = 0;
    while made < locks / 2 {
        let some = (made..made + 500).map(|n| format!("CREATE TABLE {schema}.many_{n} (a int)"));
        let some = some.collect::<Vec<_>>().join(";");
        sqlx::raw_sql(AssertSqlSafe(some)).execute(&mut server).await.unwrap();
        made += 500;
    }
    let (tenants, slug) = (platform.inner().tenants(), "acme".parse().unwrap());
    tenants.delete_now(&slug).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = $1")
        .bind(&schema)
        .fetch_one(&mut server)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_goes_on_after_the_server_has_ended_all_connections() {
    let walls = Walls::new().await;
    let mut server = as_superuser(&walls.platform).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        sqlx::query(end).execute(&mut server).await.unwrap();
        for client in [&walls.acme, &walls.other] {
            eventually("it is served again", async || {
                let answer = client.query("SELECT name FROM things", json!([])).await;
                (answer.status() == 200).then_some(())
            })
            .await;
        }
    }
    walls.platform.tenant("later").await;
    walls.are_whole("cut connections").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_prepared_by_the_command() {
    let superuser = superuser().unwrap();
    let server = superuser.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let folder = Folder::warm().await;
    let none = folder.run(&["db", "prepare", "--superuser", &superuser, "--yes"]);
    assert!(none.stderr.contains("no PostgreSQL database is configured"), "{}", none.stderr);

    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let url = format!("postgres://{name}:secret@{server}/{name}");
    folder.write("platform.toml", format!("[database]\nurl = '{url}'"));
    let unprepared = folder.run(&["tenant", "list"]);
    assert_eq!(unprepared.code, Some(1));
    assert!(unprepared.stderr.contains("hostel db prepare"), "{}", unprepared.stderr);
    assert!(!unprepared.stderr.contains("secret"), "{}", unprepared.stderr);
    let unchecked = folder.run(&["db", "check"]);
    assert_eq!(unchecked.code, Some(1));
    assert!(unchecked.stderr.contains("hint: `hostel db prepare`"), "{}", unchecked.stderr);

    let prepare = ["db", "prepare", "--superuser", &superuser];
    let asked = folder.run(&prepare);
    assert!(asked.stderr.contains("nobody is there to be asked"), "{}", asked.stderr);
    let printed = folder.run(&["db", "prepare", "--superuser", &superuser, "--print"]);
    assert!(printed.stdout.contains("REVOKE ALL ON LANGUAGE"), "{}", printed.stdout);
    assert!(!printed.stdout.contains("secret"), "{}", printed.stdout);
    assert!(!printed.stderr.contains("memory"), "its processes have a limit: {}", printed.stderr);
    // The database is still not there.
    assert_eq!(folder.run(&["tenant", "list"]).code, Some(1));
    // Another database of the server is being prepared.
    let mut other = PgConnection::connect(&superuser).await.unwrap();
    let mut watching = PgConnection::connect(&superuser).await.unwrap();
    let grant = "BEGIN; GRANT SET ON PARAMETER temp_file_limit TO pg_monitor";
    other.execute(grant).await.unwrap();
    let mut preparing = folder
        .command(&["db", "prepare", "--superuser", &superuser, "--yes"])
        .env("PGAPPNAME", &name)
        .spawn()
        .unwrap();
    eventually("it waits for the other to be done", async || {
        let waits = "SELECT 1 FROM pg_stat_activity
            WHERE application_name = $1 AND wait_event_type = 'Lock'";
        sqlx::query(waits).bind(&name).fetch_optional(&mut watching).await.unwrap()
    })
    .await;
    other.execute("ROLLBACK").await.unwrap();
    assert!(preparing.wait().unwrap().success());
    // The first of them makes the platform's tables.
    let creating = ["acme", "b", "c", "d", "e"];
    let creating =
        creating.map(|slug| folder.command(&["tenant", "create", slug]).spawn().unwrap());
    for mut child in creating {
        assert!(child.wait().unwrap().success());
    }
    let checked = folder.run(&["db", "check"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    // Somebody gives back what was taken.
    let own: PgConnectOptions = superuser.parse().unwrap();
    let mut within = own.database(&name).connect().await.unwrap();
    let opened = "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
                  GRANT EXECUTE ON FUNCTION pg_sleep(float8) TO PUBLIC";
    within.execute(opened).await.unwrap();
    let checked = folder.run(&["db", "check"]);
    assert_eq!(checked.code, Some(1));
    let open: Vec<&str> = checked.stdout.lines().collect();
    assert_eq!(open, ["function pg_sleep(double precision)", "language plpgsql"]);
    let hostel = folder.start(&["dev"]);
    hostel.line(&["WARN", "2 things", "hostel db check"]);
    let acme = hostel.client("acme");
    acme.post("/api/notes", json!({ "title": "First" })).await.ok();
    assert_eq!(acme.get("/api/notes").await.ok()["items"][0]["title"], "First");
}
