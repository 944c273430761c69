//! Pages of deep queues' indexes are written and leave the memory, and come back when somebody asks for one of their messages.
//!
//! A page of a deep queue is written as soon as it is full, whether there is room for it in memory or not: then a snapshot
//! names it in a few bytes, and a restart need not read it. It leaves the memory at once when there is no room, because
//! what came last is wanted last. When that is not enough (a queue was shallow and has become deep, delayed messages,
//! pages that a browser read back) a sweep goes through all queues, a few pages at a time.

use baton_model::{QueueId, Seq};

use super::Machine;
use super::publish::survives;
use crate::context::Context;
use crate::queue::entries::{Slot, page_of};
use crate::record::Record;

/// Messages kept in the index in memory until told otherwise: about 20 MiB.
const MESSAGES_MAX_DEFAULT: u64 = 128 * 1024;
/// A queue with so many messages is deep, or with half of what may be in memory. Its head is what consumers that are a little behind work on; it changes too soon for
/// writing it to be worth it.
const DEEP_MESSAGES: u64 = 4 * 1024;
/// Pages that one sweep looks at between two batches of requests: about a millisecond of work.
const SWEEP_PAGES: usize = 64;
/// After a sweep that did not make room the next one begins when there are so many messages more, as a part of all;
const SWEEP_GROWTH_PART: u64 = 8;
/// or when so many have left or come back, as a part of all: about each eighth page may be free to go.
const SWEEP_LOOSENED_PART: u64 = 1024;
/// A sweep leaves so many pages at the head of each queue: they are wanted next.
const SWEEP_KEEPS: u64 = 4;

/// What is under way.
#[derive(Debug)]
pub(super) struct Spill {
    pub(super) messages_max: u64,
    /// Queues that the present sweep has not been through yet.
    queues: Vec<QueueId>,
    /// The page of the last of them that it has come to.
    page: u64,
    /// Messages that came back since it began: it may have been past their pages already.
    warmed: u64,
    /// After a sweep the next one begins when so many messages are in memory, or so many may be let go.
    sweep_from: u64,
    sweep_loosened: u64,
}

impl Default for Spill {
    fn default() -> Self {
        Self {
            messages_max: MESSAGES_MAX_DEFAULT,
            queues: Vec::new(),
            page: 0,
            warmed: 0,
            sweep_from: 0,
            sweep_loosened: 0,
        }
    }
}

impl Machine {
    /// Writes pages that have become full, and makes room in memory.
    pub(super) fn spill(&mut self, cx: &mut Context<'_>) {
        let deep = DEEP_MESSAGES.min(self.spill.messages_max / 2);
        let mut closed = std::mem::take(&mut self.state.closed);
        for (queue, page) in closed.drain(..) {
            if self.state.queue(queue).is_some_and(|queue| queue.entries.len() >= deep) {
                self.write_page(queue, page, cx);
                if self.crowded_memory() {
                    self.state.evict_page(queue, page);
                }
            }
        }
        // The allocation goes on being used.
        if self.state.closed.is_empty() {
            self.state.closed = closed;
        }
        if self.crowded_memory() {
            self.sweep(cx);
        }
        self.tell_uses(cx);
    }

    /// As [`Machine::spill`], for recovery, which writes nothing: what the journal has already leaves the memory.
    pub(super) fn spill_folded(&mut self, written: Option<(QueueId, u64)>) {
        self.state.closed.clear();
        self.state.contents.evict();
        if let Some((queue, page)) = written
            && self.crowded_memory()
        {
            self.state.evict_page(queue, page);
        }
        // Nobody has counted what is in use yet.
        self.state.contents.uses.freed.clear();
        self.state.contents.uses.held.clear();
    }

    /// Sees to it that a message's entry is in memory, if there is one. False: it cannot be read now, and the queue is tried
    /// again at the next dispatch.
    pub(super) fn warm(&mut self, queue: QueueId, seq: Seq, cx: &mut Context<'_>) -> bool {
        let cold = self.state.queue(queue).is_some_and(|queue| queue.entries.cold(seq).is_some());
        !cold || self.warm_page(queue, page_of(seq), cx)
    }

    /// Sees to it that a page is in memory. False: as for [`Machine::warm`].
    pub(super) fn warm_page(&mut self, queue: QueueId, page: u64, cx: &mut Context<'_>) -> bool {
        let before = self.state.contents.holds();
        let warmed = self.state.warm(queue, page, cx.store).is_ok();
        self.spill.warmed += self.state.contents.holds().saturating_sub(before);
        if !warmed {
            self.unread.push(queue);
        }
        warmed
    }

