//! Migrations of all tenants' tables: what was applied, what is pending, and the way there and back.
//!
//! Tenants are read in pages, and worked on a few at a time. Nothing is kept of how far a run has
//! come: the ledgers say so, and one that was cut short is just begun again. `runtime/migrations` knows
//! what a step is; `pages.rs` reads who is to be looked at, `status.rs` tells of it, `plan.rs` says
//! what would be done and `run.rs` does it. `check.rs` knows which statements hold up requests, and
//! `generate/` writes migrations.

mod check;
mod generate;
mod pages;
mod plan;
mod run;
mod status;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::check::{MigrationWarning, WarningKind, check_migration};
pub use self::generate::{Decisions, Generated, Generator, Question, Rename, TablesOf};
pub use self::plan::{MigrationPlan, PlannedStep};
pub use self::run::{
    MigratedStep, MigrationFailure, MigrationProgress, MigrationReport, TenantMigrated,
};
pub use self::status::{AppliedStep, ModuleTables, TablesState};
use crate::capabilities::tenancy::{Quarantine, QuarantineQuery, wrong_status};
use crate::database::Dialect;
use crate::error::{Error, Result};
use crate::names::{ModuleName, TenantSlug};
use crate::runtime::migrations::home;
use crate::runtime::{
    Direction, Manifest, MigrationGoal, ModuleSource, ModuleVersion, Registry, Until,
};

/// The migrations of modules' tables, for all tenants or some, while the platform runs or not.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> hostel::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let platform = hostel::Platform::builder().data_dir(folder.path()).build().await?;
/// use hostel::{MigrationGoal, MigrationScope};
///
/// // All that is pending, of all modules, for all tenants, four of them at a time.
/// let migrations = platform.migrations();
/// let report = migrations
///     .run(&MigrationScope::default(), &MigrationGoal::UP, 4, &|progress| {
///         println!("{} of {}: {}", progress.done, progress.total, progress.last.tenant);
///     })
///     .await?;
/// assert!(report.failures.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Migrations {
    registry: Arc<Registry>,
}

/// Whose tables, of which modules: all of everybody's, unless something else is said.
#[derive(Clone, Debug, Default)]
pub struct MigrationScope {
    /// These tenants; all that are active or suspended when empty.
    pub tenants: Vec<TenantSlug>,
    /// These modules; all when empty.
    pub modules: Vec<ModuleName>,
    /// Only modules that the tenant has used. The tables of others are made with their first call
    /// otherwise.
    pub used_only: bool,
}

impl Migrations {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    /// Modules that tenants are not served, because a migration failed or was taken back.
    ///
    /// # Errors
    /// When the platform's database does not answer.
    pub async fn quarantines(&self, query: &QuarantineQuery) -> Result<Vec<Quarantine>> {
        self.registry.quarantines(query).await
    }

