//! Compression of answers that are large enough to gain by it. What is small pays one comparison.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, VARY,
};
use http::{Extensions, Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tower_http::CompressionLevel;
use tower_http::compression::Compression;

use crate::bounded::Bounded;

/// A piece is compressed without a break: other requests wait so long for their turn.
const PIECE_BYTES: usize = 16 * 1024;
/// Beyond it, answers gain little for much more processor time.
const LEVEL: CompressionLevel = CompressionLevel::Precise(4);

/// `[http.compression]`: of answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionConfig {
    /// What is offered; empty: no answer is compressed.
    pub encodings: Vec<Encoding>,
    /// Smaller answers are sent as they are.
    pub min_bytes: Bounded<256, 1_073_741_824>,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self {
            encodings: vec![Encoding::Zstd, Encoding::Br, Encoding::Gzip],
            min_bytes: Bounded::of::<1_024>(),
        }
    }
}

/// A way to compress, by its name in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Zstd,
    Br,
    Gzip,
}

impl CompressionConfig {
    /// Whether an answer gains by it. One whose length nobody knows is sent as it comes.
    pub(super) fn is_for(&self, response: &Response) -> bool {
        let size = response.body().size_hint().exact().unwrap_or(0);
        size >= self.min_bytes.get() && !self.encodings.is_empty() && gains(response)
    }

    /// Compresses an answer where the client takes it.
    pub(super) async fn apply(
        &self,
        mut response: Response,
        accepted: Option<HeaderValue>,
    ) -> Response {
        // Decided on an answer without a body: one that stays as it is keeps its length. Who takes
        // not even that gets it all the same (RFC 9110, section 12.4.1).
        let decided = self.encoded(Response::default(), accepted.clone()).await;
        if !decided.headers().contains_key(CONTENT_ENCODING) {
            response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
            return response;
        }
        let mut response = self.encoded(response.map(in_pieces), accepted).await;
        weaken_tag(response.headers_mut());
        response
    }

    /// The answer in the encoding that the client likes best.
    async fn encoded(&self, response: Response, accepted: Option<HeaderValue>) -> Response {
        let mut asked = Request::new(());
        asked.headers_mut().extend(accepted.map(|accepted| (ACCEPT_ENCODING, accepted)));
        let mut response = Some(response);
        let answering = tower::service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(response.take().unwrap_or_default()))
        });
        let offers = |encoding| self.encodings.contains(&encoding);
        let compressing = Compression::new(answering)
            .zstd(offers(Encoding::Zstd))
            .br(offers(Encoding::Br))
            .gzip(offers(Encoding::Gzip))
            .quality(LEVEL)
            .compress_when(|_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true);
        let Ok(response) = compressing.oneshot(asked).await;
        response.map(Body::new)
    }
}

/// Whether it is worth it, and nobody has said or done otherwise.
fn gains(response: &Response) -> bool {
    let headers = response.headers();
    let has = |name| headers.contains_key(name);
    let is_forbidden = || {
        let told = headers.get(CACHE_CONTROL).and_then(|told| told.to_str().ok());
        told.is_some_and(|told| told.to_ascii_lowercase().contains("no-transform"))
    };
    headers.get(CONTENT_TYPE).is_some_and(is_text)
        && !has(CONTENT_ENCODING)
        && !has(CONTENT_RANGE)
        && !is_forbidden()
}

/// Types that are not compressed by themselves.
pub(super) fn is_text(content_type: &HeaderValue) -> bool {
    let Ok(content_type) = content_type.to_str() else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.split_once('/') {
        // Events are to arrive one by one.
        Some(("text", subtype)) => subtype != "event-stream",
        Some((_, subtype)) => {
            matches!(subtype, "json" | "javascript" | "xml" | "x-ndjson" | "wasm" | "yaml")
                || subtype.ends_with("+json")
                || subtype.ends_with("+xml")
        }
        None => false,
    }
}

/// The body in pieces, with a break after each for others.
fn in_pieces(body: Body) -> Body {
    let pieces = stream::unfold((body, Bytes::new()), |(mut body, mut rest)| async move {
        if rest.is_empty() {
            rest = match body.frame().await?.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => data,
                Ok(Err(_trailers)) => return None,
                Err(error) => return Some((Err(error), (body, Bytes::new()))),
            };
        } else {
            tokio::task::yield_now().await;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Some((Ok(piece), (body, rest)))
    });
    // Encoders ask once more after the end.
    Body::from_stream(pieces.fuse())
}

/// Compressed, an answer is the same and not byte for byte (RFC 9110, section 8.8.1).
fn weaken_tag(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG) else { return };
    if tag.as_bytes().starts_with(b"W/") {
        return;
    }
    let weak = [b"W/", tag.as_bytes()].concat();
    if let Ok(weak) = HeaderValue::from_bytes(&weak) {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_already_is_left_alone() {
        let is_text = |text: &'static str| is_text(&HeaderValue::from_static(text));
        for text in [
            "application/json",
            "Application/Problem+JSON; charset=utf-8",
            "text/html",
            "image/svg+xml",
            "text/plain;charset=utf-8",
        ] {
            assert!(is_text(text), "{text}");
        }
        for other in ["image/png", "application/zip", "text/event-stream", "video/mp4", "nonsense"]
        {
            assert!(!is_text(other), "{other}");
        }
    }
}
