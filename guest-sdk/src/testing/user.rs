//! Somebody who says who they are.

use serde::Deserialize;
use serde_json::json;

use super::app::RunningApp;
use super::request::{Request, begin_requests};

/// Somebody with an account in a test's tenant: [`RunningApp::user`].
///
/// ```no_run
/// # use hostel_sdk::testing::App;
/// # let app = App::new().start();
/// let alice = app.user("alice").granting("notes:read");
/// alice.get("/").expect(200);
/// ```
#[derive(Clone)]
#[must_use = "it sends requests, such as by `get`"]
pub struct User<'a> {
    app: &'a RunningApp,
    id: String,
    token: String,
}

impl<'a> User<'a> {
    #[track_caller]
    pub(super) fn of(app: &'a RunningApp, id: &str) -> Self {
        let mut user = Self { app, id: id.to_owned(), token: String::new() };
        user.may(&[]);
        user
    }

    /// They may do this, too, from now on: `notes:read`, `notes:*`. Can be said more than once.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// let editor = app.user("alice").granting("notes:read").granting("notes:write");
    /// editor.get("/").expect(200);
    /// ```
    ///
    /// # Panics
    /// When it is no pattern of permissions.
    #[track_caller]
    pub fn granting(mut self, permission: &str) -> Self {
        self.may(&[permission]);
        self
    }

    /// Tells the host, which gives what they show.
    #[track_caller]
    fn may(&mut self, grants: &[&str]) {
        #[derive(Deserialize)]
        struct Known {
            token: String,
        }
        let wanted = json!({ "id": self.id, "grants": grants });
        match self.app.ask_json("PUT", "users", &wanted) {
            Ok(Known { token }) => self.token = token,
            Err(reason) => panic!("the test host refuses user `{}`: {reason}", self.id),
        }
    }

    /// Their id, as the module knows it.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// assert_eq!(app.user("alice").id(), "alice");
    /// ```
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Begins a request with any method.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// # let app = App::new().start();
    /// app.user("alice").request("HEAD", "/").expect(200);
    /// ```
    pub fn request(&self, method: &str, path: &str) -> Request<'a> {
        Request::new(self.app, Some(self.clone()), method, path)
    }

    begin_requests!('a);
}
