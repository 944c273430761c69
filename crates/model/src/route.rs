//! Routes: how an address fans out to queues. Plain data; the routing machine is in `core`.

use bytes::Bytes;

use crate::Name;

/// The exchange of channels, of kind [`ExchangeKind::Pattern`], that every namespace has: what is published to a channel goes through
/// it with the channel's name as routing key.
pub const PUBSUB_EXCHANGE: &str = "amq.pubsub";

/// How an exchange chooses among its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// Binding key is a pattern of dot-separated words: `*` is one word, `#` any number of words.
    Topic,
    /// Binding arguments are compared with the message's headers (`x-match`: all, any, all-with-x, any-with-x).
    Headers,
    /// Binding key is a pattern over the whole routing key: `*` is any run of characters, `?` any one, `[a-c]` one of these, `[^a]` one
    /// that is none of these, and a backslash takes the next character as it is. The glob of Redis's `PSUBSCRIBE`.
    Pattern,
}

/// All that can be said about an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangePolicy {
    /// How it chooses.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted when its last binding as a source goes.
    pub auto_delete: bool,
    /// Clients may not publish to it, only exchanges.
    pub internal: bool,
    /// Where messages go that match no binding.
    pub alternate: Option<Name>,
    /// What dialects attach to it; Baton gives it back and reads none.
    pub labels: Vec<(Name, Name)>,
}

impl ExchangePolicy {
    /// A durable exchange of that kind with nothing special.
    #[must_use]
    pub fn durable(kind: ExchangeKind) -> Self {
        Self { kind, durable: true, auto_delete: false, internal: false, alternate: None, labels: Vec::new() }
    }
}

/// The end of a binding.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Destination {
    /// A queue, by name.
    Queue(Name),
    /// Another exchange, by name.
    Exchange(Name),
}

/// A binding: what an exchange sends where.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Binding {
    /// The exchange it belongs to.
    pub source: Name,
    /// Where matching messages go.
    pub destination: Destination,
    /// The binding key.
    pub key: Name,
    /// Arguments, encoded as a map's items ([`crate::value::MapRef`]). Two bindings that differ only here are two.
    pub arguments: Bytes,
}
