use hostel_sdk::prelude::*;

fn hello() -> Result<String, std::num::ParseIntError> {
    "1".parse::<u8>().map(|it| it.to_string())
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/", hello).public());
}
