//! What a test asks for, and what it gets: its module, served to a tenant of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fake::{Fake, Sent};
use super::host::{Host, host};
use super::log::{LogLine, RawLine};
use super::request::{Request, begin_requests};
use super::user::User;
use crate::Timestamp;

/// What a test asks for. Without more, nobody is granted anything, settings have their defaults, and
/// time passes.
///
/// ```no_run
/// # use hostel_sdk::testing::App;
/// let app = App::new().granting("notes:*").setting("page-size", 2).start();
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[must_use]
pub struct App {
    grants: BTreeSet<String>,
    settings: BTreeMap<String, String>,
    lookups: BTreeMap<String, String>,
    limits: BTreeMap<String, u64>,
    secrets: BTreeMap<String, String>,
    answers: Vec<Fake>,
    clock_micros: Option<i64>,
}

impl App {
    /// The module under test, served to a new tenant.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// App::new().start().get("/").expect_problem(401, "unauthenticated");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Everybody may do this, signed in or not: `notes:read`, `notes:*`. Can be said more than once.
    /// What one user may do is said [of them](User::granting).
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().granting("notes:read").granting("notes:write").start();
    /// ```
    pub fn granting(mut self, permission: impl Into<String>) -> Self {
        self.grants.insert(permission.into());
        self
    }

    /// One of the module's settings has this value.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().setting("page-size", 2).setting("greeting", "hello").start();
    /// ```
    ///
    /// # Panics
    /// When the value cannot be written as JSON.
    #[track_caller]
    pub fn setting(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        match serde_json::to_string(&value) {
            Ok(value) => self.settings.insert(name.into(), value),
            Err(error) => panic!("setting `{}` cannot be JSON: {error}", name.into()),
        };
        self
    }

    /// The platform has this look-up: CSV with a header, as `hostel lookup load` takes it. Rows are
    /// found by the first column.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().lookup("countries", "code,name\nNO,Norway\nSE,Sweden").start();
    /// ```
    pub fn lookup(mut self, name: impl Into<String>, csv: impl Into<String>) -> Self {
        self.lookups.insert(name.into(), csv.into());
        self
    }

    /// The tenant has a limit of its own, by a key of the platform's `[limits]`: `cpu_ms`,
    /// `database_max_bytes`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().tenant_limit("database_max_bytes", 1_000_000).start();
    /// ```
    pub fn tenant_limit(mut self, key: impl Into<String>, value: u64) -> Self {
        self.limits.insert(key.into(), value);
        self
    }

    /// The tenant has this secret.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().secret("RATES_KEY", "k3y").start();
    /// ```
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// Another service answers this, in place of the network. Nothing else that the module calls is
    /// answered.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{App, Fake, json};
    /// let rates = Fake::get("https://api.example.org/rates").json(&json!({ "EUR": 1.0 }));
    /// let app = App::new().answering(rates).start();
    /// ```
    pub fn answering(mut self, fake: Fake) -> Self {
        self.answers.push(fake);
        self
    }

    /// The host's clock stands still at this time until the test [sets](Clock::set) it. Deadlines
    /// and limits of calls go by real time all the same.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().clock("2026-01-31T12:00:00Z").start();
    /// ```
    ///
    /// # Panics
    /// When it is no time such as `2026-01-31T12:00:00Z`.
    #[track_caller]
    pub fn clock(mut self, time: &str) -> Self {
        self.clock_micros = Some(micros(time));
        self
    }

    /// Makes the tenant, on a platform that fits; starts the host when this is its first.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let (app, of_another_tenant) = (App::new().start(), App::new().start());
    /// ```
    ///
    /// # Panics
    /// When there is no host, or it refuses what was asked for: says why.
    #[track_caller]
    pub fn start(self) -> RunningApp {
        let host = host();
        match host.ask_json::<Made>("POST", "/tenants", &self) {
            Ok(made) => RunningApp { host, made, clock: self.clock_micros.map(AtomicI64::new) },
            Err(reason) => panic!("the test host refuses {self:?}: {reason}"),
        }
    }
}

#[derive(Deserialize)]
struct Made {
    tenant: String,
    module: String,
    address: String,
}

/// The module under test, served to one tenant. The tenant is forgotten when this is dropped.
///
/// ```no_run
/// # use hostel_sdk::testing::App;
/// let app = App::new().granting("notes:*").start();
/// app.get("/").query("limit", 5).expect(200);
/// ```
pub struct RunningApp {
    host: &'static Host,
    made: Made,
    clock: Option<AtomicI64>,
}

