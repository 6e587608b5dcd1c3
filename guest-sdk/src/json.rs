//! JSON in and out, and the names of what is wrong with it.

mod fields;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::fields::{DUPLICATE, MISSING};
use crate::extract::{
    Body, FromRequest, describe_body, describe_invalid, essence, unsupported_media_type,
};
use crate::handler::{Operation, json_text, schema_for};
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{IntoResponse, Response};
use crate::sql::{Cell, FromValue, Mismatch, ToValue, Value};

/// A JSON document: the request's body as an argument, the answer's as a value.
///
/// A body that is not JSON is answered with 400 `invalid-json` and the place; one whose fields are
/// wrong with 422 `invalid-fields` and a JSON Pointer to each; another content type with 415, and
/// more than 2 MiB with 413, where the route says no other size.
///
/// What a type's schema says by attributes alone (`#[schemars(length(max = 9))]`) is documentation.
/// Types that cannot be wrong ([`Line`](crate::text::Line), [`Whole`](crate::whole::Whole), your own
/// with `#[serde(try_from = "…")]`) say it and hold it.
///
/// ```
/// # use hostel_sdk::prelude::*;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned + JsonSchema> FromRequest for Json<T> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        parse_with(&body(request)?, || Some(schema_for::<T>())).map(Self)
    }

    fn describe(operation: &mut Operation) {
        operation.request::<T>();
        operation.problem(400, "invalid-json", "The body is no JSON");
        describe_body(operation);
        describe_invalid(operation);
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

/// In a column, it is a document of that form:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Entity, Serialize, JsonSchema)]
/// #[entity(table = "teas")]
/// struct Tea {
///     #[entity(key)]
///     id: Id<Tea>,
///     names: Json<Vec<String>>,
/// }
/// ```
impl<T: Serialize> ToValue for Json<T> {
    fn to_value(&self) -> Value {
        Value::Json(json_text(&self.0))
    }
}

impl<T: DeserializeOwned> FromValue for Json<T> {
    fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
        match cell {
            Cell::Json(text) | Cell::Text(text) => {
                serde_json::from_str(text).map(Self).map_err(|_| Mismatch)
            }
            _ => Err(Mismatch),
        }
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Json<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Reads a value from JSON text and names what is wrong with it; of what is missing, the first.
///
/// ```
/// let wrong = hostel_sdk::json::parse::<Vec<u8>>(b"[1, 2, 300]").unwrap_err();
/// assert_eq!((wrong.status(), wrong.errors()[0].pointer.as_str()), (422, "/2"));
/// ```
///
/// # Errors
/// 400 `invalid-json` or 422 `invalid-fields`, as for [`Json`].
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    parse_with(text, || None)
}

type ReadError = serde_path_to_error::Error<serde_json::Error>;

fn parse_with<T: DeserializeOwned>(
    text: &[u8],
    schema: fn() -> Option<Schema>,
) -> Result<T, Problem> {
    // serde takes a list for a struct, field by field; nobody who sends one means that.
    if text.trim_ascii_start().first() == Some(&b'[') && schema().is_some_and(|it| is_object(&it)) {
        return Err(Problem::invalid().field("", "expected an object, got a list"));
    }
    // Noting the path to each value takes as long as reading them: only who is refused needs it.
    serde_json::from_slice(text).map_err(|error| match read::<T>(text) {
        Err(first) => fields::explain(text, first, |text| read::<T>(text).err(), schema().as_ref()),
        Ok(_) => invalid_json(&error),
    })
}

fn is_object(schema: &Schema) -> bool {
    schema.get("type").is_some_and(|it| it == "object")
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, ReadError> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text))
}

