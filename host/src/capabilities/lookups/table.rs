//! A look-up's rows: read from CSV by an operator's load, and found by key in memory.

use std::collections::{HashMap, HashSet};

use csv::{ReaderBuilder, StringRecord, Trim};
use serde::Serializer as _;

use crate::error::{Error, Result};

/// Bytes that one look-up takes, in memory and as CSV.
pub(super) const MAX_BYTES: usize = 33_554_432;
const ROWS_MAX: usize = 100_000;
const ROW_MAX_BYTES: usize = 65_536;
const COLUMNS_MAX: usize = 64;
const COLUMN_MAX_BYTES: usize = 64;
/// Fits into an index on every database.
const KEY_MAX_BYTES: usize = 256;

/// One row of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupRow {
    /// By which it is found.
    pub key: Box<str>,
    /// A JSON object with a text for each column, in their order.
    pub object: Box<str>,
}

impl LookupRow {
    /// Bytes that cross to a guest.
    pub(super) fn text_bytes(&self) -> usize {
        self.key.len() + self.object.len()
    }

    fn memory_bytes(&self) -> usize {
        self.text_bytes() + size_of::<Self>()
    }
}

/// All rows of one version.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) version: u64,
    /// By key.
    rows: Vec<LookupRow>,
    pub(super) memory_bytes: usize,
}

impl Table {
    pub(super) fn new(version: u64, mut rows: Vec<LookupRow>) -> Self {
        rows.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let memory_bytes = rows.iter().map(LookupRow::memory_bytes).sum();
        Self { version, rows, memory_bytes }
    }

    /// The row of that key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let at = self.rows.binary_search_by(|row| (*row.key).cmp(key)).ok()?;
        self.rows.get(at).map(|row| &*row.object)
    }

    /// Rows after a key, and whether there are more. One at least, however many bytes it has.
    pub(super) fn page(
        &self,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> (&[LookupRow], bool) {
        let start = after.map_or(0, |key| self.rows.partition_point(|row| *row.key <= *key));
        let rest = &self.rows[start..];
        let mut bytes = 0;
        let fitting = rest.iter().take(limit).take_while(|row| {
            bytes += row.text_bytes();
            bytes <= max_bytes
        });
        let count = fitting.count().max(1).min(rest.len());
        (&rest[..count], count < rest.len())
    }
}

/// What a CSV file holds.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) columns: Vec<String>,
    pub(super) key_column: String,
    pub(super) rows: Vec<LookupRow>,
}

/// Reads CSV (RFC 4180, in UTF-8) with a header. Without a `key`, the first column is the key.
///
/// # Errors
/// Says what is wrong and in which line.
pub(super) fn parse(csv: &[u8], key: Option<&str>) -> Result<Parsed> {
    if csv.len() > MAX_BYTES {
        return Err(too_large());
    }
    let text = std::str::from_utf8(csv).map_err(|error| {
        let line = 1 + csv[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Error::invalid(format!("line {line}: this is not UTF-8"))
            .hint("save the table as CSV in UTF-8")
    })?;
    // What spreadsheets put before UTF-8.
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        ReaderBuilder::new().flexible(true).trim(Trim::Headers).from_reader(text.as_bytes());
    let columns = columns(reader.headers().map_err(unreadable)?)?;
    let key_at = match key {
        None => 0,
        Some(key) => columns.iter().position(|column| column == key).ok_or_else(|| {
            Error::invalid(format!("there is no column `{key}`"))
                .hint(format!("the columns are {}", columns.join(", ")))
        })?,
    };
    let mut rows = Rows::default();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.add(line, &record, &columns, key_at).map_err(|error| {
            let message = format!("line {line}: {error}");
            error.saying(message)
        })?;
    }
    Ok(Parsed { key_column: columns[key_at].clone(), columns, rows: rows.rows })
}

fn columns(header: &StringRecord) -> Result<Vec<String>> {
    if header.is_empty() {
        return Err(Error::invalid("there is no header")
            .hint("the first line names the columns: `code,name`"));
    }
    if header.len() > COLUMNS_MAX {
        return Err(Error::invalid(format!("a look-up has at most {COLUMNS_MAX} columns")));
    }
    if header.len() == 1 && header[0].contains([';', '\t']) {
        return Err(Error::invalid("line 1: there is one column, with a separator in its name")
            .hint("save the table as CSV with `,` between the columns"));
    }
    let mut seen = HashSet::new();
    for (number, column) in (1..).zip(header) {
        let fits = (1..=COLUMN_MAX_BYTES).contains(&column.len());
        if !fits || column.contains(char::is_control) {
            return Err(Error::invalid(format!(
                "line 1: column {number} needs a name in one line, of 1 to {COLUMN_MAX_BYTES} bytes"
            )));
        }
        if !seen.insert(column) {
            return Err(Error::invalid(format!("line 1: there are two columns `{column}`")));
        }
    }
    Ok(header.iter().map(ToOwned::to_owned).collect())
}

#[derive(Default)]
struct Rows {
    rows: Vec<LookupRow>,
    lines: HashMap<Box<str>, u64>,
    memory_bytes: usize,
}

