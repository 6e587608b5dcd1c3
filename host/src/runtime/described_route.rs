//! What a module says of one route, checked: also what only the API's documentation tells, so that no
//! module can make that unreadable.

use std::collections::HashSet;

use http::header::HeaderName;
use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use super::manifest::{
    Access, AnswerHeader, ExpectedProblem, Method, PermissionSpec, Route, TEXT_LENGTH_MAX, json,
    text,
};
use crate::bindings::exports::hostel::module::guest as wit;
use crate::error::{Error, Result};

/// As for codes of problems.
const NAME_LENGTH_MAX: usize = 64;
/// More of them say nothing to anybody.
const LIST_LENGTH_MAX: usize = 50;
/// A longer schema is no description any more.
const SCHEMA_MAX_BYTES: usize = 256 * 1024;
/// As many are compared with all others.
const TYPES_MAX: usize = 200;
/// How a schema refers to itself.
const WHOLE: &str = "#";

/// Checks one route.
///
/// # Errors
/// Names the route and what is wrong with it.
pub(super) fn check(said: wit::Route, permissions: &[PermissionSpec]) -> Result<Route> {
    let method = method(said.method);
    let place = format!("route `{method} {}`", said.path);
    let in_place = |error: Error| Error::invalid(format!("{place}: {error}"));
    check_path(&said.path).map_err(in_place)?;
    let access = access(&place, said.access, permissions)?;
    if !(200..400).contains(&said.success_status) {
        return Err(Error::invalid(format!(
            "{place}: {} is no status of success",
            said.success_status
        )));
    }
    let few = said.tags.len().max(said.problems.len()).max(said.response_headers.len());
    if few > LIST_LENGTH_MAX {
        return Err(Error::invalid(format!(
            "{place}: at most {LIST_LENGTH_MAX} tags, problems and headers"
        )));
    }
    let schema = |text: Option<String>, types| {
        text.map(|text| schema(&text, types)).transpose().map_err(in_place)
    };
    let media_type = |text: Option<String>| text.map(media_type).transpose().map_err(in_place);
    let tags = said.tags.into_iter().map(|tag| text(&format!("{place}: a tag"), tag));
    let headers = said.response_headers.into_iter().map(header);
    let problems = said.problems.into_iter().map(problem);
    Ok(Route {
        method,
        access,
        operation_id: said.operation_id.map(name).transpose().map_err(in_place)?,
        summary: text(&format!("{place}: the summary"), said.summary)?,
        tags: tags.collect::<Result<_>>()?,
        path_schema: schema(said.path_schema, Types::None)?,
        query_schema: schema(said.query_schema, Types::None)?,
        request_type: media_type(said.request_type)?,
        request_schema: schema(said.request_schema, Types::Own)?,
        response_type: media_type(said.response_type)?,
        response_schema: schema(said.response_schema, Types::Own)?,
        response_headers: headers.collect::<Result<_>>().map_err(in_place)?,
        success_status: said.success_status,
        problems: problems.collect::<Result<_>>().map_err(in_place)?,
        body_max_bytes: said.body_max_bytes,
        timeout_ms: said.timeout_ms,
        etag: said.etag,
        path: said.path,
    })
}

/// No two routes have one name.
///
/// # Errors
/// Names both.
pub(super) fn check_distinct(routes: &[Route]) -> Result<()> {
    let mut seen = HashSet::new();
    for id in routes.iter().filter_map(|route| route.operation_id.as_deref()) {
        if !seen.insert(id) {
            return Err(Error::invalid(format!(
                "two routes have the operation id `{id}`: give one of them another"
            )));
        }
    }
    Ok(())
}

fn method(said: wit::Method) -> Method {
    match said {
        wit::Method::Get => Method::Get,
        wit::Method::Head => Method::Head,
        wit::Method::Post => Method::Post,
        wit::Method::Put => Method::Put,
        wit::Method::Patch => Method::Patch,
        wit::Method::Delete => Method::Delete,
    }
}

fn access(place: &str, said: wit::Access, permissions: &[PermissionSpec]) -> Result<Access> {
    let wit::Access::Permission(name) = said else { return Ok(Access::Public) };
    match permissions.iter().find(|known| known.name.as_str() == name) {
        Some(known) => Ok(Access::Permission(known.name.clone())),
        None => Err(Error::invalid(format!(
            "{place} asks for the permission `{name}`, which the manifest does not declare"
        ))),
    }
}

