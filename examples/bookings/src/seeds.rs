//! Rooms to try things with, and bookings of the days to come.

use std::time::Duration;

use hostel_sdk::Seed;
use hostel_sdk::fakes::Fakes;
use hostel_sdk::prelude::*;

use crate::model::{Booking, Room};

const OF_A_ROOM: u32 = 20;
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) fn month(seed: Seed, db: Db) -> Result<(), Problem> {
    let (mut fakes, count) = (seed.fakes(), seed.rows_or(200));
    let now = clock::now();
    let rooms = (0..count.div_ceil(OF_A_ROOM)).map(|_| room(&mut fakes, now));
    let rooms = rooms.collect::<Result<Vec<_>, Error>>()?;
    let mut bookings = Vec::new();
    for number in 0..count {
        let room = &rooms[(number / OF_A_ROOM) as usize];
        bookings.push(booking(&mut fakes, room, number % OF_A_ROOM, now)?);
    }
    db.transaction(|tx| {
        tx.insert_all(rooms)?;
        tx.insert_all(bookings)?;
        Ok(())
    })
}

fn room(fakes: &mut Fakes, now: Timestamp) -> Result<Room, Error> {
    Ok(Room {
        id: Id::generate()?,
        name: fakes.line(1..3),
        seats: fakes.whole(),
        created_at: now,
        changed_at: now,
    })
}

/// The nth of a room: it ends before the next one begins.
fn booking(fakes: &mut Fakes, room: &Room, nth: u32, now: Timestamp) -> Result<Booking, Error> {
    let starts_at = now.checked_add(nth * 24 * HOUR).unwrap_or(now);
    let hours = 1 + nth % 8;
    Ok(Booking {
        id: Id::generate()?,
        room_id: room.id,
        starts_at,
        ends_at: starts_at.checked_add(hours * HOUR).unwrap_or(starts_at),
        title: fakes.line(1..4),
        note: fakes.text(1..3),
        created_at: now,
        changed_at: now,
    })
}
