//! `OPTIONS`: which methods a path has, and what pages of other origins may ask. The host answers by
//! itself, and nobody needs to sign in for it: browsers ask without credentials.

use axum::extract::Request;
use axum::response::Response;
use http::header::{ALLOW, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};

use super::App;
use super::chain::{self, Trail};
use super::cors::{self, Cors};
use crate::error::{Error, Result};
use crate::runtime::Match;

/// What a path may have, for preflights that cannot name their tenant.
const EVERY_METHOD: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What the host's own paths for pages have.
const HOSTS_METHODS: &str = "GET, HEAD";

/// The answer about a path of a module.
///
/// # Errors
/// As for any other method, but for who is calling: nobody is asked.
pub(super) async fn of_route(app: &App, parts: &Parts, trail: &mut Trail) -> Result<Response> {
    let http = app.http.load_full();
    let preflight = http.cors.as_ref().filter(|_| cors::is_preflight(&parts.headers));
    if let Some(cors) = preflight
        && !parts.headers.contains_key(&app.tenancy.header)
        && cors::requests_header(&parts.headers, &app.tenancy.header)
    {
        return Ok(for_some_tenant(app, cors, &parts.headers));
    }
    let tenant = chain::tenant(app, parts, trail).await?;
    let (module, below) = chain::module(&tenant, parts.uri.path())?;
    let allow = match module.version.routes.find(None, below) {
        Match::MethodNotAllowed { allow } => allow,
        Match::Route { .. } | Match::NotFound => return Err(chain::no_route()),
    };
    let mut response = no_content();
    if let Some(cors) = preflight {
        let said = cors.preflight(&parts.headers, Some(&tenant), &app.tenancy.header, allow);
        response.headers_mut().extend(said);
    }
    response.headers_mut().insert(
        ALLOW,
        HeaderValue::try_from(allow)
            .map_err(|error| Error::internal("`Allow` is no header").because(error))?,
    );
    Ok(response)
}

/// The answer about a path of the host's own, to which the router adds `Allow`.
pub(super) fn of_host(app: &App, headers: &HeaderMap) -> Response {
    let mut response = no_content();
    let http = app.http.load();
    if let Some(cors) = http.cors.as_ref().filter(|_| cors::is_preflight(headers)) {
        let said = cors.preflight(headers, None, &app.tenancy.header, HOSTS_METHODS);
        response.headers_mut().extend(said);
    }
    response
}

/// `OPTIONS *`: about the host as a whole (RFC 9110, section 9.3.7).
pub(super) fn is_about_the_host(request: &Request) -> bool {
    *request.method() == Method::OPTIONS && request.uri().path() == "*"
}

pub(super) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn for_some_tenant(app: &App, cors: &Cors, headers: &HeaderMap) -> Response {
    let mut response = no_content();
    let said = cors.preflight(headers, None, &app.tenancy.header, EVERY_METHOD);
    response.headers_mut().extend(said);
    response
}
