//! Rows out of schemas and into them, by `COPY` and as the schema's owner, who has no rights beyond
//! it. Values are in the texts that the server itself reads and writes.
//!
//! The connection is sqlx's, which knows `COPY` and holds a row at a time, however large: that is
//! for operators, whom no guest can make export or import.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::roles::Role;
use super::{Precedence, Unit, busy, turn};
use crate::database::ledger::AppliedMigration;
use crate::database::quoted;
use crate::database::transfer::{
    Batch, Cell, Column, Conversion, LineSink, Sequence, TRANSFER_TIMEOUT, Table, column_list,
};
use crate::error::{Error, ErrorKind, Result};

/// What texts of values depend on, and what must not cut long work short.
const SETTINGS: &str = "
    SET row_security = off; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';
    SET timezone = 'UTC'; SET bytea_output = 'hex'; SET extra_float_digits = 1;
    SET lc_monetary = 'C'; SET xmloption = 'content'; SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0";

/// After how many bytes it is looked how large the unit has become.
const CHECK_BYTES: usize = 8_000_000;

/// What is otherwise while rows are written: keys that are looked at in the end, so that rows may
/// come in any order, and triggers that do nothing.
#[derive(Default)]
pub(crate) struct Suspended {
    /// The statements that undo it.
    restore: Vec<String>,
}

/// A connection for one transfer. Whatever was not committed when it is dropped is undone.
pub(crate) struct Transfer {
    inner: PgConnection,
    schema: String,
    unit: Arc<Unit>,
    _turn: OwnedSemaphorePermit,
    _permit: OwnedSemaphorePermit,
}

impl Unit {
    /// A connection to carry rows, as the owner of the tables.
    ///
    /// # Errors
    /// `unavailable` when none became free in time, or none could be opened.
    pub(crate) async fn transfer(self: &Arc<Self>, deadline: Instant) -> Result<Transfer> {
        // Sets right what somebody may have done to the role.
        drop(self.lease_as_owner(Precedence::Operator, deadline).await?);
        let deadline = deadline.min(Instant::now() + self.server.wait);
        let turn = turn(&self.turns, deadline).await.ok_or_else(busy)?;
        let permit = self.server.permit(deadline).await?;
        let role = self.names.role(Role::Owner);
        let options = self.server.endpoint.options(&role, &self.server.roles.password(&role));
        let connecting = tokio::time::timeout_at(deadline.into(), options.connect());
        let inner = connecting.await.map_err(|_| busy())??;
        let (schema, unit) = (self.names.schema(), Arc::clone(self));
        Ok(Transfer { inner, schema, unit, _turn: turn, _permit: permit })
    }
}

impl Transfer {
    /// Begins to read all tables as they are now.
    pub(crate) async fn begin_export(&mut self) -> Result<()> {
        self.say(&[SETTINGS, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]).await
    }

    pub(crate) async fn end_export(&mut self) -> Result<()> {
        self.say(&["ROLLBACK"]).await
    }

    pub(crate) async fn ledger(&mut self) -> Result<Vec<(String, AppliedMigration)>> {
        let text = format!(
            "SELECT module, id, checksum FROM {}.hostel_migrations ORDER BY applied_at, module, id",
            self.schema
        );
        let rows =
            sqlx::query(AssertSqlSafe(text)).persistent(false).fetch_all(&mut self.inner).await?;
        rows.iter()
            .map(|row| {
                let applied = AppliedMigration { id: row.try_get(1)?, checksum: row.try_get(2)? };
                Ok((row.try_get(0)?, applied))
            })
            .collect()
    }

