//! The runtime: engine, compiled modules, tenants' snapshots of what they are served, and calls.
//!
//! It knows wasmtime and nothing of HTTP: `http/` hands it a request in the contract's own types and
//! gets an answer, or an error with a kind.

mod artefacts;
mod described_entity;
mod described_route;
mod engine;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod heavy;
mod install;
mod instance;
mod limits;
mod manifest;
pub(crate) mod migrations;
mod module;
mod quarantined;
mod registry;
mod routes;
mod statement;
mod tables;
mod validate;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

pub use self::described_entity::{
    ColumnType, Entity, EntityCheck, EntityColumn, EntityReference, NamedColumns, OnDelete,
};
pub use self::engine::RuntimeConfig;
use self::heavy::{Heavy, Neighbours};
pub use self::install::Installed;
pub(crate) use self::instance::{ANSWER_HEAD_MAX_BYTES, answer_too_large};
pub use self::instance::{Answer, Body, Outcome, Request, Streamed};
pub use self::manifest::{
    Access, AnswerHeader, ExpectedProblem, Manifest, Method, Migration, PermissionSpec, Route,
    Script, Seed, Setting,
};
pub use self::migrations::{Direction, MigrationGoal, Until};
pub use self::module::ModuleVersion;
pub use self::registry::{Registry, TenantModule, TenantState};
pub use self::routes::Match;
pub use self::validate::{Inspection, RequestedImport};
use crate::call::{ModuleDatabase, Tenant, Trust};
use crate::database::Dialect;
use crate::error::{Error, Result};
use crate::limits::{LimitsConfig, Plans};
use crate::metering::locked;
use crate::names::ModuleName;
use crate::turns::Turns;
use crate::wiring::{self, Services};

/// `[modules]`: which modules are served and what they are granted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModulesConfig {
    /// The folder of the operator's modules, each a `.wasm` file; `modules` in the data folder when
    /// not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Whether changes in that folder are served at once.
    pub watch: bool,
    /// What modules may import, by who put them on the platform.
    pub grants: GrantsConfig,
    /// Which modules keep their instances between requests of a tenant.
    pub instances: BTreeMap<ModuleName, Instances>,
    /// Which modules keep their rows apart from those of others.
    pub databases: BTreeMap<ModuleName, ModuleDatabase>,
}

impl Default for ModulesConfig {
    fn default() -> Self {
        Self {
            directory: None,
            watch: true,
            grants: GrantsConfig::default(),
            instances: BTreeMap::new(),
            databases: BTreeMap::new(),
        }
    }
}

/// What the configuration says of modules, by their names.
pub(crate) struct Configured {
    pub(crate) instances: BTreeMap<ModuleName, Instances>,
    pub(crate) databases: BTreeMap<ModuleName, ModuleDatabase>,
    pub(crate) settings: HashMap<String, HashMap<String, serde_json::Value>>,
}

impl Configured {
    /// Where a module keeps its rows, whether it is served or not.
    pub(crate) fn database_of(&self, module: &ModuleName) -> ModuleDatabase {
        self.databases.get(module).copied().unwrap_or_default()
    }
}

/// `[modules.grants]`: capabilities by trust. System modules may import everything.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantsConfig {
    /// For the operator's modules: names of capabilities, or `*` for all but those that are power
    /// over all tenants, such as `tenancy/admin`.
    pub operator: Vec<String>,
}

impl Default for GrantsConfig {
    fn default() -> Self {
        Self { operator: vec!["*".to_owned()] }
    }
}

impl GrantsConfig {
    fn allows(&self, trust: Trust, capability: &str) -> bool {
        match trust {
            Trust::System => true,
            Trust::Operator => self.operator.iter().any(|name| {
                name == capability || (name == "*" && !wiring::is_privileged(capability))
            }),
        }
    }
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Instances {
    /// One request. Nothing that a request leaves behind can reach another.
    #[default]
    Fresh,
    /// Many requests of one tenant, one after the other. For modules that the operator trusts to
    /// keep them apart.
    Reused,
}

/// Where a module's bytes come from.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    /// What messages call it: a file's path, or a name.
    pub origin: String,
    /// The component.
    pub wasm: bytes::Bytes,
    /// Who put it here.
    pub trust: Trust,
}

impl ModuleSource {
    /// A file, as an operator's module.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let origin = path.as_ref().display().to_string();
        match std::fs::read(path) {
            Ok(wasm) => Ok(Self::operator(origin, wasm)),
            Err(error) => Err(Error::invalid(format!("{origin}: {error}"))),
        }
    }

    /// An operator's module, from wherever it came.
    pub fn operator(origin: impl Into<String>, wasm: impl Into<bytes::Bytes>) -> Self {
        Self { origin: origin.into(), wasm: wasm.into(), trust: Trust::Operator }
    }

    /// A module of the program itself. It may import everything: pass only what you built yourself.
    pub fn system(origin: impl Into<String>, wasm: impl Into<bytes::Bytes>) -> Self {
        Self { origin: origin.into(), wasm: wasm.into(), trust: Trust::System }
    }

    /// An error about this source, with its name before the message.
    pub(crate) fn name_in(&self, error: Error) -> Error {
        let message = format!("{}: {error}", self.origin);
        error.saying(message)
    }
}

