//! What a note is.

use hostel_sdk::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const TITLE_LENGTH_MAX: usize = 200;
const BODY_LENGTH_MAX: usize = 10_000;

/// A note as it is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Note {
    pub(crate) id: NoteId,
    pub(crate) title: Title,
    pub(crate) body: Text,
    /// Grows with each change.
    pub(crate) version: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What a client says of a note.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) title: Title,
    #[serde(default)]
    pub(crate) body: Text,
    /// The version that the client has seen; when given, another one is not overwritten.
    #[serde(default)]
    pub(crate) version: Option<u32>,
}

/// A note's id.
pub(crate) type NoteId = Id<Note>;

/// 1 to 200 characters in one line, with no space around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Title(#[schemars(length(min = 1, max = 200))] String);

impl TryFrom<String> for Title {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        let length = text.chars().count();
        if !(1..=TITLE_LENGTH_MAX).contains(&length) {
            return Err(format!("must have 1 to {TITLE_LENGTH_MAX} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("must be one line".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// At most 10,000 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Text(#[schemars(length(max = 10_000))] String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.chars().count() > BODY_LENGTH_MAX {
            return Err(format!("must have at most {BODY_LENGTH_MAX} characters"));
        }
        Ok(Self(text))
    }
}

macro_rules! kept_as_text {
    ($($name:ident),*) => {$(
        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }

            /// What was checked when it was written.
            pub(crate) fn kept(text: String) -> Self {
                Self(text)
            }
        }
    )*};
}

kept_as_text!(Title, Text);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_fair_length() {
        assert_eq!(Title::try_from(" Milk ".to_owned()).unwrap().as_str(), "Milk");
        assert!(Title::try_from("é".repeat(200)).is_ok());
        for bad in [String::new(), "  ".to_owned(), "a\nb".to_owned(), "a".repeat(201)] {
            assert!(Title::try_from(bad).is_err());
        }
    }

    #[test]
    fn a_text_may_be_empty_and_is_not_endless() {
        assert!(Text::try_from(String::new()).is_ok());
        assert!(Text::try_from("a".repeat(10_001)).is_err());
    }
}
