use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "hostel_notes")]
struct Taken {
    #[entity(key)]
    id: i64,
}

#[derive(Entity)]
#[entity(table = "orders")]
struct Order {
    #[entity(key)]
    id: i64,
    user: String,
}

#[derive(Entity)]
#[entity(table = "notes")]
struct Long {
    #[entity(key)]
    a_name_that_is_so_long_that_postgresql_would_cut_it_off_somewhere: i64,
}

#[derive(Entity)]
#[entity(table = "notes", unique(title, owner))]
struct Missing {
    #[entity(key)]
    id: i64,
    title: String,
}

fn main() {}
