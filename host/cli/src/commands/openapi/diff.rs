//! `hostel openapi diff`: what a newer description of an API breaks for clients of the older one, and
//! what it adds. The crates that do so read OpenAPI 3.0, which has another idea of schemas.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::schemas::{self, Gap};
use crate::commands::print_table;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The older description.
    old: PathBuf,
    /// The newer description.
    new: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One difference that clients may notice.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Change {
    breaking: bool,
    /// `POST /api/notes`.
    operation: String,
    /// `body /title`; empty for the whole operation.
    place: String,
    what: String,
}

/// Prints the differences, and says whether one of them breaks clients.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let changes = changes(&read(&arguments.old)?, &read(&arguments.new)?);
    let breaking = changes.iter().filter(|change| change.breaking).count();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&changes)?);
    } else {
        print(&changes, breaking);
    }
    Ok(breaking > 0)
}

fn print(changes: &[Change], breaking: usize) {
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            let kind = if change.breaking { "BREAKING" } else { "fine" };
            let place = if change.place.is_empty() { "-" } else { &change.place };
            vec![kind.to_owned(), change.operation.clone(), place.to_owned(), change.what.clone()]
        })
        .collect();
    print_table(&rows);
    println!("differences: {}, breaking: {breaking}", changes.len());
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    let document: Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    anyhow::ensure!(version.starts_with("3.1"), "{} is no OpenAPI 3.1", file.display());
    Ok(document)
}

/// All differences; those that break clients come first.
fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let (before, after) = (operations(old), operations(new));
    let mut comparison = Comparison { old, new, operation: String::new(), changes: Vec::new() };
    for (name, was) in &before {
        comparison.operation.clone_from(name);
        match after.get(name) {
            Some(is) => comparison.operation(was, is),
            None => comparison.breaking("", "is gone"),
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        comparison.operation.clone_from(name);
        comparison.fine("", "is new");
    }
    let mut changes = comparison.changes;
    changes.sort_by(|one, other| other.breaking.cmp(&one.breaking).then_with(|| one.cmp(other)));
    changes.dedup();
    changes
}

/// An operation, with the parameters of its path.
struct Operation<'a> {
    own: &'a Value,
    shared: Option<&'a Value>,
}

/// Operations by method and path. What a path's parameters are called is nothing to clients.
fn operations(document: &Value) -> BTreeMap<String, Operation<'_>> {
    let paths = members(document.get("paths"));
    let operations = paths.flat_map(|(path, item)| {
        let shared = item.get("parameters");
        let methods = members(Some(item)).filter(|(_, own)| own.get("responses").is_some());
        methods.map(move |(method, own)| {
            let name = format!("{} {}", method.to_ascii_uppercase(), without_names(path));
            (name, Operation { own, shared })
        })
    });
    operations.collect()
}

fn without_names(path: &str) -> String {
    let mut told = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((_, after)) = after.split_once('}')
    {
        told.extend([before, "{}"]);
        rest = after;
    }
    told + rest
}

fn members(object: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.and_then(Value::as_object).into_iter().flatten()
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    operation: String,
    changes: Vec<Change>,
}

