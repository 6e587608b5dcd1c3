//! Hostel as it is by default, logs and limits included.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hostel::{ErrorKind, ModuleSource, NewTenant, Platform, TenantChange, TighterLimits};
use tokio::net::TcpListener;

use super::Setup;
use crate::neighbours;

/// A guest, built by this crate's build script.
#[derive(Clone, Copy)]
pub(super) enum Guest {
    WithSdk,
    Small,
    ByHand,
    Entities,
}

impl Guest {
    fn file(self) -> &'static str {
        match self {
            Self::WithSdk => env!("BENCH_GUEST"),
            Self::Small => env!("BENCH_GUEST_SMALL"),
            Self::ByHand => env!("BENCH_GUEST_BY_HAND"),
            Self::Entities => env!("BENCH_GUEST_ENTITIES"),
        }
    }
}

/// Between two swaps, so that each version is asked.
const SWAP_PAUSE: Duration = Duration::from_millis(30);

pub(super) async fn serve(
    data: &Path,
    setup: &Setup,
    guest: Guest,
    instances: &str,
) -> anyhow::Result<()> {
    let mut config = format!("[modules.instances]\nbench = \"{instances}\"\n");
    if let Some(url) = &setup.database_url {
        config += &format!("[database]\nurl = \"{url}\"\n");
    }
    if setup.keep_open {
        config += "[sql]\nunits_open_max = 10000\n";
    }
    let platform = Platform::builder()
        .config_toml(&config)?
        .data_dir(data)
        .module_file(guest.file())
        .build()
        .await?;
    // The log is written as in production; the parent reads it.
    let _flush = hostel::logging::init(&platform.config().log, false)?;
    for slug in neighbours::tenants(setup.tenants) {
        let new = NewTenant { slug: slug.parse()?, display_name: String::new(), plan: None };
        let tenant = match platform.tenants().create(new).await {
            Ok(tenant) => tenant,
            // Made when this server ran on the same folder before.
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            Err(error) => return Err(error.into()),
        };
        if let ([key, value], true) = (setup.limit.as_slice(), neighbours::is_hostile(&slug)) {
            let limits = Some(TighterLimits::default().with(key, value.parse()?)?);
            let change = TenantChange { limits, ..TenantChange::default() };
            platform.tenants().change(&tenant.slug, change).await?;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let announced = async {
        super::tell_ready(address)?;
        swap(&platform, guest.file(), setup.swaps).await
    };
    let serving = platform.serve(listener, std::future::pending());
    // Serving never ends by itself: what ends first is the announcement, or its failure.
    tokio::try_join!(async { serving.await.map_err(anyhow::Error::from) }, announced)?;
    Ok(())
}

/// Serves one version and another that differs in a text, in turn.
async fn swap(platform: &Platform, guest: &str, swaps: u32) -> anyhow::Result<()> {
    if swaps == 0 {
        return Ok(());
    }
    let wasm = std::fs::read(guest)?;
    let text = b"A small answer without I/O";
    let at = wasm.windows(text.len()).position(|window| window == text);
    let mut other = wasm.clone();
    other[at.context("the guest has changed")?] = b'a';
    let versions = [other, wasm].map(|wasm| ModuleSource::operator(guest, wasm));
    for (_, version) in (0..swaps).zip(versions.iter().cycle()) {
        tokio::time::sleep(SWAP_PAUSE).await;
        let installed = platform.install(version.clone()).await?;
        super::tell_swapped(installed.swap_time)?;
    }
    Ok(())
}
