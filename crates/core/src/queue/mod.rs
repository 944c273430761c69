//! One queue: its messages, and the indexes that make every question about them O(1) or O(log n).
//!
//! [`Queue`] changes only through [`crate::state`], which folds records into it. Who consumes from it is kept beside it in
//! [`Serve`], which is not recorded. Routing, settlement rules and dead-lettering are not here.

pub(crate) mod dedup;
pub(crate) mod entries;
pub(crate) mod filtering;
pub(crate) mod keys;
pub(crate) mod page;
pub(crate) mod ready;
pub(crate) mod serve;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use baton_model::policy::KeyMode;
use baton_model::request::MessageState;
use baton_model::{Name, QueueId, QueuePolicy, Seq, Time};

use crate::contents::ContentIndex;
pub(crate) use entries::{Entries, Entry, NEVER, NONE};
use keys::Keys;
use ready::Ready;
pub(crate) use serve::Serve;

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) namespace: Name,
    pub(crate) name: Name,
    pub(crate) policy: QueuePolicy,
    pub(crate) created_at: Time,
    pub(crate) changed_at: Time,
    pub(crate) next_seq: u64,
    pub(crate) last_fence: u64,
    pub(crate) entries: Entries,
    pub(crate) index: Indexes,
    pub(crate) dedup: dedup::Dedup,
    pub(crate) serve: Serve,
}

/// What the entries are found by, other than their place. Derived from them entirely.
#[derive(Debug)]
pub(crate) struct Indexes {
    /// Ready messages without a key.
    pub(crate) ready: Ready,
    /// Waiting messages with a key.
    pub(crate) keys: Keys,
    /// When something happens to a message in memory by itself.
    pub(crate) timers: BTreeSet<(u64, Seq)>,
    /// When something first happens to a message of a cold page.
    pub(crate) page_timers: BTreeSet<(u64, u64)>,
    pub(crate) counts: Counts,
    /// How often any of this changed, in this process's life.
    pub(crate) changes: u64,
}

/// How many messages are in which state, and how large they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ready: u64,
    pub(crate) scheduled: u64,
    pub(crate) in_flight: u64,
    pub(crate) deferred: u64,
    /// Bodies of ready and scheduled messages: what capacity is about.
    pub(crate) waiting_bytes: u64,
    /// Contents of all messages.
    pub(crate) bytes: u64,
}

impl Counts {
    fn of(&mut self, state: MessageState) -> &mut u64 {
        match state {
            MessageState::Ready => &mut self.ready,
            MessageState::Scheduled => &mut self.scheduled,
            MessageState::InFlight => &mut self.in_flight,
            MessageState::Deferred => &mut self.deferred,
        }
    }
}

/// Sizes of a message's content, as the counts need them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) body_bytes: u64,
    pub(crate) content_bytes: u64,
}

impl Queue {
    pub(crate) fn new(id: QueueId, namespace: Name, name: Name, policy: QueuePolicy, at: Time) -> Self {
        let keys = Keys::new(policy.keys.mode, at.0);
        Self {
            id,
            namespace,
            name,
            policy,
            created_at: at,
            changed_at: at,
            next_seq: 1,
            last_fence: 0,
            entries: Entries::default(),
            index: Indexes {
                ready: Ready::default(),
                keys,
                timers: BTreeSet::new(),
                page_timers: BTreeSet::new(),
                counts: Counts::default(),
                changes: 0,
            },
            dedup: dedup::Dedup::default(),
            serve: Serve::new(at),
        }
    }

    /// Whether messages' keys mean anything here.
    pub(crate) fn keyed(&self) -> bool {
        self.policy.keys.mode != KeyMode::Off
    }

    /// Messages that wait, ready or scheduled: what capacity is about.
    pub(crate) fn waiting(&self) -> u64 {
        self.index.counts.ready + self.index.counts.scheduled
    }

    /// The next message that a consumer may have, with its key if it has one. Left where it is.
    pub(crate) fn next_for(&self, consumer: u32) -> Option<(Seq, Option<u32>)> {
        let plain = self.index.ready.peek();
        let keyed = if self.keyed() { self.index.keys.peek(consumer) } else { None };
        match (plain, keyed) {
            (plain, None) => plain.map(|(_, seq)| (seq, None)),
            // Higher priority first, then the older one.
            (Some((p, s)), Some((kp, ks, _))) if (kp, Reverse(ks)) <= (p, Reverse(s)) => Some((s, None)),
            (_, Some((_, seq, key))) => Some((seq, Some(key))),
        }
    }

    /// Adds a message. Returns whether its page is new.
    pub(crate) fn insert(&mut self, seq: Seq, entry: Entry, size: Size) -> bool {
        self.next_seq = self.next_seq.max(seq.0 + 1);
        self.index.counts.bytes += size.content_bytes;
        self.index.add(seq, &entry, size);
        if entry.key != NONE {
            self.index.keys.moved(entry.key, seq, None, Some((entry.state, entry.priority)));
        }
        self.entries.insert(seq, entry)
    }

