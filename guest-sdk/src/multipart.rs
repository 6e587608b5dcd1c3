//! Forms of several parts (`multipart/form-data`): fields and files, as they arrive.

use std::fmt;
use std::marker::PhantomData;

use crate::bindings::hostel::http::types::{self, RequestBody};
use crate::extract::{
    CHUNK_BYTES, FromRequest, describe_body, essence, gather, too_large, unsupported_media_type,
};
use crate::handler::Operation;
use crate::problem::Problem;
use crate::request::Request;
use crate::{Error, ErrorKind};

/// A form with files, which clients send as `multipart/form-data`, part by part.
///
/// Parts come in the order in which they were sent, and none of them is in memory as a whole unless
/// the module asks for it. Another content type is answered with 415, a form that is malformed with
/// 400 `invalid-multipart`, and one that is larger than it may be with 413.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// fn upload(mut form: Multipart) -> Result<String, Problem> {
///     let mut title = String::new();
///     let mut bytes = 0;
///     while let Some(mut part) = form.next_part()? {
///         match part.name() {
///             "title" => title = part.text()?,
///             "file" => {
///                 while let Some(chunk) = part.next_chunk()? {
///                     bytes += chunk.len();
///                 }
///             }
///             // A part that is not read is skipped.
///             _ => {}
///         }
///     }
///     Ok(format!("{title}: {bytes} bytes"))
/// }
/// # let _ = post("/", upload);
/// ```
#[derive(Debug)]
pub struct Multipart(types::Multipart);

impl Multipart {
    /// The next part; `None` at the end. What was not read of the part before it is skipped.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn names(mut form: Multipart) -> Result<String, Problem> {
    ///     let mut names = Vec::new();
    ///     while let Some(part) = form.next_part()? {
    ///         names.push(part.name().to_owned());
    ///     }
    ///     Ok(names.join(", "))
    /// }
    /// # let _ = post("/", names);
    /// ```
    ///
    /// # Errors
    /// When the form is malformed, has too many parts, or is larger than it may be; when the client
    /// stopped sending.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, Problem> {
        let part = self.0.next_part().map_err(explain)?;
        Ok(part.map(|part| Part { part, form: PhantomData }))
    }
}

impl FromRequest for Multipart {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let content_type = request.header("content-type").map(essence).unwrap_or_default();
        let is_form = content_type.eq_ignore_ascii_case("multipart/form-data");
        match request.take_body() {
            RequestBody::Multipart(form) => Ok(Self(form)),
            RequestBody::None if is_form => Err(invalid("the body is empty")),
            _ => Err(unsupported_media_type("the body must be a form: send `multipart/form-data`")),
        }
    }

    fn describe(operation: &mut Operation) {
        operation.request_type = Some("multipart/form-data");
        operation.problem(400, "invalid-multipart", "The body is no form of several parts");
        describe_body(operation);
    }
}

/// A field or a file of a [`Multipart`]. It is read before the next one is asked for.
///
/// ```
/// use hostel_sdk::multipart::Part;
/// # use hostel_sdk::prelude::*;
///
/// fn describe(part: &Part) -> String {
///     match part.file_name() {
///         Some(file) => format!("the file {file} in the field {}", part.name()),
///         None => format!("the field {}", part.name()),
///     }
/// }
///
/// fn first(mut form: Multipart) -> Result<String, Problem> {
///     let part = form.next_part()?;
///     Ok(part.map_or_else(|| "nothing".to_owned(), |part| describe(&part)))
/// }
/// # let _ = post("/", first);
/// ```
pub struct Part<'a> {
    part: types::Part,
    /// Its bytes are the form's: who has the one cannot ask the other for more.
    form: PhantomData<&'a mut Multipart>,
}

impl Part<'_> {
    /// The field's name.
    ///
    /// ```
    /// # use hostel_sdk::{multipart::Part, prelude::*};
    /// fn is_title(part: &Part) -> bool {
    ///     part.name() == "title"
    /// }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.part.name
    }

    /// The file's name on the client's side, where the part is a file. It may be anything: never
    /// take it for a path.
    ///
    /// ```
    /// # use hostel_sdk::{multipart::Part, prelude::*};
    /// fn is_file(part: &Part) -> bool {
    ///     part.file_name().is_some()
    /// }
    /// ```
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.part.file_name.as_deref()
    }

    /// What the client says the part is.
    ///
    /// ```
    /// # use hostel_sdk::{multipart::Part, prelude::*};
    /// fn is_picture(part: &Part) -> bool {
    ///     part.content_type().is_some_and(|it| it.starts_with("image/"))
    /// }
    /// ```
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.part.content_type.as_deref()
    }

    /// The next bytes; `None` at the end.
    ///
    /// ```
    /// # use hostel_sdk::{multipart::Part, prelude::*};
    /// fn length(mut part: Part) -> Result<usize, Problem> {
    ///     let mut bytes = 0;
    ///     while let Some(chunk) = part.next_chunk()? {
    ///         bytes += chunk.len();
    ///     }
    ///     Ok(bytes)
    /// }
    /// ```
    ///
    /// # Errors
    /// When the form is malformed or larger than it may be; when the client stopped sending.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        self.part.body.read(CHUNK_BYTES).map_err(explain)
    }

    /// All the bytes that are still to come.
    ///
    /// ```
    /// # use hostel_sdk::{multipart::Part, prelude::*};
    /// fn is_png(part: Part) -> Result<bool, Problem> {
    ///     Ok(part.bytes()?.starts_with(b"\x89PNG"))
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`next_chunk`](Self::next_chunk).
    pub fn bytes(mut self) -> Result<Vec<u8>, Problem> {
        gather(usize::MAX, || self.next_chunk())
    }

    /// All the bytes that are still to come, as text.
    ///
    /// ```
    /// # use hostel_sdk::{multipart::Part, prelude::*};
    /// fn title(part: Part) -> Result<String, Problem> {
    ///     Ok(part.text()?.trim().to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`next_chunk`](Self::next_chunk); 422, naming `/<field>`, when it is not UTF-8.
    pub fn text(mut self) -> Result<String, Problem> {
        let name = std::mem::take(&mut self.part.name);
        String::from_utf8(self.bytes()?)
            .map_err(|_| Problem::invalid().field(format!("/{name}"), "this is not UTF-8"))
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types::Part { name, file_name, content_type, .. } = &self.part;
        f.debug_struct("Part")
            .field("name", name)
            .field("file_name", file_name)
            .field("content_type", content_type)
            .finish_non_exhaustive()
    }
}

fn explain(error: Error) -> Problem {
    match error.kind {
        ErrorKind::Limit => too_large(error.message),
        ErrorKind::Invalid => invalid(error.message),
        _ => error.into(),
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::bad_request("invalid-multipart", detail)
}
