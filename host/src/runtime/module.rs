//! One version of a module: what it says of itself, its routes, and its code, mapped when first
//! called.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, TypedFunc};

use super::limits::TenantCpu;
use super::routes::RouteTable;
use super::validate::{self, Inspection, RequestedImport};
use super::{Configured, Instances, Manifest, ModuleSource, Runtime};
use crate::bindings::ModulePre;
use crate::bindings::exports::hostel::module::guest::{Problem, Response};
use crate::bindings::hostel::http::types as wit;
use crate::call::{Budget, CallContext, ModuleDatabase, ModuleIdentity, Principal, Tenant, Trust};
use crate::capabilities::http_client::HostPattern;
use crate::capabilities::settings;
use crate::error::{Error, ErrorKind, Result};
use crate::names::RequestId;
use crate::wiring::{self, CallState};

/// The contract that stored manifests were made by; another one means describing again.
const CONTRACT: &str = "hostel:module@0.1.0";
/// What a module exports.
const GUEST: &str = "hostel:module/guest@0.1.0";
/// How long a module may take to describe itself.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// One version of a module, shared by all tenants that are served it.
pub struct ModuleVersion {
    /// Which code this is.
    pub identity: Arc<ModuleIdentity>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Of all that it says: what was made of one manifest holds for another of the same.
    pub(crate) manifest_digest: [u8; 32],
    /// Of its migrations: what failed with one list of them is tried with another.
    pub(crate) migrations_digest: String,
    pub(crate) routes: RouteTable,
    pub(crate) instances: Instances,
    pub(crate) settings: settings::Values,
    /// Hosts that it declares to call.
    pub(super) hosts: Arc<[HostPattern]>,
    /// Whether it is served to the platform's own tenant alone, for what it imports.
    is_privileged: bool,
    wasm: bytes::Bytes,
    code: OnceCell<Arc<Code>>,
}

impl Runtime {
    /// Turns a file into a module: checked, described (once per file, then remembered), not yet
    /// compiled where a manifest is known.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(crate) async fn load(
        &self,
        source: &ModuleSource,
        configured: &Configured,
    ) -> Result<ModuleVersion> {
        let in_file = |error| source.name_in(error);
        let requested = self.requested(source).map_err(in_file)?;
        let manifest = self.manifest_of(source).await.map_err(in_file)?;
        let name = manifest.name.as_str();
        let nothing = HashMap::new();
        let own = configured.settings.get(name).unwrap_or(&nothing);
        let settings = settings::resolve(name, manifest.declared_settings(), own)?;
        Ok(ModuleVersion {
            identity: Arc::new(ModuleIdentity {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                trust: source.trust,
                database: configured.database_of(&manifest.name),
            }),
            routes: RouteTable::new(&manifest.routes).map_err(in_file)?,
            instances: configured.instances.get(&manifest.name).copied().unwrap_or_default(),
            settings,
            hosts: manifest.outbound_hosts.iter().map(|it| it.host.clone()).collect(),
            is_privileged: requested
                .iter()
                .filter_map(|import| import.capability)
                .any(wiring::is_privileged),
            manifest_digest: manifest.digest().map_err(in_file)?,
            migrations_digest: manifest.migrations_digest().map_err(in_file)?,
            manifest,
            wasm: source.wasm.clone(),
            code: OnceCell::new(),
        })
    }

    /// All that can be told of a file without serving it.
    ///
    /// # Errors
    /// Says why it is no module, or not one that may be served here.
    pub async fn inspect(&self, source: &ModuleSource) -> Result<Inspection> {
        let imports = self.requested(source)?;
        let started = Instant::now();
        let code = self.prepare(source).await?;
        let compile_time = started.elapsed();
        let manifest = self.describe(code).await?;
        Ok(Inspection { size_bytes: source.wasm.len(), compile_time, imports, manifest })
    }

    fn requested(&self, source: &ModuleSource) -> Result<Vec<RequestedImport>> {
        let outline = validate::outline(&source.wasm)?;
        validate::check_imports(&outline, source.trust, &self.grants, &self.services.extensions)
    }

    async fn manifest_of(&self, source: &ModuleSource) -> Result<Manifest> {
        let digest = HEXLOWER.encode(&Sha256::digest(&source.wasm));
        let known: Option<String> = sqlx::query_scalar(
            "SELECT manifest FROM manifests WHERE digest = $1 AND contract = $2",
        )
        .bind(&digest)
        .bind(CONTRACT)
        .fetch_optional(&self.services.database)
        .await?;
        if let Some(manifest) = known.and_then(|text| serde_json::from_str(&text).ok()) {
            return Ok(manifest);
        }
        let code = self.prepare(source).await?;
        let manifest = self.describe(code).await?;
        let text = serde_json::to_string(&manifest)
            .map_err(|error| Error::internal("a manifest cannot be kept").because(error))?;
        sqlx::query(
            "INSERT INTO manifests (digest, contract, manifest, described_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (digest) DO UPDATE SET
                 contract = excluded.contract, manifest = excluded.manifest, described_at = excluded.described_at",
        )
        .bind(&digest)
        .bind(CONTRACT)
        .bind(text)
        .bind(self.services.clock.now_micros())
        .execute(&self.services.database)
        .await?;
        Ok(manifest)
    }

    /// The code of a file, linked so that every capability traps.
    async fn prepare(&self, source: &ModuleSource) -> Result<ModulePre<CallState>> {
        let component = self.artefacts.load(&source.wasm).await?;
        let unlinkable = |error: wasmtime::Error| {
            Error::invalid(format!("it does not fit the contract: {error:#}"))
        };
        let mut linker = Linker::new(&self.engine.wasmtime);
        wiring::link_for_describe(&mut linker).map_err(unlinkable)?;
        wiring::link_traps(&mut linker, &component, &self.services.extensions)
            .map_err(unlinkable)?;
        let pre = linker.instantiate_pre(&component).map_err(unlinkable)?;
        ModulePre::new(pre).map_err(unlinkable)
    }

    /// Lets a module describe itself.
    async fn describe(&self, code: ModulePre<CallState>) -> Result<Manifest> {
        let (call, limits) = (self.nobodys_call(), self.limits());
        let state = CallState::new(
            call,
            Arc::clone(&self.services),
            settings::Values::default(),
            Arc::default(),
            limits.handles_max.as_usize(),
        );
        let unlimited = Arc::new(TenantCpu::new(Duration::MAX));
        let mut store = self.store(state, &limits, &unlimited);
        let describing = async {
            let module = code.instantiate_async(&mut store).await?;
            module.hostel_module_guest().call_describe(&mut store).await
        };
        let time = self.describe_timeout();
        let said = match super::instance::bounded(describing, time).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => {
                let why = match super::instance::limit_of(&error, &store.data().call().budget) {
                    Some(limit) => limit.to_string(),
                    None => error.root_cause().to_string(),
                };
                return Err(Error::invalid(format!("`describe` failed: {why}"))
                    .hint("while a module describes itself, every capability traps: describe only what is fixed in the code")
                    .because(error.into_boxed_dyn_error()));
            }
            Err(_) => {
                return Err(Error::invalid(format!("`describe` did not end within {time:?}")));
            }
        };
        Manifest::check(said)
    }

    fn describe_timeout(&self) -> Duration {
        DESCRIBE_TIMEOUT.min(self.limits.load().call_timeout_ms.as_millis())
    }

    /// The context of code that runs for no tenant: only `describe`, in which nothing is linked that
    /// could ask for it.
    fn nobodys_call(&self) -> CallContext {
        CallContext {
            tenant: Arc::new(Tenant::nobody()),
            principal: Principal::Anonymous,
            module: Arc::new(ModuleIdentity {
                name: "describe".parse().expect("a constant that is a label"),
                version: semver::Version::new(0, 0, 0),
                trust: Trust::Operator,
                database: ModuleDatabase::Shared,
            }),
            request_id: RequestId::new(),
            deadline: Instant::now() + self.describe_timeout(),
            budget: Budget::new(&self.limits()),
            limits: self.limits(),
            meter: Arc::default(),
            cpu: Arc::default(),
        }
    }
}