impl Comparison<'_> {
    fn breaking(&mut self, place: &str, what: impl Into<String>) {
        self.note(true, place, what.into());
    }

    fn fine(&mut self, place: &str, what: impl Into<String>) {
        self.note(false, place, what.into());
    }

    fn note(&mut self, breaking: bool, place: &str, what: String) {
        let operation = self.operation.clone();
        self.changes.push(Change { breaking, operation, place: place.to_owned(), what });
    }

    fn operation(&mut self, was: &Operation<'_>, is: &Operation<'_>) {
        let id = |operation: &Operation<'_>| {
            operation.own.get("operationId").and_then(Value::as_str).map(ToOwned::to_owned)
        };
        if let (Some(was), Some(is)) = (id(was), id(is))
            && was != is
        {
            self.fine("", format!("is called {is}, and was {was}: generated clients change"));
        }
        self.access(was.own, is.own);
        self.parameters(was, is);
        self.body(was.own, is.own);
        self.answers(was.own, is.own);
    }

    /// Who may call is what some need to do so; permissions are named, and compared as such.
    fn access(&mut self, was: &Value, is: &Value) {
        let open = |operation: &Value| {
            let all = operation.get("security").and_then(Value::as_array);
            all.is_none_or(|all| {
                all.is_empty() || all.iter().any(|one| one.as_object().is_some_and(Map::is_empty))
            })
        };
        let needed = |operation: &Value| operation.get("security").cloned().unwrap_or_default();
        match (open(was), open(is)) {
            (true, false) => self.breaking("access", "needs credentials now"),
            (false, true) => self.fine("access", "needs no credentials any more"),
            (false, false) if needed(was) != needed(is) => {
                self.breaking(
                    "access",
                    format!("needs {} now, and {} before", needed(is), needed(was)),
                );
            }
            _ => {}
        }
    }

    fn parameters(&mut self, was: &Operation<'_>, is: &Operation<'_>) {
        let (before, after) = (parameters(self.old, was), parameters(self.new, is));
        let is_required = |parameter: &Value| parameter.get("required") == Some(&Value::Bool(true));
        for (place, was) in &before {
            let Some(is) = after.get(place) else {
                self.breaking(place, "is gone");
                continue;
            };
            if is_required(is) && !is_required(was) {
                self.breaking(place, "is required now");
            }
            self.accepts(place, was.get("schema"), is.get("schema"));
        }
        for (place, is) in after.iter().filter(|(place, _)| !before.contains_key(*place)) {
            match is_required(is) {
                true => self.breaking(place, "is new, and required"),
                false => self.fine(place, "is new"),
            }
        }
    }

    fn body(&mut self, was: &Value, is: &Value) {
        let body = |document, operation: &Value| {
            operation.get("requestBody").map(|body| schemas::resolve(document, body).clone())
        };
        let (was, is) = (body(self.old, was), body(self.new, is));
        let required = |body: &Option<Value>| {
            body.as_ref().and_then(|body| body.get("required")) == Some(&Value::Bool(true))
        };
        if required(&is) && !required(&was) {
            self.breaking("body", "is required now");
        }
        let content =
            |body: &Option<Value>| body.as_ref().and_then(|body| body.get("content")).cloned();
        let (was, is) = (content(&was), content(&is));
        for (media_type, was) in members(was.as_ref()) {
            match is.as_ref().and_then(|is| is.get(media_type)) {
                Some(is) => self.accepts("body", was.get("schema"), is.get("schema")),
                None => self.breaking("body", format!("`{media_type}` is not accepted any more")),
            }
        }
    }

    /// Answers of success: what else goes wrong breaks nobody who looks at the status.
    fn answers(&mut self, was: &Value, is: &Value) {
        let (old, new) = (self.old, self.new);
        for (status, was) in members(was.get("responses")) {
            if !status.starts_with(['2', '3']) {
                continue;
            }
            let was = schemas::resolve(old, was);
            let place = format!("answer {status}");
            let Some(is) = is.get("responses").and_then(|all| all.get(status)) else {
                self.breaking(&place, "is gone");
                continue;
            };
            let is = schemas::resolve(new, is);
            for (name, _) in members(was.get("headers")) {
                if is.get("headers").and_then(|all| all.get(name)).is_none() {
                    self.breaking(&place, format!("the header `{name}` is gone"));
                }
            }
            for (media_type, was) in members(was.get("content")) {
                match is.get("content").and_then(|all| all.get(media_type)) {
                    Some(is) => self.answers_with(&place, was.get("schema"), is.get("schema")),
                    None => self.breaking(&place, format!("`{media_type}` is gone")),
                }
            }
        }
    }

    /// What was accepted must be accepted.
    fn accepts(&mut self, place: &str, was: Option<&Value>, is: Option<&Value>) {
        let gaps = schemas::accepted((self.old, was), (self.new, is));
        self.gaps(place, gaps);
    }

    /// What is answered must be what was said to be answered.
    fn answers_with(&mut self, place: &str, was: Option<&Value>, is: Option<&Value>) {
        let gaps = schemas::answered((self.old, was), (self.new, is));
        self.gaps(place, gaps);
    }

    fn gaps(&mut self, place: &str, gaps: Vec<Gap>) {
        for Gap { pointer, what, breaking } in gaps {
            let place =
                if pointer.is_empty() { place.to_owned() } else { format!("{place} {pointer}") };
            self.note(breaking, &place, what);
        }
    }
}

