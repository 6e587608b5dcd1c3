//! Rust values as parameters, and as the cells of a row.

use rust_decimal::Decimal;
use uuid::Uuid;

use super::Value;
use crate::{Id, Timestamp};

/// A value that can be bound to a statement.
///
/// ```
/// # use hostel_sdk::sql::{ToValue, Value};
/// enum Size {
///     Small,
///     Large,
/// }
///
/// impl ToValue for Size {
///     fn to_value(&self) -> Value {
///         match self {
///             Self::Small => "small".to_value(),
///             Self::Large => "large".to_value(),
///         }
///     }
/// }
/// # assert!(matches!(Size::Small.to_value(), Value::Text(text) if text == "small"));
/// # assert!(matches!(Size::Large.to_value(), Value::Text(text) if text == "large"));
/// ```
pub trait ToValue {
    /// The value as the host takes it.
    fn to_value(&self) -> Value;
}

macro_rules! to_value {
    ($($type:ty: |$it:ident| $value:expr;)*) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                let $it = self;
                $value
            }
        }
    )*};
}

to_value! {
    bool: |it| Value::Boolean(*it);
    i32: |it| Value::Integer(i64::from(*it));
    u32: |it| Value::Integer(i64::from(*it));
    i64: |it| Value::Integer(*it);
    f64: |it| Value::Real(*it);
    str: |it| Value::Text(it.to_owned());
    String: |it| Value::Text(it.clone());
    [u8]: |it| Value::Bytes(it.to_vec());
    Vec<u8>: |it| Value::Bytes(it.clone());
    Uuid: |it| Value::Uuid(it.as_u64_pair());
    Timestamp: |it| Value::Timestamp(it.as_micros());
    serde_json::Value: |it| Value::Json(crate::handler::json_text(it));
    Decimal: |it| Value::Decimal(it.to_string());
    Value: |it| it.clone();
}

impl<T> ToValue for Id<T> {
    fn to_value(&self) -> Value {
        self.as_uuid().to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

/// One value of a row, still where the host put it.
///
/// ```
/// # use hostel_sdk::sql::{Cell, FromValue};
/// assert_eq!(String::from_value(Cell::Text("tea")), Ok("tea".to_owned()));
/// assert_eq!(Option::<String>::from_value(Cell::Null), Ok(None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid(Uuid),
    /// A point in time.
    Timestamp(Timestamp),
    /// A JSON document as text.
    Json(&'a str),
    /// A decimal number as text.
    Decimal(&'a str),
}

impl Cell<'_> {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a real",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "a uuid",
            Self::Timestamp(_) => "a timestamp",
            Self::Json(_) => "a JSON document",
            Self::Decimal(_) => "a decimal",
        }
    }
}

/// The cell holds something else.
///
/// ```
/// # use hostel_sdk::sql::{Cell, FromValue, Mismatch};
/// assert_eq!(i64::from_value(Cell::Text("one")), Err(Mismatch));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch;

/// A value that can be read from a row.
///
/// ```
/// # use hostel_sdk::sql::{Cell, FromValue, Mismatch};
/// # #[derive(Debug, PartialEq)]
/// enum Size {
///     Small,
///     Large,
/// }
///
/// impl FromValue for Size {
///     fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
///         match cell {
///             Cell::Text("small") => Ok(Self::Small),
///             Cell::Text("large") => Ok(Self::Large),
///             _ => Err(Mismatch),
///         }
///     }
/// }
/// # assert_eq!(Size::from_value(Cell::Text("large")), Ok(Size::Large));
/// # assert_eq!(Size::from_value(Cell::Text("small")), Ok(Size::Small));
/// ```
///
/// Money and the like are [`Decimal`]s, of up to 28 digits, from columns that are declared `decimal` or
/// `numeric`. On SQLite such a column keeps 15 digits for certain; declared `decimal text`, it keeps
/// all of them, and orders and compares them as texts. A decimal can be read as an `i64`, an `f64` or a
/// [`String`] too, where nothing is lost.
///
/// ```
/// # use hostel_sdk::sql::{Cell, Decimal, FromValue, Mismatch};
/// assert_eq!(Decimal::from_value(Cell::Decimal("12.50")), Ok(Decimal::new(1250, 2)));
/// assert_eq!(f64::from_value(Cell::Decimal("12.50")), Ok(12.5));
/// assert_eq!(i64::from_value(Cell::Decimal("12.50")), Err(Mismatch));
/// ```
///
/// Where SQLite gives the value of an expression without its column's type (the `max` of a
/// timestamp is an integer there), the types here accept what it is made of.
pub trait FromValue: Sized {
    /// Reads the value from a cell.
    ///
    /// # Errors
    /// When the cell holds something else.
    fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch>;
}

