//! Sql: statements of a module on the unit in which it keeps its tenant's rows.
//!
//! `SqlView` finds the unit, pays from the budgets and hands out turns; `transaction.rs` and
//! `cursor.rs` are what a guest holds, `statement.rs` is what runs. `sqlite.rs` and `postgres.rs`
//! translate between the contract and a database, `rows.rs` writes rows down. The walls themselves are
//! in `database/`.

mod cursor;
mod postgres;
mod rows;
mod sqlite;
mod statement;
mod transaction;

use std::time::Instant;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};

pub use self::cursor::Cursor;
pub(crate) use self::postgres::is_for_its_turn;
use self::statement::{Statement, Terms};
pub use self::transaction::Transaction;
use self::transaction::{Batch, run_all};
use crate::bindings::hostel::sql::sql::{
    self, Dialect, Host, HostCursor, HostTransaction, Isolation, TransactionOptions, Value,
};
use crate::call::CallContext;
use crate::database::{Access, Failure, Lease, OpenTransaction, Unit, Units};
use crate::error::{Error, ErrorKind, Result};

/// How often what stands for itself is tried, where others come in between.
const ATTEMPTS_MAX: u32 = 5;

/// What one call may do with the unit of its module.
pub struct SqlView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) units: &'a Units,
    /// The transaction that the call has open and may write in.
    pub(crate) writing: &'a mut Option<OpenTransaction>,
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
    match failure {
        Failure::Refused(error) => error,
        Failure::Overdue => statement::timed_out(),
        Failure::GaveWay => postgres::gave_way(),
        Failure::TooLarge => rows::too_large("bytes", "shorter values or fewer columns"),
        Failure::Server(refusal) => postgres::explain(refusal),
        Failure::Database(error) => sqlite::explain(error),
    }
}

