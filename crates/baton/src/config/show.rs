//! Prints what is in effect as a configuration file, each value with its origin. Password hashes are left out.

use std::fmt;

use super::{Config, Listener, LogFormat, Source, Sourced, Sync};

/// The configuration in effect, as TOML.
pub(crate) fn effective(config: &Config) -> String {
    let mut text = match &config.file {
        Some(path) => format!("# effective configuration; file: {}\n", path.display()),
        None => "# effective configuration; no file\n".to_owned(),
    };
    let out = &mut text;
    line(out, "data_dir", &config.data_dir, |path| quoted(&path.display().to_string()));
    if config.ready_file.value.is_some() {
        line(out, "ready_file", &config.ready_file, |path| {
            quoted(&path.as_ref().map_or(String::new(), |path| path.display().to_string()))
        });
    }
    line(out, "worker_threads", &config.worker_threads, ToString::to_string);
    line(out, "test_clock", &config.test_clock, ToString::to_string);
    line(out, "namespaces", &config.namespaces, |names| list(names));
    out.push_str("\n[listen]\n");
    line(out, "amqp", &config.listen.amqp, |listener| quoted(&listener.to_string()));
    line(out, "http", &config.listen.http, |listener| quoted(&listener.to_string()));
    line(out, "stomp", &config.listen.stomp, |listener| quoted(&listener.to_string()));
    line(out, "redis", &config.listen.redis, |listener| quoted(&listener.to_string()));
    line(out, "allow_plaintext", &config.listen.allow_plaintext, ToString::to_string);
    if let Some(tls) = &config.tls.value {
        out.push_str("\n[tls]\n");
        for (key, path) in [("cert", &tls.cert), ("key", &tls.key)] {
            let value = Sourced { value: path, source: config.tls.source.clone() };
            line(out, key, &value, |path| quoted(&path.display().to_string()));
        }
    }
    out.push_str("\n[log]\n");
    line(out, "level", &config.log.level, |level| quoted(level));
    line(out, "format", &config.log.format, |format| quoted(&format.to_string()));
    out.push_str("\n[journal]\n");
    line(out, "sync", &config.journal.sync, |sync| quoted(&sync.to_string()));
    line(out, "sync_interval_ms", &config.journal.sync_interval_ms, ToString::to_string);
    line(out, "segment_bytes", &config.journal.segment_bytes, ToString::to_string);
    for (name, of) in &config.journal.namespaces {
        let (sync, interval_ms) = (quoted(&of.sync.to_string()), of.sync_interval_ms);
        let name = quoted(name);
        out.push_str(&format!(
            "\n[journal.namespaces.{name}]\nsync = {sync}\nsync_interval_ms = {interval_ms}\n"
        ));
    }
    out.push_str("\n[limits]\n");
    line(out, "message_bytes_max", &config.limits.message_bytes_max, ToString::to_string);
    line(out, "connections_max", &config.limits.connections_max, ToString::to_string);
    line(out, "memory_bytes_max", &config.limits.memory_bytes_max, ToString::to_string);
    line(out, "disk_free_bytes_min", &config.limits.disk_free_bytes_min, ToString::to_string);
    sqs(out, config);
    users(out, config);
    text
}

fn sqs(out: &mut String, config: &Config) {
    let sqs = &config.sqs;
    out.push_str("\n[sqs]\n");
    line(out, "account_id", &sqs.account_id, |id| quoted(id));
    line(out, "region", &sqs.region, |region| quoted(region));
    line(out, "namespace", &sqs.namespace, |namespace| quoted(namespace));
    line(out, "relaxed", &sqs.relaxed, ToString::to_string);
    if sqs.access_keys.is_empty() && config.users.is_empty() {
        out.push_str("# no access keys: any key is accepted and is guest's, from this machine only\n");
    }
    for (id, key) in &sqs.access_keys {
        out.push_str(&format!("\n[sqs.access_keys.{}]\nsecret = \"…\"  # hidden\n", quoted(id)));
        if key.session_token.is_some() {
            out.push_str("session_token = \"…\"  # hidden\n");
        }
        if let Some(user) = &key.user {
            out.push_str(&format!("user = {}\n", quoted(user)));
        }
    }
}

fn users(out: &mut String, config: &Config) {
    if config.users.is_empty() {
        out.push_str("\n# no users: guest with the password guest, from this machine only\n");
    }
    for (name, user) in &config.users {
        let name = quoted(name);
        out.push_str(&format!("\n[users.{name}]\npassword = \"…\"  # hidden\ntags = {}\n", list(&user.tags)));
        for (namespace, permissions) in &user.permissions {
            out.push_str(&format!(
                "\n[users.{name}.permissions.{}]\nconfigure = {}\nwrite = {}\nread = {}\n",
                quoted(namespace),
                quoted(&permissions.configure),
                quoted(&permissions.write),
                quoted(&permissions.read),
            ));
        }
    }
}

fn line<T>(out: &mut String, key: &str, value: &Sourced<T>, show: impl FnOnce(&T) -> String) {
    let assignment = format!("{key} = {}", show(&value.value));
    match value.source {
        Source::Default => out.push_str(&format!("{assignment:<40} # default\n")),
        _ => out.push_str(&format!("{assignment:<40} # {}\n", value.source)),
    }
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Interval => "interval",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, file, resolve};
    use super::*;

    #[test]
    fn what_is_shown_is_a_valid_file_that_means_the_same() {
        let config =
            resolve::merge(&Flags::default(), None, file::parse(include_str!("example.toml")).unwrap())
                .unwrap();
        let shown = effective(&config);
        assert!(!shown.contains("argon2"), "{shown}");
        assert!(shown.contains("# file, listen.amqp"), "{shown}");
        let again = resolve::merge(&Flags::default(), None, file::parse(&shown).unwrap()).unwrap();
        assert_eq!(effective(&again), shown);
    }

    #[test]
    fn defaults_are_marked() {
        let config = resolve::merge(&Flags::default(), None, file::parse("").unwrap()).unwrap();
        assert!(effective(&config).contains("# default"));
        assert!(effective(&config).contains("guest"));
    }
}
