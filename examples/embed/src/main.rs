//! Serves Acme's program until it is told to stop.

use std::time::Duration;

use embed_example::{Payments, SHOP};
use hostel::{Config, Platform};
use tokio::net::TcpListener;

/// How long a charge may wait.
const CHARGE_INTERVAL: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::default();
    let _flush = hostel::logging::init(&config.log, true)?;
    let listener = TcpListener::bind(config.listen.0).await?;
    let payments = Payments::new();
    let platform = Platform::builder()
        .config(config)
        .data_dir("data/embed")
        .capability(payments.clone())
        .system_module("shop", SHOP)
        .build()
        .await?;
    let shops = embed_example::open_shops(&platform).await?;

    tracing::info!(address = %listener.local_addr()?, "listening");
    let stop = async {
        // Without a signal handler there is nothing to wait for but the end of the process.
        let _ = tokio::signal::ctrl_c().await;
    };
    let charging = async {
        loop {
            if let Err(error) = payments.charge_waiting(&platform, &shops).await {
                tracing::warn!(cause = error.causes(), "charges wait: {error}");
            }
            tokio::time::sleep(CHARGE_INTERVAL).await;
        }
    };
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = charging => {}
        }
    };
    platform.serve_app(embed_example::router(&platform), listener, stop).await?;
    Ok(())
}
