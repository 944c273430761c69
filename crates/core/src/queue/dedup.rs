//! The ids a queue remembers so that a message sent twice is stored once. Ids leave in the order they came: a queue has one window.

use std::collections::VecDeque;

use baton_model::{MessageId, Name, Seq};
use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// Remembered ids of one queue.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    /// Never iterated. Clients choose the ids: see [`Dedup::remember`].
    ids: HashMap<Name, (MessageId, Seq, u64), FixedState>,
    order: VecDeque<(u64, Name)>,
}

impl Dedup {
    /// The message that was accepted under this id, if that still counts at `now`.
    pub(crate) fn find(&self, id: &str, now: u64) -> Option<(MessageId, Seq)> {
        self.ids.get(id).filter(|(_, _, until)| *until > now).map(|(message, seq, _)| (*message, *seq))
    }

    /// Remembers an id until a time.
    pub(crate) fn remember(&mut self, id: Name, message: MessageId, seq: Seq, until: u64) {
        if self.ids.capacity() == 0 {
            // A hash that nobody knows beforehand, so that nobody can make ids that collide.
            let hasher = FixedState::with_seed(until.rotate_left(32) ^ message.0);
            self.ids = HashMap::with_hasher(hasher);
        }
        self.order.push_back((until, id.clone()));
        self.ids.insert(id, (message, seq, until));
    }

    /// Forgets what no longer counts at `now`.
    pub(crate) fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, id)) = self.order.pop_front() else { return };
            if self.ids.get(&id).is_some_and(|(_, _, newest)| *newest == until) {
                self.ids.remove(&id);
            }
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.order.front().map(|(until, _)| *until)
    }

    /// Everything that is remembered, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, MessageId, Seq, u64)> {
        self.order.iter().filter_map(|(until, id)| {
            let (message, seq, newest) = self.ids.get(id)?;
            (newest == until).then_some((id, *message, *seq, *newest))
        })
    }
}
