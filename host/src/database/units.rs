//! Units as SQLite files: one per tenant for what its modules share, and one for each module that has
//! its own. They are opened when first needed and closed when others are needed more.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleResult, Timeouts};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use libsqlite3_sys as ffi;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteQueryResult,
    SqliteRow,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _, SqlSafeStr as _, Sqlite,
    Statement as _,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::at_hand::{UnitsAtHand, gone};
use super::guard::{self, Allowance, Guard, Speaker, harden};
use super::ledger::LedgerRow;
use super::moments::{LongLately, Moments};
use super::postgres::Refusal;
use super::{SqlConfig, check_objects, layout, temporary, turn, words};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{TenantId, UnitId};

/// Statements of which a connection remembers something; modules have tens of them.
const STATEMENTS_KNOWN_MAX: usize = 500;
/// How the file of the unit that modules share is called.
const SHARED: &str = "tenant.db";
/// The folder of those that modules have for themselves, and how their names end.
const OWN: &str = "modules";
const OWN_SUFFIX: &str = ".db";

/// What a column's declared type says beyond how SQLite stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// 0 and 1.
    Boolean,
    /// 16 bytes.
    Uuid,
    /// Microseconds since the Unix epoch.
    Timestamp,
    /// JSON text.
    Json,
    /// A decimal number.
    Decimal,
}

impl ColumnKind {
    pub(super) fn of_declared(declared: &str) -> Option<Self> {
        let declared = declared.to_ascii_lowercase();
        // With or without precision and scale: `numeric(12, 2)`.
        if declared.starts_with("decimal") || declared.starts_with("numeric") {
            return Some(Self::Decimal);
        }
        match declared.as_str() {
            "boolean" | "bool" => Some(Self::Boolean),
            "uuid" => Some(Self::Uuid),
            "timestamp" | "timestamptz" | "timestamp with time zone" => Some(Self::Timestamp),
            "json" | "jsonb" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The declared kinds of a unit's columns, by table and column.
type Kinds = HashMap<String, HashMap<String, ColumnKind>>;

/// A connection on loan from a unit. It goes back when dropped, if it is clean; else it is closed, at
/// once: what it has begun would keep others waiting.
pub(crate) struct Lease {
    /// None only while it is dropped.
    connection: Option<Object<Connector>>,
}

impl Deref for Lease {
    type Target = GuestConnection;

    fn deref(&self) -> &GuestConnection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut GuestConnection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.is_as_new()
        {
            drop(Object::take(connection));
        }
    }
}

/// All units of this platform.
pub(crate) struct Units {
    folder: PathBuf,
    config: SqlConfig,
    open: UnitsAtHand<Unit>,
    /// Where their long statements take turns.
    moments: Arc<Moments>,
}

impl Units {
    /// Units below `folder`, one folder per tenant.
    pub(crate) fn new(folder: PathBuf, config: SqlConfig) -> Self {
        let open = UnitsAtHand::new(config.units_open_max.get());
        Self { folder, config, open, moments: Arc::new(Moments::new()) }
    }

    /// A unit, made when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn unit(&self, id: &UnitId, size_max: u64) -> Result<Arc<Unit>> {
        if let Some(unit) = self.open.get(id).await {
            return Ok(unit);
        }
        Box::pin(self.open(id, size_max)).await
    }

    /// The units that a tenant has, the shared one first.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub(crate) async fn of_tenant(&self, tenant: TenantId) -> Result<Vec<UnitId>> {
        let mut units = Vec::new();
        if tokio::fs::try_exists(self.file(&UnitId::shared(tenant))).await? {
            units.push(UnitId::shared(tenant));
        }
        let mut files = match tokio::fs::read_dir(self.folder_of(tenant).join(OWN)).await {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(units),
            Err(error) => return Err(error.into()),
        };
        while let Some(file) = files.next_entry().await? {
            // Beside each lie those that SQLite makes.
            let name = file.file_name();
            let module = name.to_str().and_then(|name| name.strip_suffix(OWN_SUFFIX));
            if let Some(Ok(module)) = module.map(str::parse) {
                units.push(UnitId::own(tenant, module));
            }
        }
        units.sort_unstable();
        Ok(units)
    }

