//! The messages of one queue by their place, in pages. Finding, adding at the back and removing are O(1), however far
//! apart the oldest and the newest message are; a page goes when its last message does.
//!
//! ```text
//!            PageWritten            evicted               asked for
//!  dirty ───────────────▶ clean ─────────────▶ cold ─────────────────▶ clean
//!    ▲                      │   (still here, and in the journal)
//!    └──────────────────────┘ one of its messages changes: what the journal has no longer counts
//! ```
//!
//! A cold page is a few numbers here and its entries in the journal. What is found by other ways than by place (ready
//! messages, keys, counts) does not care whether a page is cold; see [`super::Indexes`]. When pages are written, evicted
//! and read back is decided in [`crate::machine`], how in [`crate::paging`].

use std::collections::VecDeque;
use std::sync::Arc;

use baton_model::request::MessageState;
use baton_model::{Overlay, Seq};

use super::page::Cold;
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

/// Places in a page. A page's slots fit the bits of a `u128`.
pub(crate) const PAGE: u64 = 128;

/// Slots that an empty newest page may keep.
const IDLE_SLOTS_MAX: usize = 16;

/// A page in memory. Slots exist from the first used one to the last: a queue with one message has one slot, not a page of them.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Slot of the first of `slots`.
    first: usize,
    slots: VecDeque<Option<Entry>>,
    used: u32,
    /// The journal has it as it is.
    pub(crate) clean: Option<Box<Cold>>,
}

/// A page, wherever it is.
#[derive(Debug)]
pub(crate) enum Slot {
    /// It has no messages.
    Empty,
    /// In memory.
    Hot(Page),
    /// In the journal.
    Cold(Box<Cold>),
}

/// What has to happen before an entry can be changed.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Nothing.
    Ready,
    /// Its page was clean and is dirty now: what the journal has of it is given up.
    Dirtied(Box<Cold>),
    /// Its page must be read back first.
    Cold,
}

/// The entries of one queue.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Number of the first page in `pages`.
    first: u64,
    pages: VecDeque<Slot>,
    len: u64,
    /// How many of them are in cold pages.
    cold: u64,
}

/// The page of a place.
pub(crate) fn page_of(seq: Seq) -> u64 {
    seq.0 / PAGE
}

impl Entries {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many are in memory.
    pub(crate) fn hot(&self) -> u64 {
        self.len - self.cold
    }

    /// Numbers of the first page and of the one behind the last.
    pub(crate) fn page_range(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.pages.len() as u64
    }