    /// The tables that migrations have made. Those of the host belong to somebody else.
    pub(crate) async fn tables(&mut self) -> Result<Vec<Table>> {
        let rows = sqlx::query(
            "SELECT c.relname::text, a.attname::text,
                    CASE b.typtype WHEN 'e' THEN 'enum' ELSE b.typname::text END
             FROM pg_catalog.pg_class c
             LEFT JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             LEFT JOIN LATERAL (
                 WITH RECURSIVE base AS (
                     SELECT oid, typtype, typname, typbasetype FROM pg_catalog.pg_type
                     WHERE oid = a.atttypid
                     UNION ALL
                     SELECT t.oid, t.typtype, t.typname, t.typbasetype
                     FROM pg_catalog.pg_type t JOIN base ON t.oid = base.typbasetype
                     WHERE base.typtype = 'd'
                 )
                 SELECT typtype, typname FROM base WHERE typtype <> 'd'
             ) b ON true
             WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r'
               AND pg_catalog.pg_get_userbyid(c.relowner) = current_user
             ORDER BY c.relname COLLATE \"C\", a.attnum",
        )
        .bind(&self.schema)
        .persistent(false)
        .fetch_all(&mut self.inner)
        .await?;
        let mut tables: Vec<Table> = Vec::new();
        for row in &rows {
            let name: String = row.try_get(0)?;
            if tables.last().is_none_or(|last| last.name != name) {
                tables.push(Table { name, columns: Vec::new() });
            }
            // A table may have no columns.
            if let (Some(last), Some(column)) = (tables.last_mut(), row.try_get(1)?) {
                last.columns.push(Column { name: column, kind: row.try_get(2)? });
            }
        }
        Ok(tables)
    }

    /// The names of sequences that migrations have made, with the table and column that each numbers.
    async fn numberings(&mut self) -> Result<Vec<(String, Option<(String, String)>)>> {
        let rows = sqlx::query(
            "SELECT s.relname::text, t.relname::text, a.attname::text
             FROM pg_catalog.pg_class s
             LEFT JOIN pg_catalog.pg_depend d
                 ON d.objid = s.oid AND d.classid = 'pg_catalog.pg_class'::regclass
                 AND d.refclassid = d.classid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
             LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
             LEFT JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE s.relnamespace = $1::regnamespace AND s.relkind = 'S'
               AND pg_catalog.pg_get_userbyid(s.relowner) = current_user
             ORDER BY s.relname COLLATE \"C\"",
        )
        .bind(&self.schema)
        .persistent(false)
        .fetch_all(&mut self.inner)
        .await?;
        rows.iter()
            .map(|row| {
                let table: Option<String> = row.try_get(1)?;
                Ok((row.try_get(0)?, table.zip(row.try_get(2)?)))
            })
            .collect()
    }

    pub(crate) async fn sequences(&mut self) -> Result<Vec<Sequence>> {
        let mut sequences = Vec::new();
        for (name, column) in self.numberings().await? {
            let text = format!("SELECT last_value, is_called FROM {}", self.named(&name));
            let row = sqlx::query(AssertSqlSafe(text))
                .persistent(false)
                .fetch_one(&mut self.inner)
                .await?;
            let table = column.map(|(table, _)| table);
            sequences.push(Sequence {
                name,
                table,
                last: row.try_get(0)?,
                called: row.try_get(1)?,
            });
        }
        Ok(sequences)
    }

