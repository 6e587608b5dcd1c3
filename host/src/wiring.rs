//! The one file that names every capability: what a store holds, which interface belongs to which
//! capability, and how each is linked.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::call::CallContext;
use crate::capabilities::{
    clock, crypto, http, http_client, log, lookups, permissions, settings, sql, tenancy,
};
use crate::clock::Clock;
use crate::database::{CallOutbox, OpenTransaction, Outbox, PlatformDatabase, Units};
use crate::error::{Error, Result};
use crate::metering::Meters;
use crate::usage::Usage;

mod stdio;

/// What all calls share: one of everything that a capability stands on.
pub(crate) struct Services {
    /// The platform's own tables.
    pub(crate) database: PlatformDatabase,
    /// The list of tenants.
    pub(crate) tenants: tenancy::Tenants,
    /// What tenants keep to themselves.
    pub(crate) secrets: tenancy::Secrets,
    /// Tables that all tenants share.
    pub(crate) lookups: lookups::Lookups,
    /// What modules send to other services.
    pub(crate) http_client: http_client::HttpClient,
    /// Who may do what.
    pub(crate) permissions: permissions::Permissions,
    /// Tenants' databases.
    pub(crate) units: Arc<Units>,
    /// What is to be delivered, in their databases.
    pub(crate) outbox: Outbox,
    /// What tenants' modules do and use.
    pub(crate) meters: Meters,
    /// What is kept of it.
    pub(crate) usage: Usage,
    /// The time of day.
    pub(crate) clock: Clock,
    /// What the embedder brought.
    pub(crate) extensions: Extensions,
}

impl Services {
    /// Writes what was used since the last time.
    pub(crate) async fn flush_usage(&self) -> Result<()> {
        self.usage.flush(&self.meters).await
    }
}

/// What one store holds: the call that it runs now, and what that call opened.
pub struct CallState {
    call: CallContext,
    services: Arc<Services>,
    settings: settings::Values,
    /// Hosts that the module declares to call.
    hosts: Arc<[http_client::HostPattern]>,
    table: ResourceTable,
    /// Shared with those who answer for the call.
    streaming: Arc<http::Streaming>,
    /// The transaction that the call has open and may write in.
    writing: Option<OpenTransaction>,
    /// Made when a guest first asks for it: most calls never do.
    wasi: Option<Box<stdio::Wasi>>,
}

impl CallState {
    pub(crate) fn new(
        call: CallContext,
        services: Arc<Services>,
        settings: settings::Values,
        hosts: Arc<[http_client::HostPattern]>,
        handles_max: usize,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles_max);
        Self {
            call,
            services,
            settings,
            hosts,
            table,
            streaming: Arc::default(),
            writing: None,
            wasi: None,
        }
    }

    /// For whom, by whom and until when this code runs.
    pub fn call(&self) -> &CallContext {
        &self.call
    }

    /// Turns to the next call of the same tenant and module.
    pub(crate) fn begin(&mut self, call: CallContext) {
        let memory_used_bytes = self.call.budget.memory_used_bytes;
        self.call = call;
        self.streaming = Arc::default();
        self.writing = None;
        self.call.budget.memory_used_bytes = memory_used_bytes;
        if let Some(wasi) = &self.wasi {
            wasi.reset();
        }
    }

    pub(crate) fn call_mut(&mut self) -> &mut CallContext {
        &mut self.call
    }

    /// The embedder's own capability of type `T`, as it was given to the builder.
    ///
    /// # Panics
    /// When the builder got no such capability: its interface could not have been linked either.
    pub fn capability<T: Capability>(&self) -> &T {
        self.call.budget.count_host_call();
        self.services.extensions.get().expect("a linked capability was given to the builder")
    }

    /// The outbox of the tenant, for a capability that has something to deliver when, and only if,
    /// what the module writes takes effect. [`Platform::messages`](crate::Platform::messages) reads it.
    pub fn outbox(&self) -> CallOutbox {
        CallOutbox {
            outbox: self.services.outbox.clone(),
            unit: self.call.unit(),
            size_max: self.call.limits.database_max_bytes.get(),
            deadline: self.call.deadline,
            writing: self.writing.clone(),
        }
    }

    pub(crate) fn http(&mut self) -> http::HttpView<'_> {
        self.call.budget.count_host_call();
        http::HttpView { call: &mut self.call, table: &mut self.table, streaming: &self.streaming }
    }

    pub(crate) fn streaming(&self) -> Arc<http::Streaming> {
        Arc::clone(&self.streaming)
    }

    fn http_client(&mut self) -> http_client::HttpClientView<'_> {
        self.call.budget.count_host_call();
        http_client::HttpClientView {
            call: &mut self.call,
            client: &self.services.http_client,
            hosts: &self.hosts,
        }
    }

    fn log(&mut self) -> log::LogView<'_> {
        self.call.budget.count_host_call();
        log::LogView { call: &mut self.call }
    }

    fn tenancy_admin(&mut self) -> tenancy::AdminView<'_> {
        self.call.budget.count_host_call();
        let services = &*self.services;
        tenancy::AdminView {
            call: &mut self.call,
            tenants: &services.tenants,
            secrets: &services.secrets,
        }
    }

    fn sql(&mut self) -> sql::SqlView<'_> {
        self.call.budget.count_host_call();
        sql::SqlView {
            call: &mut self.call,
            table: &mut self.table,
            units: &self.services.units,
            writing: &mut self.writing,
        }
    }
}

