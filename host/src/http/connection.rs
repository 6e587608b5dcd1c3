//! One connection from its first byte to its last, with limits on how slowly and how much a client may
//! send.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::future::Either;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::arrival::Arrival;
use super::conduct::{Conduct, Socket};
use super::streams::{Pieces, Streams};
use super::{App, HttpConfig, chain, incoming};

/// Requests at once on one connection of HTTP/2; what RFC 9113, section 6.5.2, calls the least that
/// one should allow.
const STREAMS_MAX: u32 = 100;
/// What is read from a connection of HTTP/1 at once: with 128 KiB, an upload costs 6 % more
/// (benchmark `upload`). hyper keeps no more of a head, either: for heads, the limit that is configured
/// is checked when they are whole.
const READ_MAX_BYTES: usize = 408 * 1024;
/// What h2 takes over from one answer before the client has taken any of it.
const STREAM_UNSENT_MAX_BYTES: usize = 64 * 1024;

pub(super) type Answered = Result<Response, Infallible>;

/// How every connection is served.
pub(super) struct Connections {
    server: auto::Builder<Streams>,
    head_timeout: Duration,
    write_timeout: Duration,
    app: Arc<App>,
}

impl Connections {
    pub(super) fn of(app: &Arc<App>) -> Self {
        let http = app.http.load();
        Self {
            server: server(&http.config),
            head_timeout: http.config.head_timeout_ms.as_millis(),
            write_timeout: http.config.write_timeout_ms.as_millis(),
            app: Arc::clone(app),
        }
    }

    /// Serves one to its end.
    pub(super) async fn serve<S, F>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        service: S,
        watcher: Watcher,
    ) where
        S: Fn(Request<Incoming>, Arrival) -> F + Clone + Send + 'static,
        F: Future<Output = Answered> + Send + 'static,
    {
        // Answers are written in one piece: waiting to fill a packet only adds delay.
        let _ = stream.set_nodelay(true);
        let socket = Socket::new(stream, self.write_timeout);
        let Some(tls) = &self.app.tls else {
            let arrival = Arrival { peer, over_tls: false };
            return self.speak(socket, arrival, service, watcher).await;
        };
        let greeting = tls.acceptor().accept(socket);
        match tokio::time::timeout(self.head_timeout, greeting).await {
            Ok(Ok(encrypted)) => {
                let arrival = Arrival { peer, over_tls: true };
                self.speak(encrypted, arrival, service, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a connection did not begin with TLS"),
            Err(_) => tracing::debug!("a connection took too long to begin with TLS"),
        }
    }

    /// Speaks HTTP to the end.
    async fn speak<I, S, F>(&self, stream: I, arrival: Arrival, service: S, watcher: Watcher)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Incoming>, Arrival) -> F + Clone + Send + 'static,
        F: Future<Output = Answered> + Send + 'static,
    {
        let (head, write) = (self.head_timeout, self.write_timeout);
        let conduct = Arc::new(Conduct::default());
        let answering = {
            let (conduct, app) = (Arc::clone(&conduct), Arc::clone(&self.app));
            service_fn(move |request: Request<Incoming>| {
                answer(&conduct, &app, service.clone(), request, arrival)
            })
        };
        let connection = self.server.serve_connection(TokioIo::new(stream), answering);
        let connection = pin!(watcher.watch(connection.into_owned()));
        let useless = pin!(conduct.is_useless(head, head.max(write)));
        // A connection with always more to read uses up what tokio lets a task do at once, and a timer
        // that is asked after it would never be heard.
        match futures_util::future::select(useless, connection).await {
            Either::Left(((), _)) => tracing::debug!("a connection was of no use"),
            Either::Right((Ok(()), _)) => {}
            Either::Right((Err(error), _)) => tracing::debug!(error, "a connection ended early"),
        }
    }
}

/// Answers one request.
fn answer<S, F>(
    conduct: &Arc<Conduct>,
    app: &Arc<App>,
    service: S,
    request: Request<Incoming>,
    arrival: Arrival,
) -> impl Future<Output = Answered> + use<S, F>
where
    S: Fn(Request<Incoming>, Arrival) -> F,
    F: Future<Output = Answered>,
{
    // Counted before it is polled: a request may be given up before that.
    let running = conduct.begin(request.version() == Version::HTTP_2);
    let app = Arc::clone(app);
    async move {
        // hyper goes by `Transfer-Encoding` alone and hides that there was a `Content-Length` too. A
        // proxy before us may have gone by the other, and what follows would be another client's
        // (RFC 9112, section 6.3).
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let refusal = incoming::refusal(&request, &app.http.load().config);
        let mut response = match refusal {
            Some(error) => chain::refused(&app, request.map(Body::new), arrival, error).await,
            None => service(request, arrival).await?,
        };
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(match running {
            Some(running) => response.map(|body| Pieces::of(body, running)),
            None => response,
        })
    }
}

/// What hyper is told of limits.
fn server(config: &HttpConfig) -> auto::Builder<Streams> {
    let head_timeout = config.head_timeout_ms.as_millis();
    let streams = Streams { patience: config.write_timeout_ms.as_millis() };
    let mut server = auto::Builder::new(streams);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(config.head_max_bytes.as_usize().max(READ_MAX_BYTES));
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(config.head_max_bytes.as_u32())
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(STREAM_UNSENT_MAX_BYTES)
        .keep_alive_interval(head_timeout)
        .keep_alive_timeout(head_timeout);
    server
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use http::Response;
    use hyper::server::conn::http1;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::yield_now;

    use super::*;

    /// Enough for everything that can go on to have done so: nothing here waits for the world.
    async fn until_all_wait() {
        for _ in 0..10_000 {
            yield_now().await;
        }
    }

    /// hyper reads no request before it has written the answer to the one before: with a body or
    /// without, answers that nobody reads are few.
    #[tokio::test]
    async fn answers_without_a_body_do_not_pile_up_before_one_who_reads_none() {
        const REQUESTS: u64 = 5_000;
        let (client, host) = tokio::io::duplex(1024);
        let answered = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answered);
        let service = service_fn(move |_: Request<Incoming>| {
            let counted = Arc::clone(&counted);
            async move {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(host), service).await;
        });
        let (mut reading, mut writing) = tokio::io::split(client);
        tasks.spawn(async move {
            for _ in 1..REQUESTS {
                writing.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            }
            writing.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        });
        until_all_wait().await;
        let unread = answered.load(Ordering::Relaxed);
        assert!((1..100).contains(&unread), "{unread} answers wait to be read");
        let mut answers = Vec::new();
        reading.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answered.load(Ordering::Relaxed), REQUESTS);
    }
}
