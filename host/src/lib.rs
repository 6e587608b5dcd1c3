//! Hostel: an embeddable, multi-tenant backend platform. Each domain of a backend is a WebAssembly
//! component that declares its own routes, permissions and tables, and runs sandboxed per tenant.
//!
//! # Embedding
//!
//! A platform is a part of an axum program:
//!
//! ```no_run
//! # async fn home() -> &'static str { "home" }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::routing::get;
//!
//! let platform = hostel::Platform::builder()
//!     .config_file("platform.toml")?
//!     .module_file("notes.wasm")
//!     .build()
//!     .await?;
//! let app = axum::Router::new().route("/", get(home)).merge(platform.router());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).await?;
//! # Ok(()) }
//! ```
//!
//! or serves by itself, with limits on slow clients and a good end: [`Platform::serve`].
//!
//! # A capability of your own
//!
//! Modules reach the world only through capabilities. Beside ours, a program can offer its own: a
//! WIT interface, its state, and a name by which it is granted. See [`Capability`] and the program
//! in `examples/embed`.
//!
//! # Where things are
//!
//! `platform` builds; `http` turns requests into calls; `runtime` runs them; `wiring` names every
//! capability; `capabilities` are what modules may ask for. `ARCHITECTURE.md` has the map.

pub mod bindings;
mod bounded;
mod call;
pub mod capabilities;
mod config;
mod database;
mod error;
mod http;
mod key;
pub mod logging;
mod names;
mod platform;
pub mod runtime;
mod wiring;

pub use wasmtime;

pub use self::bounded::Bounded;
pub use self::call::{Budget, CallContext, ModuleIdentity, Principal, Tenant, TenantStatus, Trust};
pub use self::capabilities::clock::Clock;
pub use self::capabilities::tenancy::{NewTenant, Tenants};
pub use self::config::{Config, Secret};
pub use self::error::{Error, ErrorKind, Result};
pub use self::key::PlatformKey;
pub use self::names::{ModuleName, RequestId, TenantId, TenantSlug};
pub use self::platform::{Platform, PlatformBuilder};
pub use self::wiring::{CallState, Capability};
