//! JSON that readers could take for different documents, or that is deeper than any reader wants, is
//! refused before a module sees it. What is no JSON at all is the module's to refuse, in its words.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, ErrorKind, Result};

/// The codes of errors whose subject is a JSON Pointer.
pub(super) const DUPLICATE_KEY: &str = "duplicate-key";
pub(super) const TOO_DEEP: &str = "json-too-deep";

/// Up to so many keys are compared one by one: that is faster than hashing them.
const FEW_KEYS: usize = 16;

/// Refuses documents in which an object has a key twice, or which are deeper than `depth_max`.
///
/// # Errors
/// `duplicate-key` or `json-too-deep`, about the place.
pub(super) fn check(text: &[u8], depth_max: usize) -> Result<()> {
    let mut found = None;
    let look = Look { depth_left: depth_max, found: &mut found };
    let outcome = look.deserialize(&mut serde_json::Deserializer::from_slice(text));
    let (Err(_), Some(found)) = (outcome, found) else { return Ok(()) };
    let Found { code, mut path } = found;
    path.reverse();
    let pointer: String = path.iter().map(|segment| format!("/{}", escaped(segment))).collect();
    let message = match code {
        TOO_DEEP => format!("the JSON is deeper than {depth_max} levels"),
        _ => format!("`{pointer}` is given more than once"),
    };
    Err(Error::new(ErrorKind::Invalid, code, message).about(pointer))
}

/// What is wrong, and the way back from it to the document's root.
struct Found {
    code: &'static str,
    path: Vec<String>,
}

/// Looks at one value.
struct Look<'f> {
    depth_left: usize,
    found: &'f mut Option<Found>,
}

impl Look<'_> {
    fn below(&mut self) -> Look<'_> {
        Look { depth_left: self.depth_left - 1, found: self.found }
    }

    /// Begins an array or an object.
    fn enter<E: serde::de::Error>(&mut self) -> std::result::Result<(), E> {
        if self.depth_left == 0 {
            *self.found = Some(Found { code: TOO_DEEP, path: Vec::new() });
            return Err(E::custom(TOO_DEEP));
        }
        Ok(())
    }

    /// Notes through what an error went, on its way to the root.
    fn passed(&mut self, through: impl FnOnce() -> String) {
        if let Some(found) = self.found.as_mut() {
            found.path.push(through());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut index = 0;
        loop {
            match sequence.next_element_seed(self.below()) {
                Ok(Some(())) => index += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.passed(|| index.to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut keys = Keys::default();
        while let Some(Key(key)) = map.next_key_seed(KeySeed)? {
            if !keys.add(key.clone()) {
                let path = vec![key.into_owned()];
                *self.found = Some(Found { code: DUPLICATE_KEY, path });
                return Err(A::Error::custom(DUPLICATE_KEY));
            }
            if let Err(error) = map.next_value_seed(self.below()) {
                self.passed(|| key.into_owned());
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The keys of one object so far.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    /// False where it is there already.
    fn add(&mut self, key: Cow<'de, str>) -> bool {
        if self.many.is_empty() {
            if self.few.contains(&key) {
                return false;
            }
            self.few.push(key);
            if self.few.len() > FEW_KEYS {
                self.many.extend(self.few.drain(..));
            }
            return true;
        }
        self.many.insert(key)
    }
}

struct Key<'de>(Cow<'de, str>);

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

/// RFC 6901, section 3.
fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> Option<(&'static str, String)> {
        let error = check(text.as_bytes(), 8).err()?;
        Some((error.code(), error.subject().unwrap_or_default().to_owned()))
    }

    #[test]
    fn a_key_that_is_there_twice_is_named_with_its_place() {
        for (text, pointer) in [
            (r#"{"a":1,"a":2}"#, "/a"),
            (r#"{"a":{"b":[0,{"c":1,"c":1}]}}"#, "/a/b/1/c"),
            (r#"{"a":1,"\u0061":2}"#, "/a"),
            (r#"[{"a/b":1,"a/b":2}]"#, "/0/a~1b"),
            (r#"{"a":{},"a":"#, "/a"),
            (r#"{"e":{"b":[0,{"c":1,"\u0063":2.5}]},"e":""}"#, "/e/b/1/c"),
        ] {
            assert_eq!(refused(text), Some((DUPLICATE_KEY, pointer.to_owned())), "{text}");
        }
        let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
        let twice = refused(&format!("{{{many}\"k3\":0}}"));
        assert_eq!(twice, Some((DUPLICATE_KEY, "/k3".to_owned())));
        assert_eq!(refused(&format!("{{{many}\"k\":0}}")), None);
    }

    #[test]
    fn what_is_too_deep_is_named_with_its_place() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(refused(&deep(8)), None);
        assert_eq!(refused(&deep(9)), Some((TOO_DEEP, "/0".repeat(8))));
        // Long before anything overflows.
        assert!(refused(&"[".repeat(1_000_000)).is_some());
        assert!(refused(&"{\"a\":".repeat(100_000)).is_some());
    }

    #[test]
    fn other_documents_and_what_is_none_pass() {
        for text in [
            "",
            "{",
            "1e999",
            "\"\\ud800\"",
            "[1,2.5,-3,null,true,\"x\"]",
            "{\"a\":{\"a\":1}}",
            "{} {}",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_looked_at(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&text, 8);
        }
    }
}
