//! The ids a queue remembers so that a message sent twice is stored once. Ids leave in the order they came: a queue has one window.
//!
//! What is remembered lies in one row in the order it came, and a table finds it by its number there: a busy queue remembers
//! millions, and so an id costs little more than itself.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use baton_model::{MessageId, Name, Seq};
use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// Remembered ids of one queue.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    /// The newest of each id. Never iterated. Clients choose the ids: see [`Dedup::remember`].
    newest: HashTable<Mark>,
    hasher: FixedState,
    order: Row,
}

/// One of those that are remembered. Its hash stands here, so that the table looks at an id only where that is likely to be the
/// one, and at none when it grows: with millions of them each look is a wait for memory.
#[derive(Debug)]
struct Mark {
    hash: u32,
    /// The low half of its number: no queue remembers four thousand million ids at once.
    number: u32,
}

/// What is remembered, oldest first.
#[derive(Debug, Default)]
struct Row {
    /// Number of the first of `all`.
    first: u64,
    all: VecDeque<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    until: u64,
    id: Name,
    message: MessageId,
    seq: Seq,
}

impl Row {
    fn get(&self, mark: &Mark) -> Option<&Remembered> {
        self.all.get(mark.number.wrapping_sub(low_half(self.first)) as usize)
    }

    fn next(&self) -> u64 {
        self.first + self.all.len() as u64
    }

    fn is(&self, mark: &Mark, hash: u32, id: &str) -> bool {
        mark.hash == hash && self.get(mark).is_some_and(|remembered| remembered.id == id)
    }
}

impl Dedup {
    /// The message that was accepted under this id, if that still counts at `now`.
    pub(crate) fn find(&self, id: &str, now: u64) -> Option<(MessageId, Seq)> {
        let hash = self.hash(id);
        let mark = self.newest.find(spread(hash), |mark| self.order.is(mark, hash, id))?;
        let found = self.order.get(mark).filter(|remembered| remembered.until > now)?;
        Some((found.message, found.seq))
    }

    /// Remembers an id until a time.
    pub(crate) fn remember(&mut self, id: Name, message: MessageId, seq: Seq, until: u64) {
        if self.order.all.is_empty() {
            // A hash that nobody knows beforehand, so that nobody can make ids that collide.
            self.hasher = FixedState::with_seed(until.rotate_left(32) ^ message.0);
        }
        let hash = self.hash(&id);
        let number = low_half(self.order.next());
        match self.newest.find_mut(spread(hash), |mark| self.order.is(mark, hash, &id)) {
            Some(mark) => mark.number = number,
            None => {
                self.newest.insert_unique(spread(hash), Mark { hash, number }, |mark| spread(mark.hash));
            }
        }
        self.order.all.push_back(Remembered { until, id, message, seq });
    }

    /// Forgets what no longer counts at `now`.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some(oldest) = self.order.all.front().filter(|oldest| oldest.until <= now) {
            let (hash, number) = (self.hash(&oldest.id), low_half(self.order.first));
            if let Ok(entry) = self.newest.find_entry(spread(hash), |mark| mark.number == number) {
                entry.remove();
            }
            self.order.all.pop_front();
            self.order.first += 1;
        }
    }

    fn hash(&self, id: &str) -> u32 {
        low_half(self.hasher.hash_one(id))
    }

    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.order.all.front().map(|oldest| oldest.until)
    }

    /// Everything that is remembered, oldest first. An id that came again after its time counts as it came last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, MessageId, Seq, u64)> {
        self.order.all.iter().map(|remembered| {
            let Remembered { until, id, message, seq } = remembered;
            (id, *message, *seq, *until)
        })
    }
}

fn low_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A hash as the table wants it, which looks at both of its ends.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(dedup: &mut Dedup, id: &str, number: u64, until: u64) {
        dedup.remember(id.into(), MessageId(number), Seq(number), until);
    }

    #[test]
    fn an_id_counts_until_its_time_and_is_forgotten_then() {
        let mut dedup = Dedup::default();
        for number in 0..1000 {
            remember(&mut dedup, &number.to_string(), number, 100 + number);
        }
        assert_eq!(dedup.find("7", 106), Some((MessageId(7), Seq(7))));
        assert_eq!(dedup.find("7", 107), None, "it is over, though nobody has looked yet");
        dedup.expire(600);
        assert_eq!((dedup.find("500", 0), dedup.next_expiry()), (None, Some(601)));
        assert_eq!(dedup.find("501", 600), Some((MessageId(501), Seq(501))));
        assert_eq!((dedup.iter().count(), dedup.newest.len()), (499, 499));
        dedup.expire(u64::MAX);
        assert_eq!((dedup.iter().count(), dedup.newest.len(), dedup.next_expiry()), (0, 0, None));
    }

    #[test]
    fn numbers_go_on_where_their_low_half_begins_anew() {
        let mut dedup =
            Dedup { order: Row { first: u64::from(u32::MAX) - 1, ..Row::default() }, ..Dedup::default() };
        for number in 0..5 {
            remember(&mut dedup, &number.to_string(), number, 10 + number);
        }
        dedup.expire(11);
        let found = |dedup: &Dedup, number: u64| dedup.find(&number.to_string(), 0);
        assert_eq!([0, 1].map(|number| found(&dedup, number)), [None, None]);
        assert_eq!(
            [2, 3, 4].map(|number| found(&dedup, number)),
            [2, 3, 4].map(|n| Some((MessageId(n), Seq(n))))
        );
        dedup.expire(14);
        assert_eq!(dedup.newest.len(), 0);
    }

    #[test]
    fn an_id_that_comes_again_after_its_time_counts_as_it_came_last() {
        let mut dedup = Dedup::default();
        remember(&mut dedup, "a", 1, 10);
        remember(&mut dedup, "b", 2, 11);
        remember(&mut dedup, "a", 3, 20);
        assert_eq!(dedup.find("a", 10), Some((MessageId(3), Seq(3))));
        let mut again = Dedup::default();
        for (id, message, seq, until) in dedup.iter() {
            again.remember(id.clone(), message, seq, until);
        }
        for dedup in [&mut dedup, &mut again] {
            dedup.expire(10);
            assert_eq!(dedup.find("a", 10), Some((MessageId(3), Seq(3))), "the older one is forgotten alone");
            dedup.expire(20);
            assert_eq!(dedup.newest.len(), 0);
        }
    }
}