    pub(in crate::database) async fn read_rows(
        &mut self,
        table: &Table,
        to: &mut LineSink<'_>,
    ) -> Result<()> {
        // `ONLY`: a table that inherits gives its rows itself.
        let statement = format!(
            "COPY (SELECT {} FROM ONLY {}) TO STDOUT",
            column_list(&table.columns),
            self.named(&table.name)
        );
        let mut rows = self.inner.copy_out_raw(&statement).await.map_err(failed)?;
        // A row may come in pieces.
        let mut line = Vec::new();
        while let Some(piece) = rows.try_next().await.map_err(failed)? {
            let mut rest = &piece[..];
            while let Some(end) = memchr::memchr(b'\n', rest) {
                line.extend_from_slice(&rest[..end]);
                rest = &rest[end + 1..];
                for (number, text) in line.split(|byte| *byte == b'\t').enumerate() {
                    if number < table.columns.len() {
                        let cell = unescaped(text).map_err(|why| to.unreadable(number, why))?;
                        to.cell(number, &cell)?;
                    }
                }
                to.end_row().await?;
                line.clear();
            }
            line.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Begins to write: what is in the tables goes, and nothing that they say of rows is in the way
    /// of some that come before others. Kept at once, so that others see how large they become: who
    /// does not come to the end leaves tables that nobody uses.
    pub(crate) async fn begin_load(&mut self) -> Result<(Vec<Table>, Suspended)> {
        self.say(&[SETTINGS]).await?;
        let tables = self.tables().await?;
        let mut script = Vec::new();
        if !tables.is_empty() {
            let names: Vec<_> = tables.iter().map(|table| self.named(&table.name)).collect();
            script.push(format!("TRUNCATE {}", names.join(", ")));
        }
        let mut suspended = Suspended::default();
        self.suspend(&mut script, &mut suspended.restore).await?;
        self.say(&script).await?;
        self.say(&["BEGIN ISOLATION LEVEL READ COMMITTED"]).await?;
        Ok((tables, suspended))
    }

    async fn suspend(&mut self, script: &mut Vec<String>, restore: &mut Vec<String>) -> Result<()> {
        let keys = sqlx::query(
            "SELECT c.relname::text, k.conname::text, k.condeferrable
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
             WHERE k.connamespace = $1::regnamespace AND k.contype = 'f' AND k.conparentid = 0
               AND NOT k.condeferred",
        )
        .bind(&self.schema)
        .persistent(false)
        .fetch_all(&mut self.inner)
        .await?;
        for key in &keys {
            let (table, name): (String, String) = (key.try_get(0)?, key.try_get(1)?);
            let alter =
                format!("ALTER TABLE {} ALTER CONSTRAINT {}", self.named(&table), quoted(&name));
            script.push(format!("{alter} DEFERRABLE INITIALLY DEFERRED"));
            let before = match key.try_get(2)? {
                true => "DEFERRABLE INITIALLY IMMEDIATE",
                false => "NOT DEFERRABLE",
            };
            restore.push(format!("{alter} {before}"));
        }
        let triggers = sqlx::query(
            "SELECT c.relname::text, t.tgname::text, t.tgenabled::text
             FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
             WHERE c.relnamespace = $1::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'D'",
        )
        .bind(&self.schema)
        .persistent(false)
        .fetch_all(&mut self.inner)
        .await?;
        for trigger in &triggers {
            let (table, name): (String, String) = (trigger.try_get(0)?, trigger.try_get(1)?);
            let (table, name) = (self.named(&table), quoted(&name));
            let enable = match trigger.try_get::<String, _>(2)?.as_str() {
                "R" => "ENABLE REPLICA",
                "A" => "ENABLE ALWAYS",
                _ => "ENABLE",
            };
            script.push(format!("ALTER TABLE {table} DISABLE TRIGGER {name}"));
            restore.push(format!("ALTER TABLE {table} {enable} TRIGGER {name}"));
        }
        let views = sqlx::query(
            "SELECT relname::text FROM pg_catalog.pg_class
             WHERE relnamespace = $1::regnamespace AND relkind = 'm' AND relispopulated
               AND pg_catalog.pg_get_userbyid(relowner) = current_user
             ORDER BY oid",
        )
        .bind(&self.schema)
        .persistent(false)
        .fetch_all(&mut self.inner)
        .await?;
        for view in &views {
            restore.push(format!("REFRESH MATERIALIZED VIEW {}", self.named(view.try_get(0)?)));
        }
        Ok(())
    }

    pub(in crate::database) async fn write_rows(
        &mut self,
        conversion: &Conversion,
        batches: &mut mpsc::Receiver<Result<Batch>>,
    ) -> Result<u64> {
        // Columns that number rows by themselves take what comes.
        let statement = format!(
            "COPY {} ({}) FROM STDIN",
            self.named(&conversion.table),
            column_list(&conversion.target)
        );
        let mut copy = self.inner.copy_in_raw(&statement).await.map_err(failed)?;
        let mut unchecked = 0;
        let mut written = 0;
        while let Some(batch) = batches.recv().await {
            let Batch { first_line, rows } = batch?;
            let mut lines = Vec::new();
            for (row, line) in rows.into_iter().zip(first_line..) {
                push_line(&mut lines, &conversion.row(line, row)?);
                written += 1;
            }
            unchecked += lines.len();
            copy.send(lines).await.map_err(failed)?;
            if unchecked > CHECK_BYTES {
                unchecked = 0;
                self.unit.check_space(Duration::ZERO).await?;
            }
        }
        copy.finish().await.map_err(failed)?;
        self.unit.check_space(Duration::ZERO).await?;
        Ok(written)
    }

    pub(crate) async fn finish_load(
        &mut self,
        suspended: &Suspended,
        sequences: &[Sequence],
        same_dialect: bool,
    ) -> Result<()> {
        for (name, column) in self.numberings().await? {
            let last = if same_dialect {
                sequences.iter().find(|one| one.name == name).map(|one| (one.last, one.called))
            } else if let Some((table, column)) = column {
                let there = sequences.iter().find(|one| one.table.as_deref() == Some(&table));
                let there = there.map(|one| one.last);
                let text =
                    format!("SELECT max({})::bigint FROM {}", quoted(&column), self.named(&table));
                let row = sqlx::query(AssertSqlSafe(text))
                    .persistent(false)
                    .fetch_one(&mut self.inner)
                    .await?;
                there.max(row.try_get(0)?).filter(|last| *last > 0).map(|last| (last, true))
            } else {
                None
            };
            let Some((last, called)) = last else { continue };
            sqlx::query("SELECT pg_catalog.setval($1::regclass, $2, $3)")
                .bind(self.named(&name))
                .bind(last)
                .bind(called)
                .persistent(false)
                .fetch_one(&mut self.inner)
                .await
                .map_err(failed)?;
        }
        self.say(&["SET CONSTRAINTS ALL IMMEDIATE"]).await?;
        self.say(&["COMMIT"]).await?;
        self.say(&suspended.restore).await?;
        self.unit.tables_changed();
        Ok(())
    }

    /// A name in the unit's schema.
    fn named(&self, name: &str) -> String {
        format!("{}.{}", self.schema, quoted(name))
    }

    /// Says the host's own statements, which may take long; all of them have an effect, or none.
    async fn say<S: AsRef<str>>(&mut self, statements: &[S]) -> Result<()> {
        let script = statements.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("; ");
        let saying = self.inner.execute(sqlx::raw_sql(AssertSqlSafe(script)));
        match tokio::time::timeout(TRANSFER_TIMEOUT, saying).await {
            Ok(said) => said.map(|_| ()).map_err(failed),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "timeout", "the database hangs")),
        }
    }
}

