use hostel_sdk::prelude::*;

fn hello(_: Headers, _: Headers, _: Headers, _: Headers, _: Headers, _: Headers, _: Headers) {}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", hello).public());
}
