//! Permission names, and the patterns over them that grants use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const NAME_LENGTH_MAX: usize = 128;

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `module:action` or `module:resource:action`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PermissionName(String);

impl PermissionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The module that the permission belongs to.
    pub fn module(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl FromStr for PermissionName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let segments = text.split(':').count();
        if text.len() <= NAME_LENGTH_MAX
            && (2..=3).contains(&segments)
            && text.split(':').all(is_segment)
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!(
            "`{text}` is no permission: write `module:action` or `module:resource:action` in a-z, 0-9 and `-`"
        )))
    }
}

/// What a grant covers: a permission's name in which `*` stands for one whole segment, and a
/// trailing `*` for the rest. `*` alone covers everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether the pattern covers `permission`.
    pub fn covers(&self, permission: &PermissionName) -> bool {
        let mut wanted = permission.0.split(':');
        let mut pattern = self.0.split(':').peekable();
        while let Some(segment) = pattern.next() {
            match wanted.next() {
                Some(_) if segment == "*" && pattern.peek().is_none() => return true,
                Some(name) if segment == "*" || segment == name => {}
                _ => return false,
            }
        }
        wanted.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let segments = text.split(':').count();
        if text.len() <= NAME_LENGTH_MAX
            && segments <= 3
            && text.split(':').all(|segment| segment == "*" || is_segment(segment))
            && (segments > 1 || text == "*")
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!(
            "`{text}` is no pattern of permissions: `*` stands for a whole segment of `module:resource:action`, or alone for everything"
        )))
    }
}

macro_rules! text_conversions {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_conversions!(PermissionName, Pattern);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(pattern: &str, permission: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().covers(&permission.parse().unwrap())
    }

    #[test]
    fn a_star_is_a_segment_and_a_trailing_star_the_rest() {
        assert!(covers("*", "notes:read"));
        assert!(covers("*", "notes:tags:read"));
        assert!(covers("notes:*", "notes:read"));
        assert!(covers("notes:*", "notes:tags:read"));
        assert!(covers("notes:*:read", "notes:tags:read"));
        assert!(!covers("notes:*:read", "notes:tags:write"));
        assert!(!covers("notes:*:read", "notes:read"));
        assert!(!covers("notes:read", "notes:read:all"));
        assert!(!covers("notes:read:all", "notes:read"));
        assert!(!covers("note:*", "notes:read"));
    }

    #[test]
    fn there_are_no_partial_globs_and_no_stars_in_names() {
        for bad in
            ["", "notes", "notes:re*", "no*:read", "a:b:c:d", "notes::read", "Notes:read", "**"]
        {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
        for bad in ["", "notes", "*", "notes:*", "a:b:c:d", "notes:", "notes:ré"] {
            assert!(bad.parse::<PermissionName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_name_covers_itself_and_nothing_else(a in "[a-z]{1,4}(:[a-z]{1,4}){1,2}", b in "[a-z]{1,4}(:[a-z]{1,4}){1,2}") {
            prop_assert!(covers(&a, &a));
            prop_assert_eq!(covers(&a, &b), a == b);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<Pattern>();
            let _ = text.parse::<PermissionName>();
        }
    }
}
