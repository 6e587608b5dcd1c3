//! How the client of one connection behaves: whether it begins requests, takes what it asked for, and
//! wants the answers. `server.rs` closes connections by what is found here.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutWriter;

/// So many requests may be given up before it matters that they are the most.
const ABANDONED_MAX: u64 = 200;

/// What is known of a client.
#[derive(Default)]
pub(super) struct Conduct {
    http2: AtomicBool,
    /// Grows with each request, and with each piece of an answer over HTTP/2.
    moves: AtomicU64,
    /// Over HTTP/2: requests whose answers are not yet handed over. HTTP/1 has its own timeouts.
    running: AtomicUsize,
    answered: AtomicU64,
    abandoned: AtomicU64,
}

impl Conduct {
    /// A request begins. Over HTTP/2 it runs until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> Option<Running> {
        self.moved();
        if !http2 {
            return None;
        }
        self.http2.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Some(Running { conduct: Arc::clone(self), is_answered: false })
    }

    fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Ready when the connection is of no use: no request within `head`, or, over HTTP/2, nothing for
    /// `idle`, or hardly a request whose answer is wanted. HTTP/1 has a timeout of its own between
    /// requests; HTTP/2 has none, and hyper's for HTTP/1 begins once it knows which one is spoken.
    pub(super) async fn is_useless(&self, head: Duration, idle: Duration) {
        let mut pause = pin!(tokio::time::sleep(head));
        let mut seen = 0;
        std::future::poll_fn(|context| {
            loop {
                let moves = self.moves.load(Ordering::Relaxed);
                // A connection is polled many times: the timer is not, once it has done its work.
                if moves > 0 && !self.http2.load(Ordering::Relaxed) {
                    return Poll::Pending;
                }
                let abandoned = self.abandoned.load(Ordering::Relaxed);
                if abandoned > ABANDONED_MAX.max(self.answered.load(Ordering::Relaxed)) {
                    return Poll::Ready(());
                }
                ready!(pause.as_mut().poll(context));
                if moves == seen && self.running.load(Ordering::Relaxed) == 0 {
                    return Poll::Ready(());
                }
                seen = moves;
                pause.as_mut().reset(Instant::now() + idle);
            }
        })
        .await;
    }
}

/// A request over HTTP/2 that is not over.
pub(super) struct Running {
    conduct: Arc<Conduct>,
    is_answered: bool,
}

impl Running {
    /// There is an answer.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
    }

    /// A piece of the answer was taken.
    pub(super) fn moved(&self) {
        self.conduct.moved();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let of_its_kind =
            if self.is_answered { &self.conduct.answered } else { &self.conduct.abandoned };
        of_its_kind.fetch_add(1, Ordering::Relaxed);
        self.conduct.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's socket, which fails when nothing could be written for too long.
pub(super) struct Socket(Pin<Box<TimeoutWriter<TcpStream>>>);

impl Socket {
    pub(super) fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        let mut timed = TimeoutWriter::new(stream);
        timed.set_timeout(Some(write_timeout));
        Self(Box::pin(timed))
    }

    fn wrote<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome
            && error.kind() == io::ErrorKind::TimedOut
        {
            // What this client does not read would stay in the kernel's memory for minutes.
            let _ = self.0.get_ref().set_zero_linger();
        }
        outcome
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.0.as_mut().poll_write(context, bytes);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.0.as_mut().poll_write_vectored(context, pieces);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}
