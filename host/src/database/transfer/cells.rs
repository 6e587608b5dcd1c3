//! A table's rows as lines: each a JSON array with one cell per column.
//!
//! `null`, an integer and a text are what JSON has for them; a real is `{"real": "0.1"}`, since JSON
//! knows no infinity, and bytes are `{"bytes": "aGk="}`, in base64.

use data_encoding::BASE64;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Table;
use crate::error::{Error, Result};

/// Bytes of lines that are sent at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// A value in a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    /// The cells of one line.
    ///
    /// # Errors
    /// Says what is no cell.
    pub(crate) fn of_line(line: &[u8]) -> Result<Vec<Self>, String> {
        let values: Vec<Value> = serde_json::from_slice(line)
            .map_err(|error| format!("it is no JSON array of cells: {error}"))?;
        values.into_iter().map(Self::of_json).collect()
    }

    fn of_json(value: Value) -> Result<Self, String> {
        match value {
            Value::Null => return Ok(Self::Null),
            Value::String(text) => return Ok(Self::Text(text)),
            Value::Number(number) => {
                if let Some(number) = number.as_i64() {
                    return Ok(Self::Integer(number));
                }
            }
            Value::Object(tagged) if tagged.len() == 1 => {
                if let Some(Value::String(text)) = tagged.get("real")
                    && let Ok(real) = text.parse()
                {
                    return Ok(Self::Real(real));
                }
                if let Some(Value::String(text)) = tagged.get("bytes")
                    && let Ok(bytes) = BASE64.decode(text.as_bytes())
                {
                    return Ok(Self::Bytes(bytes));
                }
            }
            _ => {}
        }
        Err("a value is none of null, integer, text, `real` and `bytes`".to_owned())
    }

    /// What it is, for people.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a real",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        }
    }
}

/// Takes rows, sends lines.
pub(in crate::database) struct LineSink<'a> {
    to: &'a mpsc::Sender<Vec<u8>>,
    table: &'a Table,
    rows: u64,
    buffer: Vec<u8>,
}

impl<'a> LineSink<'a> {
    pub(super) fn new(table: &'a Table, to: &'a mpsc::Sender<Vec<u8>>) -> Self {
        Self { to, table, rows: 0, buffer: Vec::new() }
    }

    /// Puts the next cell of a row in; the first is number 0.
    pub(in crate::database) fn cell(&mut self, number: usize, cell: &Cell) -> Result<()> {
        self.buffer.push(if number == 0 { b'[' } else { b',' });
        let value = match cell {
            Cell::Null => Value::Null,
            Cell::Integer(number) => Value::from(*number),
            Cell::Real(real) => serde_json::json!({ "real": real.to_string() }),
            Cell::Text(text) => {
                // By far the most: not copied once more.
                return serde_json::to_writer(&mut self.buffer, text).map_err(unwritable);
            }
            Cell::Bytes(bytes) => serde_json::json!({ "bytes": BASE64.encode(bytes) }),
        };
        serde_json::to_writer(&mut self.buffer, &value).map_err(unwritable)
    }

    /// Ends a row.
    pub(in crate::database) async fn end_row(&mut self) -> Result<()> {
        // A table may have no columns, and rows all the same.
        let end: &[u8] = if self.table.columns.is_empty() { b"[]\n" } else { b"]\n" };
        self.buffer.extend_from_slice(end);
        self.rows += 1;
        if self.buffer.len() >= CHUNK_BYTES { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.buffer);
        // Whoever takes them says why, when asked.
        self.to.send(chunk).await.map_err(|_| Error::internal("the archive is not written"))
    }

    pub(super) async fn finish(mut self) -> Result<u64> {
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        Ok(self.rows)
    }

    pub(in crate::database) fn unreadable(&self, column: usize, why: &str) -> Error {
        let column = self.table.columns.get(column).map_or("", |column| column.name.as_str());
        Error::invalid(format!(
            "table `{}`, column `{column}`, row {}: {why}",
            self.table.name,
            self.rows + 1
        ))
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal("a row cannot be written").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_cell_comes_back_as_it_was() {
        let cells = [
            Cell::Null,
            Cell::Integer(i64::MIN),
            Cell::Real(0.1 + 0.2),
            Cell::Real(f64::NEG_INFINITY),
            Cell::Real(-0.0),
            Cell::Text("a\n\"\u{0}é".to_owned()),
            Cell::Bytes(vec![0, 255]),
        ];
        let table = Table { name: String::new(), columns: Vec::new() };
        let (to, mut lines) = mpsc::channel(1);
        let mut sink = LineSink::new(&table, &to);
        for (number, cell) in cells.iter().enumerate() {
            sink.cell(number, cell).unwrap();
        }
        sink.buffer.extend_from_slice(b"]");
        sink.finish().await.unwrap();
        assert_eq!(Cell::of_line(&lines.recv().await.unwrap()).unwrap(), cells);
    }

    #[test]
    fn what_is_no_cell_is_refused() {
        for line in
            ["", "1", "[1.5]", "[true]", "[[1]]", r#"[{"real": "x"}]"#, "[18446744073709551615]"]
        {
            assert!(Cell::of_line(line.as_bytes()).is_err(), "{line}");
        }
    }
}
