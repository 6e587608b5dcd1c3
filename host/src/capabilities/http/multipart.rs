//! Forms of several parts, parsed as they arrive: of a part no more is in memory than a piece.
//!
//! `multer` parses. What it does not limit is limited here: how much it reads ahead, how long a
//! part's head is, how many parts there are.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{Chunks, IncomingBody};
use crate::error::{Error, ErrorKind, Result};

/// Parts of a form: more than people fill in and browsers send.
const PARTS_MAX: u32 = 1_000;
/// The head of a part, and what comes before it: more than a name and a file's name need.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// What the parser gets at once.
const PIECE_BYTES: usize = 64 * 1024;
/// RFC 2046, section 5.1.1.
const BOUNDARY_MAX_BYTES: usize = 70;

/// `multipart`: a form of several parts.
pub struct Multipart(Arc<Mutex<Reader>>);

/// What stands before a part's bytes.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
}

/// What stands between parts.
pub struct Boundary(String);

impl Boundary {
    /// The one that a content type names.
    ///
    /// # Errors
    /// `invalid-boundary` when it names none, or none that may be.
    pub fn of(content_type: &str) -> Result<Self> {
        multer::parse_boundary(content_type)
            .ok()
            .filter(|boundary| (1..=BOUNDARY_MAX_BYTES).contains(&boundary.len()))
            .map(Self)
            .ok_or_else(|| {
                let message = "`content-type` does not say where parts end: send `multipart/form-data; boundary=…`";
                Error::new(ErrorKind::Invalid, "invalid-boundary", message)
            })
    }
}

impl Multipart {
    /// Reads a form from `begun` and what is still to come.
    pub fn new(boundary: Boundary, begun: Bytes, chunks: Chunks) -> Self {
        let unparsed = Arc::new(AtomicUsize::new(0));
        let feed = Feed { chunks, rest: begun, pauses: false, unparsed: Arc::clone(&unparsed) };
        let parser = multer::Multipart::new(feed, boundary.0);
        let reader = Reader { parser, part: None, asked: 0, unparsed, is_broken: false };
        Self(Arc::new(Mutex::new(reader)))
    }

    /// The next part, after the rest of the one before it; `None` at the end.
    pub(super) async fn next_part(&self) -> Result<Option<(Head, IncomingBody)>> {
        let number = {
            let mut reader = locked(&self.0);
            reader.asked += 1;
            reader.asked
        };
        let head = poll_fn(|context| locked(&self.0).poll_head(context)).await?;
        let reader = Arc::clone(&self.0);
        let part = Part { reader: Arc::clone(&reader), number };
        let chunks =
            futures_util::stream::poll_fn(move |context| locked(&reader).poll_chunk(context));
        Ok(head.map(|head| {
            let body = IncomingBody {
                length: None,
                chunks: Box::pin(chunks),
                rest: Bytes::new(),
                part: Some(part),
            };
            (head, body)
        }))
    }
}

/// Which part a body belongs to.
pub struct Part {
    reader: Arc<Mutex<Reader>>,
    number: u32,
}

impl Part {
    /// Whether its bytes can still be read.
    ///
    /// # Errors
    /// When a later part was asked for: its bytes were skipped then.
    pub(super) fn check(&self) -> Result<()> {
        if locked(&self.reader).asked == self.number {
            return Ok(());
        }
        Err(Error::invalid("this part is over: a later one was asked for"))
    }
}

struct Reader {
    parser: multer::Multipart<'static>,
    /// The part that is being read. The parser goes on once it is dropped.
    part: Option<multer::Field<'static>>,
    /// How often a part was asked for.
    asked: u32,
    /// Shared with the parser's [`Feed`].
    unparsed: Arc<AtomicUsize>,
    /// What comes after a mistake means nothing.
    is_broken: bool,
}

impl Reader {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.is_broken {
            return Poll::Ready(Some(Err(broken())));
        }
        let Some(part) = &mut self.part else { return Poll::Ready(None) };
        self.unparsed.store(0, Ordering::Relaxed);
        let chunk = ready!(part.poll_next_unpin(context));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(|error| self.break_off(error))))
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Head>>> {
        while let Some(skipped) = ready!(self.poll_chunk(context)) {
            skipped?;
        }
        self.part = None;
        let part = ready!(self.parser.poll_next_field(context));
        Poll::Ready(part.map_err(|error| self.break_off(error)).and_then(|part| {
            let head = part.as_ref().map(|part| self.head(part)).transpose();
            self.part = part;
            head.inspect_err(|_| self.is_broken = true)
        }))
    }

    fn head(&self, part: &multer::Field<'_>) -> Result<Head> {
        if self.asked > PARTS_MAX {
            let message = format!("the form has too many parts: at most {PARTS_MAX}");
            return Err(Error::new(ErrorKind::TooLarge, "too-many-parts", message));
        }
        let bytes = part.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        if bytes.sum::<usize>() > HEAD_MAX_BYTES {
            return Err(head_too_large());
        }
        let Some(name) = part.name() else {
            // RFC 7578, section 4.2.
            return Err(malformed("a part has no name"));
        };
        let content_type = part.headers().get(http::header::CONTENT_TYPE);
        Ok(Head {
            name: name.to_owned(),
            file_name: part.file_name().map(ToOwned::to_owned),
            content_type: content_type.and_then(|it| it.to_str().ok()).map(ToOwned::to_owned),
        })
    }

    fn break_off(&mut self, error: multer::Error) -> Error {
        self.is_broken = true;
        match error {
            multer::Error::StreamReadFailed(error) => match error.downcast() {
                Ok(ours) => *ours,
                Err(other) => broken().because(other),
            },
            error => malformed(&error.to_string()),
        }
    }
}

