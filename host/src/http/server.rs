//! Accepts connections, with limits on how slowly and how much a client may send, and ends in good
//! order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use futures_util::future::Either;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::App;
use crate::error::Result;

/// After an error such as too many open files, accepting at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `stop` is ready, then lets running requests end.
pub(crate) async fn serve(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let service = TowerToHyperService::new(router);
    let server = Arc::new(connections(&app));
    let head_timeout = app.config.head_timeout_ms.as_millis();
    let (graceful, tasks) = (GracefulShutdown::new(), TaskTracker::new());
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
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
                service_fn(move |request| {
                    begun.note();
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
        tokio::time::sleep(time).await;
        if self.0.load(Ordering::Relaxed) {
            std::future::pending().await
        }
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
