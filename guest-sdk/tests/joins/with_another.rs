use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "shelves")]
struct Shelf {
    #[entity(key)]
    id: Id<Shelf>,
    #[entity(belongs_to(room: Room))]
    room_id: Id<Room>,
}

#[derive(Entity)]
#[entity(table = "rooms")]
struct Room {
    #[entity(key)]
    id: Id<Room>,
}

fn main() {
    let _ = Shelf::all().join(Shelf::ROOM).select::<(Shelf, Room)>();
}
