//! JSON in and out, and the names of what is wrong with it.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::extract::{Body, FromRequest, essence, unsupported_media_type};
use crate::handler::Operation;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{IntoResponse, Response};

/// A JSON document: the request's body as an argument, the answer's as a value.
///
/// A body that is not JSON is answered with 400 `invalid-json` and the place; one whose fields are
/// wrong with 422 `invalid-fields` and a JSON Pointer; another content type with 415.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Deserialize, Serialize, JsonSchema)]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// fn mirror(Json(point): Json<Point>) -> Json<Point> {
///     Json(Point { x: -point.x, ..point })
/// }
/// # let _ = post("/", mirror);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned + JsonSchema> FromRequest for Json<T> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        parse(&read(request)?).map(Self)
    }

    fn describe(operation: &mut Operation) {
        operation.request::<T>();
    }
}

impl<T: Serialize + JsonSchema> IntoResponse for Json<T> {
    fn into_response(self, _request: &Request) -> Result<Response, Problem> {
        Response::json(&self.0)
    }

    fn describe(operation: &mut Operation) {
        operation.response::<T>();
    }
}

/// Reads a value from JSON text and names what is wrong with it.
///
/// ```
/// let wrong = hostel_sdk::json::parse::<Vec<u8>>(b"[1, 2, 300]").unwrap_err();
/// assert_eq!((wrong.status(), wrong.errors()[0].pointer.as_str()), (422, "/2"));
/// ```
///
/// # Errors
/// 400 `invalid-json` or 422 `invalid-fields`, as for [`Json`].
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| explain(error.path(), error.inner()))?;
    deserializer.end().map_err(|error| invalid_json(&error))?;
    Ok(value)
}

fn read(request: &mut Request) -> Result<Vec<u8>, Problem> {
    let body = Body::from_request(request)?;
    let is_json = body.content_type().map(is_json);
    if is_json == Some(false) {
        return Err(unsupported_media_type("the body must be JSON: send `application/json`"));
    }
    let bytes = body.read_to_end()?;
    match (bytes.is_empty(), is_json) {
        (true, _) => Err(Problem::bad_request("invalid-json", "the body is empty, expected JSON")),
        (false, None) => {
            Err(unsupported_media_type("the body has no `content-type`: send `application/json`"))
        }
        (false, Some(_)) => Ok(bytes),
    }
}

/// `application/json` and its relatives such as `application/merge-patch+json`.
fn is_json(content_type: &str) -> bool {
    match essence(content_type).to_ascii_lowercase().strip_prefix("application/") {
        Some(subtype) => subtype == "json" || subtype.ends_with("+json"),
        None => false,
    }
}

fn explain(path: &Path, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return invalid_json(error);
    }
    let mut pointer = pointer(path);
    let mut detail = without_place(error);
    // serde names a missing field only in its message, and points to the object around it.
    if let Some(field) = missing_field(&detail) {
        pointer.push('/');
        pointer.push_str(&escape(field));
        detail = "this is missing".to_owned();
    }
    Problem::invalid().field(pointer, detail)
}

fn invalid_json(error: &serde_json::Error) -> Problem {
    let detail =
        format!("{} at line {}, column {}", without_place(error), error.line(), error.column());
    Problem::bad_request("invalid-json", detail)
}

fn missing_field(detail: &str) -> Option<&str> {
    detail.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The message without `at line 1 column 2`, which serde_json appends.
fn without_place(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if let Some(place) = message.rfind(" at line ") {
        message.truncate(place);
    }
    message
}

/// A JSON Pointer (RFC 6901); empty for the document itself.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&escape(key)),
            Segment::Enum { variant } => pointer.push_str(&escape(variant)),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its parsing matters")]
    struct Order {
        customer: String,
        lines: Vec<Line>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only its parsing matters")]
    struct Line {
        #[serde(rename = "a/b")]
        count: u32,
    }

    fn refused(text: &str) -> (u16, String, String) {
        let problem = parse::<Order>(text.as_bytes()).expect_err("this must be refused");
        let error = problem.errors().first().cloned();
        let (pointer, detail) = match error {
            Some(error) => (error.pointer, error.detail),
            None => (problem.code().to_owned(), problem.detail().to_owned()),
        };
        (problem.status(), pointer, detail)
    }

    #[test]
    fn a_syntax_error_says_where() {
        let (status, code, detail) = refused("{\"customer\": \"a\",\n oops}");
        assert_eq!((status, code.as_str()), (400, "invalid-json"));
        assert_eq!(detail, "key must be a string at line 2, column 2");
        assert_eq!(refused("{\"customer\"").0, 400);
        assert_eq!(refused(r#"{"customer":"a","lines":[]} x"#).0, 400);
    }

    #[test]
    fn a_wrong_field_has_a_pointer() {
        let pointer = |text| {
            let (status, pointer, _) = refused(text);
            assert_eq!(status, 422);
            pointer
        };
        assert_eq!(pointer(r#"{"customer": 1, "lines": []}"#), "/customer");
        assert_eq!(
            pointer(r#"{"customer": "a", "lines": [{"a/b": 1}, {"a/b": -1}]}"#),
            "/lines/1/a~1b"
        );
        assert_eq!(pointer(r#"{"customer": "a", "lines": [{}]}"#), "/lines/0/a~1b");
        assert_eq!(pointer(r#"{"customer": "a"}"#), "/lines");
        assert_eq!(pointer(r#"{"customer": "a", "lines": [], "x": 1}"#), "/x");
        assert_eq!(pointer("[]"), "");
    }

    #[test]
    fn json_has_relatives() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/merge-patch+json"));
        assert!(!is_json("text/json"));
        assert!(!is_json("application/jsonish"));
    }
}
