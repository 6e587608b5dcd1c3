//! Errors for the client, in the terms of RFC 9457.
//!
//! This is the one place where a capability's error becomes a status.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::bindings::hostel::http::types;
use crate::{Error, ErrorKind};

pub(crate) const INVALID_FIELDS: &str = "invalid-fields";

/// What is wrong with one field of a request: a JSON Pointer into the body, or `query/<name>`.
pub use types::FieldError;

/// What went wrong, for the client.
///
/// A module's own errors become problems in one place, and `?` does the rest:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// enum BookingError {
///     Overlaps,
///     TooLong { days_max: u32 },
/// }
///
/// impl From<BookingError> for Problem {
///     fn from(error: BookingError) -> Self {
///         match error {
///             BookingError::Overlaps => Problem::conflict("booking-overlaps", "it is taken then"),
///             BookingError::TooLong { days_max } => {
///                 Problem::invalid().field("/until", format!("at most {days_max} days"))
///             }
///         }
///     }
/// }
///
/// fn find(number: u32) -> Result<&'static str, Problem> {
///     match number {
///         1 => Ok("the first"),
///         2 => Err(Problem::denied("the second is not for you")),
///         3 => Err(Problem::unavailable("the third is being painted")),
///         4 => Err(Problem::bad_request("no-four", "there is never a fourth")),
///         5 => Err(Problem::internal("the fifth has no wall")),
///         6 => Err(Problem::new(418, "teapot", "the sixth is a teapot")),
///         _ => Err(Problem::not_found("room")),
///     }
/// }
/// # let wrong = find(7).unwrap_err();
/// # assert_eq!((wrong.code(), wrong.detail()), ("not-found", "there is no such room"));
/// # let problem = Problem::from(BookingError::TooLong { days_max: 7 });
/// # assert_eq!((problem.status(), problem.errors()[0].pointer.as_str()), (422, "/until"));
/// # assert_eq!(Problem::from(BookingError::Overlaps).code(), "booking-overlaps");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Problem {
    status: u16,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extensions: Vec<(String, String)>,
}

impl Problem {
    /// A problem with this status (400 to 599), this stable name for programs and this explanation
    /// for people.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// 400 with a code of the module's own: the request cannot be understood.
    pub fn bad_request(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(400, code, detail)
    }

