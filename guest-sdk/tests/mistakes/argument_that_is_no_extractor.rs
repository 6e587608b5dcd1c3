use hostel_sdk::prelude::*;

fn double(number: u32) -> Json<u32> {
    Json(2 * number)
}

fn main() {
    let _ = Module::new("hello", "1.0.0").route(get("/{number}", double).public());
}
