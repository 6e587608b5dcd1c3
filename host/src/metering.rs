//! Counts what tenants' modules are asked and use, for `/metrics` and for accounts of usage.
//!
//! Everything here is exact and costs a few atomic additions per request. How it is shown is
//! `http/metrics.rs`; what is kept for good is `usage.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
use crate::error::{Error, ErrorKind};
use crate::names::{ModuleName, TenantId, TenantSlug};
use crate::processor::micros;

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
    series_max: u64,
    by_module: RwLock<HashMap<(TenantId, ModuleName), Arc<Meter>>>,
    /// Requests that reached no module.
    pub(crate) unrouted: Meter,
    /// What is left of tenants that are no longer at hand.
    gone: Meter,
}

/// What one module did for one tenant since this process began.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// None for meters that belong to no module.
    pub(crate) labels: Option<Labels>,
    /// By status and code.
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
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    pub(crate) tenant: TenantSlug,
    pub(crate) module: ModuleName,
    /// Whether `/metrics` shows them by themselves.
    pub(crate) shown: bool,
}

/// How long requests took.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// One more than there are ends: the last has none.
    pub(crate) buckets: [AtomicU64; LATENCY_BUCKETS_US.len() + 1],
    pub(crate) sum_us: AtomicU64,
}

impl Meters {
    pub(crate) fn new(config: &MetricsConfig) -> Self {
        Self {
            series_max: config.series_max.get(),
            by_module: RwLock::default(),
            unrouted: Meter::default(),
            gone: Meter::default(),
        }
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
        let shown = (all.len() as u64) < self.series_max;
        let meter = all.entry((tenant, module.clone())).or_insert_with(|| {
            let labels = Labels { tenant: slug.clone(), module: module.clone(), shown };
            Arc::new(Meter { labels: Some(labels), ..Meter::default() })
        });
        Arc::clone(meter)
    }

    /// All that belong to a module, in no order.
    pub(crate) fn all(&self) -> Vec<(TenantId, Arc<Meter>)> {
        let all = self.by_module.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|((tenant, _), meter)| (*tenant, Arc::clone(meter))).collect()
    }

    /// Those that are shown by themselves, and the sum of the others.
    pub(crate) fn shown(&self) -> (Vec<Arc<Meter>>, Meter) {
        let is_shown = |meter: &Meter| meter.labels.as_ref().is_some_and(|labels| labels.shown);
        let all = self.all().into_iter().map(|(_, meter)| meter);
        let (shown, others): (Vec<_>, Vec<_>) = all.partition(|meter| is_shown(meter));
        let sum = Meter::default();
        self.gone.add_to(&sum);
        self.unrouted.add_to(&sum);
        others.iter().for_each(|meter| meter.add_to(&sum));
        (shown, sum)
    }

    /// Lets go of a meter that nobody else holds and that is not shown, unless its count has gone
    /// on: a tenant that is not at hand costs no memory. Says whether it has gone.
    pub(crate) fn let_go(&self, tenant: TenantId, meter: Arc<Meter>, counted: Totals) -> bool {
        let labels = meter.labels.clone().filter(|labels| !labels.shown);
        let Some(labels) = labels else { return false };
        drop(meter);
        let mut all = self.by_module.write().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant, labels.module);
        let unused = all
            .get(&key)
            .is_some_and(|meter| Arc::strong_count(meter) == 1 && meter.totals() == counted);
        if unused && let Some(meter) = all.remove(&key) {
            meter.add_to(&self.gone);
        }
        unused
    }
}

/// The sums that accounts of usage are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    /// Answers of status 500 and above.
    pub(crate) failures: u64,
    pub(crate) cpu_us: u64,
    pub(crate) host_calls: u64,
    pub(crate) answer_bytes: u64,
}

impl Meter {
    /// Counts an answer. `code` is that of a problem of the host's, `module` for a module's own.
    pub(crate) fn answered(&self, status: u16, code: &'static str, took: Duration, bytes: u64) {
        *locked(&self.answers).entry((status, code)).or_default() += 1;
        add(&self.answer_bytes, bytes);
        let micros = micros(took);
        let bucket = LATENCY_BUCKETS_US.partition_point(|end| *end < micros);
        add(&self.latency.buckets[bucket], 1);
        add(&self.latency.sum_us, micros);
    }

    /// Counts what was sent of an answer of which nobody knew how long it would be.
    pub(crate) fn sent(&self, bytes: u64) {
        add(&self.answer_bytes, bytes);
    }

