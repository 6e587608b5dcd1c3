//! Accepts connections, as many as there may be, and ends in good order.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::arrival::Arrival;
use super::connection::{Answered, Connections};
use super::{App, chain};
use crate::error::Result;

/// After an error such as too many open files, accepting at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the log is told of a state that lasts.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Serves a router until `stop` is ready, then lets running requests end.
pub(crate) async fn serve_router(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let router = TowerToHyperService::new(router);
    let service = move |mut request: Request<Incoming>, arrival| {
        request.extensions_mut().insert(arrival);
        router.call(request)
    };
    serve(app, service, listener, stop).await
}

/// Serves the platform's own routes and nothing else, as [`serve_router`] does. Calls of modules go
/// past the router: its search, its clone and its boxes cost 3 us of each.
pub(crate) async fn serve_platform(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let others = TowerToHyperService::new(super::alone(Arc::clone(&app)));
    let shared = Arc::new((others, Arc::clone(&app)));
    let service = move |mut request: Request<Incoming>, arrival| {
        let (others, app) = &*shared;
        if is_call(&request) {
            let call = chain::call(Arc::clone(app), request.map(Body::new), arrival);
            return Either::Right(call.map(Ok));
        }
        // An extension costs two allocations: calls go without.
        request.extensions_mut().insert(arrival);
        Either::Left(others.call(request))
    };
    serve(app, service, listener, stop).await
}

fn is_call(request: &Request<Incoming>) -> bool {
    request.uri().path().starts_with("/api/")
}

async fn serve<S, F>(
    app: Arc<App>,
    service: S,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()>
where
    S: Fn(Request<Incoming>, Arrival) -> F + Clone + Send + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    let connections = Arc::new(Connections::of(&app));
    let (graceful, tasks) = (GracefulShutdown::new(), TaskTracker::new());
    let mut door = Door::of(&app, listener);
    let mut stop = pin!(until_stopped(&app, stop));
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = door.accept() => accepted,
            () = &mut stop => break,
        };
        let (connections, service) = (Arc::clone(&connections), service.clone());
        let watcher = graceful.watcher();
        tasks.spawn(async move {
            // Given back when the connection is closed, not before.
            let _place = place;
            connections.serve(stream, peer, service, watcher).await;
        });
    }
    drop(door);
    let drain = app.http.load().config.drain_timeout_ms;
    tracing::info!(timeout_ms = drain.get(), "stopping: no new connections, running requests end");
    if tokio::time::timeout(drain.as_millis(), graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped before all requests had ended");
    }
    Ok(())
}

/// From the moment that the host is told to stop, it is not ready; for those who need time to notice,
/// it goes on accepting for a while.
async fn until_stopped(app: &App, stop: impl Future<Output = ()>) {
    stop.await;
    app.draining.store(true, Ordering::Relaxed);
    let delay = app.http.load().config.drain_delay_ms;
    if delay.get() > 0 {
        tracing::info!(delay_ms = delay.get(), "told to stop: not ready any more");
        tokio::time::sleep(delay.as_millis()).await;
    }
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
        let places = Arc::new(Semaphore::new(app.http.load().config.connections_max.as_usize()));
        Self { listener, places, told: None }
    }

    /// The next connection. While there is no place, clients wait in the listener's queue.
    async fn accept(&mut self) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
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
                Ok((stream, peer)) => return (stream, peer, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
