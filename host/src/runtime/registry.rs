//! Who is served what: per tenant a snapshot of its modules, replaced as a whole and read without a
//! lock.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use crossbeam_queue::ArrayQueue;
use tokio::sync::Mutex;

use super::heavy::LongCalls;
use super::instance::Resident;
use super::limits::{Account, TenantCpu};
use super::tables::Tables;
use super::{Configured, ModuleVersion, Runtime, manifest};
use crate::call::{Budget, CallContext, Principal, Tenant};
use crate::capabilities::settings;
use crate::capabilities::tenancy::TenantSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{LimitsConfig, Plans};
use crate::metering::Meter;
use crate::names::{ModuleName, RequestId, TenantId, TenantSlug, UnitId};
use crate::turns::Lane;

/// Tenants that are kept at hand. Others are looked up again; nothing is lost.
const TENANTS_MAX: u64 = 10_000;
/// A tenant's setting of the platform's own: whose pages may read its answers.
const CORS_ORIGINS: &str = "cors-origins";
const CORS_ORIGINS_MAX: usize = 100;
/// Idle instances of one module for one tenant: as many as calls that begin while others run.
const IDLE_PER_MODULE_MAX: usize = 16;

/// The modules of this platform and the tenants that are at hand.
pub struct Registry {
    runtime: Arc<Runtime>,
    modules: ArcSwap<Vec<Arc<ModuleVersion>>>,
    tenants: moka::sync::Cache<TenantSlug, Arc<TenantState>>,
    /// Held together while a snapshot is made and put at hand, alone while modules are swapped: no
    /// tenant comes to hand with what has just been replaced.
    snapshots: RwLock<()>,
    /// Grows whenever tenants have changed: what was looked up before may be old.
    changes: AtomicU64,
    pub(super) configured: Configured,
    /// One change after the other.
    pub(super) changing: Mutex<()>,
}

/// A tenant at hand.
pub struct TenantState {
    /// Who it is.
    pub tenant: Arc<Tenant>,
    /// What it and its calls may use: the tightest of what the platform, its plan and its own
    /// entry say.
    pub(crate) limits: Arc<LimitsConfig>,
    modules: ArcSwap<HashMap<ModuleName, Arc<TenantModule>>>,
    cors_origins: Option<Vec<String>>,
    /// Its own.
    settings: TenantSettings,
    pub(super) cpu: Arc<TenantCpu>,
    /// Its calls.
    pub(super) lane: Arc<Lane>,
    pub(super) long_calls: Arc<LongCalls>,
}

/// A module as one tenant is served it.
pub struct TenantModule {
    /// The code.
    pub version: Arc<ModuleVersion>,
    /// As they hold for this tenant.
    pub(super) settings: settings::Values,
    pub(super) tables: Arc<Tables>,
    idle: ArrayQueue<Resident>,
    /// Set once another version, or none, is served instead.
    retired: AtomicBool,
    pub(super) account: Arc<Account>,
}

