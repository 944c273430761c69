//! The suites that are one run of cargo.
//!
//! Our own runners keep this contract: progress on any line, `N passed, N failed` on the last one, exit code 0 only
//! when nothing failed.
//! - `cargo run --profile ci -p baton-fuzz -- --seconds N` runs every fuzz target for N seconds altogether or each.
//! - `cargo run --profile ci -p baton-benches --bin crash -- --kills N` kills the broker named by `BATON_BIN` N times.

use std::process::Command;

use super::broker::point_at;
use super::counts::{Counts, cargo_test, own_runner};
use super::exec::{Finished, Log, version};
use super::{COMMAND_MAX, Runner, Stop};
use crate::repo::cargo;

/// How often the broker is killed: enough to meet declares, segment changes and start-up.
const KILLS: &str = "30";
/// And how often when a confirm means that a message is written, which such a death does not undo either.
const KILLS_INTERVAL: &str = "10";
/// Runs against a real broker, in a suite of its own.
const CONFORMANCE: &str = "baton-conformance";

pub(super) fn fmt(runner: &Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    component("fmt")?;
    one(&log.run(&mut command(runner, &["fmt", "--all", "--check"]), COMMAND_MAX)?, "run `cargo fmt --all`")
}

pub(super) fn clippy(runner: &Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    component("clippy")?;
    let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    one(&log.run(&mut command(runner, &args), COMMAND_MAX)?, "see the output above")
}

pub(super) fn deny(runner: &Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    component("deny")?;
    one(&log.run(&mut command(runner, &["deny", "check"]), COMMAND_MAX)?, "see the output above")
}

pub(super) fn unit(runner: &Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    let mut args = vec!["test", "--workspace", "--no-fail-fast"];
    if runner.metadata.has_package(CONFORMANCE) {
        args.extend(["--exclude", CONFORMANCE]);
    }
    let finished = log.run(&mut command(runner, &args), COMMAND_MAX)?;
    counted(&finished, cargo_test(&finished.output))
}

pub(super) fn fuzz_smoke(runner: &Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_package("fuzz", "baton-fuzz")?;
    let seconds = runner.fuzz_seconds.to_string();
    let args = ["run", "--profile", "ci", "-p", "baton-fuzz", "--", "--seconds", &seconds];
    let finished = log.run(&mut command(runner, &args), COMMAND_MAX)?;
    counted(&finished, own_runner(&finished.output))
}

pub(super) fn conformance(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_package("conformance/rust", CONFORMANCE)?;
    let broker = runner.broker()?;
    let args = ["test", "--profile", "ci", "-p", CONFORMANCE, "--no-fail-fast"];
    let mut command = command(runner, &args);
    point_at(&mut command, &broker);
    let finished = log.run(&mut command, COMMAND_MAX)?;
    counted(&finished, cargo_test(&finished.output))
}

pub(super) fn crash(runner: &mut Runner<'_>, log: &mut Log) -> Result<Counts, Stop> {
    runner.needs_package("benches", "baton-benches")?;
    let broker = runner.broker()?;
    let mut all = Counts::default();
    for (kills, sync) in [(KILLS, "always"), (KILLS_INTERVAL, "interval")] {
        let args =
            ["run", "--profile", "ci", "-p", "baton-benches", "--bin", "crash", "--", "--kills", kills];
        let mut command = command(runner, &args);
        point_at(&mut command, &broker);
        command.env("BATON_JOURNAL_SYNC", sync);
        let finished = log.run(&mut command, COMMAND_MAX)?;
        all.add(&counted(&finished, own_runner(&finished.output))?);
    }
    Ok(all)
}

/// `cargo ARGS` at the root.
pub(super) fn command(runner: &Runner<'_>, args: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(runner.repo.root()).args(args);
    command
}

/// Counts that must agree with how the command ended: no summary, or a bad ending without a failed test, is a failure.
pub(super) fn counted(finished: &Finished, counts: Option<Counts>) -> Result<Counts, Stop> {
    match counts {
        None => Err(Stop::Fail(format!("no summary in its output, {}", finished.ending))),
        Some(mut counts) => {
            if !finished.success && counts.failed == 0 {
                counts.failed = 1;
                counts.reasons.push(finished.ending.clone());
            }
            Ok(counts)
        }
    }
}

/// A command that is itself the test.
fn one(finished: &Finished, advice: &str) -> Result<Counts, Stop> {
    if finished.success {
        return Ok(Counts { passed: 1, ..Counts::default() });
    }
    Err(Stop::Fail(format!("{}: {advice}", finished.ending)))
}

fn component(name: &str) -> Result<(), Stop> {
    match version(cargo(), &[name, "--version"]) {
        Some(_) => Ok(()),
        None => Err(Stop::Skip(format!("cargo {name} is not installed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(success: bool) -> Finished {
        Finished { success, output: String::new(), ending: "exit code 101".into() }
    }

    #[test]
    fn a_bad_ending_is_a_failure_whatever_was_counted() {
        let counts = Counts { passed: 3, ..Counts::default() };
        assert_eq!(counted(&finished(false), Some(counts.clone())).unwrap().failed, 1);
        assert_eq!(counted(&finished(true), Some(counts)).unwrap().failed, 0);
    }

    #[test]
    fn a_runner_without_summary_failed() {
        assert!(matches!(counted(&finished(true), None), Err(Stop::Fail(_))));
        assert!(matches!(one(&finished(false), "x"), Err(Stop::Fail(_))));
    }
}
