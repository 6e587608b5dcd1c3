//! Rows in the encoding that `wit/deps/sql.wit` describes, within the limits of one answer.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;

/// The kinds of values.
mod kind {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INTEGER: u8 = 3;
    pub(super) const REAL: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const UUID: u8 = 7;
    pub(super) const TIMESTAMP: u8 = 8;
    pub(super) const JSON: u8 = 9;
    pub(super) const DECIMAL: u8 = 10;
}

/// An answer in the making.
pub(super) struct Encoder {
    rows_left: u64,
    /// Of all rows together, or of each row where they are taken in chunks.
    bytes_max: usize,
    is_chunk: bool,
    /// Where the row that is being put in began.
    row_start: usize,
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        Self {
            rows_left: limits.sql_rows_max.get(),
            bytes_max: limits.sql_result_max_bytes.as_usize(),
            is_chunk: false,
            row_start: 0,
            bytes: Vec::new(),
        }
    }

    /// For an answer that is taken chunk by chunk: as many rows as there are.
    pub(super) fn of_chunks(limits: &LimitsConfig) -> Self {
        Self { rows_left: u64::MAX, is_chunk: true, ..Self::new(limits) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The rows until now; those that follow begin another buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.row_start = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Whether no row has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn begin<'a>(&mut self, columns: impl ExactSizeIterator<Item = &'a str>) {
        self.bytes.reserve(64 + 32 * columns.len());
        self.bytes.extend_from_slice(&length_u16(columns.len()).to_le_bytes());
        for name in columns {
            let name = &name.as_bytes()[..usize::from(length_u16(name.len()))];
            self.bytes.extend_from_slice(&length_u16(name.len()).to_le_bytes());
            self.bytes.extend_from_slice(name);
        }
    }

    /// Counts a row whose values have been put in.
    pub(super) fn end_row(&mut self) -> Result<()> {
        self.rows_left =
            self.rows_left.checked_sub(1).ok_or_else(|| too_large("rows", "a LIMIT"))?;
        let start = if self.is_chunk { self.row_start } else { 0 };
        if self.bytes.len() - start > self.bytes_max {
            return Err(too_large("bytes", "fewer columns or a LIMIT"));
        }
        self.row_start = self.bytes.len();
        Ok(())
    }

    /// The rows; no columns at all where no row came.
    pub(super) fn finish(self) -> Vec<u8> {
        if self.bytes.is_empty() { vec![0, 0] } else { self.bytes }
    }

    pub(super) fn null(&mut self) {
        self.bytes.push(kind::NULL);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.bytes.push(if value { kind::TRUE } else { kind::FALSE });
    }

    pub(super) fn integer(&mut self, value: i64) {
        self.fixed(kind::INTEGER, &value.to_le_bytes());
    }

    pub(super) fn real(&mut self, value: f64) {
        self.fixed(kind::REAL, &value.to_le_bytes());
    }

    /// Microseconds since the Unix epoch.
    pub(super) fn timestamp(&mut self, micros: i64) {
        self.fixed(kind::TIMESTAMP, &micros.to_le_bytes());
    }

    pub(super) fn uuid(&mut self, value: [u8; 16]) {
        self.fixed(kind::UUID, &value);
    }

    pub(super) fn text(&mut self, value: &str) {
        self.sized(kind::TEXT, value.as_bytes());
    }

    pub(super) fn json(&mut self, value: &str) {
        self.sized(kind::JSON, value.as_bytes());
    }

    pub(super) fn decimal(&mut self, value: &str) {
        self.sized(kind::DECIMAL, value.as_bytes());
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.sized(kind::BYTES, value);
    }

    fn fixed(&mut self, kind: u8, bytes: &[u8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(bytes);
    }

    fn sized(&mut self, kind: u8, bytes: &[u8]) {
        // The databases' own limits on a value keep lengths far below 32 bits.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

fn length_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

pub(super) fn too_large(what: &str, instead: &str) -> Error {
    Error::new(
        ErrorKind::Limit,
        "result-too-large",
        format!("the answer has too many {what}: ask for {instead}"),
    )
}
