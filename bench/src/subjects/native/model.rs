//! What is kept and what is said, with the checks of the module's types.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// A point in time to the microsecond, since the Unix epoch.
#[derive(Clone, Copy)]
pub(super) struct Micros(pub(super) i64);

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = Timestamp::from_microsecond(self.0).map_err(serde::ser::Error::custom)?;
        // Always six digits, as Hostel's guest answers.
        serializer.collect_str(&format_args!("{at:.6}"))
    }
}

pub(super) fn now() -> Micros {
    Micros(Timestamp::now().as_microsecond())
}

/// A UUID of version 7.
fn new_id(at: Micros) -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("every kernel that this runs on has random bytes");
    uuid::Builder::from_unix_timestamp_millis(at.0.unsigned_abs() / 1_000, &random).into_uuid()
}

#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) amount: i32,
    pub(super) created_at: Micros,
}

impl Entry {
    pub(super) fn numbered(id: i32) -> Self {
        let created_at = Micros(1_700_000_000_000_000 + i64::from(id));
        Self { id, name: format!("row {id}"), amount: id * 7, created_at }
    }
}

#[derive(Serialize)]
pub(super) struct Item {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) amount: i32,
    pub(super) created_at: Micros,
}

impl Item {
    pub(super) fn new(draft: Draft, created_at: Micros) -> Self {
        let Draft { name: Name(name), amount } = draft;
        Self { id: new_id(created_at), name, amount, created_at }
    }
}

#[derive(Serialize)]
pub(super) struct Change {
    pub(super) id: Uuid,
    pub(super) row_id: i32,
    pub(super) amount_before: i32,
    pub(super) amount_after: i32,
    pub(super) changed_at: Micros,
}

impl Change {
    pub(super) fn new(row_id: i32, amount_before: i32, amount_after: i32) -> Self {
        let changed_at = now();
        Self { id: new_id(changed_at), row_id, amount_before, amount_after, changed_at }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    name: Name,
    amount: i32,
}

/// One line of 1 to 100 characters.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let name = text.trim();
        if !(1..=100).contains(&name.chars().count()) {
            return Err("must have 1 to 100 characters");
        }
        if name.chars().any(|it| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}')) {
            return Err("must be one line");
        }
        Ok(Self(if name.len() == text.len() { text } else { name.to_owned() }))
    }
}
