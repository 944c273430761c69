//! What is known of a page of entries that is in the journal: enough for everything but looking at one of its messages.

use baton_model::Seq;
use baton_model::request::MessageState;
use smallvec::SmallVec;

use super::entries::{NEVER, PAGE, slot};
use super::{Counts, Size};
use crate::context::{Held, Stored};
use crate::snapshot::EntryItem;

/// A page in the journal.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Cold {
    /// Where its entries lie.
    pub(crate) at: Stored,
    pub(crate) summary: Summary,
    /// When it is looked at next: when something happens to one of its messages, or later if it could not be read then.
    pub(crate) due_at: u64,
}

impl Cold {
    /// A page that lies there.
    pub(crate) fn new(at: Stored, summary: Summary) -> Self {
        let due_at = summary.timer;
        Self { at, summary, due_at }
    }
}

/// A page in numbers. It does not change as long as none of the page's messages does.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// Ready messages without a key by their priority, highest first: a bit for each slot.
    pub ready: SmallVec<[(u8, u128); 1]>,
    /// All messages: a bit for each slot.
    pub present: u128,
    /// How many are ready, scheduled and deferred. None is in flight.
    pub counts: [u32; 3],
    /// Bodies of ready and scheduled messages, bytes.
    pub waiting_bytes: u64,
    /// Contents, bytes.
    pub bytes: u64,
    /// When something first happens to one of them by itself; `u64::MAX`: never.
    pub timer: u64,
    /// When its first message came.
    pub oldest_at: u64,
    /// The smallest and the greatest message id.
    pub ids: (u64, u64),
    /// Some have keys.
    pub keyed: bool,
    /// Where in the journal their contents lie, sorted.
    pub held: Box<[Held]>,
}

impl Summary {
    /// The summary of these entries, all of one page, in order.
    pub(crate) fn of(entries: &[EntryItem]) -> Self {
        let mut summary = Self {
            ready: SmallVec::new(),
            present: 0,
            counts: [0; 3],
            waiting_bytes: 0,
            bytes: 0,
            timer: NEVER,
            oldest_at: entries.first().map_or(0, |entry| entry.enqueued_at.0),
            ids: (u64::MAX, 0),
            keyed: false,
            held: Box::default(),
        };
        let mut held: Vec<Held> = Vec::new();
        for entry in entries {
            summary.add(entry);
            let part = Held::from(entry.content);
            match held.last_mut() {
                Some(last) if last.stretch == part.stretch => last.bytes += part.bytes,
                _ => held.push(part),
            }
        }
        held.sort_unstable_by_key(|held| held.stretch);
        held.dedup_by(|later, kept| {
            let same = later.stretch == kept.stretch;
            if same {
                kept.bytes += later.bytes;
            }
            same
        });
        summary.held = held.into_boxed_slice();
        summary
    }

    fn add(&mut self, entry: &EntryItem) {
        let bit = 1_u128 << slot(entry.seq);
        self.present |= bit;
        self.keyed |= entry.key.is_some();
        let content_bytes = u64::from(entry.content.len_bytes);
        self.bytes += content_bytes;
        let count = match entry.state {
            MessageState::Ready => 0,
            MessageState::Scheduled => 1,
            MessageState::Deferred | MessageState::InFlight => 2,
        };
        if let Some(count) = self.counts.get_mut(count) {
            *count += 1;
        }
        if matches!(entry.state, MessageState::Ready | MessageState::Scheduled) {
            self.waiting_bytes += content_bytes.saturating_sub(u64::from(entry.envelope_bytes));
        }
        if entry.state == MessageState::Ready && entry.key.is_none() {
            match self.ready.iter().position(|(priority, _)| *priority <= entry.priority) {
                Some(at) if self.ready.get(at).is_some_and(|(priority, _)| *priority == entry.priority) => {
                    self.ready.get_mut(at).expect("the level was found").1 |= bit;
                }
                at => self.ready.insert(at.unwrap_or(self.ready.len()), (entry.priority, bit)),
            }
        }
        self.timer = self.timer.min(timer(entry));
        self.ids = (self.ids.0.min(entry.id.0), self.ids.1.max(entry.id.0));
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> u32 {
        self.present.count_ones()
    }

    /// Whether there is a message in a slot.
    pub(crate) fn has(&self, slot: usize) -> bool {
        self.present >> slot & 1 == 1
    }

    /// Whether all messages are ready and have no keys.
    pub(crate) fn is_plainly_ready(&self) -> bool {
        let [_, scheduled, deferred] = self.counts;
        !self.keyed && scheduled == 0 && deferred == 0
    }

    /// The places of all messages, if this is the page of that number.
    pub(crate) fn places(&self, number: u64) -> impl Iterator<Item = Seq> {
        places(self.present, number)
    }

    /// Whether some content lies between two positions, as far as stretches tell.
    pub(crate) fn touches(&self, positions: &std::ops::Range<u64>) -> bool {
        self.held.iter().any(|held| held.touches(positions))
    }

    /// Adds to, or takes from, what a queue counts.
    pub(crate) fn count_in(&self, counts: &mut Counts, add: bool) {
        let [ready, scheduled, deferred] = self.counts;
        let change = |value: &mut u64, by: u64| {
            *value = if add { *value + by } else { value.saturating_sub(by) };
        };
        change(&mut counts.ready, u64::from(ready));
        change(&mut counts.scheduled, u64::from(scheduled));
        change(&mut counts.deferred, u64::from(deferred));
        change(&mut counts.waiting_bytes, self.waiting_bytes);
        change(&mut counts.bytes, self.bytes);
    }

    /// Ready messages without a key, as (priority, place), if this is the page of that number.
    pub(crate) fn ready_places(&self, number: u64) -> impl Iterator<Item = (u8, Seq)> + '_ {
        let of_level = move |(priority, bits): &(u8, u128)| {
            let priority = *priority;
            places(*bits, number).map(move |seq| (priority, seq))
        };
        self.ready.iter().flat_map(of_level)
    }
}

/// The places of a page that are set in `bits`, in order.
pub(crate) fn places(bits: u128, number: u64) -> impl Iterator<Item = Seq> {
    let mut left = bits;
    std::iter::from_fn(move || {
        let slot = (left != 0).then(|| u64::from(left.trailing_zeros()))?;
        left &= left - 1;
        Some(Seq(number * PAGE + slot))
    })
}

/// Sizes of an entry's content, as queues count.
pub(crate) fn size(entry: &EntryItem) -> Size {
    let content_bytes = u64::from(entry.content.len_bytes);
    Size { body_bytes: content_bytes.saturating_sub(u64::from(entry.envelope_bytes)), content_bytes }
}

fn timer(entry: &EntryItem) -> u64 {
    let expires_at = entry.expires_at.map_or(NEVER, |at| at.0);
    match entry.state {
        MessageState::Ready => expires_at,
        MessageState::Scheduled => entry.until.map_or(NEVER, |at| at.0).min(expires_at),
        MessageState::Deferred | MessageState::InFlight => NEVER,
    }
}
