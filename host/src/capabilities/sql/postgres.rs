//! Values between the contract and PostgreSQL: parameters in, rows out, errors explained.
//!
//! The server says which type each parameter has, from the statement's own words, and values are sent
//! as that type; so a module's numbers fit every column of numbers. A parameter whose type the
//! statement leaves open has the type of its value.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgArgumentBuffer;
use sqlx::types::BigDecimal;
use sqlx::{Encode, Postgres};

use super::rows::{Encoder, too_large};
use super::statement::{miscounted, needs_too_much_memory, size, statement_too_large};
use crate::bindings::hostel::sql::sql::{Isolation, TransactionOptions, Value};
use crate::database::{
    Bounds, Failure, PostgresBegin, PostgresConnection, PostgresLease, PostgresRow, PostgresType,
    Prepared, Refusal, STATEMENT_MAX, VALUE_MAX, oid,
};
use crate::error::{Error, ErrorKind, Result};

/// Microseconds from the Unix epoch to 2000-01-01T00:00:00Z, where PostgreSQL's times begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH: jiff::civil::Date = jiff::civil::date(2000, 1, 1);

/// Prepares a guest's statement for these parameters, and runs it. `encoder` gets the rows, where
/// somebody wants them. Returns how many rows were changed.
pub(super) async fn run(
    connection: &mut PostgresLease,
    text: &str,
    parameters: &[Value],
    bounds: Bounds,
    mut encoder: Option<&mut Encoder>,
) -> Result<u64, Failure> {
    let (statement, values) = prepare_to_run(connection, text, parameters, bounds.time).await?;
    connection
        .run(&statement, &values, bounds, |statement, row| match &mut encoder {
            Some(encoder) => push_row(encoder, statement, row),
            None => Ok(()),
        })
        .await
}

/// A statement that the server knows, and the values of its parameters.
pub(super) type Ready = (Arc<Prepared>, Vec<Option<Vec<u8>>>);

/// What is run, and with what: a statement that there is room for.
pub(super) async fn prepare_to_run(
    connection: &mut PostgresLease,
    text: &str,
    parameters: &[Value],
    time: Duration,
) -> Result<Ready, Failure> {
    connection.check_space(text).await.map_err(Failure::Refused)?;
    check_sizes(text, parameters).map_err(Failure::Refused)?;
    prepare(connection, "", text, parameters, time).await
}

/// Holds statements and values within the limits that they have on SQLite.
fn check_sizes(text: &str, parameters: &[Value]) -> Result<()> {
    if text.len() > STATEMENT_MAX || parameters.iter().any(|value| size(value) > VALUE_MAX) {
        return Err(value_too_large());
    }
    Ok(())
}

fn value_too_large() -> Error {
    Error::new(ErrorKind::Limit, "value-too-large", "a value or the statement is too large")
}

async fn prepare(
    connection: &mut PostgresConnection,
    before: &'static str,
    text: &str,
    parameters: &[Value],
    time: Duration,
) -> Result<Ready, Failure> {
    let prepared = connection.prepare(before, text, &[], time).await?;
    fitted(connection, prepared, before, text, parameters, time).await
}

/// What was prepared, for parameters of which the statement's words may leave the types open.
async fn fitted(
    connection: &mut PostgresConnection,
    mut prepared: Arc<Prepared>,
    before: &'static str,
    text: &str,
    parameters: &[Value],
    time: Duration,
) -> Result<Ready, Failure> {
    let types = &prepared.parameters;
    if types.len() != parameters.len() {
        return Err(Failure::Refused(miscounted(types.len(), parameters.len())));
    }
    // The server takes for text what nothing in the statement tells it.
    let open = |(known, value): (&PostgresType, &Value)| {
        if known.id == oid::TEXT { own_type(value) } else { 0 }
    };
    if types.iter().zip(parameters).any(|pair| open(pair) != 0) {
        let declared: Vec<_> = types.iter().zip(parameters).map(open).collect();
        // Prepared statements are known by their text, and this is another one.
        let text = format!("{text}\n/* {declared:?} */");
        prepared = connection.prepare(before, &text, &declared, time).await?;
    }
    let values = encoded(&prepared, parameters).map_err(Failure::Refused)?;
    Ok((prepared, values))
}

/// What is sent to the server before its answers are read: so little that it can always take it, even
/// if nobody reads what it says meanwhile.
const SENT_AHEAD_BYTES: usize = 16 * 1024;
/// A run without values has some bytes, too.
const SENT_AHEAD_MAX: usize = 200;

