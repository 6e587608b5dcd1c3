//! A request's life: id, tenant, principal, route, permission, body, call, answer, log line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderValue, Uri};
use hyper::body::Body as _;

use super::arrival::{Arrival, Client};
use super::outgoing::Form;
use super::{App, answer, caller, conditional, incoming, options, path, problem};
use crate::call::{Tenant, TenantStatus};
use crate::capabilities::permissions::{Caller, Decision};
use crate::error::{Error, ErrorKind, Result};
use crate::logging;
use crate::names::RequestId;
use crate::processor::micros;
use crate::runtime::{self, Access, Match, Method, Outcome, TenantModule, TenantState};

/// Answers everything below `/api`, in a program's own router.
pub(super) async fn api(State(app): State<Arc<App>>, request: Request) -> Response {
    let arrival = Arrival::of(request.extensions());
    answer_call(&app, request, arrival).await
}

/// Answers everything below `/api`.
pub(super) async fn call(app: Arc<App>, request: Request, arrival: Arrival) -> Response {
    answer_call(&app, request, Some(arrival)).await
}

async fn answer_call(app: &App, request: Request, arrival: Option<Arrival>) -> Response {
    let work =
        async |request, id: &RequestId, trail: &mut Trail| answer(app, request, id, trail).await;
    frame_of(app, request, arrival, work).await
}

/// Answers paths that nothing serves.
pub(super) async fn nothing_here(State(app): State<Arc<App>>, request: Request) -> Response {
    frame(&app, request, async |request, _, _| {
        if options::is_about_the_host(&request) {
            return Ok(options::no_content());
        }
        Err(Error::not_found("nothing is served at this path"))
    })
    .await
}

/// Answers what a path of the host's own has no answer to. The router adds `Allow`.
pub(super) async fn other_method(State(app): State<Arc<App>>, request: Request) -> Response {
    frame(&app, request, async |request, _, _| {
        if *request.method() == http::Method::OPTIONS {
            return Ok(options::of_host(&app, request.headers()));
        }
        let message = "this path does not answer this method: `allow` has those that it does";
        Err(Error::new(ErrorKind::MethodNotAllowed, "method-not-allowed", message))
    })
    .await
}

/// Answers what is refused before anybody looks for what it names.
pub(super) async fn refused(
    app: &App,
    request: Request,
    arrival: Arrival,
    error: Error,
) -> Response {
    frame_of(app, request, Some(arrival), async |_, _, _| Err(error)).await
}

/// What becomes known of a request on its way, for the log, the meters and the answer's form.
#[derive(Default)]
pub(super) struct Trail {
    client: Client,
    /// Where pages of other origins may ask: it may have a list of its own.
    tenant: Option<Arc<TenantState>>,
    module: Option<Arc<TenantModule>>,
    cpu: Duration,
    /// What the module calls its own problem, when the answer is one.
    own_problem: Option<String>,
}

/// What every request gets: an id, its trace, an answer whatever happens, a line in the log, a
/// place in the counts.
pub(super) async fn frame(
    app: &App,
    request: Request,
    work: impl AsyncFnOnce(Request, &RequestId, &mut Trail) -> Result<Response>,
) -> Response {
    let arrival = Arrival::of(request.extensions());
    frame_of(app, request, arrival, work).await
}

async fn frame_of(
    app: &App,
    request: Request,
    arrival: Option<Arrival>,
    work: impl AsyncFnOnce(Request, &RequestId, &mut Trail) -> Result<Response>,
) -> Response {
    let started = Instant::now();
    let id = incoming::request_id(request.headers());
    let trace = incoming::trace_id(request.headers());
    let answers_as = id.clone();
    // Boxed before anybody moves it: it is large.
    let answering = Box::pin(async move {
        let id = answers_as;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        // As it is now, whatever is reloaded meanwhile.
        let http = app.http.load_full();
        let form = Form::of(&request, &http);
        let client = http.client(arrival, request.headers());
        // A panic is a fault of ours, and costs this request alone.
        let mut trail = Trail { client, ..Trail::default() };
        let outcome = AssertUnwindSafe(work(request, &id, &mut trail)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| {
            app.services.meters.unrouted.panicked();
            Err(Error::internal("the host made a mistake"))
        });
        let (mut response, code) = match outcome {
            // Modules make up as many codes as they like: too many for a label of the meters.
            Ok(response) => (response, if trail.own_problem.is_some() { "module" } else { "" }),
            Err(error) => {
                log_failure(&error);
                (problem::of_error(&error, uri.path(), &id), error.code())
            }
        };
        if let Ok(value) = HeaderValue::try_from(id.as_str()) {
            response.headers_mut().insert(incoming::REQUEST_ID, value);
        }
        let took = started.elapsed();
        let module = trail.module.as_deref();
        let meter = module.map_or(&app.services.meters.unrouted, |module| module.meter());
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        meter.answered(response.status().as_u16(), code, took, bytes);
        let code = trail.own_problem.as_deref().unwrap_or(code);
        log_access(&method, &uri, &response, code, took, &trail);
        form.give(&http, trail.tenant.as_deref(), trail.client.over_tls, response).await
    });
    logging::within(id, trace, answering).await
}

