//! One call: a permit, an instance with its limits, the module's code, and what became of it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Store, Trap, UpdateDeadline};

use super::limits::{CpuUsedUp, Metered, cpu_time};
use super::module::{Code, Handle, InstanceStore};
use super::registry::{TenantModule, TenantState};
use super::{Instances, Route, Runtime};
use crate::bindings::exports::hostel::module::guest::{Problem, Response};
use crate::bindings::hostel::http::types as wit;
use crate::call::{Budget, CallContext, Principal};
use crate::capabilities::http::IncomingBody;
use crate::error::{Error, ErrorKind, Result};
use crate::names::RequestId;
use crate::wiring::CallState;

/// An instance and the store that it lives in: in a call, or waiting for its tenant's next one.
pub(super) struct Resident {
    store: InstanceStore,
    /// None until the first call instantiates it.
    handle: Option<Handle>,
    calls: u64,
    /// Held while it waits.
    idle: Option<OwnedSemaphorePermit>,
}

/// What the host knows of a request when a module is about to answer it.
pub struct Request {
    /// The matched route.
    pub route: u32,
    /// The path as sent.
    pub path: String,
    /// Its decoded parameters.
    pub parameters: Vec<String>,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// The headers that modules may see.
    pub headers: Vec<(String, String)>,
    /// Who is calling.
    pub principal: Principal,
    /// The body.
    pub body: Body,
    /// The request's id.
    pub id: RequestId,
}

/// A request's body.
pub enum Body {
    /// There is none.
    None,
    /// All of it.
    Bytes(Vec<u8>),
    /// Too much to be handed over at once.
    Streamed(IncomingBody),
}

/// What a module answered, and what it cost.
pub struct Answer {
    /// The answer, or the module's own problem.
    pub outcome: Result<Response, Problem>,
    /// Time on a processor.
    pub cpu: Duration,
}

impl Runtime {
    /// Answers one request with one module of one tenant.
    ///
    /// # Errors
    /// Whatever keeps the module from answering: no permit in time, tables that cannot be migrated, a
    /// trap, a limit. Only this call fails.
    pub async fn call(
        &self,
        tenant: &TenantState,
        module: &TenantModule,
        route: &Route,
        request: Request,
    ) -> Result<Answer> {
        let own = route.timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        let platforms = self.limits.call_timeout_ms.as_millis();
        let deadline = Instant::now() + own.map_or(platforms, |own| own.min(platforms));
        let _permits = (
            self.permit(&tenant.permits, "tenant-busy", deadline).await?,
            self.permit(&self.permits, "host-busy", deadline).await?,
        );
        module.ready(self, &tenant.tenant, deadline).await?;
        let call = CallContext {
            tenant: Arc::clone(&tenant.tenant),
            principal: request.principal.clone(),
            module: Arc::clone(&module.version.identity),
            request_id: request.id.clone(),
            deadline,
            budget: self.limits.budget(),
        };
        let code = module.version.code(self).await?;
        let mut resident = self.take(module, call);
        let (outcome, cpu) = {
            let running = std::pin::pin!(run(&mut resident, code, request));
            let mut metered = Metered::new(running);
            let ended = tokio::time::timeout_at(deadline.into(), &mut metered).await;
            ended.unwrap_or_else(|_| (Err(TimedOut.into()), metered.used()))
        };
        let budget = &resident.store.data().call().budget;
        if budget.log_lines_lost > 0 {
            tracing::warn!(lost = budget.log_lines_lost, "a call wrote more log lines than it may");
        }
        let outcome = outcome.map_err(|error| explain(error, budget))?;
        self.give_back(module, resident);
        Ok(Answer { outcome, cpu })
    }

