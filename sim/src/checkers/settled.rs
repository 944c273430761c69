//! Nothing completed comes back: once a completion was answered, or a confirmed durable publish behind it on the same
//! connection was, or the transaction was, the message is at its place no more, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::event::PublishOutcome;
use baton_model::request::LeaseMode;
use baton_model::{DeliveryRef, Event, Fence, Outcome, Request, Token};

use super::{Checker, Copy, Ending, Modes, Receipts, deliveries};
use crate::fact::{Fact, Key, serial};
use crate::topology::FLEETING;

/// Completions on a connection that will not be answered, and the publishes behind them.
#[derive(Debug, Default)]
struct Riding {
    completed: Vec<DeliveryRef>,
    /// Durable publishes: how many completions precede each.
    publishes: BTreeMap<Token, usize>,
    /// Deliveries whose leases may have ended before.
    doubtful: BTreeSet<DeliveryRef>,
}

#[derive(Debug, Default)]
pub(super) struct Settled {
    /// What was completed, and with which fence; 0: as it was delivered.
    gone: BTreeMap<Copy, Fence>,
    asked: BTreeMap<(Key, Token), Vec<DeliveryRef>>,
    /// Completions in transactions that have no answer of their own.
    groups: BTreeMap<(Key, Token), Vec<DeliveryRef>>,
    riding: BTreeMap<Key, Riding>,
    /// Deliveries that only their connection can settle, and which end with it only.
    linked: BTreeMap<DeliveryRef, Key>,
    ending: Ending,
    modes: Modes,
    receipts: Receipts,
}

impl Settled {
    fn asked(&mut self, by: Key, request: &Request) {
        match request {
            Request::Settle(settle)
                if matches!(settle.outcome, Outcome::Complete | Outcome::CompleteLate) =>
            {
                if let Some(token) = settle.token {
                    self.asked.insert((by, token), settle.deliveries.to_vec());
                }
                let riding = self.riding.entry(by).or_default();
                let linked = &self.linked;
                let own = settle.deliveries.iter().filter(|delivery| linked.get(delivery) == Some(&by));
                riding.completed.extend(own.copied());
                riding.doubtful.extend(settle.deliveries.iter().filter(|d| linked.get(d) != Some(&by)));
            }
            Request::Settle(settle) => {
                // Released or set aside first, completed later: the completion is stale.
                let riding = self.riding.entry(by).or_default();
                riding.doubtful.extend(&settle.deliveries);
            }
            Request::Publish(publish) if publish.durable && publish.key != FLEETING => {
                let riding = self.riding.entry(by).or_default();
                riding.publishes.insert(publish.token, riding.completed.len());
            }
            // They end leases of the connection; which ones is not looked at here.
            Request::Recover { .. } | Request::Detach { .. } => {
                self.linked.retain(|_, key| *key != by);
            }
            _ => {}
        }
    }

    fn group(&mut self, by: Key, token: Token, requests: &[Request]) {
        let mut completed = Vec::new();
        for request in requests {
            let Request::Settle(settle) = request else { continue };
            match settle.token {
                Some(own) if settle.outcome == Outcome::Complete => {
                    self.asked.insert((by, own), settle.deliveries.to_vec());
                }
                None if settle.outcome == Outcome::Complete => {
                    let linked = &self.linked;
                    let own = settle.deliveries.iter().filter(|delivery| linked.get(delivery) == Some(&by));
                    completed.extend(own.copied());
                }
                _ => {}
            }
            // Should the group be refused, a later settlement is about them too.
            self.riding
                .entry(by)
                .or_default()
                .doubtful
                .extend(settle.deliveries.iter().filter(|_| settle.outcome != Outcome::Complete));
        }
        self.groups.insert((by, token), completed);
    }

    fn told(&mut self, to: Key, event: &Event) {
        match event {
            Event::Settled { token, stale } => {
                let done = self.asked.remove(&(to, *token)).unwrap_or_default();
                let done = done.into_iter().filter(|delivery| !stale.contains(delivery));
                self.complete(done);
            }
            Event::Reply { token, result } => {
                let done = self.groups.remove(&(to, *token)).unwrap_or_default();
                let doubtful = self.riding.get(&to).map(|riding| &riding.doubtful);
                let sure = |delivery: &DeliveryRef| !doubtful.is_some_and(|all| all.contains(delivery));
                let done: Vec<_> = done.into_iter().filter(|one| result.is_ok() && sure(one)).collect();
                self.complete(done);
            }
            Event::LeaseEnded { delivery, .. } => {
                self.linked.remove(delivery);
                self.riding.entry(to).or_default().doubtful.insert(*delivery);
            }
            Event::Published { token, outcome: PublishOutcome::Accepted { queues: 1.., .. } } => {
                let Some(riding) = self.riding.get_mut(&to) else { return };
                let Some(count) = riding.publishes.remove(token) else { return };
                let before = riding.completed.get(..count).unwrap_or_default();
                let sure = |delivery: &&DeliveryRef| !riding.doubtful.contains(delivery);
                let done: Vec<_> = before.iter().filter(sure).copied().collect();
                self.complete(done);
            }
            _ => {}
        }
    }

    fn complete(&mut self, done: impl IntoIterator<Item = DeliveryRef>) {
        for delivery in done {
            if let Some(copy) = self.receipts.copy(&delivery) {
                self.gone.insert(copy, delivery.fence);
            }
        }
    }

    fn delivered(&mut self, to: Key, event: &Event) -> Result<(), String> {
        let mode = self.modes.of(to, event);
        for delivery in deliveries(event) {
            let Some(serial) = serial(&delivery.message) else { continue };
            let copy = (delivery.at.queue, delivery.at.seq, serial);
            // One that was granted before may leave behind the answer, on a connection that had to wait for something else.
            if self.gone.get(&copy).is_some_and(|fence| fence.0 == 0 || *fence < delivery.at.fence) {
                return Err(format!("{copy:?} was completed, and is delivered again: {:?}", delivery.at));
            }
            match mode {
                Some(LeaseMode::Settled) => {
                    self.gone.insert(copy, Fence(0));
                }
                Some(LeaseMode::Linked) if !self.ending.has(to, delivery.link) => {
                    self.linked.insert(delivery.at, to);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Checker for Settled {
    fn name(&self) -> &'static str {
        "settled"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.ending.see(fact);
        self.modes.see(fact);
        self.receipts.see(fact);
        match fact {
            Fact::Asked { by, request: Request::Group { token, requests }, .. } => {
                self.group(*by, *token, requests);
            }
            Fact::Asked { by, request, .. } => self.asked(*by, request),
            Fact::Told { to, event, .. } => {
                self.delivered(*to, event)?;
                self.told(*to, event);
            }
            Fact::Died { .. } => {
                self.linked.clear();
                self.riding.clear();
            }
            Fact::Audit { queues, .. } => {
                for queue in *queues {
                    for found in &queue.messages {
                        let copy = serial(&found.message).map(|serial| (queue.info.id, found.seq, serial));
                        if copy.is_some_and(|copy| self.gone.contains_key(&copy)) {
                            return Err(format!(
                                "{copy:?} was completed, and is in {} again",
                                queue.info.name
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
