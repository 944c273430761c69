//! Ordering keys of one queue: which keys can give a message, and to whom.
//!
//! Messages with a key wait here instead of in [`super::ready::Ready`], in their order, per key. A key *offers* its next
//! message when its mode allows it; offers are kept sorted, those of keys that belong to a consumer apart from the free ones.
//!
//! ```text
//! Ordered   offers its first message while none is in flight and the first is not waiting for its retry
//! Session   offers to its owner only: the first message, also while earlier ones are in flight
//! Sticky    as Session, but a free key offers to everybody and whoever takes it becomes its owner
//! Fair      offers its first ready message always; the key that was served longest ago comes first
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use baton_model::policy::KeyMode;
use baton_model::request::MessageState;
use baton_model::{MessageId, Name, Seq, Time};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::entries::NONE;

/// Sorts offers: higher priority, then rank (place, or turn), then key.
type Offer = (std::cmp::Reverse<u8>, u64, u32);

/// All keys of a queue that have messages, an owner, or are held.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    mode: KeyMode,
    keys: Table,
    free: BTreeSet<Offer>,
    owned: BTreeMap<u32, BTreeSet<Offer>>,
    turn: u64,
}

/// Keys by their number and by their name.
#[derive(Debug, Default)]
struct Table {
    all: Slab<Key>,
    /// Iterated only to be sorted. Clients choose the names.
    by_name: HashTable<u32>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Key {
    name: Name,
    /// Ready and scheduled messages in order: place → (priority, ready).
    waiting: BTreeMap<u64, (u8, bool)>,
    in_flight: u32,
    /// Entries that refer to it, in any state.
    entries: u32,
    /// Waits for an operator.
    held: bool,
    /// The consumer it belongs to, or `NONE`.
    owner: u32,
    /// When it was last served, for `Fair`.
    turn: u64,
    offer: Option<Offer>,
}

impl Keys {
    /// No keys. `seed` is that of their hash until the first message comes: see [`seed`].
    pub(crate) fn new(mode: KeyMode, seed: u64) -> Self {
        let keys = Table { hasher: FixedState::with_seed(seed), ..Table::default() };
        Self { mode, keys, ..Self::default() }
    }

    /// The key of that name, made if need be, for one more entry. `seed`: see [`seed`].
    pub(crate) fn enter(&mut self, name: &Name, seed: u64) -> u32 {
        if self.keys.all.is_empty() {
            self.keys.hasher = FixedState::with_seed(seed);
        }
        let index = self.keys.find_or_make(name);
        self.keys.get_mut(index).entries += 1;
        index
    }

    /// One entry less; the key goes when nothing is left of it.
    pub(crate) fn exit(&mut self, index: u32) {
        let key = self.keys.get_mut(index);
        key.entries = key.entries.saturating_sub(1);
        self.forget_if_empty(index);
    }

    /// A message of a key changes its state; `None`: it was not there, or goes. One change of the key's offer for both sides.
    pub(crate) fn moved(
        &mut self,
        index: u32,
        seq: Seq,
        before: Option<MessageState>,
        after: Option<(MessageState, u8)>,
    ) {
        if matches!(after, Some((MessageState::InFlight, _))) {
            self.turn += 1;
        }
        let turn = self.turn;
        self.change(index, |key| {
            match before {
                Some(MessageState::Ready | MessageState::Scheduled) => {
                    key.waiting.remove(&seq.0);
                }
                Some(MessageState::InFlight) => key.in_flight = key.in_flight.saturating_sub(1),
                Some(MessageState::Deferred) | None => {}
            }
            match after {
                Some((state @ (MessageState::Ready | MessageState::Scheduled), priority)) => {
                    key.waiting.insert(seq.0, (priority, state == MessageState::Ready));
                }
                Some((MessageState::InFlight, _)) => {
                    key.in_flight += 1;
                    key.turn = turn;
                }
                Some((MessageState::Deferred, _)) | None => {}
            }
        });
    }

