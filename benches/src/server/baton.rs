//! Baton under test: `baton serve` on free ports, ready once its ready file names the endpoints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{Broker, Process};
use crate::error::{BenchError, Result};

/// A Baton with its directories.
#[derive(Debug)]
pub struct Baton {
    bin: PathBuf,
    data: PathBuf,
    ready_file: PathBuf,
    process: Process,
}

/// The part of the ready file that we read.
#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
    amqp: SocketAddr,
    http: SocketAddr,
}

impl Baton {
    /// Takes the program from `bin`, `BATON_BIN` or `target/release/baton`, in that order.
    ///
    /// # Errors
    /// There is no such program.
    pub fn new(dir: &Path, bin: Option<&Path>) -> Result<Baton> {
        let bin = match (bin, std::env::var_os("BATON_BIN")) {
            (Some(bin), _) => bin.to_owned(),
            (None, Some(bin)) => PathBuf::from(bin),
            (None, None) => PathBuf::from("target/release/baton"),
        };
        if !bin.is_file() {
            return Err(BenchError::Server(format!(
                "there is no program {}: build it with `cargo build --release -p baton`, \
                 or name another with --baton-bin or BATON_BIN",
                bin.display()
            )));
        }
        Ok(Baton {
            bin,
            data: dir.join("data"),
            ready_file: dir.join("ready.json"),
            process: Process::new(dir.join("baton.log")),
        })
    }

    /// Where a server that is ready speaks HTTP.
    ///
    /// # Errors
    /// It is not ready.
    pub fn http(&self) -> Result<SocketAddr> {
        let ready = self.read().filter(|ready| ready.pid == self.process.pid());
        ready.map(|ready| ready.http).ok_or_else(|| BenchError::Server("the server is not ready".to_owned()))
    }

    /// A file that is still being written does not parse; the next look will see all of it.
    fn read(&self) -> Option<Ready> {
        serde_json::from_str(&std::fs::read_to_string(&self.ready_file).ok()?).ok()
    }
}

impl Broker for Baton {
    fn spawn(&mut self) -> Result<()> {
        // The file of a killed server would otherwise pass for the new one's.
        let _absent = std::fs::remove_file(&self.ready_file);
        let mut command = Command::new(&self.bin);
        command
            .args(["serve", "--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .args(["--stomp-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--ready-file")
            .arg(&self.ready_file);
        self.process.spawn(command)
    }

    fn ready(&mut self) -> Result<Option<SocketAddr>> {
        self.process.check_alive()?;
        Ok(self.read().filter(|ready| ready.pid == self.process.pid()).map(|ready| ready.amqp))
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn data_dir(&self) -> &Path {
        &self.data
    }
}
