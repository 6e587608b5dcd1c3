//! Who is to be looked at, some at a time, with all that is known of their tables.

use std::collections::HashMap;
use std::sync::Arc;
use std::vec;

use super::{MigrationScope, Migrations};
use crate::call::{ModuleDatabase, Tenant};
use crate::capabilities::tenancy::{Quarantine, TenantQuery, wrong_status};
use crate::database::{AppliedMigration, LedgerRow};
use crate::error::{Error, Result};
use crate::names::{ModuleName, TenantId, TenantSlug, UnitId};
use crate::runtime::migrations::elsewhere;
use crate::runtime::{ModuleVersion, Registry};

/// Tenants that are read at once. On SQLite each of them may have files open meanwhile.
const PAGE: u32 = 64;

/// Pages of tenants.
pub(super) struct Pages {
    registry: Arc<Registry>,
    modules: Vec<Arc<ModuleVersion>>,
    used_only: bool,
    left: Left,
    /// How many tenants there are in all of them.
    pub(super) total: u64,
}

enum Left {
    /// These.
    Named(vec::IntoIter<Tenant>),
    /// All, after this one.
    After(Option<TenantSlug>),
}

/// A tenant, and what is known of its tables.
pub(super) struct TenantTables {
    pub(super) tenant: Tenant,
    /// Of its database.
    pub(super) size_max: u64,
    /// What was applied, by module; why that cannot be told of any.
    pub(super) ledger: Result<HashMap<String, Vec<LedgerRow>>>,
    /// Why it cannot be told of one.
    problems: HashMap<ModuleName, Error>,
    /// What it is served, and is in the scope.
    pub(super) modules: Vec<Arc<ModuleVersion>>,
    pub(super) quarantines: Vec<Quarantine>,
    registry: Arc<Registry>,
    was_open: bool,
}

impl Pages {
    /// # Errors
    /// `tenant-not-found`, `not-found` for a module, `conflict` for a tenant that is being deleted.
    pub(super) async fn of(migrations: &Migrations, scope: &MigrationScope) -> Result<Self> {
        let registry = Arc::clone(&migrations.registry);
        let tenants = &registry.runtime().services.tenants;
        let (left, total) = if scope.tenants.is_empty() {
            (Left::After(None), tenants.count().await?)
        } else {
            let mut slugs = scope.tenants.clone();
            slugs.sort_unstable();
            slugs.dedup();
            let mut named = Vec::with_capacity(slugs.len());
            for slug in &slugs {
                let tenant = tenants.get(slug).await?;
                if !tenant.status.is_there() {
                    return Err(wrong_status(&tenant, "active or suspended"));
                }
                named.push(tenant);
            }
            let total = named.len() as u64;
            (Left::Named(named.into_iter()), total)
        };
        let modules = migrations.modules_of(scope)?;
        Ok(Self { registry, modules, used_only: scope.used_only, left, total })
    }

