//! Runs the SQL that a test sends.
//!
//! JSON has fewer types than a database, so the others are objects of one key, both in parameters
//! and in rows: `{"uuid": "…"}`, `{"timestamp": 0}` (microseconds), `{"bytes": [1, 2]}` and
//! `{"json": …}`.

use hostel_sdk::prelude::*;
use hostel_sdk::sql::{Cell, ToValue, Uuid, Value};
use serde_json::{Map, Value as Document, json};

use crate::capabilities::reveal;

/// One statement and what is bound to it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    statement: String,
    #[serde(default)]
    parameters: Vec<Document>,
}

impl Statement {
    fn values(&self) -> Result<Vec<Value>, Problem> {
        let values = self.parameters.iter().enumerate();
        values
            .map(|(index, parameter)| {
                value(parameter).ok_or_else(|| {
                    Problem::invalid().field(format!("/parameters/{index}"), "no such type")
                })
            })
            .collect()
    }

    fn execute(&self, connection: &impl Connection) -> Result<u64, Problem> {
        connection.execute(&self.statement, &self.values()?).map_err(reveal)
    }
}

/// How many rows a statement changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Changed {
    changed: u64,
}

pub(crate) fn query(
    Json(statement): Json<Statement>,
    db: Db,
) -> Result<Json<Vec<Map<String, Document>>>, Problem> {
    let values = statement.values()?;
    let rows: Vec<Row> = db.query(&statement.statement, &values).map_err(reveal)?;
    rows.iter().map(|row| object(row).map_err(reveal)).collect::<Result<_, _>>().map(Json)
}

pub(crate) fn execute(Json(statement): Json<Statement>, db: Db) -> Result<Json<Changed>, Problem> {
    Ok(Json(Changed { changed: statement.execute(&db)? }))
}

/// Statements in one transaction, and how it ends.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    statements: Vec<Statement>,
    end: End,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum End {
    Commit,
    Rollback,
    Drop,
    Panic,
}

pub(crate) fn transaction(Json(work): Json<Work>, db: Db) -> Result<Json<Vec<Changed>>, Problem> {
    let transaction = db.begin().map_err(reveal)?;
    let mut all = Vec::with_capacity(work.statements.len());
    for statement in &work.statements {
        all.push(Changed { changed: statement.execute(&transaction)? });
    }
    match work.end {
        End::Commit => transaction.commit().map_err(reveal)?,
        End::Rollback => transaction.rollback().map_err(reveal)?,
        End::Drop => drop(transaction),
        End::Panic => panic!("the probe panics inside a transaction, as it was asked to"),
    }
    Ok(Json(all))
}

fn value(document: &Document) -> Option<Value> {
    Some(match document {
        Document::Null => Value::Null,
        Document::Bool(it) => it.to_value(),
        Document::Number(it) => match it.as_i64() {
            Some(whole) => whole.to_value(),
            None => it.as_f64()?.to_value(),
        },
        Document::String(it) => it.to_value(),
        Document::Array(_) => return None,
        Document::Object(it) => return tagged(it),
    })
}

fn tagged(object: &Map<String, Document>) -> Option<Value> {
    let (kind, document) = object.iter().next().filter(|_| object.len() == 1)?;
    Some(match kind.as_str() {
        "uuid" => document.as_str()?.parse::<Uuid>().ok()?.to_value(),
        "timestamp" => Timestamp::from_micros(document.as_i64()?).to_value(),
        "bytes" => serde_json::from_value::<Vec<u8>>(document.clone()).ok()?.to_value(),
        "json" => document.to_value(),
        _ => return None,
    })
}

fn object(row: &Row) -> Result<Map<String, Document>, Error> {
    row.cells().map(|cell| cell.map(|(name, cell)| (name.to_owned(), document(cell)))).collect()
}

fn document(cell: Cell<'_>) -> Document {
    match cell {
        Cell::Null => Document::Null,
        Cell::Boolean(it) => it.into(),
        Cell::Integer(it) => it.into(),
        Cell::Real(it) => it.into(),
        Cell::Text(it) => it.into(),
        Cell::Bytes(it) => json!({ "bytes": it }),
        Cell::Uuid(it) => json!({ "uuid": it.to_string() }),
        Cell::Timestamp(it) => json!({ "timestamp": it.as_micros() }),
        // A document that does not parse is shown as the text it is.
        Cell::Json(it) => {
            json!({ "json": serde_json::from_str(it).unwrap_or_else(|_| Document::from(it)) })
        }
    }
}