impl Rows {
    fn add(
        &mut self,
        line: u64,
        record: &StringRecord,
        columns: &[String],
        key_at: usize,
    ) -> Result<()> {
        if record.len() != columns.len() {
            let (has, needed) = (record.len(), columns.len());
            return Err(Error::invalid(format!("there are {has} of {needed} fields")));
        }
        let key: Box<str> = record[key_at].into();
        if !(1..=KEY_MAX_BYTES).contains(&key.len()) || key.contains(char::is_control) {
            return Err(Error::invalid(format!(
                "the key `{}` must be one line of 1 to {KEY_MAX_BYTES} bytes",
                columns[key_at]
            )));
        }
        if let Some(first) = self.lines.insert(key.clone(), line) {
            return Err(Error::invalid(format!("the key `{key}` is in line {first} already")));
        }
        let row = LookupRow { key, object: object(columns, record)?.into() };
        if row.object.len() > ROW_MAX_BYTES {
            return Err(Error::invalid(format!("a row has at most {ROW_MAX_BYTES} bytes")));
        }
        self.memory_bytes += row.memory_bytes();
        if self.memory_bytes > MAX_BYTES || self.rows.len() == ROWS_MAX {
            return Err(too_large());
        }
        self.rows.push(row);
        Ok(())
    }
}

/// In the order of the columns, which a map of `serde_json` would not keep.
fn object(columns: &[String], record: &StringRecord) -> Result<String> {
    let unwritable = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::internal("a row cannot be written as JSON").because(cause)
    };
    let mut bytes = Vec::new();
    serde_json::Serializer::new(&mut bytes)
        .collect_map(columns.iter().zip(record))
        .map_err(|error| unwritable(error.into()))?;
    String::from_utf8(bytes).map_err(|error| unwritable(error.into()))
}

fn too_large() -> Error {
    let mebibytes = MAX_BYTES / 1_048_576;
    Error::invalid(format!("a look-up has at most {ROWS_MAX} rows and {mebibytes} MiB"))
        .hint("what is larger belongs into a module's own tables")
}

fn unreadable(error: csv::Error) -> Error {
    Error::invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(csv: &str) -> Table {
        Table::new(1, parse(csv.as_bytes(), None).unwrap().rows)
    }

    fn keys(rows: &[LookupRow]) -> Vec<&str> {
        rows.iter().map(|row| &*row.key).collect()
    }

    #[test]
    fn rows_are_found_by_key_and_given_in_its_order() {
        let table = table("\u{feff}code , name\nSE,Sweden\n\nNO,\"Norway, \"\"Norge\"\"\"\nDK,\n");
        assert_eq!(table.get("NO"), Some(r#"{"code":"NO","name":"Norway, \"Norge\""}"#));
        assert_eq!(table.get("no"), None);
        let (rows, more) = table.page(None, 2, 1000);
        assert_eq!((keys(rows), more), (vec!["DK", "NO"], true));
        let (rows, more) = table.page(Some("NO"), 2, 1000);
        assert_eq!((keys(rows), more), (vec!["SE"], false));
        // A key that is not there has a place all the same; and one row is always given.
        assert_eq!(keys(table.page(Some("E"), 9, 1).0), ["NO"]);
        assert_eq!(table.page(Some("SE"), 9, 1), (&[][..], false));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let refusal = |csv: String| parse(csv.as_bytes(), None).unwrap_err().to_string();
        let many: Vec<_> = (0..=COLUMNS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(refusal(many.join(",")), "a look-up has at most 64 columns");
        let large = format!("a,b\n1,{}", "x".repeat(ROW_MAX_BYTES));
        assert_eq!(refusal(large), "line 2: a row has at most 65536 bytes");
        let rows: String = (0..=ROWS_MAX).map(|n| format!("{n}\n")).collect();
        let told = refusal(format!("n\n{rows}"));
        assert_eq!(told, "line 100002: a look-up has at most 100000 rows and 32 MiB");
        let rows: String = (0..600).map(|n| format!("{n},{}\n", "x".repeat(60_000))).collect();
        assert_eq!(refusal(format!("a,b\n{rows}")), "a look-up has at most 100000 rows and 32 MiB");
    }

    proptest! {
        /// Whatever a spreadsheet writes is what a module reads.
        #[test]
        fn what_is_written_as_csv_is_read(
            cells in prop::collection::vec(any::<(String, String)>(), 0..20)
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["key", "one", "two"]).unwrap();
            for (number, (one, two)) in (0..).zip(&cells) {
                writer.write_record([&number.to_string(), one, two]).unwrap();
            }
            let table = Table::new(1, parse(&writer.into_inner().unwrap(), None).unwrap().rows);
            for (number, (one, two)) in (0..).zip(&cells) {
                let key = number.to_string();
                let object: serde_json::Value =
                    serde_json::from_str(table.get(&key).unwrap()).unwrap();
                prop_assert_eq!(object, serde_json::json!({ "key": key, "one": one, "two": two }));
            }
        }

        #[test]
        fn whatever_is_no_table_is_refused(bytes: Vec<u8>, key: Option<String>) {
            let _ = parse(&bytes, key.as_deref());
        }
    }
}
