//! A file into a tenant: there as a whole in the end, or not at all, whatever happens before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::Archives;
use super::export::WAIT;
use super::file::Reader;
use super::manifest::{ArchiveManifest, ArchivedTable};
use crate::call::{ModuleDatabase, Tenant};
use crate::capabilities::tenancy::{Arrival, Importing};
use crate::database::{Loader, Sequence, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantId, TenantSlug, UnitId};
use crate::runtime::migrations::{self, Seen};

/// How often an import says that it goes on: several times before it is taken for abandoned.
const KEEP_INTERVAL: Duration = Duration::from_secs(20);
/// Batches of rows between reading and writing.
const BATCHES: usize = 2;
/// How many bytes of lines there may be for a byte of the database: a null has five, and needs one.
const LINES_PER_SIZE: u64 = 8;

/// What was imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// As whom: with another id than before.
    pub tenant: Tenant,
    /// How many tables.
    pub tables: usize,
    /// How many rows in all of them.
    pub rows: u64,
    /// The names of secrets that the tenant had, and has to be given again.
    pub secrets: Vec<String>,
}

impl Archives {
    /// Makes a tenant of an archive, under its own slug or another one. It is served from the moment
    /// on at which all of it is there. Should that not come, nothing of it is left: at once after an
    /// error, within minutes after a crash.
    ///
    /// Its tables are made by the modules that are served here, as far as the archive's tenant had
    /// seen their migrations; those that came later are applied with its first call, as ever.
    ///
    /// # Errors
    /// `conflict` when the slug is taken, `limit` when the tenant's database is too small, `invalid`
    /// with the entry and line at which the archive is no good, or with the module that is missing.
    pub async fn import(&self, file: &Path, slug: Option<TenantSlug>) -> Result<Imported> {
        let (reader, manifest) = Reader::open(file).await?;
        let seen = self.seen_of(&manifest)?;
        let tenants = &self.registry.runtime().services.tenants;
        let arrival = Arrival {
            slug: slug.unwrap_or_else(|| manifest.tenant.slug.clone()),
            display_name: manifest.tenant.display_name.clone(),
            plan: manifest.tenant.plan.clone(),
            limits: manifest.tenant.limits.clone(),
            created_at: manifest.tenant.created_at,
            settings: manifest.settings.clone(),
        };
        let importing = tenants.begin_import(arrival).await?;
        let outcome = match self.fill_and_keep(&importing, reader, &manifest, &seen).await {
            Ok(()) => tenants.finish_import(&importing).await,
            Err(error) => Err(error),
        };
        let tenant = match outcome {
            Ok(tenant) => tenant,
            Err(error) => {
                if let Err(failure) = tenants.purge(&importing.tenant.slug).await {
                    tracing::warn!(
                        cause = failure.causes(),
                        "what was imported is removed later: {failure}"
                    );
                }
                return Err(error);
            }
        };
        Ok(Imported {
            tenant,
            tables: manifest.tables.len(),
            rows: manifest.tables.iter().map(|table| table.rows).sum(),
            secrets: manifest.secrets,
        })
    }

    /// The migrations that the tenant has seen, as modules here have them.
    fn seen_of(&self, manifest: &ArchiveManifest) -> Result<Vec<Seen>> {
        let served = self.registry.modules();
        let own = self.registry.runtime().services.units.dialect();
        let same_words = (manifest.dialect == own).then_some(own);
        let seen = manifest.migrations.iter().map(|archived| {
            let name = &archived.module;
            let module = served.iter().find(|module| module.manifest.name == *name);
            let module = module.ok_or_else(|| {
                let there = manifest.modules.iter().find(|there| there.name == *name);
                let version = there.and_then(|there| there.version.as_ref());
                let version = version.map(|version| format!(" {version}")).unwrap_or_default();
                Error::invalid(format!(
                    "the tenant has tables of module `{name}`{version}, which is not served here"
                ))
                .hint("add the module first")
            })?;
            Seen::find(module, &archived.applied()?, same_words)
        });
        seen.collect()
    }

