//! Structured log lines. The host adds the request's id, the tenant and the module.

use std::fmt::Display;

use crate::bindings::hostel::log::log;

pub use crate::bindings::hostel::log::log::Level;

/// Writes one line of any level, with what it is about in fields.
///
/// ```no_run
/// # use hostel_sdk::log::{self, Level};
/// let retries = 3;
/// let level = if retries > 2 { Level::Warn } else { Level::Info };
/// log::write(level, "the order was taken", &[("retries", &retries)]);
/// ```
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    log::write(level, message, &fields);
}

/// For following one call step by step.
///
/// ```no_run
/// # use hostel_sdk::log;
/// log::trace("looking at a price", &[("article", &"tea")]);
/// ```
pub fn trace(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Trace, message, fields);
}

/// For the module's developer.
///
/// ```no_run
/// # use hostel_sdk::log;
/// log::debug("no discount applies", &[("order", &42)]);
/// ```
pub fn debug(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Debug, message, fields);
}

/// What happened, for the operator.
///
/// ```no_run
/// # use hostel_sdk::log;
/// log::info("order shipped", &[("order", &42), ("carrier", &"post")]);
/// ```
pub fn info(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Info, message, fields);
}

/// What should not happen often.
///
/// ```no_run
/// # use hostel_sdk::log;
/// log::warn("the carrier is slow", &[("days", &9)]);
/// ```
pub fn warn(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Warn, message, fields);
}

/// What somebody has to look at.
///
/// ```no_run
/// # use hostel_sdk::log;
/// log::error("the price list is empty", &[]);
/// ```
pub fn error(message: &str, fields: &[(&str, &dyn Display)]) {
    write(Level::Error, message, fields);
}
