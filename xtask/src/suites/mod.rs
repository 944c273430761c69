//! What can be run, in which order, and the answer at the end: a table and `N passed, N failed, N skipped`.
//!
//! A suite whose tool or folder is missing is skipped and counted as skipped, with its reason; never failed, never
//! silent. How each suite runs is in the files below; [`report`] prints.

mod broker;
mod cargo_runs;
mod counts;
mod exec;
mod go;
mod java;
mod node;
mod python;
mod readme;
mod report;

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::repo::{Metadata, Repo};
use broker::Broker;
use counts::Counts;
use exec::Log;
use report::Row;

/// Something that is run and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// cargo fmt --check
    Fmt,
    /// cargo clippy on everything, warnings are errors
    Clippy,
    /// cargo deny check: licences, advisories, sources
    Deny,
    /// cargo xtask tidy
    Tidy,
    /// cargo test --workspace: unit tests, model tests, simulation, documentation examples
    Unit,
    /// Every fuzz target for some seconds
    FuzzSmoke,
    /// lapin against the broker
    ConformanceRust,
    /// pika, aio-pika, Celery against the broker
    ConformancePython,
    /// amqplib against the broker
    ConformanceNode,
    /// go-redis, go-stomp, the AWS SDK and amqp091-go against the broker
    ConformanceGo,
    /// Jedis, Lettuce, the AWS SDK, Spring and amqp-client against the broker
    ConformanceJava,
    /// The broker killed with SIGKILL under load, at least 30 times
    Crash,
    /// Every program of examples/
    Examples,
    /// Every block of README.md that is marked `run=`
    Readme,
}

/// A list of suites, and how thorough they are.
pub(crate) struct Plan {
    suites: Vec<Suite>,
    fuzz_seconds: u64,
}

const CHECKS: &[Suite] = &[Suite::Fmt, Suite::Clippy, Suite::Deny, Suite::Tidy];
const TESTS: &[Suite] = &[
    Suite::Unit,
    Suite::FuzzSmoke,
    Suite::ConformanceRust,
    Suite::ConformancePython,
    Suite::ConformanceNode,
    Suite::ConformanceGo,
    Suite::ConformanceJava,
    Suite::Crash,
    Suite::Examples,
    Suite::Readme,
];
const NOT_EVERY_DAY: &[Suite] = &[Suite::Crash, Suite::Examples];

/// For each fuzz run: long enough to get beyond the corpus, short enough for every change.
const FUZZ_SECONDS: u64 = 30;
const FUZZ_SECONDS_EVERYDAY: u64 = 5;

/// The checks, then all tests.
pub(crate) fn ci_plan() -> Plan {
    Plan { suites: [CHECKS, TESTS].concat(), fuzz_seconds: FUZZ_SECONDS }
}

/// All tests, or those of every day, or exactly those in `only`.
pub(crate) fn test_plan(everyday: bool, only: &[Suite]) -> Plan {
    let suites = if only.is_empty() {
        TESTS.iter().copied().filter(|suite| !(everyday && NOT_EVERY_DAY.contains(suite))).collect()
    } else {
        only.to_vec()
    };
    Plan { suites, fuzz_seconds: if everyday { FUZZ_SECONDS_EVERYDAY } else { FUZZ_SECONDS } }
}

impl Suite {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Why a suite has no counts.
#[derive(Debug)]
enum Stop {
    /// Something is missing that a machine need not have.
    Skip(String),
    /// It should have run and could not.
    Fail(String),
}

/// What the suites share: the checkout, and the broker once it is built.
struct Runner<'a> {
    repo: &'a Repo,
    metadata: Metadata,
    broker: Broker,
    fuzz_seconds: u64,
}

