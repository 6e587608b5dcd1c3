use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "notes")]
struct Note {
    #[entity(key)]
    id: Id<Note>,
}

#[derive(Entity)]
#[entity(table = "tags")]
struct Tag {
    #[entity(key)]
    name: String,
}

fn main() {
    let _ = Note::all().filter(Tag::NAME.eq("milk"));
}
