//! HTTP: what a client sends becomes a call, and what comes back an answer. axum lives only here, and
//! nobody else knows a status code.

mod answer;
mod caller;
mod chain;
mod conduct;
mod docs;
mod health;
mod incoming;
mod metrics;
pub(crate) mod openapi;
mod operator;
mod problem;
mod server;
mod streams;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::routing::{any, get};
use serde::{Deserialize, Serialize};

pub(crate) use self::caller::Authentication;
pub use self::caller::Authenticator;
pub(crate) use self::server::{serve_platform, serve_router};
use crate::bounded::Bounded;
use crate::capabilities::tenancy::TenancyConfig;
use crate::key::OperatorToken;
use crate::runtime::Registry;
use crate::wiring::Services;

/// `[http]`: the HTTP side.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The largest body; a route may say less.
    pub body_max_bytes: Bounded<0, 1_099_511_627_776>,
    /// Bodies up to this size are handed to modules at once, larger ones as they arrive.
    pub body_inline_max_bytes: Bounded<0, 1_073_741_824>,
    /// How long a client may take to send a body that is handed over at once.
    pub body_timeout_ms: Bounded<1, 3_600_000>,
    /// How long a client may take to send a request's head, or to begin the next one.
    pub head_timeout_ms: Bounded<1, 3_600_000>,
    /// How large a request's head may be.
    pub head_max_bytes: Bounded<8_192, 1_048_576>,
    /// How long a request's path and query may be.
    pub url_max_bytes: Bounded<256, 65_534>,
    /// How long a client may take nothing of an answer.
    pub write_timeout_ms: Bounded<1, 3_600_000>,
    /// Connections at once; further ones wait until others end.
    pub connections_max: Bounded<1, 1_000_000>,
    /// Whether the API is described at `/openapi.json` and `/docs`.
    pub api_docs: bool,
    /// How long requests may go on after the host was told to stop.
    pub drain_timeout_ms: Bounded<0, 3_600_000>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_max_bytes: Bounded::of::<104_857_600>(),
            body_inline_max_bytes: Bounded::of::<1_048_576>(),
            body_timeout_ms: Bounded::of::<30_000>(),
            head_timeout_ms: Bounded::of::<15_000>(),
            head_max_bytes: Bounded::of::<32_768>(),
            url_max_bytes: Bounded::of::<8_192>(),
            write_timeout_ms: Bounded::of::<30_000>(),
            connections_max: Bounded::of::<20_000>(),
            api_docs: true,
            drain_timeout_ms: Bounded::of::<10_000>(),
        }
    }
}

/// What handlers share.
pub(crate) struct App {
    pub(crate) config: HttpConfig,
    pub(crate) tenancy: TenancyConfig,
    pub(crate) services: Arc<Services>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) operator: OperatorToken,
    /// None where nobody can sign in.
    pub(crate) authentication: Option<Authentication>,
    pub(crate) documents: openapi::Documents,
    /// Set when the host was told to stop.
    pub(crate) draining: AtomicBool,
}

/// The routes of a platform. There is no fallback among them, so that they can be merged with
/// others.
pub(crate) fn router(app: Arc<App>) -> Router {
    let documentation = if app.config.api_docs {
        Router::new()
            .route("/openapi.json", get(openapi::serve))
            .route("/docs", get(docs::page))
            .route("/docs/{file}", get(docs::file))
    } else {
        Router::new()
    };
    documentation
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/platform/v1/usage", get(operator::usage))
        .route("/api/{module}", any(chain::api))
        .route("/api/{module}/", any(chain::api))
        .route("/api/{module}/{*rest}", any(chain::api))
        .with_state(app)
}

/// The router of a program that serves nothing else: it answers every path.
fn alone(app: Arc<App>) -> Router {
    let nothing_here = any(chain::nothing_here).with_state(Arc::clone(&app));
    router(app).fallback_service(nothing_here)
}
