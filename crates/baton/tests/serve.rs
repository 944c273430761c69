//! The life of a broker process: start, ready file, stop, restart, and every way in which a start is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::Signal;
use support::{Broker, baton, run, stderr, stdout};
use tempfile::tempdir;

fn start_refused(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let output: Output = baton().current_dir(dir).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} was not refused: {}", stdout(&output));
    (output.status.code().unwrap(), stderr(&output))
}

#[test]
fn a_broker_says_where_it_listens_and_ends_cleanly() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let ready = broker.ready().clone();
    assert!(ready["pid"].as_u64().unwrap() > 0);
    let log = broker.log();
    for name in ["amqp", "http"] {
        let address = ready[name].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{ready}");
        assert!(log.contains(address), "{log}");
    }
    assert!(log.contains("guest"), "{log}");
    assert_eq!(broker.raw_http("GET", "/healthz", ""), (200, "ok\n".to_owned()));
    assert_eq!(broker.raw_http("GET", "/readyz", "").0, 200);
    let ready_file = dir.path().join("ready.json");
    assert!(ready_file.exists());
    assert_eq!(broker.stop().code(), Some(0));
    assert!(!ready_file.exists());
}

#[test]
fn what_was_sent_is_there_after_a_stop_and_after_a_kill() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    broker.ok(&["send", "jobs", "one"]);
    assert_eq!(broker.stop().code(), Some(0));

    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["send", "jobs", "two"]);
    broker.signal(Signal::KILL);
    broker.wait();

    let broker = Broker::start(dir.path(), &[]);
    assert_eq!(broker.ok(&["receive", "jobs", "--raw", "--count", "9"]), "one\ntwo\n");
    broker.signal(Signal::KILL);
    broker.wait();

    let broker = Broker::start(dir.path(), &[]);
    assert_eq!(broker.run(&["receive", "jobs"]).status.code(), Some(9), "what was acknowledged came back");
}

