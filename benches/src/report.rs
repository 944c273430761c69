//! From rows to something to read: medians over runs, the table on the terminal, the bar of the project, the Markdown
//! for the results log, the JSON. Pure text; files are written by `compare`.

use std::fmt::Write;

use serde::Serialize;

use crate::layout;
use crate::machine::Machine;
use crate::scenarios::{Latency, Row};
use crate::server::Target;
use crate::tally::Verdict;

/// The median of several runs of one scenario on one server, figure by figure.
#[derive(Debug, Clone, Serialize)]
pub struct Median {
    /// How many runs.
    pub runs: usize,
    /// The medians; in `verdict` sums.
    pub row: Row,
}

/// Everything a comparison found.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Where and when.
    pub machine: Machine,
    /// Settings in words.
    pub settings: String,
    /// In the order of the scenarios, within them of the targets.
    pub medians: Vec<Median>,
    /// Every single run, in the order in which they took place.
    pub runs: Vec<Row>,
}

/// Medians of `runs` by scenario and target, in order of first appearance.
pub fn medians(runs: &[Row]) -> Vec<Median> {
    let mut keys: Vec<(&str, Target)> = Vec::new();
    for row in runs {
        if !keys.contains(&(row.scenario.as_str(), row.target)) {
            keys.push((&row.scenario, row.target));
        }
    }
    // Servers that were compared stand together, whatever order the runs had.
    let order = |scenario: &str| runs.iter().position(|row| row.scenario == scenario);
    keys.sort_by_key(|(scenario, _)| order(scenario));
    keys.iter()
        .map(|(scenario, target)| {
            let of: Vec<&Row> =
                runs.iter().filter(|row| row.scenario == *scenario && row.target == *target).collect();
            Median { runs: of.len(), row: median_row(scenario, *target, &of) }
        })
        .collect()
}

fn median_row(scenario: &str, target: Target, rows: &[&Row]) -> Row {
    let median =
        |figure: &dyn Fn(&Row) -> Option<f64>| layout::median(rows.iter().filter_map(|row| figure(row)));
    let plain = |figure: &dyn Fn(&Row) -> f64| median(&|row| Some(figure(row))).unwrap_or_default();
    let timed = |figure: &dyn Fn(&Latency) -> f64| median(&|row| row.latency.as_ref().map(figure));
    let sum = |count: &dyn Fn(&Verdict) -> u64| rows.iter().map(|row| count(&row.verdict)).sum();
    Row {
        scenario: scenario.to_owned(),
        target,
        per_second: plain(&|row| row.per_second),
        server_us: plain(&|row| row.server_us),
        client_us: plain(&|row| row.client_us),
        idle_mib: plain(&|row| row.idle_mib),
        peak_mib: plain(&|row| row.peak_mib),
        disk_mib: plain(&|row| row.disk_mib),
        written_bytes: plain(&|row| row.written_bytes),
        messages_per_flush: median(&|row| row.messages_per_flush),
        latency: timed(&|latency| latency.p50_us).map(|p50_us| Latency {
            p50_us,
            p99_us: timed(&|latency| latency.p99_us).unwrap_or_default(),
            p999_us: timed(&|latency| latency.p999_us).unwrap_or_default(),
            max_us: timed(&|latency| latency.max_us).unwrap_or_default(),
        }),
        verdict: Verdict {
            published: sum(&|verdict| verdict.published),
            confirmed: sum(&|verdict| verdict.confirmed),
            refused: sum(&|verdict| verdict.refused),
            received: sum(&|verdict| verdict.received),
            duplicates: sum(&|verdict| verdict.duplicates),
            lost: sum(&|verdict| verdict.lost),
            unknown: sum(&|verdict| verdict.unknown),
        },
    }
}

const HEADINGS: [&str; 13] = [
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
    "disk MiB",
    "written B",
    "per flush",
];

