//! SUBSCRIBE, PSUBSCRIBE and PUBLISH: channels are routing keys of one exchange, [`PUBSUB_EXCHANGE`], to which queues can be bound
//! by patterns so that what is published is also kept.

use std::collections::BTreeSet;

use baton_dialect::Output;
use baton_model::list::ListOp;
use baton_model::request::Topic;
use baton_model::route::PUBSUB_EXCHANGE;
use baton_model::{
    EnvelopeWriter, Message, Name, Publish, Refusal, Reply, Request, Tag, Token, ValueRef, glob,
};

use super::RespSession;
use super::answers::Expected;
use crate::commands;
use crate::reply::Writer;

/// What the connection is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: BTreeSet<Name>,
    patterns: BTreeSet<Name>,
}

impl Subscriptions {
    pub(super) fn count(&self) -> u64 {
        (self.channels.len() + self.patterns.len()) as u64
    }

    /// Channels and patterns.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    fn of(&mut self, pattern: bool) -> &mut BTreeSet<Name> {
        if pattern { &mut self.patterns } else { &mut self.channels }
    }
}

/// A question about who listens.
#[derive(Debug)]
pub(super) enum Question {
    /// Channels that match a pattern.
    Channels(Vec<u8>),
    /// How many listen to each.
    Numbers(Vec<Name>),
    /// How many patterns there are.
    Patterns,
}

impl Question {
    pub(super) fn write(&self, result: &Result<Reply, Refusal>, w: &mut Writer<'_>) {
        let listeners = match result {
            Ok(Reply::Listeners(listeners)) => listeners.as_slice(),
            Ok(_) => &[],
            Err(refusal) => return w.error(&commands::error(refusal)),
        };
        match self {
            Self::Channels(pattern) => {
                let channels: Vec<&Name> = listeners
                    .iter()
                    .filter_map(|(topic, _)| match topic {
                        Topic::Key(key) if glob::matches(pattern, key.as_bytes()) => Some(key),
                        _ => None,
                    })
                    .collect();
                w.array(channels.len());
                channels.iter().for_each(|channel| w.bulk(channel.as_bytes()));
            }
            Self::Numbers(names) => {
                w.array(2 * names.len());
                for name in names {
                    let count = listeners
                        .iter()
                        .find(|(topic, _)| matches!(topic, Topic::Key(key) if key == name))
                        .map_or(0, |(_, count)| *count);
                    w.bulk(name.as_bytes());
                    w.count(count);
                }
            }
            Self::Patterns => {
                let patterns = listeners.iter().filter(|(topic, _)| matches!(topic, Topic::Pattern(_)));
                w.count(patterns.count() as u64);
            }
        }
    }
}

/// Writes that a subscription began or ended.
pub(super) fn subscription(w: &mut Writer<'_>, kind: &str, topic: Option<&Name>, count: u64) {
    w.push(3);
    w.bulk(kind.as_bytes());
    match topic {
        Some(topic) => w.bulk(topic.as_bytes()),
        None => w.null(),
    }
    w.count(count);
}

fn topic(name: Name, pattern: bool) -> Topic {
    if pattern { Topic::Pattern(name) } else { Topic::Key(name) }
}

