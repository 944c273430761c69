//! The workloads: what each scenario is ([`Scenario`]), what a run yields ([`Row`]), and [`run`], which starts a fresh
//! server, puts one workload on it and stops it. The workloads themselves: [`flow`] (producers and consumers at the
//! same time), [`backlog`] (fill, then drain), [`restart`] (fill, then kill), [`idle`] (queues that hold nothing), [`rpc`]. Called by `main` and `compare`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::{BenchError, During, Result};
use crate::measure::{Probe, device_flushes, disk_bytes, now_ns, own_cpu_ns};
use crate::server::{self, Broker, Target};
use crate::tally::Verdict;

pub mod backlog;
pub mod flow;
pub mod idle;
pub mod restart;
pub mod rpc;

/// A workload; written `one`, `four`, `hundred`, `latency-RATE`, `rpc-IN_FLIGHT`, `ingest`, `drain`, `backlog`,
/// `restart`, `queues-COUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// One queue, one producer, one consumer, as fast as possible.
    One,
    /// One queue, four producers, four competing consumers.
    Four,
    /// A hundred queues, four producers that go round all, four consumers with 25 each.
    Hundred,
    /// One producer in an open loop of so many messages per second, one consumer.
    Latency(u32),
    /// Request and reply over direct reply-to with so many requests in flight.
    Rpc(u32),
    /// Publish a fixed number of messages without any consumer; the drain that follows only verifies.
    Ingest,
    /// Consume that number of waiting messages; the filling before only prepares.
    Drain,
    /// Both, measured each.
    Backlog,
    /// Fill, kill with SIGKILL, start again; the time to the first delivery.
    Restart,
    /// Declare so many durable queues and leave them empty.
    Queues(u32),
}

impl std::str::FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Scenario, String> {
        let numbered = |name| {
            let number = text.strip_prefix(name)?.strip_prefix('-')?.parse::<u32>().ok()?;
            (number > 0).then_some(number)
        };
        Ok(match text {
            "one" => Scenario::One,
            "four" => Scenario::Four,
            "hundred" => Scenario::Hundred,
            "ingest" => Scenario::Ingest,
            "drain" => Scenario::Drain,
            "backlog" => Scenario::Backlog,
            "restart" => Scenario::Restart,
            _ => {
                if let Some(rate) = numbered("latency") {
                    return Ok(Scenario::Latency(rate));
                }
                if let Some(in_flight) = numbered("rpc") {
                    return Ok(Scenario::Rpc(in_flight));
                }
                if let Some(count) = numbered("queues") {
                    return Ok(Scenario::Queues(count));
                }
                return Err(format!(
                    "unknown scenario {text}: one, four, hundred, latency-1000, latency-5000, rpc-1, rpc-64, \
                     ingest, drain, backlog, restart, queues-100000"
                ));
            }
        })
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scenario::One => f.write_str("one"),
            Scenario::Four => f.write_str("four"),
            Scenario::Hundred => f.write_str("hundred"),
            Scenario::Latency(rate) => write!(f, "latency-{rate}"),
            Scenario::Rpc(in_flight) => write!(f, "rpc-{in_flight}"),
            Scenario::Ingest => f.write_str("ingest"),
            Scenario::Drain => f.write_str("drain"),
            Scenario::Backlog => f.write_str("backlog"),
            Scenario::Restart => f.write_str("restart"),
            Scenario::Queues(count) => write!(f, "queues-{count}"),
        }
    }
}

/// How to run a workload.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Load before the measurement starts.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// How many messages `ingest`, `drain`, `backlog` and `restart` use.
    pub messages: u64,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Messages that may be unconfirmed per producer.
    pub window: usize,
    /// basic.qos per consumer.
    pub prefetch: u16,
    /// Where data directories are made; not a file system in memory.
    pub work_dir: PathBuf,
    /// The Baton program; see [`server::baton::Baton::new`].
    pub baton_bin: Option<PathBuf>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latency {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Largest.
    pub max_us: f64,
}

