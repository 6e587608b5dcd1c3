//! The module's tables, reached by a test without a route.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::app::RunningApp;
use super::host::crate_folder;
use crate::sql::{Cell, Row, decode};

impl RunningApp {
    /// Runs SQL in the tenant's tables, as the module itself could: statements that end with `;`, in
    /// their order. The module's migrations have been applied.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().granting("notes:*").start();
    /// app.sql("INSERT INTO tags (name) VALUES ('urgent'), ('later')");
    /// app.get("/tags").expect(200);
    /// ```
    ///
    /// # Panics
    /// When a statement is refused: says which and why. Those before it have taken effect.
    #[track_caller]
    pub fn sql(&self, statements: &str) {
        if let Err(told) = self.run_all(statements) {
            panic!("line {told}");
        }
    }

    /// Runs the SQL of a file, given by its path in the module's crate, as [`sql`](Self::sql) does.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::App;
    /// let app = App::new().granting("notes:*").start();
    /// app.sql_file("tests/fixtures/hundred_notes.sql");
    /// ```
    ///
    /// # Panics
    /// When it cannot be read, or a statement is refused: says which and why.
    #[track_caller]
    pub fn sql_file(&self, path: impl AsRef<Path>) {
        let path = crate_folder().join(path);
        match fs::read_to_string(&path) {
            Ok(statements) => {
                if let Err(told) = self.run_all(&statements) {
                    panic!("{}:{told}", path.display());
                }
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// The rows of a statement, each an object by column. UUIDs, times and decimals are texts as
    /// in the module's JSON, and bytes a list of numbers.
    ///
    /// ```no_run
    /// # use hostel_sdk::testing::{App, json};
    /// # let app = App::new().start();
    /// app.sql("INSERT INTO tags (name) VALUES ('urgent')");
    /// assert_eq!(app.rows("SELECT name FROM tags"), [json!({ "name": "urgent" })]);
    /// ```
    ///
    /// # Panics
    /// When the statement is refused: says why.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, statement: &str) -> Vec<Value> {
        match self.run(statement) {
            Ok(rows) => rows,
            Err(reason) => panic!("{reason}\n\n{statement}\n"),
        }
    }

    /// # Errors
    /// The line of the statement that was refused, why it was, and the statement.
    fn run_all(&self, text: &str) -> Result<(), String> {
        for Statement { line, text } in statements(text) {
            self.run(text).map_err(|reason| format!("{line}: {reason}\n\n{text}\n"))?;
        }
        Ok(())
    }

    fn run(&self, statement: &str) -> Result<Vec<Value>, String> {
        let encoded = self.ask_bytes("POST", "sql", &json!({ "statement": statement }))?;
        let rows = decode(encoded).map_err(|error| error.message)?;
        rows.map(|row| object(&row).map_err(|error| error.message)).collect()
    }
}

fn object(row: &Row) -> Result<Value, crate::Error> {
    let cells = row.cells().map(|cell| cell.map(|(name, cell)| (name.to_owned(), value(cell))));
    cells.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

fn value(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Boolean(it) => it.into(),
        Cell::Integer(it) => it.into(),
        Cell::Real(it) => it.into(),
        Cell::Text(it) | Cell::Decimal(it) => it.into(),
        Cell::Bytes(it) => it.into(),
        Cell::Uuid(it) => it.to_string().into(),
        Cell::Timestamp(it) => json!(it),
        Cell::Json(it) => serde_json::from_str(it).unwrap_or_else(|_| it.into()),
    }
}

/// One of the statements of a text.
#[derive(Debug, PartialEq)]
struct Statement<'t> {
    /// Where it begins, counted from 1.
    line: usize,
    text: &'t str,
}

/// Takes a text apart at each `;` that is in no text, name or comment.
fn statements(text: &str) -> Vec<Statement<'_>> {
    let (mut found, mut start) = (Vec::new(), 0);
    while start < text.len() {
        let end = start + end_of_statement(&text[start..]);
        let comments = leading_comments(&text[start..end]);
        let statement = text[start + comments..end].trim_end();
        if !statement.is_empty() {
            let line = 1 + text[..start + comments].matches('\n').count();
            found.push(Statement { line, text: statement });
        }
        start = end + 1;
    }
    found
}

/// Bytes before the `;` that ends a statement, or all of them.
fn end_of_statement(text: &str) -> usize {
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        at += match next {
            ';' => return at,
            // Doubled inside, they begin again: nothing lies between.
            '\'' | '"' | '`' => 1 + until(&rest[1..], &next.to_string()),
            '[' => 1 + until(&rest[1..], "]"),
            _ => comment(rest).unwrap_or(next.len_utf8()),
        };
    }
    at
}

fn leading_comments(text: &str) -> usize {
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        match comment(&text[at..]) {
            Some(length) => at += length,
            None => return at,
        }
    }
}

/// The length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if let Some(comment) = text.strip_prefix("--") {
        Some(2 + until(comment, "\n"))
    } else {
        text.strip_prefix("/*").map(|comment| 2 + until(comment, "*/"))
    }
}

/// Bytes up to and with `end`, or all of them.
fn until(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_and_know_their_lines() {
        let text = "-- first; not yet\nINSERT INTO a VALUES ('x;''y', \"b;\");\n\n/* two; */\nDELETE\nFROM [c;d];;\nSELECT 'é';-- end";
        let found: Vec<_> = statements(text).into_iter().map(|s| (s.line, s.text)).collect();
        assert_eq!(
            found,
            [
                (2, "INSERT INTO a VALUES ('x;''y', \"b;\")"),
                (5, "DELETE\nFROM [c;d]"),
                (7, "SELECT 'é'"),
            ]
        );
        for unfinished in ["'", "/*", "--", "[", ";", "", " \n"] {
            assert!(statements(unfinished).len() <= 1, "{unfinished}");
        }
    }
}
