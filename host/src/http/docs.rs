//! `/docs`: a page on which people read a tenant's API and try it. It is written in `docs/`, asks for
//! `/openapi.json` itself, and needs nothing from anywhere else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::{App, chain};
use crate::error::{Error, Result};

const PAGE: &str = include_str!("docs/index.html");
/// What the page is made of: nothing is put together, packed or fetched.
const FILES: [(&str, &str, &str); 7] = [
    ("docs.css", "text/css; charset=utf-8", include_str!("docs/docs.css")),
    ("dom.js", JAVASCRIPT, include_str!("docs/dom.js")),
    ("icon.svg", "image/svg+xml", include_str!("docs/icon.svg")),
    ("main.js", JAVASCRIPT, include_str!("docs/main.js")),
    ("operation.js", JAVASCRIPT, include_str!("docs/operation.js")),
    ("samples.js", JAVASCRIPT, include_str!("docs/samples.js")),
    ("schema.js", JAVASCRIPT, include_str!("docs/schema.js")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Its own files and its own origin, nothing that stands in the page, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers with the page.
pub(super) async fn page(State(app): State<Arc<App>>, request: Request) -> Response {
    chain::frame(&app, request, async |_, _, _| {
        let page = PAGE.replace("{tenant-header}", app.tenancy.header.as_str());
        Ok(respond("text/html; charset=utf-8", page.into()))
    })
    .await
}

/// Answers with one of its files.
pub(super) async fn file(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    chain::frame(&app, request, async |_, _, _| find(&name)).await
}

fn find(name: &str) -> Result<Response> {
    let file = FILES.iter().find(|(own, ..)| *own == name);
    let (_, media_type, text) =
        file.ok_or_else(|| Error::not_found("nothing is served at this path"))?;
    Ok(respond(media_type, Body::from(*text)))
}

fn respond(media_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Small, and another version's with the next start.
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
