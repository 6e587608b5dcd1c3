//! HTTP/2's streams: an answer goes out in pieces, and a stream whose client takes none is reset.
//! Other streams of the connection go on: behind a proxy they are other people's.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;

use super::conduct::Running;

/// What is handed over to h2 at once, which keeps it until the client takes it.
const PIECE_BYTES: usize = 16 * 1024;

tokio::task_local! {
    static TAKEN: Arc<Taken>;
}

/// How much of a stream's answer its client took.
#[derive(Default)]
struct Taken {
    pieces: AtomicU64,
    /// There is more, and it is the client that is waited for.
    is_clients_turn: AtomicBool,
}

/// Runs streams.
#[derive(Clone)]
pub(super) struct Streams {
    /// How long a client may take none of an answer.
    pub(super) patience: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let taken = Arc::new(Taken::default());
        let watched = unless_stalled(stream, Arc::clone(&taken), self.patience);
        TokioExecutor::new().execute(TAKEN.scope(taken, watched));
    }
}

/// Dropping a stream that is not over resets it.
async fn unless_stalled(stream: impl Future<Output = ()>, taken: Arc<Taken>, patience: Duration) {
    let mut stream = pin!(stream);
    let mut seen = 0;
    while tokio::time::timeout(patience, stream.as_mut()).await.is_err() {
        let pieces = taken.pieces.load(Ordering::Relaxed);
        if pieces == seen && taken.is_clients_turn.load(Ordering::Relaxed) {
            tracing::debug!("a client did not take its answer");
            return;
        }
        seen = pieces;
    }
}

/// The body of an answer over HTTP/2.
pub(super) struct Pieces {
    body: Body,
    /// What was taken from it and not yet handed over.
    rest: Bytes,
    running: Running,
}

impl Pieces {
    pub(super) fn of(body: Body, mut running: Running) -> Body {
        running.answered();
        Body::new(Self { body, rest: Bytes::new(), running })
    }

    fn note(&self, is_clients_turn: bool) {
        let _ = TAKEN.try_with(|taken| {
            taken.is_clients_turn.store(is_clients_turn, Ordering::Relaxed);
            taken.pieces.fetch_add(1, Ordering::Relaxed);
        });
        self.running.moved();
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            self.note(false);
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        self.note(true);
        if self.rest.len() <= PIECE_BYTES {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        // Copied: a piece that h2 keeps must not keep the whole answer.
        let piece = Bytes::copy_from_slice(&self.rest.split_to(PIECE_BYTES));
        if self.rest.len() <= PIECE_BYTES {
            self.rest = Bytes::copy_from_slice(&self.rest);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, of_body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
