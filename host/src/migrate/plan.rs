//! What a run would do, without doing it: each step's SQL once, and for how many tenants.

use std::collections::BTreeMap;

use super::pages::Pages;
use super::run::MigrationFailure;
use super::{MigrationScope, MigrationWarning, Migrations, warnings};
use crate::error::Result;
use crate::names::{ModuleName, TenantSlug};
use crate::runtime::migrations::planned;
use crate::runtime::{Direction, MigrationGoal};

/// Tenants that a step names.
const EXAMPLES_MAX: usize = 5;

/// What a run would do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MigrationPlan {
    /// The steps, by module and in the order in which each tenant would see them.
    pub steps: Vec<PlannedStep>,
    /// For whom nothing would be done, and why.
    pub failures: Vec<MigrationFailure>,
}

/// A step that would be done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedStep {
    /// Of which module.
    pub module: ModuleName,
    /// Its version.
    pub version: semver::Version,
    /// Which migration.
    pub migration: String,
    /// What would be said to the database.
    pub sql: String,
    /// For how many tenants.
    pub tenants: u64,
    /// Some of them.
    pub examples: Vec<TenantSlug>,
    /// What may hold up requests, or make them fail, meanwhile.
    pub warnings: Vec<MigrationWarning>,
}

impl Migrations {
    /// What [`run`](Self::run) would do now.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn plan(
        &self,
        scope: &MigrationScope,
        goal: &MigrationGoal,
    ) -> Result<MigrationPlan> {
        self.check(scope, goal)?;
        let dialect = self.registry.runtime().services.units.dialect();
        // By module, and then by its order there.
        let mut steps = BTreeMap::<(ModuleName, usize), PlannedStep>::new();
        let mut failures = Vec::new();
        let mut pages = Pages::of(self, scope).await?;
        while let Some(page) = pages.next().await? {
            for tables in page {
                let slug = &tables.tenant.slug;
                if let Err(error) = &tables.ledger {
                    failures.push(MigrationFailure::of(slug, None, error));
                }
                for module in tables.modules.iter().filter(|_| tables.ledger.is_ok()) {
                    let manifest = &module.manifest;
                    if let Some(problem) = tables.problem(&manifest.name) {
                        let name = Some(&manifest.name);
                        failures.push(MigrationFailure::of(slug, name, problem));
                        continue;
                    }
                    let applied = tables.applied(&manifest.name);
                    let plan = match planned(&manifest.migrations, &applied, dialect, goal) {
                        Ok(plan) => plan,
                        Err(error) => {
                            let name = Some(&manifest.name);
                            failures.push(MigrationFailure::of(slug, name, &error));
                            continue;
                        }
                    };
                    for step in plan {
                        let place = manifest.migrations.iter().position(|it| it.id == step.id);
                        let place = place.unwrap_or_default();
                        let (place, script) = match goal.direction {
                            Direction::Up => (place, &step.up),
                            Direction::Down => (usize::MAX - place, &step.down),
                        };
                        let key = (manifest.name.clone(), place);
                        let entry = steps.entry(key).or_insert_with(|| PlannedStep {
                            module: manifest.name.clone(),
                            version: manifest.version.clone(),
                            migration: step.id.clone(),
                            sql: script.of(dialect).to_owned(),
                            tenants: 0,
                            examples: Vec::new(),
                            // Whoever goes back knows that something goes away.
                            warnings: match goal.direction {
                                Direction::Up => warnings(script.of(dialect), dialect),
                                Direction::Down => Vec::new(),
                            },
                        });
                        entry.tenants += 1;
                        if entry.examples.len() < EXAMPLES_MAX {
                            entry.examples.push(slug.clone());
                        }
                    }
                }
                tables.close().await;
            }
        }
        Ok(MigrationPlan { steps: steps.into_values().collect(), failures })
    }
}
