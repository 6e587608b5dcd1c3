//! The routes below `/rooms`.

use hostel_sdk::entity::count_of;
use hostel_sdk::prelude::*;

use crate::model::{Booking, Room, RoomDraft, RoomId, Usage};

pub(crate) fn list(list: ListQuery<Room>, db: Db) -> Result<Paged<Room>, Problem> {
    Ok(list.page(&db)?)
}

/// The rooms that are booked most, those that are not booked at all last.
pub(crate) fn usage(db: Db) -> Result<Json<Vec<Usage>>, Problem> {
    let rooms = Room::all()
        .left_join(Room::BOOKINGS)
        .group_by((Room::ID, Room::NAME))
        .order(count_of(Booking::ID).desc())
        .order(Room::NAME.asc())
        .limit(100)
        .select::<Usage>();
    Ok(Json(rooms.list(&db)?))
}

pub(crate) fn create(Json(draft): Json<RoomDraft>, db: Db) -> Result<Created<Room>, Problem> {
    let room = db.create(&draft)?;
    Ok(Created::below(room.id, room))
}

pub(crate) fn read(Path(id): Path<RoomId>, db: Db) -> Result<Json<Room>, Problem> {
    Ok(Json(db.get(id)?))
}

pub(crate) fn change(
    Path(id): Path<RoomId>,
    Json(draft): Json<RoomDraft>,
    db: Db,
) -> Result<Json<Room>, Problem> {
    Ok(Json(db.change(id, &draft)?))
}

/// Past bookings keep a room, too: they say who had it.
pub(crate) fn remove(Path(id): Path<RoomId>, db: Db) -> Result<NoContent, Problem> {
    db.delete::<Room>(id).map_err(|error| match error.is_in_use() {
        true => Problem::conflict("room-has-bookings", "cancel its bookings first"),
        false => error.into(),
    })?;
    Ok(NoContent)
}
