//! A connection to the server on which no message is larger than it may be.
//!
//! sqlx reads a row or an error as a whole, however large, and has no say in it: one statement of a
//! guest's could take gigabytes of the host's memory. So what guests ask for is read here, and a
//! message that is too large is passed over as it arrives. Transport and TLS are sqlx's, messages
//! are those of `postgres-protocol`; `answer.rs` and `types.rs` know what comes back, `connection.rs`
//! what is asked.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{Header, Message};
use postgres_protocol::message::frontend;
use sqlx_core::net::{BufferedSocket, Socket};

use super::answer::{Column, Fault, Prepared, Refusal, Row, Step, unexpected};
use super::endpoint::Endpoint;
use super::types::Type;

/// Bytes of a message, where nobody allows more: the longest description of a statement fits.
const MESSAGE_MAX: usize = 1024 * 1024;
/// Bytes of a row beyond those of its values: four for each of the columns that there can be, and
/// what a value is shorter in an answer.
const ROW_MARGIN: usize = 32 * 1024;
/// Bytes that are read at once of a message that is passed over.
const PASSED_OVER_AT_ONCE: usize = 64 * 1024;
/// Statements that a connection remembers, and bytes of their texts; modules have tens of them.
const STATEMENTS_PREPARED_MAX: usize = 200;
const STATEMENTS_PREPARED_MAX_BYTES: usize = 1024 * 1024;
/// What the server says of a text that is none.
const INVALID_TEXT: &str = "22021";

/// One connection, logged in.
pub(super) struct Wire {
    socket: BufferedSocket<Box<dyn Socket>>,
    /// Answers that have not been read to their ends.
    unread: usize,
    /// Statements that wait to be sent with what is asked next, and are answered before it.
    ahead: usize,
    /// Bytes left of a message that is passed over.
    passed_over: usize,
    /// Bytes of a message of the answer that is read, at most.
    message_max: usize,
    /// Whether there was a message that needed a large buffer.
    has_grown: bool,
    statements: HashMap<String, Arc<Prepared>>,
    /// Of the texts of all of them.
    statements_bytes: usize,
    /// How many statements were prepared, for their names.
    prepared: u64,
    pub(super) types: HashMap<u32, Type>,
}

