//! A connection that logged in as one unit's role, and what is run on it.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _};
use tokio::sync::OwnedSemaphorePermit;

use super::super::ledger::AppliedMigration;
use super::super::units::Failure;
use super::statements;
use crate::error::{Error, Result};

/// How long the host's own statements may take: they wait for locks of others at most.
const HOST_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to one unit.
pub(crate) struct Connection {
    inner: PgConnection,
    /// The schema of the unit, for the host's own statements: names of guests' search paths are
    /// never relied on.
    schema: String,
    /// The process that serves it, to be ended when a statement outruns its time.
    process: i32,
    /// Set while a statement runs or a transaction is open; a connection that is given back like
    /// this is closed, and its process ended.
    busy: bool,
    /// Set when something made the connection unfit for others.
    spoilt: bool,
    /// The state of the unit's tables that its prepared statements were made for.
    pub(super) generation: u64,
    /// One of the connections that there may be at once.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) async fn new(
        mut inner: PgConnection,
        schema: String,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, sqlx::Error> {
        let process = sqlx::query("SELECT pg_catalog.pg_backend_pid()")
            .persistent(false)
            .fetch_one(&mut inner)
            .await?
            .try_get(0)?;
        Ok(Self { inner, schema, process, busy: false, spoilt: false, generation, permit })
    }

    pub(super) fn process(&self) -> i32 {
        self.process
    }

    /// Whether nothing is left of those who had it.
    pub(super) fn is_as_new(&self) -> bool {
        !self.busy && !self.spoilt
    }

