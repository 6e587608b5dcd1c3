//! The tenant that this call is for, and its secrets.

use crate::Error;
use crate::bindings::hostel::tenancy::{secrets, tenancy};
use crate::extract::FromRequest;
use crate::problem::Problem;
use crate::request::Request;

pub use crate::bindings::hostel::tenancy::tenancy::Tenant;

/// All tenants of the platform: made, found, changed and removed. A module that uses this is served
/// to the platform's own tenant alone, and an operator grants it `tenancy/admin` by that name.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// use hostel_sdk::tenancy::admin;
///
/// fn close(Path(slug): Path<String>) -> Result<String, Problem> {
///     let tenant = admin::suspend(&slug)?;
///     Ok(format!("{} is closed for now", tenant.display_name))
/// }
/// # let _ = post("/{slug}/close", close);
/// ```
pub use crate::bindings::hostel::tenancy::admin;

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

/// A secret of the tenant that this call is for: none where nobody has set it. Operators do, with
/// `hostel tenant secret set SLUG NAME`; a module can only ask by name.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::tenancy;
/// fn pay() -> Result<NoContent, Problem> {
///     let Some(key) = tenancy::secret("PAYMENTS_KEY")? else {
///         return Err(Problem::conflict("no-payments", "payments are not set up yet"));
///     };
/// #   let _ = key;
///     Ok(NoContent)
/// }
/// # let _ = post("/payments", pay);
/// ```
///
/// # Errors
/// `invalid` for what cannot be a name (letters, digits, `_`, `-` and `.`, at most 64), `unavailable`
/// when it cannot be read now.
pub fn secret(name: &str) -> Result<Option<String>, Error> {
    secrets::get(name)
}

impl FromRequest for Tenant {
    fn from_request(_request: &mut Request) -> Result<Self, Problem> {
        Ok(current())
    }
}
