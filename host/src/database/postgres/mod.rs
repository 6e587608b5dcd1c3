//! Units on PostgreSQL: a schema each, and connections that log in as its own role.
//!
//! `Server` bounds the connections of all units together, keeps those that were used lately, and ends
//! what runs for too long. `roles.rs` makes units, `connection.rs` runs statements, `statements.rs`
//! knows which of them guests may send, `long.rs` has those that are long take turns, `prepare.rs` is
//! the superuser's part. `wire.rs` talks to the server, `endpoint.rs` knows where it is, `process.rs` what
//! serves a connection there, `answer.rs` and `types.rs` what comes back.

mod answer;
mod connection;
mod endpoint;
mod long;
mod outbox;
mod prepare;
mod process;
mod roles;
mod statements;
mod transfer;
mod types;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use self::answer::Fault;
pub(crate) use self::answer::{Prepared, Refusal, Row, Step};
use self::connection::Login;
pub(crate) use self::connection::{Begin, Bounds, Connection};
use self::endpoint::Endpoint;
use self::long::{LongStatements, LongTurns, Way};
pub use self::prepare::Preparation;
use self::roles::{Names, Role, Roles};
pub(crate) use self::statements::{is_concurrent, of_migration as migration_statements};
pub(crate) use self::transfer::{Suspended, Transfer};
pub(crate) use self::types::{Type, oid};
use self::wire::Wire;
use super::ledger::LedgerRow;
use super::unit::Precedence;
use super::units::Failure;
use super::{DatabaseConfig, PlatformDatabase, SqlConfig, check_objects, full, turn};
use crate::error::{Error, ErrorKind, Result};
use crate::key::PlatformKey;
use crate::metering::locked;
use crate::names::{TenantId, UnitId};
use crate::turns::{Lane, Turn, Turns};

/// How long a connection that nobody uses is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long it is waited for a connection of the same unit before another unit loses one: about as
/// long as a login takes, which costs both sides some milliseconds of processor time.
const RETURN_PATIENCE: Duration = Duration::from_millis(10);
/// One of so many connections is never kept by a guest that does other things.
const KEPT_FREE: usize = 4;
/// How often a unit that is written to is measured.
const SIZE_INTERVAL: Duration = Duration::from_secs(2);
/// How long to wait before asking again a server that has no room: its own slots come free a moment
/// after a connection was closed.
const ROOM_INTERVAL: Duration = Duration::from_millis(20);

/// All units of one server.
pub(crate) struct Server {
    endpoint: Endpoint,
    roles: Roles,
    wait: Duration,
    connections_per_unit_max: usize,
    /// One for each connection that there may be.
    permits: Arc<Semaphore>,
    /// Those of connections that are kept while a guest does other things: fewer than there may be.
    keepers: Arc<Turns>,
    long: Arc<LongTurns>,
    /// Migrations take minutes: they keep nobody's statements waiting.
    long_migrations: Arc<LongTurns>,
    /// What a tenant's units have of all of these together, as long as any of them is open.
    shares: Mutex<HashMap<TenantId, Weak<Share>>>,
    /// Connections that nobody uses; those used last are at the end.
    idle: Mutex<VecDeque<Idle>>,
    /// How many wait for a permit.
    waiting: AtomicUsize,
    /// What ends connections.
    tasks: TaskTracker,
}

struct Idle {
    unit: u64,
    since: Instant,
    connection: Connection,
}

/// What a tenant has in turns that all tenants share: however many units it has, no more than that.
struct Share {
    /// Its connections among those that are kept.
    kept: Arc<Lane>,
    long: Arc<LongStatements>,
    migrations: Arc<LongStatements>,
}

/// One unit.
pub(crate) struct Unit {
    server: Arc<Server>,
    names: Names,
    /// Tells its connections from those of others.
    number: u64,
    /// Connections to this unit that may be in use at once.
    turns: Arc<Semaphore>,
    /// Connections to this unit that are in use.
    leased: AtomicUsize,
    /// Told when one of them is given back.
    returned: Notify,
    /// Those of them that may be kept for longer than one statement, to read.
    readers: Arc<Semaphore>,
    /// Its tenant's.
    share: Arc<Share>,
    /// The one transaction of this process that has its turn to write, or waits for other processes'.
    writer: Arc<Semaphore>,
    /// Grows when its tables change: connections of before would trust plans of before.
    generation: AtomicU64,
    /// How many bytes it may take.
    size_max: u64,
    size: tokio::sync::Mutex<Option<Measured>>,
}

