//! `hostel serve` and `hostel dev`.

mod reload;
mod service_manager;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hostel::Config;
use hostel::runtime::{Access, Manifest, Method};
use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::{EXAMPLE, platform_with, spinner};
use crate::options::{Listen, Options};
use crate::running::Running;
use crate::sources::{self, Sources};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    listen: Listen,
}

#[derive(Args)]
pub(crate) struct DevArguments {
    /// The folders of the modules' crates to watch [default: this one, or those in `modules`].
    #[arg(value_name = "CRATE_DIR")]
    crates: Vec<PathBuf>,
    /// Open the documentation of the API in a browser.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    arguments: Arguments,
}

/// Serves until the process is told to stop.
pub(crate) async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    run(arguments, None, false).await
}

/// Serves, and builds modules again when their sources change, until the process is told to stop.
pub(crate) async fn develop(arguments: DevArguments) -> anyhow::Result<()> {
    let crates = match arguments.crates.as_slice() {
        [] => sources::around(&std::env::current_dir()?),
        named => named.iter().map(|folder| Sources::of_module(folder)).collect::<Result<_, _>>()?,
    };
    run(arguments.arguments, Some(crates), arguments.open).await
}

async fn run(
    arguments: Arguments,
    dev: Option<Vec<Sources>>,
    opens_docs: bool,
) -> anyhow::Result<()> {
    let mut config = arguments.options.load()?;
    arguments.listen.apply(&mut config);
    if dev.is_some() {
        config.dev.anonymous_grants = vec!["*".parse()?];
    }
    let readable = dev.is_some() || std::io::IsTerminal::is_terminal(&std::io::stdout());
    let log = hostel::logging::init(&config.log, readable)?;
    let listener = listener(config.listen.0).await?;
    let address = listener.local_addr().context("the address that was bound")?;
    let scheme = if config.tls.certificate.is_some() { "https" } else { "http" };

    let waiting = spinner();
    let tell = waiting.clone();
    let builder = platform_with(config, |name| name != EXAMPLE || serves_example(dev.as_deref()));
    let builder = builder.progress(move |what| tell.set_message(what.to_owned()));
    let platform = builder.build().await?;
    waiting.finish_and_clear();

    let front = Front::of(&platform.config(), format!("{scheme}://{address}"));
    if let Some(crates) = &dev {
        front.greet(&platform.config().data.0, crates);
    }
    if opens_docs {
        front.open_docs();
    }
    warn_of_grants(&platform.config());
    let stop = stop_signal()?;
    let _running = Running::note(&platform.config().data.0)?;
    tracing::info!(%address, "listening");
    let _developing = sources::follow(dev.unwrap_or_default(), &platform, &front);
    service_manager::ready();
    let stop = async {
        stop.await;
        service_manager::stopping();
    };
    tokio::select! {
        served = platform.serve(listener, stop) => served?,
        never = reload::whenever_told(&arguments, &platform, &log) => match never? {},
    }
    tracing::info!("stopped");
    Ok(())
}

/// The socket that a service manager has opened for this process, or one of its own.
async fn listener(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let handed_over = ListenFd::from_env().take_tcp_listener(0);
    if let Some(listener) = handed_over.context("the socket of the service manager")? {
        listener.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(listener)?);
    }
    Ok(TcpListener::bind(address).await.map_err(|error| {
        hostel::Error::invalid(format!("cannot listen on {address}: {error}"))
            .hint("another program may be there: choose another address with --listen, such as 127.0.0.1:0")
    })?)
}

/// The example is in the way of somebody who has modules of their own.
fn serves_example(watched: Option<&[Sources]>) -> bool {
    watched.is_none_or(|crates| crates.is_empty() || crates.iter().any(Sources::is_bundled))
}

/// Where modules are reached, as somebody types it.
#[derive(Clone)]
pub(crate) struct Front {
    url: String,
    curl: String,
    /// The page that shows the API, where it is served.
    docs: Option<String>,
}

impl Front {
    fn of(config: &Config, url: String) -> Self {
        let curl = match &config.tenancy.default_tenant {
            Some(_) => "curl".to_owned(),
            None => format!("curl -H '{}: SLUG'", config.tenancy.header),
        };
        let docs = config.http.api_docs.then(|| format!("{url}/docs"));
        Self { url, curl, docs }
    }

    /// Says what somebody who just started it wants to know.
    fn greet(&self, data: &Path, watched: &[Sources]) {
        let Self { url, curl, docs } = self;
        println!("\nHostel is at {url}; everything is kept in {}.\n", data.display());
        if serves_example(Some(watched)) {
            println!(
                "  {curl} {url}/api/notes
  {curl} {url}/api/notes -H 'content-type: application/json' -d '{{\"title\":\"First\",\"body\":\"Hello!\"}}'
  {curl} '{url}/api/notes?limit=1'
"
            );
        }
        if let Some(docs) = docs {
            println!("  {docs} shows what there is, and sends requests to try it.\n");
        }
        for sources in watched.iter().filter(|sources| !sources.is_bundled()) {
            println!(
                "{} is being built, which takes half a minute the first time; then it is said here how to call it.\n",
                sources.name()
            );
        }
        println!(
            "DEVELOPMENT MODE: everybody who reaches this address may do everything. `hostel serve` grants nothing.\n"
        );
    }

    /// Shows the documentation, where there is somebody to show it to.
    fn open_docs(&self) {
        match &self.docs {
            Some(docs) if open::that_detached(docs).is_ok() => {}
            Some(docs) => println!("There is no browser to open {docs}.\n"),
            None => println!("`http.api_docs` is off: there is no documentation to open.\n"),
        }
    }

    /// Says how to call a module that is served for the first time.
    pub(crate) fn show(&self, module: &Manifest) {
        let Self { url, curl, .. } = self;
        let Manifest { name, routes, .. } = module;
        let simple = routes
            .iter()
            .filter(|route| route.method == Method::Get && !route.path.contains('{'))
            .min_by_key(|route| route.access != Access::Public);
        match simple {
            Some(route) => {
                let path = route.path.trim_end_matches('/');
                println!("\n{name} is served:\n\n  {curl} {url}/api/{name}{path}\n");
            }
            None => println!("\n{name} is served at {url}/api/{name}.\n"),
        }
    }
}

fn warn_of_grants(config: &Config) {
    for grant in &config.dev.anonymous_grants {
        tracing::warn!(%grant, "everybody has this permission without signing in ([dev] anonymous_grants)");
    }
}

/// Ready when the process is told to stop: Ctrl-C, or SIGTERM.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
