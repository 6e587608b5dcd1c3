//! HTTP in and out: what a handler needs stands in its parameters, what it answers in its type.

pub(crate) mod rooms;

use hostel_sdk::prelude::*;

use crate::model::{
    Booking, BookingDraft, BookingId, BrokenRule, ModuleSettings, Room, RoomId, Slot,
};

/// Which bookings a client asks for: those of a room that have any time in a window.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Window {
    room: RoomId,
    /// Now, where a client does not say.
    from: Option<Timestamp>,
    /// Without an end, where a client does not say.
    until: Option<Timestamp>,
}

pub(crate) fn list(
    page: Page,
    Query(window): Query<Window>,
    db: Db,
) -> Result<Paged<Booking>, Problem> {
    let from = window.from.unwrap_or_else(clock::now);
    let until = window.until.unwrap_or(Timestamp::MAX);
    if until <= from {
        return Err(Problem::invalid().field("query/until", "must be after `from`"));
    }
    let slot = Slot { room: window.room, from, until };
    Ok(Booking::filter(slot.bookings()).order(Booking::ENDS_AT.asc()).page(&db, &page)?)
}

pub(crate) fn book(
    Json(draft): Json<BookingDraft>,
    Settings(settings): Settings<ModuleSettings>,
    db: Db,
) -> Result<Created<Booking>, Problem> {
    db.transaction(|tx| {
        take(tx, draft.slot(), None, &settings)?;
        let booking = tx.create(&draft)?;
        Ok(Created::below(booking.id, booking))
    })
}

pub(crate) fn read(Path(id): Path<BookingId>, db: Db) -> Result<Json<Booking>, Problem> {
    Ok(Json(db.get(id)?))
}

pub(crate) fn move_to(
    Path(id): Path<BookingId>,
    Json(slot): Json<Slot>,
    Settings(settings): Settings<ModuleSettings>,
    db: Db,
) -> Result<Json<Booking>, Problem> {
    db.transaction(|tx| {
        // Who moves nothing is told that, whatever is wrong with the slot.
        tx.get::<Booking>(id)?;
        take(tx, slot, Some(id), &settings)?;
        Ok(Json(tx.change(id, &slot)?))
    })
}

pub(crate) fn cancel(Path(id): Path<BookingId>, db: Db) -> Result<NoContent, Problem> {
    db.delete::<Booking>(id)?;
    Ok(NoContent)
}

/// Makes sure that a slot may be taken, by a new booking or by one that is on its way there. Nobody
/// else gets it before the transaction has ended.
fn take(
    tx: &Transaction,
    slot: Slot,
    by: Option<BookingId>,
    settings: &ModuleSettings,
) -> Result<(), Problem> {
    let mut refused = Problem::invalid();
    for rule in slot.broken_rules(clock::now(), settings) {
        let (field, detail) = in_words(rule);
        refused = refused.field(field, detail);
    }
    if tx.find::<Room>(slot.room)?.is_none() {
        refused = refused.field("/room", "there is no such room");
    }
    if !refused.errors().is_empty() {
        return Err(refused);
    }
    let others = Filter::all(by.map(|id| Booking::ID.ne(id)));
    let taken = Booking::filter(slot.bookings()).filter(others).order(Booking::ENDS_AT.asc());
    match taken.first(tx)? {
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
fn overlaps(Booking { id, starts_at, ends_at, .. }: &Booking) -> Problem {
    Problem::conflict(crate::OVERLAPS, "the room is taken then")
        .with("booking", id)
        .with("from", starts_at)
        .with("until", ends_at)
}
