//! What fuzz targets throw bytes at: forms of several parts. What must hold is asserted here.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{Boundary, Chunks, Multipart};

/// Reads a form whole, and again as it may be cut on its way: every eighth byte's value apart.
///
/// # Panics
/// When a mistake is found.
pub fn form(bytes: &[u8]) {
    let Some((first, form)) = bytes.split_first() else { return };
    let length = usize::from(*first) + 1;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let whole = runtime.block_on(read(form, form.len().max(1)));
    let cut = runtime.block_on(read(form, length));
    assert_eq!(whole, cut, "cut after each {length} bytes");
}

/// What a content type may say of where parts end.
///
/// # Panics
/// When a mistake is found.
pub fn boundary(content_type: &str) {
    let _ = Boundary::of(content_type);
}

/// Names with bytes, and whether the form ended well.
async fn read(form: &[u8], length: usize) -> (Vec<(String, Vec<u8>)>, bool) {
    let pieces: Vec<_> =
        form.chunks(length).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let chunks: Chunks = Box::pin(stream::iter(pieces));
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
            Err(_) => return (parts, false),
        }
    }
}
