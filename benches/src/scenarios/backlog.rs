//! Fill, then drain: a fixed number of messages is published while nobody consumes, then one consumer takes them all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::flow::{await_arrivals, declare, join};
use super::{Row, Settings, Stage, queue_names, run_magic};
use crate::consumer::{Consumer, ConsumerGauge, ConsumerPlan};
use crate::error::Result;
use crate::producer::{Pace, Producer, ProducerGauge, ProducerPlan};
use crate::tally::{Published, verdict};

/// What a filled queue holds.
pub(super) struct Filled {
    pub(super) queues: Vec<String>,
    pub(super) magic: u64,
    pub(super) published: Published,
}

/// Publishes `settings.messages` into a new queue; the row `ingest`.
///
/// # Errors
/// The producer failed, or the server did.
pub(super) fn fill(stage: &mut Stage, settings: &Settings) -> Result<(Filled, Row)> {
    let queues = queue_names(1);
    declare(stage, stage.target, &queues)?;
    let magic = run_magic();

    let gauge = ProducerGauge::default();
    let plan = ProducerPlan {
        address: stage.address,
        number: 0,
        queues: queues.clone(),
        magic,
        body_bytes: settings.body_bytes,
        window: settings.window,
        pace: Pace::Saturate,
        count_max: settings.messages,
    };
    let producer = Producer::connect(plan, &gauge)?;
    let before = stage.read();
    let published = std::thread::scope(|scope| {
        let worker = scope.spawn(|| producer.run());
        for nth in 0u32.. {
            if worker.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            if nth.is_multiple_of(100)
                && let Err(error) = stage.watch()
            {
                gauge.stop.store(true, Ordering::Relaxed);
                let _why_is_known = join(worker);
                return Err(error);
            }
        }
        join(worker)
    })?;
    let after = stage.read();
    let row = stage.row("ingest", before, after, published.count);
    Ok((Filled { queues, magic, published }, row))
}

/// Runs both phases; the rows `ingest` and `drain`.
///
/// # Errors
/// A worker failed, or the server did.
pub fn run(stage: &mut Stage, settings: &Settings) -> Result<(Row, Row)> {
    let (Filled { queues, magic, published }, mut ingest) = fill(stage, settings)?;
    let gauges = [ConsumerGauge::default()];
    let [gauge] = &gauges;
    let plan =
        ConsumerPlan { address: stage.address, queues, magic, prefetch: settings.prefetch, timed: false };
    let before = stage.read();
    let consumer = Consumer::connect(plan, gauge)?;
    let consumed = std::thread::scope(|scope| {
        let worker = scope.spawn(|| consumer.run());
        await_arrivals(&gauges, published.confirmed());
        let after = stage.read();
        gauge.stop.store(true, Ordering::Relaxed);
        join(worker).map(|consumed| (consumed, after))
    });
    stage.watch()?;
    let (consumed, after) = consumed?;
    let mut drain = stage.row("drain", before, after, gauge.received.load(Ordering::Relaxed));
    let judged = verdict(&[published], &consumed.arrivals);
    (ingest.verdict, drain.verdict) = (judged.clone(), judged);
    Ok((ingest, drain))
}
