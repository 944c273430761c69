//! The routing machine: exchanges, bindings, and which queues an address reaches. Neutral: AMQP's exchanges, topics
//! with subscriptions and pattern routes are all made of these. Queues are only names here.

mod exchange;
mod headers;
mod topic;

use std::collections::BTreeMap;

use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::value::MapRef;
use baton_model::{Name, QueueId};
use smallvec::SmallVec;

pub(crate) use exchange::Exchange;

/// The queues of a route, each once, in ascending order.
pub(crate) type Targets = SmallVec<[QueueId; 4]>;

/// Most exchanges one message passes through. Exchange bindings may form cycles; each exchange is visited once, and
/// this bounds the work of a hostile topology.
const EXCHANGES_VISITED_MAX: usize = 1_000;

/// The names of one namespace: queues and exchanges.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) queues: BTreeMap<Name, QueueId>,
    pub(crate) exchanges: BTreeMap<Name, Exchange>,
    /// Exchanges that have bindings to a destination, by destination: what must be told when it goes.
    bound_to: BTreeMap<Destination, BTreeMap<Name, usize>>,
}

/// Where published messages of channels go through: Redis's `PUBLISH`. Queues are bound to it by patterns.
const PUBSUB: &str = baton_model::route::PUBSUB_EXCHANGE;

/// Exchanges that every namespace has from the start, as AMQP 0-9-1 (section 3.1.3.1) demands and RabbitMQ has them.
pub(crate) const PREDECLARED: [(&str, ExchangeKind); 7] = [
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
    ("amq.rabbitmq.trace", ExchangeKind::Topic),
    ("amq.topic", ExchangeKind::Topic),
    (PUBSUB, ExchangeKind::Pattern),
];

impl Namespace {
    pub(crate) fn new() -> Self {
        let exchanges = PREDECLARED.into_iter().map(|(name, kind)| {
            let mut policy = ExchangePolicy::durable(kind);
            policy.internal = name == "amq.rabbitmq.trace";
            (Name::new(name), Exchange::new(policy))
        });
        Self { queues: BTreeMap::new(), exchanges: exchanges.collect(), bound_to: BTreeMap::new() }
    }

    /// The queues that a message reaches from an exchange by its keys. `None`: no such exchange. `headers` is asked at most once.
    pub(crate) fn route<'h>(
        &self,
        exchange: &str,
        keys: &[&Name],
        headers: &mut dyn FnMut() -> MapRef<'h>,
    ) -> Option<Targets> {
        let mut targets = Targets::new();
        if exchange.is_empty() {
            targets.extend(keys.iter().filter_map(|key| self.queues.get(*key).copied()));
        } else {
            let mut pending: SmallVec<[&str; 4]> = SmallVec::new();
            let (name, _) = self.exchanges.get_key_value(exchange)?;
            pending.push(name);
            let mut visited: SmallVec<[&str; 4]> = pending.clone();
            let mut read_headers = None;
            while let Some(name) = pending.pop() {
                let Some(exchange) = self.exchanges.get(name) else { continue };
                let mut next: SmallVec<[&Destination; 8]> = SmallVec::new();
                for key in keys {
                    exchange.matching(
                        key,
                        &mut || *read_headers.get_or_insert_with(&mut *headers),
                        &mut next,
                    );
                }
                let found_nothing = next.is_empty();
                let alternate = exchange.policy.alternate.as_ref().filter(|_| found_nothing);
                for destination in next {
                    match destination {
                        Destination::Queue(queue) => targets.extend(self.queues.get(queue).copied()),
                        Destination::Exchange(name) => visit(name, &mut visited, &mut pending),
                    }
                }
                if let Some(alternate) = alternate {
                    visit(alternate, &mut visited, &mut pending);
                }
            }
        }
        targets.sort_unstable();
        targets.dedup();
        Some(targets)
    }

    /// Adds a binding; its source must exist. Returns false if it was there already.
    pub(crate) fn bind(&mut self, binding: Binding) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&binding.source) else { return false };
        let (source, destination) = (binding.source.clone(), binding.destination.clone());
        if !exchange.bind(binding) {
            return false;
        }
        *self.bound_to.entry(destination).or_default().entry(source).or_default() += 1;
        true
    }

    /// Removes a binding. Returns false if it was not there.
    pub(crate) fn unbind(&mut self, binding: &Binding) -> bool {
        let removed =
            self.exchanges.get_mut(&binding.source).is_some_and(|exchange| exchange.unbind(binding));
        if removed {
            self.unlink(&binding.destination, &binding.source);
        }
        removed
    }

    fn unlink(&mut self, destination: &Destination, source: &Name) {
        let Some(sources) = self.bound_to.get_mut(destination) else { return };
        if let Some(count) = sources.get_mut(source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(source);
            }
        }
        if sources.is_empty() {
            self.bound_to.remove(destination);
        }
    }

    /// Removes all bindings to a destination that is gone. Returns the exchanges that had some.
    pub(crate) fn forget_destination(&mut self, destination: &Destination) -> Vec<Name> {
        let sources: Vec<Name> = self
            .bound_to
            .remove(destination)
            .map(|sources| sources.into_keys().collect())
            .unwrap_or_default();
        for source in &sources {
            if let Some(exchange) = self.exchanges.get_mut(source) {
                exchange.unbind_destination(destination);
            }
        }
        sources
    }

    /// Removes an exchange with the bindings from and to it. Returns the exchanges that had bindings to it.
    pub(crate) fn remove_exchange(&mut self, name: &Name) -> Vec<Name> {
        if let Some(exchange) = self.exchanges.remove(name) {
            for binding in exchange.bindings() {
                self.unlink(&binding.destination, name);
            }
        }
        self.forget_destination(&Destination::Exchange(name.clone()))
    }

    /// Bindings to a destination.
    pub(crate) fn bindings_to(&self, destination: &Destination) -> Vec<&Binding> {
        let sources = self.bound_to.get(destination).into_iter().flat_map(BTreeMap::keys);
        sources
            .filter_map(|source| self.exchanges.get(source))
            .flat_map(|exchange| exchange.bindings().filter(|binding| binding.destination == *destination))
            .collect()
    }
}

fn visit<'n>(name: &'n Name, visited: &mut SmallVec<[&'n str; 4]>, pending: &mut SmallVec<[&'n str; 4]>) {
    if visited.len() < EXCHANGES_VISITED_MAX && !visited.contains(&name.as_str()) {
        visited.push(name);
        pending.push(name);
    }
}
