//! Snapshot and recovery: the durable state told as items, and rebuilt from them.

use baton_model::{Fence, Name, Seq, Time};

use super::Machine;
use super::publish::survives;
use crate::context::{Context, Load};
use crate::paging::Unreadable;
use crate::queue::Queue;
use crate::queue::entries::{Entry, Slot};
use crate::queue::page::Cold;
use crate::record::{QueueCreated, Record};
use crate::routing::PREDECLARED;
use crate::snapshot::Item;

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
        for (namespace, name, until) in self.state.resting.iter() {
            let (namespace, name) = (namespace.clone(), name.clone());
            // When it was said only serves to forget others, and there are none yet.
            each(Item::Catalog(Record::NameRested { namespace, name, at: Time(0), until }));
        }
        for noted in queues.iter().flat_map(|queue| self.state.transfers.oldest_first(queue.id)) {
            each(Item::Catalog(Record::TransferNoted(Box::new(noted.clone()))));
        }
        for queue in queues {
            each(Item::Queue {
                queue: queue.id,
                next_seq: Seq(queue.next_seq),
                last_fence: Fence(queue.last_fence),
                held_keys: queue.index.keys.held().into_iter().cloned().collect(),
                dedup: queue
                    .dedup
                    .iter()
                    .map(|(name, id, seq, until)| (name.clone(), id, seq, Time(until)))
                    .collect(),
            });
            for (number, slot) in queue.entries.pages() {
                match slot {
                    Slot::Empty => {}
                    Slot::Cold(cold) => each(page_item(queue, number, cold)),
                    Slot::Hot(page) => match &page.clean {
                        Some(clean) => each(page_item(queue, number, clean)),
                        None => self.snapshot_entries(queue, page.entries(number), each),
                    },
                }
            }
        }
    }

    fn snapshot_entries<'a>(
        &self,
        queue: &Queue,
        entries: impl Iterator<Item = (Seq, &'a Entry)>,
        each: &mut dyn FnMut(Item),
    ) {
        for (seq, entry) in entries.filter(|(_, entry)| entry.durable) {
            if let Some(item) = self.state.entry_item(queue, seq, entry) {
                each(Item::Entry(Box::new(item)));
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

    /// Recovery, first: one item of the newest snapshot, in order.
    ///
    /// # Errors
    /// A page of an index that must be read at once cannot be: recovery must be given up.
    pub fn restore(&mut self, item: Item, load: &mut dyn Load) -> Result<(), Unreadable> {
        match item {
            Item::Machine { next_queue, next_message, generation } => {
                self.state.next_queue = next_queue;
                self.state.next_message = next_message;
                self.state.generation = generation;
            }
            Item::Catalog(record) => return self.state.apply(record, None, load),
            Item::Queue { queue, next_seq, last_fence, held_keys, dedup } => {
                let Some(queue) = self.state.queue_mut(queue) else { return Ok(()) };
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
            Item::Page { queue, page, at, summary } => {
                return self.state.restore_page(queue, page, Cold::new(at, *summary), load);
            }
        }
        Ok(())
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
            self.resume_transfer(now, id);
            // It may have been about to make room.
            self.crowded.push(id);
            self.touch(id);
            // What came due while nobody ran is done before the first request, not after it.
            self.refresh_timer(id);
        }
    }
}

fn page_item(queue: &Queue, page: u64, cold: &Cold) -> Item {
    Item::Page { queue: queue.id, page, at: cold.at, summary: Box::new(cold.summary.clone()) }
}