    /// Sees to it that all pages of a queue are in memory. False: as for [`Machine::warm`].
    pub(super) fn warm_queue(&mut self, queue: QueueId, cx: &mut Context<'_>) -> bool {
        let mut page = 0;
        while let Some((number, slot)) =
            self.state.queue(queue).and_then(|queue| queue.entries.next_page(page))
        {
            if matches!(slot, Slot::Cold(_)) && !self.warm_page(queue, number, cx) {
                return false;
            }
            page = number + 1;
        }
        true
    }

    /// Those of these places (in order) that can be taken out now: on pages in memory, or on cold ones that go whole.
    pub(super) fn removable(&mut self, queue: QueueId, places: &[Seq], cx: &mut Context<'_>) -> Vec<Seq> {
        let mut removable = Vec::with_capacity(places.len());
        for of_page in places.chunk_by(|one, other| page_of(*one) == page_of(*other)) {
            let Some(first) = of_page.first() else { continue };
            let cold = self.state.queue(queue).and_then(|queue| queue.entries.cold(*first));
            let whole =
                cold.is_none_or(|cold| !cold.summary.keyed && cold.summary.count() as usize == of_page.len());
            if whole || self.warm_page(queue, page_of(*first), cx) {
                removable.extend_from_slice(of_page);
            }
        }
        removable
    }

    fn crowded_memory(&self) -> bool {
        self.state.contents.holds() > self.spill.messages_max
    }

    /// Writes a page, if it can be and is not there as it is already.
    pub(super) fn write_page(&mut self, queue: QueueId, page: u64, cx: &mut Context<'_>) {
        let slot = self.state.queue(queue).and_then(|queue| queue.entries.page(page));
        if matches!(slot, Some(Slot::Hot(page)) if page.clean.is_none()) {
            self.write_page_anew(queue, page, cx);
        }
    }

    /// Writes a page that is in memory, if it can be.
    pub(super) fn write_page_anew(&mut self, queue: QueueId, page: u64, cx: &mut Context<'_>) {
        let Some(found) = self.state.queue(queue).filter(|queue| survives(queue)) else { return };
        if let Some(entries) = self.state.page_items(found, page).filter(|entries| !entries.is_empty()) {
            self.commit(Record::PageWritten { queue, page, entries }, cx);
        }
    }

    /// Goes on through all queues until there is room, or for a while.
    fn sweep(&mut self, cx: &mut Context<'_>) {
        let holds = self.state.contents.holds();
        if self.spill.queues.is_empty() {
            if holds < self.spill.sweep_from && self.state.loosened < self.spill.sweep_loosened {
                return;
            }
            self.state.loosened = 0;
            self.spill.queues = self.state.queue_ids();
            (self.spill.page, self.spill.warmed) = (0, 0);
        }
        for _ in 0..SWEEP_PAGES {
            let Some(queue) = self.spill.queues.last().copied() else {
                // All that could go is gone: look again when there is a good deal more, or something changes.
                let holds = self.state.contents.holds().saturating_sub(self.spill.warmed);
                self.spill.sweep_from = holds + holds / SWEEP_GROWTH_PART;
                self.spill.sweep_loosened = (holds / SWEEP_LOOSENED_PART).max(1);
                return;
            };
            match self.next_to_evict(queue, self.spill.page) {
                Some(page) => {
                    self.spill.page = page + 1;
                    self.write_page(queue, page, cx);
                    self.state.evict_page(queue, page);
                }
                None => {
                    self.spill.queues.pop();
                    self.spill.page = 0;
                }
            }
            if !self.crowded_memory() {
                self.spill.sweep_from = 0;
                return;
            }
        }
    }

    /// The next page in memory from `from` on that may leave it: neither at the head nor the newest.
    fn next_to_evict(&self, queue: QueueId, from: u64) -> Option<u64> {
        let entries = &self.state.queue(queue)?.entries;
        let range = entries.page_range();
        let mut from = from.max(range.start + SWEEP_KEEPS);
        loop {
            let (page, slot) = entries.next_page(from)?;
            if page + 1 >= range.end {
                return None;
            }
            if matches!(slot, Slot::Hot(_)) {
                return Some(page);
            }
            from = page + 1;
        }
    }
}
