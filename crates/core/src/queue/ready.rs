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
    /// Kept from the first consumer on that filters.
    comebacks: Option<Box<Comebacks>>,
}

/// Places that came back lately, for consumers that had looked at them and gone on.
#[derive(Debug, Default)]
struct Comebacks {
    /// The greatest place added so far: a smaller one comes back.
    newest: u64,
    /// Number of the first of `places`.
    first: u64,
    places: VecDeque<(u8, u64)>,
}

/// Comebacks that are remembered. A consumer that has missed more looks at everything again.
const COMEBACKS_MAX: usize = 1_024;

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
        if let Some(comebacks) = &mut self.comebacks {
            comebacks.note(priority, seq.0);
        }
        let level = self.level(priority);
        match level.fresh.back_mut() {
            Some((first, count)) if *first + *count == seq.0 => *count += 1,
            Some((first, count)) if *first + *count > seq.0 => level.insert_before(seq.0),
            _ => level.fresh.push_back((seq.0, 1)),
        }
    }

    /// Remembers places that come back, from now on. Returns the number of the next one.
    pub(crate) fn watch(&mut self) -> u64 {
        let newest = self.levels.iter().filter_map(Level::last).max().unwrap_or_default();
        let comebacks =
            self.comebacks.get_or_insert_with(|| Box::new(Comebacks { newest, ..Comebacks::default() }));
        comebacks.first + comebacks.places.len() as u64
    }

    /// Places and priorities that came back since the one of that number. `None`: too many to remember.
    pub(crate) fn comebacks(&self, since: u64) -> Option<impl Iterator<Item = (u8, u64)> + '_> {
        let comebacks = self.comebacks.as_ref()?;
        let skip = usize::try_from(since.checked_sub(comebacks.first)?).ok()?;
        (skip <= comebacks.places.len()).then(|| comebacks.places.iter().skip(skip).copied())
    }

    /// Priorities of which there are or were messages, highest first.
    pub(crate) fn priorities(&self) -> impl Iterator<Item = u8> + '_ {
        self.levels.iter().map(|level| level.priority)
    }

    /// The first place of a priority that is not before `from`.
    pub(crate) fn next_from(&self, priority: u8, from: u64) -> Option<u64> {
        let level = self.levels.iter().find(|level| level.priority == priority)?;
        let run = level.fresh.partition_point(|(first, count)| first + count <= from);
        let fresh = level.fresh.get(run).map(|(first, _)| (*first).max(from));
        let returned = level.returned.range(from..).next().copied();
        match (fresh, returned) {
            (Some(fresh), Some(returned)) => Some(fresh.min(returned)),
            (fresh, returned) => fresh.or(returned),
        }
    }

    /// The last place and its priority, left where it is.
    pub(crate) fn peek_back(&self) -> Option<(u8, Seq)> {
        self.levels.iter().rev().find_map(|level| Some((level.priority, Seq(level.last()?))))
    }

    /// All places in the order in which they are next, as runs of consecutive ones.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.levels.iter().flat_map(|level| Merge {
            a: level.fresh.iter().copied().peekable(),
            b: level.returned.iter().map(|seq| (*seq, 1)).peekable(),
            down: false,
        })
    }

    /// As [`Ready::runs`], from the last to the first; each run still begins with its lowest place.
    pub(crate) fn runs_back(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.levels.iter().rev().flat_map(|level| Merge {
            a: level.fresh.iter().rev().copied().peekable(),
            b: level.returned.iter().rev().map(|seq| (*seq, 1)).peekable(),
            down: true,
        })
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

impl Comebacks {
    fn note(&mut self, priority: u8, seq: u64) {
        if seq > self.newest {
            self.newest = seq;
            return;
        }
        self.places.push_back((priority, seq));
        if self.places.len() > COMEBACKS_MAX {
            self.places.pop_front();
            self.first += 1;
        }
    }
}

/// Two rows of disjoint runs as one, by their places.
struct Merge<A: Iterator<Item = (u64, u64)>, B: Iterator<Item = (u64, u64)>> {
    a: std::iter::Peekable<A>,
    b: std::iter::Peekable<B>,
    down: bool,
}

impl<A: Iterator<Item = (u64, u64)>, B: Iterator<Item = (u64, u64)>> Iterator for Merge<A, B> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        match (self.a.peek(), self.b.peek()) {
            (Some((a, _)), Some((b, _))) if (a < b) == self.down => self.b.next(),
            (None, Some(_)) => self.b.next(),
            _ => self.a.next(),
        }
    }
}

impl Level {
    /// Adds a place that is not behind all others: in front of them if it fits there, so that pushing in front costs no more than
    /// pushing at the back.
    fn insert_before(&mut self, seq: u64) {
        match self.fresh.front_mut() {
            Some((first, count)) if *first == seq + 1 => {
                *first = seq;
                *count += 1;
            }
            _ => {
                self.returned.insert(seq);
            }
        }
    }

    fn last(&self) -> Option<u64> {
        let fresh = self.fresh.back().map(|(first, count)| first + count - 1);
        fresh.max(self.returned.last().copied())
    }

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
    fn places_are_told_in_order_from_both_ends() {
        let mut ready = Ready::default();
        for seq in [10, 11, 12, 20, 21] {
            ready.insert(0, Seq(seq));
        }
        ready.insert(0, Seq(15));
        ready.insert(0, Seq(9));
        ready.insert(0, Seq(3));
        assert_eq!(ready.runs().collect::<Vec<_>>(), [(3, 1), (9, 4), (15, 1), (20, 2)]);
        assert_eq!(ready.runs_back().collect::<Vec<_>>(), [(20, 2), (15, 1), (9, 4), (3, 1)]);
        assert_eq!(ready.peek_back(), Some((0, Seq(21))));
        ready.remove(0, Seq(21));
        ready.remove(0, Seq(20));
        assert_eq!(ready.peek_back(), Some((0, Seq(15))));
        assert_eq!(drain(&mut ready), [3, 9, 10, 11, 12, 15]);
    }

    #[test]
    fn places_are_found_from_any_other_on_and_comebacks_are_told() {
        let mut ready = Ready::default();
        for seq in [1, 2, 3, 7, 8] {
            ready.insert(0, Seq(seq));
        }
        let found = |ready: &Ready, from| ready.next_from(0, from);
        assert_eq!(
            [0, 2, 4, 8, 9].map(|from| found(&ready, from)),
            [Some(1), Some(2), Some(7), Some(8), None]
        );
        let since = ready.watch();
        assert_eq!(ready.pop(), Some(Seq(1)));
        ready.insert(0, Seq(9));
        ready.insert(0, Seq(1));
        assert_eq!(found(&ready, 0), Some(1));
        assert_eq!(ready.comebacks(since).unwrap().collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!(ready.comebacks(ready.comebacks(since).unwrap().count() as u64).unwrap().count(), 0);
        for _ in 0..=COMEBACKS_MAX {
            ready.remove(0, Seq(1));
            ready.insert(0, Seq(1));
        }
        assert!(ready.comebacks(since).is_none(), "too many to remember");
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
