//! The request as extractors see it.

use crate::bindings::hostel::http::types;

/// The body as the host hands it over.
pub use crate::bindings::hostel::http::types::RequestBody;

/// A request that the host has matched, decoded and permitted. Extractors read it, and what comes
/// [`before`](crate::Module::before) them; the first one that wants the body takes it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::{Request, RequestBody, log};
/// fn note_who_asks(request: &mut Request) -> Result<(), Problem> {
///     let is_known = request.principal().kind != PrincipalKind::Anonymous;
///     let is_search = request.query().iter().any(|(name, _)| name == "search");
///     if is_search && !is_known {
///         return Err(Problem::denied("sign in to search"));
///     }
///     let language = request.header("accept-language").unwrap_or("none");
///     log::debug("asked", &[("path", &request.path()), ("language", &language)]);
///     Ok(())
/// }
/// # let _ = Module::new("shop", "1.0.0").before(note_who_asks);
///
/// /// A line of CSV, the lines' number in the path, and who sent it.
/// struct Line {
///     number: String,
///     sent_by: Vec<(String, String)>,
///     cells: Vec<u8>,
/// }
///
/// impl FromRequest for Line {
///     fn from_request(request: &mut Request) -> Result<Self, Problem> {
///         let RequestBody::Bytes(cells) = request.take_body() else {
///             return Err(Problem::bad_request("no-line", "send a short line"));
///         };
///         let number = request.parameters().first().cloned().unwrap_or_default();
///         Ok(Self { number, sent_by: request.headers().to_vec(), cells })
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Request {
    request: types::Request,
    /// The most bytes of a body that is read as one document.
    pub(crate) document_max_bytes: usize,
}

impl Request {
    pub(crate) fn new(request: types::Request, document_max_bytes: usize) -> Self {
        Self { request, document_max_bytes }
    }

    /// The path as the client sent it, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.request.path
    }

    /// The path's parameters in the order of the route's pattern.
    #[must_use]
    pub fn parameters(&self) -> &[String] {
        &self.request.parameters
    }

    /// The query's pairs in the order in which they were sent.
    #[must_use]
    pub fn query(&self) -> &[(String, String)] {
        &self.request.query
    }

    /// The headers; names are in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.request.headers
    }

    /// The first header with this name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Who is calling.
    #[must_use]
    pub fn principal(&self) -> &types::Principal {
        &self.request.principal
    }

    /// Takes the body; who comes second finds none.
    pub fn take_body(&mut self) -> RequestBody {
        std::mem::replace(&mut self.request.body, RequestBody::None)
    }
}
