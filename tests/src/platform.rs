//! A platform in this process, with a data folder and a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use hostel::{
    NewTenant, OperatorToken, Platform, PlatformBuilder, PlatformKey, Tenant, TenantChange,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::artefacts::{self, PLATFORM_KEY};
use crate::binary::{Finished, finish, program};
use crate::{Client, guests, postgres};

/// What tests begin with: everybody may use notes; few slots, because each test has a pool of its
/// own.
const CONFIG: &str = "
[platform]
key = 'KEY'

[runtime]
pool_slots = 100
calls_max = 60
idle_instances_max = 20

[limits]
tenant_calls_max = 50

[database]
connections_max = 16

[dev]
anonymous_grants = ['notes:*']
";

/// Says what a test platform is made of.
pub struct Setup {
    config: toml::Table,
    data: TempDir,
    seeded: bool,
    probe: PathBuf,
    hostile: PathBuf,
    more: Option<More>,
    in_files: bool,
    /// The address of its PostgreSQL database, once there is one.
    database: Option<String>,
}

type More = Box<dyn Fn(PlatformBuilder) -> PlatformBuilder + Send + Sync>;

impl Setup {
    fn new() -> Self {
        Self {
            config: CONFIG.replace("KEY", PLATFORM_KEY).parse().unwrap(),
            data: tempfile::tempdir().unwrap(),
            seeded: true,
            probe: guests::probe().to_owned(),
            hostile: guests::hostile().to_owned(),
            more: None,
            in_files: false,
            database: None,
        }
    }

    /// Adds to the configuration, or replaces keys of it.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        merge(&mut self.config, text.parse().unwrap());
        self
    }

    /// Takes a section of the configuration away.
    #[must_use]
    pub fn without(mut self, section: &str) -> Self {
        self.config.remove(section);
        self
    }

    /// Serves this instead of the probe.
    #[must_use]
    pub fn probe_is(mut self, wasm: &[u8]) -> Self {
        self.probe = self.data.path().join("probe.wasm");
        std::fs::write(&self.probe, wasm).unwrap();
        self
    }

    /// Serves this instead of the hostile guest.
    #[must_use]
    pub fn hostile_is(mut self, wasm: &[u8]) -> Self {
        self.hostile = self.data.path().join("hostile.wasm");
        std::fs::write(&self.hostile, wasm).unwrap();
        self
    }

    /// Builds the platform with what else a program may say.
    #[must_use]
    pub fn built(
        mut self,
        more: impl Fn(PlatformBuilder) -> PlatformBuilder + Send + Sync + 'static,
    ) -> Self {
        self.more = Some(Box::new(more));
        self
    }

    /// Serves the module of the platform's own tenant, too.
    #[must_use]
    pub fn with_tenants_module(self) -> Self {
        let wasm = std::fs::read(guests::tenants()).unwrap();
        self.built(move |builder| builder.system_module("tenants", wasm.clone()))
    }

    /// Uses the PostgreSQL database of another one, with a data folder of its own.
    #[must_use]
    pub fn beside(mut self, other: &TestPlatform) -> Self {
        self.database.clone_from(&other.setup.database);
        self
    }

    /// Keeps everything in SQLite files, wherever other tests keep theirs.
    #[must_use]
    pub fn in_files(mut self) -> Self {
        self.in_files = true;
        self
    }

    /// Begins without compiled guests.
    #[must_use]
    pub fn cold(mut self) -> Self {
        self.seeded = false;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> TestPlatform {
        self.try_start().await.unwrap()
    }

    /// Starts it, if it starts.
    ///
    /// # Errors
    /// The platform's.
    pub async fn try_start(mut self) -> hostel::Result<TestPlatform> {
        if self.seeded {
            artefacts::seed(self.data.path()).await;
        }
        if self.database.is_none() && !self.in_files {
            self.database = postgres::database().await;
        }
        if let Some(url) = &self.database {
            let database = format!("[database]\nurl = '{url}'");
            merge(&mut self.config, database.parse().unwrap());
        }
        let builder = Platform::builder()
            .config_toml(&self.config.to_string())?
            .data_dir(self.data.path())
            .system_module("notes", std::fs::read(guests::notes()).unwrap())
            .module_file(&self.probe)
            .module_file(&self.hostile);
        let builder = self.more.iter().fold(builder, |builder, more| more(builder));
        let platform = builder.build().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = platform.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "`TestPlatform` holds the handle and stops it"
        )]
        let serving = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            served.serve(listener, stop).await.unwrap();
        });
        Ok(TestPlatform { setup: self, platform, address, stop: Some(stop), serving })
    }
}