    /// The goal that is `count` migrations away, of those that any tenant in a scope of one module has
    /// before it. Whoever was cut short and counts again comes to the same.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn goal_after(
        &self,
        scope: &MigrationScope,
        direction: Direction,
        count: u32,
    ) -> Result<MigrationGoal> {
        check_of_one_module(scope, "so many migrations are those")?;
        let mut ids = BTreeSet::new();
        self.status(scope, |tables| match direction {
            Direction::Up => ids.extend(tables.pending),
            Direction::Down => {
                let applied = tables.applied.into_iter().map(|step| step.id);
                ids.extend(applied.filter(|id| !tables.unknown.contains(id)));
            }
        })
        .await?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let last = match direction {
            Direction::Up => ids.into_iter().take(count).next_back(),
            Direction::Down => ids.into_iter().rev().nth(count),
        };
        Ok(MigrationGoal { direction, until: last.map_or(Until::End, Until::Step) })
    }

    /// A module's entities beside a tenant's tables, as they are once the module's migrations were
    /// applied. Nothing is changed.
    ///
    /// # Errors
    /// `tenant-not-found`; that the module declares no entities; that its migrations fail for the
    /// tenant, or that the tenant has seen others.
    pub async fn generator(&self, module: &ModuleSource, tenant: &TenantSlug) -> Result<Generator> {
        let runtime = self.registry.runtime();
        let tenant = runtime.services.tenants.get(tenant).await?;
        if !tenant.status.is_there() {
            return Err(wrong_status(&tenant, "active or suspended"));
        }
        let manifest = self.manifest_of(module).await?;
        let here = self.registry.unit_of(tenant.id, &manifest.name);
        let size_max = runtime.limits_of(&tenant).1.database_max_bytes.get();
        let unit = home(&runtime.services.units, &here, &manifest.name, size_max).await?;
        Generator::new(manifest, Some((tenant.slug, &unit))).await
    }

    /// The same, beside what the module's migrations make on an empty SQLite database.
    ///
    /// # Errors
    /// That the module declares no entities, or that its migrations fail.
    pub async fn generator_of_migrations(&self, module: &ModuleSource) -> Result<Generator> {
        Generator::new(self.manifest_of(module).await?, None).await
    }

    async fn manifest_of(&self, module: &ModuleSource) -> Result<Manifest> {
        let inspected = self.registry.runtime().inspect(module).await;
        Ok(inspected.map_err(|error| module.name_in(error))?.manifest)
    }

    /// What there is to warn of in one of a module's migrations, on the database that there is.
    pub fn warnings(&self, module: &ModuleName, migration: &str) -> Vec<MigrationWarning> {
        let dialect = self.registry.runtime().services.units.dialect();
        let served = self.registry.modules();
        let module = served.iter().find(|served| served.manifest.name == *module);
        let steps = module.into_iter().flat_map(|module| &module.manifest.migrations);
        let step = steps.into_iter().find(|step| step.id == migration);
        step.map(|step| warnings(step.up.of(dialect), dialect)).unwrap_or_default()
    }

    /// The modules of a scope that have migrations, by name.
    fn modules_of(&self, scope: &MigrationScope) -> Result<Vec<Arc<ModuleVersion>>> {
        let served = self.registry.modules();
        for name in &scope.modules {
            if !served.iter().any(|module| module.manifest.name == *name) {
                let error = Error::not_found(format!("there is no module `{name}`"));
                return Err(error.hint("`hostel migrate status` shows those that there are"));
            }
        }
        let is_meant = |module: &&Arc<ModuleVersion>| {
            let manifest = &module.manifest;
            (scope.modules.is_empty() || scope.modules.contains(&manifest.name))
                && !manifest.migrations.is_empty()
        };
        let mut modules: Vec<_> = served.iter().filter(is_meant).cloned().collect();
        modules.sort_unstable_by(|one, other| one.manifest.name.cmp(&other.manifest.name));
        Ok(modules)
    }

    /// Refuses a goal that means nothing in a scope.
    fn check(&self, scope: &MigrationScope, goal: &MigrationGoal) -> Result<()> {
        let modules = self.modules_of(scope)?;
        if goal.direction == Direction::Down {
            check_of_one_module(scope, "migrations are taken back that are those")?;
        }
        let Until::Step(id) = &goal.until else { return Ok(()) };
        check_of_one_module(scope, &format!("`{id}` is a migration"))?;
        let known = modules.iter().flat_map(|module| &module.manifest.migrations);
        let known: Vec<&str> = known.map(|step| step.id.as_str()).collect();
        if known.contains(&id.as_str()) {
            return Ok(());
        }
        let there_are = match known.join(", ") {
            none if none.is_empty() => "it has none".to_owned(),
            some => format!("there are {some}"),
        };
        let message = format!("module `{}` has no migration `{id}`: {there_are}", scope.modules[0]);
        Err(Error::invalid(message))
    }
}

fn check_of_one_module(scope: &MigrationScope, what: &str) -> Result<()> {
    if scope.modules.len() == 1 {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} of one module")).hint("name it with --module"))
}

/// What there is to warn of, on one database.
fn warnings(script: &str, dialect: Dialect) -> Vec<MigrationWarning> {
    let mut warnings = check_migration(script);
    warnings.retain(|warning| warning.holds_on(dialect));
    warnings
}
