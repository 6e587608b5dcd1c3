//! The harness: a platform of one's own for every test, clients that are tenants, and the real
//! `hostel` binary in a folder of its own.
//!
//! ```no_run
//! # async fn run() {
//! use hostel_tests::TestPlatform;
//!
//! let platform = TestPlatform::start().await;
//! let acme = platform.tenant("acme").await;
//! assert_eq!(acme.get("/api/probe/counter").await.status(), 200);
//! # }
//! ```
//!
//! A platform answers over real TCP on a port of its own, serves the real `notes` and the guests of
//! `tests/guests`, and keeps its data in a folder that goes with it. `artefacts` spares each test
//! the compilation of its guests.

#![allow(
    clippy::unwrap_used,
    reason = "a harness that cannot go on fails the test, and says where"
)]

mod answer;
mod artefacts;
mod attack;
mod binary;
mod client;
pub mod frames;
mod friendly;
mod guests;
mod half_sent;
mod peer;
mod platform;
mod postgres;
mod service;
mod wait;

pub use self::answer::Answer;
pub use self::artefacts::PLATFORM_KEY;
pub use self::attack::{Attack, resident_bytes, taken_at_most, taken_at_most_of};
pub use self::binary::{Finished, Folder, Hostel, finish, finish_at_terminal, program};
pub use self::client::{Client, Outgoing, chunked};
pub use self::friendly::Friendly;
pub use self::guests::{
    bookings, hostile, hostile_from_the_start, hostile_with_migrations, library, notes, patched,
    probe, reversible, tenants,
};
pub use self::half_sent::HalfSent;
pub use self::peer::Peer;
pub use self::platform::{Setup, TestPlatform};
pub use self::postgres::superuser;
pub use self::service::{Seen, Service};
pub use self::wait::{DEADLINE, eventually, until, within};
