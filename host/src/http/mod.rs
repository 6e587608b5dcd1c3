//! HTTP: what a client sends becomes a call, and what comes back an answer. axum lives only here, and
//! nobody else knows a status code.

mod answer;
mod arrival;
mod caller;
mod chain;
mod compress;
mod conditional;
mod conduct;
mod config;
mod connection;
mod cors;
mod docs;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod health;
mod incoming;
mod json;
mod metrics;
pub(crate) mod openapi;
mod operator;
mod options;
mod outgoing;
mod path;
mod problem;
mod secure;
mod server;
mod streams;
mod tls;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{any, get};

pub(crate) use self::caller::Authentication;
pub use self::caller::Authenticator;
pub(crate) use self::config::{Http, HttpConfig};
pub(crate) use self::server::{serve_platform, serve_router};
pub(crate) use self::tls::{Tls, TlsConfig};
use crate::capabilities::tenancy::TenancyConfig;
use crate::key::OperatorToken;
use crate::runtime::Registry;
use crate::wiring::Services;

/// What handlers share.
pub(crate) struct App {
    pub(crate) http: ArcSwap<Http>,
    /// None where connections are not encrypted.
    pub(crate) tls: Option<Tls>,
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
    let documentation = if app.http.load().config.api_docs {
        Router::new()
            .route("/openapi.json", get(openapi::serve).fallback(chain::other_method))
            .route("/docs", get(docs::page).fallback(chain::other_method))
            .route("/docs/{file}", get(docs::file).fallback(chain::other_method))
    } else {
        Router::new()
    };
    documentation
        .route("/health/live", get(health::live).fallback(chain::other_method))
        .route("/health/ready", get(health::ready).fallback(chain::other_method))
        .route("/metrics", get(metrics::metrics).fallback(chain::other_method))
        .route("/platform/v1/quarantine", get(operator::quarantine).fallback(chain::other_method))
        .route("/platform/v1/usage", get(operator::usage).fallback(chain::other_method))
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
