//! One call: a turn, an instance with its limits, the module's code, and what became of it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use super::heavy::LongCalls;
use super::limits::{Account, Metered, Stopped, TenantCpu, Watch};
use super::module::{Code, Handle, InstanceStore};
use super::registry::{TenantModule, TenantState};
use super::{Instances, Runtime};
use crate::bindings::exports::hostel::module::guest::{Problem, Response};
use crate::bindings::hostel::http::types::{self as wit, ResponseHead};
use crate::call::{Budget, CallContext, Principal};
use crate::capabilities::http::{IncomingBody, Multipart, Opened, Outgoing, Streaming, cut_off};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitsConfig;
use crate::logging;
use crate::metering::Meter;
use crate::names::RequestId;
use crate::processor::{LIGHT_MAX, SLICE};
use crate::turns::{NoTurn, Turn};
use crate::wiring::CallState;

/// An answer's headers: more than proxies and browsers take.
pub(crate) const ANSWER_HEAD_MAX_BYTES: usize = 64 * 1024;
/// How wasmtime tells that more crossed the boundary than may; it has no type for it.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// An instance and the store that it lives in: in a call, or waiting for its tenant's next one.
///
/// The fields are dropped in this order: a slot of the pool is free before anybody may take it.
pub(super) struct Resident {
    store: InstanceStore,
    /// None until the first call instantiates it.
    handle: Option<Handle>,
    calls: u64,
    /// Held while it runs.
    turn: Option<Turn>,
    /// Held while it waits.
    idle: Option<OwnedSemaphorePermit>,
}

/// What the host knows of a request when a module is about to answer it.
pub struct Request {
    /// The matched route; after the last one, a seed.
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
    /// A form of several parts.
    Multipart(Multipart),
}

/// What a module answered, and what it cost.
pub struct Answer {
    /// What it answered.
    pub outcome: Outcome,
    /// Time on a processor, up to now where the answer is not over.
    pub cpu: Duration,
}

/// What a module answered.
pub enum Outcome {
    /// All of it.
    Response(Response),
    /// A problem of its own.
    Problem(Problem),
    /// The head, and the rest as the module writes it.
    Streamed(Streamed),
}

/// An answer that comes bit by bit. Dropped before its end, it stops the call.
pub struct Streamed {
    /// Its status and headers.
    pub head: ResponseHead,
    body: Outgoing,
    /// None where the call is over already.
    call: Option<AbortOnDropHandle<()>>,
}

impl Streamed {
    /// Lets the call go on to its end, whoever wants its answer.
    pub fn let_end(&mut self) {
        if let Some(call) = self.call.take() {
            call.detach();
        }
    }
}

impl Stream for Streamed {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.body).poll_next(context));
        if next.is_none() {
            // What is left of it is the host's own: its instance may wait for the next call.
            self.let_end();
        }
        Poll::Ready(next)
    }
}

/// How a call ended whose answer may be a stream.
enum Ended {
    Response(Response),
    Problem(Problem),
    /// The stream has all of it.
    Stream,
}

