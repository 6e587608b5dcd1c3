//! Calls that compute for long: threads of a lower priority, and turns by the tick.
//!
//! A call begins on the threads that serve requests. Once it has used [`LIGHT_MAX`] of CPU time it
//! goes on here, where the operating system lets every serving thread pass, and where tenants take
//! turns: however many calls one of them spins in, requests that need little are answered as if
//! nobody spun. A tenant that has such calls begins new ones here, too: else each would cost the
//! others its first [`LIGHT_MAX`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::limits::Metered;
use crate::capabilities::http::Streaming;
use crate::error::{Error, Result};
use crate::logging;
use crate::names::TenantId;
use crate::processor::{LIGHT_MAX, give_way, micros};
use crate::turns::{Lane, NoTurn, Turn, Turns};

/// One tenant's long calls.
pub(super) struct LongCalls {
    lane: Arc<Lane>,
    count: AtomicUsize,
    began: Instant,
    /// Microseconds after `began` until which there were some lately.
    lately_until: AtomicU64,
}

/// How long a tenant's long calls are remembered: who sends one after the other would else have each
/// begin as a light one.
const LATELY: Duration = Duration::from_millis(100);

impl LongCalls {
    /// None yet. They wait for as long as they may run; of processors that are scarce they get a
    /// share by `weight`.
    pub(super) fn new(tenant: TenantId, weight: usize) -> Arc<Self> {
        let lane = Lane::new(tenant, usize::MAX, usize::MAX, weight);
        Arc::new(Self {
            lane,
            count: AtomicUsize::new(0),
            began: Instant::now(),
            lately_until: AtomicU64::new(0),
        })
    }

    /// Whether there are any, or were lately.
    pub(super) fn exist(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
            || match self.lately_until.load(Ordering::Relaxed) {
                0 => false,
                until => self.began.elapsed() < Duration::from_micros(until),
            }
    }

