//! Calls that compute for long: threads of a lower priority, and turns by the tick.
//!
//! A call begins on the threads that serve requests. Once it has used [`LIGHT_MAX`] of CPU time it
//! goes on here, where the operating system lets every serving thread pass, and where tenants take
//! turns: however many calls one of them spins in, requests that need little are answered as if
//! nobody spun.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::limits::Metered;
use super::turns::{Lane, NoTurn, Turn, Turns};
use crate::error::{Error, Result};
use crate::logging;
use crate::names::TenantId;

/// CPU time after which a call is no longer light: two ticks.
pub(super) const LIGHT_MAX: Duration = Duration::from_millis(10);
/// As low as there is without leaving the ordinary scheduler, which still gives 1.5 % of a busy
/// processor: nothing starves.
const NICENESS: i32 = 19;

/// Where long calls go on.
pub(crate) struct Heavy {
    turns: Arc<Turns>,
    /// None only while it is dropped.
    threads: Option<Runtime>,
}

impl Heavy {
    /// A lane for one tenant's long calls, which wait for as long as they may run.
    pub(super) fn lane(&self, tenant: TenantId, weight: u64) -> Arc<Lane> {
        Lane::new(tenant, usize::MAX, usize::MAX, weight)
    }

    /// One thread for each processor.
    pub(super) fn new() -> Result<Self> {
        let processors = std::thread::available_parallelism()?.get();
        let threads = Builder::new_multi_thread()
            .worker_threads(processors)
            .thread_name("hostel-heavy")
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
        Ok(Self { turns: Turns::new(processors), threads: Some(threads) })
    }

    /// Lets `call` go on here until it ends. Dropped, it is stopped at its next tick.
    ///
    /// # Errors
    /// When it panics, which is a fault of ours.
    pub(super) async fn finish<F>(
        &self,
        lane: &Arc<Lane>,
        mut call: Metered<F>,
    ) -> Result<(F::Output, Duration)>
    where
        F: Future + Unpin + Send + 'static,
        F::Output: Send,
    {
        call.give_way();
        let sliced =
            Sliced { turns: Arc::clone(&self.turns), lane: Arc::clone(lane), waiting: None, call };
        let Some(threads) = &self.threads else { return Err(stopped()) };
        let running = AbortOnDropHandle::new(threads.handle().spawn(logging::carried(sliced)));
        running.await.map_err(|error| stopped().because(error))
    }
}

fn stopped() -> Error {
    Error::internal("the host made a mistake")
}

fn give_way() {
    // Where it is not allowed, long calls only compete as they would have otherwise.
    let _ = rustix::process::nice(NICENESS);
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
    lane: Arc<Lane>,
    waiting: Option<WaitForTurn>,
    call: F,
}

impl<F: Future + Unpin> Future for Sliced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let at_once = if this.waiting.is_none() { this.turns.try_take(&this.lane) } else { None };
        let _turn = match at_once {
            Some(turn) => turn,
            None => {
                let waiting =
                    this.waiting.get_or_insert_with(|| wait_for_turn(&this.turns, &this.lane));
                let turn = ready!(waiting.as_mut().poll(context));
                this.waiting = None;
                turn
            }
        };
        // A poll ends with the tick at the latest; then the turn is another's.
        Pin::new(&mut this.call).poll(context)
    }
}
