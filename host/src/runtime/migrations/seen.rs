//! Migrations that another unit has seen: what an imported tenant's tables are made by.

use std::sync::Arc;
use std::time::Instant;

use super::apply;
use crate::database::{AppliedMigration, Dialect, Precedence, Unit, checksum};
use crate::error::{Error, Result};
use crate::names::{ModuleName, TenantId, UnitId};
use crate::runtime::{Manifest, ModuleVersion};

/// A migration that another unit has seen, of a module that is served here.
pub(crate) struct Seen {
    module: Arc<ModuleVersion>,
    /// Which of its migrations.
    step: usize,
}

impl Seen {
    /// Finds what another unit has `seen`. Texts are compared where both are in the same words.
    ///
    /// # Errors
    /// Names the migration that the module has not, or has otherwise, and what to do.
    pub(crate) fn find(
        module: &Arc<ModuleVersion>,
        seen: &AppliedMigration,
        same_words: Option<Dialect>,
    ) -> Result<Self> {
        let Manifest { name, version, migrations, .. } = &module.manifest;
        let id = &seen.id;
        let step = migrations.iter().position(|step| step.id == *id).ok_or_else(|| {
            Error::invalid(format!(
                "module `{name}` {version} has no migration `{id}`, which the tenant has seen"
            ))
            .hint(format!("serve a later version of `{name}`"))
        })?;
        let text = same_words.map(|dialect| migrations[step].up.of(dialect));
        if text.is_some_and(|text| checksum(text) != seen.checksum) {
            return Err(Error::invalid(format!(
                "migration `{id}` of module `{name}` {version} is another one than the tenant has seen"
            ))
            .hint(format!("serve a version of `{name}` in which it is as it was")));
        }
        Ok(Self { module: Arc::clone(module), step })
    }

    /// Whose it is.
    pub(crate) fn module_name(&self) -> &ModuleName {
        &self.module.manifest.name
    }

    /// Where a tenant's tables of its module are.
    pub(crate) fn unit(&self, tenant: TenantId) -> UnitId {
        self.module.identity.unit(tenant)
    }
}

/// Makes the tables that another unit has, by the migrations that it has seen, in their order.
///
/// # Errors
/// Names the migration, and why it failed.
pub(crate) async fn migrate_as_seen(
    seen: impl Iterator<Item = &Seen>,
    unit: &Unit,
    deadline: Instant,
) -> Result<()> {
    let mut migrator = unit.migrator(Precedence::Operator, deadline).await?;
    // The operator's, who imports.
    let cpu = Arc::default();
    for Seen { module, step } in seen {
        let Manifest { name, migrations, .. } = &module.manifest;
        // Makes the ledger, where there is none.
        migrator.applied(name.as_str()).await?;
        let applying = apply(name.as_str(), &migrations[*step], &mut migrator, deadline, &cpu);
        applying.await.map_err(|error| {
            let cause = error.causes().unwrap_or_else(|| error.to_string());
            Error::invalid(format!("module `{name}`: {cause}")).because(error)
        })?;
    }
    migrator.tables_changed().await
}
