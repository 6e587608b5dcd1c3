//! Long statements on PostgreSQL: one at a time here, in turns, and short ones beside them.

use hostel_tests::{Answer, Client, Setup, TestPlatform, eventually, hostile_with_migrations};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::task::{AbortHandle, JoinSet};

use crate::postgres::as_superuser;

const COUNT: &str = "SELECT count(*) AS n FROM things";
/// Computes for hours.
const ENDLESS: &str =
    "SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
/// Computes for longer than it may without a turn, and adds a row.
const ADD: &str =
    "INSERT INTO things (id, name, amount) SELECT gen_random_uuid(), 'added', count(*)
    FROM generate_series(1, 5000) a, generate_series(1, 5000) b";

/// A statement that runs.
const ANY: &str = "state = 'active'";
/// One that has run for longer than any may compute without a turn.
const LONG: &str = "state = 'active' AND clock_timestamp() - query_start > '3 seconds'";

/// Two tenants with a row each, of whom one long statement runs at once.
struct Neighbours {
    platform: TestPlatform,
    acme: Client,
    other: Client,
}

impl Neighbours {
    async fn new(wait_timeout_ms: u64) -> Self {
        Self::with(TestPlatform::setup(), wait_timeout_ms).await
    }

    async fn with(setup: Setup, wait_timeout_ms: u64) -> Self {
        let setup = setup
            .config(&format!("[sql]\nlong_statements_max = 1\nwait_timeout_ms = {wait_timeout_ms}"))
            .config("[limits]\ncall_timeout_ms = 60000\nsql_statement_timeout_ms = 60000");
        let platform = setup.start().await;
        let acme = platform.tenant("acme").await;
        let other = platform.tenant("other").await;
        for client in [&acme, &other] {
            let kept =
                "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), 'kept', 1)";
            client.execute(kept, json!([])).await.ok();
            // It is known to be short from now on.
            assert_eq!(count(client).await, 1);
        }
        Self { platform, acme, other }
    }

    /// Waits until a statement of the tenant's has run for longer than any may compute without a turn.
    async fn has_its_turn(&self, slug: &str) {
        self.eventually_runs(&self.runtime(slug).await, LONG, 1).await;
    }

    /// Waits until a statement of the tenant's runs.
    async fn runs(&self, slug: &str) {
        self.eventually_runs(&self.runtime(slug).await, ANY, 1).await;
    }

    /// Waits until no statement of the tenant's runs.
    async fn is_quiet(&self, slug: &str) {
        self.eventually_runs(&self.runtime(slug).await, ANY, 0).await;
    }

    /// The role that runs the tenant's statements.
    async fn runtime(&self, slug: &str) -> String {
        self.platform.schema(slug).await
    }

    /// The role that runs the tenant's migrations.
    async fn owner(&self, slug: &str) -> String {
        self.platform.schema(slug).await.replacen('t', "o", 1)
    }

    async fn eventually_runs(&self, role: &str, condition: &str, expected: i64) {
        let mut server = as_superuser(&self.platform).await;
        let asked = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND {condition}"
        );
        eventually("the tenant's statements", async || {
            let asked = sqlx::query_scalar::<_, i64>(AssertSqlSafe(asked.clone()));
            (asked.fetch_one(&mut server).await.unwrap() == expected).then_some(())
        })
        .await;
    }

    /// Has `acme` use the only turn, until what is returned is dropped.
    async fn taken(&self) -> Asked {
        let acme = self.acme.clone();
        let endless = meanwhile(async move { acme.query(ENDLESS, json!([])).await });
        self.has_its_turn("acme").await;
        endless
    }
}

/// A request that is made meanwhile. Dropped, its client leaves.
struct Asked {
    asking: JoinSet<Answer>,
    handle: AbortHandle,
}

fn meanwhile(asked: impl Future<Output = Answer> + Send + 'static) -> Asked {
    let mut asking = JoinSet::new();
    let handle = asking.spawn(asked);
    Asked { asking, handle }
}

