//! A platform: built from a configuration, it gives a router or serves by itself.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::archive::Archives;
use crate::call::Trust;
use crate::capabilities::http_client::{HttpClient, Outbound, ReadSecret, Ways};
use crate::capabilities::lookups::Lookups;
use crate::capabilities::permissions::Permissions;
use crate::capabilities::tenancy::{Secrets, Tenants};
use crate::clock::Clock;
use crate::config::{Changes, Config, Secret};
use crate::database::{
    self, ChangeBus, Message, MessageId, Outbox, OwnTables, PlatformDatabase, PostgresServer,
    Preparation, Units,
};
use crate::error::{Error, Result};
use crate::folder::{Folder, OtherHosts, newest_change};
use crate::http::openapi::{Documents, document};
use crate::http::{self, App, Authentication, Authenticator, Http, Tls};
use crate::key::{OperatorToken, PlatformKey};
use crate::metering::Meters;
use crate::migrate::{Generator, Migrations, TablesOf};
use crate::names::{TenantId, TenantSlug};
use crate::runtime::{
    Configured, Inspection, Installed, ModuleSource, ModuleVersion, Registry, Runtime,
};
use crate::seeding::Seeds;
use crate::usage::{self, Usage};
use crate::wiring::{Capability, Extensions, Services};

/// How often it is looked for tenants whose time has come.
const PURGE_INTERVAL: Duration = Duration::from_secs(5);
/// What the key of tenants' secrets is derived for.
const SECRETS: &str = "tenant-secrets";
/// What the key of the MACs in outboxes is derived for.
const OUTBOX: &str = "outbox";

/// Says what a platform is made of.
///
/// ```no_run
/// # async fn run() -> hostel::Result<()> {
/// let platform = hostel::Platform::builder()
///     .config_file("platform.toml")?
///     .module_file("modules/notes.wasm")
///     .build()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct PlatformBuilder {
    config: Config,
    clock: Clock,
    files: Vec<PathBuf>,
    modules: Vec<ModuleSource>,
    extensions: Extensions,
    authentication: Option<Authentication>,
    ways: Ways,
    progress: Option<Progress>,
}

type Progress = Box<dyn Fn(&str) + Send + Sync>;

