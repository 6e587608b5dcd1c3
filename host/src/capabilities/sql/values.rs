//! Values between the contract and SQLite: parameters in, rows out, errors explained.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Column as _, ColumnOrigin, Decode, Row as _, Sqlite, Type, TypeInfo as _, ValueRef as _,
};

use crate::bindings::hostel::sql::sql::Value;
use crate::database::{ColumnKind, Failure, Unit};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;

/// The kinds of values in `hostel:sql`'s rows.
mod kind {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INTEGER: u8 = 3;
    pub(super) const REAL: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const UUID: u8 = 7;
    pub(super) const TIMESTAMP: u8 = 8;
    pub(super) const JSON: u8 = 9;
    pub(super) const DECIMAL: u8 = 10;
}

/// Binds a guest's parameters in the form in which SQLite stores them.
pub(super) fn bind(
    query: Query<'_, Sqlite, SqliteArguments>,
    parameters: Vec<Value>,
) -> Query<'_, Sqlite, SqliteArguments> {
    parameters.into_iter().fold(query, |query, value| match value {
        Value::Null => query.bind(None::<i64>),
        Value::Boolean(value) => query.bind(i64::from(value)),
        Value::Integer(value) | Value::Timestamp(value) => query.bind(value),
        Value::Real(value) => query.bind(value),
        Value::Text(value) | Value::Json(value) | Value::Decimal(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Uuid((high, low)) => {
            query.bind(uuid::Uuid::from_u64_pair(high, low).into_bytes().to_vec())
        }
    })
}

/// The bytes of a parameter.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) | Value::Decimal(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => std::mem::size_of::<i64>(),
    }
}

