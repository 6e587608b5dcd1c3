//! Does it: for some tenants at a time, past those for whom it fails.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::pages::{Pages, TenantTables};
use super::{MigrationScope, Migrations};
use crate::call::Tenant;
use crate::database::Unit;
use crate::error::{Error, Result};
use crate::names::{ModuleName, TenantSlug};
use crate::runtime::migrations::{self, planned};
use crate::runtime::{Direction, MigrationGoal, ModuleVersion, Registry};

/// What a run came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MigrationReport {
    /// How many tenants were looked at.
    pub tenants: u64,
    /// For how many of them something was done.
    pub changed: u64,
    /// How many migrations were applied or taken back, over all of them.
    pub steps: u64,
    /// For whom it failed, and why.
    pub failures: Vec<MigrationFailure>,
    /// How long it took.
    pub time: Duration,
}

/// Something that failed for a tenant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigrationFailure {
    /// For whom.
    pub tenant: TenantSlug,
    /// Of which module; none where it is about the tenant's whole database.
    pub module: Option<ModuleName>,
    /// Which migration, where it is about one.
    pub migration: Option<String>,
    /// A name for programs.
    pub code: &'static str,
    /// What happened.
    pub cause: String,
}

/// A migration that was applied or taken back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigratedStep {
    /// Of which module.
    pub module: ModuleName,
    /// Which.
    pub migration: String,
}

/// What became of one tenant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TenantMigrated {
    /// Whom.
    pub tenant: TenantSlug,
    /// What was done, in that order.
    pub steps: Vec<MigratedStep>,
    /// What failed.
    pub failures: Vec<MigrationFailure>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MigrationProgress<'a> {
    /// Tenants with whom it is through.
    pub done: u64,
    /// Tenants in all, as they were counted when it began.
    pub total: u64,
    /// The one with whom it has just got through.
    pub last: &'a TenantMigrated,
}

impl MigrationFailure {
    pub(super) fn of(tenant: &TenantSlug, module: Option<&ModuleName>, error: &Error) -> Self {
        let cause = match (error.causes(), error.hint_text()) {
            (Some(cause), _) => cause,
            (None, Some(hint)) => format!("{error}: {hint}"),
            (None, None) => error.to_string(),
        };
        Self {
            tenant: tenant.clone(),
            module: module.cloned(),
            migration: error.subject().map(ToOwned::to_owned),
            code: error.code(),
            cause,
        }
    }
}