impl PlatformBuilder {
    /// Takes the configuration from a file.
    ///
    /// # Errors
    /// Names the file, the line, the key, what was found and what is allowed.
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.config = Config::from_file(path.as_ref())?;
        Ok(self)
    }

    /// Takes the configuration from a text.
    ///
    /// # Errors
    /// Names the line, the key, what was found and what is allowed.
    pub fn config_toml(mut self, text: &str) -> Result<Self> {
        self.config = Config::from_toml(text, "configuration")?;
        Ok(self)
    }

    /// Takes a configuration.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps everything below `folder`, whatever the configuration says.
    #[must_use]
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.data.0 = folder.into();
        self
    }

    /// Serves a module's file to every tenant, with what the operator's modules are granted.
    #[must_use]
    pub fn module_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Serves a module that the program brings along to every tenant. It may import everything:
    /// pass only what you built yourself.
    #[must_use]
    pub fn system_module(mut self, name: &str, wasm: impl Into<bytes::Bytes>) -> Self {
        self.modules.push(ModuleSource::system(name, wasm));
        self
    }

    /// Offers a capability of the program's own to modules.
    #[must_use]
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.extensions.add(capability);
        self
    }

    /// Lets the program say who is calling. Without it, everybody is anonymous.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authentication = Some(Authentication::by(authenticator));
        self
    }

    /// Answers modules' calls of other services in place of the network, for tests.
    #[must_use]
    pub fn outbound(mut self, outbound: impl Outbound) -> Self {
        self.ways.outbound = Some(Arc::new(outbound));
        self
    }

    /// Finds the addresses of hosts that modules call in another way than the machine does. It may
    /// block. Which addresses modules may reach is decided afterwards.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> hostel::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// let platform = hostel::Platform::builder()
    ///     .resolver(|name| match name {
    ///         "rates.example.org" => Ok(vec![[192, 0, 2, 7].into()]),
    ///         _ => Err(std::io::ErrorKind::NotFound.into()),
    ///     })
    /// #   .data_dir(folder.path())
    ///     .build().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn resolver(
        mut self,
        find: impl Fn(&str) -> std::io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.ways.resolver = Some(Arc::new(find));
        self
    }

    /// Tells modules the time of this clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Is told what takes long while the platform is built, for people who wait.
    #[must_use]
    pub fn progress(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Some(Box::new(tell));
        self
    }

    /// Opens the data folder (made when it is not there), loads every module, and makes the default
    /// tenant.
    ///
    /// # Errors
    /// Says which part cannot be used, and why.
    pub async fn build(self) -> Result<Platform> {
        let Loaded { config, key, services, registry, folder, authentication } =
            self.load().await?;
        let tls = Tls::open(&config.tls)?;
        make_tenants(&config, &services.tenants).await?;
        let stop = CancellationToken::new();
        if let Some(url) = config.database.url.clone() {
            warn_of_what_is_open(url, stop.clone());
        }
        let modules = watch::Sender::new(newest_change(&services.database).await?);
        let others = OtherHosts::new(
            services.database.clone(),
            services.tenants.bus().clone(),
            modules.subscribe(),
        );
        watch_changes(Arc::clone(&services), Arc::clone(&registry), modules, stop.clone()).await?;
        keep_usage(Arc::clone(&services), stop.clone());
        purge_tenants(Arc::clone(&services), stop.clone());
        if config.modules.watch {
            watch_folder(folder, others, Arc::clone(&registry), stop.clone());
        }
        let app = Arc::new(App {
            http: ArcSwap::from_pointee(Http::new(config.http.clone())),
            tls,
            tenancy: config.tenancy.clone(),
            services,
            registry,
            operator: OperatorToken::of(&key),
            authentication,
            documents: Documents::default(),
            draining: AtomicBool::new(false),
        });
        follow_certificate(Arc::clone(&app), stop.clone());
        let config = Arc::new(ArcSwap::from_pointee(config));
        Ok(Platform { app, config, reloading: Arc::default(), _stop: Arc::new(stop.drop_guard()) })
    }

    /// What `/openapi.json` says to this tenant, or to requests that name none, as JSON for people to
    /// read: without serving anything.
    ///
    /// # Errors
    /// As [`build`](Self::build); `not-found` when there is no such tenant.
    pub async fn openapi(self, tenant: Option<&TenantSlug>) -> Result<String> {
        let Loaded { config, services, registry, .. } = self.load().await?;
        make_tenants(&config, &services.tenants).await?;
        let slug = tenant.or(config.tenancy.default_tenant.as_ref()).ok_or_else(|| {
            Error::invalid("there is no default tenant").hint("name one with --tenant")
        })?;
        let tenant = registry.tenant(slug.as_str()).await?;
        let permissions = &services.permissions;
        let document = document(&config.tenancy, permissions, &tenant.tenant, &tenant.modules());
        serde_json::to_string_pretty(&document)
            .map_err(|error| Error::internal("the description cannot be written").because(error))
    }

    /// The export and import of tenants alone, for tools that do it while the platform runs or not.
    /// Modules are loaded, since it is they who make tables.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub async fn archives(self) -> Result<Archives> {
        Ok(Archives::new(self.load().await?.registry))
    }

    /// The migrations of modules' tables alone, for tools that apply them while the platform runs or
    /// not. Modules of the files in `instead` take the place of those of their names: a new version's
    /// migrations can be applied before it is served.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub async fn migrations(self, instead: &[PathBuf]) -> Result<Migrations> {
        let registry = self.load().await?.registry;
        serve_instead(&registry, instead).await?;
        Ok(Migrations::new(registry))
    }

    /// The seeds of modules alone, for tools that make them while the platform runs or not: in as much
    /// time as they need. Modules of the files in `instead` take the place of those of their names.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub async fn seeds(mut self, instead: &[PathBuf]) -> Result<Seeds> {
        self.config.limits = Seeds::unhurried(&self.config.limits);
        let Loaded { config, services, registry, .. } = self.load().await?;
        make_tenants(&config, &services.tenants).await?;
        serve_instead(&registry, instead).await?;
        Ok(Seeds::new(registry))
    }

    /// A module's entities beside the tables that there are. Nothing is changed; where there is no
    /// platform yet, none is made.
    ///
    /// # Errors
    /// Says why it is no module, or not one that may be served here; that it declares no entities; that
    /// its migrations fail; `tenant-not-found`.
    pub async fn generator(mut self, module: &Path, of: &TablesOf) -> Result<Generator> {
        let is_there = self.config.database.url.is_some()
            || Data(self.config.data.0.clone()).platform_database().exists();
        let tenant = match (of, &self.config.tenancy.default_tenant) {
            (TablesOf::Tenant(slug), _) => Some(slug.clone()),
            (TablesOf::DefaultTenant, default) if is_there => default.clone(),
            _ => None,
        };
        if let Some(tenant) = tenant {
            let source = ModuleSource::file(module)?;
            let migrations = self.migrations(&[]).await?;
            return match migrations.generator(&source, &tenant).await {
                // Nobody has named it.
                Err(error) if error.code() == "tenant-not-found" && of.is_default() => {
                    migrations.generator_of_migrations(&source).await
                }
                made => made,
            };
        }
        let folder = tempfile::tempdir()?;
        if !is_there {
            folder.path().clone_into(&mut self.config.data.0);
        }
        Generator::new(self.inspect(module).await?.manifest, None).await
    }

    /// The platform's own tables alone, as they are: a platform that is built brings them up to date.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub async fn own_tables(self) -> Result<OwnTables> {
        let data = Data::open(&self.config.data.0)?;
        OwnTables::open(&self.config.database, &data.platform_database()).await
    }

    /// Opens and loads all that requests need.
    async fn load(self) -> Result<Loaded> {
        let tell = |what: &str| self.progress.iter().for_each(|progress| progress(what));
        let config = self.config;
        config.check()?;
        let data = Data::open(&config.data.0)?;
        let mut sources = self.modules;
        for path in &self.files {
            sources.push(ModuleSource::file(path)?);
        }
        let mut folder = open_folder(&config, &data)?;
        let own = sources.len();
        sources.extend(folder.read().await.map_err(|error| match config.modules.directory {
            Some(_) => Error::invalid(format!("`modules.directory`: {error}")),
            None => error,
        })?);
        let key = platform_key(&config, &data)?;
        let (services, runtime) =
            open(&config, &data, &key, self.clock, self.extensions, self.ways).await?;

        let mut modules = Vec::with_capacity(sources.len());
        let configured = configured(&config)?;
        for (index, source) in sources.iter().enumerate() {
            tell(&format!("loading {}", source.origin));
            let module = load(&runtime, &configured, source).await?;
            if index >= own {
                folder.serves(source, module.manifest.name.clone());
            }
            modules.push(module);
        }
        check_known(&configured, &modules)?;
        let registry = Arc::new(Registry::new(Arc::new(runtime), modules, configured)?);
        let authentication = self.authentication;
        Ok(Loaded { config, key, services, registry, folder, authentication })
    }

    /// Looks at a module's file as this platform would, without serving it.
    ///
    /// # Errors
    /// Says why it is no module, or not one that may be served here.
    pub async fn inspect(self, path: &Path) -> Result<Inspection> {
        let data = Data::open(&self.config.data.0)?;
        let key = platform_key(&self.config, &data)?;
        let (_, runtime) =
            open(&self.config, &data, &key, self.clock, self.extensions, self.ways).await?;
        let source = ModuleSource::file(path)?;
        runtime.inspect(&source).await.map_err(|error| source.name_in(error))
    }

    /// The operator's token of this platform.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub fn operator_token(self) -> Result<OperatorToken> {
        let data = Data::open(&self.config.data.0)?;
        Ok(OperatorToken::of(&platform_key(&self.config, &data)?))
    }

    /// The accounts of usage alone, for tools that read them while the platform runs or not.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub async fn usage(self) -> Result<Usage> {
        let (_, database) = self.open_database().await?;
        Ok(Usage::new(database, self.clock))
    }

    /// The list of tenants alone, for tools that change it while the platform runs or not.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub async fn tenants(self) -> Result<Tenants> {
        self.open_tenants().await.map(|(tenants, _)| tenants)
    }

    /// The secrets of tenants alone, for tools that change them while the platform runs or not.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub async fn secrets(self) -> Result<Secrets> {
        let (tenants, key) = self.open_tenants().await?;
        Ok(Secrets::new(tenants, self.clock, key.derive(SECRETS)))
    }

    /// The look-ups alone, for tools that load them while the platform runs or not.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub async fn lookups(self) -> Result<Lookups> {
        let (_, database) = self.open_database().await?;
        let bus = ChangeBus::new(&self.config.database);
        Ok(Lookups::new(&self.config.lookups, database, bus, self.clock))
    }

    async fn open_database(&self) -> Result<(Data, PlatformDatabase)> {
        let data = Data::open(&self.config.data.0)?;
        let database =
            database::open_platform(&self.config.database, &data.platform_database()).await?;
        Ok((data, database))
    }

    async fn open_tenants(&self) -> Result<(Tenants, PlatformKey)> {
        let (data, database) = self.open_database().await?;
        let key = platform_key(&self.config, &data)?;
        Ok((tenants(&self.config, &data, &database, &key, &self.clock)?, key))
    }
}

