use hostel_sdk::prelude::*;

#[derive(Entity)]
#[entity(table = "notes")]
struct Note {
    #[entity(key)]
    id: Id<Note>,
    title: Line<100>,
}

#[derive(Draft)]
#[draft(of = Note)]
struct NoteDraft {
    title: String,
}

#[derive(Projection)]
#[projection(of = Note)]
struct Shown {
    title: String,
    colour: String,
}

fn main() {}
