//! What a module answered, checked and written as HTTP.

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::bindings::hostel::http::types as wit;
use crate::error::{Error, ErrorKind, Result};

/// The server's own: what concerns the connection (RFC 9110, section 7.6.1) and what follows from the
/// body.
const RESERVED: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    super::incoming::REQUEST_ID,
];

/// Turns a module's answer into a response.
///
/// # Errors
/// When the answer cannot be sent as it is: the module is at fault.
pub(super) fn of_module(answer: wit::Response, answer_max_bytes: usize) -> Result<Response> {
    let status = StatusCode::from_u16(answer.status)
        .ok()
        .filter(|status| !status.is_informational())
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
    if bytes.len() > answer_max_bytes {
        return Err(Error::new(
            ErrorKind::Other,
            "answer-too-large",
            "the module's answer is too large",
        )
        .because(format!("{} bytes; at most {answer_max_bytes}", bytes.len())));
    }
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
    Ok(response)
}

fn bad(cause: String) -> Error {
    Error::new(ErrorKind::Other, "bad-answer", "the module gave an answer that cannot be sent")
        .because(cause)
}
