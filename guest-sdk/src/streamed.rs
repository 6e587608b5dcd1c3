//! Answers that are written bit by bit: what is too large to be in memory, or not there yet.

use std::io;

use crate::bindings::hostel::http::types::{OutgoingStream, ResponseBody, ResponseHead};
use crate::handler::Operation;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{IntoResponse, Response};
use crate::{Error, ErrorKind};

/// What is written to the client at once, where a handler writes less.
const BUFFER_BYTES: usize = 64 * 1024;

/// An answer that a handler writes bit by bit, and returns when it has all of it.
///
/// Its head goes out with the first bytes, when there are many of them or they are flushed: what goes
/// wrong before is told to the client as ever. A handler that returns an error later cuts the answer off,
/// so that the client sees that something is missing. A write waits while the client is slower than the
/// module.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn export(db: Db) -> Result<Streamed, Problem> {
///     let mut answer = Streamed::begin("text/csv")?;
///     answer.send("name\n")?;
///     for row in db.stream::<Row>("SELECT name FROM tags ORDER BY name", params![])? {
///         let name: String = row?.get("name")?;
///         answer.send(format!("{name}\n"))?;
///     }
///     Ok(answer)
/// }
/// # let _ = get("/tags.csv", export);
/// ```
///
/// It takes what writers of formats write, too:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// use std::io::Write as _;
///
/// fn copy(mut body: Body) -> Result<Streamed, Problem> {
///     let mut answer = Streamed::head("application/octet-stream").status(201).begin()?;
///     while let Some(chunk) = body.next_chunk()? {
///         answer.write_all(&chunk).map_err(|error| Problem::internal(error.to_string()))?;
///     }
///     Ok(answer)
/// }
/// # let _ = post("/copy", copy);
/// ```
#[derive(Debug)]
#[must_use = "dropped, it cuts the answer off: return it"]
pub struct Streamed {
    stream: OutgoingStream,
    /// What was written and not yet sent.
    buffer: Vec<u8>,
}

/// The head of a [`Streamed`] answer that is still to begin.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn zeros() -> Result<Streamed, Problem> {
///     let head = Streamed::head("application/octet-stream").length(1_000_000);
///     let mut answer = head.header("cache-control", "no-store").begin()?;
///     for _ in 0..1_000 {
///         answer.send([0; 1_000])?;
///     }
///     Ok(answer)
/// }
/// # let _ = get("/zeros", zeros);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct StreamedHead {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Streamed {
    /// Begins an answer with status 200.
    ///
    /// # Errors
    /// When this request has an answer that was begun already.
    pub fn begin(content_type: impl Into<String>) -> Result<Self, Error> {
        Self::head(content_type).begin()
    }

    /// What says more of an answer before it begins.
    pub fn head(content_type: impl Into<String>) -> StreamedHead {
        let headers = vec![("content-type".to_owned(), content_type.into())];
        StreamedHead { status: 200, headers }
    }

    /// Writes bytes: to the client once there are many, or with [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the client is gone, or takes too little.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let bytes = bytes.as_ref();
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.stream.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Lets the client have what was written so far.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn count() -> Result<Streamed, Problem> {
    ///     let mut answer = Streamed::begin("text/plain")?;
    ///     for number in 0..1_000_000 {
    ///         answer.send(format!("{number}\n"))?;
    ///         if number % 1_000 == 0 {
    ///             answer.flush()?;
    ///         }
    ///     }
    ///     Ok(answer)
    /// }
    /// # let _ = get("/count", count);
    /// ```
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let sent = self.stream.write(&self.buffer);
        self.buffer.clear();
        sent
    }
}

impl StreamedHead {
    /// Sets the status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says how many bytes there will be. An answer that has others is cut off.
    pub fn length(self, bytes: u64) -> Self {
        self.header("content-length", bytes.to_string())
    }

    /// Begins the answer.
    ///
    /// # Errors
    /// When this request has an answer that was begun already.
    pub fn begin(self) -> Result<Streamed, Error> {
        let Self { status, headers } = self;
        let stream = OutgoingStream::open(&ResponseHead { status, headers })?;
        Ok(Streamed { stream, buffer: Vec::new() })
    }
}

impl io::Write for Streamed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map_err(into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self).map_err(into_io)
    }
}

fn into_io(error: Error) -> io::Error {
    let kind = match error.kind {
        ErrorKind::Timeout => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error.message)
}

impl IntoResponse for Streamed {
    fn into_response(mut self, _request: &Request) -> Result<Response, Problem> {
        self.flush()?;
        Ok(Response::of(ResponseBody::Streamed(self.stream)))
    }

    fn describe(operation: &mut Operation) {
        operation.response_type = Some("application/octet-stream");
    }
}
