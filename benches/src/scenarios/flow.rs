//! Producers and consumers at the same time: scenarios `one`, `four`, `hundred` and `latency`.

use std::sync::atomic::Ordering;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use super::{Latency, Row, Scenario, Settings, Stage, queue_names, run_magic};
use crate::conn::{Connection, QueueOptions};
use crate::consumer::{Consumer, ConsumerGauge, ConsumerPlan, latency_histogram};
use crate::error::{BenchError, Result};
use crate::measure::{await_all, now_ns};
use crate::producer::{Pace, Producer, ProducerGauge, ProducerPlan};
use crate::server::Target;
use crate::tally::{Arrivals, Published, verdict};

/// How often the coordinator looks at memory and at the workers.
const WATCH: Duration = Duration::from_millis(100);

/// How many of everything.
struct Shape {
    queues: usize,
    producers: u32,
    consumers: usize,
    pace: Pace,
}

fn shape(scenario: Scenario) -> Shape {
    let (queues, workers) = match scenario {
        Scenario::Four => (1, 4),
        Scenario::Hundred => (100, 4),
        _ => (1, 1),
    };
    let pace = match scenario {
        Scenario::Latency(rate) => Pace::Rate(rate),
        _ => Pace::Saturate,
    };
    Shape { queues, producers: workers, consumers: workers as usize, pace }
}

/// Declares durable queues of the target's kind.
///
/// # Errors
/// The server refuses.
pub fn declare(stage: &Stage, target: Target, queues: &[String]) -> Result<()> {
    let mut control = Connection::open(stage.address)?;
    for queue in queues {
        control.declare_queue(queue, QueueOptions { passive: false, arguments: target.queue_arguments() })?;
    }
    control.close()
}

/// Runs the workload on a started server.
///
/// # Errors
/// A worker failed, or the server did.
pub fn run(stage: &mut Stage, scenario: Scenario, settings: &Settings) -> Result<Row> {
    let shape = shape(scenario);
    let queues = queue_names(shape.queues);
    declare(stage, stage.target, &queues)?;
    let magic = run_magic();
    let producer_gauges: Vec<ProducerGauge> =
        (0..shape.producers).map(|_| ProducerGauge::default()).collect();
    let consumer_gauges: Vec<ConsumerGauge> =
        (0..shape.consumers).map(|_| ConsumerGauge::default()).collect();
    let mut consumers = Vec::new();
    for (nth, gauge) in consumer_gauges.iter().enumerate() {
        // With as many queues as consumers or more each queue has one consumer; with one queue all compete.
        let mine: Vec<String> = if queues.len() >= shape.consumers {
            queues.iter().skip(nth).step_by(shape.consumers).cloned().collect()
        } else {
            queues.clone()
        };
        let plan = ConsumerPlan {
            address: stage.address,
            queues: mine,
            magic,
            prefetch: settings.prefetch,
            timed: matches!(shape.pace, Pace::Rate(_)),
        };
        consumers.push(Consumer::connect(plan, gauge)?);
    }
    let mut producers = Vec::new();
    for (number, gauge) in (0..shape.producers).zip(&producer_gauges) {
        let plan = ProducerPlan {
            address: stage.address,
            number,
            queues: queues.clone(),
            magic,
            body_bytes: settings.body_bytes,
            window: settings.window,
            pace: shape.pace,
            count_max: u64::MAX,
        };
        producers.push(Producer::connect(plan, gauge)?);
    }
    std::thread::scope(|scope| {
        let consumers: Vec<_> =
            consumers.into_iter().map(|consumer| scope.spawn(|| consumer.run())).collect();
        let producers: Vec<_> =
            producers.into_iter().map(|producer| scope.spawn(|| producer.run())).collect();
        let any_ended =
            || consumers.iter().any(|c| c.is_finished()) || producers.iter().any(|p| p.is_finished());
        let measured = measure(stage, scenario, settings, &consumer_gauges, any_ended);
        for gauge in &producer_gauges {
            gauge.stop.store(true, Ordering::Relaxed);
        }
        let published: Result<Vec<Published>> = producers.into_iter().map(join).collect();
        if let (Ok(published), Ok(_)) = (&published, &measured) {
            await_arrivals(&consumer_gauges, published.iter().map(Published::confirmed).sum());
        }
        for gauge in &consumer_gauges {
            gauge.stop.store(true, Ordering::Relaxed);
        }
        let consumed: Result<Vec<_>> = consumers.into_iter().map(join).collect();
        let (published, consumed, mut row) = (published?, consumed?, measured?);
        let (mut arrivals, mut latency) = (Arrivals::default(), latency_histogram());
        for one in &consumed {
            arrivals.merge(&one.arrivals);
            latency.add(&one.latency).map_err(|error| BenchError::Run(error.to_string()))?;
        }
        row.latency = Latency::of(&latency);
        row.verdict = verdict(&published, &arrivals);
        Ok(row)
    })
}

/// Warm-up, then the measured time.
fn measure(
    stage: &mut Stage,
    scenario: Scenario,
    settings: &Settings,
    consumers: &[ConsumerGauge],
    any_ended: impl Fn() -> bool,
) -> Result<Row> {
    let received = || consumers.iter().map(|gauge| gauge.received.load(Ordering::Relaxed)).sum::<u64>();
    let watch_for = |stage: &mut Stage, time: Duration| -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(WATCH.min(until.saturating_duration_since(Instant::now())));
            stage.watch()?;
            if any_ended() {
                return Err(BenchError::Run("a worker ended before its time".to_owned()));
            }
        }
        Ok(())
    };
    watch_for(stage, settings.warmup)?;
    for gauge in consumers {
        gauge.timed_from_ns.store(now_ns(), Ordering::Relaxed);
    }
    let (received_before, before) = (received(), stage.read());
    watch_for(stage, settings.duration)?;
    let (received_after, after) = (received(), stage.read());
    for gauge in consumers {
        gauge.timed_until_ns.store(now_ns(), Ordering::Relaxed);
    }
    Ok(stage.row(&scenario.to_string(), before, after, received_after - received_before))
}

/// Waits until the consumers have what was promised, or nothing moves any more.
pub fn await_arrivals(consumers: &[ConsumerGauge], promised: u64) {
    let received = || consumers.iter().map(|gauge| gauge.received.load(Ordering::Relaxed)).sum();
    await_all(received, promised);
}

/// Joins a worker; a panic becomes an error.
///
/// # Errors
/// The worker's, or that it panicked.
pub fn join<T>(worker: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    worker.join().unwrap_or_else(|_| Err(BenchError::Run("a worker panicked".to_owned())))
}
