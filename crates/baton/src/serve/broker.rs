//! The running broker as the admin API sees it: the engine's and the network's parts under one roof.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton_admin::metrics::{Figure, FigureValue};
use baton_admin::{Broker, LoginFuture};
use baton_engine::Health;
use baton_engine::{Engine, Port, Waker};
use baton_model::{Bytes, Name};
use baton_net::{Authenticator, Counters};
use parking_lot::Mutex;

use super::watch::Seen;
use crate::config::Limits;

/// The running broker.
pub(crate) struct RunningBroker {
    engine: Engine,
    authenticator: Arc<Authenticator>,
    listeners: Mutex<Vec<(&'static str, Arc<Counters>)>>,
    serving: AtomicBool,
    watched: Watched,
}

/// What the resource alarms compare, bytes.
struct Watched {
    memory_bytes_max: u64,
    disk_free_bytes_min: u64,
    seen: Arc<Seen>,
}

impl RunningBroker {
    /// A broker that is not serving yet.
    pub(crate) fn new(
        engine: Engine,
        authenticator: Arc<Authenticator>,
        limits: &Limits,
        seen: Arc<Seen>,
    ) -> Self {
        let watched = Watched {
            memory_bytes_max: limits.memory_bytes_max.value,
            disk_free_bytes_min: limits.disk_free_bytes_min.value,
            seen,
        };
        let serving = AtomicBool::new(false);
        Self { engine, authenticator, listeners: Mutex::default(), serving, watched }
    }

    /// Adds a listener to what is counted.
    pub(crate) fn listens(&self, name: &'static str, counters: Arc<Counters>) {
        self.listeners.lock().push((name, counters));
    }

    /// Says whether all listeners take connections.
    pub(crate) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Release);
    }
}

impl Broker for RunningBroker {
    fn connect(&self, waker: Waker) -> Port {
        self.engine.connect(waker)
    }

    fn advance_clock_ms(&self, ms: u64) -> bool {
        let moved = self.engine.clock().advance_ms(ms);
        if moved {
            self.engine.clock_moved();
        }
        moved
    }

    fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.serving.load(Ordering::Acquire) {
            reasons.push("starting or shutting down".to_owned());
        }
        match self.engine.health() {
            Health::Running => {}
            Health::DiskFull => {
                reasons.push("the disk is full; consumers can drain, publishes are refused".to_owned());
            }
            Health::Stopped(why) => reasons.push(format!("stopped: {why}")),
            Health::ShutDown => reasons.push("shut down".to_owned()),
        }
        reasons
    }

    fn login(&self, user: Name, password: Bytes, loopback: bool) -> LoginFuture {
        Box::pin(Arc::clone(&self.authenticator).login(user, password, loopback))
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = engine_figures(&self.engine);
        figures.extend(self.watched.figures());
        let listeners = self.listeners.lock();
        let sum = |pick: fn(&Counters) -> u64| listeners.iter().map(|(_, counters)| pick(counters)).sum();
        for (name, help, pick) in NET_COUNTERS {
            figures.push(Figure { name, help, value: FigureValue::Counter(sum(pick)) });
        }
        let value = FigureValue::Gauge(sum(|counters| counters.open.read()));
        figures.push(Figure {
            name: "connections_open",
            help: "Connections of clients that are open",
            value,
        });
        figures
    }
}

impl Watched {
    fn figures(&self) -> [Figure; 3] {
        let gauge = |name, help, value| Figure { name, help, value: FigureValue::Gauge(value) };
        let disk_free = self.seen.disk_free.load(Ordering::Relaxed);
        [
            gauge("memory_limit_bytes", "Memory at which the memory alarm begins", self.memory_bytes_max),
            gauge("disk_free_bytes", "Space left on the file system of the data", disk_free),
            gauge(
                "disk_free_limit_bytes",
                "Space below which the disk alarm begins",
                self.disk_free_bytes_min,
            ),
        ]
    }
}

/// Name, help, and how to read it.
type NetCounter = (&'static str, &'static str, fn(&Counters) -> u64);

