//! `baton-benches`: `run` puts one workload on one server, `compare` several on several, alternating. Arguments and
//! printing only; the work is in the library.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tables on stdout and progress on stderr are its output"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use baton_benches::compare::{Plan, compare};
use baton_benches::error::Result;
use baton_benches::redis;
use baton_benches::report::table;
use baton_benches::running;
use baton_benches::scenarios::{self, Scenario, Settings};
use baton_benches::server::Target;
use baton_benches::sqs::{self, Peer, Workload};
use baton_benches::stomp;
use clap::{Args, Parser, Subcommand};

/// Load generator for AMQP 0-9-1 brokers, and comparison of Baton with RabbitMQ.
#[derive(Parser)]
#[command(name = "baton-benches")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one workload on one server, which is started for it and stopped after it.
    Run {
        /// one, four, hundred, latency[-RATE], rpc[-IN_FLIGHT], ingest, drain, backlog, restart, queues-COUNT
        scenario: String,
        /// The server.
        #[arg(long, value_enum, default_value_t = Target::Baton)]
        target: Target,
        /// Messages per second of `latency`.
        #[arg(long, default_value_t = 5_000)]
        rate: u32,
        /// Requests in flight of `rpc`.
        #[arg(long, default_value_t = 1)]
        in_flight: u32,
        /// Print the rows as JSON instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        how: How,
    },
    /// STOMP on servers that run already, alternating: persistent SENDs with receipts, client-individual ACKs.
    Stomp {
        /// NAME=ADDRESS:PORT@PID, several times.
        #[arg(long = "server", required = true)]
        servers: Vec<running::Server>,
        /// Producers, and as many consumers.
        #[arg(long, value_delimiter = ',', default_value = "1,4")]
        workers: Vec<usize>,
        /// Runs of each on each server.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        #[command(flatten)]
        how: How,
    },
    /// Redis's protocol on servers that run already, alternating: LPUSH and BRPOP, pipelined.
    Redis {
        /// NAME=ADDRESS:PORT@PID, several times.
        #[arg(long = "server", required = true)]
        servers: Vec<running::Server>,
        /// Producers, and as many consumers.
        #[arg(long, value_delimiter = ',', default_value = "1,4")]
        workers: Vec<usize>,
        /// Runs of each on each server.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        #[command(flatten)]
        how: How,
    },
    /// Amazon SQS: run workloads on Baton and on moto's server, alternating, and print medians and ratios.
    Sqs {
        /// plain, fifo, plain-ahead, fifo-ahead, wake-RATE, idle-POLLS
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "plain,fifo,plain-ahead,fifo-ahead,wake-1000,idle-10000"
        )]
        workloads: Vec<Workload>,
        /// Runs of each workload on each server.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// moto's server; without one Baton runs alone.
        #[arg(long, default_value = sqs::MOTO_BIN)]
        moto: PathBuf,
        /// Append the results to this Markdown log.
        #[arg(long, default_value = "docs/benchmarks/results.md")]
        log: PathBuf,
        /// Leave the log alone.
        #[arg(long)]
        no_log: bool,
        #[command(flatten)]
        how: How,
    },
    /// Run workloads on several servers, alternating, and print medians and ratios.
    Compare {
        /// The servers, in turn.
        #[arg(long, value_enum, value_delimiter = ',', default_value = "baton,rabbitmq-quorum")]
        targets: Vec<Target>,
        /// The workloads.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "one,four,hundred,latency-1000,latency-5000,rpc-1,rpc-64,backlog"
        )]
        scenarios: Vec<Scenario>,
        /// Runs of each workload on each server.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Append the results to this Markdown log.
        #[arg(long, default_value = "docs/benchmarks/results.md")]
        log: PathBuf,
        /// Leave the log alone.
        #[arg(long)]
        no_log: bool,
        /// Write medians and every run to this JSON file.
        #[arg(long, default_value = "target/bench-results.json")]
        json: PathBuf,
        #[command(flatten)]
        how: How,
    },
}

/// What both commands share.
#[derive(Args)]
struct How {
    /// Seconds of load before the measurement.
    #[arg(long, default_value_t = 3.0)]
    warmup: f64,
    /// Seconds measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Messages of ingest, drain, backlog and restart.
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
    /// Bytes of a body, 40 to 100000.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(40..=100_000))]
    body: u32,
    /// Unconfirmed messages per producer.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    window: u16,
    /// basic.qos per consumer.
    #[arg(long, default_value_t = 256)]
    prefetch: u16,
    /// Where data directories are made (a disk, not memory).
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    work_dir: PathBuf,
    /// The Baton program; otherwise BATON_BIN, otherwise target/release/baton.
    #[arg(long)]
    baton_bin: Option<PathBuf>,
}

