//! Rows, read from the one buffer in which the host hands them over (see `wit/deps/sql.wit`).

use std::ops::Range;
use std::rc::Rc;

use uuid::Uuid;

use super::value::{Cell, FromValue};
use crate::{Error, ErrorKind, Timestamp};

/// A type that is made of a row. The derive finds each field in the column of its name:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(FromRow)]
/// struct Tag {
///     name: String,
///     #[row(column = "n")]
///     uses: i64,
/// }
///
/// fn most_used(db: &Db) -> Result<Vec<Tag>, Error> {
///     db.query("SELECT name, count(*) AS n FROM tags GROUP BY name LIMIT $1", params![10])
/// }
/// ```
///
/// What is more than that is written by hand:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// struct Span {
///     minutes: i64,
/// }
///
/// impl FromRow for Span {
///     fn from_row(row: &Row) -> Result<Self, Error> {
///         Ok(Self { minutes: row.get::<i64>("ends")? - row.get::<i64>("starts")? })
///     }
/// }
/// ```
pub trait FromRow: Sized {
    /// Makes it.
    ///
    /// # Errors
    /// When a column is missing or holds something else.
    fn from_row(row: &Row) -> Result<Self, Error>;
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(row.clone())
    }
}

/// One row of an answer. All rows of an answer share its buffer.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn names(db: &Db) -> Result<Vec<String>, Error> {
///     let rows: Vec<Row> = db.query("SELECT name FROM teas ORDER BY name", params![])?;
///     rows.iter().map(|row| row.get("name")).collect()
/// }
///
/// /// Whatever columns it has.
/// fn told(row: &Row) -> Result<String, Error> {
///     row.cells().map(|cell| cell.map(|(name, value)| format!("{name}: {value:?}\n"))).collect()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Row {
    rows: Rc<Rows>,
    /// Where this row's slots begin.
    first: usize,
}

#[derive(Debug)]
struct Rows {
    buffer: Vec<u8>,
    columns: Vec<Range<usize>>,
    slots: Vec<Slot>,
}

/// A value's kind, and where what follows it is in the buffer.
#[derive(Clone, Copy, Debug)]
struct Slot {
    kind: u8,
    start: u32,
    end: u32,
}

impl Row {
    /// The value in the column with this name.
    ///
    /// # Errors
    /// `other` when there is no such column or it holds something else.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, Error> {
        let cell = self.find(column)?;
        T::from_value(cell).map_err(|_| mismatch(column, cell, std::any::type_name::<T>()))
    }

    /// The row's columns and values, in the order of the statement.
    ///
    /// # Errors
    /// `other` when a text is not UTF-8.
    pub fn cells(&self) -> impl Iterator<Item = Result<(&str, Cell<'_>), Error>> {
        self.rows.columns.iter().enumerate().map(|(index, name)| {
            let name = self.rows.buffer.get(name.clone()).unwrap_or_default();
            Ok((utf8(name)?, self.cell(index)?))
        })
    }

    pub(crate) fn find(&self, column: &str) -> Result<Cell<'_>, Error> {
        let Rows { buffer, columns, .. } = &*self.rows;
        let is_it = |name: &Range<usize>| buffer.get(name.clone()) == Some(column.as_bytes());
        match columns.iter().position(is_it) {
            Some(index) => self.cell(index),
            None => Err(broken(format!("the row has no column `{column}`"))),
        }
    }

    pub(crate) fn cell(&self, index: usize) -> Result<Cell<'_>, Error> {
        let slot = self.rows.slots.get(self.first + index).ok_or_else(cut_short)?;
        let bytes = self.rows.buffer.get(slot.start as usize..slot.end as usize);
        let bytes = bytes.ok_or_else(cut_short)?;
        Ok(match slot.kind {
            0 => Cell::Null,
            1 => Cell::Boolean(false),
            2 => Cell::Boolean(true),
            3 => Cell::Integer(i64::from_le_bytes(array(bytes)?)),
            4 => Cell::Real(f64::from_le_bytes(array(bytes)?)),
            5 => Cell::Text(utf8(bytes)?),
            6 => Cell::Bytes(bytes),
            7 => Cell::Uuid(Uuid::from_bytes(array(bytes)?)),
            8 => Cell::Timestamp(Timestamp::from_micros(i64::from_le_bytes(array(bytes)?))),
            9 => Cell::Json(utf8(bytes)?),
            _ => Cell::Decimal(utf8(bytes)?),
        })
    }
}

/// Finds every value of an answer; the values themselves are read when they are asked for.
pub(crate) fn decode(buffer: Vec<u8>) -> Result<impl Iterator<Item = Row>, Error> {
    let mut reader = Reader { buffer: &buffer, at: 0 };
    let count = usize::from(u16::from_le_bytes(array(reader.bytes(2)?)?));
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(u16::from_le_bytes(array(reader.bytes(2)?)?));
        let start = reader.at;
        utf8(reader.bytes(length)?)?;
        columns.push(start..reader.at);
    }
    let mut slots = Vec::new();
    // Without columns there is nothing that could be a row.
    while count > 0 && reader.at < buffer.len() {
        for _ in 0..count {
            slots.push(reader.slot()?);
        }
    }
    let starts = (0..slots.len()).step_by(count.max(1));
    let rows = Rc::new(Rows { buffer, columns, slots });
    Ok(starts.map(move |first| Row { rows: Rc::clone(&rows), first }))
}

struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let bytes = rest.get(..length).ok_or_else(cut_short)?;
        self.at += length;
        Ok(bytes)
    }

    fn slot(&mut self) -> Result<Slot, Error> {
        let [kind] = array(self.bytes(1)?)?;
        let length = match kind {
            0..=2 => 0,
            3 | 4 | 8 => 8,
            5 | 6 | 9 | 10 => u32::from_le_bytes(array(self.bytes(4)?)?) as usize,
            7 => 16,
            _ => return Err(broken(format!("the host sent a value of unknown kind {kind}"))),
        };
        let start = position(self.at)?;
        self.bytes(length)?;
        Ok(Slot { kind, start, end: position(self.at)? })
    }
}

