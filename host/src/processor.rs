//! The time that threads spend on processors: how it is measured, and how a thread gives way.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// CPU time after which what a tenant asked for is no longer light, and gives way to what is.
pub(crate) const LIGHT_MAX: Duration = Duration::from_millis(5);
/// Serving threads get ten times as much of a processor that both want, and need not wait for a tick to
/// get it; long work still gets a tenth, so that nothing starves on a machine that is busy otherwise.
const NICENESS: i32 = 10;

/// Long work offers its processor to others so often: where the kernel does not let a thread pass at
/// once, it does so at its own ticks, which are up to 4 ms apart.
pub(crate) const SLICE: Duration = Duration::from_micros(500);

/// Lowers the priority of this thread, for good: only a privileged process could raise it again.
pub(crate) fn give_way() {
    // Where it is not allowed, long work only competes as it would have otherwise.
    let _ = rustix::process::nice(NICENESS);
}

/// Wall time within which a thread is taken to have had its processor: reading its own clock is a
/// system call of up to 1 us, the wall's is none.
const CLOSE: Duration = Duration::from_millis(1);

/// Measures the CPU time of what runs on this thread without a pause.
///
/// The wall's clock alone would charge a guest for what others computed while its thread waited for a
/// processor. So the thread's own clock is read where that may have happened, against a reading that
/// is at most [`CLOSE`] older than the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    /// The thread's time, at `began` or shortly before.
    thread_time: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let began = Instant::now();
        let thread_time = match LAST_READING.get() {
            Some((at, thread_time)) if began.saturating_duration_since(at) < CLOSE => thread_time,
            _ => {
                let thread_time = thread_time();
                LAST_READING.set(Some((began, thread_time)));
                thread_time
            }
        };
        Self { began, thread_time }
    }

    /// To be asked on the thread that started it.
    pub(crate) fn elapsed(self) -> Duration {
        let wall = self.began.elapsed();
        if wall < CLOSE {
            return wall;
        }
        thread_time().saturating_sub(self.thread_time).min(wall)
    }
}

fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

thread_local! {
    /// When this thread's clock was read, and what it showed.
    static LAST_READING: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// A time in whole microseconds, as counters and atomics hold it.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The CPU time of one call, on whatever threads.
#[derive(Debug, Default)]
pub(crate) struct CpuTime {
    nanos: AtomicU64,
}

impl CpuTime {
    pub(crate) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// All of it so far, apart from what is being computed now.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_processor_is_not_charged() {
        let began = Instant::now();
        let stopwatch = Stopwatch::start();
        while began.elapsed() < 3 * CLOSE {}
        let busy = stopwatch.elapsed();
        std::thread::sleep(Duration::from_millis(50));
        let after = stopwatch.elapsed();
        assert!(after < busy + Duration::from_millis(25), "{busy:?}, then {after:?}");
        assert!(after <= began.elapsed());
    }
}
