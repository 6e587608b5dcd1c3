//! A connection that logged in as one unit's role, and what is run on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::super::check_objects;
use super::super::ledger::AppliedMigration;
use super::super::units::Failure;
use super::answer::{Fault, Prepared, Row, Step};
use super::long::{LongStatements, Pace, Way};
use super::process::Process;
use super::statements::{self, Concurrent};
use super::wire::Wire;
use crate::database::{PlatformDatabase, quoted};
use crate::error::{Error, ErrorKind, Result};

/// How long the host's own statements may take: they wait for locks of others at most.
const HOST_TIMEOUT: Duration = Duration::from_secs(60);
/// Statements of a migration after which what it has made is counted.
const STATEMENTS_UNCOUNTED_MAX: usize = 50;

/// A connection to one unit.
pub(crate) struct Connection {
    pub(super) inner: Box<Wire>,
    /// The schema of the unit, for the host's own statements: names of guests' search paths are
    /// never relied on.
    pub(in crate::database) schema: String,
    /// The statement that waits for the unit's turn to write.
    take_turn: Arc<str>,
    /// What serves it, to be ended when a statement outruns its time.
    process: Arc<Process>,
    /// Set while a statement runs or a transaction is open; a connection that is given back like
    /// this is closed, and its process ended.
    pub(super) busy: bool,
    /// Set when something was given up that still runs: nothing else is asked.
    was_given_up: bool,
    /// Set when something made the connection unfit for others.
    spoilt: bool,
    /// The long statements of the unit, where those of this connection are among them.
    long: Option<Arc<LongStatements>>,
    /// What becomes of those that need a turn.
    pub(super) way: Way,
    /// The state of the unit's tables that its prepared statements were made for.
    pub(super) generation: u64,
    /// One of the connections that there may be at once.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) async fn new(
        mut inner: Wire,
        login: Login,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Fault> {
        let Login { role, schema, platform, long, generation } = login;
        // Asked, and not taken from the login: a pooler in between gives numbers of its own.
        let (rows, _) = inner.once("SELECT pg_catalog.pg_backend_pid()::text", &[]).await?;
        let process = rows.first().map(|row| row.text(0)).transpose()?.unwrap_or_default();
        let process = process.parse().map_err(std::io::Error::other)?;
        // The weakest mode that keeps its own kind out. For a stronger one the server looks through the
        // locks of all its connections.
        let take_turn = format!("LOCK TABLE {schema}.hostel_turn IN SHARE UPDATE EXCLUSIVE MODE");
        Ok(Self {
            inner: Box::new(inner),
            schema,
            take_turn: take_turn.into(),
            process: Arc::new(Process::new(process, role, platform)),
            busy: false,
            was_given_up: false,
            spoilt: false,
            long,
            way: Way::Once,
            generation,
            permit,
        })
    }

    /// Whether nothing is left of those who had it.
    pub(super) fn is_as_new(&self) -> bool {
        !self.busy && !self.spoilt
    }

    /// Whether something still runs that nobody waits for any more: the connection is of no further use,
    /// and what was begun there is undone when it is closed.
    pub(in crate::database) fn was_given_up(&self) -> bool {
        self.was_given_up
    }

    /// Whether what is long there is given up, to be run again in its turn.
    pub(super) fn gives_way(&self) -> bool {
        self.long.is_some() && matches!(self.way, Way::Again(None))
    }

    /// The process, where something still runs there that must be ended.
    pub(super) fn left_running(&self) -> Option<Arc<Process>> {
        self.busy.then(|| Arc::clone(&self.process))
    }

    /// The connection itself, and what others wait for until it is closed.
    pub(super) fn into_parts(self) -> (Wire, (OwnedSemaphorePermit, Way)) {
        (*self.inner, (self.permit, self.way))
    }