impl Migrations {
    /// Brings tables to a goal, those of `workers` tenants at a time. What fails for one tenant keeps
    /// nothing from the others; what failed is in quarantine afterwards, and tells its clients so.
    ///
    /// It may be cut short at any moment, and begun again: each tenant's tables are as they were
    /// before a step, or after it. Others may do the same at the same time, and tenants are served
    /// meanwhile. A module whose migrations are taken back is not served to these tenants until they
    /// are applied again, or a version is served that has others.
    ///
    /// # Errors
    /// `tenant-not-found`, `not-found` for a module, `invalid` for a goal that means nothing here,
    /// and when the platform's database does not answer.
    pub async fn run(
        &self,
        scope: &MigrationScope,
        goal: &MigrationGoal,
        workers: usize,
        tell: &(dyn Fn(&MigrationProgress<'_>) + Send + Sync),
    ) -> Result<MigrationReport> {
        self.check(scope, goal)?;
        let began = Instant::now();
        let mut pages = Pages::of(self, scope).await?;
        let mut report = MigrationReport::default();
        let total = pages.total;
        let mut add = |done: TenantMigrated| {
            report.tenants += 1;
            report.changed += u64::from(!done.steps.is_empty());
            report.steps += done.steps.len() as u64;
            tell(&MigrationProgress { done: report.tenants, total, last: &done });
            report.failures.extend(done.failures);
        };
        let mut running = JoinSet::new();
        while let Some(page) = pages.next().await? {
            for tables in page {
                while running.len() >= workers.max(1) {
                    add(joined(running.join_next().await)?);
                }
                let work =
                    Work { registry: Arc::clone(&self.registry), goal: goal.clone(), tables };
                running.spawn(work.run());
            }
        }
        while !running.is_empty() {
            add(joined(running.join_next().await)?);
        }
        report.time = began.elapsed();
        Ok(report)
    }
}

fn joined(ended: Option<Result<TenantMigrated, tokio::task::JoinError>>) -> Result<TenantMigrated> {
    let stopped = || Error::internal("a background task failed");
    ended.ok_or_else(stopped)?.map_err(|error| stopped().because(error))
}

/// What is to be done for one tenant.
struct Work {
    registry: Arc<Registry>,
    goal: MigrationGoal,
    tables: TenantTables,
}

impl Work {
    async fn run(self) -> TenantMigrated {
        let tenant = self.tables.tenant.clone();
        let mut done =
            TenantMigrated { tenant: tenant.slug.clone(), steps: Vec::new(), failures: Vec::new() };
        if let Err(error) = &self.tables.ledger {
            done.failures.push(MigrationFailure::of(&tenant.slug, None, error));
            self.tables.close().await;
            return done;
        }
        for module in &self.tables.modules {
            let name = &module.manifest.name;
            if let Some(problem) = self.tables.problem(name) {
                done.failures.push(MigrationFailure::of(&tenant.slug, Some(name), problem));
                continue;
            }
            // One tenant's misfortune is nobody else's.
            let working = AssertUnwindSafe(self.module(module, &mut done.steps)).catch_unwind();
            let outcome = working.await;
            let outcome =
                outcome.unwrap_or_else(|_| Err(Error::internal("the host made a mistake")));
            if let Err(error) = outcome {
                tracing::warn!(
                    tenant = tenant.slug.as_str(),
                    module = name.as_str(),
                    cause = error.causes(),
                    "{error}"
                );
                done.failures.push(MigrationFailure::of(&tenant.slug, Some(name), &error));
            }
        }
        if let Err(error) = self.check_still_there(&tenant).await {
            done.failures.push(MigrationFailure::of(&tenant.slug, None, &error));
        }
        self.tables.close().await;
        done
    }

    /// Brings one module's tables to the goal.
    async fn module(
        &self,
        module: &Arc<ModuleVersion>,
        steps: &mut Vec<MigratedStep>,
    ) -> Result<()> {
        let services = &self.registry.runtime().services;
        let (tables, name) = (&self.tables, &module.manifest.name);
        let (tenants, id) = (&services.tenants, tables.tenant.id);
        let known = tables.applied(name);
        let dialect = services.units.dialect();
        let plan = planned(&module.manifest.migrations, &known, dialect, &self.goal);
        let is_held = tables.quarantines.iter().any(|it| it.module == *name);
        let outcome = match plan {
            Ok(plan) if plan.is_empty() => Ok(()),
            Ok(_) => {
                if self.goal.direction == Direction::Down {
                    // First: else calls would apply again what is taken back here.
                    tenants.hold(id, name, &module.migrations_digest).await?;
                }
                // Whether its tables are elsewhere was looked at before.
                let here = module.identity.unit(id);
                let unit = services.units.unit(&here, tables.size_max).await?;
                self.bring(module, &unit, steps).await
            }
            Err(error) => Err(error),
        };
        if self.goal.direction == Direction::Down {
            return outcome;
        }
        match &outcome {
            // Whoever goes on to wait for more is not served before it is there.
            Ok(())
                if is_held
                    && (self.goal == MigrationGoal::UP || self.is_complete(module, steps)) =>
            {
                tenants.release(id, name).await?;
            }
            Ok(()) => {}
            Err(error) => {
                if let Some(failed) = migrations::to_remember(module, id, error) {
                    tenants.quarantine(failed).await?;
                }
            }
        }
        outcome
    }

    async fn bring(
        &self,
        module: &Arc<ModuleVersion>,
        unit: &Unit,
        steps: &mut Vec<MigratedStep>,
    ) -> Result<()> {
        // The operator's, who asked for it.
        let cpu = Arc::default();
        let done = migrations::bring(module, unit, &self.goal, &cpu).await;
        let name = &module.manifest.name;
        let own = |migration| MigratedStep { module: name.clone(), migration };
        steps.extend(done.steps.into_iter().map(own));
        done.outcome
    }

    /// Whether nothing is pending any more.
    fn is_complete(&self, module: &ModuleVersion, steps: &[MigratedStep]) -> bool {
        let name = &module.manifest.name;
        let applied = self.tables.applied(name);
        module.manifest.migrations.iter().all(|step| {
            applied.iter().any(|done| done.id == step.id)
                || steps.iter().any(|done| done.module == *name && done.migration == step.id)
        })
    }

    /// A tenant that was removed meanwhile may have got a database again.
    async fn check_still_there(&self, tenant: &Tenant) -> Result<()> {
        let services = &self.registry.runtime().services;
        match services.tenants.find_by_id(tenant.id).await? {
            Some(_) => Ok(()),
            None => {
                services.units.remove(tenant.id).await?;
                Err(Error::not_found("the tenant was removed meanwhile"))
            }
        }
    }
}