/// Takes modules of these files in the place of those of their names.
async fn serve_instead(registry: &Registry, files: &[PathBuf]) -> Result<()> {
    for file in files {
        registry.install(&ModuleSource::file(file)?, |_| true).await?;
    }
    Ok(())
}

/// Makes the tenants that every platform has, where they are missing.
async fn make_tenants(config: &Config, tenants: &Tenants) -> Result<()> {
    tenants.check_plans().await?;
    tenants.ensure_platform().await?;
    match &config.tenancy.default_tenant {
        Some(slug) => tenants.ensure(slug).await,
        None => Ok(()),
    }
}

/// A platform that does nothing yet.
struct Loaded {
    config: Config,
    key: PlatformKey,
    services: Arc<Services>,
    registry: Arc<Registry>,
    folder: Folder,
    authentication: Option<Authentication>,
}

/// A running platform. Clones are the same platform.
#[derive(Clone)]
pub struct Platform {
    app: Arc<App>,
    config: Arc<ArcSwap<Config>>,
    /// One reload after the other.
    reloading: Arc<Mutex<()>>,
    _stop: Arc<DropGuard>,
}

impl Platform {
    /// Begins to say what a platform is made of.
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::default()
    }

    /// The routes, to be merged into a program's own.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.app))
    }

    /// Serves the platform alone on `listener` until `stop` is ready, then lets running requests end.
    ///
    /// # Errors
    /// When connections cannot be accepted.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<()> {
        http::serve_platform(Arc::clone(&self.app), listener, stop).await?;
        self.app.services.flush_usage().await
    }

    /// Serves a program's own router, with which [`router`](Self::router) was merged, with the same
    /// limits on slow clients and the same good end.
    ///
    /// # Errors
    /// When connections cannot be accepted.
    pub async fn serve_app(
        &self,
        app: Router,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        http::serve_router(Arc::clone(&self.app), app, listener, stop).await?;
        self.app.services.flush_usage().await
    }

    /// The configuration that it runs with.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Takes what a running platform can take of another configuration: limits, plans, `[tls]` and
    /// most of `[http]`, for what begins from now on. `docs/http.md` has the list. The levels of the
    /// log are the program's to take: see [`logging::Flush::set_levels`](crate::logging::Flush).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> hostel::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let platform = hostel::Platform::builder().data_dir(folder.path()).build().await?;
    /// let mut config = hostel::Config::clone(&platform.config());
    /// config.http.cors.by_tenant = true;
    /// config.listen = "127.0.0.1:9000".to_owned().try_into()?;
    /// let changes = platform.reload(config).await?;
    /// assert_eq!(changes.taken, ["http.cors.by_tenant"]);
    /// assert_eq!(changes.at_next_start, ["listen"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the configuration cannot be used. Then all is as it was.
    pub async fn reload(&self, config: Config) -> Result<Changes> {
        let _alone = self.reloading.lock().await;
        config.check()?;
        let running = self.config.load_full();
        let changes = running.changes(&config);
        let config = running.with_reloadable(&config);
        let App { registry, services, tls, .. } = &*self.app;
        // What can fail comes first.
        registry.runtime().check_limits(&config.limits)?;
        if let Some(tls) = tls {
            tls.reload(&config.tls).await?;
        }
        services.tenants.set_plans(&config.plans).await?;
        if (&config.limits, &config.plans) != (&running.limits, &running.plans) {
            registry.set_limits(&config.limits, &config.plans).await;
        }
        self.app.http.store(Arc::new(Http::new(config.http.clone())));
        self.config.store(Arc::new(config));
        Ok(changes)
    }

    /// The list of tenants.
    pub fn tenants(&self) -> &Tenants {
        &self.app.services.tenants
    }

    /// The secrets of tenants.
    pub fn secrets(&self) -> &Secrets {
        &self.app.services.secrets
    }

    /// The look-ups, which all tenants share.
    pub fn lookups(&self) -> &Lookups {
        &self.app.services.lookups
    }

    /// The export and import of tenants.
    pub fn archives(&self) -> Archives {
        Archives::new(Arc::clone(&self.app.registry))
    }

    /// The migrations of modules' tables.
    pub fn migrations(&self) -> Migrations {
        Migrations::new(Arc::clone(&self.app.registry))
    }

    /// The seeds of modules.
    pub fn seeds(&self) -> Seeds {
        Seeds::new(Arc::clone(&self.app.registry))
    }

    /// The oldest messages in a tenant's outbox, at most `limit`: what capabilities of the program
    /// have put there with [`CallState::outbox`](crate::CallState::outbox). Whoever has delivered
    /// one [removes](Self::remove_messages) it, and may be given it again before that.
    ///
    /// # Errors
    /// `tenant-not-found`, or that the tenant's database does not answer.
    pub async fn messages(&self, tenant: &TenantSlug, limit: u32) -> Result<Vec<Message>> {
        let (tenant, size_max) = self.unit_of(tenant).await?;
        self.app.services.outbox.pending(tenant, size_max, limit).await
    }

    /// Removes messages from a tenant's outbox.
    ///
    /// # Errors
    /// As for [`messages`](Self::messages).
    pub async fn remove_messages(&self, tenant: &TenantSlug, messages: &[MessageId]) -> Result<()> {
        let (tenant, size_max) = self.unit_of(tenant).await?;
        self.app.services.outbox.remove(tenant, size_max, messages).await
    }

    async fn unit_of(&self, tenant: &TenantSlug) -> Result<(TenantId, u64)> {
        let tenant = self.tenants().get(tenant).await?;
        let (_, limits) = self.app.registry.runtime().limits_of(&tenant);
        Ok((tenant.id, limits.database_max_bytes.get()))
    }

    /// The modules that tenants are served.
    pub fn registry(&self) -> &Registry {
        &self.app.registry
    }

    /// Runs one SQL statement in a tenant's tables, as a module could in a call for it: the module's
    /// migrations have been applied, and all limits of a call hold. For tests and tools of the
    /// program; gives the rows as `wit/deps/sql.wit` encodes them.
    ///
    /// # Errors
    /// `not-found` when there is no such tenant or module, and what a module would be told of the
    /// statement.
    pub async fn query(
        &self,
        tenant: &TenantSlug,
        module: &str,
        statement: impl Into<String>,
    ) -> Result<Vec<u8>> {
        self.app.registry.query(tenant.as_str(), module, statement.into()).await
    }

    /// Serves a module to every tenant from now on: a new one, or another version of one that is
    /// served. Routes, permissions, settings and tables of the new version hold at once; requests
    /// that run go on with the version that they began with, and none is lost.
    ///
    /// The tables of tenants at hand that use the module are brought up to date first, other
    /// tenants' with their next call. Migrations only go forward. Each is tried for all these
    /// tenants, and undone, before the first is kept; so where one fails, no table has changed and
    /// a corrected module may be installed. Should one succeed when tried and fail then (a disk is
    /// full, other rows came in between), tables that were migrated stay so under the old version,
    /// and installing the same module again goes on where it ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> hostel::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let platform = hostel::Platform::builder().data_dir(folder.path()).build().await?;
    /// use hostel::ModuleSource;
    ///
    /// // A module that was uploaded, say: what is no module is refused, and what was served before
    /// // is served on.
    /// let uploaded = ModuleSource::operator("notes of alice", &b"\0asm, but no more"[..]);
    /// match platform.install(uploaded).await {
    ///     Ok(installed) => println!("{installed}"),
    ///     Err(error) => assert!(error.to_string().starts_with("notes of alice: ")),
    /// }
    /// assert!(platform.remove("notes").await.is_err(), "there is none");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Says what is wrong with the module, or that one of its name came with the program, and is
    /// replaced by a [system module](ModuleSource::system) alone. What was served before is served
    /// on.
    pub async fn install(&self, source: ModuleSource) -> Result<Installed> {
        let trust = source.trust;
        let may_replace =
            |old: &ModuleVersion| trust == Trust::System || old.identity.trust == Trust::Operator;
        self.app.registry.install(&source, may_replace).await
    }

    /// Serves a module no longer. Its tables stay, for the day on which it comes back.
    ///
    /// # Errors
    /// `not-found` when there is none of that name, `denied` when it came with the program.
    pub async fn remove(&self, module: &str) -> Result<()> {
        let may_remove = |old: &ModuleVersion| old.identity.trust == Trust::Operator;
        self.app.registry.remove(module, may_remove).await.map(|_| ())
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("config", &self.config.load()).finish_non_exhaustive()
    }
}

