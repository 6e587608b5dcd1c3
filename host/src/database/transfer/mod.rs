//! A unit's rows on their way out of it and into another one, also on another database.
//!
//! Rows leave as lines of JSON in the words of the database that they were in; `cells.rs` says how.
//! They become the other database's words where they arrive, by the types of the columns that they
//! go to (`convert.rs`). Tables themselves do not travel: modules' migrations make them.

mod cells;
mod convert;
pub(super) mod sqlite;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

pub(crate) use self::cells::Cell;
pub(super) use self::cells::LineSink;
pub(super) use self::convert::Conversion;
use super::ledger::AppliedMigration;
use super::unit::{Turn, Unit};
use super::units::{Access, Lease as SqliteLease};
use super::{postgres, quoted};
use crate::error::{Error, Result};

/// How long the work on one unit may take: far longer than it does, so that only what hangs ends.
pub(super) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(86_400);

/// In whose words rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// The five kinds of values that SQLite stores.
    Sqlite,
    /// PostgreSQL's texts of values.
    Postgres,
}

/// A table, with the columns that rows are written to: not those that the database computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As it was declared on SQLite; on PostgreSQL the name of its type, or what that stands on.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// What numbers rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// The table whose rows it numbers, where that is known.
    pub(crate) table: Option<String>,
    pub(crate) last: i64,
    /// Whether `last` was given to a row.
    pub(crate) called: bool,
}

/// Some of a table's rows; numbers of lines count from 1.
pub(crate) struct Batch {
    pub(crate) first_line: u64,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A unit at one moment.
pub(crate) enum Snapshot {
    /// Of a file.
    Sqlite { connection: SqliteLease, _reader: Turn },
    /// Of a schema, as its owner: the runtime role may see fewer rows, and not the ledger.
    Postgres(postgres::Transfer),
}

impl Unit {
    /// The unit as it is now, whatever is written meanwhile.
    ///
    /// # Errors
    /// `unavailable` when no connection became free in time.
    pub(crate) async fn snapshot(&self, deadline: Instant) -> Result<Snapshot> {
        match self {
            Self::Sqlite(unit) => {
                let reader = self.reader(deadline).await?;
                let mut connection = unit.lease(deadline).await?;
                connection.begin(Access::Read).await?;
                Ok(Snapshot::Sqlite { connection, _reader: reader })
            }
            Self::Postgres(unit) => {
                let mut connection = unit.transfer(deadline).await?;
                connection.begin_export().await?;
                Ok(Snapshot::Postgres(connection))
            }
        }
    }
}

impl Snapshot {
    /// The migrations that the unit has seen, each with its module, in the order in which they were
    /// applied: those of one may stand on tables of another.
    pub(crate) async fn ledger(&mut self) -> Result<Vec<(String, AppliedMigration)>> {
        match self {
            Self::Sqlite { connection, .. } => sqlite::ledger(connection).await,
            Self::Postgres(connection) => connection.ledger().await,
        }
    }

    /// The tables that hold rows of modules.
    pub(crate) async fn tables(&mut self) -> Result<Vec<Table>> {
        match self {
            Self::Sqlite { connection, .. } => sqlite::tables(connection).await,
            Self::Postgres(connection) => connection.tables().await,
        }
    }

    pub(crate) async fn sequences(&mut self) -> Result<Vec<Sequence>> {
        match self {
            // The greatest number of a row is all that there is: AUTOINCREMENT is none of what
            // migrations may use.
            Self::Sqlite { .. } => Ok(Vec::new()),
            Self::Postgres(connection) => connection.sequences().await,
        }
    }

    /// Sends a table's rows, as lines, in pieces of any size. Returns how many there are.
    pub(crate) async fn rows(&mut self, table: &Table, to: &mpsc::Sender<Vec<u8>>) -> Result<u64> {
        let mut lines = LineSink::new(table, to);
        match self {
            Self::Sqlite { connection, .. } => {
                sqlite::read_rows(connection, table, &mut lines).await?;
            }
            Self::Postgres(connection) => connection.read_rows(table, &mut lines).await?,
        }
        lines.finish().await
    }

