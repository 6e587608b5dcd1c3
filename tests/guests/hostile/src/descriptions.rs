//! Descriptions of routes that would spoil the description of a whole API.

use std::borrow::Cow;

use hostel_sdk::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::ends;

/// The module with what the script names, or as it was and `false` where that is none of these.
pub(crate) fn with(module: Module, what: &str) -> (Module, bool) {
    let module = match what {
        "a reference that leads out" => module.route(get("/odd", answer::<0>).public()),
        "a schema that is none" => module.route(get("/odd", answer::<1>).public()),
        "a schema of another base" => module.route(get("/odd", answer::<2>).public()),
        "a path of no URL" => module.route(get("/a b", ends::panic).public()),
        "one name twice" => module
            .route(get("/one", ends::panic).public().id("same"))
            .route(get("/two", ends::panic).public().id("same")),
        "a problem of no code" => {
            module.route(get("/odd", ends::panic).public().problem(404, "No Code", ""))
        }
        _ => return (module, false),
    };
    (module, true)
}

#[derive(Serialize)]
struct Odd<const KIND: u8>;

impl<const KIND: u8> JsonSchema for Odd<KIND> {
    fn schema_name() -> Cow<'static, str> {
        "Odd".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        match KIND {
            0 => json_schema!({ "items": { "$ref": "https://example.org/schema" } }),
            1 => json_schema!({ "type": 7 }),
            _ => json_schema!({ "$id": "https://example.org/schema" }),
        }
    }
}

fn answer<const KIND: u8>() -> Json<Odd<KIND>> {
    Json(Odd)
}
