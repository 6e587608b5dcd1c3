//! Sql: statements of a module on its tenant's unit.
//!
//! `SqlView` finds the unit, holds the budgets and owns the transactions; `sqlite.rs` and
//! `postgres.rs` translate between the contract and a database, `rows.rs` writes rows down. The walls
//! themselves are in `database/`.

mod postgres;
mod rows;
mod sqlite;

use std::sync::Arc;
use std::time::Instant;

use sqlx::AssertSqlSafe;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use self::rows::Encoder;
use crate::bindings::hostel::sql::sql::{self, Dialect, Host, HostTransaction, Value};
use crate::call::CallContext;
use crate::database::{
    Allowance, Failure, PostgresConnection, PostgresLease, PostgresUnit, Speaker, SqliteConnection,
    SqliteLease, SqliteUnit, Unit, Units,
};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;

/// How often a statement that stands for itself is tried where others come in between.
const ATTEMPTS_MAX: u32 = 5;

/// What one call may do with its tenant's unit.
pub struct SqlView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) units: &'a Units,
}

/// `transaction`: dropped in any way but by `commit`, it is rolled back.
pub struct Transaction {
    connection: Open,
    /// Set once a statement has failed: PostgreSQL then takes no other, so that nobody may rely on
    /// a database that would.
    has_failed: bool,
}

/// The connection of a transaction.
enum Open {
    Sqlite {
        connection: SqliteLease,
        unit: Arc<SqliteUnit>,
        /// The turn to write ends with the transaction.
        _writer: OwnedSemaphorePermit,
    },
    Postgres(PostgresLease),
}

struct SqlData;

impl HasData for SqlData {
    type Data<'a> = SqlView<'a>;
}

/// Links `hostel:sql`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> SqlView<'_>,
) -> Result<(), wasmtime::Error> {
    sql::add_to_linker::<T, SqlData>(linker, view)
}

/// What a guest is told of a statement that failed.
pub fn explain(failure: Failure) -> Error {
    match &failure {
        Failure::Database(sqlx::Error::Database(refusal))
            if refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() =>
        {
            postgres::explain(failure)
        }
        _ => sqlite::explain(failure),
    }
}

impl SqlView<'_> {
    async fn unit(&mut self) -> Result<Unit> {
        let size_max = self.call.limits.database_max_bytes.get();
        self.units.of_tenant(self.call.tenant.id, size_max).await
    }

    /// What a statement may use: its own limit, and what is left of the call.
    fn allowance(&self) -> Result<Allowance> {
        let left = self.call.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(overdue());
        }
        Ok(Allowance {
            time: left.min(self.call.limits.sql_statement_timeout_ms.as_millis()),
            cpu_max: self.call.limits.cpu_ms.as_millis(),
            cpu: Arc::clone(&self.call.cpu),
        })
    }

    /// A statement that has been paid for.
    fn statement(&mut self, text: String, parameters: Vec<Value>) -> Result<Statement> {
        let bytes = text.len() + parameters.iter().map(size).sum::<usize>();
        self.call.budget.pay_for_bytes(bytes)?;
        Ok(Statement { text, parameters, allowance: self.allowance()? })
    }

    /// A second write of one call would wait for the first until the call ends.
    fn writes_once(&self) -> Result<()> {
        if self.call.budget.writing {
            return Err(Error::new(
                ErrorKind::Conflict,
                "transaction-open",
                "this call has a transaction open: write in it, or end it first",
            ));
        }
        Ok(())
    }

    /// Runs a statement that stands for itself on PostgreSQL, and puts its rows into an answer within
    /// `limits`, where they are wanted. Where others come in between, nothing of it has happened, and
    /// it is tried again.
    async fn alone(
        &mut self,
        unit: &Arc<PostgresUnit>,
        mut statement: Statement,
        limits: Option<&LimitsConfig>,
    ) -> Result<(u64, Vec<u8>)> {
        let mut attempts = 0..ATTEMPTS_MAX;
        loop {
            attempts.next();
            let mut connection = unit.lease(self.call.deadline).await?;
            let mut encoder = limits.map(Encoder::new);
            match statement.run_on_postgres(&mut connection, encoder.as_mut()).await {
                Ok(changed) => {
                    return Ok((changed, encoder.map_or_else(Vec::new, Encoder::finish)));
                }
                Err(failure) if !attempts.is_empty() && postgres::may_be_repeated(&failure) => {}
                Err(failure) => return Err(explain(failure)),
            }
            statement.allowance = self.allowance()?;
        }
    }

    /// A transaction that the guest uses.
    fn open(&mut self, transaction: &Resource<Transaction>) -> Result<&mut Transaction> {
        let open = self.table.get_mut(transaction).map_err(closed)?;
        if open.has_failed {
            return Err(failed_before());
        }
        Ok(open)
    }

    /// Takes a transaction out of the guest's hands.
    fn take(&mut self, transaction: Resource<Transaction>) -> Result<Transaction> {
        let transaction = self.table.delete(transaction).map_err(closed)?;
        self.call.budget.handles_open = self.call.budget.handles_open.saturating_sub(1);
        self.call.budget.writing = false;
        Ok(transaction)
    }
}

