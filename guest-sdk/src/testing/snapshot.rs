//! An answer as a text that does not differ from run to run.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

use super::answer::Answer;
use crate::Timestamp;

/// Headers that say nothing of the module.
const LEFT_OUT: &[&str] = &[
    "content-length",
    "content-security-policy",
    "date",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "x-request-id",
];
const UUID_LENGTH: usize = 36;

impl Answer<'_> {
    /// Status, headers and body as a text to be kept, with `[uuid]` and `[time]` in the place of what
    /// differs from run to run. Made for [insta](https://insta.rs)'s inline snapshots: they write
    /// themselves (`cargo insta review`).
    ///
    /// ```no_run
    /// # macro_rules! assert_snapshot { ($told:expr, @$expected:literal) => { assert_eq!($told, $expected) } }
    /// # use hostel_sdk::testing::{App, json};
    /// # let app = App::new().start();
    /// let made = app.post("/").json(&json!({ "title": "First" })).expect(201);
    /// assert_snapshot!(made.snapshot(), @r#"
    /// 201 Created
    /// location: /api/notes/[uuid]
    ///
    /// {
    ///   "created_at": "[time]",
    ///   "id": "[uuid]",
    ///   "title": "First"
    /// }
    /// "#);
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> String {
        let mut told = format!("{}\n", self.response().status());
        let mut headers: Vec<_> = self.response().headers().iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let is_usual = name == "content-type" && value == "application/json";
            if !is_usual && !LEFT_OUT.contains(&name.as_str()) {
                let _ = writeln!(told, "{name}: {value}");
            }
        }
        if !self.bytes().is_empty() {
            let _ = match serde_json::from_slice::<Value>(self.bytes()) {
                Ok(body) => writeln!(told, "\n{body:#}"),
                Err(_) => writeln!(told, "\n{}", String::from_utf8_lossy(self.bytes())),
            };
        }
        redacted(&told)
    }
}

fn redacted(text: &str) -> String {
    let (mut told, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(next) = rest.chars().next() {
        let (shown, length) = match (uuid(rest), time(rest)) {
            (Some(length), _) => ("[uuid]", length),
            (None, Some(length)) => ("[time]", length),
            (None, None) => (&rest[..next.len_utf8()], next.len_utf8()),
        };
        told.push_str(shown);
        rest = &rest[length..];
    }
    told
}

fn uuid(text: &str) -> Option<usize> {
    let found = text.get(..UUID_LENGTH)?;
    // Without hyphens it would be any number of 32 digits and what is around it.
    let is_one = found.bytes().filter(|byte| *byte == b'-').count() == 4;
    (is_one && Uuid::try_parse(found).is_ok()).then_some(UUID_LENGTH)
}

fn time(text: &str) -> Option<usize> {
    let part_of_one = |c: char| c.is_ascii_digit() || matches!(c, 'T' | ':' | '.' | '-');
    let length = text.find(|c| !part_of_one(c)).filter(|at| text[*at..].starts_with('Z'))? + 1;
    text[..length].parse::<Timestamp>().is_ok().then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_not_shown() {
        let told = redacted(
            r#"/7/0197b2f0-5d3a-7000-8000-00000000000a?x {"a":"2026-01-31T12:00:00.5Z","b":"2026-01-31","é":"0197b2f05d3a70008000-000000000-00000a"}"#,
        );
        let expected = r#"/7/[uuid]?x {"a":"[time]","b":"2026-01-31","é":"0197b2f05d3a70008000-000000000-00000a"}"#;
        assert_eq!(told, expected);
    }
}
