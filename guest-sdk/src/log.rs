//! Structured log lines. The host adds the request's id, the tenant and the module.
//!
//! ```no_run
//! # use hostel_sdk::log;
//! log::info("order shipped", &[("order", &42), ("carrier", &"post")]);
//! ```

use std::fmt::Display;

use crate::bindings::hostel::log::log;

pub use crate::bindings::hostel::log::log::Level;

/// Writes one line, with what it is about in fields.
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    log::write(level, message, &fields);
}

/// For following one call step by step.
pub fn trace(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Trace, message, fields);
}

/// For the module's developer.
pub fn debug(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Debug, message, fields);
}

/// What happened, for the operator.
pub fn info(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Info, message, fields);
}

/// What should not happen often.
pub fn warn(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Warn, message, fields);
}

/// What somebody has to look at.
pub fn error(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Error, message, fields);
}
