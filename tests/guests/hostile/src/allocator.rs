//! An allocator that misbehaves for certain sizes: where the host hands a request over, it calls this.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;

/// The size of what traps when it is freed.
pub(crate) const TRAP_WHEN_FREED_BYTES: usize = 1_048_583;
/// A request's body of this size is put where there is no memory.
const OUTSIDE_BYTES: usize = 54_321;
/// A request's body of this size is never put anywhere.
const FOR_EVER_BYTES: usize = 54_323;

#[global_allocator]
static ALLOCATOR: Mischief = Mischief;

struct Mischief;

// SAFETY: it is not sound for the sizes above, which is the point: the host must not mind. For all
// others it is the system's.
unsafe impl GlobalAlloc for Mischief {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match layout.size() {
            OUTSIDE_BYTES => std::ptr::without_provenance_mut(0xffff_0000),
            FOR_EVER_BYTES => loop {
                black_box(());
            },
            // SAFETY: by this function's contract.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if layout.size() == TRAP_WHEN_FREED_BYTES {
            std::process::abort();
        }
        // SAFETY: by this function's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}
