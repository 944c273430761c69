//! Runs the fuzz targets on stable Rust for a while: `cargo run -p baton-fuzz --profile ci -- --seconds 10 [--target T] [--seed N]`,
//! or one saved input again: `-- --target T --input FILE`. A failing input is written to `artifacts/`.
//! Called by people and by `cargo xtask test`, which reads the last line: `N passed, N failed`, counting targets.

// A target panics to report; this is a command-line tool that talks to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use baton_fuzz::mutate::{self, Random};
use baton_fuzz::targets::{TARGETS, Target};

/// An input that takes longer than this is a failure: a decoder is linear in its input.
const RUN_TIME_MAX: Duration = Duration::from_secs(2);

/// How many runs between two looks at the clock.
const RUNS_PER_CHECK: u32 = 64;

struct Options {
    seconds: f64,
    target: Option<String>,
    seed: u64,
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\nusage: baton-fuzz [--seconds N] [--target NAME] [--seed N] [--input FILE]");
            return ExitCode::from(2);
        }
    };
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|t| options.target.as_ref().is_none_or(|name| name == t.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        eprintln!("no such target; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    println!("seed {}", options.seed);
    let (mut passed, mut failed) = (0, 0);
    let share = options.seconds / f64::from(u32::try_from(chosen.len()).unwrap_or(u32::MAX));
    for target in chosen {
        let result = match &options.input {
            Some(path) => std::fs::read(path)
                .map_err(|e| format!("{}: {e}", path.display()))
                .and_then(|bytes| run(target, &bytes).map(|()| 1)),
            None => fuzz(target, options.seed, Duration::from_secs_f64(share)),
        };
        match result {
            Ok(runs) => {
                passed += 1;
                println!("{}: {runs} runs", target.name);
            }
            Err(problem) => {
                failed += 1;
                println!("{}: FAILED: {problem}", target.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options() -> Result<Options, String> {
    let random_seed = RandomState::new().build_hasher().finish();
    let mut options = Options { seconds: 10.0, target: None, seed: random_seed, input: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--seconds" => {
                let seconds: f64 = value.parse().map_err(|_| format!("--seconds {value} is not a number"))?;
                if !(0.0..=1e6).contains(&seconds) {
                    return Err("--seconds goes from 0 to a million".to_owned());
                }
                options.seconds = seconds;
            }
            "--target" => options.target = Some(value),
            "--seed" => {
                options.seed = value.parse().map_err(|_| format!("--seed {value} is not a number"))?;
            }
            "--input" => options.input = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}

/// Runs the corpus as it is, then mutations of it until the time is up. How many runs, or the first failure.
fn fuzz(target: &Target, seed: u64, time: Duration) -> Result<u64, String> {
    let started = Instant::now();
    let corpus = corpus(target.name)?;
    let mut runs = 0;
    for input in &corpus {
        run(target, input).map_err(|problem| save(target, input, &problem))?;
        runs += 1;
    }
    let mut random = Random::new(seed);
    while started.elapsed() < time {
        for _ in 0..RUNS_PER_CHECK {
            let input = mutate::input(&mut random, &corpus);
            run(target, &input).map_err(|problem| save(target, &input, &problem))?;
            runs += 1;
        }
    }
    Ok(runs)
}

/// One input. An error if the target panics or takes too long.
fn run(target: &Target, input: &[u8]) -> Result<(), String> {
    let started = Instant::now();
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
    })?;
    let took = started.elapsed();
    if took > RUN_TIME_MAX {
        return Err(format!("took {took:?}, more than {RUN_TIME_MAX:?}"));
    }
    Ok(())
}

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The target's checked-in inputs, in the order of their names so that a seed means the same everywhere.
fn corpus(name: &str) -> Result<Vec<Vec<u8>>, String> {
    let folder = home().join("corpus").join(name);
    let problem =
        |e: std::io::Error| format!("{}: {e}; a target needs at least one good input", folder.display());
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(problem)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(problem)?;
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).map_err(problem)).collect()
}

/// Keeps the failing input, and says how to run it again.
fn save(target: &Target, input: &[u8], problem: &str) -> String {
    let folder = home().join("artifacts");
    let file = folder.join(format!("{}-{:016x}", target.name, fingerprint(input)));
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, input));
    let again = match saved {
        Ok(()) => format!("again: --target {} --input {}", target.name, relative(&file).display()),
        Err(e) => format!("could not be saved ({e}); again: the same --seed"),
    };
    format!("{problem} ({} bytes; {again})", input.len())
}

fn relative(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

/// FNV-1a: names a file by its content.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