/// Runs a guest's statement once for each of `runs`, many of them in one round trip. Returns how many
/// rows were changed by all of them. It must be in a transaction: one that fails fails all.
///
/// # Errors
/// Why one of them failed, and which.
pub(super) async fn run_all(
    connection: &mut PostgresLease,
    text: &str,
    runs: &[Vec<Value>],
    bounds: Bounds,
) -> Result<u64, (usize, Failure)> {
    let (mut changed, mut done) = (0, 0);
    while done < runs.len() {
        connection.check_space(text).await.map_err(|error| (done, Failure::Refused(error)))?;
        let known = connection.prepare("", text, &[], bounds.time).await;
        let known = known.map_err(|failure| (done, failure))?;
        let (mut statement, mut together, mut bytes) = (None, Vec::new(), 0);
        let mut wrong = None;
        for parameters in &runs[done..] {
            match ready(connection, &known, text, parameters, bounds.time).await {
                // Parameters of other types make another statement, which comes after this one.
                Ok((fit, _)) if statement.as_ref().is_some_and(|it| !Arc::ptr_eq(it, &fit)) => {
                    break;
                }
                Ok((fit, values)) => {
                    statement = Some(fit);
                    bytes += values.iter().flatten().map(Vec::len).sum::<usize>();
                    together.push(values);
                }
                // Those before it come first, and may fail for another reason.
                Err(failure) => {
                    wrong = Some(failure);
                    break;
                }
            }
            if bytes >= SENT_AHEAD_BYTES || together.len() >= SENT_AHEAD_MAX {
                break;
            }
        }
        if let Some(statement) = &statement {
            let ran = connection.run_all(statement, &together, bounds).await;
            changed += ran.map_err(|(index, failure)| (done + index, failure))?;
        }
        done += together.len();
        if let Some(failure) = wrong {
            return Err((done, failure));
        }
    }
    Ok(changed)
}

async fn ready(
    connection: &mut PostgresConnection,
    known: &Arc<Prepared>,
    text: &str,
    parameters: &[Value],
    time: Duration,
) -> Result<Ready, Failure> {
    check_sizes(text, parameters).map_err(Failure::Refused)?;
    fitted(connection, Arc::clone(known), "", text, parameters, time).await
}

/// The type of a value that stands for itself, or 0 where that is text.
fn own_type(value: &Value) -> u32 {
    match value {
        Value::Null | Value::Text(_) | Value::Json(_) => 0,
        Value::Boolean(_) => oid::BOOL,
        Value::Integer(_) => oid::INT8,
        Value::Real(_) => oid::FLOAT8,
        Value::Bytes(_) => oid::BYTEA,
        Value::Uuid(_) => oid::UUID,
        Value::Timestamp(_) => oid::TIMESTAMPTZ,
        Value::Decimal(_) => oid::NUMERIC,
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Real(_) => "a real",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Uuid(_) => "a uuid",
        Value::Timestamp(_) => "a timestamp",
        Value::Json(_) => "a JSON document",
        Value::Decimal(_) => "a decimal",
    }
}

/// The parameters in the server's binary form of their types.
fn encoded(statement: &Prepared, parameters: &[Value]) -> Result<Vec<Option<Vec<u8>>>> {
    let wanted = statement.parameters.iter().zip(parameters).enumerate();
    wanted
        .map(|(index, (wanted, value))| match value {
            Value::Null => Ok(None),
            value => encode(value, wanted).map(Some).ok_or_else(|| {
                Error::invalid(format!(
                    "parameter ${} is {}, and the statement wants {}",
                    index + 1,
                    kind_name(value),
                    wanted.name
                ))
            }),
        })
        .collect()
}

