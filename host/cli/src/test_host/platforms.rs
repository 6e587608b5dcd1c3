//! Platforms by what all their tenants share (settings, look-ups, a set clock), started when the first
//! test asks; each test gets a tenant of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use hostel::{Clock, Config, NewTenant, Platform, Secret, SeedWish, TenantChange, TighterLimits};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::Served;
use super::callers::Callers;
use super::lines::Lines;
use super::services::{Fake, Sent, Services};

/// The same for all, so that what one test host compiled is what the next one takes. It protects
/// nothing: a platform of tests holds nothing that is worth it.
const KEY: &str = "7e577e577e577e577e577e577e577e577e577e577e577e577e577e577e577e57";

/// Compiled modules that were not made within this time are of builds that nobody tests any more.
const COMPILED_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Small, because there may be many: what calls at once, of all tests of a platform, need.
const CONFIG: &str = "
[tenancy]
default_tenant = ''
[runtime]
pool_slots = 64
calls_max = 48
idle_instances_max = 8
[limits]
tenant_calls_max = 48
[sql]
durability = 'normal'
[http_client]
allow = ['*']
http = ['*']
";

/// What a test asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// What everybody may do.
    grants: BTreeSet<String>,
    settings: BTreeMap<String, String>,
    /// An older SDK knows of none.
    #[serde(default)]
    lookups: BTreeMap<String, String>,
    /// Limits of the tenant's own, by key of `[limits]`.
    limits: BTreeMap<String, u64>,
    /// Secrets of the tenant's own.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// What other services answer.
    #[serde(default)]
    answers: Vec<Fake>,
    /// The time at which the test's clock stands still; without it, time passes.
    clock_micros: Option<i64>,
}

/// What holds for all tenants of a platform.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Shared {
    /// Values of the settings of the module under test, each as JSON.
    settings: BTreeMap<String, String>,
    /// Look-ups by name, as CSV.
    lookups: BTreeMap<String, String>,
}

/// What a test gets.
#[derive(Serialize)]
pub(super) struct Made {
    tenant: String,
    module: String,
    address: SocketAddr,
}

/// All platforms of a test host.
pub(super) struct Platforms {
    served: Served,
    module_name: String,
    lines: Lines,
    callers: Callers,
    services: Services,
    tenants: AtomicU64,
    running: Mutex<Running>,
    // Dropped last: platforms write in it.
    folder: TempDir,
}

#[derive(Default)]
struct Running {
    shared: HashMap<Shared, Arc<Started>>,
    /// Platforms with a clock that no test uses now.
    free: HashMap<Shared, Vec<Arc<Started>>>,
    /// By slug.
    tenants: HashMap<String, Tenant>,
    started: usize,
}

/// One test's tenant.
struct Tenant {
    platform: Arc<Started>,
    /// What the platform was started with, where its clock is this test's.
    own_clock: Option<Shared>,
}

struct Started {
    platform: Platform,
    address: SocketAddr,
    clock: Clock,
    _serving: JoinSet<()>,
}

impl Platforms {
    /// Sees that the modules can be served, and learns the name of the one under test.
    pub(super) async fn prepare(served: Served, lines: Lines) -> anyhow::Result<Self> {
        fs::create_dir_all(&served.compiled)
            .with_context(|| served.compiled.display().to_string())?;
        let folder = tempfile::Builder::new().prefix("hostel-test-").tempdir()?;
        let mut platforms = Self {
            served,
            module_name: String::new(),
            lines,
            callers: Callers::default(),
            services: Services::default(),
            tenants: AtomicU64::new(0),
            running: Mutex::default(),
            folder,
        };
        let lock = platforms.lock_compiled().await?;
        forget_old(&platforms.served.compiled);
        let data = platforms.data_folder("inspected")?;
        let inspection =
            Platform::builder().config(config(&data)?).inspect(&platforms.served.module).await?;
        platforms.module_name = inspection.manifest.name.to_string();
        drop(lock);
        Ok(platforms)
    }

