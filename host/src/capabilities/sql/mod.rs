//! Sql: statements of a module on its tenant's unit.
//!
//! `SqlView` finds the unit, holds the budgets and owns the transactions; `values.rs` translates
//! between the contract and the database. The wall itself is `database/guard.rs`.

mod values;

use std::sync::Arc;
use std::time::Instant;

use sqlx::AssertSqlSafe;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

pub use self::values::explain;
use self::values::{RowBuffer, bind};
use crate::bindings::hostel::sql::sql::{self, Dialect, Host, HostTransaction, Value};
use crate::call::CallContext;
use crate::database::{Allowance, GuestConnection, Lease, Speaker, Unit, Units};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;

/// What one call may do with its tenant's unit.
pub struct SqlView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) units: &'a Units,
}

/// `transaction`: dropped in any way but by `commit`, its connection is closed and SQLite rolls back.
pub struct Transaction {
    connection: Lease,
    unit: Arc<Unit>,
    /// The turn to write ends with the transaction.
    _writer: OwnedSemaphorePermit,
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

impl SqlView<'_> {
    async fn unit(&mut self) -> Result<Arc<Unit>> {
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
        let bytes = text.len() + parameters.iter().map(values::size).sum::<usize>();
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
    async fn check_parameters(&self, connection: &mut GuestConnection) -> Result<()> {
        let wanted = connection.parameters_of(&self.text, &self.allowance).await;
        let wanted = wanted.map_err(explain)?;
        let given = self.parameters.len();
        if wanted == given {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the statement has {wanted} parameters, and {given} were given"
        )))
    }

    async fn rows(
        self,
        connection: &mut GuestConnection,
        unit: &Unit,
        limits: &LimitsConfig,
    ) -> Result<Vec<u8>> {
        self.check_parameters(connection).await?;
        let mut buffer = RowBuffer::new(unit, limits);
        let query = bind(sqlx::query(AssertSqlSafe(self.text)), self.parameters);
        connection
            .run(Speaker::Guest, self.allowance, query, |row| buffer.push(row))
            .await
            .map_err(explain)?;
        Ok(buffer.finish())
    }

    async fn changes(self, connection: &mut GuestConnection) -> Result<u64> {
        self.check_parameters(connection).await?;
        let query = bind(sqlx::query(AssertSqlSafe(self.text)), self.parameters);
        let changed = connection.run(Speaker::Guest, self.allowance, query, |_| Ok(())).await;
        changed.map_err(explain)
    }
}

impl Host for SqlView<'_> {
    fn current_dialect(&mut self) -> wasmtime::Result<Dialect> {
        Ok(Dialect::Sqlite)
    }

    async fn query(&mut self, text: String, parameters: Vec<Value>) -> Result<Vec<u8>> {
        let unit = self.unit().await?;
        // Waiting for the turn to write here spares SQLite's own waiting, which holds a thread. The
        // guess may be wrong (a `WITH` that inserts): then SQLite waits, as long as it is allowed.
        let _writer = if reads_only(&text) {
            None
        } else {
            self.writes_once()?;
            Some(unit.writer(self.call.deadline).await?)
        };
        let mut connection = unit.lease(self.call.deadline).await?;
        let statement = self.statement(text, parameters)?;
        let rows = statement.rows(&mut connection, &unit, &self.call.limits).await?;
        self.call.budget.pay_for_bytes(rows.len())?;
        Ok(rows)
    }

    async fn execute(&mut self, text: String, parameters: Vec<Value>) -> Result<u64> {
        self.writes_once()?;
        let unit = self.unit().await?;
        let _writer = unit.writer(self.call.deadline).await?;
        let mut connection = unit.lease(self.call.deadline).await?;
        let statement = self.statement(text, parameters)?;
        statement.changes(&mut connection).await
    }
}

impl HostTransaction for SqlView<'_> {
    async fn begin(&mut self) -> Result<Resource<Transaction>> {
        self.writes_once()?;
        let unit = self.unit().await?;
        let writer = unit.writer(self.call.deadline).await?;
        let mut connection = unit.lease(self.call.deadline).await?;
        connection.begin().await?;
        let transaction = Transaction { connection, unit, _writer: writer };
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
        let statement = self.statement(text, parameters)?;
        let open = self.table.get_mut(&transaction).map_err(closed)?;
        let rows = statement.rows(&mut open.connection, &open.unit, &self.call.limits).await?;
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
        let open = self.table.get_mut(&transaction).map_err(closed)?;
        statement.changes(&mut open.connection).await
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Result<()> {
        self.take(transaction)?.connection.end(true).await
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Result<()> {
        self.take(transaction)?.connection.end(false).await
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        let mut transaction = self.take(transaction)?;
        // Rolled back in good order, the connection is kept; where that fails, it is closed.
        let _ = transaction.connection.end(false).await;
        Ok(())
    }
}

/// A guess by the first word, for the order of waiting alone: SQLite decides what is written.
fn reads_only(statement: &str) -> bool {
    let first = statement.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    first.is_some_and(|word| {
        ["select", "with", "values"].iter().any(|reading| word.eq_ignore_ascii_case(reading))
    })
}

fn closed(error: wasmtime::component::ResourceTableError) -> Error {
    Error::invalid("the transaction has ended").because(error)
}

fn overdue() -> Error {
    Error::new(ErrorKind::Timeout, "timeout", "the call has no time left for another statement")
}