    /// An entry in memory. `None`: there is none, or its page is cold.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Entry> {
        match self.page(page_of(seq))? {
            Slot::Hot(page) => page.get(slot(seq)),
            Slot::Empty | Slot::Cold(_) => None,
        }
    }

    /// When a message came in; of one on a cold page, when the page's first one did.
    pub(crate) fn enqueued_at(&self, seq: Seq) -> Option<u64> {
        let cold = || self.cold(seq).map(|cold| cold.summary.oldest_at);
        self.get(seq).map(|entry| entry.enqueued_at).or_else(cold)
    }

    /// As [`Entries::get`]. What is part of the recorded state may only be changed after [`Entries::open`].
    pub(crate) fn get_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        match self.page_mut(page_of(seq))? {
            Slot::Hot(page) => page.slots.get_mut(slot(seq).checked_sub(page.first)?)?.as_mut(),
            Slot::Empty | Slot::Cold(_) => None,
        }
    }

    pub(crate) fn page(&self, number: u64) -> Option<&Slot> {
        self.pages.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn page_mut(&mut self, number: u64) -> Option<&mut Slot> {
        self.pages.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The cold page that a place is in, if it is in one and there is a message at it.
    pub(crate) fn cold(&self, seq: Seq) -> Option<&Cold> {
        match self.page(page_of(seq))? {
            Slot::Cold(cold) if cold.summary.has(slot(seq)) => Some(cold),
            _ => None,
        }
    }

    /// Before anything at a place is changed, added or taken out.
    pub(crate) fn open(&mut self, seq: Seq) -> Opened {
        match self.page_mut(page_of(seq)) {
            Some(Slot::Hot(page)) => page.clean.take().map_or(Opened::Ready, Opened::Dirtied),
            Some(Slot::Cold(_)) => Opened::Cold,
            Some(Slot::Empty) | None => Opened::Ready,
        }
    }

    /// Adds an entry at a place that is empty; places usually grow, but recovery may go back.
    /// Returns whether its page is new.
    pub(crate) fn insert(&mut self, seq: Seq, entry: Entry) -> bool {
        let place = self.reach(page_of(seq));
        let new = matches!(place, Slot::Empty);
        if new {
            *place = Slot::Hot(Page::default());
        }
        let Slot::Hot(page) = place else {
            debug_assert!(false, "a page is read back before something is put into it");
            return false;
        };
        if page.put(slot(seq), entry) {
            self.len += 1;
        }
        new
    }

    /// The page of that number, with all pages on the way to it.
    fn reach(&mut self, number: u64) -> &mut Slot {
        if self.pages.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.first -= 1;
            self.pages.push_front(Slot::Empty);
        }
        while number >= self.first + self.pages.len() as u64 {
            self.pages.push_back(Slot::Empty);
        }
        let index = usize::try_from(number - self.first).expect("pages fit in memory");
        self.pages.get_mut(index).expect("the page was just made")
    }

    /// Takes an entry out of a page in memory.
    pub(crate) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let number = page_of(seq);
        let newest = number + 1 == self.page_range().end;
        let place = self.page_mut(number)?;
        let Slot::Hot(page) = place else { return None };
        let entry = page.take(slot(seq))?;
        if page.used == 0 {
            // The newest page stays, with its slots if they are few: a queue that runs empty between messages would free and
            // make it for each. A queue that had a burst must not keep the room for it.
            if !newest || page.slots.capacity() > IDLE_SLOTS_MAX {
                *place = Slot::Empty;
            } else {
                page.slots.clear();
            }
        }
        self.len -= 1;
        self.drop_empty_front();
        Some(entry)
    }

    /// The places of all messages, those on cold pages too, in order.
    pub(crate) fn places(&self) -> Vec<Seq> {
        let mut places = Vec::new();
        for (number, slot) in self.pages() {
            match slot {
                Slot::Empty => {}
                Slot::Hot(page) => places.extend(page.entries(number).map(|(seq, _)| seq)),
                Slot::Cold(cold) => places.extend(cold.summary.places(number)),
            }
        }
        places
    }

    /// All pages, with their numbers, in order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &Slot)> {
        (self.first..).zip(&self.pages)
    }

    /// The first page from `number` on that has messages, and its number.
    pub(crate) fn next_page(&self, number: u64) -> Option<(u64, &Slot)> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let range = self.pages.range(skip.min(self.pages.len())..);
        (number.max(self.first)..).zip(range).find(|(_, slot)| !slot.is_empty())
    }

    /// All entries in memory from a place on, in order.
    pub(crate) fn hot_from(&self, from: Seq) -> impl Iterator<Item = (Seq, &Entry)> {
        let skip = usize::try_from(page_of(from).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let pages = (self.first..).zip(&self.pages).skip(skip);
        let hot = pages.filter_map(|(number, slot)| match slot {
            Slot::Hot(page) => Some((number, page)),
            Slot::Empty | Slot::Cold(_) => None,
        });
        hot.flat_map(|(number, page)| page.entries(number)).filter(move |(seq, _)| *seq >= from)
    }

    /// Takes a page that is clean out of memory. Returns its entries.
    pub(crate) fn evict(&mut self, number: u64) -> Option<Page> {
        let place = self.page_mut(number)?;
        let Slot::Hot(page) = place else { return None };
        let cold = page.clean.take()?;
        let Slot::Hot(page) = std::mem::replace(place, Slot::Cold(cold)) else { return None };
        self.cold += u64::from(page.used);
        Some(page)
    }

    /// Puts the entries of a cold page back. The page is clean.
    pub(crate) fn restore(&mut self, number: u64, entries: impl Iterator<Item = (Seq, Entry)>) {
        let Some(place) = self.page_mut(number) else { return };
        let mut page = Page::default();
        entries.for_each(|(seq, entry)| {
            page.put(slot(seq), entry);
        });
        let used = page.used;
        if let Slot::Cold(cold) = std::mem::replace(place, Slot::Empty) {
            page.clean = Some(cold);
        }
        *place = Slot::Hot(page);
        self.cold = self.cold.saturating_sub(u64::from(used));
    }

    /// Adds a page that is in the journal.
    pub(crate) fn insert_cold(&mut self, number: u64, cold: Box<Cold>) {
        let count = u64::from(cold.summary.count());
        *self.reach(number) = Slot::Cold(cold);
        self.len += count;
        self.cold += count;
    }

    /// The page as it is has been written. Returns what was there of it before.
    pub(crate) fn written(&mut self, number: u64, cold: Box<Cold>) -> Option<Box<Cold>> {
        match self.page_mut(number) {
            Some(Slot::Hot(page)) => page.clean.replace(cold),
            Some(Slot::Cold(old)) => Some(std::mem::replace(old, cold)),
            Some(Slot::Empty) | None => Some(cold),
        }
    }

    /// A cold page is looked at later than it should be.
    pub(crate) fn postpone(&mut self, number: u64, until: u64) {
        if let Some(Slot::Cold(cold)) = self.page_mut(number) {
            cold.due_at = until;
        }
    }

    /// Drops a cold page with all that is in it.
    pub(crate) fn remove_cold(&mut self, number: u64) -> Option<Box<Cold>> {
        let place = self.page_mut(number)?;
        if !matches!(place, Slot::Cold(_)) {
            return None;
        }
        let Slot::Cold(cold) = std::mem::replace(place, Slot::Empty) else { return None };
        let count = u64::from(cold.summary.count());
        self.len -= count;
        self.cold -= count;
        self.drop_empty_front();
        Some(cold)
    }

    /// Gives up empty pages in front; the newest one stays, so that the numbering goes on.
    fn drop_empty_front(&mut self) {
        while self.pages.len() > 1 && self.pages.front().is_some_and(Slot::is_empty) {
            self.pages.pop_front();
            self.first += 1;
        }
    }
}

