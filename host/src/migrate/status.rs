//! How far tenants' tables are.

use super::pages::{Pages, TenantTables};
use super::{MigrationScope, Migrations};
use crate::capabilities::tenancy::Quarantine;
use crate::error::Result;
use crate::names::{ModuleName, TenantSlug};
use crate::runtime::ModuleVersion;
use crate::runtime::migrations::{changed, unknown};

/// The tables of one module of one tenant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModuleTables {
    /// Whose.
    pub tenant: TenantSlug,
    /// Of which module.
    pub module: ModuleName,
    /// Its version.
    pub version: semver::Version,
    /// The migrations that were applied, in their order.
    pub applied: Vec<AppliedStep>,
    /// Those that were not.
    pub pending: Vec<String>,
    /// Those that were applied and are others now: nothing is done until they are restored.
    pub changed: Vec<String>,
    /// Those that were applied and that this version does not know.
    pub unknown: Vec<String>,
    /// Why the module is not served, if it is not.
    pub quarantine: Option<Quarantine>,
    /// Why nothing of this can be told.
    pub unreadable: Option<String>,
}

/// A migration that was applied.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppliedStep {
    /// Which.
    pub id: String,
    /// When, in microseconds since the Unix epoch.
    pub at: i64,
}

/// How far tables are, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TablesState {
    /// All migrations were applied.
    UpToDate,
    /// Some were not.
    Pending,
    /// None was: they are made when the module is first called.
    Unused,
    /// The module is not served.
    Quarantined,
    /// A migration that was applied is another one now.
    Changed,
    /// The tenant's database cannot be read.
    Unreadable,
}

impl TablesState {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "up-to-date",
            Self::Pending => "pending",
            Self::Unused => "unused",
            Self::Quarantined => "quarantined",
            Self::Changed => "changed",
            Self::Unreadable => "unreadable",
        }
    }
}

impl ModuleTables {
    /// How far they are.
    pub fn state(&self) -> TablesState {
        if self.unreadable.is_some() {
            TablesState::Unreadable
        } else if self.quarantine.is_some() {
            TablesState::Quarantined
        } else if !self.changed.is_empty() {
            TablesState::Changed
        } else if self.pending.is_empty() {
            TablesState::UpToDate
        } else if self.applied.is_empty() {
            TablesState::Unused
        } else {
            TablesState::Pending
        }
    }
}

impl Migrations {
    /// Tells of the tables of each tenant and module in a scope, by slug and name. Nothing is made or
    /// changed.
    ///
    /// # Errors
    /// `tenant-not-found`, `not-found` for a module, and when the platform's database does not answer.
    pub async fn status(
        &self,
        scope: &MigrationScope,
        mut each: impl FnMut(ModuleTables) + Send,
    ) -> Result<()> {
        let mut pages = Pages::of(self, scope).await?;
        while let Some(page) = pages.next().await? {
            for tables in page {
                for module in &tables.modules {
                    each(self.tables_of(&tables, module));
                }
                tables.close().await;
            }
        }
        Ok(())
    }

    fn tables_of(&self, tables: &TenantTables, module: &ModuleVersion) -> ModuleTables {
        let manifest = &module.manifest;
        let dialect = self.registry.runtime().services.units.dialect();
        let (rows, applied) = (tables.rows(&manifest.name), tables.applied(&manifest.name));
        let own = |id: &str| id.to_owned();
        let mut steps: Vec<_> = rows
            .iter()
            .map(|row| AppliedStep { id: row.migration.id.clone(), at: row.applied_at })
            .collect();
        steps.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let is_pending = |id: &str| !applied.iter().any(|done| done.id == id);
        let declared = manifest.migrations.iter().map(|step| step.id.as_str());
        ModuleTables {
            tenant: tables.tenant.slug.clone(),
            module: manifest.name.clone(),
            version: manifest.version.clone(),
            applied: steps,
            pending: declared.filter(|id| is_pending(id)).map(own).collect(),
            changed: changed(&manifest.migrations, &applied, dialect)
                .into_iter()
                .map(own)
                .collect(),
            unknown: unknown(&manifest.migrations, &applied).map(own).collect(),
            quarantine: tables.quarantine(module).cloned(),
            unreadable: tables.problem(&manifest.name).map(|error| {
                error.causes().map_or_else(|| error.to_string(), |why| format!("{error}: {why}"))
            }),
        }
    }
}
