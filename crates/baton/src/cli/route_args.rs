//! The options of `baton route`: which channels' or exchanges' messages a queue keeps.

use clap::{Args, Subcommand};

use super::remote_args::ServerArgs;

/// `baton route …`
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Keep in a queue what is published to matching channels, from now on
    Add(AddArgs),
    /// List which queues keep what
    #[command(after_help = "\
Examples:
  baton route list
  baton route list audit
  baton route list --exchange events --json")]
    List {
        /// Only routes to this queue
        queue: Option<String>,
        /// Only routes of this exchange [default: all of them]
        #[arg(long, value_name = "NAME")]
        exchange: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Keep it no longer; what the queue holds stays
    #[command(after_help = "\
Examples:
  baton route remove audit 'news.*'
  baton route remove audit order.# --exchange events

Exit code 9: there was no such route.")]
    Remove(RouteTarget),
}

/// `baton route add`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  baton route add audit 'news.*'            what Redis clients PUBLISH to news.sport waits in audit
  baton route add audit '*'                 every channel
  baton route add audit order.# --exchange events

A queue that does not exist is created, durable. A message is stored once for each queue, however
many of its routes match. Subscribers hear it as before; PUBLISH counts the queue as a receiver.
Doing it twice is doing it once.

Patterns of channels are those of PSUBSCRIBE: * is any run of characters, ? any one, [a-c] one of
these, [^a] none of these, and \\ takes the next character as it is. Put them in quotes, or the
shell reads them. With --exchange the pattern is what the exchange's kind makes of it; in a topic
exchange * is one word and # any number of words.")]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub target: RouteTarget,
}

/// One route.
#[derive(Args, Debug)]
pub(crate) struct RouteTarget {
    /// The queue that keeps the messages
    pub queue: String,
    /// Pattern over the channel's name; with --exchange, the binding key
    pub pattern: String,
    /// The exchange; the usual one is that of the channels
    #[arg(long, value_name = "NAME", default_value = baton_model::route::PUBSUB_EXCHANGE)]
    pub exchange: String,
    #[command(flatten)]
    pub server: ServerArgs,
}
