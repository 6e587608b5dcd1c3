//! What a module answered.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;

use super::app::RunningApp;

/// A whole answer.
///
/// ```no_run
/// # use hostel_sdk::testing::App;
/// # let app = App::new().start();
/// let answer = app.get("/").expect(200);
/// assert_eq!(answer.header("content-type"), Some("application/json"));
/// ```
pub struct Answer<'a> {
    app: &'a RunningApp,
    /// The request, for messages.
    sent: String,
    response: Response<Vec<u8>>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(app: &'a RunningApp, sent: String, response: Response<Vec<u8>>) -> Self {
        Self { app, sent, response }
    }

    /// The status.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.get("/").send().status(), 200);
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header's value, where there is one that is text.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.get("/").expect(200).header("link"), None);
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The body.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.get("/logo").expect(200).bytes()[..4], *b"\x89PNG");
    /// ```
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.response.body()
    }

    /// The body as text.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert!(app.get("/help").expect(200).text().starts_with("Notes"));
    /// ```
    ///
    /// # Panics
    /// When it is none; shows request, answer and log.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes()) {
            Ok(text) => text,
            Err(_) => self.fail("expected text"),
        }
    }

    /// The body as JSON.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.get("/").expect(200).json()["items"][0]["title"], "First");
    /// ```
    ///
    /// # Panics
    /// When it is none; shows request, answer and log.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        self.json_as()
    }

    /// The body as JSON of this type.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// #[derive(serde::Deserialize)]
    /// struct Note {
    ///     title: String,
    /// }
    /// let note: Note = app.get("/7").expect(200).json_as();
    /// assert_eq!(note.title, "First");
    /// ```
    ///
    /// # Panics
    /// When it is none; shows request, answer and log.
    #[must_use]
    #[track_caller]
    pub fn json_as<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(self.bytes()) {
            Ok(value) => value,
            Err(error) => self
                .fail(&format!("expected JSON of type {} ({error})", std::any::type_name::<T>())),
        }
    }

    pub(super) fn response(&self) -> &Response<Vec<u8>> {
        &self.response
    }

    /// Ends the test, and shows what was asked, answered and logged.
    #[track_caller]
    pub(super) fn fail(&self, expected: &str) -> ! {
        let status = self.response.status();
        let body = match serde_json::from_slice::<Value>(self.bytes()) {
            Ok(body) => format!("{body:#}"),
            Err(_) => String::from_utf8_lossy(self.bytes()).into_owned(),
        };
        let mut told = format!("{expected}\n\n--- asked\n{}\n\n--- answered {status}\n", self.sent);
        for (name, value) in self.response.headers() {
            let _ = writeln!(told, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        let _ = write!(told, "\n{body}");
        let request = self.header("x-request-id");
        let lines = self.app.raw_lines().unwrap_or_default();
        let mut lines = lines.iter().filter(|line| line.is_of(request)).peekable();
        if lines.peek().is_some() {
            told.push_str("\n\n--- log");
        }
        for line in lines {
            let _ = write!(told, "\n{line}");
        }
        panic!("{told}\n");
    }
}