impl Asked {
    /// Whether there is no answer yet.
    fn waits(&self) -> bool {
        !self.handle.is_finished()
    }

    async fn answer(mut self) -> Answer {
        self.asking.join_next().await.unwrap().unwrap()
    }
}

async fn count(client: &Client) -> i64 {
    client.query(COUNT, json!([])).await.ok()[0]["n"].as_i64().unwrap()
}

/// What asks for a statement in one of the ways that there are.
type Way = fn(Client) -> Asked;

/// A write that was cancelled in favour of others is done in its turn, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_statement_gives_way_and_is_done_once() {
    let ways: [Way; 3] = [
        |client| meanwhile(async move { client.execute(ADD, json!([])).await }),
        |client| {
            let add = format!("WITH added AS ({ADD} RETURNING name) SELECT name FROM added");
            meanwhile(async move { client.query(&add, json!([])).await })
        },
        |client| {
            let first = "INSERT INTO things (id, name, amount) VALUES (gen_random_uuid(), $1, 1)";
            let statements = json!([
                { "statement": first, "runs": [["first"], ["second"]] },
                { "statement": ADD, "runs": [[]] },
            ]);
            let batch = json!({ "statements": statements });
            meanwhile(async move { client.post("/api/probe/sql/batch", batch).await })
        },
    ];
    for (way, added) in ways.into_iter().zip([1, 1, 3]) {
        let neighbours = Neighbours::new(60_000).await;
        let endless = neighbours.taken().await;
        let waiting = way(neighbours.other.clone());
        neighbours.runs("other").await;
        neighbours.is_quiet("other").await;
        // Nothing has happened, and what is short waits for nobody.
        assert_eq!(count(&neighbours.other).await, 1);
        assert!(waiting.waits(), "it waits for its turn");
        drop(endless);
        waiting.answer().await.ok();
        assert_eq!(count(&neighbours.other).await, 1 + added);
    }
}

/// What belongs to a transaction cannot be done again by the host: its module is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_statement_of_a_transaction_is_refused_without_a_turn() {
    let neighbours = Neighbours::new(60_000).await;
    let endless = neighbours.taken().await;
    let refused = neighbours.other.transaction(&[COUNT, ENDLESS, COUNT], "commit").await;
    assert_eq!(refused.code(), "503 unavailable", "{}", refused.text());
    assert!(refused.text().contains("long statements of others"), "{}", refused.text());
    drop(endless);
    neighbours.other.transaction(&[COUNT, ADD], "commit").await.ok();
    assert_eq!(count(&neighbours.other).await, 2);
}

/// Constraints can leave all of the work for the end of a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_commit_is_refused_without_a_turn() {
    let neighbours = Neighbours::new(60_000).await;
    let schema = neighbours.platform.schema("other").await;
    // For each row that goes, all others are read.
    let prepare = format!(
        "ALTER TABLE {schema}.things ADD COLUMN above uuid;
         ALTER TABLE {schema}.things ADD FOREIGN KEY (above) REFERENCES {schema}.things (id)
             DEFERRABLE INITIALLY DEFERRED;
         INSERT INTO {schema}.things (id, name, amount)
             SELECT gen_random_uuid(), 'row ' || i, i % 5 FROM generate_series(1, 15000) i;
         ANALYZE {schema}.things"
    );
    let mut server = as_superuser(&neighbours.platform).await;
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut server).await.unwrap();
    let endless = neighbours.taken().await;
    let delete = "DELETE FROM things WHERE amount = 2";
    let refused = neighbours.other.transaction(&[delete], "commit").await;
    assert_eq!(refused.code(), "503 unavailable", "{}", refused.text());
    assert!(refused.text().contains("long statements of others"), "{}", refused.text());
    assert_eq!(count(&neighbours.other).await, 15_001);
    // A batch is done again by the host.
    let batch = json!({ "statements": [{ "statement": delete, "runs": [[]] }] });
    let other = neighbours.other.clone();
    let waiting = meanwhile(async move { other.post("/api/probe/sql/batch", batch).await });
    neighbours.runs("other").await;
    neighbours.is_quiet("other").await;
    assert!(waiting.waits(), "it waits for its turn");
    assert_eq!(count(&neighbours.other).await, 15_001);
    drop(endless);
    waiting.answer().await.ok();
    assert_eq!(count(&neighbours.other).await, 12_001);
}

