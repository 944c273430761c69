//! How much of the journal is live: bytes of contents that messages still refer to, and of pages of their indexes, counted in
//! equal stretches of positions. A segment in which no stretch holds anything live can go. Nothing is searched: a position's
//! stretch is a division away.
//!
//! What a message gave up counts as given up only when the record that says so is durable: until then a crash brings the
//! message back.

use std::collections::VecDeque;

use baton_core::{Held, STRETCH_BYTES};
use baton_journal::{Position, SegmentInfo};

/// Bytes given up, by stretch, not yet counted.
#[derive(Debug, Default)]
pub(crate) struct Freed(Vec<Held>);

/// Live bytes by stretch.
#[derive(Debug, Default)]
pub(crate) struct Live {
    first: u64,
    bytes: VecDeque<u64>,
    total_bytes: u64,
    /// All that was ever given up.
    given_up_bytes: u64,
    /// A stretch became empty since this was last taken back.
    emptied: bool,
}

/// Pages given up. A snapshot that could still be used may name them, so they count as live until neither the newest nor the
/// one before it does.
#[derive(Debug, Default)]
pub(crate) struct FreedPages {
    /// Since the newest snapshot began.
    fresh: Vec<Held>,
    /// Before the one that is being written began.
    writing: Vec<Held>,
    /// Before the newest one began: the one before it may name them.
    older: Vec<Held>,
    /// All of these, by stretch.
    named: Live,
}

impl Freed {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, at: Held) {
        match self.0.last_mut() {
            Some(last) if last.stretch == at.stretch => last.bytes += at.bytes,
            _ => self.0.push(at),
        }
    }
}

impl FreedPages {
    pub(crate) fn add(&mut self, at: Held) {
        self.named.add(at);
        self.fresh.push(at);
    }

    /// What counts as live only because a snapshot may name it.
    pub(crate) fn named(&self) -> &Live {
        &self.named
    }

    /// As [`Live::forget_before`].
    pub(crate) fn forget_before(&mut self, base: Position) {
        self.named.forget_before(base);
    }

    /// A snapshot begins: it names none of those given up so far.
    pub(crate) fn begin(&mut self) {
        self.writing.append(&mut self.fresh);
    }

    /// The snapshot counts. Returns what nobody names any more.
    pub(crate) fn end(&mut self) -> Freed {
        let named_by_none = std::mem::replace(&mut self.older, std::mem::take(&mut self.writing));
        let mut freed = Freed::default();
        for at in named_by_none {
            self.named.take(at);
            freed.add(at);
        }
        freed
    }
}

impl Live {
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(crate) fn add(&mut self, at: Held) {
        if self.bytes.is_empty() {
            self.first = at.stretch;
        }
        while at.stretch < self.first {
            self.bytes.push_front(0);
            self.first -= 1;
        }
        let index = usize::try_from(at.stretch - self.first).unwrap_or(usize::MAX);
        if index >= self.bytes.len() {
            self.bytes.resize(index + 1, 0);
        }
        if let Some(bytes) = self.bytes.get_mut(index) {
            *bytes += at.bytes;
            self.total_bytes += at.bytes;
        }
    }

    /// Counts what was given up. `freed` is empty afterwards.
    pub(crate) fn subtract(&mut self, freed: &mut Freed) {
        freed.0.drain(..).for_each(|at| self.take(at));
    }

    fn take(&mut self, Held { stretch, bytes: len }: Held) {
        let index = stretch.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(bytes) = index.and_then(|index| self.bytes.get_mut(index)) else { return };
        debug_assert!(*bytes >= len, "more was given up than there was");
        let len = len.min(*bytes);
        *bytes -= len;
        self.total_bytes -= len;
        self.given_up_bytes = self.given_up_bytes.saturating_add(len);
        self.emptied |= *bytes == 0;
    }

    /// All that was ever given up.
    pub(crate) fn given_up_bytes(&self) -> u64 {
        self.given_up_bytes
    }