    /// Makes a tenant, on a platform that fits.
    pub(super) async fn tenant(&self, wanted: Wanted) -> anyhow::Result<Made> {
        let limits = wanted
            .limits
            .iter()
            .try_fold(TighterLimits::default(), |limits, (key, value)| limits.with(key, *value))?;
        let slug = format!("test-{}", self.tenants.fetch_add(1, Ordering::Relaxed) + 1);
        let shared = Shared { settings: wanted.settings, lookups: wanted.lookups };
        let made = match wanted.clock_micros {
            Some(micros) => Tenant {
                platform: self.with_clock(&shared, micros).await?,
                own_clock: Some(shared),
            },
            None => Tenant { platform: self.shared(shared).await?, own_clock: None },
        };
        self.callers.begin(&slug, &wanted.grants)?;
        self.services.begin(&slug, wanted.answers)?;
        self.lines.begin(&slug);
        let new = NewTenant { slug: slug.parse()?, display_name: String::new(), plan: None };
        let tenants = made.platform.platform.tenants();
        let tenant = tenants.create(new).await?;
        if !wanted.limits.is_empty() {
            let change = TenantChange { limits: Some(limits), ..TenantChange::default() };
            tenants.change(&tenant.slug, change).await?;
        }
        for (name, value) in wanted.secrets {
            let secrets = made.platform.platform.secrets();
            secrets.set(&tenant.slug, &name, &Secret::new(value)).await?;
        }
        let address = made.platform.address;
        self.running.lock().await.tenants.insert(slug.clone(), made);
        Ok(Made { tenant: slug, module: self.module_name.clone(), address })
    }

    /// Sets the clock of a tenant that asked for one.
    pub(super) async fn set_clock(&self, tenant: &str, micros: i64) -> anyhow::Result<()> {
        let running = self.running.lock().await;
        let of = running.tenants.get(tenant).filter(|of| of.own_clock.is_some());
        let of = of.context("this test's clock is not set: begin it with `App::new().clock(…)`")?;
        of.platform.clock.set(micros);
        Ok(())
    }

    /// Lets a user of a tenant do this, too. Gives what they show.
    pub(super) fn user(
        &self,
        tenant: &str,
        id: &str,
        grants: &BTreeSet<String>,
    ) -> anyhow::Result<String> {
        self.callers.user(tenant, id, grants)
    }

    /// Runs SQL in the tables that the module under test has in this tenant.
    pub(super) async fn query(&self, tenant: &str, statement: String) -> anyhow::Result<Vec<u8>> {
        let platform = &self.started(tenant).await?.platform;
        Ok(platform.query(&tenant.parse()?, &self.module_name, statement).await?)
    }

    /// Has the module under test make a seed for this tenant.
    pub(super) async fn seed(&self, tenant: &str, name: &str, rows: u32) -> anyhow::Result<()> {
        let seeds = self.started(tenant).await?.platform.seeds();
        let wish = SeedWish { rows: Some(rows), number: 0 };
        Ok(seeds.make(&tenant.parse()?, &self.module_name.parse()?, name, &wish).await?)
    }

    /// The platform that serves a tenant.
    async fn started(&self, tenant: &str) -> anyhow::Result<Arc<Started>> {
        let running = self.running.lock().await;
        let started = running.tenants.get(tenant).map(|of| Arc::clone(&of.platform));
        started.context("there is no such tenant")
    }

    pub(super) fn lines(&self, tenant: &str) -> Vec<Value> {
        self.lines.of(tenant)
    }

    pub(super) fn sent(&self, tenant: &str) -> Vec<Sent> {
        self.services.sent(tenant)
    }

    /// Its test is over: a platform with a clock may serve the next one that wants to set it.
    pub(super) async fn forget(&self, tenant: &str) {
        self.lines.forget(tenant);
        self.callers.forget(tenant);
        self.services.forget(tenant);
        let mut running = self.running.lock().await;
        if let Some(Tenant { platform, own_clock: Some(shared) }) = running.tenants.remove(tenant) {
            running.free.entry(shared).or_default().push(platform);
        }
    }