impl SqlView<'_> {
    async fn unit(&mut self) -> Result<Unit> {
        let size_max = self.call.limits.database_max_bytes.get();
        self.units.unit(&self.call.unit(), size_max).await
    }

    /// A statement that has been paid for.
    fn statement(&mut self, text: String, parameters: &[Value]) -> Result<Statement> {
        let bytes = text.len() + parameters.iter().map(statement::size).sum::<usize>();
        self.call.budget.pay_for_bytes(bytes)?;
        Ok(Statement::new(text, Terms::of(self.call, self.units.slow_statement())))
    }

    /// Statements that have been paid for.
    fn statements(&mut self, statements: Vec<sql::Statement>) -> Result<Batch> {
        let paid = statements.into_iter().map(|statement| {
            let runs = statement.parameters;
            // An empty list is not free: it makes the statement run.
            let lists = runs.len() * size_of::<Vec<Value>>();
            self.call.budget.pay_for_bytes(lists)?;
            let all = runs.iter().flatten().map(statement::size).sum();
            self.call.budget.pay_for_bytes(all)?;
            Ok((self.statement(statement.text, &[])?, runs))
        });
        paid.collect()
    }

    /// A second write of one call would wait for the first until the call ends.
    fn writes_once(&self) -> Result<()> {
        if self.writing.is_some() {
            return Err(in_use("this call has a transaction open: write in it, or end it first"));
        }
        Ok(())
    }

    /// Calls that hold some connections and wait for others could wait for each other.
    fn reads_once(&self) -> Result<()> {
        if self.call.budget.reading {
            return Err(in_use(
                "this call has a cursor or a read-only transaction open: end it first",
            ));
        }
        Ok(())
    }

    /// Gives a handle to the guest.
    fn give<T: Send + 'static>(&mut self, held: T) -> Result<Resource<T>> {
        let handle = self.table.push(held).map_err(|error| {
            Error::new(ErrorKind::Limit, "handles", "too many handles are open").because(error)
        })?;
        self.call.budget.handles_open += 1;
        Ok(handle)
    }

    /// Takes a handle out of the guest's hands.
    fn take<T: 'static>(&mut self, handle: Resource<T>) -> Result<T> {
        let held = self.table.delete(handle).map_err(closed)?;
        self.call.budget.handles_open = self.call.budget.handles_open.saturating_sub(1);
        Ok(held)
    }

    async fn end(&mut self, transaction: Resource<Transaction>, commit: bool) -> Result<()> {
        let transaction = self.take(transaction)?;
        match transaction.access {
            Some(Access::Write) => *self.writing = None,
            Some(Access::Read) => self.call.budget.reading = false,
            None => {}
        }
        transaction.end(commit).await
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
        let unit = self.unit().await?;
        // Waiting for the turn to write here spares SQLite's own waiting, which holds a thread. The
        // guess may be wrong (a `WITH` that inserts): then SQLite waits, as long as it is allowed.
        let _writer = if reads_only(&text) {
            None
        } else {
            self.writes_once()?;
            Some(unit.writer(self.call.deadline).await?)
        };
        let statement = self.statement(text, &parameters)?;
        let mut attempts = Attempts::new();
        let rows = loop {
            let mut connection = attempts.lease(&unit, self.call.deadline).await?;
            let rows = statement.rows(&parameters, &mut connection).await;
            if attempts.are_over(&rows) {
                break rows?;
            }
        };
        self.call.budget.pay_for_bytes(rows.len())?;
        Ok(rows)
    }

    async fn execute(&mut self, text: String, parameters: Vec<Value>) -> Result<u64> {
        self.writes_once()?;
        let unit = self.unit().await?;
        let _writer = unit.writer(self.call.deadline).await?;
        let statement = self.statement(text, &parameters)?;
        let mut attempts = Attempts::new();
        loop {
            let mut connection = attempts.lease(&unit, self.call.deadline).await?;
            let changed = statement.changes(&parameters, &mut connection).await;
            if attempts.are_over(&changed) {
                return changed;
            }
        }
    }

    async fn batch(&mut self, statements: Vec<sql::Statement>) -> Result<Vec<u64>> {
        self.writes_once()?;
        let batch = self.statements(statements)?;
        let unit = self.unit().await?;
        let begin = postgres::begin(&SERIALIZABLE);
        let _writer = unit.transaction_writer(&begin, self.call.deadline).await?;
        let mut attempts = Attempts::new();
        loop {
            let mut connection = attempts.lease(&unit, self.call.deadline).await?;
            connection.begin(Access::Write, begin).await.map_err(explain)?;
            let changed = run_all(&batch, &mut connection).await;
            let ended = connection.end(changed.is_ok()).await.map_err(explain);
            // Where a statement failed, its error says more than that of the end.
            let changed = changed.and_then(|changed| ended.map(|()| changed));
            if attempts.are_over(&changed) {
                return changed;
            }
        }
    }

    async fn explain(&mut self, text: String, parameters: Vec<Value>) -> Result<String> {
        let unit = self.unit().await?;
        let mut connection = unit.lease(self.call.deadline).await?;
        let statement = self.statement(text, &parameters)?;
        // What stands behind a `;` would be run: it writes nothing here.
        let read_only = TransactionOptions { read_only: true, ..SERIALIZABLE };
        let begin = postgres::begin(&read_only);
        connection.begin(Access::Read, begin).await.map_err(explain)?;
        let plan = statement.plan(&parameters, &mut connection).await;
        connection.end(false).await.map_err(explain)?;
        let plan = plan?;
        self.call.budget.pay_for_bytes(plan.len())?;
        Ok(plan)
    }
}

