//! What modules may ask the host for: one folder per capability, none of which imports another.
//!
//! Each `mod.rs` holds the capability's view (what one call may do), its checks, the glue to its WIT
//! package and its section of the configuration. `wiring.rs` is what names them all.

use crate::bindings::hostel::error::types as wit;
use crate::error::{Error, ErrorKind};

pub mod clock;
pub mod crypto;
pub mod http;
pub mod http_client;
pub mod log;
pub mod lookups;
pub mod permissions;
pub mod settings;
pub mod sql;
pub mod tenancy;

/// What a guest is told of an error; the cause goes to the log.
fn tell_guest(error: &Error) -> wit::Error {
    if let Some(cause) = error.causes() {
        match error.kind() {
            ErrorKind::Other | ErrorKind::Unavailable => {
                tracing::warn!(code = error.code(), cause, "{error}");
            }
            _ => tracing::debug!(code = error.code(), cause, "{error}"),
        }
    }
    wit::Error {
        kind: match error.kind() {
            ErrorKind::Denied | ErrorKind::Unauthenticated => wit::ErrorKind::Denied,
            ErrorKind::NotFound | ErrorKind::MethodNotAllowed => wit::ErrorKind::NotFound,
            ErrorKind::Conflict => wit::ErrorKind::Conflict,
            ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Unacceptable => {
                wit::ErrorKind::Invalid
            }
            ErrorKind::TooLarge | ErrorKind::Limit => wit::ErrorKind::Limit,
            ErrorKind::Unavailable => wit::ErrorKind::Unavailable,
            ErrorKind::Timeout | ErrorKind::InputTimeout => wit::ErrorKind::Timeout,
            ErrorKind::Other => wit::ErrorKind::Other,
        },
        message: error.message().to_owned(),
        subject: error.subject().map(ToOwned::to_owned),
    }
}

/// Views whose functions return our [`Error`] tell guests of it in the contract's words. Those that
/// know their call count the limits that it met.
macro_rules! tells_guests_of_errors {
    ($($view:ty $(: $call:ident)?),* $(,)?) => {$(
        impl wit::Host for $view {
            fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
                $(self.$call.meter.failed(&error);)?
                Ok(tell_guest(&error))
            }
        }
    )*};
}

tells_guests_of_errors!(
    crypto::CryptoView,
    http::HttpView<'_>: call,
    http_client::HttpClientView<'_>: call,
    lookups::LookupsView<'_>: call,
    settings::SettingsView<'_>,
    sql::SqlView<'_>: call,
    tenancy::AdminView<'_>: call,
    tenancy::SecretsView<'_>: call,
);
