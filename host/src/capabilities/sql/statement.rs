//! A guest's statement: its budget, its parameters, and a line in the log where it is slow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};
use tokio::sync::mpsc;

use super::rows::Encoder;
use super::{explain, postgres, sqlite};
use crate::bindings::hostel::sql::sql::Value;
use crate::call::CallContext;
use crate::database::{Allowance, Bounds, Lease, PostgresLease, Speaker, SqliteConnection, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;
use crate::processor::CpuTime;

/// Bytes after which a cursor's chunk is whole.
const CHUNK_BYTES: usize = 64 * 1024;

/// To bind a parameter, SQLite looks for its name among those of all, and nothing interrupts that.
const PARAMETERS_MAX: usize = 4_096;

/// Characters of a statement in the log.
const SHAPE_MAX: usize = 500;

/// Within which limits the statements of one call run.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) limits: Arc<LimitsConfig>,
    deadline: Instant,
    cpu: Arc<CpuTime>,
    slow: Duration,
}

impl Terms {
    pub(super) fn of(call: &CallContext, slow: Duration) -> Self {
        Self {
            limits: Arc::clone(&call.limits),
            deadline: call.deadline,
            cpu: Arc::clone(&call.cpu),
            slow,
        }
    }

    /// What a statement may use: its own time, and what is left of the call.
    fn allowance(&self) -> Result<Allowance> {
        self.allowance_within(self.limits.sql_statement_timeout_ms.as_millis())
    }

    fn allowance_within(&self, time: Duration) -> Result<Allowance> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(overdue());
        }
        Ok(Allowance {
            time: left.min(time),
            cpu_max: self.limits.cpu_ms.as_millis(),
            cpu: Arc::clone(&self.cpu),
        })
    }
}

/// One statement of a guest, to be run with one list of parameters or with several.
pub(super) struct Statement {
    text: Arc<str>,
    terms: Terms,
}

impl Statement {
    pub(super) fn new(text: String, terms: Terms) -> Self {
        Self { text: text.into(), terms }
    }

    /// Its rows, in one buffer.
    pub(super) async fn rows(
        &self,
        parameters: &[Value],
        connection: &mut Lease,
    ) -> Result<Vec<u8>> {
        let _watch = self.watch();
        let allowance = self.admitted(parameters)?;
        let mut encoder = Encoder::new(&self.terms.limits);
        match connection {
            Lease::Sqlite { connection, unit } => {
                self.count_parameters(parameters, &allowance, connection).await?;
                let mut rows = sqlite::Rows::new(unit, encoder);
                let query = self.on_sqlite(parameters);
                let ran = connection.run(Speaker::Guest, allowance, query, |row| rows.push(row));
                ran.await.map_err(explain)?;
                encoder = rows.encoder;
            }
            Lease::Postgres(connection) => {
                let (bounds, into) = (self.bounds(&allowance), Some(&mut encoder));
                let ran = postgres::run(connection, &self.text, parameters, bounds, into);
                ran.await.map_err(explain)?;
            }
        }
        Ok(encoder.finish())
    }

    /// How many rows it changes.
    pub(super) async fn changes(
        &self,
        parameters: &[Value],
        connection: &mut Lease,
    ) -> Result<u64> {
        let _watch = self.watch();
        self.change(parameters, connection).await
    }

    /// How many rows it changes with all of these parameters together, as the statement of this
    /// number in its batch.
    pub(super) async fn changes_of_all(
        &self,
        number: usize,
        runs: &[Vec<Value>],
        connection: &mut Lease,
    ) -> Result<u64> {
        let _watch = self.watch();
        let changed = match connection {
            Lease::Sqlite { .. } => self.change_in_turn(runs, connection).await,
            Lease::Postgres(connection) => self.change_together(runs, connection).await,
        };
        changed.map_err(|(index, error)| {
            let run = if runs.len() > 1 { format!(", run {}", index + 1) } else { String::new() };
            let message = format!("statement {number}{run}: {}", error.message());
            error.saying(message)
        })
    }

    async fn change_in_turn(
        &self,
        runs: &[Vec<Value>],
        connection: &mut Lease,
    ) -> Result<u64, (usize, Error)> {
        let mut changed = 0;
        for (index, parameters) in runs.iter().enumerate() {
            let ran = self.change(parameters, connection).await;
            changed += ran.map_err(|error| (index, error))?;
        }
        Ok(changed)
    }

    /// Over the network, what counts is how often one waits for an answer.
    async fn change_together(
        &self,
        runs: &[Vec<Value>],
        connection: &mut PostgresLease,
    ) -> Result<u64, (usize, Error)> {
        for (index, parameters) in runs.iter().enumerate() {
            check(parameters).map_err(|error| (index, error))?;
        }
        let allowance = self.terms.allowance().map_err(|error| (0, error))?;
        let ran = postgres::run_all(connection, &self.text, runs, self.bounds(&allowance)).await;
        ran.map_err(|(index, failure)| (index, explain(failure)))
    }

