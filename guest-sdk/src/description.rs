//! What a module says of itself is asked for once, when it is installed. Whoever answers requests
//! builds it without that: a fresh instance does so for each of them.

use std::cell::Cell;

thread_local! {
    static IS_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is built now will be described.
pub(crate) fn is_wanted() -> bool {
    !IS_LEFT_OUT.get()
}

/// Builds what will answer requests, and describes nothing.
pub(crate) fn left_out<T>(build: impl FnOnce() -> T) -> T {
    let before = IS_LEFT_OUT.replace(true);
    let built = build();
    IS_LEFT_OUT.set(before);
    built
}