impl Slot {
    fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Hot(page) => page.used == 0,
            Self::Cold(_) => false,
        }
    }
}

impl Page {
    /// How many messages are in it.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    fn get(&self, slot: usize) -> Option<&Entry> {
        self.slots.get(slot.checked_sub(self.first)?)?.as_ref()
    }

    fn put(&mut self, slot: usize, entry: Entry) -> bool {
        if self.slots.is_empty() {
            self.first = slot;
        }
        while slot < self.first {
            self.slots.push_front(None);
            self.first -= 1;
        }
        while slot >= self.first + self.slots.len() {
            self.slots.push_back(None);
        }
        let place = self.slots.get_mut(slot - self.first).expect("the slot was just made");
        let new = place.replace(entry).is_none();
        self.used += u32::from(new);
        new
    }

    fn take(&mut self, slot: usize) -> Option<Entry> {
        let entry = self.slots.get_mut(slot.checked_sub(self.first)?)?.take()?;
        self.used -= 1;
        Some(entry)
    }

    /// Its entries with their places, if it is the page of that number.
    pub(crate) fn entries(&self, number: u64) -> impl Iterator<Item = (Seq, &Entry)> {
        let base = number * PAGE + self.first as u64;
        (base..).map(Seq).zip(&self.slots).filter_map(|(seq, entry)| Some((seq, entry.as_ref()?)))
    }

    /// As [`Page::entries`], taking them.
    pub(crate) fn into_entries(self, number: u64) -> impl Iterator<Item = (Seq, Entry)> {
        let base = number * PAGE + self.first as u64;
        (base..).map(Seq).zip(self.slots).filter_map(|(seq, entry)| Some((seq, entry?)))
    }
}

/// A place's slot in its page.
pub(crate) fn slot(seq: Seq) -> usize {
    usize::try_from(seq.0 % PAGE).expect("a page is small")
}
