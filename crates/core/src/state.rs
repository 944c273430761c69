//! The recorded state of a partition, and the fold: [`State::apply`] is the only way it changes, for live traffic and
//! for recovery alike. It decides nothing; whatever a record leaves open would be a bug in the record.

use std::collections::BTreeMap;

use baton_model::request::MessageState;
use baton_model::route::Destination;
use baton_model::{Message, MessageId, Name, QueueId, Seq, Time};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::contents::{ContentIndex, Contents};
use crate::context::{Held, Load, Stored};
use crate::paging::Unreadable;
use crate::queue::entries::{PAGE, page_of};
use crate::queue::keys::{Keys, seed as keys_seed};
use crate::queue::page::{Cold, Summary, places};
use crate::queue::{Entry, NEVER, NONE, Queue};
use crate::record::{Enqueued, Leased, Moved, Place, Record, Released, Runs};
use crate::resting::Resting;
use crate::routing::{Exchange, Namespace};
use crate::transfer::Transfers;

/// Fencing numbers of one generation: no queue grants this many leases between two restarts.
const FENCES_PER_GENERATION: u32 = 40;

/// A hundred thousand queues that are empty most of the time are normal where each customer or device has one: with its
/// names and its place in the tables an empty queue stays well below 2 KiB.
const _: () = assert!(size_of::<Queue>() <= 1104);

