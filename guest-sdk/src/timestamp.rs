//! Points in time, to the microsecond.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time. In JSON and as text it is RFC 3339: `2026-01-31T12:00:00Z`.
///
/// ```
/// use std::time::Duration;
///
/// use hostel_sdk::Timestamp;
///
/// let noon: Timestamp = "2026-01-31T12:00:00Z".parse()?;
/// let later = Timestamp::from_micros(noon.as_micros() + 90_000_000);
/// assert_eq!(later.to_string(), "2026-01-31T12:01:30Z");
/// assert_eq!(later.since(noon), Some(Duration::from_secs(90)));
/// assert_eq!(noon.checked_add(Duration::from_secs(90)), Some(later));
/// assert_eq!(later.checked_sub(Duration::from_secs(90)), Some(noon));
/// # Ok::<(), hostel_sdk::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first time that RFC 3339 can say.
    pub const MIN: Self = Self(-62_167_219_200_000_000);
    /// The last time that RFC 3339 can say.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The time that is this many microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` it is; `None` when it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let micros = self.0.checked_sub(earlier.0)?;
        micros.try_into().ok().map(Duration::from_micros)
    }

    /// The time that is so much later; `None` after [`MAX`](Self::MAX).
    #[must_use]
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        let micros = self.0.checked_add(time.as_micros().try_into().ok()?)?;
        Some(Self(micros)).filter(|later| *later <= Self::MAX)
    }

    /// The time that is so much earlier; `None` before [`MIN`](Self::MIN).
    #[must_use]
    pub fn checked_sub(self, time: Duration) -> Option<Self> {
        let micros = self.0.checked_sub(time.as_micros().try_into().ok()?)?;
        Some(Self(micros)).filter(|earlier| *earlier >= Self::MIN)
    }

    fn rfc3339(self) -> Option<String> {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000).ok()?;
        time.format(&Rfc3339).ok()
    }
}

/// The text is no time in the form of RFC 3339.
///
/// ```
/// # use hostel_sdk::{InvalidTimestamp, Timestamp};
/// assert_eq!("tomorrow".parse::<Timestamp>(), Err(InvalidTimestamp));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a time such as `2026-01-31T12:00:00Z`")
    }
}

impl std::error::Error for InvalidTimestamp {}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?;
        let micros = time.unix_timestamp_nanos().div_euclid(1000);
        i64::try_from(micros).map(Self).map_err(|_| InvalidTimestamp)
    }
}

/// RFC 3339, or the bare microseconds for a year that it cannot write (before 0 or after 9999).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rfc3339() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.rfc3339() {
            Some(text) => serializer.serialize_str(&text),
            None => Err(ser::Error::custom("a time outside the years 0 to 9999")),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_within_what_can_be_said() {
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        let micro = Duration::from_micros(1);
        assert_eq!(Timestamp::MAX.checked_add(micro), None);
        assert_eq!(Timestamp::MIN.checked_sub(micro), None);
        assert_eq!(Timestamp::MIN.checked_add(Duration::MAX), None);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), None);
        let all = Timestamp::MAX.since(Timestamp::MIN).unwrap();
        assert_eq!(Timestamp::MIN.checked_add(all), Some(Timestamp::MAX));
    }

    #[test]
    fn text_and_back() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
        ] {
            let timestamp = Timestamp::from_micros(micros);
            assert_eq!(timestamp.to_string(), text);
            assert_eq!(text.parse(), Ok(timestamp));
        }
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Timestamp::from_micros(0)));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(InvalidTimestamp));
    }

    #[test]
    fn a_year_that_rfc_3339_does_not_know_is_an_error_and_no_panic() {
        for micros in [i64::MIN, i64::MAX] {
            assert!(serde_json::to_string(&Timestamp::from_micros(micros)).is_err());
            assert_eq!(Timestamp::from_micros(micros).to_string(), format!("{micros}us"));
        }
    }
}
