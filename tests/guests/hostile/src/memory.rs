//! Takes memory, and goes deep.

use std::hint::black_box;

use hostel_sdk::prelude::*;

use crate::Size;

/// How much was allocated.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Allocated {
    bytes: usize,
}

/// All of it at once.
pub(crate) fn alloc(Query(size): Query<Size>) -> Json<Allocated> {
    Json(Allocated { bytes: black_box(size.bytes()).len() })
}

/// A piece after the other, until there is none.
pub(crate) fn pieces() -> Json<Allocated> {
    let mut pieces: Vec<Box<[u8]>> = Vec::new();
    loop {
        pieces.push(black_box(vec![1; 64 * 1024].into_boxed_slice()));
    }
}

/// Goes deeper than any stack.
pub(crate) fn recurse() -> String {
    fn deeper(depth: u64) -> u64 {
        // Scalars alone: a frame in linear memory would use that up first.
        if depth == u64::MAX { 0 } else { deeper(black_box(depth) + 1).wrapping_mul(depth | 1) }
    }
    deeper(0).to_string()
}