impl RunningApp {
    /// Somebody with an account in the tenant, whom the module knows by this id. They may do what
    /// everybody may; what else is said by [`User::granting`].
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{App, json};
    /// let app = App::new().start();
    /// let alice = app.user("alice").granting("notes:*");
    /// let bob = app.user("bob");
    /// alice.post("/").json(&json!({ "title": "First" })).expect(201);
    /// bob.get("/").expect_problem(403, "denied");
    /// app.get("/").expect_problem(401, "unauthenticated");
    /// ```
    ///
    /// # Panics
    /// When it is no id: 1 to 128 visible ASCII characters.
    #[track_caller]
    pub fn user(&self, id: &str) -> User<'_> {
        User::of(self, id)
    }

    /// Begins a request with any method, of somebody who does not say who they are.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.request("HEAD", "/").expect(200);
    /// ```
    pub fn request(&self, method: &str, path: &str) -> Request<'_> {
        Request::new(self, None, method, path)
    }

    begin_requests!('_);

    /// The tenant's slug.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert!(app.tenant().starts_with("test-"));
    /// ```
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.made.tenant
    }

    /// Has the module make so many rows of a [seed](crate::Module::seed): the same ones in each test.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.seed("notes", 100);
    /// app.get("/").query("limit", 100).expect(200);
    /// ```
    ///
    /// # Panics
    /// When there is no such seed, or the module says what is wrong.
    #[track_caller]
    pub fn seed(&self, name: &str, rows: u32) {
        let made = self.ask_bytes("POST", "seeds", &json!({ "name": name, "rows": rows }));
        if let Err(reason) = made {
            panic!("{reason}");
        }
    }

    /// The clock of a test that began with [`App::clock`].
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().clock("2026-01-31T12:00:00Z").start();
    /// app.clock().set("2026-02-28T12:00:00Z");
    /// ```
    #[must_use]
    pub fn clock(&self) -> Clock<'_> {
        Clock(self)
    }

    /// What the module wrote to the log in calls for this tenant, in order. A call's lines are here
    /// when it is answered.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.get("/").expect(200);
    /// assert_eq!(app.logs().len(), 1);
    /// assert_eq!(app.logs()[0].message, "listed");
    /// ```
    ///
    /// # Panics
    /// When the host does not answer.
    #[must_use]
    #[track_caller]
    pub fn logs(&self) -> Vec<LogLine> {
        match self.raw_lines() {
            Ok(lines) => lines.into_iter().filter_map(RawLine::of_module).collect(),
            Err(reason) => panic!("{reason}"),
        }
    }

    /// What the module sent to other services in calls for this tenant, in order, answered or not.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.get("/price").expect(200);
    /// assert_eq!(app.sent().len(), 1);
    /// ```
    ///
    /// # Panics
    /// When the host does not answer.
    #[must_use]
    #[track_caller]
    pub fn sent(&self) -> Vec<Sent> {
        #[derive(Deserialize)]
        struct All {
            sent: Vec<Sent>,
        }
        match self.ask_json("GET", "sent", &json!({})) {
            Ok(All { sent }) => sent,
            Err(reason) => panic!("{reason}"),
        }
    }

    /// All lines, the host's too.
    pub(super) fn raw_lines(&self) -> Result<Vec<RawLine>, String> {
        #[derive(Deserialize)]
        struct Lines {
            lines: Vec<RawLine>,
        }
        self.ask_json("GET", "lines", &json!({})).map(|Lines { lines }| lines)
    }

    pub(super) fn ask_bytes(
        &self,
        method: &str,
        below: &str,
        body: &impl Serialize,
    ) -> Result<Vec<u8>, String> {
        self.host.ask(method, &format!("/tenants/{}/{below}", self.made.tenant), body)
    }

    pub(super) fn ask_json<T: DeserializeOwned>(
        &self,
        method: &str,
        below: &str,
        body: &impl Serialize,
    ) -> Result<T, String> {
        self.host.ask_json(method, &format!("/tenants/{}/{below}", self.made.tenant), body)
    }

    pub(super) fn host(&self) -> &'static Host {
        self.host
    }

    pub(super) fn address(&self) -> &str {
        &self.made.address
    }

    /// The whole address of a path of the module, as clients see it.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert!(app.url("/7").ends_with("/api/notes/7"));
    /// ```
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}", self.made.address, self.mounted(path))
    }

    /// The path below the module's mount, whose root has no slash at its end.
    pub(super) fn mounted(&self, path: &str) -> String {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (path, String::new()),
        };
        let path = path.trim_start_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        format!("/api/{}{slash}{path}{query}", self.made.module)
    }
}

impl Drop for RunningApp {
    fn drop(&mut self) {
        // A host that has gone has forgotten it.
        let _ = self.host.ask("DELETE", &format!("/tenants/{}", self.made.tenant), &json!({}));
    }
}

/// The host's clock, in a test that began with [`App::clock`].
///
/// ```no_run
/// # use hostel_sdk::testing::App;
/// let app = App::new().clock("2026-01-31T12:00:00Z").start();
/// let clock = app.clock();
/// clock.advance(std::time::Duration::from_secs(60));
/// ```
pub struct Clock<'a>(&'a RunningApp);

impl Clock<'_> {
    /// Sets it, to any time.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().clock("2026-01-31T12:00:00Z").start();
    /// app.clock().set("2025-12-31T23:59:59Z"); // it may go back, too
    /// ```
    ///
    /// # Panics
    /// When it is no time such as `2026-01-31T12:00:00Z`, or the test did not begin with
    /// [`App::clock`].
    #[track_caller]
    pub fn set(&self, time: &str) {
        self.turn_to(micros(time));
    }

    /// Lets time pass.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().clock("2026-01-31T12:00:00Z").start();
    /// app.clock().advance(std::time::Duration::from_secs(90));
    /// ```
    ///
    /// # Panics
    /// When the test did not begin with [`App::clock`].
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.turn_to(self.shown().load(Ordering::Relaxed).saturating_add(by));
    }

    #[track_caller]
    fn turn_to(&self, micros: i64) {
        let shown = self.shown();
        let path = format!("/tenants/{}/clock", self.0.made.tenant);
        if let Err(reason) = self.0.host.ask("PUT", &path, &json!({ "micros": micros })) {
            panic!("{reason}");
        }
        shown.store(micros, Ordering::Relaxed);
    }

    #[track_caller]
    fn shown(&self) -> &AtomicI64 {
        match &self.0.clock {
            Some(clock) => clock,
            None => {
                panic!("time passes in this test: begin it with `App::new().clock(\"2026-…\")`")
            }
        }
    }
}

#[track_caller]
fn micros(time: &str) -> i64 {
    match time.parse::<Timestamp>() {
        Ok(time) => time.as_micros(),
        Err(error) => panic!("`{time}`: {error}"),
    }
}
