//! The module's settings: a struct that the module declares with
//! [`Module::settings`](crate::Module::settings), and whose values the operator may change.

use std::cell::OnceCell;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

use crate::Error;
use crate::bindings::exports::hostel::module::guest;
use crate::bindings::hostel::settings::settings;
use crate::extract::FromRequest;
use crate::handler::{json_text, schema_for};
use crate::problem::Problem;
use crate::request::Request;

/// The module's settings as they are now.
///
/// Each field is a setting; its documentation says what it is for, its type and `schemars`
/// attributes what it may be, and [`Default`] what it is while nobody said otherwise. The host
/// refuses any other value before the module ever sees it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// #[serde(rename_all = "kebab-case")]
/// struct Politeness {
///     /// The first word.
///     first_word: String,
///     /// How often it is said.
///     #[schemars(range(min = 1, max = 3))]
///     times: u8,
/// }
///
/// impl Default for Politeness {
///     fn default() -> Self {
///         Self { first_word: "Hello".to_owned(), times: 1 }
///     }
/// }
///
/// fn greet(Settings(politeness): Settings<Politeness>) -> String {
///     vec![politeness.first_word; politeness.times.into()].join(" ")
/// }
///
/// fn hello() -> Module {
///     Module::new("hello", "1.0.0").settings::<Politeness>().route(get("/", greet).public())
/// }
/// # let settings = hello().manifest().settings;
/// # assert_eq!((settings[0].name.as_str(), settings[0].summary.as_str()), ("first-word", "The first word"));
/// # assert_eq!((settings[1].name.as_str(), settings[1].default_value.as_str()), ("times", "1"));
/// # assert!(settings[1].schema.contains("\"maximum\":3"), "{}", settings[1].schema);
/// ```
///
/// The operator says another value in the platform's configuration:
///
/// ```toml
/// [settings.hello]
/// first-word = "Moin"
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Settings<T>(
    /// The values.
    pub T,
);

impl<T: DeserializeOwned> FromRequest for Settings<T> {
    fn from_request(_request: &mut Request) -> Result<Self, Problem> {
        T::deserialize(Host { document: &OnceCell::new() })
            .map(Self)
            .map_err(|error| Problem::internal(format!("the settings cannot be read: {error}")))
    }
}

/// The fields of `T`, as the manifest holds them.
///
/// # Panics
/// When `T` is no struct with named fields: a mistake of the module's author, which shows when the
/// module is described.
pub(crate) fn describe<T: Serialize + JsonSchema + Default>() -> Vec<guest::Setting> {
    let mut schema = schema_for::<T>();
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut).map(std::mem::take);
    let defaults = serde_json::to_value(T::default());
    let (Some(fields), Ok(Value::Object(defaults))) = (fields, defaults) else {
        panic!("settings are a struct with named fields, and `{}` is none", T::schema_name());
    };
    fields.into_iter().map(|(name, schema)| setting(name, schema, &defaults)).collect()
}

fn setting(name: String, mut schema: Value, defaults: &Map<String, Value>) -> guest::Setting {
    let summary = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    guest::Setting {
        summary: match summary {
            // Documentation is sentences on several lines, a summary is one line.
            Some(Value::String(text)) => {
                let words: Vec<_> = text.trim_end_matches('.').split_whitespace().collect();
                words.join(" ")
            }
            _ => String::new(),
        },
        schema: json_text(&schema),
        default_value: json_text(defaults.get(&name).unwrap_or(&Value::Null)),
        name,
    }
}

/// Reads a struct whose fields are asked of the host. `document` is where they are put together.
struct Host<'de> {
    document: &'de OnceCell<String>,
}

impl<'de> Deserializer<'de> for Host<'de> {
    type Error = serde_json::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        let document =
            document(fields).map_err(|error| serde_json::Error::custom(error.message))?;
        let document = self.document.get_or_init(|| document);
        serde_json::Deserializer::from_str(document).deserialize_struct(name, fields, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, serde_json::Error> {
        Err(serde_json::Error::custom("settings are a struct with named fields"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn document(fields: &[&str]) -> Result<String, Error> {
    let mut document = String::from("{");
    for name in fields {
        if document.len() > 1 {
            document.push(',');
        }
        document.push_str(&json_text(name));
        document.push(':');
        document.push_str(&settings::get(name)?);
    }
    document.push('}');
    Ok(document)
}