#[test]
fn a_stop_ends_receives_that_wait() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    let mut receiving = broker.command(&["receive", "jobs", "--wait", "20s"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let begun = std::time::Instant::now();
    assert_eq!(broker.stop().code(), Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "the stop waited for a request that waits");
    assert_eq!(support::wait(&mut receiving).code(), Some(9));
}

#[test]
fn a_directory_has_one_broker() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let more = ["--data-dir", "data", "--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
    let (code, error) = start_refused(dir.path(), &more);
    assert_eq!(code, 5, "{error}");
    assert!(error.contains(&broker.ready()["pid"].to_string()), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
}

#[test]
fn a_configured_address_must_be_free_and_a_default_one_is_skipped() {
    let dir = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, error) = start_refused(dir.path(), &["--amqp-listen", &address, "--http-listen", "off"]);
    assert_eq!(code, 4, "{error}");
    assert!(error.contains(&address) && error.contains("--amqp-listen"), "{error}");
    assert!(!dir.path().join("baton-data").exists(), "a refused start leaves nothing behind");

    // Whoever has the default port, this test or another program: it is taken.
    let _taken = TcpListener::bind("127.0.0.1:9324");
    let ready = dir.path().join("ready.json");
    let child = baton()
        .current_dir(dir.path())
        .args(["--amqp-listen", "127.0.0.1:0", "--ready-file", "ready.json"])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !ready.exists() && begun.elapsed() < support::WAIT_MAX {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let text = std::fs::read_to_string(&ready).unwrap();
    assert!(text.contains("amqp") && !text.contains("http"), "{text}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let error = stderr(&output);
    assert!(error.contains("127.0.0.1:9324") && error.contains("--http-listen"), "{error}");
}

#[test]
fn unsafe_and_wrong_configurations_are_refused_with_the_remedy() {
    let dir = tempdir().unwrap();
    let (code, error) = start_refused(dir.path(), &["--amqp-listen", "0.0.0.0:0"]);
    assert_eq!(code, 3);
    for part in ["[users]", "[tls]", "allow_plaintext"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    std::fs::write(dir.path().join("baton.toml"), "[listen]\namqpp = \"off\"\n").unwrap();
    let (code, error) = start_refused(dir.path(), &[]);
    assert_eq!(code, 3);
    assert!(error.contains("./baton.toml:2: unknown key `amqpp`; did you mean `amqp`?"), "{error}");
    std::fs::write(dir.path().join("baton.toml"), "[tls]\ncert = \"nowhere.pem\"\nkey = \"nowhere.pem\"\n")
        .unwrap();
    let (code, error) = start_refused(dir.path(), &[]);
    assert_eq!(code, 3);
    assert!(error.contains("nowhere.pem"), "{error}");
    assert_eq!(start_refused(dir.path(), &["config", "check"]), (code, error));
    assert_eq!(start_refused(dir.path(), &["--no-such-flag"]).0, 2);
}

#[test]
fn the_environment_and_the_file_are_read_in_their_order() {
    let dir = tempdir().unwrap();
    std::fs::write(
        dir.path().join("baton.toml"),
        "data_dir = \"from-file\"\n[log]\nformat = \"json\"\nlevel = \"warn\"\n",
    )
    .unwrap();
    let output = baton()
        .current_dir(dir.path())
        .env("BATON_LOG_LEVEL", "debug")
        .env("BATON_LOG_FORMAT", "json")
        .args(["config", "check", "--log-format", "human"])
        .output()
        .unwrap();
    let shown = stdout(&output);
    for line in [
        "data_dir = \"from-file\"                   # file, data_dir",
        "level = \"debug\"                          # environment BATON_LOG_LEVEL",
        "format = \"human\"                         # flag --log-format",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}\n{}", stderr(&output));
    }
    // A broken value of `serve` is of no interest to other commands.
    let output = baton().env("BATON_AMQP_LISTEN", "nonsense").args(["doctor", "/nowhere"]).output().unwrap();
    assert!(stderr(&output).contains("/nowhere"), "{}", stderr(&output));
}

#[test]
fn users_replace_the_guest() {
    let dir = tempdir().unwrap();
    let hash = {
        let mut child = baton()
            .args(["config", "password"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"secret\n").unwrap();
        stdout(&child.wait_with_output().unwrap()).trim().to_owned()
    };
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    let config = format!(
        "[users.ann]\npassword = \"{hash}\"\n[users.ann.permissions.default]\nconfigure = \"^jobs$\"\nwrite = \".*\"\nread = \".*\"\n"
    );
    std::fs::write(dir.path().join("baton.toml"), config).unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let nobody = broker.run(&["queue", "list"]);
    assert_eq!(nobody.status.code(), Some(10));
    assert!(stderr(&nobody).contains("--user"), "{}", stderr(&nobody));
    assert_eq!(broker.run(&["queue", "list", "--user", "guest:guest"]).status.code(), Some(10));
    broker.ok(&["queue", "create", "jobs", "--user", "ann:secret"]);
    let denied = broker.run(&["queue", "create", "other", "--user", "ann:secret"]);
    assert_eq!(denied.status.code(), Some(10));
    assert!(stderr(&denied).contains("other"), "{}", stderr(&denied));
}

#[test]
fn tls_covers_every_listener() {
    let dir = tempdir().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(dir.path().join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    let broker = Broker::start(dir.path(), &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    assert!(broker.log().contains("amqps://"), "{}", broker.log());
    let server = format!("https://{}", broker.http());
    let cert = dir.path().join("cert.pem");
    let list = |more: &[&str]| run(&[&["queue", "list", "--server", &server], more].concat());
    let trusted = list(&["--ca-cert", cert.to_str().unwrap()]);
    assert_eq!(trusted.status.code(), Some(0), "{}", stderr(&trusted));
    let untrusted = list(&[]);
    assert_eq!(untrusted.status.code(), Some(2));
    assert!(stderr(&untrusted).contains("--ca-cert"), "{}", stderr(&untrusted));
    assert_eq!(broker.run(&["queue", "list"]).status.code(), Some(8), "plain HTTP was served on a TLS port");
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    // A peer that begins an AMQP connection and never answers holds up the first.
    let mut peer = std::net::TcpStream::connect(broker.ready()["amqp"].as_str().unwrap()).unwrap();
    std::io::Write::write_all(&mut peer, b"AMQP\0\0\x09\x01").unwrap();
    std::io::Read::read_exact(&mut peer, &mut [0; 8]).unwrap();
    // A request that is not finished does as well.
    let mut request = std::net::TcpStream::connect(broker.http()).unwrap();
    std::io::Write::write_all(
        &mut request,
        b"POST /api/v1/namespaces/default/queues/q/purge HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n",
    )
    .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    broker.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let begun = std::time::Instant::now();
    broker.signal(Signal::INT);
    assert_eq!(broker.wait().code(), Some(130));
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
}

#[test]
fn damage_is_named_and_doctor_sees_it_too() {
    let dir = tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok(&["queue", "create", "jobs"]);
    for body in ["first", "second", "third"] {
        broker.ok(&["send", "jobs", body]);
    }
    broker.signal(Signal::KILL);
    broker.wait();
    assert_eq!(run(&["doctor", dir.path().join("data").to_str().unwrap()]).status.code(), Some(0));

    let (file, offset) = find(&dir.path().join("data"), b"first");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, error) = start_refused(
        dir.path(),
        &["--data-dir", "data", "--amqp-listen", "off", "--http-listen", "127.0.0.1:0"],
    );
    assert_eq!(code, 6, "{error}");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        error.contains(name) && error.contains("offset") && error.contains("baton doctor data"),
        "{error}"
    );

    let output = run(&["doctor", dir.path().join("data").to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(6));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["sound"], false);
    assert_eq!(report["journals"][0]["first_damage"]["file"], name);
}

/// Where `needle` first stands in a segment under `dir`.
fn find(dir: &Path, needle: &[u8]) -> (PathBuf, usize) {
    let partition = dir.join("partition-0");
    let mut files: Vec<_> =
        std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "seg"))
        .find_map(|file| {
            let bytes = std::fs::read(&file).unwrap();
            let at = bytes.windows(needle.len()).position(|window| window == needle)?;
            Some((file, at))
        })
        .unwrap()
}