/// A capability of the embedder's own: a WIT interface with its own state, granted by name like ours.
///
/// Its host functions reach their state with [`CallState::capability`] and the caller with
/// [`CallState::call`]. While a module describes itself, every function of it traps.
pub trait Capability: Send + Sync + 'static {
    /// Its name in `[modules.grants]` and in messages.
    fn name(&self) -> &'static str;

    /// The WIT package that it implements, without a version: `acme:payments`. A module that
    /// imports any interface of it asks for this capability.
    fn package(&self) -> &'static str;

    /// Adds its functions, usually by the `add_to_linker` that `wasmtime::component::bindgen!` made.
    ///
    /// # Errors
    /// When a name is defined twice.
    fn link(&self, linker: &mut Linker<CallState>) -> Result<(), wasmtime::Error>;
}

/// The embedder's capabilities.
#[derive(Default)]
pub(crate) struct Extensions {
    capabilities: Vec<Arc<dyn Capability>>,
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Extensions {
    pub(crate) fn add<C: Capability>(&mut self, capability: C) {
        let capability = Arc::new(capability);
        self.by_type.insert(TypeId::of::<C>(), capability.clone());
        self.capabilities.push(capability);
    }

    fn get<C: Capability>(&self) -> Option<&C> {
        self.by_type.get(&TypeId::of::<C>())?.downcast_ref()
    }

    /// Refuses names and packages that are ours or given twice, packages that no import can match,
    /// and two capabilities of one type, which could not be told apart.
    pub(crate) fn check(&self) -> Result<()> {
        let mut seen = OURS
            .iter()
            .map(|ours| (ours.name, format!("hostel:{}", ours.name)))
            .collect::<BTreeMap<_, _>>();
        for capability in &self.capabilities {
            let (name, package) = (capability.name(), capability.package());
            if !package.contains(':') || package.contains(['@', '/']) {
                return Err(Error::invalid(format!(
                    "capability `{name}`: `{package}` is no package such as `acme:payments`, without version and interface"
                )));
            }
            if package.starts_with("hostel:")
                || package.starts_with("wasi:")
                || seen.values().any(|p| p == package)
            {
                return Err(Error::invalid(format!(
                    "capability `{name}`: the package `{package}` is taken"
                )));
            }
            if seen.insert(name, package.to_owned()).is_some() {
                return Err(Error::invalid(format!("there are two capabilities named `{name}`")));
            }
        }
        if self.by_type.len() < self.capabilities.len() {
            return Err(Error::invalid(
                "two capabilities are of one Rust type: give each a type of its own",
            ));
        }
        Ok(())
    }
}

/// One of our capabilities.
struct Ours {
    /// Its package without `hostel:`, or one interface of it that is granted by itself.
    name: &'static str,
    /// In plain words, what a module that imports it can do.
    meaning: &'static str,
    /// Whether it is power over all tenants: a module that imports it is served to the platform's
    /// own tenant alone, and `*` in grants does not stand for it.
    is_privileged: bool,
    link: fn(&mut Linker<CallState>) -> Result<(), wasmtime::Error>,
}

/// Every capability that modules may be granted, by name. A new one is a new line here.
const OURS: &[Ours] = &[
    Ours {
        name: "clock",
        meaning: "read the time of day",
        is_privileged: false,
        link: |linker| {
            clock::add_to_linker(linker, |state| {
                state.call.budget.count_host_call();
                clock::ClockView { clock: &state.services.clock }
            })
        },
    },
    Ours {
        name: "crypto",
        meaning: "draw random bytes",
        is_privileged: false,
        link: |linker| {
            crypto::add_to_linker(linker, |state| {
                state.call.budget.count_host_call();
                crypto::CryptoView
            })
        },
    },
    Ours {
        name: "http-client",
        meaning: "call other services over HTTP, at the hosts below",
        is_privileged: false,
        link: |linker| http_client::add_to_linker(linker, CallState::http_client),
    },
    Ours {
        name: "log",
        meaning: "write lines to the host's log",
        is_privileged: false,
        link: |linker| log::add_to_linker(linker, CallState::log),
    },
    Ours {
        name: "lookups",
        meaning: "read the platform's look-ups",
        is_privileged: false,
        link: |linker| {
            lookups::add_to_linker(linker, |state| {
                state.call.budget.count_host_call();
                lookups::LookupsView { call: &mut state.call, lookups: &state.services.lookups }
            })
        },
    },
    Ours {
        name: "settings",
        meaning: "read its own settings",
        is_privileged: false,
        link: |linker| {
            settings::add_to_linker(linker, |state| {
                state.call.budget.count_host_call();
                settings::SettingsView { values: &state.settings }
            })
        },
    },
    Ours {
        name: "sql",
        meaning: "read and write tables in its tenant's database",
        is_privileged: false,
        link: |linker| sql::add_to_linker(linker, CallState::sql),
    },
    Ours {
        name: "tenancy",
        meaning: "know its tenant's id, slug and name",
        is_privileged: false,
        link: |linker| {
            tenancy::add_to_linker(linker, |state| {
                state.call.budget.count_host_call();
                tenancy::TenancyView { call: &state.call }
            })
        },
    },
    Ours {
        name: "tenancy/admin",
        meaning: "make, change and remove tenants",
        is_privileged: true,
        link: |linker| tenancy::add_admin_to_linker(linker, CallState::tenancy_admin),
    },
    Ours {
        name: "tenancy/secrets",
        meaning: "read its tenant's secrets",
        is_privileged: false,
        link: |linker| {
            tenancy::add_secrets_to_linker(linker, |state| {
                state.call.budget.count_host_call();
                tenancy::SecretsView { call: &state.call, secrets: &state.services.secrets }
            })
        },
    },
];

/// What an imported interface asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Import {
    /// Part of the contract itself, always linked.
    Always,
    /// A capability, which must be granted.
    Capability {
        /// Its name.
        name: &'static str,
        /// In plain words, what it lets a module do.
        meaning: String,
    },
    /// Nothing that this platform has.
    Unknown,
}

