//! Runs the SQL that a test sends.
//!
//! JSON has fewer types than a database, so the others are objects of one key, both in parameters
//! and in rows: `{"uuid": "…"}`, `{"timestamp": 0}` (microseconds), `{"bytes": [1, 2]}` and
//! `{"json": …}`.

use hostel_sdk::prelude::*;
use hostel_sdk::sql::{self, Cell, Decimal, Isolation, ToValue, Uuid, Value};
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

/// Statements of one batch, each with the parameters of its runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    statements: Vec<Runs>,
    /// Instead of by itself, in a transaction, which is committed whatever became of the batch.
    #[serde(default)]
    in_transaction: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Runs {
    statement: String,
    runs: Vec<Vec<Document>>,
}

pub(crate) fn batch(Json(batch): Json<Batch>, db: Db) -> Result<Json<Vec<u64>>, Problem> {
    let statements = batch.statements.iter().map(|runs| {
        let rows = runs.runs.iter().map(|run| run.iter().map(value).collect());
        let parameters = rows.collect::<Option<Vec<Vec<Value>>>>();
        let parameters =
            parameters.ok_or_else(|| Problem::invalid().field("/statements", "no such type"))?;
        Ok(sql::Statement { text: runs.statement.clone(), parameters })
    });
    let statements = statements.collect::<Result<Vec<_>, Problem>>()?;
    if !batch.in_transaction {
        return db.batch(&statements).map(Json).map_err(reveal);
    }
    let transaction = db.begin().map_err(reveal)?;
    let changed = transaction.batch(&statements);
    transaction.commit().map_err(reveal)?;
    changed.map(Json).map_err(reveal)
}

/// How many rows to insert, as `?rows=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Import {
    rows: u32,
    #[serde(default)]
    bytes: u32,
}

pub(crate) fn import(Query(import): Query<Import>, db: Db) -> Result<Json<Changed>, Problem> {
    let insert = "INSERT INTO things (id, name, amount, data) VALUES ($1, $2, $3, $4)";
    let data = json!("x".repeat(import.bytes as usize));
    // Ids of one's own: ten thousand calls for random bytes would be measured too.
    let id = |row: u32| Uuid::from_u128(u128::from(row));
    let rows = (0..import.rows).map(|row| (id(row), format!("row {row}"), row, &data));
    Ok(Json(Changed { changed: db.execute_many(insert, rows).map_err(reveal)? }))
}

/// Transactions inside transactions: each step is taken in the innermost.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Begin,
    /// A read-only transaction that reads, and then tries to write.
    ReadOnly,
    /// Statements in a transaction with less isolation, which is committed.
    With(Level, Vec<String>),
    Run(String),
    /// A statement of which the rows are asked for.
    Ask(String),
    /// A statement in the outermost, whatever is open.
    RunOuter(String),
    Commit,
    Rollback,
    /// Ends the outermost, whatever is open.
    CommitOuter,
    DropOuter,
    Panic,
    Sleep,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    ReadCommitted,
    RepeatableRead,
}

/// What each step came to: `ok`, or the kind and message of its error.
pub(crate) fn nested(Json(steps): Json<Vec<Step>>, db: Db) -> Result<Json<Vec<String>>, Problem> {
    let mut open: Vec<Transaction> = Vec::new();
    let mut told = Vec::new();
    for step in &steps {
        let outcome = take(step, &db, &mut open);
        told.push(outcome.map_or_else(
            |error| format!("{:?}: {}", error.kind, error.message),
            |()| "ok".to_owned(),
        ));
    }
    // The innermost goes first.
    while open.pop().is_some() {}
    Ok(Json(told))
}