/// Migrations take turns of their own: what is long gives way, with all of its transaction and its
/// connection, and is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_migration_gives_way_and_is_done_once() {
    let numbers = "CREATE TABLE numbers AS SELECT n FROM generate_series(1, 300) n";
    // For one of the tenants alone.
    let endless = "INSERT INTO numbers SELECT count(*) FROM
        generate_series(1, (SELECT 1000000 * count(*) FROM things WHERE name = 'endless')) a,
        generate_series(1, 1000000) b HAVING count(*) > 0";
    let added = "INSERT INTO numbers SELECT count(*) FROM
        generate_series(1, 5000) a, generate_series(1, 5000) b";
    let indexed = "CREATE INDEX CONCURRENTLY by_digest ON numbers (md5(repeat(n::text, 1000000)))";
    let there_is_one = "SELECT count(*) FROM pg_index WHERE indisvalid
        AND indexrelid = to_regclass('SCHEMA.by_digest')";
    for (long, done) in
        [(added, "SELECT count(*) - 300 FROM SCHEMA.numbers"), (indexed, there_is_one)]
    {
        let module = hostile_with_migrations([numbers, endless, long]);
        let neighbours = Neighbours::with(TestPlatform::setup().hostile_is(&module), 60_000).await;
        let Neighbours { platform, acme, other } = &neighbours;
        let (acmes, others) = (neighbours.owner("acme").await, neighbours.owner("other").await);
        acme.execute("UPDATE things SET name = 'endless'", json!([])).await.ok();
        let endless = meanwhile({
            let acme = acme.clone();
            async move { acme.get("/api/hostile/counter").await }
        });
        neighbours.eventually_runs(&acmes, LONG, 1).await;
        let waiting = meanwhile({
            let other = other.clone();
            async move { other.get("/api/hostile/counter").await }
        });
        neighbours.eventually_runs(&others, ANY, 1).await;
        neighbours.eventually_runs(&others, "true", 0).await;
        // Nothing of its last step has happened, and statements wait for no migration.
        let schema = platform.schema("other").await;
        let done = done.replace("SCHEMA", &schema);
        let mut server = as_superuser(platform).await;
        let is_done = sqlx::query_scalar::<_, i64>(AssertSqlSafe(done.clone()));
        assert_eq!(is_done.fetch_one(&mut server).await.unwrap(), 0, "{long}");
        other.execute(ADD, json!([])).await.ok();
        assert!(waiting.waits() && endless.waits(), "one migrates, the other waits for its turn");
        let end =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1";
        let ended: i64 = sqlx::query_scalar(end).bind(&acmes).fetch_one(&mut server).await.unwrap();
        assert_eq!(ended, 1);
        assert_eq!(endless.answer().await.status(), 503);
        waiting.answer().await.ok();
        let is_done = sqlx::query_scalar::<_, i64>(AssertSqlSafe(done));
        assert_eq!(is_done.fetch_one(&mut server).await.unwrap(), 1, "{long}");
    }
}

