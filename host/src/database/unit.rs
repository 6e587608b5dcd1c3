//! A unit on whichever database the platform uses: SQLite files, or schemas of a PostgreSQL server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::at_hand::{UnitsAtHand, gone};
use super::guard::Allowance;
use super::layout::{Layout, TableLayout};
use super::ledger::{AppliedMigration, LedgerRow};
use super::transfer::Dialect;
use super::units::{self as sqlite, Access, Failure};
use super::{SqlConfig, postgres};
use crate::error::{Error, Result};
use crate::names::{TenantId, UnitId};
use crate::turns;

/// Folders and files that are read at once.
const FILES_AT_ONCE: usize = 4;

/// All units of this platform.
pub(crate) enum Units {
    /// Files in a folder per tenant.
    Sqlite(sqlite::Units),
    /// Schemas.
    Postgres(PostgresUnits),
}

/// The units of a server that are known.
pub(crate) struct PostgresUnits {
    server: Arc<postgres::Server>,
    slow_statement: Duration,
    open: UnitsAtHand<postgres::Unit>,
}

/// One unit. Clones are the same unit.
#[derive(Clone)]
pub(crate) enum Unit {
    /// A file.
    Sqlite(Arc<sqlite::Unit>),
    /// A schema.
    Postgres(Arc<postgres::Unit>),
}

impl Units {
    /// Units that are files below `folder`.
    pub(crate) fn in_files(folder: PathBuf, config: SqlConfig) -> Self {
        Self::Sqlite(sqlite::Units::new(folder, config))
    }

    /// Units that are schemas.
    pub(crate) fn on_server(server: Arc<postgres::Server>, config: &SqlConfig) -> Self {
        let open = UnitsAtHand::new(config.units_open_max.get());
        let slow_statement = config.slow_statement_ms.as_millis();
        Self::Postgres(PostgresUnits { server, slow_statement, open })
    }

    /// How long a statement may run before it is told of in the log.
    pub(crate) fn slow_statement(&self) -> Duration {
        match self {
            Self::Sqlite(units) => units.slow_statement(),
            Self::Postgres(units) => units.slow_statement,
        }
    }

    /// How many long statements wait for their turn, those of migrations among them.
    pub(crate) fn long_statements_waiting(&self) -> usize {
        match self {
            Self::Sqlite(units) => units.long_statements_waiting(),
            Self::Postgres(units) => units.server.long_statements_waiting(),
        }
    }

