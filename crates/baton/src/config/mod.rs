//! The configuration: flag over environment over file over default. `file` reads TOML, `resolve` merges, `check` says
//! what may not be served, `show` prints the outcome. Only the wiring in `serve` uses the result.

pub(crate) mod check;
pub(crate) mod file;
mod journal;
pub(crate) mod resolve;
pub(crate) mod show;
pub(crate) mod source;
mod sqs;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use source::{Flags, Source, Sourced};

use file::{AccessKeyFile, UserFile};

/// Where the configuration file is looked for when none is named; the first that exists is used.
pub(crate) const FILES: [&str; 2] = ["./baton.toml", "/etc/baton/baton.toml"];

/// What is in effect.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Where messages are stored.
    pub data_dir: Sourced<PathBuf>,
    /// Receives pid and endpoints.
    pub ready_file: Sourced<Option<PathBuf>>,
    /// Threads that serve connections.
    pub worker_threads: Sourced<usize>,
    /// The admin API may move time.
    pub test_clock: Sourced<bool>,
    /// Namespaces besides the default one.
    pub namespaces: Sourced<Vec<String>>,
    /// Listeners.
    pub listen: Listen,
    /// TLS for all listeners.
    pub tls: Sourced<Option<Tls>>,
    /// Logs.
    pub log: Log,
    /// The journal.
    pub journal: Journal,
    /// Limits.
    pub limits: Limits,
    /// Amazon SQS.
    pub sqs: Sqs,
    /// Users. Empty: `guest` with the password `guest`, from loopback.
    pub users: Vec<(String, UserFile)>,
}

/// Listeners.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    /// AMQP 0-9-1.
    pub amqp: Sourced<Listener>,
    /// HTTP.
    pub http: Sourced<Listener>,
    /// STOMP.
    pub stomp: Sourced<Listener>,
    /// Redis's protocol.
    pub redis: Sourced<Listener>,
    /// Addresses other than loopback may be served without TLS.
    pub allow_plaintext: Sourced<bool>,
}

/// Amazon SQS.
#[derive(Clone, Debug)]
pub(crate) struct Sqs {
    /// The account that queues belong to.
    pub account_id: Sourced<String>,
    /// The region of the endpoint.
    pub region: Sourced<String>,
    /// The namespace that queues are in.
    pub namespace: Sourced<String>,
    /// No pauses after purging and deleting.
    pub relaxed: Sourced<bool>,
    /// By id. Empty, without users: any key is accepted.
    pub access_keys: Vec<(String, AccessKeyFile)>,
}

/// One listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listener {
    /// Not served.
    Off,
    /// Served here; port 0: a free one.
    At(SocketAddr),
}

/// TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Logs.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// A filter directive of tracing-subscriber.
    pub level: Sourced<String>,
    /// Form.
    pub format: Sourced<LogFormat>,
}

/// Form of logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The journal.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    /// When what clients are told reaches stable storage.
    pub sync: Sourced<Sync>,
    /// With `interval`: how often, milliseconds.
    pub sync_interval_ms: Sourced<u64>,
    /// Size of a segment file, bytes.
    pub segment_bytes: Sourced<u64>,
    /// Namespaces that are synced in their own way, all of it from the file.
    pub namespaces: Vec<(String, SyncNamespace)>,
}

/// How one namespace is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SyncNamespace {
    pub sync: Sync,
    /// With `interval`: how often, milliseconds.
    pub sync_interval_ms: u64,
}

/// When what clients are told reaches stable storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sync {
    /// Before what depends on them is answered.
    Always,
    /// A moment later: a power failure may cost what was confirmed in the last interval.
    Interval,
}

/// Limits.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Largest message, envelope and body, bytes.
    pub message_bytes_max: Sourced<u64>,
    /// Most connections at once, over all listeners.
    pub connections_max: Sourced<u64>,
    /// Memory of the process beyond which producers are kept back, bytes. 0: no limit.
    pub memory_bytes_max: Sourced<u64>,
    /// Space on the data's file system below which producers are kept back, bytes. 0: no limit.
    pub disk_free_bytes_min: Sourced<u64>,
}