/// Where things are in the data folder.
struct Data(PathBuf);

impl Data {
    fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::invalid(format!("{}: {error}", folder.display()))
                .hint("name a folder that can be written with --data")
        })?;
        Ok(Self(folder.to_owned()))
    }

    fn key(&self) -> PathBuf {
        self.0.join("platform.key")
    }

    fn platform_database(&self) -> PathBuf {
        self.0.join("platform.db")
    }

    fn modules(&self) -> PathBuf {
        self.0.join("modules")
    }

    fn artefacts(&self) -> PathBuf {
        self.0.join("artefacts")
    }

    fn tenants(&self) -> PathBuf {
        self.0.join("tenants")
    }
}

fn platform_key(config: &Config, data: &Data) -> Result<PlatformKey> {
    match (&config.platform.key, &config.platform.key_file) {
        (Some(key), _) => PlatformKey::parse(key.expose()),
        (None, file) => PlatformKey::load_or_create(file.as_deref().unwrap_or(&data.key())),
    }
}

/// The list of tenants, and what they have.
fn tenants(
    config: &Config,
    data: &Data,
    database: &PlatformDatabase,
    key: &PlatformKey,
    clock: &Clock,
) -> Result<Tenants> {
    let units = match &config.database.url {
        Some(url) => {
            let (url, platform) = (url.expose(), database.clone());
            let server = PostgresServer::open(url, &config.database, &config.sql, platform, key)?;
            Units::on_server(server, &config.sql)
        }
        None => Units::in_files(data.tenants(), config.sql.clone()),
    };
    let (database, clock) = (database.clone(), clock.clone());
    let bus = ChangeBus::new(&config.database);
    Ok(Tenants::new(database, bus, clock, Arc::new(units), &config.plans, &config.tenancy))
}

