//! Databases: the platform's own, and the handle of each tenant's unit.
//!
//! A unit is one file or one schema that guests write to, and a connection serves exactly one unit.
//! This room only opens, hardens and hands out connections; what guests may ask of them is
//! `capabilities/sql`. `outbox.rs` keeps what is to be delivered with the rows that it belongs to;
//! `transfer/` carries a unit's rows to another one. `unit.rs` is what others see, whichever database
//! there is, `at_hand.rs` those that are open, and `layout/` what its tables are; `words.rs` is SQL as
//! a text. `units.rs`, `guard.rs`, `functions.rs`, `memory.rs` and `temporary.rs` are SQLite's side, `postgres/` is PostgreSQL's.

mod at_hand;
mod bus;
mod functions;
mod guard;
mod layout;
mod ledger;
mod memory;
mod moments;
mod outbox;
mod own_tables;
mod platform;
mod postgres;
mod temporary;
mod transaction;
mod transfer;
mod unit;
mod units;
mod words;

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteSynchronous;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::bus::ChangeBus;
pub(crate) use self::guard::{Allowance, Speaker};
pub(crate) use self::layout::{
    ColumnLayout, Expression, IndexLayout, Layout, Order, ReferenceLayout, TableLayout, first_text,
    identifiers, literal, renamed_identifiers, usual_name,
};
pub(crate) use self::ledger::{AppliedMigration, LedgerRow, checksum};
pub(crate) use self::outbox::Outbox;
pub use self::outbox::{CallOutbox, Message, MessageId};
pub use self::own_tables::{OwnMigration, OwnTables};
pub(crate) use self::platform::{PlatformDatabase, newest_revision, next_revision, open_platform};
pub use self::postgres::Preparation;
pub(crate) use self::postgres::{
    Begin as PostgresBegin, Bounds, Connection as PostgresConnection, Lease as PostgresLease,
    Prepared, Refusal, Row as PostgresRow, Server as PostgresServer, Step, Type as PostgresType,
    is_concurrent, migration_statements, oid,
};
pub(crate) use self::temporary::TEMPORARY_FULL;
pub(crate) use self::transaction::{Level, OpenTransaction};
pub(crate) use self::transfer::{Batch, Cell, Dialect, Loader, Sequence, Snapshot, Table};
pub(crate) use self::unit::{Lease, Migrator, Precedence, Turn, Unit, Units};
pub(crate) use self::units::{
    Access, ColumnKind, Failure, GuestConnection as SqliteConnection, Unit as SqliteUnit,
};
pub(crate) use self::words::quoted;
use crate::bounded::Bounded;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// Bytes of a guest's statement, at most.
pub(crate) const STATEMENT_MAX: usize = 100_000;
/// Bytes of a value, at most.
pub(crate) const VALUE_MAX: usize = 4_000_000;

/// `[database]`: where everything is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// A PostgreSQL database, `postgres://user:password@host/name`; SQLite files in the data folder
    /// when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// Connections to PostgreSQL at once for what modules do, over all tenants. A few more are the
    /// platform's own.
    pub connections_max: Bounded<4, 10_000>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: None, connections_max: Bounded::of::<80>() }
    }
}

/// `[sql]`: databases of modules.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqlConfig {
    /// Connections to one unit at once.
    pub connections_per_unit_max: Bounded<1, 64>,
    /// Units that stay open. Those unused for the longest time are closed.
    pub units_open_max: Bounded<1, 100_000>,
    /// How long a statement waits for a connection, or for another's write to end.
    pub wait_timeout_ms: Bounded<1, 600_000>,
    /// Long statements at once on PostgreSQL, over all tenants: fewer than the server has processors, so
    /// that short ones need not wait. As many as this machine has, less one, when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_statements_max: Option<Bounded<1, 10_000>>,
    /// A statement that ran for longer gets a line in the log.
    pub slow_statement_ms: Bounded<1, 600_000>,
    /// What survives a power failure, on SQLite.
    pub durability: Durability,
    /// What one statement may keep in temporary files, for sorting and the like.
    pub temp_file_max_bytes: Bounded<1_048_576, 1_099_511_627_776>,
    /// What one connection may have in memory on SQLite. On PostgreSQL, the server's own limit holds.
    pub memory_max_bytes: Bounded<33_554_432, 1_073_741_824>,
    /// What connections may have in memory on SQLite together, beyond 4 MiB each.
    pub memory_shared_max_bytes: Bounded<8_388_608, 1_099_511_627_776>,
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self {
            connections_per_unit_max: Bounded::of::<4>(),
            units_open_max: Bounded::of::<500>(),
            wait_timeout_ms: Bounded::of::<5_000>(),
            long_statements_max: None,
            slow_statement_ms: Bounded::of::<200>(),
            durability: Durability::Normal,
            temp_file_max_bytes: Bounded::of::<268_435_456>(),
            memory_max_bytes: Bounded::of::<67_108_864>(),
            memory_shared_max_bytes: Bounded::of::<536_870_912>(),
        }
    }
}

impl SqlConfig {
    /// Long statements at once.
    fn long_statements(&self) -> usize {
        self.long_statements_max.map_or_else(
            || {
                std::thread::available_parallelism()
                    .map_or(1, |processors| (processors.get() - 1).max(1))
            },
            |max| max.as_usize(),
        )
    }
}

/// What survives when the machine loses power. Nothing is ever lost when only the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Everything but the last moments; the database stays whole. About 80 times as many single-row
    /// transactions per second as `full` on a disk that needs 3 ms to sync.
    Normal,
    /// Everything that was acknowledged.
    Full,
}

impl Durability {
    fn as_sqlite(self) -> SqliteSynchronous {
        match self {
            Self::Normal => SqliteSynchronous::Normal,
            Self::Full => SqliteSynchronous::Full,
        }
    }
}

/// Of a unit that takes no more.
fn full() -> Error {
    Error::new(
        ErrorKind::Limit,
        "database-full",
        "the tenant's database has reached its size limit",
    )
}

/// Refuses a migration that leaves more than there may be.
fn check_objects(there_are: u64, objects_max: u64) -> Result<(), Failure> {
    if there_are <= objects_max {
        return Ok(());
    }
    Err(Failure::Refused(Error::new(
        ErrorKind::Limit,
        "too-many-objects",
        format!(
            "it leaves {there_are} tables, indexes, views, sequences and types where there may be {objects_max}: make fewer, or in several migrations"
        ),
    )))
}

/// One of the turns that there are, after a wait until `deadline` at most. Waiting is fair and costs
/// no thread.
async fn turn(turns: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    if let Ok(turn) = Arc::clone(turns).try_acquire_owned() {
        return Some(turn);
    }
    let waiting = Arc::clone(turns).acquire_owned();
    tokio::time::timeout_at(deadline.into(), waiting).await.ok().and_then(Result::ok)
}
