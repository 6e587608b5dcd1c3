//! What rooms and bookings are, and when a room may be booked. No HTTP and no SQL: the rules are
//! tested natively.

use std::time::Duration;

use hostel_sdk::prelude::*;

pub(crate) type RoomId = Id<Room>;
pub(crate) type BookingId = Id<Booking>;

/// A room as it is kept.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) name: Name,
    pub(crate) seats: Seats,
    pub(crate) created_at: Timestamp,
    pub(crate) changed_at: Timestamp,
}

/// What a room or a booking is called.
pub(crate) type Name = Line<100>;

/// How many people a room seats.
pub(crate) type Seats = Whole<1, 10_000>;

/// What a client says of a room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"name": "Library", "seats": 12}]))]
pub(crate) struct RoomDraft {
    pub(crate) name: Name,
    pub(crate) seats: Seats,
}

impl Room {
    pub(crate) fn new(id: RoomId, draft: RoomDraft, now: Timestamp) -> Self {
        Self { id, name: draft.name, seats: draft.seats, created_at: now, changed_at: now }
    }

    pub(crate) fn changed(self, draft: RoomDraft, now: Timestamp) -> Self {
        Self { name: draft.name, seats: draft.seats, changed_at: now, ..self }
    }
}

/// A booking as it is kept.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Booking {
    pub(crate) id: BookingId,
    #[serde(flatten)]
    pub(crate) slot: Slot,
    pub(crate) title: Name,
    pub(crate) note: Note,
    pub(crate) created_at: Timestamp,
    pub(crate) changed_at: Timestamp,
}

pub(crate) type Note = Text<2_000>;

/// What a booking takes: a room, from `from` up to `until`, which is the next booking's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) room: RoomId,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// What a client says of a booking.
// Its slot stands in its midst: serde cannot flatten it and refuse unknown fields too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookingDraft {
    room: RoomId,
    from: Timestamp,
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

impl Booking {
    pub(crate) fn new(id: BookingId, draft: BookingDraft, now: Timestamp) -> Self {
        let slot = draft.slot();
        Self { id, slot, title: draft.title, note: draft.note, created_at: now, changed_at: now }
    }

    pub(crate) fn moved(self, slot: Slot, now: Timestamp) -> Self {
        Self { slot, changed_at: now, ..self }
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
