//! Rows out of files and into them, as a guest could read and write them: within its authorizer.

use libsqlite3_sys as ffi;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Either, Row as _, Sqlite, TypeInfo as _, ValueRef as _};
use tokio::sync::mpsc;

use super::{Batch, Cell, Column, Conversion, LineSink, TRANSFER_TIMEOUT, Table, column_list};
use crate::database::guard::{Allowance, HOST_TABLE_PREFIX, Speaker};
use crate::database::ledger::AppliedMigration;
use crate::database::units::{Access, Failure, GuestConnection, primary_code};
use crate::database::{full, quoted};
use crate::error::{Error, ErrorKind, Result};

/// Values of one statement, far fewer than SQLite takes.
const VALUES_MAX: usize = 1_000;
/// Rows of one statement.
const ROWS_MAX: usize = 100;

fn host() -> Allowance {
    Allowance::of_host(TRANSFER_TIMEOUT)
}

pub(super) async fn ledger(
    connection: &mut GuestConnection,
) -> Result<Vec<(String, AppliedMigration)>> {
    let rows = connection.ledger().await?;
    Ok(rows.into_iter().map(|row| (row.module, row.migration)).collect())
}

pub(super) async fn tables(connection: &mut GuestConnection) -> Result<Vec<Table>> {
    // A hidden column is one that is generated.
    let rows = connection
        .fetch_as_host(sqlx::query(
            "SELECT m.name, c.name, c.type FROM sqlite_schema m, pragma_table_xinfo(m.name) c
             WHERE m.type = 'table' AND c.hidden = 0 AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY m.name, c.cid",
        ))
        .await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in &rows {
        let name: String = row.try_get(0)?;
        if name.to_ascii_lowercase().starts_with(HOST_TABLE_PREFIX) {
            continue;
        }
        if tables.last().is_none_or(|last| last.name != name) {
            tables.push(Table { name, columns: Vec::new() });
        }
        if let Some(last) = tables.last_mut() {
            last.columns.push(Column { name: row.try_get(1)?, kind: row.try_get(2)? });
        }
    }
    Ok(tables)
}

pub(super) async fn read_rows(
    connection: &mut GuestConnection,
    table: &Table,
    to: &mut LineSink<'_>,
) -> Result<()> {
    let text = format!("SELECT {} FROM main.{}", column_list(&table.columns), quoted(&table.name));
    let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
    let mut running = connection.start(Speaker::Guest, host(), query);
    while let Some(result) = running
        .next()
        .await
        .map_err(|failure| refused(&format!("table `{}`", table.name), failure))?
    {
        let Either::Right(row) = result else { continue };
        for number in 0..row.len() {
            let cell = cell(&row, number).map_err(|why| to.unreadable(number, &why))?;
            to.cell(number, &cell)?;
        }
        to.end_row().await?;
    }
    Ok(())
}

fn cell(row: &SqliteRow, number: usize) -> Result<Cell, String> {
    let value = row.try_get_raw(number).map_err(|error| error.to_string())?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let stored = value.type_info().into_owned();
    let cell = match stored.name() {
        "INTEGER" => sqlx::Decode::<Sqlite>::decode(value).map(Cell::Integer),
        "REAL" => sqlx::Decode::<Sqlite>::decode(value).map(Cell::Real),
        "TEXT" => sqlx::Decode::<Sqlite>::decode(value).map(Cell::Text),
        _ => sqlx::Decode::<Sqlite>::decode(value).map(Cell::Bytes),
    };
    cell.map_err(|_| "a text that is no UTF-8".to_owned())
}

/// Begins to write: what is in the tables goes.
pub(super) async fn begin_load(connection: &mut GuestConnection) -> Result<Vec<Table>> {
    let tables = tables(connection).await?;
    connection.prepare_to_load().await?;
    connection.begin(Access::Write).await?;
    for table in &tables {
        let text = format!("DELETE FROM main.{}", quoted(&table.name));
        let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
        let cleared = connection.run(Speaker::Migration, host(), query, |_| Ok(())).await;
        cleared.map_err(|failure| refused(&format!("table `{}`", table.name), failure))?;
    }
    Ok(tables)
}

