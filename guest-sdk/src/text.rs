//! Deserialises values from text, which is all that a path and a query hold.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

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
        [value] => T::deserialize(Text(value)),
        values => T::deserialize(SeqDeserializer::new(values.iter().map(|value| Text(value)))),
    }
}

/// The pairs of a query, as a struct; an error comes with the name of its pair.
pub(crate) fn from_pairs<T: DeserializeOwned>(
    pairs: &[(String, String)],
) -> Result<T, (String, String)> {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), Text(value)));
    serde_path_to_error::deserialize(MapDeserializer::new(pairs)).map_err(|error| {
        let path = error.path().to_string();
        let error: TextError = error.into_inner();
        (error.field.map_or(path, str::to_owned), error.detail)
    })
}

#[derive(Clone, Copy)]
struct Text<'de>(&'de str);

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty: $what:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            match self.0.parse::<$type>() {
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
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_some(self)
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
        visitor.visit_enum(BorrowedStrDeserializer::new(self.0))
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
        Self { field: Some(field), detail: "this is missing".to_owned() }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { field: Some(field), detail: "this is given more than once".to_owned() }
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

    fn pairs<T: DeserializeOwned>(pairs: &[(&str, &str)]) -> Result<T, (String, String)> {
        let owned: Vec<_> = pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
        from_pairs(&owned)
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Order {
        NewestFirst,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        text: String,
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
        let filter = pairs::<Filter>(&[("text", "a"), ("min", "3"), ("order", "newest-first")]);
        let order = Some(Order::NewestFirst);
        assert_eq!(filter, Ok(Filter { text: "a".to_owned(), min: Some(3), order }));
    }

    #[test]
    fn an_error_in_a_query_names_its_pair() {
        let name = |given: &[(&str, &str)]| pairs::<Filter>(given).map_err(|(name, _)| name);
        assert_eq!(name(&[("text", "a"), ("min", "x")]), Err("min".to_owned()));
        assert_eq!(name(&[("text", "a"), ("order", "x")]), Err("order".to_owned()));
        assert_eq!(name(&[("min", "1")]), Err("text".to_owned()));
        assert_eq!(name(&[("text", "a"), ("text", "b")]), Err("text".to_owned()));
        assert_eq!(name(&[("text", "a"), ("other", "b")]), Err("other".to_owned()));
    }
}
