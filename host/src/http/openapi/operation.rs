//! One operation of the document: from a module's route to what OpenAPI calls it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::Shape;
use super::components::{Components, Direction};
use super::problems::{self, Problems};
use crate::runtime::{Access, Manifest, Method, Route};

/// One operation, of a module or of the platform's own.
pub(super) struct Operation {
    pub(super) path: String,
    /// In lower case.
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) summary: String,
    pub(super) tags: Vec<String>,
    /// None where everybody may call it.
    pub(super) security: Value,
    pub(super) parameters: Vec<Value>,
    pub(super) request: Option<Value>,
    pub(super) success: (u16, Value),
    /// Another answer that is no problem.
    pub(super) other: Option<(u16, Value)>,
    pub(super) problems: Problems,
}

impl Operation {
    pub(super) fn into_value(self, components: &mut Components) -> Value {
        let mut responses = self.problems.into_responses(components);
        for (status, answer) in std::iter::once(self.success).chain(self.other) {
            responses.insert(status.to_string(), answer);
        }
        let mut value = json!({
            "operationId": self.id,
            "tags": self.tags,
            "parameters": self.parameters,
            "responses": responses,
            "security": self.security,
        });
        // What a module does not say is not there, instead of empty.
        if !self.summary.is_empty() {
            value["summary"] = self.summary.into();
        }
        if let Some(request) = self.request {
            value["requestBody"] = request;
        }
        value
    }
}

/// The operations of a module.
pub(super) fn of_module(
    shape: &Shape<'_>,
    module: &Manifest,
    components: &mut Components,
) -> Vec<Operation> {
    let mut ids: HashSet<String> =
        module.routes.iter().filter_map(|route| route.operation_id.clone()).collect();
    let mut operations = Vec::with_capacity(module.routes.len());
    for route in &module.routes {
        let id = route.operation_id.clone().unwrap_or_else(|| made_up(route, &mut ids));
        operations.push(of_route(shape, module, route, &id, components));
    }
    operations
}

/// A name of method and path, which no other route has.
fn made_up(route: &Route, taken: &mut HashSet<String>) -> String {
    let mut base = route.method.as_str().to_ascii_lowercase();
    let words = route.path.split(|it: char| !it.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        base = format!("{base}_{word}");
    }
    let numbered = (2..).map(|number| format!("{base}_{number}"));
    let mut names = std::iter::once(base.clone()).chain(numbered);
    // Names never run out.
    names.find(|name| taken.insert(name.clone())).unwrap_or(base)
}

/// What a tag of a module's own is called in a document with others' tags.
pub(super) fn inner_tag(module: &Manifest, tag: &str) -> String {
    format!("{}: {tag}", module.name)
}

fn of_route(
    shape: &Shape<'_>,
    module: &Manifest,
    route: &Route,
    id: &str,
    components: &mut Components,
) -> Operation {
    let name = module.name.as_str();
    let (path, names) = template(name, &route.path);
    let mut parameters = vec![json!({ "$ref": "#/components/parameters/Tenant" })];
    parameters.extend(path_parameters(route, &names));
    parameters.extend(route.query_schema.iter().flat_map(query_parameters));
    let request = route.request_type.as_ref().map(|media_type| {
        let schema = route.request_schema.as_ref();
        let schema = schema.map(|schema| components.adopt(name, schema, Direction::In));
        // Without one, any bytes do, and none.
        let is_required = schema.is_some() || media_type.starts_with("multipart/");
        json!({ "required": is_required, "content": content(media_type, schema) })
    });
    Operation {
        path,
        method: lower(route.method),
        id: format!("{name}.{id}"),
        summary: route.summary.clone(),
        tags: match route.tags.as_slice() {
            [] => vec![name.to_owned()],
            tags => tags.iter().map(|tag| inner_tag(module, tag)).collect(),
        },
        security: security(shape, &route.access),
        parameters,
        success: (route.success_status, success(name, route, components)),
        other: None,
        problems: problems::of_route(shape, route, !names.is_empty()),
        request,
    }
}

const fn lower(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Head => "head",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

/// A parameter of a path.
struct Named<'a> {
    name: &'a str,
    /// Whether it stands for the rest of the path.
    is_rest: bool,
}

/// The whole path as OpenAPI writes it, and the names of its parameters.
fn template<'a>(module: &str, path: &'a str) -> (String, Vec<Named<'a>>) {
    let below = if path == "/" { "" } else { path };
    let mut whole = format!("/api/{module}");
    let mut names = Vec::new();
    let mut rest = below;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((name, after)) = after.split_once('}')
    {
        let plain = name.trim_start_matches('*');
        whole.extend([before, "{", plain, "}"]);
        names.push(Named { name: plain, is_rest: plain != name });
        rest = after;
    }
    whole.push_str(rest);
    (whole, names)
}

