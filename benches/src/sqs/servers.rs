//! The servers that are measured over SQS: Baton, and moto's server as the peer. Called by `sqs`.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::http::Http;
use super::texts::request;
use crate::error::{BenchError, During, Result};
use crate::measure::Probe;
use crate::server::baton::Baton;
use crate::server::{self, Broker, Process, free_port};

/// Where moto's server is looked for when nobody says: made by the commands in `docs/benchmarks/method.md`.
pub const MOTO_BIN: &str = ".cache/moto/bin/moto_server";

/// Which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Baton; its program if not the usual one.
    Baton(Option<PathBuf>),
    /// moto's server; its program.
    Moto(PathBuf),
}

impl Peer {
    /// As it stands in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Peer::Baton(_) => "baton",
            Peer::Moto(_) => "moto",
        }
    }
}

/// A started server.
pub struct Served {
    broker: Box<dyn Broker>,
    /// Where it speaks HTTP.
    pub address: SocketAddr,
    /// What is read from `/proc`.
    pub probe: Probe,
    /// Resident memory before any load.
    pub idle_kib: u64,
    _dir: tempfile::TempDir,
}

impl Served {
    /// Starts a fresh server below `work_dir`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(peer: &Peer, work_dir: &Path) -> Result<Served> {
        let dir = tempfile::Builder::new()
            .prefix("baton-bench-")
            .tempdir_in(work_dir)
            .during("make a data directory")?;
        let (mut broker, address): (Box<dyn Broker>, SocketAddr) = match peer {
            Peer::Baton(bin) => {
                let mut baton = Baton::new(dir.path(), bin.as_deref())?;
                server::start(&mut baton)?;
                let address = baton.http()?;
                (Box::new(baton), address)
            }
            Peer::Moto(bin) => {
                let mut moto = Moto::new(dir.path(), bin)?;
                let address = server::start(&mut moto)?;
                (Box::new(moto), address)
            }
        };
        // Let the start's own work end before "idle" is read.
        std::thread::sleep(Duration::from_secs(1));
        let probe = Probe::new(broker.process().pid());
        let idle_kib = probe.resident_kib();
        Ok(Served { broker, address, probe, idle_kib, _dir: dir })
    }

    /// Creates a queue and returns its URL.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_queue(&self, name: &str, fifo: bool) -> Result<String> {
        let attributes = if fifo { ",\"Attributes\":{\"FifoQueue\":\"true\"}" } else { "" };
        let body = format!("{{\"QueueName\":\"{name}\"{attributes}}}");
        let mut http = Http::new(self.address);
        let answer = http.call(&request(self.address, "CreateQueue", &body))?;
        let json: Value = serde_json::from_slice(answer).unwrap_or_default();
        let url = json.get("QueueUrl").and_then(Value::as_str);
        url.map(str::to_owned).ok_or_else(|| BenchError::Server("the answer has no queue URL".to_owned()))
    }

    /// An error when the server has ended.
    ///
    /// # Errors
    /// It has.
    pub fn check_alive(&mut self) -> Result<()> {
        self.broker.process().check_alive()
    }

    /// Stops it in an orderly way.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(mut self) -> Result<()> {
        self.broker.process().stop()
    }
}

/// moto's server, which keeps everything in memory.
struct Moto {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    process: Process,
}

impl Moto {
    fn new(dir: &Path, bin: &Path) -> Result<Moto> {
        Ok(Moto {
            bin: bin.to_owned(),
            dir: dir.to_owned(),
            port: free_port()?,
            process: Process::new(dir.join("moto.log")),
        })
    }
}

impl Broker for Moto {
    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new(&self.bin);
        command.args(["-H", "127.0.0.1", "-p", &self.port.to_string()]);
        self.process.spawn(command)
    }

    fn ready(&mut self) -> Result<Option<SocketAddr>> {
        self.process.check_alive()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Ok(TcpStream::connect(address).is_ok().then_some(address))
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn data_dir(&self) -> &Path {
        &self.dir
    }
}