    /// The best offer to a consumer: `(priority, place, key)`. Left where it is.
    pub(crate) fn peek(&self, consumer: u32) -> Option<(u8, Seq, u32)> {
        let own = self.owned.get(&consumer).and_then(BTreeSet::first);
        let free = if self.mode == KeyMode::Session { None } else { self.free.first() };
        let offer = match (own, free) {
            (Some(own), Some(free)) => own.min(free),
            (own, free) => own.or(free)?,
        };
        let key = self.keys.get(offer.2)?;
        Some((offer.0.0, key.first(self.mode)?.1, offer.2))
    }

    /// The key's messages behind `first`, up to the first one that is not ready.
    pub(crate) fn ready_after(&self, index: u32, first: Seq) -> impl Iterator<Item = Seq> + '_ {
        let waiting = self.keys.get(index).map(|key| &key.waiting);
        let behind = (std::ops::Bound::Excluded(first.0), std::ops::Bound::Unbounded);
        let behind = waiting.into_iter().flat_map(move |waiting| waiting.range(behind));
        behind.take_while(|(_, (_, ready))| *ready).map(|(seq, _)| Seq(*seq))
    }

    /// Whether no message has a key.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.all.is_empty()
    }

    /// Whether who asks makes a difference: some keys belong to consumers.
    pub(crate) fn has_owners(&self) -> bool {
        matches!(self.mode, KeyMode::Session | KeyMode::Sticky)
    }

    /// The consumer that took a message of a free key in `Sticky` mode keeps it.
    pub(crate) fn taken_by(&mut self, index: u32, consumer: u32) {
        if self.mode == KeyMode::Sticky {
            self.change(index, |key| key.owner = consumer);
        }
    }

    /// Locks a session for a consumer. `None` as name: the free one that waits longest.
    pub(crate) fn lock(&mut self, name: Option<&Name>, consumer: u32) -> Result<Name, LockError> {
        let index = match name {
            Some(name) => self.keys.find_or_make(name),
            None => self.free.first().ok_or(LockError::NoneFree)?.2,
        };
        let key = self.keys.get_mut(index);
        if key.owner != NONE && key.owner != consumer {
            return Err(LockError::Owned);
        }
        let name = key.name.clone();
        self.change(index, |key| key.owner = consumer);
        Ok(name)
    }

    /// A consumer is gone: its keys are free again.
    pub(crate) fn release_owner(&mut self, consumer: u32) {
        let owned: Vec<u32> = self
            .keys
            .all
            .iter()
            .filter(|(_, key)| key.owner == consumer)
            .filter_map(|(index, _)| u32::try_from(index).ok())
            .collect();
        for index in owned {
            self.change(index, |key| key.owner = NONE);
            self.forget_if_empty(index);
        }
        self.owned.remove(&consumer);
    }

    /// Holds a key for an operator, or lets it go. Returns whether that changed anything.
    pub(crate) fn hold(&mut self, name: &Name, held: bool) -> bool {
        if !held && self.keys.find(name).is_none() {
            return false;
        }
        let index = self.keys.find_or_make(name);
        let changed = self.keys.get_mut(index).held != held;
        self.change(index, |key| key.held = held);
        self.forget_if_empty(index);
        changed
    }

    /// Keys that are held, in the order of their names.
    pub(crate) fn held(&self) -> Vec<&Name> {
        let held = self.keys.all.iter().filter(|(_, key)| key.held);
        let mut names: Vec<&Name> = held.map(|(_, key)| &key.name).collect();
        names.sort_unstable();
        names
    }

    /// The key of that name.
    pub(crate) fn find(&self, name: &Name) -> Option<u32> {
        self.keys.find(name)
    }

    pub(crate) fn name(&self, index: u32) -> Option<&Name> {
        self.keys.get(index).map(|key| &key.name)
    }

    /// For `explain`: messages in flight, whether held, and the owner.
    pub(crate) fn status(&self, index: u32) -> Option<(u32, bool, u32)> {
        self.keys.get(index).map(|key| (key.in_flight, key.held, key.owner))
    }

    /// Changes a key and its offer with it.
    fn change(&mut self, index: u32, change: impl FnOnce(&mut Key)) {
        let mode = self.mode;
        let key = self.keys.get_mut(index);
        let before = (key.owner, key.offer.take());
        change(key);
        key.offer = key.offer(mode, index);
        let after = (key.owner, key.offer);
        if before == after {
            return;
        }
        if let (owner, Some(offer)) = before {
            self.offers_of(owner).remove(&offer);
        }
        if let (owner, Some(offer)) = after {
            self.offers_of(owner).insert(offer);
        }
    }

    fn offers_of(&mut self, owner: u32) -> &mut BTreeSet<Offer> {
        if owner == NONE { &mut self.free } else { self.owned.entry(owner).or_default() }
    }

    fn forget_if_empty(&mut self, index: u32) {
        let key = self.keys.get_mut(index);
        if key.entries == 0 && !key.held && key.owner == NONE {
            self.keys.remove(index);
        }
    }
}