    /// The ledger of a unit; none where there is no such unit.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn ledger(
        &self,
        id: &UnitId,
        size_max: u64,
    ) -> Result<Option<Vec<LedgerRow>>> {
        if !tokio::fs::try_exists(self.file(id)).await? {
            return Ok(None);
        }
        let unit = self.unit(id, size_max).await?;
        let mut connection = unit.lease(Instant::now() + unit.wait).await?;
        connection.ledger().await.map(Some)
    }

    /// Those that are open.
    pub(super) fn at_hand(&self) -> &UnitsAtHand<Unit> {
        &self.open
    }

    /// How long a statement may run before it is told of in the log.
    pub(crate) fn slow_statement(&self) -> Duration {
        self.config.slow_statement_ms.as_millis()
    }

    /// How many long statements wait for their turn.
    pub(crate) fn long_statements_waiting(&self) -> usize {
        self.moments.waiting()
    }

    /// Removes a tenant's units with everything in them, for good. Nothing is left to be removed when
    /// it was done before, or by another process.
    ///
    /// # Errors
    /// When something of them cannot be removed: the same call goes on with the rest.
    pub(crate) async fn remove(&self, tenant: TenantId) -> Result<()> {
        self.open.bury(tenant).await;
        self.remove_files(tenant).await
    }

    /// Takes the names of a tenant's files to the disk.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub(crate) async fn sync_names(&self, tenant: TenantId) -> Result<()> {
        let own = self.folder_of(tenant);
        for folder in [&own.join(OWN), &own, &self.folder] {
            match tokio::fs::File::open(folder).await {
                Ok(folder) => folder.sync_all().await?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn folder_of(&self, tenant: TenantId) -> PathBuf {
        self.folder.join(tenant.to_string())
    }

    fn file(&self, id: &UnitId) -> PathBuf {
        let folder = self.folder_of(id.tenant);
        match &id.module {
            None => folder.join(SHARED),
            Some(module) => folder.join(OWN).join(format!("{module}{OWN_SUFFIX}")),
        }
    }

    async fn remove_files(&self, tenant: TenantId) -> Result<()> {
        match tokio::fs::remove_dir_all(self.folder_of(tenant)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn open(&self, id: &UnitId, size_max: u64) -> Result<Arc<Unit>> {
        let opening = async {
            let file = self.file(id);
            if let Some(folder) = file.parent() {
                tokio::fs::create_dir_all(folder).await?;
            }
            let unit = Unit::open(&file, size_max, &self.config, &self.moments).await?;
            if self.open.is_buried(id.tenant) {
                self.remove_files(id.tenant).await?;
                return Err(gone());
            }
            Ok(unit)
        };
        self.open.get_or_open(id, opening).await.map_err(|shared| {
            Error::new(ErrorKind::Unavailable, "database", "the tenant's database cannot be opened")
                .because(shared)
        })
    }
}

/// One unit.
pub(crate) struct Unit {
    pool: Pool<Connector>,
    kinds: ArcSwap<Kinds>,
    /// SQLite has one writer; waiting here costs no thread and is fair.
    writer: Arc<Semaphore>,
    /// Reading that lasts beyond one statement. What is left of the connections is for the writer
    /// and for single statements, which end by themselves: so nobody waits for ever.
    readers: Arc<Semaphore>,
    wait: Duration,
}

impl Unit {
    async fn open(
        path: &Path,
        size_max: u64,
        config: &SqlConfig,
        moments: &Arc<Moments>,
    ) -> Result<Arc<Self>> {
        let connector = Connector {
            path: path.to_owned(),
            size_max,
            config: config.clone(),
            moments: Arc::clone(moments),
            lately: Arc::new(LongLately::new()),
        };
        let wait = config.wait_timeout_ms.as_millis();
        let pool = Pool::builder(connector)
            .max_size(config.connections_per_unit_max.as_usize())
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| Error::internal("a pool cannot be made").because(error))?;
        let readers = config.connections_per_unit_max.as_usize().saturating_sub(2).max(1);
        let unit = Self {
            pool,
            kinds: ArcSwap::default(),
            writer: Arc::new(Semaphore::new(1)),
            readers: Arc::new(Semaphore::new(readers)),
            wait,
        };
        let mut connection = unit.lease(Instant::now() + wait).await?;
        unit.learn_kinds(&mut connection).await?;
        drop(connection);
        Ok(Arc::new(unit))
    }

    /// A connection, after a wait that is bounded by the configuration and by `deadline`.
    ///
    /// # Errors
    /// `unavailable` when none became free, or none could be opened.
    pub(crate) async fn lease(&self, deadline: Instant) -> Result<Lease> {
        let wait = self.wait_until(deadline);
        let timeouts = Timeouts { wait: Some(wait), create: Some(wait), recycle: None };
        match self.pool.timeout_get(&timeouts).await {
            Ok(connection) => Ok(Lease { connection: Some(connection) }),
            Err(PoolError::Backend(error)) => Err(error),
            Err(other) => Err(busy("connection").because(other)),
        }
    }

    /// The right to write, after a wait that is bounded like [`lease`](Self::lease)'s.
    ///
    /// # Errors
    /// `unavailable` when another write did not end in time.
    pub(crate) async fn writer(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        self.turn(&self.writer, deadline).await.ok_or_else(|| busy("turn to write"))
    }

    /// The right to read for longer than one statement, after a wait that is bounded like
    /// [`lease`](Self::lease)'s.
    ///
    /// # Errors
    /// `unavailable` when others did not end in time.
    pub(crate) async fn reader(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        self.turn(&self.readers, deadline).await.ok_or_else(|| busy("turn to read"))
    }

    async fn turn(
        &self,
        turns: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        turn(turns, Instant::now() + self.wait_until(deadline)).await
    }

    fn wait_until(&self, deadline: Instant) -> Duration {
        self.wait.min(deadline.saturating_duration_since(Instant::now()))
    }

    /// What the declared type of `table.column` says.
    pub(crate) fn kind_of(&self, table: &str, column: &str) -> Option<ColumnKind> {
        self.kinds.load().get(table)?.get(column).copied()
    }

    /// Reads the declared types again, after tables were changed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn learn_kinds(&self, connection: &mut GuestConnection) -> Result<()> {
        let rows = connection
            .fetch_as_host(sqlx::query(
                "SELECT m.name, c.name, c.type FROM sqlite_schema m, pragma_table_info(m.name) c
                 WHERE m.type = 'table'",
            ))
            .await?;
        let mut kinds = Kinds::new();
        for row in &rows {
            if let Some(kind) = ColumnKind::of_declared(row.try_get(2)?) {
                kinds.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, kind);
            }
        }
        self.kinds.store(Arc::new(kinds));
        Ok(())
    }
}

