//! A request in the making.

use serde::Serialize;
use ureq::http;

use super::answer::Answer;
use super::app::RunningApp;
use super::user::User;

/// Begins requests, by method.
macro_rules! begin_requests {
    ($app:lifetime) => {
        /// Begins a `GET`.
        ///
        /// ```no_run
        /// # use hostel_sdk::testing::App;
        /// # let app = App::new().start();
        /// app.get("/").expect(200);
        /// ```
        pub fn get(&self, path: &str) -> Request<$app> {
            self.request("GET", path)
        }

        /// Begins a `POST`.
        ///
        /// ```no_run
        /// # use hostel_sdk::testing::{App, json};
        /// # let app = App::new().start();
        /// app.post("/").json(&json!({ "title": "First" })).expect(201);
        /// ```
        pub fn post(&self, path: &str) -> Request<$app> {
            self.request("POST", path)
        }

        /// Begins a `PUT`.
        ///
        /// ```no_run
        /// # use hostel_sdk::testing::{App, json};
        /// # let app = App::new().start();
        /// app.put("/7").json(&json!({ "title": "Second" })).expect(200);
        /// ```
        pub fn put(&self, path: &str) -> Request<$app> {
            self.request("PUT", path)
        }

        /// Begins a `PATCH`.
        ///
        /// ```no_run
        /// # use hostel_sdk::testing::{App, json};
        /// # let app = App::new().start();
        /// app.patch("/7").json(&json!({ "title": "Third" })).expect(200);
        /// ```
        pub fn patch(&self, path: &str) -> Request<$app> {
            self.request("PATCH", path)
        }

        /// Begins a `DELETE`.
        ///
        /// ```no_run
        /// # use hostel_sdk::testing::App;
        /// # let app = App::new().start();
        /// app.delete("/7").expect(204);
        /// ```
        pub fn delete(&self, path: &str) -> Request<$app> {
            self.request("DELETE", path)
        }
    };
}
pub(super) use begin_requests;

/// A request in the making; [`expect`](Self::expect), [`expect_problem`](Self::expect_problem) and
/// [`send`](Self::send) send it.
///
/// ```no_run
/// # use hostel_sdk::testing::{App, json};
/// # let app = App::new().start();
/// let request = app.post("/").header("x-mine", "yes").json(&json!({ "title": "First" }));
/// request.expect(201);
/// ```
#[must_use = "it is sent by `expect`, `expect_problem` or `send`"]
pub struct Request<'a> {
    app: &'a RunningApp,
    user: Option<User<'a>>,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        app: &'a RunningApp,
        user: Option<User<'a>>,
        method: &str,
        path: &str,
    ) -> Self {
        Self {
            app,
            user,
            method: method.to_owned(),
            path: app.mounted(path),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.get("/").header("accept-language", "de").expect(200);
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a parameter to the query, encoded.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.get("/").query("limit", 5).query("title", "Milk & honey").expect(200);
    /// ```
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path = form_urlencoded::Serializer::for_suffix(self.path.clone(), self.path.len())
            .append_pair(name, &value.to_string())
            .finish();
        self
    }

    /// Sends JSON.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{App, json};
    /// # let app = App::new().start();
    /// app.post("/").json(&json!({ "title": "First" })).expect(201);
    /// ```
    ///
    /// # Panics
    /// When the value cannot be written as JSON.
    #[track_caller]
    pub fn json(self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body("application/json", body),
            Err(error) => panic!("the body cannot be JSON: {error}"),
        }
    }

    /// Sends these bytes.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.put("/logo").body("image/png", vec![0x89, b'P', b'N', b'G']).expect(204);
    /// ```
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sends it, whatever the answer is.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// let status = app.get("/").send().status();
    /// assert!(status < 500);
    /// ```
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn send(self) -> Answer<'a> {
        let sent = self.in_words();
        match self.answer() {
            Ok(response) => Answer::new(self.app, sent, response),
            Err(reason) => panic!("{sent}\nwas not answered: {reason}"),
        }
    }

    /// Sends it. The answer must have this status.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.get("/").expect(200);
    /// ```
    ///
    /// # Panics
    /// When it has another; shows request, answer and log.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer<'a> {
        let answer = self.send();
        if answer.status() != status {
            answer.fail(&format!("expected {status}"));
        }
        answer
    }

    /// Sends it. The answer must be a problem with this status and code.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{App, json};
    /// # let app = App::new().start();
    /// let problem = app.post("/").json(&json!({})).expect_problem(422, "invalid-fields").json();
    /// assert_eq!(problem["errors"][0]["pointer"], "/title");
    /// ```
    ///
    /// # Panics
    /// When it is not; shows request, answer and log.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Answer<'a> {
        let answer = self.expect(status);
        if answer.header("content-type") != Some("application/problem+json")
            || answer.json()["code"] != code
        {
            answer.fail(&format!("expected the problem `{code}`"));
        }
        answer
    }

    /// Sends it. The answer must be a 422 that names exactly these fields: `/title`, `query/limit`.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{App, json};
    /// # let app = App::new().start();
    /// app.post("/").json(&json!({ "title": "", "colour": 7 })).expect_invalid(&["/colour", "/title"]);
    /// ```
    ///
    /// # Panics
    /// When it is not; shows request, answer and log.
    #[track_caller]
    pub fn expect_invalid(self, fields: &[&str]) -> Answer<'a> {
        let answer = self.expect_problem(422, "invalid-fields");
        let problem = answer.json();
        let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
        if !errors.iter().map(|error| &error["pointer"]).eq(fields) {
            answer.fail(&format!("expected that these fields are not valid: {fields:?}"));
        }
        answer
    }

    fn answer(&self) -> Result<http::Response<Vec<u8>>, String> {
        let url = format!("http://{}{}", self.app.address(), self.path);
        let mut request = http::Request::builder()
            .method(self.method.as_str())
            .uri(url)
            .header("x-tenant", self.app.tenant());
        if let Some(user) = &self.user {
            request = request.header("authorization", format!("Bearer {}", user.token()));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let agent = &self.app.host().agent;
        let answered = if self.body.is_empty() {
            agent.run(request.body(()).map_err(|error| error.to_string())?)
        } else {
            agent.run(request.body(&self.body).map_err(|error| error.to_string())?)
        };
        let (parts, mut body) = answered.map_err(|error| error.to_string())?.into_parts();
        let body = body.with_config().limit(u64::MAX).read_to_vec();
        Ok(http::Response::from_parts(parts, body.map_err(|error| error.to_string())?))
    }

    /// For people who look for what was wrong.
    fn in_words(&self) -> String {
        let mut words = format!("{} {}", self.method, self.path);
        if let Some(user) = &self.user {
            words.push_str(&format!("\nas `{}`", user.id()));
        }
        for (name, value) in &self.headers {
            words.push_str(&format!("\n{name}: {value}"));
        }
        if !self.body.is_empty() {
            words.push_str(&format!("\n\n{}", String::from_utf8_lossy(&self.body)));
        }
        words
    }
}
