//! The servers under test, each a process of its own on loopback with free ports and a data directory of its own:
//! start, wait until ready, stop cleanly, kill. [`baton`] and [`rabbitmq`] say how for each. Nothing here measures.
//! Called by `scenarios` (through [`Target::broker`]) and by the crash test, which needs start and readiness apart.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::error::{BenchError, During, Result};
use crate::measure::process_tree;
use crate::wire::encode::{Table, Value};

pub mod baton;
pub mod rabbitmq;

/// How long a server may take from start to ready; a RabbitMQ with a log to recover needs most of it.
pub const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a clean stop may take before the process is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Baton, with its defaults.
    Baton,
    /// RabbitMQ with quorum queues: every message is synced before its confirm.
    RabbitmqQuorum,
    /// RabbitMQ with classic queues: a message acknowledged in time is never written.
    RabbitmqClassic,
}

impl Target {
    /// The name used on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Target::Baton => "baton",
            Target::RabbitmqQuorum => "rabbitmq-quorum",
            Target::RabbitmqClassic => "rabbitmq-classic",
        }
    }

    /// The arguments its queues are declared with.
    pub fn queue_arguments(self) -> Table<'static> {
        match self {
            Target::Baton => &[],
            Target::RabbitmqQuorum => &[("x-queue-type", Value::Text("quorum"))],
            Target::RabbitmqClassic => &[("x-queue-type", Value::Text("classic"))],
        }
    }

    /// A server of this kind that keeps everything below `dir`, which must exist. Nothing runs yet.
    ///
    /// # Errors
    /// The program is not installed or not built; the message says what to do.
    pub fn broker(self, dir: &Path, baton_bin: Option<&Path>) -> Result<Box<dyn Broker>> {
        Ok(match self {
            Target::Baton => Box::new(baton::Baton::new(dir, baton_bin)?),
            Target::RabbitmqQuorum | Target::RabbitmqClassic => Box::new(rabbitmq::RabbitMq::new(dir)?),
        })
    }
}

/// A server that can be started again and again on the same data.
pub trait Broker {
    /// Starts the process and returns at once.
    ///
    /// # Errors
    /// The process cannot be started, or runs already.
    fn spawn(&mut self) -> Result<()>;

    /// One look whether it is ready: its AMQP address, `None` while it is not.
    ///
    /// # Errors
    /// The process has ended; the message holds the end of its log.
    fn ready(&mut self) -> Result<Option<SocketAddr>>;

    /// The running process.
    fn process(&mut self) -> &mut Process;

    /// Where it keeps its data.
    fn data_dir(&self) -> &Path;
}

/// Starts and waits until ready.
///
/// # Errors
/// It ended early or was not ready within [`READY_TIMEOUT`].
pub fn start(broker: &mut dyn Broker) -> Result<SocketAddr> {
    broker.spawn()?;
    wait_ready(broker)
}

/// Waits until a spawned server is ready.
///
/// # Errors
/// It ended early or was not ready within [`READY_TIMEOUT`].
pub fn wait_ready(broker: &mut dyn Broker) -> Result<SocketAddr> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        if let Some(address) = broker.ready()? {
            return Ok(address);
        }
        if Instant::now() > deadline {
            return Err(BenchError::Server(format!(
                "the server was not ready within {} s; the end of its log:\n{}",
                READY_TIMEOUT.as_secs(),
                broker.process().log_tail()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A child process with its log file. Killed when dropped, so that no server outlives its run.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    log: PathBuf,
}

impl Process {
    /// Nothing running; output will go to `log`.
    pub fn new(log: PathBuf) -> Process {
        Process { child: None, log }
    }

    /// Starts `command` with its output appended to the log.
    ///
    /// # Errors
    /// It runs already, or the system refuses.
    pub fn spawn(&mut self, mut command: Command) -> Result<()> {
        if self.child.is_some() {
            return Err(BenchError::Server("the server runs already".to_owned()));
        }
        let log =
            File::options().create(true).append(true).open(&self.log).during("open the server's log")?;
        let errors = log.try_clone().during("open the server's log")?;
        let what = format!("start {}", command.get_program().to_string_lossy());
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().during(&what)?;
        self.child = Some(child);
        Ok(())
    }

    /// The process id, 0 when nothing runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// An error when the process has ended although nobody stopped it.
    ///
    /// # Errors
    /// It has ended; with its exit status and the end of its log.
    pub fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else {
            return Err(BenchError::Server("the server was not started".to_owned()));
        };
        match child.try_wait().during("look after the server")? {
            None => Ok(()),
            Some(status) => {
                self.child = None;
                let tail = self.log_tail();
                Err(BenchError::Server(format!(
                    "the server ended by itself ({status}); the end of its log:\n{tail}"
                )))
            }
        }
    }

    /// SIGTERM, and SIGKILL when that takes too long.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        signal(child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if child.try_wait().during("wait for the server")?.is_some() {
                self.child = None;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        Err(BenchError::Server(format!(
            "the server did not stop within {} s and was killed",
            STOP_TIMEOUT.as_secs()
        )))
    }

    /// SIGKILL to the process and everything below it; returns when the process is gone.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        for pid in process_tree(child.id()) {
            signal(pid, Signal::KILL);
        }
        // It was ours and is dying: the only possible answer is its status.
        let _status = child.wait();
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // A process that is already gone is what we want.
        let _gone = kill_process(pid, signal);
    }
}

/// A port that is free now.
///
/// # Errors
/// None is free.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("find a free port")?;
    Ok(listener.local_addr().during("find a free port")?.port())
}
