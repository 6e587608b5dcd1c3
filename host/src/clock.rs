//! The time of day, from one place, so that tests can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the host reads the time of day.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still at `micros` since the Unix epoch until it is set again.
    pub fn fixed(micros: i64) -> Self {
        Self { set: Some(Arc::new(AtomicI64::new(micros))) }
    }

    /// Sets a fixed clock, here and in its clones; the system's clock stays what it is.
    pub fn set(&self, micros: i64) {
        if let Some(set) = &self.set {
            set.store(micros, Ordering::Relaxed);
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn now_micros(&self) -> i64 {
        match &self.set {
            Some(set) => set.load(Ordering::Relaxed),
            None => jiff::Timestamp::now().as_microsecond(),
        }
    }
}
