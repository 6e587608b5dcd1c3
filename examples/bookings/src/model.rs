//! What rooms and bookings are, and when a room may be booked. No HTTP: the rules are tested natively.

use std::time::Duration;

use hostel_sdk::entity::{count_of, max, min};
use hostel_sdk::prelude::*;

pub(crate) type RoomId = Id<Room>;
pub(crate) type BookingId = Id<Booking>;

/// A room as it is kept.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "bookings_rooms", has_many(bookings: Booking, by = room_id))]
pub(crate) struct Room {
    #[entity(key)]
    pub(crate) id: RoomId,
    pub(crate) name: Name,
    pub(crate) seats: Seats,
    #[entity(created)]
    pub(crate) created_at: Timestamp,
    #[entity(updated)]
    pub(crate) changed_at: Timestamp,
}

/// What a room or a booking is called.
pub(crate) type Name = Line<100>;

/// How many people a room seats.
pub(crate) type Seats = Whole<1, 10_000>;

/// What a client says of a room.
#[derive(Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Room)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"name": "Library", "seats": 12}]))]
pub(crate) struct RoomDraft {
    name: Name,
    seats: Seats,
}

/// Newest first, unless a client says otherwise.
impl Listed for Room {
    type Entity = Self;

    fn list() -> List<Self> {
        List::by(Room::ID.desc())
            .range(Room::SEATS)
            .sort(Room::NAME)
            .sort(Room::SEATS)
            .search(Room::NAME)
            .counted()
    }
}

/// How often a room is booked, and for how long from when on.
#[derive(Debug, Projection, Serialize, JsonSchema)]
#[projection(of = Room)]
pub(crate) struct Usage {
    name: Name,
    #[projection(from = count_of(Booking::ID))]
    bookings: i64,
    #[projection(from = min(Booking::STARTS_AT))]
    first: Option<Timestamp>,
    #[projection(from = max(Booking::ENDS_AT))]
    last: Option<Timestamp>,
}

/// A booking as it is kept. A room's bookings never overlap, so the order in which they end is that
/// in which they begin.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "bookings_bookings", unique(room_id, ends_at))]
pub(crate) struct Booking {
    #[entity(key)]
    pub(crate) id: BookingId,
    #[serde(rename = "room")]
    #[entity(belongs_to(room: Room))]
    pub(crate) room_id: RoomId,
    #[serde(rename = "from")]
    pub(crate) starts_at: Timestamp,
    #[serde(rename = "until")]
    pub(crate) ends_at: Timestamp,
    pub(crate) title: Name,
    pub(crate) note: Note,
    #[entity(created)]
    pub(crate) created_at: Timestamp,
    #[entity(updated)]
    pub(crate) changed_at: Timestamp,
}

pub(crate) type Note = Text<2_000>;

/// What a booking takes: a room, from `from` up to `until`, which is the next booking's.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Booking)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    #[draft(to = room_id)]
    pub(crate) room: RoomId,
    #[draft(to = starts_at)]
    pub(crate) from: Timestamp,
    #[draft(to = ends_at)]
    pub(crate) until: Timestamp,
}

/// What a client says of a booking.
// Its slot stands in its midst: serde cannot flatten it and refuse unknown fields too.
#[derive(Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Booking)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookingDraft {
    #[draft(to = room_id)]
    room: RoomId,
    #[draft(to = starts_at)]
    from: Timestamp,
    #[draft(to = ends_at)]
    until: Timestamp,
    /// Who or what it is for.
    title: Name,
    #[serde(default)]
    note: Note,
}

impl BookingDraft {
    pub(crate) fn slot(&self) -> Slot {
        Slot { room: self.room, from: self.from, until: self.until }
    }
}

/// Why nobody may book a slot, whether its room is free or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenRule {
    BeginsInThePast,
    EndsBeforeItBegins,
    TooLong { hours_max: u32 },
}

impl Slot {
    /// The bookings that have any of its time.
    pub(crate) fn bookings(&self) -> Filter<Booking> {
        Booking::ROOM_ID
            .eq(self.room)
            .and(Booking::ENDS_AT.gt(self.from))
            .and(Booking::STARTS_AT.lt(self.until))
    }

    /// All rules that the slot breaks, so that a client need not find them one by one.
    pub(crate) fn broken_rules(
        &self,
        now: Timestamp,
        settings: &ModuleSettings,
    ) -> Vec<BrokenRule> {
        let length = self.until.since(self.from).unwrap_or_default();
        let hours_max = settings.max_hours;
        let rules = [
            (self.from < now, BrokenRule::BeginsInThePast),
            (length.is_zero(), BrokenRule::EndsBeforeItBegins),
            (length > HOUR * hours_max, BrokenRule::TooLong { hours_max }),
        ];
        rules.into_iter().filter_map(|(broken, rule)| broken.then_some(rule)).collect()
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// What an operator may change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ModuleSettings {
    /// How many hours a booking may last.
    #[schemars(range(min = 1, max = 8_760))]
    pub(crate) max_hours: u32,
}

impl Default for ModuleSettings {
    fn default() -> Self {
        Self { max_hours: 8 }
    }
}

#[cfg(test)]
mod tests {
    use super::BrokenRule::*;
    use super::*;

    /// The rules that a slot breaks at nine, where bookings last two hours at most.
    fn broken(from: &str, until: &str) -> Vec<BrokenRule> {
        let at = |time: &str| format!("2026-01-05T{time}Z").parse().unwrap();
        let slot = Slot { room: RoomId::MAX, from: at(from), until: at(until) };
        slot.broken_rules(at("09:00:00"), &ModuleSettings { max_hours: 2 })
    }

    #[test]
    fn a_booking_begins_now_or_later() {
        assert_eq!(broken("09:00:00", "10:00:00"), []);
        assert_eq!(broken("08:59:59.999999", "10:00:00"), [BeginsInThePast]);
    }

    #[test]
    fn a_booking_ends_after_it_begins() {
        assert_eq!(broken("10:00:00", "10:00:00.000001"), []);
        assert_eq!(broken("10:00:00", "10:00:00"), [EndsBeforeItBegins]);
        assert_eq!(broken("10:00:00", "09:30:00"), [EndsBeforeItBegins]);
    }

    #[test]
    fn a_booking_lasts_as_long_as_the_operator_allows() {
        assert_eq!(broken("09:00:00", "11:00:00"), []);
        assert_eq!(broken("09:00:00", "11:00:00.000001"), [TooLong { hours_max: 2 }]);
    }

    #[test]
    fn every_broken_rule_is_told() {
        assert_eq!(broken("08:00:00", "12:00:00"), [BeginsInThePast, TooLong { hours_max: 2 }]);
        assert_eq!(broken("08:00:00", "07:00:00"), [BeginsInThePast, EndsBeforeItBegins]);
    }
}
