//! What fuzz targets throw bytes at: forms of several parts. What must hold is asserted here.

use super::Boundary;
use super::multipart::whole::{in_pieces, read};

/// Reads a form as it is, and again as it may be cut on its way: the first byte says after how many.
///
/// # Panics
/// When a mistake is found.
pub fn form(bytes: &[u8]) {
    let Some((first, form)) = bytes.split_first() else { return };
    let length = usize::from(*first) + 1;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let whole = runtime.block_on(read(in_pieces(form, form.len().max(1))));
    let cut = runtime.block_on(read(in_pieces(form, length)));
    assert_eq!(whole, cut, "cut after each {length} bytes");
}

/// What a content type may say of where parts end.
///
/// # Panics
/// When a mistake is found.
pub fn boundary(content_type: &str) {
    let _ = Boundary::of(content_type);
}
