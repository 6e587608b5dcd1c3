//! Brings a tenant's unit to the schema that a module expects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::manifest::Script;
use super::{Manifest, Migration, ModuleVersion};
use crate::capabilities::sql;
use crate::database::{Allowance, AppliedMigration, Dialect, Failure, Migrator, Unit, checksum};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::CpuTime;

/// How long one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait for a connection, where the configuration allows as much.
const WAIT_MAX: Duration = STEP_TIMEOUT;
/// Tables, indexes, views, sequences and types of a unit, at most, and how many of them one step may
/// add. A server has a lock for each of them that a transaction makes, reads or removes, and all
/// tenants share those locks.
const OBJECTS_MAX: u64 = 2_000;
const OBJECTS_PER_STEP_MAX: u64 = 500;

/// Applies what the unit's ledger lacks, each step in a transaction of its own. Safe to run at once
/// from several processes, and again after it was cut short. What SQLite uses on a processor is added
/// to `cpu`.
///
/// # Errors
/// `unavailable`, code `migration-failed` or `migration-changed`: the unit stays at the last step that succeeded.
pub(super) async fn migrate(module: &ModuleVersion, unit: &Unit, cpu: &Arc<CpuTime>) -> Result<()> {
    if module.manifest.migrations.is_empty() {
        return Ok(());
    }
    let name = module.manifest.name.as_str();
    let mut migrator = unit.migrator(Instant::now() + WAIT_MAX).await?;
    let applied = migrator.applied(name).await?;
    let pending = pending(&module.manifest.migrations, &applied, &migrator)?;
    if pending.is_empty() {
        return Ok(());
    }
    for step in pending {
        apply(name, step, &mut migrator, cpu).await?;
        tracing::info!(migration = step.id, "migrated");
    }
    migrator.tables_changed().await
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
    let mut migrator = unit.migrator(Instant::now() + WAIT_MAX).await?;
    let applied = migrator.applied(module.manifest.name.as_str()).await?;
    let pending = pending(&module.manifest.migrations, &applied, &migrator)?;
    if pending.is_empty() {
        return Ok(());
    }
    migrator.begin().await.map_err(sql::explain)?;
    let mut outcome = Ok(());
    for step in pending {
        outcome = run(step, &mut migrator, cpu).await;
        if outcome.is_err() {
            break;
        }
    }
    migrator.end(false).await.map_err(sql::explain)?;
    outcome
}

/// A migration that another unit has seen, of a module that is served here.
pub(crate) struct Seen {
    module: Arc<ModuleVersion>,
    /// Which of its migrations.
    step: usize,
}

impl Seen {
    /// Finds what another unit has `seen`. Texts are compared where both are in the same words.
    ///
    /// # Errors
    /// Names the migration that the module has not, or has otherwise, and what to do.
    pub(crate) fn find(
        module: &Arc<ModuleVersion>,
        seen: &AppliedMigration,
        same_words: Option<Dialect>,
    ) -> Result<Self> {
        let Manifest { name, version, migrations, .. } = &module.manifest;
        let id = &seen.id;
        let step = migrations.iter().position(|step| step.id == *id).ok_or_else(|| {
            Error::invalid(format!(
                "module `{name}` {version} has no migration `{id}`, which the tenant has seen"
            ))
            .hint(format!("serve a later version of `{name}`"))
        })?;
        let up = &migrations[step].up;
        let text = same_words.map(|dialect| match dialect {
            Dialect::Sqlite => &up.sqlite,
            Dialect::Postgres => &up.postgres,
        });
        if text.is_some_and(|text| checksum(text) != seen.checksum) {
            return Err(Error::invalid(format!(
                "migration `{id}` of module `{name}` {version} is another one than the tenant has seen"
            ))
            .hint(format!("serve a version of `{name}` in which it is as it was")));
        }
        Ok(Self { module: Arc::clone(module), step })
    }
}

/// Makes the tables that another unit has, by the migrations that it has seen, in their order.
///
/// # Errors
/// Names the migration, and why it failed.
pub(crate) async fn migrate_as_seen(seen: &[Seen], unit: &Unit, deadline: Instant) -> Result<()> {
    let mut migrator = unit.migrator(deadline).await?;
    // The operator's, who imports.
    let cpu = Arc::default();
    for Seen { module, step } in seen {
        let Manifest { name, migrations, .. } = &module.manifest;
        // Makes the ledger, where there is none.
        migrator.applied(name.as_str()).await?;
        let applying = apply(name.as_str(), &migrations[*step], &mut migrator, &cpu);
        applying.await.map_err(|error| {
            let cause = error.causes().unwrap_or_else(|| error.to_string());
            Error::invalid(format!("module `{name}`: {cause}")).because(error)
        })?;
    }
    migrator.tables_changed().await
}

/// The steps that come next.
fn pending<'m>(
    declared: &'m [Migration],
    applied: &[AppliedMigration],
    migrator: &Migrator,
) -> Result<Vec<&'m Migration>> {
    let mut pending = Vec::new();
    for step in declared {
        match applied.iter().find(|done| done.id == step.id) {
            Some(done) if done.checksum == checksum(text(&step.up, migrator)) => {}
            Some(_) => {
                return Err(not_ready(
                    "migration-changed",
                    format!(
                        "migration `{}` was applied and has changed since: restore it, and put the change into a new migration",
                        step.id
                    ),
                ));
            }
            None => pending.push(step),
        }
    }
    Ok(pending)
}

/// A script in the words of the migrator's database.
fn text<'s>(script: &'s Script, migrator: &Migrator) -> &'s str {
    match migrator {
        Migrator::Sqlite { .. } => &script.sqlite,
        Migrator::Postgres { .. } => &script.postgres,
    }
}

async fn apply(
    module: &str,
    step: &Migration,
    migrator: &mut Migrator,
    cpu: &Arc<CpuTime>,
) -> Result<()> {
    let checksum = checksum(text(&step.up, migrator));
    let recorded = AppliedMigration { id: step.id.clone(), checksum };
    migrator.begin().await.map_err(sql::explain)?;
    // Written first: another process that applies the same step waits here, and finds it done.
    let outcome = match migrator.record(module, &recorded).await {
        Ok(true) => run(step, migrator, cpu).await.map(|()| true),
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

async fn run(step: &Migration, migrator: &mut Migrator, cpu: &Arc<CpuTime>) -> Result<()> {
    let script = text(&step.up, migrator);
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
    not_ready("migration-failed", format!("migration `{}`: {error}", step.id))
}

/// What failed is for the log; a client learns that the module is not ready.
fn not_ready(code: &'static str, cause: String) -> Error {
    let message = "the module's tables could not be brought up to date";
    Error::new(ErrorKind::Unavailable, code, message).because(cause)
}
