//! The small answer of the benchmarks and nothing else: with `guest-by-hand` beside it, it shows what
//! the SDK costs. Another guest would show what its other routes import, too.

#[path = "../../guest/src/hello.rs"]
mod hello;

use hostel_sdk::prelude::*;

use hello::hello;

hostel_sdk::module!(bench);

fn bench() -> Module {
    Module::new("bench", env!("CARGO_PKG_VERSION"))
        .about("What the benchmarks call, without anything else")
        .route(get("/hello/{name}", hello).public().about("A small answer without I/O"))
}
