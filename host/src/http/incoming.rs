//! What a client sent, taken apart: its id and trace, its tenant, its path, query, headers and body.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Request, Version};
use hyper::body::Body as _;
use percent_encoding::percent_decode_str;

use super::arrival::{self, Client};
use super::{App, HttpConfig, json, path};
use crate::capabilities::http::{Boundary, Chunks, IncomingBody, Multipart};
use crate::error::{Error, ErrorKind, Result};
use crate::names::RequestId;
use crate::runtime::{Body, Route};

/// Names the request, in every log line and every error.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The code of [`refusal`]'s error about the URL, which has a status of its own.
pub(super) const URL_TOO_LONG: &str = "uri-too-long";

/// The code of [`refusal`]'s error about the head, which has a status of its own.
pub(super) const HEAD_TOO_LARGE: &str = "head-too-large";

/// The code of the error about a compressed body, whose answer says what there could be instead.
pub(super) const CONTENT_ENCODED: &str = "content-encoded";

/// Not shown to modules: credentials, which are the host's to check; what concerns one connection
/// (RFC 9110, section 7.6.1); what the host has used up. What proxies say of the client's connection,
/// neither: only the host knows whether to believe it.
const HIDDEN: [HeaderName; 14] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::CONTENT_LENGTH,
    header::HOST,
    header::EXPECT,
    REQUEST_ID,
];

/// Why a request is refused before anybody looks for what it names.
pub(super) fn refusal<B>(request: &Request<B>, config: &HttpConfig) -> Option<Error> {
    let head_max = config.head_max_bytes.as_usize();
    if head_bytes(request).is_some_and(|bytes| bytes > head_max) {
        let message = format!("the request's head is too large: at most {head_max} bytes");
        return Some(Error::new(ErrorKind::TooLarge, HEAD_TOO_LARGE, message));
    }
    let url_max = config.url_max_bytes.as_usize();
    if request.uri().path_and_query().is_some_and(|url| url.as_str().len() > url_max) {
        let message = format!("path and query are too long: at most {url_max} bytes");
        return Some(Error::new(ErrorKind::TooLarge, URL_TOO_LONG, message));
    }
    // RFC 9113, section 8.3.1, has one for every method but `CONNECT`, which nothing here answers.
    if request.uri().path().is_empty() {
        return Some(Error::new(ErrorKind::Invalid, "invalid-path", "the request names no path"));
    }
    // RFC 9112, section 3.2: with none or with several, two readers may differ on whom it is for.
    if request.version() == Version::HTTP_11
        && request.headers().get_all(header::HOST).iter().count() != 1
    {
        let message = "a request has the header `host`, once";
        return Some(Error::new(ErrorKind::Invalid, "invalid-host", message));
    }
    None
}

/// How large the head was; none over HTTP/2, whose own limit holds already.
fn head_bytes<B>(request: &Request<B>) -> Option<usize> {
    const OF_LINES: usize = "  HTTP/1.1\r\n\r\n".len();
    const OF_A_HEADER: usize = ": \r\n".len();
    let url = || request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    let headers = || {
        request
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + OF_A_HEADER)
    };
    (request.version() < Version::HTTP_2)
        .then(|| OF_LINES + request.method().as_str().len() + url() + headers().sum::<usize>())
}

/// The request's id: the client's where it is fit, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> RequestId {
    headers
        .get(REQUEST_ID)
        .and_then(|value| RequestId::from_client(value.as_bytes()))
        .unwrap_or_default()
}

/// The trace that the request belongs to: the second part of `traceparent`, version 00.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<Box<str>> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let valid = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && trace.bytes().any(|b| b != b'0')
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && (version != "00" || parts.next().is_none());
    valid.then(|| trace.into())
}

/// The slug of the tenant that the request is for: by header, by subdomain, or the default one.
pub(super) fn tenant_slug<'r>(
    app: &'r App,
    parts: &'r Parts,
    client: &Client,
) -> Result<Cow<'r, str>> {
    let mut named = parts.headers.get_all(&app.tenancy.header).iter();
    if let Some(value) = named.next() {
        if named.next().is_some() {
            // Whoever looked at the request before us may have gone by the other one.
            let message = format!("name the tenant in the header `{}`, once", app.tenancy.header);
            return Err(Error::new(ErrorKind::Invalid, "tenant-ambiguous", message));
        }
        return value.to_str().map(Cow::Borrowed).map_err(|_| no_such_tenant());
    }
    let base = &app.tenancy.base_domain;
    if !base.is_empty() {
        let host = client.host.as_deref().map(without_port).or_else(|| host(parts));
        if let Some(slug) = subdomain(host.unwrap_or_default(), base) {
            return Ok(Cow::Owned(slug.to_ascii_lowercase()));
        }
    }
    match &app.tenancy.default_tenant {
        Some(slug) => Ok(Cow::Borrowed(slug.as_str())),
        None => Err(Error::new(
            ErrorKind::Invalid,
            "tenant-missing",
            format!("name the tenant in the header `{}`", app.tenancy.header),
        )),
    }
}

