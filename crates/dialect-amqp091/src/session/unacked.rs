//! Delivery tags of a channel: what is delivered and not settled. Dense and in order, so that acknowledging in order costs
//! O(1) and anything else a binary search. What acknowledgements do is in `settle`.

use std::collections::VecDeque;

use baton_model::DeliveryRef;

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    last_tag: u64,
    /// In the order of their tags. Neither the first nor the last is `Gone`.
    entries: VecDeque<Entry>,
    /// How many in `entries` are `Gone`.
    holes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    tag: u64,
    held: Held,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// By the client.
    Here(DeliveryRef),
    /// The broker took it back; that the client settles it late is no error.
    Ended,
    /// Settled, in the middle of others.
    Gone,
}

/// A tag that was taken out; without a delivery if the broker had taken that back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub(super) tag: u64,
    pub(super) delivery: Option<DeliveryRef>,
}

/// The channel does not hold this tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UnknownTag;

impl Unacked {
    /// The next tag, for a delivery that is to be settled.
    pub(super) fn push(&mut self, delivery: DeliveryRef) -> u64 {
        self.last_tag += 1;
        self.entries.push_back(Entry { tag: self.last_tag, held: Held::Here(delivery) });
        self.last_tag
    }

    /// The next tag, for a delivery that is settled already.
    pub(super) fn skip(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// The last tag given out.
    pub(super) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// Takes out one tag.
    pub(super) fn take(&mut self, tag: u64) -> Result<Taken, UnknownTag> {
        let at = self.find(tag).ok_or(UnknownTag)?;
        let entry = self.entries.get_mut(at).ok_or(UnknownTag)?;
        let taken = entry.taken();
        entry.held = Held::Gone;
        self.holes += 1;
        self.tidy();
        Ok(taken)
    }

    /// Takes out all tags up to this one, in order; 0 means all there are.
    pub(super) fn take_upto(&mut self, tag: u64, mut each: impl FnMut(Taken)) -> Result<(), UnknownTag> {
        let count = if tag == 0 { self.entries.len() } else { self.find(tag).ok_or(UnknownTag)? + 1 };
        for entry in self.entries.drain(..count) {
            if entry.held == Held::Gone {
                self.holes -= 1;
            } else {
                each(entry.taken());
            }
        }
        self.tidy();
        Ok(())
    }

    /// Puts back what a transaction had taken out.
    pub(super) fn restore(&mut self, mut taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        let mut entries: Vec<Entry> =
            self.entries.drain(..).filter(|entry| entry.held != Held::Gone).collect();
        entries.extend(
            taken
                .drain(..)
                .map(|taken| Entry { tag: taken.tag, held: taken.delivery.map_or(Held::Ended, Held::Here) }),
        );
        entries.sort_unstable_by_key(|entry| entry.tag);
        self.entries = entries.into();
        self.holes = 0;
    }

    /// The broker took a delivery back. Leases end oldest first, so the search from the front is short.
    pub(super) fn lease_ended(&mut self, delivery: DeliveryRef) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.held == Held::Here(delivery)) {
            entry.held = Held::Ended;
        }
    }

    /// The broker took everything back. Tags up to `upto` are forgotten, later ones may still be settled, to no effect:
    /// the client could not know.
    pub(super) fn recovered(&mut self, upto: u64) {
        self.entries.retain(|entry| entry.tag > upto && entry.held != Held::Gone);
        self.entries.iter_mut().for_each(|entry| entry.held = Held::Ended);
        self.holes = 0;
    }

    fn find(&self, tag: u64) -> Option<usize> {
        let at = match self.entries.front() {
            Some(first) if first.tag == tag => 0,
            _ => self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?,
        };
        self.entries.get(at).filter(|entry| entry.held != Held::Gone).map(|_| at)
    }

    /// Drops holes at both ends, and all of them when they are the most.
    fn tidy(&mut self) {
        let gone = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.held == Held::Gone);
        while gone(self.entries.front()) {
            self.entries.pop_front();
            self.holes -= 1;
        }
        while gone(self.entries.back()) {
            self.entries.pop_back();
            self.holes -= 1;
        }
        if self.holes > 32 && self.holes > self.entries.len() / 2 {
            self.entries.retain(|entry| entry.held != Held::Gone);
            self.holes = 0;
        }
    }
}

