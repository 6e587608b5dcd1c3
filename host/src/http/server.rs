//! Accepts connections, with limits on how slowly and how much a client may send, and ends in good
//! order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::operator::Peer;
use super::{App, chain};
use crate::error::Result;

/// After an error such as too many open files, accepting at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a router until `stop` is ready, then lets running requests end.
pub(crate) async fn serve_router(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    serve(app, TowerToHyperService::new(router), listener, stop).await
}

/// Serves the platform's own routes and nothing else, as [`serve_router`] does. Calls of modules go
/// past the router: its search, its clone and its boxes cost 3 us of each.
pub(crate) async fn serve_platform(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()> {
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
) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let server = Arc::new(connections(&app));
    let head_timeout = app.config.head_timeout_ms.as_millis();
    let (graceful, tasks) = (GracefulShutdown::new(), TaskTracker::new());
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let (server, service, watcher) = (Arc::clone(&server), service.clone(), graceful.watcher());
        tasks.spawn(async move {
            // Answers are written in one piece: waiting to fill a packet only adds delay.
            let _ = stream.set_nodelay(true);
            let begun = Arc::new(Begun::default());
            let noting = {
                let begun = Arc::clone(&begun);
                service_fn(move |mut request: Request<Incoming>| {
                    begun.note();
                    // Only what is not a call asks for it, and each extension costs an allocation.
                    if !is_call(&request) {
                        request.extensions_mut().insert(Peer(peer));
                    }
                    service.call(request)
                })
            };
            let connection = server.serve_connection(TokioIo::new(stream), noting).into_owned();
            let connection = pin!(watcher.watch(connection));
            // hyper's own timeout begins once it knows which version of HTTP is spoken.
            let served = match futures_util::future::select(
                connection,
                pin!(begun.not_within(head_timeout)),
            )
            .await
            {
                Either::Left((served, _)) => served,
                Either::Right(((), _)) => return,
            };
            if let Err(error) = served {
                tracing::debug!(error, "a connection ended early");
            }
        });
    }
    app.draining.store(true, Ordering::Relaxed);
    drop(listener);
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

/// Whether a connection has brought a request.
#[derive(Default)]
struct Begun(AtomicBool);

impl Begun {
    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ready after `time` if there was no request; never if there was.
    async fn not_within(&self, time: Duration) {
        let mut silence = pin!(tokio::time::sleep(time));
        std::future::poll_fn(|context| match self.0.load(Ordering::Relaxed) {
            // A connection is polled many times: the timer is not, once it has done its work.
            true => Poll::Pending,
            false => silence.as_mut().poll(context),
        })
        .await;
    }
}

/// How every connection is served.
fn connections(app: &App) -> auto::Builder<TokioExecutor> {
    let head_timeout = app.config.head_timeout_ms.as_millis();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(app.config.head_max_bytes.as_usize());
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(app.config.head_max_bytes.as_u32())
        .keep_alive_interval(head_timeout)
        .keep_alive_timeout(head_timeout);
    server
}