    async fn change(&self, parameters: &[Value], connection: &mut Lease) -> Result<u64> {
        let allowance = self.admitted(parameters)?;
        let changed = match connection {
            Lease::Sqlite { connection, .. } => {
                self.count_parameters(parameters, &allowance, connection).await?;
                let query = self.on_sqlite(parameters);
                connection.run(Speaker::Guest, allowance, query, |_| Ok(())).await
            }
            Lease::Postgres(connection) => {
                let bounds = self.bounds(&allowance);
                postgres::run(connection, &self.text, parameters, bounds, None).await
            }
        };
        changed.map_err(explain)
    }

    /// Its rows, chunk by chunk, as fast as they are taken. It has all the time of its call, since it
    /// waits for its reader.
    pub(super) async fn chunks(
        self,
        parameters: Vec<Value>,
        connection: &mut Lease,
        chunks: &mpsc::Sender<Result<Vec<u8>>>,
    ) -> Result<()> {
        let mut watch = Some(self.watch());
        let allowance = self.terms.allowance_within(Duration::MAX)?;
        check(&parameters)?;
        let mut encoder = Encoder::of_chunks(&self.terms.limits);
        match connection {
            Lease::Sqlite { connection, unit } => {
                self.count_parameters(&parameters, &allowance, connection).await?;
                let query = self.on_sqlite(&parameters);
                let mut running = connection.start(Speaker::Guest, allowance, query);
                let mut rows = sqlite::Rows::new(unit, encoder);
                while let Some(result) = running.next().await.map_err(explain)? {
                    let sqlx::Either::Right(row) = result else { continue };
                    rows.push(&row)?;
                    if rows.encoder.len() >= CHUNK_BYTES
                        && !hand_over(&mut rows.encoder, &mut watch, chunks).await
                    {
                        return Ok(());
                    }
                }
                encoder = rows.encoder;
            }
            Lease::Postgres(connection) => {
                let bounds = self.bounds(&allowance);
                let prepared =
                    postgres::prepare_to_run(connection, &self.text, &parameters, bounds.time)
                        .await;
                let (prepared, values) = prepared.map_err(explain)?;
                let started = connection.start(&prepared, &values, bounds).await;
                let mut running = started.map_err(explain)?;
                while let Some(step) = running.next().await.map_err(explain)? {
                    let Step::Row(row) = step else { continue };
                    postgres::push_row(&mut encoder, &prepared, &row)?;
                    if encoder.len() >= CHUNK_BYTES
                        && !running.pause(hand_over(&mut encoder, &mut watch, chunks)).await
                    {
                        return Ok(());
                    }
                }
            }
        }
        if !encoder.is_empty() {
            // Nobody may be there to take it any more.
            let _ = chunks.send(Ok(encoder.take())).await;
        }
        Ok(())
    }

    /// How the database would run it.
    pub(super) async fn plan(
        &self,
        parameters: &[Value],
        connection: &mut Lease,
    ) -> Result<String> {
        let allowance = self.admitted(parameters)?;
        match connection {
            Lease::Sqlite { connection, .. } => {
                self.count_parameters(parameters, &allowance, connection).await?;
                let mut plan = sqlite::PlanText::new(&self.terms.limits);
                let asked = AssertSqlSafe(sqlite::PlanText::ask(&self.text));
                let query = sqlite::bind(sqlx::query(asked), parameters);
                let ran = connection.run(Speaker::Guest, allowance, query, |row| plan.push(row));
                ran.await.map_err(explain)?;
                Ok(plan.finish())
            }
            Lease::Postgres(connection) => {
                let bounds = self.bounds(&allowance);
                let plan = postgres::plan(connection, &self.text, parameters, bounds);
                plan.await.map_err(explain)
            }
        }
    }

    /// What it may use, where its parameters are what they say.
    fn admitted(&self, parameters: &[Value]) -> Result<Allowance> {
        let allowance = self.terms.allowance()?;
        check(parameters)?;
        Ok(allowance)
    }

    fn bounds(&self, allowance: &Allowance) -> Bounds {
        let row_max = self.terms.limits.sql_result_max_bytes.as_usize();
        Bounds { time: allowance.time, row_max }
    }

    fn on_sqlite(&self, parameters: &[Value]) -> Query<'_, Sqlite, SqliteArguments> {
        sqlite::bind(sqlx::query(AssertSqlSafe(Arc::clone(&self.text))), parameters)
    }

    /// SQLite takes a parameter that is missing for null; other databases refuse it.
    async fn count_parameters(
        &self,
        parameters: &[Value],
        allowance: &Allowance,
        connection: &mut SqliteConnection,
    ) -> Result<()> {
        let wanted = connection.parameters_of(&self.text, allowance).await.map_err(explain)?;
        let given = parameters.len();
        if wanted == given { Ok(()) } else { Err(miscounted(wanted, given)) }
    }

    fn watch(&self) -> Watch<'_> {
        Watch { text: &self.text, slow: self.terms.slow, started: Instant::now() }
    }
}

