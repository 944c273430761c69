//! The configuration file: TOML, unknown keys refused with their line and the nearest key that exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file as it is written. Everything may be left out. docs/features/configuration.md explains each key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FileConfig {
    pub data_dir: Option<PathBuf>,
    pub ready_file: Option<PathBuf>,
    pub worker_threads: Option<usize>,
    pub test_clock: Option<bool>,
    pub namespaces: Option<Vec<String>>,
    pub listen: ListenFile,
    pub tls: TlsFile,
    pub log: LogFile,
    pub journal: JournalFile,
    pub limits: LimitsFile,
    pub sqs: SqsFile,
    pub users: BTreeMap<String, UserFile>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenFile {
    pub amqp: Option<String>,
    pub http: Option<String>,
    pub stomp: Option<String>,
    pub redis: Option<String>,
    pub allow_plaintext: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsFile {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogFile {
    pub level: Option<String>,
    pub format: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JournalFile {
    pub sync: Option<String>,
    pub sync_interval_ms: Option<u64>,
    pub segment_bytes: Option<u64>,
    pub namespaces: BTreeMap<String, JournalNamespaceFile>,
}

/// How one namespace is synced; what is left out is as for all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JournalNamespaceFile {
    pub sync: Option<String>,
    pub sync_interval_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsFile {
    pub message_bytes_max: Option<u64>,
    pub connections_max: Option<u64>,
    pub memory_bytes_max: Option<u64>,
    pub disk_free_bytes_min: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SqsFile {
    pub account_id: Option<String>,
    pub region: Option<String>,
    pub namespace: Option<String>,
    pub relaxed: Option<bool>,
    pub access_keys: BTreeMap<String, AccessKeyFile>,
}

/// An access key, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessKeyFile {
    /// What requests are signed with.
    pub secret: String,
    /// Of temporary credentials: must come with each request.
    pub session_token: Option<String>,
    /// Whose permissions requests have; left out where there are no users: `guest`.
    pub user: Option<String>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFile {
    /// Argon2 hash, as `baton config password` prints it.
    pub password: String,
    /// `administrator`: may use the parts of the admin API that belong to no namespace.
    #[serde(default)]
    pub tags: Vec<String>,
    /// By namespace.
    #[serde(default)]
    pub permissions: BTreeMap<String, PermissionsFile>,
}

/// Regular expressions over names, as RabbitMQ has them; left out: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PermissionsFile {
    /// Create and delete.
    pub configure: String,
    /// Send.
    pub write: String,
    /// Receive.
    pub read: String,
}

/// Reads a file.
///
/// # Errors
/// A sentence with file, line and remedy.
pub(crate) fn read(path: &Path) -> Result<FileConfig, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the configuration file {}: {error}", path.display()))?;
    parse(&text).map_err(|(line, message)| match line {
        Some(line) => format!("{}:{line}: {message}", path.display()),
        None => format!("{}: {message}", path.display()),
    })
}

/// Reads the text of a file. The error has the line, counted from 1, where it is known.
pub(crate) fn parse(text: &str) -> Result<FileConfig, (Option<usize>, String)> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line =
            error.span().map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
        (line, improve(error.message()))
    })
}

/// Makes serde's sentence about an unknown key a helpful one; leaves others alone.
fn improve(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.to_owned() };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else { return message.to_owned() };
    let known: Vec<&str> = quoted.collect();
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(2));
    match nearest {
        Some((_, name)) => format!("unknown key `{unknown}`; did you mean `{name}`?"),
        None => format!("unknown key `{unknown}`; the keys here are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_with_line_and_nearest_key() {
        let (line, message) = parse("[listen]\namqp = \"off\"\nhtpp = \"off\"\n").unwrap_err();
        assert_eq!(line, Some(3));
        assert_eq!(message, "unknown key `htpp`; did you mean `http`?");
        let (line, message) = parse("\n[jurnal]\nsync = \"always\"\n").unwrap_err();
        assert_eq!((line, message.as_str()), (Some(2), "unknown key `jurnal`; did you mean `journal`?"));
        let (_, message) = parse("[log]\nxyzzyplugh = 1\n").unwrap_err();
        assert_eq!(message, "unknown key `xyzzyplugh`; the keys here are level, format");
        let (line, message) =
            parse("[users.ann]\npassword = \"x\"\n[users.ann.permissions.default]\nreed = \".*\"\n")
                .unwrap_err();
        assert_eq!((line, message.as_str()), (Some(4), "unknown key `reed`; did you mean `read`?"));
    }

    #[test]
    fn wrong_types_are_named() {
        let (line, message) = parse("worker_threads = \"two\"\n").unwrap_err();
        assert_eq!(line, Some(1));
        assert!(message.contains("invalid type"), "{message}");
    }

    #[test]
    fn a_full_file_is_read() {
        let file = parse(include_str!("example.toml")).unwrap();
        assert_eq!(file.listen.amqp.as_deref(), Some("127.0.0.1:5672"));
        assert_eq!(file.users["shop"].permissions["default"].read, "^orders");
    }

    #[test]
    fn the_documentation_has_the_example_and_every_variable() {
        let documentation = include_str!("../../../../docs/features/configuration.md");
        assert!(
            documentation.contains(include_str!("example.toml")),
            "configuration.md and example.toml differ"
        );
        for name in crate::config::source::variables() {
            assert!(documentation.contains(name), "configuration.md says nothing of {name}");
        }
    }
}
