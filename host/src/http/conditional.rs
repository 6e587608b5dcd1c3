//! Conditional requests (RFC 9110, section 13): a client that has the answer already is told so.

use axum::body::Body;
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use http::StatusCode;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use sha2::{Digest as _, Sha256};

/// Of larger answers no tag is made: it would keep others waiting.
const TAGGED_MAX_BYTES: usize = 1024 * 1024;
/// Enough that no two answers have the same.
const DIGEST_BYTES: usize = 16;

/// The tag of an answer's bytes; none where there are very many.
pub(super) fn tag(bytes: &[u8]) -> Option<HeaderValue> {
    if bytes.len() > TAGGED_MAX_BYTES {
        return None;
    }
    let digest = Sha256::digest(bytes);
    let text = format!("\"{}\"", BASE64URL_NOPAD.encode(&digest[..DIGEST_BYTES]));
    HeaderValue::try_from(text).ok()
}

/// Leaves out of a successful answer to a `GET` what the client has.
pub(super) fn answer(asked: &HeaderMap, response: Response) -> Response {
    if response.status() != StatusCode::OK
        || !response.headers().contains_key(ETAG)
        || !asked.contains_key(IF_NONE_MATCH)
    {
        return response;
    }
    let has_sound_tags = |headers: &HeaderMap, name| headers.get_all(name).iter().all(is_sound);
    if !has_sound_tags(asked, IF_NONE_MATCH) || !has_sound_tags(response.headers(), ETAG) {
        return response;
    }
    // A tag that is none has no equal.
    let tag = response.headers().typed_get::<ETag>();
    let condition = asked.typed_get::<IfNoneMatch>();
    let is_known = tag.zip(condition).is_some_and(|(tag, known)| !known.precondition_passes(&tag));
    if !is_known {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    for about_the_body in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
        head.headers.remove(about_the_body);
    }
    Response::from_parts(head, Body::empty())
}

/// Whether all quotes are closed, and no tag has a space or a tab in its quotes (RFC 9110, section
/// 8.8.3), of which `headers` takes it for granted. It reads several fields as one: a quote that one
/// leaves open would go on in the next.
fn is_sound(tags: &HeaderValue) -> bool {
    let parts: Vec<_> = tags.as_bytes().split(|byte| *byte == b'"').collect();
    let mut in_quotes = parts.iter().skip(1).step_by(2).copied().flatten();
    // Quotes in pairs have an odd number of parts between and around them.
    parts.len() % 2 == 1 && in_quotes.all(|byte| !matches!(byte, b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_one_field_leaves_open_is_not_closed_by_the_next() {
        let is_known = |fields: &[&'static str]| {
            let mut asked = HeaderMap::new();
            for field in fields {
                asked.append(IF_NONE_MATCH, HeaderValue::from_static(field));
            }
            let answer = Response::builder().header(ETAG, "\"a\"").body(Body::empty()).unwrap();
            super::answer(&asked, answer).status() == StatusCode::NOT_MODIFIED
        };
        assert!(is_known(&["\"b\", W/\"a\""]) && is_known(&["\"b\"", "\"a\""]) && is_known(&["*"]));
        for fields in [&["\"b", "\"a\""], &["\"a\", W/\"b", "\"a\""], &["\"b c\"", "\"a\""]] {
            assert!(!is_known(fields), "{fields:?}");
        }
    }
}
