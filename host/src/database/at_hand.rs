//! Units that are open, whichever database they are on, and the tenants whose units are gone.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::names::{TenantId, UnitId};

/// Removed tenants that are remembered: far more than there are calls that still run.
const REMOVED_MAX: u64 = 100_000;

/// Units that are open, the most recently used ones.
pub(super) struct UnitsAtHand<U> {
    units: moka::future::Cache<UnitId, Arc<U>>,
    /// Tenants whose units were removed. Calls that still run must not make them again.
    removed: moka::sync::Cache<TenantId, ()>,
}

impl<U: Send + Sync + 'static> UnitsAtHand<U> {
    /// None yet, and at most so many.
    pub(super) fn new(open_max: u64) -> Self {
        Self {
            units: moka::future::Cache::new(open_max),
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
        self.units.try_get_with_by_ref(id, opening).await
    }

    /// Whether any of a tenant's units is open.
    pub(super) fn has_any(&self, tenant: TenantId) -> bool {
        self.units.iter().any(|(id, _)| id.tenant == tenant)
    }

    /// Closes a tenant's units once nobody uses them: they open again with the limits of then.
    pub(super) async fn forget(&self, tenant: TenantId) {
        let open = self.units.iter().map(|(id, _)| id);
        let own: Vec<_> = open.filter(|id| id.tenant == tenant).collect();
        for id in own {
            self.units.invalidate(&*id).await;
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
}

/// What whoever opens a unit of a tenant that was removed is told.
pub(super) fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "tenant-not-found", "the tenant is gone")
}
