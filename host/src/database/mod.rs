//! Databases: the platform's own, and the handle of each tenant's unit.
//!
//! A unit is one file that guests write to, and a connection serves exactly one unit. This room only
//! opens, hardens and hands out connections; what guests may ask of them is `capabilities/sql`.

mod functions;
mod guard;
mod ledger;
mod units;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub(crate) use self::guard::{Allowance, Speaker};
pub(crate) use self::ledger::{AppliedMigration, checksum};
pub(crate) use self::units::{Access, ColumnKind, Failure, GuestConnection, Lease, Unit, Units};
use crate::bounded::Bounded;
use crate::error::{Error, Result};

/// The platform's own database.
pub(crate) type PlatformDatabase = sqlx::SqlitePool;

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
    /// A statement that ran for longer gets a line in the log.
    pub slow_statement_ms: Bounded<1, 600_000>,
    /// What survives a power failure.
    pub durability: Durability,
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self {
            connections_per_unit_max: Bounded::of::<4>(),
            units_open_max: Bounded::of::<500>(),
            wait_timeout_ms: Bounded::of::<5_000>(),
            slow_statement_ms: Bounded::of::<200>(),
            durability: Durability::Normal,
        }
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

/// Opens the platform's database and brings its tables up to date.
///
/// # Errors
/// When the file cannot be opened, or belongs to a newer platform.
pub(crate) async fn open_platform(path: &Path) -> Result<PlatformDatabase> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Few writes, each of which matters: a tenant that was created stays created.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10));
    let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::internal(format!("{}: {cause}", path.display()))
            .hint("the data folder must be writable, and its database made by this version or an older one")
    };
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await
        .map_err(|error| unusable(error.into()))?;
    migrate_platform(&pool).await.map_err(unusable)?;
    Ok(pool)
}

/// Waits for the disk once at most, and not after each migration: what a power failure takes of them
/// is made again at the next start, and the next write that matters takes them to the disk with it.
async fn migrate_platform(
    pool: &PlatformDatabase,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = pool.acquire().await?;
    sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
    sqlx::migrate!("../migrations/sqlite").run_direct(None, &mut *connection, false).await?;
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    Ok(())
}
