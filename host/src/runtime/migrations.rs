//! Brings a tenant's unit to the schema that a module expects.

use std::time::{Duration, Instant};

use super::{Migration, ModuleVersion};
use crate::capabilities::sql;
use crate::database::{Access, AppliedMigration, GuestConnection, Unit, checksum};
use crate::error::{Error, ErrorKind, Result};

/// How long one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);

/// Applies what the unit's ledger lacks, each step in a transaction of its own. Safe to run at once
/// from several processes, and again after it was cut short.
///
/// # Errors
/// `unavailable`, code `migration-failed` or `migration-changed`: the unit stays at the last step that succeeded.
pub(super) async fn migrate(module: &ModuleVersion, unit: &Unit, deadline: Instant) -> Result<()> {
    if module.manifest.migrations.is_empty() {
        return Ok(());
    }
    let name = module.manifest.name.as_str();
    let _writer = unit.writer(deadline).await?;
    let mut connection = unit.lease(deadline).await?;
    let applied = connection.applied(name).await?;
    let pending = pending(&module.manifest.migrations, &applied)?;
    if pending.is_empty() {
        return Ok(());
    }
    for step in pending {
        apply(name, step, &mut connection).await?;
        tracing::info!(migration = step.id, "migrated");
    }
    unit.learn_kinds(&mut connection).await
}

/// Tries what [`migrate`] would do, and undoes it.
///
/// # Errors
/// `unavailable`, code `migration-failed` or `migration-changed`: the unit is as it was, as it is without an error.
pub(super) async fn rehearse(module: &ModuleVersion, unit: &Unit, deadline: Instant) -> Result<()> {
    let _writer = unit.writer(deadline).await?;
    let mut connection = unit.lease(deadline).await?;
    let applied = connection.applied(module.manifest.name.as_str()).await?;
    let pending = pending(&module.manifest.migrations, &applied)?;
    if pending.is_empty() {
        return Ok(());
    }
    connection.begin(Access::Write).await?;
    let mut outcome = Ok(());
    for step in pending {
        outcome = run(step, &mut connection).await;
        if outcome.is_err() {
            break;
        }
    }
    connection.end(false).await?;
    outcome
}

/// The steps that come next.
fn pending<'m>(
    declared: &'m [Migration],
    applied: &[AppliedMigration],
) -> Result<Vec<&'m Migration>> {
    let mut pending = Vec::new();
    for step in declared {
        match applied.iter().find(|done| done.id == step.id) {
            Some(done) if done.checksum == checksum(&step.up.sqlite) => {}
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

async fn apply(module: &str, step: &Migration, connection: &mut GuestConnection) -> Result<()> {
    connection.begin(Access::Write).await?;
    let recorded = AppliedMigration { id: step.id.clone(), checksum: checksum(&step.up.sqlite) };
    // Another process may have been quicker; the write lock is ours now.
    if connection.applied(module).await?.contains(&recorded) {
        return connection.end(false).await;
    }
    if let Err(error) = run(step, connection).await {
        connection.end(false).await?;
        return Err(error);
    }
    connection.record(module, &recorded).await?;
    connection.end(true).await
}

async fn run(step: &Migration, connection: &mut GuestConnection) -> Result<()> {
    connection.migrate(&step.up.sqlite, STEP_TIMEOUT).await.map_err(|failure| {
        let error = sql::explain(failure);
        not_ready("migration-failed", format!("migration `{}`: {error}", step.id))
    })
}

/// What failed is for the log; a client learns that the module is not ready.
fn not_ready(code: &'static str, cause: String) -> Error {
    let message = "the module's tables could not be brought up to date";
    Error::new(ErrorKind::Unavailable, code, message).because(cause)
}
