//! A platform: built from a configuration, it gives a router or serves by itself.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::call::Trust;
use crate::capabilities::permissions::Permissions;
use crate::capabilities::tenancy::Tenants;
use crate::clock::Clock;
use crate::config::Config;
use crate::database::{self, Units};
use crate::error::{Error, Result};
use crate::http::{self, App};
use crate::key::{OperatorToken, PlatformKey};
use crate::metering::Meters;
use crate::runtime::{Inspection, ModuleSource, Registry, Runtime};
use crate::usage::{self, Usage};
use crate::wiring::{Capability, Extensions, Services};

/// How soon a change of a tenant by another process is seen.
const CHANGES_INTERVAL: Duration = Duration::from_secs(1);

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
        self.modules.push(ModuleSource {
            origin: name.to_owned(),
            wasm: wasm.into(),
            trust: Trust::System,
        });
        self
    }

    /// Offers a capability of the program's own to modules.
    #[must_use]
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.extensions.add(capability);
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
        let tell = |what: &str| self.progress.iter().for_each(|progress| progress(what));
        let config = self.config;
        config.check()?;
        let data = Data::open(&config.data.0)?;
        let mut sources = self.modules;
        for path in &self.files {
            sources.push(read_module(path)?);
        }
        let directory = config.modules.directory.clone().unwrap_or_else(|| data.modules());
        sources.extend(read_modules(&directory, config.modules.directory.is_some())?);
        let key = platform_key(&config, &data)?;
        let (services, runtime) = open(&config, &data, &key, self.clock, self.extensions).await?;

        let mut modules = Vec::with_capacity(sources.len());
        let mut settings = settings_by_module(&config)?;
        for source in &sources {
            tell(&format!("loading {}", source.origin));
            modules.push(load(&runtime, &config, &mut settings, source).await?);
        }
        if let Some(unknown) = settings.keys().next() {
            return Err(Error::invalid(format!(
                "`settings.{unknown}`: there is no module `{unknown}`"
            )));
        }
        if let Some(unknown) = config
            .modules
            .instances
            .keys()
            .find(|name| !modules.iter().any(|module| module.manifest.name == **name))
        {
            return Err(Error::invalid(format!(
                "`modules.instances.{unknown}`: there is no module `{unknown}`"
            )));
        }
        services.tenants.check_plans().await?;
        if let Some(slug) = &config.tenancy.default_tenant {
            services.tenants.ensure(slug).await?;
        }
        let registry = Arc::new(Registry::new(Arc::new(runtime), modules)?);
        let stop = CancellationToken::new();
        watch_tenants(Arc::clone(&services), Arc::clone(&registry), stop.clone()).await?;
        keep_usage(Arc::clone(&services), stop.clone());
        let app = Arc::new(App {
            config: config.http.clone(),
            tenancy: config.tenancy.clone(),
            services,
            registry,
            operator: OperatorToken::of(&key),
            draining: AtomicBool::new(false),
        });
        Ok(Platform { app, config: Arc::new(config), _stop: Arc::new(stop.drop_guard()) })
    }

    /// Looks at a module's file as this platform would, without serving it.
    ///
    /// # Errors
    /// Says why it is no module, or not one that may be served here.
    pub async fn inspect(self, path: &Path) -> Result<Inspection> {
        let data = Data::open(&self.config.data.0)?;
        let key = platform_key(&self.config, &data)?;
        let (_, runtime) = open(&self.config, &data, &key, self.clock, self.extensions).await?;
        let source = read_module(path)?;
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
        let data = Data::open(&self.config.data.0)?;
        let database = database::open_platform(&data.platform_database()).await?;
        Ok(Usage::new(database, self.clock))
    }

    /// The list of tenants alone, for tools that change it while the platform runs or not.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub async fn tenants(self) -> Result<Tenants> {
        let data = Data::open(&self.config.data.0)?;
        let database = database::open_platform(&data.platform_database()).await?;
        Ok(Tenants::new(database, self.clock, &self.config.plans))
    }
}

/// A running platform. Clones are the same platform.
#[derive(Clone)]
pub struct Platform {
    app: Arc<App>,
    config: Arc<Config>,
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
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The list of tenants.
    pub fn tenants(&self) -> &Tenants {
        &self.app.services.tenants
    }

    /// The modules that tenants are served.
    pub fn registry(&self) -> &Registry {
        &self.app.registry
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("config", &self.config).finish_non_exhaustive()
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

async fn open(
    config: &Config,
    data: &Data,
    key: &PlatformKey,
    clock: Clock,
    extensions: Extensions,
) -> Result<(Arc<Services>, Runtime)> {
    extensions.check()?;
    let database = database::open_platform(&data.platform_database()).await?;
    let services = Arc::new(Services {
        tenants: Tenants::new(database.clone(), clock.clone(), &config.plans),
        usage: Usage::new(database.clone(), clock.clone()),
        database,
        permissions: Permissions::new(config.dev.anonymous_grants.clone()),
        units: Units::new(data.tenants(), config.sql.clone()),
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

type Settings = HashMap<String, HashMap<String, serde_json::Value>>;

fn settings_by_module(config: &Config) -> Result<Settings> {
    let mut settings = Settings::new();
    for (module, values) in &config.settings {
        let values = values.iter().map(|(name, value)| {
            let value = serde_json::to_value(value)
                .map_err(|error| Error::invalid(format!("`settings.{module}.{name}`: {error}")))?;
            Ok((name.clone(), value))
        });
        settings.insert(module.clone(), values.collect::<Result<_>>()?);
    }
    Ok(settings)
}

async fn load(
    runtime: &Runtime,
    config: &Config,
    settings: &mut Settings,
    source: &ModuleSource,
) -> Result<Arc<crate::runtime::ModuleVersion>> {
    let module = runtime.load(source, &config.modules.instances, settings).await?;
    settings.remove(module.manifest.name.as_str());
    tracing::info!(
        module = module.manifest.name.as_str(),
        version = %module.manifest.version,
        routes = module.manifest.routes.len(),
        "loaded {}", source.origin
    );
    Ok(Arc::new(module))
}

fn read_module(path: &Path) -> Result<ModuleSource> {
    let wasm = std::fs::read(path)
        .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
    Ok(ModuleSource {
        origin: path.display().to_string(),
        wasm: wasm.into(),
        trust: Trust::Operator,
    })
}

/// The `.wasm` files of a folder, by name. A folder that was named must be there.
fn read_modules(folder: &Path, named: bool) -> Result<Vec<ModuleSource>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(Error::invalid(format!(
                "`modules.directory`: {}: {error}",
                folder.display()
            )));
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read_module(path)).collect()
}

/// Forgets tenants that another process changed, until the platform is dropped.
async fn watch_tenants(
    services: Arc<Services>,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> Result<()> {
    let (_, mut revision) = services.tenants.changed_since(0).await?;
    let watching = async move {
        loop {
            tokio::time::sleep(CHANGES_INTERVAL).await;
            match services.tenants.changed_since(revision).await {
                Ok((changed, newest)) => {
                    revision = newest;
                    for slug in &changed {
                        registry.forget(slug).await;
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

fn in_background(stop: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "ends with the platform: the token tracks it")]
    tokio::spawn(async move { stop.run_until_cancelled(work).await });
}
