//! All that is wrong with the fields of a document.
//!
//! serde stops at the first thing that is wrong. To find the others, what is wrong is cut out and
//! the rest is read again, until nothing new is found; what is missing stands in the schema, since
//! no cut would show it. Only a request that is refused pays for this.

use std::collections::{BTreeMap, BTreeSet};

use schemars::Schema;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{ReadError, invalid_json, without_place};
use crate::problem::Problem;

/// More than people read, and each costs a reading of the document.
const FIELDS_MAX: usize = 32;

/// What is said of a field that is not there.
pub(crate) const MISSING: &str = "this is missing";

/// What is said of a field that is there twice.
pub(crate) const DUPLICATE: &str = "this is given more than once";

/// What was wrong, by JSON Pointer.
type Wrong = BTreeMap<String, String>;

/// Names what is wrong with a text that `read` refused with `first`.
pub(super) fn explain(
    text: &[u8],
    first: ReadError,
    read: fn(&[u8]) -> Option<ReadError>,
    schema: Option<&Schema>,
) -> Problem {
    // No field is to blame for what is no JSON further on.
    let document = match serde_json::from_slice(text) {
        Ok(document) => document,
        Err(error) => return invalid_json(&error),
    };
    let mut wrong = Wrong::new();
    if let Some(schema) = schema {
        missing(schema.as_value(), schema.as_value(), &document, &mut String::new(), &mut wrong);
    }
    let mut rest = Rest { document, cut: BTreeSet::new() };
    let mut error = Some(first);
    while let Some(found) = error {
        let is_last = !rest.cut_out(&found, &mut wrong) || wrong.len() >= FIELDS_MAX;
        error = if is_last { None } else { read(rest.document.to_string().as_bytes()) };
    }
    Problem::of_fields(wrong.into_iter().take(FIELDS_MAX))
}

/// What is left of a document when what was wrong has been cut out of it.
struct Rest {
    document: Value,
    /// What is not there any more, by its pointer in the whole document.
    cut: BTreeSet<String>,
}

/// Where something is: in the whole document, and in what is left of it.
#[derive(Clone, Default)]
struct Place {
    whole: String,
    rest: String,
}

impl Rest {
    /// Notes what is wrong, and cuts it out. False when nothing would be left.
    fn cut_out(&mut self, error: &ReadError, wrong: &mut Wrong) -> bool {
        let place = self.place(error);
        let detail = without_place(error.inner());
        // serde names some fields only in its message, and points to the object around them.
        let named = [("missing", MISSING), ("duplicate", DUPLICATE)];
        let named = named.iter().find_map(|(what, said)| Some((field(&detail, what)?, *said)));
        let (pointer, detail) = match named {
            Some((field, said)) => (format!("{}/{}", place.whole, escape(field)), said.to_owned()),
            None => (place.whole.clone(), in_words(detail)),
        };
        // An object from which something was cut is wrong for that reason alone.
        if !self.follows_from_a_cut(&pointer) {
            wrong.entry(pointer).or_insert(detail);
        }
        self.remove(place)
    }

    fn place(&self, error: &ReadError) -> Place {
        let mut place = Place::default();
        for segment in error.path() {
            let below = match segment {
                Segment::Seq { index } => Place {
                    whole: format!("{}/{}", place.whole, self.index_in_whole(&place.whole, *index)),
                    rest: format!("{}/{index}", place.rest),
                },
                Segment::Map { key } | Segment::Enum { variant: key } => Place {
                    whole: format!("{}/{}", place.whole, escape(key)),
                    rest: format!("{}/{}", place.rest, escape(key)),
                },
                Segment::Unknown => break,
            };
            // The name of a variant may be in the path, and no field.
            if self.document.pointer(&below.rest).is_none() {
                break;
            }
            place = below;
        }
        place
    }

    /// The index of an array's element before others were cut out.
    fn index_in_whole(&self, array: &str, index: usize) -> usize {
        let is_cut = |index: &usize| self.cut.contains(&format!("{array}/{index}"));
        (0..).filter(|index| !is_cut(index)).nth(index).unwrap_or(index)
    }

    fn follows_from_a_cut(&self, pointer: &str) -> bool {
        let is_below = |cut: &String| {
            cut.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.cut.iter().any(is_below)
    }

    fn remove(&mut self, place: Place) -> bool {
        let Some((parent, last)) = place.rest.rsplit_once('/') else { return false };
        let removed = match self.document.pointer_mut(parent) {
            Some(Value::Object(object)) => object.remove(&unescape(last)),
            Some(Value::Array(array)) => {
                last.parse().ok().filter(|index| *index < array.len()).map(|it| array.remove(it))
            }
            _ => None,
        };
        self.cut.insert(place.whole);
        removed.is_some()
    }
}

/// Notes the fields that a schema requires and a value lacks.
fn missing(root: &Value, schema: &Value, value: &Value, at: &mut String, wrong: &mut Wrong) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'))
        && let Some(schema) = root.pointer(name)
    {
        missing(root, schema, value, at, wrong);
    }
    for schema in schema["allOf"].as_array().into_iter().flatten() {
        missing(root, schema, value, at, wrong);
    }
    // `Option<T>` is a `T` or null. Of several others, nobody knows which one was meant.
    let alternatives = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    let mut alternatives =
        alternatives.into_iter().flatten().filter(|schema| schema["type"] != "null");
    if let (Some(schema), None) = (alternatives.next(), alternatives.next()) {
        missing(root, schema, value, at, wrong);
    }
    match value {
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    wrong.insert(format!("{at}/{}", escape(name)), MISSING.to_owned());
                }
            }
            for (name, value) in fields {
                let known = schema["properties"].get(name);
                let schema = known.unwrap_or(&schema["additionalProperties"]);
                below(at, &escape(name), |at| missing(root, schema, value, at, wrong));
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let schema = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
                below(at, &index.to_string(), |at| missing(root, schema, value, at, wrong));
            }
        }
        _ => {}
    }
}

fn below(at: &mut String, segment: &str, work: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push('/');
    at.push_str(segment);
    work(at);
    at.truncate(length);
}

/// The field that a message is about: `missing field `title``.
fn field<'a>(detail: &'a str, what: &str) -> Option<&'a str> {
    detail.strip_prefix(what)?.strip_prefix(" field `")?.strip_suffix('`')
}

/// serde's message for somebody who does not know that the module is written in Rust.
fn in_words(detail: String) -> String {
    let wrong = ["invalid type: ", "invalid value: ", "invalid length: "];
    let Some(rest) = wrong.iter().find_map(|wrong| detail.strip_prefix(wrong)) else {
        return detail;
    };
    let Some((found, expected)) = rest.rsplit_once(", expected ") else { return detail };
    let is_whole = |name: &str| {
        let bits = name.strip_prefix(['i', 'u']).map(str::parse::<u8>);
        matches!(bits, Some(Ok(8 | 16 | 32 | 64 | 128))) || matches!(name, "usize" | "isize")
    };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "an array",
        "a map" => "an object",
        name if is_whole(name) => "a whole number in range",
        name if name.starts_with("struct ") => "an object",
        name if name.starts_with("a tuple") || name.starts_with("tuple ") => {
            "an array of fixed length"
        }
        name => name,
    };
    let found = match found {
        "map" => "an object",
        "sequence" => "an array",
        found => found,
    };
    format!("expected {expected}, got {found}")
}

/// A key as part of a JSON Pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}