    /// For how many stretches this counts.
    pub(crate) fn stretches(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether something may have become removable since the last time this was asked.
    pub(crate) fn take_emptied(&mut self) -> bool {
        std::mem::take(&mut self.emptied)
    }

    /// Live bytes between two positions, those of their whole stretches.
    pub(crate) fn between(&self, base: Position, end: Position) -> u64 {
        let (from, to) = (base.0 / STRETCH_BYTES, end.0.saturating_sub(1) / STRETCH_BYTES);
        (from.max(self.first)..=to)
            .map_while(|stretch| usize::try_from(stretch - self.first).ok())
            .map_while(|index| self.bytes.get(index))
            .sum()
    }

    /// Sealed segments with nothing live, all of them before `covered` (what the newest snapshot holds).
    pub(crate) fn dead<'a>(
        &'a self,
        segments: &'a [SegmentInfo],
        covered: Position,
    ) -> impl Iterator<Item = Position> + 'a {
        segments
            .iter()
            .filter(move |segment| segment.sealed && segment.end <= covered)
            .filter(|segment| self.between(segment.base, segment.end) == 0)
            .map(|segment| segment.base)
    }

    /// Forgets empty stretches in front of `base`, so that this does not grow with the age of the journal.
    pub(crate) fn forget_before(&mut self, base: Position) {
        while self.first < base.0 / STRETCH_BYTES && self.bytes.front() == Some(&0) {
            self.bytes.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stretch's worth of 100 bytes at a position.
    fn at(position: u64) -> Held {
        Held { stretch: position / STRETCH_BYTES, bytes: 100 }
    }

    fn segment(base: u64, end: u64, sealed: bool) -> SegmentInfo {
        SegmentInfo { base: Position(base), end: Position(end), sealed, file_bytes: end - base }
    }

    #[test]
    fn a_segment_is_dead_when_all_in_it_was_given_up() {
        const MIB: u64 = 1 << 20;
        let mut live = Live::default();
        [MIB, MIB + 5000, 3 * MIB, 5 * MIB].into_iter().for_each(|position| live.add(at(position)));
        assert_eq!(live.total_bytes(), 400);
        let segments =
            [segment(0, 2 * MIB, true), segment(2 * MIB, 4 * MIB, true), segment(4 * MIB, 6 * MIB, false)];
        let dead = |live: &Live, covered| live.dead(&segments, Position(covered)).collect::<Vec<_>>();
        assert!(dead(&live, 6 * MIB).is_empty());
        assert_eq!(live.between(Position(0), Position(2 * MIB)), 200);
        let mut freed = Freed::default();
        [MIB, MIB + 5000].into_iter().for_each(|position| freed.add(at(position)));
        live.subtract(&mut freed);
        assert!(live.take_emptied() && !live.take_emptied());
        assert_eq!(dead(&live, 6 * MIB), [Position(0)]);
        assert!(dead(&live, 2 * MIB - 1).is_empty(), "a snapshot must cover it whole");
        [3 * MIB, 5 * MIB].into_iter().for_each(|position| freed.add(at(position)));
        live.subtract(&mut freed);
        assert_eq!(dead(&live, 6 * MIB), [Position(0), Position(2 * MIB)], "the active one stays");
        assert_eq!(live.total_bytes(), 0);
        live.forget_before(Position(4 * MIB));
        live.add(at(MIB));
        assert!(dead(&live, 6 * MIB).contains(&Position(2 * MIB)));
        assert!(!dead(&live, 6 * MIB).contains(&Position(0)));
    }

    #[test]
    fn a_page_is_given_up_when_no_snapshot_that_counts_names_it() {
        let mut live = Live::default();
        live.add(at(0));
        let mut pages = FreedPages::default();
        pages.add(at(0));
        let mut snapshot = |pages: &mut FreedPages| {
            pages.begin();
            live.subtract(&mut pages.end());
            live.total_bytes()
        };
        assert_eq!(snapshot(&mut pages), 100, "the snapshot before may name it");
        assert_eq!(snapshot(&mut pages), 0);
        assert_eq!(pages.named().total_bytes(), 0);
    }

    #[test]
    fn a_snapshot_that_fails_gives_up_nothing() {
        let mut pages = FreedPages::default();
        pages.add(at(0));
        pages.begin();
        pages.add(at(STRETCH_BYTES));
        pages.begin();
        assert!(pages.end().0.is_empty());
        assert_eq!(pages.end().0.len(), 2, "both count with the next one that succeeds");
    }
}