/// Finds out what `interface` (`package/interface@version`) asks for.
pub(crate) fn classify(interface: &str, extensions: &Extensions) -> Import {
    let package = interface.split(['/', '@']).next().unwrap_or_default();
    if matches!(package, "hostel:http" | "hostel:error")
        || WASI.iter().any(|known| interface.starts_with(known))
    {
        return Import::Always;
    }
    if let Some(name) = package.strip_prefix("hostel:") {
        let path = interface.split('@').next().and_then(|path| path.strip_prefix("hostel:"));
        let by_itself = OURS.iter().find(|ours| Some(ours.name) == path);
        return match by_itself.or_else(|| OURS.iter().find(|ours| ours.name == name)) {
            Some(ours) => Import::Capability { name: ours.name, meaning: ours.meaning.to_owned() },
            None => Import::Unknown,
        };
    }
    match extensions.capabilities.iter().find(|capability| capability.package() == package) {
        Some(capability) => Import::Capability {
            name: capability.name(),
            meaning: format!("use this platform's own `{package}`"),
        },
        None => Import::Unknown,
    }
}

/// Whether the capability of that name is power over all tenants.
pub(crate) fn is_privileged(name: &str) -> bool {
    OURS.iter().any(|ours| ours.name == name && ours.is_privileged)
}