impl Latency {
    /// The percentiles of a histogram of nanoseconds; `None` of an empty one.
    pub fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Latency {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1e3,
        })
    }
}

/// The result of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The workload's name.
    pub scenario: String,
    /// The server.
    pub target: Target,
    /// Messages (or calls) per second, end to end.
    pub per_second: f64,
    /// CPU of the server's process tree per message, in microseconds.
    pub server_us: f64,
    /// CPU of this load generator per message, in microseconds.
    pub client_us: f64,
    /// Resident memory after start, before any load.
    pub idle_mib: f64,
    /// Peak of resident memory during the whole run.
    pub peak_mib: f64,
    /// Bytes on disk at the end of the measurement.
    pub disk_mib: f64,
    /// Bytes that the server wrote to storage per message.
    pub written_bytes: f64,
    /// Messages per cache flush of the device; `None` where the kernel does not count them.
    pub messages_per_flush: Option<f64>,
    /// From due time to receipt; only where the scenario measures it.
    pub latency: Option<Latency>,
    /// What became of every message.
    pub verdict: Verdict,
}

/// A started server with what is needed to measure it.
pub struct Stage {
    /// The server.
    pub broker: Box<dyn Broker>,
    /// Its AMQP address.
    pub address: std::net::SocketAddr,
    target: Target,
    probe: Probe,
    idle_kib: u64,
    peak_kib: u64,
    _dir: tempfile::TempDir,
}

/// Readings taken at the start of a measurement.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at_ns: u64,
    server_cpu_ns: u64,
    client_cpu_ns: u64,
    written_bytes: u64,
    flushes: Option<u64>,
}

impl Stage {
    /// Starts a fresh server.
    ///
    /// # Errors
    /// It does not start, or the directory is in memory.
    pub fn start(target: Target, settings: &Settings) -> Result<Stage> {
        refuse_memory_file_system(&settings.work_dir)?;
        let dir = tempfile::Builder::new()
            .prefix("baton-bench-")
            .tempdir_in(&settings.work_dir)
            .during("make a data directory")?;
        let mut broker = target.broker(dir.path(), settings.baton_bin.as_deref())?;
        let address = server::start(broker.as_mut())?;
        let mut probe = Probe::new(broker.process().pid());
        // Let the start's own work end before "idle" is read.
        std::thread::sleep(Duration::from_secs(1));
        probe.refresh();
        let idle_kib = probe.resident_kib();
        Ok(Stage { broker, address, target, probe, idle_kib, peak_kib: idle_kib, _dir: dir })
    }

    /// Reads all counters.
    pub fn read(&mut self) -> Reading {
        self.probe.refresh();
        Reading {
            at_ns: now_ns(),
            server_cpu_ns: self.probe.cpu_ns(),
            client_cpu_ns: own_cpu_ns(),
            written_bytes: self.probe.written_bytes(),
            flushes: device_flushes(self.broker.data_dir()),
        }
    }

    /// Notes the memory in use and looks whether the server still runs; to be called a few times per second.
    ///
    /// # Errors
    /// The server has ended.
    pub fn watch(&mut self) -> Result<()> {
        self.peak_kib = self.peak_kib.max(self.probe.resident_kib());
        self.broker.process().check_alive()
    }