/// Everything that records make.
#[derive(Debug)]
pub(crate) struct State {
    /// Looked up by id only; iterated through [`State::queue_ids`], which sorts.
    /// Each in a box of its own: a table that held them itself would be a third empty, and held twice while it grows.
    pub(crate) queues: HashMap<QueueId, Box<Queue>, FixedState>,
    pub(crate) namespaces: BTreeMap<Name, Namespace>,
    pub(crate) contents: Contents,
    pub(crate) next_queue: u32,
    pub(crate) next_message: u64,
    pub(crate) generation: u32,
    pub(crate) resting: Resting,
    pub(crate) transfers: Transfers,
    /// Behind the record that began this generation, once it was begun by this process.
    pub(crate) generation_end: Option<u64>,
    /// Counts changes of the catalog, so that others can tell whether what they remember of it is outdated. Not recorded.
    pub(crate) catalog_version: u64,
    /// Contents met so far in a snapshot, which tells them by message id. Empty after recovery.
    restored: HashMap<MessageId, ContentIndex, FixedState>,
    /// Messages on cold pages.
    pub(crate) cold_messages: u64,
    /// Pages behind which a new one was begun, since last asked: they are as full as they get.
    pub(crate) closed: Vec<(QueueId, u64)>,
    /// Messages that left, or came back from whom they were leased to, since last asked: what they kept in memory may leave it.
    pub(crate) loosened: u64,
    /// The content of the next `Enqueued`, if it is there already: it was just made, or the message is in other queues.
    sharing: Option<ContentIndex>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            queues: HashMap::default(),
            namespaces: BTreeMap::new(),
            contents: Contents::default(),
            next_queue: 1,
            next_message: 1,
            generation: 0,
            resting: Resting::default(),
            transfers: Transfers::default(),
            generation_end: None,
            catalog_version: 0,
            restored: HashMap::default(),
            cold_messages: 0,
            closed: Vec::new(),
            loosened: 0,
            sharing: None,
        }
    }

    /// All queues, in the order they were made.
    pub(crate) fn queue_ids(&self) -> Vec<QueueId> {
        let mut ids: Vec<QueueId> = self.queues.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id).map(|queue| &**queue)
    }

    pub(crate) fn queue_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(&id).map(|queue| &mut **queue)
    }

    /// A message in memory.
    pub(crate) fn entry(&self, queue: QueueId, seq: Seq) -> Option<&Entry> {
        self.queues.get(&queue)?.entries.get(seq)
    }

    /// A namespace, made on first use: which ones may be used is for the access check to say.
    pub(crate) fn namespace_mut(&mut self, name: &Name) -> &mut Namespace {
        self.namespaces.entry(name.clone()).or_insert_with(Namespace::new)
    }

    /// The next `Enqueued` is about this content.
    pub(crate) fn share_next(&mut self, content: ContentIndex) {
        self.sharing = Some(content);
    }

    /// The content of a snapshot's entry, shared with its other entries of the same message.
    pub(crate) fn restored_content(
        &mut self,
        id: MessageId,
        stored: Stored,
        envelope_bytes: u32,
    ) -> ContentIndex {
        let known = self.restored.get(&id).copied();
        // An edited message has the id of what it was, and another content.
        if let Some(index) = known.filter(|index| self.contents.get(*index).stored() == Some(stored)) {
            return index;
        }
        let index = self.contents.insert_stored(id, stored, envelope_bytes);
        self.restored.insert(id, index);
        index
    }

    /// Recovery is over.
    pub(crate) fn recovery_done(&mut self) {
        self.restored = HashMap::default();
    }

    /// Folds one record in. `content`: where its message (or page) lies in the journal, for records that have one and were written.
    ///
    /// # Errors
    /// A page that must be read back for it cannot be; then nothing of the record is folded in, or a part of it.
    pub(crate) fn apply(
        &mut self,
        record: Record,
        content: Option<Stored>,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        match record {
            Record::QueueCreated(_)
            | Record::QueueChanged { .. }
            | Record::QueueDeleted { .. }
            | Record::ExchangeCreated { .. }
            | Record::ExchangeDeleted { .. }
            | Record::Bound { .. }
            | Record::Unbound { .. } => return self.apply_catalog(record, load),
            Record::NameRested { namespace, name, at, until } => {
                self.resting.rest(at, namespace, name, until);
            }
            Record::TransferNoted(noted) => {
                // A queue that is gone takes its transfers along.
                if self.queues.contains_key(&noted.queue) {
                    self.transfers.note(*noted);
                }
            }
            Record::Enqueued(enqueued) => return self.enqueued(*enqueued, content, load),
            Record::Leased(leased) => return self.leased(&leased, load),
            Record::Removed { queue, seqs, .. } => return self.removed(queue, &seqs, load),
            Record::Released(released) => return self.released(&released, load),
            Record::Deferred { queue, seqs, .. } => {
                for seq in seqs.iter() {
                    let defer = |entry: &mut Entry| end_lease(entry, MessageState::Deferred, NEVER);
                    self.change(queue, seq, load, defer)?;
                }
            }
            Record::Extended { queue, seq, until, .. } => {
                return self.change(queue, seq, load, |entry| entry.until = until.0);
            }
            Record::Moved(moved) => return self.moved(*moved, load),
            Record::Transferred(transferred) => return self.transferred(&transferred, load),
            Record::Edited { queue, seq, message, .. } | Record::Copied { queue, seq, message, .. } => {
                return self.edited(queue, seq, message, content, load);
            }
            Record::PageWritten { queue, page, entries } => {
                if let Some(at) = content {
                    self.page_written(queue, page, Cold::new(at, Summary::of(&entries)));
                }
            }
            Record::Recovered { generation, .. } => return self.recovered(generation, load),
            Record::KeyHeld { queue, key, held, .. } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.index.keys.hold(&key, held);
                }
            }
        }
        Ok(())
    }

    fn apply_catalog(&mut self, record: Record, load: &mut dyn Load) -> Result<(), Unreadable> {
        self.catalog_version += 1;
        match record {
            Record::QueueCreated(created) => {
                self.next_queue = self.next_queue.max(created.queue.0 + 1);
                let names = &mut self.namespace_mut(&created.namespace).queues;
                names.insert(created.name.clone(), created.queue);
                let made =
                    Queue::new(created.queue, created.namespace, created.name, created.policy, created.at);
                self.queues.insert(created.queue, Box::new(made));
            }
            Record::QueueChanged { queue: id, policy, at } => {
                let Some(queue) = self.queues.get_mut(&id) else { return Ok(()) };
                let before = queue.policy.ttl_ms;
                if queue.policy.keys.mode != policy.keys.mode {
                    // It is empty, else the change would have been refused.
                    queue.index.keys = Keys::new(policy.keys.mode, at.0);
                }
                queue.policy = *policy;
                queue.changed_at = at;
                if queue.policy.ttl_since_sent && queue.policy.ttl_ms != before {
                    return self.ttl_changed(id, before, load);
                }
            }
            Record::QueueDeleted { queue } => {
                self.transfers.forget(queue);
                let Some(queue) = self.queues.remove(&queue) else { return Ok(()) };
                let namespace = self.namespace_mut(&queue.namespace);
                namespace.queues.remove(&queue.name);
                namespace.forget_destination(&Destination::Queue(queue.name.clone()));
                self.give_up_pages(&queue);
                queue.contents().for_each(|content| self.contents.release(content));
            }
            Record::ExchangeCreated { namespace, name, policy } => {
                self.namespace_mut(&namespace).exchanges.insert(name, Exchange::new(*policy));
            }
            Record::ExchangeDeleted { namespace, name } => {
                self.namespace_mut(&namespace).remove_exchange(&name);
            }
            Record::Bound { namespace, binding, .. } => {
                self.namespace_mut(&namespace).bind(*binding);
            }
            Record::Unbound { namespace, binding } => {
                self.namespace_mut(&namespace).unbind(&binding);
            }
            _ => {}
        }
        Ok(())
    }

    /// Messages that are there live as long as the queue says now. Those that were sent with a shorter life keep it.
    fn ttl_changed(
        &mut self,
        id: QueueId,
        before: Option<u64>,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        let Some(queue) = self.queues.get(&id) else { return Ok(()) };
        let after = queue.policy.ttl_ms;
        for seq in queue.entries.places() {
            self.change(id, seq, load, |entry| {
                let since = match before {
                    Some(ms) if entry.expires_at != NEVER => entry.expires_at.saturating_sub(ms),
                    _ => entry.enqueued_at,
                };
                if since >= entry.enqueued_at || entry.overlay.is_some() {
                    entry.expires_at = after.map_or(NEVER, |ms| since.saturating_add(ms));
                }
            })?;
        }
        Ok(())
    }

    fn enqueued(
        &mut self,
        enqueued: Enqueued,
        stored: Option<Stored>,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        self.next_message = self.next_message.max(enqueued.id.0 + 1);
        let content = self.sharing.take().unwrap_or_else(|| {
            self.contents.insert_read(enqueued.id, enqueued.message, stored, enqueued.durable)
        });
        if let Some(stored) = stored {
            self.contents.set_stored(content, stored);
        }
        for place in enqueued.places {
            self.place(place, content, (enqueued.at, enqueued.durable), load, |entry| {
                entry.overlay.clone_from(&enqueued.overlay);
            })?;
        }
        Ok(())
    }

    fn place(
        &mut self,
        place: Place,
        content: ContentIndex,
        (at, durable): (Time, bool),
        load: &mut dyn Load,
        finish: impl FnOnce(&mut Entry),
    ) -> Result<(), Unreadable> {
        self.open(place.queue, place.seq, load)?;
        self.contents.hold(content);
        let (id, size) = (self.contents.get(content).id, self.contents.size(content));
        let Some(queue) = self.queues.get_mut(&place.queue) else {
            self.contents.release(content);
            return Ok(());
        };
        if let Some((dedup, until)) = place.dedup {
            queue.dedup.remember(dedup, id, place.seq, until.0);
        }
        let key = place.key.map_or(NONE, |key| queue.index.keys.enter(&key, keys_seed(id, at)));
        let mut entry = Entry {
            content,
            state: if place.deliver_at.is_some() { MessageState::Scheduled } else { MessageState::Ready },
            priority: place.priority,
            durable,
            linked: false,
            acquired: 0,
            failed: 0,
            key,
            holder: NONE,
            enqueued_at: at.0,
            first_acquired_at: NEVER,
            expires_at: place.expires_at.map_or(NEVER, |at| at.0),
            until: place.deliver_at.map_or(NEVER, |at| at.0),
            fence: 0,
            overlay: None,
        };
        finish(&mut entry);
        if queue.insert(place.seq, entry, size) {
            self.note_new_page(place.queue, place.seq);
        }
        Ok(())
    }

    pub(crate) fn note_new_page(&mut self, queue: QueueId, seq: Seq) {
        self.closed.extend(page_of(seq).checked_sub(1).map(|before| (queue, before)));
    }

    fn leased(&mut self, leased: &Leased, load: &mut dyn Load) -> Result<(), Unreadable> {
        let mut fence = leased.fence.0;
        for seq in leased.seqs.iter() {
            self.open(leased.queue, seq, load)?;
            let Some(queue) = self.queues.get_mut(&leased.queue) else { return Ok(()) };
            let Some(content) = queue.entries.get(seq).map(|entry| entry.content) else { continue };
            let size = self.contents.size(content);
            queue.change(seq, (size, size), |entry| {
                entry.state = MessageState::InFlight;
                entry.acquired = entry.acquired.saturating_add(1);
                entry.first_acquired_at = entry.first_acquired_at.min(leased.at.0);
                entry.fence = fence;
                entry.until = leased.until.map_or(NEVER, |at| at.0);
                entry.linked = leased.linked;
            });
            fence += 1;
        }
        if let Some(queue) = self.queues.get_mut(&leased.queue) {
            queue.last_fence = queue.last_fence.max(fence.saturating_sub(1));
        }
        Ok(())
    }

    /// Takes messages out for good; whole cold pages of them without reading those.
    fn removed(&mut self, queue: QueueId, seqs: &Runs, load: &mut dyn Load) -> Result<(), Unreadable> {
        let mut seqs = seqs.iter().peekable();
        while let Some(first) = seqs.next() {
            // All of one page at once: only together may they be the whole of it.
            let page = page_of(first);
            let mut bits = 1_u128 << (first.0 % PAGE);
            while let Some(seq) = seqs.next_if(|seq| page_of(*seq) == page) {
                bits |= 1 << (seq.0 % PAGE);
            }
            if self.remove_cold(queue, page, bits) {
                continue;
            }
            for seq in places(bits, page) {
                self.remove(queue, seq, load)?;
            }
        }
        Ok(())
    }

    fn released(&mut self, released: &Released, load: &mut dyn Load) -> Result<(), Unreadable> {
        let until = released.deliver_at.map_or(NEVER, |at| at.0);
        let state = if until == NEVER { MessageState::Ready } else { MessageState::Scheduled };
        let mut back = released.back;
        self.loosened += released.seqs.count();
        for seq in released.seqs.iter() {
            let change = |entry: &mut Entry| {
                entry.failed = entry.failed.saturating_add(u32::from(released.failed));
                end_lease(entry, state, until);
            };
            match &mut back {
                None => self.change(released.queue, seq, load, change)?,
                Some(to) => {
                    self.open(released.queue, seq, load)?;
                    self.open(released.queue, *to, load)?;
                    let Some(queue) = self.queues.get_mut(&released.queue) else { return Ok(()) };
                    let Some(content) = queue.entries.get(seq).map(|entry| entry.content) else { continue };
                    if queue.replace(seq, *to, self.contents.size(content), change) {
                        self.note_new_page(released.queue, *to);
                    }
                    to.0 += 1;
                }
            }
        }
        Ok(())
    }

    fn moved(&mut self, moved: Moved, load: &mut dyn Load) -> Result<(), Unreadable> {
        self.open(moved.from, moved.seq, load)?;
        let Some(entry) = self.entry(moved.from, moved.seq) else { return Ok(()) };
        let content = entry.content;
        self.contents.hold(content);
        self.remove(moved.from, moved.seq, load)?;
        for place in moved.places {
            self.place(place, content, (moved.at, moved.durable), load, |entry| {
                entry.overlay = Some(moved.overlay.clone());
            })?;
        }
        self.contents.release(content);
        Ok(())
    }

    fn edited(
        &mut self,
        queue: QueueId,
        seq: Seq,
        message: Message,
        stored: Option<Stored>,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        self.open(queue, seq, load)?;
        let Some(entry) = self.entry(queue, seq) else {
            self.contents.uses.freed.extend(stored.map(Held::from));
            return Ok(());
        };
        let (old, durable) = (entry.content, entry.durable);
        let id = self.contents.get(old).id;
        let new = self.contents.insert_read(id, message, stored, durable);
        self.contents.hold(new);
        let sizes = (self.contents.size(old), self.contents.size(new));
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.change(seq, sizes, |entry| entry.content = new);
        }
        self.contents.release(old);
        Ok(())
    }

    fn recovered(&mut self, generation: u32, load: &mut dyn Load) -> Result<(), Unreadable> {
        self.generation = generation;
        for id in self.queue_ids() {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            queue.last_fence = queue.last_fence.max(u64::from(generation) << FENCES_PER_GENERATION);
            // What is in flight is in memory.
            let linked: Vec<Seq> = queue
                .entries
                .hot_from(Seq(0))
                .filter(|(_, entry)| entry.state == MessageState::InFlight && entry.linked)
                .map(|(seq, _)| seq)
                .collect();
            for seq in linked {
                self.change(id, seq, load, |entry| end_lease(entry, MessageState::Ready, NEVER))?;
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        queue: QueueId,
        seq: Seq,
        load: &mut dyn Load,
        change: impl FnOnce(&mut Entry),
    ) -> Result<(), Unreadable> {
        self.open(queue, seq, load)?;
        let Some(queue) = self.queues.get_mut(&queue) else { return Ok(()) };
        let Some(content) = queue.entries.get(seq).map(|entry| entry.content) else { return Ok(()) };
        let size = self.contents.size(content);
        queue.change(seq, (size, size), change);
        Ok(())
    }

    fn remove(&mut self, queue: QueueId, seq: Seq, load: &mut dyn Load) -> Result<(), Unreadable> {
        self.open(queue, seq, load)?;
        let Some(queue) = self.queues.get_mut(&queue) else { return Ok(()) };
        let Some(content) = queue.entries.get(seq).map(|entry| entry.content) else { return Ok(()) };
        queue.remove(seq, self.contents.size(content));
        self.contents.release(content);
        self.loosened += 1;
        Ok(())
    }
}

fn end_lease(entry: &mut Entry, state: MessageState, until: u64) {
    entry.state = state;
    entry.until = until;
    entry.linked = false;
    entry.holder = NONE;
}
