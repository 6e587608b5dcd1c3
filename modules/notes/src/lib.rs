//! Notes: short texts with a title, kept per tenant. The example of a module.
//!
//! A note has an id that sorts by the time it was made, so that a list that begins with the newest
//! can be read page by page while others write. Whoever changes a note may say which version they
//! have seen: if somebody was quicker, they are told so, and nothing is lost.
//!
//! `routes` speaks HTTP, `model` knows what a note is and what may be asked of notes, `seeds` makes some
//! up. There is no SQL: a note is an entity.

mod model;
mod routes;
mod seeds;

use hostel_sdk::prelude::*;

hostel_sdk::module!(notes);

fn notes() -> Module {
    Module::new("notes", env!("CARGO_PKG_VERSION"))
        .about("Short notes")
        .permission("notes:read", "Read notes")
        .permission("notes:write", "Create, change and delete notes")
        .migrations(migrations!("0001_notes"))
        .entity::<model::Note>()
        .settings::<model::NotesSettings>()
        .seed("notes", "Notes of the last month", seeds::notes)
        .route(
            get("/", routes::list)
                .requires("notes:read")
                .id("list")
                .about("List notes, search them, newest first"),
        )
        .route(
            post("/", routes::create).requires("notes:write").id("create").about("Create a note"),
        )
        .route(get("/{id}", routes::read).requires("notes:read").id("read").about("Read a note"))
        .route(
            put("/{id}", routes::change)
                .requires("notes:write")
                .id("change")
                .about("Change a note")
                .problem(409, "version-conflict", "Somebody changed it since it was read"),
        )
        .route(
            delete("/{id}", routes::remove)
                .requires("notes:write")
                .id("remove")
                .about("Delete a note"),
        )
}