/// Refuses parameters that are not what they say.
pub(super) fn check(value: &Value) -> Result<()> {
    match value {
        Value::Decimal(text) if !is_decimal(text) => {
            Err(Error::invalid("a decimal parameter is no number such as `-12.50`"))
        }
        _ => Ok(()),
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

/// An answer in the making, in the encoding that `wit/deps/sql.wit` describes.
pub(super) struct RowBuffer {
    rows_left: u64,
    /// Of all rows together, or of each row where they are taken in chunks.
    bytes_max: usize,
    is_chunk: bool,
    /// What each column's declaration says; filled by the first row.
    columns: Vec<Option<ColumnKind>>,
    bytes: Vec<u8>,
}

impl RowBuffer {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        Self {
            rows_left: limits.sql_rows_max.get(),
            bytes_max: limits.sql_result_max_bytes.as_usize(),
            is_chunk: false,
            columns: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// For an answer that is taken chunk by chunk: as many rows as there are.
    pub(super) fn of_chunks(limits: &LimitsConfig) -> Self {
        Self { rows_left: u64::MAX, is_chunk: true, ..Self::new(limits) }
    }

    pub(super) fn push(&mut self, row: &SqliteRow, unit: &Unit) -> Result<()> {
        if self.bytes.is_empty() {
            self.begin(row, unit);
        }
        let before = if self.is_chunk { self.bytes.len() } else { 0 };
        self.rows_left =
            self.rows_left.checked_sub(1).ok_or_else(|| too_large("rows", "a LIMIT"))?;
        for index in 0..self.columns.len() {
            self.push_value(row, index)?;
        }
        if self.bytes.len() - before > self.bytes_max {
            return Err(too_large("bytes", "fewer columns or a LIMIT"));
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The rows until now; those that follow begin another buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.columns.clear();
        std::mem::take(&mut self.bytes)
    }

    /// The rows; no columns at all where no row came.
    pub(super) fn finish(self) -> Vec<u8> {
        if self.bytes.is_empty() { vec![0, 0] } else { self.bytes }
    }

    fn begin(&mut self, row: &SqliteRow, unit: &Unit) {
        let columns = row.columns();
        self.bytes.reserve(64 + 32 * columns.len());
        self.bytes.extend_from_slice(&length_u16(columns.len()).to_le_bytes());
        for column in columns {
            let name = &column.name().as_bytes()[..usize::from(length_u16(column.name().len()))];
            self.bytes.extend_from_slice(&length_u16(name.len()).to_le_bytes());
            self.bytes.extend_from_slice(name);
            self.columns.push(match column.origin() {
                ColumnOrigin::Table(origin) => unit.kind_of(&origin.table, &origin.name),
                _ => None,
            });
        }
    }

    fn push_value(&mut self, row: &SqliteRow, index: usize) -> Result<()> {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            self.bytes.push(kind::NULL);
            return Ok(());
        }
        let stored = value.type_info().into_owned();
        match (stored.name(), self.columns[index]) {
            ("INTEGER", Some(ColumnKind::Boolean)) => {
                let value: i64 = decode(value)?;
                self.bytes.push(if value == 0 { kind::FALSE } else { kind::TRUE });
            }
            ("INTEGER", Some(ColumnKind::Json)) => {
                let value: i64 = decode(value)?;
                self.push_bytes(kind::JSON, value.to_string().as_bytes());
            }
            ("REAL", Some(ColumnKind::Json)) => {
                let value: f64 = decode(value)?;
                self.push_bytes(kind::JSON, value.to_string().as_bytes());
            }
            ("INTEGER", Some(ColumnKind::Decimal)) => {
                let value: i64 = decode(value)?;
                self.push_bytes(kind::DECIMAL, value.to_string().as_bytes());
            }
            ("REAL", Some(ColumnKind::Decimal)) => self.push_decimal(decode(value)?),
            ("INTEGER", declared) => {
                let value: i64 = decode(value)?;
                let is_time = declared == Some(ColumnKind::Timestamp);
                self.bytes.push(if is_time { kind::TIMESTAMP } else { kind::INTEGER });
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            ("REAL", _) => {
                let value: f64 = decode(value)?;
                self.bytes.push(kind::REAL);
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            ("TEXT", declared) => {
                let text: &str = decode(value)?;
                let kind = match declared {
                    Some(ColumnKind::Json) => kind::JSON,
                    Some(ColumnKind::Decimal) if is_decimal(text) => kind::DECIMAL,
                    _ => kind::TEXT,
                };
                self.push_bytes(kind, text.as_bytes());
            }
            (_, declared) => {
                let bytes: &[u8] = decode(value)?;
                if declared == Some(ColumnKind::Uuid) && bytes.len() == 16 {
                    self.bytes.push(kind::UUID);
                    self.bytes.extend_from_slice(bytes);
                } else {
                    self.push_bytes(kind::BYTES, bytes);
                }
            }
        }
        Ok(())
    }

    /// A decimal that SQLite keeps as a real: the shortest text that means the same real.
    fn push_decimal(&mut self, value: f64) {
        if value.is_finite() {
            self.push_bytes(kind::DECIMAL, value.to_string().as_bytes());
        } else {
            self.bytes.push(kind::REAL);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn push_bytes(&mut self, kind: u8, bytes: &[u8]) {
        // SQLite's own limit on a value keeps lengths far below 32 bits.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

/// SQLite's plan of a statement, each step below the one that it is a part of.
pub(super) struct PlanText {
    /// The numbers of the steps above the next one.
    above: Vec<i64>,
    bytes_max: usize,
    text: String,
}

impl PlanText {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        let bytes_max = limits.sql_result_max_bytes.as_usize();
        Self { above: Vec::new(), bytes_max, text: String::new() }
    }

    /// The statement that asks for the plan of another one.
    pub(super) fn ask(statement: &str) -> String {
        format!("EXPLAIN QUERY PLAN {statement}")
    }

    pub(super) fn push(&mut self, row: &SqliteRow) -> Result<()> {
        let (step, parent): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        while self.above.last().is_some_and(|last| *last != parent) {
            self.above.pop();
        }
        self.text.extend(std::iter::repeat_n("  ", self.above.len()));
        self.text.push_str(row.try_get(3)?);
        self.text.push('\n');
        self.above.push(step);
        if self.text.len() > self.bytes_max {
            return Err(too_large("bytes", "a simpler statement"));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn length_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn decode<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    value: sqlx::sqlite::SqliteValueRef<'r>,
) -> Result<T> {
    T::decode(value).map_err(|error| Error::invalid("a stored text is no UTF-8").because(error))
}

fn too_large(what: &str, instead: &str) -> Error {
    Error::new(
        ErrorKind::Limit,
        "result-too-large",
        format!("the answer has too many {what}: ask for {instead}"),
    )
}

/// What a guest is told of a statement that failed. SQLite's messages speak of the guest's own
/// statement and tables, and of nothing else in its unit's file.
pub fn explain(failure: Failure) -> Error {
    let error = match failure {
        Failure::Refused(error) => return error,
        Failure::Overdue => {
            return Error::new(
                ErrorKind::Timeout,
                "statement-timeout",
                "the statement ran for too long",
            );
        }
        Failure::Database(error) => error,
    };
    let sqlx::Error::Database(database) = &error else {
        return match error {
            sqlx::Error::Protocol(message) => Error::invalid(message),
            other => Error::new(ErrorKind::Unavailable, "database", "the database did not answer")
                .because(other),
        };
    };
    let message = database.message().to_owned();
    let constraint = message.split_once("constraint failed: ").map(|(_, name)| name.to_owned());
    // Primary codes of https://www.sqlite.org/rescode.html; the extended ones keep them in the low byte.
    let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(1);
    let known = match code & 0xff {
        8 => Error::invalid("nothing can be written here: the transaction is read-only"),
        5 | 6 => {
            Error::new(ErrorKind::Unavailable, "database-busy", "another write did not end in time")
        }
        13 => Error::new(
            ErrorKind::Limit,
            "database-full",
            "the tenant's database has reached its size limit",
        ),
        18 => {
            Error::new(ErrorKind::Limit, "value-too-large", "a value or the statement is too large")
        }
        // "not authorized" would send a developer looking for permissions.
        23 => Error::new(
            ErrorKind::Denied,
            "statement-refused",
            format!(
                "{message}: this statement uses what modules may not (transactions, PRAGMA, ATTACH, tables of the host)"
            ),
        ),
        19 if database.is_unique_violation() => {
            Error::new(ErrorKind::Conflict, "conflict", message)
        }
        1 | 19 | 20 | 25 => Error::invalid(message),
        _ => Error::new(ErrorKind::Unavailable, "database", "the database did not answer")
            .because(error),
    };
    match constraint {
        Some(name) => known.about(name),
        None => known,
    }
}
