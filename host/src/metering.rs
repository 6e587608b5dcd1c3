//! Counts what tenants' modules are asked and use, for `/metrics` and for accounts of usage.
//!
//! Everything here is exact and costs a few atomic additions per request. How it is shown is
//! `http/metrics.rs`; what is kept for good is `usage.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
use crate::error::{Error, ErrorKind};
use crate::names::{ModuleName, TenantId, TenantSlug};

/// `[metrics]`: what `/metrics` shows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Pairs of tenant and module that have figures of their own; further ones are added up.
    pub series_max: Bounded<0, 100_000>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { series_max: Bounded::of::<500>() }
    }
}

/// Upper ends of the latency histogram's buckets, in microseconds.
pub(crate) const LATENCY_BUCKETS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// All meters of this process.
pub(crate) struct Meters {
    config: MetricsConfig,
    by_module: RwLock<HashMap<(TenantId, ModuleName), Arc<Meter>>>,
    /// Requests that reached no module.
    pub(crate) unrouted: Meter,
}

/// What one module did for one tenant since this process began.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) labels: Option<Labels>,
    pub(crate) answers: Mutex<BTreeMap<(u16, &'static str), u64>>,
    pub(crate) latency: Latency,
    pub(crate) cpu_us: AtomicU64,
    pub(crate) memory_peak_bytes: AtomicU64,
    pub(crate) host_calls: AtomicU64,
    pub(crate) queue_us: AtomicU64,
    pub(crate) answer_bytes: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) limits_hit: Mutex<BTreeMap<&'static str, u64>>,
}

/// Whose figures they are.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) tenant: TenantSlug,
    pub(crate) module: ModuleName,
    /// Whether `/metrics` shows them by themselves.
    pub(crate) shown: bool,
}

/// How long requests took.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    pub(crate) buckets: [AtomicU64; LATENCY_BUCKETS_US.len() + 1],
    pub(crate) sum_us: AtomicU64,
}

/// What one call used, apart from its CPU time, which is counted as it passes.
pub(crate) struct Used {
    pub(crate) memory_bytes: usize,
    pub(crate) host_calls: u64,
}

impl Meters {
    pub(crate) fn new(config: MetricsConfig) -> Self {
        Self { config, by_module: RwLock::default(), unrouted: Meter::default() }
    }

    /// The meter of one module of one tenant.
    pub(crate) fn of(
        &self,
        tenant: TenantId,
        slug: &TenantSlug,
        module: &ModuleName,
    ) -> Arc<Meter> {
        let mut all = self.by_module.write().unwrap_or_else(PoisonError::into_inner);
        // Once shown, always shown: a series that came and went would tell of requests that never
        // were.
        let shown = (all.len() as u64) < self.config.series_max.get();
        let meter = all.entry((tenant, module.clone())).or_insert_with(|| {
            let labels = Labels { tenant: slug.clone(), module: module.clone(), shown };
            Arc::new(Meter { labels: Some(labels), ..Meter::default() })
        });
        Arc::clone(meter)
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> Vec<(TenantId, Arc<Meter>)> {
        let all = self.by_module.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|((tenant, _), meter)| (*tenant, Arc::clone(meter))).collect()
    }
}

impl Meter {
    /// Counts an answer. `code` is that of a problem of the host's, `module` for a module's own.
    pub(crate) fn answered(&self, status: u16, code: &'static str, took: Duration, bytes: u64) {
        *locked(&self.answers).entry((status, code)).or_default() += 1;
        self.answer_bytes.fetch_add(bytes, Ordering::Relaxed);
        let micros = micros(took);
        let bucket = LATENCY_BUCKETS_US.partition_point(|end| *end < micros);
        self.latency.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.latency.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts what a call used.
    pub(crate) fn used(&self, used: &Used) {
        self.memory_peak_bytes.fetch_max(used.memory_bytes as u64, Ordering::Relaxed);
        self.host_calls.fetch_add(used.host_calls, Ordering::Relaxed);
    }

    pub(crate) fn used_cpu(&self, time: Duration) {
        self.cpu_us.fetch_add(micros(time), Ordering::Relaxed);
    }

    pub(crate) fn queued(&self, time: Duration) {
        self.queue_us.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// Counts an error, if it is that of a limit.
    pub(crate) fn failed(&self, error: &Error) {
        let code = error.code();
        if error.kind() == ErrorKind::Limit
            || code.ends_with("-limit")
            || matches!(code, "call-timeout" | "host-busy" | "answer-too-large")
        {
            self.hit(code);
        }
    }

    /// Counts a call that met the limit `code`.
    pub(crate) fn hit(&self, code: &'static str) {
        *locked(&self.limits_hit).entry(code).or_default() += 1;
    }
}

/// Nothing panics while these are held, and a count is whole at any time.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