    /// Lets go of it.
    pub(crate) async fn end(self) -> Result<()> {
        match self {
            Self::Sqlite { mut connection, .. } => connection.end(false).await,
            Self::Postgres(mut connection) => connection.end_export().await,
        }
    }
}

/// Fills a unit that was just made, in one transaction. Dropped before [`finish`](Self::finish), it
/// leaves the unit empty.
pub(crate) struct Loader {
    into: Into,
    tables: Vec<Table>,
}

/// What is filled.
enum Into {
    /// A file, to which nobody else writes.
    Sqlite { connection: SqliteLease, _writer: OwnedSemaphorePermit },
    /// A schema, and what is otherwise there meanwhile.
    Postgres { connection: postgres::Transfer, suspended: postgres::Suspended },
}

impl Loader {
    /// Begins: what migrations have put into the tables goes.
    pub(crate) async fn begin(unit: &Unit, deadline: Instant) -> Result<Self> {
        match unit {
            Unit::Sqlite(unit) => {
                let writer = unit.writer(deadline).await?;
                let mut connection = unit.lease(deadline).await?;
                let tables = sqlite::begin_load(&mut connection).await?;
                Ok(Self { into: Into::Sqlite { connection, _writer: writer }, tables })
            }
            Unit::Postgres(unit) => {
                let mut connection = unit.transfer(deadline).await?;
                let (tables, suspended) = connection.begin_load().await?;
                Ok(Self { into: Into::Postgres { connection, suspended }, tables })
            }
        }
    }

    /// The tables that there are.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Writes a table's rows, which are in the words of `from`, and says how many. An error that
    /// comes among the rows is given back.
    pub(crate) async fn load(
        &mut self,
        table: &Table,
        from: Dialect,
        rows: &mut mpsc::Receiver<Result<Batch>>,
    ) -> Result<u64> {
        let conversion = self.conversion(table, from)?;
        match &mut self.into {
            Into::Sqlite { connection, .. } => {
                sqlite::write_rows(connection, &conversion, rows).await
            }
            Into::Postgres { connection, .. } => connection.write_rows(&conversion, rows).await,
        }
    }

    fn conversion(&self, table: &Table, from: Dialect) -> Result<Conversion> {
        let here = self.tables.iter().find(|here| here.name == table.name).ok_or_else(|| {
            Error::invalid(format!("the modules here make no table `{}`", table.name))
        })?;
        let wanted = |name: &str| here.columns.iter().find(|column| column.name == name);
        if let Some(column) = table.columns.iter().find(|column| wanted(&column.name).is_none()) {
            return Err(Error::invalid(format!(
                "table `{}` has no column `{}` here that rows could be written to",
                table.name, column.name
            )));
        }
        if here.columns.len() != table.columns.len() {
            return Err(Error::invalid(format!(
                "table `{}` has {} columns here, and {} there",
                table.name,
                here.columns.len(),
                table.columns.len()
            )));
        }
        let to = table.columns.iter().filter_map(|column| wanted(&column.name)).cloned().collect();
        Ok(Conversion {
            table: here.name.clone(),
            from,
            source: table.columns.clone(),
            to: self.dialect(),
            target: to,
        })
    }

    /// Lets rows that come later be numbered after those that came, has all constraints looked at,
    /// and takes everything to the disk.
    pub(crate) async fn finish(mut self, from: Dialect, sequences: &[Sequence]) -> Result<()> {
        let same = from == self.dialect();
        match &mut self.into {
            Into::Sqlite { connection, .. } => sqlite::finish_load(connection).await,
            Into::Postgres { connection, suspended } => {
                connection.finish_load(suspended, sequences, same).await
            }
        }
    }

    fn dialect(&self) -> Dialect {
        match self.into {
            Into::Sqlite { .. } => Dialect::Sqlite,
            Into::Postgres { .. } => Dialect::Postgres,
        }
    }
}

/// The names of columns, for a statement.
pub(super) fn column_list(columns: &[Column]) -> String {
    columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}
