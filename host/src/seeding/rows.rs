//! Rows of files: CSV and JSON read, and made values of columns by what a module's entity says of
//! its table.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, Trim};
use data_encoding::BASE64;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::bindings::hostel::sql::sql::{Statement, Value};
use crate::clock::Clock;
use crate::database::quoted;
use crate::error::{Error, Result};
use crate::runtime::{ColumnType, Entity, EntityColumn};

/// Rows for one table, as a file has them.
#[derive(Debug)]
pub struct SeedRows {
    table: String,
    /// Each with its line, or its place in an array.
    rows: Vec<(u64, BTreeMap<String, Json>)>,
    /// Whether the file cannot tell nothing from an empty text.
    is_csv: bool,
}

impl SeedRows {
    /// Reads CSV (RFC 4180, in UTF-8), whose first line names columns. A cell without anything is
    /// nothing, and an empty text where there must be something.
    ///
    /// # Errors
    /// Names the line that cannot be read.
    pub fn csv(table: &str, csv: &[u8]) -> Result<Self> {
        let text = utf8(csv)?;
        let mut reader = ReaderBuilder::new().trim(Trim::Headers).from_reader(text.as_bytes());
        let unreadable = |error: csv::Error| Error::invalid(format!("this is no CSV: {error}"));
        let columns = reader.headers().map_err(unreadable)?.clone();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(unreadable)?;
            let cell = |(column, cell): (&str, &str)| {
                let value = if cell.is_empty() { Json::Null } else { cell.into() };
                (column.to_owned(), value)
            };
            let line = record.position().map_or(0, csv::Position::line);
            rows.push((line, columns.iter().zip(&record).map(cell).collect()));
        }
        Ok(Self { table: table.to_owned(), rows, is_csv: true })
    }

    /// Reads JSON: an array of objects, or objects one after the other, whose members are columns.
    ///
    /// # Errors
    /// Names what cannot be read, and where.
    pub fn json(table: &str, json: &[u8]) -> Result<Self> {
        let mut rows = Vec::new();
        let mut add = |value: Json| match value {
            Json::Object(row) => {
                rows.push((rows.len() as u64 + 1, row.into_iter().collect()));
                Ok(())
            }
            other => Err(Error::invalid(format!("row {}: {other} is no object", rows.len() + 1))),
        };
        for value in serde_json::Deserializer::from_str(utf8(json)?).into_iter::<Json>() {
            let value =
                value.map_err(|error| Error::invalid(format!("this is no JSON: {error}")))?;
            match value {
                Json::Array(values) => values.into_iter().try_for_each(&mut add)?,
                value => add(value)?,
            }
        }
        Ok(Self { table: table.to_owned(), rows, is_csv: false })
    }

    /// The table that they are for.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Statements that insert them. What a row does not say of a key or a version is made, and so are
    /// times that cannot be nothing.
    ///
    /// # Errors
    /// Names the line and the column of what does not fit.
    pub(super) fn inserts(&self, entity: &Entity, clock: &Clock) -> Result<Vec<Statement>> {
        let mut statements: Vec<Statement> = Vec::new();
        for (line, row) in &self.rows {
            let in_line = |wrong: String| Error::invalid(format!("line {line}: {wrong}"));
            if let Some(unknown) =
                row.keys().find(|name| !entity.columns.iter().any(|column| column.name == **name))
            {
                let known: Vec<_> =
                    entity.columns.iter().map(|column| column.name.as_str()).collect();
                let there_are = known.join(", ");
                return Err(in_line(format!(
                    "there is no column `{unknown}`: there are {there_are}"
                )));
            }
            let (mut names, mut values) = (Vec::new(), Vec::new());
            for column in &entity.columns {
                let said = row.get(&column.name).filter(|said| column.nullable || !said.is_null());
                let value =
                    match said {
                        Some(said) => Some(value(&column.kind, said).map_err(|wrong| {
                            in_line(format!("`{}`: {said} {wrong}", column.name))
                        })?),
                        None => made(entity, column, clock).or_else(|| self.empty(row, column)),
                    };
                if value.is_none() && !column.nullable && column.default.is_none() {
                    return Err(in_line(format!("`{}` is missing", column.name)));
                }
                if let Some(value) = value {
                    names.push(column.name.as_str());
                    values.push(value);
                }
            }
            let text = insert(&entity.table, &names);
            match statements.last_mut() {
                Some(last) if last.text == text => last.parameters.push(values),
                _ => statements.push(Statement { text, parameters: vec![values] }),
            }
        }
        Ok(statements)
    }

    /// A text that is empty, where the file has a place for it and it cannot be nothing.
    fn empty(&self, row: &BTreeMap<String, Json>, column: &EntityColumn) -> Option<Value> {
        let is_text = matches!(column.kind, ColumnType::Text(_)) && column.default.is_none();
        (self.is_csv && is_text && !column.nullable && row.contains_key(&column.name))
            .then(|| Value::Text(String::new()))
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("this is not UTF-8"))?;
    // What spreadsheets put before UTF-8.
    Ok(text.trim_start_matches('\u{feff}'))
}