    /// A unit, made when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn unit(&self, id: &UnitId, size_max: u64) -> Result<Unit> {
        match self {
            Self::Sqlite(units) => units.unit(id, size_max).await.map(Unit::Sqlite),
            Self::Postgres(units) => units.unit(id, size_max).await.map(Unit::Postgres),
        }
    }

    /// The units that these tenants have, those of each together and the shared one first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn of_tenants(&self, tenants: &[TenantId]) -> Result<Vec<UnitId>> {
        match self {
            Self::Sqlite(units) => {
                let listing = tenants.iter().map(|tenant| units.of_tenant(*tenant));
                let listed = stream::iter(listing).buffered(FILES_AT_ONCE);
                Ok(listed.try_collect::<Vec<_>>().await?.concat())
            }
            Self::Postgres(units) => units.server.of_tenants(tenants).await,
        }
    }

    /// What a unit's ledger says; none where there is no such unit. Nothing is made.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn ledger(
        &self,
        id: &UnitId,
        size_max: u64,
    ) -> Result<Option<Vec<LedgerRow>>> {
        match self {
            Self::Sqlite(units) => units.ledger(id, size_max).await,
            Self::Postgres(units) => {
                Ok(units.server.ledgers(std::slice::from_ref(id)).await?.remove(id))
            }
        }
    }

    /// What the ledgers of these units say, each with the largest size that it may have; none of
    /// those that are not there. Nothing is made.
    ///
    /// # Errors
    /// When the server does not answer. Of a file that cannot be read, the others are.
    pub(crate) async fn ledgers(
        &self,
        ids: &[(UnitId, u64)],
    ) -> Result<HashMap<UnitId, Result<Vec<LedgerRow>>>> {
        match self {
            Self::Sqlite(units) => {
                let reading = ids.iter().map(async |(id, size_max)| {
                    (id.clone(), units.ledger(id, *size_max).await.transpose())
                });
                let read = stream::iter(reading).buffer_unordered(FILES_AT_ONCE);
                let there = read.filter_map(async |(id, ledger)| Some((id, ledger?)));
                Ok(there.collect().await)
            }
            Self::Postgres(units) => {
                let ids: Vec<UnitId> = ids.iter().map(|(id, _)| id.clone()).collect();
                let read = units.server.ledgers(&ids).await?;
                Ok(read.into_iter().map(|(id, ledger)| (id, Ok(ledger))).collect())
            }
        }
    }

    /// Removes a tenant's units with everything in them, for good. Nothing is left to be removed when
    /// it was done before, or by another process.
    ///
    /// # Errors
    /// When something of them cannot be removed: the same call goes on with the rest.
    pub(crate) async fn remove(&self, tenant: TenantId) -> Result<()> {
        match self {
            Self::Sqlite(units) => units.remove(tenant).await,
            Self::Postgres(units) => units.remove(tenant).await,
        }
    }

    /// Whose words units speak.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Takes to the disk that a tenant has the units that it has, where the database does not do so
    /// by itself.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub(crate) async fn sync_names(&self, tenant: TenantId) -> Result<()> {
        match self {
            Self::Sqlite(units) => units.sync_names(tenant).await,
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Whether any of a tenant's units is at hand.
    pub(crate) fn is_open(&self, tenant: TenantId) -> bool {
        match self {
            Self::Sqlite(units) => units.at_hand().has_any(tenant),
            Self::Postgres(units) => units.open.has_any(tenant),
        }
    }

    /// Closes a tenant's units once nobody uses them: they open again with the limits of then.
    pub(crate) async fn forget(&self, tenant: TenantId) {
        match self {
            Self::Sqlite(units) => units.at_hand().forget(tenant).await,
            Self::Postgres(units) => units.open.forget(tenant).await,
        }
    }
}

impl PostgresUnits {
    async fn remove(&self, tenant: TenantId) -> Result<()> {
        self.open.bury(tenant).await;
        self.server.remove(tenant).await
    }

    async fn unit(&self, id: &UnitId, size_max: u64) -> Result<Arc<postgres::Unit>> {
        if let Some(unit) = self.open.get(id).await {
            return Ok(unit);
        }
        let opening = Box::pin(async {
            let unit = self.server.unit(id, size_max).await?;
            if self.open.is_buried(id.tenant) {
                self.server.remove(id.tenant).await?;
                return Err(gone());
            }
            Ok(unit)
        });
        self.open.get_or_open(id, opening).await.map_err(|shared| {
            Error::new(shared.kind(), shared.code(), shared.message().to_owned()).because(shared)
        })
    }
}

/// The right to work with a unit in some way, where its database shares that out.
#[derive(Default)]
pub(crate) struct Turn {
    _in_unit: Option<OwnedSemaphorePermit>,
    /// Among all units.
    _to_keep: Option<turns::Turn>,
}

impl Turn {
    fn in_unit(permit: OwnedSemaphorePermit) -> Self {
        Self { _in_unit: Some(permit), _to_keep: None }
    }
}

impl Unit {
    /// Whose words it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The right to write, after a wait that is bounded by the configuration and by `deadline`:
    /// SQLite has one writer.
    ///
    /// # Errors
    /// `unavailable` when another write did not end in time.
    pub(crate) async fn writer(&self, deadline: Instant) -> Result<Turn> {
        match self {
            Self::Sqlite(unit) => unit.writer(deadline).await.map(Turn::in_unit),
            Self::Postgres(_) => Ok(Turn::default()),
        }
    }