impl Entry {
    fn taken(&self) -> Taken {
        let delivery = match self.held {
            Held::Here(delivery) => Some(delivery),
            Held::Ended | Held::Gone => None,
        };
        Taken { tag: self.tag, delivery }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use baton_model::{Fence, QueueId, Seq};
    use proptest::prelude::*;

    use super::*;

    fn at(seq: u64) -> DeliveryRef {
        DeliveryRef { queue: QueueId(1), seq: Seq(seq), fence: Fence(seq) }
    }

    #[derive(Clone, Debug)]
    enum Do {
        Push,
        Skip,
        Take(u64),
        Upto(u64),
        End(u64),
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map(ops in prop::collection::vec(prop_oneof![
            3 => Just(Do::Push), 1 => Just(Do::Skip), 3 => (0..80_u64).prop_map(Do::Take),
            1 => (0..80_u64).prop_map(Do::Upto), 1 => (1..80_u64).prop_map(Do::End)], 0..200)) {
            let mut unacked = Unacked::default();
            let mut model: BTreeMap<u64, Option<DeliveryRef>> = BTreeMap::new();
            for op in ops {
                match op {
                    Do::Push => {
                        let seq = unacked.last_tag() + 1;
                        let tag = unacked.push(at(seq));
                        model.insert(tag, Some(at(seq)));
                    }
                    Do::Skip => {
                        unacked.skip();
                    }
                    Do::Take(tag) => {
                        let expected = model.remove(&tag).map(|delivery| Taken { tag, delivery });
                        prop_assert_eq!(unacked.take(tag).ok(), expected);
                    }
                    Do::Upto(tag) => {
                        let known = tag == 0 || model.contains_key(&tag);
                        let mut taken = Vec::new();
                        let result = unacked.take_upto(tag, |t| taken.push(t));
                        prop_assert_eq!(result.is_ok(), known);
                        let upto = if known { if tag == 0 { u64::MAX } else { tag } } else { 0 };
                        let expected: Vec<_> = model.iter().filter(|(t, _)| **t <= upto)
                            .map(|(tag, delivery)| Taken { tag: *tag, delivery: *delivery }).collect();
                        model.retain(|t, _| *t > upto);
                        prop_assert_eq!(taken, expected);
                    }
                    Do::End(tag) => {
                        unacked.lease_ended(at(tag));
                        if let Some(held) = model.get_mut(&tag) {
                            *held = None;
                        }
                    }
                }
                prop_assert_eq!(unacked.entries.len() - unacked.holes, model.len());
            }
        }
    }

    #[test]
    fn one_that_is_never_settled_does_not_keep_the_others() {
        let mut unacked = Unacked::default();
        unacked.push(at(0));
        for seq in 1..100_000 {
            let tag = unacked.push(at(seq));
            unacked.push(at(seq));
            assert!(unacked.take(tag).is_ok() && unacked.take(tag + 1).is_ok());
        }
        assert!(unacked.entries.len() < 100);
    }

    #[test]
    fn what_a_transaction_took_comes_back_in_order() {
        let mut unacked = Unacked::default();
        for seq in 1..=5 {
            unacked.push(at(seq));
        }
        let taken = vec![unacked.take(4).unwrap(), unacked.take(2).unwrap()];
        unacked.restore(taken);
        let mut all = Vec::new();
        unacked.take_upto(0, |taken| all.push(taken.tag)).unwrap();
        assert_eq!(all, [1, 2, 3, 4, 5]);
        for seq in 6..=8 {
            unacked.push(at(seq));
        }
        unacked.recovered(7);
        assert_eq!(unacked.take(7), Err(UnknownTag));
        assert_eq!(unacked.take(8), Ok(Taken { tag: 8, delivery: None }));
    }
}
