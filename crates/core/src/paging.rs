//! Pages of queues' indexes leave the memory and come back: how. When they do is for [`crate::machine`] to say.
//!
//! What records do to entries goes through [`State::open`] first, which reads a cold page back if it must. Live traffic has
//! done so before it decided anything ([`crate::Machine`]'s `warm`), so there it never fails; recovery reads here.

use baton_model::request::MessageState;
use baton_model::{Fence, QueueId, Seq, Time};

use crate::codec;
use crate::context::{Held, Load};
use crate::queue::entries::{Entry, NEVER, NONE, Opened, PAGE, Slot, page_of};
use crate::queue::keys::seed as keys_seed;
use crate::queue::page::{Cold, size};
use crate::queue::{Queue, Size};
use crate::snapshot::EntryItem;
use crate::state::State;

/// A page that had to be read back cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Its queue.
    pub queue: QueueId,
    /// Its number.
    pub page: u64,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "page {} of the index of queue {} cannot be read from the journal", self.page, self.queue)
    }
}

impl std::error::Error for Unreadable {}

impl State {
    /// Before anything at a place changes: its page is in memory then, and what the journal has of it no longer counts.
    pub(crate) fn open(&mut self, queue: QueueId, seq: Seq, load: &mut dyn Load) -> Result<(), Unreadable> {
        let Some(found) = self.queues.get_mut(&queue) else { return Ok(()) };
        match found.entries.open(seq) {
            Opened::Ready => {}
            Opened::Dirtied(old) => self.contents.uses.freed_pages.push(Held::from(old.at)),
            Opened::Cold => {
                self.warm(queue, page_of(seq), load)?;
                return self.open(queue, seq, load);
            }
        }
        Ok(())
    }

