//! Where a value came from, so that `config check` can show it and errors can name it.

use std::fmt;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::serve_args::ServeArgs;

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The command line, by this flag.
    Flag(&'static str),
    /// The environment, by this variable.
    Env(&'static str),
    /// The configuration file, by this key.
    File(&'static str),
    /// Nobody said.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File(key) => write!(f, "file, {key}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

impl<T> Sourced<T> {
    /// Somebody asked for it.
    pub(crate) fn is_configured(&self) -> bool {
        self.source != Source::Default
    }
}

/// The flags of `serve` together with what clap knows about their origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The flags, environment included.
    pub args: ServeArgs,
    from_env: Vec<&'static str>,
}

/// Flag, clap's id of it, environment variable.
const FLAGS: [(&str, &str, &str); 17] = [
    ("data-dir", "data_dir", "BATON_DATA_DIR"),
    ("amqp-listen", "amqp_listen", "BATON_AMQP_LISTEN"),
    ("http-listen", "http_listen", "BATON_HTTP_LISTEN"),
    ("stomp-listen", "stomp_listen", "BATON_STOMP_LISTEN"),
    ("redis-listen", "redis_listen", "BATON_REDIS_LISTEN"),
    ("allow-plaintext", "allow_plaintext", "BATON_ALLOW_PLAINTEXT"),
    ("tls-cert", "tls_cert", "BATON_TLS_CERT"),
    ("tls-key", "tls_key", "BATON_TLS_KEY"),
    ("sqs-account-id", "sqs_account_id", "BATON_SQS_ACCOUNT_ID"),
    ("sqs-region", "sqs_region", "BATON_SQS_REGION"),
    ("sqs-relaxed", "sqs_relaxed", "BATON_SQS_RELAXED"),
    ("ready-file", "ready_file", "BATON_READY_FILE"),
    ("journal-sync", "journal_sync", "BATON_JOURNAL_SYNC"),
    ("worker-threads", "worker_threads", "BATON_WORKER_THREADS"),
    ("log-level", "log_level", "BATON_LOG_LEVEL"),
    ("log-format", "log_format", "BATON_LOG_FORMAT"),
    ("test-clock", "test_clock", "BATON_TEST_CLOCK"),
];

/// All environment variables of `serve`.
#[cfg(test)]
pub(crate) fn variables() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(_, _, env)| *env).chain(["BATON_CONFIG"])
}

impl Flags {
    /// Remembers which of `args` came from the environment.
    pub(crate) fn new(args: &ServeArgs, matches: &ArgMatches) -> Self {
        let from_env = FLAGS
            .iter()
            .filter(|(_, id, _)| matches.value_source(id) == Some(ValueSource::EnvVariable))
            .map(|(flag, _, _)| *flag)
            .collect();
        Self { args: args.clone(), from_env }
    }

    /// Where a given flag's value came from.
    ///
    /// # Panics
    /// If there is no such flag; a test goes through all of them.
    pub(crate) fn source(&self, flag: &str) -> Source {
        let (name, _, env) =
            FLAGS.iter().find(|(name, _, _)| *name == flag).expect("the flag is in the table");
        if self.from_env.contains(name) { Source::Env(env) } else { Source::Flag(name) }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_is_what_clap_knows() {
        let command = crate::cli::Cli::command();
        for (flag, id, env) in FLAGS {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
            assert_eq!(arg.get_long(), Some(flag));
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(env));
        }
        let known = command.get_arguments().filter(|arg| arg.get_env().is_some()).count();
        assert_eq!(known, FLAGS.len() + 1, "all flags but --config are in the table");
    }
}