/// How large a unit was.
struct Measured {
    at: Instant,
    bytes: u64,
}

/// A connection on loan from a unit. It goes back when dropped, if it is clean; else it is closed, and
/// what runs on it is ended.
pub(crate) struct Lease {
    /// None only while it is dropped.
    connection: Option<Connection>,
    unit: Arc<Unit>,
    is_owner: bool,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Server {
    /// The units of the server that the configuration names.
    ///
    /// # Errors
    /// When the address makes no sense.
    pub(crate) fn open(
        url: &str,
        database: &DatabaseConfig,
        sql: &SqlConfig,
        platform: PlatformDatabase,
        key: &PlatformKey,
    ) -> Result<Arc<Self>> {
        let connections_max = database.connections_max.as_usize();
        let server = Arc::new(Self {
            endpoint: Endpoint::new(url)?,
            roles: Roles::new(platform, key.clone(), sql),
            wait: sql.wait_timeout_ms.as_millis(),
            connections_per_unit_max: sql.connections_per_unit_max.as_usize(),
            keepers: Turns::shared(connections_max - connections_max.div_ceil(KEPT_FREE)),
            permits: Arc::new(Semaphore::new(connections_max)),
            long: Arc::new(LongTurns::new(sql.long_statements())),
            long_migrations: Arc::new(LongTurns::new(sql.long_statements())),
            shares: Mutex::default(),
            idle: Mutex::default(),
            waiting: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
        });
        server.tasks.spawn(close_idle(Arc::downgrade(&server)));
        Ok(server)
    }

    /// A unit, made when it is not there.
    ///
    /// # Errors
    /// When the server does not answer or does not allow it.
    pub(crate) async fn unit(self: &Arc<Self>, id: &UnitId, size_max: u64) -> Result<Arc<Unit>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let names = Names::of(id);
        self.roles.ensure(&names).await?;
        Ok(Arc::new(Unit {
            server: Arc::clone(self),
            names,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            turns: Arc::new(Semaphore::new(self.connections_per_unit_max)),
            leased: AtomicUsize::new(0),
            returned: Notify::new(),
            readers: Arc::new(Semaphore::new(
                self.connections_per_unit_max.saturating_sub(2).max(1),
            )),
            share: self.share_of(id.tenant),
            writer: Arc::new(Semaphore::new(1)),
            generation: AtomicU64::new(0),
            size_max,
            size: tokio::sync::Mutex::default(),
        }))
    }