pub(super) async fn write_rows(
    connection: &mut GuestConnection,
    conversion: &Conversion,
    batches: &mut mpsc::Receiver<Result<Batch>>,
) -> Result<u64> {
    let rows_max = (VALUES_MAX / conversion.target.len().max(1)).clamp(1, ROWS_MAX);
    let mut written = 0;
    while let Some(batch) = batches.recv().await {
        let Batch { first_line, rows } = batch?;
        let mut line = first_line;
        let mut converted = Vec::with_capacity(rows.len());
        for row in rows {
            converted.push(conversion.row(line, row)?);
            line += 1;
        }
        line = first_line;
        for rows in converted.chunks(rows_max) {
            insert(connection, conversion, rows, line).await?;
            line += rows.len() as u64;
        }
        written += converted.len() as u64;
    }
    Ok(written)
}

async fn insert(
    connection: &mut GuestConnection,
    conversion: &Conversion,
    rows: &[Vec<Cell>],
    line: u64,
) -> Result<()> {
    let Err(failure) = try_insert(connection, conversion, rows).await else { return Ok(()) };
    if rows.len() > 1 && is_of_one_row(&failure) {
        // The statement has left nothing behind: which row was it?
        for (row, line) in rows.iter().zip(line..) {
            if let Err(failure) =
                try_insert(connection, conversion, std::slice::from_ref(row)).await
            {
                return Err(refused(
                    &format!("table `{}`, line {line}", conversion.table),
                    failure,
                ));
            }
        }
    }
    Err(refused(&format!("table `{}`, line {line}", conversion.table), failure))
}

async fn try_insert(
    connection: &mut GuestConnection,
    conversion: &Conversion,
    rows: &[Vec<Cell>],
) -> Result<(), Failure> {
    let columns = &conversion.target;
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    let text = format!(
        "INSERT INTO main.{} ({}) VALUES {}",
        quoted(&conversion.table),
        column_list(columns),
        vec![row; rows.len()].join(",")
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for cell in rows.iter().flatten() {
        query = bind(query, cell);
    }
    // Kept for the next batch: a guest may say the same, and the connection is closed in the end.
    connection.run(Speaker::Migration, host(), query, |_| Ok(())).await.map(|_| ())
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    cell: &Cell,
) -> Query<'q, Sqlite, SqliteArguments> {
    match cell {
        Cell::Null => query.bind(None::<i64>),
        Cell::Integer(number) => query.bind(*number),
        Cell::Real(real) => query.bind(*real),
        Cell::Text(text) => query.bind(text.clone()),
        Cell::Bytes(bytes) => query.bind(bytes.clone()),
    }
}

pub(super) async fn finish_load(connection: &mut GuestConnection) -> Result<()> {
    let checked = connection.check_foreign_keys(host()).await;
    checked.map_err(|failure| refused("the tables", failure))?;
    connection.end(true).await?;
    // Until now a power failure could take it.
    let sync = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").persistent(false);
    let synced = connection
        .run(Speaker::Host, host(), sync, |row| match row.try_get::<i64, _>(0)? {
            0 => Ok(()),
            _ => Err(Error::new(ErrorKind::Unavailable, "database", "the database is in use")),
        })
        .await;
    synced.map_err(|failure| refused("the tables", failure)).map(|_| ())
}

/// A constraint that one row broke. Others end the transaction, or will come again.
fn is_of_one_row(failure: &Failure) -> bool {
    let code = code_of(failure);
    code.is_some_and(|code| [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_MISMATCH].contains(&code))
}

fn code_of(failure: &Failure) -> Option<i32> {
    let Failure::Database(error) = failure else { return None };
    primary_code(error)
}

fn refused(place: &str, failure: Failure) -> Error {
    let is_full = code_of(&failure) == Some(ffi::SQLITE_FULL);
    match failure {
        Failure::Refused(error) => error,
        Failure::Database(_) if is_full => full(),
        Failure::Database(sqlx::Error::Database(database)) => {
            Error::invalid(format!("{place}: {}", database.message())).because(database)
        }
        Failure::Database(error) => error.into(),
        Failure::Overdue => Error::new(ErrorKind::Timeout, "timeout", "the database hangs"),
        Failure::Server(_) | Failure::TooLarge | Failure::GaveWay => {
            Error::internal("a file answers like no file").because(format!("{failure:?}"))
        }
    }
}