    /// Fills the tenant's database, and says from time to time that it goes on.
    async fn fill_and_keep(
        &self,
        importing: &Importing,
        reader: Reader,
        manifest: &ArchiveManifest,
        seen: &[Seen],
    ) -> Result<()> {
        let mut filling = Box::pin(self.fill(importing, reader, manifest, seen));
        let mut intervals = tokio::time::interval(KEEP_INTERVAL);
        intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcome = &mut filling => return outcome,
                _ = intervals.tick() => {}
            }
            let keeping = self.registry.runtime().services.tenants.keep_import(importing);
            match keeping.await {
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                // There is time for another attempt.
                Err(error) => tracing::warn!(cause = error.causes(), "{error}"),
                Ok(()) => {}
            }
        }
    }

    async fn fill(
        &self,
        importing: &Importing,
        mut reader: Reader,
        manifest: &ArchiveManifest,
        seen: &[Seen],
    ) -> Result<()> {
        let runtime = self.registry.runtime();
        let id = importing.tenant.id;
        let (_, limits) = runtime.limits_of(&importing.tenant);
        let size_max = limits.database_max_bytes.get();
        let units = &runtime.services.units;
        let layout = Layout::new(id, manifest, seen);
        check_size(manifest, size_max.saturating_mul(layout.units.len() as u64))?;
        let mut loaded = BTreeSet::new();
        for unit_id in &layout.units {
            let unit = units.unit(unit_id, size_max).await?;
            let seen = seen.iter().filter(|seen| seen.unit(id) == *unit_id);
            migrations::migrate_as_seen(seen, &unit, Instant::now() + WAIT).await?;
            let mut loader = Loader::begin(&unit, Instant::now() + WAIT).await?;
            for archived in layout.tables_of(unit_id, loader.tables())? {
                loaded.insert(&*archived.entry);
                let (to, mut batches) = mpsc::channel(BATCHES);
                let reading = reader.read(archived, to);
                let loading = async {
                    let loaded = loader.load(&archived.table, manifest.dialect, &mut batches).await;
                    // Whoever reads on stops.
                    drop(batches);
                    loaded
                };
                let (read, loaded) = tokio::join!(reading, loading);
                loaded.map_err(|error| in_entry(&archived.entry, error))?;
                reader = read?;
            }
            loader.finish(manifest.dialect, &layout.sequences_of(unit_id)).await?;
        }
        if let Some(left) = manifest.tables.iter().find(|table| !loaded.contains(&*table.entry)) {
            let message = format!("the modules here make no table `{}`", left.table.name);
            return Err(in_entry(&left.entry, Error::invalid(message)));
        }
        units.sync_names(id).await
    }
}

/// Where the tables of an archive go: modules may share a database here that had their own there, and
/// the other way round.
struct Layout<'a> {
    manifest: &'a ArchiveManifest,
    /// Those of modules that have tables here.
    homes: BTreeMap<&'a ModuleName, UnitId>,
    /// All that are filled.
    units: BTreeSet<UnitId>,
}

impl<'a> Layout<'a> {
    fn new(tenant: TenantId, manifest: &'a ArchiveManifest, seen: &'a [Seen]) -> Self {
        let homes: BTreeMap<_, _> =
            seen.iter().map(|seen| (seen.module_name(), seen.unit(tenant))).collect();
        let units = homes.values().cloned().collect();
        Self { manifest, homes, units }
    }

    /// Whether what was in the shared database, or in that of `module`, may be for this unit.
    fn leads_to(&self, unit: &UnitId, module: Option<&ModuleName>) -> bool {
        match (module, &unit.module) {
            (Some(module), _) => self.homes.get(module) == Some(unit),
            (None, None) => true,
            (None, Some(own)) => self.manifest.modules.iter().any(|archived| {
                archived.name == *own && archived.database == ModuleDatabase::Shared
            }),
        }
    }

    /// What is to be loaded into the tables that there are.
    fn tables_of(&self, unit: &UnitId, there: &[Table]) -> Result<Vec<&'a ArchivedTable>> {
        let archived = self.manifest.tables.iter();
        let archived: Vec<_> = archived
            .filter(|archived| self.leads_to(unit, archived.module.as_ref()))
            .filter(|archived| there.iter().any(|table| table.name == archived.table.name))
            .collect();
        for Table { name, .. } in there {
            match archived.iter().filter(|archived| archived.table.name == *name).count() {
                1 => {}
                0 => {
                    return Err(Error::invalid(format!(
                        "the modules here make a table `{name}`, of which the archive has nothing"
                    )));
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "several modules that share a database here have a table `{name}`"
                    ))
                    .hint("give each its own: `modules.databases`"));
                }
            }
        }
        Ok(archived)
    }

    fn sequences_of(&self, unit: &UnitId) -> Vec<Sequence> {
        let archived = self.manifest.sequences.iter();
        let archived = archived.filter(|one| self.leads_to(unit, one.module.as_ref()));
        archived.map(|one| one.sequence.clone()).collect()
    }
}

/// An error that does not say where it was.
fn in_entry(entry: &str, error: Error) -> Error {
    if error.kind() != ErrorKind::Invalid || error.message().starts_with(entry) {
        return error;
    }
    let message = format!("{entry}: {error}");
    error.saying(message)
}

fn check_size(manifest: &ArchiveManifest, size_max: u64) -> Result<()> {
    let bytes = manifest.tables.iter().fold(0_u64, |sum, table| sum.saturating_add(table.bytes));
    if bytes > size_max.saturating_mul(LINES_PER_SIZE) {
        return Err(Error::new(
            ErrorKind::Limit,
            "database-full",
            format!("{bytes} bytes of rows do not fit into a database of {size_max} bytes"),
        )
        .hint("`limits.database_max_bytes` of the platform, the plan or the tenant says how large it may be"));
    }
    Ok(())
}
