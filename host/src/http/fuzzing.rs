//! What fuzz targets throw bytes at: how a request is read. What must hold is asserted here.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use percent_encoding::percent_decode_str;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::arrival::{Arrival, Client, ForwardedBy, Network};
use super::{HttpConfig, compress, conditional, cors, incoming, json, path};

/// Reads a request: its path, query and headers.
///
/// # Panics
/// When a mistake is found.
pub fn head(request: Request<()>) {
    let _ = incoming::refusal(&request, &HttpConfig::default());
    let (parts, ()) = request.into_parts();
    check_path(parts.uri.path());
    check_query(&parts);
    let headers = &parts.headers;
    assert!(!incoming::request_id(headers).as_str().is_empty());
    if let Some(trace) = incoming::trace_id(headers) {
        assert_eq!(trace.len(), 32);
    }
    incoming::takes_json(headers);
    cors::is_preflight(headers);
    check_client(headers);
    for tag in ["\"a\"", "W/\"a\"", "\"\"", "none"] {
        let answer = Response::builder().header("etag", tag).body(axum::body::Body::empty());
        let answer = conditional::answer(headers, answer.expect("a header that is one"));
        assert!(matches!(answer.status().as_u16(), 200 | 304));
    }
    for content_type in headers.get_all("content-type") {
        let is_text = compress::is_text(content_type);
        assert!(!is_text || content_type.to_str().is_ok());
    }
}

/// A path that is let through is the same to everybody who decodes it.
fn check_path(path: &str) {
    let _ = path::split(path);
    if path::check(path).is_err() {
        return;
    }
    let segments: Vec<&str> = path.split('/').collect();
    for segment in &segments {
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        assert!(decoded != "." && decoded != "..", "{path} climbs");
    }
    if let Ok(parameters) = incoming::parameters(&segments) {
        assert!(parameters.iter().all(|parameter| !parameter.contains('\0')));
    }
}

/// A query that is let through says the same when it is written anew.
fn check_query(parts: &http::request::Parts) {
    let Ok(pairs) = incoming::query(parts) else { return };
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(&pairs);
    let read: Vec<_> = form_urlencoded::parse(written.finish().as_bytes()).into_owned().collect();
    assert_eq!(read, pairs);
}

/// Nobody is believed but who is trusted.
fn check_client(headers: &http::HeaderMap) {
    let peer = ([10, 0, 0, 1], 80).into();
    let arrival = Some(Arrival { peer, over_tls: false });
    for by in [ForwardedBy::XForwarded, ForwardedBy::Forwarded] {
        let alone = Client::of(arrival, headers, &[], by);
        assert_eq!((alone.address, alone.host), (Some(peer.ip()), None));
        let proxies = Network::try_from("10.0.0.0/8".to_owned()).expect("a network");
        assert!(Client::of(arrival, headers, &[proxies], by).address.is_some());
    }
}

/// Looks at a document.
///
/// # Panics
/// When a mistake is found.
pub fn document(bytes: &[u8]) {
    const DEPTH_MAX: usize = 16;
    let parsed = serde_json::from_slice::<serde_json::Value>(bytes);
    match (json::check(bytes, DEPTH_MAX), parsed) {
        (Ok(()), Ok(document)) => {
            let written = Bytes::from(document.to_string());
            json::check(&written, DEPTH_MAX).expect("what it let through, written anew");
        }
        (Err(error), Ok(document)) if error.code() == json::DUPLICATE_KEY => {
            let place = error.subject().expect("it has a place");
            let (object, key) = place.rsplit_once('/').expect("a place begins with `/`");
            let all: Node = serde_json::from_slice(bytes).expect("it was parsed before");
            assert!(all.has_twice(object, key), "{document}: no key is twice at {place}");
        }
        _ => {}
    }
}

/// A document with all that is in it: of two members with one key, a value of `serde_json` has the
/// last alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Items(Vec<Node>),
    Members(Members),
    Leaf(IgnoredAny),
}

struct Members(Vec<(String, Node)>);

impl Node {
    /// Whether a key is twice in an object at that place (RFC 6901): there may be several.
    fn has_twice(&self, place: &str, key: &str) -> bool {
        // Not the host's own words for it: a mistake there is to be seen here.
        let named = |it: &str| it.replace('~', "~0").replace('/', "~1");
        let Some(place) = place.strip_prefix('/') else {
            let Self::Members(Members(members)) = self else { return false };
            return members.iter().filter(|(name, _)| named(name) == key).count() > 1;
        };
        let (first, rest) = place.split_at(place.find('/').unwrap_or(place.len()));
        match self {
            Self::Members(Members(members)) => members
                .iter()
                .any(|(name, member)| named(name) == first && member.has_twice(rest, key)),
            Self::Items(items) => {
                let item = first.parse().ok().and_then(|index: usize| items.get(index));
                item.is_some_and(|item| item.has_twice(rest, key))
            }
            Self::Leaf(_) => false,
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(All)
    }
}
