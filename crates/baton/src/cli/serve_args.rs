//! The options of `baton serve`. All values are taken as text: they are checked where they are merged with the file
//! (`config::resolve`), so that a mistake is reported in the same words wherever it was made.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

/// Options of `baton serve`; every one has an environment variable and a key in the configuration file.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  baton serve                                      data in ./baton-data, loopback only
  baton serve --amqp-listen 127.0.0.1:0 --ready-file /tmp/ready.json
  baton serve --config /etc/baton/baton.toml

A flag wins over its environment variable, that over the file, that over the default.
`baton config check` prints what would be in effect.")]
pub(crate) struct ServeArgs {
    /// Configuration file [default: ./baton.toml or /etc/baton/baton.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "BATON_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Where messages are stored [default: ./baton-data]
    #[arg(long, value_name = "DIR", env = "BATON_DATA_DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// Address for AMQP, or `off` [default: 127.0.0.1:5672]; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", env = "BATON_AMQP_LISTEN", hide_env_values = true)]
    pub amqp_listen: Option<String>,
    /// Address for HTTP: SQS, admin API, metrics, health; or `off` [default: 127.0.0.1:9324]
    #[arg(long, value_name = "ADDR:PORT", env = "BATON_HTTP_LISTEN", hide_env_values = true)]
    pub http_listen: Option<String>,
    /// Address for STOMP, or `off` [default: 127.0.0.1:61613]
    #[arg(long, value_name = "ADDR:PORT", env = "BATON_STOMP_LISTEN", hide_env_values = true)]
    pub stomp_listen: Option<String>,
    /// Address for Redis clients, or `off` [default: 127.0.0.1:6379]
    #[arg(long, value_name = "ADDR:PORT", env = "BATON_REDIS_LISTEN", hide_env_values = true)]
    pub redis_listen: Option<String>,
    /// Serve addresses other than loopback without TLS
    #[arg(long, env = "BATON_ALLOW_PLAINTEXT", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub allow_plaintext: bool,
    /// TLS certificate chain for all listeners, PEM
    #[arg(long, value_name = "FILE", env = "BATON_TLS_CERT", hide_env_values = true)]
    pub tls_cert: Option<PathBuf>,
    /// TLS private key, PEM
    #[arg(long, value_name = "FILE", env = "BATON_TLS_KEY", hide_env_values = true)]
    pub tls_key: Option<PathBuf>,
    /// The account that SQS queues belong to, twelve digits [default: 000000000000]
    #[arg(long, value_name = "DIGITS", env = "BATON_SQS_ACCOUNT_ID", hide_env_values = true)]
    pub sqs_account_id: Option<String>,
    /// The region of the SQS endpoint [default: us-east-1]
    #[arg(long, value_name = "NAME", env = "BATON_SQS_REGION", hide_env_values = true)]
    pub sqs_region: Option<String>,
    /// SQS without the pauses after purging and deleting a queue; for your tests
    #[arg(long, env = "BATON_SQS_RELAXED", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub sqs_relaxed: bool,
    /// Write pid and endpoints here, as JSON, once all listen; removed at the end
    #[arg(long, value_name = "FILE", env = "BATON_READY_FILE", hide_env_values = true)]
    pub ready_file: Option<PathBuf>,
    /// When messages reach the disk: `always` before they are confirmed, `interval` a moment later [default: always]
    #[arg(long, value_name = "WHEN", env = "BATON_JOURNAL_SYNC", hide_env_values = true)]
    pub journal_sync: Option<String>,
    /// Threads that serve connections [default: one per core, at most 4]
    #[arg(long, value_name = "COUNT", env = "BATON_WORKER_THREADS", hide_env_values = true)]
    pub worker_threads: Option<String>,
    /// What to log: error, warn, info, debug, trace, or per module [default: info]
    #[arg(long, value_name = "LEVEL", env = "BATON_LOG_LEVEL", hide_env_values = true)]
    pub log_level: Option<String>,
    /// How to log: human or json [default: human]
    #[arg(long, value_name = "FORMAT", env = "BATON_LOG_FORMAT", hide_env_values = true)]
    pub log_format: Option<String>,
    /// Let the admin API move the broker's time forward; for your tests, never in production
    #[arg(long, env = "BATON_TEST_CLOCK", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub test_clock: bool,
}
