use hostel_sdk::prelude::*;

fn one() -> Result<Json<u32>, std::num::ParseIntError> {
    "1".parse().map(Json)
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", one).public());
}