    /// Counts what a call used, apart from its CPU time, which is counted as it passes.
    pub(crate) fn used(&self, memory_bytes: usize, host_calls: u64) {
        self.memory_peak_bytes.fetch_max(memory_bytes as u64, Ordering::Relaxed);
        add(&self.host_calls, host_calls);
    }

    pub(crate) fn used_cpu(&self, time: Duration) {
        add(&self.cpu_us, micros(time));
    }

    pub(crate) fn queued(&self, time: Duration) {
        add(&self.queue_us, micros(time));
    }

    /// Counts a call that ended with a fault of ours.
    pub(crate) fn panicked(&self) {
        add(&self.panics, 1);
    }

    /// Counts an error, if it is that of a limit.
    pub(crate) fn failed(&self, error: &Error) {
        let code = error.code();
        if error.kind() == ErrorKind::Limit
            || code.ends_with("-limit")
            || matches!(code, "call-timeout" | "host-busy" | "answer-too-large" | "migrating")
        {
            self.hit(code);
        }
    }

    /// Counts a call that met the limit `code`.
    pub(crate) fn hit(&self, code: &'static str) {
        *locked(&self.limits_hit).entry(code).or_default() += 1;
    }

    pub(crate) fn totals(&self) -> Totals {
        let answers = locked(&self.answers);
        let failures = answers.iter().filter(|((status, _), _)| *status >= 500);
        Totals {
            requests: answers.values().sum(),
            failures: failures.map(|(_, count)| count).sum(),
            cpu_us: get(&self.cpu_us),
            host_calls: get(&self.host_calls),
            answer_bytes: get(&self.answer_bytes),
        }
    }

    fn add_to(&self, sum: &Self) {
        for (key, count) in locked(&self.answers).iter() {
            *locked(&sum.answers).entry(*key).or_default() += count;
        }
        for (code, count) in locked(&self.limits_hit).iter() {
            *locked(&sum.limits_hit).entry(code).or_default() += count;
        }
        for (bucket, sum) in self.latency.buckets.iter().zip(&sum.latency.buckets) {
            add(sum, get(bucket));
        }
        for (figure, sum) in [
            (&self.latency.sum_us, &sum.latency.sum_us),
            (&self.cpu_us, &sum.cpu_us),
            (&self.host_calls, &sum.host_calls),
            (&self.queue_us, &sum.queue_us),
            (&self.answer_bytes, &sum.answer_bytes),
            (&self.panics, &sum.panics),
        ] {
            add(sum, get(figure));
        }
        sum.memory_peak_bytes.fetch_max(get(&self.memory_peak_bytes), Ordering::Relaxed);
    }
}

/// Nothing panics while these are held, and a count is whole at any time.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn get(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

fn add(figure: &AtomicU64, more: u64) {
    figure.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(meters: &Meters, tenant: TenantId, slug: &str) -> Arc<Meter> {
        meters.of(tenant, &slug.parse().unwrap(), &"notes".parse().unwrap())
    }

    #[test]
    fn what_is_not_shown_by_itself_is_added_up_and_never_lost() {
        let meters = Meters::new(&MetricsConfig { series_max: Bounded::of::<1>() });
        let second = TenantId::new();
        meter(&meters, TenantId::new(), "first").answered(200, "", Duration::ZERO, 3);
        let held = meter(&meters, second, "second");
        held.answered(504, "cpu-limit", Duration::from_secs(2), 5);
        let before = held.totals();
        assert_eq!((before.requests, before.failures, before.answer_bytes), (1, 1, 5));
        drop(held);
        let assert_told = || {
            let (shown, others) = meters.shown();
            assert_eq!(shown.len(), 1);
            assert_eq!(others.totals(), before);
        };
        assert_told();
        assert!(meters.let_go(second, meter(&meters, second, "second"), before));
        assert_eq!(meters.all().len(), 1);
        assert_told();
    }

    #[test]
    fn a_meter_that_somebody_holds_or_that_went_on_stays() {
        let meters = Meters::new(&MetricsConfig { series_max: Bounded::of::<0>() });
        let tenant = TenantId::new();
        let held = meter(&meters, tenant, "first");
        meters.let_go(tenant, Arc::clone(&held), Totals::default());
        held.answered(200, "", Duration::ZERO, 0);
        meters.let_go(tenant, held, Totals::default());
        assert_eq!(meters.all().len(), 1);
    }
}
