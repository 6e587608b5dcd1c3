//! Whether a tenant's tables are what a module expects, and the task that brings them there.
//!
//! The first call that finds them old begins the task. It goes on by itself: no call's end, time or
//! turn is its own, and calls that come meanwhile wait for it as long as they may. What it uses is
//! the tenant's.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Semaphore, oneshot};

use super::limits::{Account, Metered};
use super::registry::{TenantModule, TenantState};
use super::{Runtime, migrations};
use crate::error::{Error, ErrorKind, Result};
use crate::logging;
use crate::metering::locked;
use crate::processor::CpuTime;

/// How often what a migration has used is put to its tenant's account.
const CHARGE_INTERVAL: Duration = Duration::from_millis(100);

/// What is known of one module's tables of one tenant.
pub(super) struct Tables {
    /// Set once they are what the code expects.
    ready: AtomicBool,
    /// The task, while there is one.
    running: Mutex<Option<Running>>,
    /// For calls that wait for it.
    places: Semaphore,
}

type Running = Shared<BoxFuture<'static, Result<(), Arc<Error>>>>;

impl Tables {
    pub(super) fn new(is_ready: bool, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(is_ready),
            running: Mutex::default(),
            places: Semaphore::new(waiting_max.min(Semaphore::MAX_PERMITS)),
        })
    }
}

impl TenantModule {
    /// Whether the tenant's tables are what the code expects, as far as is known.
    pub(super) fn is_ready(&self) -> bool {
        self.tables.ready.load(Ordering::Acquire)
    }

    /// Makes sure that the tenant's tables are what the code expects. Whoever waits holds nothing
    /// that others need.
    ///
    /// # Errors
    /// `unavailable`, code `migrating`, when that takes longer than the call has, and why it cannot
    /// be done.
    pub(super) async fn ready(
        &self,
        runtime: &Runtime,
        tenant: &TenantState,
        deadline: Instant,
    ) -> Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        if self.version.manifest.migrations.is_empty() {
            self.tables.ready.store(true, Ordering::Release);
            return Ok(());
        }
        Box::pin(self.wait(runtime, tenant, deadline)).await
    }

    async fn wait(&self, runtime: &Runtime, tenant: &TenantState, deadline: Instant) -> Result<()> {
        let _place = self.tables.places.try_acquire().map_err(|_| {
            Error::new(
                ErrorKind::Limit,
                "tenant-busy",
                "this tenant has as many requests at once as it may: try again",
            )
        })?;
        tenant.cpu.check()?;
        let running = self.migrating(runtime, tenant);
        let outcome = tokio::time::timeout_at(deadline.into(), running).await.map_err(|_| {
            Error::new(
                ErrorKind::Unavailable,
                "migrating",
                "the module's tables are being brought up to date: try again",
            )
        })?;
        outcome.map_err(|shared| {
            Error::new(shared.kind(), shared.code(), shared.message().to_owned()).because(shared)
        })
    }

    /// What is being done, begun where it was not.
    fn migrating(&self, runtime: &Runtime, tenant: &TenantState) -> Running {
        let mut running = locked(&self.tables.running);
        if let Some(running) = &*running {
            return running.clone();
        }
        if self.is_ready() {
            return futures_util::future::ready(Ok(())).boxed().shared();
        }
        let (tables, version) = (Arc::clone(&self.tables), Arc::clone(&self.version));
        let units = Arc::clone(&runtime.services.units);
        let (id, size_max) = (tenant.tenant.id, tenant.limits.database_max_bytes.get());
        let work = charged(Arc::clone(&self.account), async move |cpu| {
            let unit = units.of_tenant(id, size_max).await?;
            migrations::migrate(&version, &unit, &cpu).await
        });
        let (tell, told) = oneshot::channel();
        let permits = Arc::clone(&runtime.migrations);
        runtime.in_background(logging::carried(async move {
            // Never closed.
            let _permit = permits.acquire().await;
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Err(stopped())).map_err(Arc::new);
            tables.ready.store(outcome.is_ok(), Ordering::Release);
            // Whoever comes after a failure tries again.
            *locked(&tables.running) = None;
            // Nobody may be waiting any more.
            let _ = tell.send(outcome);
        }));
        let told = told.map(|told| told.unwrap_or_else(|_| Err(Arc::new(stopped()))));
        running.insert(told.boxed().shared()).clone()
    }
}

/// Does what takes a tenant's processor time outside of a call, and charges it as it goes.
pub(super) async fn charged<T>(
    account: Arc<Account>,
    work: impl AsyncFnOnce(Arc<CpuTime>) -> T,
) -> T {
    let cpu = Arc::<CpuTime>::default();
    let looked_at = async {
        let mut work = pin!(work(Arc::clone(&cpu)));
        loop {
            // What a database's thread has used meanwhile is charged each time.
            if let Ok(done) = tokio::time::timeout(CHARGE_INTERVAL, &mut work).await {
                return done;
            }
        }
    };
    let (done, _) = Metered::new(pin!(looked_at), Arc::clone(&cpu), account).await;
    done
}

fn stopped() -> Error {
    Error::internal("the host made a mistake")
}
