//! Which Rust types are which columns.

use rust_decimal::Decimal;
use uuid::Uuid;

use super::table::Kind;
use crate::json::Json;
use crate::sql::{FromValue, ToValue, Value};
use crate::text::{Line, Text};
use crate::whole::Whole;
use crate::{Date, Error, Id, Timestamp, crypto};

/// A type that a column can have.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::{ColumnType, Kind};
/// # use hostel_sdk::sql::{Cell, FromValue, Mismatch, ToValue, Value};
/// /// `#rrggbb`.
/// struct Colour(u32);
///
/// impl ToValue for Colour {
///     fn to_value(&self) -> Value {
///         self.0.to_value()
///     }
/// }
///
/// impl FromValue for Colour {
///     fn from_value(cell: Cell<'_>) -> Result<Self, Mismatch> {
///         u32::from_value(cell).map(Self)
///     }
/// }
///
/// impl ColumnType for Colour {
///     const KIND: Kind = Kind::Integer { min: 0, max: 0xff_ff_ff };
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "paints")]
/// struct Paint {
///     #[entity(key)]
///     id: Id<Paint>,
///     colour: Colour,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of a column",
    note = "`bool`, `i32`, `u32`, `i64`, `f64`, `Decimal`, `String`, `Line`, `Text`, `Whole`, `Vec<u8>`, `Id`, `Uuid`, `Timestamp`, `Date`, `Json`, `Option` of these and enums with `#[derive(ColumnEnum)]` are"
)]
pub trait ColumnType: ToValue + FromValue {
    /// What the column holds.
    const KIND: Kind;
    /// Whether it may hold nothing.
    const IS_NULLABLE: bool = false;

    /// A new key, where keys of this type are made and not said.
    ///
    /// # Errors
    /// When the host gives no random bytes.
    #[doc(hidden)]
    fn generated() -> Result<Option<Value>, Error> {
        Ok(None)
    }
}

macro_rules! kinds {
    ($($type:ty: $kind:expr;)*) => {$(
        impl ColumnType for $type {
            const KIND: Kind = $kind;
        }
    )*};
}

kinds! {
    bool: Kind::Boolean;
    i32: Kind::Integer { min: i32::MIN as i64, max: i32::MAX as i64 };
    u32: Kind::Integer { min: 0, max: u32::MAX as i64 };
    i64: Kind::Integer { min: i64::MIN, max: i64::MAX };
    f64: Kind::Real;
    Decimal: Kind::Decimal;
    String: Kind::Text { max: None };
    Vec<u8>: Kind::Bytes;
    Timestamp: Kind::Timestamp;
    Date: Kind::Date;
    serde_json::Value: Kind::Json;
}

impl<const MAX: usize> ColumnType for Line<MAX> {
    const KIND: Kind = Kind::Text { max: Some(MAX) };
}

impl<const MAX: usize> ColumnType for Text<MAX> {
    const KIND: Kind = Kind::Text { max: Some(MAX) };
}

impl<const MIN: i64, const MAX: i64> ColumnType for Whole<MIN, MAX> {
    const KIND: Kind = Kind::Integer { min: MIN, max: MAX };
}

impl ColumnType for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn generated() -> Result<Option<Value>, Error> {
        crypto::uuid_v7().map(|id| Some(id.to_value()))
    }
}

impl<T> ColumnType for Id<T> {
    const KIND: Kind = Kind::Uuid;

    fn generated() -> Result<Option<Value>, Error> {
        Uuid::generated()
    }
}

impl<T: serde::Serialize + serde::de::DeserializeOwned> ColumnType for Json<T> {
    const KIND: Kind = Kind::Json;
}

impl<T: ColumnType> ColumnType for Option<T> {
    const KIND: Kind = T::KIND;
    const IS_NULLABLE: bool = true;
}
