//! Who is served what: per tenant a snapshot of its modules, replaced as a whole and read without a
//! lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use crossbeam_queue::ArrayQueue;
use tokio::sync::OnceCell;

use super::heavy::LongCalls;
use super::instance::Resident;
use super::limits::{Account, TenantCpu};
use super::turns::Lane;
use super::{ModuleVersion, Runtime, manifest, migrations};
use crate::call::Tenant;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;
use crate::metering::Meter;
use crate::names::{ModuleName, TenantSlug};

/// Tenants that are kept at hand. Others are looked up again; nothing is lost.
const TENANTS_MAX: u64 = 10_000;
/// Idle instances of one module for one tenant: as many as calls that begin while others run.
const IDLE_PER_MODULE_MAX: usize = 16;

/// The modules of this platform and the tenants that are at hand.
pub struct Registry {
    runtime: Arc<Runtime>,
    modules: ArcSwap<Vec<Arc<ModuleVersion>>>,
    tenants: moka::sync::Cache<TenantSlug, Arc<TenantState>>,
}

/// A tenant at hand.
pub struct TenantState {
    /// Who it is.
    pub tenant: Arc<Tenant>,
    /// What it and its calls may use: the tightest of what the platform, its plan and its own
    /// entry say.
    pub(crate) limits: Arc<LimitsConfig>,
    modules: ArcSwap<HashMap<ModuleName, Arc<TenantModule>>>,
    pub(super) cpu: Arc<TenantCpu>,
    /// Its calls.
    pub(super) lane: Arc<Lane>,
    pub(super) long_calls: Arc<LongCalls>,
}

/// A module as one tenant is served it.
pub struct TenantModule {
    /// The code.
    pub version: Arc<ModuleVersion>,
    /// Set once the tenant's tables are what the code expects.
    ready: OnceCell<()>,
    pub(super) idle: ArrayQueue<Resident>,
    pub(super) account: Arc<Account>,
}

impl Registry {
    pub(crate) fn new(runtime: Arc<Runtime>, modules: Vec<Arc<ModuleVersion>>) -> Result<Self> {
        manifest::check_distinct(modules.iter().map(|module| &module.manifest.name))?;
        Ok(Self {
            runtime,
            modules: ArcSwap::from_pointee(modules),
            tenants: moka::sync::Cache::new(TENANTS_MAX),
        })
    }

    /// What runs the modules.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The modules that every tenant is served.
    pub fn modules(&self) -> Arc<Vec<Arc<ModuleVersion>>> {
        self.modules.load_full()
    }

    /// The tenant of that slug.
    ///
    /// # Errors
    /// `not-found`, or `unavailable` when the platform's database does not answer.
    pub async fn tenant(&self, slug: &str) -> Result<Arc<TenantState>> {
        match self.tenants.get(slug) {
            Some(state) => Ok(state),
            // Boxed, like all that is rare: a request's future is moved, and pays for its size.
            None => Box::pin(self.look_up(slug)).await,
        }
    }

    async fn look_up(&self, slug: &str) -> Result<Arc<TenantState>> {
        let unknown =
            || Error::new(ErrorKind::NotFound, "tenant-not-found", "there is no such tenant");
        let slug: TenantSlug = slug.parse().map_err(|_| unknown())?;
        // Unknown slugs are not remembered: a tenant that is made now is served now.
        let found = self.runtime.services.tenants.find(&slug).await?.ok_or_else(unknown)?;
        Ok(self.tenants.get_with(slug, || Arc::new(self.state_of(found))))
    }

    /// Forgets what is known of a tenant, after it changed.
    pub(crate) async fn forget(&self, slug: &TenantSlug) {
        if let Some(state) = self.tenants.remove(slug) {
            self.runtime.services.units.forget(state.tenant.id).await;
        }
    }

    fn state_of(&self, tenant: Tenant) -> TenantState {
        let runtime = &self.runtime;
        let (weight, limits) = runtime.limits_of(&tenant);
        let cpu = Arc::new(TenantCpu::new(limits.tenant_minute_cpu_ms.as_millis()));
        let modules = self.modules.load();
        let modules = modules.iter().map(|version| {
            let name = &version.manifest.name;
            let meter = runtime.services.meters.of(tenant.id, &tenant.slug, name);
            let module = TenantModule {
                version: Arc::clone(version),
                ready: OnceCell::new(),
                idle: ArrayQueue::new(IDLE_PER_MODULE_MAX),
                account: Arc::new(Account { tenant: Arc::clone(&cpu), meter }),
            };
            (version.manifest.name.clone(), Arc::new(module))
        });
        TenantState {
            modules: ArcSwap::from_pointee(modules.collect()),
            cpu,
            lane: Lane::new(
                tenant.id,
                limits.tenant_calls_max.as_usize(),
                limits.tenant_queue_max.as_usize(),
                weight,
            ),
            long_calls: LongCalls::new(tenant.id, weight),
            limits: Arc::new(limits),
            tenant: Arc::new(tenant),
        }
    }
}

impl TenantState {
    /// The module of that name, as this tenant is served it now.
    pub fn module(&self, name: &str) -> Option<Arc<TenantModule>> {
        self.modules.load().get(name).cloned()
    }
}

impl TenantModule {
    /// Counts what it does for this tenant.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.account.meter
    }

    /// Makes sure that the tenant's tables are what the code expects.
    pub(super) async fn ready(
        &self,
        runtime: &Runtime,
        tenant: &TenantState,
        deadline: Instant,
    ) -> Result<()> {
        if self.ready.initialized() {
            return Ok(());
        }
        let prepare = async || {
            if self.version.manifest.migrations.is_empty() {
                return Ok(());
            }
            let size_max = tenant.limits.database_max_bytes.get();
            let unit = runtime.services.units.of_tenant(tenant.tenant.id, size_max).await?;
            migrations::migrate(&self.version, &unit, deadline).await
        };
        Box::pin(self.ready.get_or_try_init(prepare)).await.map(|_| ())
    }
}