fn cells(row: &Row) -> [String; 13] {
    let timed =
        |figure: fn(&Latency) -> f64| row.latency.as_ref().map_or("–".into(), |l| grouped(figure(l)));
    [
        row.scenario.clone(),
        row.target.name().to_owned(),
        grouped(row.per_second),
        short(row.server_us),
        short(row.client_us),
        timed(|latency| latency.p50_us),
        timed(|latency| latency.p99_us),
        timed(|latency| latency.p999_us),
        short(row.idle_mib),
        short(row.peak_mib),
        short(row.disk_mib),
        grouped(row.written_bytes),
        row.messages_per_flush.map_or("–".into(), short),
    ]
}

/// The table for a terminal.
pub fn table<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    layout::terminal(HEADINGS, rows.into_iter().map(cells))
}

/// How Baton stands to each other server, a line for each scenario, with the project's bar where it has one.
pub fn ratios(medians: &[Median]) -> Vec<String> {
    let of = |scenario: &str, target| {
        medians.iter().map(|median| &median.row).find(|row| row.scenario == scenario && row.target == target)
    };
    let mut lines = Vec::new();
    for Median { row: peer, .. } in medians.iter().filter(|median| median.row.target != Target::Baton) {
        let Some(baton) = of(&peer.scenario, Target::Baton) else { continue };
        let mut line = format!(
            "{}: {:.1} times the rate of {}, {:.3} of its server CPU per message",
            peer.scenario,
            baton.per_second / peer.per_second,
            peer.target.name(),
            baton.server_us / peer.server_us
        );
        if let (Some(ours), Some(theirs)) = (baton.latency, peer.latency) {
            let (p50, p99) = (ours.p50_us / theirs.p50_us, ours.p99_us / theirs.p99_us);
            let _infallible = write!(line, ", {p50:.2} of its p50, {p99:.2} of its p99");
        }
        if let Some(met) = bar(baton, peer) {
            line.push_str(if met { " [bar met]" } else { " [BAR NOT MET]" });
        }
        lines.push(line);
    }
    if let Some(idle) = medians.iter().map(|m| &m.row).find(|row| row.target == Target::Baton) {
        let met = if idle.idle_mib < 60.0 { "bar met" } else { "BAR NOT MET" };
        lines.push(format!("idle memory: {} MiB [{met}]", short(idle.idle_mib)));
    }
    lines
}

/// The bar against quorum queues: six times the rate at an eighth of the CPU where the server is saturated, half the
/// median latency and no worse 99th percentile at 5,000/s; a backlog filled at 3.5 times the rate and drained at 4 times. `None` where no bar is set.
fn bar(baton: &Row, peer: &Row) -> Option<bool> {
    if peer.target != Target::RabbitmqQuorum {
        return None;
    }
    match peer.scenario.as_str() {
        "one" | "four" => {
            Some(baton.per_second >= 6.0 * peer.per_second && baton.server_us <= peer.server_us / 8.0)
        }
        "ingest" => Some(baton.per_second >= 3.5 * peer.per_second),
        "drain" => Some(baton.per_second >= 4.0 * peer.per_second),
        "latency-5000" => {
            let (ours, theirs) = (baton.latency?, peer.latency?);
            Some(ours.p50_us <= theirs.p50_us / 2.0 && ours.p99_us <= theirs.p99_us)
        }
        _ => None,
    }
}

/// The section that is appended to the results log.
pub fn markdown(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let runs = comparison.medians.iter().map(|median| median.runs).max().unwrap_or_default();
    let mut text = format!(
        "\n## {} UTC, commit {}\n\n{}\n{}. Medians of {runs} runs, servers alternating.\n\n",
        machine.date,
        machine.commit,
        machine.line(),
        comparison.settings,
    );
    text += &layout::markdown(HEADINGS, comparison.medians.iter().map(|median| cells(&median.row)));
    let verdicts = comparison.medians.iter().map(|median| &median.row.verdict);
    let (confirmed, lost, duplicates) =
        verdicts.fold((0, 0, 0), |sum, v| (sum.0 + v.confirmed, sum.1 + v.lost, sum.2 + v.duplicates));
    text.push('\n');
    for ratio in ratios(&comparison.medians) {
        text.push_str(&format!("- {ratio}\n"));
    }
    text.push_str(&format!(
        "- {} messages confirmed in these runs, {lost} lost, {duplicates} received more than once\n",
        grouped(confirmed as f64)
    ));
    text
}

