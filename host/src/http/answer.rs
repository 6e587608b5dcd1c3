//! What a module answered, checked and written as HTTP.

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};

use super::conditional;
use crate::bindings::hostel::http::types as wit;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{self, ANSWER_HEAD_MAX_BYTES};

/// The server's own: what concerns the connection (RFC 9110, section 7.6.1) and what follows from the
/// body.
const RESERVED: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    super::incoming::REQUEST_ID,
];

/// Turns a module's answer into a response, with a tag where the route asks for one.
///
/// # Errors
/// When the answer cannot be sent as it is: the module is at fault.
pub(super) fn of_module(
    answer: wit::Response,
    answer_max_bytes: usize,
    is_tagged: bool,
) -> Result<Response> {
    let status = StatusCode::from_u16(answer.status)
        .ok()
        // Others exist in Rust and not in HTTP (RFC 9110, section 15).
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| bad(format!("{} is no status of an answer", answer.status)))?;
    let (content_type, bytes) = match answer.body {
        wit::ResponseBody::Empty => (None, Vec::new()),
        wit::ResponseBody::Json(bytes) => {
            (Some(HeaderValue::from_static("application/json")), bytes)
        }
        wit::ResponseBody::Bytes(body) => {
            let content_type = HeaderValue::try_from(&body.content_type)
                .map_err(|_| bad(format!("{:?} is no content type", body.content_type)))?;
            (Some(content_type), body.data)
        }
        wit::ResponseBody::Stored(_) | wit::ResponseBody::Streamed(_) => {
            return Err(bad("it answers with a handle that the host did not give".to_owned()));
        }
    };
    at_most(answer_max_bytes, bytes.len())?;
    // As HTTP/2 counts them (RFC 9113, section 6.5.2).
    let head = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 32);
    let head: usize = head.sum();
    if head > ANSWER_HEAD_MAX_BYTES {
        return Err(bad(format!("{head} bytes of headers; at most {ANSWER_HEAD_MAX_BYTES}")));
    }
    let tag = if is_tagged && status == StatusCode::OK { conditional::tag(&bytes) } else { None };
    let mut response =
        Response::new(if bytes.is_empty() { Body::empty() } else { Body::from(bytes) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(&name)
            .map_err(|_| bad(format!("{name:?} is no header's name")))?;
        if RESERVED.contains(&name) {
            return Err(bad(format!("the header `{name}` is the host's to set")));
        }
        let value = HeaderValue::try_from(&value)
            .map_err(|_| bad(format!("{value:?} is no value of the header `{name}`")))?;
        headers.append(name, value);
    }
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if let Some(tag) = tag {
        headers.entry(header::ETAG).or_insert(tag);
    }
    Ok(response)
}

/// # Errors
/// `answer-too-large` when there are more bytes than there may be.
pub(super) fn at_most(max: usize, bytes: usize) -> Result<()> {
    if bytes > max {
        return Err(runtime::answer_too_large().because(format!("{bytes} bytes; at most {max}")));
    }
    Ok(())
}

/// A module answered what cannot be sent.
pub(super) fn bad(cause: String) -> Error {
    Error::new(ErrorKind::Other, "bad-answer", "the module gave an answer that cannot be sent")
        .because(cause)
}
