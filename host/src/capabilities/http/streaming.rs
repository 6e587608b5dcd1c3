//! Answers that a module writes bit by bit, and the time that streams give a call.
//!
//! A write waits until the one before it was taken: what a slow client does not take stays in the
//! module.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use tokio::sync::mpsc;

use crate::bindings::hostel::http::types::ResponseHead;
use crate::call::CallContext;
use crate::error::{Error, ErrorKind, Result};
use crate::processor::micros;

/// Who sends or takes less in a second, over some time, is too slow: whole bodies come no slower on
/// the worst of mobile networks.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// What a guest needs to copy a byte in or out, look at it and make another, measured at 0.6.
const LIGHT_NANOS_PER_BYTE: u64 = 2;

/// What a call and those who answer for it know of its streams.
#[derive(Default)]
pub(crate) struct Streaming {
    is_open: AtomicBool,
    /// The head is to go out.
    has_begun: AtomicBool,
    opened: Mutex<Option<Opened>>,
    /// Who waits for it.
    answering: AtomicWaker,
    /// Bytes that went through.
    moved: AtomicU64,
    /// By how many microseconds they have put off the call's end.
    put_off: AtomicU64,
}

/// An answer of which the head is known, and the rest comes as the module writes it.
pub(crate) struct Opened {
    pub(crate) head: ResponseHead,
    pub(crate) body: Outgoing,
}

impl Streaming {
    /// That of a call through which so many bytes went.
    #[cfg(test)]
    pub(crate) fn after(bytes: u64) -> Self {
        Self { moved: bytes.into(), ..Self::default() }
    }

    /// The answer that was begun, once.
    pub(crate) fn take(&self) -> Option<Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether an answer was begun. Otherwise it wakes whoever asks when one is.
    pub(crate) fn has_begun(&self, waker: &Waker) -> bool {
        self.has_begun.load(Ordering::Acquire) || {
            self.answering.register(waker);
            self.has_begun.load(Ordering::Acquire)
        }
    }

    /// Processor time that bytes which went through may have cost, and none the worse: it takes as
    /// much to look at each of them once.
    pub(crate) fn light(&self) -> Duration {
        Duration::from_nanos(
            self.moved.load(Ordering::Relaxed).saturating_mul(LIGHT_NANOS_PER_BYTE),
        )
    }

    /// By how much the call's end was put off.
    pub(crate) fn put_off(&self) -> Duration {
        Duration::from_micros(self.put_off.load(Ordering::Relaxed))
    }

    /// Gives a call time for bytes that went through it: as long as the slowest client may need for
    /// them, never more ahead than a call has from the beginning.
    pub(super) fn moved(&self, call: &mut CallContext, bytes: usize) {
        let bytes = bytes as u64;
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        let bought = Duration::from_micros(bytes * 1_000_000 / BYTES_PER_SECOND_MIN);
        let ahead = Instant::now() + call.limits.call_timeout_ms.as_millis();
        let by = ahead.saturating_duration_since(call.deadline).min(bought);
        let before = self.put_off();
        let by = call.limits.stream_timeout_ms.as_millis().saturating_sub(before).min(by);
        self.put_off.store(micros(before + by), Ordering::Relaxed);
        call.deadline += by;
        // However small the pieces that a client sends: what they cost is processor time.
        call.budget.uncount_host_call();
    }

    fn open(&self, opened: Opened) -> Result<()> {
        if self.is_open.swap(true, Ordering::Relaxed) {
            return Err(Error::invalid("the call has begun its answer already"));
        }
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }

    /// There are bytes to send, and the head before them: what goes wrong from now on can only cut the
    /// answer off.
    pub(super) fn begin(&self) {
        if !self.has_begun.swap(true, Ordering::Release) {
            self.answering.wake();
        }
    }
}

/// `outgoing-stream`: the module's end of an answer.
pub struct OutgoingStream {
    chunks: mpsc::Sender<Bytes>,
    is_whole: Arc<AtomicBool>,
}

impl OutgoingStream {
    /// Begins the answer of a call.
    ///
    /// # Errors
    /// When it has begun one already.
    pub(super) fn open(streaming: &Streaming, head: ResponseHead) -> Result<Self> {
        let (chunks, coming) = mpsc::channel(1);
        let is_whole = Arc::<AtomicBool>::default();
        let body = Outgoing { chunks: coming, is_whole: Arc::clone(&is_whole), is_over: false };
        streaming.open(Opened { head, body })?;
        Ok(Self { chunks, is_whole })
    }

    /// Hands over a piece once there is room for it.
    ///
    /// # Errors
    /// When nobody wants it any more.
    pub(super) async fn write(&self, chunk: Vec<u8>) -> Result<()> {
        self.chunks
            .send(chunk.into())
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "client-gone", "the client has gone"))
    }

    /// Nothing is missing.
    pub(super) fn end(self) {
        self.is_whole.store(true, Ordering::Release);
    }
}

/// The host's end of an answer: its pieces, and an error where it is not whole.
pub(crate) struct Outgoing {
    chunks: mpsc::Receiver<Bytes>,
    is_whole: Arc<AtomicBool>,
    is_over: bool,
}

impl Stream for Outgoing {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(chunk) = ready!(self.chunks.poll_recv(context)) {
            return Poll::Ready(Some(Ok(chunk)));
        }
        self.is_over = true;
        let is_whole = self.is_whole.load(Ordering::Acquire);
        Poll::Ready((!is_whole).then(|| Err(cut_off())))
    }
}

/// An answer that the module did not end.
pub(crate) fn cut_off() -> Error {
    Error::new(ErrorKind::Other, "answer-cut-off", "the module did not end its answer")
}
