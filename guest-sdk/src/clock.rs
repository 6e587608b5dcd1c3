//! The time of day, as the host tells it (tests may set it).

use crate::Timestamp;
use crate::bindings::hostel::clock::clock;

/// What time it is.
///
/// ```no_run
/// use hostel_sdk::clock;
///
/// println!("{}", clock::now()); // 2026-01-31T12:00:00Z
/// ```
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_micros(clock::now())
}