    /// The right to begin a transaction that writes, after a wait that is bounded like
    /// [`writer`](Self::writer)'s. Where transactions take turns on the server, those of this process
    /// wait here, where it costs neither a connection nor a lock.
    ///
    /// # Errors
    /// `unavailable` when another one did not end in time.
    pub(crate) async fn transaction_writer(
        &self,
        on_postgres: &postgres::Begin,
        deadline: Instant,
    ) -> Result<Turn> {
        match self {
            Self::Postgres(unit) if on_postgres.takes_turn => {
                unit.writer(deadline).await.map(Turn::in_unit)
            }
            _ => self.writer(deadline).await,
        }
    }

    /// The right to read for longer than one statement, after a wait that is bounded like
    /// [`writer`](Self::writer)'s.
    ///
    /// # Errors
    /// `unavailable` when others did not end in time.
    pub(crate) async fn reader(&self, deadline: Instant) -> Result<Turn> {
        match self {
            Self::Sqlite(unit) => unit.reader(deadline).await.map(Turn::in_unit),
            Self::Postgres(unit) => unit.reader(deadline).await.map(Turn::in_unit),
        }
    }

    /// Adds the right to keep a connection while a guest does other things, after a wait that is bounded
    /// like [`writer`](Self::writer)'s. Where connections are shared by all units, some are left to
    /// those who ask for less.
    ///
    /// # Errors
    /// `unavailable` when others did not end in time.
    pub(crate) async fn to_keep(&self, turn: Turn, deadline: Instant) -> Result<Turn> {
        let to_keep = match self {
            Self::Sqlite(_) => None,
            Self::Postgres(unit) => Some(unit.keeper(deadline).await?),
        };
        Ok(Turn { _to_keep: to_keep, ..turn })
    }

    /// A connection, after a wait that is bounded like [`writer`](Self::writer)'s.
    ///
    /// # Errors
    /// `unavailable` when none became free, or none could be opened.
    pub(crate) async fn lease(&self, deadline: Instant) -> Result<Lease> {
        match self {
            Self::Sqlite(unit) => {
                let connection = unit.lease(deadline).await?;
                Ok(Lease::Sqlite { connection, unit: Arc::clone(unit) })
            }
            Self::Postgres(unit) => Ok(Lease::Postgres(unit.lease(deadline).await?)),
        }
    }

    /// The same, for what can be run again from its begin, where it gave way ([`Failure::GaveWay`]):
    /// the next time `in_turn`, after those of others.
    ///
    /// # Errors
    /// As for [`lease`](Self::lease), and when no turn came.
    pub(crate) async fn lease_to_repeat(&self, in_turn: bool, deadline: Instant) -> Result<Lease> {
        match self {
            Self::Sqlite(_) => self.lease(deadline).await,
            Self::Postgres(unit) => {
                Ok(Lease::Postgres(unit.lease_to_repeat(in_turn, deadline).await?))
            }
        }
    }

    /// A connection that changes tables; on SQLite, nobody else writes meanwhile.
    ///
    /// # Errors
    /// `unavailable` when none became free in time, or no turn came.
    pub(crate) async fn migrator(
        &self,
        precedence: Precedence,
        deadline: Instant,
    ) -> Result<Migrator> {
        match self {
            Self::Sqlite(unit) => {
                let writer = unit.writer(deadline).await?;
                let connection = unit.lease(deadline).await?;
                Ok(Migrator::Sqlite { connection, unit: Arc::clone(unit), _writer: writer })
            }
            Self::Postgres(unit) => {
                let connection = unit.lease_as_owner(precedence, deadline).await?;
                Ok(Migrator::Postgres { connection, unit: Arc::clone(unit) })
            }
        }
    }
}

/// A connection on loan. It goes back when dropped, if it is clean; else it is closed, at once.
pub(crate) enum Lease {
    /// Of a file.
    Sqlite {
        /// The connection.
        connection: sqlite::Lease,
        /// Knows what columns were declared as.
        unit: Arc<sqlite::Unit>,
    },
    /// Of a schema.
    Postgres(postgres::Lease),
}

