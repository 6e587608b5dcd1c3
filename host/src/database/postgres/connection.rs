//! A connection that logged in as one unit's role, and what is run on it.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Executor as _, Row as _, SqlSafeStr, Statement as _};
use tokio::sync::OwnedSemaphorePermit;

use super::super::ledger::AppliedMigration;
use super::super::units::Failure;
use super::statements;
use crate::error::{Error, ErrorKind, Result};

/// How long the host's own statements may take: they wait for locks of others at most.
const HOST_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to one unit.
pub(crate) struct Connection {
    pub(super) inner: PgConnection,
    /// Who logged in.
    role: String,
    /// The schema of the unit, for the host's own statements: names of guests' search paths are
    /// never relied on.
    pub(super) schema: String,
    /// The process that serves it, to be ended when a statement outruns its time.
    process: i32,
    /// Set while a statement runs or a transaction is open; a connection that is given back like
    /// this is closed, and its process ended.
    pub(super) busy: bool,
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
        role: String,
        schema: String,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, sqlx::Error> {
        let process = sqlx::query("SELECT pg_catalog.pg_backend_pid()")
            .persistent(false)
            .fetch_one(&mut inner)
            .await?
            .try_get(0)?;
        Ok(Self { inner, role, schema, process, busy: false, spoilt: false, generation, permit })
    }

    /// Whether nothing is left of those who had it.
    pub(super) fn is_as_new(&self) -> bool {
        !self.busy && !self.spoilt
    }

    /// The process, and the role that it serves, where something still runs there that must be
    /// ended.
    pub(super) fn left_running(&self) -> Option<(i32, String)> {
        self.busy.then(|| (self.process, self.role.clone()))
    }

    pub(super) fn into_parts(self) -> (PgConnection, OwnedSemaphorePermit) {
        (self.inner, self.permit)
    }

    /// What the server makes of a guest's statement: the types of its parameters and columns. Nothing
    /// crosses the network for one that this connection has seen.
    ///
    /// `before` is what the host says before it: nothing, or that it asks for a plan. `types` are
    /// those of parameters which the statement's own words leave open.
    ///
    /// # Errors
    /// The server's, or that the statement is none of those which guests may use.
    pub(crate) async fn prepare(
        &mut self,
        before: &'static str,
        statement: &str,
        types: &[PgTypeInfo],
        time: Duration,
    ) -> Result<PgStatement, Failure> {
        let statement = statements::on_rows(statement).map_err(Failure::Refused)?;
        let text = AssertSqlSafe(format!("{before}{statement}")).into_sql_str();
        let preparing = self.inner.prepare_with(text, types);
        let prepared = watched(&mut self.busy, time, preparing).await.ok_or(Failure::Overdue)?;
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
        let mut running = self.start(statement, arguments, time);
        let mut changed = 0;
        while let Some(result) = running.next().await? {
            match result {
                Either::Left(done) => changed += done.rows_affected(),
                Either::Right(row) => each(&row).map_err(Failure::Refused)?,
            }
        }
        Ok(changed)
    }

