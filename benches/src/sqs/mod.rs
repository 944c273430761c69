//! Amazon SQS under load: what is run ([`Workload`]), what comes out ([`Figures`]), the medians, the bar and the text for
//! the results log. Called by `main`; the workloads and the client are in the files below.

pub mod http;
pub mod idle;
pub mod load;
pub mod servers;
pub mod texts;
pub mod wake;

use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::error::{BenchError, During, Result};
use crate::layout;
use crate::machine::Machine;
use crate::scenarios::Latency;
use crate::tally::Verdict;
use load::Kind;
use servers::Served;
pub use servers::{MOTO_BIN, Peer};

/// A workload; written `plain`, `fifo`, `plain-ahead`, `fifo-ahead`, `wake-RATE`, `idle-POLLS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Four producers, four consumers.
    Flow(Kind),
    /// So many messages per second to receives that wait.
    Wake(u32),
    /// So many receives that wait for nothing.
    Idle(u32),
}

impl std::str::FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Workload, String> {
        let number = |name: &str| text.strip_prefix(name)?.parse::<u32>().ok().filter(|number| *number > 0);
        match text {
            "plain" => Ok(Workload::Flow(Kind { fifo: false, ahead: false })),
            "fifo" => Ok(Workload::Flow(Kind { fifo: true, ahead: false })),
            "plain-ahead" => Ok(Workload::Flow(Kind { fifo: false, ahead: true })),
            "fifo-ahead" => Ok(Workload::Flow(Kind { fifo: true, ahead: true })),
            _ => (number("wake-").map(Workload::Wake))
                .or_else(|| number("idle-").map(Workload::Idle))
                .ok_or_else(|| {
                    format!(
                        "unknown workload {text}: plain, fifo, plain-ahead, fifo-ahead, wake-1000, idle-10000"
                    )
                }),
        }
    }
}

/// How to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Load before the measurement starts.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Where data directories are made.
    pub work_dir: PathBuf,
}

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// The servers, alternating. Flows run on all, the others on Baton.
    pub peers: Vec<Peer>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// Runs of each workload on each server.
    pub runs: usize,
    /// Markdown log to append to.
    pub log: Option<PathBuf>,
    /// How.
    pub settings: Settings,
}

/// The result of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// The workload.
    pub scenario: String,
    /// The server.
    pub server: String,
    /// Messages received and deleted per second.
    pub per_second: f64,
    /// CPU of the server per message, microseconds.
    pub server_us: f64,
    /// CPU of this load generator per message, microseconds.
    pub client_us: f64,
    /// Resident memory before any load.
    pub idle_mib: f64,
    /// Highest resident memory seen.
    pub peak_mib: f64,
    /// From due time to receipt.
    pub latency: Option<Latency>,
    /// CPU of the server while everybody waits, percent of a core.
    pub idle_cpu_percent: Option<f64>,
    /// What became of every message.
    pub verdict: Verdict,
}

/// Runs everything; `say` gets a line after every run. Returns the text to print.
///
/// # Errors
/// A run failed, or lost, repeated, reordered or changed a message.
pub fn run(plan: &Plan, mut say: impl FnMut(&str)) -> Result<String> {
    let settings = &plan.settings;
    let machine = Machine::observe(&settings.work_dir)?;
    let mut all: Vec<Figures> = Vec::new();
    for workload in &plan.workloads {
        for _ in 0..plan.runs {
            for peer in &plan.peers {
                let only_ours = matches!(workload, Workload::Wake(_) | Workload::Idle(_));
                if only_ours && !matches!(peer, Peer::Baton(_)) {
                    continue;
                }
                let figures = one(*workload, peer, settings)?;
                say(&cells(&figures).join("  "));
                all.push(figures);
            }
        }
    }
    let medians = medians(&all);
    let mut lines = ratios(&medians);
    for peer in &plan.peers {
        let of = |count: fn(&Verdict) -> u64| -> u64 {
            all.iter().filter(|one| one.server == peer.name()).map(|one| count(&one.verdict)).sum()
        };
        lines.push(format!(
            "{}: {} messages received in these runs, {} lost, {} received more than once",
            peer.name(),
            of(|verdict| verdict.received),
            of(|verdict| verdict.lost),
            of(|verdict| verdict.duplicates)
        ));
    }
    let text = markdown(&machine, plan, &medians, &lines);
    if let Some(path) = &plan.log {
        let mut log =
            std::fs::File::options().create(true).append(true).open(path).during("open the results log")?;
        log.write_all(text.as_bytes()).during("write the results log")?;
    }
    Ok(format!("{}\n{}", layout::terminal(HEADINGS, medians.iter().map(cells)), lines.join("\n")))
}