fn body(request: &mut Request) -> Result<Vec<u8>, Problem> {
    let body = Body::from_request(request)?;
    let is_json = body.content_type().map(is_json);
    if is_json == Some(false) {
        return Err(unsupported_media_type("the body must be JSON: send `application/json`"));
    }
    let bytes = body.read_document(request)?;
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

fn invalid_json(error: &serde_json::Error) -> Problem {
    let detail =
        format!("{} at line {}, column {}", without_place(error), error.line(), error.column());
    Problem::bad_request("invalid-json", detail)
}

/// The message without `at line 1 column 2`, which serde_json appends.
fn without_place(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if let Some(place) = message.rfind(" at line ") {
        message.truncate(place);
    }
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::text::Line;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its parsing matters")]
    struct Order {
        customer: Line<20>,
        lines: Vec<Item>,
        address: Option<Address>,
        point: Option<(f64, f64)>,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its parsing matters")]
    struct Item {
        #[serde(rename = "a/b")]
        count: u32,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its parsing matters")]
    struct Address {
        street: Line<20>,
        city: Line<20>,
        kind: Kind,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code, reason = "only its parsing matters")]
    enum Kind {
        Home,
        Other(Line<3>),
    }

    fn problem(text: &str) -> Problem {
        parse_with::<Order>(text.as_bytes(), || Some(schema_for::<Order>()))
            .expect_err("this must be refused")
    }

    fn wrong(text: &str) -> Vec<String> {
        let problem = problem(text);
        assert_eq!((problem.status(), problem.code()), (422, "invalid-fields"));
        problem.errors().iter().map(|it| format!("{}: {}", it.pointer, it.detail)).collect()
    }

    fn refused(text: &str) -> (u16, String, String) {
        let problem = problem(text);
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
    fn every_field_that_is_wrong_is_named() {
        assert_eq!(wrong("{}"), ["/customer: this is missing", "/lines: this is missing"]);
        let all = wrong(
            r#"{"lines": [{"a/b": -1}, {"a/b": 1}, 7, {}, {"a/b": "x"}], "colour": "red",
                "customer": " ", "point": [1, "x"],
                "address": {"street": 1, "kind": {"other": "long"}}}"#,
        );
        assert_eq!(
            all,
            [
                "/address/city: this is missing",
                "/address/kind/other: must have 1 to 3 characters",
                "/address/street: expected a text, got integer `1`",
                "/colour: unknown field `colour`, expected one of `customer`, `lines`, `address`, `point`",
                "/customer: must have 1 to 20 characters",
                "/lines/0/a~1b: expected a whole number in range, got integer `-1`",
                "/lines/2: expected an object, got integer `7`",
                "/lines/3/a~1b: this is missing",
                "/lines/4/a~1b: expected a whole number in range, got string \"x\"",
                "/point/1: expected a number, got string \"x\"",
            ]
        );
        let twice = r#"{"customer": "a", "customer": "b", "lines": []}"#;
        assert_eq!(wrong(twice), ["/customer: this is given more than once"]);
        let kind = r#"{"customer": "a", "lines": [], "address": {"street": "a", "city": "b", "kind": "x"}}"#;
        assert_eq!(wrong(kind), ["/address/kind: unknown variant `x`, expected `home` or `other`"]);
    }

    #[test]
    fn what_is_wrong_is_named_up_to_a_number() {
        let lines = vec!["{}"; 100].join(",");
        assert_eq!(wrong(&format!(r#"{{"customer": "a", "lines": [{lines}]}}"#)).len(), 32);
    }

    #[test]
    fn what_is_no_json_further_on_blames_no_field() {
        assert_eq!(refused(r#"{"customer": 1, "lines": [}"#).1, "invalid-json");
    }

    fn documents() -> impl Strategy<Value = serde_json::Value> {
        let key = prop::sample::select(vec![
            "customer", "lines", "a/b", "address", "street", "city", "kind", "other", "point", "~",
        ]);
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!("home")),
            Just(json!("")),
            any::<i32>().prop_map(|it| json!(it)),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(|it| json!(it)),
                prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|it| json!(it)),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_an_order_or_its_wrong_fields_are_named(document in documents()) {
            let text = document.to_string();
            let read = parse_with::<Order>(text.as_bytes(), || Some(schema_for::<Order>()));
            if let Err(problem) = read {
                prop_assert!(!problem.errors().is_empty());
                for error in problem.errors() {
                    let there = document.pointer(&error.pointer).is_some();
                    prop_assert_eq!(there, error.detail != MISSING, "{} {:?}", text, error);
                }
            }
        }
    }

    #[test]
    fn a_list_is_no_struct_of_its_items() {
        let refused = |text| {
            let read = parse_with::<Item>(text, || Some(schema_for::<Item>()));
            read.err().map(|problem| (problem.status(), problem.errors()[0].pointer.clone()))
        };
        assert_eq!(refused(b" [7]"), Some((422, String::new())));
        assert_eq!(refused(b"{\"a/b\": 7}"), None);
        let numbers = parse_with::<Vec<u32>>(b"[7]", || Some(schema_for::<Vec<u32>>()));
        assert_eq!(numbers.ok(), Some(vec![7]));
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
