//! Order. In queues without priorities and delays, first deliveries leave in the order of their places. In a queue of
//! ordered keys no message of a key leaves while an earlier one that has left is unfinished, but for those that leave in the
//! same answer.

use std::collections::{BTreeMap, BTreeSet};

use baton_core::snapshot::Item;
use baton_model::event::Delivery;
use baton_model::request::{CatalogOp, FetchSelect, InspectOp, LeaseMode};
use baton_model::{Event, Fence, QueueId, Request, Seq, Token};

use super::{Checker, Modes, Names, Receipts, deliveries, flat};
use crate::fact::{Fact, Key, Serial, serial};
use crate::topology::{is_fifo, is_keyed};

#[derive(Debug, Default)]
pub(super) struct Order {
    /// First deliveries since the last restart, by their fences.
    first: BTreeMap<QueueId, BTreeMap<Fence, Seq>>,
    /// The key of each message that has one.
    keys: BTreeMap<Serial, String>,
    /// Queues of ordered keys, by their names.
    keyed: BTreeMap<String, Keyed>,
    /// Fetches that name the places they want: order is not for them.
    by_place: BTreeSet<(Key, Token)>,
    modes: Modes,
    names: Names,
    receipts: Receipts,
}

/// A queue of ordered keys.
#[derive(Debug, Default)]
struct Keyed {
    /// Messages that have left and may be unfinished: by key, their places and the newest lease of each.
    open: BTreeMap<String, BTreeMap<Seq, Fence>>,
    /// The newest lease seen of each place: older ones may leave later, on other connections.
    newest: BTreeMap<Seq, Fence>,
    /// Operators have looked after these places: nothing is known of them.
    touched: BTreeSet<Seq>,
    /// Nothing is known of the order of keys any more.
    purged: bool,
}

impl Keyed {
    /// Messages with these keys leave in one answer.
    fn leave(&mut self, all: &[(&Delivery, &str)], settled: bool) -> Result<(), String> {
        for (delivery, key) in all {
            let newest = self.newest.entry(delivery.at.seq).or_default();
            if *newest > delivery.at.fence {
                continue;
            }
            *newest = delivery.at.fence;
            let open = self.open.entry((*key).to_owned()).or_default();
            let same_answer = |seq: Seq| all.iter().any(|(other, _)| other.at.seq == seq);
            let earlier = open.range(..delivery.at.seq);
            let mut unfinished =
                earlier.filter(|(seq, _)| !same_answer(**seq) && !self.touched.contains(seq));
            if let Some((seq, fence)) = unfinished.next()
                && !self.purged
            {
                return Err(format!(
                    "place {} of key {key} leaves while place {seq} (fence {fence}) is unfinished",
                    delivery.at.seq
                ));
            }
            if settled {
                open.remove(&delivery.at.seq);
            } else {
                open.insert(delivery.at.seq, delivery.at.fence);
            }
        }
        Ok(())
    }
}

impl Order {
    fn asked(&mut self, by: Key, request: &Request) {
        match request {
            Request::Fetch(fetch) if fetch.select != FetchSelect::Next => {
                self.by_place.insert((by, fetch.token));
            }
            Request::Publish(publish) => {
                if let (Some(serial), Some(key)) = (serial(&publish.message), &publish.group_key) {
                    self.keys.insert(serial, key.to_string());
                }
            }
            Request::Settle(settle) => {
                use baton_model::Outcome::{Complete, CompleteLate, Defer, Reject};
                if !matches!(settle.outcome, Complete | CompleteLate | Defer | Reject { .. }) {
                    return;
                }
                for delivery in &settle.deliveries {
                    let key = self.receipts.0.get(delivery).and_then(|serial| self.keys.get(serial));
                    let queue = self.keyed.get_mut(self.names.of(delivery.queue));
                    if let Some((queue, key)) = queue.zip(key)
                        && let Some(open) = queue.open.get_mut(key)
                        && open.get(&delivery.seq) == Some(&delivery.fence)
                    {
                        open.remove(&delivery.seq);
                    }
                }
            }
            Request::Inspect { op, .. } => {
                if let InspectOp::Act { queue, seqs, .. } = &**op
                    && is_keyed(queue)
                {
                    self.keyed.entry(queue.to_string()).or_default().touched.extend(seqs);
                }
            }
            Request::Catalog { op, .. } => {
                if let CatalogOp::PurgeQueue { name } = &**op
                    && is_keyed(name)
                {
                    self.keyed.entry(name.to_string()).or_default().purged = true;
                }
            }
            _ => {}
        }
    }

    fn first(&mut self, delivery: &Delivery) -> Result<(), String> {
        let (seq, fence) = (delivery.at.seq, delivery.at.fence);
        let first = self.first.entry(delivery.at.queue).or_default();
        let before = first.range(..fence).next_back().filter(|(_, before)| **before > seq);
        let behind = first.range(fence..).next().filter(|(_, behind)| **behind < seq);
        if let Some((other_fence, other)) = before.or(behind) {
            return Err(format!(
                "in queue {} place {seq} left with fence {fence}, place {other} with {other_fence}, both for the first time",
                self.names.of(delivery.at.queue)
            ));
        }
        first.insert(fence, seq);
        Ok(())
    }

    /// What was not durable is gone with the crash, and its place may be another's.
    fn forget_lost(&mut self, state: &[Item]) {
        let names = &self.names;
        for (name, queue) in &mut self.keyed {
            let is_there = |seq: Seq| {
                state.iter().any(|item| matches!(item, Item::Entry(entry) if entry.seq == seq && names.of(entry.queue) == name))
            };
            queue.open.values_mut().for_each(|open| open.retain(|seq, _| is_there(*seq)));
        }
    }

    fn told(&mut self, to: Key, event: &Event) -> Result<(), String> {
        let settled = self.modes.of(to, event) == Some(LeaseMode::Settled);
        let all = deliveries(event);
        let Some(queue) = all.first().map(|delivery| delivery.at.queue) else { return Ok(()) };
        let name = self.names.of(queue).to_owned();
        if let Event::Fetched { token, .. } = event
            && self.by_place.contains(&(to, *token))
        {
            let touched = all.iter().map(|delivery| delivery.at.seq);
            self.keyed.entry(name).or_default().touched.extend(touched);
            return Ok(());
        }
        if is_keyed(&name) {
            let key_of = |delivery: &Delivery| self.keys.get(&serial(&delivery.message)?);
            let keyed: Vec<_> = all.iter().filter_map(|one| Some((one, key_of(one)?.as_str()))).collect();
            return self.keyed.entry(name).or_default().leave(&keyed, settled);
        }
        if is_fifo(&name) && !settled {
            for delivery in all.iter().filter(|delivery| delivery.acquired == 1) {
                self.first(delivery)?;
            }
        }
        Ok(())
    }
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.modes.see(fact);
        self.names.see(fact);
        self.receipts.see(fact);
        match fact {
            Fact::Asked { by, request, .. } => flat(request).for_each(|request| self.asked(*by, request)),
            Fact::Told { to, event, .. } => return self.told(*to, event),
            // Leases that were not durable are forgotten, and what they were about leaves for the first time once more.
            Fact::Died { .. } => self.first.clear(),
            Fact::Back { state, .. } => self.forget_lost(state),
            _ => {}
        }
        Ok(())
    }
}
