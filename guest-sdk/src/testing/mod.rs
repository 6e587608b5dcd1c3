//! Tests of a module as its clients meet it: the real component in a real host, over HTTP, with a
//! tenant of its own for each test.
//!
//! A module's crate asks for it where its tests are compiled, and nowhere else:
//!
//! ```toml
//! [dev-dependencies]
//! hostel-sdk = { version = "0.1", features = ["testing"] }
//! ```
//!
//! Then a file in `tests/` reads like this:
//!
//! ```no_run
//! use hostel_sdk::testing::{App, json};
//!
//! #[test]
//! fn a_note_can_be_read_by_its_id() {
//!     let app = App::new().granting("notes:*").start();
//!     let note = app.post("/").json(&json!({ "title": "First" })).expect(201).json();
//!     let read = app.get(&format!("/{}", note["id"].as_str().unwrap())).expect(200);
//!     assert_eq!(read.json()["title"], "First");
//! }
//!
//! #[test]
//! fn reading_needs_a_permission() {
//!     let app = App::new().start();
//!     app.get("/").expect_problem(401, "unauthenticated");
//! }
//! ```
//!
//! Paths begin where the module's do: `/` is `/api/notes`. What fails shows the request, the answer
//! and the lines that the host wrote to its log meanwhile, a panic of the module among them.
//!
//! # Running them
//!
//! `hostel test` builds the module, starts one host, and runs `cargo test` (with `--nextest`:
//! `cargo nextest run`). Under plain `cargo test` each test program builds the module and starts
//! `hostel test-host` by itself: the `hostel` that the variable `HOSTEL` names, that was built beside
//! the test, or that is in the `PATH`. The host ends with the program that started it.
//!
//! # What tests share
//!
//! Tenants and users are cheap; platforms cost some ten milliseconds. Tests with the same settings and
//! look-ups are tenants of one platform, and tests that set the clock have a platform to themselves while they
//! run. Nothing that a test does can be seen in another.
//!
//! # Time
//!
//! ```no_run
//! # use hostel_sdk::testing::{App, json};
//! use std::time::Duration;
//!
//! let app = App::new().granting("notes:*").clock("2026-01-01T09:00:00Z").start();
//! let note = app.post("/").json(&json!({ "title": "First" })).expect(201).json();
//! assert_eq!(note["created_at"], "2026-01-01T09:00:00Z");
//! app.clock().advance(Duration::from_secs(3600));
//! app.clock().set("2027-01-01T00:00:00Z");
//! ```

//!
//! # Other services
//!
//! What the module calls over HTTP is answered by what the test declares, and nothing goes out. The
//! host checks as ever: hosts that the module does not declare are refused, and limits hold. A call
//! that nothing was declared for fails, and the host's log, shown with the failure, says what was asked and
//! what is declared.
//!
//! ```no_run
//! # use hostel_sdk::testing::{App, json};
//! use hostel_sdk::testing::Fake;
//!
//! let rates = Fake::get("https://api.example.org/rates").json(&json!({ "EUR": 1.0 }));
//! let app = App::new().secret("RATES_KEY", "k3y").answering(rates).start();
//! app.get("/price").expect(200);
//! assert_eq!(app.sent()[0].header("authorization"), Some("Bearer [RATES_KEY]"));
//! ```

mod answer;
mod app;
mod fake;
mod host;
mod log;
mod request;
mod snapshot;
mod tables;
mod user;

pub use serde_json::{Value, json};

pub use self::answer::Answer;
pub use self::app::{App, Clock, RunningApp};
pub use self::fake::{Fake, Sent};
pub use self::log::LogLine;
pub use self::request::Request;
pub use self::user::User;
pub use crate::log::Level;
