//! The request as extractors see it.

use crate::bindings::hostel::http::types::{self, RequestBody};

/// A request that the host has matched, decoded and permitted. Extractors read it; the first one
/// that wants the body takes it.
#[derive(Debug)]
pub struct Request(types::Request);

impl Request {
    pub(crate) fn new(request: types::Request) -> Self {
        Self(request)
    }

    /// The path as the client sent it, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The path's parameters in the order of the route's pattern.
    #[must_use]
    pub fn parameters(&self) -> &[String] {
        &self.0.parameters
    }

    /// The query's pairs in the order in which they were sent.
    #[must_use]
    pub fn query(&self) -> &[(String, String)] {
        &self.0.query
    }

    /// The headers; names are in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The first header with this name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Who is calling.
    #[must_use]
    pub fn principal(&self) -> &types::Principal {
        &self.0.principal
    }

    /// Takes the body; who comes second finds none.
    pub fn take_body(&mut self) -> RequestBody {
        std::mem::replace(&mut self.0.body, RequestBody::None)
    }
}