fn busy(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "database-busy", format!("no {what} became free in time"))
}

/// Opens connections for a unit's pool.
pub(crate) struct Connector {
    path: PathBuf,
    /// Bytes.
    size_max: u64,
    config: SqlConfig,
    moments: Arc<Moments>,
    /// Whether the unit has long statements.
    lately: Arc<LongLately>,
}

impl Manager for Connector {
    type Type = GuestConnection;
    type Error = Error;

    async fn create(&self) -> Result<GuestConnection> {
        let page_bytes = 4096;
        let pages_max = self.size_max / page_bytes;
        let mut connection = SqliteConnectOptions::new()
            .filename(&self.path)
            .vfs(temporary::file_system(&self.config)?)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.config.durability.as_sqlite())
            .busy_timeout(self.config.wait_timeout_ms.as_millis())
            .foreign_keys(true)
            .pragma("page_size", page_bytes.to_string())
            .pragma("max_page_count", pages_max.to_string())
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unavailable,
                    "database",
                    "the tenant's database cannot be opened",
                )
                .because(error)
            })?;
        let guard = harden(&mut connection, &self.moments, &self.lately).await?;
        Ok(GuestConnection {
            connection,
            guard,
            busy: false,
            read_only: false,
            spoilt: false,
            parameters: HashMap::new(),
        })
    }

    /// [`Lease`] gives back only what is as new.
    async fn recycle(&self, _: &mut GuestConnection, _: &Metrics) -> RecycleResult<Error> {
        Ok(())
    }
}

