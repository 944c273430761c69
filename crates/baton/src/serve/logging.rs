//! Logs: tracing to stderr, as lines for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::output;

/// Starts logging; to be called once.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level.value).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format.value {
        LogFormat::Human => {
            builder.with_ansi(io::stderr().is_terminal() && output::colours(&io::stderr())).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).init(),
    }
}
