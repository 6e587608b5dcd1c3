use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "shelves")]
struct Shelf {
    #[entity(key)]
    id: Id<Shelf>,
    #[entity(belongs_to(within: Shelf))]
    within_id: Option<Id<Shelf>>,
}

fn main() {
    let _ = Shelf::all().join(Shelf::WITHIN).select::<(Shelf, Shelf)>();
}
