//! The module `bookings`: rooms, and who has them when. Bookings of one room never overlap. An example
//! of rules, of transactions and of two resources in one module.
//!
//! `routes` speaks HTTP, `model` knows what is kept and what may be booked, `seeds` makes some up. There is no SQL: rooms and
//! bookings are entities. Several modules may share a tenant's database, so their tables bear the
//! module's name.

mod model;
mod routes;
mod seeds;

use hostel_sdk::Route;
use hostel_sdk::prelude::*;

use routes::rooms;

const READ: &str = "bookings:read";
const BOOK: &str = "bookings:book";
const ROOMS: &str = "bookings:rooms";

/// The code of a problem: somebody else has the room.
const OVERLAPS: &str = "booking-overlaps";

hostel_sdk::module!(module);

fn module() -> Module {
    Module::new("bookings", env!("CARGO_PKG_VERSION"))
        .about("Rooms, and who has them when")
        .permission(READ, "Read rooms and bookings")
        .permission(BOOK, "Book rooms, move bookings and cancel them")
        .permission(ROOMS, "Create, change and delete rooms")
        .migrations(migrations!("0001_rooms_and_bookings"))
        .entity::<model::Room>()
        .entity::<model::Booking>()
        .settings::<model::ModuleSettings>()
        .seed("month", "Rooms, and who has them in the days to come", seeds::month)
        .route(
            get("/", routes::list)
                .requires(READ)
                .id("list")
                .about("List a room's bookings in a window"),
        )
        .route(post("/", routes::book).requires(BOOK).id("book").about("Book a room").problem(
            409,
            OVERLAPS,
            "The room is taken then",
        ))
        .route(get("/{id}", routes::read).requires(READ).id("read").about("Read a booking"))
        .route(
            put("/{id}/slot", routes::move_to)
                .requires(BOOK)
                .id("move")
                .about("Move a booking")
                .problem(409, OVERLAPS, "The room is taken then"),
        )
        .route(
            delete("/{id}", routes::cancel).requires(BOOK).id("cancel").about("Cancel a booking"),
        )
        .route(room(
            get("/rooms", rooms::list).requires(READ),
            "list_rooms",
            "List rooms, search them, newest first",
        ))
        .route(room(
            get("/rooms/usage", rooms::usage).requires(READ),
            "usage",
            "See which rooms are booked most",
        ))
        .route(room(post("/rooms", rooms::create).requires(ROOMS), "create_room", "Create a room"))
        .route(room(get("/rooms/{id}", rooms::read).requires(READ), "read_room", "Read a room"))
        .route(room(
            put("/rooms/{id}", rooms::change).requires(ROOMS),
            "change_room",
            "Change a room",
        ))
        .route(
            room(
                delete("/rooms/{id}", rooms::remove).requires(ROOMS),
                "remove_room",
                "Delete a room",
            )
            .problem(409, "room-has-bookings", "Somebody booked it, once or again"),
        )
}

/// Rooms stand together in the API's documentation.
fn room(route: Route, id: &'static str, summary: &'static str) -> Route {
    route.id(id).about(summary).tag("rooms")
}
