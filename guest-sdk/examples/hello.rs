//! The smallest module: `cargo build -p hostel-sdk --example hello --target wasm32-wasip2`.

use hostel_sdk::prelude::*;

hostel_sdk::module!(hello);

fn hello() -> Module {
    Module::new("hello", "1.0.0")
        .about("Says hello")
        .route(get("/{name}", greet).about("Greet somebody").public())
}

fn greet(Path(name): Path<String>) -> String {
    format!("Hello, {name}!")
}
