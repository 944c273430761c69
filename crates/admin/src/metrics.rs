//! `/metrics`: figures of the broker and of every queue, in the OpenMetrics text format that Prometheus reads. All of
//! them are looked up when they are asked for; between two scrapes this costs nothing.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_model::event::QueueInfo;
use baton_model::limits::BROWSE_PAGE_MAX;
use baton_model::request::CatalogOp;
use baton_model::{Name, Reply, Request, Time, Token};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::api::MetricsReader;
use crate::error::{ApiError, ApiResult};
use crate::{Admin, shown};

/// Most queues with figures of their own. Beyond that a scrape would be tens of megabytes; the totals still count all.
pub const METRICS_QUEUES_MAX: usize = 10_000;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One figure of the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name without `baton_` in front and, for counters, without `_total` behind.
    pub name: &'static str,
    /// What it counts, one sentence without the full stop.
    pub help: &'static str,
    /// Its value.
    pub value: FigureValue,
}

/// A figure's value.
#[derive(Clone, Debug, PartialEq)]
pub enum FigureValue {
    /// Only grows while the process lives.
    Counter(u64),
    /// Goes up and down.
    Gauge(u64),
    /// Times by how long they were: bucket `i` counts those below 2^i microseconds that are in no lower bucket, the last one
    /// all longer ones. Shown in seconds; the sum is estimated from the buckets' middles.
    BucketsUs(Vec<u64>),
}

#[derive(Debug)]
struct Scrape {
    now: Time,
    figures: Vec<Figure>,
    queues: Vec<(Name, QueueInfo)>,
    left_out: usize,
}

/// Answers a scrape.
pub(crate) async fn scrape(_reader: MetricsReader, State(admin): State<Arc<Admin>>) -> ApiResult<Response> {
    let (queues, left_out) = queues(&admin).await?;
    let mut figures = admin.broker.figures();
    figures.extend(memory());
    let scrape = Scrape { now: admin.clock.now(), figures, queues, left_out };
    let mut registry = Registry::with_prefix("baton");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|fmt::Error| ApiError::unexpected())?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

async fn queues(admin: &Admin) -> ApiResult<(Vec<(Name, QueueInfo)>, usize)> {
    let mut all = Vec::new();
    let mut left_out = 0;
    for namespace in admin.namespaces() {
        let client = admin.client(namespace).await?;
        let mut after = None;
        loop {
            let op = CatalogOp::Queues { after, prefix: Name::default(), count_max: BROWSE_PAGE_MAX };
            let Reply::Queues(page) =
                client.reply(Request::Catalog { token: Token(0), op: Box::new(op) }).await?
            else {
                return Err(ApiError::unexpected());
            };
            let full = page.len() >= usize::try_from(BROWSE_PAGE_MAX).unwrap_or(usize::MAX);
            after = page.last().map(|queue| queue.name.clone());
            for queue in page {
                if all.len() < METRICS_QUEUES_MAX {
                    all.push((Name::from(shown(namespace)), queue));
                } else {
                    left_out += 1;
                }
            }
            if !full {
                break;
            }
        }
    }
    Ok((all, left_out))
}

/// Resident memory, where the system tells it.
fn memory() -> Option<Figure> {
    let statm = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = statm.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    let value = FigureValue::Gauge(kib.saturating_mul(1024));
    Some(Figure {
        name: "process_resident_memory_bytes",
        help: "Memory of the process that is resident",
        value,
    })
}

/// A gauge of every queue: its name, its help, and the value.
type QueueGauge = (&'static str, &'static str, fn(&QueueInfo, Time) -> u64);