/// A hardened connection to one unit.
pub(crate) struct GuestConnection {
    connection: SqliteConnection,
    guard: Arc<Guard>,
    /// Set while a statement runs or a transaction is open; a connection that is given back like
    /// this is closed.
    busy: bool,
    /// Whether SQLite refuses to write until the transaction ends.
    read_only: bool,
    /// Whether it is set up for one task of the host's, and for nobody after that.
    spoilt: bool,
    /// How many parameters a statement has, for those that ran lately.
    parameters: HashMap<String, usize>,
}

impl GuestConnection {
    /// Whether nothing is left of those who had it: no statement, no transaction, no low priority of
    /// its thread.
    fn is_as_new(&self) -> bool {
        !self.busy && !self.spoilt && !self.guard.gave_way()
    }

    /// Runs `statement` as `speaker`, within `allowance`. `each` gets row by row and may stop with an
    /// error. Returns how many rows were changed.
    ///
    /// # Errors
    /// SQLite's, or that of `each`.
    pub(crate) async fn run<'q>(
        &mut self,
        speaker: Speaker,
        allowance: Allowance,
        statement: Query<'q, Sqlite, SqliteArguments>,
        mut each: impl FnMut(&SqliteRow) -> Result<()>,
    ) -> Result<u64, Failure> {
        let mut running = self.start(speaker, allowance, statement);
        let mut changed = 0;
        while let Some(result) = running.next().await? {
            match result {
                sqlx::Either::Left(done) => changed += done.rows_affected(),
                sqlx::Either::Right(row) => each(&row).map_err(Failure::Refused)?,
            }
        }
        Ok(changed)
    }

    /// Starts `statement` as `speaker`, within `allowance`.
    pub(crate) fn start<'c, 'q: 'c>(
        &'c mut self,
        speaker: Speaker,
        allowance: Allowance,
        statement: Query<'q, Sqlite, SqliteArguments>,
    ) -> Running<'c> {
        let was_busy = std::mem::replace(&mut self.busy, true);
        self.guard.speak(speaker);
        self.guard.allow(allowance);
        Running {
            results: self.connection.fetch_many(statement),
            guard: &self.guard,
            busy: &mut self.busy,
            spoilt: &mut self.spoilt,
            was_busy,
            has_ended: false,
        }
    }

    /// How many parameters a guest's statement has. SQLite takes a missing one for null and never
    /// looks at one too many; other databases refuse both.
    ///
    /// # Errors
    /// SQLite's, when it cannot be prepared.
    pub(crate) async fn parameters_of(
        &mut self,
        statement: &str,
        allowance: &Allowance,
    ) -> Result<usize, Failure> {
        if let Some(known) = self.parameters.get(statement) {
            return Ok(*known);
        }
        self.guard.speak(Speaker::Guest);
        self.guard.allow(allowance.clone());
        let text = AssertSqlSafe(statement.to_owned()).into_sql_str();
        let prepared = match self.connection.prepare(text).await {
            Ok(prepared) => prepared,
            Err(_) if self.guard.is_overdue() => return Err(Failure::Overdue),
            Err(error) => {
                self.spoilt |= needs_memory(&error);
                return Err(Failure::Database(error));
            }
        };
        let count = match prepared.parameters() {
            Some(sqlx::Either::Left(types)) => types.len(),
            Some(sqlx::Either::Right(count)) => count,
            None => 0,
        };
        drop(prepared);
        if !words::are_numbered(statement, count) {
            return Err(Failure::Refused(Error::invalid(
                "parameters are numbered from `$1` on, and none is left out",
            )));
        }
        if self.parameters.len() >= STATEMENTS_KNOWN_MAX {
            self.parameters.clear();
        }
        self.parameters.insert(statement.to_owned(), count);
        Ok(count)
    }

    /// Begins a transaction. Until [`end`](Self::end), the connection counts as in use.
    ///
    /// # Errors
    /// When another write does not end in time.
    pub(crate) async fn begin(&mut self, access: Access) -> Result<()> {
        match access {
            Access::Write => self.as_host("BEGIN IMMEDIATE").await?,
            Access::Read => {
                self.as_host("BEGIN").await?;
                self.busy = true;
                // Asked at each statement, also at one that was prepared before.
                self.as_host("PRAGMA query_only = 1").await?;
                self.read_only = true;
            }
        }
        self.busy = true;
        Ok(())
    }

    /// Begins a transaction to change tables, after another process' write, however long that takes
    /// until `deadline`.
    ///
    /// # Errors
    /// When it does not end in time.
    pub(crate) async fn begin_to_migrate(&mut self, deadline: Instant) -> Result<()> {
        loop {
            match self.begin(Access::Write).await {
                // SQLite itself has waited before it says so.
                Err(error) if is_locked(&error) && Instant::now() < deadline => {}
                begun => return begun,
            }
        }
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it cannot be committed; it is rolled back then.
    pub(crate) async fn end(&mut self, commit: bool) -> Result<()> {
        let mut ended = self.as_host(if commit { "COMMIT" } else { "ROLLBACK" }).await;
        if ended.is_ok() && std::mem::take(&mut self.read_only) {
            ended = self.as_host("PRAGMA query_only = 0").await;
        }
        // A failed end leaves the connection marked, and it is closed, which rolls back.
        self.busy = ended.is_err();
        ended
    }

    /// Begins a part of the transaction that can be undone by itself.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn begin_nested(&mut self) -> Result<()> {
        // One name for all: SQLite finds the innermost.
        self.as_host("SAVEPOINT nested").await
    }

    /// Ends the innermost part.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn end_nested(&mut self, commit: bool) -> Result<()> {
        if !commit {
            self.as_host("ROLLBACK TO nested").await?;
        }
        self.as_host("RELEASE nested").await
    }

    /// Whether the transaction is still open: some errors make SQLite undo all of it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn is_in_transaction(&mut self) -> Result<bool> {
        guard::is_in_transaction(&mut self.connection).await
    }

    /// Makes the connection write rows as they come: what triggers would add to them has come, too,
    /// and what they refer to may come later. It is closed afterwards.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn prepare_to_load(&mut self) -> Result<()> {
        self.spoilt = true;
        self.as_host("PRAGMA foreign_keys = 0").await?;
        guard::turn_triggers_off(&mut self.connection).await
    }

    /// Runs a module's migration script, which may hold many statements and must leave no more than
    /// so many [`objects`](Self::objects).
    ///
    /// Taking a table away deletes its rows, and with them those that refer to them. A script that
    /// makes a table anew means no such thing: foreign keys do not hold while it runs, and are looked
    /// at in the end, as SQLite itself advises (<https://www.sqlite.org/lang_altertable.html>).
    ///
    /// # Errors
    /// SQLite's, that a row refers to what is not there, or that there are more.
    pub(crate) async fn migrate(
        &mut self,
        script: &str,
        allowance: Allowance,
        objects_max: u64,
    ) -> Result<(), Failure> {
        let statement = sqlx::query(AssertSqlSafe(script.to_owned())).persistent(false);
        if layout::is_anew(script) {
            let was_spoilt = std::mem::replace(&mut self.spoilt, true);
            let turn = guard::turn_foreign_keys;
            turn(&mut self.connection, false).await.map_err(Failure::Refused)?;
            let ran = self.run(Speaker::Migration, allowance.clone(), statement, |_| Ok(())).await;
            turn(&mut self.connection, true).await.map_err(Failure::Refused)?;
            self.spoilt = was_spoilt;
            ran?;
            self.check_foreign_keys(allowance).await?;
        } else {
            self.run(Speaker::Migration, allowance, statement, |_| Ok(())).await?;
        }
        check_objects(self.objects().await.map_err(Failure::Refused)?, objects_max)
    }

    /// Makes sure that no row refers to one that is not there.
    ///
    /// # Errors
    /// Names the tables of the first that does.
    pub(super) async fn check_foreign_keys(&mut self, allowance: Allowance) -> Result<(), Failure> {
        let mut lost = None;
        let check = sqlx::query("PRAGMA foreign_key_check").persistent(false);
        self.run(Speaker::Host, allowance, check, |row| {
            if lost.is_none() {
                lost = Some((row.try_get::<String, _>(0)?, row.try_get::<String, _>(2)?));
            }
            Ok(())
        })
        .await?;
        match lost {
            None => Ok(()),
            Some((table, parent)) => Err(Failure::Refused(Error::invalid(format!(
                "a row of table `{table}` refers to one of `{parent}` that is not there"
            )))),
        }
    }

    /// How many tables, indexes, views and triggers there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn objects(&mut self) -> Result<u64> {
        let count = self.fetch_as_host(sqlx::query("SELECT count(*) FROM sqlite_schema")).await?;
        let count: i64 = count.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn as_host(&mut self, statement: &'static str) -> Result<()> {
        self.fetch_as_host(sqlx::query(statement)).await.map(|_| ())
    }

    pub(super) async fn fetch_as_host(
        &mut self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>> {
        self.guard.speak(Speaker::Host);
        self.guard.allow(Allowance::of_host(Duration::from_secs(60)));
        // Given up in the middle, the statement still runs: it may be about to begin a transaction.
        let was_busy = std::mem::replace(&mut self.busy, true);
        let rows = self.connection.fetch_all(statement.persistent(false)).await;
        self.busy = was_busy;
        self.guard.speak(Speaker::Guest);
        rows.map_err(Error::from)
    }
}

