//! Whether a tenant's tables are what a module expects, and the task that brings them there.
//!
//! The first call that finds them old begins the task. It goes on by itself: no call's end, time or
//! turn is its own, and calls that come meanwhile wait for it as long as they may. What it uses is
//! the tenant's. After a failure the module is in quarantine for this tenant: calls are refused
//! without another attempt, until its pause is over.

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
use super::{ModuleVersion, Runtime, migrations};
use crate::capabilities::tenancy::Quarantine;
use crate::error::{Error, ErrorKind, Result};
use crate::logging;
use crate::metering::locked;
use crate::names::TenantId;
use crate::processor::CpuTime;
use crate::wiring::Services;

/// How long at most what is known of a quarantine is believed, in microseconds.
const PAUSE_MAX_MICROS: i64 = 60_000_000;
/// How often what a migration has used is put to its tenant's account.
const CHARGE_INTERVAL: Duration = Duration::from_millis(100);

/// What is known of one module's tables of one tenant.
pub(super) struct Tables {
    /// Set once they are what the code expects.
    ready: AtomicBool,
    doing: Mutex<Doing>,
    /// For calls that wait for it.
    places: Semaphore,
}

/// What is being done about tables that are not ready.
#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    /// The task goes on.
    Running(Running),
    /// None before this time, in microseconds since the Unix epoch.
    Paused(Box<Quarantine>, i64),
}

type Running = Shared<BoxFuture<'static, Result<(), Arc<Error>>>>;

impl Tables {
    pub(super) fn new(is_ready: bool, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(is_ready),
            doing: Mutex::default(),
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
        let running = self.migrating(runtime, tenant)?;
        let outcome = tokio::time::timeout_at(deadline.into(), running).await.map_err(|_| {
            Error::new(
                ErrorKind::Unavailable,
                "migrating",
                "the module's tables are being brought up to date: try again",
            )
        })?;
        outcome.map_err(|shared| {
            let told = Error::new(shared.kind(), shared.code(), shared.message().to_owned());
            let told = match shared.retry_after_seconds() {
                Some(seconds) => told.retry_after(Duration::from_secs(seconds)),
                None => told,
            };
            told.because(shared)
        })
    }

    /// What is being done, begun where it was not.
    ///
    /// # Errors
    /// Why it is not to be begun yet.
    fn migrating(&self, runtime: &Runtime, tenant: &TenantState) -> Result<Running> {
        let clock = runtime.services.clock.clone();
        let mut doing = locked(&self.tables.doing);
        match &*doing {
            Doing::Running(running) => return Ok(running.clone()),
            Doing::Paused(quarantine, until) if clock.now_micros() < *until => {
                return Err(quarantine.error(clock.now_micros()));
            }
            Doing::Nothing | Doing::Paused(..) => {}
        }
        if self.is_ready() {
            return Ok(futures_util::future::ready(Ok(())).boxed().shared());
        }
        let (tables, version) = (Arc::clone(&self.tables), Arc::clone(&self.version));
        let services = Arc::clone(&runtime.services);
        let (id, size_max) = (tenant.tenant.id, tenant.limits.database_max_bytes.get());
        let work = charged(Arc::clone(&self.account), async move |cpu| {
            bring_up_to_date(&services, &version, id, size_max, &cpu).await
        });
        let (tell, told) = oneshot::channel();
        let permits = Arc::clone(&runtime.migrations);
        runtime.in_background(logging::carried(async move {
            // Never closed.
            let _permit = permits.acquire().await;
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            let now = clock.now_micros();
            let (next, outcome) = match outcome.unwrap_or_else(|_| Err(stopped())) {
                Ok(None) => (Doing::Nothing, Ok(())),
                Ok(Some(quarantine)) => {
                    let error = quarantine.error(now);
                    let looked_at = now.saturating_add(PAUSE_MAX_MICROS);
                    let until = quarantine.retry_at.map_or(looked_at, |at| at.min(looked_at));
                    (Doing::Paused(Box::new(quarantine), until), Err(error))
                }
                // Whoever comes next tries again.
                Err(error) => (Doing::Nothing, Err(error)),
            };
            tables.ready.store(outcome.is_ok(), Ordering::Release);
            *locked(&tables.doing) = next;
            // Nobody may be waiting any more.
            let _ = tell.send(outcome.map_err(Arc::new));
        }));
        let told = told.map(|told| told.unwrap_or_else(|_| Err(Arc::new(stopped()))));
        let running = told.boxed().shared();
        *doing = Doing::Running(running.clone());
        Ok(running)
    }
}

/// Applies a module's migrations for a tenant, or says why they are not tried now.
async fn bring_up_to_date(
    services: &Services,
    version: &ModuleVersion,
    tenant: TenantId,
    size_max: u64,
    cpu: &Arc<CpuTime>,
) -> Result<Option<Quarantine>> {
    let (tenants, module) = (&services.tenants, &version.manifest.name);
    let known = tenants.quarantine_of(tenant, module, &version.migrations_digest).await?;
    if let Some(quarantine) = &known
        && !quarantine.is_over(services.clock.now_micros())
    {
        return Ok(known);
    }
    let here = version.identity.unit(tenant);
    let unit = migrations::home(&services.units, &here, module, size_max).await?;
    match migrations::migrate(version, &unit, cpu).await {
        Ok(()) => {
            if known.is_some() {
                tenants.release(tenant, module).await?;
            }
            Ok(None)
        }
        Err(error) => match migrations::to_remember(version, tenant, &error) {
            Some(failed) => {
                tracing::warn!(cause = error.causes(), "{error}");
                tenants.quarantine(failed).await.map(Some)
            }
            None => Err(error),
        },
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
    Metered::new(pin!(looked_at), Arc::clone(&cpu), account).await
}

fn stopped() -> Error {
    Error::internal("the host made a mistake")
}
