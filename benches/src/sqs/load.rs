//! Producers and consumers on one queue at the same time, as fast as it goes: a producer sends batches of ten, a consumer
//! receives up to ten and deletes them as a batch. Each is one thread with one connection. Called by `sqs`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::http::Http;
use super::servers::Served;
use super::texts::{BATCH, BatchTemplate, Bodies, GROUPS, Stamp, count, delete, messages, receive};
use super::{Figures, Settings};
use crate::error::{BenchError, Result};
use crate::measure::{now_ns, own_cpu_ns};
use crate::scenarios::flow::join;
use crate::scenarios::run_magic;
use crate::tally::{Arrivals, Published, verdict};

/// Producers, and consumers.
const WORKERS: u32 = 4;
/// Messages that may wait: producers pause above it, so that what is measured is the way through the broker and not a
/// backlog that grows.
const BACKLOG_MAX: u64 = 500;
/// How long a receive waits when there is nothing, seconds; also the longest that an end of the run is noticed late.
const WAIT_S: u32 = 1;
/// How often the coordinator looks at memory.
const WATCH: Duration = Duration::from_millis(100);
/// How long nothing may arrive, while sent messages are missing, before they count as lost.
const STALL_MAX: Duration = Duration::from_secs(20);

/// What all workers share.
pub struct Shared {
    /// The server.
    pub address: SocketAddr,
    /// The queue.
    pub url: String,
    /// What is sent and expected.
    pub bodies: Bodies,
    /// Producers end.
    pub stop_sending: AtomicBool,
    /// Consumers end at their next empty receive.
    pub stop_receiving: AtomicBool,
    /// Messages sent and answered.
    pub sent: AtomicU64,
    /// Messages received and deleted.
    pub done: AtomicU64,
    /// Of a FIFO queue: the next sequence that each producer's groups may show, or more. Empty otherwise.
    order: Vec<AtomicU64>,
}

impl Shared {
    /// For a queue on a started server.
    pub fn new(served: &Served, url: String, settings: &Settings, fifo: bool) -> Shared {
        let groups = if fifo { u64::from(WORKERS) * GROUPS } else { 0 };
        Shared {
            address: served.address,
            url,
            bodies: Bodies::new(run_magic(), settings.body_bytes),
            stop_sending: AtomicBool::new(false),
            stop_receiving: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            done: AtomicU64::new(0),
            order: (0..groups).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A message of a group must not come before an earlier one is deleted, whoever receives it.
    fn check_order(&self, stamp: Stamp) -> Result<()> {
        let group = u64::from(stamp.producer) * GROUPS + stamp.sequence % GROUPS;
        let Some(next) = usize::try_from(group).ok().and_then(|group| self.order.get(group)) else {
            return Ok(());
        };
        if next.swap(stamp.sequence + 1, Ordering::SeqCst) > stamp.sequence {
            return Err(BenchError::Run(format!("a group's messages came out of order: {stamp:?}")));
        }
        Ok(())
    }

    fn waiting(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.done.load(Ordering::Relaxed))
    }
}

/// Runs the workload on a started server.
///
/// # Errors
/// A worker or the server failed, or a message was lost, changed or out of order.
pub fn run(served: &mut Served, scenario: &str, fifo: bool, settings: &Settings) -> Result<Figures> {
    let url = served.create_queue(if fifo { "bench.fifo" } else { "bench" }, fifo)?;
    let shared = Shared::new(served, url, settings, fifo);
    std::thread::scope(|scope| {
        let shared = &shared;
        let consumers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| consume(shared))).collect();
        let producers: Vec<_> =
            (0..WORKERS).map(|number| scope.spawn(move || produce(shared, number, fifo))).collect();
        let ended = || consumers.iter().any(|c| c.is_finished()) || producers.iter().any(|p| p.is_finished());
        let measured = measure(served, shared, settings, ended);
        shared.stop_sending.store(true, Ordering::Relaxed);
        let published: Result<Vec<Published>> = producers.into_iter().map(join).collect();
        if let (Ok(published), Ok(_)) = (&published, &measured) {
            await_done(&shared.done, published.iter().map(Published::confirmed).sum());
        }
        shared.stop_receiving.store(true, Ordering::Relaxed);
        let arrived: Result<Vec<Arrivals>> = consumers.into_iter().map(join).collect();
        let (published, arrived, mut figures) = (published?, arrived?, measured?);
        let mut all = Arrivals::default();
        for one in &arrived {
            all.merge(one);
        }
        figures.scenario = scenario.to_owned();
        figures.verdict = verdict(&published, &all);
        Ok(figures)
    })
}

