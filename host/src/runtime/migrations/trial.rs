//! Steps that are tried and undone, for whoever writes migrations.

use std::sync::Arc;
use std::time::Instant;

use super::{STEP_TIMEOUT, WAIT_MAX, go, planned, run, unknown};
use crate::capabilities::sql;
use crate::database::{Allowance, Layout, Migrator, Precedence, Unit};
use crate::error::{Error, ErrorKind, Result};
use crate::processor::CpuTime;
use crate::runtime::{Manifest, MigrationGoal};

/// Applies all migrations of a module to a unit that is nobody's.
///
/// # Errors
/// Names the migration that fails, and why.
pub(crate) async fn bring_scratch(manifest: &Manifest, unit: &Unit) -> Result<()> {
    let (cpu, mut steps) = (Arc::<CpuTime>::default(), Vec::new());
    let (first, goal) = (Precedence::Operator, MigrationGoal::UP);
    let brought = go(manifest, unit, first, &goal, &cpu, &mut steps).await;
    brought.map_err(|error| {
        let message = "the module's own migrations cannot be applied to an empty SQLite database";
        Error::invalid(message).because(error)
    })
}

/// What `look` sees in a unit once a module's pending migrations were applied, which are undone.
///
/// # Errors
/// When the unit has seen other migrations of the module, or one of those that are pending fails, or
/// can only be applied for good.
pub(crate) async fn rehearsed<T>(
    manifest: &Manifest,
    unit: &Unit,
    look: impl AsyncFnOnce(&mut Migrator) -> Result<T>,
) -> Result<T> {
    let Manifest { name, migrations, .. } = manifest;
    let mut migrator = unit.migrator(Precedence::Operator, Instant::now() + WAIT_MAX).await?;
    // Makes the ledger, where there is none.
    migrator.applied(name.as_str()).await?;
    migrator.begin(Instant::now() + WAIT_MAX).await.map_err(sql::explain)?;
    let cpu = Arc::<CpuTime>::default();
    let looking = async {
        let applied = migrator.applied(name.as_str()).await?;
        if let Some(id) = unknown(migrations, &applied).next() {
            let message =
                format!("migration `{id}` was applied, and this version does not know it");
            let error = Error::new(ErrorKind::Conflict, "migration-unknown", message);
            return Err(
                error.hint("add it to `migrations!` in the module, or leave the tenant out")
            );
        }
        for step in planned(migrations, &applied, migrator.dialect(), &MigrationGoal::UP)? {
            if migrator.is_alone(step.up.of(migrator.dialect())) {
                let message = format!("migration `{}` is pending, and cannot be tried", step.id);
                return Err(Error::invalid(message).hint("apply it first: `hostel migrate up`"));
            }
            run(step, &step.up, &mut migrator, &cpu).await?;
        }
        look(&mut migrator).await
    };
    let looked = looking.await;
    migrator.end(false).await.map_err(sql::explain)?;
    looked
}

/// A unit in which scripts are tried, one after the other. All of it is undone in the end.
pub(crate) struct Trial {
    migrator: Migrator,
}

impl Trial {
    /// # Errors
    /// When the unit does not answer.
    pub(crate) async fn begin(unit: &Unit) -> Result<Self> {
        let mut migrator = unit.migrator(Precedence::Operator, Instant::now() + WAIT_MAX).await?;
        migrator.begin(Instant::now() + WAIT_MAX).await.map_err(sql::explain)?;
        Ok(Self { migrator })
    }

    /// # Errors
    /// The database's.
    pub(crate) async fn run(&mut self, script: &str) -> Result<()> {
        let allowance = Allowance::of_host(STEP_TIMEOUT);
        self.migrator.run(script, allowance, u64::MAX).await.map_err(sql::explain)
    }

    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn layout(&mut self) -> Result<Layout> {
        self.migrator.layout().await
    }

    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.migrator.end(false).await.map_err(sql::explain)
    }
}
