//! The repository's own tool: `cargo xtask --help`.
//!
//! Here is only the command line. [`tidy`] checks the tree, [`suites`] runs what can be run, [`repo`] knows where
//! things are. Nothing of the broker is linked in: this tool must build in seconds on a fresh clone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod repo;
mod suites;
mod tidy;

use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};

use repo::Repo;
use suites::Suite;

/// Checks, suites and benches of the Baton repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that continuous integration asks for: fmt, clippy, deny, tidy, and all test suites
    Ci,
    /// Run the test suites and print a table of what passed
    Test(TestArgs),
    /// Check the tree: dependency edges, file headers, sizes, purity, links, leaks
    Tidy {
        /// Lower the numbers in xtask/ratchet.txt to today's sizes (never raises or adds one)
        #[arg(long)]
        shrink_ratchet: bool,
    },
    /// Run the load generator: `cargo run --release -p baton-benches -- ARGS`
    Bench {
        /// Passed through; `cargo xtask bench -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Args)]
struct TestArgs {
    /// What a developer runs between commits: leaves out the crash test and the examples, fuzzes briefly
    #[arg(long)]
    everyday: bool,
    /// Only this suite; may be given several times
    #[arg(long, value_enum, value_name = "SUITE")]
    only: Vec<Suite>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(task: &Task) -> Result<bool, String> {
    let repo = Repo::find()?;
    match task {
        Task::Ci => suites::run(&repo, &suites::ci_plan()),
        Task::Test(args) => suites::run(&repo, &suites::test_plan(args.everyday, &args.only)),
        Task::Tidy { shrink_ratchet } => {
            if *shrink_ratchet {
                tidy::shrink_ratchet(&repo)?;
            }
            tidy::run(&repo)
        }
        Task::Bench { args } => bench(&repo, args),
    }
}

fn bench(repo: &Repo, args: &[String]) -> Result<bool, String> {
    if !repo.path("benches/Cargo.toml").exists() {
        return Err("there is no benches/ folder in this checkout".into());
    }
    let status = Command::new(repo::cargo())
        .current_dir(repo.root())
        .args(["run", "--release", "-p", "baton-benches", "--"])
        .args(args)
        .status()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    Ok(status.success())
}
