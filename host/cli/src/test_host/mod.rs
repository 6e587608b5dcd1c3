//! The host of a module's tests: real platforms that serve one module, each in a folder that goes
//! with it, and a way to ask for them that only the tests know.
//!
//! `hostel_sdk::testing` is the other side. `platforms` starts platforms and makes tenants,
//! `control` is what tests may ask, `callers` knows who may do what, `lines` keeps what modules write
//! to the log, `services` answers what they call.

mod callers;
mod control;
mod lines;
mod platforms;
mod services;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::lines::Lines;
use self::platforms::Platforms;

/// What a test host serves.
pub(crate) struct Served {
    /// The module under test.
    pub(crate) module: PathBuf,
    /// Modules beside it.
    pub(crate) others: Vec<PathBuf>,
    /// Where compiled modules are kept for the next test host.
    pub(crate) compiled: PathBuf,
}

/// A test host that runs. Its platforms and their folders go when it is dropped.
pub(crate) struct TestHost {
    access: Access,
    _platforms: Arc<Platforms>,
    _serving: JoinSet<()>,
}

/// Where tests find it, and what they must show: `127.0.0.1:40123 1f…`.
#[derive(Clone)]
pub(crate) struct Access {
    address: SocketAddr,
    token: String,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, self.token)
    }
}

impl TestHost {
    /// Loads the modules, and listens on a port of its own.
    pub(crate) async fn start(served: Served) -> anyhow::Result<Self> {
        let lines = Lines::kept()?;
        let platforms = Arc::new(Platforms::prepare(served, lines).await?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let token = random_token()?;
        let routes = control::routes(Arc::clone(&platforms), &token);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "tests cannot reach their host any more");
            }
        });
        Ok(Self { access: Access { address, token }, _platforms: platforms, _serving: serving })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(HEXLOWER.encode(&bytes))
}
