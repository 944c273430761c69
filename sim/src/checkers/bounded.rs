//! Nothing grows without a limit: consumers' windows hold, outboxes hold little more than their limit, and at rest the
//! broker holds no contents, connections or messages beyond those that there are.

use std::collections::{BTreeMap, BTreeSet};

use baton_engine::port::OUTBOX_BYTES_MAX;
use baton_model::{ConsumerId, DeliveryRef, Event, Request};

use super::{Checker, Ending, flat, may_end};
use crate::fact::{Audited, Fact, Key};

/// What may be on its way when an outbox meets its limit: a turn's deliveries.
const OUTBOX_SLACK_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Bounded {
    windows: BTreeMap<(Key, ConsumerId), u32>,
    held: BTreeMap<(Key, ConsumerId), BTreeSet<DeliveryRef>>,
    ending: Ending,
    /// Contents and whether everything was taken out, at the last audit.
    contents: usize,
    entries: usize,
    drained: bool,
}

impl Bounded {
    fn asked(&mut self, by: Key, request: &Request) {
        match request {
            Request::Subscribe(subscribe) => {
                // A second one of the same id is refused, or follows one that ended and whose deliveries still count there.
                let key = (by, subscribe.consumer);
                match (subscribe.window, self.windows.contains_key(&key)) {
                    (Some(window), false) => self.windows.insert(key, window),
                    _ => self.windows.insert(key, u32::MAX),
                };
            }
            Request::Settle(settle) if may_end(&settle.outcome) => {
                for ((key, _), held) in &mut self.held {
                    // A receipt of a timed lease can be used by others.
                    if *key == by || settle.token.is_some() {
                        held.retain(|delivery| !settle.deliveries.contains(delivery));
                    }
                }
            }
            Request::Settle(_) => {}
            Request::Recover { .. } | Request::Detach { .. } => self.held.retain(|(key, _), _| *key != by),
            // A queue that is deleted, a lease that is taken back.
            Request::Inspect { .. } | Request::Catalog { .. } => self.held.clear(),
            _ => {}
        }
    }

    fn told(&mut self, to: Key, event: &Event) -> Result<(), String> {
        let delivery = match event {
            Event::Delivered(delivery) => delivery,
            Event::LeaseEnded { delivery, .. } => {
                self.held.values_mut().for_each(|held| held.retain(|other| other != delivery));
                return Ok(());
            }
            _ => return Ok(()),
        };
        // A timed lease runs out without a word once its connection is gone, and counts no more: only linked ones are held.
        if delivery.lease_until.is_some() || self.ending.has(to, delivery.link) {
            return Ok(());
        }
        let key = (to, delivery.consumer);
        let held = self.held.entry(key).or_default();
        held.insert(delivery.at);
        let window = self.windows.get(&key).copied().unwrap_or(u32::MAX);
        if held.len() > window as usize && delivery.at.fence.0 > 0 {
            return Err(format!(
                "consumer {} of {to:x} holds {} with a window of {window}",
                delivery.consumer,
                held.len()
            ));
        }
        Ok(())
    }

    fn audit(&mut self, queues: &[Audited]) -> Result<(), String> {
        let all = queues.iter().flat_map(|queue| &queue.messages);
        let contents: BTreeSet<_> =
            all.clone().map(|found| (found.id, found.message.content().clone())).collect();
        self.contents = contents.len();
        self.entries = all.count();
        match self.entries {
            left @ 1.. if self.drained => {
                Err(format!("{left} messages were not handed out to somebody who wanted all"))
            }
            _ => Ok(()),
        }
    }
}

impl Checker for Bounded {
    fn name(&self) -> &'static str {
        "bounded"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.ending.see(fact);
        match fact {
            Fact::Asked { by, request, .. } => flat(request).for_each(|request| self.asked(*by, request)),
            Fact::Told { to, event, .. } => return self.told(*to, event),
            Fact::Died { .. } => self.held.clear(),
            Fact::Drained => self.drained = true,
            Fact::Audit { queues, .. } => return self.audit(queues),
            Fact::AtRest { messages, connections, connections_open, unread_bytes_max } => {
                // Copies share a content, unless one of them was replaced by the same.
                if !(self.contents as u64..=self.entries as u64).contains(messages) {
                    return Err(format!(
                        "the broker keeps {messages} contents, {} are in queues",
                        self.contents
                    ));
                }
                if connections != connections_open {
                    return Err(format!("the broker knows {connections} connections of {connections_open}"));
                }
                if *unread_bytes_max > OUTBOX_BYTES_MAX + OUTBOX_SLACK_BYTES {
                    return Err(format!("{unread_bytes_max} bytes waited for one connection"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