    /// Takes a message out for good.
    pub(crate) fn remove(&mut self, seq: Seq, size: Size) -> Option<Entry> {
        let entry = self.entries.remove(seq)?;
        self.index.remove(seq, &entry, size);
        self.index.counts.bytes = self.index.counts.bytes.saturating_sub(size.content_bytes);
        if entry.key != NONE {
            self.index.keys.moved(entry.key, seq, Some(entry.state), None);
            self.index.keys.exit(entry.key);
        }
        Some(entry)
    }

    /// Changes a message's state, times or content, and every index with it. `sizes`: before and after.
    pub(crate) fn change(&mut self, seq: Seq, sizes: (Size, Size), change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(seq) else { return };
        self.index.remove(seq, entry, sizes.0);
        let before = entry.state;
        change(entry);
        self.index.add(seq, entry, sizes.1);
        if entry.key != NONE {
            self.index.keys.moved(entry.key, seq, Some(before), Some((entry.state, entry.priority)));
        }
        let bytes = &mut self.index.counts.bytes;
        *bytes = (*bytes + sizes.1.content_bytes).saturating_sub(sizes.0.content_bytes);
    }

    /// Puts a message at another place, as `change` leaves it. Returns whether the page there is new.
    pub(crate) fn replace(
        &mut self,
        from: Seq,
        to: Seq,
        size: Size,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let Some(mut entry) = self.entries.remove(from) else { return false };
        self.index.remove(from, &entry, size);
        let before = entry.state;
        change(&mut entry);
        self.index.add(to, &entry, size);
        if entry.key != NONE {
            self.index.keys.moved(entry.key, from, Some(before), None);
            self.index.keys.moved(entry.key, to, None, Some((entry.state, entry.priority)));
        }
        self.next_seq = self.next_seq.max(to.0 + 1);
        self.entries.insert(to, entry)
    }

    /// A cold page is looked at later than it should be.
    pub(crate) fn postpone_page(&mut self, timer: (u64, u64), until: u64) {
        let (_, page) = timer;
        self.index.page_timers.remove(&timer);
        self.index.page_timers.insert((until, page));
        self.entries.postpone(page, until);
    }

    /// When the queue next has something to do by itself. `None`: never.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        let message = self.index.timers.first().map(|(at, _)| *at);
        let page = self.index.page_timers.first().map(|(at, _)| *at);
        let serve = self.serve.next_timer(&self.policy, self.index.counts.ready);
        let expiry = self.policy.list.expires_at.map(|at| at.0);
        let all = [message, page, self.dedup.next_expiry(), serve, expiry, self.empty_until()];
        all.into_iter().flatten().min()
    }

    /// When an empty queue that nobody uses goes, if its policy says so.
    pub(crate) fn empty_until(&self) -> Option<u64> {
        let ms = self.policy.list.empty_ms_max.filter(|_| self.entries.len() == 0)?;
        self.serve.unused_since().map(|at| at.saturating_add(ms))
    }

    /// Contents of all messages in memory, for when the queue goes.
    pub(crate) fn contents(&self) -> impl Iterator<Item = ContentIndex> + '_ {
        self.entries.hot_from(Seq(0)).map(|(_, entry)| entry.content)
    }
}

/// All indexes but the keys: what a key offers depends on both sides of a change.
impl Indexes {
    fn add(&mut self, seq: Seq, entry: &Entry, size: Size) {
        *self.counts.of(entry.state) += 1;
        self.changes += 1;
        let timer = entry.timer();
        if timer != NEVER {
            self.timers.insert((timer, seq));
        }
        match entry.state {
            MessageState::Ready | MessageState::Scheduled => {
                self.counts.waiting_bytes += size.body_bytes;
                if entry.key == NONE && entry.state == MessageState::Ready {
                    self.ready.insert(entry.priority, seq);
                }
            }
            MessageState::InFlight | MessageState::Deferred => {}
        }
    }

    fn remove(&mut self, seq: Seq, entry: &Entry, size: Size) {
        let count = self.counts.of(entry.state);
        *count = count.saturating_sub(1);
        self.changes += 1;
        let timer = entry.timer();
        if timer != NEVER {
            self.timers.remove(&(timer, seq));
        }
        match entry.state {
            MessageState::Ready | MessageState::Scheduled => {
                self.counts.waiting_bytes = self.counts.waiting_bytes.saturating_sub(size.body_bytes);
                if entry.key == NONE && entry.state == MessageState::Ready {
                    self.ready.remove(entry.priority, seq);
                }
            }
            MessageState::InFlight | MessageState::Deferred => {}
        }
    }
}
