//! The small answer. The guest that has nothing else has the same file.

use hostel_sdk::prelude::*;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Greeting {
    hello: String,
    language: &'static str,
    words: u32,
}

pub(crate) fn hello(Path(name): Path<String>) -> Json<Greeting> {
    Json(Greeting { hello: name, language: "en", words: 2 })
}
