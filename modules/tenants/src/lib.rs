//! Tenants: makes, finds, changes and removes them over HTTP, for those who run the platform.
//!
//! What a tenant may be and become is the host's to say (`tenancy/admin`); this module gives it
//! routes and permissions, and says of its errors which field they are about. It has no tables, and
//! is served to the platform's own tenant alone.
//!
//! `routes` speaks HTTP, `model` is what goes in and out.

mod model;
mod routes;

use hostel_sdk::prelude::*;

hostel_sdk::module!(tenants);

fn tenants() -> Module {
    Module::new("tenants", env!("CARGO_PKG_VERSION"))
        .about("The tenants of this platform")
        .permission("tenants:read", "Read tenants and their settings")
        .permission("tenants:write", "Make and change tenants and their settings")
        .permission("tenants:delete", "Delete tenants, and take them back")
        .permission("tenants:secrets", "Set and remove secrets of tenants")
        .route(get("/", routes::list).requires("tenants:read").about("List tenants by slug"))
        .route(post("/", routes::create).requires("tenants:write").about("Make a tenant"))
        .route(get("/{slug}", routes::read).requires("tenants:read").about("Read a tenant"))
        .route(
            patch("/{slug}", routes::change)
                .requires("tenants:write")
                .about("Change a tenant's names, plan and limits"),
        )
        .route(
            delete("/{slug}", routes::remove)
                .requires("tenants:delete")
                .about("Delete a tenant, with a time to take it back"),
        )
        .route(
            post("/{slug}/suspend", routes::suspend)
                .requires("tenants:write")
                .about("Refuse a tenant's requests"),
        )
        .route(
            post("/{slug}/resume", routes::resume)
                .requires("tenants:write")
                .about("Answer a suspended tenant's requests again"),
        )
        .route(
            post("/{slug}/undelete", routes::undelete)
                .requires("tenants:delete")
                .about("Take a deleted tenant back"),
        )
        .route(
            post("/{slug}/purge", routes::purge)
                .requires("tenants:delete")
                .about("Remove everything of a deleted tenant, for good"),
        )
        .route(
            get("/{slug}/settings", routes::settings)
                .requires("tenants:read")
                .about("Read a tenant's own settings"),
        )
        .route(
            patch("/{slug}/settings/{module}", routes::change_settings)
                .requires("tenants:write")
                .about("Change a tenant's own settings of a module; null takes one away"),
        )
        .route(
            get("/{slug}/secrets", routes::secrets)
                .requires("tenants:secrets")
                .about("List the names of a tenant's secrets"),
        )
        .route(
            put("/{slug}/secrets/{name}", routes::set_secret)
                .requires("tenants:secrets")
                .about("Set a secret of a tenant"),
        )
        .route(
            delete("/{slug}/secrets/{name}", routes::remove_secret)
                .requires("tenants:secrets")
                .about("Remove a secret of a tenant"),
        )
}