    /// Whether something still runs on it that must be ended.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(super) fn into_parts(self) -> (PgConnection, OwnedSemaphorePermit) {
        (self.inner, self.permit)
    }

    /// What the server makes of a guest's statement: the types of its parameters and columns. Nothing
    /// crosses the network for one that this connection has seen.
    ///
    /// `types` are those of parameters which the statement's own words leave open.
    ///
    /// # Errors
    /// The server's, or that the statement is none of those which guests may use.
    pub(crate) async fn prepare(
        &mut self,
        statement: &str,
        types: &[PgTypeInfo],
        time: Duration,
    ) -> Result<PgStatement, Failure> {
        let statement = statements::on_rows(statement).map_err(Failure::Refused)?;
        let text = AssertSqlSafe(statement.to_owned()).into_sql_str();
        let was_busy = std::mem::replace(&mut self.busy, true);
        let prepared = tokio::time::timeout(time, self.inner.prepare_with(text, types)).await;
        let prepared = prepared.map_err(|_| Failure::Overdue)?;
        self.busy = was_busy;
        self.learn(prepared)
    }

    /// Runs what was prepared, for at most `time`. `each` gets row by row and may stop with an error.
    /// Returns how many rows were changed.
    ///
    /// # Errors
    /// The server's, or that of `each`.
    pub(crate) async fn run(
        &mut self,
        statement: &PgStatement,
        arguments: PgArguments,
        time: Duration,
        mut each: impl FnMut(&PgRow) -> Result<()>,
    ) -> Result<u64, Failure> {
        use sqlx::Statement as _;

        let was_busy = std::mem::replace(&mut self.busy, true);
        let running = async {
            let mut changed = 0;
            let mut results = self.inner.fetch_many(statement.query_with(arguments));
            while let Some(result) = results.try_next().await? {
                match result {
                    sqlx::Either::Left(done) => changed += done.rows_affected(),
                    sqlx::Either::Right(row) => each(&row).map_err(Failure::Refused)?,
                }
            }
            Ok(changed)
        };
        let outcome = tokio::time::timeout(time, running).await;
        match outcome {
            // Cut short, the statement still runs: such a connection stays marked.
            Err(_) => Err(Failure::Overdue),
            Ok(Err(Failure::Refused(error))) => Err(Failure::Refused(error)),
            Ok(ended) => {
                self.busy = was_busy;
                match ended {
                    Err(Failure::Database(error)) => self.learn(Err(error)),
                    other => other,
                }
            }
        }
    }

    /// Some errors say that the connection is of no further use.
    fn learn<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Failure> {
        outcome.map_err(|error| {
            // Codes of https://www.postgresql.org/docs/current/errcodes-appendix.html: 0A000 comes
            // when tables changed under a prepared statement.
            let code = error.as_database_error().and_then(|refusal| refusal.code());
            if code.is_none_or(|code| code == "0A000" || code.starts_with("57P")) {
                self.spoilt = true;
            }
            Failure::Database(error)
        })
    }

    /// Begins a transaction. Until [`end`](Self::end), the connection counts as in use.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn begin(&mut self, begin: &'static str) -> Result<()> {
        self.as_host(begin).await?;
        self.busy = true;
        Ok(())
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it cannot be committed; it is rolled back then.
    pub(crate) async fn end(&mut self, commit: bool) -> Result<(), Failure> {
        let ended = self.raw(if commit { "COMMIT" } else { "ROLLBACK" }).await;
        // Refused by the server, a commit has ended the transaction too.
        self.busy = !matches!(ended, Ok(()) | Err(sqlx::Error::Database(_)));
        self.learn(ended)
    }

    /// Says one of the host's own statements, which answers nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn as_host(&mut self, statement: &'static str) -> Result<()> {
        Ok(self.raw(statement).await?)
    }

    async fn raw(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let was_busy = std::mem::replace(&mut self.busy, true);
        let saying = self.inner.execute(sqlx::raw_sql(statement));
        let said = tokio::time::timeout(HOST_TIMEOUT, saying)
            .await
            .map_err(|_| sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut)))?;
        self.busy = was_busy;
        said.map(|_| ())
    }

    /// Runs a module's migration script, which may hold many statements. Each goes to the server
    /// alone, so that none can end the transaction around it.
    ///
    /// # Errors
    /// The server's, or that the script holds what migrations may not use.
    pub(crate) async fn migrate(&mut self, script: &str, time: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        for statement in statements::of_migration(script).map_err(Failure::Refused)? {
            let left = deadline.saturating_duration_since(Instant::now());
            let was_busy = std::mem::replace(&mut self.busy, true);
            let query = sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false);
            let done = tokio::time::timeout(left, self.inner.execute(query)).await;
            let done = done.map_err(|_| Failure::Overdue)?;
            self.busy = was_busy;
            self.learn(done)?;
        }
        Ok(())
    }

    /// Lets the unit's runtime role use the tables that its owner will make.
    pub(super) async fn share_new_tables(&mut self, runtime: &str) -> Result<(), sqlx::Error> {
        let schema = &self.schema;
        let script = format!(
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime};
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {runtime};"
        );
        self.inner.execute(sqlx::raw_sql(AssertSqlSafe(script))).await?;
        Ok(())
    }

    /// The migrations of `module` that this unit has seen, in order.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn applied(&mut self, module: &str) -> Result<Vec<AppliedMigration>> {
        let statement = format!(
            "SELECT id, checksum FROM {}.hostel_migrations WHERE module = $1 ORDER BY id",
            self.schema
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(module)
            .persistent(false)
            .fetch_all(&mut self.inner)
            .await?;
        rows.iter()
            .map(|row| Ok(AppliedMigration { id: row.try_get(0)?, checksum: row.try_get(1)? }))
            .collect()
    }

    /// Writes a row of the ledger, in the transaction that is open, and says whether it was new. While
    /// another process applies the same migration, this waits for it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn record(
        &mut self,
        module: &str,
        migration: &AppliedMigration,
    ) -> Result<bool> {
        let statement = format!(
            "INSERT INTO {}.hostel_migrations (module, id, checksum) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
            self.schema
        );
        let done = sqlx::query(AssertSqlSafe(statement))
            .bind(module)
            .bind(&migration.id)
            .bind(&migration.checksum)
            .persistent(false)
            .execute(&mut self.inner)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// The server's errors, while a statement runs.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What the server does not say better.
pub(super) fn unreachable(error: sqlx::Error) -> Error {
    Error::new(
        crate::error::ErrorKind::Unavailable,
        "database",
        "the tenant's database cannot be opened",
    )
    .because(error)
}
