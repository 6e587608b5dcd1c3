//! Brings a tenant's unit to the schema that a module expects, or back to an earlier one.
//!
//! A module's tables are in one unit of a tenant's (`home.rs`). Each step is a transaction of its own,
//! in which the ledger is read before anything is done: so it does not matter who else does the same
//! at that moment, nor where it is cut short. Only what PostgreSQL builds concurrently is done beside that transaction, and again by whoever comes after one
//! that was cut short.

mod home;
mod seen;
mod trial;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use self::home::{elsewhere, home};
pub(crate) use self::seen::{Seen, migrate_as_seen};
pub(crate) use self::trial::{Trial, bring_scratch, rehearsed};
use super::manifest::Script;
use super::{Manifest, Migration, ModuleVersion};
use crate::capabilities::sql;
use crate::capabilities::tenancy::{MigrationFailed, QuarantineReason};
use crate::database::{
    Allowance, AppliedMigration, Dialect, Failure, Migrator, Precedence, Unit, checksum,
};
use crate::error::{Error, ErrorKind, Result};
use crate::names::TenantId;
use crate::processor::CpuTime;

/// How long one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait for a connection, where the configuration allows as much, and for others that
/// change the same tables.
const WAIT_MAX: Duration = STEP_TIMEOUT;
/// How a unit says that others have its connections, or its turn to write.
const BUSY: &str = "database-busy";
/// Tables, indexes, views, sequences and types of a unit, at most, and how many of them one step may
/// add. A server has a lock for each of them that a transaction makes, reads or removes, and all
/// tenants share those locks.
const OBJECTS_MAX: u64 = 2_000;
const OBJECTS_PER_STEP_MAX: u64 = 500;

/// Which way tables are changed, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationGoal {
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub until: Until,
}

/// Which way tables are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// By the `up` scripts of migrations that were not applied yet, in their order.
    Up,
    /// By the `down` scripts of migrations that were applied, the last one first.
    Down,
}

/// How far tables are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// By all that there is to do.
    End,
    /// By as much as makes this migration the last one that is applied.
    Step(String),
}

impl MigrationGoal {
    /// Forward by all that is pending.
    pub const UP: Self = Self::up(Until::End);

    /// Forward.
    pub const fn up(until: Until) -> Self {
        Self { direction: Direction::Up, until }
    }

    /// Back.
    pub const fn down(until: Until) -> Self {
        Self { direction: Direction::Down, until }
    }
}

/// What was done to a module's tables, until all was done or something failed.
#[derive(Debug)]
pub(crate) struct Done {
    /// The migrations that were applied or undone.
    pub(crate) steps: Vec<String>,
    /// Whether it came to its end.
    pub(crate) outcome: Result<()>,
}

/// Applies what the unit's ledger lacks. Safe to run at once from several processes, and again after
/// it was cut short. What is long gives way to others'. What SQLite uses on a processor is added to
/// `cpu`.
///
/// # Errors
/// `unavailable`, code `migration-failed` or `migration-changed`: the unit stays at the last step that succeeded.
pub(super) async fn migrate(module: &ModuleVersion, unit: &Unit, cpu: &Arc<CpuTime>) -> Result<()> {
    let (mut precedence, mut steps) = (Precedence::GivesWay, Vec::new());
    loop {
        let (manifest, goal) = (&module.manifest, MigrationGoal::UP);
        match go(manifest, unit, precedence, &goal, cpu, &mut steps).await {
            // Others are waited for with neither a transaction open nor a connection.
            Err(error) if sql::is_for_its_turn(&error) => precedence = Precedence::InTurn,
            ended => return ended,
        }
    }
}

/// Brings the module's tables to a goal, as [`migrate`] does, but gives way to nobody. The error is about
/// the migration that failed.
pub(crate) async fn bring(
    module: &ModuleVersion,
    unit: &Unit,
    goal: &MigrationGoal,
    cpu: &Arc<CpuTime>,
) -> Done {
    let mut steps = Vec::new();
    let first = Precedence::Operator;
    let outcome = go(&module.manifest, unit, first, goal, cpu, &mut steps).await;
    Done { steps, outcome }
}

async fn go(
    manifest: &Manifest,
    unit: &Unit,
    precedence: Precedence,
    goal: &MigrationGoal,
    cpu: &Arc<CpuTime>,
    steps: &mut Vec<String>,
) -> Result<()> {
    let Manifest { name, migrations, .. } = manifest;
    if migrations.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + WAIT_MAX;
    let mut migrator = loop {
        match unit.migrator(precedence, deadline).await {
            // Others have their turn first, however long that takes.
            Err(error) if error.code() == BUSY && Instant::now() < deadline => {}
            found => break found?,
        }
    };
    // Makes the ledger, where there is none.
    let applied = migrator.applied(name.as_str()).await?;
    if planned(migrations, &applied, migrator.dialect(), goal)?.is_empty() {
        return migrator.tables_may_have_changed().await;
    }
    let outcome = loop {
        match step(manifest, goal, &mut migrator, cpu).await {
            Ok(None) => break Ok(()),
            Ok(Some((step, is_last))) => {
                let done = match goal.direction {
                    Direction::Up => "migrated",
                    Direction::Down => "taken back",
                };
                tracing::info!(migration = step.id, "{done}");
                steps.push(step.id.clone());
                if is_last {
                    break Ok(());
                }
            }
            Err(error) => break Err(error),
        }
    };
    let told = migrator.tables_changed().await;
    outcome.and(told)
}

