//! Makes a plain function a handler: its arguments are extracted, its value is answered.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

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
/// Extractors say what they read in the same way:
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::{Operation, Request};
/// /// A sheet of numbers, and which of them.
/// struct Sheet(Vec<u8>);
///
/// #[derive(JsonSchema)]
/// struct Range {
///     /// The first row.
///     from: u32,
/// }
///
/// impl FromRequest for Sheet {
///     fn from_request(request: &mut Request) -> Result<Self, Problem> {
///         Ok(Self(Body::from_request(request)?.read_to_end()?))
///     }
///
///     fn describe(operation: &mut Operation) {
///         operation.path::<Id<Sheet>>();
///         operation.query::<Range>();
///         operation.request::<Vec<f64>>();
///         operation.request_type = Some("text/csv");
///         operation.response_header("x-rows", "How many rows there were");
///         operation.problem(400, "no-sheet", "This is no CSV");
///     }
/// }
/// # fn read(_: Sheet) {}
/// # let module = Module::new("sheets", "1.0.0").route(put("/{id}", read).public());
/// # let route = module.manifest().routes.remove(0);
/// # assert_eq!((route.request_type.as_deref(), route.problems.len()), (Some("text/csv"), 1));
/// # assert!(route.path_schema.unwrap().contains("uuid"));
/// # assert!(route.query_schema.unwrap().contains("from"));
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Operation {
    /// The JSON Schema of the path's parameters.
    pub path_schema: Option<Schema>,
    /// The JSON Schema of the query, an object.
    pub query_schema: Option<Schema>,
    /// The content type of the request's body.
    pub request_type: Option<&'static str>,
    /// The JSON Schema of the request's body.
    pub request_schema: Option<Schema>,
    /// The content type of a successful answer.
    pub response_type: Option<&'static str>,
    /// The JSON Schema of the body of a successful answer.
    pub response_schema: Option<Schema>,
    /// Headers of a successful answer: names, and what they say.
    pub response_headers: Vec<(&'static str, &'static str)>,
    /// The status of a successful answer.
    pub success_status: Option<u16>,
    /// What may go wrong: status, code, and when.
    pub problems: Vec<(u16, &'static str, &'static str)>,
}

impl Operation {
    /// Says what the path's parameters are: one, a tuple of them, or a struct.
    pub fn path<T: JsonSchema>(&mut self) {
        self.path_schema = Some(schema_for::<T>());
    }

    /// Says which pairs the query has, beside those that are known of.
    pub fn query<T: JsonSchema>(&mut self) {
        self.query_of(schema_for::<T>());
    }

    /// Says which pairs the query has: the members of an object's schema.
    pub(crate) fn query_of(&mut self, mut more: Schema) {
        let Some(known) = &mut self.query_schema else {
            self.query_schema = Some(more);
            return;
        };
        if let (Some(Value::Object(to)), Some(Value::Object(from))) =
            (known.get_mut("properties"), more.get_mut("properties"))
        {
            to.append(from);
        }
        if let Some(Value::Array(from)) = more.remove("required") {
            let required = known.ensure_object().entry("required").or_insert_with(|| json!([]));
            if let Value::Array(to) = required {
                to.extend(from);
            }
        }
    }

    /// Says what the request's body looks like: JSON, unless another type is set after it.
    pub fn request<T: JsonSchema>(&mut self) {
        self.request_type = Some(JSON);
        self.request_schema = Some(root_of::<T>(settings().for_deserialize()));
    }

    /// Says what the body of a successful answer looks like: JSON, unless another type is set after
    /// it.
    pub fn response<T: JsonSchema>(&mut self) {
        self.response_type = Some(JSON);
        self.response_schema = Some(root_of::<T>(settings().for_serialize()));
    }

    /// Says that a successful answer may have this header.
    pub fn response_header(&mut self, name: &'static str, summary: &'static str) {
        self.response_headers.push((name, summary));
    }

    /// Says what may go wrong.
    pub fn problem(&mut self, status: u16, code: &'static str, summary: &'static str) {
        self.problems.push((status, code, summary));
    }
}

const JSON: &str = "application/json";

/// The schema of a value that the module reads. It stands alone, without references: whoever looks
/// for what is missing follows none.
pub(crate) fn schema_for<T: JsonSchema>() -> Schema {
    root_of::<T>(settings().for_deserialize().with(|settings| settings.inline_subschemas = true))
}

/// What `into_root_schema_for` of schemars makes, where the definitions' place is known: what finds it
/// by a JSON pointer would be in every module, and make up a tenth of the smallest.
fn root_of<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let mut generator = settings.into_generator();
    let mut schema = T::json_schema(&mut generator);
    let root = schema.ensure_object();
    root.entry("title").or_insert_with(|| T::schema_name().into());
    let definitions = generator.take_definitions(false);
    if !definitions.is_empty() {
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
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

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None)
}
