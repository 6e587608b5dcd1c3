//! Http: the resources that cross with a request or an answer.
//!
//! Streams come and go here without a byte of them being copied into a guest unless it asks. What
//! listens on a socket is `crate::http`; the two share no code.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod multipart;
mod streaming;

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

pub use self::multipart::{Boundary, Multipart};
pub use self::streaming::OutgoingStream;
pub(crate) use self::streaming::{Opened, Outgoing, Streaming, cut_off};
use crate::bindings::hostel::error::types::Host as _;
use crate::bindings::hostel::http::types::{
    self, Host, HostBlob, HostBody, HostMultipart, HostOutgoingStream, ResponseHead,
};
use crate::call::CallContext;
use crate::error::{Error, ErrorKind, Result};

/// The most that one `read` hands to a guest.
const READ_MAX_BYTES: u32 = 1024 * 1024;
const SENDS_TOO_SLOWLY: &str = "the client sends too slowly";

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
    /// Of which part of a form it is the body, if of any.
    pub part: Option<multipart::Part>,
}

impl IncomingBody {
    /// What has arrived of `wanted` bytes; one at least is at hand. Where it came in one piece, it is
    /// handed on as it is.
    fn take(&mut self, wanted: usize) -> Result<Bytes> {
        let first = self.rest.split_to(self.rest.len().min(wanted));
        if first.len() == wanted || !self.arrive()? {
            return Ok(first);
        }
        // Small pieces together cost a guest one call.
        let mut taken = BytesMut::with_capacity(wanted);
        taken.extend_from_slice(&first);
        while taken.len() < wanted && (!self.rest.is_empty() || self.arrive()?) {
            let missing = wanted - taken.len();
            taken.extend_from_slice(&self.rest.split_to(self.rest.len().min(missing)));
        }
        Ok(taken.freeze())
    }

    /// Whether another chunk is there already.
    fn arrive(&mut self) -> Result<bool> {
        let arrived = self.chunks.next().now_or_never();
        if let Some(None) = arrived {
            self.chunks = Box::pin(stream::empty());
        }
        let Some(Some(chunk)) = arrived else { return Ok(false) };
        self.rest = chunk?;
        Ok(true)
    }
}

/// `blob`: none exist yet, and no guest can make one.
pub enum Blob {}

/// What one call may do with its request's and its answer's resources.
pub struct HttpView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) streaming: &'a Streaming,
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
    types::add_to_linker::<T, HttpData>(linker, view)?;
    // The bindings know a list of bytes as a `Vec` alone, into which each body would be copied on its
    // way from the socket to the guest.
    linker.allow_shadowing(true);
    linker.instance("hostel:http/types@0.1.0")?.func_wrap_async(
        "[method]body.read",
        move |mut store, (body, max_bytes): (Resource<IncomingBody>, u32)| {
            Box::new(async move {
                let mut view = view(store.data_mut());
                let told = match view.read_piece(body, max_bytes).await {
                    Ok(piece) => Ok(piece),
                    Err(error) => Err(view.convert_error(error)?),
                };
                Ok((told,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

impl HttpView<'_> {
    /// Gives a guest the handle of a body or of a form.
    pub(crate) fn hand_over<T: Send + 'static>(&mut self, resource: T) -> Result<Resource<T>> {
        let handle = self.table.push(resource).map_err(|error| {
            Error::new(ErrorKind::Limit, "handles", "too many handles are open").because(error)
        })?;
        self.call.budget.handles_open += 1;
        Ok(handle)
    }

    /// The next bytes of a body, as they came.
    async fn read_piece(
        &mut self,
        body: Resource<IncomingBody>,
        max_bytes: u32,
    ) -> Result<Option<Bytes>> {
        let body = self.table.get_mut(&body).map_err(stale)?;
        if let Some(part) = &body.part {
            part.check()?;
        }
        while body.rest.is_empty() {
            match in_time(self.call.deadline, body.chunks.next(), SENDS_TOO_SLOWLY).await? {
                Some(chunk) => body.rest = chunk?,
                None => return Ok(None),
            }
        }
        let wanted = max_bytes.clamp(1, READ_MAX_BYTES) as usize;
        let taken = body.take(wanted)?;
        self.streaming.moved(self.call, taken.len());
        Ok(Some(taken))
    }

    /// The module returned a stream as its answer: nothing of it is missing.
    pub(crate) fn end(&mut self, stream: Resource<OutgoingStream>) -> wasmtime::Result<()> {
        self.take_back(stream).map(OutgoingStream::end)
    }

    fn take_back<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<T> {
        let resource = self.table.delete(handle)?;
        self.call.budget.handles_open = self.call.budget.handles_open.saturating_sub(1);
        Ok(resource)
    }
}

/// What comes of waiting for the client before the call's time is over.
async fn in_time<F: Future>(
    deadline: Instant,
    waiting: F,
    too_slow: &'static str,
) -> Result<F::Output> {
    tokio::time::timeout_at(deadline.into(), waiting)
        .await
        .map_err(|_| Error::new(ErrorKind::Timeout, "timeout", too_slow))
}

impl Host for HttpView<'_> {}

impl HostBody for HttpView<'_> {
    async fn length(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&body)?.length)
    }

    // Hidden by what `add_to_linker` puts in its place.
    async fn read(
        &mut self,
        body: Resource<IncomingBody>,
        max_bytes: u32,
    ) -> Result<Option<Vec<u8>>> {
        Ok(self.read_piece(body, max_bytes).await?.map(Vec::from))
    }

    async fn drop(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<()> {
        self.take_back(body).map(drop)
    }
}

impl HostMultipart for HttpView<'_> {
    async fn next_part(&mut self, multipart: Resource<Multipart>) -> Result<Option<types::Part>> {
        let multipart = self.table.get(&multipart).map_err(stale)?;
        let Some((head, body)) =
            in_time(self.call.deadline, multipart.next_part(), SENDS_TOO_SLOWLY).await??
        else {
            return Ok(None);
        };
        let multipart::Head { name, file_name, content_type } = head;
        let texts = [Some(&name), file_name.as_ref(), content_type.as_ref()];
        self.call.budget.pay_for_bytes(texts.into_iter().flatten().map(String::len).sum())?;
        let body = self.hand_over(body)?;
        Ok(Some(types::Part { name, file_name, content_type, body }))
    }

    async fn drop(&mut self, multipart: Resource<Multipart>) -> wasmtime::Result<()> {
        self.take_back(multipart).map(drop)
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
    async fn open(&mut self, head: ResponseHead) -> Result<Resource<OutgoingStream>> {
        self.hand_over(OutgoingStream::open(self.streaming, head)?)
    }

    async fn write(&mut self, stream: Resource<OutgoingStream>, chunk: Vec<u8>) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let stream = self.table.get(&stream).map_err(stale)?;
        let bytes = chunk.len();
        self.streaming.begin();
        let writing = stream.write(chunk);
        in_time(self.call.deadline, writing, "the client reads too slowly").await??;
        self.streaming.moved(self.call, bytes);
        Ok(())
    }

    async fn drop(&mut self, stream: Resource<OutgoingStream>) -> wasmtime::Result<()> {
        self.take_back(stream).map(drop)
    }
}

fn stale(error: wasmtime::component::ResourceTableError) -> Error {
    Error::invalid("the handle is not open").because(error)
}
