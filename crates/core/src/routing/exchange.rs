//! One exchange: its bindings, indexed the way its kind looks them up.

use std::collections::BTreeMap;

use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::value::MapRef;
use baton_model::{Name, glob};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smallvec::SmallVec;

use super::headers::HeaderMatch;
use super::topic::Topics;

/// One exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) policy: ExchangePolicy,
    /// Every binding once. Never iterated where order matters: `bindings` sorts.
    all: HashSet<Binding, FixedState>,
    index: Index,
}

#[derive(Debug)]
enum Index {
    Direct(BTreeMap<Name, Vec<Destination>>),
    Fanout(Vec<Destination>),
    Topic(Topics),
    Headers(Vec<(HeaderMatch, Binding)>),
    Pattern(Vec<(Name, Destination)>),
}

impl Exchange {
    pub(crate) fn new(policy: ExchangePolicy) -> Self {
        let index = match policy.kind {
            ExchangeKind::Direct => Index::Direct(BTreeMap::new()),
            ExchangeKind::Fanout => Index::Fanout(Vec::new()),
            ExchangeKind::Topic => Index::Topic(Topics::default()),
            ExchangeKind::Headers => Index::Headers(Vec::new()),
            ExchangeKind::Pattern => Index::Pattern(Vec::new()),
        };
        Self { policy, all: HashSet::default(), index }
    }

    /// Destinations of the bindings that match; a destination bound twice may come twice.
    pub(crate) fn matching<'e, 'h>(
        &'e self,
        key: &Name,
        headers: &mut dyn FnMut() -> MapRef<'h>,
        found: &mut SmallVec<[&'e Destination; 8]>,
    ) {
        match &self.index {
            Index::Direct(by_key) => found.extend(by_key.get(key).into_iter().flatten()),
            Index::Fanout(all) => found.extend(all),
            Index::Topic(topics) => topics.matching(key, found),
            Index::Headers(bindings) if !bindings.is_empty() => {
                let headers = headers();
                let matching = bindings.iter().filter(|(rule, _)| rule.matches(headers));
                found.extend(matching.map(|(_, binding)| &binding.destination));
            }
            Index::Headers(_) => {}
            Index::Pattern(all) => {
                let matching =
                    all.iter().filter(|(pattern, _)| glob::matches(pattern.as_bytes(), key.as_bytes()));
                found.extend(matching.map(|(_, destination)| destination));
            }
        }
    }

    /// Adds a binding. Returns false if it was there already.
    pub(crate) fn bind(&mut self, binding: Binding) -> bool {
        if !self.all.insert(binding.clone()) {
            return false;
        }
        match &mut self.index {
            Index::Direct(by_key) => by_key.entry(binding.key).or_default().push(binding.destination),
            Index::Fanout(all) => all.push(binding.destination),
            Index::Topic(topics) => topics.insert(&binding.key, binding.destination),
            Index::Headers(rules) => rules.push((HeaderMatch::new(&binding.arguments), binding)),
            Index::Pattern(all) => all.push((binding.key, binding.destination)),
        }
        true
    }

    /// Removes a binding. Returns false if it was not there.
    pub(crate) fn unbind(&mut self, binding: &Binding) -> bool {
        if !self.all.remove(binding) {
            return false;
        }
        match &mut self.index {
            Index::Direct(by_key) => {
                if let Some(destinations) = by_key.get_mut(&binding.key) {
                    remove_one(destinations, &binding.destination);
                    if destinations.is_empty() {
                        by_key.remove(&binding.key);
                    }
                }
            }
            Index::Fanout(all) => remove_one(all, &binding.destination),
            Index::Topic(topics) => topics.remove(&binding.key, &binding.destination),
            Index::Headers(rules) => rules.retain(|(_, other)| other != binding),
            Index::Pattern(all) => {
                let is = |(key, destination): &(Name, Destination)| {
                    *key == binding.key && *destination == binding.destination
                };
                if let Some(index) = all.iter().position(is) {
                    all.remove(index);
                }
            }
        }
        true
    }

    /// Removes all bindings to a destination.
    pub(crate) fn unbind_destination(&mut self, destination: &Destination) {
        let gone: Vec<Binding> =
            self.all.iter().filter(|binding| binding.destination == *destination).cloned().collect();
        for binding in &gone {
            self.unbind(binding);
        }
    }

    /// All bindings, in a fixed order.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        let mut all: Vec<&Binding> = self.all.iter().collect();
        all.sort_by(|a, b| {
            (&a.destination, &a.key, &a.arguments).cmp(&(&b.destination, &b.key, &b.arguments))
        });
        all.into_iter()
    }

    pub(crate) fn is_unbound(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn has(&self, binding: &Binding) -> bool {
        self.all.contains(binding)
    }
}

fn remove_one(destinations: &mut Vec<Destination>, destination: &Destination) {
    if let Some(index) = destinations.iter().position(|other| other == destination) {
        destinations.swap_remove(index);
    }
}
