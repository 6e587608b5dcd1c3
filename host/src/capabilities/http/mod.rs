//! Http: the resources that cross with a request or an answer.
//!
//! Streams come and go here without a byte of them being copied into a guest unless it asks. What
//! listens on a socket is `crate::http`; the two share no code.

use std::pin::Pin;

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::bindings::hostel::http::types::{
    self, Host, HostBlob, HostBody, HostMultipart, HostOutgoingStream, Part, ResponseHead,
};
use crate::call::CallContext;
use crate::error::{Error, ErrorKind, Result};

/// The most that one `read` hands to a guest.
const READ_MAX_BYTES: u32 = 1024 * 1024;

/// The chunks of a request's body as they arrive.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// `body`: bytes of a request that were too many to be handed over at once.
pub struct IncomingBody {
    /// What the client said the length is.
    pub length: Option<u64>,
    /// What has not been read from the socket yet.
    pub chunks: Chunks,
    /// What was read and not yet taken.
    pub rest: Bytes,
}

/// `multipart`: none exist yet, and no guest can make one.
pub enum Multipart {}

/// `blob`: none exist yet, and no guest can make one.
pub enum Blob {}

/// `outgoing-stream`: none exist yet; `open` answers `unavailable`.
pub enum OutgoingStream {}

/// What one call may do with its request's and its answer's resources.
pub struct HttpView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) table: &'a mut ResourceTable,
}

struct HttpData;

impl HasData for HttpData {
    type Data<'a> = HttpView<'a>;
}

/// Links `hostel:http/types`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> HttpView<'_>,
) -> Result<(), wasmtime::Error> {
    types::add_to_linker::<T, HttpData>(linker, view)
}

impl HttpView<'_> {
    /// Gives a guest the handle of a body.
    pub(crate) fn hand_over(&mut self, body: IncomingBody) -> Result<Resource<IncomingBody>> {
        let handle = self.table.push(body).map_err(|error| {
            Error::new(ErrorKind::Limit, "handles", "too many handles are open").because(error)
        })?;
        self.call.budget.handles_open += 1;
        Ok(handle)
    }
}

impl Host for HttpView<'_> {}

impl HostBody for HttpView<'_> {
    async fn length(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&body)?.length)
    }

    async fn read(
        &mut self,
        body: Resource<IncomingBody>,
        max_bytes: u32,
    ) -> Result<Option<Vec<u8>>> {
        let deadline = tokio::time::Instant::from_std(self.call.deadline);
        let body = self.table.get_mut(&body).map_err(stale)?;
        while body.rest.is_empty() {
            match tokio::time::timeout_at(deadline, body.chunks.next()).await {
                Ok(Some(chunk)) => body.rest = chunk?,
                Ok(None) => return Ok(None),
                Err(_) => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        "timeout",
                        "the client sends too slowly",
                    ));
                }
            }
        }
        let wanted = max_bytes.clamp(1, READ_MAX_BYTES) as usize;
        let taken = body.rest.copy_to_bytes(wanted.min(body.rest.len()));
        self.call.budget.pay_for_bytes(taken.len())?;
        Ok(Some(taken.into()))
    }

    async fn drop(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<()> {
        self.table.delete(body)?;
        self.call.budget.handles_open = self.call.budget.handles_open.saturating_sub(1);
        Ok(())
    }
}

impl HostMultipart for HttpView<'_> {
    async fn next_part(&mut self, multipart: Resource<Multipart>) -> Result<Option<Part>> {
        match *self.table.get(&multipart).map_err(stale)? {}
    }

    async fn drop(&mut self, multipart: Resource<Multipart>) -> wasmtime::Result<()> {
        match self.table.delete(multipart)? {}
    }
}

impl HostBlob for HttpView<'_> {
    async fn length(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u64> {
        match *self.table.get(&blob)? {}
    }

    async fn content_type(&mut self, blob: Resource<Blob>) -> wasmtime::Result<String> {
        match *self.table.get(&blob)? {}
    }

    async fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        match self.table.delete(blob)? {}
    }
}

impl HostOutgoingStream for HttpView<'_> {
    async fn open(&mut self, _head: ResponseHead) -> Result<Resource<OutgoingStream>> {
        Err(Error::new(
            ErrorKind::Unavailable,
            "unavailable",
            "this host does not stream answers yet: return the bytes",
        ))
    }

    async fn write(&mut self, stream: Resource<OutgoingStream>, _chunk: Vec<u8>) -> Result<()> {
        match *self.table.get(&stream).map_err(stale)? {}
    }

    async fn drop(&mut self, stream: Resource<OutgoingStream>) -> wasmtime::Result<()> {
        match self.table.delete(stream)? {}
    }
}

fn stale(error: wasmtime::component::ResourceTableError) -> Error {
    Error::invalid("the handle is not open").because(error)
}
