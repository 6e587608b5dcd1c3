//! A transaction that is open on one connection, with those nested in it, and who of them may use it.
//!
//! Whoever holds one of them runs statements through it. What else is to take effect with them, such
//! as a message in the outbox, goes to the innermost of its call.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::unit::{Lease, Turn};
use super::units::Failure;
use crate::error::{Error, ErrorKind, Result};

/// A transaction and those nested in it. Clones are the same ones; with the last of them, what was
/// not committed is undone.
#[derive(Clone)]
pub(crate) struct OpenTransaction(Arc<Mutex<Work>>);

/// Which of them somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(u32);

impl Level {
    /// The one that was begun first.
    pub(crate) const OUTERMOST: Self = Self(0);
}

/// The right to use the connection.
pub(crate) struct Working<'t>(MutexGuard<'t, Work>);

struct Work {
    /// None once the outermost has ended, or the database has undone all of it.
    connection: Option<Lease>,
    /// The outermost, what is nested in it, and so on. Only the last one runs statements.
    open: Vec<Level>,
    next: u32,
    /// Whether a statement of the innermost has failed. PostgreSQL takes no other statement then, so
    /// that nobody may rely on a database that would.
    has_failed: bool,
    /// The turn to write, or to read, ends with the connection's lease.
    turn: Option<Turn>,
}

impl OpenTransaction {
    /// One that has begun on `connection`.
    pub(crate) fn new(connection: Lease, turn: Turn) -> Self {
        Self(Arc::new(Mutex::new(Work {
            connection: Some(connection),
            open: vec![Level::OUTERMOST],
            next: 1,
            has_failed: false,
            turn: Some(turn),
        })))
    }

    /// The connection, for the innermost alone.
    ///
    /// # Errors
    /// When another one is open within `level`, when it has ended, or something in it failed.
    pub(crate) async fn working(&self, level: Level) -> Result<Working<'_>> {
        let work = self.0.lock().await;
        if work.open.last() == Some(&level) {
            Working::new(work)
        } else if work.open.contains(&level) {
            Err(nested_is_open())
        } else {
            Err(ended())
        }
    }

    /// The connection, for what is to take effect with the innermost, whoever holds that.
    ///
    /// # Errors
    /// When it has ended, or something in it failed.
    pub(crate) async fn innermost(&self) -> Result<Working<'_>> {
        let work = self.0.lock().await;
        if work.open.is_empty() { Err(ended()) } else { Working::new(work) }
    }

    /// Begins a part of `level`.
    ///
    /// # Errors
    /// As for [`working`](Self::working), and when the database does not answer.
    pub(crate) async fn begin_nested(&self, level: Level) -> Result<Level> {
        let mut working = self.working(level).await?;
        working.connection()?.begin_nested().await?;
        let Work { open, next, .. } = &mut *working.0;
        let nested = Level(*next);
        *next += 1;
        open.push(nested);
        Ok(nested)
    }

    /// Undoes what is nested in `level`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn undo_nested(&self, level: Level) -> Result<(), Failure> {
        let mut work = self.0.lock().await;
        let Some(depth) = work.depth_of(level) else { return Ok(()) };
        let nested = work.open.len() - depth - 1;
        work.open.truncate(depth + 1);
        work.end_from(depth + 1, nested, false).await
    }

    /// Ends `level`. Where something nested in it is open, it is undone, whatever was asked for.
    ///
    /// # Errors
    /// When it cannot be committed; it is undone then.
    pub(crate) async fn end(&self, level: Level, commit: bool) -> Result<(), Failure> {
        let mut work = self.0.lock().await;
        let Some(depth) = work.depth_of(level) else {
            return if commit { Err(Failure::Refused(ended())) } else { Ok(()) };
        };
        let is_innermost = depth + 1 == work.open.len();
        let nested = work.open.len() - depth;
        work.open.truncate(depth);
        let has_failed = work.has_failed;
        let keep = commit && is_innermost && !has_failed;
        let ended = work.end_from(depth, nested, keep).await;
        // What failed is undone, and what it was a part of goes on.
        work.has_failed = false;
        match ended {
            _ if commit && !is_innermost => Err(Failure::Refused(nested_is_open())),
            Ok(()) if commit && has_failed => Err(Failure::Refused(failed_before())),
            ended => ended,
        }
    }
}

impl<'t> Working<'t> {
    fn new(work: MutexGuard<'t, Work>) -> Result<Self> {
        if work.has_failed { Err(failed_before()) } else { Ok(Self(work)) }
    }

    /// The connection that the transaction runs on.
    ///
    /// # Errors
    /// When the database has undone the transaction.
    pub(crate) fn connection(&mut self) -> Result<&mut Lease> {
        self.0.connection.as_mut().ok_or_else(undone)
    }

    /// Takes note of how a statement ended. After an error, the database may have undone the whole
    /// transaction: what came next would then take effect at once, statement by statement.
    ///
    /// # Errors
    /// That of `outcome`.
    pub(crate) async fn checked<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let work = &mut *self.0;
        work.has_failed |= outcome.is_err();
        if outcome.is_err()
            && let Some(connection) = &mut work.connection
            && !connection.is_in_transaction().await.unwrap_or(false)
        {
            work.connection = None;
            work.turn = None;
        }
        outcome
    }

    /// Forgets that something failed, after it was undone as a whole.
    pub(crate) fn forgive(&mut self) {
        self.0.has_failed = false;
    }
}

impl Work {
    fn depth_of(&self, level: Level) -> Option<usize> {
        self.open.iter().position(|open| *open == level)
    }

    async fn end_from(&mut self, depth: usize, nested: usize, keep: bool) -> Result<(), Failure> {
        if depth == 0 {
            let connection = self.connection.take();
            let _turn = self.turn.take();
            return match connection {
                Some(mut connection) => connection.end(keep).await,
                None if keep => Err(Failure::Refused(undone())),
                None => Ok(()),
            };
        }
        let Some(connection) = &mut self.connection else {
            return if keep { Err(Failure::Refused(undone())) } else { Ok(()) };
        };
        for _ in 0..nested {
            connection.end_nested(keep).await.map_err(Failure::Refused)?;
        }
        Ok(())
    }
}

fn ended() -> Error {
    Error::invalid("the transaction has ended")
}

fn nested_is_open() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-open",
        "a nested transaction is open: work in it, or end it first",
    )
}

fn failed_before() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-failed",
        "a statement of this transaction failed: it takes no other, and nothing of it takes effect",
    )
}

fn undone() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "transaction-undone",
        "the database has undone the transaction after an error: begin another one",
    )
}