fn position(at: usize) -> Result<u32, Error> {
    u32::try_from(at).map_err(|_| cut_short())
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| cut_short())
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes)
        .map_err(|_| broken("the host sent a text that is not UTF-8".to_owned()))
}

fn mismatch(column: &str, cell: Cell<'_>, wanted: &str) -> Error {
    broken(format!("column `{column}` holds {}, which is no `{wanted}`", cell.kind()))
}

fn cut_short() -> Error {
    broken("the host sent rows that end in the middle".to_owned())
}

fn broken(message: String) -> Error {
    Error { kind: ErrorKind::Other, message, subject: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Sent {
        Null,
        Boolean(bool),
        Integer(i64),
        Real(f64),
        Text(String),
        Bytes(Vec<u8>),
        Uuid([u8; 16]),
        Timestamp(i64),
        Json(String),
        Decimal(String),
    }

    impl Sent {
        fn encode(&self, out: &mut Vec<u8>) {
            let (kind, fixed): (u8, &[u8]) = match self {
                Self::Null => (0, &[]),
                Self::Boolean(it) => (1 + u8::from(*it), &[]),
                Self::Integer(it) => (3, &it.to_le_bytes()),
                Self::Real(it) => (4, &it.to_le_bytes()),
                Self::Text(it) => return long(out, 5, it.as_bytes()),
                Self::Bytes(it) => return long(out, 6, it),
                Self::Uuid(it) => (7, it),
                Self::Timestamp(it) => (8, &it.to_le_bytes()),
                Self::Json(it) => return long(out, 9, it.as_bytes()),
                Self::Decimal(it) => return long(out, 10, it.as_bytes()),
            };
            out.push(kind);
            out.extend_from_slice(fixed);
        }

        fn expected(&self) -> Cell<'_> {
            match self {
                Self::Null => Cell::Null,
                Self::Boolean(it) => Cell::Boolean(*it),
                Self::Integer(it) => Cell::Integer(*it),
                Self::Real(it) => Cell::Real(*it),
                Self::Text(it) => Cell::Text(it),
                Self::Bytes(it) => Cell::Bytes(it),
                Self::Uuid(it) => Cell::Uuid(Uuid::from_bytes(*it)),
                Self::Timestamp(it) => Cell::Timestamp(Timestamp::from_micros(*it)),
                Self::Json(it) => Cell::Json(it),
                Self::Decimal(it) => Cell::Decimal(it),
            }
        }
    }

    fn long(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
        out.push(kind);
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    }

    fn header(columns: &[&str]) -> Vec<u8> {
        let mut out = (columns.len() as u16).to_le_bytes().to_vec();
        for name in columns {
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    fn sent() -> impl Strategy<Value = Sent> {
        prop_oneof![
            Just(Sent::Null),
            any::<bool>().prop_map(Sent::Boolean),
            any::<i64>().prop_map(Sent::Integer),
            (-1e300..1e300f64).prop_map(Sent::Real),
            ".{0,12}".prop_map(Sent::Text),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Sent::Bytes),
            any::<[u8; 16]>().prop_map(Sent::Uuid),
            any::<i64>().prop_map(Sent::Timestamp),
            ".{0,12}".prop_map(Sent::Json),
            "-?[0-9]{1,20}(\\.[0-9]{1,9})?".prop_map(Sent::Decimal),
        ]
    }

    fn encoded(rows: &[(Sent, Sent)]) -> Vec<u8> {
        let mut buffer = header(&["first", "größe"]);
        for (first, second) in rows {
            first.encode(&mut buffer);
            second.encode(&mut buffer);
        }
        buffer
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(sent in prop::collection::vec((sent(), sent()), 0..8)) {
            let rows: Vec<Row> = decode(encoded(&sent)).expect("it is well formed").collect();
            prop_assert_eq!(rows.len(), sent.len());
            for (row, (first, second)) in rows.iter().zip(&sent) {
                let cells: Vec<_> = row.cells().map(|it| it.expect("a cell")).collect();
                prop_assert_eq!(cells, [("first", first.expected()), ("größe", second.expected())]);
            }
        }

        #[test]
        fn any_bytes_are_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(rows) = decode(bytes) {
                rows.for_each(|row| row.cells().for_each(drop));
            }
        }
    }

    #[test]
    fn every_cut_inside_a_row_is_noticed() {
        let whole = encoded(&[(Sent::Text("hello".to_owned()), Sent::Integer(7))]);
        let start = header(&["first", "größe"]).len();
        for end in (0..start).chain(start + 1..whole.len()) {
            let cut = whole.get(..end).unwrap_or_default().to_vec();
            assert!(decode(cut).is_err(), "cut after {end} bytes");
        }
    }

    #[test]
    fn a_row_is_read_by_name_and_type() {
        let sent = [(Sent::Text("hello".to_owned()), Sent::Null)];
        let row = decode(encoded(&sent)).expect("it is well formed").next().expect("a row");
        assert_eq!(row.get::<String>("first").ok().as_deref(), Some("hello"));
        assert!(matches!(row.get::<Option<i64>>("größe"), Ok(None)));
        let message = |error: Error| error.message;
        let absent = row.get::<i64>("other").map_err(message);
        assert_eq!(absent, Err("the row has no column `other`".to_owned()));
        let mismatch = row.get::<i64>("first").map_err(message);
        assert_eq!(mismatch, Err("column `first` holds a text, which is no `i64`".to_owned()));
    }
}