fn no_such_tenant() -> Error {
    Error::new(ErrorKind::NotFound, "tenant-not-found", "there is no such tenant")
}

fn host(parts: &Parts) -> Option<&str> {
    parts.uri.host().or_else(|| parts.headers.get(header::HOST)?.to_str().ok()).map(without_port)
}

/// A port follows the last colon, unless that colon is inside an IPv6 address.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

fn subdomain<'h>(host: &'h str, base: &str) -> Option<&'h str> {
    let split = host.len().checked_sub(base.len() + 1)?;
    let (slug, rest) = (host.get(..split)?, host.get(split..)?);
    let is_below = rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(base));
    (is_below && !slug.is_empty()).then_some(slug)
}

/// Parameters of a path that [`path::check`] let through, decoded. No database takes a NUL in a text.
pub(super) fn parameters(encoded: &[&str]) -> Result<Vec<String>> {
    encoded
        .iter()
        .map(|parameter| {
            let decoded = percent_decode_str(parameter).decode_utf8().ok()?;
            (!decoded.contains('\0')).then(|| decoded.into_owned())
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            let message = "the path is not encoded UTF-8 without NUL";
            Error::new(ErrorKind::Invalid, "invalid-path", message)
        })
}

/// The query's pairs, decoded.
///
/// # Errors
/// `invalid-query`, where a decoder would have to guess.
pub(super) fn query(parts: &Parts) -> Result<Vec<(String, String)>> {
    let raw = parts.uri.query().unwrap_or_default();
    if !path::is_encoded(raw) || percent_decode_str(raw).decode_utf8().is_err() {
        let message = "the query is not percent-encoded UTF-8";
        return Err(Error::new(ErrorKind::Invalid, "invalid-query", message));
    }
    Ok(form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
}

/// The headers that modules may see. A value that is no UTF-8 is read as Latin-1, as it was meant
/// when HTTP was young.
pub(super) fn headers(app: &App, headers: &HeaderMap) -> Vec<(String, String)> {
    // What `Connection` names concerns this connection alone, too.
    let of_connection: Vec<&str> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(',').map(str::trim))
        .collect();
    let is_of_connection =
        |name: &HeaderName| of_connection.iter().any(|own| own.eq_ignore_ascii_case(name.as_str()));
    let credentials = app.authentication.as_ref().map(|known| &*known.credential_headers);
    let is_credential = |name| credentials.unwrap_or_default().contains(name);
    headers
        .iter()
        .filter(|(name, _)| {
            !HIDDEN.contains(name)
                && **name != app.tenancy.header
                && !arrival::is_of_proxies(name)
                && !is_of_connection(name)
                && !is_credential(name)
        })
        .map(|(name, value)| {
            let value = match std::str::from_utf8(value.as_bytes()) {
                Ok(text) => text.to_owned(),
                Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
            };
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// The body: at once where it is small, as it arrives where not, and a form part by part.
pub(super) async fn body(
    app: &App,
    route: &Route,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<Body> {
    let limit =
        app.http.load().config.body_max_bytes.get().min(route.body_max_bytes.unwrap_or(u64::MAX));
    if body.is_end_stream() {
        return Ok(Body::None);
    }
    // Where it cannot be read, it is not waited for.
    if route.request_schema.is_some() && is_encoded(headers) {
        let message = "the body must not be compressed: send it without `content-encoding`";
        return Err(Error::new(ErrorKind::Unsupported, CONTENT_ENCODED, message));
    }
    let boundary = multipart_type(headers).map(Boundary::of).transpose()?;
    let body = Box::pin(read_body(app, limit, body)).await?;
    if let Body::Bytes(whole) = &body
        && is_json(essence(headers))
    {
        json::check(whole, app.http.load().config.json_depth_max.as_usize())?;
    }
    Ok(match boundary {
        Some(boundary) => in_parts(boundary, body),
        None => body,
    })
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.is_empty() && coding != "identity")
}

/// The content type without its parameters.
fn essence(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// The content type, where it is that of a form of several parts.
fn multipart_type(headers: &HeaderMap) -> Option<&str> {
    let is_form = essence(headers).eq_ignore_ascii_case("multipart/form-data");
    headers.get(header::CONTENT_TYPE).filter(|_| is_form)?.to_str().ok()
}

/// `application/json` and its relatives such as `application/merge-patch+json`.
fn is_json(essence: &str) -> bool {
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

/// Whether a client takes JSON, by its `Accept`: the range that fits best decides (RFC 9110, section
/// 12.5.1).
pub(super) fn takes_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter();
    match values.next() {
        None => return true,
        Some(value) if value == "*/*" || value == "application/json" => return true,
        Some(_) => {}
    }
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    let quality = |wanted: &str| {
        ranges.iter().find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(wanted);
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            is_it.then(|| quality.unwrap_or(1.0))
        })
    };
    let best = ["application/json", "application/*", "*/*"].into_iter().find_map(quality);
    best.is_some_and(|quality| quality > 0.0)
}

fn in_parts(boundary: Boundary, body: Body) -> Body {
    let (begun, chunks): (_, Chunks) = match body {
        Body::Bytes(whole) => (whole.into(), Box::pin(stream::empty())),
        Body::Streamed(body) => (body.rest, body.chunks),
        other => return other,
    };
    Body::Multipart(Multipart::new(boundary, begun, chunks))
}

async fn read_body(app: &App, limit: u64, body: axum::body::Body) -> Result<Body> {
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let inline_max = app.http.load().config.body_inline_max_bytes.get();
    let mut chunks = Box::pin(limited(body, limit));
    if length.is_some_and(|length| length > inline_max) {
        return Ok(Body::Streamed(IncomingBody { length, chunks, rest: Bytes::new(), part: None }));
    }
    let gather = async {
        let mut gathered = Vec::with_capacity(usize::try_from(length.unwrap_or(0)).unwrap_or(0));
        while let Some(chunk) = chunks.next().await {
            gathered.extend_from_slice(&chunk?);
            if gathered.len() as u64 > inline_max {
                return Ok(Err(gathered));
            }
        }
        Ok(Ok(gathered))
    };
    let timeout = app.http.load().config.body_timeout_ms.as_millis();
    match tokio::time::timeout(timeout, gather).await {
        Ok(Ok(Ok(whole))) => Ok(Body::Bytes(whole)),
        Ok(Ok(Err(begun))) => {
            Ok(Body::Streamed(IncomingBody { length, chunks, rest: begun.into(), part: None }))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::new(
            ErrorKind::InputTimeout,
            "body-timeout",
            "the body took too long to arrive",
        )),
    }
}

/// The chunks of a body, cut off with an error once there are more than `limit` bytes.
fn limited(
    body: axum::body::Body,
    limit: u64,
) -> impl futures_util::Stream<Item = Result<Bytes>> + Send {
    let mut left = limit;
    body.into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| {
            Error::new(ErrorKind::Invalid, "body-broken", "the body did not arrive whole")
                .because(error)
        })?;
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| too_large(limit))?;
        Ok(chunk)
    })
}

