//! A real broker on free ports with a directory of its own, and the same binary as its client. Used by all tests of this
//! folder.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest that anything here may take, on a machine with much else to do.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

/// The binary, with nothing of the caller's environment that it would read.
pub(crate) fn baton() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BATON_") || name == "NO_COLOR" || name == "COLUMNS" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    baton().args(arguments).output().unwrap()
}

/// The text a command wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The text a command wrote to stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A running broker. Killed when dropped.
pub(crate) struct Broker {
    child: Child,
    dir: PathBuf,
    ready: Value,
}

impl Broker {
    /// Starts a broker with its data in `dir`, and waits until it is ready.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        let mut child = baton()
            .current_dir(dir)
            .args([
                "serve",
                "--amqp-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--redis-listen",
                "127.0.0.1:0",
                "--stomp-listen",
                "127.0.0.1:0",
                "--data-dir",
                "data",
            ])
            .args(["--ready-file", "ready.json"])
            .args(more)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !ready.exists() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the broker ended with {status}:\n{}", read_log(dir));
            }
            assert!(begun.elapsed() < WAIT_MAX, "the broker is not ready:\n{}", read_log(dir));
            std::thread::sleep(Duration::from_millis(5));
        }
        let ready = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
        Self { child, dir: dir.to_owned(), ready }
    }

    /// What the ready file says.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// What the broker has printed and logged so far.
    pub(crate) fn log(&self) -> String {
        read_log(&self.dir)
    }

    /// Where HTTP is served.
    pub(crate) fn http(&self) -> &str {
        self.ready.get("http").and_then(Value::as_str).unwrap()
    }

    /// A command against this broker.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = baton();
        command.args(arguments).env("BATON_SERVER", format!("http://{}", self.http()));
        command
    }

    /// Runs a command against this broker to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its stdout.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {} {}\n{}",
            output.status,
            stderr(&output),
            self.log()
        );
        stdout(&output)
    }

    /// Runs a command with `--json` and reads what it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    /// Runs a command with `input` on its stdin.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// A request as bytes over a socket of its own; gives status and body.
    pub(crate) fn raw_http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http()).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let (_, body) = rest.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Asks it to end and waits.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

/// Waits for the end of a process.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < WAIT_MAX, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}