impl Lease {
    /// Begins a transaction; PostgreSQL is asked in the words of `on_postgres`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn begin(
        &mut self,
        access: Access,
        on_postgres: postgres::Begin,
    ) -> Result<(), Failure> {
        match self {
            Self::Sqlite { connection, .. } => {
                connection.begin(access).await.map_err(Failure::Refused)
            }
            Self::Postgres(connection) => connection.begin(on_postgres).await,
        }
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it cannot be committed; it is rolled back then.
    pub(crate) async fn end(&mut self, commit: bool) -> Result<(), Failure> {
        match self {
            Self::Sqlite { connection, .. } => {
                connection.end(commit).await.map_err(Failure::Refused)
            }
            Self::Postgres(connection) => connection.end(commit).await,
        }
    }

    /// Begins a part of the transaction.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn begin_nested(&mut self) -> Result<()> {
        match self {
            Self::Sqlite { connection, .. } => connection.begin_nested().await,
            Self::Postgres(connection) => connection.as_host("SAVEPOINT nested").await,
        }
    }

    /// Ends the innermost part.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn end_nested(&mut self, commit: bool) -> Result<()> {
        match self {
            Self::Sqlite { connection, .. } => connection.end_nested(commit).await,
            // One name for all: the server finds the innermost.
            Self::Postgres(connection) if commit => {
                connection.as_host("RELEASE SAVEPOINT nested").await
            }
            Self::Postgres(connection) => {
                connection.as_host("ROLLBACK TO SAVEPOINT nested; RELEASE SAVEPOINT nested").await
            }
        }
    }

    /// Whether the transaction that was begun is still there: an error may have ended it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn is_in_transaction(&mut self) -> Result<bool> {
        match self {
            Self::Sqlite { connection, .. } => connection.is_in_transaction().await,
            // It waits for its end, whatever happens within, but for what is given up.
            Self::Postgres(connection) => Ok(!connection.was_given_up()),
        }
    }
}

/// Who is first, where migrations of many units are long: on PostgreSQL, few of them run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// It waits for nobody: an operator asks for it.
    Operator,
    /// It gives way to others ([`Failure::GaveWay`]), and is begun again in its turn.
    GivesWay,
    /// It has its turn, for which it waits, for one transaction. It gives way after that.
    InTurn,
}

/// What brings a unit's tables up to date.
pub(crate) enum Migrator {
    /// On a file.
    Sqlite {
        /// Whose statements are those of a migration.
        connection: sqlite::Lease,
        /// Whose columns' types are read again afterwards.
        unit: Arc<sqlite::Unit>,
        /// Nobody else writes.
        _writer: OwnedSemaphorePermit,
    },
    /// In a schema.
    Postgres {
        /// Logged in as the schema's owner.
        connection: postgres::Lease,
        /// Whose connections forget what they knew of the tables.
        unit: Arc<postgres::Unit>,
    },
}