/// Dozens of long statements that begin at once would keep everybody, and the host too, from what there is
/// of a processor. Neither is one trusted for long that was short with other values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_statements_that_begin_together_do_not_run_together() {
    const COUNT_TO: &str =
        "SELECT count(*) AS n FROM generate_series(1, $1::bigint) a, generate_series(1, 1000000) b";
    /// Four on trial and one with its turn, of twenty; and those that seemed to wait when they were looked at.
    const AT_ONCE: i64 = 10;

    let neighbours = Neighbours::new(60_000).await;
    let mut attackers = Vec::new();
    for number in 0..5 {
        let attacker = neighbours.platform.tenant(&format!("attacker-{number}")).await;
        attacker.query(COUNT_TO, json!([0])).await.ok();
        attackers.push(attacker);
    }
    let mut server = as_superuser(&neighbours.platform).await;
    // The first time they have credit, the second time none.
    for (statement, values) in [(ENDLESS, json!([])), (COUNT_TO, json!([1_000_000]))] {
        let attacks = attackers.iter().flat_map(|attacker| std::iter::repeat_n(attacker, 4));
        let asked: Vec<Asked> = attacks
            .map(|attacker| {
                let (attacker, values) = (attacker.clone(), values.clone());
                meanwhile(async move { attacker.query(statement, values).await })
            })
            .collect();
        let running = format!(
            "SELECT count(*), count(*) FILTER (WHERE clock_timestamp() - query_start > '1 second')
             FROM pg_stat_activity
             WHERE datname = current_database() AND starts_with(usename, 't_') AND {ANY}"
        );
        let mut most = 0;
        eventually("one has its turn, and the others wait for theirs", async || {
            let running = sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(running.clone()));
            let (all, long) = running.fetch_one(&mut server).await.unwrap();
            most = most.max(all);
            (all == 1 && long == 1).then_some(())
        })
        .await;
        assert!(most <= AT_ONCE, "{most} at once: {statement}");
        // Who has begun nothing waits for nobody.
        assert_eq!(count(&neighbours.other).await, 1);
        assert!(asked.iter().all(Asked::waits));
        drop(asked);
        for attacker in ["attacker-0", "attacker-1", "attacker-2", "attacker-3", "attacker-4"] {
            neighbours.is_quiet(attacker).await;
        }
    }
}

/// The wait for a turn is one of those that are bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_does_not_come_is_not_waited_for_for_ever() {
    let neighbours = Neighbours::new(2_000).await;
    let endless = neighbours.taken().await;
    let refused = neighbours.other.query(ENDLESS, json!([])).await;
    assert_eq!(refused.code(), "503 unavailable", "{}", refused.text());
    neighbours.is_quiet("other").await;
    // The other one goes on.
    neighbours.has_its_turn("acme").await;
    drop(endless);
    neighbours.is_quiet("acme").await;
}

/// Who waits for a lock keeps no processor busy, and needs no turn for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_waits_is_not_long() {
    let neighbours = Neighbours::new(60_000).await;
    let endless = neighbours.taken().await;
    let mut server = as_superuser(&neighbours.platform).await;
    let schema = neighbours.platform.schema("other").await;
    let lock = format!("BEGIN; UPDATE {schema}.things SET amount = 3");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut server).await.unwrap();
    let other = neighbours.other.clone();
    let waiting =
        meanwhile(
            async move { other.transaction(&["UPDATE things SET amount = 2"], "commit").await },
        );
    neighbours.has_its_turn("other").await;
    drop(server);
    waiting.answer().await.ok();
    assert!(endless.waits(), "it has the only turn");
    drop(endless);
}

/// Who reads slowly keeps no turn: what is not asked for, the server does not compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_keeps_no_turn() {
    let neighbours = Neighbours::new(60_000).await;
    // Its tenant's next statements need a turn.
    drop(neighbours.taken().await);
    neighbours.is_quiet("acme").await;
    let acme = neighbours.acme.clone();
    let reading = meanwhile(async move {
        let endless = ENDLESS.replace("count(*) AS n", "a");
        let slowly = json!({ "statement": endless, "rows_max": 3, "sleep": true });
        acme.post("/api/probe/sql/stream", slowly).await
    });
    neighbours.runs("acme").await;
    neighbours.other.execute(ADD, json!([])).await.ok();
    assert!(reading.waits(), "it sleeps");
    drop(reading);
    neighbours.is_quiet("acme").await;
}
