//! What operations share: schemas, responses, parameters, headers. Names are stable, and no module's
//! schema bears the name of another's.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::Shape;
use super::problems;

/// The components of a document in the making.
pub(super) struct Components {
    schemas: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
    parameters: Value,
}

/// Which way a document goes. The same type may look different in both.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    In,
    Out,
}

const SCHEMAS: &str = "#/components/schemas/";

impl Components {
    pub(super) fn new(shape: &Shape<'_>) -> Self {
        let tenant = json!({
            "name": shape.tenancy.header.as_str(),
            "in": "header",
            "required": !shape.names_no_tenant(),
            "description": "The tenant that the request is for.",
            "schema": { "type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" },
        });
        Self {
            schemas: BTreeMap::from([("Problem".to_owned(), problem_schema())]),
            responses: BTreeMap::from([(
                "Problem".to_owned(),
                problems::problem("Anything else that may go wrong.".to_owned()),
            )]),
            parameters: json!({ "Tenant": tenant }),
        }
    }

    pub(super) fn into_value(self) -> Value {
        json!({
            "schemas": self.schemas,
            "responses": self.responses,
            "parameters": self.parameters,
            "headers": {
                "RequestId": {
                    "description": "Names the request in the log.",
                    "schema": { "type": "string" },
                },
                "RetryAfter": {
                    "description": "After how many seconds the same request may succeed.",
                    "schema": { "type": "integer", "minimum": 1 },
                },
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the program that the platform is part of; in the tenant `platform`, the operator's token. What an operation needs is named beside it: the permission.",
                },
            },
        })
    }

    /// Keeps a response under this name, and refers to it; one that is another's of that name stays
    /// where it is.
    pub(super) fn response(&mut self, name: String, response: Value) -> Value {
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        let known = self.responses.entry(name).or_insert_with(|| response.clone());
        if *known == response { reference } else { response }
    }

    /// A type of the platform's own, which it answers with.
    pub(super) fn own<T: JsonSchema>(&mut self) -> Value {
        let schema = settings().for_serialize().into_generator().into_root_schema_for::<T>();
        self.keep("", schema, Direction::Out)
    }

    /// A type of the platform's own, which it reads, without a name.
    pub(super) fn own_inline<T: JsonSchema>() -> Value {
        let settings = settings().with(|settings| settings.inline_subschemas = true);
        settings.into_generator().into_root_schema_for::<T>().to_value()
    }

    /// A schema of a module's: the types that it names become components.
    pub(super) fn adopt(&mut self, module: &str, schema: &Value, direction: Direction) -> Value {
        match Schema::try_from(schema.clone()) {
            Ok(schema) => self.keep(&format!("{module}."), schema, direction),
            Err(_) => schema.clone(),
        }
    }

    /// A schema that nobody refers to.
    pub(super) fn plain(schema: Value) -> Value {
        let Ok(mut schema) = Schema::try_from(schema) else { return json!({}) };
        Bounds.transform(&mut schema);
        schema.to_value()
    }

    fn keep(&mut self, prefix: &str, mut schema: Schema, direction: Direction) -> Value {
        Bounds.transform(&mut schema);
        let title = schema.remove("title");
        let title = title.as_ref().and_then(Value::as_str).unwrap_or("Document").to_owned();
        let mut types: BTreeMap<String, Value> = match schema.remove("$defs") {
            Some(Value::Object(types)) => types.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        // `#` is the name of the whole, and cannot be that of a part.
        types.insert(WHOLE.to_owned(), schema.to_value());
        let name_of = |name: &str| if name == WHOLE { title.clone() } else { name.to_owned() };
        let mut names: BTreeMap<String, String> =
            types.keys().map(|name| (name.clone(), component(prefix, &name_of(name)))).collect();
        let mut tries = BTreeMap::<String, u32>::new();
        loop {
            let renamed = |value: &Value| renamed(value, &names);
            let taken = types.iter().find(|(name, value)| {
                let (own, value) = (&names[*name], renamed(value));
                let is_shared = names.iter().any(|(other, of)| other != *name && of == own);
                is_shared || self.schemas.get(own).is_some_and(|known| *known != value)
            });
            let Some((name, _)) = taken else { break };
            let tried = tries.entry(name.clone()).or_insert(0);
            *tried += 1;
            let base = name_of(name);
            let other = match (direction, *tried) {
                (Direction::In, 1) => format!("{base}Input"),
                (_, number) => format!("{base}{}", number + 1),
            };
            names.insert(name.clone(), component(prefix, &other));
        }
        let whole = &types[WHOLE];
        let is_named = is_worth_a_name(whole) || refers_to_itself(whole);
        let result = if is_named {
            json!({ "$ref": format!("{SCHEMAS}{}", names[WHOLE]) })
        } else {
            renamed(whole, &names)
        };
        for (name, value) in types.iter().filter(|(name, _)| is_named || *name != WHOLE) {
            self.schemas.insert(names[name].clone(), renamed(value, &names));
        }
        result
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None)
}

const WHOLE: &str = "#";

/// A component's name has letters, digits, `.`, `-` and `_`.
fn component(prefix: &str, name: &str) -> String {
    let is_of_names = |it: &char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
    let name: String = name.chars().map(|it| if is_of_names(&it) { it } else { '_' }).collect();
    format!("{prefix}{name}")
}

