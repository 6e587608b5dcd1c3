//! Days, without a time and without a zone.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::Month;

use crate::sql::{Cell, FromValue, Mismatch, ToValue, Value};

/// A day. In JSON and as text it is `2026-01-31`.
///
/// ```
/// use hostel_sdk::Date;
///
/// let day: Date = "2026-01-31".parse()?;
/// assert_eq!(Date::new(2026, 1, 31), Some(day));
/// assert_eq!((day.year(), day.month(), day.day()), (2026, 1, 31));
/// assert_eq!(day.plus_days(1).map(|it| it.to_string()).as_deref(), Some("2026-02-01"));
/// assert_eq!(Date::new(2026, 2, 29), None);
/// # Ok::<(), hostel_sdk::InvalidDate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(time::Date);

impl Date {
    /// The day, if there is such a one between the years 0 and 9999.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let month = Month::try_from(month).ok()?;
        time::Date::from_calendar_date(i32::from(year), month, day).ok().and_then(Self::checked)
    }

    fn checked(date: time::Date) -> Option<Self> {
        (0..=9999).contains(&date.year()).then_some(Self(date))
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> u16 {
        // Years outside of these are none of a `Date`'s.
        u16::try_from(self.0.year()).unwrap_or_default()
    }

    /// The month, from 1.
    #[must_use]
    pub fn month(self) -> u8 {
        self.0.month().into()
    }

    /// The day of the month, from 1.
    #[must_use]
    pub fn day(self) -> u8 {
        self.0.day()
    }

    /// The day that is so many days later, or earlier.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Option<Self> {
        self.0.checked_add(time::Duration::days(i64::from(days))).and_then(Self::checked)
    }
}

/// The text is no day.
///
/// ```
/// # use hostel_sdk::{Date, InvalidDate};
/// assert_eq!("2026-02-30".parse::<Date>(), Err(InvalidDate));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidDate;

impl fmt::Display for InvalidDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a day such as `2026-01-31`")
    }
}

impl std::error::Error for InvalidDate {}

impl FromStr for Date {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| is_number)
        };
        let (year, month, day) = (number(4), number(2), number(2));
        let date = || {
            let (month, day) = (u8::try_from(month?).ok()?, u8::try_from(day?).ok()?);
            Self::new(year?, month, day)
        };
        date().filter(|_| parts.next().is_none()).ok_or(InvalidDate)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year(), self.month(), self.day())
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Date {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Date".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date" })
    }
}

/// Its text, which both databases order as days are.
impl ToValue for Date {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl FromValue for Date {
    fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
        match cell {
            Cell::Text(text) => text.parse().map_err(|_| Mismatch),
            _ => Err(Mismatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_day_is_its_text(year in 0u16..=9999, month in 1u8..=12, day in 1u8..=28) {
            let date = Date::new(year, month, day).unwrap();
            prop_assert_eq!(date.to_string().parse(), Ok(date));
            prop_assert_eq!((date.year(), date.month(), date.day()), (year, month, day));
        }

        #[test]
        fn any_text_is_a_day_or_none(text in "[0-9-]{0,12}") {
            if let Ok(date) = text.parse::<Date>() {
                prop_assert_eq!(date.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2026-1-1", "2026-13-01", "2026-02-29", "+026-01-01", "2026-01-01-01"] {
            assert_eq!(text.parse::<Date>(), Err(InvalidDate), "{text}");
        }
        assert_eq!("9999-12-31".parse::<Date>().unwrap().plus_days(1), None);
    }
}
