//! Producers and consumers on one queue at the same time, as fast as it goes: a producer sends batches of ten, a consumer
//! receives up to ten and deletes them as a batch. Each is one connection with one request open; one thread serves them
//! all, so that the cores are the server's and not spent on changing between eight threads. Consumers that are *ahead* have two
//! connections and receive the next batch while the one before is being deleted, as asynchronous clients do. Called by `sqs`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::http::Http;
use super::servers::Served;
use super::texts::{BATCH, BatchTemplate, Bodies, GROUPS, Stamp, count, delete, messages, receive};
use super::{Figures, Settings};
use crate::error::{BenchError, During, Result};
use crate::measure::{STALL_MAX, now_ns, own_cpu_ns};
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
/// How long to wait for answers before looking whether to stop.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// A FIFO queue with a hundred groups.
    pub fifo: bool,
    /// Consumers receive while they delete.
    pub ahead: bool,
}

impl Kind {
    /// The workload's name.
    pub fn name(self) -> &'static str {
        match (self.fifo, self.ahead) {
            (false, false) => "plain",
            (true, false) => "fifo",
            (false, true) => "plain-ahead",
            (true, true) => "fifo-ahead",
        }
    }
}

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
pub fn run(served: &mut Served, scenario: &str, kind: Kind, settings: &Settings) -> Result<Figures> {
    let url = served.create_queue(if kind.fifo { "bench.fifo" } else { "bench" }, kind.fifo)?;
    let shared = Shared::new(served, url, settings, kind.fifo);
    std::thread::scope(|scope| {
        let shared = &shared;
        let load = scope.spawn(move || Load::new(shared, kind).run());
        let measured = measure(served, shared, settings, || load.is_finished());
        shared.stop_sending.store(true, Ordering::Relaxed);
        let (published, arrived) = join(load)?;
        let mut figures = measured?;
        figures.scenario = scenario.to_owned();
        figures.verdict = verdict(&published, &arrived);
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

/// All connections of a run.
struct Load<'s> {
    shared: &'s Shared,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    arrivals: Arrivals,
    /// When a message was last done.
    moved: Instant,
}

struct Producer {
    http: Http,
    number: u32,
    batch: BatchTemplate,
    sequence: u64,
    asking: bool,
}

struct Consumer {
    /// Receives, and deletes too unless it is ahead.
    http: Http,
    /// Deletes, if it is ahead.
    ahead: Option<Http>,
    /// Of the batch that is being deleted.
    deleting: usize,
    /// How many are received and not deleted yet because the batch before is being deleted, and the request for that.
    held: usize,
    request: Vec<u8>,
    ended: bool,
}

impl<'s> Load<'s> {
    fn new(shared: &'s Shared, kind: Kind) -> Load<'s> {
        let producer = |number| Producer {
            http: Http::new(shared.address),
            number,
            batch: BatchTemplate::new(shared.address, &shared.url, &shared.bodies, kind.fifo),
            sequence: 0,
            asking: false,
        };
        let consumer = |_| Consumer {
            http: Http::new(shared.address),
            ahead: kind.ahead.then(|| Http::new(shared.address)),
            deleting: 0,
            held: 0,
            request: Vec::new(),
            ended: false,
        };
        Load {
            shared,
            producers: (0..WORKERS).map(producer).collect(),
            consumers: (0..WORKERS).map(consumer).collect(),
            arrivals: Arrivals::default(),
            moved: Instant::now(),
        }
    }

    /// Until sending was stopped and everything sent has come, or nothing has moved for [`STALL_MAX`].
    fn run(mut self) -> Result<(Vec<Published>, Arrivals)> {
        let ask = receive(self.shared.address, &self.shared.url, BATCH, WAIT_S);
        for consumer in &mut self.consumers {
            consumer.http.ask(&ask)?;
        }
        loop {
            for producer in &mut self.producers {
                producer.go_on(self.shared)?;
            }
            let sending = self.producers.iter().any(|producer| producer.asking)
                || !self.shared.stop_sending.load(Ordering::Relaxed);
            let complete = self.shared.waiting() == 0 || self.moved.elapsed() > STALL_MAX;
            let stopping = !sending && complete;
            if stopping && self.consumers.iter().all(|consumer| consumer.ended) {
                let count =
                    |producer: &Producer| Published { count: producer.sequence, ..Published::default() };
                return Ok((self.producers.iter().map(count).collect(), self.arrivals));
            }
            let ready = self.await_answers()?;
            for (nth, producer) in self.producers.iter_mut().enumerate() {
                if ready & 1 << nth != 0 {
                    producer.answered(self.shared)?;
                }
            }
            let first = self.producers.len();
            for (nth, consumer) in self.consumers.iter_mut().enumerate() {
                let bits = ready >> (first + 2 * nth);
                let mut deleted = false;
                if bits & 2 != 0 {
                    deleted = consumer.deleted(self.shared, &ask)?;
                }
                if bits & 1 != 0 {
                    deleted |= consumer.answered(self.shared, &mut self.arrivals, &ask, stopping)?;
                }
                if deleted {
                    self.moved = Instant::now();
                }
            }
        }
    }

    /// Waits until something can be read; a bit for each connection, producers first, then two for each consumer.
    fn await_answers(&self) -> Result<u32> {
        let producers =
            self.producers.iter().map(|producer| producer.http.socket().filter(|_| producer.asking));
        let consumers = self.consumers.iter().flat_map(|consumer| {
            let receiving = consumer.http.socket().filter(|_| !consumer.ended && consumer.held == 0);
            let deleting = consumer.ahead.as_ref().filter(|_| consumer.deleting > 0).and_then(Http::socket);
            [receiving, deleting]
        });
        let sockets: Vec<_> = producers.chain(consumers).enumerate().collect();
        let asking = || sockets.iter().filter_map(|(nth, socket)| Some((nth, socket.as_ref()?)));
        let mut fds: Vec<PollFd<'_>> =
            asking().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&PAUSE)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error)).during("wait for an answer"),
        }
        let ready = asking().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.fold(0, |bits, ((nth, _), _)| bits | 1 << nth))
    }
}

