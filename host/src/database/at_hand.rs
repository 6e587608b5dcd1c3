//! Units that are open, whichever database they are on, and the tenants whose units are gone.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Error, ErrorKind};
use crate::names::{ModuleName, TenantId, UnitId};

/// Removed tenants that are remembered: far more than there are calls that still run.
const REMOVED_MAX: u64 = 100_000;

/// Units that are open, the most recently used ones.
pub(super) struct UnitsAtHand<U> {
    units: moka::future::Cache<UnitId, Arc<U>>,
    /// Modules of which a unit of their own was ever asked for: few, and the same for all tenants.
    modules: RwLock<BTreeSet<ModuleName>>,
    /// Tenants whose units were removed. Calls that still run must not make them again.
    removed: moka::sync::Cache<TenantId, ()>,
}

impl<U: Send + Sync + 'static> UnitsAtHand<U> {
    /// None yet, and at most so many.
    pub(super) fn new(open_max: u64) -> Self {
        Self {
            units: moka::future::Cache::new(open_max),
            modules: RwLock::default(),
            removed: moka::sync::Cache::new(REMOVED_MAX),
        }
    }

    pub(super) async fn get(&self, id: &UnitId) -> Option<Arc<U>> {
        self.units.get(id).await
    }

    /// The unit, opened by whoever asks for it first.
    ///
    /// # Errors
    /// What it said to whoever opened it.
    pub(super) async fn get_or_open(
        &self,
        id: &UnitId,
        opening: impl Future<Output = Result<Arc<U>, Error>>,
    ) -> Result<Arc<U>, Arc<Error>> {
        if let Some(module) = &id.module {
            self.note(module);
        }
        self.units.try_get_with_by_ref(id, opening).await
    }

    fn note(&self, module: &ModuleName) {
        let is_known = self.modules.read().unwrap_or_else(PoisonError::into_inner).contains(module);
        if !is_known {
            let mut modules = self.modules.write().unwrap_or_else(PoisonError::into_inner);
            modules.insert(module.clone());
        }
    }

    /// Whether any of a tenant's units is open.
    pub(super) fn has_any(&self, tenant: TenantId) -> bool {
        self.all_of(tenant).iter().any(|id| self.units.contains_key(id))
    }

    /// Closes a tenant's units once nobody uses them: they open again with the limits of then.
    pub(super) async fn forget(&self, tenant: TenantId) {
        for id in self.all_of(tenant) {
            self.units.invalidate(&id).await;
        }
    }

    /// Closes a tenant's units for good.
    pub(super) async fn bury(&self, tenant: TenantId) {
        self.removed.insert(tenant, ());
        self.forget(tenant).await;
    }

    pub(super) fn is_buried(&self, tenant: TenantId) -> bool {
        self.removed.contains_key(&tenant)
    }

    /// Those that it may have.
    fn all_of(&self, tenant: TenantId) -> Vec<UnitId> {
        let modules = self.modules.read().unwrap_or_else(PoisonError::into_inner);
        let own = modules.iter().map(|module| UnitId::own(tenant, module.clone()));
        own.chain([UnitId::shared(tenant)]).collect()
    }
}

/// What whoever opens a unit of a tenant that was removed is told.
pub(super) fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "tenant-not-found", "the tenant is gone")
}