/// Whether another one writes.
fn is_locked(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.and_then(primary_code) == Some(ffi::SQLITE_BUSY)
}

/// Whether its connection may have no more memory. What statements were compiled to before is part of
/// what it has: it is closed.
fn needs_memory(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(ffi::SQLITE_NOMEM)
}

/// <https://www.sqlite.org/rescode.html>: the extended codes keep the primary one in the low byte.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Why a guest's statement did not end well.
#[derive(Debug)]
pub enum Failure {
    /// The database refused it, or is gone.
    Database(sqlx::Error),
    /// A PostgreSQL server refused it.
    Server(Refusal),
    /// A row of its answer, or what was said instead of an answer, is larger than it may be.
    TooLarge,
    /// It ran for too long.
    Overdue,
    /// It is long, and others had their turn: nothing of it happened, and it can be run again.
    GaveWay,
    /// Its rows were refused by the host: too many, too large.
    Refused(Error),
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and write, as the only one.
    Write,
    /// Read what is there when it first reads.
    Read,
}

/// A statement that runs. Dropped before its end, it is stopped, and its connection stays marked: it
/// may still hold locks.
pub(crate) struct Running<'c> {
    results: BoxStream<'c, sqlx::Result<sqlx::Either<SqliteQueryResult, SqliteRow>>>,
    guard: &'c Guard,
    busy: &'c mut bool,
    spoilt: &'c mut bool,
    was_busy: bool,
    has_ended: bool,
}

