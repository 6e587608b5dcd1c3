//! HTTP in and out: what a handler needs stands in its parameters, what it answers in its type.

pub(crate) mod rooms;

use hostel_sdk::prelude::*;

use crate::model::{Booking, BookingDraft, BookingId, BrokenRule, ModuleSettings, RoomId, Slot};
use crate::repository;

/// Which bookings a client asks for: those of a room that have any time in a window.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Window {
    room: RoomId,
    /// Now, where a client does not say.
    from: Option<Timestamp>,
    /// Without an end, where a client does not say.
    until: Option<Timestamp>,
}

/// A booking's end is where the next page goes on.
pub(crate) fn list(
    page: Page<Timestamp>,
    Query(window): Query<Window>,
    db: Db,
) -> Result<Paged<Booking>, Problem> {
    let from = window.from.unwrap_or_else(clock::now);
    let until = window.until.unwrap_or(Timestamp::MAX);
    if until <= from {
        return Err(Problem::invalid().field("query/until", "must be after `from`"));
    }
    let slot = Slot { room: window.room, from: page.after.unwrap_or(from), until };
    let bookings = repository::within(&db, slot, page.look_ahead())?;
    Ok(page.answer(bookings, |booking| booking.slot.until))
}

pub(crate) fn book(
    Json(draft): Json<BookingDraft>,
    Settings(settings): Settings<ModuleSettings>,
    db: Db,
) -> Result<Created<Booking>, Problem> {
    let booking = Booking::new(BookingId::generate()?, draft, clock::now());
    db.transaction(|tx| {
        take(tx, &booking, &settings)?;
        repository::insert(tx, &booking)?;
        Ok(Created::below(booking.id, booking))
    })
}

pub(crate) fn read(Path(id): Path<BookingId>, db: Db) -> Result<Json<Booking>, Problem> {
    Ok(Json(repository::find(&db, id)?.ok_or_else(no_such_booking)?))
}

pub(crate) fn move_to(
    Path(id): Path<BookingId>,
    Json(slot): Json<Slot>,
    Settings(settings): Settings<ModuleSettings>,
    db: Db,
) -> Result<Json<Booking>, Problem> {
    db.transaction(|tx| {
        let booking = repository::find(tx, id)?.ok_or_else(no_such_booking)?;
        let booking = booking.moved(slot, clock::now());
        take(tx, &booking, &settings)?;
        repository::update_slot(tx, &booking)?;
        Ok(Json(booking))
    })
}

pub(crate) fn cancel(Path(id): Path<BookingId>, db: Db) -> Result<NoContent, Problem> {
    if repository::delete(&db, id)? { Ok(NoContent) } else { Err(no_such_booking()) }
}

/// Makes sure that a booking may have its slot. Nobody else gets it before the transaction has ended.
fn take(tx: &Transaction, booking: &Booking, settings: &ModuleSettings) -> Result<(), Problem> {
    let Booking { id, slot, changed_at: now, .. } = *booking;
    let mut refused = Problem::invalid();
    for rule in slot.broken_rules(now, settings) {
        let (field, detail) = in_words(rule);
        refused = refused.field(field, detail);
    }
    if repository::rooms::find(tx, slot.room)?.is_none() {
        refused = refused.field("/room", "there is no such room");
    }
    if !refused.errors().is_empty() {
        return Err(refused);
    }
    // Two, because one may be the booking itself, on its way to another time.
    match repository::within(tx, slot, 2)?.into_iter().find(|other| other.id != id) {
        Some(other) => Err(overlaps(&other)),
        None => Ok(()),
    }
}

fn in_words(rule: BrokenRule) -> (&'static str, String) {
    match rule {
        BrokenRule::BeginsInThePast => ("/from", "must not be in the past".to_owned()),
        BrokenRule::EndsBeforeItBegins => ("/until", "must be after `from`".to_owned()),
        BrokenRule::TooLong { hours_max } => {
            ("/until", format!("must be at most {hours_max} h after `from`"))
        }
    }
}

/// Says nothing of what the other booking is for: who may book need not be one who may read.
fn overlaps(Booking { id, slot: Slot { from, until, .. }, .. }: &Booking) -> Problem {
    Problem::conflict(crate::OVERLAPS, "the room is taken then")
        .with("booking", id)
        .with("from", from)
        .with("until", until)
}

fn no_such_booking() -> Problem {
    Problem::not_found("booking")
}