    /// Reads a cold page back. It stays clean.
    pub(crate) fn warm(&mut self, queue: QueueId, page: u64, load: &mut dyn Load) -> Result<(), Unreadable> {
        let unreadable = Unreadable { queue, page };
        let Some(found) = self.queues.get_mut(&queue) else { return Ok(()) };
        let Some(Slot::Cold(cold)) = found.entries.page(page) else { return Ok(()) };
        let items = codec::decode_page(&load.load(cold.at).ok_or(unreadable)?).map_err(|_| unreadable)?;
        let whole = items.iter().fold(0_u128, |bits, item| bits | 1 << (item.seq.0 % PAGE));
        if whole != cold.summary.present || items.iter().any(|item| page_of(item.seq) != page) {
            return Err(unreadable);
        }
        let due_at = cold.due_at;
        if due_at != NEVER {
            found.index.page_timers.remove(&(due_at, page));
        }
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let content = self.contents.unpark(item.id, item.content, item.envelope_bytes);
            let key = item.key.as_ref().and_then(|name| found.index.keys.find(name)).unwrap_or(NONE);
            let seq = item.seq;
            let entry = restored(item, content, key);
            if entry.timer() != NEVER {
                found.index.timers.insert((entry.timer(), seq));
            }
            entries.push((seq, entry));
        }
        self.cold_messages -= entries.len() as u64;
        found.entries.restore(page, entries.into_iter());
        Ok(())
    }

    /// Takes a clean page out of memory. False: it is not clean.
    pub(crate) fn evict_page(&mut self, queue: QueueId, number: u64) -> bool {
        let Some(found) = self.queues.get_mut(&queue) else { return false };
        let Some(page) = found.entries.evict(number) else { return false };
        self.cold_messages += u64::from(page.used());
        for (seq, entry) in page.into_entries(number) {
            if entry.timer() != NEVER {
                found.index.timers.remove(&(entry.timer(), seq));
            }
            self.contents.park(entry.content);
        }
        if let Some(Slot::Cold(cold)) = found.entries.page(number)
            && cold.due_at != NEVER
        {
            found.index.page_timers.insert((cold.due_at, number));
        }
        true
    }

    /// A page has been written as it is.
    pub(crate) fn page_written(&mut self, queue: QueueId, page: u64, cold: Cold) {
        let old = match self.queues.get_mut(&queue) {
            Some(queue) => queue.entries.written(page, Box::new(cold)),
            None => Some(Box::new(cold)),
        };
        self.contents.uses.freed_pages.extend(old.map(|old| Held::from(old.at)));
    }

    /// A page of a snapshot. Where messages have keys, those are needed at once.
    pub(crate) fn restore_page(
        &mut self,
        queue: QueueId,
        number: u64,
        cold: Cold,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        let Some(found) = self.queues.get_mut(&queue) else { return Ok(()) };
        let keyed = cold.summary.keyed;
        let at = cold.at;
        cold.summary.count_in(&mut found.index.counts, true);
        for (priority, seq) in cold.summary.ready_places(number) {
            found.index.ready.insert(priority, seq);
        }
        if cold.due_at != NEVER {
            found.index.page_timers.insert((cold.due_at, number));
        }
        self.cold_messages += u64::from(cold.summary.count());
        found.entries.insert_cold(number, Box::new(cold));
        if keyed {
            let unreadable = Unreadable { queue, page: number };
            let items = load.load(at).and_then(|bytes| codec::decode_page(&bytes).ok()).ok_or(unreadable)?;
            for item in items {
                let Some(name) = &item.key else { continue };
                let key = found.index.keys.enter(name, keys_seed(item.id, item.enqueued_at));
                if matches!(item.state, MessageState::Ready | MessageState::Scheduled) {
                    found.index.keys.moved(key, item.seq, None, Some((item.state, item.priority)));
                }
            }
        }
        Ok(())
    }

    /// Drops all messages of a cold page without reading it, if `places` (by their bits) are all of them and none has a key.
    pub(crate) fn remove_cold(&mut self, queue: QueueId, number: u64, places: u128) -> bool {
        let Some(found) = self.queues.get_mut(&queue) else { return false };
        let Some(Slot::Cold(cold)) = found.entries.page(number) else { return false };
        if cold.summary.present & !places != 0 || cold.summary.keyed {
            return false;
        }
        let Some(cold) = found.entries.remove_cold(number) else { return false };
        self.cold_messages -= u64::from(cold.summary.count());
        cold.summary.count_in(&mut found.index.counts, false);
        for (priority, seq) in cold.summary.ready_places(number) {
            found.index.ready.remove(priority, seq);
        }
        if cold.due_at != NEVER {
            found.index.page_timers.remove(&(cold.due_at, number));
        }
        give_up(&cold, &mut self.contents.uses);
        true
    }

    /// What a page's entries are, if it may be written: all of them durable and in the journal, none in flight.
    pub(crate) fn page_items(&self, queue: &Queue, number: u64) -> Option<Vec<EntryItem>> {
        let Some(Slot::Hot(page)) = queue.entries.page(number) else { return None };
        page.entries(number)
            .map(|(seq, entry)| {
                let fit = entry.durable && entry.state != MessageState::InFlight;
                fit.then(|| self.entry_item(queue, seq, entry)).flatten()
            })
            .collect()
    }

    /// An entry as others are told of it. `None`: its content is not in the journal.
    pub(crate) fn entry_item(&self, queue: &Queue, seq: Seq, entry: &Entry) -> Option<EntryItem> {
        let content = self.contents.get(entry.content);
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
            key: (entry.key != NONE).then(|| queue.index.keys.name(entry.key).cloned()).flatten(),
            overlay: entry.overlay.clone(),
        })
    }

    /// Adds an entry of a snapshot.
    pub(crate) fn restore_entry(&mut self, item: EntryItem) {
        let content = self.restored_content(item.id, item.content, item.envelope_bytes);
        self.contents.hold(content);
        let Some(queue) = self.queue_mut(item.queue) else {
            self.contents.release(content);
            return;
        };
        let seed = keys_seed(item.id, item.enqueued_at);
        let key = item.key.as_ref().map_or(NONE, |key| queue.index.keys.enter(key, seed));
        let (seq, size): (Seq, Size) = (item.seq, size(&item));
        queue.insert(seq, restored(item, content, key), size);
    }

    /// All that is used of the journal, with pages.
    pub(crate) fn all_held(&self, each: &mut dyn FnMut(Held)) {
        self.contents.all_stored().for_each(|at| each(Held::from(at)));
        for queue in self.queues.values() {
            for (_, slot) in queue.entries.pages() {
                match slot {
                    Slot::Cold(cold) => {
                        each(Held::from(cold.at));
                        cold.summary.held.iter().for_each(|held| each(*held));
                    }
                    Slot::Hot(page) => {
                        if let Some(clean) = &page.clean {
                            each(Held::from(clean.at));
                        }
                    }
                    Slot::Empty => {}
                }
            }
        }
    }

    /// Gives up all pages of a queue that goes.
    pub(crate) fn give_up_pages(&mut self, queue: &Queue) {
        self.cold_messages -= queue.entries.len() - queue.entries.hot();
        for (_, slot) in queue.entries.pages() {
            match slot {
                Slot::Cold(cold) => give_up(cold, &mut self.contents.uses),
                Slot::Hot(page) => {
                    let clean = page.clean.as_ref().map(|clean| Held::from(clean.at));
                    self.contents.uses.freed_pages.extend(clean);
                }
                Slot::Empty => {}
            }
        }
    }
}

fn give_up(cold: &Cold, uses: &mut crate::contents::Uses) {
    uses.freed_pages.push(Held::from(cold.at));
    uses.freed.extend_from_slice(&cold.summary.held);
}

fn restored(item: EntryItem, content: crate::contents::ContentIndex, key: u32) -> Entry {
    let time = |at: Option<Time>| at.map_or(NEVER, |at| at.0);
    Entry {
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
    }
}
