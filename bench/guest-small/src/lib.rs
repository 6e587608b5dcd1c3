//! The small answer of the benchmarks and nothing else: with `guest-by-hand` beside it, it shows what
//! the SDK costs. Another guest would show what its other routes import, too.

use hostel_sdk::prelude::*;

hostel_sdk::module!(bench);

fn bench() -> Module {
    Module::new("bench", env!("CARGO_PKG_VERSION"))
        .about("What the benchmarks call, without anything else")
        .route(get("/hello/{name}", hello).public().about("A small answer without I/O"))
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    hello: String,
    language: &'static str,
    words: u32,
}

fn hello(Path(name): Path<String>) -> Json<Greeting> {
    Json(Greeting { hello: name, language: "en", words: 2 })
}