    /// A turn, after a wait that is bounded.
    async fn permit(
        &self,
        semaphore: &Arc<Semaphore>,
        code: &'static str,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
            return Ok(permit);
        }
        let until = deadline.min(Instant::now() + self.limits.queue_timeout_ms.as_millis());
        let waiting = Arc::clone(semaphore).acquire_owned();
        match Box::pin(tokio::time::timeout_at(until.into(), waiting)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                code,
                "too many requests run at once: try again",
            )),
        }
    }

    /// A place for this call: an instance that waited, or a fresh store.
    fn take(&self, module: &TenantModule, call: CallContext) -> Resident {
        if let Some(mut waiting) = module.idle.pop() {
            waiting.idle = None;
            waiting.store.data_mut().begin(call);
            waiting.store.set_epoch_deadline(1);
            return waiting;
        }
        let store = self.store(CallState::new(
            call,
            Arc::clone(&self.services),
            Arc::clone(&module.version.settings),
            self.limits.handles_max.as_usize(),
        ));
        Resident { store, handle: None, calls: 0, idle: None }
    }

    /// A store with the limits of one call.
    pub(super) fn store(&self, state: CallState) -> InstanceStore {
        let cpu_max = self.limits.cpu_ms.as_millis();
        let mut store = Store::new(&self.engine.wasmtime, state);
        store.limiter(|state| &mut state.call_mut().budget);
        store.set_hostcall_fuel(self.limits.hostcall_max_bytes.as_usize());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if cpu_time() > cpu_max {
                return Err(CpuUsedUp.into());
            }
            // A plain yield would put a spinning guest before everybody who waits.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    /// Keeps an instance for the next call, if it may be and nothing of this call is left in it.
    fn give_back(&self, module: &TenantModule, mut resident: Resident) {
        let clean = resident.store.data().call().budget.handles_open == 0;
        if module.version.instances != Instances::Reused
            || !clean
            || resident.calls >= self.config.reused_calls_max.get()
        {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.idle_permits).try_acquire_owned() {
            resident.idle = Some(permit);
            // When as many wait already, this one is dropped.
            let _ = module.idle.push(resident);
        }
    }
}

/// Instantiates where that is still to be done, and calls `handle`. All of it is the guest's time.
async fn run(
    resident: &mut Resident,
    code: &Code,
    request: Request,
) -> wasmtime::Result<Result<Response, Problem>> {
    let Resident { store, handle, calls, .. } = resident;
    *calls += 1;
    let handle = match handle {
        Some(handle) => *handle,
        None => *handle.insert(code.instantiate(store).await?),
    };
    let request = lower(store, request)?;
    let (answer,) = handle.call_async(store, (request,)).await?;
    Ok(answer)
}

/// Runs what a guest does outside of a call, within a time.
pub(super) async fn bounded<F: Future>(
    work: F,
    time: Duration,
) -> Result<F::Output, tokio::time::error::Elapsed> {
    let work = std::pin::pin!(work);
    let metered = Metered::new(work);
    tokio::time::timeout(time, metered).await.map(|(output, _)| output)
}

/// The request in the contract's own types.
fn lower(store: &mut InstanceStore, request: Request) -> Result<wit::Request> {
    let body = match request.body {
        Body::None => wit::RequestBody::None,
        Body::Bytes(bytes) => wit::RequestBody::Bytes(bytes),
        Body::Streamed(body) => {
            wit::RequestBody::Streamed(store.data_mut().http().hand_over(body)?)
        }
    };
    let principal = match request.principal {
        Principal::Anonymous => wit::Principal {
            kind: wit::PrincipalKind::Anonymous,
            id: String::new(),
            impersonator: None,
        },
    };
    Ok(wit::Request {
        route: request.route,
        path: request.path,
        parameters: request.parameters,
        query: request.query,
        headers: request.headers,
        principal,
        body,
    })
}

#[derive(Debug, thiserror::Error)]
#[error("the call took too long")]
struct TimedOut;

/// What a client is told of a call that did not end well. The rest is for the log.
fn explain(error: wasmtime::Error, budget: &Budget) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(other) => other,
    };
    let told = if error.is::<TimedOut>() {
        Error::new(ErrorKind::Timeout, "call-timeout", "the module did not answer in time")
    } else if error.is::<CpuUsedUp>() {
        Error::new(ErrorKind::Timeout, "cpu-limit", "the module used up the CPU time of a call")
    } else if budget.memory_refused {
        Error::new(ErrorKind::Other, "memory-limit", "the module used up the memory of a call")
    } else if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        Error::new(ErrorKind::Other, "stack-limit", "the module used up its stack")
    } else {
        Error::new(ErrorKind::Other, "module-failed", "the module failed")
    };
    let cause = format!("{error:?}");
    told.because(cause)
}
