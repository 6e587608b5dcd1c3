//! What a hostile or broken guest does.

use std::hint::black_box;

use hostel_sdk::clock;
use hostel_sdk::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of memory, as `?mib=…`.
#[derive(Deserialize)]
pub(crate) struct Size {
    mib: usize,
}

impl Size {
    fn bytes(&self) -> Vec<u8> {
        // Written with ones, so that each page is really touched.
        vec![1; self.mib.saturating_mul(1024 * 1024)]
    }
}

/// How much was allocated.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Allocated {
    bytes: usize,
}

pub(crate) fn spin() -> NoContent {
    loop {
        black_box(());
    }
}

pub(crate) fn panic() -> NoContent {
    panic!("the probe panics, as it was asked to")
}

pub(crate) fn alloc(Query(size): Query<Size>) -> Json<Allocated> {
    Json(Allocated { bytes: black_box(size.bytes()).len() })
}

/// Goes deeper than any stack.
pub(crate) fn recurse() -> String {
    fn deeper(depth: u64) -> u64 {
        // Scalars alone: a frame in linear memory would use that up first.
        if depth == u64::MAX { 0 } else { deeper(black_box(depth) + 1).wrapping_mul(depth | 1) }
    }
    deeper(0).to_string()
}

pub(crate) fn huge(Query(size): Query<Size>) -> Response {
    Response::bytes("application/octet-stream", size.bytes())
}

/// Tries to put a header of its own choice behind another one.
pub(crate) fn bad_header() -> Response {
    Response::empty().header("x-probe", "one\r\nset-cookie: stolen=yes")
}

pub(crate) fn bad_status() -> Response {
    Response::empty().status(99)
}

/// Keeps the host busy with a million calls.
pub(crate) fn sleepless() -> Json<i64> {
    Json((0..1_000_000).map(|_| clock::now().as_micros()).fold(0, i64::max))
}
