//! What tests may ask of their host, over HTTP and with its token.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, delete, get, post, put};
use serde::Deserialize;
use serde_json::json;

use super::platforms::{Platforms, Wanted};

/// The routes, for those who show `token`.
pub(super) fn routes(platforms: Arc<Platforms>, token: &str) -> Router {
    let expected: Arc<str> = format!("Bearer {token}").into();
    Router::new()
        .route("/tenants", post(make))
        .route("/tenants/{tenant}", delete(forget))
        .route("/tenants/{tenant}/clock", put(set_clock))
        .route("/tenants/{tenant}/lines", get(lines))
        .route("/tenants/{tenant}/seeds", post(seed))
        .route("/tenants/{tenant}/sent", get(sent))
        .route("/tenants/{tenant}/sql", post(sql))
        .route("/tenants/{tenant}/users", put(user))
        .layer(middleware::from_fn_with_state(expected, only_with_token))
        .with_state(platforms)
}

/// Other users of this machine reach the port, too.
async fn only_with_token(
    State(expected): State<Arc<str>>,
    request: Request,
    next: Next,
) -> Response {
    match request.headers().get(header::AUTHORIZATION) {
        Some(shown) if shown.as_bytes() == expected.as_bytes() => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn make(
    State(platforms): State<Arc<Platforms>>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Refusal> {
    Ok((StatusCode::CREATED, Json(platforms.tenant(wanted).await?)).into_response())
}

async fn forget(State(platforms): State<Arc<Platforms>>, Path(tenant): Path<String>) -> StatusCode {
    platforms.forget(&tenant).await;
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    micros: i64,
}

async fn set_clock(
    State(platforms): State<Arc<Platforms>>,
    Path(tenant): Path<String>,
    Json(Clock { micros }): Json<Clock>,
) -> Result<StatusCode, Refusal> {
    platforms.set_clock(&tenant, micros).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    id: String,
    /// What they may do from now on, beside what they may already.
    grants: BTreeSet<String>,
}

async fn user(
    State(platforms): State<Arc<Platforms>>,
    Path(tenant): Path<String>,
    Json(User { id, grants }): Json<User>,
) -> Result<Response, Refusal> {
    let token = platforms.user(&tenant, &id, &grants)?;
    Ok(Json(json!({ "token": token })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    name: String,
    rows: u32,
}

async fn seed(
    State(platforms): State<Arc<Platforms>>,
    Path(tenant): Path<String>,
    Json(Seed { name, rows }): Json<Seed>,
) -> Result<StatusCode, Refusal> {
    platforms.seed(&tenant, &name, rows).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sql {
    statement: String,
}

/// Answers with rows as `wit/deps/sql.wit` encodes them.
async fn sql(
    State(platforms): State<Arc<Platforms>>,
    Path(tenant): Path<String>,
    Json(Sql { statement }): Json<Sql>,
) -> Result<Vec<u8>, Refusal> {
    Ok(platforms.query(&tenant, statement).await?)
}

async fn lines(State(platforms): State<Arc<Platforms>>, Path(tenant): Path<String>) -> Response {
    Json(json!({ "lines": platforms.lines(&tenant) })).into_response()
}

async fn sent(State(platforms): State<Arc<Platforms>>, Path(tenant): Path<String>) -> Response {
    Json(json!({ "sent": platforms.sent(&tenant) })).into_response()
}

/// Why a test does not get what it asked for, in words for its developer.
struct Refusal(anyhow::Error);

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, format!("{:#}", self.0)).into_response()
    }
}