impl Producer {
    /// Sends the next batch, unless one is open, or so many messages wait that it would only lengthen the queue.
    fn go_on(&mut self, shared: &Shared) -> Result<()> {
        if self.asking || shared.stop_sending.load(Ordering::Relaxed) || shared.waiting() > BACKLOG_MAX {
            return Ok(());
        }
        let first = Stamp { producer: self.number, sequence: self.sequence, sent_ns: now_ns() };
        self.asking = true;
        self.http.ask(self.batch.fill(&shared.bodies, first))
    }

    fn answered(&mut self, shared: &Shared) -> Result<()> {
        let Some(answer) = self.http.answer_now()? else { return Ok(()) };
        let accepted = count(answer, "\"MD5OfMessageBody\"");
        if accepted != BATCH {
            let text = String::from_utf8_lossy(answer).into_owned();
            return Err(BenchError::Run(format!("{accepted} of {BATCH} messages were taken: {text}")));
        }
        self.asking = false;
        self.sequence += BATCH as u64;
        shared.sent.fetch_add(BATCH as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Consumer {
    /// Deletes what was received; receives more when it is deleted, or meanwhile. True: messages are done.
    fn answered(
        &mut self,
        shared: &Shared,
        arrivals: &mut Arrivals,
        ask: &[u8],
        stopping: bool,
    ) -> Result<bool> {
        if self.ahead.is_none() && self.deleting > 0 {
            return self.deleted(shared, ask);
        }
        let Some(answer) = self.http.answer_now()? else { return Ok(false) };
        let mut receipts = Vec::with_capacity(BATCH);
        messages(answer, |receipt, body| {
            let stamp = shared.bodies.read(body)?;
            shared.check_order(stamp)?;
            arrivals.note(stamp.producer, stamp.sequence);
            receipts.push(receipt);
            Ok(())
        })?;
        if receipts.is_empty() {
            self.ended = stopping;
            if !stopping {
                self.http.ask(ask)?;
            }
            return Ok(false);
        }
        delete(shared.address, &shared.url, &receipts, &mut self.request);
        self.held = receipts.len();
        self.delete_held(ask)?;
        Ok(false)
    }

    /// Asks for the deletion of what was received, unless the batch before is being deleted.
    fn delete_held(&mut self, ask: &[u8]) -> Result<()> {
        if self.deleting > 0 || self.held == 0 {
            return Ok(());
        }
        self.deleting = std::mem::take(&mut self.held);
        match &mut self.ahead {
            None => self.http.ask(&self.request),
            Some(ahead) => {
                ahead.ask(&self.request)?;
                self.http.ask(ask)
            }
        }
    }

    /// A batch may be deleted. True: it is.
    fn deleted(&mut self, shared: &Shared, ask: &[u8]) -> Result<bool> {
        let Some(answer) = self.ahead.as_mut().unwrap_or(&mut self.http).answer_now()? else {
            return Ok(false);
        };
        let (deleted, deleting) = (count(answer, "\"Id\""), self.deleting);
        if deleted != deleting || count(answer, "\"Code\"") > 0 {
            let text = String::from_utf8_lossy(answer).into_owned();
            return Err(BenchError::Run(format!("{deleted} of {deleting} messages were deleted: {text}")));
        }
        self.deleting = 0;
        shared.done.fetch_add(deleting as u64, Ordering::Relaxed);
        match self.ahead {
            None => self.http.ask(ask)?,
            Some(_) => self.delete_held(ask)?,
        }
        Ok(true)
    }
}