fn measure(
    served: &mut Served,
    shared: &Shared,
    settings: &Settings,
    ended: impl Fn() -> bool,
) -> Result<Figures> {
    let mut peak_kib = served.idle_kib;
    let mut watch_for = |served: &mut Served, time: Duration| -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(WATCH.min(until.saturating_duration_since(Instant::now())));
            peak_kib = peak_kib.max(served.probe.resident_kib());
            served.check_alive()?;
            if ended() {
                return Err(BenchError::Run("a worker ended before its time".to_owned()));
            }
        }
        Ok(())
    };
    let read = |served: &Served| {
        (now_ns(), shared.done.load(Ordering::Relaxed), served.probe.cpu_ns(), own_cpu_ns())
    };
    watch_for(served, settings.warmup)?;
    served.probe.refresh();
    let before = read(served);
    watch_for(served, settings.duration)?;
    let after = read(served);
    let messages = after.1 - before.1;
    let share = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e3 / messages.max(1) as f64;
    Ok(Figures {
        per_second: messages as f64 / ((after.0 - before.0) as f64 / 1e9),
        server_us: share(before.2, after.2),
        client_us: share(before.3, after.3),
        idle_mib: served.idle_kib as f64 / 1024.0,
        peak_mib: peak_kib as f64 / 1024.0,
        ..Figures::default()
    })
}

/// Waits until everything sent is done, or nothing has moved for [`STALL_MAX`].
pub fn await_done(done: &AtomicU64, promised: u64) {
    let mut last = (0, Instant::now());
    loop {
        let now = done.load(Ordering::Relaxed);
        if now >= promised || last.1.elapsed() > STALL_MAX {
            return;
        }
        if now > last.0 {
            last = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn produce(shared: &Shared, number: u32, fifo: bool) -> Result<Published> {
    let mut http = Http::new(shared.address);
    let mut batch = BatchTemplate::new(shared.address, &shared.url, &shared.bodies, fifo);
    let mut sequence = 0;
    while !shared.stop_sending.load(Ordering::Relaxed) {
        if shared.waiting() > BACKLOG_MAX {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let first = Stamp { producer: number, sequence, sent_ns: now_ns() };
        let answer = http.call(batch.fill(&shared.bodies, first))?;
        let accepted = count(answer, "\"MD5OfMessageBody\"");
        if accepted != BATCH {
            let text = String::from_utf8_lossy(answer).into_owned();
            return Err(BenchError::Run(format!("{accepted} of {BATCH} messages were taken: {text}")));
        }
        sequence += BATCH as u64;
        shared.sent.fetch_add(BATCH as u64, Ordering::Relaxed);
    }
    Ok(Published { count: sequence, ..Published::default() })
}

fn consume(shared: &Shared) -> Result<Arrivals> {
    let mut http = Http::new(shared.address);
    let ask = receive(shared.address, &shared.url, BATCH, WAIT_S);
    let mut arrivals = Arrivals::default();
    loop {
        let answer = http.call(&ask)?;
        let mut receipts = Vec::with_capacity(BATCH);
        messages(answer, |receipt, body| {
            let stamp = shared.bodies.read(body)?;
            shared.check_order(stamp)?;
            arrivals.note(stamp.producer, stamp.sequence);
            receipts.push(receipt);
            Ok(())
        })?;
        if receipts.is_empty() {
            if shared.stop_receiving.load(Ordering::Relaxed) {
                return Ok(arrivals);
            }
            continue;
        }
        let request = delete(shared.address, &shared.url, &receipts);
        let asked = receipts.len();
        let answer = http.call(&request)?;
        let deleted = count(answer, "\"Id\"");
        if deleted != asked || count(answer, "\"Code\"") > 0 {
            let text = String::from_utf8_lossy(answer).into_owned();
            return Err(BenchError::Run(format!("{deleted} of {asked} messages were deleted: {text}")));
        }
        shared.done.fetch_add(asked as u64, Ordering::Relaxed);
    }
}
