//! Serves Acme's program until it is told to stop.

use embed_example::{Payments, SHOP};
use hostel::{Config, Platform};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::default();
    let _flush = hostel::logging::init(&config.log, true)?;
    let listener = TcpListener::bind(config.listen.0).await?;
    let platform = Platform::builder()
        .config(config)
        .data_dir("data/embed")
        .capability(Payments::new())
        .system_module("shop", SHOP)
        .build()
        .await?;
    embed_example::open_shops(&platform).await?;

    tracing::info!(address = %listener.local_addr()?, "listening");
    let stop = async {
        // Without a signal handler there is nothing to wait for but the end of the process.
        let _ = tokio::signal::ctrl_c().await;
    };
    platform.serve_app(embed_example::router(&platform), listener, stop).await?;
    Ok(())
}