fn too_large(limit: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "body-too-large",
        format!("the body is too large: at most {limit} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_taken_where_the_range_that_fits_best_allows_it() {
        let takes = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            takes_json(&headers)
        };
        assert!(takes_json(&HeaderMap::new()));
        for accept in [
            "*/*",
            "application/json",
            "text/html, application/*;q=0.5",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "Application/JSON;q=0.1, */*;q=0",
        ] {
            assert!(takes(accept), "{accept}");
        }
        for accept in
            ["text/html", "application/json;q=0, */*", "application/xml", "*/*;q=0.0", "x"]
        {
            assert!(!takes(accept), "{accept}");
        }
    }

    #[test]
    fn json_has_relatives() {
        for json in ["application/json", "Application/JSON", "application/merge-patch+json"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["", "text/json", "application/jsonish", "json", "application/x-json"] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn a_subdomain_is_what_stands_before_the_base() {
        assert_eq!(subdomain("acme.example.org", "example.org"), Some("acme"));
        assert_eq!(subdomain("ACME.Example.ORG", "example.org"), Some("ACME"));
        for other in
            ["example.org", ".example.org", "acmeexample.org", "acme.example.com", "", "é.org"]
        {
            assert_eq!(subdomain(other, "example.org"), None, "{other}");
        }
    }

    #[test]
    fn a_trace_is_taken_over_when_it_is_well_formed() {
        let trace = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(value));
            trace_id(&headers).map(String::from)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(good).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(trace("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(trace("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), None);
        assert_eq!(trace("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"), None);
        assert_eq!(trace("nonsense"), None);
    }

    proptest! {
        #[test]
        fn anything_that_is_sent_is_taken_apart_or_refused(text in "\\PC*") {
            let _ = parameters(&[&text]);
            // No spelling of a host is another tenant's.
            if let Some(slug) = subdomain(&text, "example.org") {
                let whole = [slug, "example.org"].join(".");
                prop_assert!(whole.eq_ignore_ascii_case(&text));
            }
        }
    }
}