impl Migrator {
    /// The migrations of `module` that the unit has seen, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn applied(&mut self, module: &str) -> Result<Vec<AppliedMigration>> {
        match self {
            Self::Sqlite { connection, .. } => connection.applied(module).await,
            Self::Postgres { connection, .. } => connection.applied(module).await,
        }
    }

    /// Whose words it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Begins a transaction, after those of other processes that change the unit's tables: until its
    /// end, nobody else writes to the ledger.
    ///
    /// # Errors
    /// When the others do not end before `deadline`, or the database does not answer.
    pub(crate) async fn begin(&mut self, deadline: Instant) -> Result<(), Failure> {
        match self {
            Self::Sqlite { connection, .. } => {
                connection.begin_to_migrate(deadline).await.map_err(Failure::Refused)
            }
            Self::Postgres { connection, .. } => connection.begin_to_migrate(deadline).await,
        }
    }

    /// Takes a row out of the ledger, in the transaction that is open.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn unrecord(&mut self, module: &str, id: &str) -> Result<()> {
        match self {
            Self::Sqlite { connection, .. } => connection.unrecord(module, id).await,
            Self::Postgres { connection, .. } => connection.unrecord(module, id).await,
        }
    }

    /// Writes a row of the ledger, in the transaction that is open, and says whether it was new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn record(
        &mut self,
        module: &str,
        migration: &AppliedMigration,
    ) -> Result<bool> {
        match self {
            Self::Sqlite { connection, .. } => connection.record(module, migration).await,
            Self::Postgres { connection, .. } => connection.record(module, migration).await,
        }
    }

    /// What there is of the host's in the unit, and what refers to it: no script may change that.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn hosts_own(&mut self) -> Result<Vec<String>> {
        match self {
            Self::Sqlite { connection, .. } => connection.hosts_own().await,
            Self::Postgres { connection, .. } => connection.hosts_own().await,
        }
    }

    /// How many tables, indexes, views, sequences and types there are in the unit.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn objects(&mut self) -> Result<u64> {
        match self {
            Self::Sqlite { connection, .. } => connection.objects().await,
            Self::Postgres { connection, .. } => connection.objects().await,
        }
    }

    /// What the unit's tables are, in the transaction that is open where one is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn layout(&mut self) -> Result<Layout> {
        match self {
            Self::Sqlite { connection, .. } => connection.layout().await,
            Self::Postgres { connection, .. } => connection.layout().await,
        }
    }

    /// Has the database write a table's expressions in its own way, where it has one: a table is made
    /// and taken away in the transaction that is open.
    ///
    /// # Errors
    /// When the database refuses one of them.
    pub(crate) async fn written_by_database(
        &mut self,
        name: &str,
        table: &mut TableLayout,
    ) -> Result<()> {
        match self {
            Self::Sqlite { .. } => Ok(()),
            Self::Postgres { connection, .. } => connection.written_by_server(name, table).await,
        }
    }

    /// Whether a script is run outside of the transaction that is open: it cannot be undone with it.
    pub(crate) fn is_alone(&self, script: &str) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            // What is no script at all fails when it is run.
            Self::Postgres { .. } => postgres::is_concurrent(script).unwrap_or(false),
        }
    }

    /// Runs a module's migration script, which must leave no more than so many [`objects`].
    ///
    /// # Errors
    /// The database's, or [`Failure::GaveWay`].
    ///
    /// [`objects`]: Self::objects
    pub(crate) async fn run(
        &mut self,
        script: &str,
        allowance: Allowance,
        objects_max: u64,
    ) -> Result<(), Failure> {
        match self {
            Self::Sqlite { connection, .. } => {
                connection.migrate(script, allowance, objects_max).await
            }
            Self::Postgres { connection, unit } => {
                unit.check_space_to_migrate(script).await.map_err(Failure::Refused)?;
                if postgres::is_concurrent(script).map_err(Failure::Refused)? {
                    // What was asked last holds what it saw until something else is, and an index
                    // that is built beside others would wait for it.
                    connection.as_host("SELECT").await.map_err(Failure::Refused)?;
                    let time = allowance.time;
                    unit.run_concurrently(connection, script, time, objects_max).await
                } else {
                    connection.migrate(script, allowance.time, objects_max).await
                }
            }
        }
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it cannot be committed; it is rolled back then.
    pub(crate) async fn end(&mut self, commit: bool) -> Result<(), Failure> {
        match self {
            Self::Sqlite { connection, .. } => {
                connection.end(commit).await.map_err(Failure::Refused)
            }
            Self::Postgres { connection, .. } => connection.end(commit).await,
        }
    }

    /// Tells the unit that another process may have changed its tables.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn tables_may_have_changed(&mut self) -> Result<()> {
        match self {
            Self::Sqlite { .. } => self.tables_changed().await,
            // The server tells each connection by itself.
            Self::Postgres { .. } => Ok(()),
        }
    }

    /// Tells the unit that its tables are others now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn tables_changed(&mut self) -> Result<()> {
        match self {
            Self::Sqlite { connection, unit, .. } => unit.learn_kinds(connection).await,
            Self::Postgres { unit, .. } => {
                unit.tables_changed();
                Ok(())
            }
        }
    }
}