    fn share_of(&self, tenant: TenantId) -> Arc<Share> {
        let mut shares = locked(&self.shares);
        if let Some(share) = shares.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share {
            kept: Lane::new(tenant, usize::MAX, usize::MAX, 1),
            long: LongStatements::new(&self.long, tenant, self.wait),
            migrations: LongStatements::new(&self.long_migrations, tenant, self.wait),
        });
        shares.insert(tenant, Arc::downgrade(&share));
        share
    }

    /// How many long statements and migrations wait for their turn.
    pub(crate) fn long_statements_waiting(&self) -> usize {
        self.long.waiting() + self.long_migrations.waiting()
    }

    /// Removes all units of a tenant, with all that is connected to them.
    ///
    /// # Errors
    /// When the server does not answer or does not allow it.
    pub(crate) async fn remove(&self, tenant: TenantId) -> Result<()> {
        for unit in self.of_tenants(&[tenant]).await? {
            self.roles.remove(&Names::of(&unit)).await?;
        }
        Ok(())
    }

    /// The units that these tenants have, those of each together and the shared one first.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn of_tenants(&self, tenants: &[TenantId]) -> Result<Vec<UnitId>> {
        self.roles.of_tenants(tenants).await
    }

    /// What the ledgers of these units say; none of those that are not there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn ledgers(
        &self,
        units: &[UnitId],
    ) -> Result<HashMap<UnitId, Vec<LedgerRow>>> {
        let names: Vec<Names> = units.iter().map(Names::of).collect();
        let mut by_schema = self.roles.ledgers(&names).await?;
        let found = units.iter().zip(&names);
        Ok(found
            .filter_map(|(id, names)| Some((id.clone(), by_schema.remove(&names.schema())?)))
            .collect())
    }

    /// A connection of this unit that nobody uses.
    fn take_idle(&self, unit: u64, generation: u64) -> Option<Connection> {
        let mut stale = Vec::new();
        let mut idle = locked(&self.idle);
        let found = loop {
            let Some(at) = idle.iter().rposition(|one| one.unit == unit) else { break None };
            let connection = idle.remove(at)?.connection;
            if connection.generation == generation {
                break Some(connection);
            }
            stale.push(connection);
        };
        drop(idle);
        stale.into_iter().for_each(|connection| self.end(connection));
        found
    }

    /// The right to one more connection: a free one, or that of the connection which nobody has used
    /// for the longest time, which is closed.
    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let oldest = locked(&self.idle).pop_front();
        if let Some(oldest) = oldest {
            let (inner, (permit, _)) = oldest.connection.into_parts();
            inner.close().await;
            return Ok(permit);
        }
        let _waiting = Waiting::among(&self.waiting);
        turn(&self.permits, deadline).await.ok_or_else(busy)
    }

    async fn connect(&self, login: Login, deadline: Instant) -> Result<Connection> {
        let permit = self.permit(deadline).await?;
        let role = &login.role;
        let password = self.roles.password(role);
        let (mut was_reset, mut was_let_in) = (false, false);
        let inner = loop {
            let connecting = Wire::connect(&self.endpoint, role, &password);
            let connecting = tokio::time::timeout_at(deadline.into(), connecting);
            let fault = match connecting.await.map_err(|_| busy())? {
                Ok(connection) => break connection,
                Err(fault) => fault,
            };
            let refusal = if let Fault::Refused(refusal) = &fault { &*refusal.code } else { "" };
            match refusal {
                // Somebody gave the role another password.
                "28P01" if !was_reset => {
                    was_reset = true;
                    self.roles.reset_password(role).await?;
                }
                "42501" if !was_let_in => {
                    was_let_in = true;
                    self.roles.let_guests_in().await?;
                }
                // No room: neither for this role nor for anybody.
                "53300" if Instant::now() + ROOM_INTERVAL < deadline => {
                    tokio::time::sleep(ROOM_INTERVAL).await;
                }
                _ => return Err(connection::unreachable(fault)),
            }
        };
        Connection::new(inner, login, permit).await.map_err(connection::unreachable)
    }

    fn give_back(&self, unit: u64, connection: Connection) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return self.end(connection);
        }
        locked(&self.idle).push_back(Idle { unit, since: Instant::now(), connection });
    }

    /// Closes a connection, and ends the process that serves it where something still runs there:
    /// the server would notice only when that has ended by itself.
    fn end(&self, connection: Connection) {
        let running = connection.left_running();
        let (inner, held) = connection.into_parts();
        self.tasks.spawn(async move {
            match running {
                Some(process) => {
                    drop(inner);
                    process.end().await;
                }
                None => inner.close().await,
            }
            drop(held);
        });
    }
}

/// Counts as one who waits, for as long as somebody does: a call may give up in the middle.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::SeqCst);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Closes connections that nobody has used for a while, until the server is dropped.
async fn close_idle(server: Weak<Server>) {
    loop {
        tokio::time::sleep(IDLE_MAX / 3).await;
        let Some(server) = server.upgrade() else { return };
        let now = Instant::now();
        loop {
            let mut idle = locked(&server.idle);
            let is_old = |one: &Idle| now.duration_since(one.since) >= IDLE_MAX;
            if !idle.front().is_some_and(is_old) {
                break;
            }
            let Some(old) = idle.pop_front() else { break };
            drop(idle);
            server.end(old.connection);
        }
    }
}

impl Unit {
    /// A connection to work with rows, after a wait that is bounded by the configuration and by
    /// `deadline`.
    ///
    /// # Errors
    /// `unavailable` when none became free, or none could be opened.
    pub(crate) async fn lease(self: &Arc<Self>, deadline: Instant) -> Result<Lease> {
        self.lease_on(Way::Once, deadline).await
    }