async fn open(
    config: &Config,
    data: &Data,
    key: &PlatformKey,
    clock: Clock,
    extensions: Extensions,
    ways: Ways,
) -> Result<(Arc<Services>, Runtime)> {
    extensions.check()?;
    let database = database::open_platform(&config.database, &data.platform_database()).await?;
    let tenants = tenants(config, data, &database, key, &clock)?;
    let secrets = Secrets::new(tenants.clone(), clock.clone(), key.derive(SECRETS));
    let services = Arc::new(Services {
        http_client: HttpClient::new(&config.http_client, ways, read_secret(&secrets))?,
        units: Arc::clone(tenants.units()),
        outbox: Outbox::new(Arc::clone(tenants.units()), clock.clone(), key.derive(OUTBOX)),
        secrets,
        lookups: Lookups::new(
            &config.lookups,
            database.clone(),
            tenants.bus().clone(),
            clock.clone(),
        ),
        tenants,
        usage: Usage::new(database.clone(), clock.clone()),
        database,
        permissions: Permissions::new(config.dev.anonymous_grants.clone()),
        meters: Meters::new(&config.metrics),
        clock,
        extensions,
    });
    let runtime = Runtime::new(
        &config.runtime,
        &config.limits,
        &config.plans,
        &config.modules.grants,
        data.artefacts(),
        key.derive("artefacts"),
        Arc::clone(&services),
    )?;
    Ok((services, runtime))
}