/// One statement of a guest.
struct Statement {
    text: String,
    parameters: Vec<Value>,
    allowance: Allowance,
}

impl Statement {
    async fn check_parameters(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        let wanted = connection.parameters_of(&self.text, &self.allowance).await?;
        let given = self.parameters.len();
        if wanted == given { Ok(()) } else { Err(Failure::Refused(miscounted(wanted, given))) }
    }

    async fn rows_on_sqlite(
        self,
        connection: &mut SqliteConnection,
        unit: &SqliteUnit,
        limits: &LimitsConfig,
    ) -> Result<Vec<u8>, Failure> {
        self.check_parameters(connection).await?;
        let mut rows = sqlite::Rows::new(unit, limits);
        let query = sqlite::bind(sqlx::query(AssertSqlSafe(self.text)), self.parameters);
        connection.run(Speaker::Guest, self.allowance, query, |row| rows.push(row)).await?;
        Ok(rows.finish())
    }

    async fn changes_on_sqlite(self, connection: &mut SqliteConnection) -> Result<u64, Failure> {
        self.check_parameters(connection).await?;
        let query = sqlite::bind(sqlx::query(AssertSqlSafe(self.text)), self.parameters);
        connection.run(Speaker::Guest, self.allowance, query, |_| Ok(())).await
    }

    async fn run_on_postgres(
        &self,
        connection: &mut PostgresConnection,
        encoder: Option<&mut Encoder>,
    ) -> Result<u64, Failure> {
        postgres::run(connection, &self.text, &self.parameters, self.allowance.time, encoder).await
    }
}

impl Transaction {
    async fn rows(&mut self, statement: Statement, limits: &LimitsConfig) -> Result<Vec<u8>> {
        let outcome = match &mut self.connection {
            Open::Sqlite { connection, unit, .. } => {
                statement.rows_on_sqlite(connection, unit, limits).await
            }
            Open::Postgres(connection) => {
                let mut encoder = Encoder::new(limits);
                let ran = statement.run_on_postgres(connection, Some(&mut encoder)).await;
                ran.map(|_| encoder.finish())
            }
        };
        self.learn(outcome)
    }

    async fn changes(&mut self, statement: Statement) -> Result<u64> {
        let outcome = match &mut self.connection {
            Open::Sqlite { connection, .. } => statement.changes_on_sqlite(connection).await,
            Open::Postgres(connection) => statement.run_on_postgres(connection, None).await,
        };
        self.learn(outcome)
    }

    fn learn<T>(&mut self, outcome: Result<T, Failure>) -> Result<T> {
        self.has_failed |= outcome.is_err();
        outcome.map_err(explain)
    }

    async fn end(mut self, commit: bool) -> Result<()> {
        let commit = commit && !self.has_failed;
        let ended = match &mut self.connection {
            Open::Sqlite { connection, .. } => connection.end(commit).await,
            Open::Postgres(connection) => connection.end(commit).await.map_err(explain),
        };
        if self.has_failed { ended.and(Err(failed_before())) } else { ended }
    }
}

