//! Request and reply over direct reply-to (`amq.rabbitmq.reply-to`): a caller that keeps a number of requests in
//! flight, and a responder that consumes a durable queue, acknowledges each request and echoes it. Requests are
//! persistent and unconfirmed, as RPC clients send them: the reply is the confirmation.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::flow::{declare, join};
use super::{Latency, Row, Settings, Stage, queue_names, run_magic};
use crate::conn::{CHANNEL, Connection, check_event, read_some, write_all};
use crate::consumer::latency_histogram;
use crate::error::{BenchError, Result};
use crate::measure::now_ns;
use crate::payload::Payload;
use crate::tally::Verdict;
use crate::wire::encode::{self, Properties, Route};
use crate::wire::scan::{Event, Incoming, reply_addresses};
use crate::wire::template::filler;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";
const POLL: Duration = Duration::from_millis(50);
/// How long replies may fail to come before the run is given up.
const STALL_MAX: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Gauge {
    stop_calls: AtomicBool,
    stop_answers: AtomicBool,
    measuring: AtomicBool,
    calls: AtomicU64,
}

/// Runs the workload on a started server.
///
/// # Errors
/// A worker failed, or the server did.
pub fn run(stage: &mut Stage, in_flight: u32, settings: &Settings) -> Result<Row> {
    let queues = queue_names(1);
    let queue = queues.first().map(String::as_str).unwrap_or_default();
    declare(stage, stage.target, &queues)?;
    let gauge = Gauge::default();
    let responder = Responder::connect(stage.address, queue, settings.prefetch)?;
    let caller = Caller::connect(stage.address, queue, in_flight, settings)?;
    std::thread::scope(|scope| {
        let responder = scope.spawn(|| responder.run(&gauge));
        let caller = scope.spawn(|| caller.run(&gauge));
        let mut watch_for = |time: Duration| -> Result<super::Reading> {
            let until = Instant::now() + time;
            while Instant::now() < until {
                std::thread::sleep(
                    Duration::from_millis(100).min(until.saturating_duration_since(Instant::now())),
                );
                stage.watch()?;
                if responder.is_finished() || caller.is_finished() {
                    return Err(BenchError::Run("a worker ended before its time".to_owned()));
                }
            }
            Ok(stage.read())
        };
        let measured = watch_for(settings.warmup).and_then(|before| {
            let calls_before = gauge.calls.load(Ordering::Relaxed);
            gauge.measuring.store(true, Ordering::Relaxed);
            let after = watch_for(settings.duration)?;
            gauge.measuring.store(false, Ordering::Relaxed);
            Ok((before, after, gauge.calls.load(Ordering::Relaxed) - calls_before))
        });
        gauge.stop_calls.store(true, Ordering::Relaxed);
        let called = join(caller);
        gauge.stop_answers.store(true, Ordering::Relaxed);
        join(responder)?;
        let ((latency, verdict), (before, after, calls)) = (called?, measured?);
        let mut row = stage.row(&format!("rpc-{in_flight}"), before, after, calls);
        row.latency = Latency::of(&latency);
        row.verdict = verdict;
        Ok(row)
    })
}

/// The side that answers.
struct Responder {
    stream: TcpStream,
    incoming: Incoming,
    out: Vec<u8>,
}

impl Responder {
    fn connect(address: SocketAddr, queue: &str, prefetch: u16) -> Result<Responder> {
        let mut conn = Connection::open(address)?;
        conn.qos(prefetch)?;
        conn.consume(queue, false)?;
        conn.set_read_timeout(POLL)?;
        let (stream, incoming, out) = conn.parts();
        Ok(Responder { stream, incoming, out })
    }

