//! `/health/live`: the process runs. `/health/ready`: it can serve, and has not been told to stop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::App;

/// A database that takes longer does not serve anybody.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a process that runs says.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    status: Live,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Live {
    Live,
}

/// Whether requests can be served.
#[derive(Serialize, JsonSchema)]
pub(super) struct Readiness {
    status: Serving,
    database: Dependency,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Serving {
    Ready,
    Draining,
    Unavailable,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Dependency {
    Up,
    Down,
}

pub(super) async fn live(State(app): State<Arc<App>>) -> Response {
    respond(&app, StatusCode::OK, &Health { status: Live::Live })
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let question =
        sqlx::query("SELECT 1 FROM tenants LIMIT 1").fetch_optional(&app.services.database);
    let database = matches!(tokio::time::timeout(DATABASE_TIMEOUT, question).await, Ok(Ok(_)));
    let draining = app.draining.load(Ordering::Relaxed);
    let status =
        if database && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        status: match (draining, database) {
            (true, _) => Serving::Draining,
            (false, true) => Serving::Ready,
            (false, false) => Serving::Unavailable,
        },
        database: if database { Dependency::Up } else { Dependency::Down },
    };
    respond(&app, status, &readiness)
}

fn respond(app: &App, status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = Response::new(serde_json::to_vec(body).unwrap_or_default().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A moment later, something else may be true.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    app.http.load().secure.put(headers, false);
    response
}
