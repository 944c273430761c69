//! Listeners: connections that hear what is sent through an exchange, at most once and only while they live. Nothing of it is
//! recorded. A connection that does not read fast enough misses messages rather than make the broker's memory grow.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::request::Topic;
use baton_model::{ConnectionId, Event, Message, Name, Refusal, RefusalCode, Reply, glob};

use super::Machine;
use crate::context::Context;

/// Most topics one connection listens for.
const TOPICS_MAX: usize = 100_000;

/// Who listens to the exchanges of all namespaces.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    exchanges: BTreeMap<(Name, Name), Exchange>,
    /// What each connection listens for, to forget it when it goes.
    by_connection: BTreeMap<ConnectionId, BTreeSet<(Name, Name, Topic)>>,
}

#[derive(Debug, Default)]
struct Exchange {
    /// In the order of keys, then patterns; connections in the order of their ids.
    topics: BTreeMap<Topic, BTreeSet<ConnectionId>>,
    patterns: usize,
}

impl Listeners {
    fn add(&mut self, connection: ConnectionId, namespace: Name, exchange: Name, topic: Topic) {
        let own = self.by_connection.entry(connection).or_default();
        if !own.insert((namespace.clone(), exchange.clone(), topic.clone())) {
            return;
        }
        let exchange = self.exchanges.entry((namespace, exchange)).or_default();
        let is_pattern = matches!(topic, Topic::Pattern(_));
        let connections = exchange.topics.entry(topic).or_default();
        exchange.patterns += usize::from(is_pattern && connections.is_empty());
        connections.insert(connection);
    }

    fn remove(&mut self, connection: ConnectionId, at: &(Name, Name, Topic)) {
        if let Some(own) = self.by_connection.get_mut(&connection) {
            own.remove(at);
            if own.is_empty() {
                self.by_connection.remove(&connection);
            }
        }
        self.forget(connection, at);
    }

    fn forget(&mut self, connection: ConnectionId, (namespace, name, topic): &(Name, Name, Topic)) {
        let key = (namespace.clone(), name.clone());
        let Some(exchange) = self.exchanges.get_mut(&key) else { return };
        let Some(connections) = exchange.topics.get_mut(topic) else { return };
        connections.remove(&connection);
        if connections.is_empty() {
            exchange.topics.remove(topic);
            exchange.patterns -= usize::from(matches!(topic, Topic::Pattern(_)));
        }
        if exchange.topics.is_empty() {
            self.exchanges.remove(&key);
        }
    }

    fn remove_connection(&mut self, connection: ConnectionId) {
        for at in self.by_connection.remove(&connection).unwrap_or_default() {
            self.forget(connection, &at);
        }
    }

    fn count(&self, connection: ConnectionId) -> usize {
        self.by_connection.get(&connection).map_or(0, BTreeSet::len)
    }
}

impl Exchange {
    /// The topics that a key matches, with who listens: keys first.
    fn matching<'a>(
        &'a self,
        key: &'a Name,
    ) -> impl Iterator<Item = (&'a Topic, &'a BTreeSet<ConnectionId>)> {
        let exact = self.topics.get_key_value(&Topic::Key(key.clone()));
        let patterns = (self.patterns > 0).then(|| self.topics.iter()).into_iter().flatten();
        let patterns = patterns.filter(|(topic, _)| match topic {
            Topic::Pattern(pattern) => glob::matches(pattern.as_bytes(), key.as_bytes()),
            Topic::Key(_) => false,
        });
        exact.into_iter().chain(patterns)
    }
}

impl Machine {
    pub(super) fn listen(
        &mut self,
        connection: ConnectionId,
        exchange: Name,
        topic: Topic,
    ) -> Result<Reply, Refusal> {
        self.exchange_policy(connection, &exchange)?;
        if self.listeners.count(connection) >= TOPICS_MAX {
            let text = format!("a connection listens for at most {TOPICS_MAX} topics; use a pattern");
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        let namespace = self.namespace(connection);
        self.listeners.add(connection, namespace, exchange, topic);
        Ok(Reply::Done)
    }

    pub(super) fn unlisten(&mut self, connection: ConnectionId, exchange: Name, topic: Topic) -> Reply {
        let namespace = self.namespace(connection);
        self.listeners.remove(connection, &(namespace, exchange, topic));
        Reply::Done
    }

    pub(super) fn who_listens(&self, connection: ConnectionId, exchange: Name) -> Reply {
        let found = self.listeners.exchanges.get(&(self.namespace(connection), exchange));
        let topics = found.into_iter().flat_map(|exchange| &exchange.topics);
        Reply::Listeners(topics.map(|(topic, all)| (topic.clone(), all.len() as u64)).collect())
    }

    pub(super) fn stop_listening(&mut self, connection: ConnectionId) {
        self.listeners.remove_connection(connection);
    }

    /// Tells a message to who listens for it. Returns how many did, each counted once for every topic of its that matched.
    pub(super) fn tell_listeners(
        &self,
        from: ConnectionId,
        exchange: &Name,
        key: &Name,
        message: &Message,
        cx: &mut Context<'_>,
    ) -> u32 {
        if self.listeners.exchanges.is_empty() || exchange.is_empty() {
            return 0;
        }
        let at = (self.namespace(from), exchange.clone());
        let Some(exchange) = self.listeners.exchanges.get(&at) else { return 0 };
        let mut count = 0;
        for (topic, connections) in exchange.matching(key) {
            for connection in connections {
                if self.clients.connection(*connection).is_some_and(|connection| connection.paused) {
                    continue;
                }
                let event = Event::Heard { topic: topic.clone(), key: key.clone(), message: message.clone() };
                cx.emit(*connection, None, event);
                count += 1;
            }
        }
        count
    }
}
