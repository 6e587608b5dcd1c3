//! Accepts connections, with limits on how slowly and how much a client may send, and ends in good
//! order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::conduct::{Conduct, Socket};
use super::operator::Peer;
use super::streams::{Pieces, Streams};
use super::{App, chain, incoming};
use crate::error::Result as HostResult;

/// After an error such as too many open files, accepting at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the log is told of a state that lasts.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Requests at once on one connection of HTTP/2; what RFC 9113, section 6.5.2, calls the least that
/// one should allow.
const STREAMS_MAX: u32 = 100;
/// What h2 takes over from one answer before the client has taken any of it.
const STREAM_UNSENT_MAX_BYTES: usize = 64 * 1024;

/// Serves a router until `stop` is ready, then lets running requests end.
pub(crate) async fn serve_router(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> HostResult<()> {
    serve(app, TowerToHyperService::new(router), listener, stop).await
}

/// Serves the platform's own routes and nothing else, as [`serve_router`] does. Calls of modules go
/// past the router: its search, its clone and its boxes cost 3 us of each.
pub(crate) async fn serve_platform(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> HostResult<()> {
    let others = TowerToHyperService::new(super::alone(Arc::clone(&app)));
    let calls = Arc::clone(&app);
    let service = service_fn(move |request: Request<Incoming>| {
        if !is_call(&request) {
            return Either::Left(others.call(request));
        }
        Either::Right(chain::api(State(Arc::clone(&calls)), request.map(Body::new)).map(Ok))
    });
    serve(app, Arc::new(service), listener, stop).await
}

fn is_call(request: &Request<Incoming>) -> bool {
    request.uri().path().starts_with("/api/")
}

async fn serve<S>(
    app: Arc<App>,
    service: S,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> HostResult<()>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let connections = Arc::new(Connections { server: server(&app), app: Arc::clone(&app) });
    let (graceful, tasks) = (GracefulShutdown::new(), TaskTracker::new());
    let mut door = Door::of(&app, listener);
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            accepted = door.accept() => accepted,
            () = &mut stop => break,
        };
        let (connections, service) = (Arc::clone(&connections), service.clone());
        let watcher = graceful.watcher();
        tasks.spawn(async move {
            // Given back when the connection is closed, not before.
            let _place = place;
            connections.serve(stream, service, watcher).await;
        });
    }
    app.draining.store(true, Ordering::Relaxed);
    drop(door);
    let drain = app.config.drain_timeout_ms.as_millis();
    tracing::info!(
        timeout_ms = app.config.drain_timeout_ms.get(),
        "stopping: no new connections, running requests end"
    );
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped before all requests had ended");
    }
    Ok(())
}

/// Where connections come in, as long as there is a place for them.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// When it was last told that there is none.
    told: Option<Instant>,
}

impl Door {
    fn of(app: &App, listener: TcpListener) -> Self {
        let places = Arc::new(Semaphore::new(app.config.connections_max.as_usize()));
        Self { listener, places, told: None }
    }

    /// The next connection. While there is no place, clients wait in the listener's queue.
    async fn accept(&mut self) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        if self.places.available_permits() == 0
            && self.told.is_none_or(|told| told.elapsed() > TELL_AGAIN)
        {
            self.told = Some(Instant::now());
            tracing::warn!("there are `http.connections_max` connections: further ones wait");
        }
        // Nobody closes it, so that there is always a permit.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// How every connection is served.
struct Connections {
    server: auto::Builder<Streams>,
    app: Arc<App>,
}

impl Connections {
    /// Serves one to its end.
    async fn serve<S>(&self, stream: TcpStream, service: S, watcher: Watcher)
    where
        S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let config = &self.app.config;
        let head = config.head_timeout_ms.as_millis();
        let write = config.write_timeout_ms.as_millis();
        // Answers are written in one piece: waiting to fill a packet only adds delay.
        let _ = stream.set_nodelay(true);
        let conduct = Arc::new(Conduct::default());
        let peer = stream.peer_addr().ok();
        let socket = Socket::new(stream, write);
        let answering = {
            let (conduct, app) = (Arc::clone(&conduct), Arc::clone(&self.app));
            service_fn(move |mut request: Request<Incoming>| {
                // Only what is not a call asks for it, and an extension costs an allocation.
                if let (Some(peer), false) = (peer, is_call(&request)) {
                    request.extensions_mut().insert(Peer(peer));
                }
                answer(&conduct, &app, service.clone(), request)
            })
        };
        let connection = self.server.serve_connection(TokioIo::new(socket), answering);
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
fn answer<S>(
    conduct: &Arc<Conduct>,
    app: &Arc<App>,
    service: S,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> + use<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    // Counted before it is polled: a request may be given up before that.
    let running = conduct.begin(request.version() == Version::HTTP_2);
    let app = Arc::clone(app);
    async move {
        // hyper goes by `Transfer-Encoding` alone and hides that there was a `Content-Length` too. A
        // proxy before us may have gone by the other, and what follows would be another client's
        // (RFC 9112, section 6.3).
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let mut response = match incoming::refusal(&request, app.config.url_max_bytes.as_usize()) {
            Some(error) => chain::refused(&app, request.map(Body::new), error).await,
            None => service.call(request).await?,
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
fn server(app: &App) -> auto::Builder<Streams> {
    let head_timeout = app.config.head_timeout_ms.as_millis();
    let streams = Streams { patience: app.config.write_timeout_ms.as_millis() };
    let mut server = auto::Builder::new(streams);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(app.config.head_max_bytes.as_usize());
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(app.config.head_max_bytes.as_u32())
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(STREAM_UNSENT_MAX_BYTES)
        .keep_alive_interval(head_timeout)
        .keep_alive_timeout(head_timeout);
    server
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

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
