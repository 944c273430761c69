//! Which messages are next: by priority, then by place. O(1) for messages that come in order, O(log n) for those that come back.
//!
//! Taking a message from the middle (it expired, was deleted) splits a run: O(log n) to find, and a shift of the runs behind.

use std::collections::{BTreeSet, VecDeque};

use baton_model::Seq;
use smallvec::SmallVec;

/// Ready messages of one queue, or of one key.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Highest priority first; a level exists from its first message on.
    levels: SmallVec<[Level; 1]>,
}

#[derive(Debug)]
struct Level {
    priority: u8,
    /// Places that came in order, as runs.
    fresh: VecDeque<(u64, u64)>,
    /// Places that came back.
    returned: BTreeSet<u64>,
}

impl Ready {
    /// Adds a place, wherever it belongs.
    pub(crate) fn insert(&mut self, priority: u8, seq: Seq) {
        let level = self.level(priority);
        match level.fresh.back_mut() {
            Some((first, count)) if *first + *count == seq.0 => *count += 1,
            Some((first, count)) if *first + *count > seq.0 => {
                level.returned.insert(seq.0);
            }
            _ => level.fresh.push_back((seq.0, 1)),
        }
    }

    /// The next place and its priority, left where it is.
    pub(crate) fn peek(&self) -> Option<(u8, Seq)> {
        self.levels.iter().find_map(|level| Some((level.priority, Seq(level.peek()?))))
    }

    /// Takes out the next place.
    pub(crate) fn pop(&mut self) -> Option<Seq> {
        self.levels.iter_mut().find_map(Level::pop).map(Seq)
    }

    /// Takes out a place, if it is there.
    pub(crate) fn remove(&mut self, priority: u8, seq: Seq) {
        if let Some(level) = self.levels.iter_mut().find(|level| level.priority == priority) {
            level.remove(seq.0);
        }
    }

    fn level(&mut self, priority: u8) -> &mut Level {
        let index = self.levels.iter().position(|level| level.priority <= priority);
        let index = match index {
            Some(index) if self.levels.get(index).is_some_and(|level| level.priority == priority) => index,
            other => {
                let index = other.unwrap_or(self.levels.len());
                let level = Level { priority, fresh: VecDeque::new(), returned: BTreeSet::new() };
                self.levels.insert(index, level);
                index
            }
        };
        self.levels.get_mut(index).expect("the level was found or made")
    }
}

impl Level {
    fn peek(&self) -> Option<u64> {
        let fresh = self.fresh.front().map(|(first, _)| *first);
        let returned = self.returned.first().copied();
        match (fresh, returned) {
            (Some(fresh), Some(returned)) => Some(fresh.min(returned)),
            (fresh, returned) => fresh.or(returned),
        }
    }

    fn remove(&mut self, seq: u64) {
        let Some(front) = self.fresh.front() else {
            self.returned.remove(&seq);
            return;
        };
        if seq < front.0 {
            self.returned.remove(&seq);
            return;
        }
        let index = self.fresh.partition_point(|(first, _)| *first <= seq).saturating_sub(1);
        let Some((first, count)) = self.fresh.get(index).copied() else { return };
        if seq >= first + count {
            self.returned.remove(&seq);
            return;
        }
        self.fresh.remove(index);
        if seq + 1 < first + count {
            self.fresh.insert(index, (seq + 1, first + count - seq - 1));
        }
        if first < seq {
            self.fresh.insert(index, (first, seq - first));
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let fresh = self.fresh.front_mut();
        match (fresh, self.returned.first()) {
            (Some((first, _)), Some(returned)) if *returned < *first => self.returned.pop_first(),
            (Some((first, count)), _) => {
                let seq = *first;
                *first += 1;
                *count -= 1;
                if *count == 0 {
                    self.fresh.pop_front();
                }
                Some(seq)
            }
            (None, _) => self.returned.pop_first(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ready: &mut Ready) -> Vec<u64> {
        std::iter::from_fn(|| ready.pop()).map(|seq| seq.0).collect()
    }

    #[test]
    fn places_leave_by_priority_then_by_place_wherever_they_came_from() {
        let mut ready = Ready::default();
        for seq in 1..=4 {
            ready.insert(0, Seq(seq));
        }
        ready.insert(9, Seq(5));
        assert_eq!(ready.pop(), Some(Seq(5)));
        assert_eq!(ready.pop(), Some(Seq(1)));
        assert_eq!(ready.pop(), Some(Seq(2)));
        ready.insert(0, Seq(1));
        ready.insert(0, Seq(7));
        ready.insert(5, Seq(6));
        assert_eq!(ready.peek(), Some((5, Seq(6))));
        assert_eq!(drain(&mut ready), [6, 1, 3, 4, 7]);
    }

    #[test]
    fn a_place_is_taken_from_anywhere() {
        let mut ready = Ready::default();
        for seq in 1..=6 {
            ready.insert(0, Seq(seq));
        }
        ready.remove(0, Seq(1));
        ready.remove(0, Seq(4));
        ready.remove(0, Seq(6));
        ready.insert(0, Seq(1));
        ready.insert(0, Seq(4));
        ready.remove(0, Seq(1));
        ready.remove(0, Seq(99));
        assert_eq!(drain(&mut ready), [2, 3, 4, 5]);
    }
}