impl RespSession {
    pub(super) fn subscribe(&mut self, a: &[&[u8]], pattern: bool, out: &mut Output) {
        let kind = if pattern { "psubscribe" } else { "subscribe" };
        for name in a.iter().skip(1) {
            match commands::key(name) {
                Err(text) => self.refuse(out, &text),
                Ok(name) => {
                    self.subscriptions.of(pattern).insert(name.clone());
                    let count = self.subscriptions.count();
                    let token = self.answers.expect(Expected::Subscription(kind, Some(name.clone()), count));
                    let exchange = Name::const_new(PUBSUB_EXCHANGE);
                    let topic = topic(name, pattern);
                    out.requests.push(Request::Listen { token, exchange, topic });
                }
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, a: &[&[u8]], pattern: bool, out: &mut Output) {
        let kind = if pattern { "punsubscribe" } else { "unsubscribe" };
        let names: Vec<Name> = if a.len() > 1 {
            a.iter().skip(1).filter_map(|name| commands::key(name).ok()).collect()
        } else {
            self.subscriptions.of(pattern).iter().cloned().collect()
        };
        if names.is_empty() {
            let count = self.subscriptions.count();
            return self.say(out, |w| subscription(w, kind, None, count));
        }
        for name in names {
            self.subscriptions.of(pattern).remove(&name);
            let count = self.subscriptions.count();
            let token = self.answers.expect(Expected::Subscription(kind, Some(name.clone()), count));
            out.requests.push(unlisten(token, topic(name, pattern)));
        }
    }

    /// Ends all subscriptions without saying so.
    pub(super) fn forget_subscriptions(&mut self, out: &mut Output) {
        let Subscriptions { channels, patterns } = std::mem::take(&mut self.subscriptions);
        let topics = channels.into_iter().map(Topic::Key).chain(patterns.into_iter().map(Topic::Pattern));
        for topic in topics {
            let token = self.answers.expect(Expected::Silent);
            out.requests.push(unlisten(token, topic));
        }
    }

    pub(super) fn publish(&self, a: &[&[u8]]) -> Result<ListOp, String> {
        let channel = commands::key(a.get(1).copied().unwrap_or_default())?;
        let body = a.get(2).copied().unwrap_or_default();
        let mut content = Vec::with_capacity(channel.len() + PUBSUB_EXCHANGE.len() + 16 + body.len());
        let mut envelope = EnvelopeWriter::new(&mut content);
        envelope.str(Tag::Exchange, PUBSUB_EXCHANGE.as_bytes()).str(Tag::Key, channel.as_bytes());
        envelope.field(Tag::Durable, ValueRef::Bool(true));
        let envelope_bytes = envelope.len_bytes();
        content.extend_from_slice(body);
        Ok(ListOp::Send(Box::new(Publish {
            token: Token(0),
            confirm: true,
            exchange: Name::const_new(PUBSUB_EXCHANGE),
            key: channel,
            more_keys: Default::default(),
            message: Message::new(content.into(), envelope_bytes),
            durable: true,
            mandatory: false,
            priority: None,
            ttl_ms: None,
            delay_ms: None,
            group_key: None,
            dedup_id: None,
        })))
    }

    /// A message that the connection is subscribed to.
    pub(super) fn heard(&self, topic: &Topic, key: &Name, message: &Message, out: &mut Output) {
        let mut w = self.writer(out);
        match topic {
            Topic::Key(_) => {
                w.push(3);
                w.bulk(b"message");
            }
            Topic::Pattern(pattern) => {
                w.push(4);
                w.bulk(b"pmessage");
                w.bulk(pattern.as_bytes());
            }
        }
        w.bulk(key.as_bytes());
        w.body(message);
    }

    pub(super) fn pubsub(&mut self, a: &[&[u8]], out: &mut Output) {
        let word = a.get(1).copied().unwrap_or_default().to_ascii_uppercase();
        let question = match (word.as_slice(), a.get(2..).unwrap_or_default()) {
            (b"CHANNELS", []) => Question::Channels(b"*".to_vec()),
            (b"CHANNELS", [pattern]) => Question::Channels(pattern.to_vec()),
            (b"NUMSUB", names) => {
                Question::Numbers(names.iter().filter_map(|name| commands::key(name).ok()).collect())
            }
            (b"NUMPAT", []) => Question::Patterns,
            _ => {
                return self.refuse(out, "ERR unknown subcommand or wrong number of arguments: PUBSUB has CHANNELS, NUMPAT and NUMSUB here");
            }
        };
        let token = self.answers.expect(Expected::Listeners(question));
        out.requests.push(Request::Listeners { token, exchange: Name::const_new(PUBSUB_EXCHANGE) });
    }
}

fn unlisten(token: Token, topic: Topic) -> Request {
    Request::Unlisten { token, exchange: Name::const_new(PUBSUB_EXCHANGE), topic }
}