impl Host for SqlView<'_> {
    fn current_dialect(&mut self) -> wasmtime::Result<Dialect> {
        Ok(match self.units {
            Units::Sqlite(_) => Dialect::Sqlite,
            Units::Postgres(_) => Dialect::Postgres,
        })
    }

    async fn query(&mut self, text: String, parameters: Vec<Value>) -> Result<Vec<u8>> {
        let limits = Arc::clone(&self.call.limits);
        let rows = match self.unit().await? {
            Unit::Sqlite(unit) => {
                // Waiting for the turn to write here spares SQLite's own waiting, which holds a
                // thread. The guess may be wrong (a `WITH` that inserts): then SQLite waits, as long
                // as it is allowed.
                let _writer = if reads_only(&text) {
                    None
                } else {
                    self.writes_once()?;
                    Some(unit.writer(self.call.deadline).await?)
                };
                let mut connection = unit.lease(self.call.deadline).await?;
                let statement = self.statement(text, parameters)?;
                let rows = statement.rows_on_sqlite(&mut connection, &unit, &limits).await;
                rows.map_err(explain)?
            }
            Unit::Postgres(unit) => {
                if !reads_only(&text) {
                    self.writes_once()?;
                }
                let statement = self.statement(text, parameters)?;
                self.alone(&unit, statement, Some(&limits)).await?.1
            }
        };
        self.call.budget.pay_for_bytes(rows.len())?;
        Ok(rows)
    }

    async fn execute(&mut self, text: String, parameters: Vec<Value>) -> Result<u64> {
        self.writes_once()?;
        match self.unit().await? {
            Unit::Sqlite(unit) => {
                let _writer = unit.writer(self.call.deadline).await?;
                let mut connection = unit.lease(self.call.deadline).await?;
                let statement = self.statement(text, parameters)?;
                statement.changes_on_sqlite(&mut connection).await.map_err(explain)
            }
            Unit::Postgres(unit) => {
                let statement = self.statement(text, parameters)?;
                Ok(self.alone(&unit, statement, None).await?.0)
            }
        }
    }
}

impl HostTransaction for SqlView<'_> {
    async fn begin(&mut self) -> Result<Resource<Transaction>> {
        self.writes_once()?;
        let connection = match self.unit().await? {
            Unit::Sqlite(unit) => {
                let writer = unit.writer(self.call.deadline).await?;
                let mut connection = unit.lease(self.call.deadline).await?;
                connection.begin().await?;
                Open::Sqlite { connection, unit, _writer: writer }
            }
            Unit::Postgres(unit) => {
                let mut connection = unit.lease(self.call.deadline).await?;
                connection.begin("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
                Open::Postgres(connection)
            }
        };
        let transaction = Transaction { connection, has_failed: false };
        let handle = self.table.push(transaction).map_err(|error| {
            Error::new(ErrorKind::Limit, "handles", "too many handles are open").because(error)
        })?;
        self.call.budget.handles_open += 1;
        self.call.budget.writing = true;
        Ok(handle)
    }

    async fn query(
        &mut self,
        transaction: Resource<Transaction>,
        text: String,
        parameters: Vec<Value>,
    ) -> Result<Vec<u8>> {
        let limits = Arc::clone(&self.call.limits);
        let statement = self.statement(text, parameters)?;
        let rows = self.open(&transaction)?.rows(statement, &limits).await?;
        self.call.budget.pay_for_bytes(rows.len())?;
        Ok(rows)
    }

    async fn execute(
        &mut self,
        transaction: Resource<Transaction>,
        text: String,
        parameters: Vec<Value>,
    ) -> Result<u64> {
        let statement = self.statement(text, parameters)?;
        self.open(&transaction)?.changes(statement).await
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Result<()> {
        self.take(transaction)?.end(true).await
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Result<()> {
        let mut transaction = self.take(transaction)?;
        transaction.has_failed = false;
        transaction.end(false).await
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        // Rolled back in good order, the connection is kept; where that fails, it is closed.
        let _ = self.take(transaction)?.end(false).await;
        Ok(())
    }
}

/// The bytes of a parameter.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => std::mem::size_of::<i64>(),
    }
}

/// A guess by the first word, for the order of waiting alone: the database decides what is written.
fn reads_only(statement: &str) -> bool {
    let first = statement.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    first.is_some_and(|word| {
        ["select", "with", "values"].iter().any(|reading| word.eq_ignore_ascii_case(reading))
    })
}

fn closed(error: wasmtime::component::ResourceTableError) -> Error {
    Error::invalid("the transaction has ended").because(error)
}

fn failed_before() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-failed",
        "a statement of this transaction failed: it takes no other, and nothing of it took effect",
    )
}

fn miscounted(wanted: usize, given: usize) -> Error {
    Error::invalid(format!("the statement has {wanted} parameters, and {given} were given"))
}

fn overdue() -> Error {
    Error::new(ErrorKind::Timeout, "timeout", "the call has no time left for another statement")
}

fn statement_timeout() -> Error {
    Error::new(ErrorKind::Timeout, "statement-timeout", "the statement ran for too long")
}
