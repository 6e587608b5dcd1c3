//! SIGHUP: reads the configuration again, and takes of it what a running platform can take.

use std::convert::Infallible;

use hostel::Platform;
use hostel::logging::Flush;

use super::{Arguments, service_manager};

/// Reloads whenever the process is told to.
///
/// # Errors
/// When the system gives no signals.
#[cfg(unix)]
pub(super) async fn whenever_told(
    arguments: &Arguments,
    platform: &Platform,
    log: &Flush,
) -> anyhow::Result<Infallible> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        hangup.recv().await;
        service_manager::reloading();
        if let Err(error) = reload(arguments, platform, log).await {
            tracing::error!("the configuration stays as it was: {error}");
        }
        service_manager::ready();
    }
}

#[cfg(not(unix))]
pub(super) async fn whenever_told(
    _: &Arguments,
    _: &Platform,
    _: &Flush,
) -> anyhow::Result<Infallible> {
    std::future::pending().await
}

#[cfg(unix)]
async fn reload(arguments: &Arguments, platform: &Platform, log: &Flush) -> hostel::Result<()> {
    let mut config = arguments.options.load()?;
    arguments.listen.apply(&mut config);
    // Not the file's to say: `hostel dev` is what grants everything, and it goes on doing so.
    config.dev = platform.config().dev.clone();
    let changes = platform.reload(config).await?;
    log.set_levels(&platform.config().log);
    if changes.taken.is_empty() && changes.at_next_start.is_empty() {
        tracing::info!("reloaded: the configuration is the same");
    }
    if !changes.taken.is_empty() {
        tracing::info!(changed = changes.taken.join(", "), "reloaded the configuration");
    }
    if !changes.at_next_start.is_empty() {
        let keys = changes.at_next_start.join(", ");
        tracing::warn!(keys, "these hold from the next start on");
    }
    Ok(())
}
