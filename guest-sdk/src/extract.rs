//! What a handler may take as arguments. `Json` is in [`json`](crate::json), `Multipart` in
//! [`multipart`](crate::multipart), `Page` in [`page`](crate::page), and each capability's own in
//! that capability's file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::ErrorKind;
use crate::bindings::hostel::http::types::{self, RequestBody};
use crate::from_text;
use crate::handler::Operation;
use crate::problem::{INVALID_FIELDS, Problem};
use crate::request::Request;

pub use crate::bindings::hostel::http::types::{Principal, PrincipalKind};
pub use crate::tenancy::Tenant;

/// Something that is made from a request, and that a handler may take as an argument.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::Request;
/// /// What the client was built as.
/// struct ClientVersion(String);
///
/// impl FromRequest for ClientVersion {
///     fn from_request(request: &mut Request) -> Result<Self, Problem> {
///         match request.header("x-client-version") {
///             Some(version) => Ok(Self(version.to_owned())),
///             None => Err(Problem::bad_request("no-version", "send `x-client-version`")),
///         }
///     }
/// }
///
/// fn check(ClientVersion(version): ClientVersion) -> String {
///     format!("{version} is welcome")
/// }
/// # let _ = get("/", check);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a request",
    note = "`Path`, `Query`, `Json`, `Form`, `Multipart`, `Body`, `Headers`, `Page`, `Principal`, `Tenant`, `Db` and `Settings` can"
)]
pub trait FromRequest: Sized {
    /// Takes it from the request.
    ///
    /// # Errors
    /// What is wrong with the request.
    fn from_request(request: &mut Request) -> Result<Self, Problem>;

    /// Notes what the type says about the operation.
    fn describe(_operation: &mut Operation) {}
}

/// The path's parameters: one value, or a tuple or struct in the order of the route's pattern. A
/// value that cannot be one is answered with 404, for nothing can be there.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn one(Path(number): Path<u32>) -> String {
///     format!("number {number}")
/// }
///
/// fn two(Path((shelf, book)): Path<(String, u32)>) -> String {
///     format!("book {book} on shelf {shelf}")
/// }
/// # let _ = (get("/numbers/{number}", one), get("/shelves/{shelf}/books/{book}", two));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned + JsonSchema> FromRequest for Path<T> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        from_text::from_values(request.parameters())
            .map(Self)
            .map_err(|_| Problem::new(404, "not-found", "there is nothing at this path"))
    }

    fn describe(operation: &mut Operation) {
        operation.path::<T>();
        operation.problem(404, "not-found", "There is no such thing");
    }
}

/// The query as a struct. What is wrong is answered with 422, naming each as `query/<name>`.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Deserialize, JsonSchema)]
/// struct Search {
///     text: String,
///     max: Option<u32>,
/// }
///
/// fn search(Query(search): Query<Search>) -> String {
///     format!("at most {} of {:?}", search.max.unwrap_or(10), search.text)
/// }
/// # let _ = get("/", search);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned + JsonSchema> FromRequest for Query<T> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        from_text::from_pairs(request.query()).map(Self).map_err(|wrong| invalid("query/", wrong))
    }

    fn describe(operation: &mut Operation) {
        operation.query::<T>();
        describe_invalid(operation);
    }
}

/// A form that was sent as `application/x-www-form-urlencoded`, as a struct.
///
/// What is wrong is answered with 422, naming each `/<field>`; another content type with 415.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Deserialize, JsonSchema)]
/// struct Contact {
///     name: String,
///     age: Option<u8>,
/// }
///
/// fn sign_up(Form(contact): Form<Contact>) -> String {
///     format!("Welcome, {}!", contact.name)
/// }
/// # let _ = post("/", sign_up);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Form<T>(
    /// The value.
    pub T,
);

const FORM: &str = "application/x-www-form-urlencoded";

impl<T: DeserializeOwned + JsonSchema> FromRequest for Form<T> {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let body = Body::from_request(request)?;
        if !body.content_type().is_some_and(|it| essence(it).eq_ignore_ascii_case(FORM)) {
            return Err(unsupported_media_type(format!("the body must be a form: send `{FORM}`")));
        }
        let document = body.read_document(request)?;
        let pairs: Vec<_> = form_urlencoded::parse(&document).into_owned().collect();
        from_text::from_pairs(&pairs).map(Self).map_err(|wrong| invalid("/", wrong))
    }

    fn describe(operation: &mut Operation) {
        operation.request::<T>();
        operation.request_type = Some(FORM);
        describe_body(operation);
        describe_invalid(operation);
    }
}

/// Notes what may be wrong with a document.
pub(crate) fn describe_body(operation: &mut Operation) {
    operation.problem(413, "body-too-large", "The body is larger than it may be");
    operation.problem(415, "unsupported-media-type", "The body has another content type");
}

