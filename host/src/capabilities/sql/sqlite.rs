//! Values between the contract and SQLite: parameters in, rows out, errors explained.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Column as _, ColumnOrigin, Decode, Row as _, Sqlite, Type, TypeInfo as _, ValueRef as _,
};

use super::rows::{Encoder, too_large};
use super::statement::{is_decimal, needs_too_much_memory, statement_too_large};
use crate::bindings::hostel::sql::sql::Value;
use crate::database::{ColumnKind, SqliteUnit, TEMPORARY_FULL};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;

/// Binds a guest's parameters in the form in which SQLite stores them.
pub(super) fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    parameters: &[Value],
) -> Query<'q, Sqlite, SqliteArguments> {
    parameters.iter().fold(query, |query, value| match value {
        Value::Null => query.bind(None::<i64>),
        Value::Boolean(value) => query.bind(i64::from(*value)),
        Value::Integer(value) | Value::Timestamp(value) => query.bind(*value),
        Value::Real(value) => query.bind(*value),
        Value::Text(value) | Value::Json(value) | Value::Decimal(value) => {
            query.bind(value.clone())
        }
        Value::Bytes(value) => query.bind(value.clone()),
        Value::Uuid((high, low)) => {
            query.bind(uuid::Uuid::from_u64_pair(*high, *low).into_bytes().to_vec())
        }
    })
}

/// Rows on their way into an answer.
pub(super) struct Rows<'a> {
    unit: &'a SqliteUnit,
    pub(super) encoder: Encoder,
    /// What each column's declaration says; filled by the first row.
    columns: Vec<Option<ColumnKind>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(unit: &'a SqliteUnit, encoder: Encoder) -> Self {
        Self { unit, encoder, columns: Vec::new() }
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

    fn begin(&mut self, row: &SqliteRow) {
        self.encoder.begin(row.columns().iter().map(sqlx::Column::name));
        let kinds = row.columns().iter().map(|column| match column.origin() {
            ColumnOrigin::Table(origin) => self.unit.kind_of(&origin.table, &origin.name),
            _ => None,
        });
        self.columns = kinds.collect();
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
            ("INTEGER", Some(ColumnKind::Decimal)) => {
                to.decimal(&decode::<i64>(value)?.to_string());
            }
            ("INTEGER", Some(ColumnKind::Timestamp)) => to.timestamp(decode(value)?),
            ("INTEGER", _) => to.integer(decode(value)?),
            ("REAL", declared) => {
                let value: f64 = decode(value)?;
                match declared.filter(|_| value.is_finite()) {
                    // The shortest text that means the same real.
                    Some(ColumnKind::Decimal) => to.decimal(&value.to_string()),
                    Some(ColumnKind::Json) => to.json(&value.to_string()),
                    _ => to.real(value),
                }
            }
            ("TEXT", declared) => {
                let text: &str = decode(value)?;
                match declared {
                    Some(ColumnKind::Json) => to.json(text),
                    Some(ColumnKind::Decimal) if is_decimal(text) => to.decimal(text),
                    _ => to.text(text),
                }
            }
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

fn decode<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    value: sqlx::sqlite::SqliteValueRef<'r>,
) -> Result<T> {
    T::decode(value).map_err(|error| Error::invalid("a stored text is no UTF-8").because(error))
}

/// What a guest is told of a statement that failed. SQLite's messages speak of the guest's own
/// statement and tables, and of nothing else in its unit's file.
pub(super) fn explain(error: sqlx::Error) -> Error {
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
    let code = database.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    let known = match code & 0xff {
        13 if code == TEMPORARY_FULL => statement_too_large(),
        7 => needs_too_much_memory(),
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