impl Running<'_> {
    /// The next row, or what the statement did; none at the end.
    ///
    /// # Errors
    /// SQLite's, or that it ran for too long.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<Option<sqlx::Either<SqliteQueryResult, SqliteRow>>, Failure> {
        let failure = match self.results.try_next().await {
            Ok(Some(result)) => return Ok(Some(result)),
            Ok(None) => None,
            Err(_) if self.guard.is_overdue() => Some(Failure::Overdue),
            Err(error) => {
                *self.spoilt |= needs_memory(&error);
                Some(Failure::Database(error))
            }
        };
        self.has_ended = true;
        *self.busy = self.was_busy;
        failure.map_or(Ok(None), Err)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.guard.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_is_given_up_while_it_begins_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqlConfig::default();
        let moments = Arc::new(Moments::new());
        let path = folder.path().join("unit.db");
        let unit = Unit::open(&path, 1 << 20, &config, &moments).await.unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        let mut first = unit.lease(later).await.unwrap();
        first.begin(Access::Write).await.unwrap();
        let mut second = unit.lease(later).await.unwrap();
        tokio::select! {
            _ = second.begin(Access::Write) => panic!("there is one writer"),
            () = tokio::task::yield_now() => {}
        }
        drop(second);
        first.end(true).await.unwrap();
        // Whatever became of the second, it ends by itself.
        first.begin(Access::Write).await.unwrap();
        first.end(true).await.unwrap();
        drop(first);
        assert_eq!(unit.pool.status().size, 1, "the second is gone");
    }
}