fn path_parameters<'a>(
    route: &'a Route,
    names: &'a [Named<'a>],
) -> impl Iterator<Item = Value> + 'a {
    let schema = route.path_schema.as_ref();
    names.iter().enumerate().map(move |(index, Named { name, is_rest })| {
        let own = schema.and_then(|schema| {
            let of_tuple = schema.get("prefixItems").and_then(|items| items.get(index));
            let of_struct = schema.get("properties").and_then(|members| members.get(name));
            of_tuple.or(of_struct).or_else(|| (names.len() == 1).then_some(schema))
        });
        let mut schema = own.cloned().unwrap_or_else(|| json!({ "type": "string" }));
        let mut parameter = json!({ "name": name, "in": "path", "required": true });
        describe(&mut parameter, &mut schema);
        if *is_rest {
            parameter["description"] = "The rest of the path; `/` in it is sent as it is.".into();
        }
        parameter["schema"] = Components::plain(schema);
        parameter
    })
}

/// The parameters that are an object's members.
pub(super) fn query_parameters(schema: &Value) -> Vec<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let parameters = members.map(|(name, schema)| {
        let mut schema = without_null(schema.clone());
        let mut parameter = json!({ "name": name, "in": "query", "required": is_required(name) });
        describe(&mut parameter, &mut schema);
        parameter["schema"] = Components::plain(schema);
        parameter
    });
    parameters.collect()
}

/// What a parameter means is said of itself, not of its values.
fn describe(parameter: &mut Value, schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("title");
    if let Some(description) = schema.remove("description") {
        parameter["description"] = description;
    }
}

/// A query has no null: what may be null may be left out.
fn without_null(mut schema: Value) -> Value {
    let is_null = |one: &Value| one == "null" || one.get("type").is_some_and(|it| it == "null");
    let Some(object) = schema.as_object_mut() else { return schema };
    for keyword in ["type", "enum", "anyOf", "oneOf"] {
        if let Some(Value::Array(all)) = object.get_mut(keyword) {
            all.retain(|one| !is_null(one) && !one.is_null());
            if let (true, "type", Some(only)) = (all.len() == 1, keyword, all.first().cloned()) {
                object.insert(keyword.to_owned(), only);
            }
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    match object.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Object(only)]) => {
            let mut merged = only.clone();
            merged.extend(object.iter().filter(|(key, _)| *key != "anyOf").map(clone));
            Value::Object(merged)
        }
        _ => schema,
    }
}

fn clone((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// `{}` stands for calls without credentials.
fn security(shape: &Shape<'_>, access: &Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Permission(name) if shape.is_everybodys(name) => {
            json!([{}, { "bearer": [name.as_str()] }])
        }
        Access::Permission(name) => json!([{ "bearer": [name.as_str()] }]),
    }
}

pub(super) fn content(media_type: &str, schema: Option<Value>) -> Value {
    let schema = schema.map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
    json!({ media_type: schema })
}

fn success(module: &str, route: &Route, components: &mut Components) -> Value {
    let mut headers = Map::new();
    headers.insert("x-request-id".to_owned(), json!({ "$ref": "#/components/headers/RequestId" }));
    for header in &route.response_headers {
        headers.insert(
            header.name.clone(),
            json!({ "description": header.summary, "schema": { "type": "string" } }),
        );
    }
    let mut value = json!({
        "description": problems::reason(route.success_status),
        "headers": headers,
    });
    if let Some(media_type) = &route.response_type {
        let schema = route.response_schema.as_ref();
        let schema = schema.map(|schema| components.adopt(module, schema, Direction::Out));
        value["content"] = content(media_type, schema);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_a_template() {
        let told = |path| {
            let (template, names) = template("files", path);
            let names: Vec<_> = names.iter().map(|it| (it.name, it.is_rest)).collect();
            format!("{template} {names:?}")
        };
        assert_eq!(told("/"), "/api/files []");
        assert_eq!(told("/{id}"), r#"/api/files/{id} [("id", false)]"#);
        assert_eq!(
            told("/{id}/v{n}/{*rest}"),
            r#"/api/files/{id}/v{n}/{rest} [("id", false), ("n", false), ("rest", true)]"#
        );
    }

    #[test]
    fn what_may_be_null_may_be_left_out() {
        let cases = [
            (
                json!({ "type": ["integer", "null"], "minimum": 1 }),
                json!({ "type": "integer", "minimum": 1 }),
            ),
            (json!({ "type": "string", "default": null }), json!({ "type": "string" })),
            (
                json!({ "anyOf": [{ "enum": ["a"] }, { "type": "null" }], "default": "a" }),
                json!({ "enum": ["a"], "default": "a" }),
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(without_null(given), expected);
        }
    }
}
