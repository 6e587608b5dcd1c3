//! Makes a plain function a handler: its arguments are extracted, its value is answered.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::extract::FromRequest;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{IntoResponse, Response};

/// A function of up to six extractors that returns an answer. Functions that make handlers say so:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::Handler;
/// fn greeter(word: &'static str) -> impl Handler<(Path<String>,)> {
///     move |Path(name): Path<String>| format!("{word}, {name}!")
/// }
/// # let _ = (get("/hello/{name}", greeter("Hello")), get("/bye/{name}", greeter("Good bye")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle requests",
    label = "not a handler",
    note = "a handler is a function of at most six arguments that implement `FromRequest`",
    note = "and it returns something that implements `IntoResponse`, for example `Result<Json<T>, Problem>`",
    note = "what is in a `Json` implements serde's traits and `schemars::JsonSchema`, and an error `Into<Problem>`"
)]
pub trait Handler<Arguments>: Send + Sync + 'static {
    /// Extracts the arguments, runs the function and makes the answer.
    ///
    /// # Errors
    /// What an extractor or the function says is wrong.
    fn call(&self, request: &mut Request) -> Result<Response, Problem>;

    /// Notes what the function's types say about the operation.
    fn describe(operation: &mut Operation);
}

macro_rules! handler {
    ($($argument:ident)*) => {
        impl<F, R, $($argument),*> Handler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> R + Send + Sync + 'static,
            R: IntoResponse,
            $($argument: FromRequest,)*
        {
            #[allow(non_snake_case, unreachable_patterns, reason = "one name per type; none for none")]
            fn call(&self, request: &mut Request) -> Result<Response, Problem> {
                // All are taken, so that a client is told of all that is wrong at once.
                $(let $argument = $argument::from_request(request);)*
                match ($($argument,)*) {
                    ($(Ok($argument),)*) => self($($argument),*).into_response(request),
                    ($($argument,)*) => Err(Problem::joined([$($argument.err()),*])),
                }
            }

            fn describe(operation: &mut Operation) {
                $($argument::describe(operation);)*
                R::describe(operation);
            }
        }
    };
}

handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);
handler!(A B C D E);
handler!(A B C D E G);

/// What a handler's types say about its operation, for the API's documentation. Extractors and
/// answers of a module's own say it in their `describe`:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::{Operation, Request};
/// #[derive(Serialize, JsonSchema)]
/// struct Job {
///     number: u32,
/// }
///
/// /// 202: it will be done.
/// struct Accepted(Job);
///
/// impl IntoResponse for Accepted {
///     fn into_response(self, _request: &Request) -> Result<Response, Problem> {
///         Ok(Response::json(&self.0)?.status(202))
///     }
///
///     fn describe(operation: &mut Operation) {
///         operation.success_status = Some(202);
///         operation.response::<Job>();
///     }
/// }
/// # fn begin() -> Accepted { Accepted(Job { number: 1 }) }
/// # let module = Module::new("jobs", "1.0.0").route(post("/", begin).public());
/// # assert_eq!(module.manifest().routes[0].success_status, 202);
/// ```
///
/// An extractor that reads the body says `operation.request::<T>()` in the same way.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Operation {
    /// The JSON Schema of the request's body.
    pub request_schema: Option<Schema>,
    /// The JSON Schema of the body of a successful answer.
    pub response_schema: Option<Schema>,
    /// The status of a successful answer.
    pub success_status: Option<u16>,
}

impl Operation {
    /// Says what the request's body looks like.
    pub fn request<T: JsonSchema>(&mut self) {
        self.request_schema = Some(schema_for::<T>());
    }

    /// Says what the body of a successful answer looks like.
    pub fn response<T: JsonSchema>(&mut self) {
        let settings = settings().for_serialize();
        self.response_schema = Some(settings.into_generator().into_root_schema_for::<T>());
    }
}

/// The schema of a value that the module reads.
pub(crate) fn schema_for<T: JsonSchema>() -> Schema {
    settings().for_deserialize().into_generator().into_root_schema_for::<T>()
}

/// A schema as the manifest holds it. It is JSON already, so nothing can go wrong, and no words for
/// what could have to be in every module.
pub(crate) fn schema_text(schema: &Schema) -> String {
    serde_json::to_string(schema.as_value()).unwrap_or_default()
}

/// A value as the manifest holds it. A value that cannot be JSON is the module author's mistake,
/// and shows when the module is described.
pub(crate) fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| panic!("this cannot be JSON: {error}"))
}

/// Schemas stand alone, without references, so that they can be put into a larger document.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}
