//! What a guest holds of a transaction, and what runs in it.

use super::explain;
use super::statement::Statement;
use crate::bindings::hostel::sql::sql::Value;
use crate::database::{Access, Lease, Level, OpenTransaction, PostgresBegin, Turn};
use crate::error::Result;

/// `transaction`: dropped in any way but by `commit`, it is undone, with what is nested in it.
pub struct Transaction {
    pub(super) open: OpenTransaction,
    level: Level,
    /// What it counts as in its call; nothing where it is nested.
    pub(super) access: Option<Access>,
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
        let open = OpenTransaction::new(connection, turn);
        Ok(Self { open, level: Level::OUTERMOST, access: Some(access) })
    }

    /// Begins a part of it.
    pub(super) async fn begin_nested(&self) -> Result<Self> {
        let level = self.open.begin_nested(self.level).await?;
        Ok(Self { open: self.open.clone(), level, access: None })
    }

    pub(super) async fn rows(&self, statement: Statement, parameters: &[Value]) -> Result<Vec<u8>> {
        let mut working = self.open.working(self.level).await?;
        let rows = statement.rows(parameters, working.connection()?).await;
        working.checked(rows).await
    }

    pub(super) async fn changes(&self, statement: Statement, parameters: &[Value]) -> Result<u64> {
        let mut working = self.open.working(self.level).await?;
        let changed = statement.changes(parameters, working.connection()?).await;
        working.checked(changed).await
    }

    /// Runs a batch as a part of it, which is undone by itself where it fails.
    pub(super) async fn batch(&self, batch: Batch) -> Result<Vec<u64>> {
        let mut working = self.open.working(self.level).await?;
        working.connection()?.begin_nested().await?;
        let changed = run_all(&batch, working.connection()?).await;
        let changed = working.checked(changed).await;
        if let Ok(connection) = working.connection() {
            connection.end_nested(changed.is_ok()).await?;
            // Undone as a whole, it leaves the transaction as it was.
            working.forgive();
        }
        changed
    }

    /// Undoes what is nested in it.
    pub(super) async fn undo_nested(&self) -> Result<()> {
        self.open.undo_nested(self.level).await.map_err(explain)
    }

    /// Ends it. Where something nested in it is open, it is undone, whatever was asked for.
    pub(super) async fn end(self, commit: bool) -> Result<()> {
        self.open.end(self.level, commit).await.map_err(explain)
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
