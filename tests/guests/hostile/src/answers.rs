//! Answers that must not be sent as they are.

use hostel_sdk::prelude::*;

use crate::{Many, Size};

pub(crate) fn huge(Query(size): Query<Size>) -> Response {
    Response::bytes("application/octet-stream", size.bytes())
}

/// A header of the caller's choice.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Header {
    name: String,
    value: String,
}

pub(crate) fn header(Query(Header { name, value }): Query<Header>) -> Response {
    Response::bytes("text/plain", "short").header(name, value)
}

pub(crate) fn headers(Query(Many { count }): Query<Many>) -> Response {
    (0..count).fold(Response::empty(), |answer, n| answer.header(format!("x-{n}"), "x"))
}

pub(crate) fn status(Path(status): Path<u16>) -> Response {
    Response::empty().status(status)
}

/// A problem that is none: `?status=…&code=…&member=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Forged {
    status: u16,
    code: String,
    member: Option<String>,
}

pub(crate) fn problem(Query(forged): Query<Forged>) -> Result<NoContent, Problem> {
    let problem = Problem::new(forged.status, forged.code, "forged");
    Err(match forged.member {
        Some(name) => problem.with(name, "forged"),
        None => problem,
    })
}

/// A text that is none, where the contract says that it is one.
#[expect(unsafe_code, reason = "a text that is no UTF-8 is what the host must refuse")]
pub(crate) fn no_utf8() -> Response {
    // SAFETY: it is not sound, which is the point; nothing in here reads it.
    let text = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x80]) };
    Response::empty().header("x-text", text)
}
