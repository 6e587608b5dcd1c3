//! Holds calls and tenants to their limits while a guest runs: memory, CPU time, host calls.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use crate::call::Budget;
use crate::capabilities::http::Streaming;
use crate::error::{Error, ErrorKind, Result};
use crate::metering::Meter;
use crate::processor::{CpuTime, Stopwatch, micros};

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

/// Why a call is stopped while its guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the module used up the CPU time of a call")]
    Cpu,
    #[error("the tenant used up its CPU time of this minute")]
    TenantCpu,
    #[error("the module made more host calls than a call may")]
    HostCalls,
}

/// What a running guest is looked at for, at every tick.
pub(super) struct Watch {
    pub(super) cpu_max: Duration,
    pub(super) host_calls_max: u64,
    pub(super) tenant: Arc<TenantCpu>,
}

impl Watch {
    pub(super) fn check(&self, budget: &Budget) -> Result<(), Stopped> {
        let (used, running) = cpu_time();
        if used > self.cpu_max {
            return Err(Stopped::Cpu);
        }
        if budget.host_calls.load(Ordering::Relaxed) > self.host_calls_max {
            return Err(Stopped::HostCalls);
        }
        if self.tenant.left_after(running).is_none() {
            return Err(Stopped::TenantCpu);
        }
        Ok(())
    }
}

/// The CPU time of one tenant, by minutes.
#[derive(Debug)]
pub(super) struct TenantCpu {
    began: Instant,
    max: Duration,
    /// The minute that `used_micros` is about. Who first comes in the next one begins anew; what
    /// another thread adds in between may be forgotten, and is a few microseconds.
    minute: AtomicU64,
    used_micros: AtomicU64,
}

const MINUTE: Duration = Duration::from_secs(60);

impl TenantCpu {
    pub(super) fn new(max: Duration) -> Self {
        Self {
            began: Instant::now(),
            max,
            minute: AtomicU64::new(0),
            used_micros: AtomicU64::new(0),
        }
    }

    fn charge(&self, spent: Duration) {
        self.turn_over();
        self.used_micros.fetch_add(micros(spent), Ordering::Relaxed);
    }

    /// What is left of this minute after `more`, if anything is.
    fn left_after(&self, more: Duration) -> Option<Duration> {
        self.turn_over();
        let used = Duration::from_micros(self.used_micros.load(Ordering::Relaxed)) + more;
        self.max.checked_sub(used).filter(|left| !left.is_zero())
    }

    /// # Errors
    /// `tenant-cpu-limit` until the minute is over, when it is used up.
    pub(super) fn check(&self) -> Result<()> {
        match self.left_after(Duration::ZERO) {
            Some(_) => Ok(()),
            None => Err(self.used_up()),
        }
    }

    /// What those are told who come after it was used up.
    pub(super) fn used_up(&self) -> Error {
        let into = self.began.elapsed().as_secs() % MINUTE.as_secs();
        Error::new(
            ErrorKind::Limit,
            "tenant-cpu-limit",
            "this tenant has used up its CPU time of this minute: try again in the next",
        )
        .retry_after(MINUTE - Duration::from_secs(into))
    }

    fn turn_over(&self) {
        let minute = self.began.elapsed().as_secs() / MINUTE.as_secs();
        if self.minute.load(Ordering::Relaxed) != minute
            && self.minute.swap(minute, Ordering::Relaxed) != minute
        {
            self.used_micros.store(0, Ordering::Relaxed);
        }
    }
}

thread_local! {
    /// For the call that is being polled on this thread: the time it had used before, and since when
    /// it runs.
    static RUNNING: Cell<Option<(Duration, Stopwatch)>> = const { Cell::new(None) };
}

/// The CPU time of the call that runs on this thread, and how much of it is of this poll.
fn cpu_time() -> (Duration, Duration) {
    RUNNING.get().map_or_else(Default::default, |(before, since)| {
        let running = since.elapsed();
        (before + running, running)
    })
}

/// Who pays for a call's CPU time.
pub(super) struct Account {
    pub(super) tenant: Arc<TenantCpu>,
    pub(super) meter: Arc<Meter>,
}

impl Account {
    /// For what runs for no tenant.
    pub(super) fn of_nobody() -> Self {
        Self { tenant: Arc::new(TenantCpu::new(Duration::MAX)), meter: Arc::default() }
    }

    fn charge(&self, spent: Duration) {
        self.tenant.charge(spent);
        self.meter.used_cpu(spent);
    }
}

/// Times each poll of a call: what it waits for costs nothing. What other threads compute for it
/// (SQL) is added to the same time by them, and charged here.
pub(super) struct Metered<F> {
    call: F,
    cpu: Arc<CpuTime>,
    charged: Duration,
    account: Arc<Account>,
}

impl<F> Metered<F> {
    pub(super) fn new(call: F, cpu: Arc<CpuTime>, account: Arc<Account>) -> Self {
        Self { call, cpu, charged: Duration::ZERO, account }
    }

    /// The time that was used so far.
    pub(super) fn used(&self) -> Duration {
        self.cpu.total()
    }

    /// What of it was more than the bytes cost that went through the call.
    pub(super) fn used_beside(&self, streaming: &Streaming) -> Duration {
        self.used().saturating_sub(streaming.light())
    }

    fn charge(&mut self) {
        let used = self.used();
        self.account.charge(used - self.charged);
        self.charged = used;
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let stopwatch = Stopwatch::start();
        let outer = RUNNING.replace(Some((self.used(), stopwatch)));
        let polled = Pin::new(&mut self.call).poll(context);
        RUNNING.set(outer);
        self.cpu.add(stopwatch.elapsed());
        self.charge();
        polled
    }
}

/// A call that was given up has had its time, too.
impl<F> Drop for Metered<F> {
    fn drop(&mut self) {
        self.charge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_minute_is_used_up_once() {
        let cpu = TenantCpu::new(Duration::from_millis(10));
        assert!(cpu.check().is_ok());
        cpu.charge(Duration::from_millis(9));
        assert!(cpu.left_after(Duration::from_micros(999)).is_some());
        assert!(cpu.left_after(Duration::from_millis(1)).is_none());
        cpu.charge(Duration::from_millis(1));
        let refused = cpu.check().unwrap_err();
        assert_eq!(refused.code(), "tenant-cpu-limit");
        assert!((1..=60).contains(&refused.retry_after_seconds().unwrap()));
    }
}