impl Runtime {
    /// Answers one request with one module of one tenant, in the time that is its `own`, where it has
    /// less than others.
    ///
    /// # Errors
    /// Whatever keeps the module from answering: no turn in time, tables that cannot be migrated, a
    /// trap, a limit. Only this call fails.
    pub async fn call(
        self: &Arc<Self>,
        tenant: &Arc<TenantState>,
        module: &Arc<TenantModule>,
        own: Option<Duration>,
        request: Request,
    ) -> Result<Answer> {
        let allowed = tenant.limits.call_timeout_ms.as_millis();
        let deadline = Instant::now() + own.map_or(allowed, |own| own.min(allowed));
        // Before there is a turn: it may take long, and holds up nobody else.
        let ready = module.ready(self, tenant, deadline).await;
        ready.inspect_err(|error| module.account.meter.failed(error))?;
        let turn = self.turn(tenant, module, deadline).await?;
        tenant.cpu.check()?;
        let (principal, id) = (request.principal.clone(), request.id.clone());
        let call = module.begin_call(tenant, principal, id, deadline);
        let cpu = Arc::clone(&call.cpu);
        let code = module.version.code(self).await?;
        let resident = self.take(tenant, module, call, turn);
        let streaming = resident.store.data().streaming();
        let work: Work = Box::pin(AssertUnwindSafe(run(resident, code, request)).catch_unwind());
        let mut call = Box::pin(finish(
            Arc::clone(self),
            Arc::clone(tenant),
            Arc::clone(module),
            Metered::new(work, Arc::clone(&cpu), Arc::clone(&module.account)),
            deadline,
            Arc::clone(&streaming),
        ));
        let ended = std::future::poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if streaming.has_begun(context.waker()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let ended = ended.await.transpose()?;
        let outcome = match (ended, streaming.take()) {
            (Some(Ended::Response(response)), None) => Outcome::Response(response),
            (Some(Ended::Problem(problem)), _) => Outcome::Problem(problem),
            (Some(Ended::Stream), Some(Opened { head, body })) => {
                Outcome::Streamed(Streamed { head, body, call: None })
            }
            (None, Some(Opened { head, body })) => {
                Outcome::Streamed(Streamed { head, body, call: Some(spawn(stream(call))) })
            }
            (Some(Ended::Response(_) | Ended::Stream) | None, _) => return Err(cut_off()),
        };
        Ok(Answer { outcome, cpu: cpu.total() })
    }

    /// A turn, after a wait that is bounded.
    async fn turn(
        &self,
        tenant: &TenantState,
        module: &TenantModule,
        deadline: Instant,
    ) -> Result<Turn> {
        if let Some(turn) = self.turns.try_take(&tenant.lane) {
            return Ok(turn);
        }
        let began = Instant::now();
        let waited = Box::pin(self.wait_for_turn(tenant, deadline)).await;
        let meter = &module.account.meter;
        meter.queued(began.elapsed());
        waited.inspect_err(|error| meter.failed(error))
    }

    async fn wait_for_turn(&self, tenant: &TenantState, deadline: Instant) -> Result<Turn> {
        let patience = tenant.lane.patience(tenant.limits.queue_timeout_ms.as_millis());
        let until = deadline.min(Instant::now() + patience);
        let waited = match self.turns.take(&tenant.lane) {
            Ok(waiting) => tokio::time::timeout_at(until.into(), waiting).await.ok(),
            Err(NoTurn::QueueFull) => None,
        };
        waited.ok_or_else(|| {
            if tenant.lane.is_full() {
                Error::new(
                    ErrorKind::Limit,
                    "tenant-busy",
                    "this tenant has as many requests at once as it may: try again",
                )
            } else {
                Error::new(
                    ErrorKind::Unavailable,
                    "host-busy",
                    "too many requests run at once: try again",
                )
            }
        })
    }

    /// A place for this call: an instance that waited, or a fresh store.
    fn take(
        &self,
        tenant: &TenantState,
        module: &TenantModule,
        call: CallContext,
        turn: Turn,
    ) -> Resident {
        if let Some(mut waiting) = module.idle() {
            waiting.turn = Some(turn);
            waiting.idle = None;
            waiting.store.data_mut().begin(call);
            waiting.store.set_epoch_deadline(1);
            return waiting;
        }
        let limits = &tenant.limits;
        let state = CallState::new(
            call,
            Arc::clone(&self.services),
            Arc::clone(&module.settings),
            Arc::clone(&module.version.hosts),
            limits.handles_max.as_usize(),
        );
        let store = self.store(state, limits, &tenant.cpu);
        Resident { store, handle: None, calls: 0, turn: Some(turn), idle: None }
    }

    /// A store with the limits of one call.
    pub(super) fn store(
        &self,
        state: CallState,
        limits: &LimitsConfig,
        tenant: &Arc<TenantCpu>,
    ) -> InstanceStore {
        let watch = Watch {
            cpu_max: limits.cpu_ms.as_millis(),
            host_calls_max: limits.host_calls_max.get(),
            tenant: Arc::clone(tenant),
        };
        let mut store = Store::new(&self.engine.wasmtime, state);
        store.limiter(|state| &mut state.call_mut().budget);
        // It holds for answers, too.
        let answer_max = limits.answer_max_bytes.as_usize().saturating_add(ANSWER_HEAD_MAX_BYTES);
        store.set_hostcall_fuel(limits.hostcall_max_bytes.as_usize().max(answer_max));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |store| {
            watch.check(&store.data().call().budget)?;
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
            resident.turn = None;
            module.keep(resident);
        }
    }
}

/// Waits for a call's end, and puts away what is left of it.
async fn finish(
    runtime: Arc<Runtime>,
    tenant: Arc<TenantState>,
    module: Arc<TenantModule>,
    mut work: Metered<Work>,
    deadline: Instant,
    streaming: Arc<Streaming>,
) -> Result<Ended> {
    let ended = async {
        if !tenant.long_calls.exist()
            && let Some(ended) = until_long(&mut work, &tenant.long_calls, &streaming).await
        {
            return Ok(ended);
        }
        let streaming = Arc::clone(&streaming);
        Box::pin(runtime.heavy.finish(&tenant.long_calls, work, streaming)).await
    };
    let outcome = match in_time(ended, deadline, &streaming).await {
        Some(Ok(Ok((resident, outcome)))) => {
            resident.count(&module.account.meter);
            let lost = resident.store.data().call().budget.log_lines_lost;
            if lost > 0 {
                tracing::warn!(lost, "a call wrote more to the log than it may");
            }
            let outcome = outcome.map_err(|error| explain(error, &resident, &tenant));
            outcome.inspect(|_| runtime.give_back(&module, resident))
        }
        Some(Ok(Err(_))) => {
            module.account.meter.panicked();
            Err(Error::internal("the host made a mistake"))
        }
        Some(Err(error)) => Err(error),
        None => Err(timed_out()),
    };
    outcome.inspect_err(|error| module.account.meter.failed(error))
}

/// What comes of `call` until `deadline`, which bytes that go through the call put off.
async fn in_time<F: Future>(
    call: F,
    deadline: Instant,
    streaming: &Streaming,
) -> Option<F::Output> {
    let mut call = std::pin::pin!(call);
    let mut until = deadline;
    loop {
        if let Ok(ended) = tokio::time::timeout_at(until.into(), call.as_mut()).await {
            return Some(ended);
        }
        let put_off = deadline + streaming.put_off();
        if put_off <= until {
            return None;
        }
        until = put_off;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it ends with its answer; let go of, with its call's deadline"
)]
fn spawn(call: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(logging::carried(call)))
}

