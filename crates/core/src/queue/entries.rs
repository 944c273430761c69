//! The messages of one queue by their place, in pages. Finding, adding at the back and removing are O(1), however far
//! apart the oldest and the newest message are; a page goes when its last message does, and pages are the unit that
//! can later be kept on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use baton_model::request::MessageState;
use baton_model::{Overlay, Seq};

use crate::contents::ContentIndex;

/// No point in time.
pub(crate) const NEVER: u64 = u64::MAX;
/// No key, no holder.
pub(crate) const NONE: u32 = u32::MAX;

/// A message in a queue. Times are milliseconds as in `baton_model::Time`, [`NEVER`] for none.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) content: ContentIndex,
    pub(crate) state: MessageState,
    pub(crate) priority: u8,
    /// It survives a restart: the message and the queue both do.
    pub(crate) durable: bool,
    /// Its lease also ends when its link goes.
    pub(crate) linked: bool,
    pub(crate) acquired: u32,
    pub(crate) failed: u32,
    /// Index of its key in the queue's keys, or [`NONE`].
    pub(crate) key: u32,
    /// Index of the consumer that holds its linked lease, or [`NONE`]. Not part of the recorded state.
    pub(crate) holder: u32,
    pub(crate) enqueued_at: u64,
    pub(crate) first_acquired_at: u64,
    pub(crate) expires_at: u64,
    /// When its state ends by itself: delivery time of a scheduled, lease end of a leased message.
    pub(crate) until: u64,
    /// The newest lease's fencing number.
    pub(crate) fence: u64,
    pub(crate) overlay: Option<Arc<Overlay>>,
}

impl Entry {
    /// When something happens to it by itself, in its present state.
    pub(crate) fn timer(&self) -> u64 {
        match self.state {
            MessageState::Ready => self.expires_at,
            MessageState::Scheduled => self.until.min(self.expires_at),
            MessageState::InFlight => self.until,
            MessageState::Deferred => NEVER,
        }
    }
}

const PAGE: u64 = 128;

#[derive(Debug)]
struct Page {
    slots: Box<[Option<Entry>]>,
    used: u32,
}

/// The entries of one queue.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Number of the first page in `pages`.
    first: u64,
    pages: VecDeque<Option<Page>>,
    len: u64,
}

impl Entries {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Entry> {
        let page = usize::try_from((seq.0 / PAGE).checked_sub(self.first)?).ok()?;
        self.pages.get(page)?.as_ref()?.slots.get(slot(seq))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        let page = usize::try_from((seq.0 / PAGE).checked_sub(self.first)?).ok()?;
        self.pages.get_mut(page)?.as_mut()?.slots.get_mut(slot(seq))?.as_mut()
    }

    /// Adds an entry at a place that is empty; places usually grow, but recovery may go back.
    pub(crate) fn insert(&mut self, seq: Seq, entry: Entry) {
        let number = seq.0 / PAGE;
        if self.pages.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.first -= 1;
            self.pages.push_front(None);
        }
        while number >= self.first + self.pages.len() as u64 {
            self.pages.push_back(None);
        }
        let index = usize::try_from(number - self.first).expect("pages fit in memory");
        let page = self
            .pages
            .get_mut(index)
            .expect("the page was just made")
            .get_or_insert_with(|| Page { slots: (0..PAGE).map(|_| None).collect(), used: 0 });
        let place = page.slots.get_mut(slot(seq)).expect("a slot is within its page");
        if place.replace(entry).is_none() {
            page.used += 1;
            self.len += 1;
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let index = usize::try_from((seq.0 / PAGE).checked_sub(self.first)?).ok()?;
        let newest = index + 1 == self.pages.len();
        let place = self.pages.get_mut(index)?;
        let page = place.as_mut()?;
        let entry = page.slots.get_mut(slot(seq))?.take()?;
        page.used -= 1;
        self.len -= 1;
        // The newest page is kept: a queue that runs empty between messages would free and make it for each.
        if page.used == 0 && !newest {
            *place = None;
            while matches!(self.pages.front(), Some(None)) {
                self.pages.pop_front();
                self.first += 1;
            }
        }
        Some(entry)
    }

    /// All entries from a place on, in order.
    pub(crate) fn iter_from(&self, from: Seq) -> impl Iterator<Item = (Seq, &Entry)> {
        let skip = usize::try_from((from.0 / PAGE).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let first = self.first;
        self.pages
            .iter()
            .enumerate()
            .skip(skip)
            .flat_map(move |(index, page)| {
                let base = (first + index as u64) * PAGE;
                page.iter()
                    .flat_map(|page| page.slots.iter().enumerate())
                    .filter_map(move |(slot, entry)| Some((Seq(base + slot as u64), entry.as_ref()?)))
            })
            .filter(move |(seq, _)| *seq >= from)
    }
}

fn slot(seq: Seq) -> usize {
    usize::try_from(seq.0 % PAGE).expect("a page is small")
}
