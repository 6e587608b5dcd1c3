//! `hostel serve` and `hostel dev`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hostel::{Config, Platform};
use tokio::net::TcpListener;

use super::{bundled::BUNDLED, spinner};
use crate::options::{Listen, Options};
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
    #[command(flatten)]
    arguments: Arguments,
}

/// Serves until the process is told to stop.
pub(crate) async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    run(arguments, None).await
}

/// Serves, and builds modules again when their sources change, until the process is told to stop.
pub(crate) async fn develop(arguments: DevArguments) -> anyhow::Result<()> {
    let crates = match arguments.crates.as_slice() {
        [] => sources::around(&std::env::current_dir()?),
        named => named.iter().map(|folder| Sources::of_module(folder)).collect::<Result<_, _>>()?,
    };
    run(arguments.arguments, Some(crates)).await
}

async fn run(arguments: Arguments, dev: Option<Vec<Sources>>) -> anyhow::Result<()> {
    let mut config = arguments.options.load()?;
    arguments.listen.apply(&mut config);
    if dev.is_some() {
        config.dev.anonymous_grants = vec!["*".parse()?];
    }
    let readable = dev.is_some() || std::io::IsTerminal::is_terminal(&std::io::stdout());
    let _flush = hostel::logging::init(&config.log, readable)?;

    let address = config.listen.0;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        hostel::Error::invalid(format!("cannot listen on {address}: {error}"))
            .hint("another program may be there: choose another address with --listen, such as 127.0.0.1:0")
    })?;
    let address = listener.local_addr().context("the address that was bound")?;

    let waiting = spinner();
    let tell = waiting.clone();
    let builder = BUNDLED
        .iter()
        .fold(Platform::builder().config(config), |builder, (name, wasm)| {
            builder.system_module(name, *wasm)
        })
        .progress(move |what| tell.set_message(what.to_owned()));
    let platform = builder.build().await?;
    waiting.finish_and_clear();

    if dev.is_some() {
        greet(platform.config(), &format!("http://{address}"));
    }
    warn_of_grants(platform.config());
    let stop = stop_signal()?;
    tracing::info!(%address, "listening");
    let _developing = sources::follow(dev.unwrap_or_default(), &platform);
    platform.serve(listener, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// What somebody who just started it wants to know.
fn greet(config: &Config, url: &str) {
    let tenant = match &config.tenancy.default_tenant {
        Some(_) => String::new(),
        None => format!(" -H '{}: SLUG'", config.tenancy.header),
    };
    println!(
        "
Hostel is at {url}; everything is kept in {}.

  curl{tenant} {url}/api/notes
  curl{tenant} {url}/api/notes -H 'content-type: application/json' -d '{{\"title\":\"First\",\"body\":\"Hello!\"}}'
  curl{tenant} '{url}/api/notes?limit=1'

DEVELOPMENT MODE: everybody who reaches this address may do everything. `hostel serve` grants nothing.
",
        config.data.0.display()
    );
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
