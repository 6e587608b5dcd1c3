use hostel_sdk::prelude::*;

fn hello() -> &'static str {
    "hello"
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", hello));
}
