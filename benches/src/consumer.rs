//! A consumer: one thread, one connection, a few queues. Every message is acknowledged by itself (multiple = false);
//! the acks of what one read brought leave with one write. Called by `scenarios`.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::conn::{CHANNEL, Connection, check_event, read_some, write_all};
use crate::error::{BenchError, Result};
use crate::measure::now_ns;
use crate::payload::Payload;
use crate::tally::Arrivals;
use crate::wire::encode;
use crate::wire::scan::{Event, Incoming};

/// How often an idle consumer looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);
/// Latencies above this count as this much.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What a consumer does.
#[derive(Debug, Clone)]
pub struct ConsumerPlan {
    /// The server.
    pub address: SocketAddr,
    /// Consumed from all at once.
    pub queues: Vec<String>,
    /// The run's magic, see `payload`.
    pub magic: u64,
    /// basic.qos per consumer.
    pub prefetch: u16,
    /// Take a time for every message.
    pub timed: bool,
}

/// What the coordinator sees and says while consumers run; one for each consumer.
#[derive(Debug)]
pub struct ConsumerGauge {
    /// Leave at the next quiet moment.
    pub stop: AtomicBool,
    /// Messages received so far, repeats not counted.
    pub received: AtomicU64,
    /// Latencies count for messages sent at or after this time ...
    pub timed_from_ns: AtomicU64,
    /// ... and before this one.
    pub timed_until_ns: AtomicU64,
}

impl Default for ConsumerGauge {
    fn default() -> Self {
        Self {
            stop: AtomicBool::new(false),
            received: AtomicU64::new(0),
            timed_from_ns: AtomicU64::new(u64::MAX),
            timed_until_ns: AtomicU64::new(u64::MAX),
        }
    }
}

/// An empty histogram of nanoseconds with three significant digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("these bounds are valid")
}

/// What a consumer brings home.
pub struct Consumed {
    /// Which messages, and how often.
    pub arrivals: Arrivals,
    /// From the time in the body to the receipt; empty unless timed.
    pub latency: Histogram<u64>,
}

/// A connected consumer with its subscriptions.
pub struct Consumer<'a> {
    plan: ConsumerPlan,
    gauge: &'a ConsumerGauge,
    stream: TcpStream,
    incoming: Incoming,
    acks: Vec<u8>,
    received: u64,
    consumed: Consumed,
}

impl<'a> Consumer<'a> {
    /// Connects and subscribes. Several queues must still be empty, since deliveries may come before the last
    /// consume-ok otherwise.
    ///
    /// # Errors
    /// The server is not there or refuses.
    pub fn connect(plan: ConsumerPlan, gauge: &'a ConsumerGauge) -> Result<Consumer<'a>> {
        let mut conn = Connection::open(plan.address)?;
        conn.qos(plan.prefetch)?;
        for queue in &plan.queues {
            conn.consume(queue, false)?;
        }
        conn.set_read_timeout(POLL)?;
        let (stream, incoming, acks) = conn.parts();
        let consumed = Consumed { arrivals: Arrivals::default(), latency: latency_histogram() };
        Ok(Consumer { plan, gauge, stream, incoming, acks, received: 0, consumed })
    }

    /// Consumes until told to stop.
    ///
    /// # Errors
    /// The connection broke, the server closed it, or a body is not of this run.
    pub fn run(mut self) -> Result<Consumed> {
        loop {
            // Deliveries may already wait in the buffer, behind consume-ok.
            self.take_deliveries()?;
            if !self.acks.is_empty() {
                write_all(&self.stream, &self.acks)?;
                self.acks.clear();
            }
            self.gauge.received.store(self.received, Ordering::Relaxed);
            if !read_some(&mut self.incoming, &self.stream)? && self.gauge.stop.load(Ordering::Relaxed) {
                return Ok(self.consumed);
            }
        }
    }

    fn take_deliveries(&mut self) -> Result<()> {
        // One clock call per read: all messages of one read arrived at that moment.
        let now = if self.plan.timed { now_ns() } else { 0 };
        while let Some(event) = self.incoming.next_event()? {
            let delivery = match event {
                Event::Deliver(delivery) => delivery,
                other => {
                    check_event(&other)?;
                    continue;
                }
            };
            let payload = Payload::read(self.plan.magic, delivery.body).map_err(BenchError::Wire)?;
            encode::ack(&mut self.acks, CHANNEL, delivery.tag);
            let fresh = self.consumed.arrivals.note(payload.producer, payload.sequence);
            self.received += u64::from(fresh);
            if self.plan.timed
                && payload.sent_ns >= self.gauge.timed_from_ns.load(Ordering::Relaxed)
                && payload.sent_ns < self.gauge.timed_until_ns.load(Ordering::Relaxed)
            {
                self.consumed.latency.saturating_record(now.saturating_sub(payload.sent_ns).max(1));
            }
        }
        Ok(())
    }
}
