//! A value of one database in the words of the other.
//!
//! What a module reads through `sql` is the same before and after, so what a column was declared as
//! decides on both sides, as it does there. A value that has no equal is refused.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{Cell, Column, Dialect};
use crate::database::units::ColumnKind;
use crate::error::{Error, Result};

/// How a table's rows become those of a table here.
pub(in crate::database) struct Conversion {
    pub(in crate::database) table: String,
    pub(super) from: Dialect,
    pub(super) source: Vec<Column>,
    pub(super) to: Dialect,
    /// In the order of `source`.
    pub(in crate::database) target: Vec<Column>,
}

impl Conversion {
    /// A row in the words of this database.
    ///
    /// # Errors
    /// Names the column, and what it cannot hold.
    pub(in crate::database) fn row(&self, line: u64, row: Vec<Cell>) -> Result<Vec<Cell>> {
        let place = || format!("table `{}`, line {line}", self.table);
        if row.len() != self.target.len() {
            return Err(Error::invalid(format!(
                "{}: it has {} values for {} columns",
                place(),
                row.len(),
                self.target.len()
            )));
        }
        let columns = self.source.iter().zip(&self.target);
        row.into_iter()
            .zip(columns)
            .map(|(cell, (source, target))| {
                self.cell(cell, &source.kind, &target.kind).map_err(|why| {
                    Error::invalid(format!("{}, column `{}`: {why}", place(), target.name))
                })
            })
            .collect()
    }

    fn cell(&self, cell: Cell, source: &str, target: &str) -> Result<Cell, String> {
        match (self.from, self.to, cell) {
            (_, _, Cell::Null) => Ok(Cell::Null),
            (Dialect::Sqlite, Dialect::Sqlite, cell) => Ok(cell),
            (Dialect::Postgres, Dialect::Postgres, Cell::Text(text)) => Ok(Cell::Text(text)),
            (Dialect::Postgres, Dialect::Sqlite, Cell::Text(text)) => {
                to_sqlite(text, source, target)
            }
            (Dialect::Sqlite, Dialect::Postgres, cell) => to_postgres(cell, target).map(Cell::Text),
            (Dialect::Postgres, _, cell) => {
                Err(format!("{} is no value of PostgreSQL's", cell.what()))
            }
        }
    }
}

fn to_sqlite(text: String, source: &str, target: &str) -> Result<Cell, String> {
    let kind = ColumnKind::of_declared(target);
    let declared = target.to_ascii_lowercase();
    let is_text = ["char", "clob", "text"].iter().any(|part| declared.contains(part));
    let wrong = |text: &str| format!("`{text}` is no {source}");
    match source {
        // What one who declares a text reads is a text.
        _ if is_text => Ok(Cell::Text(text)),
        "bool" => Ok(Cell::Integer(i64::from(text == "t"))),
        "int2" | "int4" | "int8" | "oid" => {
            text.parse().map(Cell::Integer).map_err(|_| wrong(&text))
        }
        "float4" | "float8" => match float(&text) {
            Some(real) if !real.is_nan() => Ok(Cell::Real(real)),
            _ => Err(no_equal(&text)),
        },
        // SQLite makes a number of it where that loses nothing, as it does when a module writes one.
        "numeric" if text.bytes().any(|byte| byte.is_ascii_alphabetic()) => Err(no_equal(&text)),
        "text" | "varchar" | "bpchar" | "name" | "char" | "enum" | "json" | "jsonb" | "date"
        | "numeric" => Ok(Cell::Text(text)),
        "bytea" => bytes(&text).map(Cell::Bytes).ok_or_else(|| wrong(&text)),
        "uuid" => uuid::Uuid::parse_str(&text)
            .map(|uuid| Cell::Bytes(uuid.into_bytes().to_vec()))
            .map_err(|_| wrong(&text)),
        "timestamp" | "timestamptz" => match micros(&text) {
            Some(micros) if kind == Some(ColumnKind::Timestamp) || declared.contains("int") => {
                Ok(Cell::Integer(micros))
            }
            Some(_) => Err(format!("a time goes to a column that was declared as `{target}`")),
            None => Err(no_equal(&text)),
        },
        _ => Err(format!(
            "a value of type {source} goes to a column that was declared as `{target}`: only a text can hold it"
        )),
    }
}

