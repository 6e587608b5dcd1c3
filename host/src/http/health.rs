//! `/health/live`: the process runs. `/health/ready`: it can serve, and has not been told to stop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::App;

/// A database that takes longer does not serve anybody.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn live(State(app): State<Arc<App>>) -> Response {
    respond(&app, StatusCode::OK, serde_json::json!({ "status": "live" }))
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let question =
        sqlx::query("SELECT 1 FROM tenants LIMIT 1").fetch_optional(&app.services.database);
    let database = matches!(tokio::time::timeout(DATABASE_TIMEOUT, question).await, Ok(Ok(_)));
    let draining = app.draining.load(Ordering::Relaxed);
    let status =
        if database && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(
        &app,
        status,
        serde_json::json!({
            "status": if draining { "draining" } else if database { "ready" } else { "unavailable" },
            "database": if database { "up" } else { "down" },
        }),
    )
}

fn respond(app: &App, status: StatusCode, body: serde_json::Value) -> Response {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A moment later, something else may be true.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    app.http.load().secure.put(headers, false);
    response
}