    /// Makes a row of two readings and the messages between them.
    pub fn row(&self, scenario: &str, from: Reading, to: Reading, messages: u64) -> Row {
        let count = messages.max(1) as f64;
        let flushes = from.flushes.zip(to.flushes).map(|(from, to)| (to - from) as f64);
        Row {
            scenario: scenario.to_owned(),
            target: self.target,
            per_second: messages as f64 / ((to.at_ns - from.at_ns) as f64 / 1e9),
            server_us: to.server_cpu_ns.saturating_sub(from.server_cpu_ns) as f64 / 1e3 / count,
            client_us: to.client_cpu_ns.saturating_sub(from.client_cpu_ns) as f64 / 1e3 / count,
            idle_mib: self.idle_kib as f64 / 1024.0,
            peak_mib: self.peak_kib as f64 / 1024.0,
            disk_mib: disk_bytes(self.broker.data_dir()) as f64 / (1024.0 * 1024.0),
            written_bytes: to.written_bytes.saturating_sub(from.written_bytes) as f64 / count,
            messages_per_flush: flushes.filter(|flushes| *flushes > 0.0).map(|flushes| count / flushes),
            latency: None,
            verdict: Verdict::default(),
        }
    }
}

/// Starts a fresh server, runs the workload, stops the server.
///
/// # Errors
/// The server fails, or the verdict over the messages is bad: a figure of a run that lost messages is worth nothing.
pub fn run(scenario: Scenario, target: Target, settings: &Settings) -> Result<Vec<Row>> {
    let mut stage = Stage::start(target, settings)?;
    let rows = match scenario {
        Scenario::One | Scenario::Four | Scenario::Hundred | Scenario::Latency(_) => {
            vec![flow::run(&mut stage, scenario, settings)?]
        }
        Scenario::Rpc(in_flight) => vec![rpc::run(&mut stage, in_flight, settings)?],
        Scenario::Restart => vec![restart::run(&mut stage, settings)?],
        Scenario::Queues(count) => vec![idle::run(&mut stage, count)?],
        Scenario::Ingest | Scenario::Drain | Scenario::Backlog => {
            let (ingest, drain) = backlog::run(&mut stage, settings)?;
            match scenario {
                Scenario::Ingest => vec![ingest],
                Scenario::Drain => vec![drain],
                _ => vec![ingest, drain],
            }
        }
    };
    stage.broker.process().stop()?;
    for row in &rows {
        let verdict = &row.verdict;
        if verdict.lost > 0 || verdict.unknown > 0 {
            return Err(BenchError::Run(format!(
                "{} on {}: {} confirmed messages were lost and {} unknown ones arrived",
                row.scenario,
                target.name(),
                verdict.lost,
                verdict.unknown
            )));
        }
    }
    Ok(rows)
}

/// The magic of a run's bodies: different from run to run within a machine's uptime.
pub fn run_magic() -> u64 {
    now_ns() ^ 0x6261_746f_6e00_0000
}

/// The names of a scenario's queues, all of one length.
pub fn queue_names(count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("bench-{nth:03}")).collect()
}

fn refuse_memory_file_system(dir: &Path) -> Result<()> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    std::fs::create_dir_all(dir).during("make the work directory")?;
    let system = rustix::fs::statfs(dir).during("look at the work directory's file system")?;
    if system.f_type as u64 == TMPFS_MAGIC {
        return Err(BenchError::Run(format!(
            "{} is in memory, where a sync costs nothing: name a directory on a disk with --work-dir",
            dir.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_names_go_both_ways() {
        for name in [
            "one",
            "four",
            "hundred",
            "latency-5000",
            "rpc-64",
            "ingest",
            "drain",
            "backlog",
            "restart",
            "queues-7",
        ] {
            assert_eq!(name.parse::<Scenario>().unwrap().to_string(), name);
        }
        for name in ["", "two", "latency", "latency-0", "rpc-x", "one-2x"] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }

    #[test]
    fn an_empty_histogram_has_no_latency() {
        let mut histogram = crate::consumer::latency_histogram();
        assert!(Latency::of(&histogram).is_none());
        for us in 1..=1000u64 {
            histogram.record(us * 1000).unwrap();
        }
        let latency = Latency::of(&histogram).unwrap();
        assert!((latency.p50_us - 500.0).abs() < 2.0 && (latency.p99_us - 990.0).abs() < 2.0);
    }
}