/// How secrets get into what modules send.
fn read_secret(secrets: &Secrets) -> ReadSecret {
    let secrets = secrets.clone();
    Arc::new(move |tenant, name| {
        let secrets = secrets.clone();
        Box::pin(async move { Ok(secrets.read(tenant, &name).await?.map(Secret::new)) })
    })
}

fn configured(config: &Config) -> Result<Configured> {
    let mut settings = HashMap::new();
    for (module, values) in &config.settings {
        let values = values.iter().map(|(name, value)| {
            let value = serde_json::to_value(value)
                .map_err(|error| Error::invalid(format!("`settings.{module}.{name}`: {error}")))?;
            Ok((name.clone(), value))
        });
        settings.insert(module.clone(), values.collect::<Result<_>>()?);
    }
    Ok(Configured {
        instances: config.modules.instances.clone(),
        databases: config.modules.databases.clone(),
        settings,
    })
}

/// Nobody configures a module that is not there, unless by mistake.
fn check_known(configured: &Configured, modules: &[Arc<ModuleVersion>]) -> Result<()> {
    let is_known = |name: &str| modules.iter().any(|one| one.manifest.name.as_str() == name);
    let settings = configured.settings.keys().map(|name| ("settings", name.as_str()));
    let instances = configured.instances.keys().map(|name| ("modules.instances", name.as_str()));
    // It is said before the module comes, and still holds when it comes back.
    for name in configured.databases.keys().filter(|name| !is_known(name.as_str())) {
        tracing::warn!("`modules.databases.{name}`: there is no module `{name}` yet");
    }
    match settings.chain(instances).find(|(_, name)| !is_known(name)) {
        Some((section, name)) => {
            Err(Error::invalid(format!("`{section}.{name}`: there is no module `{name}`")))
        }
        None => Ok(()),
    }
}