/// Goes on with a call whose answer has begun: what is wrong from now on, the client sees as an
/// answer that is cut off.
async fn stream(call: impl Future<Output = Result<Ended>>) {
    let error = match call.await {
        Ok(Ended::Stream) => return,
        Ok(Ended::Problem(problem)) => cut_off().because(problem.detail),
        Ok(Ended::Response(_)) => cut_off().because("it gave another answer"),
        Err(error) => error,
    };
    tracing::error!(code = error.code(), cause = error.causes(), "an answer was cut off: {error}");
}

impl Resident {
    fn count(&self, meter: &Meter) {
        let budget = &self.store.data().call().budget;
        meter.used(budget.memory_used_bytes, budget.host_calls.load(Ordering::Relaxed));
    }
}

/// A call, as it runs; panics are caught.
type Work = Pin<Box<dyn Future<Output = std::thread::Result<Ran>> + Send>>;
type Ran = (Resident, wasmtime::Result<Ended>);

/// Instantiates where that is still to be done, and calls `handle`. All of it is the guest's time.
async fn run(mut resident: Resident, code: Arc<Code>, request: Request) -> Ran {
    let outcome = answer(&mut resident, &code, request).await;
    (resident, outcome)
}

async fn answer(resident: &mut Resident, code: &Code, request: Request) -> wasmtime::Result<Ended> {
    let Resident { store, handle, calls, .. } = resident;
    *calls += 1;
    let handle = match handle {
        Some(handle) => *handle,
        None => *handle.insert(code.instantiate(store).await?),
    };
    let request = lower(store, request)?;
    let (answer,) = handle.call_async(&mut *store, (request,)).await?;
    Ok(match answer {
        Ok(Response { body: wit::ResponseBody::Streamed(stream), .. }) => {
            store.data_mut().http().end(stream)?;
            Ended::Stream
        }
        Ok(response) => Ended::Response(response),
        Err(problem) => Ended::Problem(problem),
    })
}