macro_rules! from_value {
    ($($type:ty: { $($pattern:pat => $value:expr,)* })*) => {$(
        impl FromValue for $type {
            fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
                match cell {
                    $($pattern => $value,)*
                    _ => Err(Mismatch),
                }
            }
        }
    )*};
}

from_value! {
    bool: {
        Cell::Boolean(it) => Ok(it),
        Cell::Integer(it @ 0..=1) => Ok(it == 1),
    }
    i32: {
        Cell::Integer(it) => it.try_into().map_err(|_| Mismatch),
        Cell::Decimal(it) => whole(it)?.try_into().map_err(|_| Mismatch),
    }
    u32: {
        Cell::Integer(it) => it.try_into().map_err(|_| Mismatch),
        Cell::Decimal(it) => whole(it)?.try_into().map_err(|_| Mismatch),
    }
    i64: {
        Cell::Integer(it) => Ok(it),
        Cell::Decimal(it) => whole(it),
    }
    f64: {
        Cell::Real(it) => Ok(it),
        Cell::Integer(it) => Ok(it as f64),
        Cell::Decimal(it) => real(it),
    }
    Decimal: {
        Cell::Decimal(it) | Cell::Text(it) => Decimal::from_str_exact(it).map_err(|_| Mismatch),
        Cell::Integer(it) => Ok(Decimal::from(it)),
        Cell::Real(it) => Decimal::from_str_exact(&it.to_string()).map_err(|_| Mismatch),
    }
    String: { Cell::Text(it) | Cell::Json(it) | Cell::Decimal(it) => Ok(it.to_owned()), }
    Vec<u8>: { Cell::Bytes(it) => Ok(it.to_vec()), }
    Uuid: {
        Cell::Uuid(it) => Ok(it),
        Cell::Bytes(it) => Uuid::from_slice(it).map_err(|_| Mismatch),
    }
    Timestamp: {
        Cell::Timestamp(it) => Ok(it),
        Cell::Integer(it) => Ok(Timestamp::from_micros(it)),
    }
    serde_json::Value: {
        Cell::Json(it) | Cell::Text(it) => serde_json::from_str(it).map_err(|_| Mismatch),
    }
}

/// A decimal without the zeros at the end of its fraction.
fn trimmed(decimal: &str) -> &str {
    match decimal.contains('.') {
        true => decimal.trim_end_matches('0').trim_end_matches('.'),
        false => decimal,
    }
}

fn whole(decimal: &str) -> Result<i64, Mismatch> {
    trimmed(decimal).parse().map_err(|_| Mismatch)
}

/// The real whose shortest text is this decimal: `0.1` is one, and what needs more digits than a real
/// can keep is none.
fn real(decimal: &str) -> Result<f64, Mismatch> {
    let decimal = trimmed(decimal);
    let real: f64 = decimal.parse().map_err(|_| Mismatch)?;
    if real.to_string() == decimal { Ok(real) } else { Err(Mismatch) }
}

impl<T> FromValue for Id<T> {
    fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
        Uuid::from_value(cell).map(Self::from_uuid)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
        match cell {
            Cell::Null => Ok(None),
            cell => T::from_value(cell).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_as_another_number_where_nothing_is_lost() {
        for (text, whole, real) in [
            ("12", Some(12), Some(12.0)),
            ("-12.00", Some(-12), Some(-12.0)),
            ("0.1", None, Some(0.1)),
            ("100", Some(100), Some(100.0)),
            ("0.12345678901234567890", None, None),
            ("9223372036854775808", None, None),
            ("9300000000000000000", None, Some(9.3e18)),
            ("9007199254740993", Some(9_007_199_254_740_993), None),
        ] {
            assert_eq!(i64::from_value(Cell::Decimal(text)).ok(), whole, "{text}");
            assert_eq!(f64::from_value(Cell::Decimal(text)).ok(), real, "{text}");
        }
    }

    #[test]
    fn a_decimal_is_sent_as_it_is_written() {
        let Value::Decimal(text) = Decimal::new(-1250, 2).to_value() else { panic!("no decimal") };
        assert_eq!(text, "-12.50");
        assert_eq!(Decimal::from_value(Cell::Real(0.1)), Ok(Decimal::new(1, 1)));
    }
}