impl How {
    fn settings(self) -> Settings {
        Settings {
            warmup: Duration::from_secs_f64(self.warmup.clamp(0.0, 3_600.0)),
            duration: Duration::from_secs_f64(self.seconds.clamp(0.1, 86_400.0)),
            messages: self.messages.max(1),
            body_bytes: self.body as usize,
            window: usize::from(self.window),
            prefetch: self.prefetch,
            work_dir: self.work_dir,
            baton_bin: self.baton_bin,
        }
    }
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("baton-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each run of each server in turn, then the medians and their ratio to the first server's.
fn compare_running(
    protocol: &str,
    run: fn(&running::Server, running::Plan) -> Result<running::Run>,
    servers: &[running::Server],
    workers: &[usize],
    runs: usize,
    settings: &Settings,
) -> Result<String> {
    let mut text = String::from(
        "| workload | server | messages/s | server CPU, µs | lost · twice | ratio |\n| --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for workers in workers.iter().copied() {
        let plan = running::Plan {
            workers,
            warmup: settings.warmup,
            duration: settings.duration,
            body_bytes: settings.body_bytes,
            window: settings.window,
        };
        let mut results: Vec<Vec<running::Run>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..runs {
            for (server, results) in servers.iter().zip(&mut results) {
                let run = run(server, plan)?;
                eprintln!("{workers}/{workers} {}: {run:?}", server.name);
                results.push(run);
            }
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let mut first = None;
        for (server, results) in servers.iter().zip(&results) {
            let rate = median(results.iter().map(|run| run.per_second).collect());
            let cpu = median(results.iter().map(|run| run.cpu_us).collect());
            let (lost, twice) =
                results.iter().fold((0, 0), |sum, run| (sum.0 + run.lost, sum.1 + run.duplicates));
            let ratio = *first.get_or_insert(rate) / rate.max(1.0);
            text.push_str(&format!(
                "| {protocol} {workers}/{workers} | {} | {rate:.0} | {cpu:.1} | {lost} · {twice} | {ratio:.1} × |\n",
                server.name
            ));
        }
    }
    Ok(text)
}

fn execute(command: Command) -> Result<String> {
    match command {
        Command::Run { scenario, target, rate, in_flight, json, how } => {
            let full = match scenario.as_str() {
                "latency" => format!("latency-{rate}"),
                "rpc" => format!("rpc-{in_flight}"),
                _ => scenario,
            };
            let scenario = full.parse::<Scenario>().map_err(baton_benches::error::BenchError::Run)?;
            let rows = scenarios::run(scenario, target, &how.settings())?;
            Ok(if json {
                serde_json::to_string_pretty(&rows).expect("plain data is always JSON")
            } else {
                let verdicts: Vec<String> = rows.iter().map(|row| format!("{:?}", row.verdict)).collect();
                format!("{}\n{}", table(&rows), verdicts.join("\n"))
            })
        }
        Command::Stomp { servers, workers, runs, how } => {
            compare_running("STOMP", stomp::run, &servers, &workers, runs.max(1), &how.settings())
        }
        Command::Redis { servers, workers, runs, how } => {
            compare_running("Redis", redis::run, &servers, &workers, runs.max(1), &how.settings())
        }
        Command::Sqs { workloads, runs, moto, log, no_log, how } => {
            let mut peers = vec![Peer::Baton(how.baton_bin.clone())];
            if moto.is_file() {
                peers.push(Peer::Moto(moto));
            } else {
                eprintln!("there is no {}: Baton runs alone (docs/benchmarks/method.md)", moto.display());
            }
            let settings = how.settings();
            let plan = sqs::Plan {
                peers,
                workloads,
                runs: runs.max(1),
                log: (!no_log).then_some(log),
                settings: sqs::Settings {
                    warmup: settings.warmup,
                    duration: settings.duration,
                    body_bytes: settings.body_bytes,
                    work_dir: settings.work_dir,
                },
            };
            sqs::run(&plan, |line| eprintln!("{line}"))
        }
        Command::Compare { targets, scenarios, runs, log, no_log, json, how } => {
            if let Some(dir) = json.parent() {
                // When it cannot be made, writing the file will say so.
                let _maybe = std::fs::create_dir_all(dir);
            }
            let plan = Plan {
                targets,
                scenarios,
                runs: runs.max(1),
                log: (!no_log).then_some(log),
                json: Some(json),
                settings: how.settings(),
            };
            compare(&plan, |line| eprintln!("{line}"))
        }
    }
}