impl Registry {
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        modules: Vec<Arc<ModuleVersion>>,
        configured: Configured,
    ) -> Result<Self> {
        manifest::check_distinct(modules.iter().map(|module| &module.manifest.name))?;
        declare(&runtime, &modules);
        Ok(Self {
            runtime,
            modules: ArcSwap::from_pointee(modules),
            tenants: moka::sync::Cache::new(TENANTS_MAX),
            snapshots: RwLock::default(),
            changes: AtomicU64::new(0),
            configured,
            changing: Mutex::default(),
        })
    }

    /// What runs the modules.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The modules that every tenant is served.
    pub fn modules(&self) -> Arc<Vec<Arc<ModuleVersion>>> {
        self.modules.load_full()
    }

    /// The unit in which a module keeps a tenant's rows, whether it is served or not.
    pub(crate) fn unit_of(&self, tenant: TenantId, module: &ModuleName) -> UnitId {
        self.configured.database_of(module).unit(tenant, module)
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
        let tenants = &self.runtime.services.tenants;
        loop {
            let changes = self.changes.load(Ordering::SeqCst);
            // Unknown slugs are not remembered: a tenant that is made now is served now.
            let found = tenants.find(&slug).await?.filter(|tenant| tenant.status.is_there());
            let found = found.ok_or_else(unknown)?;
            let settings = tenants.settings_of(found.id).await?;
            let state = {
                let _together = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
                self.tenants.get_with(slug.clone(), || Arc::new(self.state_of(found, settings)))
            };
            // Whoever heard of a change in between has not seen this one.
            if self.changes.load(Ordering::SeqCst) == changes {
                return Ok(state);
            }
            self.tenants.remove(&slug);
        }
    }

    /// Forgets what is known of these tenants, if that is no longer so.
    pub(crate) async fn refresh(&self, changed: &HashSet<TenantId>) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        let at_hand = self.tenants.iter().map(|(_, state)| Arc::clone(&state.tenant));
        let known: Vec<_> = at_hand.filter(|tenant| changed.contains(&tenant.id)).collect();
        for tenant in known {
            let found = self.runtime.services.tenants.find(&tenant.slug).await;
            if !found.is_ok_and(|found| found.as_ref() == Some(&*tenant)) {
                self.tenants.remove(&tenant.slug);
                self.runtime.services.units.forget(tenant.id).await;
            }
        }
    }

    /// Other limits and plans hold for every tenant from its next call on.
    pub(crate) async fn set_limits(&self, limits: &LimitsConfig, plans: &Plans) {
        self.runtime.set_limits(limits, plans);
        self.changes.fetch_add(1, Ordering::SeqCst);
        let at_hand: Vec<_> = self.tenants.iter().map(|(_, state)| state.tenant.clone()).collect();
        for tenant in at_hand {
            self.tenants.remove(&tenant.slug);
            // What its database may become is among them.
            self.runtime.services.units.forget(tenant.id).await;
        }
    }

    fn state_of(&self, tenant: Tenant, settings: TenantSettings) -> TenantState {
        let runtime = &self.runtime;
        let (weight, limits) = runtime.limits_of(&tenant);
        let cpu = Arc::new(TenantCpu::new(limits.tenant_minute_cpu_ms.as_millis()));
        let modules = self.modules.load();
        let modules = modules.iter().filter(|version| version.is_for(&tenant)).map(|version| {
            let module = self.module_of(&tenant, &settings, &limits, &cpu, version, false);
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
            cors_origins: cors_origins(&settings),
            limits: Arc::new(limits),
            settings,
            tenant: Arc::new(tenant),
        }
    }

    fn module_of(
        &self,
        tenant: &Tenant,
        settings: &TenantSettings,
        limits: &LimitsConfig,
        cpu: &Arc<TenantCpu>,
        version: &Arc<ModuleVersion>,
        is_ready: bool,
    ) -> TenantModule {
        let name = &version.manifest.name;
        let meter = self.runtime.services.meters.of(tenant.id, &tenant.slug, name);
        TenantModule {
            version: Arc::clone(version),
            settings: settings::overridden(
                name.as_str(),
                version.manifest.declared_settings(),
                &version.settings,
                settings.get(name.as_str()),
            ),
            // As many as may run, and as many as may wait for that.
            tables: Tables::new(
                is_ready,
                limits
                    .tenant_calls_max
                    .as_usize()
                    .saturating_add(limits.tenant_queue_max.as_usize()),
            ),
            idle: ArrayQueue::new(IDLE_PER_MODULE_MAX),
            retired: AtomicBool::new(false),
            account: Arc::new(Account { tenant: Arc::clone(cpu), meter }),
        }
    }

    /// The tenants at hand that have called the module of that name.
    pub(super) fn tenants_of(&self, name: &ModuleName) -> Vec<Arc<TenantState>> {
        let at_hand = self.tenants.iter().map(|(_, tenant)| tenant);
        at_hand
            .filter(|tenant| tenant.module(name.as_str()).is_some_and(|m| m.is_ready()))
            .collect()
    }

    /// Serves every tenant this version, or none, instead of what it was served. Requests go on with
    /// what they began with. `is_ready` knows whose tables are what the version expects, given how
    /// the tenant was served before.
    pub(super) fn swap(
        &self,
        name: &ModuleName,
        version: Option<&Arc<ModuleVersion>>,
        is_ready: impl Fn(&TenantState, &TenantModule) -> bool,
    ) {
        let mut retired = Vec::new();
        let alone = self.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        let mut modules = Vec::clone(&self.modules.load());
        modules.retain(|module| module.manifest.name != *name);
        modules.extend(version.cloned());
        declare(&self.runtime, &modules);
        self.modules.store(Arc::new(modules));
        for (_, tenant) in &self.tenants {
            let mut served = HashMap::clone(&tenant.modules.load());
            let before = served.remove(name);
            if let Some(version) = version.filter(|version| version.is_for(&tenant.tenant)) {
                let is_ready = before.as_ref().is_some_and(|before| is_ready(&tenant, before));
                let module = self.module_of(
                    &tenant.tenant,
                    &tenant.settings,
                    &tenant.limits,
                    &tenant.cpu,
                    version,
                    is_ready,
                );
                served.insert(name.clone(), Arc::new(module));
            }
            tenant.modules.store(Arc::new(served));
            retired.extend(before);
        }
        drop(alone);
        retired.iter().for_each(|module| module.retire());
    }
}

