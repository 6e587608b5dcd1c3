//! A request's head.
#![no_main]

use http::{HeaderName, HeaderValue, Request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = request(bytes) {
        hostel::fuzzing::head(request);
    }
});

/// What the server takes for a request over HTTP/1.1.
fn request(bytes: &[u8]) -> Option<Request<()>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(_) = parsed.parse(bytes).ok()? else { return None };
    let mut request = Request::builder().method(parsed.method?).uri(parsed.path?).body(()).ok()?;
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(request)
}
