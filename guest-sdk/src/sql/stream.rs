//! Rows that come as they are taken.

use std::marker::PhantomData;

use super::row::{self, FromRow, Row};
use crate::Error;
use crate::bindings::hostel::sql::sql::Cursor;

/// The rows of a [`stream`](super::Db::stream), in chunks that the host makes while they are taken.
/// After an error there are no more.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::sql::Stream;
/// fn first_long(db: &Db) -> Result<Option<Row>, Error> {
///     let mut rows: Stream<Row> = db.stream("SELECT name, text FROM pages", params![])?;
///     // The statement is stopped as soon as one is found.
///     rows.find(|row| match row {
///         Ok(row) => row.get::<String>("text").is_ok_and(|text| text.len() > 10_000),
///         Err(_) => true,
///     })
///     .transpose()
/// }
/// ```
pub struct Stream<T> {
    /// None after the end, and after an error.
    cursor: Option<Cursor>,
    rows: Box<dyn Iterator<Item = Row>>,
    made_of_rows: PhantomData<fn() -> T>,
}

impl<T> Stream<T> {
    pub(super) fn new(cursor: Cursor) -> Self {
        let rows = Box::new(std::iter::empty());
        Self { cursor: Some(cursor), rows, made_of_rows: PhantomData }
    }

    fn next_row(&mut self) -> Result<Option<Row>, Error> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            let Some(cursor) = &self.cursor else { return Ok(None) };
            match cursor.next()? {
                Some(chunk) => self.rows = Box::new(row::decode(chunk)?),
                None => self.cursor = None,
            }
        }
    }
}

impl<T> std::fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl<T: FromRow> Iterator for Stream<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_row().and_then(|row| row.map(|row| T::from_row(&row)).transpose());
        if row.is_err() {
            self.cursor = None;
            self.rows = Box::new(std::iter::empty());
        }
        row.transpose()
    }
}
