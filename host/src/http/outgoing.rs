//! What every answer gets beside what it says, whoever made it: headers for browsers, compression,
//! and for `HEAD` no body.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ORIGIN};
use http::{HeaderValue, Method, Request};
use hyper::body::Body as _;

use super::{Http, cors};
use crate::runtime::TenantState;

/// What of a request the form of its answer depends on.
pub(super) struct Form {
    is_head: bool,
    accept_encoding: Option<HeaderValue>,
    /// Whose page asks, where it matters.
    origin: Option<HeaderValue>,
    /// Whether pages of other origins may ask at all.
    is_for_pages: bool,
}

impl Form {
    pub(super) fn of<B>(request: &Request<B>, http: &Http) -> Self {
        // A preflight says by itself what it has to.
        let is_for_pages = http.cors.is_some()
            && is_for_pages(request.uri().path())
            && !(*request.method() == Method::OPTIONS && cors::is_preflight(request.headers()));
        Self {
            is_head: *request.method() == Method::HEAD,
            accept_encoding: request.headers().get(ACCEPT_ENCODING).cloned(),
            origin: is_for_pages.then(|| request.headers().get(ORIGIN).cloned()).flatten(),
            is_for_pages,
        }
    }

    /// Gives an answer this form.
    pub(super) async fn give(
        self,
        http: &Http,
        tenant: Option<&TenantState>,
        over_tls: bool,
        mut response: Response,
    ) -> Response {
        http.secure.put(response.headers_mut(), over_tls);
        if let (true, Some(cors)) = (self.is_for_pages, &http.cors) {
            cors.tell(response.headers_mut(), self.origin.as_ref(), tenant);
        }
        let compression = &http.config.compression;
        if compression.is_for(&response) {
            // Boxed, like all that is rare: what is small is not to pay for it.
            response = Box::pin(compression.apply(response, self.accept_encoding)).await;
        }
        if self.is_head { without_body(response) } else { response }
    }
}

/// Operators' paths and `/metrics`, which answers whoever is on this machine, are for no page.
fn is_for_pages(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path, "/openapi.json" | "/api")
}

/// The head of the answer that a `GET` would get. The server leaves the body out over HTTP/1 alone.
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact()
        && length > 0
        && !response.headers().contains_key(CONTENT_ENCODING)
    {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|_| Body::empty())
}
