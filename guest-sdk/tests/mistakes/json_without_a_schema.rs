use hostel_sdk::prelude::*;
use serde::Serialize;

#[derive(Serialize)]
struct Greeting {
    hello: String,
}

fn hello() -> Json<Greeting> {
    Json(Greeting { hello: "world".to_owned() })
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", hello).public());
}
