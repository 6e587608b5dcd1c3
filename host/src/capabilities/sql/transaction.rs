//! A transaction and the parts that are nested in it: one connection, and who of them may use it.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::explain;
use super::statement::Statement;
use crate::bindings::hostel::sql::sql::Value;
use crate::database::{Access, Lease, PostgresBegin, Turn};
use crate::error::{Error, ErrorKind, Result};

/// `transaction`: dropped in any way but by `commit`, it is undone, with what is nested in it.
pub struct Transaction {
    work: Arc<Mutex<Work>>,
    /// Who it is in `Work::open`.
    id: u32,
    /// What it counts as in its call; nothing where it is nested.
    pub(super) access: Option<Access>,
}

/// What a transaction and those nested in it share.
struct Work {
    /// None once the outermost has ended, or the database has undone all of it.
    connection: Option<Lease>,
    /// The outermost, what is nested in it, and so on. Only the last one runs statements.
    open: Vec<u32>,
    next_id: u32,
    /// Whether a statement of the innermost has failed. PostgreSQL takes no other statement then, so
    /// that nobody may rely on a database that would.
    has_failed: bool,
    /// The turn to write, or to read, ends with the connection's lease.
    turn: Option<Turn>,
}

/// What runs the statements of a batch: each with the parameters of its runs.
pub(super) type Batch = Vec<(Statement, Vec<Vec<Value>>)>;

impl Transaction {
    /// Begins on a connection that nobody uses.
    pub(super) async fn begin(
        access: Access,
        on_postgres: PostgresBegin,
        mut connection: Lease,
        turn: Turn,
    ) -> Result<Self> {
        connection.begin(access, on_postgres).await.map_err(explain)?;
        let work = Work {
            connection: Some(connection),
            has_failed: false,
            open: vec![0],
            next_id: 1,
            turn: Some(turn),
        };
        Ok(Self { work: Arc::new(Mutex::new(work)), id: 0, access: Some(access) })
    }

    /// Begins a part of it.
    pub(super) async fn begin_nested(&self) -> Result<Self> {
        let mut work = self.working().await?;
        work.connection()?.begin_nested().await?;
        let id = work.next_id;
        work.next_id += 1;
        work.open.push(id);
        Ok(Self { work: Arc::clone(&self.work), id, access: None })
    }

    pub(super) async fn rows(&self, statement: Statement, parameters: &[Value]) -> Result<Vec<u8>> {
        let mut work = self.working().await?;
        let rows = statement.rows(parameters, work.connection()?).await;
        work.checked(rows).await
    }

    pub(super) async fn changes(&self, statement: Statement, parameters: &[Value]) -> Result<u64> {
        let mut work = self.working().await?;
        let changed = statement.changes(parameters, work.connection()?).await;
        work.checked(changed).await
    }

    /// Runs a batch as a part of it, which is undone by itself where it fails.
    pub(super) async fn batch(&self, batch: Batch) -> Result<Vec<u64>> {
        let mut work = self.working().await?;
        work.connection()?.begin_nested().await?;
        let changed = run_all(&batch, work.connection()?).await;
        let changed = work.checked(changed).await;
        if let Ok(connection) = work.connection() {
            connection.end_nested(changed.is_ok()).await?;
            // Undone as a whole, it leaves the transaction as it was.
            work.has_failed = false;
        }
        changed
    }

    /// Undoes what is nested in it.
    pub(super) async fn undo_nested(&self) -> Result<()> {
        let mut work = self.work.lock().await;
        let Some(depth) = work.open.iter().position(|open| *open == self.id) else {
            return Ok(());
        };
        let nested = work.open.len() - depth - 1;
        work.open.truncate(depth + 1);
        work.end_from(depth + 1, nested, false).await
    }

    /// Ends it. Where something nested in it is open, it is undone, whatever was asked for.
    pub(super) async fn end(self, commit: bool) -> Result<()> {
        let mut work = self.work.lock().await;
        let Some(depth) = work.open.iter().position(|open| *open == self.id) else {
            return if commit { Err(ended()) } else { Ok(()) };
        };
        let is_innermost = depth + 1 == work.open.len();
        let nested = work.open.len() - depth;
        work.open.truncate(depth);
        let has_failed = work.has_failed;
        let keep = commit && is_innermost && !has_failed;
        let ended = work.end_from(depth, nested, keep).await;
        // What failed is undone, and what it was a part of goes on.
        work.has_failed = false;
        match ended {
            _ if commit && !is_innermost => Err(nested_is_open()),
            Ok(()) if commit && has_failed => Err(failed_before()),
            ended => ended,
        }
    }

    /// The connection's turn, for the innermost alone.
    async fn working(&self) -> Result<MutexGuard<'_, Work>> {
        let work = self.work.lock().await;
        if work.open.last() == Some(&self.id) {
            if work.has_failed { Err(failed_before()) } else { Ok(work) }
        } else if work.open.contains(&self.id) {
            Err(nested_is_open())
        } else {
            Err(ended())
        }
    }
}

impl Work {
    fn connection(&mut self) -> Result<&mut Lease> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(undone()),
        }
    }

    /// After an error, the database may have undone the whole transaction. What came next would then
    /// take effect at once, statement by statement.
    async fn checked<T>(&mut self, outcome: Result<T>) -> Result<T> {
        self.has_failed |= outcome.is_err();
        if outcome.is_err()
            && let Some(connection) = &mut self.connection
            && !connection.is_in_transaction().await.unwrap_or(false)
        {
            self.connection = None;
            self.turn = None;
        }
        outcome
    }

    async fn end_from(&mut self, depth: usize, nested: usize, keep: bool) -> Result<()> {
        if depth == 0 {
            let connection = self.connection.take();
            let _turn = self.turn.take();
            return match connection {
                Some(mut connection) => connection.end(keep).await.map_err(explain),
                None if keep => Err(undone()),
                None => Ok(()),
            };
        }
        let Some(connection) = &mut self.connection else {
            return if keep { Err(undone()) } else { Ok(()) };
        };
        for _ in 0..nested {
            connection.end_nested(keep).await?;
        }
        Ok(())
    }
}

/// Runs a batch's statements, in their order.
pub(super) async fn run_all(batch: &Batch, connection: &mut Lease) -> Result<Vec<u64>> {
    let mut all = Vec::with_capacity(batch.len());
    for (index, (statement, runs)) in batch.iter().enumerate() {
        all.push(statement.changes_of_all(index + 1, runs, connection).await?);
    }
    Ok(all)
}

fn ended() -> Error {
    Error::invalid("the transaction has ended")
}

fn nested_is_open() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-open",
        "a nested transaction is open: work in it, or end it first",
    )
}

fn failed_before() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-failed",
        "a statement of this transaction failed: it takes no other, and nothing of it takes effect",
    )
}

fn undone() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-undone",
        "the database has undone the transaction after an error: begin another one",
    )
}