    /// The same, for what can be run again where it is long: the second time, in its turn.
    ///
    /// # Errors
    /// As for [`lease`](Self::lease), and when no turn became free.
    pub(crate) async fn lease_to_repeat(
        self: &Arc<Self>,
        in_turn: bool,
        deadline: Instant,
    ) -> Result<Lease> {
        let turn = match in_turn {
            true => Some(self.share.long.turn(deadline).await?),
            false => None,
        };
        self.lease_on(Way::Again(turn), deadline).await
    }

    async fn lease_on(self: &Arc<Self>, way: Way, deadline: Instant) -> Result<Lease> {
        let deadline = deadline.min(Instant::now() + self.server.wait);
        let turn = turn(&self.turns, deadline).await.ok_or_else(busy)?;
        let generation = self.generation.load(Ordering::SeqCst);
        let mut connection = match self.server.take_idle(self.number, generation) {
            Some(connection) => connection,
            // Boxed, like all that is rare.
            None => Box::pin(self.returned_or_new(generation, deadline)).await?,
        };
        connection.way = way;
        Ok(self.lend(connection, false, Some(turn)))
    }

    fn lend(
        self: &Arc<Self>,
        connection: Connection,
        is_owner: bool,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Lease {
        self.leased.fetch_add(1, Ordering::SeqCst);
        Lease { connection: Some(connection), unit: Arc::clone(self), is_owner, _turn: turn }
    }

    /// A connection that comes back in a moment, where a new one would take the place of another
    /// unit's; a new one otherwise.
    async fn returned_or_new(&self, generation: u64, deadline: Instant) -> Result<Connection> {
        let patience = deadline.min(Instant::now() + RETURN_PATIENCE);
        while self.leased.load(Ordering::SeqCst) > 0 && self.server.permits.available_permits() == 0
        {
            // One that came back before somebody listened is told of at once, and may be gone again.
            let returned = tokio::time::timeout_at(patience.into(), self.returned.notified()).await;
            if let Some(connection) = self.server.take_idle(self.number, generation) {
                return Ok(connection);
            }
            if returned.is_err() {
                break;
            }
        }
        let long = Some(Arc::clone(&self.share.long));
        self.server.connect(self.login(Role::Runtime, long, generation), deadline).await
    }

    fn login(&self, role: Role, long: Option<Arc<LongStatements>>, generation: u64) -> Login {
        Login {
            role: self.names.role(role),
            schema: self.names.schema(),
            platform: self.server.roles.platform.clone(),
            long,
            generation,
        }
    }

    /// A connection as the owner of the tables. Where there is a way for what is long, it goes that way.
    async fn connect_as_owner(&self, way: Option<Way>, deadline: Instant) -> Result<Connection> {
        let long = way.is_some().then(|| Arc::clone(&self.share.migrations));
        let login = self.login(Role::Owner, long, 0);
        let mut connection = self.server.connect(login, deadline).await?;
        connection.way = way.unwrap_or_default();
        Ok(connection)
    }

    /// The right to begin a transaction that takes turns.
    ///
    /// # Errors
    /// `unavailable` when another one did not end in time.
    pub(crate) async fn writer(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        let deadline = deadline.min(Instant::now() + self.server.wait);
        turn(&self.writer, deadline).await.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "database-busy", "another write did not end in time")
        })
    }

    /// The right to keep a connection for longer than one statement, to read.
    ///
    /// # Errors
    /// `unavailable` when others did not end in time.
    pub(crate) async fn reader(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        let deadline = deadline.min(Instant::now() + self.server.wait);
        turn(&self.readers, deadline).await.ok_or_else(busy)
    }

    /// The right to keep a connection while a guest does other things: one that never ends its
    /// transactions, in however many tenants, leaves some to those who ask for a statement.
    ///
    /// # Errors
    /// `unavailable` when others did not end in time.
    pub(crate) async fn keeper(&self, deadline: Instant) -> Result<Turn> {
        let keepers = &self.server.keepers;
        if let Some(turn) = keepers.try_take(&self.share.kept) {
            return Ok(turn);
        }
        let deadline = deadline.min(Instant::now() + self.server.wait);
        let waiting = keepers.take(&self.share.kept).map_err(|_| busy())?;
        tokio::time::timeout_at(deadline.into(), waiting).await.map_err(|_| busy())
    }

    /// A connection to change tables.
    ///
    /// # Errors
    /// As for [`lease`](Self::lease), and when no turn became free.
    pub(crate) async fn lease_as_owner(
        self: &Arc<Self>,
        precedence: Precedence,
        deadline: Instant,
    ) -> Result<Lease> {
        let way = match precedence {
            Precedence::Operator => None,
            Precedence::GivesWay => Some(Way::Again(None)),
            Precedence::InTurn => {
                Some(Way::Again(Some(self.share.migrations.turn(deadline).await?)))
            }
        };
        let deadline = deadline.min(Instant::now() + self.server.wait);
        let turn = turn(&self.turns, deadline).await.ok_or_else(busy)?;
        let mut connection = self.connect_as_owner(way, deadline).await?;
        connection.share_new_tables(&self.names.role(Role::Runtime)).await?;
        Ok(self.lend(connection, true, Some(turn)))
    }

    /// Builds and removes indexes as a script says, while others write. What was built already is left
    /// as it is: whoever does it again may have been cut short after it.
    ///
    /// The connection is one more: whoever calls this has the ledger locked on `beside`, which keeps
    /// nobody waiting who builds an index. What gives way there does so here.
    ///
    /// # Errors
    /// The server's, that there are more than `objects_max`, or [`Failure::GaveWay`].
    pub(crate) async fn run_concurrently(
        self: &Arc<Self>,
        beside: &Connection,
        script: &str,
        time: Duration,
        objects_max: u64,
    ) -> Result<(), Failure> {
        let statements = statements::concurrent(script).map_err(Failure::Refused)?;
        let deadline = Instant::now() + time;
        let until = deadline.min(Instant::now() + self.server.wait);
        let way = beside.gives_way().then_some(Way::Again(None));
        let connecting = Box::pin(self.connect_as_owner(way, until));
        let connection = connecting.await.map_err(Failure::Refused)?;
        let mut connection = self.lend(connection, true, None);
        // It waits for transactions that began before, and nobody waits for it meanwhile.
        connection.as_host("SET lock_timeout = 0").await.map_err(Failure::Refused)?;
        for statement in statements.iter().flatten() {
            let there_are = connection.objects().await.map_err(Failure::Refused)?;
            check_objects(there_are + u64::from(!statement.removes), objects_max)?;
            connection.run_concurrently(statement, deadline).await?;
        }
        Ok(())
    }

    /// Refuses to make a unit larger that is as large as it may be. It is measured once in an
    /// interval, so that it may outgrow its limit by what is written meanwhile.
    ///
    /// # Errors
    /// `limit` when it is full.
    async fn check_space(&self, interval: Duration) -> Result<()> {
        let mut size = self.size.lock().await;
        let bytes = match &*size {
            Some(measured) if measured.at.elapsed() < interval => measured.bytes,
            _ => {
                let known = size.as_ref().map_or(0, |measured| measured.bytes);
                let bytes = self.server.roles.size(&self.names).await?.unwrap_or(known);
                *size = Some(Measured { at: Instant::now(), bytes });
                bytes
            }
        };
        if bytes <= self.size_max {
            return Ok(());
        }
        Err(full())
    }

    /// Refuses a migration that adds to a unit which is full.
    ///
    /// # Errors
    /// `limit`, `denied` for what is none, and when it cannot be measured.
    pub(crate) async fn check_space_to_migrate(&self, script: &str) -> Result<()> {
        if statements::migration_may_grow(script)? {
            // Steps follow each other at once.
            self.check_space(Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Lets go of what connections know of the tables, after these were changed.
    pub(crate) fn tables_changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Lease {
    /// Refuses a statement that adds to a unit which is full.
    ///
    /// # Errors
    /// `limit`, and when it cannot be measured.
    pub(crate) async fn check_space(&self, statement: &str) -> Result<()> {
        if statements::may_grow(statement) {
            self.unit.check_space(SIZE_INTERVAL).await
        } else {
            Ok(())
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        self.unit.leased.fetch_sub(1, Ordering::SeqCst);
        if connection.is_as_new() && !self.is_owner {
            connection.way = Way::Once;
            self.unit.server.give_back(self.unit.number, connection);
            self.unit.returned.notify_one();
        } else {
            self.unit.server.end(connection);
        }
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Unavailable, "database-busy", "no connection became free in time")
}
