//! The only SQL. Several modules may share a tenant's database, so the tables bear the module's
//! name.

use hostel_sdk::prelude::*;

use crate::model::{Booking, BookingId, Room, RoomId, Slot};

impl FromRow for Booking {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.get("id")?,
            slot: Slot {
                room: row.get("room_id")?,
                from: row.get("starts_at")?,
                until: row.get("ends_at")?,
            },
            title: row.get("title")?,
            note: row.get("note")?,
            created_at: row.get("created_at")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

/// The room's bookings that have any of the slot's time, in the order of time.
///
/// A room's bookings never overlap, so the order in which they end is that in which they begin, and
/// a list can go on where its last booking ends.
pub(crate) fn within(db: &impl Connection, slot: Slot, limit: u32) -> Result<Vec<Booking>, Error> {
    db.query(
        "SELECT id, room_id, starts_at, ends_at, title, note, created_at, changed_at
         FROM bookings_bookings
         WHERE room_id = $1 AND ends_at > $2 AND starts_at < $3
         ORDER BY ends_at LIMIT $4",
        params![slot.room, slot.from, slot.until, limit],
    )
}

pub(crate) fn find(db: &impl Connection, id: BookingId) -> Result<Option<Booking>, Error> {
    db.query_optional(
        "SELECT id, room_id, starts_at, ends_at, title, note, created_at, changed_at
         FROM bookings_bookings WHERE id = $1",
        params![id],
    )
}

pub(crate) fn insert(db: &impl Connection, booking: &Booking) -> Result<(), Error> {
    let Booking { id, slot, title, note, created_at, changed_at } = booking;
    db.execute(
        "INSERT INTO bookings_bookings
             (id, room_id, starts_at, ends_at, title, note, created_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![id, slot.room, slot.from, slot.until, title, note, created_at, changed_at],
    )?;
    Ok(())
}

/// Writes a booking's slot.
pub(crate) fn update_slot(db: &impl Connection, booking: &Booking) -> Result<(), Error> {
    let Booking { id, slot, changed_at, .. } = booking;
    db.execute(
        "UPDATE bookings_bookings
         SET room_id = $2, starts_at = $3, ends_at = $4, changed_at = $5 WHERE id = $1",
        params![id, slot.room, slot.from, slot.until, changed_at],
    )?;
    Ok(())
}

/// Whether there was such a booking.
pub(crate) fn delete(db: &impl Connection, id: BookingId) -> Result<bool, Error> {
    let deleted = db.execute("DELETE FROM bookings_bookings WHERE id = $1", params![id])?;
    Ok(deleted > 0)
}

pub(crate) fn has_bookings(db: &impl Connection, room: RoomId) -> Result<bool, Error> {
    let any: Option<Row> = db.query_optional(
        "SELECT id FROM bookings_bookings WHERE room_id = $1 LIMIT 1",
        params![room],
    )?;
    Ok(any.is_some())
}

/// The rooms' table.
pub(crate) mod rooms {
    use super::*;

    impl FromRow for Room {
        fn from_row(row: &Row) -> Result<Self, Error> {
            Ok(Self {
                id: row.get("id")?,
                name: row.get("name")?,
                seats: row.get("seats")?,
                created_at: row.get("created_at")?,
                changed_at: row.get("changed_at")?,
            })
        }
    }

    /// The newest rooms that are older than `before`.
    pub(crate) fn list(
        db: &impl Connection,
        before: RoomId,
        limit: u32,
    ) -> Result<Vec<Room>, Error> {
        db.query(
            "SELECT id, name, seats, created_at, changed_at
             FROM bookings_rooms WHERE id < $1 ORDER BY id DESC LIMIT $2",
            params![before, limit],
        )
    }

    pub(crate) fn find(db: &impl Connection, id: RoomId) -> Result<Option<Room>, Error> {
        db.query_optional(
            "SELECT id, name, seats, created_at, changed_at
             FROM bookings_rooms WHERE id = $1",
            params![id],
        )
    }

    pub(crate) fn insert(db: &impl Connection, room: &Room) -> Result<(), Error> {
        db.execute(
            "INSERT INTO bookings_rooms (id, name, seats, created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5)",
            params![room.id, room.name, room.seats, room.created_at, room.changed_at],
        )?;
        Ok(())
    }

    pub(crate) fn update(db: &impl Connection, room: &Room) -> Result<(), Error> {
        db.execute(
            "UPDATE bookings_rooms SET name = $2, seats = $3, changed_at = $4 WHERE id = $1",
            params![room.id, room.name, room.seats, room.changed_at],
        )?;
        Ok(())
    }

    /// Whether there was such a room.
    pub(crate) fn delete(db: &impl Connection, id: RoomId) -> Result<bool, Error> {
        Ok(db.execute("DELETE FROM bookings_rooms WHERE id = $1", params![id])? > 0)
    }
}
