//! Values between the contract and SQLite: parameters in, rows out, errors explained.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Column as _, ColumnOrigin, Decode, Row as _, Sqlite, Type, TypeInfo as _, ValueRef as _,
};

use super::rows::Encoder;
use crate::bindings::hostel::sql::sql::Value;
use crate::database::{ColumnKind, Failure, SqliteUnit};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;

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
        Value::Text(value) | Value::Json(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Uuid((high, low)) => {
            query.bind(uuid::Uuid::from_u64_pair(high, low).into_bytes().to_vec())
        }
    })
}

/// Rows on their way into an answer.
pub(super) struct Rows<'a> {
    unit: &'a SqliteUnit,
    encoder: Encoder,
    /// What each column's declaration says; filled by the first row.
    columns: Vec<Option<ColumnKind>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(unit: &'a SqliteUnit, limits: &LimitsConfig) -> Self {
        Self { unit, encoder: Encoder::new(limits), columns: Vec::new() }
    }

    pub(super) fn push(&mut self, row: &SqliteRow) -> Result<()> {
        if self.encoder.is_empty() {
            self.begin(row);
        }
        for index in 0..self.columns.len() {
            self.push_value(row, index)?;
        }
        self.encoder.end_row()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.encoder.finish()
    }

    fn begin(&mut self, row: &SqliteRow) {
        self.encoder.begin(row.columns().iter().map(sqlx::Column::name));
        for column in row.columns() {
            self.columns.push(match column.origin() {
                ColumnOrigin::Table(origin) => self.unit.kind_of(&origin.table, &origin.name),
                _ => None,
            });
        }
    }

    fn push_value(&mut self, row: &SqliteRow, index: usize) -> Result<()> {
        let value = row.try_get_raw(index)?;
        let to = &mut self.encoder;
        if value.is_null() {
            to.null();
            return Ok(());
        }
        let stored = value.type_info().into_owned();
        match (stored.name(), self.columns[index]) {
            ("INTEGER", Some(ColumnKind::Boolean)) => to.boolean(decode::<i64>(value)? != 0),
            ("INTEGER", Some(ColumnKind::Json)) => to.json(&decode::<i64>(value)?.to_string()),
            ("REAL", Some(ColumnKind::Json)) => to.json(&decode::<f64>(value)?.to_string()),
            ("INTEGER", Some(ColumnKind::Timestamp)) => to.timestamp(decode(value)?),
            ("INTEGER", _) => to.integer(decode(value)?),
            ("REAL", _) => to.real(decode(value)?),
            ("TEXT", Some(ColumnKind::Json)) => to.json(decode(value)?),
            ("TEXT", _) => to.text(decode(value)?),
            (_, declared) => {
                let bytes: &[u8] = decode(value)?;
                match (declared, bytes.try_into()) {
                    (Some(ColumnKind::Uuid), Ok(uuid)) => to.uuid(uuid),
                    _ => to.bytes(bytes),
                }
            }
        }
        Ok(())
    }
}

fn decode<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    value: sqlx::sqlite::SqliteValueRef<'r>,
) -> Result<T> {
    T::decode(value).map_err(|error| Error::invalid("a stored text is no UTF-8").because(error))
}

/// What a guest is told of a statement that failed. SQLite's messages speak of the guest's own
/// statement and tables, and of nothing else in its unit's file.
pub(super) fn explain(failure: Failure) -> Error {
    let error = match failure {
        Failure::Refused(error) => return error,
        Failure::Overdue => return super::statement_timeout(),
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
