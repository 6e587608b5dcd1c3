//! The module `bookings`: rooms, and who has them when. Bookings of one room never overlap. An example
//! of rules, of transactions and of two resources in one module.
//!
//! `routes` speaks HTTP, `model` knows what may be booked, `repository` holds the only SQL.

mod model;
mod repository;
mod routes;

use hostel_sdk::prelude::*;

use routes::rooms;

const READ: &str = "bookings:read";
const BOOK: &str = "bookings:book";
const ROOMS: &str = "bookings:rooms";

hostel_sdk::module!(module);

fn module() -> Module {
    Module::new("bookings", env!("CARGO_PKG_VERSION"))
        .about("Rooms, and who has them when")
        .permission(READ, "Read rooms and bookings")
        .permission(BOOK, "Book rooms, move bookings and cancel them")
        .permission(ROOMS, "Create, change and delete rooms")
        .migrations(migrations!("0001_rooms_and_bookings"))
        .settings::<model::ModuleSettings>()
        .route(get("/", routes::list).requires(READ).about("List a room's bookings in a window"))
        .route(post("/", routes::book).requires(BOOK).about("Book a room"))
        .route(get("/{id}", routes::read).requires(READ).about("Read a booking"))
        .route(put("/{id}/slot", routes::move_to).requires(BOOK).about("Move a booking"))
        .route(delete("/{id}", routes::cancel).requires(BOOK).about("Cancel a booking"))
        .route(get("/rooms", rooms::list).requires(READ).about("List rooms, newest first"))
        .route(post("/rooms", rooms::create).requires(ROOMS).about("Create a room"))
        .route(get("/rooms/{id}", rooms::read).requires(READ).about("Read a room"))
        .route(put("/rooms/{id}", rooms::change).requires(ROOMS).about("Change a room"))
        .route(delete("/rooms/{id}", rooms::remove).requires(ROOMS).about("Delete a room"))
}
