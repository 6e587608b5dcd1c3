//! What an archive says of itself.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};

use crate::call::ModuleDatabase;
use crate::capabilities::tenancy::TenantSettings;
use crate::database::{AppliedMigration, Dialect, Sequence, Table};
use crate::error::{Error, Result};
use crate::limits::TighterLimits;
use crate::names::{ModuleName, TenantSlug};

/// The one that this version reads and writes.
pub(super) const FORMAT: u32 = 1;

/// `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveManifest {
    pub(super) format: u32,
    /// The version that wrote it.
    pub(super) hostel: String,
    /// In whose words the rows are.
    pub(super) dialect: Dialect,
    /// In microseconds since the Unix epoch.
    pub(super) exported_at: i64,
    pub(super) tenant: ArchivedTenant,
    pub(super) modules: Vec<ArchivedModule>,
    /// In the order in which they were applied: those of one module may stand on tables of another.
    pub(super) migrations: Vec<ArchivedMigration>,
    pub(super) tables: Vec<ArchivedTable>,
    pub(super) sequences: Vec<ArchivedSequence>,
    pub(super) settings: TenantSettings,
    /// The names of secrets, whose values stay where they are.
    pub(super) secrets: Vec<String>,
}

/// Who it was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchivedTenant {
    pub(super) slug: TenantSlug,
    pub(super) display_name: String,
    pub(super) plan: Option<String>,
    pub(super) limits: TighterLimits,
    /// In microseconds since the Unix epoch.
    pub(super) created_at: i64,
}

/// A module that has made tables.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchivedModule {
    pub(super) name: ModuleName,
    /// None of one that was not served any more.
    pub(super) version: Option<semver::Version>,
    /// Where its tables were.
    #[serde(default, skip_serializing_if = "is_shared")]
    pub(super) database: ModuleDatabase,
}

fn is_shared(database: &ModuleDatabase) -> bool {
    *database == ModuleDatabase::Shared
}

/// A migration that was applied.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchivedMigration {
    pub(super) module: ModuleName,
    pub(super) id: String,
    /// SHA-256 of its text for the archive's database, in hexadecimal digits.
    pub(super) checksum: String,
}

/// A table's rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ArchivedTable {
    /// The name of its entry.
    pub(super) entry: String,
    /// The module in whose own database it was; none where modules share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<ModuleName>,
    #[serde(flatten)]
    pub(super) table: Table,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Of the entry's lines, in hexadecimal digits.
    pub(super) sha256: String,
}

/// What numbers rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ArchivedSequence {
    /// The module in whose own database it was; none where modules share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<ModuleName>,
    #[serde(flatten)]
    pub(super) sequence: Sequence,
}

impl ArchivedMigration {
    pub(super) fn applied(&self) -> Result<AppliedMigration> {
        let checksum = HEXLOWER_PERMISSIVE.decode(self.checksum.as_bytes()).map_err(|_| {
            Error::invalid(format!("manifest.json: migration `{}` has no checksum", self.id))
        })?;
        Ok(AppliedMigration { id: self.id.clone(), checksum })
    }
}

/// The entry of the table with this number; the first is 1.
pub(super) fn entry_of(number: usize) -> String {
    format!("tables/{number}.jsonl")
}

impl ArchiveManifest {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Says where and what is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Any {
            format: u32,
        }

        let invalid = |error: serde_json::Error| Error::invalid(format!("manifest.json: {error}"));
        let Any { format } = serde_json::from_slice(text).map_err(invalid)?;
        if format != FORMAT {
            return Err(Error::invalid(format!(
                "manifest.json: the archive is of format {format}, and this version reads {FORMAT}"
            ))
            .hint("import it with the version of hostel that it names, or a later one"));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(invalid)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for (number, archived) in (1..).zip(&self.tables) {
            let name = &archived.table.name;
            if archived.entry != entry_of(number) {
                return Err(Error::invalid(format!(
                    "manifest.json: the entry of table `{name}` is `{}`, and should be `{}`",
                    archived.entry,
                    entry_of(number)
                )));
            }
            if !names.insert((&archived.module, name)) {
                return Err(Error::invalid(format!(
                    "manifest.json: table `{name}` is there twice"
                )));
            }
            let columns: BTreeSet<_> = archived.table.columns.iter().map(|c| &c.name).collect();
            if columns.len() != archived.table.columns.len() {
                return Err(Error::invalid(format!(
                    "manifest.json: a column of table `{name}` is there twice"
                )));
            }
        }
        let modules: BTreeSet<_> = self.modules.iter().map(|module| &module.name).collect();
        if modules.len() != self.modules.len() {
            return Err(Error::invalid("manifest.json: a module is there twice"));
        }
        Ok(())
    }
}
