//! The table of routes: method, path, handler, and who may call it.

use std::marker::PhantomData;

use schemars::Schema;

use crate::bindings::exports::hostel::module::guest;
use crate::description;
use crate::handler::{Handler, Operation, schema_text};
use crate::problem::Problem;
use crate::request::Request;
use crate::{bindings::hostel::http::types, response::Response};

pub use crate::bindings::exports::hostel::module::guest::Method;

/// One operation over HTTP, mounted under `/api/<module>`.
///
/// A route starts [`Undecided`] and enters a module only with its [`Access`]: a route that is open
/// by accident does not compile.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # fn upload(body: Body) -> Result<NoContent, Problem> { body.read_to_end()?; Ok(NoContent) }
/// # fn begin() {}
/// fn scans() -> Module {
///     Module::new("scans", "1.0.0")
///         .permission("scans:write", "Send scans")
///         .route(
///             put("/{id}", upload)
///                 .requires("scans:write")
///                 .id("send")
///                 .about("Send a scan")
///                 .tag("paper")
///                 .problem(409, "scan-printed", "The scan was printed already")
///                 .body_max_bytes(20 * 1024 * 1024)
///                 .timeout_ms(5_000),
///         )
///         .route(post("/{id}/print", begin).public().status(202))
/// }
/// # assert_eq!(scans().manifest().routes[1].success_status, 202);
/// ```
#[must_use]
pub struct Route<A = Access> {
    status: Option<u16>,
    body_max_bytes: Option<u64>,
    call: Box<Call>,
    /// None where it only handles requests.
    described: Option<Box<Described>>,
    is_decided: PhantomData<A>,
}

/// What is said of a route.
struct Described {
    method: Method,
    path: &'static str,
    access: Access,
    id: Option<&'static str>,
    summary: &'static str,
    tags: Vec<&'static str>,
    problems: Vec<(u16, &'static str, &'static str)>,
    timeout_ms: Option<u32>,
    etag: bool,
    operation: fn(&mut Operation),
}

type Call = dyn Fn(&mut Request) -> Result<Response, Problem> + Send + Sync;

/// Who may call a route.
///
/// ```
/// # use hostel_sdk::Access;
/// let readers = Access::Permission("notes:read"); // what `.requires("notes:read")` says
/// assert_ne!(readers, Access::Public); // what `.public()` says
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, signed in or not.
    Public,
    /// Principals that hold this permission.
    Permission(&'static str),
}

/// Nobody has said yet who may call this route: call `requires` or `public`.
///
/// ```compile_fail
/// # use hostel_sdk::prelude::*;
/// Module::new("notes", "1.0.0").route(get("/", || "who may read this?"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Undecided;

/// A route of which is said who may call it. Functions that make routes give one:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::Decided;
/// fn about(path: &'static str, text: &'static str) -> impl Decided {
///     get(path, move || text).public()
/// }
/// # let _ = Module::new("shop", "1.0.0").route(about("/about", "We sell tea."));
/// ```
#[diagnostic::on_unimplemented(
    message = "this route does not say who may call it",
    label = "anybody, or who?",
    note = "end it with `.requires(\"a permission\")` or with `.public()`"
)]
pub trait Decided {
    /// The route.
    fn decided(self) -> Route;
}

impl Decided for Route {
    fn decided(self) -> Route {
        self
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $method:ident)*) => {$(
        $(#[$doc])*
        pub fn $name<A>(path: &'static str, handler: impl Handler<A>) -> Route<Undecided> {
            Route::new(Method::$method, path, handler)
        }
    )*};
}

methods! {
    /// A route that answers `GET`.
    get Get
    /// A route that answers `HEAD`.
    head Head
    /// A route that answers `POST`.
    post Post
    /// A route that answers `PUT`.
    put Put
    /// A route that answers `PATCH`.
    patch Patch
    /// A route that answers `DELETE`.
    delete Delete
}

impl Route<Undecided> {
    fn new<A, H: Handler<A>>(method: Method, path: &'static str, handler: H) -> Self {
        let described = || Described {
            method,
            path,
            // Until it is decided, nobody asks.
            access: Access::Public,
            id: None,
            summary: "",
            tags: Vec::new(),
            problems: Vec::new(),
            timeout_ms: None,
            etag: false,
            operation: H::describe,
        };
        Self {
            status: None,
            body_max_bytes: None,
            // A function has no size, so this box allocates nothing.
            call: Box::new(move |request| handler.call(request)),
            described: description::is_wanted().then(|| Box::new(described())),
            is_decided: PhantomData,
        }
    }

    /// Lets principals in that hold this permission, which the module must declare.
    pub fn requires(self, permission: &'static str) -> Route {
        self.decided(Access::Permission(permission))
    }

    /// Lets everybody in, signed in or not.
    pub fn public(self) -> Route {
        self.decided(Access::Public)
    }

