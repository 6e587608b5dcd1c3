//! A tenant into a file: all tables of each of its databases as they are at one moment.

use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;

use super::Archives;
use super::file::Writer;
use super::manifest::{
    ArchiveManifest, ArchivedMigration, ArchivedModule, ArchivedSequence, ArchivedTable,
    ArchivedTenant, FORMAT, entry_of,
};
use crate::call::{ModuleDatabase, Tenant, TenantStatus};
use crate::capabilities::tenancy::wrong_status;
use crate::database::{AppliedMigration, Dialect, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantSlug, UnitId};

/// How long it is waited for connections.
pub(super) const WAIT: Duration = Duration::from_secs(60);

/// What was exported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exported {
    /// Whom.
    pub tenant: Tenant,
    /// How many tables.
    pub tables: usize,
    /// How many rows in all of them.
    pub rows: u64,
    /// The names of secrets, which stay where they are.
    pub secrets: Vec<String>,
}

impl Archives {
    /// Writes a tenant's rows, settings, plan and limits to a new file, which only its owner may
    /// read. All rows of one database are those of one moment, whatever is written meanwhile. Secrets
    /// are left out, and so is what was used.
    ///
    /// # Errors
    /// `tenant-not-found`, `file-exists`, or `conflict` for a tenant of which parts are missing, or of
    /// which a module has tables in two databases.
    pub async fn export(&self, slug: &TenantSlug, file: &Path) -> Result<Exported> {
        let runtime = self.registry.runtime();
        let services = &runtime.services;
        let tenant = services.tenants.get(slug).await?;
        check_whole(&tenant)?;
        let writer = Writer::create(file).await?;
        let settings = services.tenants.settings_of(tenant.id).await?;
        let secrets = services.secrets.names(slug).await?;
        let (_, limits) = runtime.limits_of(&tenant);
        let size_max = limits.database_max_bytes.get();
        let mut manifest = self.describe(&tenant, services.units.dialect());
        manifest.settings = settings;
        manifest.secrets = secrets.into_iter().map(|(name, _)| name).collect();
        for id in services.units.of_tenants(&[tenant.id]).await? {
            let unit = services.units.unit(&id, size_max).await?;
            let mut snapshot = unit.snapshot(Instant::now() + WAIT).await?;
            self.add_ledger(&mut manifest, &id, snapshot.ledger().await?)?;
            if let Err(error) = add_tables(&mut manifest, &id, &mut snapshot, &writer).await {
                return Err(writer.explain(error).await);
            }
            snapshot.end().await?;
        }
        self.check_still_there(&tenant).await?;
        writer.finish(&manifest).await?;
        Ok(Exported {
            tenant,
            tables: manifest.tables.len(),
            rows: manifest.tables.iter().map(|table| table.rows).sum(),
            secrets: manifest.secrets,
        })
    }

    /// An archive in which there is nothing yet.
    fn describe(&self, tenant: &Tenant, dialect: Dialect) -> ArchiveManifest {
        ArchiveManifest {
            format: FORMAT,
            hostel: env!("CARGO_PKG_VERSION").to_owned(),
            dialect,
            exported_at: self.registry.runtime().services.clock.now_micros(),
            tenant: ArchivedTenant {
                slug: tenant.slug.clone(),
                display_name: tenant.display_name.clone(),
                plan: tenant.plan.clone(),
                limits: tenant.limits.clone(),
                created_at: tenant.created_at,
            },
            modules: Vec::new(),
            migrations: Vec::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
            settings: Default::default(),
            secrets: Vec::new(),
        }
    }

    fn add_ledger(
        &self,
        manifest: &mut ArchiveManifest,
        unit: &UnitId,
        ledger: Vec<(String, AppliedMigration)>,
    ) -> Result<()> {
        let served = self.registry.modules();
        let database = match unit.module {
            None => ModuleDatabase::Shared,
            Some(_) => ModuleDatabase::Own,
        };
        for (name, applied) in ledger {
            let module: ModuleName = name.parse()?;
            // Nothing of another module's is in a unit of one's own, whatever its migrations wrote.
            if unit.module.as_ref().is_some_and(|own| *own != module) {
                continue;
            }
            let known = manifest.modules.iter().find(|known| known.name == module);
            if known.is_some_and(|known| known.database != database) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "tables-in-both",
                    format!("module `{module}` has tables in both databases"),
                )
                .hint("with the configuration that nobody wants, `hostel migrate down` takes them away"));
            }
            if known.is_none() {
                let version = served.iter().find(|served| served.manifest.name == module);
                let version = version.map(|served| served.manifest.version.clone());
                manifest.modules.push(ArchivedModule { name: module.clone(), version, database });
            }
            let checksum = HEXLOWER.encode(&applied.checksum);
            manifest.migrations.push(ArchivedMigration { module, id: applied.id, checksum });
        }
        Ok(())
    }

    /// A tenant that was removed meanwhile may have lost rows before they were read, and its unit
    /// may have been made again.
    async fn check_still_there(&self, tenant: &Tenant) -> Result<()> {
        let services = &self.registry.runtime().services;
        match services.tenants.find_by_id(tenant.id).await? {
            Some(now) => check_whole(&now),
            None => {
                services.units.remove(tenant.id).await?;
                Err(Error::not_found(format!("tenant `{}` was removed meanwhile", tenant.slug)))
            }
        }
    }
}

/// Deleted is not gone yet.
fn check_whole(tenant: &Tenant) -> Result<()> {
    match tenant.status {
        TenantStatus::Active | TenantStatus::Suspended | TenantStatus::Deleting => Ok(()),
        TenantStatus::Purging | TenantStatus::Importing => {
            Err(wrong_status(tenant, "active, suspended or deleting"))
        }
    }
}

/// Writes the rows of a unit, each table to an entry of its own.
async fn add_tables(
    manifest: &mut ArchiveManifest,
    unit: &UnitId,
    snapshot: &mut Snapshot,
    writer: &Writer,
) -> Result<()> {
    for table in snapshot.tables().await? {
        let entry = entry_of(manifest.tables.len() + 1);
        let lines = writer.entry(&entry).await?;
        let rows = snapshot.rows(&table, &lines.pieces).await?;
        let digest = lines.end().await?;
        manifest.tables.push(ArchivedTable {
            entry,
            module: unit.module.clone(),
            table,
            rows,
            bytes: digest.bytes,
            sha256: digest.sha256,
        });
    }
    let module = &unit.module;
    let archived = |sequence| ArchivedSequence { module: module.clone(), sequence };
    manifest.sequences.extend(snapshot.sequences().await?.into_iter().map(archived));
    Ok(())
}
