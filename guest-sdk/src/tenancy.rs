//! The tenant that this call is for.

use crate::bindings::hostel::tenancy::tenancy;
use crate::extract::FromRequest;
use crate::problem::Problem;
use crate::request::Request;

pub use crate::bindings::hostel::tenancy::tenancy::Tenant;

/// The tenant that this call is for. Handlers can take it as an argument:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn whose(tenant: Tenant) -> String {
///     format!("This is {}.", tenant.display_name)
/// }
/// # let _ = get("/", whose);
/// ```
#[must_use]
pub fn current() -> Tenant {
    tenancy::current()
}

impl FromRequest for Tenant {
    fn from_request(_request: &mut Request) -> Result<Self, Problem> {
        Ok(current())
    }
}