    fn decided(self, access: Access) -> Route {
        let Self { status, body_max_bytes, call, described, .. } = self;
        let decided = Route { status, body_max_bytes, call, described, is_decided: PhantomData };
        decided.described(|described| described.access = access)
    }
}

impl<A> Route<A> {
    fn described(mut self, say: impl FnOnce(&mut Described)) -> Self {
        if let Some(described) = &mut self.described {
            say(described);
        }
        self
    }

    /// Names the operation, for programs that are made from the API's description: the route `list`
    /// of `notes` is `notes.list` there. Without it, method and path make a name.
    pub fn id(self, id: &'static str) -> Self {
        self.described(|described| described.id = Some(id))
    }

    /// Says in one line what the route does, for the API's documentation.
    pub fn about(self, summary: &'static str) -> Self {
        self.described(|described| described.summary = summary)
    }

    /// Groups the route with others in the API's documentation.
    pub fn tag(self, tag: &'static str) -> Self {
        self.described(|described| described.tags.push(tag))
    }

    /// Says what may go wrong, for the API's documentation: what extractors say needs no saying.
    pub fn problem(self, status: u16, code: &'static str, summary: &'static str) -> Self {
        self.described(|described| described.problems.push((status, code, summary)))
    }

    /// The status of a successful answer, where the answer's type does not say another.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Accepts bodies up to this size, or up to the platform's limit where that is smaller. Without
    /// it, [`Json`](crate::json::Json) and [`Form`](crate::extract::Form) take 2 MiB.
    pub fn body_max_bytes(mut self, bytes: u64) -> Self {
        self.body_max_bytes = Some(bytes);
        self
    }

    /// Ends calls after this time, or after the platform's limit where that is shorter.
    pub fn timeout_ms(self, milliseconds: u32) -> Self {
        self.described(|described| described.timeout_ms = Some(milliseconds))
    }

    /// Has the host give answers an `ETag`, made of their bytes (of answers up to 1 MiB), and answer
    /// 304 without a body to clients that have them already. The handler runs all the same: what is
    /// saved is the way to the client. See [`Tagged`](crate::conditional::Tagged) for tags that say more.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn shop() -> Module {
    ///     Module::new("shop", "1.0.0").route(get("/prices", || "a list, seldom changed").public().etag())
    /// }
    /// # assert!(shop().manifest().routes[0].etag);
    /// ```
    pub fn etag(self) -> Self {
        self.described(|described| described.etag = true)
    }
}

impl Route<Access> {
    pub(crate) fn handle(&self, request: &mut Request) -> Result<Response, Problem> {
        (self.call)(request)
    }

    /// The most that is read into memory as one document. A body may have any size that the host
    /// lets through, and a document that fills a call's memory would end the call.
    pub(crate) fn document_max_bytes(&self) -> usize {
        const DEFAULT: usize = 2 * 1024 * 1024;
        self.body_max_bytes.map_or(DEFAULT, |bytes| bytes.try_into().unwrap_or(usize::MAX))
    }

    /// A handler's answer, with the route's own status where it has none.
    pub(crate) fn finish(&self, answer: Response) -> types::Response {
        answer.into_binding(self.status.unwrap_or(200))
    }

    /// What is said of it; none where it was built to handle requests.
    pub(crate) fn describe(&self) -> Option<guest::Route> {
        let described = self.described.as_ref()?;
        let mut operation = Operation::default();
        (described.operation)(&mut operation);
        operation.problems.extend(&described.problems);
        let schema = |schema: Option<Schema>| schema.as_ref().map(schema_text);
        Some(guest::Route {
            method: described.method,
            path: described.path.to_owned(),
            access: match described.access {
                Access::Public => guest::Access::Public,
                Access::Permission(name) => guest::Access::Permission(name.to_owned()),
            },
            operation_id: described.id.map(str::to_owned),
            summary: described.summary.to_owned(),
            tags: described.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            path_schema: schema(operation.path_schema),
            query_schema: schema(operation.query_schema),
            request_type: operation.request_type.map(str::to_owned),
            request_schema: schema(operation.request_schema),
            response_type: operation.response_type.map(str::to_owned),
            response_schema: schema(operation.response_schema),
            response_headers: operation.response_headers.into_iter().map(header).collect(),
            success_status: operation.success_status.or(self.status).unwrap_or(200),
            problems: operation.problems.into_iter().map(problem).collect(),
            body_max_bytes: self.body_max_bytes,
            timeout_ms: described.timeout_ms,
            etag: described.etag,
        })
    }
}

fn header((name, summary): (&str, &str)) -> guest::AnswerHeader {
    guest::AnswerHeader { name: name.to_owned(), summary: summary.to_owned() }
}

fn problem((status, code, summary): (u16, &str, &str)) -> guest::ExpectedProblem {
    guest::ExpectedProblem { status, code: code.to_owned(), summary: summary.to_owned() }
}
