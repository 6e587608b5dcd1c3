//! Write modules for Hostel in plain Rust functions.
//!
//! A module is a WebAssembly component that offers one domain of a backend: its routes, its
//! permissions, its tables. Handlers are functions; what they take is extracted from the request,
//! what they return becomes the answer.
//!
//! ```
//! use hostel_sdk::prelude::*;
//!
//! hostel_sdk::module!(greetings);
//!
//! fn greetings() -> Module {
//!     Module::new("greetings", "1.0.0")
//!         .about("Says hello")
//!         .permission("greetings:count", "See how often somebody was greeted")
//!         .route(get("/hello/{name}", hello).about("Greet somebody").public())
//!         .route(get("/count", count).requires("greetings:count"))
//! }
//!
//! /// A greeting.
//! #[derive(Serialize, JsonSchema)]
//! struct Greeting {
//!     hello: String,
//! }
//!
//! fn hello(Path(name): Path<String>) -> Json<Greeting> {
//!     Json(Greeting { hello: name })
//! }
//!
//! fn count(db: Db) -> Result<Json<i64>, Problem> {
//!     let row: Row = db.query_one("SELECT count(*) AS count FROM greetings", params![])?;
//!     Ok(Json(row.get("count")?))
//! }
//! # fn main() {}
//! ```
//!
//! Build it as a `cdylib` for `wasm32-wasip2`. The component imports only the capabilities that its
//! code uses, and those imports are what the platform's operator is asked to grant. With the feature
//! `testing`, `hostel_sdk::testing` serves it to its tests.

// Derives name this crate as others do.
#[cfg(test)]
extern crate self as hostel_sdk;

#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from wit/")]
pub mod bindings;

pub mod clock;
pub mod conditional;
pub mod crypto;
mod date;
mod description;
pub mod entity;
pub mod extract;
#[cfg(feature = "fakes")]
pub mod fakes;
mod from_text;
mod handler;
pub mod http_client;
mod id;
pub mod json;
pub mod log;
pub mod lookups;
mod module;
pub mod multipart;
pub mod page;
mod problem;
mod request;
pub mod response;
mod route;
mod seed;
pub mod settings;
pub mod sql;
mod streamed;
pub mod tenancy;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
pub mod text;
mod timestamp;
pub mod whole;

pub use bindings::hostel::error::types::{Error, ErrorKind};
pub use date::{Date, InvalidDate};
pub use handler::{Handler, Operation};
pub use id::Id;
pub use module::{Migration, Module};
pub use problem::{FieldError, Problem};
pub use request::{Request, RequestBody};
pub use route::{Access, Decided, Method, Route, Undecided, delete, get, head, patch, post, put};
pub use seed::Seed;
pub use streamed::{Streamed, StreamedHead};
pub use timestamp::{InvalidTimestamp, Timestamp};

/// What nearly every file of a module needs.
pub mod prelude {
    pub use crate::conditional::{IfMatch, Tagged};
    pub use crate::entity::{
        ColumnEnum, Draft, Entities, Entity, EntityError, Expression, Filter, List, ListQuery,
        Listed, Projection, Relation,
    };
    pub use crate::extract::{
        Body, Form, FromRequest, Headers, Path, Principal, PrincipalKind, Query, RequestPath,
        Tenant,
    };
    pub use crate::json::Json;
    pub use crate::multipart::Multipart;
    pub use crate::page::{Page, Paged};
    pub use crate::response::{Bytes, Created, IntoResponse, NoContent, Response, Status};
    pub use crate::settings::Settings;
    pub use crate::sql::{Connection, Db, Decimal, FromRow, Row, Transaction};
    pub use crate::streamed::Streamed;
    pub use crate::text::{Line, Text};
    pub use crate::whole::Whole;
    pub use crate::{
        Date, Error, ErrorKind, Id, Module, Problem, Timestamp, clock, delete, get, head,
        migrations, params, patch, post, put,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
