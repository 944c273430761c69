//! How soon a waiting receive has a message that was sent: senders in an open loop, receivers that wait. Called by `sqs`.
//!
//! Message *n* is due at *start + n / rate* and carries that time, however late it leaves, so a server that stalls is
//! charged for every message that was due meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::http::Http;
use super::load::Shared;
use super::servers::Served;
use super::texts::{Bodies, Stamp, delete, messages, receive, request};
use super::{Figures, Settings};
use crate::consumer::latency_histogram;
use crate::error::{BenchError, Result};
use crate::measure::{await_all, now_ns, own_cpu_ns};
use crate::scenarios::Latency;
use crate::scenarios::flow::join;
use crate::tally::{Arrivals, Published, verdict};

/// Connections that send, in turns: one alone would wait for its answers longer than messages are apart.
const SENDERS: u32 = 4;
/// Connections that wait: enough that some always do.
const WAITERS: u32 = 16;
/// How long a receive waits, seconds; also the longest that the end is noticed late.
const WAIT_S: u32 = 2;

/// When latencies count.
#[derive(Clone, Copy)]
struct Schedule {
    start_ns: u64,
    /// Between two messages of one sender.
    interval_ns: u64,
    timed_from_ns: u64,
    until_ns: u64,
}

/// Runs the workload on a started server at `rate` messages per second.
///
/// # Errors
/// A worker or the server failed, or a message was lost or changed.
pub fn run(served: &mut Served, rate: u32, settings: &Settings) -> Result<Figures> {
    let url = served.create_queue("bench", false)?;
    let shared = Shared::new(served, url, settings, false);
    let (warmup_ns, all_ns) = (nanos(settings.warmup), nanos(settings.warmup + settings.duration));
    let start_ns = now_ns() + 100_000_000;
    let schedule = Schedule {
        start_ns,
        interval_ns: u64::from(SENDERS) * 1_000_000_000 / u64::from(rate.max(1)),
        timed_from_ns: start_ns + warmup_ns,
        until_ns: start_ns + all_ns,
    };
    let timed = AtomicU64::new(0);
    served.probe.refresh();
    std::thread::scope(|scope| {
        let (shared, timed) = (&shared, &timed);
        let waiters: Vec<_> =
            (0..WAITERS).map(|_| scope.spawn(move || wait(shared, schedule, timed))).collect();
        let senders: Vec<_> =
            (0..SENDERS).map(|number| scope.spawn(move || send(shared, number, schedule))).collect();
        sleep_until(schedule.timed_from_ns);
        let before = (served.probe.cpu_ns(), own_cpu_ns());
        sleep_until(schedule.until_ns);
        let after = (served.probe.cpu_ns(), own_cpu_ns());
        let published: Result<Vec<Published>> = senders.into_iter().map(join).collect();
        if let Ok(published) = &published {
            await_all(
                || shared.done.load(Ordering::Relaxed),
                published.iter().map(Published::confirmed).sum(),
            );
        }
        shared.stop_receiving.store(true, Ordering::Relaxed);
        let waited: Result<Vec<_>> = waiters.into_iter().map(join).collect();
        let (mut arrivals, mut latency) = (Arrivals::default(), latency_histogram());
        for (one, times) in &waited? {
            arrivals.merge(one);
            latency.add(times).map_err(|error| BenchError::Run(error.to_string()))?;
        }
        let messages = timed.load(Ordering::Relaxed);
        let share = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e3 / messages.max(1) as f64;
        Ok(Figures {
            scenario: format!("wake-{rate}"),
            per_second: messages as f64 / settings.duration.as_secs_f64(),
            server_us: share(before.0, after.0),
            client_us: share(before.1, after.1),
            idle_mib: served.idle_kib as f64 / 1024.0,
            peak_mib: served.probe.resident_kib() as f64 / 1024.0,
            latency: Latency::of(&latency),
            verdict: verdict(&published?, &arrivals),
            ..Figures::default()
        })
    })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn sleep_until(at_ns: u64) {
    std::thread::sleep(Duration::from_nanos(at_ns.saturating_sub(now_ns())));
}

fn send(shared: &Shared, number: u32, schedule: Schedule) -> Result<Published> {
    let mut http = Http::new(shared.address);
    let mut single = Single::new(shared.address, &shared.url, &shared.bodies);
    // The senders' turns are spread evenly.
    let mut due = schedule.start_ns + schedule.interval_ns * u64::from(number) / u64::from(SENDERS);
    let mut sequence = 0;
    while due < schedule.until_ns {
        sleep_until(due);
        http.call(single.fill(&shared.bodies, Stamp { producer: number, sequence, sent_ns: due }))?;
        sequence += 1;
        due += schedule.interval_ns;
    }
    Ok(Published { count: sequence, ..Published::default() })
}

fn wait(shared: &Shared, schedule: Schedule, timed: &AtomicU64) -> Result<(Arrivals, Histogram<u64>)> {
    let mut http = Http::new(shared.address);
    let ask = receive(shared.address, &shared.url, 1, WAIT_S);
    let (mut arrivals, mut latency) = (Arrivals::default(), latency_histogram());
    let mut request = Vec::new();
    loop {
        let answer = http.call(&ask)?;
        let now = now_ns();
        let mut receipts = Vec::new();
        messages(answer, |receipt, body| {
            let stamp = shared.bodies.read(body)?;
            arrivals.note(stamp.producer, stamp.sequence);
            if (schedule.timed_from_ns..schedule.until_ns).contains(&stamp.sent_ns) {
                latency.saturating_record(now.saturating_sub(stamp.sent_ns));
                timed.fetch_add(1, Ordering::Relaxed);
            }
            receipts.push(receipt);
            Ok(())
        })?;
        if !receipts.is_empty() {
            delete(shared.address, &shared.url, &receipts, &mut request);
            let count = receipts.len() as u64;
            http.call(&request)?;
            shared.done.fetch_add(count, Ordering::Relaxed);
        } else if shared.stop_receiving.load(Ordering::Relaxed) {
            return Ok((arrivals, latency));
        }
    }
}

/// A SendMessage request that is patched and sent again and again.
struct Single {
    bytes: Vec<u8>,
    body: usize,
    body_bytes: usize,
}

impl Single {
    fn new(address: SocketAddr, url: &str, bodies: &Bodies) -> Single {
        let model = String::from_utf8_lossy(bodies.model()).into_owned();
        let before = format!("{{\"QueueUrl\":\"{url}\",\"MessageBody\":\"");
        let bytes = request(address, "SendMessage", &format!("{before}{model}\"}}"));
        let body = bytes.len() - model.len() - 2;
        Single { bytes, body, body_bytes: model.len() }
    }

    fn fill(&mut self, bodies: &Bodies, stamp: Stamp) -> &[u8] {
        if let Some(body) = self.bytes.get_mut(self.body..self.body + self.body_bytes) {
            bodies.patch(body, stamp);
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_send_carries_its_stamp() {
        let bodies = Bodies::new(5, 300);
        let mut single = Single::new("127.0.0.1:1".parse().unwrap(), "http://h/0/q", &bodies);
        let stamp = Stamp { producer: 2, sequence: 3, sent_ns: 4 };
        let text = String::from_utf8(single.fill(&bodies, stamp).to_vec()).unwrap();
        let json: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(bodies.read(json["MessageBody"].as_str().unwrap().as_bytes()).unwrap(), stamp);
    }
}