/// Texts, numbers, lists and maps are said where they stand.
fn is_worth_a_name(schema: &Value) -> bool {
    ["properties", "oneOf", "anyOf", "allOf", "enum"].iter().any(|key| schema.get(key).is_some())
}

fn refers_to_itself(schema: &Value) -> bool {
    schema.to_string().contains("\"$ref\":\"#\"")
}

/// The schema with references to components.
fn renamed(schema: &Value, names: &BTreeMap<String, String>) -> Value {
    struct Renamed<'a>(&'a BTreeMap<String, String>);

    impl Transform for Renamed<'_> {
        fn transform(&mut self, schema: &mut Schema) {
            if let Some(Value::String(to)) = schema.get_mut("$ref") {
                let name = to.strip_prefix("#/$defs/").unwrap_or(to);
                if let Some(component) = self.0.get(name) {
                    *to = format!("{SCHEMAS}{component}");
                }
            }
            transform_subschemas(self, schema);
        }
    }

    let Ok(mut schema) = Schema::try_from(schema.clone()) else { return schema.clone() };
    Renamed(names).transform(&mut schema);
    schema.to_value()
}

/// Says what the formats of whole numbers mean, for whoever does not know them.
struct Bounds;

impl Transform for Bounds {
    fn transform(&mut self, schema: &mut Schema) {
        let bounds = match schema.get("format").and_then(Value::as_str) {
            Some("int32") => Some((json!(i32::MIN), json!(i32::MAX))),
            Some("uint32") => Some((json!(0), json!(u32::MAX))),
            Some("int64") => Some((json!(i64::MIN), json!(i64::MAX))),
            Some("uint64" | "uint") => Some((json!(0), json!(u64::MAX))),
            _ => None,
        };
        if let (Some((min, max)), Some(schema)) = (bounds, schema.as_object_mut()) {
            schema.entry("minimum").or_insert(min);
            schema.entry("maximum").or_insert(max);
        }
        transform_subschemas(self, schema);
    }
}

/// As `http/problem.rs` writes it.
fn problem_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let members = [
        ("type", json!({ "type": "string", "format": "uri-reference" })),
        ("title", text("What HTTP calls the status.")),
        ("status", json!({ "type": "integer", "minimum": 400, "maximum": 599 })),
        ("detail", text("What went wrong, for people.")),
        ("instance", text("The path of the request.")),
        ("code", text("What went wrong, for programs.")),
        ("request_id", text("Names the request in the log.")),
        ("trace_id", text("The trace that the request belongs to, where it named one.")),
        (
            "errors",
            json!({
                "type": "array",
                "description": "What is wrong with each field.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": text("A JSON Pointer into the body, or `query/<name>`."),
                        "detail": text("What is wrong with it, for people."),
                    },
                },
            }),
        ),
    ];
    let members: Map<String, Value> =
        members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({
        "type": "object",
        "description": "An error (RFC 9457). A module may add members of its own.",
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
        "properties": members,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Tenant;
    use crate::capabilities::permissions::Permissions;
    use crate::capabilities::tenancy::TenancyConfig;

    /// What the references of some schemas become, and the names of all components after it.
    fn adopted(schemas: &[(&str, Value, Direction)]) -> (Vec<Value>, Vec<String>) {
        let (tenancy, permissions) = (TenancyConfig::default(), Permissions::default());
        let tenant = Tenant::nobody();
        let shape = Shape { tenancy: &tenancy, permissions: &permissions, tenant: &tenant };
        let mut components = Components::new(&shape);
        let adopted = schemas
            .iter()
            .map(|(module, schema, direction)| components.adopt(module, schema, *direction));
        let adopted = adopted.collect();
        (adopted, components.schemas.into_keys().filter(|name| name != "Problem").collect())
    }

    fn list_of(item: Value) -> Value {
        json!({ "type": "array", "items": { "$ref": "#/$defs/Item" }, "$defs": { "Item": item } })
    }

    #[test]
    fn types_of_one_name_are_kept_apart() {
        let item =
            |kind: &str| json!({ "type": "object", "properties": { "a": { "type": kind } } });
        let (adopted, names) = adopted(&[
            ("one", list_of(item("string")), Direction::Out),
            ("one", list_of(item("string")), Direction::In),
            ("two", list_of(item("number")), Direction::Out),
            ("one", list_of(item("number")), Direction::In),
            ("one", list_of(item("boolean")), Direction::Out),
        ]);
        let items = adopted.iter().map(|it| it["items"]["$ref"].as_str().unwrap());
        let items: Vec<_> = items.map(|it| it.strip_prefix(SCHEMAS).unwrap()).collect();
        assert_eq!(items, ["one.Item", "one.Item", "two.Item", "one.ItemInput", "one.Item2"]);
        assert_eq!(names, ["one.Item", "one.Item2", "one.ItemInput", "two.Item"]);
    }

    #[test]
    fn a_type_may_hold_itself_and_a_name_may_be_odd() {
        let tree = json!({
            "title": "Tree of <leaves>", "type": "object",
            "properties": { "left": { "$ref": "#" }, "size": { "type": "integer", "format": "int32" } },
        });
        let (adopted, names) = adopted(&[("one", tree, Direction::Out)]);
        assert_eq!(names, ["one.Tree_of__leaves_"]);
        assert_eq!(adopted, [json!({ "$ref": "#/components/schemas/one.Tree_of__leaves_" })]);
    }
}
