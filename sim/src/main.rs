//! Runs many seeds: `cargo run --release -p baton-sim -- --seeds N [--seed S] [--minutes M] [--trace]`. A seed that fails is
//! printed with what was broken and the smallest scenario that still breaks it. The last line is `N passed, N failed`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use baton_sim::plant::Plant;
use baton_sim::run::run;
use baton_sim::scenario::Scenario;
use baton_sim::shrink::shrink;
use baton_sim::world::Numbers;

/// After so many failures the rest would say the same.
const FAILURES_MAX: u64 = 5;

struct Options {
    seeds: u64,
    seed: u64,
    time: Option<Duration>,
    trace: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seeds: 1_000, seed: 0, time: None, trace: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--trace" {
            options.trace = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number: u64 = value.parse().map_err(|_| format!("{arg} {value} is not a whole number"))?;
        match arg.as_str() {
            "--seeds" => options.seeds = number,
            "--seed" => options.seed = number,
            "--minutes" => {
                options.time = Some(Duration::from_secs(number.saturating_mul(60)));
                options.seeds = u64::MAX;
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\nusage: baton-sim [--seeds N] [--seed FIRST] [--minutes M] [--trace]");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let (mut passed, mut failed, mut all) = (0_u64, 0_u64, Numbers::default());
    let (mut paged, mut rewritten) = (0_u64, 0_u64);
    for seed in (options.seed..).take(usize::try_from(options.seeds).unwrap_or(usize::MAX)) {
        if options.time.is_some_and(|time| started.elapsed() > time) || failed == FAILURES_MAX {
            break;
        }
        let scenario = Scenario::new(seed);
        let outcome = run(&scenario, Plant::None, options.trace);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        all.lives += outcome.numbers.lives;
        all.facts += outcome.numbers.facts;
        paged += u64::from(outcome.numbers.cold_messages > 0);
        rewritten += u64::from(outcome.numbers.rewritten_bytes > 0);
        let Some(failure) = outcome.failure else {
            passed += 1;
            continue;
        };
        failed += 1;
        println!("SEED {seed}: {} at step {}: {}", failure.checker, failure.step, failure.what);
        let (smaller, failure) = shrink(&scenario, &failure, Plant::None);
        println!("  shrunk to {} steps: {}", smaller.steps.len(), failure.what);
        println!("  actors {:?}", smaller.actors);
        smaller.steps.iter().for_each(|step| println!("  {step:?}"));
        for line in run(&smaller, Plant::None, true).trace.iter().rev().take(400).rev() {
            println!("    {line}");
        }
    }
    println!("{} starts of a broker, {} facts checked, {:?}", all.lives, all.facts, started.elapsed());
    println!("pages left the memory in {paged} worlds, segments were cleared in {rewritten}");
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
