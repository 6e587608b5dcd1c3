//! The probe: shows tests what a guest sees of a request and of each capability.
//!
//! `requests` echoes, `streams` answers bit by bit, `database` runs the SQL that a test sends, and `capabilities` calls the rest.

mod capabilities;
mod database;
mod http_client;
mod requests;
mod streams;

use hostel_sdk::prelude::*;

hostel_sdk::module!(probe);

fn probe() -> Module {
    let module = Module::new("probe", env!("CARGO_PKG_VERSION"))
        .about("Shows what a guest sees")
        .permission("probe:secret", "See the secret")
        .settings::<capabilities::ProbeSettings>()
        .migrations(migrations!("0001_things"))
        .seed("refused", "Rows that are not to be", capabilities::refuse_seed)
        .calls("api.example.org", "to show what a guest gets from there")
        .calls("*.example.org:*", "to reach the tests' own servers by name")
        .calls("127.0.0.1:*", "to reach them by address")
        .calls("169.254.169.254", "to show that it cannot")
        .calls("[::1]:*", "to show that it cannot")
        .calls("[::ffff:127.0.0.1]:*", "to show that it cannot");
    let module = with_requests(module.before(requests::refuse).after(requests::mark));
    with_capabilities(module)
}

fn with_requests(module: Module) -> Module {
    module
        .route(get("/echo/{*rest}", requests::echo).public())
        .route(post("/echo", requests::echo_body).public())
        .route(post("/length", requests::length).public())
        .route(post("/form", requests::form).public())
        .route(post("/parts", requests::parts).public())
        .route(post("/parts/misread", requests::misread_parts).public())
        .route(get("/secret", requests::secret).requires("probe:secret"))
        .route(get("/problem", requests::problem).public())
        .route(get("/counter", requests::counter).public())
        .route(get("/digest/{text}", requests::digest).public().etag())
        .route(get("/tagged/{version}", requests::tagged).public())
        .route(put("/tagged/{version}", requests::change_tagged).public())
        .route(get("/streams/bytes/{bytes}", streams::bytes).public())
        .route(post("/streams/echo", streams::echo).public())
        .route(get("/streams/lines", streams::lines).public())
        .route(get("/streams/head", streams::head).public())
        .route(get("/streams/broken/{how}", streams::broken).public())
}

fn with_capabilities(module: Module) -> Module {
    module
        .route(post("/sql/query", database::query).public())
        .route(post("/sql/execute", database::execute).public())
        .route(post("/sql/transaction", database::transaction).public())
        .route(post("/sql/batch", database::batch).public())
        .route(post("/sql/import", database::import).public())
        .route(post("/sql/nested", database::nested).public())
        .route(post("/sql/stream", database::stream).public())
        .route(post("/sql/explain", database::explain).public())
        .route(post("/sql/numbers", database::numbers).public())
        .route(get("/log", capabilities::log).public())
        .route(get("/settings/{name}", capabilities::setting).public())
        .route(get("/tenant-secret/{name}", capabilities::secret).public())
        .route(get("/lookups/{lookup}", capabilities::lookup_page).public())
        .route(get("/lookups/{lookup}/all", capabilities::lookup_all).public())
        .route(get("/lookups/{lookup}/row", capabilities::lookup_row).public())
        .route(post("/lookups/{lookup}/rows", capabilities::lookup_rows).public())
        .route(get("/lookups/{lookup}/version", capabilities::lookup_version).public())
        .route(post("/call", http_client::call).public())
        .route(get("/clock", capabilities::clock).public())
        .route(get("/random/{n}", capabilities::random).public())
}