fn one(workload: Workload, peer: &Peer, settings: &Settings) -> Result<Figures> {
    let mut served = Served::start(peer, &settings.work_dir)?;
    let mut figures = match workload {
        Workload::Flow(kind) => load::run(&mut served, kind.name(), kind, settings)?,
        Workload::Wake(rate) => wake::run(&mut served, rate, settings)?,
        Workload::Idle(polls) => idle::run(&mut served, polls, settings)?,
    };
    served.stop()?;
    peer.name().clone_into(&mut figures.server);
    let verdict = &figures.verdict;
    // moto hands a message to two receives now and then: that is counted, and of Baton it is an error.
    let repeated = if matches!(peer, Peer::Baton(_)) { verdict.duplicates } else { 0 };
    if verdict.lost + verdict.unknown + repeated > 0 {
        return Err(BenchError::Run(format!("{} on {}: {verdict:?}", figures.scenario, figures.server)));
    }
    Ok(figures)
}

/// Medians by workload and server, in order of first appearance.
fn medians(all: &[Figures]) -> Vec<Figures> {
    let mut found: Vec<Figures> = Vec::new();
    for figures in all {
        if found.iter().any(|one| one.scenario == figures.scenario && one.server == figures.server) {
            continue;
        }
        let same: Vec<&Figures> = all
            .iter()
            .filter(|one| one.scenario == figures.scenario && one.server == figures.server)
            .collect();
        let median = |figure: &dyn Fn(&Figures) -> f64| {
            layout::median(same.iter().map(|one| figure(one))).unwrap_or_default()
        };
        let timed = |figure: fn(&Latency) -> f64| median(&|one| one.latency.as_ref().map_or(0.0, figure));
        found.push(Figures {
            per_second: median(&|one| one.per_second),
            server_us: median(&|one| one.server_us),
            client_us: median(&|one| one.client_us),
            idle_mib: median(&|one| one.idle_mib),
            peak_mib: median(&|one| one.peak_mib),
            latency: figures.latency.map(|_| Latency {
                p50_us: timed(|latency| latency.p50_us),
                p99_us: timed(|latency| latency.p99_us),
                p999_us: timed(|latency| latency.p999_us),
                max_us: timed(|latency| latency.max_us),
            }),
            idle_cpu_percent: figures
                .idle_cpu_percent
                .map(|_| median(&|one| one.idle_cpu_percent.unwrap_or_default())),
            ..figures.clone()
        });
    }
    found
}

/// How Baton stands to the peer and to the bar: 60,000 messages per second and 300 times moto's server, a wake-up within
/// 5 ms for 99 of 100 at 1,000 per second, 200 MiB and no CPU to speak of for 10,000 long polls.
fn ratios(medians: &[Figures]) -> Vec<String> {
    let mut lines = Vec::new();
    let met = |met: bool| if met { "[bar met]" } else { "[BAR NOT MET]" };
    for ours in medians.iter().filter(|figures| figures.server == "baton") {
        let name = &ours.scenario;
        if let Some(latency) = ours.latency {
            let bar = met(latency.p99_us < 5_000.0);
            lines.push(format!("{name}: p50 {:.0} us, p99 {:.0} us {bar}", latency.p50_us, latency.p99_us));
        } else if let Some(percent) = ours.idle_cpu_percent {
            let more = ours.peak_mib - ours.idle_mib;
            let bar = met(more < 200.0 && percent < 1.0);
            lines.push(format!("{name}: {more:.0} MiB more, {percent:.2} % of a core {bar}"));
        } else {
            lines.push(format!(
                "{name}: {:.0} messages/s {}",
                ours.per_second,
                met(ours.per_second >= 60_000.0)
            ));
            let theirs = medians.iter().find(|other| other.scenario == *name && other.server != "baton");
            if let Some(theirs) = theirs {
                let (rate, cpu) = (ours.per_second / theirs.per_second, theirs.server_us / ours.server_us);
                let bar = met(rate >= 300.0);
                let peer = &theirs.server;
                lines
                    .push(format!("{name}: {rate:.0} times the rate of {peer}, 1/{cpu:.0} of its CPU {bar}"));
            }
        }
    }
    lines
}