async fn answer(
    app: &App,
    request: Request,
    id: &RequestId,
    trail: &mut Trail,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    if parts.method == http::Method::OPTIONS {
        return Box::pin(options::of_route(app, &parts, trail)).await;
    }
    let tenant = tenant(app, &parts, trail).await?;
    let caller = caller::of(app, &parts, &tenant).await?;
    logging::set_principal(&caller.principal);

    let path = parts.uri.path();
    let (module, below) = module(&tenant, path)?;
    let module = trail.module.insert(module);
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

    permitted(app, &tenant.tenant, &caller, &route.access)?;
    let is_json = route.response_type.as_deref() == Some("application/json");
    if is_json && !incoming::takes_json(&parts.headers) {
        let message = "this path answers JSON, which `accept` leaves out";
        return Err(Error::new(ErrorKind::Unacceptable, "not-acceptable", message));
    }
    let request = runtime::Request {
        route: index,
        parameters: incoming::parameters(&parameters)?,
        query: incoming::query(&parts)?,
        headers: incoming::headers(app, &parts.headers),
        principal: caller.principal,
        body: incoming::body(app, route, &parts.headers, body).await?,
        id: id.clone(),
        path: path.to_owned(),
    };
    let runtime = app.registry.runtime();
    let own_time = route.timeout_ms.map(|millis| Duration::from_millis(millis.into()));
    let answer = runtime.call(&tenant, module, own_time, request).await?;
    trail.cpu = answer.cpu;
    let answer_max_bytes = tenant.limits.answer_max_bytes.as_usize();
    let answered = match answer.outcome {
        Outcome::Response(response) => answer::of_module(response, answer_max_bytes, route.etag),
        Outcome::Streamed(answer) => answer::of_stream(answer, module.meter()),
        Outcome::Problem(own) => {
            let code = own.code.clone();
            problem::of_module(own, answer_max_bytes, path, id)
                .inspect(|_| trail.own_problem = Some(code))
        }
    };
    let answered = match route.method {
        Method::Get | Method::Head => {
            answered.map(|response| conditional::answer(&parts.headers, response))
        }
        _ => answered,
    };
    answered.inspect_err(|error| module.meter().failed(error))
}

/// The tenant that a request is for.
///
/// # Errors
/// When it names none, or one that is not served.
pub(super) async fn tenant(
    app: &App,
    parts: &Parts,
    trail: &mut Trail,
) -> Result<Arc<TenantState>> {
    let tenant = app.registry.tenant(&incoming::tenant_slug(app, parts, &trail.client)?).await?;
    if app.http.load().cors.is_some() {
        trail.tenant = Some(Arc::clone(&tenant));
    }
    logging::set_tenant(&tenant.tenant.slug);
    if tenant.tenant.status == TenantStatus::Suspended {
        return Err(Error::new(ErrorKind::Denied, "tenant-suspended", "this tenant is suspended"));
    }
    Ok(tenant)
}

/// The module that a path names, and the rest of the path.
///
/// # Errors
/// `invalid-path`, or `route-not-found`.
pub(super) fn module<'p>(
    tenant: &TenantState,
    path: &'p str,
) -> Result<(Arc<TenantModule>, &'p str)> {
    path::check(path)?;
    let (name, below) = path::split(path).ok_or_else(no_route)?;
    if path::has_empty_segment(below) {
        return Err(no_route());
    }
    let module = tenant.module(name).ok_or_else(no_route)?;
    Ok((module, below))
}

pub(super) fn no_route() -> Error {
    Error::new(ErrorKind::NotFound, "route-not-found", "nothing is served at this path")
}

/// Decides whether the caller may have what the route gives.
///
/// # Errors
/// `denied`, or `unauthenticated` where signing in might help.
fn permitted(app: &App, tenant: &Tenant, caller: &Caller, access: &Access) -> Result<()> {
    let Access::Permission(permission) = access else { return Ok(()) };
    match app.services.permissions.decide(tenant, caller, permission) {
        Decision::Allowed => Ok(()),
        Decision::Denied => Err(Error::new(
            ErrorKind::Denied,
            "denied",
            format!("this needs the permission `{permission}`"),
        )),
        Decision::Unauthenticated => Err(Error::new(
            ErrorKind::Unauthenticated,
            "unauthenticated",
            format!("this needs the permission `{permission}`, which is not granted to everybody"),
        )),
    }
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
    code: &str,
    took: Duration,
    trail: &Trail,
) {
    tracing::info!(
        target: "hostel::access",
        status = response.status().as_u16(),
        code = (!code.is_empty()).then_some(code),
        client = trail.client.address.map(tracing::field::display),
        took_us = micros(took),
        cpu_us = micros(trail.cpu),
        "{method} {}",
        uri.path(),
    );
}
