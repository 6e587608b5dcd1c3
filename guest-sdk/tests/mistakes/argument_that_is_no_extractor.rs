use hostel_sdk::prelude::*;

fn hello(name: String) -> String {
    name
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/{name}", hello).public());
}
