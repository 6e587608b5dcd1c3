//! The routes below `/rooms`.

use hostel_sdk::prelude::*;

use crate::model::{Room, RoomDraft, RoomId};
use crate::repository::{self, rooms};

pub(crate) fn list(page: Page<RoomId>, db: Db) -> Result<Paged<Room>, Problem> {
    let rooms = rooms::list(&db, page.after.unwrap_or(RoomId::MAX), page.look_ahead())?;
    Ok(page.answer(rooms, |room| room.id))
}

pub(crate) fn create(Json(draft): Json<RoomDraft>, db: Db) -> Result<Created<Room>, Problem> {
    let room = Room::new(RoomId::generate()?, draft, clock::now());
    rooms::insert(&db, &room)?;
    Ok(Created::below(room.id, room))
}

pub(crate) fn read(Path(id): Path<RoomId>, db: Db) -> Result<Json<Room>, Problem> {
    Ok(Json(rooms::find(&db, id)?.ok_or_else(no_such_room)?))
}

pub(crate) fn change(
    Path(id): Path<RoomId>,
    Json(draft): Json<RoomDraft>,
    db: Db,
) -> Result<Json<Room>, Problem> {
    db.transaction(|tx| {
        let room = rooms::find(tx, id)?.ok_or_else(no_such_room)?.changed(draft, clock::now());
        rooms::update(tx, &room)?;
        Ok(Json(room))
    })
}

/// Past bookings keep a room, too: they say who had it.
pub(crate) fn remove(Path(id): Path<RoomId>, db: Db) -> Result<NoContent, Problem> {
    db.transaction(|tx| {
        if repository::has_bookings(tx, id)? {
            return Err(Problem::conflict("room-has-bookings", "cancel its bookings first"));
        }
        if rooms::delete(tx, id)? { Ok(NoContent) } else { Err(no_such_room()) }
    })
}

fn no_such_room() -> Problem {
    Problem::not_found("room")
}
