//! What a guest sees of a request, and answers that are well formed.

use std::sync::atomic::{AtomicU64, Ordering};

use hostel_sdk::bindings::hostel::http::types;
use hostel_sdk::prelude::*;
use hostel_sdk::{Request, tenancy};

/// Everything in a request but its body.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Echo {
    path: String,
    parameters: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    principal: Caller,
    tenant: Home,
}

#[derive(Serialize, JsonSchema)]
struct Caller {
    kind: &'static str,
    id: String,
    impersonator: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Home {
    id: String,
    slug: String,
    display_name: String,
}

impl FromRequest for Echo {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let principal = request.principal();
        let tenant = tenancy::current();
        Ok(Self {
            path: request.path().to_owned(),
            parameters: request.parameters().to_vec(),
            query: request.query().to_vec(),
            headers: request.headers().to_vec(),
            principal: Caller {
                kind: kind(principal.kind),
                id: principal.id.clone(),
                impersonator: principal.impersonator.clone(),
            },
            tenant: Home { id: tenant.id, slug: tenant.slug, display_name: tenant.display_name },
        })
    }
}

fn kind(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Anonymous => "anonymous",
        PrincipalKind::Account => "account",
        PrincipalKind::ApiKey => "api-key",
        PrincipalKind::Module => "module",
        PrincipalKind::Operator => "operator",
    }
}

pub(crate) fn echo(echo: Echo) -> Json<Echo> {
    Json(echo)
}

pub(crate) fn echo_body(body: Body) -> Result<Bytes, Problem> {
    let content_type = body.content_type().unwrap_or("application/octet-stream").to_owned();
    Ok(Bytes { content_type: content_type.into(), data: body.read_to_end()? })
}

/// How long a body was.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Length {
    bytes: u64,
    chunks: u64,
}

/// Counts a body as it arrives, without keeping it.
pub(crate) fn length(mut body: Body) -> Result<Json<Length>, Problem> {
    let mut length = Length { bytes: 0, chunks: 0 };
    while let Some(chunk) = body.next_chunk()? {
        length.bytes += chunk.len() as u64;
        length.chunks += 1;
    }
    Ok(Json(length))
}

/// A form.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    name: String,
    age: Option<u8>,
}

pub(crate) fn form(Form(person): Form<Person>) -> Json<Person> {
    Json(person)
}

/// One part of a form.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PartSeen {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    /// Of fields alone: files are counted.
    text: Option<String>,
    bytes: usize,
    chunks: usize,
}

/// Shows the parts of a form. Those named `skipped` are not read.
pub(crate) fn parts(mut form: Multipart) -> Result<Json<Vec<PartSeen>>, Problem> {
    let mut seen = Vec::new();
    while let Some(mut part) = form.next_part()? {
        let mut this = PartSeen {
            name: part.name().to_owned(),
            file_name: part.file_name().map(str::to_owned),
            content_type: part.content_type().map(str::to_owned),
            text: None,
            bytes: 0,
            chunks: 0,
        };
        if this.file_name.is_some() {
            while let Some(chunk) = part.next_chunk()? {
                this.bytes += chunk.len();
                this.chunks += 1;
            }
        } else if this.name != "skipped" {
            let text = part.text()?;
            this.bytes = text.len();
            this.text = Some(text);
        }
        seen.push(this);
    }
    Ok(Json(seen))
}

/// Does with a form what the SDK does not let anybody do; answers with what each step came to.
pub(crate) fn misread_parts(Unguarded(form): Unguarded) -> Result<Json<Vec<String>>, Problem> {
    let said = |outcome: Result<Option<Vec<u8>>, Error>| match outcome {
        Ok(bytes) => String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
        Err(error) => format!("{:?}: {}", error.kind, error.message),
    };
    let first = form.next_part()?.ok_or_else(|| Problem::not_found("part"))?;
    let begun = first.body.read(1);
    let second = form.next_part()?.ok_or_else(|| Problem::not_found("part"))?;
    let late = first.body.read(1);
    drop(form);
    let after = second.body.read(100);
    Ok(Json([begun, late, after].map(said).into()))
}

/// A form without the SDK around it.
pub(crate) struct Unguarded(types::Multipart);

impl FromRequest for Unguarded {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        match request.take_body() {
            types::RequestBody::Multipart(form) => Ok(Self(form)),
            _ => Err(Problem::not_found("form")),
        }
    }
}

/// Answers in the handler's place when it is asked to.
pub(crate) fn refuse(request: &mut Request) -> Result<(), Problem> {
    match request.header("x-refuse") {
        Some(why) => Err(Problem::conflict("refused", why.to_owned())),
        None => Ok(()),
    }
}

/// Shows in the answer what was asked for in the request.
pub(crate) fn mark(request: &Request, answer: Response) -> Result<Response, Problem> {
    Ok(match request.header("x-mark") {
        Some(mark) => answer.header("x-marked", mark.to_owned()),
        None => answer,
    })
}

/// An answer that has a tag only by the route's wish.
pub(crate) fn digest(Path(text): Path<String>) -> String {
    text
}

/// An answer whose version is what the client says.
pub(crate) fn tagged(Path(version): Path<String>) -> Tagged<Json<String>> {
    Tagged::by(&version, Json(format!("version {version}").repeat(200)))
}

/// A change of what has the version that the client says.
pub(crate) fn change_tagged(
    Path(version): Path<String>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    if_match.check(version)?;
    Ok(NoContent)
}

pub(crate) fn secret() -> &'static str {
    "the secret"
}

pub(crate) fn problem() -> Result<NoContent, Problem> {
    Err(Problem::conflict("probe-locked", "the probe is locked")
        .field("/name", "this is taken")
        .field("query/limit", "this is too much")
        .with("holder", "somebody"))
}

/// How many requests this instance has counted.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Count {
    count: u64,
}

/// Answers 1 each time, as long as each request gets an instance of its own.
pub(crate) fn counter() -> Json<Count> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Json(Count { count: COUNT.fetch_add(1, Ordering::Relaxed) + 1 })
}
