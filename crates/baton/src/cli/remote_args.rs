//! The options of the commands that talk to a running broker over its HTTP API.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which broker, as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// The broker's HTTP address
    #[arg(
        long,
        value_name = "URL",
        env = "BATON_SERVER",
        default_value = "http://127.0.0.1:9324",
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub server: String,
    /// User, or USER:PASSWORD; the password is asked for when it is missing. Nobody: guest, from loopback
    #[arg(
        long,
        value_name = "USER[:PASSWORD]",
        env = "BATON_USER",
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub user: Option<String>,
    /// Certificate authority to trust for an https server, PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "BATON_CA_CERT",
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub ca_cert: Option<PathBuf>,
    /// Namespace (AMQP: virtual host)
    #[arg(
        long,
        short,
        value_name = "NAME",
        env = "BATON_NAMESPACE",
        default_value = "default",
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub namespace: String,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `baton queue …`
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List queues with their counts
    #[command(after_help = "Examples:\n  baton queue list\n  baton queue list orders. --json")]
    List {
        /// Only queues whose names begin so
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one queue: counts and policy
    #[command(after_help = "Examples:\n  baton queue show jobs")]
    Show {
        /// The queue
        queue: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Create a queue
    Create(Box<CreateArgs>),
    /// Drop all messages that wait in a queue; what is in flight stays
    #[command(after_help = "Examples:\n  baton queue purge jobs --yes")]
    Purge {
        /// The queue
        queue: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Delete a queue and what is in it
    #[command(
        after_help = "Examples:\n  baton queue delete jobs --if-empty\n  baton queue delete jobs --yes"
    )]
    Delete {
        /// The queue
        queue: String,
        /// Only if it holds no messages
        #[arg(long)]
        if_empty: bool,
        /// Only if it has no consumers
        #[arg(long)]
        if_unused: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `baton queue create`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  baton queue create jobs
  baton queue create jobs --attempts-max 5 --dead-letter jobs.dead
  baton queue create jobs --policy policy.json

The policy's fields are in docs/features/observability.md; `baton queue show jobs --json` prints those of a queue.")]
pub(crate) struct CreateArgs {
    /// The queue
    pub queue: String,
    /// Policy as JSON: a file, or - for stdin. The flags below win over it
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Messages expire after so long: 500ms, 30s, 5m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = super::super::duration::parse_ms)]
    pub ttl: Option<u64>,
    /// Every message becomes deliverable so much later
    #[arg(long, value_name = "TIME", value_parser = super::super::duration::parse_ms)]
    pub delay: Option<u64>,
    /// Most messages that may wait
    #[arg(long, value_name = "COUNT")]
    pub messages_max: Option<u64>,
    /// When it is full: drop-oldest, refuse, refuse-and-dead-letter
    #[arg(long, value_name = "WHAT")]
    pub overflow: Option<String>,
    /// Queue for messages that were rejected, expired or failed too often; created if it does not exist
    #[arg(long, value_name = "QUEUE")]
    pub dead_letter: Option<String>,
    /// Failed attempts after which a message is dead-lettered
    #[arg(long, value_name = "COUNT")]
    pub attempts_max: Option<u32>,
    /// Length of a lease when the consumer does not say
    #[arg(long, value_name = "TIME", value_parser = super::super::duration::parse_ms)]
    pub lease: Option<u64>,
    /// Highest priority told apart
    #[arg(long, value_name = "0-255")]
    pub priority_max: Option<u8>,
    /// What a Redis client pops is leased to its connection until its next command, and comes back if it dies before
    #[arg(long)]
    pub lease_pops: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `baton send`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  baton send jobs 'resize 4711.png'
  echo '{\"order\": 1}' | baton send orders - --content-type application/json --header tries=0
  baton send jobs ping --count 10000
  baton send --exchange events order.created '{}'")]
pub(crate) struct SendArgs {
    /// The queue; with --exchange, the routing key
    pub queue: String,
    /// The body; - reads it from stdin
    #[arg(default_value = "-", hide_default_value = true)]
    pub body: String,
    /// Send through this exchange
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub exchange: String,
    /// A header; may be repeated. Whole numbers, true and false keep their type
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE")]
    pub headers: Vec<String>,
    /// MIME type of the body
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Priority
    #[arg(long, value_name = "0-255")]
    pub priority: Option<u8>,
    /// Expires after so long: 500ms, 30s, 5m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = super::super::duration::parse_ms)]
    pub ttl: Option<u64>,
    /// Becomes deliverable so much later
    #[arg(long, value_name = "TIME", value_parser = super::super::duration::parse_ms)]
    pub delay: Option<u64>,
    /// Ordering key
    #[arg(long, value_name = "KEY")]
    pub group_key: Option<String>,
    /// Deduplication id
    #[arg(long, value_name = "ID")]
    pub dedup_id: Option<String>,
    /// Correlation id
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// Where replies go
    #[arg(long, value_name = "QUEUE")]
    pub reply_to: Option<String>,
    /// Do not keep it over a restart
    #[arg(long)]
    pub transient: bool,
    /// Send it so many times
    #[arg(long, value_name = "COUNT", default_value_t = 1, hide_default_value = true)]
    pub count: u64,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `baton receive`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  baton receive jobs                    one message, acknowledged once it is printed
  baton receive jobs --count 10 --keep  look at ten and give them back
  baton receive jobs --follow           until Ctrl-C
  baton receive jobs --json | jq .body

Exit code 9: nothing was there.")]
pub(crate) struct ReceiveArgs {
    /// The queue
    pub queue: String,
    /// At most so many [default: 1; with --follow, no limit]
    #[arg(long, value_name = "COUNT")]
    pub count: Option<u64>,
    /// Acknowledge what was printed (the default)
    #[arg(long, conflicts_with = "keep")]
    pub ack: bool,
    /// Give back what was printed
    #[arg(long)]
    pub keep: bool,
    /// Go on until stopped
    #[arg(long, short, conflicts_with = "keep")]
    pub follow: bool,
    /// Wait so long for the first message
    #[arg(long, value_name = "TIME", value_parser = super::super::duration::parse_ms)]
    pub wait: Option<u64>,
    /// Print bodies only, each followed by a line end
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `baton peek`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  baton peek jobs
  baton peek jobs --count 100 --state scheduled
  baton peek jobs.dead --json | jq '.messages[].deaths'")]
pub(crate) struct PeekArgs {
    /// The queue
    pub queue: String,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub count: u32,
    /// From this sequence number on
    #[arg(long, value_name = "SEQ", default_value_t = 0, hide_default_value = true)]
    pub from: u64,
    /// Only messages in this state: ready, scheduled, in-flight, deferred; may be repeated
    #[arg(long = "state", value_name = "STATE")]
    pub states: Vec<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `baton explain`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  baton explain jobs\n  baton explain jobs 4711")]
pub(crate) struct ExplainArgs {
    /// The queue
    pub queue: String,
    /// One message of it, by its sequence number
    pub seq: Option<u64>,
    #[command(flatten)]
    pub server: ServerArgs,
}
