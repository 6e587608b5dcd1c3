//! Computes, and waits.

use std::hint::black_box;
use std::time::Duration;

use hostel_sdk::clock;
use hostel_sdk::prelude::*;

use crate::Many;

pub(crate) fn spin() -> NoContent {
    loop {
        black_box(());
    }
}

/// Fills memory again and again: few instructions, each of which takes long.
pub(crate) fn fill() -> NoContent {
    let mut memory = vec![0_u8; 32 * 1024 * 1024];
    for byte in (0..=u8::MAX).cycle() {
        black_box(&mut memory).fill(byte);
    }
    NoContent
}

/// Keeps the host busy with calls.
pub(crate) fn calls(Query(Many { count }): Query<Many>) -> Json<i64> {
    Json((0..count).map(|_| clock::now().as_micros()).fold(0, i64::max))
}

/// A time, as `?ms=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Time {
    ms: u64,
}

pub(crate) fn sleep(Query(Time { ms }): Query<Time>) -> NoContent {
    std::thread::sleep(Duration::from_millis(ms));
    NoContent
}