fn to_postgres(cell: Cell, target: &str) -> Result<String, String> {
    let unfit = |cell: &Cell| format!("{} goes to a column of type {target}", cell.what());
    match (target, cell) {
        (_, Cell::Text(text)) if text.contains('\0') => {
            Err("PostgreSQL keeps no text with a NUL in it".to_owned())
        }
        ("bool", Cell::Integer(number @ (0 | 1))) => {
            Ok(if number == 1 { "t" } else { "f" }.to_owned())
        }
        ("timestamp" | "timestamptz", Cell::Integer(micros)) => time(micros)
            .ok_or_else(|| format!("{micros} microseconds are beyond the years 1 to 9999")),
        ("uuid", Cell::Bytes(bytes)) => uuid::Uuid::from_slice(&bytes)
            .map(|uuid| uuid.to_string())
            .map_err(|_| format!("{} bytes are no uuid", bytes.len())),
        ("bytea", Cell::Bytes(bytes)) => {
            Ok(format!("\\x{}", data_encoding::HEXLOWER.encode(&bytes)))
        }
        ("bytea" | "bool", cell) | (_, cell @ Cell::Bytes(_)) => Err(unfit(&cell)),
        (
            "int2" | "int4" | "int8" | "oid" | "numeric" | "float4" | "float8" | "text" | "varchar"
            | "bpchar" | "json" | "jsonb",
            Cell::Integer(number),
        ) => Ok(number.to_string()),
        (
            "numeric" | "float4" | "float8" | "text" | "varchar" | "bpchar" | "json" | "jsonb",
            Cell::Real(real),
        ) => Ok(real.to_string()),
        // The server reads it, and says what is wrong with it.
        (_, Cell::Text(text)) => Ok(text),
        (_, cell) => Err(unfit(&cell)),
    }
}

fn no_equal(text: &str) -> String {
    format!("`{text}` has no equal on SQLite")
}

fn float(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.strip_prefix("\\x")?.as_bytes()).ok()
}

/// Microseconds since the Unix epoch of `2024-01-31 12:00:00.5`, with or without `+00` after it.
fn micros(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.trim_end_matches("+00").parse().ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(time.timestamp().as_microsecond())
}

fn time(micros: i64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(micros).ok()?;
    // PostgreSQL writes years before the first in another way.
    let text = time.to_string();
    (!text.starts_with('-')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_it_is_the_same() {
        for (postgres, sqlite, cell, text) in [
            ("bool", "boolean", Cell::Integer(1), "t"),
            ("int8", "integer", Cell::Integer(i64::MIN), "-9223372036854775808"),
            ("float8", "real", Cell::Real(0.1), "0.1"),
            ("text", "text", Cell::Text("0.50".into()), "0.50"),
            ("numeric", "decimal(30, 4)", Cell::Text("0.5000".into()), "0.5000"),
            ("bytea", "blob", Cell::Bytes(vec![0, 255]), "\\x00ff"),
            ("uuid", "uuid", Cell::Bytes(vec![1; 16]), "01010101-0101-0101-0101-010101010101"),
            ("json", "json", Cell::Text("{\"a\": 1}".into()), "{\"a\": 1}"),
        ] {
            assert_eq!(to_sqlite(text.into(), postgres, sqlite), Ok(cell.clone()), "{postgres}");
            assert_eq!(to_postgres(cell, postgres), Ok(text.to_owned()), "{postgres}");
        }
    }

    #[test]
    fn a_time_is_the_same_instant() {
        let micros = 1_706_702_400_500_000;
        for text in ["2024-01-31 12:00:00.5+00", "2024-01-31 12:00:00.5"] {
            let there = to_sqlite(text.into(), "timestamptz", "timestamptz");
            assert_eq!(there, Ok(Cell::Integer(micros)), "{text}");
        }
        let back = to_postgres(Cell::Integer(micros), "timestamptz");
        assert_eq!(back.as_deref(), Ok("2024-01-31T12:00:00.5Z"));
        let before =
            to_sqlite("1969-12-31 23:59:59.999999+00".into(), "timestamptz", "timestamptz");
        assert_eq!(before, Ok(Cell::Integer(-1)));
    }

    #[test]
    fn what_has_no_equal_is_refused() {
        for (text, source, target) in [
            ("NaN", "numeric", "decimal"),
            ("Infinity", "numeric", "decimal"),
            ("NaN", "float8", "real"),
            ("infinity", "timestamptz", "timestamptz"),
            ("0044-03-15 12:00:00+00 BC", "timestamptz", "timestamptz"),
            ("{1,2}", "_int4", "integer"),
            ("2024-01-31 12:00:00+00", "timestamptz", "blob"),
        ] {
            assert!(to_sqlite(text.into(), source, target).is_err(), "{text}");
        }
        assert_eq!(to_sqlite("{1,2}".into(), "_int4", "text"), Ok(Cell::Text("{1,2}".into())));
        assert!(to_postgres(Cell::Integer(2), "bool").is_err());
        assert!(to_postgres(Cell::Text("a\0".into()), "text").is_err());
        assert!(to_postgres(Cell::Bytes(vec![1]), "text").is_err());
    }
}