/// A whole number with its thousands set apart.
fn grouped(figure: f64) -> String {
    let digits = format!("{:.0}", figure.max(0.0));
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits or a whole number.
fn short(figure: f64) -> String {
    match figure {
        f if f >= 100.0 => grouped(f),
        f if f >= 10.0 => format!("{f:.1}"),
        f => format!("{f:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: &str, target: Target, per_second: f64, server_us: f64) -> Row {
        Row {
            scenario: scenario.to_owned(),
            target,
            per_second,
            server_us,
            client_us: 1.0,
            idle_mib: 20.0,
            peak_mib: 40.0,
            disk_mib: 1.0,
            written_bytes: 1_100.0,
            messages_per_flush: Some(64.0),
            latency: None,
            verdict: Verdict { confirmed: 10, ..Verdict::default() },
        }
    }

    #[test]
    fn medians_are_taken_figure_by_figure() {
        let quorum = Target::RabbitmqQuorum;
        let runs = [
            row("one", Target::Baton, 300.0, 3.0),
            row("one", quorum, 30.0, 30.0),
            row("one", Target::Baton, 100.0, 2.0),
            row("four", Target::Baton, 7.0, 7.0),
            row("one", Target::Baton, 200.0, 9.0),
        ];
        let medians = medians(&runs);
        let found: Vec<_> = medians
            .iter()
            .map(|m| (m.row.scenario.as_str(), m.row.target, m.runs, m.row.per_second, m.row.server_us))
            .collect();
        let expected = [
            ("one", Target::Baton, 3, 200.0, 3.0),
            ("one", quorum, 1, 30.0, 30.0),
            ("four", Target::Baton, 1, 7.0, 7.0),
        ];
        assert_eq!(found, expected);
        assert_eq!(medians[0].row.verdict.confirmed, 30);
    }

    #[test]
    fn the_bar_needs_rate_and_cpu() {
        let quorum = row("one", Target::RabbitmqQuorum, 30_000.0, 40.0);
        assert_eq!(bar(&row("one", Target::Baton, 180_000.0, 5.0), &quorum), Some(true));
        assert_eq!(bar(&row("one", Target::Baton, 179_000.0, 5.0), &quorum), Some(false));
        assert_eq!(bar(&row("one", Target::Baton, 180_000.0, 5.1), &quorum), Some(false));
        let classic = row("one", Target::RabbitmqClassic, 1.0, 1.0);
        assert_eq!(bar(&row("one", Target::Baton, 9.0, 0.1), &classic), None);
    }

    #[test]
    fn the_bar_of_a_backlog_is_on_the_rate() {
        let quorum = |scenario| row(scenario, Target::RabbitmqQuorum, 50_000.0, 40.0);
        assert_eq!(bar(&row("ingest", Target::Baton, 175_000.0, 90.0), &quorum("ingest")), Some(true));
        assert_eq!(bar(&row("ingest", Target::Baton, 174_999.0, 1.0), &quorum("ingest")), Some(false));
        assert_eq!(bar(&row("drain", Target::Baton, 200_000.0, 90.0), &quorum("drain")), Some(true));
        assert_eq!(bar(&row("drain", Target::Baton, 199_999.0, 1.0), &quorum("drain")), Some(false));
    }

    #[test]
    fn the_bar_at_5000_is_on_latency() {
        let timed = |target, p50_us, p99_us| {
            let latency = Some(Latency { p50_us, p99_us, ..Latency::default() });
            Row { latency, ..row("latency-5000", target, 5_000.0, 100.0) }
        };
        let quorum = timed(Target::RabbitmqQuorum, 900.0, 4_000.0);
        assert_eq!(bar(&timed(Target::Baton, 450.0, 4_000.0), &quorum), Some(true));
        assert_eq!(bar(&timed(Target::Baton, 450.0, 4_001.0), &quorum), Some(false));
        assert_eq!(bar(&timed(Target::Baton, 451.0, 10.0), &quorum), Some(false));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(short(0.8123), "0.81");
        assert_eq!(short(12.34), "12.3");
        assert_eq!(short(1_200.0), "1,200");
    }
}
