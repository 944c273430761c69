//! The comparison: every scenario on every server, each run on a fresh server, servers alternating so that a slow
//! minute of the machine hits all of them; then medians, table, results log and JSON. Called by `main`.

use std::fs;
use std::path::PathBuf;

use crate::error::{During, Result};
use crate::machine::Machine;
use crate::report::{Comparison, markdown, medians, ratios, table};
use crate::scenarios::{self, Scenario, Settings};
use crate::server::Target;

/// What to compare.
#[derive(Debug)]
pub struct Plan {
    /// The servers, in the order in which they alternate.
    pub targets: Vec<Target>,
    /// The workloads.
    pub scenarios: Vec<Scenario>,
    /// Runs of each workload on each server.
    pub runs: usize,
    /// Markdown log to append to; none is written when absent.
    pub log: Option<PathBuf>,
    /// JSON file; none is written when absent.
    pub json: Option<PathBuf>,
    /// How to run.
    pub settings: Settings,
}

/// Runs everything; `say` gets a line after every run. Returns the text to print.
///
/// # Errors
/// A run failed; what was measured until then is in the JSON file, which is written after every run.
pub fn compare(plan: &Plan, mut say: impl FnMut(&str)) -> Result<String> {
    let settings = &plan.settings;
    fs::create_dir_all(&settings.work_dir).during("make the work directory")?;
    let mut comparison = Comparison {
        machine: Machine::observe(&settings.work_dir)?,
        settings: format!(
            "{} s measured after {} s, {} B bodies, {} unconfirmed, prefetch {}, backlog of {} messages",
            settings.duration.as_secs_f64(),
            settings.warmup.as_secs_f64(),
            settings.body_bytes,
            settings.window,
            settings.prefetch,
            settings.messages
        ),
        medians: Vec::new(),
        runs: Vec::new(),
    };
    for scenario in &plan.scenarios {
        for run in 1..=plan.runs {
            for target in &plan.targets {
                for row in scenarios::run(*scenario, *target, settings)? {
                    say(&format!(
                        "{:<14} {run}/{} {:<17} {:>10.0}/s  server {:>7.2} us  client {:>6.2} us",
                        row.scenario,
                        plan.runs,
                        target.name(),
                        row.per_second,
                        row.server_us,
                        row.client_us
                    ));
                    comparison.runs.push(row);
                }
                comparison.medians = medians(&comparison.runs);
                write_json(plan, &comparison)?;
            }
        }
    }
    if let Some(path) = &plan.log {
        use std::io::Write;
        let mut log =
            fs::File::options().create(true).append(true).open(path).during("open the results log")?;
        log.write_all(markdown(&comparison).as_bytes()).during("write the results log")?;
    }
    let machine = &comparison.machine;
    Ok(format!(
        "{} UTC, commit {}, {} cores, Linux {}, fdatasync p50 {:.0} us, p99 {:.0} us\n{}\n{}",
        machine.date,
        machine.commit,
        machine.cores,
        machine.kernel,
        machine.sync_us_p50,
        machine.sync_us_p99,
        table(comparison.medians.iter().map(|median| &median.row)),
        ratios(&comparison.medians).join("\n")
    ))
}

fn write_json(plan: &Plan, comparison: &Comparison) -> Result<()> {
    let Some(path) = &plan.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(comparison).expect("plain data is always JSON");
    fs::write(path, text + "\n").during("write the JSON file")
}