    /// The next page, by slug; none after the last one.
    ///
    /// # Errors
    /// When the platform's database does not answer.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<TenantTables>>> {
        let tenants = &self.registry.runtime().services.tenants;
        let page: Vec<Tenant> = match &mut self.left {
            Left::Named(left) => left.take(PAGE as usize).collect(),
            Left::After(after) => {
                let query =
                    TenantQuery { after: after.clone(), limit: PAGE, ..TenantQuery::default() };
                let page = tenants.list(&query).await?;
                if let Some(last) = page.last() {
                    *after = Some(last.slug.clone());
                }
                page
            }
        };
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(None) };
        let quarantines = tenants.quarantines_between(&first.slug, &last.slug).await?;
        let there = page.into_iter().filter(|tenant| tenant.status.is_there()).collect();
        self.look_into(there, quarantines).await.map(Some)
    }

    async fn look_into(
        &self,
        tenants: Vec<Tenant>,
        quarantines: Vec<Quarantine>,
    ) -> Result<Vec<TenantTables>> {
        let runtime = self.registry.runtime();
        let units = &runtime.services.units;
        let size_max = |tenant| runtime.limits_of(tenant).1.database_max_bytes.get();
        let sizes: Vec<_> = tenants.iter().map(size_max).collect();
        let were_open: Vec<bool> = tenants.iter().map(|it| units.is_open(it.id)).collect();
        let asked = tenants.iter().zip(&sizes).flat_map(|(tenant, size_max)| {
            let own = self.modules.iter().filter(|module| module.is_for(tenant));
            let own = own.map(|module| UnitId::own(tenant.id, module.manifest.name.clone()));
            own.chain([UnitId::shared(tenant.id)]).map(|unit| (unit, *size_max))
        });
        let mut ledgers = units.ledgers(&asked.collect::<Vec<_>>()).await?;
        let known = tenants.into_iter().zip(sizes.into_iter().zip(were_open));
        let tables = known.map(|(tenant, (size_max, was_open))| {
            let id = tenant.id;
            let shared = ledgers.remove(&UnitId::shared(id));
            let mut ledger = shared.unwrap_or_else(|| Ok(Vec::new())).map(by_module);
            let mut problems = HashMap::new();
            if let Ok(ledger) = &mut ledger {
                for module in &self.modules {
                    let own = ledgers.remove(&UnitId::own(id, module.manifest.name.clone()));
                    if let Err(problem) = add_own(ledger, module, id, own) {
                        problems.insert(module.manifest.name.clone(), problem);
                    }
                }
            }
            let of_tenant = quarantines.iter().filter(|it| it.tenant_id == id);
            let modules = self.modules.iter().filter(|module| {
                let name = &module.manifest.name;
                let is_used = problems.contains_key(name)
                    || ledger.as_ref().is_ok_and(|ledger| ledger.contains_key(name.as_str()));
                module.is_for(&tenant) && (is_used || !self.used_only)
            });
            TenantTables {
                modules: modules.cloned().collect(),
                quarantines: of_tenant.cloned().collect(),
                tenant,
                size_max,
                ledger,
                problems,
                registry: Arc::clone(&self.registry),
                was_open,
            }
        });
        Ok(tables.collect())
    }
}

fn by_module(rows: Vec<LedgerRow>) -> HashMap<String, Vec<LedgerRow>> {
    let mut ledger = HashMap::<_, Vec<_>>::new();
    for row in rows {
        ledger.entry(row.module.clone()).or_default().push(row);
    }
    ledger
}

/// Puts what a module's own unit says, where it has one, to what the shared one says.
///
/// # Errors
/// That it cannot be read, or that the module's tables are not where they should be.
fn add_own(
    ledger: &mut HashMap<String, Vec<LedgerRow>>,
    module: &ModuleVersion,
    tenant: TenantId,
    own: Option<Result<Vec<LedgerRow>>>,
) -> Result<()> {
    let name = &module.manifest.name;
    let mut own = own.transpose()?.unwrap_or_default();
    own.retain(|row| row.module == name.as_str());
    let (here, there) = match module.identity.database {
        ModuleDatabase::Shared => (ledger.remove(name.as_str()).unwrap_or_default(), own),
        ModuleDatabase::Own => (own, ledger.remove(name.as_str()).unwrap_or_default()),
    };
    if here.is_empty() && !there.is_empty() {
        return Err(elsewhere(&module.identity.unit(tenant).other(name), name));
    }
    if !there.is_empty() {
        // Two hosts that are configured otherwise have made them at the same moment.
        tracing::warn!(%tenant, module = name.as_str(), "there are tables in both databases");
    }
    if !here.is_empty() {
        ledger.insert(name.to_string(), here);
    }
    Ok(())
}

impl TenantTables {
    /// Why nothing can be told of a module's tables, if nothing can.
    pub(super) fn problem(&self, module: &ModuleName) -> Option<&Error> {
        self.ledger.as_ref().err().or_else(|| self.problems.get(module))
    }

    /// What was applied of a module; nothing where that cannot be told.
    pub(super) fn rows(&self, module: &ModuleName) -> &[LedgerRow] {
        let ledger = self.ledger.as_ref().ok();
        ledger.and_then(|ledger| ledger.get(module.as_str())).map_or(&[], Vec::as_slice)
    }

    pub(super) fn applied(&self, module: &ModuleName) -> Vec<AppliedMigration> {
        self.rows(module).iter().map(|row| row.migration.clone()).collect()
    }

    /// Why a module is not served, if it is not.
    pub(super) fn quarantine(&self, module: &ModuleVersion) -> Option<&Quarantine> {
        let is_of = |it: &&Quarantine| {
            it.module == module.manifest.name && it.migrations == module.migrations_digest
        };
        self.quarantines.iter().find(is_of)
    }

    /// Closes the tenant's databases, unless somebody had one open before: there are more of them than
    /// files that may be open.
    pub(super) async fn close(self) {
        if !self.was_open {
            self.registry.runtime().services.units.forget(self.tenant.id).await;
        }
    }
}
