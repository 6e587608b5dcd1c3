use hostel_sdk::prelude::*;

struct Greeting;

fn hello() -> Greeting {
    Greeting
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", hello).public());
}
