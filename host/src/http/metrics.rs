//! `/metrics`: what meters have counted, in the OpenMetrics text format.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{App, chain, operator};
use crate::error::Error;
use crate::metering::{LATENCY_BUCKETS_US, Labels, Meter, get, locked};

pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers programs on this machine, and whoever has the operator's token.
pub(super) async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    chain::frame(&app, request, async |request, _, _| {
        operator::local_or_operator(&app, &request)?;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Snapshot::of(&app)));
        let mut text = String::new();
        encode(&mut text, &registry)
            .map_err(|error| Error::internal("metrics cannot be written").because(error))?;
        let mut response = Response::new(text.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        Ok(response)
    })
    .await
}

/// Everything that is shown, as it was at one moment.
#[derive(Debug)]
struct Snapshot {
    /// With the names of tenant and module.
    meters: Vec<(String, String, Arc<Meter>)>,
    gauges: Vec<(&'static str, &'static str, u64)>,
}

/// What the tenant and the module of sums are called: no slug and no module's name begins so.
const OTHERS: &str = "_others";

impl Snapshot {
    fn of(app: &App) -> Self {
        let (shown, others) = app.services.meters.shown();
        let named = shown.into_iter().map(|meter| {
            let (tenant, module) = match &meter.labels {
                Some(Labels { tenant, module, .. }) => (tenant.to_string(), module.to_string()),
                None => (OTHERS.to_owned(), OTHERS.to_owned()),
            };
            (tenant, module, meter)
        });
        let others = (OTHERS.to_owned(), OTHERS.to_owned(), Arc::new(others));
        let mut meters: Vec<_> = named.chain([others]).collect();
        meters.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        Self { meters, gauges: app.registry.runtime().gauges() }
    }

    /// One figure of every meter.
    fn each(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, kind): (&str, &str, MetricType),
        write: impl Fn(&Meter, &mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (tenant, module, meter) in &self.meters {
            let labels = [("tenant", tenant.as_str()), ("module", module.as_str())];
            write(meter, &mut metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.answers(encoder)?;
        self.limits(encoder)?;
        self.each(
            encoder,
            ("hostel_request_seconds", "Time from head to answer", MetricType::Histogram),
            latency,
        )?;
        for (name, help, figure) in COUNTERS {
            self.each(encoder, (name, help, MetricType::Counter), |meter, metric| {
                metric.encode_counter::<NoLabelSet, _, u64>(&figure(meter), None)
            })?;
        }
        self.each(
            encoder,
            (
                "hostel_memory_peak_bytes",
                "The most linear memory that one call had",
                MetricType::Gauge,
            ),
            |meter, metric| {
                metric.encode_gauge(&i64::try_from(get(&meter.memory_peak_bytes)).unwrap_or(0))
            },
        )?;
        for (name, help, value) in &self.gauges {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&i64::try_from(*value).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }
}

type Counter = (&'static str, &'static str, fn(&Meter) -> f64);

const COUNTERS: [Counter; 5] = [
    ("hostel_cpu_seconds", "Time on processors", |meter| seconds(get(&meter.cpu_us))),
    ("hostel_queue_seconds", "Time that calls waited for their turn", |meter| {
        seconds(get(&meter.queue_us))
    }),
    ("hostel_host_calls", "Calls of host functions", |meter| get(&meter.host_calls) as f64),
    ("hostel_answer_bytes", "Bytes of answers' bodies", |meter| get(&meter.answer_bytes) as f64),
    ("hostel_panics", "Calls that met a fault of the host", |meter| get(&meter.panics) as f64),
];

impl Snapshot {
    fn answers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "hostel_requests",
            "Requests, by the answer's status and the problem's code",
            None,
            MetricType::Counter,
        )?;
        for (tenant, module, meter) in &self.meters {
            for ((status, code), count) in locked(&meter.answers).iter() {
                let status = status.to_string();
                let labels = [
                    ("tenant", tenant.as_str()),
                    ("module", module.as_str()),
                    ("status", &status),
                    ("code", code),
                ];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        Ok(())
    }

    fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "hostel_limit_hits",
            "Limits that calls met, by their code",
            None,
            MetricType::Counter,
        )?;
        for (tenant, module, meter) in &self.meters {
            for (limit, count) in locked(&meter.limits_hit).iter() {
                let labels =
                    [("tenant", tenant.as_str()), ("module", module.as_str()), ("limit", limit)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        Ok(())
    }
}

fn latency(meter: &Meter, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    let ends = LATENCY_BUCKETS_US.iter().map(|end| seconds(*end)).chain([f64::INFINITY]);
    let counts = meter.latency.buckets.iter().map(get);
    let buckets: Vec<(f64, u64)> = ends.zip(counts).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<NoLabelSet>(
        seconds(get(&meter.latency.sum_us)),
        count,
        &buckets,
        None,
    )
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
