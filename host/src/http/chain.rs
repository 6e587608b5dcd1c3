//! A request's life: id, tenant, principal, route, permission, body, call, answer, log line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::FutureExt as _;
use http::header;
use http::{HeaderValue, Uri};

use super::{App, answer, incoming, problem};
use crate::call::{Principal, TenantStatus};
use crate::capabilities::permissions::Decision;
use crate::error::{Error, ErrorKind, Result};
use crate::logging;
use crate::names::RequestId;
use crate::runtime::{self, Access, Match, Method};

/// Answers everything below `/api`.
pub(super) async fn api(State(app): State<Arc<App>>, request: Request) -> Response {
    frame(request, async |request, id| answer(&app, request, id).await).await
}

/// Answers paths that nothing serves.
pub(super) async fn nothing_here(request: Request) -> Response {
    frame(request, async |_, _| Err(Error::not_found("nothing is served at this path"))).await
}

/// What every request gets: an id, its trace, an answer whatever happens, a line in the log.
async fn frame(
    request: Request,
    work: impl AsyncFnOnce(Request, &RequestId) -> Result<(Response, Duration)>,
) -> Response {
    let started = Instant::now();
    let id = incoming::request_id(request.headers());
    let trace = incoming::trace_id(request.headers());
    let answers_as = id.clone();
    // Boxed before anybody moves it: it is large.
    let answering = Box::pin(async move {
        let id = answers_as;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        // A panic is a fault of ours, and costs this request alone.
        let outcome = AssertUnwindSafe(work(request, &id)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("the host made a mistake")));
        let (mut response, cpu) = outcome.unwrap_or_else(|error| {
            log_failure(&error);
            (problem::of_error(&error, uri.path(), &id), Duration::ZERO)
        });
        if let Ok(value) = HeaderValue::try_from(id.as_str()) {
            response.headers_mut().insert(incoming::REQUEST_ID, value);
        }
        log_access(&method, &uri, &response, started.elapsed(), cpu);
        response
    });
    logging::within(id, trace, answering).await
}

async fn answer(app: &App, request: Request, id: &RequestId) -> Result<(Response, Duration)> {
    let (parts, body) = request.into_parts();
    let tenant = app.registry.tenant(&incoming::tenant_slug(app, &parts)?).await?;
    logging::set_tenant(&tenant.tenant.slug);
    if tenant.tenant.status == TenantStatus::Suspended {
        return Err(Error::new(ErrorKind::Denied, "tenant-suspended", "this tenant is suspended"));
    }
    let principal = principal(&parts)?;

    let path = parts.uri.path();
    let no_route =
        || Error::new(ErrorKind::NotFound, "route-not-found", "nothing is served at this path");
    let (module_name, below) = incoming::split_path(path).ok_or_else(no_route)?;
    let module = tenant.module(module_name).ok_or_else(no_route)?;
    let version = &module.version;
    logging::set_module(&version.identity);
    let (index, parameters) =
        match version.routes.find(Method::from_name(parts.method.as_str()), below) {
            Match::Route { index, parameters } => (index, parameters),
            Match::NotFound => return Err(no_route()),
            Match::MethodNotAllowed { allow } => {
                return Err(Error::new(
                    ErrorKind::MethodNotAllowed,
                    "method-not-allowed",
                    format!("this path answers {allow}"),
                )
                .about(allow));
            }
        };
    let route = &version.manifest.routes[index as usize];

    if let Access::Permission(permission) = &route.access {
        match app.services.permissions.decide(&principal, permission) {
            Decision::Allowed => {}
            Decision::Denied => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    "denied",
                    format!("this needs the permission `{permission}`"),
                ));
            }
            Decision::Unauthenticated => {
                return Err(Error::new(
                    ErrorKind::Unauthenticated,
                    "unauthenticated",
                    format!(
                        "this needs the permission `{permission}`, which is not granted to everybody"
                    ),
                ));
            }
        }
    }

    let request = runtime::Request {
        route: index,
        parameters: incoming::parameters(&parameters)?,
        query: incoming::query(&parts),
        headers: incoming::headers(app, &parts.headers),
        principal,
        body: incoming::body(app, route, body).await?,
        id: id.clone(),
        path: path.to_owned(),
    };
    let runtime = app.registry.runtime();
    let answer = runtime.call(&tenant, &module, route, request).await?;
    let response = match answer.outcome {
        Ok(response) => answer::of_module(response, runtime.limits.answer_max_bytes.as_usize())?,
        Err(own) => problem::of_module(own, path, id),
    };
    Ok((response, answer.cpu))
}

/// Who is calling. Nobody can sign in yet, so credentials can only be wrong: saying so beats
/// answering as if they had not been sent.
fn principal(parts: &http::request::Parts) -> Result<Principal> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return Err(Error::new(
            ErrorKind::Unauthenticated,
            "invalid-credentials",
            "these credentials are not known here",
        ));
    }
    Ok(Principal::Anonymous)
}

fn log_failure(error: &Error) {
    let causes = error.causes();
    let cause = causes.as_deref().unwrap_or_default();
    match error.kind() {
        ErrorKind::Other | ErrorKind::Unavailable | ErrorKind::Timeout => {
            tracing::error!(code = error.code(), cause, "{error}");
        }
        _ => tracing::debug!(code = error.code(), cause, "{error}"),
    }
}

fn log_access(
    method: &http::Method,
    uri: &Uri,
    response: &Response,
    took: Duration,
    cpu: Duration,
) {
    tracing::info!(
        target: "hostel::access",
        status = response.status().as_u16(),
        took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        cpu_us = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
        "{method} {}",
        uri.path(),
    );
}
