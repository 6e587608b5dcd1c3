//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// How long something that must happen may take on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until `look` finds something.
///
/// # Panics
/// When it finds nothing before the deadline; `what` says what was waited for.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(DEADLINE, what, look).await
}

/// [`eventually`] for what may take longer.
///
/// # Panics
/// When it finds nothing in that time; `what` says what was waited for.
pub async fn within<T>(time: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {time:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`eventually`] for programs that do not wait asynchronously.
///
/// # Panics
/// When it finds nothing before the deadline; `what` says what was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(PAUSE);
    }
}