    /// What the server makes of a guest's statement: the types of its parameters and columns. Nothing
    /// crosses the network for one that this connection has seen.
    ///
    /// `before` is what the host says before it: nothing, or that it asks for a plan. `types` are
    /// those of parameters which the statement's own words leave open, 0 where they do not.
    ///
    /// # Errors
    /// The server's, or that the statement is none of those which guests may use.
    pub(crate) async fn prepare(
        &mut self,
        before: &'static str,
        statement: &str,
        types: &[u32],
        time: Duration,
    ) -> Result<Arc<Prepared>, Failure> {
        let statement = statements::on_rows(statement).map_err(Failure::Refused)?;
        let text = format!("{before}{statement}");
        let preparing = self.inner.prepare(&text, types);
        let Some(prepared) = watched(&mut self.busy, time, preparing).await else {
            self.was_given_up = true;
            return Err(Failure::Overdue);
        };
        self.learn(prepared)
    }

    /// Runs what was prepared, within `bounds`. `each` gets row by row and may stop with an error.
    /// Returns how many rows were changed.
    ///
    /// # Errors
    /// The server's, or that of `each`.
    pub(crate) async fn run(
        &mut self,
        statement: &Arc<Prepared>,
        values: &[Option<Vec<u8>>],
        bounds: Bounds,
        mut each: impl FnMut(&Prepared, &Row) -> Result<()>,
    ) -> Result<u64, Failure> {
        let mut running = self.start(statement, values, bounds).await?;
        let mut changed = 0;
        while let Some(step) = running.next().await? {
            match step {
                Step::Done(count) => changed += count,
                Step::Row(row) => each(statement, &row).map_err(Failure::Refused)?,
            }
        }
        Ok(changed)
    }

    /// Runs what was prepared once for each of `runs`, of which the server gets all at once. Each may
    /// take as long as `bounds` say. Returns how many rows were changed.
    ///
    /// # Errors
    /// Why one of them failed, and which: no other was run after it.
    pub(crate) async fn run_all(
        &mut self,
        statement: &Arc<Prepared>,
        runs: &[Vec<Option<Vec<u8>>>],
        bounds: Bounds,
    ) -> Result<u64, (usize, Failure)> {
        let mut running = self.start_all(statement, runs, bounds).await.map_err(|it| (0, it))?;
        let (mut changed, mut done) = (0, 0);
        while let Some(step) = running.next().await.map_err(|failure| (done, failure))? {
            if let Step::Done(count) = step {
                changed += count;
                done += 1;
                running.begin_next(bounds.time);
            }
        }
        Ok(changed)
    }

