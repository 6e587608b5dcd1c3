//! Deserialises values from text, which is all that a path, a query and a row of a look-up hold.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema};
use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use crate::handler::schema_for;
use crate::json::{DUPLICATE, MISSING};

/// Why a text is not the wanted value.
#[derive(Debug)]
pub(crate) struct TextError {
    /// The field, where the error itself names one.
    pub(crate) field: Option<&'static str>,
    pub(crate) detail: String,
}

/// The values of a path: one value, or a tuple or struct in the order of the parameters.
pub(crate) fn from_values<T: DeserializeOwned>(values: &[String]) -> Result<T, TextError> {
    match values {
        [value] => T::deserialize(Text::of(value)),
        values => T::deserialize(SeqDeserializer::new(values.iter().map(|value| Text::of(value)))),
    }
}

/// A name and its value, or what is wrong with it.
type Pair = (String, String);

/// The pairs of a query, as a struct; what is wrong, by the names of pairs.
pub(crate) fn from_pairs<T: DeserializeOwned + JsonSchema>(
    pairs: &[Pair],
) -> Result<T, BTreeMap<String, String>> {
    read_pairs(pairs).map_err(|first| {
        all_wrong(pairs, first, |pairs| read_pairs::<T>(pairs).err(), &schema_for::<T>())
    })
}

fn read_pairs<T: DeserializeOwned>(pairs: &[Pair]) -> Result<T, Pair> {
    read_texts(pairs.iter().map(|(name, value)| (name.as_str(), Text::of(value))))
}

fn read_texts<'de, T: DeserializeOwned>(
    texts: impl Iterator<Item = (&'de str, Text<'de>)>,
) -> Result<T, Pair> {
    serde_path_to_error::deserialize(MapDeserializer::new(texts)).map_err(|error| {
        let path = error.path().to_string();
        let error: TextError = error.into_inner();
        (error.field.map_or(path, str::to_owned), error.detail)
    })
}

/// The cells of a row by column, as a struct. A table cannot tell nothing from an empty text: where
/// nothing is allowed, that is meant.
///
/// # Errors
/// Names the column.
pub(crate) fn from_row<T: DeserializeOwned>(cells: &BTreeMap<String, String>) -> Result<T, String> {
    let cells = cells.iter();
    let texts = cells.map(|(name, text)| (name.as_str(), Text { text, empty_is_none: true }));
    read_texts(texts).map_err(|(column, detail)| format!("{column}: {detail}"))
}

/// What `json::fields` does with a document: what is wrong is left out, and the rest read again.
fn all_wrong(
    pairs: &[Pair],
    first: Pair,
    read: fn(&[Pair]) -> Option<Pair>,
    schema: &Schema,
) -> BTreeMap<String, String> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let mut wrong: BTreeMap<_, _> = required
        .filter_map(Value::as_str)
        .filter(|required| pairs.iter().all(|(name, _)| name != required))
        .map(|name| (name.to_owned(), MISSING.to_owned()))
        .collect();
    let mut rest = pairs.to_vec();
    let mut error = Some(first);
    while let Some((name, detail)) = error {
        let before = rest.len();
        rest.retain(|(it, _)| *it != name);
        wrong.entry(name).or_insert(detail);
        error = if rest.len() < before { read(&rest) } else { None };
    }
    wrong
}

#[derive(Clone, Copy)]
struct Text<'de> {
    text: &'de str,
    empty_is_none: bool,
}

impl<'de> Text<'de> {
    fn of(text: &'de str) -> Self {
        Self { text, empty_is_none: false }
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty: $what:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            match self.text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::custom(concat!("this is not ", $what))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = TextError;

    parsed! {
        deserialize_bool visit_bool bool: "`true` or `false`",
        deserialize_i8 visit_i8 i8: "a whole number in range",
        deserialize_i16 visit_i16 i16: "a whole number in range",
        deserialize_i32 visit_i32 i32: "a whole number in range",
        deserialize_i64 visit_i64 i64: "a whole number in range",
        deserialize_u8 visit_u8 u8: "a whole number in range",
        deserialize_u16 visit_u16 u16: "a whole number in range",
        deserialize_u32 visit_u32 u32: "a whole number in range",
        deserialize_u64 visit_u64 u64: "a whole number in range",
        deserialize_f32 visit_f32 f32: "a number",
        deserialize_f64 visit_f64 f64: "a number",
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        if self.empty_is_none && self.text.is_empty() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_enum(BorrowedStrDeserializer::new(self.text))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, TextError> for Text<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl de::Error for TextError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { field: None, detail: message.to_string() }
    }

    // What was found is a text, always; serde's own words for it would bring the printing of floats
    // into every module, 16 KiB of it.
    fn invalid_type(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("this is not {expected}"))
    }

    fn invalid_value(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("this is not {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field), detail: MISSING.to_owned() }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { field: Some(field), detail: DUPLICATE.to_owned() }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for TextError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<T: DeserializeOwned>(values: &[&str]) -> Result<T, String> {
        let values: Vec<String> = values.iter().map(|&it| it.to_owned()).collect();
        from_values(&values).map_err(|error| error.detail)
    }

    fn pairs<T: DeserializeOwned + JsonSchema>(
        pairs: &[(&str, &str)],
    ) -> Result<T, BTreeMap<String, String>> {
        let owned: Vec<_> = pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
        from_pairs(&owned)
    }

    #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Order {
        NewestFirst,
    }

    #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        text: String,
        page: u32,
        min: Option<u32>,
        order: Option<Order>,
    }

    #[test]
    fn one_value_stands_for_itself_and_several_for_a_tuple() {
        assert_eq!(values::<String>(&["a b"]), Ok("a b".to_owned()));
        assert_eq!(values::<u32>(&["42"]), Ok(42));
        assert_eq!(values::<(u32, String)>(&["42", "x"]), Ok((42, "x".to_owned())));
        assert_eq!(values::<u8>(&["256"]), Err("this is not a whole number in range".to_owned()));
        assert!(values::<(u32, String)>(&["42", "x", "y"]).is_err());
        assert!(values::<uuid::Uuid>(&["not-a-uuid"]).is_err());
    }

    #[test]
    fn a_query_is_a_struct() {
        let filter = pairs::<Filter>(&[
            ("text", "a"),
            ("page", "1"),
            ("min", "3"),
            ("order", "newest-first"),
        ]);
        let order = Some(Order::NewestFirst);
        assert_eq!(filter, Ok(Filter { text: "a".to_owned(), page: 1, min: Some(3), order }));
    }

    #[test]
    fn errors_in_a_query_name_their_pairs() {
        let names = |given: &[(&str, &str)]| {
            let wrong = pairs::<Filter>(given).unwrap_err();
            wrong.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(&[("text", "a"), ("page", "1"), ("min", "x")]), ["min"]);
        assert_eq!(names(&[("text", "a"), ("page", "1"), ("order", "x")]), ["order"]);
        assert_eq!(names(&[("min", "1")]), ["page", "text"]);
        assert_eq!(names(&[("text", "a"), ("text", "b"), ("page", "1")]), ["text"]);
        assert_eq!(
            names(&[("text", "a"), ("other", "b"), ("min", "x"), ("page", "y")]),
            ["min", "other", "page"]
        );
    }
}