/// The bytes of a value as the type that the statement wants, where it can be that.
fn encode(value: &Value, wanted: &PostgresType) -> Option<Vec<u8>> {
    let number = match value {
        Value::Boolean(value) => Some(i64::from(*value)),
        Value::Integer(value) => Some(*value),
        _ => None,
    };
    match (wanted.id, value) {
        (oid::BOOL, Value::Boolean(_) | Value::Integer(0 | 1)) => {
            Some(vec![u8::try_from(number?).ok()?])
        }
        (oid::INT2, _) => Some(i16::try_from(number?).ok()?.to_be_bytes().to_vec()),
        (oid::INT4, _) => Some(i32::try_from(number?).ok()?.to_be_bytes().to_vec()),
        (oid::INT8, _) => Some(number?.to_be_bytes().to_vec()),
        (oid::OID, _) => Some(u32::try_from(number?).ok()?.to_be_bytes().to_vec()),
        (oid::FLOAT4, Value::Real(value)) => Some((*value as f32).to_be_bytes().to_vec()),
        (oid::FLOAT4, Value::Integer(value)) => Some((*value as f32).to_be_bytes().to_vec()),
        (oid::FLOAT8, Value::Real(value)) => Some(value.to_be_bytes().to_vec()),
        (oid::FLOAT8, Value::Integer(value)) => Some((*value as f64).to_be_bytes().to_vec()),
        (oid::NUMERIC, Value::Integer(value)) => encode_numeric(BigDecimal::from(*value)),
        (oid::NUMERIC, Value::Real(value)) => encode_numeric(BigDecimal::try_from(*value).ok()?),
        (oid::NUMERIC, Value::Decimal(value) | Value::Text(value)) => {
            encode_numeric(value.parse().ok()?)
        }
        (
            oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN,
            Value::Text(value) | Value::Json(value),
        ) => Some(value.as_bytes().to_vec()),
        (_, Value::Text(value)) if wanted.is_enum => Some(value.as_bytes().to_vec()),
        (oid::JSON, Value::Json(value) | Value::Text(value)) => Some(value.as_bytes().to_vec()),
        (oid::JSONB, Value::Json(value) | Value::Text(value)) => {
            // The version of its binary form.
            Some([&[1], value.as_bytes()].concat())
        }
        (oid::BYTEA, Value::Bytes(value)) => Some(value.clone()),
        (oid::UUID, Value::Uuid((high, low))) => {
            Some([high.to_be_bytes(), low.to_be_bytes()].concat())
        }
        (oid::UUID, Value::Bytes(value)) if value.len() == 16 => Some(value.clone()),
        (oid::TIMESTAMP | oid::TIMESTAMPTZ, Value::Timestamp(micros) | Value::Integer(micros)) => {
            Some(micros.checked_sub(EPOCH_MICROS)?.to_be_bytes().to_vec())
        }
        (oid::DATE, Value::Text(value)) => {
            let date: jiff::civil::Date = value.parse().ok()?;
            let days = EPOCH.until(date).ok()?.get_days();
            Some(days.to_be_bytes().to_vec())
        }
        _ => None,
    }
}

fn encode_numeric(value: BigDecimal) -> Option<Vec<u8>> {
    let mut buffer = PgArgumentBuffer::default();
    let encoded = Encode::<Postgres>::encode_by_ref(&value, &mut buffer).ok()?;
    (!encoded.is_null()).then(|| buffer.to_vec())
}

/// Puts a row into an answer.
pub(super) fn push_row(
    encoder: &mut Encoder,
    statement: &Prepared,
    row: &PostgresRow,
) -> Result<()> {
    if encoder.is_empty() {
        encoder.begin(statement.columns.iter().map(|column| &*column.name));
    }
    for (index, column) in statement.columns.iter().enumerate() {
        match row.get(index) {
            Some(bytes) => push_value(encoder, bytes, &column.kind, &column.name)?,
            None => encoder.null(),
        }
    }
    encoder.end_row()
}

fn push_value(
    encoder: &mut Encoder,
    bytes: &[u8],
    kind: &PostgresType,
    column: &str,
) -> Result<()> {
    match kind.id {
        oid::BOOL => encoder.boolean(bytes == [1]),
        oid::INT2 => encoder.integer(i16::from_be_bytes(fixed(bytes)?).into()),
        oid::INT4 => encoder.integer(i32::from_be_bytes(fixed(bytes)?).into()),
        oid::INT8 => encoder.integer(i64::from_be_bytes(fixed(bytes)?)),
        oid::OID => encoder.integer(u32::from_be_bytes(fixed(bytes)?).into()),
        oid::FLOAT4 => encoder.real(f32::from_be_bytes(fixed(bytes)?).into()),
        oid::FLOAT8 => encoder.real(f64::from_be_bytes(fixed(bytes)?)),
        oid::NUMERIC => {
            // Asked for as a text, which is `NaN` or `Infinity` where it is no number.
            let number: BigDecimal = utf8(bytes)?
                .parse()
                .map_err(|error| not_readable(column, "numeric").because(error))?;
            encoder.decimal(&number.normalized().to_plain_string());
        }
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::CHAR | oid::UNKNOWN => {
            encoder.text(utf8(bytes)?);
        }
        oid::BYTEA => encoder.bytes(bytes),
        oid::UUID => encoder.uuid(fixed(bytes)?),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            // Infinite ones stay the greatest and the least.
            encoder.timestamp(i64::from_be_bytes(fixed(bytes)?).saturating_add(EPOCH_MICROS));
        }
        oid::DATE => {
            let days = i64::from(i32::from_be_bytes(fixed(bytes)?));
            let days = jiff::Span::new().try_days(days);
            let date = days.and_then(|days| EPOCH.checked_add(days));
            let date = date.map_err(|error| not_readable(column, "date").because(error))?;
            encoder.text(&date.to_string());
        }
        oid::JSON => encoder.json(utf8(bytes)?),
        oid::JSONB => encoder.json(utf8(bytes.get(1..).unwrap_or_default())?),
        _ if kind.is_enum => encoder.text(utf8(bytes)?),
        _ => return Err(not_readable(column, &kind.name)),
    }
    Ok(())
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| Error::internal("a value has another length than its type"))
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::invalid("a stored text is no UTF-8").because(error))
}

