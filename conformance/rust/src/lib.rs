//! Starts, kills and restarts the server that the conformance tests of this package talk to: a Baton of their own
//! (`BATON_BIN`), or whatever answers at `AMQP_URL`. Holds no AMQP and no tests; `tests/*.rs` call it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const READY_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The server under test. A Baton of our own ends, by SIGKILL, when this is dropped.
pub struct Server {
    /// `amqp://guest:guest@HOST:PORT/%2f`
    pub url: String,
    own: Option<Baton>,
}

struct Baton {
    binary: PathBuf,
    home: TempDir,
    child: Child,
    listen: Listen,
}

#[derive(Clone)]
struct Listen {
    amqp: String,
    http: String,
}

impl Server {
    /// Starts a Baton (`BATON_BIN`) on an empty data directory, or points at `AMQP_URL`.
    ///
    /// # Panics
    /// When neither variable is set, or the broker does not become ready.
    #[must_use]
    pub fn start() -> Self {
        if let Ok(url) = std::env::var("AMQP_URL") {
            return Self { url, own: None };
        }
        let binary = std::env::var_os("BATON_BIN")
            .expect("set BATON_BIN to a baton binary (the suite starts it), or AMQP_URL to a running server");
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let any = Listen { amqp: "127.0.0.1:0".into(), http: "127.0.0.1:0".into() };
        let (child, listen) = spawn(&binary.clone().into(), &home, &any);
        Self { url: url(&listen), own: Some(Baton { binary: binary.into(), home, child, listen }) }
    }

    /// Whether this is a Baton that the test may kill.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// SIGKILL, and again on the same data and port.
    ///
    /// # Panics
    /// When the server is not our own, or does not come back.
    pub fn kill_and_restart(&mut self) {
        let baton = self.own.as_mut().expect("only a Baton of our own is killed: ask is_own first");
        baton.child.kill().expect("our child can be killed");
        baton.child.wait().expect("our child can be waited for");
        (baton.child, baton.listen) = spawn(&baton.binary, &baton.home, &baton.listen);
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill or wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url(listen: &Listen) -> String {
    format!("amqp://guest:guest@{}/%2f", listen.amqp)
}

fn spawn(binary: &PathBuf, home: &TempDir, listen: &Listen) -> (Child, Listen) {
    let ready = home.path().join("ready.json");
    let _ = fs::remove_file(&ready); // absent at the first start
    let log = fs::OpenOptions::new().create(true).append(true).open(home.path().join("baton.log"));
    let log = log.expect("the log can be opened");
    let mut child = Command::new(binary)
        .args(["serve", "--amqp-listen", &listen.amqp, "--http-listen", &listen.http, "--data-dir"])
        .arg(home.path().join("data"))
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle can be cloned"))
        .stderr(log)
        .spawn()
        .expect("BATON_BIN can be started");
    guard(&child);
    let deadline = Instant::now() + READY_MAX;
    loop {
        if let Some(listen) = fs::read(&ready).ok().and_then(|bytes| endpoints(&bytes)) {
            return (child, listen);
        }
        let ended = child.try_wait().expect("our child can be asked");
        let log = || fs::read_to_string(home.path().join("baton.log")).unwrap_or_default();
        assert!(ended.is_none(), "baton ended with {ended:?} while starting:\n{}", log());
        assert!(Instant::now() < deadline, "baton was not ready within {READY_MAX:?}:\n{}", log());
        sleep(POLL);
    }
}

/// Sees to it that a broker does not outlive this process, which drops nothing that is shared by all tests: a shell waits for
/// the end of its input, which nobody but this process holds open, and kills it then.
fn guard(child: &Child) {
    let shell = Command::new("sh")
        .args(["-c", "cat > /dev/null; kill -9 $0 2> /dev/null", &child.id().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    // Held open as long as the process lives: nobody closes it but the system.
    let _held = std::mem::ManuallyDrop::new(shell.expect("a shell can be started").stdin);
}

/// What the ready file says; `None` while it is not wholly written.
fn endpoints(bytes: &[u8]) -> Option<Listen> {
    let file: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| file.get(key)?.as_str().map(str::to_owned);
    Some(Listen { amqp: text("amqp")?, http: text("http").unwrap_or_else(|| "127.0.0.1:0".into()) })
}

/// A name that no other test uses.
#[must_use]
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("conf.rust.{what}.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_file_counts_only_when_it_is_whole() {
        assert!(endpoints(br#"{"pid":1,"amqp":"127.0.0.1:5"#).is_none());
        let listen = endpoints(br#"{"pid":1,"amqp":"127.0.0.1:5672","http":"127.0.0.1:9324"}"#).unwrap();
        assert_eq!((listen.amqp.as_str(), listen.http.as_str()), ("127.0.0.1:5672", "127.0.0.1:9324"));
        assert_eq!(url(&listen), "amqp://guest:guest@127.0.0.1:5672/%2f");
    }

    #[test]
    fn names_are_unique() {
        assert_ne!(unique("q"), unique("q"));
    }
}