/// Engine, linkers, artefacts: all that is needed to turn bytes into a module.
pub struct Runtime {
    pub(crate) engine: engine::Engine,
    pub(crate) artefacts: artefacts::Artefacts,
    limits: ArcSwap<LimitsConfig>,
    plans: ArcSwap<Plans>,
    /// What an instance can have at most: the pool was made for it.
    memory_max_bytes: u64,
    pub(crate) config: RuntimeConfig,
    pub(crate) grants: GrantsConfig,
    pub(crate) services: Arc<Services>,
    /// Who may run now, over all tenants.
    pub(crate) turns: Arc<Turns>,
    pub(crate) heavy: Heavy,
    /// Idle instances of modules that keep theirs; bounded so that calls always find a slot.
    pub(crate) idle_permits: Arc<tokio::sync::Semaphore>,
    /// Migrations that may run at once: as many as calls, none of which they are.
    migrations: Arc<tokio::sync::Semaphore>,
    /// What goes on by itself, until the runtime is dropped.
    background: Mutex<JoinSet<()>>,
}

impl Runtime {
    pub(crate) fn new(
        config: &RuntimeConfig,
        limits: &LimitsConfig,
        plans: &Plans,
        grants: &GrantsConfig,
        artefacts: PathBuf,
        artefact_key: [u8; 32],
        services: Arc<Services>,
    ) -> Result<Self> {
        if let Some(unknown) = grants.operator.iter().find(|name| {
            *name != "*" && !wiring::capability_names(&services.extensions).contains(&name.as_str())
        }) {
            return Err(Error::invalid(format!(
                "`modules.grants.operator`: there is no capability `{unknown}`; there are {}",
                wiring::capability_names(&services.extensions).join(", ")
            )));
        }
        let engine = engine::Engine::new(config, limits, grants, &services)?;
        let artefacts = artefacts::Artefacts::new(artefacts, artefact_key, &engine.wasmtime)?;
        let neighbours = match services.units.dialect() {
            Dialect::Sqlite => Neighbours::None,
            Dialect::Postgres => Neighbours::DatabaseServer,
        };
        Ok(Self {
            turns: Turns::shared(config.calls_max.as_usize()),
            heavy: Heavy::new(Arc::clone(&engine.long_calls), neighbours)?,
            idle_permits: Arc::new(tokio::sync::Semaphore::new(
                config.idle_instances_max.as_usize(),
            )),
            engine,
            artefacts,
            limits: ArcSwap::from_pointee(limits.clone()),
            plans: ArcSwap::from_pointee(plans.clone()),
            memory_max_bytes: limits.memory_max_bytes.get(),
            config: config.clone(),
            grants: grants.clone(),
            services,
            migrations: Arc::new(tokio::sync::Semaphore::new(config.calls_max.as_usize())),
            background: Mutex::default(),
        })
    }

    /// Lets work go on by itself: it ends with the runtime, if not before.
    fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = locked(&self.background);
        while background.try_join_next().is_some() {}
        background.spawn(work);
    }

    /// How full the host is: name, meaning and value of each figure.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, &'static str, u64)> {
        let idle_max = self.config.idle_instances_max.get();
        let idle_free = self.idle_permits.available_permits() as u64;
        vec![
            ("hostel_calls_running", "Calls that run", self.turns.taken() as u64),
            ("hostel_calls_max", "Calls that may run at once", self.config.calls_max.get()),
            ("hostel_calls_waiting", "Calls that wait for their turn", self.turns.waiting() as u64),
            (
                "hostel_long_calls_waiting",
                "Calls that compute for long and wait for a processor",
                self.heavy.waiting() as u64,
            ),
            (
                "hostel_long_statements_waiting",
                "Long statements and migrations that wait for their turn",
                self.services.units.long_statements_waiting() as u64,
            ),
            ("hostel_instances_idle", "Instances that wait for a call", idle_max - idle_free),
            ("hostel_pool_slots", "Instances that can exist at once", self.config.pool_slots.get()),
        ]
    }

    /// What the platform itself allows.
    pub(crate) fn limits(&self) -> Arc<LimitsConfig> {
        self.limits.load_full()
    }

    /// Refuses limits that an instance cannot have before the next start.
    pub(crate) fn check_limits(&self, limits: &LimitsConfig) -> Result<()> {
        let (wanted, max) = (limits.memory_max_bytes.get(), self.memory_max_bytes);
        if wanted > max {
            return Err(Error::invalid(format!(
                "`limits.memory_max_bytes` is {wanted}: at most {max} until the next start, for which instances were made"
            )));
        }
        Ok(())
    }

    /// From now on, these hold for tenants that come to hand.
    fn set_limits(&self, limits: &LimitsConfig, plans: &Plans) {
        self.limits.store(Arc::new(limits.clone()));
        self.plans.store(Arc::new(plans.clone()));
    }

    /// A tenant's share beside others', and its limits.
    pub(crate) fn limits_of(&self, tenant: &Tenant) -> (usize, LimitsConfig) {
        let (plans, limits) = (self.plans.load(), self.limits.load());
        let plan = tenant.plan.as_ref().and_then(|name| plans.get(name));
        let (weight, limits) = match plan {
            Some(plan) => (plan.weight.as_usize(), limits.tightened(&plan.limits)),
            None => (1, LimitsConfig::clone(&limits)),
        };
        (weight, limits.tightened(&tenant.limits))
    }
}
