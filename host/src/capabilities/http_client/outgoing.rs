//! What goes out: a guest's request, checked, and what becomes of it when it is redirected.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{Method, Request};
use url::Url;

use crate::bindings::hostel::http_client::http_client as wit;
use crate::error::{Error, ErrorKind, Result};

const URL_MAX_BYTES: usize = 8_192;
const HEADERS_MAX: usize = 64;

/// What is about the connection, or follows from the body.
const REFUSED: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Whether an answer's header is about the connection, which is over when a guest sees it.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    name != CONTENT_LENGTH && REFUSED.contains(name) || name == PROXY_AUTHENTICATE
}

/// A request that may go out as far as it can be told by itself.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    headers: HeaderMap,
    /// Headers that hold a secret.
    secrets: Vec<HeaderName>,
    body: Bytes,
}

impl Outgoing {
    /// Checks a guest's request. Its secrets are still to be [added](Self::add_secret).
    pub(super) fn checked(said: wit::Request) -> Result<Self> {
        let method = method(&said.method)?;
        let url = url(&said.url)?;
        if said.headers.len() + said.secrets.len() > HEADERS_MAX {
            let message = format!("a request has at most {HEADERS_MAX} headers");
            return Err(Error::new(ErrorKind::Limit, "http-client-headers", message));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &said.headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Error::invalid(format!("the value of header {name:?} is no value of a header"))
            })?;
            headers.append(header_name(name)?, value);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("hostel"));
        let sends_a_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if sends_a_body && said.body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Self { method, url, headers, secrets: Vec::new(), body: said.body.into() })
    }

    /// Puts a secret into a header, instead of whatever the guest put there.
    pub(super) fn add_secret(&mut self, header: &str, name: &str, value: &str) -> Result<()> {
        let header = header_name(header)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::invalid(format!(
                "secret `{name}` and what stands before it are no value of a header"
            ))
        })?;
        value.set_sensitive(true);
        self.headers.insert(header.clone(), value);
        self.secrets.push(header);
        Ok(())
    }

    /// As it stands on the connection, for a server that is reached already.
    pub(super) fn request<B: From<Bytes>>(&self, target: &str) -> Result<Request<B>> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(target)
            .body(B::from(self.body.clone()))
            .map_err(|_| Error::invalid("the URL's path or query is none of HTTP"))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// The same request to the place that an answer of this status names.
    ///
    /// # Errors
    /// When that place is none, or less safe.
    pub(super) fn redirected(&mut self, status: u16, location: &str) -> Result<()> {
        let joined = self.url.join(location).map_err(|_| no_url("the redirect's `Location`"));
        let next = url(joined?.as_str())?;
        if self.url.scheme() == "https" && next.scheme() != "https" {
            let message = "the answer is a redirect from https to http, which is not followed";
            return Err(Error::new(ErrorKind::Denied, "http-client-redirect", message));
        }
        let becomes_get = match status {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_LENGTH);
            self.headers.remove(CONTENT_TYPE);
        }
        if next.origin() != self.url.origin() {
            for credentials in self.secrets.drain(..).chain([AUTHORIZATION, COOKIE]) {
                self.headers.remove(credentials);
            }
        }
        self.url = next;
        Ok(())
    }
}

/// Whether an answer of this status says that it is elsewhere.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn method(text: &str) -> Result<Method> {
    match Method::from_bytes(text.as_bytes()) {
        // The one opens tunnels, the other has its headers told back.
        Ok(method) if method != Method::CONNECT && method != Method::TRACE && text.len() <= 32 => {
            Ok(method)
        }
        _ => Err(Error::invalid(format!("{text:?} is no method that modules can send"))),
    }
}

fn url(text: &str) -> Result<Url> {
    if text.len() > URL_MAX_BYTES {
        return Err(Error::invalid(format!("a URL has at most {URL_MAX_BYTES} bytes")));
    }
    // Parsers of URLs leave out line breaks, where others see the end of a request's line.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::invalid("a URL has no spaces, line breaks or control characters"));
    }
    let mut url: Url = text.parse().map_err(|_| no_url("this"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(no_url("this"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("a URL has no user or password here: send them in a header"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// The URL itself may hold what is nobody's business.
fn no_url(what: &str) -> Error {
    Error::invalid(format!("{what} is no URL such as `https://api.example.org/rates`"))
}

fn header_name(text: &str) -> Result<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Error::invalid(format!("{text:?} is no name of a header")))?;
    if REFUSED.contains(&name) {
        return Err(Error::invalid(format!("header `{name}` is the host's to send: leave it out")));
    }
    Ok(name)
}