/// Does what comes next, in a transaction of its own, and says what that was and whether it was the
/// last; none when nothing is left to do.
async fn step<'m>(
    manifest: &'m Manifest,
    goal: &MigrationGoal,
    migrator: &mut Migrator,
    cpu: &Arc<CpuTime>,
) -> Result<Option<(&'m Migration, bool)>> {
    migrator.begin(Instant::now() + WAIT_MAX).await.map_err(sql::explain)?;
    match within(manifest, goal, migrator, cpu).await {
        Ok(Some((step, is_last))) => {
            migrator.end(true).await.map_err(|failure| failed(step, failure))?;
            Ok(Some((step, is_last)))
        }
        other => {
            migrator.end(false).await.map_err(sql::explain)?;
            other
        }
    }
}

async fn within<'m>(
    manifest: &'m Manifest,
    goal: &MigrationGoal,
    migrator: &mut Migrator,
    cpu: &Arc<CpuTime>,
) -> Result<Option<(&'m Migration, bool)>> {
    let Manifest { name, migrations, .. } = manifest;
    // Others may have done some of it, while this waited for them.
    let applied = migrator.applied(name.as_str()).await?;
    let plan = planned(migrations, &applied, migrator.dialect(), goal)?;
    let Some(step) = plan.first() else { return Ok(None) };
    match goal.direction {
        Direction::Up => {
            migrator.record(name.as_str(), &recorded(step, migrator.dialect())).await?;
            run(step, &step.up, migrator, cpu).await?;
        }
        Direction::Down => {
            migrator.unrecord(name.as_str(), &step.id).await?;
            run(step, &step.down, migrator, cpu).await?;
        }
    }
    Ok(Some((step, plan.len() == 1)))
}

/// Tries what [`migrate`] would do, and undoes it.
///
/// # Errors
/// `unavailable`, code `migration-failed` or `migration-changed`: the unit is as it was, as it is without an error.
pub(super) async fn rehearse(
    module: &ModuleVersion,
    unit: &Unit,
    cpu: &Arc<CpuTime>,
) -> Result<()> {
    let Manifest { name, migrations, .. } = &module.manifest;
    let deadline = Instant::now() + WAIT_MAX;
    let mut migrator = unit.migrator(Precedence::Operator, deadline).await?;
    let applied = migrator.applied(name.as_str()).await?;
    if planned(migrations, &applied, migrator.dialect(), &MigrationGoal::UP)?.is_empty() {
        return Ok(());
    }
    migrator.begin(deadline).await.map_err(sql::explain)?;
    let outcome = try_all(module, &mut migrator, cpu).await;
    migrator.end(false).await.map_err(sql::explain)?;
    outcome
}

async fn try_all(
    module: &ModuleVersion,
    migrator: &mut Migrator,
    cpu: &Arc<CpuTime>,
) -> Result<()> {
    let Manifest { name, migrations, .. } = &module.manifest;
    // Others may have done some of it, while this waited for them.
    let applied = migrator.applied(name.as_str()).await?;
    for step in planned(migrations, &applied, migrator.dialect(), &MigrationGoal::UP)? {
        // What is done for good is not tried, and what follows may need it.
        if migrator.is_alone(step.up.of(migrator.dialect())) {
            break;
        }
        run(step, &step.up, migrator, cpu).await?;
    }
    Ok(())
}

/// The steps that lead to a goal, in their order.
///
/// # Errors
/// `migration-changed` when one that was applied is another one now; on the way back, `migration-unknown`
/// when a later one was applied that nobody here knows, `migration-irreversible` when one has no way back.
pub(crate) fn planned<'m>(
    declared: &'m [Migration],
    applied: &[AppliedMigration],
    dialect: Dialect,
    goal: &MigrationGoal,
) -> Result<Vec<&'m Migration>> {
    if let Some(id) = changed(declared, applied, dialect).first() {
        let cause = format!(
            "migration `{id}` was applied and has changed since: restore it, and put the change into a new migration"
        );
        return Err(not_ready(QuarantineReason::Changed, id, cause));
    }
    let is_applied = |step: &&Migration| applied.iter().any(|done| done.id == step.id);
    let mut steps: Vec<&Migration> = match goal.direction {
        Direction::Up => declared.iter().filter(|step| !is_applied(step)).collect(),
        Direction::Down => declared.iter().rev().filter(is_applied).collect(),
    };
    match (&goal.until, goal.direction) {
        (Until::End, _) => {}
        (Until::Step(id), Direction::Up) => steps.retain(|step| step.id <= *id),
        (Until::Step(id), Direction::Down) => steps.retain(|step| step.id > *id),
    }
    if goal.direction == Direction::Down {
        check_way_back(declared, applied, dialect, &steps)?;
    }
    Ok(steps)
}