const HEADINGS: [&str; 11] = [
    "scenario",
    "server",
    "per s",
    "server µs",
    "client µs",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "idle MiB",
    "peak MiB",
    "CPU waiting %",
];

fn cells(figures: &Figures) -> [String; 11] {
    let timed = |figure: fn(&Latency) -> f64| {
        figures.latency.as_ref().map_or_else(|| "–".to_owned(), |latency| format!("{:.0}", figure(latency)))
    };
    let flow = |text: String| if figures.per_second > 0.0 { text } else { "–".to_owned() };
    [
        figures.scenario.clone(),
        figures.server.clone(),
        flow(format!("{:.0}", figures.per_second)),
        flow(format!("{:.2}", figures.server_us)),
        flow(format!("{:.2}", figures.client_us)),
        timed(|latency| latency.p50_us),
        timed(|latency| latency.p99_us),
        timed(|latency| latency.p999_us),
        format!("{:.1}", figures.idle_mib),
        format!("{:.1}", figures.peak_mib),
        figures.idle_cpu_percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.2}")),
    ]
}

fn markdown(machine: &Machine, plan: &Plan, medians: &[Figures], lines: &[String]) -> String {
    let mut text = format!(
        "\n## {} UTC, commit {}, Amazon SQS\n\n{}\n{} s measured after {} s, {} B bodies. Medians of {} runs, servers \
         alternating.\n\n",
        machine.date,
        machine.commit,
        machine.line(),
        plan.settings.duration.as_secs_f64(),
        plan.settings.warmup.as_secs_f64(),
        plan.settings.body_bytes,
        plan.runs,
    );
    text += &layout::markdown(HEADINGS, medians.iter().map(cells));
    text.push('\n');
    for one in lines {
        let _infallible = writeln!(text, "- {one}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(scenario: &str, server: &str, per_second: f64) -> Figures {
        Figures {
            scenario: scenario.to_owned(),
            server: server.to_owned(),
            per_second,
            server_us: 1e6 / per_second,
            ..Figures::default()
        }
    }

    #[test]
    fn workloads_have_names() {
        for name in ["plain", "fifo", "plain-ahead", "fifo-ahead"] {
            assert!(matches!(name.parse(), Ok(Workload::Flow(kind)) if kind.name() == name));
        }
        assert_eq!("wake-1000".parse(), Ok(Workload::Wake(1000)));
        assert_eq!("idle-10000".parse(), Ok(Workload::Idle(10_000)));
        for bad in ["", "wake", "wake-0", "idle-x"] {
            assert!(bad.parse::<Workload>().is_err(), "{bad}");
        }
    }

    #[test]
    fn medians_and_ratios_by_workload_and_server() {
        let all = [
            figures("plain", "baton", 50_000.0),
            figures("plain", "moto", 100.0),
            figures("plain", "baton", 70_000.0),
            figures("plain", "moto", 200.0),
            figures("plain", "baton", 90_000.0),
            figures("plain", "moto", 300.0),
        ];
        let medians = medians(&all);
        assert_eq!(medians.iter().map(|one| one.per_second).collect::<Vec<_>>(), [70_000.0, 200.0]);
        let lines = ratios(&medians);
        assert!(lines[0].contains("70000 messages/s [bar met]") && lines[1].contains("350 times"));
        assert!(layout::terminal(HEADINGS, medians.iter().map(cells)).contains("baton"));
    }
}
