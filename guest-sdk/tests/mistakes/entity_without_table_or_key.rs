use hostel_sdk::prelude::*;

#[derive(Entity)]
struct Note {
    id: i64,
}

#[derive(Entity)]
#[entity(table = "tags")]
struct Tag {
    name: String,
}

fn main() {}
