//! Hostel: an embeddable, multi-tenant backend platform. Each domain of a backend is a WebAssembly
//! component that declares its own routes, permissions and tables, and runs sandboxed per tenant.
//!
//! # Embedding
//!
//! A platform is a part of an axum program:
//!
//! ```
//! # struct Payments;
//! # impl Payments { fn new() -> Self { Self } }
//! # impl hostel::Capability for Payments {
//! #     fn name(&self) -> &'static str { "payments" }
//! #     fn package(&self) -> &'static str { "acme:payments" }
//! #     fn link(
//! #         &self,
//! #         _: &mut hostel::wasmtime::component::Linker<hostel::CallState>,
//! #     ) -> Result<(), hostel::wasmtime::Error> { Ok(()) }
//! # }
//! # async fn home() -> &'static str { "home" }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let config = folder.path().join("platform.toml");
//! # std::fs::write(&config, "[tenancy]\nbase_domain = 'example.org'")?;
//! # let stop = async {};
//! use axum::routing::get;
//!
//! let platform = hostel::Platform::builder()
//!     .config_file(&config)?
//! #   .data_dir(folder.path())
//!     .capability(Payments::new()) // the program's own WIT interface, linked beside ours
//!     .build()
//!     .await?;
//! let app = axum::Router::new().route("/", get(home)).merge(platform.router());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! platform.serve_app(app, listener, stop).await?;
//! # Ok(()) }
//! ```
//!
//! Without routes of its own, a program calls [`Platform::serve`].
//!
//! SQLite's memory is bounded from the moment on when a platform is built, which comes before the program
//! opens a database of its own with SQLite. Build with the environment variable
//! `LIBSQLITE3_FLAGS=-USQLITE_ENABLE_MEMORY_MANAGEMENT` (in the `[env]` of `.cargo/config.toml`):
//! connections share one cache of pages otherwise, and tenants wait for each other there.
//!
//! # A capability of your own
//!
//! Modules reach the world only through capabilities. Beside ours, a program can offer its own: a
//! WIT interface, its state, and a name by which it is granted. See [`Capability`], and
//! `examples/embed` for a whole program.
//!
//! # Where things are
//!
//! `platform` builds; `http` turns requests into calls; `runtime` runs them; `wiring` names every
//! capability; `capabilities` are what modules may ask for. `ARCHITECTURE.md` has the map.

mod archive;
pub mod bindings;
mod bounded;
mod call;
pub mod capabilities;
mod clock;
mod config;
mod database;
mod error;
mod folder;
mod http;
mod key;
mod limits;
pub mod logging;
mod metering;
mod migrate;
mod names;
mod platform;
mod processor;
pub mod runtime;
mod schema;
mod secret;
mod seeding;
mod turns;
mod usage;
pub mod watch;
mod wiring;

/// For fuzz targets, and in their builds alone: what comes from clients and from modules is read, and what
/// must hold is asserted.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::capabilities::http::fuzzing::{boundary, form};
    pub use crate::http::fuzzing::{document, head};
    pub use crate::runtime::fuzzing::manifest;
}

pub use wasmtime;

pub use self::archive::{Archives, Exported, Imported};
pub use self::bounded::Bounded;
pub use self::call::{
    Budget, CallContext, ModuleDatabase, ModuleIdentity, Principal, Tenant, TenantStatus, Trust,
};
pub use self::capabilities::http_client::{HostPattern, Outbound};
pub use self::capabilities::lookups::{Lookup, LookupPage, LookupRow, Lookups};
pub use self::capabilities::permissions::Caller;
pub use self::capabilities::tenancy::{
    NewTenant, Quarantine, QuarantineQuery, QuarantineReason, Secrets, TenantChange, TenantQuery,
    TenantSettings, Tenants,
};
pub use self::clock::Clock;
pub use self::config::{Changes, Config, Secret};
pub use self::database::{CallOutbox, Message, MessageId, OwnMigration, OwnTables, Preparation};
pub use self::error::{Error, ErrorKind, Result};
pub use self::http::Authenticator;
pub use self::key::{OperatorToken, PlatformKey};
pub use self::limits::{LimitsConfig, Plan, Plans, TighterLimits};
pub use self::metering::MetricsConfig;
pub use self::migrate::{
    AppliedStep, Decisions, Generated, Generator, MigratedStep, MigrationFailure, MigrationPlan,
    MigrationProgress, MigrationReport, MigrationScope, MigrationWarning, Migrations, ModuleTables,
    PlannedStep, Question, Rename, TablesOf, TablesState, TenantMigrated, WarningKind,
    check_migration,
};
pub use self::names::{AccountId, LookupName, ModuleName, RequestId, TenantId, TenantSlug};
pub use self::platform::{Platform, PlatformBuilder};
pub use self::runtime::{Installed, MigrationGoal, ModuleSource};
pub use self::seeding::{SeedRows, SeedWish, Seeds};
pub use self::usage::{Usage, UsageOfDay, UsageQuery};
pub use self::wiring::{CallState, Capability};