/// A pattern that requests can match: what cannot stand in a URL would only be documentation.
fn check_path(path: &str) -> Result<()> {
    if !path.starts_with('/') || path.len() > TEXT_LENGTH_MAX {
        return Err(Error::invalid("a path begins with `/`"));
    }
    let is_of_urls =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%{}".contains(&byte);
    if !path.bytes().all(is_of_urls) || path.contains("{{") || path.contains("}}") {
        return Err(Error::invalid("the path has characters that no URL has"));
    }
    Ok(())
}

fn name(text: String) -> Result<String> {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=NAME_LENGTH_MAX).contains(&text.len()) || !text.bytes().all(is_of_names) {
        return Err(Error::invalid(format!(
            "`{text}` is no operation id: use 1 to {NAME_LENGTH_MAX} letters, digits, `_` and `-`"
        )));
    }
    Ok(text)
}

/// `type/subtype`, with parameters or without.
fn media_type(text: String) -> Result<String> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_type = essence.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b));
    if !is_type || http::HeaderValue::try_from(&text).is_err() {
        return Err(Error::invalid(format!("{text:?} is no content type")));
    }
    Ok(text)
}

fn header(said: wit::AnswerHeader) -> Result<AnswerHeader> {
    let name = HeaderName::try_from(&said.name)
        .map_err(|_| Error::invalid(format!("{:?} is no header's name", said.name)))?;
    let summary = text("a header's summary", said.summary)?;
    Ok(AnswerHeader { name: name.as_str().to_owned(), summary })
}

fn problem(said: wit::ExpectedProblem) -> Result<ExpectedProblem> {
    let wit::ExpectedProblem { status, code, summary } = said;
    if !(400..600).contains(&status) {
        return Err(Error::invalid(format!("{status} is no status of a problem")));
    }
    let is_of_codes = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !(1..=NAME_LENGTH_MAX).contains(&code.len()) || !code.bytes().all(is_of_codes) {
        return Err(Error::invalid(format!("{code:?} is no code of a problem")));
    }
    Ok(ExpectedProblem { status, code, summary: text("a problem's summary", summary)? })
}

/// The types that a schema may refer to.
#[derive(Clone, Copy)]
enum Types {
    /// Those in its `$defs`.
    Own,
    None,
}

/// A schema that can be put into a larger document: it is one, and refers to nothing but its own
/// types.
fn schema(text: &str, types: Types) -> Result<Value> {
    if text.len() > SCHEMA_MAX_BYTES {
        return Err(Error::invalid(format!(
            "a schema has {} bytes: at most {SCHEMA_MAX_BYTES}",
            text.len()
        )));
    }
    let mut value = json("a schema", text)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("$schema");
    }
    jsonschema::draft202012::meta::validate(&value)
        .map_err(|error| Error::invalid(format!("a schema is no JSON Schema: {error}")))?;
    let schema = Schema::try_from(value)
        .map_err(|error| Error::invalid(format!("a schema is no JSON Schema: {error}")))?;
    let own = schema.get("$defs").and_then(Value::as_object).into_iter().flatten();
    let names: HashSet<String> = match types {
        Types::Own => own.map(|(name, _)| name.clone()).chain([WHOLE.to_owned()]).collect(),
        Types::None => HashSet::new(),
    };
    if names.len() > TYPES_MAX {
        return Err(Error::invalid(format!("a schema has more than {TYPES_MAX} types")));
    }
    let mut closed = Closed { names, wrong: None };
    let mut looked_at = schema.clone();
    closed.transform(&mut looked_at);
    match closed.wrong {
        Some(wrong) => Err(Error::invalid(wrong)),
        None => Ok(schema.to_value()),
    }
}

/// Finds what leads out of a schema.
struct Closed {
    names: HashSet<String>,
    wrong: Option<String>,
}

impl Transform for Closed {
    fn transform(&mut self, schema: &mut Schema) {
        for keyword in ["$id", "$schema", "$anchor", "$dynamicAnchor", "$dynamicRef"] {
            if schema.get(keyword).is_some() {
                self.wrong = Some(format!("a schema uses `{keyword}`, which has no place here"));
            }
        }
        if let Some(Value::String(to)) = schema.get("$ref") {
            let name = if to == WHOLE { Some(WHOLE) } else { to.strip_prefix("#/$defs/") };
            if !name.is_some_and(|name| self.names.contains(name)) {
                self.wrong = Some(format!(
                    "a schema refers to `{to}`: a body's may refer to its own `$defs`, others to nothing"
                ));
            }
        }
        for keyword in
            ["dependentSchemas", "unevaluatedItems", "unevaluatedProperties", "contentSchema"]
        {
            if schema.get(keyword).is_some_and(Value::is_object) {
                self.wrong = Some(format!("a schema uses `{keyword}`, which is not looked into"));
            }
        }
        transform_subschemas(self, schema);
    }
}
