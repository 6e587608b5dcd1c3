//! What a module answered, checked and written as HTTP.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream as _;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};
use hyper::body::{Frame, SizeHint};

use super::conditional;
use crate::bindings::hostel::http::types as wit;
use crate::capabilities::http::cut_off;
use crate::error::{Error, ErrorKind, Result};
use crate::metering::Meter;
use crate::runtime::{self, ANSWER_HEAD_MAX_BYTES, Streamed};

/// The server's own: what concerns the connection (RFC 9110, section 7.6.1).
const RESERVED: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    super::incoming::REQUEST_ID,
];

/// What follows from the body where all of it is there.
const OF_BODY: [HeaderName; 2] = [header::CONTENT_LENGTH, header::CONTENT_TYPE];

/// Turns a module's answer into a response, with a tag where the route asks for one.
///
/// # Errors
/// When the answer cannot be sent as it is: the module is at fault.
pub(super) fn of_module(
    answer: wit::Response,
    answer_max_bytes: usize,
    is_tagged: bool,
) -> Result<Response> {
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
    let is_tagged = is_tagged && answer.status == StatusCode::OK;
    let tag = if is_tagged { conditional::tag(&bytes) } else { None };
    let body = if bytes.is_empty() { Body::empty() } else { Body::from(bytes) };
    let mut response = with_head(answer.status, answer.headers, &OF_BODY, body)?;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if let Some(tag) = tag {
        headers.entry(header::ETAG).or_insert(tag);
    }
    Ok(response)
}

/// Turns an answer that a module writes bit by bit into a response.
///
/// # Errors
/// When its head cannot be sent as it is: the module is at fault.
pub(super) fn of_stream(mut answer: Streamed, meter: &Arc<Meter>) -> Result<Response> {
    let headers = std::mem::take(&mut answer.head.headers);
    let mut response = with_head(answer.head.status, headers, &[], Body::empty())?;
    let promised = response.headers().get(header::CONTENT_LENGTH).map(|length| {
        let number = length.to_str().ok().and_then(|length| length.parse().ok());
        number.ok_or_else(|| bad(format!("{length:?} is no length of an answer")))
    });
    let body = StreamedBody { answer, left: promised.transpose()?, meter: Arc::clone(meter) };
    *response.body_mut() = Body::new(body);
    Ok(response)
}

fn with_head(
    status: u16,
    headers: Vec<(String, String)>,
    reserved_here: &[HeaderName],
    body: Body,
) -> Result<Response> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status)
        .ok()
        // Others exist in Rust and not in HTTP (RFC 9110, section 15).
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| bad(format!("{status} is no status of an answer")))?;
    // As HTTP/2 counts them (RFC 9113, section 6.5.2).
    let head: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    if head > ANSWER_HEAD_MAX_BYTES {
        return Err(bad(format!("{head} bytes of headers; at most {ANSWER_HEAD_MAX_BYTES}")));
    }
    for (name, value) in headers {
        let name = HeaderName::try_from(&name)
            .map_err(|_| bad(format!("{name:?} is no header's name")))?;
        if RESERVED.contains(&name) || reserved_here.contains(&name) {
            return Err(bad(format!("the header `{name}` is the host's to set")));
        }
        let value = HeaderValue::try_from(&value)
            .map_err(|_| bad(format!("{value:?} is no value of the header `{name}`")))?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// The body of an answer that comes bit by bit, held to the length that its head promised.
struct StreamedBody {
    answer: Streamed,
    /// What is to come, where the module said so.
    left: Option<u64>,
    meter: Arc<Meter>,
}

impl hyper::body::Body for StreamedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let chunk = ready!(Pin::new(&mut self.answer).poll_next(context));
        Poll::Ready(match (chunk, self.left) {
            (Some(Ok(chunk)), None) => {
                self.meter.sent(chunk.len() as u64);
                Some(Ok(Frame::data(chunk)))
            }
            (Some(Ok(chunk)), Some(left)) => {
                self.left = left.checked_sub(chunk.len() as u64);
                Some(match self.left {
                    Some(_) => Ok(Frame::data(chunk)),
                    None => Err(bad("it is longer than its `content-length`".to_owned())),
                })
            }
            (None, Some(1..)) => Some(Err(cut_off())),
            (None, _) => None,
            (Some(Err(error)), _) => Some(Err(error)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Nobody asks for more than was promised: what the module does beside may come to its end.
impl Drop for StreamedBody {
    fn drop(&mut self) {
        if self.left == Some(0) {
            self.answer.let_end();
        }
    }
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