/// What a call comes to, unless it takes long. Among a tenant's long calls, less is long: else many
/// that began together would each have [`LIGHT_MAX`] before they give way. A call through which bytes go
/// waits again and again by itself, and is long only where it does much with them.
async fn until_long<F: Future + Unpin>(
    work: &mut Metered<F>,
    long_calls: &LongCalls,
    streaming: &Streaming,
) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut *work).poll(context) {
            return Poll::Ready(Some(ended));
        }
        let light_max = if long_calls.exist() { SLICE } else { LIGHT_MAX };
        if work.used_beside(streaming) >= light_max { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Runs what a guest does for no tenant, within a time.
pub(super) async fn bounded<F: Future>(
    work: F,
    time: Duration,
) -> Result<F::Output, tokio::time::error::Elapsed> {
    let work = std::pin::pin!(work);
    let metered = Metered::new(work, Arc::default(), Arc::new(Account::of_nobody()));
    tokio::time::timeout(time, metered).await
}

/// The request in the contract's own types.
fn lower(store: &mut InstanceStore, request: Request) -> Result<wit::Request> {
    let body = match request.body {
        Body::None => wit::RequestBody::None,
        Body::Bytes(bytes) => wit::RequestBody::Bytes(bytes),
        Body::Streamed(body) => {
            wit::RequestBody::Streamed(store.data_mut().http().hand_over(body)?)
        }
        Body::Multipart(form) => {
            wit::RequestBody::Multipart(store.data_mut().http().hand_over(form)?)
        }
    };
    let (kind, id) = match &request.principal {
        Principal::Anonymous => (wit::PrincipalKind::Anonymous, String::new()),
        Principal::Account { id } => (wit::PrincipalKind::Account, id.to_string()),
        Principal::Operator => (wit::PrincipalKind::Operator, String::new()),
    };
    let principal = wit::Principal { kind, id, impersonator: None };
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

/// A module's answer has more bytes than its tenant's may have.
pub(crate) fn answer_too_large() -> Error {
    Error::new(ErrorKind::Other, "answer-too-large", "the module's answer is too large")
}

fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "call-timeout", "the module did not answer in time")
}

/// What a client is told of a call that did not end well. The rest is for the log.
fn explain(error: wasmtime::Error, resident: &Resident, tenant: &TenantState) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(other) => other,
    };
    let told = if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        Error::new(ErrorKind::Unavailable, "host-busy", "too many requests run at once: try again")
    } else if error.downcast_ref::<Stopped>() == Some(&Stopped::TenantCpu) {
        tenant.cpu.used_up()
    } else {
        limit_of(&error, &resident.store.data().call().budget)
            .unwrap_or_else(|| Error::new(ErrorKind::Other, "module-failed", "the module failed"))
    };
    told.because(demangled(&format!("{error:?}")))
}

/// The text with the names of a backtrace's functions as they stand in the source.
fn demangled(text: &str) -> String {
    let mut readable = Vec::with_capacity(text.len());
    match rustc_demangle::demangle_stream(&mut text.as_bytes(), &mut readable, false) {
        Ok(()) => String::from_utf8_lossy(&readable).into_owned(),
        Err(_) => text.to_owned(),
    }
}

/// The limit of a call that a guest met, if that is why it failed.
pub(super) fn limit_of(error: &wasmtime::Error, budget: &Budget) -> Option<Error> {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        let (kind, code) = match stopped {
            Stopped::Cpu => (ErrorKind::Timeout, "cpu-limit"),
            Stopped::TenantCpu => (ErrorKind::Limit, "tenant-cpu-limit"),
            Stopped::HostCalls => (ErrorKind::Other, "host-calls-limit"),
        };
        return Some(Error::new(kind, code, stopped.to_string()));
    }
    let (code, message) = if budget.memory_refused {
        ("memory-limit", "the module used up the memory of a call")
    } else if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        ("stack-limit", "the module used up its stack")
    } else if error.is::<ResourceTableError>() {
        ("handles-limit", "the module opened more handles than it may")
    } else if error.root_cause().to_string().contains(HOSTCALL_FUEL) {
        // Only what happens inside of a guest has a backtrace.
        if !error.is::<WasmBacktrace>() {
            return Some(answer_too_large());
        }
        ("hostcall-limit", "the module handed over more in one host call than it may")
    } else {
        return None;
    };
    Some(Error::new(ErrorKind::Other, code, message))
}