impl Table {
    fn get(&self, index: u32) -> Option<&Key> {
        self.all.get(index as usize)
    }

    fn get_mut(&mut self, index: u32) -> &mut Key {
        self.all.get_mut(index as usize).expect("an entry's key exists as long as the entry")
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn find(&self, name: &str) -> Option<u32> {
        let is = |index: &u32| self.get(*index).is_some_and(|key| key.name == name);
        self.by_name.find(self.hash(name), is).copied()
    }

    fn find_or_make(&mut self, name: &Name) -> u32 {
        if let Some(index) = self.find(name) {
            return index;
        }
        let index = self.all.insert(Key {
            name: name.clone(),
            waiting: BTreeMap::new(),
            in_flight: 0,
            entries: 0,
            held: false,
            owner: NONE,
            turn: 0,
            offer: None,
        });
        let index = u32::try_from(index).expect("memory ends before four thousand million keys");
        let Self { all, by_name, hasher } = self;
        let hash = |index: &u32| all.get(*index as usize).map_or(0, |key| hasher.hash_one(key.name.as_str()));
        by_name.insert_unique(hash(&index), index, hash);
        index
    }

    fn remove(&mut self, index: u32) {
        let key = self.all.remove(index as usize);
        if let Ok(entry) = self.by_name.find_entry(self.hash(&key.name), |other| *other == index) {
            entry.remove();
        }
    }
}

impl Key {
    /// The first message that may leave as far as its order is concerned.
    fn first(&self, mode: KeyMode) -> Option<(u8, Seq)> {
        let mut waiting = self.waiting.iter().map(|(seq, (priority, ready))| (*priority, Seq(*seq), *ready));
        let (priority, seq, ready) = match mode {
            KeyMode::Fair => waiting.find(|(_, _, ready)| *ready)?,
            _ => waiting.next()?,
        };
        ready.then_some((priority, seq))
    }

    fn offer(&self, mode: KeyMode, index: u32) -> Option<Offer> {
        if self.held || (mode == KeyMode::Ordered && self.in_flight > 0) {
            return None;
        }
        let (priority, seq) = self.first(mode)?;
        let rank = if mode == KeyMode::Fair { self.turn } else { seq.0 };
        Some((std::cmp::Reverse(priority), rank, index))
    }
}

/// A number that nobody knows beforehand, of the first message with a key: nobody can make names that collide.
pub(crate) fn seed(id: MessageId, at: Time) -> u64 {
    at.0.rotate_left(32) ^ id.0
}

/// Why a session could not be locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockError {
    /// Another consumer holds it.
    Owned,
    /// No free session has messages.
    NoneFree,
}
