//! Acme's program: an axum router of its own, a Hostel platform merged into it, and a capability,
//! [`Payments`], that the platform offers to modules beside Hostel's.
//!
//! `main.rs` serves it; the tests serve it too, with other configurations.

mod payments;

use axum::Router;
use axum::routing::get;
use hostel::{NewTenant, Platform, TenantSlug};

pub use self::payments::Payments;

/// The module `shop`, a component that imports `acme:payments`.
pub const SHOP: &[u8] = include_bytes!(env!("SHOP_MODULE"));

/// The tenants of this example.
const SHOPS: &[(&str, &str)] = &[("north", "Acme North"), ("south", "Acme South")];

/// Acme's own routes and the platform's, in one router.
pub fn router(platform: &Platform) -> Router {
    Router::new().route("/", get(home)).merge(platform.router())
}

async fn home() -> &'static str {
    "Acme sells everything. The shop is at /api/shop.\n"
}

/// Makes the tenants that are not there yet, and gives all of them.
///
/// # Errors
/// When the platform's list of tenants cannot be read or written.
pub async fn open_shops(platform: &Platform) -> hostel::Result<Vec<TenantSlug>> {
    let mut shops = Vec::new();
    for (slug, name) in SHOPS {
        let slug: TenantSlug = slug.parse()?;
        if platform.tenants().find(&slug).await?.is_none() {
            let slug = slug.clone();
            let new = NewTenant { slug, display_name: (*name).to_owned(), plan: None };
            platform.tenants().create(new).await?;
        }
        shops.push(slug);
    }
    Ok(shops)
}