/// Parameters by their place and name; those of the path by their order.
fn parameters<'a>(document: &'a Value, operation: &Operation<'a>) -> BTreeMap<String, &'a Value> {
    let own = operation.own.get("parameters");
    let all = operation.shared.into_iter().chain(own).filter_map(Value::as_array).flatten();
    let mut in_path = 0;
    let named = all.map(|parameter| {
        let parameter = schemas::resolve(document, parameter);
        let text = |key| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
        let place = match text("in") {
            "path" => {
                in_path += 1;
                format!("path {in_path}")
            }
            "header" => format!("header {}", text("name").to_ascii_lowercase()),
            other => format!("{other} {}", text("name")),
        };
        (place, parameter)
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A description with one operation, which takes and answers a note.
    fn document(change: impl FnOnce(&mut Value)) -> Value {
        let mut document = json!({
            "openapi": "3.1.0",
            "paths": { "/notes/{id}": { "put": {
                "operationId": "notes.change",
                "security": [{ "bearer": ["notes:write"] }],
                "parameters": [
                    { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } },
                    { "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 100 } },
                ],
                "requestBody": { "required": true, "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Draft" } } } },
                "responses": { "200": { "description": "OK", "headers": { "location": {} },
                    "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/Note" } } } } },
            } } },
            "components": { "schemas": {
                "Draft": {
                    "type": "object", "additionalProperties": false, "required": ["title"],
                    "properties": {
                        "title": { "type": "string", "minLength": 1, "maxLength": 200 },
                        "version": { "type": ["integer", "null"] },
                        "kind": { "enum": ["short", "long"] },
                    },
                },
                "Note": {
                    "type": "object", "required": ["id", "title"],
                    "properties": {
                        "id": { "type": "string", "format": "uuid" },
                        "title": { "type": "string", "maxLength": 200 },
                        "kind": { "enum": ["short", "long"] },
                        "inside": { "type": "array", "items": { "$ref": "#/components/schemas/Note" } },
                    },
                },
            } },
        });
        change(&mut document);
        document
    }

    fn told(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let changes = changes(&document(|_| {}), &document(change));
        let told = changes.iter().map(|Change { breaking, operation, place, what }| {
            let kind = if *breaking { "breaking" } else { "fine" };
            format!("{kind} {} {place}: {what}", operation.split(' ').next().unwrap_or_default())
        });
        told.collect()
    }

    fn operation(document: &mut Value) -> &mut Value {
        &mut document["paths"]["/notes/{id}"]["put"]
    }

    fn draft(document: &mut Value) -> &mut Value {
        &mut document["components"]["schemas"]["Draft"]
    }

    fn note(document: &mut Value) -> &mut Value {
        &mut document["components"]["schemas"]["Note"]
    }

    #[test]
    fn what_is_the_same_is_no_change() {
        assert_eq!(told(|_| {}), [""; 0]);
        assert_eq!(
            told(|document| {
                let item = document["paths"]["/notes/{id}"].take();
                document["paths"] = json!({ "/notes/{note}": item });
                document["paths"]["/notes/{note}"]["put"]["parameters"][0]["name"] = json!("note");
                document["paths"]["/notes/{note}"]["put"]["summary"] = json!("Words are free");
            }),
            [""; 0]
        );
    }

    #[test]
    fn operations_come_and_go() {
        let gone = told(|document| document["paths"] = json!({}));
        assert_eq!(gone, ["breaking PUT : is gone"]);
        let more = told(|document| {
            document["paths"]["/new"] = json!({ "get": { "responses": {} } });
        });
        assert_eq!(more, ["fine GET : is new"]);
        let renamed = told(|document| operation(document)["operationId"] = json!("notes.set"));
        assert_eq!(renamed.len(), 1);
        assert!(renamed[0].starts_with("fine"), "{renamed:?}");
    }

    #[test]
    fn what_may_be_sent_must_not_become_less() {
        let required = told(|document| draft(document)["required"] = json!(["title", "kind"]));
        assert_eq!(required, ["breaking PUT body /kind: is required now"]);
        let gone = told(|document| {
            draft(document)["properties"].as_object_mut().unwrap().remove("kind");
        });
        assert_eq!(gone, ["breaking PUT body /kind: is not accepted any more"]);
        let shorter =
            told(|document| draft(document)["properties"]["title"]["maxLength"] = json!(10));
        assert_eq!(shorter, ["breaking PUT body /title: `maxLength` is 10 now, and was 200"]);
        let not_null =
            told(|document| draft(document)["properties"]["version"]["type"] = json!("integer"));
        assert_eq!(not_null, ["breaking PUT body /version: null is not accepted any more"]);
        let fewer =
            told(|document| draft(document)["properties"]["kind"]["enum"] = json!(["long"]));
        assert_eq!(fewer, [r#"breaking PUT body /kind: "short" is not accepted any more"#]);
        let closed =
            told(|document| operation(document)["parameters"][1]["required"] = json!(true));
        assert_eq!(closed, ["breaking PUT query limit: is required now"]);
        let other = told(|document| {
            operation(document)["requestBody"]["content"] = json!({ "text/csv": {} });
        });
        assert_eq!(other, ["breaking PUT body: `application/json` is not accepted any more"]);
    }

    #[test]
    fn what_may_be_sent_may_become_more() {
        assert_eq!(told(|document| draft(document)["required"] = json!([])), [""; 0]);
        let longer =
            told(|document| draft(document)["properties"]["title"]["maxLength"] = json!(500));
        assert_eq!(longer, [""; 0]);
        let new = told(|document| draft(document)["properties"]["colour"] = json!({}));
        assert_eq!(new, ["fine PUT body /colour: is new"]);
        let more = told(|document| {
            let parameter = json!({ "name": "dry", "in": "query", "schema": {} });
            operation(document)["parameters"].as_array_mut().unwrap().push(parameter);
        });
        assert_eq!(more, ["fine PUT query dry: is new"]);
    }

    #[test]
    fn what_is_answered_must_be_what_was_promised() {
        let gone = told(|document| {
            note(document)["properties"].as_object_mut().unwrap().remove("title");
            note(document)["required"] = json!(["id"]);
        });
        assert_eq!(gone, ["breaking PUT answer 200 /title: is gone"]);
        let missing = told(|document| note(document)["required"] = json!(["id"]));
        assert_eq!(missing, ["breaking PUT answer 200 /title: may be missing now"]);
        let null = told(|document| {
            note(document)["properties"]["title"]["type"] = json!(["string", "null"])
        });
        assert_eq!(null, ["breaking PUT answer 200 /title: may be null now"]);
        let number =
            told(|document| note(document)["properties"]["id"] = json!({ "type": "integer" }));
        let is_told =
            number.iter().any(|it| it == "breaking PUT answer 200 /id: may be integer now");
        assert!(is_told, "{number:?}");
        let unknown = told(|document| {
            note(document)["properties"]["kind"]["enum"] = json!(["short", "long", "epic"])
        });
        assert_eq!(unknown, [r#"breaking PUT answer 200 /kind: may be "epic" now"#]);
        let header =
            told(|document| operation(document)["responses"]["200"]["headers"] = json!({}));
        assert_eq!(header, ["breaking PUT answer 200: the header `location` is gone"]);
        let status = told(|document| {
            let responses = operation(document)["responses"].as_object_mut().unwrap();
            let answer = responses.remove("200").unwrap();
            responses.insert("201".to_owned(), answer);
        });
        assert_eq!(status, ["breaking PUT answer 200: is gone"]);
    }

    #[test]
    fn more_may_be_answered() {
        let new = told(|document| note(document)["properties"]["colour"] = json!({}));
        assert_eq!(new, ["fine PUT answer 200 /colour: is new"]);
        let fewer = told(|document| note(document)["properties"]["kind"]["enum"] = json!(["long"]));
        assert_eq!(fewer, [""; 0]);
    }

    #[test]
    fn who_may_call_matters() {
        let open = told(|document| operation(document)["security"] = json!([]));
        assert_eq!(open, ["fine PUT access: needs no credentials any more"]);
        let other = told(|document| {
            operation(document)["security"] = json!([{ "bearer": ["notes:admin"] }])
        });
        assert!(other[0].starts_with("breaking PUT access: needs"), "{other:?}");
    }
}