    /// 403 `denied`: the caller may know that it exists, and may not do this.
    pub fn denied(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, "denied", detail)
    }

    /// 404 `not-found`: there is no such thing, or the caller may not know of it.
    pub fn not_found(thing: &str) -> Self {
        Self::new(404, "not-found", format!("there is no such {thing}"))
    }

    /// 409 with a code of the module's own: the state of things does not allow it.
    pub fn conflict(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(409, code, detail)
    }

    /// 422 `invalid-fields`: name the fields with [`field`](Self::field).
    pub fn invalid() -> Self {
        Self::new(422, INVALID_FIELDS, "some fields are not valid")
    }

    /// 500 `internal`: the module's own fault.
    pub fn internal(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(500, "internal", detail)
    }

    /// 503 `unavailable`: the same request may succeed later.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(503, "unavailable", detail)
    }

    /// Adds what is wrong with one field: `/title` in the body, or `query/limit`.
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds a member to the document, for programs (RFC 9457, section 3.2). The name has letters,
    /// digits and `_`, at least three, and is none of the host's own, such as `code` or `errors`. A
    /// value that cannot be JSON is left out.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn taken_by(booking: Id<()>) -> Problem {
    ///     Problem::conflict("booking-overlaps", "it is taken then").with("booking", booking)
    /// }
    /// # let _ = taken_by;
    /// ```
    pub fn with(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_string(&value) {
            self.extensions.push((name.into(), value));
        }
        self
    }

    /// 422 `invalid-fields` with these fields: pointers, and what is wrong.
    pub(crate) fn of_fields(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        fields
            .into_iter()
            .fold(Self::invalid(), |problem, (pointer, detail)| problem.field(pointer, detail))
    }

    /// What several extractors say of one request: the first of them, unless all speak of fields.
    pub(crate) fn joined(problems: impl IntoIterator<Item = Option<Self>>) -> Self {
        let joined = problems.into_iter().flatten().reduce(|first, next| {
            match (first.is_of_fields(), next.is_of_fields()) {
                (true, true) => {
                    Self { errors: [first.errors, next.errors].concat(), ..Self::invalid() }
                }
                (true, false) => next,
                (false, _) => first,
            }
        });
        joined.unwrap_or_else(Self::invalid)
    }

    fn is_of_fields(&self) -> bool {
        self.code == INVALID_FIELDS
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The stable name for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What went wrong in this case.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The fields that are wrong.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

/// Lets `?` pass a capability's error to the client:
///
/// | kind | status and code | detail |
/// |---|---|---|
/// | `denied` | 403 `denied` | a fixed sentence |
/// | `not-found` | 404 `not-found` | the error's message |
/// | `conflict` | 409 `conflict` | the error's message |
/// | `invalid` | 422 `invalid` | the error's message |
/// | `limit` | 429 `limit` | the error's message |
/// | `unavailable` | 503 `unavailable` | a fixed sentence |
/// | `timeout` | 504 `timeout` | a fixed sentence |
/// | `other` | 500 `internal` | a fixed sentence |
///
/// A client is told what it can act upon; the rest is the operator's to read in the host's log.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Denied => Self::denied("this is not allowed"),
            ErrorKind::NotFound => Self::new(404, "not-found", error.message),
            ErrorKind::Conflict => Self::new(409, "conflict", error.message),
            ErrorKind::Invalid => Self::new(422, "invalid", error.message),
            ErrorKind::Limit => Self::new(429, "limit", error.message),
            ErrorKind::Unavailable => Self::unavailable("this does not work now: try again later"),
            ErrorKind::Timeout => Self::new(504, "timeout", "this took too long"),
            ErrorKind::Other => Self::internal("something went wrong"),
        }
    }
}

impl From<Problem> for types::Problem {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status,
            code: problem.code.into_owned(),
            detail: problem.detail.into_owned(),
            errors: problem.errors,
            extensions: problem.extensions,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_error_has_a_status_and_shows_only_what_a_client_can_act_upon() {
        let cases = [
            (ErrorKind::Denied, 403, "denied", false),
            (ErrorKind::NotFound, 404, "not-found", true),
            (ErrorKind::Conflict, 409, "conflict", true),
            (ErrorKind::Invalid, 422, "invalid", true),
            (ErrorKind::Limit, 429, "limit", true),
            (ErrorKind::Unavailable, 503, "unavailable", false),
            (ErrorKind::Timeout, 504, "timeout", false),
            (ErrorKind::Other, 500, "internal", false),
        ];
        for (kind, status, code, shown) in cases {
            let message = "connection to 10.0.0.1 refused".to_owned();
            let problem = Problem::from(Error { kind, message, subject: None });
            assert_eq!((problem.status(), problem.code()), (status, code));
            assert_eq!(problem.detail().contains("10.0.0.1"), shown, "{kind:?}");
        }
    }

    #[test]
    fn what_several_say_of_fields_is_one_problem() {
        let fields = |names: &[&str]| {
            names.iter().fold(Problem::invalid(), |problem, name| problem.field(*name, "no"))
        };
        let joined = |problems: Vec<Problem>| Problem::joined(problems.into_iter().map(Some));
        let both = joined(vec![fields(&["query/limit"]), fields(&["/title", "/body"])]);
        let pointers: Vec<_> = both.errors().iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, ["query/limit", "/title", "/body"]);
        let nothing_there = joined(vec![fields(&["query/limit"]), Problem::not_found("note")]);
        assert_eq!((nothing_there.status(), nothing_there.errors().len()), (404, 0));
    }

    #[test]
    fn fields_are_kept_in_order() {
        let problem = Problem::invalid().field("/title", "too long").field("query/limit", "no");
        let pointers: Vec<_> = problem.errors().iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, ["/title", "query/limit"]);
    }
}