async fn load(
    runtime: &Runtime,
    configured: &Configured,
    source: &ModuleSource,
) -> Result<Arc<ModuleVersion>> {
    let module = runtime.load(source, configured).await?;
    tracing::info!(
        module = module.manifest.name.as_str(),
        version = %module.manifest.version,
        routes = module.manifest.routes.len(),
        "loaded {}", source.origin
    );
    Ok(Arc::new(module))
}

/// The operator's folder of modules. One that was named must be there.
fn open_folder(config: &Config, data: &Data) -> Result<Folder> {
    let path = match &config.modules.directory {
        Some(named) => named.clone(),
        None => {
            std::fs::create_dir_all(data.modules())?;
            data.modules()
        }
    };
    Ok(Folder::new(path))
}

/// Says whether the database lets modules do what they must not. Nobody waits for that.
fn warn_of_what_is_open(url: Secret, stop: CancellationToken) {
    in_background(stop, async move {
        let open = Preparation::left_open(&url).await.unwrap_or_else(|error| {
            tracing::warn!(cause = error.causes(), "what the database leaves open is not known");
            Vec::new()
        });
        if let Some(first) = open.first() {
            tracing::warn!(
                "the database lets modules use {} things that they must not have, {first} among them: `hostel db check` shows them, `hostel db prepare` takes them away",
                open.len()
            );
        }
    });
}