/// <https://www.postgresql.org/docs/current/sql-copy.html>, "Text Format".
fn unescaped(text: &[u8]) -> Result<Cell, &'static str> {
    if text == b"\\N" {
        return Ok(Cell::Null);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 11,
            Some(other) => *other,
            None => return Err("a value ends in the middle"),
        });
    }
    String::from_utf8(bytes).map(Cell::Text).map_err(|_| "a text that is no UTF-8")
}

fn push_line(lines: &mut Vec<u8>, row: &[Cell]) {
    for (number, cell) in row.iter().enumerate() {
        if number > 0 {
            lines.push(b'\t');
        }
        // Conversion leaves nothing but texts and nulls.
        let Cell::Text(text) = cell else {
            lines.extend_from_slice(b"\\N");
            continue;
        };
        for byte in text.bytes() {
            match byte {
                b'\\' => lines.extend_from_slice(b"\\\\"),
                b'\n' => lines.extend_from_slice(b"\\n"),
                b'\r' => lines.extend_from_slice(b"\\r"),
                b'\t' => lines.extend_from_slice(b"\\t"),
                other => lines.push(other),
            }
        }
    }
    lines.push(b'\n');
}

/// The server says in which line and column it was.
fn failed(error: sqlx::Error) -> Error {
    let Some(refusal) =
        error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
    else {
        return error.into();
    };
    // Faults of the server, its operator and its disk are no fault of what is carried.
    if ["08", "53", "57", "58", "XX"].iter().any(|class| refusal.code().starts_with(class)) {
        return error.into();
    }
    let place = refusal.r#where().and_then(|place| place.strip_prefix("COPY "));
    let message = match place {
        Some(place) => {
            format!("table {}: {}", place.lines().next().unwrap_or_default(), refusal.message())
        }
        None => refusal.message().to_owned(),
    };
    Error::invalid(message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        let row = ["a\tb\nc\\d\r", "", "\\N", "é"].map(|text| Cell::Text(text.to_owned()));
        let mut line = Vec::new();
        push_line(&mut line, &row);
        push_line(&mut line, &[Cell::Null]);
        let lines = String::from_utf8(line).unwrap();
        let (first, second) = lines.trim_end_matches('\n').split_once('\n').unwrap();
        let back: Vec<_> = first.split('\t').map(|it| unescaped(it.as_bytes()).unwrap()).collect();
        assert_eq!(back, row);
        assert_eq!(unescaped(second.as_bytes()), Ok(Cell::Null));
    }
}
