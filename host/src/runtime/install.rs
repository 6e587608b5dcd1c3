//! Changes what a running platform serves: a module that comes, is replaced or goes.
//!
//! Whatever may fail comes before the swap, and the swap itself cannot. Requests that run go on with
//! the version that they began with.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::manifest::named_twice;
use super::registry::Registry;
use super::tables::charged;
use super::{MigrationGoal, ModuleSource, ModuleVersion, migrations};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantId};

/// What became of an installation. Shown, it is one line for people.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The module.
    pub name: ModuleName,
    /// The version that is served now.
    pub version: semver::Version,
    /// The version that was served before, if any.
    pub replaced: Option<semver::Version>,
    /// How long it took to check, compile and describe it; next to nothing when it was known.
    pub compile_time: Duration,
    /// How long it took to bring tenants' tables up to date.
    pub migration_time: Duration,
    /// How long it took to serve it to everybody.
    pub swap_time: Duration,
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, replaced, compile_time, migration_time, swap_time } = self;
        write!(f, "{name} {version}")?;
        if let Some(replaced) = replaced {
            write!(f, " replaces {replaced}")?;
        }
        write!(f, ": compiled in {:.0} ms", millis(*compile_time))?;
        if !migration_time.is_zero() {
            write!(f, ", tables migrated in {:.0} ms", millis(*migration_time))?;
        }
        write!(f, ", swapped in {:.2} ms", millis(*swap_time))
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Registry {
    /// Serves a module from now on, instead of the one of its name where `may_replace` allows that.
    ///
    /// # Errors
    /// Names the source and what is wrong with it. What was served before is served on.
    pub(crate) async fn install(
        &self,
        source: &ModuleSource,
        may_replace: impl Fn(&ModuleVersion) -> bool + Send,
    ) -> Result<Installed> {
        let _one_at_a_time = self.changing.lock().await;
        let began = Instant::now();
        let version = Arc::new(self.runtime().load(source, &self.configured).await?);
        // Nobody's request is to wait for the compiler.
        version.code(self.runtime()).await.map_err(|error| source.name_in(error))?;
        let compile_time = began.elapsed();

        let name = &version.manifest.name;
        let before = self.modules().iter().find(|module| module.manifest.name == *name).cloned();
        if before.as_ref().is_some_and(|before| !may_replace(before)) {
            return Err(source.name_in(named_twice(name)));
        }
        let same_tables = before
            .as_ref()
            .is_some_and(|before| before.manifest.migrations == version.manifest.migrations);
        let began = Instant::now();
        let migrated = match &before {
            Some(_) if !same_tables => {
                self.migrate_all(&version).await.map_err(|error| source.name_in(error))?
            }
            _ => HashSet::new(),
        };
        let migration_time = if migrated.is_empty() { Duration::ZERO } else { began.elapsed() };

        let began = Instant::now();
        self.swap(name, Some(&version), |tenant, before| {
            migrated.contains(&tenant.tenant.id) || same_tables && before.is_ready()
        });
        Ok(Installed {
            name: name.clone(),
            version: version.manifest.version.clone(),
            replaced: before.map(|before| before.manifest.version.clone()),
            compile_time,
            migration_time,
            swap_time: began.elapsed(),
        })
    }

    /// Serves a module no longer, where `may_remove` allows that. Its tables stay.
    ///
    /// # Errors
    /// `not-found` when there is none of that name, `denied` when it may not go.
    pub(crate) async fn remove(
        &self,
        name: &str,
        may_remove: impl Fn(&ModuleVersion) -> bool + Send,
    ) -> Result<Arc<ModuleVersion>> {
        let _one_at_a_time = self.changing.lock().await;
        let modules = self.modules();
        let module = modules
            .iter()
            .find(|module| module.manifest.name.as_str() == name)
            .ok_or_else(|| Error::not_found(format!("there is no module `{name}`")))?;
        if !may_remove(module) {
            return Err(Error::new(
                ErrorKind::Denied,
                "module-of-the-platform",
                format!("`{name}` is a module that the platform itself brings along"),
            ));
        }
        self.swap(&module.manifest.name, None, |_, _| false);
        Ok(Arc::clone(module))
    }

    /// Brings the tables of all tenants at hand that use a module to what its new version expects;
    /// other tenants' follow with their next call.
    ///
    /// Every migration is tried for every tenant and undone before one is kept. So a script that one
    /// tenant's rows do not fit changes nobody's tables, and may be corrected and installed again.
    /// Tenants for whom these migrations failed before are left out: somebody knows of that.
    async fn migrate_all(&self, version: &ModuleVersion) -> Result<HashSet<TenantId>> {
        let mut tenants = self.tenants_of(&version.manifest.name);
        let quarantined = self.quarantined(version).await?;
        tenants.retain(|tenant| !quarantined.contains(&tenant.tenant.id));
        for is_rehearsal in [true, false] {
            for tenant in &tenants {
                let Some(before) = tenant.module(version.manifest.name.as_str()) else { continue };
                let size_max = tenant.limits.database_max_bytes.get();
                let units = &self.runtime().services.units;
                let migrating = charged(Arc::clone(&before.account), async |cpu| {
                    let here = version.identity.unit(tenant.tenant.id);
                    let name = &version.manifest.name;
                    let unit = migrations::home(units, &here, name, size_max).await?;
                    if is_rehearsal {
                        migrations::rehearse(version, &unit, &cpu).await
                    } else {
                        // It waits for no tenant's: somebody waits for it, and for the next.
                        migrations::bring(version, &unit, &MigrationGoal::UP, &cpu).await.outcome
                    }
                });
                migrating.await.map_err(|error| {
                    let why = error.causes().unwrap_or_else(|| error.to_string());
                    let slug = &tenant.tenant.slug;
                    Error::new(
                        ErrorKind::Conflict,
                        error.code(),
                        format!(
                            "the tables of tenant `{slug}` cannot be brought up to date: {why}"
                        ),
                    )
                })?;
            }
        }
        Ok(tenants.iter().map(|tenant| tenant.tenant.id).collect())
    }
}
