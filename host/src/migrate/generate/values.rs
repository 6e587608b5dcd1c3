//! Values in SQL: what rows that are there get in a column that may not be empty, and how values of one
//! type become those of another. On SQLite, times are microseconds, and UUIDs are bytes.

use crate::database::{ColumnLayout, TableLayout};
use crate::database::{Dialect, first_text, literal, quoted, usual_name};

/// How values of a column become those of another type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conversion {
    pub(super) sql: String,
    /// Whether some values become others.
    pub(super) loses: bool,
}

/// What is there while nobody says anything: for rows that a way back has no values of. None where any
/// value would be a lie that the database does not take anyway.
pub(super) fn blank(
    table: &str,
    layout: &TableLayout,
    name: &str,
    column: &ColumnLayout,
    dialect: Dialect,
) -> Option<String> {
    let on_sqlite = dialect == Dialect::Sqlite;
    let one_of = usual_name(table, &[name.to_owned()], "one_of");
    if let Some(check) = layout.checks.get(&one_of) {
        return first_text(&check.sql).map(|text| literal(&text));
    }
    let blank = match base(&column.kind) {
        "boolean" => "false",
        "smallint" | "integer" | "bigint" | "real" | "double precision" | "decimal" => "0",
        "text" | "varchar" | "char" | "citext" => "''",
        "bytea" | "blob" if on_sqlite => "x''",
        "bytea" => "'\\x'",
        "timestamptz" | "timestamp" if on_sqlite => "0",
        "timestamptz" | "timestamp" => "to_timestamp(0)",
        "date" => "'1970-01-01'",
        "json" | "jsonb" => "'{}'",
        "uuid" if on_sqlite => "zeroblob(16)",
        "uuid" => "'00000000-0000-0000-0000-000000000000'",
        _ => return None,
    };
    Some(blank.to_owned())
}

/// How the values of a column of type `from` become those of type `to`; none where nobody knows.
pub(super) fn conversion(
    column: &str,
    from: &str,
    to: &str,
    dialect: Dialect,
) -> Option<Conversion> {
    let name = quoted(column);
    let (base, wanted) = (base(from), base(to));
    // Of one family, a value is the same.
    let is_narrower = family(base) == family(wanted) && rank(base) > rank(wanted);
    let loses = is_narrower
        || matches!(
            (family(base), family(wanted)),
            (Family::Real | Family::Decimal, Family::Integer)
                | (Family::Integer | Family::Decimal, Family::Real)
                | (Family::Real, Family::Decimal)
                | (Family::Time, Family::Date)
        );
    let sql = match dialect {
        Dialect::Sqlite => on_sqlite(&name, family(base), family(wanted))?,
        Dialect::Postgres => on_postgres(&name, family(base), family(wanted), to)?,
    };
    Some(Conversion { sql, loses })
}

/// A type without what it says of lengths.
pub(super) fn base(kind: &str) -> &str {
    kind.split('(').next().unwrap_or_default()
}

/// Types whose values are alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Boolean,
    Integer,
    Real,
    Decimal,
    Text,
    Bytes,
    Uuid,
    Time,
    Date,
    Json,
    Other,
}

fn family(base: &str) -> Family {
    match base {
        "boolean" => Family::Boolean,
        "smallint" | "integer" | "bigint" => Family::Integer,
        "real" | "double precision" => Family::Real,
        "decimal" => Family::Decimal,
        "text" | "varchar" | "char" | "citext" => Family::Text,
        "bytea" | "blob" => Family::Bytes,
        "uuid" => Family::Uuid,
        "timestamptz" | "timestamp" => Family::Time,
        "date" => Family::Date,
        "json" | "jsonb" => Family::Json,
        _ => Family::Other,
    }
}

/// How much fits into a type, among those of its family.
fn rank(base: &str) -> u8 {
    match base {
        "smallint" => 0,
        "integer" | "real" | "varchar" | "char" => 1,
        _ => 2,
    }
}

/// Makes a conversion fail where SQLite would make something else of a value: `json` takes no text
/// that is none.
fn or_fail(name: &str, holds: &str, converted: &str) -> String {
    format!(
        "CASE WHEN {name} IS NULL OR {holds} THEN {converted} ELSE json('a value does not fit') END"
    )
}

fn on_sqlite(name: &str, from: Family, to: Family) -> Option<String> {
    use Family::{Boolean, Date, Decimal, Integer, Json, Real, Text, Time, Uuid};

    let is_number = format!("typeof({name} + 0) <> 'text' AND trim({name}) GLOB '[-+.0-9]*'");
    Some(match (from, to) {
        (Family::Other, _) | (_, Family::Other) => return None,
        // Stored alike.
        (one, other) if one == other => name.to_owned(),
        (Boolean | Integer, Integer | Decimal | Real) | (Decimal, Real) | (Real, Decimal) => {
            name.to_owned()
        }
        (Date | Json, Text) => name.to_owned(),
        (Integer, Boolean) => format!("{name} <> 0"),
        (Real | Decimal, Integer) => format!("CAST(round({name}) AS integer)"),
        (Integer | Real | Decimal, Text) => format!("CAST({name} AS text)"),
        (Boolean, Text) => format!("CASE {name} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"),
        (Text, Integer) => or_fail(
            name,
            &format!("CAST(CAST({name} AS integer) AS text) = {name}"),
            &format!("CAST({name} AS integer)"),
        ),
        (Text, Real) => or_fail(name, &is_number, &format!("CAST({name} AS real)")),
        (Text, Decimal) => or_fail(name, &is_number, name),
        (Text, Json) => format!("json({name})"),
        (Text, Date) => or_fail(name, &format!("date({name}) = {name}"), name),
        (Time, Date) => format!("date({name} / 1000000, 'unixepoch')"),
        (Date, Time) => format!("CAST(unixepoch({name}) AS integer) * 1000000"),
        (Uuid, Text) => {
            let part = |from, length| format!("substr(lower(hex({name})), {from}, {length})");
            let parts = [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)];
            parts.join(" || '-' || ")
        }
        _ => return None,
    })
}

fn on_postgres(name: &str, from: Family, to: Family, kind: &str) -> Option<String> {
    use Family::{Boolean, Date, Decimal, Integer, Other, Real, Time};

    Some(match (from, to) {
        (Other, _) | (_, Other) => return None,
        (Time, Date) => format!("({name} AT TIME ZONE 'UTC')::date"),
        (Date, Time) => format!("{name}::timestamp AT TIME ZONE 'UTC'"),
        (Boolean, Decimal | Real) => format!("{name}::integer::{kind}"),
        (Boolean, Integer) => format!("{name}::integer"),
        (Integer, Boolean) => format!("{name} <> 0"),
        (one, other) if one == other => format!("{name}::{kind}"),
        // What SQLite cannot do is not done on PostgreSQL alone.
        (one, other) => {
            on_sqlite(name, one, other)?;
            if matches!((one, other), (Decimal | Real, Integer)) {
                format!("round({name})::{kind}")
            } else {
                format!("{name}::{kind}")
            }
        }
    })
}