impl ModuleVersion {
    /// Whether `tenant` is served it.
    pub(crate) fn is_for(&self, tenant: &Tenant) -> bool {
        !self.is_privileged || tenant.is_platform()
    }

    /// The code, mapped and linked at the first call.
    pub(super) async fn code(&self, runtime: &Runtime) -> Result<Arc<Code>> {
        if let Some(code) = self.code.get() {
            return Ok(Arc::clone(code));
        }
        let load = async || {
            let component = runtime.artefacts.load(&self.wasm).await?;
            let linker = runtime.engine.linker(self.identity.trust);
            Code::new(linker, &component).map(Arc::new).map_err(|error| {
                Error::new(
                    ErrorKind::Unavailable,
                    "module-unavailable",
                    "the module cannot be loaded",
                )
                .because(error.into_boxed_dyn_error())
            })
        };
        Box::pin(self.code.get_or_try_init(load)).await.map(Arc::clone)
    }
}

/// A module's code, linked, and where its `handle` is.
pub(super) struct Code {
    pre: InstancePre<CallState>,
    handle: ComponentExportIndex,
}

/// A module's `handle`, in an instance.
pub(super) type Handle = TypedFunc<(wit::Request,), (Result<Response, Problem>,)>;

impl Code {
    fn new(linker: &Linker<CallState>, component: &Component) -> wasmtime::Result<Self> {
        let pre = linker.instantiate_pre(component)?;
        let handle = component
            .get_export_index(None, GUEST)
            .and_then(|guest| component.get_export_index(Some(&guest), "handle"))
            .ok_or_else(|| wasmtime::format_err!("it exports no `{GUEST}` with a `handle`"))?;
        Ok(Self { pre, handle })
    }

    /// A new instance. What is generated would look up and check `describe` each time, too.
    pub(super) async fn instantiate(&self, store: &mut InstanceStore) -> wasmtime::Result<Handle> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        instance.get_typed_func(store, self.handle)
    }
}

/// Where an instance lives.
pub(super) type InstanceStore = Store<CallState>;