impl HostTransaction for SqlView<'_> {
    async fn begin(&mut self, options: TransactionOptions) -> Result<Resource<Transaction>> {
        let deadline = self.call.deadline;
        let unit = self.unit().await?;
        let on_postgres = postgres::begin(&options);
        let (access, turn) = if options.read_only {
            self.reads_once()?;
            (Access::Read, unit.reader(deadline).await?)
        } else {
            self.writes_once()?;
            (Access::Write, unit.transaction_writer(&on_postgres, deadline).await?)
        };
        let turn = unit.to_keep(turn, deadline).await?;
        let connection = unit.lease(deadline).await?;
        let transaction = Transaction::begin(access, on_postgres, connection, turn).await?;
        let open = transaction.open.clone();
        let handle = self.give(transaction)?;
        match access {
            Access::Write => *self.writing = Some(open),
            Access::Read => self.call.budget.reading = true,
        }
        Ok(handle)
    }

    async fn query(
        &mut self,
        transaction: Resource<Transaction>,
        text: String,
        parameters: Vec<Value>,
    ) -> Result<Vec<u8>> {
        let statement = self.statement(text, &parameters)?;
        let open = self.table.get(&transaction).map_err(closed)?;
        let rows = open.rows(statement, &parameters).await?;
        self.call.budget.pay_for_bytes(rows.len())?;
        Ok(rows)
    }

    async fn execute(
        &mut self,
        transaction: Resource<Transaction>,
        text: String,
        parameters: Vec<Value>,
    ) -> Result<u64> {
        let statement = self.statement(text, &parameters)?;
        let open = self.table.get(&transaction).map_err(closed)?;
        open.changes(statement, &parameters).await
    }

    async fn batch(
        &mut self,
        transaction: Resource<Transaction>,
        statements: Vec<sql::Statement>,
    ) -> Result<Vec<u64>> {
        let batch = self.statements(statements)?;
        self.table.get(&transaction).map_err(closed)?.batch(batch).await
    }

    async fn begin_nested(
        &mut self,
        transaction: Resource<Transaction>,
    ) -> Result<Resource<Transaction>> {
        let nested = self.table.get(&transaction).map_err(closed)?.begin_nested().await?;
        match self.give(nested) {
            Ok(handle) => Ok(handle),
            Err(error) => {
                // Nobody has it who could end it.
                self.table.get(&transaction).map_err(closed)?.undo_nested().await?;
                Err(error)
            }
        }
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Result<()> {
        self.end(transaction, true).await
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Result<()> {
        self.end(transaction, false).await
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        // Rolled back in good order, the connection is kept; where that fails, it is closed.
        let _ = self.end(transaction, false).await;
        Ok(())
    }
}

impl HostCursor for SqlView<'_> {
    async fn open(&mut self, text: String, parameters: Vec<Value>) -> Result<Resource<Cursor>> {
        self.reads_once()?;
        let statement = self.statement(text, &parameters)?;
        let unit = self.unit().await?;
        let turn = unit.reader(self.call.deadline).await?;
        let turn = unit.to_keep(turn, self.call.deadline).await?;
        let connection = unit.lease(self.call.deadline).await?;
        let cursor = Cursor::open(statement, parameters, connection, turn);
        let handle = self.give(cursor)?;
        self.call.budget.reading = true;
        Ok(handle)
    }

    async fn next(&mut self, cursor: Resource<Cursor>) -> Result<Option<Vec<u8>>> {
        let cursor = self.table.get_mut(&cursor).map_err(closed)?;
        let chunk = cursor.next().await;
        if !matches!(chunk, Ok(Some(_))) && std::mem::take(&mut cursor.is_open) {
            self.call.budget.reading = false;
        }
        if let Ok(Some(rows)) = &chunk {
            self.call.budget.pay_for_bytes(rows.len())?;
        }
        chunk
    }

    async fn drop(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<()> {
        if let Ok(cursor) = self.take(cursor) {
            if cursor.is_open {
                self.call.budget.reading = false;
            }
            cursor.close().await;
        }
        Ok(())
    }
}

const SERIALIZABLE: TransactionOptions =
    TransactionOptions { isolation: Isolation::Serializable, read_only: false };

/// Counts how often something is tried that others' transactions may come in between of, or that gave
/// way to others' long statements. Nothing of it has happened then.
struct Attempts {
    left: u32,
    /// Whether it takes its turn among the long ones.
    in_turn: bool,
}

impl Attempts {
    fn new() -> Self {
        Self { left: ATTEMPTS_MAX, in_turn: false }
    }

    /// A connection for the next one.
    async fn lease(&self, unit: &Unit, deadline: Instant) -> Result<Lease> {
        unit.lease_to_repeat(self.in_turn, deadline).await
    }

    fn are_over<T>(&mut self, outcome: &Result<T>) -> bool {
        let Err(error) = outcome else { return true };
        // The first time, that is no attempt that failed.
        if is_for_its_turn(error) && !std::mem::replace(&mut self.in_turn, true) {
            return false;
        }
        self.left -= 1;
        self.left == 0 || !postgres::may_be_repeated(error)
    }
}

/// A guess by the first word, for the order of waiting alone: the database decides what is written.
fn reads_only(statement: &str) -> bool {
    let first = statement.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    first.is_some_and(|word| {
        ["select", "with", "values"].iter().any(|reading| word.eq_ignore_ascii_case(reading))
    })
}

fn in_use(message: &'static str) -> Error {
    Error::new(ErrorKind::Conflict, "transaction-open", message)
}

fn closed(error: ResourceTableError) -> Error {
    Error::invalid("the handle was given away").because(error)
}