    /// Starts what was prepared: its rows are taken one by one, for as long as `bounds` say. Given up
    /// before the end, the connection is closed and what runs there is ended.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) async fn start(
        &mut self,
        statement: &Arc<Prepared>,
        values: &[Option<Vec<u8>>],
        bounds: Bounds,
    ) -> Result<Running<'_>, Failure> {
        self.start_all(statement, &[values], bounds).await
    }

    async fn start_all<V: AsRef<[Option<Vec<u8>>]>>(
        &mut self,
        statement: &Arc<Prepared>,
        runs: &[V],
        bounds: Bounds,
    ) -> Result<Running<'_>, Failure> {
        let pace = match &self.long {
            Some(unit) => {
                let way = &mut self.way;
                Some(Pace::begin(unit, way, statement, &self.process, bounds.time).await?)
            }
            None => None,
        };
        // What lasts for ever does so in a call that does not.
        let deadline = Instant::now().checked_add(bounds.time);
        let mut running = self.running(pace, deadline);
        let starting = running.connection.inner.run(statement, runs, bounds.row_max);
        let started = paced(&mut running.pace, deadline, starting).await;
        running.learn(started)?;
        Ok(running)
    }

    /// What watches over a script, or over the end of a transaction.
    fn pace(&self) -> Option<Pace> {
        let unit = self.long.as_ref()?;
        Some(Pace::of_unknown(unit, &self.way, &self.process))
    }

    fn running(&mut self, pace: Option<Pace>, deadline: Option<Instant>) -> Running<'_> {
        let was_busy = std::mem::replace(&mut self.busy, true);
        Running { connection: self, was_busy, deadline, pace }
    }

    /// Runs a statement of a migration, and gives `pace` back.
    async fn run_at(
        &mut self,
        mut pace: Option<Pace>,
        statement: &str,
        deadline: Instant,
    ) -> Result<Option<Pace>, Failure> {
        if let Some(pace) = &mut pace {
            pace.go_on()?;
        }
        let mut running = self.running(pace, Some(deadline));
        let asked = running.connection.inner.once_for_nothing(statement);
        let done = paced(&mut running.pace, running.deadline, asked).await;
        running.learn(done)?;
        running.connection.busy = running.was_busy;
        Ok(running.pace)
    }

    /// Some errors say that the connection is of no further use.
    fn learn<T>(&mut self, outcome: Result<T, Fault>) -> Result<T, Failure> {
        outcome.map_err(|fault| {
            self.spoilt |= spoils(&fault);
            failure(fault)
        })
    }

    /// Begins a transaction with what is asked in it first, which is refused where this is. Until
    /// [`end`](Self::end), the connection counts as in use.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn begin(&mut self, begin: Begin) -> Result<(), Failure> {
        self.say_ahead(begin.statement).await?;
        // Refused its turn, it begins all the same.
        self.busy = true;
        if begin.takes_turn {
            self.say_ahead(&Arc::clone(&self.take_turn)).await?;
        }
        Ok(())
    }

    /// Says what has no answer together with what is asked next.
    async fn say_ahead(&mut self, statement: &str) -> Result<(), Failure> {
        let saying = async {
            let prepared = self.inner.prepare(statement, &[]).await?;
            self.inner.run_ahead(&prepared).await
        };
        let said = in_time(watched(&mut self.busy, HOST_TIMEOUT, saying).await);
        self.learn(said)
    }

    /// Begins a transaction to change tables, after those of others that do, however long they take
    /// until `deadline`: nobody else writes to the ledger until it ends. What others have committed
    /// meanwhile is seen.
    ///
    /// # Errors
    /// When they do not end in time, or the server does not answer.
    pub(crate) async fn begin_to_migrate(&mut self, deadline: Instant) -> Result<(), Failure> {
        let time = deadline.saturating_duration_since(Instant::now());
        // What a script waits for is bounded by the role's own setting again: whoever comes after it
        // waits as long.
        let statement = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;
             SET LOCAL lock_timeout = '{}ms';
             LOCK TABLE {}.hostel_migrations IN EXCLUSIVE MODE;
             SET LOCAL lock_timeout TO DEFAULT",
            time.as_millis().max(1),
            self.schema
        );
        let saying = self.inner.say(&statement);
        let begun = watched(&mut self.busy, time + HOST_TIMEOUT, saying).await;
        // Refused its turn, it has begun all the same.
        self.busy = true;
        self.learn(begun.ok_or(Failure::Overdue)?)
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it cannot be committed; it is rolled back then.
    pub(crate) async fn end(&mut self, commit: bool) -> Result<(), Failure> {
        if self.was_given_up {
            // It is closed, which undoes all of it.
            return if commit { Err(Failure::Overdue) } else { Ok(()) };
        }
        // Constraints may leave something to be computed for the end.
        let mut pace = self.pace().filter(|_| commit);
        let deadline = Instant::now() + HOST_TIMEOUT;
        self.busy = true;
        let saying = self.inner.say(if commit { "COMMIT" } else { "ROLLBACK" });
        let ended = paced(&mut pace, Some(deadline), saying).await;
        // A turn is for one transaction.
        if let Way::Again(turn) = &mut self.way {
            *turn = None;
        }
        let ended = ended.inspect_err(|_| self.was_given_up = true)?;
        // Refused by the server, a commit has ended the transaction too.
        self.busy = !matches!(ended, Ok(()) | Err(Fault::Refused(_)));
        let gave_way = ended.as_ref().err().and_then(|fault| pace.as_ref()?.explain(fault));
        gave_way.map_or_else(|| self.learn(ended), Err)
    }

    /// Says one of the host's own statements, which answers nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn as_host(&mut self, statement: &'static str) -> Result<()> {
        self.raw(statement).await.map_err(unanswered)
    }

    async fn raw(&mut self, statement: &str) -> Result<(), Fault> {
        if self.was_given_up {
            return in_time(None);
        }
        let saying = self.inner.say(statement);
        in_time(watched(&mut self.busy, HOST_TIMEOUT, saying).await)
    }

    /// Says one statement of somebody else's, in the transaction that is open.
    ///
    /// # Errors
    /// The server's.
    pub(in crate::database) async fn say_once(&mut self, statement: &str) -> Result<(), Failure> {
        let running = self.inner.once_for_nothing(statement);
        let done = watched(&mut self.busy, HOST_TIMEOUT, running).await.ok_or(Failure::Overdue)?;
        self.learn(done)
    }

    /// Asks something of the host's own: the rows, and how many were changed.
    pub(in crate::database) async fn asked(
        &mut self,
        statement: &str,
        values: &[&[u8]],
    ) -> Result<(Vec<Row>, u64)> {
        let asking = self.inner.once(statement, values);
        in_time(watched(&mut self.busy, HOST_TIMEOUT, asking).await).map_err(unanswered)
    }

    /// Runs a module's migration script, which may hold many statements. Each goes to the server
    /// alone, so that none can end the transaction around it.
    ///
    /// # Errors
    /// The server's, that the script holds what migrations may not use, that it leaves more than
    /// `objects_max`, or [`Failure::GaveWay`].
    pub(crate) async fn migrate(
        &mut self,
        script: &str,
        time: Duration,
        objects_max: u64,
    ) -> Result<(), Failure> {
        let script = statements::of_migration(script).map_err(Failure::Refused)?;
        let mut pace = self.pace();
        let deadline = Instant::now() + time;
        for some in script.chunks(STATEMENTS_UNCOUNTED_MAX) {
            for statement in some {
                pace = self.run_at(pace, statement, deadline).await?;
            }
            // In between, too: until the end, each of them takes a lock of those that all share.
            check_objects(self.objects().await.map_err(Failure::Refused)?, objects_max)?;
        }
        if let Some(pace) = pace {
            pace.leave_turn_to(&mut self.way);
        }
        Ok(())
    }

    /// Builds or removes an index while others write, unless that was done.
    ///
    /// # Errors
    /// The server's, or [`Failure::GaveWay`]. What was built by half is removed.
    pub(super) async fn run_concurrently(
        &mut self,
        statement: &Concurrent<'_>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        match self.is_index_whole(&statement.index).await.map_err(Failure::Refused)? {
            Some(true) if !statement.removes => return Ok(()),
            None if statement.removes => return Ok(()),
            // Somebody was cut short.
            Some(false) if !statement.removes => self.remove_index(statement, deadline).await?,
            _ => {}
        }
        let done = self.run_at(self.pace(), statement.text, deadline).await.map(|_| ());
        if done.is_err() && !statement.removes && self.is_as_new() {
            // It would slow writes down, and refuse what is there twice. One that was there before is
            // whole.
            let is_whole = self.is_index_whole(&statement.index).await.map_err(Failure::Refused)?;
            if is_whole == Some(false) {
                self.remove_index(statement, deadline).await?;
            }
        }
        done
    }

    async fn remove_index(
        &mut self,
        statement: &Concurrent<'_>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let drop = format!("DROP INDEX CONCURRENTLY {}.{}", self.schema, quoted(&statement.index));
        self.run_at(None, &drop, deadline).await.map(|_| ())
    }

    /// Whether an index is whole; none where there is none of that name.
    async fn is_index_whole(&mut self, index: &str) -> Result<Option<bool>> {
        let statement = format!(
            "SELECT i.indisvalid::text FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             WHERE c.relnamespace = '{}'::regnamespace AND c.relname = $1::pg_catalog.text",
            self.schema
        );
        let (rows, _) = self.asked(&statement, &[index.as_bytes()]).await?;
        let whole = rows.first().map(|row| row.text(0)).transpose().map_err(unanswered)?;
        Ok(whole.map(|whole| whole == "true"))
    }

    /// How many tables, indexes, views, sequences and types there are in the unit.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn objects(&mut self) -> Result<u64> {
        let direct = direct_objects(&self.schema);
        let statement = format!(
            "WITH direct AS ({direct})
             SELECT ((SELECT count(*) FROM direct)
                   + (SELECT count(*) FROM direct d JOIN pg_catalog.pg_index i ON i.indrelid = d.objid
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass))::text"
        );
        let (rows, _) = self.asked(&statement, &[]).await?;
        let count = rows.first().map(|row| row.text(0)).transpose().map_err(unanswered)?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(u64::MAX))
    }

    /// Lets the unit's runtime role use the tables that its owner will make.
    ///
    /// # Errors
    /// When the server does not answer or does not allow it.
    pub(super) async fn share_new_tables(&mut self, runtime: &str) -> Result<()> {
        if self.shares_new_tables().await? {
            return Ok(());
        }
        let schema = &self.schema;
        let script = format!(
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime};
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {runtime};"
        );
        match self.raw(&script).await {
            // Another process may have been quicker.
            Err(fault) if !self.shares_new_tables().await? => Err(unanswered(fault)),
            _ => Ok(()),
        }
    }

    async fn shares_new_tables(&mut self) -> Result<bool> {
        let schema = self.schema.clone();
        let (rows, _) = self
            .asked(
                "SELECT 1 FROM pg_catalog.pg_default_acl a
                 JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace
                 WHERE n.nspname = $1::pg_catalog.text
                   AND a.defaclrole = pg_catalog.to_regrole(current_user)",
                &[schema.as_bytes()],
            )
            .await?;
        // Tables and sequences.
        Ok(rows.len() == 2)
    }

    /// The migrations of `module` that this unit has seen, in order.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn applied(&mut self, module: &str) -> Result<Vec<AppliedMigration>> {
        let statement = format!(
            "SELECT id, checksum FROM {}.hostel_migrations WHERE module = $1 ORDER BY id",
            self.schema
        );
        let (rows, _) = self.asked(&statement, &[module.as_bytes()]).await?;
        rows.iter()
            .map(|row| {
                let checksum = row.get(1).unwrap_or_default().to_vec();
                Ok(AppliedMigration { id: row.text(0).map_err(unanswered)?, checksum })
            })
            .collect()
    }

    /// Takes a row out of the ledger, in the transaction that is open.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn unrecord(&mut self, module: &str, id: &str) -> Result<()> {
        let statement =
            format!("DELETE FROM {}.hostel_migrations WHERE module = $1 AND id = $2", self.schema);
        self.asked(&statement, &[module.as_bytes(), id.as_bytes()]).await.map(|_| ())
    }

    /// Writes a row of the ledger, in the transaction that is open, and says whether it was new.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn record(
        &mut self,
        module: &str,
        migration: &AppliedMigration,
    ) -> Result<bool> {
        let statement = format!(
            "INSERT INTO {}.hostel_migrations (module, id, checksum) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
            self.schema
        );
        let values = [module.as_bytes(), migration.id.as_bytes(), &migration.checksum];
        let (_, changed) = self.asked(&statement, &values).await?;
        Ok(changed == 1)
    }

    /// What there is of the host's in the unit, what refers to it, and what the ledger says: nobody
    /// else writes there until the transaction that is open ends. The role that migrates may, and could
    /// let others write through a view.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn hosts_own(&mut self) -> Result<Vec<String>> {
        let schema = &self.schema;
        let direct = direct_objects(schema);
        // Materialized, because the server would look for all tenants' types of these names first.
        let statement = format!(
            r"WITH direct AS ({direct}),
              relations AS (
                  SELECT c.oid, c.relname, c.reltype FROM pg_catalog.pg_class c WHERE c.oid IN (
                      SELECT objid FROM direct WHERE classid = 'pg_catalog.pg_class'::regclass
                      UNION ALL
                      SELECT i.indexrelid FROM pg_catalog.pg_index i JOIN direct d ON d.objid = i.indrelid
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass
                  )
              ),
              types AS MATERIALIZED (
                  SELECT t.oid, t.typname FROM pg_catalog.pg_type t WHERE t.oid IN (
                      SELECT objid FROM direct WHERE classid = 'pg_catalog.pg_type'::regclass
                      UNION ALL
                      SELECT reltype FROM relations
                      UNION ALL
                      SELECT r.rngmultitypid FROM pg_catalog.pg_range r JOIN direct d ON d.objid = r.rngtypid
                      WHERE d.classid = 'pg_catalog.pg_type'::regclass
                  )
              ),
              own AS (SELECT oid FROM relations WHERE relname LIKE 'hostel\_%')
              SELECT 'relation ' || oid FROM own
              UNION ALL
              SELECT 'type ' || oid FROM types WHERE typname LIKE 'hostel\_%'
              UNION ALL
              SELECT DISTINCT 'rule ' || d.objid FROM pg_catalog.pg_depend d
              JOIN own ON own.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_class'::regclass
              WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
              UNION ALL
              SELECT pg_catalog.concat_ws(' ', 'row', module, id, checksum, applied_at)
              FROM {schema}.hostel_migrations
              ORDER BY 1"
        );
        let (rows, _) = self.asked(&statement, &[]).await?;
        rows.iter().map(|row| row.text(0).map_err(unanswered)).collect()
    }
}