fn take(step: &Step, db: &Db, open: &mut Vec<Transaction>) -> Result<(), Error> {
    let missing =
        || Error { kind: ErrorKind::Other, message: "none is open".to_owned(), subject: None };
    match step {
        Step::Begin => {
            let next = open.last().map_or_else(|| db.begin(), Connection::begin)?;
            open.push(next);
        }
        Step::ReadOnly => {
            return db.read_transaction(|tx| {
                tx.query::<Row>("SELECT count(*) AS n FROM things", params![])?;
                tx.execute("DELETE FROM things", params![]).map(|_| ())
            });
        }
        Step::With(level, statements) => {
            let isolation = match level {
                Level::ReadCommitted => Isolation::ReadCommitted,
                Level::RepeatableRead => Isolation::RepeatableRead,
            };
            return db.transaction_with(isolation, |tx| {
                let mut each = statements.iter();
                each.try_for_each(|statement| tx.execute(statement, params![]).map(|_| ()))
            });
        }
        Step::Run(statement) => {
            open.last().ok_or_else(missing)?.execute(statement, params![])?;
        }
        Step::Ask(statement) => {
            open.last().ok_or_else(missing)?.query::<Row>(statement, params![])?;
        }
        Step::RunOuter(statement) => {
            open.first().ok_or_else(missing)?.execute(statement, params![])?;
        }
        Step::Commit => open.pop().ok_or_else(missing)?.commit()?,
        Step::Rollback => open.pop().ok_or_else(missing)?.rollback()?,
        Step::CommitOuter if !open.is_empty() => open.remove(0).commit()?,
        Step::DropOuter if !open.is_empty() => drop(open.remove(0)),
        Step::CommitOuter | Step::DropOuter => return Err(missing()),
        Step::Panic => panic!("the probe panics inside a transaction, as it was asked to"),
        Step::Sleep => std::thread::sleep(std::time::Duration::MAX),
    }
    Ok(())
}

/// A statement whose rows are taken one by one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Streamed {
    statement: String,
    /// After how many rows it is dropped.
    rows_max: Option<u64>,
    /// Whether it sleeps then, and keeps it.
    #[serde(default)]
    sleep: bool,
}

/// How many rows came, the sum of their first column, and how it ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Summed {
    rows: u64,
    sum: i64,
    error: Option<String>,
}

pub(crate) fn stream(Json(asked): Json<Streamed>, db: Db) -> Result<Json<Summed>, Problem> {
    let mut told = Summed { rows: 0, sum: 0, error: None };
    let mut stream = db.stream::<Row>(&asked.statement, params![]).map_err(reveal)?;
    while asked.rows_max.is_none_or(|max| told.rows < max)
        && let Some(row) = stream.next()
    {
        match row {
            Ok(row) => {
                told.rows += 1;
                if let Some(Ok((_, Cell::Integer(it)))) = row.cells().next() {
                    told.sum += it;
                }
            }
            Err(error) => told.error = Some(format!("{:?}: {}", error.kind, error.message)),
        }
    }
    if asked.sleep {
        std::thread::sleep(std::time::Duration::MAX);
    }
    drop(stream);
    Ok(Json(told))
}

pub(crate) fn explain(Json(statement): Json<Statement>, db: Db) -> Result<String, Problem> {
    db.explain(&statement.statement, &statement.values()?).map_err(reveal)
}

/// The first column of the first row, as each number that it can be read as.
pub(crate) fn numbers(Json(statement): Json<Statement>, db: Db) -> Result<Json<Document>, Problem> {
    let row: Row = db.query_one(&statement.statement, &statement.values()?).map_err(reveal)?;
    Ok(Json(json!({
        "decimal": row.get::<Decimal>("n").ok().map(|it| it.to_string()),
        "whole": row.get::<i64>("n").ok(),
        "real": row.get::<f64>("n").ok(),
    })))
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
        "decimal" => Value::Decimal(document.as_str()?.to_owned()),
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
        Cell::Decimal(it) => json!({ "decimal": it }),
        // A document that does not parse is shown as the text it is.
        Cell::Json(it) => {
            json!({ "json": serde_json::from_str(it).unwrap_or_else(|_| Document::from(it)) })
        }
    }
}
