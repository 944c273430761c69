//! A server that is killed with a backlog and started again: how long until a client that tries all the time has the first
//! message. All of them are then consumed, so that what was lost fails the run.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backlog::{Filled, fill};
use super::flow::{await_arrivals, join};
use super::{Latency, Row, Settings, Stage};
use crate::consumer::{Consumer, ConsumerGauge, ConsumerPlan};
use crate::error::{BenchError, Result};
use crate::measure::{Probe, now_ns};
use crate::server::{self, READY_TIMEOUT};
use crate::tally::verdict;

/// Between two attempts to consume, and two looks whether something has come.
const POLL: Duration = Duration::from_millis(1);

/// Fills, kills, starts; the row `restart`. Its latency is the time from the start of the process to the first delivery, its CPU
/// what the server used until then, its rate starts per second.
///
/// # Errors
/// A worker failed, or the server did, or nothing came in time.
pub fn run(stage: &mut Stage, settings: &Settings) -> Result<Row> {
    let (Filled { queues, magic, published }, _ingest) = fill(stage, settings)?;
    stage.broker.process().kill();
    let started_ns = now_ns();
    stage.broker.spawn()?;
    stage.probe = Probe::new(stage.broker.process().pid());
    let mut before = stage.read();
    before.at_ns = started_ns;
    before.server_cpu_ns = 0;
    stage.address = server::wait_ready(stage.broker.as_mut())?;

    let gauges = [ConsumerGauge::default()];
    let [gauge] = &gauges;
    let plan =
        ConsumerPlan { address: stage.address, queues, magic, prefetch: settings.prefetch, timed: false };
    let deadline = Instant::now() + READY_TIMEOUT;
    let consumer = loop {
        // A server may accept connections before its queues can be consumed.
        match Consumer::connect(plan.clone(), gauge) {
            Ok(consumer) => break consumer,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(POLL),
        }
    };
    let consumed = std::thread::scope(|scope| {
        let worker = scope.spawn(|| consumer.run());
        while gauge.received.load(Ordering::Relaxed) == 0
            && Instant::now() < deadline
            && !worker.is_finished()
        {
            std::thread::sleep(POLL);
        }
        let after = stage.read();
        if gauge.received.load(Ordering::Relaxed) > 0 {
            await_arrivals(&gauges, published.confirmed());
        }
        gauge.stop.store(true, Ordering::Relaxed);
        join(worker).map(|consumed| (consumed, after))
    });
    stage.watch()?;
    let (consumed, after) = consumed?;
    if gauge.received.load(Ordering::Relaxed) == 0 {
        return Err(BenchError::Run("nothing was delivered after the restart".to_owned()));
    }
    let took_us = (after.at_ns - started_ns) as f64 / 1e3;
    let mut row = stage.row("restart", before, after, 1);
    row.latency = Some(Latency { p50_us: took_us, p99_us: took_us, p999_us: took_us, max_us: took_us });
    row.verdict = verdict(&[published], &consumed.arrivals);
    Ok(row)
}