impl Wire {
    /// Connects, and logs in as `user`.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        user: &str,
        password: &str,
    ) -> Result<Self, Fault> {
        let mut wire = Self {
            socket: BufferedSocket::new(endpoint.connect().await?),
            unread: 0,
            ahead: 0,
            passed_over: 0,
            message_max: MESSAGE_MAX,
            has_grown: false,
            statements: HashMap::new(),
            statements_bytes: 0,
            prepared: 0,
            types: HashMap::new(),
        };
        let parameters = endpoint.session(user);
        let parameters = parameters.iter().map(|(name, value)| (*name, value.as_str()));
        wire.put(|buffer| frontend::startup_message(parameters, buffer))?;
        wire.unread = 1;
        wire.socket.flush().await?;
        wire.log_in(password).await?;
        Ok(wire)
    }

    async fn log_in(&mut self, password: &str) -> Result<(), Fault> {
        let mut scram = None;
        while let Some(message) = self.next().await? {
            match message {
                Message::AuthenticationCleartextPassword => {
                    self.put(|buffer| frontend::password_message(password.as_bytes(), buffer))?;
                }
                Message::AuthenticationSasl(body) => {
                    let mut offered = body.mechanisms();
                    while offered.next()?.ok_or_else(unknown_login)? != SCRAM_SHA_256 {}
                    let begun = scram.insert(ScramSha256::new(
                        password.as_bytes(),
                        ChannelBinding::unsupported(),
                    ));
                    self.put(|buffer| {
                        frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), buffer)
                    })?;
                }
                Message::AuthenticationSaslContinue(body) => {
                    let begun = scram.as_mut().ok_or_else(unexpected)?;
                    begun.update(body.data())?;
                    self.put(|buffer| frontend::sasl_response(begun.message(), buffer))?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or_else(unexpected)?.finish(body.data())?;
                }
                Message::AuthenticationOk | Message::BackendKeyData(_) => continue,
                _ => return Err(unknown_login().into()),
            }
            // With TLS, who flushes and has written nothing waits until something is to be read.
            if !self.socket.write_buffer().is_empty() {
                self.socket.flush().await?;
            }
        }
        Ok(())
    }

    /// Says good-bye, so that the server's slot is free at once.
    pub(super) async fn close(mut self) {
        // One that is gone already needs no good-bye.
        let said = self.put(|buffer| {
            frontend::terminate(buffer);
            Ok(())
        });
        if said.is_ok() {
            let _ = self.socket.shutdown().await;
        }
    }

    /// What the server makes of a statement; nothing crosses the network for one that is known.
    /// `types` are those of parameters which its own words leave open, 0 where they do not.
    pub(super) async fn prepare(
        &mut self,
        text: &str,
        types: &[u32],
    ) -> Result<Arc<Prepared>, Fault> {
        if let Some(known) = self.statements.get(text) {
            return Ok(Arc::clone(known));
        }
        self.statements_bytes += text.len();
        if self.statements.len() >= STATEMENTS_PREPARED_MAX
            || self.statements_bytes > STATEMENTS_PREPARED_MAX_BYTES
        {
            self.say("DEALLOCATE ALL").await?;
            self.statements.clear();
            self.statements_bytes = text.len();
        }
        self.prepared += 1;
        let name = format!("s{}", self.prepared);
        self.ask(MESSAGE_MAX, |buffer| {
            frontend::parse(&name, text, types.iter().copied(), buffer)?;
            frontend::describe(b'S', &name, buffer)
        })
        .await?;
        let (mut parameters, mut columns) = (Vec::new(), Vec::new());
        while let Some(message) = self.next().await? {
            match message {
                Message::ParseComplete | Message::NoData => {}
                Message::ParameterDescription(body) => parameters = body.parameters().collect()?,
                Message::RowDescription(body) => {
                    let fields = body.fields();
                    let fields =
                        fields.map(|field| Ok((field.name().to_owned(), field.type_oid())));
                    columns = fields.collect()?;
                }
                _ => return Err(unexpected().into()),
            }
        }
        let mut prepared =
            Prepared { name, text: hashed(text), parameters: Vec::new(), columns: Vec::new() };
        for id in parameters {
            prepared.parameters.push(self.type_of(id).await?);
        }
        for (name, id) in columns {
            prepared.columns.push(Column { name, kind: self.type_of(id).await? });
        }
        let prepared = Arc::new(prepared);
        self.statements.insert(text.to_owned(), Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Runs what was prepared once for each of `runs`, with values in the binary form of its parameters'
    /// types. Its rows, of at most `row_max` bytes, are then to be taken by [`step`](Self::step).
    pub(super) async fn run<V: AsRef<[Option<Vec<u8>>]>>(
        &mut self,
        statement: &Prepared,
        runs: &[V],
        row_max: usize,
    ) -> Result<(), Fault> {
        let message_max = row_max.saturating_add(ROW_MARGIN).max(MESSAGE_MAX);
        self.ask(message_max, |buffer| {
            for values in runs {
                let formats = statement.columns.iter().map(|column| column.kind.format());
                bind(&statement.name, values.as_ref(), formats, buffer)?;
                frontend::execute("", 0, buffer)?;
            }
            Ok(())
        })
        .await
    }

    /// The next part of the answer; none at its end.
    pub(super) async fn step(&mut self) -> Result<Option<Step>, Fault> {
        loop {
            match self.next().await? {
                None => return Ok(None),
                Some(Message::DataRow(body)) => {
                    let values = body.ranges().collect()?;
                    let bytes = body.buffer_bytes().clone();
                    return Ok(Some(Step::Row(Row { bytes, values })));
                }
                Some(Message::CommandComplete(body)) => {
                    let count = body.tag()?.rsplit(' ').next().and_then(|count| count.parse().ok());
                    return Ok(Some(Step::Done(count.unwrap_or(0))));
                }
                Some(
                    Message::ParseComplete
                    | Message::BindComplete
                    | Message::EmptyQueryResponse
                    | Message::RowDescription(_)
                    | Message::NoData,
                ) => {}
                Some(_) => return Err(unexpected().into()),
            }
        }
    }

    /// Runs one statement of the host's once, with texts and bytes as parameters: its rows, in the
    /// binary form of their types, and how many were changed.
    pub(super) async fn once(
        &mut self,
        text: &str,
        values: &[&[u8]],
    ) -> Result<(Vec<Row>, u64), Fault> {
        self.ask_once(text, values).await?;
        let (mut rows, mut changed) = (Vec::new(), 0);
        while let Some(step) = self.step().await? {
            match step {
                Step::Row(row) => rows.push(row),
                Step::Done(count) => changed = count,
            }
        }
        Ok((rows, changed))
    }

    /// Runs one statement of somebody else's once; nobody asks for its rows, however many.
    pub(super) async fn once_for_nothing(&mut self, text: &str) -> Result<(), Fault> {
        self.ask_once(text, &[]).await?;
        while self.step().await?.is_some() {}
        Ok(())
    }

    async fn ask_once(&mut self, text: &str, values: &[&[u8]]) -> Result<(), Fault> {
        let values: Vec<_> = values.iter().map(|value| Some(value.to_vec())).collect();
        self.ask(MESSAGE_MAX, |buffer| {
            frontend::parse("", text, [], buffer)?;
            bind("", &values, [1], buffer)?;
            frontend::execute("", 0, buffer)
        })
        .await
    }

    /// Says statements of the host's, which answer nothing.
    pub(super) async fn say(&mut self, text: &str) -> Result<(), Fault> {
        // What is said in text ends what comes before it, whose answer has an end of its own then.
        let ends_ahead = self.ahead > 0;
        let asked = |buffer: &mut BytesMut| {
            if ends_ahead {
                frontend::sync(buffer);
            }
            frontend::query(text, buffer)
        };
        self.ask_by(MESSAGE_MAX, 1 + usize::from(ends_ahead), asked).await?;
        for _ in 0..self.unread {
            while self.step().await?.is_some() {}
        }
        Ok(())
    }

    /// Runs what was prepared, and answers nothing, ahead of what is asked next: nobody waits for it
    /// alone, and it has no answer of its own. What is wrong with it is told then, and nothing comes
    /// after it.
    pub(super) async fn run_ahead(&mut self, statement: &Prepared) -> Result<(), Fault> {
        self.settle().await?;
        self.put(|buffer| {
            bind(&statement.name, &[], [], buffer)?;
            frontend::execute("", 0, buffer)
        })?;
        self.ahead += 1;
        Ok(())
    }

    /// Asks something that ends with one answer.
    async fn ask(
        &mut self,
        message_max: usize,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let asked = |buffer: &mut BytesMut| {
            write(buffer)?;
            frontend::sync(buffer);
            Ok(())
        };
        self.ask_by(message_max, 1, asked).await
    }

    /// Asks something that ends with so many answers by itself.
    async fn ask_by(
        &mut self,
        message_max: usize,
        answers: usize,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Fault> {
        self.settle().await?;
        self.put(write)?;
        self.message_max = message_max;
        self.unread += answers;
        let ahead = std::mem::take(&mut self.ahead);
        self.socket.flush().await?;
        for _ in 0..ahead {
            let Some(Step::Done(_)) = self.step().await? else { return Err(unexpected().into()) };
        }
        Ok(())
    }

    /// Writes messages, unless they cannot be: a text has a zero byte, there are too many parameters.
    fn put(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Fault> {
        let mut buffer = BytesMut::new();
        write(&mut buffer).map_err(|error| Refusal {
            code: INVALID_TEXT.to_owned(),
            message: error.to_string(),
            constraint: None,
        })?;
        self.socket.write_buffer_mut().put_slice(&buffer);
        Ok(())
    }

    /// Reads to their ends what answers were given up.
    async fn settle(&mut self) -> Result<(), Fault> {
        while self.unread > 0 {
            match self.message().await {
                Ok(Message::ReadyForQuery(_)) => self.unread -= 1,
                Ok(_) | Err(Fault::TooLarge) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// The next message of an answer; none at its end.
    async fn next(&mut self) -> Result<Option<Message>, Fault> {
        match self.message().await? {
            Message::ReadyForQuery(_) => {
                self.unread -= 1;
                if std::mem::take(&mut self.has_grown) {
                    // What a large row needed is not kept for small ones.
                    self.socket.shrink_buffers();
                }
                Ok(None)
            }
            Message::ErrorResponse(body) => {
                let refusal = Refusal::read(&body)?;
                // Nothing comes after an error but the end of the answer, or of the connection.
                let _ = self.settle().await;
                Err(refusal.into())
            }
            other => Ok(Some(other)),
        }
    }

    /// The next message that is about what was asked.
    async fn message(&mut self) -> Result<Message, Fault> {
        loop {
            self.pass_over().await?;
            let message_max = self.message_max;
            let read = self.socket.try_read(|buffer| {
                let Some(header) = Header::parse(buffer)? else {
                    return Ok(ControlFlow::Continue(5));
                };
                let length = usize::try_from(header.len()).unwrap_or(usize::MAX).saturating_add(1);
                if length > message_max {
                    buffer.advance(5);
                    return Ok(ControlFlow::Break(Err((header.tag(), length - 5))));
                }
                if buffer.len() < length {
                    return Ok(ControlFlow::Continue(length));
                }
                Ok(ControlFlow::Break(Ok(buffer.split_to(length))))
            });
            match read.await? {
                Err((tag, left)) => {
                    self.passed_over = left;
                    if !is_aside(tag) {
                        return Err(Fault::TooLarge);
                    }
                }
                Ok(bytes) if is_aside(bytes[0]) => {}
                Ok(mut bytes) => {
                    self.has_grown |= bytes.len() > PASSED_OVER_AT_ONCE;
                    return Ok(Message::parse(&mut bytes)?.ok_or_else(unexpected)?);
                }
            }
        }
    }

    /// Reads what is left of a message that is too large, a little at a time.
    async fn pass_over(&mut self) -> Result<(), Fault> {
        while self.passed_over > 0 {
            let wanted = self.passed_over.min(PASSED_OVER_AT_ONCE);
            let read = self.socket.try_read(|buffer| {
                if buffer.is_empty() {
                    return Ok(ControlFlow::Continue(1));
                }
                let read = buffer.len().min(wanted);
                buffer.advance(read);
                Ok(ControlFlow::Break(read))
            });
            self.passed_over -= read.await?;
        }
        Ok(())
    }
}

/// Whether a message is about no answer: notices, notifications, settings of the session.
fn is_aside(tag: u8) -> bool {
    matches!(tag, b'N' | b'A' | b'S')
}

fn bind(
    name: &str,
    values: &[Option<Vec<u8>>],
    formats: impl IntoIterator<Item = i16>,
    buffer: &mut BytesMut,
) -> io::Result<()> {
    let write = |value: &Option<Vec<u8>>, buffer: &mut BytesMut| {
        Ok(match value {
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    };
    frontend::bind("", name, [1], values, write, formats, buffer).map_err(|error| match error {
        frontend::BindError::Conversion(error) => io::Error::other(error),
        frontend::BindError::Serialization(error) => error,
    })
}

fn hashed(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn unknown_login() -> io::Error {
    let message = "the server wants another kind of login than a password by SCRAM";
    io::Error::new(io::ErrorKind::Unsupported, message)
}