/// Hands over the rows until now. Says whether anybody takes more.
async fn hand_over(
    rows: &mut Encoder,
    watch: &mut Option<Watch<'_>>,
    chunks: &mpsc::Sender<Result<Vec<u8>>>,
) -> bool {
    // What follows the first chunk depends on the reader's pace.
    drop(watch.take());
    chunks.send(Ok(rows.take())).await.is_ok()
}

pub(super) fn miscounted(wanted: usize, given: usize) -> Error {
    Error::invalid(format!("the statement has {wanted} parameters, and {given} were given"))
}

/// The bytes of a parameter.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) | Value::Decimal(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => size_of::<i64>(),
    }
}

/// Refuses parameters that are not what they say, and too many of them.
fn check(parameters: &[Value]) -> Result<()> {
    if parameters.len() > PARAMETERS_MAX {
        let given = parameters.len();
        return Err(Error::invalid(format!(
            "a statement has at most {PARAMETERS_MAX} parameters, and {given} were given"
        )));
    }
    let is_none = |value: &Value| matches!(value, Value::Decimal(text) if !is_decimal(text));
    if parameters.iter().any(is_none) {
        return Err(Error::invalid("a decimal parameter is no number such as `-12.50`"));
    }
    Ok(())
}

pub(super) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

pub(super) fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "statement-timeout", "the statement ran for too long")
}

/// It would have needed more in temporary files than it may.
pub(super) fn statement_too_large() -> Error {
    needs_too_much("space for what it sorts, groups or changes")
}

/// It, or what its connection was asked before, would have needed more memory than it may.
pub(super) fn needs_too_much_memory() -> Error {
    needs_too_much("memory")
}

fn needs_too_much(what: &str) -> Error {
    let message = format!("the statement needs too much {what}");
    Error::new(ErrorKind::Limit, "statement-too-large", message)
}

fn overdue() -> Error {
    Error::new(ErrorKind::Timeout, "timeout", "the call has no time left for another statement")
}

/// Writes a line where a statement was slow, however it ended.
struct Watch<'a> {
    text: &'a str,
    slow: Duration,
    started: Instant,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if took >= self.slow {
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(milliseconds, statement = shape(self.text), "a statement was slow");
        }
    }
}

/// A statement without the values that are written in it.
fn shape(text: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else {
        return "(not readable)".to_owned();
    };
    let mut shape = String::new();
    for token in tokens {
        match token {
            Token::Whitespace(_) => {
                if !shape.is_empty() && !shape.ends_with(' ') {
                    shape.push(' ');
                }
            }
            // The rest of a number that is written in groups.
            Token::Word(_) if shape.ends_with('?') => {}
            Token::Word(_) | Token::Placeholder(_) => shape.push_str(&token.to_string()),
            token => {
                let text = token.to_string();
                shape.push_str(if is_operator(&text) { &text } else { "?" });
            }
        }
        if shape.len() > 4 * SHAPE_MAX {
            break;
        }
    }
    match shape.char_indices().nth(SHAPE_MAX) {
        Some((end, _)) => format!("{}…", &shape[..end]),
        None => shape.trim_end().to_owned(),
    }
}

/// All that is neither a word nor this is a literal, or may be one.
fn is_operator(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_punctuation() && !b"'\"`".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_no_values() {
        let told = [
            ("SELECT 1", "SELECT ?"),
            ("  SELECT\n  name -- who\n FROM t", "SELECT name FROM t"),
            (
                "INSERT INTO t VALUES ('it''s', -1.5e3, x'ab', $1)",
                "INSERT INTO t VALUES (?, -?, ?, $1)",
            ),
            (
                "SELECT \"a b\" FROM t WHERE c = 'd' /* e */ LIMIT 5",
                "SELECT \"a b\" FROM t WHERE c = ? LIMIT ?",
            ),
            ("SELECT b'1010', B'1' || e'\\'x' || n'y' || u&'z'", "SELECT ?, ? || ? || ? || ?"),
            ("SELECT 1_234_567, 0x1F, 0b101, 1e5, .5", "SELECT ?, ?, ?, ?, ?"),
            ("SELECT $$a$$, $x$b$x$, 'a' 'b', a->>'c'", "SELECT ?, ?, ? ?, a->>?"),
            (
                "SELECT a::text[1] FROM t WHERE b @> ?1 AND c <> :d",
                "SELECT a::text[?] FROM t WHERE b @> ?1 AND c <> :d",
            ),
            ("SELECT 'open", "(not readable)"),
        ];
        for (text, expected) in told {
            assert_eq!(shape(text), expected);
        }
    }

    #[test]
    fn a_long_shape_is_cut() {
        let long = shape(&format!("SELECT {}", "größe, ".repeat(200)));
        assert_eq!(long.chars().count(), SHAPE_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