fn insert(table: &str, columns: &[&str]) -> String {
    let names: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
    let places: Vec<_> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", quoted(table), names.join(", "), places.join(", "))
}

/// What a column gets of which a row says nothing.
fn made(entity: &Entity, column: &EntityColumn, clock: &Clock) -> Option<Value> {
    let is_key = entity.key == [column.name.as_str()];
    match column.kind {
        ColumnType::Uuid if is_key => Some(uuid(Uuid::now_v7())),
        ColumnType::Integer(..) if entity.version.as_deref() == Some(&column.name) => {
            Some(Value::Integer(1))
        }
        ColumnType::Timestamp if !column.nullable && column.default.is_none() => {
            Some(Value::Timestamp(clock.now_micros()))
        }
        _ => None,
    }
}

fn uuid(id: Uuid) -> Value {
    Value::Uuid(id.as_u64_pair())
}

/// A value for a column of this kind. Texts say numbers, too: CSV has nothing else.
fn value(kind: &ColumnType, said: &Json) -> Result<Value, String> {
    if said.is_null() {
        return Ok(Value::Null);
    }
    let text = said.as_str();
    let plain = || match text {
        Some(text) => text.to_owned(),
        None => said.to_string(),
    };
    match kind {
        ColumnType::Boolean => {
            plain().parse().map(Value::Boolean).map_err(|_| "is neither true nor false".to_owned())
        }
        ColumnType::Integer(min, max) => match plain().parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(Value::Integer(number)),
            _ => Err(format!("is no whole number from {min} to {max}")),
        },
        ColumnType::Real => match plain().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Real(number)),
            _ => Err("is no number".to_owned()),
        },
        ColumnType::Decimal if said.is_number() || text.is_some() => Ok(Value::Decimal(plain())),
        ColumnType::Decimal => Err("is no number".to_owned()),
        ColumnType::Text(max) => {
            let text = text.ok_or("is no text")?;
            let is_short = |max| u64::try_from(text.chars().count()).is_ok_and(|it| it <= max);
            match max {
                Some(max) if !is_short(*max) => Err(format!("is longer than {max} characters")),
                _ => Ok(Value::Text(text.to_owned())),
            }
        }
        ColumnType::OneOf(names) => match text {
            Some(text) if names.iter().any(|name| name == text) => Ok(Value::Text(text.to_owned())),
            _ => Err(format!("is none of {}", names.join(", "))),
        },
        ColumnType::Bytes => text
            .and_then(|text| BASE64.decode(text.as_bytes()).ok())
            .map(Value::Bytes)
            .ok_or_else(|| "is no base64".to_owned()),
        ColumnType::Uuid => {
            text.and_then(|text| text.parse().ok()).map(uuid).ok_or_else(|| "is no UUID".to_owned())
        }
        ColumnType::Timestamp => text
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .map(|time| Value::Timestamp(time.as_microsecond()))
            .ok_or_else(|| "is no time such as 2026-01-31T12:00:00Z".to_owned()),
        ColumnType::Date => text
            .filter(|text| {
                text.parse::<jiff::civil::Date>().is_ok_and(|day| day.to_string() == *text)
            })
            .map(|text| Value::Text(text.to_owned()))
            .ok_or_else(|| "is no day such as 2026-01-31".to_owned()),
        // In CSV, a document is a text.
        ColumnType::Json => match text.map(serde_json::from_str::<Json>) {
            Some(Ok(document)) => Ok(Value::Json(document.to_string())),
            Some(Err(_)) | None => Ok(Value::Json(said.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: ColumnType, nullable: bool) -> EntityColumn {
        EntityColumn { name: name.to_owned(), kind, nullable, default: None }
    }

    fn teas() -> Entity {
        Entity {
            table: "teas".to_owned(),
            columns: vec![
                column("id", ColumnType::Uuid, false),
                column("name", ColumnType::Text(Some(6)), false),
                column("stars", ColumnType::Integer(1, 5), true),
                column("kind", ColumnType::OneOf(vec!["green".into(), "black".into()]), true),
                column("picked_on", ColumnType::Date, true),
                column("added_at", ColumnType::Timestamp, false),
                column("version", ColumnType::Integer(0, 9), false),
            ],
            key: vec!["id".to_owned()],
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            references: Vec::new(),
            version: Some("version".to_owned()),
        }
    }

    #[test]
    fn what_rows_do_not_say_is_made() {
        let rows = SeedRows::csv("teas", b"name,stars\nAssam,4\n,\n").unwrap();
        let inserts = rows.inserts(&teas(), &Clock::system()).unwrap();
        let [insert] = inserts.as_slice() else { panic!("{inserts:?}") };
        assert_eq!(
            insert.text,
            r#"INSERT INTO "teas" ("id", "name", "stars", "added_at", "version") VALUES ($1, $2, $3, $4, $5)"#
        );
        let told: Vec<_> =
            insert.parameters.iter().map(|row| format!("{:?}", &row[1..3])).collect();
        assert_eq!(
            told,
            [r#"[Value::Text("Assam"), Value::Integer(4)]"#, r#"[Value::Text(""), Value::Null]"#,]
        );
        assert_ne!(
            format!("{:?}", insert.parameters[0][0]),
            format!("{:?}", insert.parameters[1][0])
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |rows: Result<SeedRows>| {
            rows.and_then(|rows| rows.inserts(&teas(), &Clock::system())).unwrap_err().to_string()
        };
        let csv = |text: &str| wrong(SeedRows::csv("teas", text.as_bytes()));
        let json = |text: &str| wrong(SeedRows::json("teas", text.as_bytes()));
        assert_eq!(
            csv("name,colour\nAssam,brown"),
            "line 2: there is no column `colour`: there are id, name, stars, kind, picked_on, \
             added_at, version"
        );
        assert_eq!(
            csv("name,stars\nAssam,4\nSencha,many"),
            "line 3: `stars`: \"many\" is no whole number from 1 to 5"
        );
        assert_eq!(
            csv("name\nDarjeeling"),
            "line 2: `name`: \"Darjeeling\" is longer than 6 characters"
        );
        assert_eq!(
            json(r#"[{"name": "A", "kind": "red"}]"#),
            "line 1: `kind`: \"red\" is none of green, black"
        );
        assert_eq!(
            json(
                r#"{"name": "A", "picked_on": "2026-02-28"} {"name": "A", "picked_on": "2026-02-30"}"#
            ),
            "line 2: `picked_on`: \"2026-02-30\" is no day such as 2026-01-31"
        );
        assert_eq!(
            json(r#"{"name": "A", "added_at": "noon"}"#),
            "line 1: `added_at`: \"noon\" is no time such as 2026-01-31T12:00:00Z"
        );
        assert_eq!(json(r#"{"name": null, "stars": 1}"#), "line 1: `name` is missing");
        assert_eq!(csv("stars\n1"), "line 2: `name` is missing");
        assert_eq!(json("[1]"), "row 1: 1 is no object");
        assert!(json("[{").starts_with("this is no JSON: "));
        assert!(csv("a,b\n1").starts_with("this is no CSV: "));
    }
}
