//! Whether all values of one schema are values of another: what is accepted must not become less,
//! and what is answered must not become more. Of what cannot be compared, a difference counts.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

/// Where one schema is narrower than the other.
pub(super) struct Gap {
    /// A JSON Pointer to the member.
    pub(super) pointer: String,
    pub(super) what: String,
    pub(super) breaking: bool,
}

/// A schema, and the document that its references are in.
type Side<'a> = (&'a Value, Option<&'a Value>);

/// What was accepted and is not any more.
pub(super) fn accepted(was: Side<'_>, is: Side<'_>) -> Vec<Gap> {
    let mut coverage = Coverage::new(is.0, was.0, true);
    coverage.covers(is.1, was.1, "");
    coverage.gaps
}

/// What is answered and was not before.
pub(super) fn answered(was: Side<'_>, is: Side<'_>) -> Vec<Gap> {
    let mut coverage = Coverage::new(was.0, is.0, false);
    coverage.covers(was.1, is.1, "");
    coverage.gaps
}

/// References that lead to references end somewhere, or lead nowhere.
const HOPS_MAX: usize = 16;

/// The part of a document that this one is, or refers to.
pub(super) fn resolve<'a>(document: &'a Value, mut part: &'a Value) -> &'a Value {
    for _ in 0..HOPS_MAX {
        let to = part.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        match to.and_then(|pointer| document.pointer(pointer)) {
            Some(target) => part = target,
            None => return part,
        }
    }
    part
}

/// Looks for what `narrow` allows and `wide` does not.
struct Coverage<'a> {
    wide: &'a Value,
    narrow: &'a Value,
    /// Whether the narrow side is the older one: then it is about what is accepted.
    is_accepted: bool,
    /// Pairs that are being compared: types may hold themselves.
    seen: HashSet<(*const Value, *const Value)>,
    gaps: Vec<Gap>,
}

impl<'a> Coverage<'a> {
    fn new(wide: &'a Value, narrow: &'a Value, is_accepted: bool) -> Self {
        Self { wide, narrow, is_accepted, seen: HashSet::new(), gaps: Vec::new() }
    }

    /// Says that a value is allowed by the narrow side alone.
    fn only_narrow(&mut self, pointer: &str, value: &str) {
        let what = match self.is_accepted {
            true => format!("{value} is not accepted any more"),
            false => format!("may be {value} now"),
        };
        self.gap(pointer, what);
    }

    fn gap(&mut self, pointer: &str, what: impl Into<String>) {
        self.note(pointer, what.into(), true);
    }

    fn note(&mut self, pointer: &str, what: String, breaking: bool) {
        self.gaps.push(Gap { pointer: pointer.to_owned(), what, breaking });
    }

    fn covers(&mut self, wide: Option<&'a Value>, narrow: Option<&'a Value>, pointer: &str) {
        let (Some(wide), Some(narrow)) = (wide, narrow) else {
            // No schema allows everything.
            if wide.is_some_and(|wide| wide != &Value::Bool(true)) {
                self.only_narrow(pointer, "anything");
            }
            return;
        };
        let (wide, narrow) = (resolve(self.wide, wide), resolve(self.narrow, narrow));
        if !self.seen.insert((std::ptr::from_ref(wide), std::ptr::from_ref(narrow))) {
            return;
        }
        match (wide, narrow) {
            (Value::Object(wide), Value::Object(narrow)) => self.objects(wide, narrow, pointer),
            (Value::Bool(false), narrow) if narrow != &Value::Bool(false) => {
                self.only_narrow(pointer, "anything");
            }
            (Value::Object(wide), Value::Bool(true)) if !wide.is_empty() => {
                self.only_narrow(pointer, "anything");
            }
            _ => {}
        }
    }

    fn objects(&mut self, wide: &'a Map<String, Value>, narrow: &'a Map<String, Value>, at: &str) {
        self.types(wide, narrow, at);
        self.values(wide, narrow, at);
        self.limits(wide, narrow, at);
        self.members(wide, narrow, at);
        self.choices(wide, narrow, at);
        if let Some(items) = wide.get("items")
            && is_of_type(narrow, "array")
        {
            self.covers(Some(items), narrow.get("items"), &format!("{at}/*"));
        }
    }

    fn types(&mut self, wide: &Map<String, Value>, narrow: &Map<String, Value>, at: &str) {
        let (Some(allowed), said) = (types(wide), types(narrow)) else { return };
        let Some(said) = said else {
            if !narrow.contains_key("enum")
                && !narrow.contains_key("const")
                && choices(narrow).is_none()
            {
                self.only_narrow(at, "another type");
            }
            return;
        };
        for one in said {
            // Every whole number is a number.
            if !(allowed.contains(one) || one == "integer" && allowed.contains("number")) {
                self.only_narrow(at, one);
            }
        }
    }

    fn values(&mut self, wide: &Map<String, Value>, narrow: &Map<String, Value>, at: &str) {
        let Some(allowed) = values(wide) else { return };
        match values(narrow) {
            Some(said) => {
                for one in said.into_iter().filter(|one| !allowed.contains(one)) {
                    self.only_narrow(at, &one.to_string());
                }
            }
            None => self.only_narrow(at, "another value"),
        }
    }