const NET_COUNTERS: [NetCounter; 8] = [
    ("connections_accepted", "Connections accepted", |counters| counters.accepted.read()),
    ("connections_refused", "Connections refused because too many were open", |counters| {
        counters.refused.read()
    }),
    ("handshakes_failed", "TLS handshakes that failed", |counters| counters.failed_handshakes.read()),
    ("logins_failed", "Logins refused", |counters| counters.failed_logins.read()),
    ("requests_denied", "Requests refused for lack of permission", |counters| {
        counters.denied_requests.read()
    }),
    ("session_defects", "Connections closed because of a defect in Baton; report any", |counters| {
        counters.defects.read()
    }),
    ("received_bytes", "Bytes read from clients", |counters| counters.bytes_in.read()),
    ("sent_bytes", "Bytes written to clients", |counters| counters.bytes_out.read()),
];

fn engine_figures(engine: &Engine) -> Vec<Figure> {
    let stats = engine.stats();
    let counter = |name, help, value| Figure { name, help, value: FigureValue::Counter(value) };
    let gauge = |name, help, value| Figure { name, help, value: FigureValue::Gauge(value) };
    let settled = stats.completed.saturating_add(stats.released);
    let inbox = u64::try_from(engine.inbox_bytes()).unwrap_or(u64::MAX);
    let append_us = FigureValue::BucketsUs(stats.append_us.to_vec());
    vec![
        counter("messages_published", "Messages taken in", stats.published),
        counter("messages_unroutable", "Messages that reached no queue", stats.unroutable),
        counter("messages_duplicate", "Messages that repeated an earlier one", stats.duplicates),
        counter("messages_delivered", "Deliveries handed over", stats.delivered),
        counter("messages_redelivered", "Deliveries that were not the message's first", stats.redelivered),
        counter("messages_settled", "Deliveries settled, as done or not", settled),
        counter("messages_completed", "Deliveries settled as done", stats.completed),
        counter("messages_released", "Deliveries that went back", stats.released),
        counter("messages_dead_lettered", "Messages moved to dead-letter queues", stats.dead_lettered),
        counter("messages_expired", "Messages whose time to live ended", stats.expired),
        counter(
            "messages_dropped",
            "Messages dropped from full queues, or with nowhere to go",
            stats.dropped,
        ),
        counter("requests_refused", "Requests refused by the engine", stats.refused),
        counter("journal_batches", "Batches written", stats.batches),
        counter("journal_syncs", "Syncs of the journal", stats.syncs),
        counter("journal_records", "Records in these batches", stats.records),
        counter("journal_written_bytes", "Bytes of these batches", stats.batch_bytes),
        counter("journal_snapshots", "Snapshots written", stats.snapshots),
        counter("journal_segments_removed", "Segments removed", stats.segments_removed),
        counter("deliveries_paused", "Times that deliveries to a slow reader were paused", stats.pauses),
        counter("producers_blocked", "Times that it began that producers were kept back", stats.blocks),
        Figure { name: "journal_append_seconds", help: "Time of one write and sync", value: append_us },
        gauge("queues", "Queues", stats.queues),
        gauge("messages", "Messages, each counted once however many queues hold it", stats.messages),
        gauge("consumers", "Consumers", stats.consumers),
        gauge(
            "journal_live_bytes",
            "Bytes of contents and index pages in use, each with its record",
            stats.live_bytes,
        ),
        gauge(
            "journal_disk_bytes",
            "Bytes of the journal's segments, as far as they are written",
            stats.disk_bytes,
        ),
        counter(
            "journal_rewritten_bytes",
            "Bytes copied forward so that segments can go",
            stats.rewritten_bytes,
        ),
        gauge("resident_content_bytes", "Bytes of contents that are in memory", stats.resident_bytes),
        gauge("indexed_messages", "Messages whose index is in memory", stats.indexed_messages),
        gauge("inbox_bytes", "Bytes of requests that wait for the partition", inbox),
        gauge("disk_full", "1 while the disk is full", stats.disk_full),
        gauge("memory_alarm", "1 while producers are kept back because memory is short", stats.memory_alarm),
        gauge("disk_alarm", "1 while producers are kept back because disk space is short", stats.disk_alarm),
        gauge("publishes_held", "Publishes that wait for the end of an alarm", stats.held),
        gauge("recovery_records", "Records replayed at the last start", stats.recovered_records),
        gauge("recovery_microseconds", "How long the last start's recovery took", stats.recovery_us),
    ]
}