/// The ids of those that were applied and are others now.
pub(crate) fn changed<'m>(
    declared: &'m [Migration],
    applied: &[AppliedMigration],
    dialect: Dialect,
) -> Vec<&'m str> {
    let is_changed = |step: &&Migration| {
        let done = applied.iter().find(|done| done.id == step.id);
        done.is_some_and(|done| done.checksum != checksum(step.up.of(dialect)))
    };
    declared.iter().filter(is_changed).map(|step| step.id.as_str()).collect()
}

/// The ids of those that were applied and that nobody here knows: of a later version, most likely.
pub(crate) fn unknown<'a>(
    declared: &[Migration],
    applied: &'a [AppliedMigration],
) -> impl Iterator<Item = &'a str> {
    let is_known = |done: &AppliedMigration| declared.iter().any(|step| step.id == done.id);
    applied.iter().filter(move |done| !is_known(done)).map(|done| done.id.as_str())
}

fn check_way_back(
    declared: &[Migration],
    applied: &[AppliedMigration],
    dialect: Dialect,
    steps: &[&Migration],
) -> Result<()> {
    let Some(first) = steps.last() else { return Ok(()) };
    if let Some(id) = unknown(declared, applied).find(|id| **id > *first.id) {
        let what = format!("migration `{id}` was applied later, and this version does not know it");
        let error = Error::new(ErrorKind::Conflict, "migration-unknown", what);
        return Err(error.about(id).hint("take it back with the version that has it"));
    }
    match steps.iter().find(|step| is_blank(&step.down, dialect)) {
        Some(step) => {
            let what = format!("migration `{}` has no script to take it back", step.id);
            let error = Error::new(ErrorKind::Conflict, "migration-irreversible", what);
            Err(error.about(&step.id).hint("write a migration that goes forward instead"))
        }
        None => Ok(()),
    }
}

fn is_blank(script: &Script, dialect: Dialect) -> bool {
    let mut lines = script.of(dialect).lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with("--"))
}

/// What the ledger keeps of a step.
fn recorded(step: &Migration, dialect: Dialect) -> AppliedMigration {
    AppliedMigration { id: step.id.clone(), checksum: checksum(step.up.of(dialect)) }
}

/// Applies one step, in a transaction of its own.
async fn apply(
    module: &str,
    step: &Migration,
    migrator: &mut Migrator,
    deadline: Instant,
    cpu: &Arc<CpuTime>,
) -> Result<()> {
    let recorded = recorded(step, migrator.dialect());
    migrator.begin(deadline).await.map_err(sql::explain)?;
    let outcome = match migrator.record(module, &recorded).await {
        Ok(true) => run(step, &step.up, migrator, cpu).await.map(|()| true),
        other => other,
    };
    match outcome {
        Ok(is_new) => migrator.end(is_new).await.map_err(|failure| failed(step, failure)),
        Err(error) => {
            migrator.end(false).await.map_err(sql::explain)?;
            Err(error)
        }
    }
}

async fn run(
    step: &Migration,
    script: &Script,
    migrator: &mut Migrator,
    cpu: &Arc<CpuTime>,
) -> Result<()> {
    let script = script.of(migrator.dialect());
    let before = migrator.hosts_own().await?;
    let objects = migrator.objects().await?;
    let objects_max = OBJECTS_MAX.min(objects + OBJECTS_PER_STEP_MAX).max(objects);
    let allowance = Allowance { time: STEP_TIMEOUT, cpu_max: Duration::MAX, cpu: Arc::clone(cpu) };
    let ran = migrator.run(script, allowance, objects_max).await;
    ran.map_err(|failure| failed(step, failure))?;
    if migrator.hosts_own().await? != before {
        let what = "it makes, changes or refers to tables of the platform, whose names begin with `hostel_`";
        let refused = Error::new(ErrorKind::Denied, "statement-refused", what);
        return Err(failed(step, Failure::Refused(refused)));
    }
    Ok(())
}

fn failed(step: &Migration, failure: Failure) -> Error {
    let error = sql::explain(failure);
    if sql::is_for_its_turn(&error) {
        return error;
    }
    let cause = format!("migration `{}`: {error}", step.id);
    not_ready(QuarantineReason::Failed, &step.id, cause)
}

/// What failed is for the log; a client learns that the module is not ready.
fn not_ready(reason: QuarantineReason, id: &str, cause: String) -> Error {
    let message = "the module's tables could not be brought up to date";
    Error::new(ErrorKind::Unavailable, reason.code(), message).about(id).because(cause)
}

/// What is to be remembered of an error, if it is one of the migrations themselves: another attempt
/// soon would fail as well.
pub(crate) fn to_remember<'a>(
    module: &'a ModuleVersion,
    tenant: TenantId,
    error: &'a Error,
) -> Option<MigrationFailed<'a>> {
    Some(MigrationFailed {
        tenant,
        module: &module.manifest.name,
        reason: error.code().parse().ok()?,
        migrations: &module.migrations_digest,
        migration: error.subject(),
        cause: error.causes().unwrap_or_default(),
    })
}
