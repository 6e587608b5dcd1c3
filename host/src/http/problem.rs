//! Errors as `application/problem+json` (RFC 9457). The one place where an error gets a status.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::{answer, incoming, json};
use crate::bindings::hostel::http::types as wit;
use crate::error::{Error, ErrorKind, Result};
use crate::logging;
use crate::names::RequestId;

/// Seconds after which a busy host may be asked again, where nobody knows better.
const RETRY_AFTER_SECONDS: u64 = 1;
/// A longer code of a module's is no name.
const CODE_LENGTH_MAX: usize = 64;

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// A module's own members.
    #[serde(flatten)]
    extensions: &'a serde_json::Map<String, Value>,
}

/// Members that a module cannot give.
const RESERVED: [&str; 9] =
    ["type", "title", "status", "detail", "instance", "code", "request_id", "trace_id", "errors"];

#[derive(Serialize)]
struct FieldError {
    pointer: String,
    detail: String,
}

/// The status of a kind of error.
fn status(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::InputTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::TooLarge if error.code() == incoming::URL_TOO_LONG => StatusCode::URI_TOO_LONG,
        ErrorKind::TooLarge if error.code() == incoming::HEAD_TOO_LARGE => {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        }
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Unacceptable => StatusCode::NOT_ACCEPTABLE,
        ErrorKind::Limit => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error of the host as an answer.
pub(super) fn of_error(error: &Error, path: &str, request_id: &RequestId) -> Response {
    let status = status(error);
    // What these are about is a place in the body.
    let place =
        error.subject().filter(|_| [json::DUPLICATE_KEY, json::TOO_DEEP].contains(&error.code()));
    let errors = place.map(|pointer| FieldError {
        pointer: pointer.to_owned(),
        detail: error.message().to_owned(),
    });
    let errors = errors.into_iter().collect();
    let told = Told { code: error.code(), detail: error.message(), errors, ..Told::default() };
    let mut response = respond(status, &told, path, request_id);
    let headers = response.headers_mut();
    match error.kind() {
        ErrorKind::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ErrorKind::Unavailable | ErrorKind::Limit => {
            let seconds = error.retry_after_seconds().unwrap_or(RETRY_AFTER_SECONDS);
            headers.insert(RETRY_AFTER, seconds.into());
        }
        // RFC 9110, section 15.5.16.
        ErrorKind::Unsupported if error.code() == incoming::CONTENT_ENCODED => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        // What it is about are the methods that there are.
        ErrorKind::MethodNotAllowed => {
            if let Some(allow) = error.subject().and_then(|allow| allow.parse().ok()) {
                headers.insert(ALLOW, allow);
            }
        }
        _ => {}
    }
    response
}

/// A module's own problem as an answer.
///
/// # Errors
/// `bad-answer` when its status is that of no error, its code is no name or an extension is none;
/// `answer-too-large`.
pub(super) fn of_module(
    problem: wit::Problem,
    answer_max_bytes: usize,
    path: &str,
    request_id: &RequestId,
) -> Result<Response> {
    let fields = problem.errors.iter().map(|field| field.pointer.len() + field.detail.len());
    let extensions = problem.extensions.iter().map(|(name, value)| name.len() + value.len());
    let bytes = problem.detail.len() + fields.sum::<usize>() + extensions.sum::<usize>();
    answer::at_most(answer_max_bytes, bytes)?;
    let status = StatusCode::from_u16(problem.status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| answer::bad(format!("{} is no status of a problem", problem.status)))?;
    if !is_code(&problem.code) {
        return Err(answer::bad(format!("{:?} is no code of a problem", problem.code)));
    }
    let extensions = problem.extensions.into_iter().map(extension).collect::<Result<_>>()?;
    let errors: Vec<FieldError> = problem
        .errors
        .into_iter()
        .map(|error| FieldError { pointer: error.pointer, detail: error.detail })
        .collect();
    let told = Told { code: &problem.code, detail: &problem.detail, errors, extensions };
    Ok(respond(status, &told, path, request_id))
}

/// A module's own member of the document, as RFC 9457, section 3.2, recommends names.
fn extension((name, value): (String, String)) -> Result<(String, Value)> {
    let is_name = name.len() >= 3
        && name.len() <= CODE_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&&*name);
    if !is_name {
        return Err(answer::bad(format!("{name:?} is no name of a problem's extension")));
    }
    match serde_json::from_str(&value) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(answer::bad(format!("a problem's `{name}` is no JSON: {error}"))),
    }
}

/// What a problem says beside what the request and the status say.
#[derive(Default)]
struct Told<'a> {
    code: &'a str,
    detail: &'a str,
    errors: Vec<FieldError>,
    extensions: serde_json::Map<String, Value>,
}

/// Lower case letters, digits and hyphens, for programs to compare.
fn is_code(code: &str) -> bool {
    (1..=CODE_LENGTH_MAX).contains(&code.len())
        && code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn respond(status: StatusCode, told: &Told<'_>, path: &str, request_id: &RequestId) -> Response {
    let body = Document {
        // The title is the status' own, as RFC 9457, section 4.2.1, has it for this type; `code`
        // tells problems apart.
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: told.detail,
        instance: path,
        code: told.code,
        request_id: request_id.as_str(),
        trace_id: logging::trace_id(),
        errors: &told.errors,
        extensions: &told.extensions,
    };
    let json = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
