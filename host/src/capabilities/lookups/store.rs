//! The platform's look-ups: loaded, listed, removed, and read from memory.
//!
//! Which versions there are is known without asking the database, and looked at again when the
//! change bus says so. Rows are read from it once per version and process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::TryStreamExt as _;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::Mutex;

use super::LookupsConfig;
use super::table::{self, LookupRow, Parsed, Table};
use crate::clock::Clock;
use crate::database::{ChangeBus, PlatformDatabase, newest_revision, next_revision};
use crate::error::{Error, ErrorKind, Result};
use crate::names::LookupName;

/// The order of changes of look-ups, and their versions.
const REVISION: &str = "lookups";
const LOOKUPS_MAX: usize = 1_000;
/// Rows that are written with one statement.
const INSERT_ROWS: usize = 500;
/// A version may be replaced while it is read, but hardly twice in a row.
const READ_ATTEMPTS: usize = 5;
const REPLACED: &str = "lookup-replaced";

/// What is known of a look-up, beside its rows.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Its name.
    pub name: LookupName,
    /// Grows with each load. No other load, of whichever look-up, has the same.
    pub version: u64,
    /// Its columns, in their order.
    pub columns: Vec<String>,
    /// The column by which rows are found.
    pub key_column: String,
    /// How many rows it has.
    pub row_count: u64,
    /// When this version was loaded, in microseconds since the Unix epoch.
    pub loaded_at: i64,
}

/// Rows of a look-up, in the order of their keys.
#[derive(Clone, Debug)]
pub struct LookupPage {
    /// The look-up, in the version that the rows are of.
    pub lookup: Lookup,
    /// The rows.
    pub rows: Vec<LookupRow>,
    /// Whether there are rows after these.
    pub more: bool,
}

/// Reads and writes look-ups.
pub struct Lookups {
    database: PlatformDatabase,
    bus: ChangeBus,
    clock: Clock,
    known: ArcSwap<Known>,
    /// One looks at a time, so that what is older never replaces what is newer.
    looking: Mutex<()>,
    /// By version.
    tables: Cache<u64, Arc<Table>>,
}

/// The look-ups that there are.
struct Known {
    /// None before the first look.
    revision: Option<i64>,
    by_name: BTreeMap<LookupName, Arc<Lookup>>,
}

impl Lookups {
    /// The largest CSV file that can be loaded.
    pub const CSV_MAX_BYTES: u64 = table::MAX_BYTES as u64;

    pub(crate) fn new(
        config: &LookupsConfig,
        database: PlatformDatabase,
        bus: ChangeBus,
        clock: Clock,
    ) -> Self {
        let tables = Cache::builder()
            .max_capacity(config.cache_max_bytes.get())
            .weigher(|_, table: &Arc<Table>| u32::try_from(table.memory_bytes).unwrap_or(u32::MAX))
            // By frequency, a new version would be turned away for the sake of old ones.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let known = Known { revision: None, by_name: BTreeMap::new() };
        Self {
            database,
            bus,
            clock,
            known: ArcSwap::from_pointee(known),
            looking: Mutex::default(),
            tables,
        }
    }

    /// Loads a look-up from CSV in UTF-8 whose first line names its columns, instead of what it was
    /// before. Without a `key`, rows are found by the first column. Every process on this data reads
    /// the new version within a second.
    ///
    /// # Errors
    /// `invalid` says what is wrong with the table and in which line; `limit` where there are too
    /// many look-ups.
    pub async fn load(&self, name: &LookupName, csv: &[u8], key: Option<&str>) -> Result<Lookup> {
        let Parsed { columns, key_column, rows } = table::parse(csv, key)?;
        let mut transaction = self.database.begin().await?;
        // Drawn first: whoever else loads or removes one waits until this transaction has ended.
        let revision = next_revision(&mut transaction, REVISION).await?;
        if !delete(&mut transaction, name).await? {
            check_room(&mut transaction).await?;
        }
        let lookup = Lookup {
            name: name.clone(),
            version: revision.cast_unsigned(),
            columns,
            key_column,
            row_count: rows.len() as u64,
            loaded_at: self.clock.now_micros(),
        };
        insert(&mut transaction, &lookup).await?;
        for rows in rows.chunks(INSERT_ROWS) {
            insert_rows(&mut transaction, revision, rows).await?;
        }
        self.bus.commit(transaction).await?;
        self.look_early().await;
        Ok(lookup)
    }