/// Asks for the relations and types that stand in a schema by themselves: neither indexes nor what
/// comes with a table or a type. By what depends on the schema, for which there is an index: `pg_class`
/// and `pg_type` have those of all tenants, and would be read from begin to end.
pub(super) fn direct_objects(schema: &str) -> String {
    format!(
        "SELECT classid, objid FROM pg_catalog.pg_depend
         WHERE refclassid = 'pg_catalog.pg_namespace'::regclass
           AND refobjid = pg_catalog.to_regnamespace('{schema}')
           AND classid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass)"
    )
}

/// Within which limits a statement runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From begin to end.
    pub(crate) time: Duration,
    /// Bytes of a row.
    pub(crate) row_max: usize,
}

/// Waits for a part of an answer, until `deadline` at most.
async fn paced<T>(
    pace: &mut Option<Pace>,
    deadline: Option<Instant>,
    part: impl Future<Output = Result<T, Fault>>,
) -> Result<Result<T, Fault>, Failure> {
    match (pace, deadline) {
        (Some(pace), deadline) => pace.wait(deadline, part).await,
        (None, Some(deadline)) => {
            let ended = tokio::time::timeout_at(deadline.into(), part).await;
            ended.map_err(|_| Failure::Overdue)
        }
        (None, None) => Ok(part.await),
    }
}