fn not_readable(column: &str, kind: &str) -> Error {
    Error::invalid(format!(
        "column `{column}` is of type {kind}, which modules cannot read: cast it, to text for example"
    ))
}

/// How a transaction begins.
pub(super) fn begin(options: &TransactionOptions) -> PostgresBegin {
    let statement = match (options.isolation, options.read_only) {
        (Isolation::Serializable, false) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        (Isolation::Serializable, true) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        (Isolation::RepeatableRead, false) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        (Isolation::RepeatableRead, true) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        (Isolation::ReadCommitted, false) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        (Isolation::ReadCommitted, true) => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
    };
    let takes_turn = matches!(options.isolation, Isolation::Serializable) && !options.read_only;
    PostgresBegin { statement, takes_turn }
}

/// How the server would run a statement.
pub(super) async fn plan(
    connection: &mut PostgresConnection,
    text: &str,
    parameters: &[Value],
    bounds: Bounds,
) -> Result<String, Failure> {
    let (asked, values) = prepare(connection, "EXPLAIN ", text, parameters, bounds.time).await?;
    let mut plan = String::new();
    let each = |_: &Prepared, row: &PostgresRow| {
        plan.push_str(utf8(row.get(0).unwrap_or_default())?);
        plan.push('\n');
        let fits = plan.len() <= bounds.row_max;
        if fits { Ok(()) } else { Err(too_large("bytes", "a simpler statement")) }
    };
    connection.run(&asked, &values, bounds, each).await?;
    Ok(plan)
}

const CONFLICT: &str = "transaction-conflict";
const TABLES_CHANGED: &str = "tables-changed";
const GAVE_WAY: &str = "statement-gave-way";

/// Whether nothing of the statement happened, and it may succeed when it is sent again: others came
/// in between, changed the tables that it was prepared for, or had their turn before it.
pub(super) fn may_be_repeated(error: &Error) -> bool {
    [CONFLICT, TABLES_CHANGED, GAVE_WAY].contains(&error.code())
}

/// Whether the statement is long, and gave way to others.
pub(crate) fn is_for_its_turn(error: &Error) -> bool {
    error.code() == GAVE_WAY
}

/// What is told of a statement that is to be run again in its turn.
pub(super) fn gave_way() -> Error {
    Error::new(ErrorKind::Unavailable, GAVE_WAY, "long statements of others came first")
}

/// What a guest is told of a statement that the server refused. Its messages speak of the guest's own
/// statement and tables.
pub(super) fn explain(refusal: Refusal) -> Error {
    let unavailable = |refusal: Refusal| {
        Error::new(ErrorKind::Unavailable, "database", "the database did not answer")
            .because(refusal)
    };
    let (message, constraint) = (refusal.message.clone(), refusal.constraint.clone());
    // Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html.
    let known = match &*refusal.code {
        "23505" | "23P01" => Error::new(ErrorKind::Conflict, "conflict", message),
        "40001" | "40P01" => Error::new(
            ErrorKind::Conflict,
            CONFLICT,
            "another transaction came first: begin this one again",
        ),
        "25006" => Error::invalid("nothing can be written here: the transaction is read-only"),
        "42501" => Error::new(
            ErrorKind::Denied,
            "statement-refused",
            format!("{message}: this statement uses what modules may not"),
        ),
        "0A000" if message.starts_with("cached plan") => Error::new(
            ErrorKind::Unavailable,
            TABLES_CHANGED,
            "the tables have changed meanwhile: begin again",
        ),
        // The same is said where the server has no room for locks, which is no fault of this one.
        "53200" if !message.contains("shared memory") => needs_too_much_memory(),
        "53400" => statement_too_large(),
        "54000" | "54001" | "54011" | "54023" => value_too_large(),
        "57014" | "57P01" | "25P03" => return super::statement::timed_out(),
        "55P03" => {
            Error::new(ErrorKind::Unavailable, "database-busy", "another write did not end in time")
        }
        code if ["08", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class)) => {
            return unavailable(refusal);
        }
        _ => Error::invalid(message),
    };
    match constraint {
        Some(name) => known.about(name),
        None => known,
    }
}
