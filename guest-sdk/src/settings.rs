//! The module's settings, as declared with [`Module::setting`](crate::Module::setting) and changed
//! by the operator.

use serde::de::DeserializeOwned;

use crate::bindings::hostel::settings::settings;
use crate::extract::FromRequest;
use crate::problem::Problem;
use crate::request::Request;
use crate::{Error, ErrorKind};

/// Reads settings.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn greet(settings: Settings) -> Result<String, Problem> {
///     Ok(format!("{}, world!", settings.get::<String>("greeting")?))
/// }
///
/// fn hello() -> Module {
///     Module::new("hello", "1.0.0")
///         .setting("greeting", "The first word", "Hello".to_owned())
///         .route(get("/", greet).public())
/// }
/// # assert_eq!(hello().manifest().settings[0].default_value, "\"Hello\"");
/// ```
#[derive(Debug)]
pub struct Settings(());

impl Settings {
    /// A setting's value.
    ///
    /// # Errors
    /// `not-found` where the module declares no such setting, `other` where it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value = settings::get(name)?;
        serde_json::from_str(&value).map_err(|error| Error {
            kind: ErrorKind::Other,
            message: format!("setting `{name}` has another type: {error}"),
            subject: Some(name.to_owned()),
        })
    }
}

impl FromRequest for Settings {
    fn from_request(_request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(()))
    }
}
