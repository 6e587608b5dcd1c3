use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "notes")]
struct Note {
    #[entity(key)]
    id: Id<Note>,
    stars: i32,
}

#[derive(Entity)]
#[entity(table = "tags")]
struct Tag {
    #[entity(key)]
    id: Id<Tag>,
}

fn wrong(tag: Id<Tag>) {
    let _ = Note::ID.eq(tag);
    let _ = Note::STARS.eq("many");
    let _ = Note::STARS.contains("many");
}

fn main() {}
