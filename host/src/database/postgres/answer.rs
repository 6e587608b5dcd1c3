//! What the server answers: what it makes of statements, rows, and what it says instead.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::ErrorResponseBody;

use super::types::Type;

/// Characters that are kept of what the server says. It repeats values, however long.
const REFUSAL_LENGTH_MAX: usize = 1_000;

/// What the server made of a statement.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) name: String,
    /// Stands for its text.
    pub(super) text: u64,
    /// The types of its parameters.
    pub(crate) parameters: Vec<Type>,
    /// The columns of its rows, if it has any.
    pub(crate) columns: Vec<Column>,
}

/// A column of an answer.
#[derive(Debug)]
pub(crate) struct Column {
    /// As the statement calls it.
    pub(crate) name: String,
    /// Of its values.
    pub(crate) kind: Type,
}

/// A row of an answer.
#[derive(Debug)]
pub(crate) struct Row {
    pub(super) bytes: Bytes,
    pub(super) values: Vec<Option<Range<usize>>>,
}

/// A part of an answer.
pub(crate) enum Step {
    /// A row.
    Row(Row),
    /// How many rows were changed, or told.
    Done(u64),
}

/// What the server said instead of an answer.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// One of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    pub(crate) code: String,
    /// For people, cut where it is long.
    pub(crate) message: String,
    /// The constraint that it is about.
    pub(crate) constraint: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The server refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A message is larger than it may be. The rest of the answer is unread.
    #[error("a message of the server's is too large")]
    TooLarge,
    /// The connection is gone, or whoever is there speaks another protocol.
    #[error("the connection is lost")]
    Lost(#[from] sqlx::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.into())
    }
}

impl Row {
    /// The bytes of a value; none where it is null.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let range = self.values.get(index)?.clone()?;
        self.bytes.get(range)
    }

    /// A text in a row of the host's own statements.
    pub(super) fn text(&self, index: usize) -> Result<String, Fault> {
        let text = std::str::from_utf8(self.get(index).unwrap_or_default());
        Ok(text.map_err(|_| unexpected())?.to_owned())
    }
}

impl Refusal {
    pub(super) fn read(body: &ErrorResponseBody) -> io::Result<Self> {
        let mut refusal = Self::default();
        let mut fields = body.fields();
        while let Some(field) = fields.next()? {
            let text = String::from_utf8_lossy(field.value_bytes());
            let text = text.chars().take(REFUSAL_LENGTH_MAX).collect();
            match field.type_() {
                b'C' => refusal.code = text,
                b'M' => refusal.message = text,
                b'n' => refusal.constraint = Some(text),
                _ => {}
            }
        }
        Ok(refusal)
    }
}

/// Whoever is there speaks another protocol.
pub(super) fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server says what nobody asked for")
}
