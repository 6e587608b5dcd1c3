//! What other services answer in a test, and what they were sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What another service answers in a test, in place of the network: [`App::answering`].
///
/// The URL stands for itself and, without a query, for every query; one that ends with `*` stands for
/// all whose path begins so. Of several that fit, the first that was declared answers. It answers 200
/// without a body until it is told otherwise.
///
/// ```no_run
/// # use hostel_sdk::testing::{App, Fake, json};
/// let app = App::new()
///     .answering(Fake::get("https://api.example.org/rates").json(&json!({ "EUR": 1.0 })))
///     .answering(Fake::delete("https://api.example.org/orders/*").status(204))
///     .start();
/// ```
///
/// [`App::answering`]: super::App::answering
#[derive(Clone, Debug, Serialize)]
#[must_use = "it is declared by `App::answering`"]
pub struct Fake {
    method: String,
    url: String,
    /// One after the other; the last one stays.
    answers: Vec<Given>,
}

#[derive(Clone, Debug, Serialize)]
struct Given {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fails: Option<Failure>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Failure {
    Unreachable,
    TimesOut,
}

impl Given {
    const EMPTY: Self = Self { status: 200, headers: Vec::new(), body: Vec::new(), fails: None };
}

impl Fake {
    /// What is answered to this method, whichever it is.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::on("OPTIONS", "https://api.example.org/").header("allow", "GET");
    /// # let _ = fake;
    /// ```
    pub fn on(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), answers: vec![Given::EMPTY] }
    }

    /// What is answered to a `GET`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::get("https://api.example.org/rates").status(404);
    /// # let _ = fake;
    /// ```
    pub fn get(url: impl Into<String>) -> Self {
        Self::on("GET", url)
    }

    /// What is answered to a `POST`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::post("https://api.example.org/orders").status(201);
    /// # let _ = fake;
    /// ```
    pub fn post(url: impl Into<String>) -> Self {
        Self::on("POST", url)
    }

    /// What is answered to a `PUT`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::put("https://api.example.org/orders/*").status(204);
    /// # let _ = fake;
    /// ```
    pub fn put(url: impl Into<String>) -> Self {
        Self::on("PUT", url)
    }

    /// What is answered to a `PATCH`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::patch("https://api.example.org/orders/7").status(204);
    /// # let _ = fake;
    /// ```
    pub fn patch(url: impl Into<String>) -> Self {
        Self::on("PATCH", url)
    }

    /// What is answered to a `DELETE`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::delete("https://api.example.org/orders/7").status(204);
    /// # let _ = fake;
    /// ```
    pub fn delete(url: impl Into<String>) -> Self {
        Self::on("DELETE", url)
    }

    /// The answer has this status.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::get("https://api.example.org/rates").status(500);
    /// # let _ = fake;
    /// ```
    pub fn status(mut self, status: u16) -> Self {
        self.last().status = status;
        self
    }

    /// The answer has this header, too.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::get("https://api.example.org/old")
    ///     .status(301)
    ///     .header("location", "https://api.example.org/new");
    /// # let _ = fake;
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.last().headers.push((name.into(), value.into()));
        self
    }

    /// The answer is JSON.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{Fake, json};
    /// let fake = Fake::get("https://api.example.org/rates").json(&json!({ "EUR": 1.0 }));
    /// # let _ = fake;
    /// ```
    ///
    /// # Panics
    /// When the value cannot be written as JSON.
    #[track_caller]
    pub fn json(self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body("application/json", body),
            Err(error) => panic!("the answer of {} cannot be JSON: {error}", self.url),
        }
    }

    /// The answer is these bytes.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::get("https://api.example.org/table").body("text/csv", "a,b\n1,2\n");
    /// # let _ = fake;
    /// ```
    pub fn body(mut self, content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        self.last().body = body.into();
        self.header("content-type", content_type)
    }

    /// There is nobody at that place.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::get("https://api.example.org/rates").unreachable();
    /// # let _ = fake;
    /// ```
    pub fn unreachable(mut self) -> Self {
        self.last().fails = Some(Failure::Unreachable);
        self
    }

    /// The answer does not come in time. The test does not wait for it.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::Fake;
    /// let fake = Fake::get("https://api.example.org/rates").times_out();
    /// # let _ = fake;
    /// ```
    pub fn times_out(mut self) -> Self {
        self.last().fails = Some(Failure::TimesOut);
        self
    }

    /// What is answered the next time, and, unless more is said, from then on.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{Fake, json};
    /// let fake = Fake::get("https://api.example.org/rates")
    ///     .status(503)
    ///     .then()
    ///     .json(&json!({ "EUR": 1.0 }));
    /// # let _ = fake;
    /// ```
    pub fn then(mut self) -> Self {
        self.answers.push(Given::EMPTY);
        self
    }

    fn last(&mut self) -> &mut Given {
        if self.answers.is_empty() {
            self.answers.push(Given::EMPTY);
        }
        let last = self.answers.len() - 1;
        &mut self.answers[last]
    }
}

/// What the module sent to another service: [`RunningApp::sent`](super::RunningApp::sent).
///
/// ```no_run
/// # use hostel_sdk::testing::{App, Fake, json};
/// # let app = App::new().answering(Fake::post("https://api.example.org/orders")).start();
/// app.post("/").json(&json!({ "article": "tea" })).expect(201);
/// let sent = &app.sent()[0];
/// assert_eq!((&*sent.method, &*sent.url), ("POST", "https://api.example.org/orders"));
/// assert_eq!(sent.json()["article"], "tea");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers, in lower case. In the place of a secret stands its name: `Bearer [RATES_KEY]`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// The first header of that name.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.sent()[0].header("authorization"), Some("Bearer [RATES_KEY]"));
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.sent()[0].text(), "article=tea");
    /// ```
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.body) {
            Ok(text) => text,
            Err(_) => panic!("{} {} was sent no text: {:?}", self.method, self.url, self.body),
        }
    }

    /// The body as JSON.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.sent()[0].json()["article"], "tea");
    /// ```
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{} {} was sent no JSON: {error}", self.method, self.url),
        }
    }
}