    /// Starts what was prepared: its rows are taken one by one, for at most `time` together. Given up
    /// before the end, the connection is closed and what runs there is ended.
    pub(crate) fn start<'c, 's: 'c>(
        &'c mut self,
        statement: &'s PgStatement,
        arguments: PgArguments,
        time: Duration,
    ) -> Running<'c> {
        let was_busy = std::mem::replace(&mut self.busy, true);
        let results = self.inner.fetch_many(statement.query_with(arguments));
        // What lasts for ever does so in a call that does not.
        let deadline = Instant::now().checked_add(time);
        Running { results, busy: &mut self.busy, was_busy, spoilt: &mut self.spoilt, deadline }
    }

    /// Some errors say that the connection is of no further use.
    fn learn<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Failure> {
        outcome.map_err(|error| {
            self.spoilt |= spoils(&error);
            Failure::Database(error)
        })
    }

    /// Begins a transaction. Until [`end`](Self::end), the connection counts as in use.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn begin(&mut self, begin: Begin) -> Result<(), Failure> {
        let mut statement = begin.statement.to_owned();
        if begin.takes_turn {
            statement
                .push_str(&format!("; LOCK TABLE {}.hostel_turn IN EXCLUSIVE MODE", self.schema));
        }
        let begun = self.raw(AssertSqlSafe(statement)).await;
        // Refused its turn, it has begun all the same.
        self.busy = true;
        self.learn(begun)
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it cannot be committed; it is rolled back then.
    pub(crate) async fn end(&mut self, commit: bool) -> Result<(), Failure> {
        let ended = self.raw(AssertSqlSafe(if commit { "COMMIT" } else { "ROLLBACK" })).await;
        // Refused by the server, a commit has ended the transaction too.
        self.busy = !matches!(ended, Ok(()) | Err(sqlx::Error::Database(_)));
        self.learn(ended)
    }

    /// Says one of the host's own statements, which answers nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn as_host(&mut self, statement: &'static str) -> Result<()> {
        Ok(self.raw(AssertSqlSafe(statement)).await?)
    }

    pub(super) async fn raw(&mut self, statement: impl SqlSafeStr) -> Result<(), sqlx::Error> {
        let saying = self.inner.execute(sqlx::raw_sql(statement));
        let said = watched(&mut self.busy, HOST_TIMEOUT, saying).await;
        said.ok_or_else(|| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?.map(|_| ())
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
            let query = sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false);
            let running = self.inner.execute(query);
            let done = watched(&mut self.busy, left, running).await.ok_or(Failure::Overdue)?;
            self.learn(done)?;
        }
        Ok(())
    }

    /// Lets the unit's runtime role use the tables that its owner will make.
    pub(super) async fn share_new_tables(&mut self, runtime: &str) -> Result<(), sqlx::Error> {
        if self.shares_new_tables().await? {
            return Ok(());
        }
        let schema = &self.schema;
        let script = format!(
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime};
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {runtime};"
        );
        match self.inner.execute(sqlx::raw_sql(AssertSqlSafe(script))).await {
            // Another process may have been quicker.
            Err(error) if !self.shares_new_tables().await? => Err(error),
            _ => Ok(()),
        }
    }

    async fn shares_new_tables(&mut self) -> Result<bool, sqlx::Error> {
        let shared: i64 = sqlx::query(
            "SELECT count(*) FROM pg_catalog.pg_default_acl a
             JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace WHERE n.nspname = $1",
        )
        .bind(&self.schema)
        .persistent(false)
        .fetch_one(&mut self.inner)
        .await?
        .try_get(0)?;
        // Tables and sequences.
        Ok(shared == 2)
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

    /// What there is of the host's in the unit, what refers to it, and what the transaction that is
    /// open has written to the ledger. The role that migrates may write there, and could let others
    /// write through a view.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn hosts_own(&mut self) -> Result<Vec<String>> {
        let schema = &self.schema;
        let statement = format!(
            r"WITH own AS (
                  SELECT c.oid, c.relname FROM pg_catalog.pg_class c
                  WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname LIKE 'hostel\_%'
              )
              SELECT 'relation ' || oid FROM own
              UNION ALL
              SELECT 'type ' || t.oid FROM pg_catalog.pg_type t
              WHERE t.typnamespace = '{schema}'::regnamespace AND t.typname LIKE 'hostel\_%'
              UNION ALL
              SELECT DISTINCT 'rule ' || d.objid FROM pg_catalog.pg_depend d
              JOIN own ON own.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_class'::regclass
              WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
              UNION ALL
              SELECT 'row ' || module || ' ' || id FROM {schema}.hostel_migrations
              WHERE xmin = pg_catalog.pg_current_xact_id_if_assigned()::xid
              ORDER BY 1"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .persistent(false)
            .fetch_all(&mut self.inner)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// Waits until what runs on a connection has ended, for at most `time`. Given up before, by time or
/// because nobody asks any more, it still runs: the connection stays marked.
pub(super) async fn watched<T>(
    busy: &mut bool,
    time: Duration,
    running: impl Future<Output = T>,
) -> Option<T> {
    let was_busy = std::mem::replace(busy, true);
    let ended = tokio::time::timeout(time, running).await.ok()?;
    *busy = was_busy;
    Some(ended)
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    /// `BEGIN`, with its isolation level.
    pub(crate) statement: &'static str,
    /// Whether it waits until no other one runs that takes turns, as all do on SQLite that write:
    /// so that none of them fails because another one came first.
    pub(crate) takes_turn: bool,
}

/// A statement that runs.
pub(crate) struct Running<'c> {
    results: BoxStream<'c, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>,
    busy: &'c mut bool,
    was_busy: bool,
    spoilt: &'c mut bool,
    deadline: Option<Instant>,
}

impl Running<'_> {
    /// The next row or count of changes; none at the end.
    ///
    /// # Errors
    /// The server's, or that it took too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Either<PgQueryResult, PgRow>>, Failure> {
        let next = match self.deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), self.results.try_next())
                .await
                .map_err(|_| Failure::Overdue)?,
            None => self.results.try_next().await,
        };
        match next {
            Ok(Some(result)) => Ok(Some(result)),
            ended => {
                // It has ended by itself: nothing is left to be stopped.
                *self.busy = self.was_busy;
                ended.map(|_| None).map_err(|error| {
                    *self.spoilt |= spoils(&error);
                    Failure::Database(error)
                })
            }
        }
    }
}

/// Whether an error says that its connection is of no further use: it came from elsewhere than from
/// a server that goes on, or tables changed under a prepared statement (`0A000`). Codes are those of
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn spoils(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    code.is_none_or(|code| code == "0A000" || code.starts_with("57P"))
}

/// What the server does not say better.
pub(super) fn unreachable(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "database", "the tenant's database cannot be opened")
        .because(error)
}
