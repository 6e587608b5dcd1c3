use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "visits")]
struct Visit {
    #[entity(key)]
    id: i64,
    #[entity(deleted)]
    is_deleted: bool,
}

fn main() {}
