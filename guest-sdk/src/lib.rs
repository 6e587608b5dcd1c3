//! sdk
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated")]
#[doc(hidden)]
pub mod bindings;