/// Serves what is put into the folder of modules, until the platform is dropped.
fn watch_folder(
    folder: Folder,
    others: OtherHosts,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    match folder.changes() {
        Ok(changes) => in_background(stop, async move {
            folder.follow(&registry, changes, others).await;
        }),
        Err(error) => {
            tracing::warn!("{error}: changes of modules are served from the next start on")
        }
    }
}

/// Forgets tenants that somebody changed, learns of look-ups that somebody loaded, and tells of changes
/// of `modules`, until the platform is dropped.
async fn watch_changes(
    services: Arc<Services>,
    registry: Arc<Registry>,
    modules: watch::Sender<i64>,
    stop: CancellationToken,
) -> Result<()> {
    let mut changes = services.tenants.bus().subscribe();
    let mut revision = services.tenants.newest_revision().await?;
    services.lookups.refresh().await?;
    let watching = async move {
        loop {
            changes.next().await;
            if let Err(error) = services.lookups.refresh().await {
                tracing::warn!(cause = error.causes(), "changes of look-ups cannot be read");
            }
            match newest_change(&services.database).await {
                Ok(newest) => {
                    modules.send_if_modified(|seen| std::mem::replace(seen, newest) != newest);
                }
                Err(error) => {
                    tracing::warn!(cause = error.causes(), "changes of modules cannot be read");
                }
            }
            match services.tenants.changed_since(revision).await {
                Ok((changed, newest)) => {
                    revision = newest;
                    if changed.is_empty() {
                        continue;
                    }
                    registry.refresh(&changed.iter().map(|(id, _)| *id).collect()).await;
                    for (id, _) in changed.iter().filter(|(_, gone)| *gone) {
                        // A call of this process may have made its folder anew.
                        if let Err(error) = services.units.remove(*id).await {
                            tracing::warn!(cause = error.causes(), "a unit cannot be removed");
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(cause = error.causes(), "changes of tenants cannot be read")
                }
            }
        }
    };
    in_background(stop, watching);
    Ok(())
}

/// Writes what was used, from time to time, until the platform is dropped.
fn keep_usage(services: Arc<Services>, stop: CancellationToken) {
    in_background(stop, async move {
        loop {
            tokio::time::sleep(usage::FLUSH_INTERVAL).await;
            if let Err(error) = services.flush_usage().await {
                tracing::warn!(cause = error.causes(), "usage cannot be written");
            }
        }
    });
}

/// Reads certificate and key again when they change, until the platform is dropped.
fn follow_certificate(app: Arc<App>, stop: CancellationToken) {
    if app.tls.is_some() {
        in_background(stop, async move {
            if let Some(tls) = &app.tls {
                tls.follow().await;
            }
        });
    }
}

/// Removes deleted tenants when their time has come, until the platform is dropped.
fn purge_tenants(services: Arc<Services>, stop: CancellationToken) {
    in_background(stop, async move {
        loop {
            if let Err(error) = services.tenants.purge_due().await {
                tracing::warn!(cause = error.causes(), "deleted tenants cannot be looked for");
            }
            tokio::time::sleep(PURGE_INTERVAL).await;
        }
    });
}

fn in_background(stop: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "ends with the platform: the token tracks it")]
    tokio::spawn(async move { stop.run_until_cancelled(work).await });
}