/// Hands the parser one piece at a time: it takes all that is ready before it looks at any of it.
struct Feed {
    chunks: Chunks,
    rest: Bytes,
    /// It has just given a piece.
    pauses: bool,
    /// What it has given since a part's bytes were last read: the parser keeps it until a head is
    /// whole.
    unparsed: Arc<AtomicUsize>,
}

impl Stream for Feed {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.rest.is_empty() {
            match ready!(self.chunks.as_mut().poll_next(context)) {
                Some(Ok(chunk)) => self.rest = chunk,
                ended => return Poll::Ready(ended),
            }
        }
        if self.unparsed.load(Ordering::Relaxed) > HEAD_MAX_BYTES {
            return Poll::Ready(Some(Err(head_too_large())));
        }
        let bytes = self.rest.len().min(PIECE_BYTES);
        self.unparsed.fetch_add(bytes, Ordering::Relaxed);
        self.pauses = true;
        Poll::Ready(Some(Ok(self.rest.split_to(bytes))))
    }
}

fn locked(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn malformed(what: &str) -> Error {
    let message = format!("the form of several parts is malformed: {what}");
    Error::new(ErrorKind::Invalid, "invalid-multipart", message)
}

fn broken() -> Error {
    malformed("it cannot be read on after a mistake")
}

fn head_too_large() -> Error {
    let message = format!("the head of a part is too large: at most {HEAD_MAX_BYTES} bytes");
    Error::new(ErrorKind::TooLarge, "part-head-too-large", message)
}

/// Forms as tests and fuzz targets read them.
#[cfg(any(test, fuzzing))]
pub(super) mod whole {
    use futures_util::stream;

    use super::*;

    /// What a form comes to: names with bytes, and whether it ended well.
    pub(crate) async fn read(chunks: Chunks) -> (Vec<(String, Vec<u8>)>, bool) {
        let boundary = Boundary::of("multipart/form-data; boundary=b").expect("a boundary");
        let form = Multipart::new(boundary, Bytes::new(), chunks);
        let mut parts = Vec::new();
        loop {
            match form.next_part().await {
                Ok(Some((head, mut body))) => {
                    let mut bytes = Vec::new();
                    while let Some(chunk) = body.chunks.next().await {
                        let Ok(chunk) = chunk else { return (parts, false) };
                        bytes.extend_from_slice(&chunk);
                    }
                    parts.push((head.name, bytes));
                }
                Ok(None) => return (parts, true),
                Err(_) => {
                    assert!(form.next_part().await.is_err(), "it went on after a mistake");
                    return (parts, false);
                }
            }
        }
    }

    /// Bytes that arrive so many at a time.
    pub(crate) fn in_pieces(bytes: &[u8], length: usize) -> Chunks {
        let pieces: Vec<_> =
            bytes.chunks(length).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Box::pin(stream::iter(pieces))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use futures_util::stream;
    use proptest::prelude::*;

    use super::whole::{in_pieces, read};
    use super::*;

    fn form(begun: &'static str, chunks: Chunks) -> Multipart {
        let boundary = Boundary::of("multipart/form-data; boundary=b").unwrap();
        Multipart::new(boundary, Bytes::from(begun), chunks)
    }

    #[tokio::test]
    async fn no_more_is_read_than_was_asked_for() {
        let given = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&given);
        let begun = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n";
        let chunks = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(&[b'x'; PIECE_BYTES]))
        });
        let form = form(begun, Box::pin(chunks));
        let (_, mut body) = form.next_part().await.unwrap().unwrap();
        for read in 1..100 {
            assert!(body.chunks.next().await.unwrap().unwrap().len() <= 2 * PIECE_BYTES);
            assert!(given.load(Ordering::Relaxed) <= read + 1, "it reads ahead");
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_not_kept() {
        let chunks = stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 1_000])));
        let form = form("--b\r\n", Box::pin(chunks));
        let error = form.next_part().await.err().unwrap();
        assert_eq!(error.code(), "part-head-too-large");
    }

    proptest! {
        #[test]
        fn anything_that_is_sent_is_a_form_or_refused_however_it_is_cut(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "--b", "--", "\r\n", "\r", "\n", " ", "x", "\0",
                    "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n", "\r\n--b--\r\n",
                ]),
                0..12,
            ),
            length in 1_usize..20,
        ) {
            let text = words.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let whole = runtime.block_on(read(in_pieces(text.as_bytes(), text.len().max(1))));
            let cut = runtime.block_on(read(in_pieces(text.as_bytes(), length)));
            prop_assert_eq!(whole, cut);
        }
    }
}
