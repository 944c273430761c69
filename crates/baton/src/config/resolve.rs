//! Merges flags, environment and file into what is in effect, and reads the values that are text.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use baton_model::limits::{MESSAGE_BYTES_MAX_DEFAULT, NAME_BYTES_MAX};
use baton_net::limits::CONNECTIONS_MAX_DEFAULT;

use super::file::{self, FileConfig};
use super::{Config, FILES, Flags, Limits, Listen, Listener, Log, LogFormat, Source, Sourced, Tls};
use crate::memory;

/// Where AMQP is served when nobody says.
pub(crate) const AMQP_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5672);
/// Where HTTP is served when nobody says.
pub(crate) const HTTP_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9324);
/// Where STOMP is served when nobody says.
pub(crate) const STOMP_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 61613);
/// Where Redis's protocol is served when nobody says.
pub(crate) const REDIS_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6379);
/// Threads when nobody says: more than that only move the bottleneck to the partition, and each one costs memory.
const WORKER_THREADS_DEFAULT_MAX: usize = 4;
/// Share of the memory there is. The rest is for the page cache, from which deep queues are read, and for what comes in
/// between an alarm and its effect.
const MEMORY_PERCENT_MAX_DEFAULT: u64 = 60;
/// Eight segments of ordinary size: acknowledgements, snapshots and the rewriting of segments, which is what gives space back,
/// need some themselves.
const DISK_FREE_BYTES_MIN_DEFAULT: u64 = 512 * 1024 * 1024;

/// Finds and reads the file, and merges.
///
/// # Errors
/// A sentence that names the place of the mistake and the remedy.
pub(crate) fn load(flags: &Flags) -> Result<Config, String> {
    let (path, file) = match &flags.args.config {
        Some(path) => (Some(path.clone()), file::read(path)?),
        None => match FILES.iter().map(Path::new).find(|path| path.exists()) {
            Some(path) => (Some(path.to_owned()), file::read(path)?),
            None => (None, FileConfig::default()),
        },
    };
    merge(flags, path, file)
}

/// Merges flags (with the environment) and a file.
///
/// # Errors
/// As [`load`].
pub(crate) fn merge(flags: &Flags, path: Option<PathBuf>, file: FileConfig) -> Result<Config, String> {
    let args = &flags.args;
    let merge = Merge { flags };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let users: Vec<_> = file.users.clone().into_iter().collect();
    let config = Config {
        sqs: super::sqs::merge(&merge, file.sqs.clone(), &users)?,
        listen: merge.listen(&file)?,
        tls: merge.tls(&file)?,
        log: merge.log(&file)?,
        journal: super::journal::merge(
            &merge,
            file.journal.clone(),
            file.namespaces.as_deref().unwrap_or_default(),
        )?,
        limits: limits(&file),
        data_dir: merge.plain(
            "data-dir",
            args.data_dir.clone(),
            "data_dir",
            file.data_dir,
            "./baton-data".into(),
        ),
        ready_file: merge.plain(
            "ready-file",
            args.ready_file.clone().map(Some),
            "ready_file",
            file.ready_file.map(Some),
            None,
        ),
        worker_threads: merge.number(
            "worker-threads",
            args.worker_threads.as_deref(),
            "worker_threads",
            file.worker_threads,
            cores.min(WORKER_THREADS_DEFAULT_MAX),
        )?,
        test_clock: merge.switch("test-clock", args.test_clock, "test_clock", file.test_clock),
        namespaces: only_file("namespaces", file.namespaces, Vec::new()),
        users,
        file: path,
    };
    ranges(&config)?;
    Ok(config)
}

/// Merges single values.
pub(super) struct Merge<'a> {
    pub(super) flags: &'a Flags,
}