/// Waits until what runs on a connection has ended, for at most `time`. Given up before, by time or
/// because nobody asks any more, it still runs: the connection stays marked.
pub(super) async fn watched<T>(
    busy: &mut bool,
    time: Duration,
    running: impl Future<Output = T>,
) -> Option<T> {
    let was_busy = std::mem::replace(busy, true);
    let ended = tokio::time::timeout(time, running).await.ok()?;
    *busy = was_busy;
    Some(ended)
}

/// What came of something of the host's own, which has a fault where it was given up.
fn in_time<T>(outcome: Option<Result<T, Fault>>) -> Result<T, Fault> {
    outcome.unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    /// `BEGIN`, with its isolation level.
    pub(crate) statement: &'static str,
    /// Whether it waits until no other one runs that takes turns, as all do on SQLite that write:
    /// so that none of them fails because another one came first.
    pub(crate) takes_turn: bool,
}

/// Who logs in.
pub(super) struct Login {
    pub(super) role: String,
    /// The schema of its unit.
    pub(super) schema: String,
    pub(super) platform: PlatformDatabase,
    /// The unit's long statements, where those of this connection are among them.
    pub(super) long: Option<Arc<LongStatements>>,
    /// The state of the unit's tables.
    pub(super) generation: u64,
}

/// A statement that runs.
pub(crate) struct Running<'c> {
    connection: &'c mut Connection,
    was_busy: bool,
    deadline: Option<Instant>,
    pace: Option<Pace>,
}

