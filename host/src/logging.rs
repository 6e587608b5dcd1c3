//! Log lines: readable in development, JSON in production, each with the request's id and tenant.
//!
//! The context travels with the task instead of in spans: two pointers per request, no allocation
//! and no lock. Lines go through a queue to one writing thread, so that a request never waits for
//! the log and makes no system call for it.

mod format;
mod writer;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use self::writer::Flush;
use crate::call::{ModuleIdentity, Principal};
use crate::error::{Error, Result};
use crate::names::{AccountId, RequestId, TenantSlug};

/// `[log]`: what is logged, and how it looks.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged of everything that `levels` does not name.
    pub level: Level,
    /// What is logged of a target, such as `hostel::access`, `hostel::guest` or a crate's name.
    pub levels: BTreeMap<String, Level>,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text under `hostel dev` or on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One readable line.
    Text,
    /// One JSON object in a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Level {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// What is said of the request in each of its lines.
#[derive(Clone)]
pub(crate) struct LogContext {
    pub(crate) request_id: RequestId,
    pub(crate) trace_id: Option<Box<str>>,
    tenant: OnceCell<TenantSlug>,
    account: OnceCell<AccountId>,
    module: OnceCell<Arc<ModuleIdentity>>,
}

tokio::task_local! {
    static CONTEXT: LogContext;
}

/// Runs `work` as part of a request: its lines bear the request's id.
pub(crate) fn within<F: Future>(
    request_id: RequestId,
    trace_id: Option<Box<str>>,
    work: F,
) -> impl Future<Output = F::Output> {
    CONTEXT.scope(
        LogContext {
            request_id,
            trace_id,
            tenant: OnceCell::new(),
            account: OnceCell::new(),
            module: OnceCell::new(),
        },
        work,
    )
}

/// Lets `work` go on in another task as part of the same request.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let context = CONTEXT.try_with(LogContext::clone).ok();
    async move {
        match context {
            Some(context) => CONTEXT.scope(context, work).await,
            None => work.await,
        }
    }
}

/// From here on, the request's lines bear its tenant.
pub(crate) fn set_tenant(tenant: &TenantSlug) {
    let _ = CONTEXT.try_with(|context| context.tenant.set(tenant.clone()));
}

/// From here on, the request's lines bear the account that sends it, if any.
pub(crate) fn set_principal(principal: &Principal) {
    if let Principal::Account { id } = principal {
        let _ = CONTEXT.try_with(|context| context.account.set(id.clone()));
    }
}

/// From here on, the request's lines bear its module.
pub(crate) fn set_module(module: &Arc<ModuleIdentity>) {
    let _ = CONTEXT.try_with(|context| context.module.set(Arc::clone(module)));
}

/// The trace of the request that runs now.
pub(crate) fn trace_id() -> Option<Box<str>> {
    CONTEXT.try_with(|context| context.trace_id.clone()).ok().flatten()
}

/// A layer that writes Hostel's log to standard output. An embedder adds it to a subscriber of its
/// own to see requests' ids and tenants; the lines that are still queued are written when the
/// [`Flush`] is dropped.
pub fn layer<S>(config: &LogConfig, json: bool) -> (impl tracing_subscriber::Layer<S>, Flush)
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let (writer, mut flush) = writer::start();
    let (layer, levels) = layer_into(config, json, writer);
    flush.levels = Some(levels);
    (layer, flush)
}

/// Sets the levels of a log.
type SetLevels = Box<dyn Fn(&LogConfig) + Send + Sync>;

fn layer_into<S, W>(
    config: &LogConfig,
    json: bool,
    writer: W,
) -> (impl tracing_subscriber::Layer<S>, SetLevels)
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    let (levels, handle) = reload::Layer::new(targets(config));
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format::Format { json })
        .with_writer(writer)
        .with_filter(levels);
    let set = move |config: &LogConfig| {
        // It fails where the log is no longer there, and nobody misses it.
        let _ = handle.reload(targets(config));
    };
    (layer, Box::new(set))
}

fn targets(config: &LogConfig) -> Targets {
    Targets::new()
        .with_default(config.level.filter())
        .with_targets(config.levels.iter().map(|(target, level)| (target.clone(), level.filter())))
}

/// Makes Hostel's log the program's log. `readable` is what `format = "auto"` means here.
///
/// # Errors
/// When the program has a log already.
pub fn init(config: &LogConfig, readable: bool) -> Result<Flush> {
    let json = match config.format {
        LogFormat::Auto => !readable,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (layer, flush) = layer(config, json);
    tracing_subscriber::registry().with(layer).try_init().map_err(in_use)?;
    Ok(flush)
}

/// Makes Hostel's log the program's log, and hands each line to `take` as JSON instead of writing
/// it. A module's line has been handed over when the call that wrote it is answered.
///
/// # Errors
/// When the program has a log already.
pub fn init_taken(config: &LogConfig, take: impl Fn(&[u8]) + Send + Sync + 'static) -> Result<()> {
    let (layer, _) = layer_into(config, true, Taken(Arc::new(take)));
    tracing_subscriber::registry().with(layer).try_init().map_err(in_use)
}

fn in_use(error: TryInitError) -> Error {
    Error::internal("the log is already in use").because(error)
}

/// Hands lines over; the formatter writes each in one piece.
#[derive(Clone)]
struct Taken(Arc<Take>);

type Take = dyn Fn(&[u8]) + Send + Sync;

impl MakeWriter<'_> for Taken {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for Taken {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (self.0)(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
