//! Tenants: makes, finds, changes and removes them over HTTP, for those who run the platform.
//!
//! What a tenant may be and become is the host's to say (`tenancy/admin`); this module gives it
//! routes and permissions, and says of its errors which field they are about. It has no tables, and
//! is served to the platform's own tenant alone.
//!
//! `routes` speaks HTTP, `model` is what goes in and out.

mod model;
mod routes;

use hostel_sdk::Route;
use hostel_sdk::prelude::*;

const READ: &str = "tenants:read";
const WRITE: &str = "tenants:write";
const DELETE: &str = "tenants:delete";
const SECRETS: &str = "tenants:secrets";

hostel_sdk::module!(tenants);

fn tenants() -> Module {
    let module = Module::new("tenants", env!("CARGO_PKG_VERSION"))
        .about("The tenants of this platform")
        .permission(READ, "Read tenants and their settings")
        .permission(WRITE, "Make and change tenants and their settings")
        .permission(DELETE, "Delete tenants, and take them back")
        .permission(SECRETS, "Set and remove secrets of tenants")
        .route(get("/", routes::list).requires(READ).id("list").about("List tenants by slug"))
        .route(
            post("/", routes::create).requires(WRITE).id("create").about("Make a tenant").problem(
                409,
                routes::EXISTS,
                "Another tenant has this slug",
            ),
        )
        .route(get("/{slug}", routes::read).requires(READ).id("read").about("Read a tenant"))
        .route(
            patch("/{slug}", routes::change)
                .requires(WRITE)
                .id("change")
                .about("Change a tenant's names, plan and limits")
                .problem(409, routes::EXISTS, "Another tenant has this slug")
                .problem(409, routes::STATUS, OF_STATUS),
        )
        .route(turn(
            delete("/{slug}", routes::remove).requires(DELETE).id("remove"),
            "Delete a tenant, with a time to take it back",
        ))
        .route(turn(
            post("/{slug}/suspend", routes::suspend).requires(WRITE).id("suspend"),
            "Refuse a tenant's requests",
        ))
        .route(turn(
            post("/{slug}/resume", routes::resume).requires(WRITE).id("resume"),
            "Answer a suspended tenant's requests again",
        ))
        .route(turn(
            post("/{slug}/undelete", routes::undelete).requires(DELETE).id("undelete"),
            "Take a deleted tenant back",
        ))
        .route(turn(
            post("/{slug}/purge", routes::purge).requires(DELETE).id("purge"),
            "Remove everything of a deleted tenant, for good",
        ));
    with_settings(module)
}

/// What tenants have of their own: settings and secrets.
fn with_settings(module: Module) -> Module {
    module
        .route(
            get("/{slug}/settings", routes::settings)
                .requires(READ)
                .id("read_settings")
                .about("Read a tenant's own settings"),
        )
        .route(
            patch("/{slug}/settings/{module}", routes::change_settings)
                .requires(WRITE)
                .id("change_settings")
                .about("Change a tenant's own settings of a module; null takes one away")
                .problem(422, "invalid-settings", "The module has no such settings"),
        )
        .route(
            get("/{slug}/secrets", routes::secrets)
                .requires(SECRETS)
                .id("list_secrets")
                .about("List the names of a tenant's secrets"),
        )
        .route(
            put("/{slug}/secrets/{name}", routes::set_secret)
                .requires(SECRETS)
                .id("set_secret")
                .about("Set a secret of a tenant"),
        )
        .route(
            delete("/{slug}/secrets/{name}", routes::remove_secret)
                .requires(SECRETS)
                .id("remove_secret")
                .about("Remove a secret of a tenant"),
        )
}

const OF_STATUS: &str = "The tenant's status does not allow it";

/// A route that gives a tenant another status.
fn turn(route: Route, summary: &'static str) -> Route {
    route.about(summary).problem(409, routes::STATUS, OF_STATUS)
}
