//! The broker under test: built once per run, started fresh where a suite of ours needs one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cargo_runs::command;
use super::exec::{Log, stop};
use super::{COMMAND_MAX, Runner, Stop};

/// A broker starts in well under a second; a loaded machine gets this.
const READY_MAX: Duration = Duration::from_secs(30);

/// Remembers what became of building it, so that a broken build is tried once.
#[derive(Default)]
pub(super) struct Broker {
    built: Option<Result<PathBuf, String>>,
    /// How long that took: no suite's own time.
    pub took: Duration,
}

impl Runner<'_> {
    /// Where the broker's binary is; builds it the first time.
    pub(super) fn broker(&mut self) -> Result<PathBuf, Stop> {
        self.needs_package("crates/baton", "baton")?;
        if self.broker.built.is_none() {
            let started = Instant::now();
            self.broker.built = Some(self.build());
            self.broker.took = started.elapsed();
        }
        match &self.broker.built {
            Some(Ok(path)) => Ok(path.clone()),
            Some(Err(reason)) => Err(Stop::Fail(reason.clone())),
            None => Err(Stop::Fail("the broker was not built".into())),
        }
    }

    fn build(&self) -> Result<PathBuf, String> {
        let mut log = Log::create(self.repo, "broker")?;
        let built = log.run(&mut command(self, &["build", "--profile", "ci", "-p", "baton"]), COMMAND_MAX);
        match built {
            Ok(finished) if finished.success => Ok(self
                .metadata
                .target_directory
                .join("ci")
                .join(format!("baton{}", std::env::consts::EXE_SUFFIX))),
            Ok(finished) => {
                // What did compile is of no interest.
                for line in finished.output.lines().filter(|line| !line.starts_with("   Compiling")) {
                    println!("{line}");
                }
                Err(format!("the broker does not build ({}, {})", finished.ending, log.name()))
            }
            Err(Stop::Fail(reason) | Stop::Skip(reason)) => Err(reason),
        }
    }
}

/// Points a suite at the broker that was built here, whatever the person at this machine has configured for Baton.
pub(super) fn point_at(command: &mut Command, binary: &Path) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("BATON_") || text.starts_with("AMQP_") {
            command.env_remove(&name);
        }
    }
    command.env("BATON_BIN", binary);
}

/// A running broker with a data folder of its own; stopped when dropped.
pub(super) struct Running {
    child: Child,
    /// `127.0.0.1:PORT`
    pub amqp: String,
    /// `127.0.0.1:PORT`
    pub http: String,
    /// `127.0.0.1:PORT`
    pub stomp: String,
    pub redis: String,
}

impl Running {
    /// Starts `binary` with everything below `folder` and waits until it says that it listens.
    pub(super) fn start(binary: &Path, folder: &Path, log: &Log) -> Result<Running, Stop> {
        let ready = folder.join("ready.json");
        let mut command = Command::new(binary);
        point_at(&mut command, binary);
        let mut child = log.spawn(
            command
                .current_dir(folder)
                .args(["serve", "--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
                .args(["--stomp-listen", "127.0.0.1:0", "--redis-listen", "127.0.0.1:0", "--data-dir"])
                .arg(folder.join("data"))
                .arg("--ready-file")
                .arg(&ready),
        )?;
        let started = Instant::now();
        while started.elapsed() < READY_MAX {
            if let Some([amqp, http, stomp, redis]) =
                std::fs::read(&ready).ok().and_then(|bytes| endpoints(&bytes))
            {
                return Ok(Running { child, amqp, http, stomp, redis });
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(Stop::Fail(format!("the broker ended while it started: {status}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        stop(&mut child);
        Err(Stop::Fail(format!("the broker wrote no ready file within {} s", READY_MAX.as_secs())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// AMQP, HTTP, STOMP and Redis from `{"pid":1,"amqp":"127.0.0.1:5672", …}`; `None` while it is not whole.
fn endpoints(ready: &[u8]) -> Option<[String; 4]> {
    let json: Value = serde_json::from_slice(ready).ok()?;
    let endpoint = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    Some([endpoint("amqp")?, endpoint("http")?, endpoint("stomp")?, endpoint("redis")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_ready_file_is_not_ready() {
        let whole = br#"{"pid":7,"amqp":"127.0.0.1:1","http":"127.0.0.1:2","stomp":"127.0.0.1:3","redis":"127.0.0.1:4"}"#;
        assert_eq!(
            endpoints(whole),
            Some(["127.0.0.1:1".into(), "127.0.0.1:2".into(), "127.0.0.1:3".into(), "127.0.0.1:4".into()])
        );
        assert_eq!(endpoints(&whole[..20]), None);
        assert_eq!(endpoints(br#"{"pid":7,"amqp":"127.0.0.1:1"}"#), None);
    }
}
