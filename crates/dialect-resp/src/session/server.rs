//! Commands about the server: what clients look at before they begin.

use baton_dialect::Output;
use baton_model::{Time, glob};

use super::RespSession;
use crate::reply::Writer;
use crate::table::{Spec, TABLE, find};

/// The version of Redis whose commands these are, for clients that decide by it.
pub(super) const REDIS_VERSION: &str = "7.2.0";

/// What `CONFIG GET` tells. What can be configured is in Baton's own configuration.
const CONFIG: [(&str, &str); 9] = [
    ("appendfsync", "always"),
    ("appendonly", "yes"),
    ("databases", "16"),
    ("maxclients", "10000"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "134217728"),
    ("save", ""),
    ("timeout", "0"),
];

impl RespSession {
    pub(super) fn info(&self, now: Time, keys: u64) -> String {
        let (version, seconds, database) = (self.context.version, now.0 / 1000, self.database);
        let keyspace = if keys > 0 {
            format!("db{database}:keys={keys},expires=0,avg_ttl=0\r\n")
        } else {
            String::new()
        };
        format!(
            "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nbaton_version:{version}\r\nserver_time_usec:{seconds}000000\r\n\r\n\
             # Clients\r\nmaxclients:10000\r\n\r\n\
             # Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n\
             # Persistence\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\n\r\n\
             # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n\
             # Keyspace\r\n{keyspace}"
        )
    }

    pub(super) fn config(&mut self, a: &[&[u8]], out: &mut Output) {
        if !a.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"GET")) || a.len() < 3 {
            return self.refuse(
                out,
                "ERR CONFIG has GET here; settings are in Baton's configuration, see docs/features/configuration.md",
            );
        }
        let patterns: Vec<Vec<u8>> = a.iter().skip(2).map(|pattern| pattern.to_ascii_lowercase()).collect();
        let matches = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
        let found: Vec<_> = CONFIG.iter().filter(|(name, _)| matches(name)).collect();
        let databases = self.options.databases.len().to_string();
        self.say(out, |w| {
            w.map(found.len());
            for (name, value) in found {
                w.bulk(name.as_bytes());
                w.bulk(if *name == "databases" { databases.as_bytes() } else { value.as_bytes() });
            }
        });
    }

    pub(super) fn command_command(&mut self, a: &[&[u8]], out: &mut Output) {
        let word = a.get(1).copied().unwrap_or_default().to_ascii_uppercase();
        let names = a.get(2..).unwrap_or_default();
        match word.as_slice() {
            b"" => self.say(out, |w| {
                w.array(TABLE.len());
                TABLE.iter().for_each(|spec| describe(w, spec));
            }),
            b"COUNT" => self.say(out, |w| w.count(TABLE.len() as u64)),
            b"LIST" => self.say(out, |w| {
                w.array(TABLE.len());
                TABLE.iter().for_each(|spec| w.bulk(spec.name.as_bytes()));
            }),
            b"INFO" if names.is_empty() => self.say(out, |w| {
                w.array(TABLE.len());
                TABLE.iter().for_each(|spec| describe(w, spec));
            }),
            b"INFO" => self.say(out, |w| {
                w.array(names.len());
                for name in names {
                    match find(&name.to_ascii_lowercase()) {
                        Some(spec) => describe(w, spec),
                        None => w.null_array(),
                    }
                }
            }),
            b"DOCS" => {
                let wanted = |spec: &&Spec| {
                    names.is_empty()
                        || names.iter().any(|name| name.eq_ignore_ascii_case(spec.name.as_bytes()))
                };
                let specs: Vec<&Spec> = TABLE.iter().filter(wanted).collect();
                self.say(out, |w| {
                    w.map(specs.len());
                    specs.iter().for_each(|spec| document(w, spec));
                });
            }
            _ => self.refuse(out, "ERR unknown subcommand: COMMAND has COUNT, DOCS, INFO and LIST here"),
        }
    }
}

fn describe(w: &mut Writer<'_>, spec: &Spec) {
    w.array(10);
    w.bulk(spec.name.as_bytes());
    w.integer(spec.arity.into());
    w.set(spec.flags.len());
    spec.flags.iter().for_each(|flag| w.simple(flag));
    let (first, last, step) = spec.keys;
    w.integer(first.into());
    w.integer(last.into());
    w.integer(step.into());
    w.set(1);
    w.simple(&format!("@{}", spec.group));
    w.array(0);
    w.array(0);
    w.array(0);
}

fn document(w: &mut Writer<'_>, spec: &Spec) {
    w.bulk(spec.name.as_bytes());
    w.map(3);
    w.bulk(b"summary");
    w.bulk(spec.summary.as_bytes());
    w.bulk(b"since");
    w.bulk(spec.since.as_bytes());
    w.bulk(b"group");
    w.bulk(spec.group.as_bytes());
}
