//! Texts that cannot be longer than they may: parsed where a request comes in, documented by their
//! type, and never checked again.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::sql::{Cell, FromValue, Mismatch, ToValue, Value};

/// One line of 1 to `MAX` characters, with no space around it: a name, a title. Space around it is
/// taken off.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Deserialize, JsonSchema)]
/// struct Draft {
///     title: Line<100>,
///     subtitle: Option<Line<200>>,
/// }
///
/// let draft: Draft = serde_json::from_str(r#"{"title": " Milk "}"#)?;
/// assert_eq!(&*draft.title, "Milk");
/// assert_eq!(draft.title.into_string(), "Milk");
/// assert!(Line::<100>::new("two\nlines").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Line<const MAX: usize>(String);

/// A text of at most `MAX` characters, which may be empty and have any number of lines.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Deserialize, JsonSchema)]
/// struct Draft {
///     #[serde(default)]
///     body: Text<10_000>,
/// }
///
/// let draft: Draft = serde_json::from_str("{}")?;
/// assert!(draft.body.is_empty());
/// assert!(Text::<3>::new("four").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

/// Why a text is not what it should be, for the client.
///
/// ```
/// # use hostel_sdk::text::{InvalidText, Line};
/// let wrong = Line::<3>::new("four").unwrap_err();
/// assert_eq!(wrong, InvalidText::Length { min: 1, max: 3 });
/// assert_eq!(wrong.to_string(), "must have 1 to 3 characters");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidText {
    /// It has another length.
    Length {
        /// The fewest characters.
        min: usize,
        /// The most characters.
        max: usize,
    },
    /// It has several lines, or characters that are not for people.
    NoLine,
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min: 0, max } => write!(f, "must have at most {max} characters"),
            Self::Length { min, max } => write!(f, "must have {min} to {max} characters"),
            Self::NoLine => f.write_str("must be one line"),
        }
    }
}

impl std::error::Error for InvalidText {}

impl<const MAX: usize> Line<MAX> {
    /// The text as a line.
    ///
    /// # Errors
    /// When it is empty, too long, or not one line.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
        line(text.into(), MAX).map(Self)
    }
}

impl<const MAX: usize> Text<MAX> {
    /// The text, if it is short enough.
    ///
    /// # Errors
    /// When it is too long.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        within(&text, 0, MAX)?;
        Ok(Self(text))
    }
}

fn line(text: String, max: usize) -> Result<String, InvalidText> {
    let trimmed = text.trim();
    within(trimmed, 1, max)?;
    if trimmed.chars().any(|it| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}')) {
        return Err(InvalidText::NoLine);
    }
    Ok(if trimmed.len() == text.len() { text } else { trimmed.to_owned() })
}

fn within(text: &str, min: usize, max: usize) -> Result<(), InvalidText> {
    if (min..=max).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(InvalidText::Length { min, max })
    }
}

macro_rules! text {
    ($name:ident, $min:literal, $pattern:expr) => {
        impl<const MAX: usize> $name<MAX> {
            /// The text as it is.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl<const MAX: usize> Deref for $name<MAX> {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<const MAX: usize> fmt::Debug for $name<MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl<const MAX: usize> fmt::Display for $name<MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl<const MAX: usize> TryFrom<String> for $name<MAX> {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }

        impl<const MAX: usize> std::str::FromStr for $name<MAX> {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }

        impl<'de, const MAX: usize> Deserialize<'de> for $name<MAX> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl<const MAX: usize> JsonSchema for $name<MAX> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_id() -> Cow<'static, str> {
                format!("{}<{MAX}>", stringify!($name)).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                let mut schema =
                    json_schema!({ "type": "string", "minLength": $min, "maxLength": MAX });
                if let Some(pattern) = $pattern {
                    schema.insert("pattern".to_owned(), pattern.into());
                }
                schema
            }
        }

        impl<const MAX: usize> ToValue for $name<MAX> {
            fn to_value(&self) -> Value {
                self.0.to_value()
            }
        }

        /// What was checked when it was written is what it was then: a limit that has become
        /// smaller since makes no row unreadable.
        impl<const MAX: usize> FromValue for $name<MAX> {
            fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
                String::from_value(cell).map(Self)
            }
        }
    };
}

/// Something else than space, and neither control characters nor ends of lines.
const LINE: &str = concat!(
    r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*[^\s\u0000-\u001f\u007f-\u009f\u2028\u2029]",
    r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
);

text!(Line, 1, Some(LINE));
text!(Text, 0, None::<&str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_of_fair_length() {
        assert_eq!(Line::<3>::new(" é b ").as_deref(), Ok("é b"));
        assert_eq!(Line::<3>::new("ééé").as_deref(), Ok("ééé"));
        let length = InvalidText::Length { min: 1, max: 3 };
        for (bad, why) in [("", length), ("  ", length), ("abcd", length)] {
            assert_eq!(Line::<3>::new(bad), Err(why));
        }
        for bad in ["a\nb", "a\u{2028}b", "a\0b"] {
            assert_eq!(Line::<3>::new(bad), Err(InvalidText::NoLine));
        }
    }

    #[test]
    fn a_text_is_kept_as_it_is() {
        assert_eq!(Text::<3>::new(" \n ").as_deref(), Ok(" \n "));
        assert_eq!(Text::<3>::new("abcd"), Err(InvalidText::Length { min: 0, max: 3 }));
        assert_eq!(Text::<3>::default().into_string(), "");
    }

    #[test]
    fn what_was_kept_can_be_read_when_less_is_allowed() {
        let cell = Cell::Text("longer than it may be now");
        assert_eq!(Line::<3>::from_value(cell).map(Line::into_string).unwrap().len(), 25);
    }
}
