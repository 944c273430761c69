//! Snapshot and recovery: the durable state told as items, and rebuilt from them.

use baton_model::request::MessageState;
use baton_model::{Fence, Name, Seq, Time};

use super::Machine;
use super::publish::survives;
use crate::context::Context;
use crate::queue::Queue;
use crate::queue::entries::{Entry, NEVER, NONE};
use crate::record::{QueueCreated, Record};
use crate::routing::PREDECLARED;
use crate::snapshot::{EntryItem, Item};

impl Machine {
    /// Tells all durable state, in an order that [`Machine::restore`] takes.
    pub fn snapshot(&self, each: &mut dyn FnMut(Item)) {
        each(Item::Machine {
            next_queue: self.state.next_queue,
            next_message: self.state.next_message,
            generation: self.state.generation,
        });
        let queues: Vec<&Queue> = self
            .state
            .queue_ids()
            .into_iter()
            .filter_map(|id| self.state.queue(id))
            .filter(|q| survives(q))
            .collect();
        for queue in &queues {
            each(Item::Catalog(Record::QueueCreated(Box::new(QueueCreated {
                queue: queue.id,
                namespace: queue.namespace.clone(),
                name: queue.name.clone(),
                policy: queue.policy.clone(),
                at: queue.created_at,
            }))));
        }
        self.snapshot_routes(each);
        for queue in queues {
            each(Item::Queue {
                queue: queue.id,
                next_seq: Seq(queue.next_seq),
                last_fence: Fence(queue.last_fence),
                held_keys: queue.index.keys.held().cloned().collect(),
                dedup: queue
                    .dedup
                    .iter()
                    .map(|(name, id, seq, until)| (name.clone(), id, seq, Time(until)))
                    .collect(),
            });
            for (seq, entry) in queue.entries.iter_from(Seq(0)).filter(|(_, entry)| entry.durable) {
                if let Some(item) = self.entry_item(queue, seq, entry) {
                    each(Item::Entry(Box::new(item)));
                }
            }
        }
    }

    fn snapshot_routes(&self, each: &mut dyn FnMut(Item)) {
        for (namespace, names) in &self.state.namespaces {
            let durable = |name: &Name| names.exchanges.get(name).is_some_and(|e| e.policy.durable);
            for (name, exchange) in &names.exchanges {
                let predeclared = PREDECLARED.iter().any(|(known, _)| name == known);
                if exchange.policy.durable && !predeclared {
                    let policy = Box::new(exchange.policy.clone());
                    let (namespace, name) = (namespace.clone(), name.clone());
                    each(Item::Catalog(Record::ExchangeCreated { namespace, name, policy }));
                }
            }
            for binding in names.exchanges.values().flat_map(|exchange| exchange.bindings()) {
                let ends = match &binding.destination {
                    baton_model::route::Destination::Exchange(name) => durable(name),
                    baton_model::route::Destination::Queue(name) => {
                        names.queues.get(name).and_then(|id| self.state.queue(*id)).is_some_and(survives)
                    }
                };
                if ends && durable(&binding.source) {
                    let (namespace, binding) = (namespace.clone(), Box::new(binding.clone()));
                    each(Item::Catalog(Record::Bound { namespace, binding, durable: true }));
                }
            }
        }
    }

    fn entry_item(&self, queue: &Queue, seq: Seq, entry: &Entry) -> Option<EntryItem> {
        let content = self.state.contents.get(entry.content);
        let time = |at: u64| (at != NEVER).then_some(Time(at));
        Some(EntryItem {
            queue: queue.id,
            seq,
            id: content.id,
            content: content.stored()?,
            envelope_bytes: content.envelope_bytes(),
            enqueued_at: Time(entry.enqueued_at),
            first_acquired_at: time(entry.first_acquired_at),
            acquired: entry.acquired,
            failed: entry.failed,
            state: entry.state,
            until: time(entry.until),
            expires_at: time(entry.expires_at),
            fence: Fence(entry.fence),
            linked: entry.linked,
            priority: entry.priority,
            key: self.key_name(queue.id, entry),
            overlay: entry.overlay.clone(),
        })
    }

    /// Recovery, first: one item of the newest snapshot, in order.
    pub fn restore(&mut self, item: Item) {
        match item {
            Item::Machine { next_queue, next_message, generation } => {
                self.state.next_queue = next_queue;
                self.state.next_message = next_message;
                self.state.generation = generation;
            }
            Item::Catalog(record) => self.state.apply(record, None),
            Item::Queue { queue, next_seq, last_fence, held_keys, dedup } => {
                let Some(queue) = self.state.queue_mut(queue) else { return };
                queue.next_seq = next_seq.0;
                queue.last_fence = last_fence.0;
                for key in held_keys {
                    queue.index.keys.hold(&key, true);
                }
                for (name, id, seq, until) in dedup {
                    queue.dedup.remember(name, id, seq, until.0);
                }
            }
            Item::Entry(item) => self.state.restore_entry(*item),
        }
    }

    /// Recovery, last: connections are gone, so linked leases end; fencing numbers move to a new generation.
    /// Timed leases go on. Appends a record; call before anything else.
    pub fn recovered(&mut self, now: Time, cx: &mut Context<'_>) {
        self.state.recovery_done();
        let generation = self.state.generation + 1;
        self.state.generation_end = self.commit(Record::Recovered { generation, at: now }, cx);
        for id in self.state.queue_ids() {
            if let Some(queue) = self.state.queue_mut(id) {
                queue.serve.used(now);
            }
            // It may have been about to make room.
            self.crowded.push(id);
            self.touch(id);
        }
    }
}

impl crate::state::State {
    fn restore_entry(&mut self, item: EntryItem) {
        let content = self.restored_content(item.id, item.content, item.envelope_bytes);
        self.contents.hold(content);
        let size = self.contents.size(content);
        let Some(queue) = self.queue_mut(item.queue) else {
            self.contents.release(content);
            return;
        };
        let key = item.key.map_or(NONE, |key| queue.index.keys.enter(&key));
        let time = |at: Option<Time>| at.map_or(NEVER, |at| at.0);
        let entry = Entry {
            content,
            state: item.state,
            priority: item.priority,
            durable: true,
            linked: item.linked && item.state == MessageState::InFlight,
            acquired: item.acquired,
            failed: item.failed,
            key,
            holder: NONE,
            enqueued_at: item.enqueued_at.0,
            first_acquired_at: time(item.first_acquired_at),
            expires_at: time(item.expires_at),
            until: time(item.until),
            fence: item.fence.0,
            overlay: item.overlay,
        };
        queue.insert(item.seq, entry, size);
    }
}
