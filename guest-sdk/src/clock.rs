//! The time of day, as the host tells it (tests may set it).

use crate::Timestamp;
use crate::bindings::hostel::clock::clock;

/// What time it is.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_micros(clock::now())
}
