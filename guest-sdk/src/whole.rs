//! Whole numbers that cannot be out of range.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::sql::{Cell, FromValue, Mismatch, ToValue, Value};

/// A whole number from `MIN` to `MAX`: seats, pieces, a percentage.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Deserialize, JsonSchema)]
/// struct Draft {
///     seats: Whole<1, 10_000>,
/// }
///
/// let draft: Draft = serde_json::from_str(r#"{"seats": 8}"#)?;
/// assert_eq!(draft.seats.get(), 8);
/// assert!(Whole::<1, 10_000>::new(0).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Whole<const MIN: i64, const MAX: i64>(i64);

/// The number is out of range.
///
/// ```
/// # use hostel_sdk::whole::{OutOfRange, Whole};
/// let wrong = Whole::<1, 10>::new(11).unwrap_err();
/// assert_eq!(wrong, OutOfRange { min: 1, max: 10 });
/// assert_eq!(wrong.to_string(), "must be a whole number from 1 to 10");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be a whole number from {} to {}", self.min, self.max)
    }
}

impl std::error::Error for OutOfRange {}

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    const OUT_OF_RANGE: OutOfRange = OutOfRange { min: MIN, max: MAX };

    /// The number, if it is in range.
    ///
    /// # Errors
    /// When it is not.
    pub const fn new(number: i64) -> Result<Self, OutOfRange> {
        if MIN <= number && number <= MAX { Ok(Self(number)) } else { Err(Self::OUT_OF_RANGE) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> fmt::Debug for Whole<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MIN: i64, const MAX: i64> fmt::Display for Whole<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<const MIN: i64, const MAX: i64> TryFrom<i64> for Whole<MIN, MAX> {
    type Error = OutOfRange;

    fn try_from(number: i64) -> Result<Self, OutOfRange> {
        Self::new(number)
    }
}

impl<const MIN: i64, const MAX: i64> FromStr for Whole<MIN, MAX> {
    type Err = OutOfRange;

    fn from_str(text: &str) -> Result<Self, OutOfRange> {
        Self::new(text.parse().map_err(|_| Self::OUT_OF_RANGE)?)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("Whole<{MIN},{MAX}>").into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: i64, const MAX: i64> ToValue for Whole<MIN, MAX> {
    fn to_value(&self) -> Value {
        self.0.to_value()
    }
}

/// As for texts, what was in range when it was written can be read.
impl<const MIN: i64, const MAX: i64> FromValue for Whole<MIN, MAX> {
    fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
        i64::from_value(cell).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_range() {
        type Dozen = Whole<1, 12>;
        let json = |text| serde_json::from_str::<Dozen>(text).map(Dozen::get).ok();
        assert_eq!([json("1"), json("12")], [Some(1), Some(12)]);
        assert_eq!([json("0"), json("13"), json("1.5"), json("\"1\"")], [None; 4]);
        assert_eq!("12".parse::<Dozen>().map(Dozen::get), Ok(12));
        assert!("13".parse::<Dozen>().is_err() && "x".parse::<Dozen>().is_err());
        assert_eq!(Dozen::from_value(Cell::Integer(100)).map(Dozen::get), Ok(100));
    }
}