/// Notes that each field may be wrong.
pub(crate) fn describe_invalid(operation: &mut Operation) {
    let fields = "Some fields are not valid: `errors` names each";
    operation.problem(422, INVALID_FIELDS, fields);
}

fn invalid(prefix: &str, wrong: BTreeMap<String, String>) -> Problem {
    let named = wrong.into_iter().map(|(name, detail)| (format!("{prefix}{name}"), detail));
    Problem::of_fields(named)
}

/// A content type without its parameters.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The path as the client sent it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn here(RequestPath(path): RequestPath) -> String {
///     format!("you are at {path}") // you are at /api/maps/here
/// }
/// # let _ = get("/{*rest}", here);
/// ```
#[derive(Clone, Debug)]
pub struct RequestPath(
    /// The path, without the query.
    pub String,
);

impl FromRequest for RequestPath {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(request.path().to_owned()))
    }
}

/// The request's headers. Credentials and what the host has used up are not among them.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn greet(headers: Headers) -> &'static str {
///     match headers.get("accept-language") {
///         Some(language) if language.starts_with("de") => "Hallo",
///         _ => "Hello",
///     }
/// }
/// # let _ = get("/", greet);
/// ```
#[derive(Clone, Debug)]
pub struct Headers(
    /// Names in lower case, and values.
    pub Vec<(String, String)>,
);

impl Headers {
    /// The first header with this name, which is given in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequest for Headers {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self(request.headers().to_vec()))
    }
}

impl FromRequest for Principal {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(request.principal().clone())
    }
}

/// How much of a large body is asked for at once.
pub(crate) const CHUNK_BYTES: u32 = 128 * 1024;

/// The request's body, whole or as it arrives.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn count(mut body: Body) -> Result<String, Problem> {
///     let mut bytes = 0;
///     while let Some(chunk) = body.next_chunk()? {
///         bytes += chunk.len();
///     }
///     Ok(format!("{bytes} bytes"))
/// }
///
/// fn echo(body: Body) -> Result<Bytes, Problem> {
///     let content_type = body.content_type().unwrap_or("application/octet-stream").to_owned();
///     Ok(Bytes { content_type: content_type.into(), data: body.read_to_end()? })
/// }
/// # let _ = (post("/", count), put("/", echo));
/// ```
#[derive(Debug)]
pub struct Body {
    content_type: Option<String>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Whole(Option<Vec<u8>>),
    Streamed(types::Body),
}

impl Body {
    /// What the client says it sent.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the client stopped sending, or sent more than is allowed.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        match &mut self.source {
            Source::Whole(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
            Source::Streamed(body) => body.read(CHUNK_BYTES).map_err(|error| match error.kind {
                ErrorKind::Limit => too_large(error.message),
                _ => error.into(),
            }),
        }
    }

    /// All the bytes that are still to come.
    ///
    /// # Errors
    /// As for [`next_chunk`](Self::next_chunk).
    pub fn read_to_end(mut self) -> Result<Vec<u8>, Problem> {
        gather(usize::MAX, || self.next_chunk())
    }

    /// The whole body, which must not be larger than the route's documents may be.
    pub(crate) fn read_document(mut self, request: &Request) -> Result<Vec<u8>, Problem> {
        gather(request.document_max_bytes, || self.next_chunk())
    }
}

/// All chunks in one, unless they are more than `max` bytes.
pub(crate) fn gather(
    max: usize,
    mut next_chunk: impl FnMut() -> Result<Option<Vec<u8>>, Problem>,
) -> Result<Vec<u8>, Problem> {
    let mut all = Vec::new();
    while let Some(chunk) = next_chunk()? {
        if all.len() + chunk.len() > max {
            return Err(too_large(format!("the body is too large: at most {max} bytes")));
        }
        if all.is_empty() { all = chunk } else { all.extend_from_slice(&chunk) }
    }
    Ok(all)
}

impl FromRequest for Body {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let source = match request.take_body() {
            RequestBody::None => Source::Whole(None),
            RequestBody::Bytes(bytes) => Source::Whole(Some(bytes)),
            RequestBody::Streamed(body) => Source::Streamed(body),
            RequestBody::Multipart(_) => {
                return Err(unsupported_media_type("this does not take a form of several parts"));
            }
        };
        Ok(Self { content_type: request.header("content-type").map(str::to_owned), source })
    }

    fn describe(operation: &mut Operation) {
        operation.request_type = Some("application/octet-stream");
        operation.problem(413, "body-too-large", "The body is larger than it may be");
    }
}

/// Asking again later would not help, as other limits' status says.
pub(crate) fn too_large(detail: String) -> Problem {
    Problem::new(413, "body-too-large", detail)
}

pub(crate) fn unsupported_media_type(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(415, "unsupported-media-type", detail)
}
