//! What one call may use, and how that is held.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

use super::RuntimeConfig;
use crate::bounded::Bounded;
use crate::call::Budget;
use crate::error::{Error, Result};

/// `[limits]`: what one call may use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Time on a processor.
    pub cpu_ms: Bounded<1, 600_000>,
    /// Time from begin to end, waiting included.
    pub call_timeout_ms: Bounded<1, 3_600_000>,
    /// Linear memories together.
    pub memory_max_bytes: Bounded<1_048_576, 4_294_967_296>,
    /// What one host call may take over from a guest.
    pub hostcall_max_bytes: Bounded<65_536, 1_073_741_824>,
    /// An answer's body.
    pub answer_max_bytes: Bounded<1024, 1_073_741_824>,
    /// Open handles: transactions, bodies.
    pub handles_max: Bounded<16, 100_000>,
    /// Lines in the log.
    pub log_lines_max: Bounded<0, 100_000>,
    /// How long a call waits for its turn.
    pub queue_timeout_ms: Bounded<0, 600_000>,
    /// Calls of one tenant at once.
    pub tenant_calls_max: Bounded<1, 100_000>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            cpu_ms: Bounded::of::<2_000>(),
            call_timeout_ms: Bounded::of::<30_000>(),
            memory_max_bytes: Bounded::of::<67_108_864>(),
            hostcall_max_bytes: Bounded::of::<8_388_608>(),
            answer_max_bytes: Bounded::of::<10_485_760>(),
            handles_max: Bounded::of::<1_000>(),
            log_lines_max: Bounded::of::<100>(),
            queue_timeout_ms: Bounded::of::<2_000>(),
            tenant_calls_max: Bounded::of::<200>(),
        }
    }
}

impl LimitsConfig {
    pub(crate) fn check(&self, runtime: &RuntimeConfig) -> Result<()> {
        let (calls, tenant) = (runtime.calls_max.get(), self.tenant_calls_max.get());
        if tenant > calls {
            return Err(Error::invalid(format!(
                "`limits.tenant_calls_max` is {tenant}: at most `runtime.calls_max`, which is {calls}"
            )));
        }
        Ok(())
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget {
            memory_used_bytes: 0,
            memory_max_bytes: self.memory_max_bytes.as_usize(),
            memory_refused: false,
            log_lines_left: self.log_lines_max.as_u32(),
            log_lines_lost: 0,
            handles_open: 0,
        }
    }
}

/// Sums all memories of a store; wasmtime's own limiter counts each alone.
impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.memory_used_bytes + desired.saturating_sub(current);
        if wanted > self.memory_max_bytes {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory_used_bytes = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= super::engine::TABLE_ELEMENTS_MAX)
    }
}

/// The CPU time of a call was used up.
#[derive(Debug, thiserror::Error)]
#[error("the call used up its CPU time")]
pub(super) struct CpuUsedUp;

thread_local! {
    /// For the call that is being polled on this thread: the time it had used before, and since when
    /// it runs.
    static RUNNING: Cell<Option<(Duration, Instant)>> = const { Cell::new(None) };
}

/// The CPU time of the call that runs on this thread.
pub(super) fn cpu_time() -> Duration {
    RUNNING.get().map_or(Duration::ZERO, |(before, since)| before + since.elapsed())
}

/// Times each poll of a call: what it waits for costs nothing.
pub(super) struct Metered<F> {
    call: F,
    used: Duration,
}

impl<F> Metered<F> {
    pub(super) fn new(call: F) -> Self {
        Self { call, used: Duration::ZERO }
    }

    /// The time that was used so far.
    pub(super) fn used(&self) -> Duration {
        self.used
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let started = Instant::now();
        let outer = RUNNING.replace(Some((self.used, started)));
        let polled = Pin::new(&mut self.call).poll(context);
        RUNNING.set(outer);
        self.used += started.elapsed();
        polled.map(|output| (output, self.used))
    }
}
