//! A tenant into a file: all of its tables as they are at one moment.

use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;

use super::Archives;
use super::file::Writer;
use super::manifest::{
    ArchiveManifest, ArchivedMigration, ArchivedModule, ArchivedTable, ArchivedTenant, FORMAT,
    entry_of,
};
use crate::call::{Tenant, TenantStatus};
use crate::capabilities::tenancy::wrong_status;
use crate::database::{AppliedMigration, Dialect, Snapshot};
use crate::error::{Error, Result};
use crate::names::{ModuleName, TenantSlug};

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
    /// read. All rows are those of one moment, whatever is written meanwhile. Secrets are left out,
    /// and so is what was used.
    ///
    /// # Errors
    /// `tenant-not-found`, `file-exists`, or `conflict` for a tenant of which parts are missing.
    pub async fn export(&self, slug: &TenantSlug, file: &Path) -> Result<Exported> {
        let runtime = self.registry.runtime();
        let services = &runtime.services;
        let tenant = services.tenants.get(slug).await?;
        check_whole(&tenant)?;
        let writer = Writer::create(file).await?;
        let settings = services.tenants.settings_of(tenant.id).await?;
        let secrets = services.secrets.names(slug).await?;
        let (_, limits) = runtime.limits_of(&tenant);
        let unit = services.units.of_tenant(tenant.id, limits.database_max_bytes.get()).await?;
        let dialect = services.units.dialect();
        let mut snapshot = unit.snapshot(Instant::now() + WAIT).await?;
        let mut manifest = self.describe(&tenant, dialect, snapshot.ledger().await?)?;
        manifest.settings = settings;
        manifest.secrets = secrets.into_iter().map(|(name, _)| name).collect();
        match write_tables(&mut snapshot, &writer).await {
            Ok(tables) => manifest.tables = tables,
            Err(error) => return Err(writer.explain(error).await),
        }
        manifest.sequences = snapshot.sequences().await?;
        snapshot.end().await?;
        drop(unit);
        self.check_still_there(&tenant).await?;
        writer.finish(&manifest).await?;
        Ok(Exported {
            tenant,
            tables: manifest.tables.len(),
            rows: manifest.tables.iter().map(|table| table.rows).sum(),
            secrets: manifest.secrets,
        })
    }

    fn describe(
        &self,
        tenant: &Tenant,
        dialect: Dialect,
        ledger: Vec<(String, AppliedMigration)>,
    ) -> Result<ArchiveManifest> {
        let served = self.registry.modules();
        let (mut modules, mut migrations) = (Vec::<ArchivedModule>::new(), Vec::new());
        for (name, applied) in ledger {
            let module: ModuleName = name.parse()?;
            if modules.iter().all(|known| known.name != module) {
                let version = served.iter().find(|served| served.manifest.name == module);
                let version = version.map(|served| served.manifest.version.clone());
                modules.push(ArchivedModule { name: module.clone(), version });
            }
            let checksum = HEXLOWER.encode(&applied.checksum);
            migrations.push(ArchivedMigration { module, id: applied.id, checksum });
        }
        Ok(ArchiveManifest {
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
            modules,
            migrations,
            tables: Vec::new(),
            sequences: Vec::new(),
            settings: Default::default(),
            secrets: Vec::new(),
        })
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

async fn write_tables(snapshot: &mut Snapshot, writer: &Writer) -> Result<Vec<ArchivedTable>> {
    let mut tables = Vec::new();
    for (number, table) in (1..).zip(snapshot.tables().await?) {
        let entry = entry_of(number);
        let lines = writer.entry(&entry).await?;
        let rows = snapshot.rows(&table, &lines.pieces).await?;
        let digest = lines.end().await?;
        tables.push(ArchivedTable {
            entry,
            table,
            rows,
            bytes: digest.bytes,
            sha256: digest.sha256,
        });
    }
    Ok(tables)
}