/// Runs every suite of the plan. `true`: nothing failed.
pub(crate) fn run(repo: &Repo, plan: &Plan) -> Result<bool, String> {
    let metadata = repo.metadata()?;
    let mut runner = Runner { repo, metadata, broker: Broker::default(), fuzz_seconds: plan.fuzz_seconds };
    let mut rows = Vec::new();
    for suite in &plan.suites {
        rows.push(runner.run(*suite)?);
    }
    report::table(&rows);
    Ok(rows.iter().all(|row| row.counts.failed == 0))
}

impl Runner<'_> {
    fn run(&mut self, suite: Suite) -> Result<Row, String> {
        let name = suite.name();
        let mut log = Log::create(self.repo, &name)?;
        let (started, building_before) = (Instant::now(), self.broker.took);
        let result = self.start(suite, &mut log);
        let took = started.elapsed().saturating_sub(self.broker.took.saturating_sub(building_before));
        let row = Row::new(name, result, took);
        report::progress(&row, &log);
        Ok(row)
    }

    fn start(&mut self, suite: Suite, log: &mut Log) -> Result<Counts, Stop> {
        match suite {
            Suite::Fmt => cargo_runs::fmt(self, log),
            Suite::Clippy => cargo_runs::clippy(self, log),
            Suite::Deny => cargo_runs::deny(self, log),
            Suite::Tidy => self.tidy(log),
            Suite::Unit => cargo_runs::unit(self, log),
            Suite::FuzzSmoke => cargo_runs::fuzz_smoke(self, log),
            Suite::ConformanceRust => cargo_runs::conformance(self, log),
            Suite::ConformancePython => python::conformance(self, log),
            Suite::ConformanceNode => node::conformance(self, log),
            Suite::ConformanceGo => go::conformance(self, log),
            Suite::ConformanceJava => java::conformance(self, log),
            Suite::Crash => cargo_runs::crash(self, log),
            Suite::Examples => python::examples(self, log),
            Suite::Readme => readme::run(self, log),
        }
    }

    fn tidy(&self, log: &mut Log) -> Result<Counts, Stop> {
        let findings = crate::tidy::findings(self.repo).map_err(Stop::Fail)?;
        for finding in &findings {
            log.say(finding);
        }
        Ok(Counts {
            passed: u64::from(findings.is_empty()),
            failed: findings.len() as u64,
            ..Counts::default()
        })
    }

    /// The folder exists, or the suite is skipped.
    fn needs_folder(&self, folder: &str) -> Result<(), Stop> {
        if self.repo.path(folder).exists() {
            Ok(())
        } else {
            Err(Stop::Skip(format!("there is no {folder} yet")))
        }
    }

    /// The folder exists and its package is a member of the workspace. A folder that cargo does not see is a mistake.
    fn needs_package(&self, folder: &str, package: &str) -> Result<(), Stop> {
        self.needs_folder(&format!("{folder}/Cargo.toml"))?;
        if self.metadata.has_package(package) {
            return Ok(());
        }
        Err(Stop::Fail(format!(
            "{folder} exists, but {package} is no member of the workspace: add it to Cargo.toml"
        )))
    }
}

/// One command may take this long, compiling on a small machine included; then it hangs.
const COMMAND_MAX: Duration = Duration::from_secs(25 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_runs_everything_there_is() {
        let suites = ci_plan().suites;
        for suite in Suite::value_variants() {
            assert!(suites.contains(suite), "{suite:?}");
        }
        assert_eq!(suites.len(), Suite::value_variants().len());
    }

    #[test]
    fn everyday_is_shorter_and_only_is_exact() {
        let everyday = test_plan(true, &[]);
        assert!(!everyday.suites.contains(&Suite::Crash) && everyday.suites.contains(&Suite::Unit));
        assert!(everyday.fuzz_seconds < test_plan(false, &[]).fuzz_seconds);
        assert_eq!(test_plan(true, &[Suite::Crash]).suites, [Suite::Crash]);
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        assert_eq!(Suite::ConformancePython.name(), "conformance-python");
    }
}