/// The values of `over` win.
fn merge(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// A platform that is being served. It stops when it is dropped.
pub struct TestPlatform {
    setup: Setup,
    platform: Platform,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl TestPlatform {
    /// One as most tests want it.
    pub async fn start() -> Self {
        Self::setup().start().await
    }

    /// One that differs.
    pub fn setup() -> Setup {
        Setup::new()
    }

    /// One whose configuration differs.
    pub async fn configured(config: &str) -> Self {
        Self::setup().config(config).start().await
    }

    /// Makes a tenant; the client speaks for it.
    pub async fn tenant(&self, slug: &str) -> Client {
        let new =
            NewTenant { slug: slug.parse().unwrap(), display_name: String::new(), plan: None };
        self.platform.tenants().create(new).await.unwrap();
        self.client(slug)
    }

    /// Changes a tenant: `{"plan": …}`, `{"limits": …}`.
    ///
    /// # Errors
    /// The platform's.
    pub async fn change(&self, slug: &str, change: serde_json::Value) -> hostel::Result<Tenant> {
        let change = TenantChange {
            plan: change.get("plan").map(|plan| plan.as_str().map(ToOwned::to_owned)),
            limits: change.get("limits").map(|own| serde_json::from_value(own.clone()).unwrap()),
            ..TenantChange::default()
        };
        self.platform.tenants().change(&slug.parse().unwrap(), change).await
    }

    /// What operators show.
    pub fn operator_token(&self) -> String {
        let config = self.platform.config();
        let key = config.platform.key.as_ref().unwrap().expose();
        OperatorToken::of(&PlatformKey::parse(key).unwrap()).expose()
    }

    /// A client that names this tenant, whether there is one or not.
    pub fn client(&self, slug: &str) -> Client {
        Client::of(self.address, Some(slug))
    }

    /// A client that names no tenant.
    pub fn nobody(&self) -> Client {
        Client::of(self.address, None)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The platform itself.
    pub fn inner(&self) -> &Platform {
        &self.platform
    }

    /// A file in its data folder.
    pub fn data(&self, path: impl AsRef<Path>) -> PathBuf {
        self.setup.data.path().join(path)
    }

    /// The schema of the tables that a tenant's modules share, on PostgreSQL.
    pub async fn schema(&self, slug: &str) -> String {
        self.schema_of(slug, None).await
    }

    /// The same, or that of one module's own tables.
    pub async fn schema_of(&self, slug: &str, module: Option<&str>) -> String {
        let tenant = self.platform.tenants().get(&slug.parse().unwrap()).await.unwrap();
        let module = module.map(|name| format!("_{name}")).unwrap_or_default();
        format!("t_{}{module}", tenant.id.to_string().replace('-', ""))
    }

    /// The file of the tables that a tenant's modules share.
    pub async fn unit(&self, slug: &str) -> PathBuf {
        self.unit_of(slug, None).await
    }

    /// The same, or that of one module's own tables.
    pub async fn unit_of(&self, slug: &str, module: Option<&str>) -> PathBuf {
        let tenant = self.platform.tenants().find(&slug.parse().unwrap()).await.unwrap().unwrap();
        let folder = self.data("tenants").join(tenant.id.to_string());
        match module {
            None => folder.join("tenant.db"),
            Some(module) => folder.join("modules").join(format!("{module}.db")),
        }
    }

    /// Sends bytes that no client library would, and reads until the host closes the connection.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// `hostel` on the same data, while the platform runs in this process.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let config = self.platform.config();
        let mut command = Command::new(program());
        command
            .args(arguments)
            .arg("--data")
            .arg(self.data(""))
            .current_dir(self.data(""))
            .env("HOSTEL_PLATFORM_KEY", config.platform.key.as_ref().unwrap().expose());
        if let Some(url) = &config.database.url {
            command.env("HOSTEL_DATABASE_URL", url.expose());
        }
        command
    }

    /// Runs a [`command`](Self::command) to its end.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap()
    }

    /// Tells it to stop; running requests go on until they end.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops it, and gives what a new one on the same data is made of.
    pub async fn stop(mut self) -> Setup {
        self.begin_stop();
        self.serving.await.unwrap();
        self.setup.seeded = false;
        self.setup
    }
}
