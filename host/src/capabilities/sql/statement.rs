//! A guest's statement: its budget, its parameters, and a line in the log where it is slow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlparser::dialect::SQLiteDialect;
use sqlparser::tokenizer::{Token, Tokenizer};
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;

use super::values::{self, PlanText, RowBuffer, bind, explain};
use crate::bindings::hostel::sql::sql::Value;
use crate::call::CallContext;
use crate::database::{Allowance, GuestConnection, Speaker, Unit};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;
use crate::processor::CpuTime;

/// Bytes after which a cursor's chunk is whole.
const CHUNK_BYTES: usize = 64 * 1024;

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
        parameters: Vec<Value>,
        connection: &mut GuestConnection,
        unit: &Unit,
    ) -> Result<Vec<u8>> {
        let _watch = self.watch();
        let allowance = self.terms.allowance()?;
        self.check(&parameters, &allowance, connection).await?;
        let mut buffer = RowBuffer::new(&self.terms.limits);
        let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(&self.text))), parameters);
        connection
            .run(Speaker::Guest, allowance, query, |row| buffer.push(row, unit))
            .await
            .map_err(explain)?;
        Ok(buffer.finish())
    }

    /// How many rows it changes.
    pub(super) async fn changes(
        &self,
        parameters: Vec<Value>,
        connection: &mut GuestConnection,
    ) -> Result<u64> {
        let _watch = self.watch();
        self.change(parameters, connection).await
    }

    /// How many rows it changes with all of these parameters together, as the statement of this
    /// number in its batch.
    pub(super) async fn changes_of_all(
        &self,
        number: usize,
        runs: Vec<Vec<Value>>,
        connection: &mut GuestConnection,
    ) -> Result<u64> {
        let _watch = self.watch();
        let are_several = runs.len() > 1;
        let mut changed = 0;
        for (index, parameters) in runs.into_iter().enumerate() {
            changed += self.change(parameters, connection).await.map_err(|error| {
                let run = if are_several { format!(", run {}", index + 1) } else { String::new() };
                let message = format!("statement {number}{run}: {}", error.message());
                error.saying(message)
            })?;
        }
        Ok(changed)
    }

    async fn change(
        &self,
        parameters: Vec<Value>,
        connection: &mut GuestConnection,
    ) -> Result<u64> {
        let allowance = self.terms.allowance()?;
        self.check(&parameters, &allowance, connection).await?;
        let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(&self.text))), parameters);
        connection.run(Speaker::Guest, allowance, query, |_| Ok(())).await.map_err(explain)
    }

    /// Its rows, chunk by chunk, as fast as they are taken. It has all the time of its call, since it
    /// waits for its reader.
    pub(super) async fn chunks(
        self,
        parameters: Vec<Value>,
        connection: &mut GuestConnection,
        unit: &Unit,
        chunks: &mpsc::Sender<Result<Vec<u8>>>,
    ) -> Result<()> {
        let mut watch = Some(self.watch());
        let allowance = self.terms.allowance_within(Duration::MAX)?;
        self.check(&parameters, &allowance, connection).await?;
        let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(&self.text))), parameters);
        let mut running = connection.start(Speaker::Guest, allowance, query);
        let mut buffer = RowBuffer::of_chunks(&self.terms.limits);
        while let Some(result) = running.next().await.map_err(explain)? {
            let sqlx::Either::Right(row) = result else { continue };
            buffer.push(&row, unit)?;
            if buffer.len() >= CHUNK_BYTES {
                // What follows depends on the reader's pace.
                drop(watch.take());
                if chunks.send(Ok(buffer.take())).await.is_err() {
                    return Ok(());
                }
            }
        }
        if buffer.len() > 0 {
            // Nobody may be there to take it any more.
            let _ = chunks.send(Ok(buffer.take())).await;
        }
        Ok(())
    }

    /// How the database would run it.
    pub(super) async fn plan(
        self,
        parameters: Vec<Value>,
        connection: &mut GuestConnection,
    ) -> Result<String> {
        let allowance = self.terms.allowance()?;
        self.check(&parameters, &allowance, connection).await?;
        let mut plan = PlanText::new(&self.terms.limits);
        let query = bind(sqlx::query(AssertSqlSafe(PlanText::ask(&self.text))), parameters);
        connection
            .run(Speaker::Guest, allowance, query, |row| plan.push(row))
            .await
            .map_err(explain)?;
        Ok(plan.finish())
    }

    async fn check(
        &self,
        parameters: &[Value],
        allowance: &Allowance,
        connection: &mut GuestConnection,
    ) -> Result<()> {
        parameters.iter().try_for_each(values::check)?;
        let wanted = connection.parameters_of(&self.text, allowance).await.map_err(explain)?;
        let given = parameters.len();
        if wanted == given {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the statement has {wanted} parameters, and {given} were given"
        )))
    }

    fn watch(&self) -> Watch<'_> {
        Watch { text: &self.text, slow: self.terms.slow, started: Instant::now() }
    }
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
    let Ok(tokens) = Tokenizer::new(&SQLiteDialect {}, text).tokenize() else {
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
            token if is_literal(&token) => shape.push('?'),
            token => shape.push_str(&token.to_string()),
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

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::DollarQuotedString(_)
    )
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