    async fn shared(&self, shared: Shared) -> anyhow::Result<Arc<Started>> {
        let mut running = self.running.lock().await;
        if let Some(started) = running.shared.get(&shared) {
            return Ok(Arc::clone(started));
        }
        let started = self.start(&shared, Clock::system(), &mut running).await?;
        running.shared.insert(shared, Arc::clone(&started));
        Ok(started)
    }

    async fn with_clock(&self, shared: &Shared, micros: i64) -> anyhow::Result<Arc<Started>> {
        let mut running = self.running.lock().await;
        match running.free.get_mut(shared).and_then(Vec::pop) {
            Some(free) => {
                free.clock.set(micros);
                Ok(free)
            }
            None => self.start(shared, Clock::fixed(micros), &mut running).await,
        }
    }

    async fn start(
        &self,
        shared: &Shared,
        clock: Clock,
        running: &mut Running,
    ) -> anyhow::Result<Arc<Started>> {
        let lock = self.lock_compiled().await?;
        running.started += 1;
        let data = self.data_folder(&running.started.to_string())?;
        let mut config = config(&data)?;
        if !shared.settings.is_empty() {
            let values = shared.settings.iter().map(|(name, json)| Ok((name.clone(), toml(json)?)));
            let values = values.collect::<anyhow::Result<_>>()?;
            config.settings.insert(self.module_name.clone(), values);
        }
        let modules = std::iter::once(&self.served.module).chain(&self.served.others);
        let platform = modules
            .fold(Platform::builder().config(config), |builder, file| builder.module_file(file))
            .clock(clock.clone())
            .authenticator(self.callers.clone())
            .outbound(self.services.clone())
            .build()
            .await?;
        drop(lock);
        for (name, csv) in &shared.lookups {
            let named = name.parse()?;
            let loading = platform.lookups().load(&named, csv.as_bytes(), None);
            loading.await.with_context(|| format!("look-up `{name}`"))?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let served = platform.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = served.serve(listener, std::future::pending()).await {
                tracing::error!(%error, "a platform of tests ended");
            }
        });
        Ok(Arc::new(Started { platform, address, clock, _serving: serving }))
    }

    /// A new data folder, in which compiled modules are those of all test hosts.
    fn data_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let data = self.folder.path().join(name);
        fs::create_dir(&data)?;
        #[cfg(unix)]
        std::os::unix::fs::symlink(&self.served.compiled, data.join("artefacts"))?;
        Ok(data)
    }

    /// Many test processes may start at once, each with a host, all of which find nothing compiled.
    async fn lock_compiled(&self) -> anyhow::Result<File> {
        let path = self.served.compiled.join("lock");
        tokio::task::spawn_blocking(move || {
            let lock = File::create(&path).with_context(|| path.display().to_string())?;
            lock.lock()?;
            Ok(lock)
        })
        .await?
    }
}

fn config(data: &Path) -> anyhow::Result<Config> {
    let mut config = Config::from_toml(CONFIG, "test host")?;
    config.data.0 = data.to_owned();
    config.platform.key = Some(Secret::new(KEY.to_owned()));
    Ok(config)
}

fn toml(json: &str) -> anyhow::Result<toml::Value> {
    let value: Value = serde_json::from_str(json)?;
    toml::Value::try_from(&value).with_context(|| format!("{value} cannot be a setting"))
}

/// Best effort: whatever stays takes room and nothing else.
fn forget_old(compiled: &Path) {
    let old = |file: &fs::DirEntry| {
        let modified = file.metadata().and_then(|of| of.modified()).ok();
        let age = modified.and_then(|modified| modified.elapsed().ok());
        file.file_name() != "lock" && age.is_some_and(|age| age > COMPILED_AGE_MAX)
    };
    for file in fs::read_dir(compiled).into_iter().flatten().flatten().filter(old) {
        let _ = fs::remove_file(file.path());
    }
}
