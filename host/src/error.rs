//! The one error of the host: a message that anybody may read, and a cause for the log alone.
//!
//! It knows what kind of thing went wrong and nothing of HTTP; `http/problem.rs` turns kinds into
//! statuses, and `wiring.rs` turns them into the contract's error for guests.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller is known, or anonymous, and may not do this.
    Denied,
    /// The caller must say who they are first.
    Unauthenticated,
    /// There is no such thing, or the caller may not know that there is.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// The state of things does not allow it.
    Conflict,
    /// The input makes no sense.
    Invalid,
    /// The input did not arrive in time.
    InputTimeout,
    /// The input is larger than is accepted.
    TooLarge,
    /// The input is in a form that is not read here.
    Unsupported,
    /// The caller does not take the form that the answer would have.
    Unacceptable,
    /// The caller, or what they asked for, used up a limit.
    Limit,
    /// It may work later.
    Unavailable,
    /// It took too long.
    Timeout,
    /// A fault of ours or of a module.
    Other,
}

/// An error with a public and an internal half.
///
/// `Display` shows the public message only; the cause is the [`source`](std::error::Error::source)
/// and belongs in logs.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    code: &'static str,
    message: Cow<'static, str>,
    subject: Option<String>,
    hint: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, with a stable `code` for programs (lower case, words joined by `-`) and a
    /// `message` for people that says what was wrong, where, and what to do.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                code,
                message: message.into(),
                subject: None,
                hint: None,
                retry_after: None,
                cause: None,
            }),
        }
    }

    /// Input that makes no sense.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid, "invalid", message)
    }

    /// A thing that is not there.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, "not-found", message)
    }

    /// Credentials that are not, or no longer, those of anybody.
    pub fn invalid_credentials() -> Self {
        let message = "these credentials are not known here";
        Self::new(ErrorKind::Unauthenticated, "invalid-credentials", message)
    }

    /// A fault of ours. The message goes to clients too: say nothing there that they may not know.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Other, "internal", message)
    }

    /// The same error in other words. Its cause stays: as a cause, it would be told twice.
    #[must_use]
    pub(crate) fn saying(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.inner.message = message.into();
        self
    }

    /// Adds what caused it, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.cause = Some(cause.into());
        self
    }

    /// Adds the name of what it is about: a constraint, a key, a column.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.inner.subject = Some(subject.into());
        self
    }

    /// Adds what the person at the command line can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Says after which time it may work, where that is known.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.inner.retry_after = Some(time);
        self
    }

    /// After how many seconds it may work, where that is known.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.inner.retry_after.map(|time| time.as_secs().max(1))
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The stable name for programs.
    pub fn code(&self) -> &'static str {
        self.inner.code
    }

    /// What anybody may read.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// What it is about, where that has a name.
    pub fn subject(&self) -> Option<&str> {
        self.inner.subject.as_deref()
    }

    /// What the person at the command line can do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The causes in one line, outermost first, for the log.
    pub fn causes(&self) -> Option<String> {
        let mut next = std::error::Error::source(self);
        let mut line = String::new();
        while let Some(cause) = next {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        (!line.is_empty()).then_some(line)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("code", &self.inner.code)
            .field("message", &self.inner.message)
            .field("subject", &self.inner.subject)
            .field("cause", &self.inner.cause)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.cause.as_deref().map(|cause| cause as _)
    }
}

/// Database errors of the platform's own statements: the text stays in the log.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::new(ErrorKind::Unavailable, "database", "the platform's database did not answer")
            .because(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::internal("a file could not be read or written").because(error)
    }
}