    fn limits(&mut self, wide: &Map<String, Value>, narrow: &Map<String, Value>, at: &str) {
        // What is answered may be larger than it was said to be: nobody relies on that.
        if !self.is_accepted {
            let (was, is) = (wide.get("format"), narrow.get("format"));
            if was.is_some() && was != is {
                self.gap(at, format!("its format was {} and is {}", told(was), told(is)));
            }
            return;
        }
        for (keyword, is_upper) in LIMITS {
            let (is, was) = (wide.get(keyword), narrow.get(keyword));
            let Some(limit) = is.and_then(Value::as_f64) else { continue };
            let is_tighter = match was.and_then(Value::as_f64) {
                Some(before) => {
                    if is_upper {
                        limit < before
                    } else {
                        limit > before
                    }
                }
                // The least that there can be is no limit.
                None => is_upper || limit > 0.0 || keyword.contains("imum"),
            };
            if is_tighter {
                self.gap(at, format!("`{keyword}` is {} now, and was {}", told(is), told(was)));
            }
        }
        for keyword in ["pattern", "format", "multipleOf", "uniqueItems"] {
            let (is, was) = (wide.get(keyword), narrow.get(keyword));
            if is.is_some() && is != was {
                self.gap(at, format!("`{keyword}` is {} now, and was {}", told(is), told(was)));
            }
        }
    }

    fn members(&mut self, wide: &'a Map<String, Value>, narrow: &'a Map<String, Value>, at: &str) {
        let (of_wide, of_narrow) = (properties(wide), properties(narrow));
        let needed = required(narrow);
        for name in required(wide).difference(&needed) {
            let pointer = format!("{at}/{name}");
            if self.is_accepted {
                self.gap(&pointer, "is required now");
            } else if of_narrow.is_some_and(|all| all.contains_key(*name)) {
                self.gap(&pointer, "may be missing now");
            } else {
                self.gap(&pointer, "is gone");
            }
        }
        let is_closed = |schema: &Map<String, Value>| {
            schema.get("additionalProperties") == Some(&Value::Bool(false))
        };
        for (name, member) in of_narrow.into_iter().flatten() {
            let pointer = format!("{at}/{name}");
            match of_wide.and_then(|all| all.get(name)) {
                Some(same) => self.covers(Some(same), Some(member), &pointer),
                None if !self.is_accepted => self.note(&pointer, "is new".to_owned(), false),
                None if is_closed(wide) => self.gap(&pointer, "is not accepted any more"),
                None => self.gap(&pointer, "is not known any more"),
            }
        }
        for name in of_wide.into_iter().flatten().map(|(name, _)| name) {
            let is_told = required(wide).contains(name.as_str());
            if is_told || of_narrow.is_some_and(|all| all.contains_key(name)) {
                continue;
            }
            let pointer = format!("{at}/{name}");
            match self.is_accepted {
                true => self.note(&pointer, "is new".to_owned(), false),
                false => self.gap(&pointer, "is gone"),
            }
        }
        if self.is_accepted && is_closed(wide) && !is_closed(narrow) {
            self.gap(at, "other members are not accepted any more");
        }
        if let (Some(wide @ Value::Object(_)), Some(narrow)) =
            (wide.get("additionalProperties"), narrow.get("additionalProperties"))
        {
            self.covers(Some(wide), Some(narrow), &format!("{at}/*"));
        }
    }

    /// Alternatives keep their order: each is compared with the one in its place.
    fn choices(&mut self, wide: &'a Map<String, Value>, narrow: &'a Map<String, Value>, at: &str) {
        match (choices(wide), choices(narrow)) {
            (Some(allowed), Some(said)) => {
                for (index, one) in said.iter().enumerate() {
                    match allowed.get(index) {
                        Some(same) => self.covers(Some(same), Some(one), at),
                        None => self.only_narrow(at, "another alternative"),
                    }
                }
            }
            (Some(allowed), None) if types(narrow).is_some() || values(narrow).is_some() => {
                let before = self.gaps.len();
                // One of them has to do.
                for one in allowed {
                    self.gaps.truncate(before);
                    if let Value::Object(one) = resolve(self.wide, one) {
                        self.objects(one, narrow, at);
                    }
                    if self.gaps[before..].iter().all(|gap| !gap.breaking) {
                        return;
                    }
                }
            }
            (None, Some(said)) if types(wide).is_some() || values(wide).is_some() => {
                for one in said {
                    if let Value::Object(one) = resolve(self.narrow, one) {
                        self.objects(wide, one, at);
                    }
                }
            }
            _ => {}
        }
        for (wide, narrow) in both(wide, narrow, "allOf") {
            self.covers(Some(wide), Some(narrow), at);
        }
    }
}

const LIMITS: [(&str, bool); 8] = [
    ("maximum", true),
    ("exclusiveMaximum", true),
    ("maxLength", true),
    ("maxItems", true),
    ("minimum", false),
    ("exclusiveMinimum", false),
    ("minLength", false),
    ("minItems", false),
];

fn told(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), Value::to_string)
}

fn types(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(BTreeSet::from([one.as_str()])),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn is_of_type(schema: &Map<String, Value>, name: &str) -> bool {
    types(schema).is_some_and(|types| types.contains(name))
}

fn values(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(Value::Array(all))) => Some(all.iter().collect()),
        _ => None,
    }
}

fn properties(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn required(schema: &Map<String, Value>) -> BTreeSet<&str> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

fn choices(schema: &Map<String, Value>) -> Option<&Vec<Value>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
}

fn both<'a>(
    one: &'a Map<String, Value>,
    other: &'a Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let all = |schema: &'a Map<String, Value>| {
        schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
    };
    all(one).zip(all(other))
}