    /// Removes a look-up. Modules are told that there is none, in every process within a second.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn remove(&self, name: &LookupName) -> Result<()> {
        let mut transaction = self.database.begin().await?;
        next_revision(&mut transaction, REVISION).await?;
        if !delete(&mut transaction, name).await? {
            return Err(unknown(name.as_str()));
        }
        self.bus.commit(transaction).await?;
        self.look_early().await;
        Ok(())
    }

    /// All look-ups, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self) -> Result<Vec<Lookup>> {
        self.refresh().await?;
        Ok(self.known.load().by_name.values().map(|lookup| Lookup::clone(lookup)).collect())
    }

    /// The look-up of that name, without its rows.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn get(&self, name: &LookupName) -> Result<Lookup> {
        self.refresh().await?;
        self.current(name.as_str()).map(|lookup| Lookup::clone(&lookup))
    }

    /// Rows of a look-up in the order of their keys (by bytes), those after a key alone where one is
    /// given.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn rows(
        &self,
        name: &LookupName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<LookupPage> {
        self.refresh().await?;
        let (lookup, table) = self.read_current(name.as_str()).await?;
        let (rows, more) = table.page(after, limit, usize::MAX);
        Ok(LookupPage { lookup: Lookup::clone(&lookup), rows: rows.to_vec(), more })
    }

    /// What is known of a look-up, without asking the database.
    pub(super) fn current(&self, name: &str) -> Result<Arc<Lookup>> {
        self.known.load().by_name.get(name).cloned().ok_or_else(|| unknown(name))
    }

    /// The rows of the version that is read now; from memory, where they are there.
    pub(super) async fn table(&self, name: &str) -> Result<Arc<Table>> {
        self.read_current(name).await.map(|(_, table)| table)
    }

    async fn read_current(&self, name: &str) -> Result<(Arc<Lookup>, Arc<Table>)> {
        for _ in 0..READ_ATTEMPTS {
            let lookup = self.current(name)?;
            // Of calls that come at once, one reads and the others wait for it.
            match self.tables.try_get_with(lookup.version, self.read(&lookup)).await {
                Ok(table) => return Ok((lookup, table)),
                Err(error) if error.code() == REPLACED => self.refresh().await?,
                Err(error) => {
                    return Err(Error::new(error.kind(), error.code(), error.message().to_owned())
                        .because(error));
                }
            }
        }
        Err(Error::new(ErrorKind::Unavailable, REPLACED, "the look-up is replaced all the time"))
    }

    /// One statement, so that what it sees is one moment: all rows of the version, or none.
    async fn read(&self, lookup: &Lookup) -> Result<Arc<Table>> {
        let version = lookup.version.cast_signed();
        let mut stored = sqlx::query("SELECT key, value FROM lookup_rows WHERE version = $1")
            .bind(version)
            .fetch(&self.database);
        let mut rows = Vec::new();
        while let Some(row) = stored.try_next().await? {
            let (key, object) = (row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
            rows.push(LookupRow { key: key.into(), object: object.into() });
        }
        if rows.len() as u64 != lookup.row_count {
            let message = "another version of the look-up was loaded meanwhile";
            return Err(Error::new(ErrorKind::Unavailable, REPLACED, message));
        }
        Ok(Arc::new(Table::new(lookup.version, rows)))
    }

    /// Learns which look-ups there are, where any has changed.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let _alone = self.looking.lock().await;
        let revision = newest_revision(&self.database, REVISION).await?;
        let before = self.known.load_full();
        if before.revision == Some(revision) {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT name, version, columns, key_column, row_count, loaded_at FROM lookups",
        )
        .fetch_all(&self.database)
        .await?;
        let all = rows.iter().map(from_row).map(|lookup| {
            let lookup = lookup?;
            Ok((lookup.name.clone(), Arc::new(lookup)))
        });
        let by_name: BTreeMap<_, _> = all.collect::<Result<_>>()?;
        self.known.store(Arc::new(Known { revision: Some(revision), by_name: by_name.clone() }));
        for old in before.by_name.values() {
            if by_name.get(&old.name).is_none_or(|new| new.version != old.version) {
                self.tables.invalidate(&old.version).await;
            }
        }
        Ok(())
    }

    /// What was committed is done, even where it cannot be seen here before the bus tells of it.
    async fn look_early(&self) {
        if let Err(error) = self.refresh().await {
            tracing::debug!(cause = error.causes(), "changes of look-ups cannot be read yet");
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::not_found(format!("there is no look-up `{name}`"))
        .about(name)
        .hint("`hostel lookup list` shows those that there are")
}

/// Says whether there was one.
async fn delete(connection: &mut AnyConnection, name: &LookupName) -> Result<bool> {
    sqlx::query(
        "DELETE FROM lookup_rows WHERE version IN (SELECT version FROM lookups WHERE name = $1)",
    )
    .bind(name.as_str())
    .execute(&mut *connection)
    .await?;
    let deleted = sqlx::query("DELETE FROM lookups WHERE name = $1")
        .bind(name.as_str())
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

async fn check_room(connection: &mut AnyConnection) -> Result<()> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM lookups").fetch_one(connection).await?;
    if count.cast_unsigned() >= LOOKUPS_MAX as u64 {
        let message = format!("there are {LOOKUPS_MAX} look-ups, and no more are kept");
        return Err(Error::new(ErrorKind::Limit, "lookups", message));
    }
    Ok(())
}

async fn insert(connection: &mut AnyConnection, lookup: &Lookup) -> Result<()> {
    let columns = serde_json::to_string(&lookup.columns)
        .map_err(|error| Error::internal("columns cannot be kept").because(error))?;
    sqlx::query(
        "INSERT INTO lookups (name, version, columns, key_column, row_count, loaded_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(lookup.name.as_str())
    .bind(lookup.version.cast_signed())
    .bind(columns)
    .bind(&lookup.key_column)
    .bind(lookup.row_count.cast_signed())
    .bind(lookup.loaded_at)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_rows(
    connection: &mut AnyConnection,
    version: i64,
    rows: &[LookupRow],
) -> Result<()> {
    let mut statement = "INSERT INTO lookup_rows (version, key, value) VALUES ".to_owned();
    for number in 0..rows.len() {
        let comma = if number == 0 { "" } else { ", " };
        let _ = write!(statement, "{comma}($1, ${}, ${})", 2 * number + 2, 2 * number + 3);
    }
    let mut insert = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(version);
    for row in rows {
        insert = insert.bind(&*row.key).bind(&*row.object);
    }
    insert.execute(connection).await?;
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<Lookup> {
    Ok(Lookup {
        name: row.try_get::<String, _>(0)?.parse()?,
        version: row.try_get::<i64, _>(1)?.cast_unsigned(),
        columns: serde_json::from_str(&row.try_get::<String, _>(2)?)
            .map_err(|error| Error::internal("a look-up cannot be read").because(error))?,
        key_column: row.try_get(3)?,
        row_count: row.try_get::<i64, _>(4)?.cast_unsigned(),
        loaded_at: row.try_get(5)?,
    })
}