    fn run(mut self, gauge: &Gauge) -> Result<()> {
        loop {
            while let Some(event) = self.incoming.next_event()? {
                let Event::Deliver(request) = event else {
                    check_event(&event)?;
                    continue;
                };
                let (correlation_id, reply_to) = reply_addresses(request.properties)?;
                let properties = Properties { transient: true, correlation_id, ..Properties::default() };
                encode::publish(&mut self.out, CHANNEL, Route::queue(reply_to), properties, request.body);
                encode::ack(&mut self.out, CHANNEL, request.tag);
            }
            if !self.out.is_empty() {
                write_all(&self.stream, &self.out)?;
                self.out.clear();
            }
            if !read_some(&mut self.incoming, &self.stream)? && gauge.stop_answers.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
}

/// The side that asks.
struct Caller {
    stream: TcpStream,
    incoming: Incoming,
    out: Vec<u8>,
    queue: String,
    body: Vec<u8>,
    magic: u64,
    in_flight_max: u64,
    asked: u64,
    answered: u64,
    latency: Histogram<u64>,
}

impl Caller {
    fn connect(address: SocketAddr, queue: &str, in_flight: u32, settings: &Settings) -> Result<Caller> {
        let mut conn = Connection::open(address)?;
        conn.consume(REPLY_TO, true)?;
        conn.set_read_timeout(POLL)?;
        let (stream, incoming, out) = conn.parts();
        let magic = run_magic();
        let mut body = filler(settings.body_bytes);
        Payload { producer: 0, sequence: 0, sent_ns: 0 }.write(magic, &mut body);
        Ok(Caller {
            stream,
            incoming,
            out,
            queue: queue.to_owned(),
            body,
            magic,
            in_flight_max: u64::from(in_flight),
            asked: 0,
            answered: 0,
            latency: latency_histogram(),
        })
    }

    fn run(mut self, gauge: &Gauge) -> Result<(Histogram<u64>, Verdict)> {
        let mut last_answer = Instant::now();
        while !gauge.stop_calls.load(Ordering::Relaxed) || self.answered < self.asked {
            if !gauge.stop_calls.load(Ordering::Relaxed) {
                self.ask()?;
            }
            if read_some(&mut self.incoming, &self.stream)? {
                self.take_answers(gauge.measuring.load(Ordering::Relaxed))?;
                gauge.calls.store(self.answered, Ordering::Relaxed);
                last_answer = Instant::now();
            } else if last_answer.elapsed() > STALL_MAX {
                break;
            }
        }
        let verdict = Verdict {
            published: self.asked,
            confirmed: self.asked,
            received: self.answered,
            lost: self.asked - self.answered,
            ..Verdict::default()
        };
        Ok((self.latency, verdict))
    }

    fn ask(&mut self) -> Result<()> {
        let sent_ns = now_ns();
        while self.asked - self.answered < self.in_flight_max {
            Payload { producer: 0, sequence: self.asked, sent_ns }.patch(self.magic, &mut self.body);
            let correlation_id = self.asked.to_string();
            let properties = Properties {
                correlation_id: correlation_id.as_bytes(),
                reply_to: REPLY_TO.as_bytes(),
                ..Properties::default()
            };
            encode::publish(
                &mut self.out,
                CHANNEL,
                Route::queue(self.queue.as_bytes()),
                properties,
                &self.body,
            );
            self.asked += 1;
        }
        write_all(&self.stream, &self.out)?;
        self.out.clear();
        Ok(())
    }

    fn take_answers(&mut self, measuring: bool) -> Result<()> {
        let now = now_ns();
        while let Some(event) = self.incoming.next_event()? {
            let Event::Deliver(reply) = event else {
                check_event(&event)?;
                continue;
            };
            let payload = Payload::read(self.magic, reply.body)?;
            let (correlation_id, _) = reply_addresses(reply.properties)?;
            if correlation_id != payload.sequence.to_string().as_bytes() {
                return Err(BenchError::Run("a reply carries the wrong correlation id".to_owned()));
            }
            self.answered += 1;
            if measuring {
                self.latency.saturating_record(now.saturating_sub(payload.sent_ns).max(1));
            }
        }
        Ok(())
    }
}
