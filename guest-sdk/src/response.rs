//! What a handler may return.

use std::borrow::Cow;
use std::fmt::Display;

use schemars::JsonSchema;
use serde::Serialize;

use crate::bindings::hostel::http::types::{self, BytesBody, ResponseBody};
use crate::handler::Operation;
use crate::problem::Problem;
use crate::request::Request;

/// Something that becomes an answer.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::Request;
/// /// Text that people read in a browser.
/// struct Html(String);
///
/// impl IntoResponse for Html {
///     fn into_response(self, _request: &Request) -> Result<Response, Problem> {
///         Ok(Response::bytes("text/html; charset=utf-8", self.0))
///     }
/// }
///
/// fn home() -> Html {
///     Html("<h1>Welcome</h1>".to_owned())
/// }
/// # let _ = get("/", home);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be answered",
    note = "`Json`, `Paged`, `Created`, `NoContent`, `Bytes`, `Streamed`, `()`, texts, `(Status, answer)`, `Response` and results of these can"
)]
pub trait IntoResponse {
    /// Makes the answer to this request.
    ///
    /// # Errors
    /// What went wrong, where the value is not an answer.
    fn into_response(self, request: &Request) -> Result<Response, Problem>;

    /// Notes what the type says about the operation.
    fn describe(_operation: &mut Operation) {}
}

/// An answer in full, for what the other types do not cover.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn page() -> Response {
///     Response::bytes("text/html", "<h1>Hello</h1>").header("cache-control", "max-age=60")
/// }
///
/// fn moved() -> Response {
///     Response::empty().status(308).header("location", "/api/shop/new")
/// }
///
/// fn begun() -> Result<Response, Problem> {
///     Ok(Response::json("begun")?.status(202))
/// }
/// # let _ = (get("/", page), get("/old", moved), post("/", begun));
/// ```
#[derive(Debug)]
#[must_use]
pub struct Response {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: ResponseBody,
}

impl Response {
    /// An answer without a body.
    pub fn empty() -> Self {
        Self::of(ResponseBody::Empty)
    }

    /// An answer in JSON.
    ///
    /// # Errors
    /// When the value has no form in JSON, such as a map whose keys are not texts.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Problem> {
        match serde_json::to_vec(value) {
            Ok(document) => Ok(Self::of(ResponseBody::Json(document))),
            Err(error) => Err(Problem::internal(format!("the answer is not JSON: {error}"))),
        }
    }

    /// An answer of bytes.
    pub fn bytes(content_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let body = BytesBody { content_type: content_type.into(), data: data.into() };
        Self::of(ResponseBody::Bytes(body))
    }

    /// Sets the status, whatever the route says.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a header. `content-type` and `content-length` follow from the body.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn into_binding(self, default_status: u16) -> types::Response {
        types::Response {
            status: self.status.unwrap_or(default_status),
            headers: self.headers,
            body: self.body,
        }
    }

    pub(crate) fn of(body: ResponseBody) -> Self {
        Self { status: None, headers: Vec::new(), body }
    }
}

impl IntoResponse for Response {
    fn into_response(self, _request: &Request) -> Result<Response, Problem> {
        Ok(self)
    }
}

impl<R: IntoResponse, E: Into<Problem>> IntoResponse for Result<R, E> {
    fn into_response(self, request: &Request) -> Result<Response, Problem> {
        self.map_err(Into::into)?.into_response(request)
    }

    fn describe(operation: &mut Operation) {
        R::describe(operation);
    }
}

/// A status that is decided while the handler runs.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn order(Json(pieces): Json<u32>) -> (Status, &'static str) {
///     if pieces > 100 { (Status(202), "this takes a while") } else { (Status(201), "done") }
/// }
/// # let _ = post("/", order);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(
    /// 200 to 599.
    pub u16,
);

impl<R: IntoResponse> IntoResponse for (Status, R) {
    fn into_response(self, request: &Request) -> Result<Response, Problem> {
        let (Status(status), answer) = self;
        Ok(answer.into_response(request)?.status(status))
    }

    fn describe(operation: &mut Operation) {
        R::describe(operation);
    }
}

/// 204: it worked, and there is nothing to say.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn forget(Path(id): Path<i64>, db: Db) -> Result<NoContent, Problem> {
///     match db.execute("DELETE FROM tags WHERE id = $1", params![id])? {
///         0 => Err(Problem::not_found("tag")),
///         _ => Ok(NoContent),
///     }
/// }
/// # let _ = delete("/{id}", forget);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self, _request: &Request) -> Result<Response, Problem> {
        Ok(Response::empty().status(204))
    }

    fn describe(operation: &mut Operation) {
        operation.success_status = Some(204);
    }
}

/// 201 with the new thing in JSON, and its place in the `Location` header.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn add(Json(name): Json<String>, db: Db) -> Result<Created<String>, Problem> {
///     db.execute("INSERT INTO tags (name) VALUES ($1)", params![name])?;
///     Ok(Created::below(&name, name.clone()))
/// }
/// # let _ = post("/", add);
/// ```
#[derive(Clone, Debug)]
pub struct Created<T> {
    segment: String,
    value: T,
}

impl<T> Created<T> {
    /// The new thing lives below the path that was posted to, under this segment.
    pub fn below(segment: impl Display, value: T) -> Self {
        Self { segment: segment.to_string(), value }
    }
}

impl<T: Serialize + JsonSchema> IntoResponse for Created<T> {
    fn into_response(self, request: &Request) -> Result<Response, Problem> {
        let collection = request.path().trim_end_matches('/');
        let location = format!("{collection}/{}", self.segment);
        Ok(Response::json(&self.value)?.status(201).header("location", location))
    }

    fn describe(operation: &mut Operation) {
        operation.success_status = Some(201);
        operation.response::<T>();
        operation.response_header("location", "Where the new thing is");
    }
}

/// Bytes with their content type.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn table() -> Bytes {
///     Bytes { content_type: "text/csv".into(), data: b"a,b\n1,2\n".to_vec() }
/// }
/// # let _ = get("/table.csv", table);
/// ```
#[derive(Clone, Debug)]
pub struct Bytes {
    /// For example `image/png`.
    pub content_type: Cow<'static, str>,
    /// The bytes.
    pub data: Vec<u8>,
}

impl IntoResponse for Bytes {
    fn into_response(self, _request: &Request) -> Result<Response, Problem> {
        Ok(Response::bytes(self.content_type, self.data))
    }

    fn describe(operation: &mut Operation) {
        operation.response_type = Some("application/octet-stream");
    }
}

/// Nothing, with the route's status.
impl IntoResponse for () {
    fn into_response(self, _request: &Request) -> Result<Response, Problem> {
        Ok(Response::empty())
    }
}

impl IntoResponse for String {
    fn into_response(self, _request: &Request) -> Result<Response, Problem> {
        Ok(Response::bytes(TEXT, self))
    }

    fn describe(operation: &mut Operation) {
        operation.response::<Self>();
        operation.response_type = Some(TEXT);
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

impl IntoResponse for &'static str {
    fn into_response(self, request: &Request) -> Result<Response, Problem> {
        self.to_owned().into_response(request)
    }

    fn describe(operation: &mut Operation) {
        String::describe(operation);
    }
}
