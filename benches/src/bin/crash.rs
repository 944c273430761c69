//! `crash`: the crash test's command line. Arguments and printing only; the work is in `baton_benches::crash`.

#![expect(clippy::print_stdout, reason = "its report goes to stdout")]

use std::path::PathBuf;
use std::process::ExitCode;

use baton_benches::crash::{Plan, run};
use baton_benches::measure::now_ns;
use baton_benches::server::Target;
use clap::Parser;

/// Kills a broker under load with SIGKILL, again and again, and checks every promise it made.
#[derive(Parser)]
#[command(name = "crash")]
struct Cli {
    /// At least so many kills.
    #[arg(long, default_value_t = 30)]
    kills: usize,
    /// Repeats a run's choices; drawn at random when absent.
    #[arg(long)]
    seed: Option<u64>,
    /// The server under test.
    #[arg(long, value_enum, default_value_t = Target::Baton)]
    target: Target,
    /// The Baton program; otherwise BATON_BIN, otherwise target/release/baton.
    #[arg(long)]
    baton_bin: Option<PathBuf>,
    /// Where the data directory is made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    work_dir: PathBuf,
    /// Keep the data directory and the server's log.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(|| now_ns() % 1_000_000);
    println!("crash test of {}, at least {} kills, seed {seed}", cli.target.name(), cli.kills);
    let plan = Plan {
        target: cli.target,
        baton_bin: cli.baton_bin,
        kills: cli.kills,
        seed,
        work_dir: cli.work_dir,
        keep: cli.keep,
    };
    let outcome = run(&plan, &mut |line| println!("{line}"));
    if outcome.failed > 0 {
        println!("repeat with --seed {seed}; add --keep to examine the data directory");
    }
    println!("{} passed, {} failed", outcome.passed, outcome.failed);
    if outcome.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