    fn ended(&self) {
        self.lately_until.store(micros(self.began.elapsed() + LATELY), Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call among its tenant's long ones. It counts as one of them when it proved to be long, and not
/// when it only began there: what is quick must not keep others there.
struct Member {
    calls: Arc<LongCalls>,
    counts: bool,
}

impl Member {
    fn new(calls: &Arc<LongCalls>, counts: bool) -> Self {
        if counts {
            calls.count.fetch_add(1, Ordering::Relaxed);
        }
        Self { calls: Arc::clone(calls), counts }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.counts {
            self.calls.ended();
        }
    }
}

/// Counts while it lives.
struct Present(Arc<AtomicUsize>);

impl Present {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What else may compute on this machine for those who are served.
#[derive(Clone, Copy, Debug)]
pub(super) enum Neighbours {
    /// All is done in this process.
    None,
    /// It may be on another machine, which nobody tells.
    DatabaseServer,
}

/// Where long calls go on.
pub(crate) struct Heavy {
    turns: Arc<Turns>,
    /// How many long calls there are: while there are any, guests are looked at more often.
    calls: Arc<AtomicUsize>,
    /// None only while it is dropped.
    threads: Option<Runtime>,
}

impl Heavy {
    /// How many calls wait for a processor.
    pub(super) fn waiting(&self) -> usize {
        self.turns.waiting()
    }

    /// One thread for each processor, or for all but one where others of this machine need some, too.
    ///
    /// A low priority lets threads of this process pass. Between it and a database's server the kernel
    /// shares processors by groups (services, containers, sessions), in which priorities count for
    /// nothing: with all processors busy here, a read on PostgreSQL waited for tens of milliseconds at
    /// times (`hostel-bench hostile-neighbour --database postgres --attack lock`).
    pub(super) fn new(calls: Arc<AtomicUsize>, neighbours: Neighbours) -> Result<Self> {
        let processors = std::thread::available_parallelism()?.get();
        let at_once = match neighbours {
            Neighbours::None => processors,
            Neighbours::DatabaseServer => (processors - 1).max(1),
        };
        let threads = Builder::new_multi_thread()
            .worker_threads(at_once)
            .thread_name("hostel-heavy")
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
        Ok(Self { turns: Turns::for_moments(at_once), calls, threads: Some(threads) })
    }

    /// Lets `call` go on here until it ends. Dropped, it is stopped at its next tick.
    ///
    /// # Errors
    /// When it panics, which is a fault of ours.
    pub(super) async fn finish<F>(
        &self,
        calls: &Arc<LongCalls>,
        call: Metered<F>,
        streaming: Arc<Streaming>,
    ) -> Result<F::Output>
    where
        F: Future + Unpin + Send + 'static,
        F::Output: Send,
    {
        let sliced = Sliced {
            turns: Arc::clone(&self.turns),
            member: Member::new(calls, call.used_beside(&streaming) >= LIGHT_MAX),
            _present: Present::new(&self.calls),
            waiting: None,
            call,
            streaming,
        };
        let Some(threads) = &self.threads else { return Err(stopped()) };
        let running = AbortOnDropHandle::new(threads.handle().spawn(logging::carried(sliced)));
        running.await.map_err(|error| stopped().because(error))
    }
}

fn stopped() -> Error {
    Error::internal("the host made a mistake")
}

impl Drop for Heavy {
    fn drop(&mut self) {
        // It may be dropped by a task, which must not wait for threads.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

type WaitForTurn = Pin<Box<dyn Future<Output = Turn> + Send>>;

fn wait_for_turn(turns: &Arc<Turns>, lane: &Arc<Lane>) -> WaitForTurn {
    match turns.take(lane) {
        Ok(turn) => Box::pin(turn),
        Err(NoTurn::QueueFull) => unreachable!("lanes of long calls have no end"),
    }
}

/// A call that is polled only in its tenant's turn.
struct Sliced<F> {
    turns: Arc<Turns>,
    member: Member,
    _present: Present,
    waiting: Option<WaitForTurn>,
    call: Metered<F>,
    streaming: Arc<Streaming>,
}

impl<F: Future + Unpin> Future for Sliced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let lane = &this.member.calls.lane;
        let at_once = if this.waiting.is_none() { this.turns.try_take(lane) } else { None };
        let turn = match at_once {
            Some(turn) => turn,
            None => {
                let waiting = this.waiting.get_or_insert_with(|| wait_for_turn(&this.turns, lane));
                let turn = ready!(waiting.as_mut().poll(context));
                this.waiting = None;
                turn
            }
        };
        // A poll ends with the tick at the latest; then the turn is another's, and the processor too.
        let polled = Pin::new(&mut this.call).poll(context);
        drop(turn);
        std::thread::yield_now();
        if !this.member.counts && this.call.used_beside(&this.streaming) >= LIGHT_MAX {
            this.member = Member::new(&this.member.calls, true);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Account;
    use super::*;
    use crate::processor::Stopwatch;

    /// Whether a tenant has long calls after one that computed for twice [`LIGHT_MAX`], and through
    /// which so many bytes went.
    async fn is_long(bytes: u64) -> bool {
        let heavy = Heavy::new(Arc::default(), Neighbours::None).unwrap();
        let calls = LongCalls::new(TenantId::new(), 1);
        let computing = Box::pin(async {
            let stopwatch = Stopwatch::start();
            while stopwatch.elapsed() < 2 * LIGHT_MAX {}
        });
        let call = Metered::new(computing, Arc::default(), Arc::new(Account::of_nobody()));
        heavy.finish(&calls, call, Arc::new(Streaming::after(bytes))).await.unwrap();
        calls.lately_until.load(Ordering::Relaxed) > 0
    }

    /// Else one long call would keep all uploads of its tenant here, one after the other.
    #[tokio::test]
    async fn a_call_is_long_by_what_it_computes_beside_its_bytes() {
        assert!(is_long(0).await);
        assert!(!is_long(16 * 1024 * 1024).await);
    }
}