impl Running<'_> {
    /// The next row or count of changes; none at the end.
    ///
    /// # Errors
    /// The server's, or that it took too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Step>, Failure> {
        let step = self.connection.inner.step();
        let next = paced(&mut self.pace, self.deadline, step).await;
        if matches!(next, Ok(Ok(None))) {
            self.connection.busy = self.was_busy;
            if let Some(pace) = &mut self.pace {
                pace.end();
            }
        }
        self.learn(next)
    }

    /// Waits for others, who take its rows: what is not asked for, the server does not compute.
    pub(crate) async fn pause<T>(&mut self, others: impl Future<Output = T>) -> T {
        match &mut self.pace {
            Some(pace) => pace.pause(others).await,
            None => others.await,
        }
    }

    /// The next of several runs has as much time as the one before.
    fn begin_next(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
        if let Some(pace) = &mut self.pace {
            pace.run_again();
        }
    }

    fn learn<T>(&mut self, outcome: Result<Result<T, Fault>, Failure>) -> Result<T, Failure> {
        let outcome = outcome.inspect_err(|_| self.connection.was_given_up = true)?;
        let Err(fault) = &outcome else { return self.connection.learn(outcome) };
        // Refused by the server, it has ended: nothing is left to be stopped.
        if matches!(fault, Fault::Refused(_)) {
            self.connection.busy = self.was_busy;
        }
        match self.pace.as_ref().and_then(|pace| pace.explain(fault)) {
            Some(failure) => Err(failure),
            None => self.connection.learn(outcome),
        }
    }
}

/// Whether an error says that its connection is of no further use: it came from elsewhere than from
/// a server that goes on, tables changed under a prepared statement (`0A000`), or the server's process has
/// no more memory (`53200`). Codes are those of
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn spoils(fault: &Fault) -> bool {
    match fault {
        Fault::Refused(refusal) => {
            ["0A000", "53200"].contains(&&*refusal.code) || refusal.code.starts_with("57P")
        }
        Fault::TooLarge => false,
        Fault::Lost(_) => true,
    }
}

fn failure(fault: Fault) -> Failure {
    match fault {
        Fault::Refused(refusal) => Failure::Server(refusal),
        Fault::TooLarge => Failure::TooLarge,
        Fault::Lost(error) => Failure::Database(error),
    }
}

/// What a statement of the host's own came to.
pub(super) fn unanswered(fault: Fault) -> Error {
    Error::new(ErrorKind::Unavailable, "database", "the tenant's database did not answer")
        .because(fault)
}

/// What the server does not say better.
pub(super) fn unreachable(fault: Fault) -> Error {
    Error::new(ErrorKind::Unavailable, "database", "the tenant's database cannot be opened")
        .because(fault)
}