impl Merge<'_> {
    fn plain<T>(
        &self,
        flag: &str,
        given: Option<T>,
        key: &'static str,
        file: Option<T>,
        default: T,
    ) -> Sourced<T> {
        match (given, file) {
            (Some(value), _) => Sourced { value, source: self.flags.source(flag) },
            (None, file) => only_file(key, file, default),
        }
    }

    /// A switch can be turned on by its flag, and on or off by the file.
    pub(super) fn switch(
        &self,
        flag: &str,
        given: bool,
        key: &'static str,
        file: Option<bool>,
    ) -> Sourced<bool> {
        self.plain(flag, given.then_some(true), key, file, false)
    }

    pub(super) fn word<T>(
        &self,
        flag: &str,
        given: &Option<String>,
        key: &'static str,
        file: &Option<String>,
        default: T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, String> {
        let (text, source) = match (given, file) {
            (Some(text), _) => (text, self.flags.source(flag)),
            (None, Some(text)) => (text, Source::File(key)),
            (None, None) => return Ok(Sourced { value: default, source: Source::Default }),
        };
        let value = read(text).map_err(|error| format!("{source}: {error}"))?;
        Ok(Sourced { value, source })
    }

    fn number<T: FromStr>(
        &self,
        flag: &str,
        given: Option<&str>,
        key: &'static str,
        file: Option<T>,
        default: T,
    ) -> Result<Sourced<T>, String> {
        let given = given
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("{}: {text:?} is not a whole number", self.flags.source(flag)))
            })
            .transpose()?;
        Ok(self.plain(flag, given, key, file, default))
    }

    fn listen(&self, file: &FileConfig) -> Result<Listen, String> {
        let args = &self.flags.args;
        Ok(Listen {
            amqp: self.word(
                "amqp-listen",
                &args.amqp_listen,
                "listen.amqp",
                &file.listen.amqp,
                Listener::At(AMQP_DEFAULT),
                listener,
            )?,
            http: self.word(
                "http-listen",
                &args.http_listen,
                "listen.http",
                &file.listen.http,
                Listener::At(HTTP_DEFAULT),
                listener,
            )?,
            stomp: self.word(
                "stomp-listen",
                &args.stomp_listen,
                "listen.stomp",
                &file.listen.stomp,
                Listener::At(STOMP_DEFAULT),
                listener,
            )?,
            redis: self.word(
                "redis-listen",
                &args.redis_listen,
                "listen.redis",
                &file.listen.redis,
                Listener::At(REDIS_DEFAULT),
                listener,
            )?,
            allow_plaintext: self.switch(
                "allow-plaintext",
                args.allow_plaintext,
                "listen.allow_plaintext",
                file.listen.allow_plaintext,
            ),
        })
    }

    fn log(&self, file: &FileConfig) -> Result<Log, String> {
        let args = &self.flags.args;
        Ok(Log {
            level: self.word(
                "log-level",
                &args.log_level,
                "log.level",
                &file.log.level,
                "info".to_owned(),
                level,
            )?,
            format: self.word(
                "log-format",
                &args.log_format,
                "log.format",
                &file.log.format,
                LogFormat::Human,
                format,
            )?,
        })
    }

    fn tls(&self, file: &FileConfig) -> Result<Sourced<Option<Tls>>, String> {
        let args = &self.flags.args;
        let cert = self.plain(
            "tls-cert",
            args.tls_cert.clone().map(Some),
            "tls.cert",
            file.tls.cert.clone().map(Some),
            None,
        );
        let key = self.plain(
            "tls-key",
            args.tls_key.clone().map(Some),
            "tls.key",
            file.tls.key.clone().map(Some),
            None,
        );
        match (cert.value, key.value) {
            (Some(cert_file), Some(key)) => {
                Ok(Sourced { value: Some(Tls { cert: cert_file, key }), source: cert.source })
            }
            (None, None) => Ok(Sourced { value: None, source: Source::Default }),
            (Some(_), None) => {
                Err(format!("{}: a certificate needs its key; set tls.key or --tls-key", cert.source))
            }
            (None, Some(_)) => {
                Err(format!("{}: a key needs its certificate; set tls.cert or --tls-cert", key.source))
            }
        }
    }
}

fn limits(file: &FileConfig) -> Limits {
    Limits {
        message_bytes_max: only_file(
            "limits.message_bytes_max",
            file.limits.message_bytes_max,
            MESSAGE_BYTES_MAX_DEFAULT,
        ),
        connections_max: only_file(
            "limits.connections_max",
            file.limits.connections_max,
            u64::try_from(CONNECTIONS_MAX_DEFAULT).unwrap_or(u64::MAX),
        ),
        memory_bytes_max: only_file(
            "limits.memory_bytes_max",
            file.limits.memory_bytes_max,
            memory::available_bytes().unwrap_or_default() / 100 * MEMORY_PERCENT_MAX_DEFAULT,
        ),
        disk_free_bytes_min: only_file(
            "limits.disk_free_bytes_min",
            file.limits.disk_free_bytes_min,
            DISK_FREE_BYTES_MIN_DEFAULT,
        ),
    }
}

pub(super) fn only_file<T>(key: &'static str, file: Option<T>, default: T) -> Sourced<T> {
    match file {
        Some(value) => Sourced { value, source: Source::File(key) },
        None => Sourced { value: default, source: Source::Default },
    }
}

fn listener(text: &str) -> Result<Listener, String> {
    if text == "off" {
        return Ok(Listener::Off);
    }
    let numeric =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map(Listener::At).map_err(|_| {
        format!("{text:?} is not an address; write it like 127.0.0.1:5672, [::1]:5672 or 0.0.0.0:5672, port 0 for a free one, or \"off\"")
    })
}

fn level(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is not a level; use error, warn, info, debug or trace, or per module like info,baton_net=debug"
        )),
    }
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is not a log format; use human or json")),
    }
}

fn ranges(config: &Config) -> Result<(), String> {
    if config.worker_threads.value == 0 {
        return Err(format!("{}: at least 1 thread is needed", config.worker_threads.source));
    }
    for limit in [&config.limits.message_bytes_max, &config.limits.connections_max] {
        if limit.value == 0 {
            return Err(format!("{}: 0 would refuse everything; leave it out for the default", limit.source));
        }
    }
    let sqs = &config.sqs.namespace;
    if sqs.value != "default" && sqs.value != "/" && !config.namespaces.value.contains(&sqs.value) {
        return Err(format!("{}: there is no namespace {:?}; add it to `namespaces`", sqs.source, sqs.value));
    }
    for name in &config.namespaces.value {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("namespaces: {name:?} is not a name; 1 to {NAME_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