const QUEUE_GAUGES: [QueueGauge; 3] = [
    ("queue_bytes", "Bytes of the contents of all messages in the queue", |queue, _| queue.bytes),
    ("queue_consumers", "Consumers of the queue", |queue, _| queue.consumers.into()),
    ("queue_oldest_ready_age_seconds", "Age of the oldest ready message", |queue, now| {
        queue.oldest_at.map_or(0, |at| now.since_ms(at) / 1000)
    }),
];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for figure in &self.figures {
            match &figure.value {
                FigureValue::Counter(value) => {
                    let metric =
                        encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Counter)?;
                    ConstCounter::new(*value).encode(metric)?;
                }
                FigureValue::Gauge(value) => gauge(&mut encoder, figure.name, figure.help, *value)?,
                FigureValue::BucketsUs(counts) => histogram(&mut encoder, figure, counts)?,
            }
        }
        let help = "Queues that have no figures of their own because there are too many";
        gauge(&mut encoder, "queues_left_out", help, u64::try_from(self.left_out).unwrap_or(u64::MAX))?;
        if self.queues.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "queue_messages",
            "Messages in the queue by state",
            None,
            MetricType::Gauge,
        )?;
        for (namespace, queue) in &self.queues {
            for (state, count) in [
                ("ready", queue.ready),
                ("in_flight", queue.in_flight),
                ("scheduled", queue.scheduled),
                ("deferred", queue.deferred),
            ] {
                let labels =
                    [("namespace", namespace.as_str()), ("queue", queue.name.as_str()), ("state", state)];
                ConstGauge::new(signed(count)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in QUEUE_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (namespace, queue) in &self.queues {
                let labels = [("namespace", namespace.as_str()), ("queue", queue.name.as_str())];
                ConstGauge::new(signed(value(queue, self.now))).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(signed(value)).encode(metric)
}

fn histogram(encoder: &mut DescriptorEncoder<'_>, figure: &Figure, counts: &[u64]) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Histogram)?;
    let mut upper = 1e-6;
    let mut sum = 0.0;
    let mut buckets = Vec::with_capacity(counts.len());
    for (index, &count) in counts.iter().enumerate() {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an estimate; far beyond 2^52 appends nobody looks at its last digit"
        )]
        let middle = upper * 0.75 * count as f64;
        sum += middle;
        buckets.push((if index + 1 == counts.len() { f64::INFINITY } else { upper }, count));
        upper *= 2.0;
    }
    metric.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use baton_model::{QueueId, QueuePolicy};

    use super::*;

    #[test]
    fn a_scrape_has_figures_and_queues() {
        let queue = QueueInfo {
            name: "jobs \"x\"\n".into(),
            id: QueueId(1),
            policy: QueuePolicy::default(),
            ready: 3,
            scheduled: 0,
            in_flight: 1,
            deferred: 0,
            bytes: 2048,
            consumers: 2,
            oldest_at: Some(Time(1_000)),
            created_at: Time(0),
            changed_at: Time(0),
        };
        let figures = vec![
            Figure { name: "messages_published", help: "Published", value: FigureValue::Counter(7) },
            Figure { name: "connections", help: "Connections", value: FigureValue::Gauge(2) },
            Figure { name: "sync_seconds", help: "Syncs", value: FigureValue::BucketsUs(vec![1, 2, 1]) },
        ];
        let scrape =
            Scrape { now: Time(5_000), figures, queues: vec![("default".into(), queue)], left_out: 0 };
        let mut registry = Registry::with_prefix("baton");
        registry.register_collector(Box::new(scrape));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "baton_messages_published_total 7",
            "baton_connections 2",
            "baton_queue_messages{namespace=\"default\",queue=\"jobs \\\"x\\\"\\n\",state=\"ready\"} 3",
            "baton_queue_oldest_ready_age_seconds{namespace=\"default\",queue=\"jobs \\\"x\\\"\\n\"} 4",
            "baton_sync_seconds_bucket{le=\"0.000001\"} 1",
            "baton_sync_seconds_bucket{le=\"0.000002\"} 3",
            "baton_sync_seconds_bucket{le=\"+Inf\"} 4",
            "baton_sync_seconds_count 4",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn memory_is_known_on_linux() {
        assert!(!cfg!(target_os = "linux") || memory().is_some());
    }
}
