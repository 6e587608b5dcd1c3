//! Ways to end that are no answer.

use hostel_sdk::prelude::*;

use crate::allocator;

pub(crate) fn panic() -> NoContent {
    panic!("the guest panics, as it was asked to")
}

pub(crate) fn abort() -> NoContent {
    std::process::abort()
}

pub(crate) fn exit() -> NoContent {
    std::process::exit(7)
}

pub(crate) fn unreachable() -> NoContent {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    unreachable!("a guest is compiled to wasm")
}

/// Answers well, and traps when the host gives the answer's memory back.
pub(crate) fn trap_afterwards() -> Response {
    Response::bytes("text/plain", vec![b'x'; allocator::TRAP_WHEN_FREED_BYTES])
}
