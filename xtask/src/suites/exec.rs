//! Running one command: its output goes to the suite's log, a line on the terminal says that it lives, and what hangs
//! is stopped.

use std::fmt::Display;
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Stop;
use crate::repo::Repo;

/// How often a quiet terminal (a CI log) hears that a command still runs.
const STILL_RUNNING_EVERY: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// The log of one suite: `.cache/logs/SUITE.log`.
pub(super) struct Log {
    suite: String,
    path: PathBuf,
    file: File,
}

/// A command that came to its end.
pub(super) struct Finished {
    pub success: bool,
    /// What this command alone printed, both streams.
    pub output: String,
    /// `exit code 1`, `stopped after 60 s`
    pub ending: String,
}

impl Log {
    pub(super) fn create(repo: &Repo, suite: &str) -> Result<Log, String> {
        let folder = repo.path(".cache/logs");
        std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let path = folder.join(format!("{suite}.log"));
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .read(true)
            .open(&path)
            .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(Log { suite: suite.to_owned(), path, file })
    }

    /// From the root of the repository.
    pub(super) fn name(&self) -> String {
        format!(".cache/logs/{}.log", self.suite)
    }

    pub(super) fn text(&self) -> String {
        std::fs::read(&self.path)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A line of our own.
    pub(super) fn say(&mut self, line: impl Display) {
        // A log that cannot be written must not turn a passing suite into a failing one.
        let _ = self.file.seek(SeekFrom::End(0)).and_then(|_| writeln!(self.file, "{line}"));
    }

    /// Runs `command` to its end, or stops it after `limit`.
    pub(super) fn run(&mut self, command: &mut Command, limit: Duration) -> Result<Finished, Stop> {
        self.say(format_args!("$ {}", shown(command)));
        let begin = self.file.seek(SeekFrom::End(0)).map_err(|e| self.broken(&e))?;
        let started = Instant::now();
        let mut child = self.spawn(command)?;
        let mut ticker = Ticker::new();
        let (status, timed_out) = loop {
            match child.try_wait() {
                Ok(Some(status)) => break (Some(status), false),
                Ok(None) if started.elapsed() >= limit => {
                    stop(&mut child);
                    break (None, true);
                }
                Ok(None) => {}
                Err(e) => return Err(self.broken(&e)),
            }
            ticker.tick(&self.suite, started.elapsed(), || self.last_line());
            std::thread::sleep(POLL_EVERY);
        };
        ticker.clear();
        let output = self.since(begin).map_err(|e| self.broken(&e))?;
        let ending = if timed_out { format!("stopped after {} s", limit.as_secs()) } else { ending(status) };
        Ok(Finished { success: status.is_some_and(|status| status.success()), output, ending })
    }

    /// Starts `command` with both streams into this log and nothing to read.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child, Stop> {
        let writer = || File::options().append(true).open(&self.path).map_err(|e| self.broken(&e));
        without_our_package(command);
        own_group(command);
        command
            .stdin(Stdio::null())
            .stdout(writer()?)
            .stderr(writer()?)
            .spawn()
            .map_err(|e| Stop::Fail(format!("cannot start `{}`: {e}", shown(command))))
    }

    fn since(&mut self, begin: u64) -> std::io::Result<String> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(begin))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn last_line(&self) -> String {
        let mut tail = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(400)))?;
            file.read_to_end(&mut tail)
        });
        let text = if read.is_ok() { String::from_utf8_lossy(&tail).into_owned() } else { String::new() };
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        line.trim().chars().filter(|c| !c.is_control()).take(90).collect()
    }

    fn broken(&self, error: &std::io::Error) -> Stop {
        Stop::Fail(format!("cannot use {}: {error}", self.name()))
    }
}

/// `cargo xtask` runs inside `cargo run`, whose variables name this package; build scripts of others must not see them.
fn without_our_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Without a terminal nobody presses Ctrl-C, and a group of its own lets [`stop`] reach what the command started.
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    if !std::io::stdin().is_terminal() {
        std::os::unix::process::CommandExt::process_group(command, 0);
    }
    #[cfg(not(unix))]
    let _ = command;
}

/// Kills a command, with what it started where it has a group of its own.
pub(super) fn stop(child: &mut Child) {
    if cfg!(unix) && !std::io::stdin().is_terminal() {
        // The shell's own `kill`: the program of that name is not everywhere.
        let kill = format!("kill -KILL -- -{}", child.id());
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn ending(status: Option<ExitStatus>) -> String {
    match status.map(|status| status.code()) {
        Some(Some(code)) => format!("exit code {code}"),
        _ => "killed by a signal".into(),
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The line that says a command lives: rewritten in place on a terminal, now and then elsewhere.
struct Ticker {
    terminal: bool,
    next: Duration,
    shown: bool,
}

impl Ticker {
    fn new() -> Ticker {
        let terminal = std::io::stdout().is_terminal();
        Ticker {
            terminal,
            next: if terminal { Duration::from_secs(1) } else { STILL_RUNNING_EVERY },
            shown: false,
        }
    }

    fn tick(&mut self, suite: &str, elapsed: Duration, last_line: impl FnOnce() -> String) {
        if elapsed < self.next {
            return;
        }
        let line = format!("   {suite}: {} s, {}", elapsed.as_secs(), last_line());
        if self.terminal {
            print!("\r\x1b[2K{line}");
            let _ = std::io::stdout().flush();
            self.next = elapsed + Duration::from_millis(250);
        } else {
            println!("{line}");
            self.next = elapsed + STILL_RUNNING_EVERY;
        }
        self.shown = true;
    }

    fn clear(&self) {
        if self.terminal && self.shown {
            print!("\r\x1b[2K");
            let _ = std::io::stdout().flush();
        }
    }
}

/// The first line of what `program ARGS` prints, if there is such a program.
pub(super) fn version(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}