/// The names of all capabilities, ours and the embedder's.
pub(crate) fn capability_names(extensions: &Extensions) -> Vec<&'static str> {
    let theirs = extensions.capabilities.iter().map(|capability| capability.name());
    OURS.iter().map(|ours| ours.name).chain(theirs).collect()
}

/// Links what every module gets, and the capabilities for which `granted` says yes.
///
/// # Errors
/// When a name is defined twice.
pub(crate) fn link(
    linker: &mut Linker<CallState>,
    extensions: &Extensions,
    granted: impl Fn(&str) -> bool,
) -> Result<(), wasmtime::Error> {
    link_for_describe(linker)?;
    for ours in OURS.iter().filter(|ours| granted(ours.name)) {
        (ours.link)(linker)?;
    }
    for capability in extensions.capabilities.iter().filter(|capability| granted(capability.name()))
    {
        capability.link(linker)?;
    }
    Ok(())
}

/// Links what `describe` gets: nothing that knows of a tenant. The types of `hostel:http` stand in
/// `handle`'s signature, so they must be ours; nobody can have a handle of them yet.
///
/// # Errors
/// When a name is defined twice.
pub(crate) fn link_for_describe(linker: &mut Linker<CallState>) -> Result<(), wasmtime::Error> {
    link_wasi(linker)?;
    http::add_to_linker(linker, CallState::http)
}

/// Links what else a component imports so that it traps. Only capabilities: an interface of wasi that
/// the component knows in another version is ours all the same.
///
/// # Errors
/// When a name is defined twice.
pub(crate) fn link_traps(
    linker: &mut Linker<CallState>,
    component: &Component,
    extensions: &Extensions,
) -> Result<(), wasmtime::Error> {
    let engine = component.engine();
    for (interface, import) in component.component_type().imports(engine) {
        let (ComponentItem::ComponentInstance(instance), Import::Capability { .. }) =
            (import.ty, classify(interface, extensions))
        else {
            continue;
        };
        let mut linker = linker.instance(interface)?;
        for (name, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{interface}#{name}");
                    linker.func_new(name, move |_, _, _, _| {
                        Err(wasmtime::format_err!("`{called}` was called"))
                    })?;
                }
                ComponentItem::Resource(_) => {
                    linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What Rust's and other languages' standard libraries need, and nothing that reaches outside: no
/// file system, no sockets, an empty environment.
const WASI: &[&str] = &["wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/"];

fn link_wasi(linker: &mut Linker<CallState>) -> Result<(), wasmtime::Error> {
    wasi::io::error::add_to_linker::<_, TableData>(linker, CallState::io)?;
    wasi::io::poll::add_to_linker::<_, TableData>(linker, CallState::io)?;
    wasi::io::streams::add_to_linker::<_, TableData>(linker, CallState::io)?;
    wasi::clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, CallState::clocks)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, CallState::clocks)?;
    wasi::random::random::add_to_linker::<_, WasiRandom>(linker, |state| state.ctx().ctx.random())?;
    wasi::random::insecure::add_to_linker::<_, WasiRandom>(linker, |state| {
        state.ctx().ctx.random()
    })?;
    wasi::random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |state| {
        state.ctx().ctx.random()
    })?;
    wasi::cli::exit::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::environment::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::stdin::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::stdout::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::stderr::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::terminal_input::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::terminal_output::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    Ok(())
}

impl CallState {
    fn io(&mut self) -> &mut ResourceTable {
        self.call.budget.count_host_call();
        &mut self.table
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.call.budget.count_host_call();
        let wasi = self.wasi.get_or_insert_with(|| Box::new(stdio::Wasi::new()));
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut self.table }
    }
}

struct TableData;

impl HasData for TableData {
    type Data<'a> = &'a mut ResourceTable;
}
