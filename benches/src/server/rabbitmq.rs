//! RabbitMQ under test: Debian's package, run as a node of our own with its own epmd, ports and directories; the
//! system's service is never touched. Ready once a connection can be opened.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Broker, Process, free_port};
use crate::conn::Connection;
use crate::error::{BenchError, During, Result};

/// The start script itself, since the one in `/usr/sbin` changes to the user `rabbitmq`.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A RabbitMQ node with its directories and ports.
#[derive(Debug)]
pub struct RabbitMq {
    dir: PathBuf,
    data: PathBuf,
    amqp_port: u16,
    dist_port: u16,
    epmd_port: u16,
    process: Process,
    epmd: Process,
}

impl RabbitMq {
    /// Makes the directories and picks the ports, which stay the same over restarts.
    ///
    /// # Errors
    /// The package is not installed.
    pub fn new(dir: &Path) -> Result<RabbitMq> {
        if !Path::new(SCRIPT).is_file() {
            return Err(BenchError::Server(
                "RabbitMQ is not installed; on Debian, as root:\n  \
                 apt-get update && apt-get install -y --no-install-recommends rabbitmq-server"
                    .to_owned(),
            ));
        }
        let data = dir.join("mnesia");
        for path in [&data, &dir.join("log"), &dir.join("home")] {
            fs::create_dir_all(path).during("make RabbitMQ's directories")?;
        }
        fs::write(dir.join("enabled_plugins"), "[].\n").during("write RabbitMQ's plugin list")?;
        fs::write(dir.join("rabbitmq.conf"), "log.file.level = warning\n")
            .during("write RabbitMQ's configuration")?;
        Ok(RabbitMq {
            amqp_port: free_port()?,
            dist_port: free_port()?,
            epmd_port: free_port()?,
            process: Process::new(dir.join("rabbitmq.log")),
            epmd: Process::new(dir.join("epmd.log")),
            dir: dir.to_owned(),
            data,
        })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.amqp_port))
    }
}

impl Broker for RabbitMq {
    fn spawn(&mut self) -> Result<()> {
        if self.epmd.pid() == 0 {
            // An epmd in the foreground is a child that we can end; the node would otherwise leave a daemon behind.
            let mut epmd = Command::new("epmd");
            epmd.args(["-address", "127.0.0.1", "-port", &self.epmd_port.to_string()]);
            self.epmd.spawn(epmd)?;
            std::thread::sleep(Duration::from_millis(200));
        }
        let mut command = Command::new(SCRIPT);
        command
            .current_dir(&self.dir)
            .env("HOME", self.dir.join("home"))
            // Lets the script become the Erlang machine instead of waiting for it in a shell.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env_remove("NOTIFY_SOCKET")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("bench{}@localhost", self.amqp_port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.amqp_port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", &self.data)
            .env("RABBITMQ_LOG_BASE", self.dir.join("log"))
            .env("RABBITMQ_CONF_ENV_FILE", self.dir.join("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", self.dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.dir.join("enabled_plugins"));
        self.process.spawn(command)
    }

    fn ready(&mut self) -> Result<Option<SocketAddr>> {
        self.process.check_alive()?;
        // Opening the port is among the last steps of its start, but only a handshake shows that it works.
        match Connection::open(self.address()) {
            Ok(conn) => conn.close().map(|()| Some(self.address())),
            Err(_) => {
                std::thread::sleep(Duration::from_millis(50));
                Ok(None)
            }
        }
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn data_dir(&self) -> &Path {
        &self.data
    }
}