/// Says which settings there are, to whoever changes them.
fn declare(runtime: &Runtime, modules: &[Arc<ModuleVersion>]) {
    let declared = modules.iter().map(|module| {
        let settings = module.manifest.settings.iter();
        let schemas = settings.map(|setting| (setting.name.clone(), setting.schema.clone()));
        (module.manifest.name.clone(), schemas.collect())
    });
    let own = TenantState::PLATFORM_SETTINGS.parse().ok().map(|name| {
        let origins = serde_json::json!({
            "type": "array",
            "maxItems": CORS_ORIGINS_MAX,
            "items": { "type": "string", "pattern": "^https?://[^/?#@ ]+$" },
        });
        (name, HashMap::from([(CORS_ORIGINS.to_owned(), origins)]))
    });
    runtime.services.tenants.declarations().set(declared.chain(own).collect());
}

/// A tenant's own list of origins, checked when it was set.
fn cors_origins(settings: &TenantSettings) -> Option<Vec<String>> {
    let list = settings.get(TenantState::PLATFORM_SETTINGS)?.get(CORS_ORIGINS)?.as_array()?;
    Some(list.iter().filter_map(|origin| origin.as_str().map(ToOwned::to_owned)).collect())
}

impl TenantState {
    /// Under which name tenants have settings of the platform's own; no module's.
    pub(crate) const PLATFORM_SETTINGS: &str = "platform";

    /// Whose pages may read this tenant's answers, where it has a list of its own.
    pub(crate) fn cors_origins(&self) -> Option<&[String]> {
        self.cors_origins.as_deref()
    }

    /// The module of that name, as this tenant is served it now.
    pub fn module(&self, name: &str) -> Option<Arc<TenantModule>> {
        self.modules.load().get(name).cloned()
    }

    /// The modules that this tenant is served now, by name.
    pub(crate) fn modules(&self) -> Vec<Arc<ModuleVersion>> {
        let served = self.modules.load();
        let mut all: Vec<_> = served.values().map(|module| Arc::clone(&module.version)).collect();
        all.sort_unstable_by(|one, other| one.manifest.name.cmp(&other.manifest.name));
        all
    }
}

impl TenantModule {
    /// Counts what it does for this tenant.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.account.meter
    }

    /// The context of a call of this module for its tenant, which has used nothing yet.
    pub(super) fn begin_call(
        &self,
        tenant: &TenantState,
        principal: Principal,
        request_id: RequestId,
        deadline: Instant,
    ) -> CallContext {
        CallContext {
            tenant: Arc::clone(&tenant.tenant),
            principal,
            module: Arc::clone(&self.version.identity),
            request_id,
            deadline,
            budget: Budget::new(&tenant.limits),
            limits: Arc::clone(&tenant.limits),
            meter: Arc::clone(self.meter()),
            cpu: Arc::default(),
        }
    }

    /// An instance that waits for a call.
    pub(super) fn idle(&self) -> Option<Resident> {
        self.idle.pop()
    }

    /// Keeps an instance for the next call; when as many wait already, it is dropped.
    pub(super) fn keep(&self, resident: Resident) {
        let _ = self.idle.push(resident);
        // Looked at after the push, as `retire` empties after it has said so: one of both sees it.
        if self.retired.load(Ordering::SeqCst) {
            self.retire();
        }
    }

    /// Drops the instances that wait, and those that calls give back from now on: nobody will call
    /// them again.
    fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        while self.idle.pop().is_some() {}
    }
}
