//! Migrations as attacks: a module that changes its tables can do no harm to another tenant, to the
//! platform or to another module's ledger.
//!
//! A module with all attacks as its migrations is called until none is left: one that is refused is
//! written down as applied by the test, so that the next one has its turn. A file of SQLite is looked
//! into by the test itself, PostgreSQL as its superuser.

use hostel_tests::{Client, TestPlatform, hostile_with_migrations, superuser};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

/// What became of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Applied,
}

use Outcome::{Applied, Refused};

/// Looks into databases as no guest can.
enum Inspector {
    Sqlite,
    Postgres(Box<PgConnection>),
}

/// A tenant whose module is hostile, and one that is served beside it.
struct Attacked {
    platform: TestPlatform,
    hostile: Client,
    canary: Client,
    scripts: Vec<String>,
    inspector: Inspector,
}

const INSERT: &str = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, 1)";

async fn schema_of(platform: &TestPlatform, slug: &str) -> String {
    let tenant = platform.inner().tenants().get(&slug.parse().unwrap()).await.unwrap();
    format!("t_{}", tenant.id.to_string().replace('-', ""))
}

impl Attacked {
    /// `{other}` in a script is the schema of the other tenant, `{id}` what its roles are called by, and
    /// `{own}` the attacker's schema.
    async fn by(scripts: &[&str]) -> Self {
        // The ids of tenants are known once they are there.
        let platform = TestPlatform::start().await;
        let (hostile, canary) = (platform.tenant("hostile").await, platform.tenant("canary").await);
        for (client, name) in [(&hostile, "own"), (&canary, "canary")] {
            client.execute(INSERT, json!([name])).await.ok();
        }
        let (own, other) =
            (schema_of(&platform, "hostile").await, schema_of(&platform, "canary").await);
        let id = other.trim_start_matches("t_").to_owned();
        let secrets = platform.inner().secrets();
        let kept = hostel::Secret::new("hunter2".to_owned());
        secrets.set(&"canary".parse().unwrap(), "KEY", &kept).await.unwrap();
        let scripts: Vec<String> = scripts
            .iter()
            .map(|script| {
                script.replace("{other}", &other).replace("{own}", &own).replace("{id}", &id)
            })
            .collect();
        let wasm = hostile_with_migrations(scripts.iter().map(String::as_str));
        let platform = platform.stop().await.hostile_is(&wasm).start().await;
        let inspector = match superuser() {
            Some(superuser) => {
                let config = platform.inner().config();
                let url = config.database.url.as_ref().unwrap().expose();
                let own: PgConnectOptions = url.parse().unwrap();
                let superuser: PgConnectOptions = superuser.parse().unwrap();
                let superuser = superuser.database(own.get_database().unwrap());
                Inspector::Postgres(Box::new(superuser.connect().await.unwrap()))
            }
            None => Inspector::Sqlite,
        };
        let (hostile, canary) = (platform.client("hostile"), platform.client("canary"));
        canary.query("SELECT name FROM things", json!([])).await.ok();
        Self { platform, hostile, canary, scripts, inspector }
    }

    async fn unit(&self, slug: &str) -> SqliteConnection {
        let path = self.platform.unit(slug).await;
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    /// The ids of the hostile module's migrations that are in its tenant's ledger.
    async fn applied(&mut self) -> Vec<String> {
        let schema = schema_of(&self.platform, "hostile").await;
        match &mut self.inspector {
            Inspector::Sqlite => {
                let statement = "SELECT id FROM hostel_migrations WHERE module = 'hostile'";
                sqlx::query_scalar(statement).fetch_all(&mut self.unit("hostile").await).await
            }
            Inspector::Postgres(server) => {
                let statement =
                    format!("SELECT id FROM {schema}.hostel_migrations WHERE module = 'hostile'");
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut **server).await
            }
        }
        .unwrap()
    }

    /// Writes a migration down as applied.
    async fn skip(&mut self, n: usize) {
        let checksum = Sha256::digest(self.scripts[n].as_bytes()).to_vec();
        let schema = schema_of(&self.platform, "hostile").await;
        match &mut self.inspector {
            Inspector::Sqlite => {
                let statement =
                    "INSERT INTO hostel_migrations (module, id, checksum) VALUES ('hostile', $1, $2)";
                let insert = sqlx::query(statement).bind(id(n)).bind(checksum);
                insert.execute(&mut self.unit("hostile").await).await.unwrap();
            }
            Inspector::Postgres(server) => {
                let statement = format!(
                    "INSERT INTO {schema}.hostel_migrations (module, id, checksum) VALUES ('hostile', $1, $2)"
                );
                let insert = sqlx::query(AssertSqlSafe(statement)).bind(id(n)).bind(checksum);
                insert.execute(&mut **server).await.unwrap();
            }
        }
    }

    /// What became of each.
    async fn attack(&mut self) -> Vec<(String, Outcome)> {
        let mut refused = Vec::new();
        loop {
            let answer = self.hostile.get("/api/hostile/counter").await;
            if answer.status() == 200 {
                break;
            }
            assert_eq!(answer.code(), "503 migration-failed", "{:?}", refused.last());
            let applied = self.applied().await;
            let next = (0..self.scripts.len()).find(|n| !applied.contains(&id(*n))).unwrap();
            refused.push(next);
            self.skip(next).await;
            let rows = self.canary.query("SELECT name, amount FROM things", json!([])).await.ok();
            assert_eq!(rows, json!([{ "name": "canary", "amount": 1 }]), "{}", self.scripts[next]);
        }
        let outcome = |n| if refused.contains(&n) { Refused } else { Applied };
        self.scripts.iter().enumerate().map(|(n, script)| (script.clone(), outcome(n))).collect()
    }
}

fn id(n: usize) -> String {
    format!("{n:04}")
}

#[tokio::test]
async fn scratch() {
    let text = std::fs::read_to_string("/tmp/scripts.txt").unwrap();
    let scripts: Vec<&str> = text.split("\n====\n").map(str::trim_end).collect();
    let mut attacked = Attacked::by(&scripts).await;
    for (script, outcome) in attacked.attack().await {
        println!("{outcome:?}: {script}");
    }
}
