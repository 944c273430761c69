//! How much of the journal is live: bytes of contents that messages still refer to, counted in equal stretches of positions.
//! A segment in which no stretch holds anything live can go. Nothing is searched: a position's stretch is a division away.
//!
//! What a message gave up counts as given up only when the record that says so is durable: until then a crash brings the
//! message back.

use std::collections::VecDeque;

use baton_core::Stored;
use baton_journal::{Position, SegmentInfo};

/// Length of a stretch. Segments have 2 MiB and more; a content that begins at the end of a neighbour's stretch can keep a
/// segment a little longer than needed, so stretches are much shorter than segments.
const STRETCH_BYTES: u64 = 256 << 10;

/// Bytes given up, by stretch, not yet counted.
#[derive(Debug, Default)]
pub(crate) struct Freed(Vec<(u64, u64)>);

/// Live bytes by stretch.
#[derive(Debug, Default)]
pub(crate) struct Live {
    first: u64,
    bytes: VecDeque<u64>,
    total_bytes: u64,
    /// A stretch became empty since this was last taken back.
    emptied: bool,
}

impl Freed {
    pub(crate) fn add(&mut self, at: Stored) {
        let stretch = at.position / STRETCH_BYTES;
        let len = u64::from(at.len_bytes);
        match self.0.last_mut() {
            Some((last, bytes)) if *last == stretch => *bytes += len,
            _ => self.0.push((stretch, len)),
        }
    }
}

impl Live {
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(crate) fn add(&mut self, at: Stored) {
        let stretch = at.position / STRETCH_BYTES;
        if self.bytes.is_empty() {
            self.first = stretch;
        }
        while stretch < self.first {
            self.bytes.push_front(0);
            self.first -= 1;
        }
        let index = usize::try_from(stretch - self.first).unwrap_or(usize::MAX);
        if index >= self.bytes.len() {
            self.bytes.resize(index + 1, 0);
        }
        if let Some(bytes) = self.bytes.get_mut(index) {
            *bytes += u64::from(at.len_bytes);
            self.total_bytes += u64::from(at.len_bytes);
        }
    }

    /// Counts what was given up. `freed` is empty afterwards.
    pub(crate) fn subtract(&mut self, freed: &mut Freed) {
        for (stretch, len) in freed.0.drain(..) {
            let index = stretch.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            let Some(bytes) = index.and_then(|index| self.bytes.get_mut(index)) else { continue };
            debug_assert!(*bytes >= len, "more was given up than there was");
            let len = len.min(*bytes);
            *bytes -= len;
            self.total_bytes -= len;
            self.emptied |= *bytes == 0;
        }
    }

    /// Whether something may have become removable since the last time this was asked.
    pub(crate) fn take_emptied(&mut self) -> bool {
        std::mem::take(&mut self.emptied)
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
            .filter(|segment| self.is_empty(segment.base, segment.end))
            .map(|segment| segment.base)
    }

    /// Forgets empty stretches in front of `base`, so that this does not grow with the age of the journal.
    pub(crate) fn forget_before(&mut self, base: Position) {
        while self.first < base.0 / STRETCH_BYTES && self.bytes.front() == Some(&0) {
            self.bytes.pop_front();
            self.first += 1;
        }
    }

    fn is_empty(&self, base: Position, end: Position) -> bool {
        let (from, to) = (base.0 / STRETCH_BYTES, end.0.saturating_sub(1) / STRETCH_BYTES);
        (from.max(self.first)..=to).all(|stretch| {
            let index = usize::try_from(stretch - self.first).unwrap_or(usize::MAX);
            self.bytes.get(index).is_none_or(|bytes| *bytes == 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Stored {
        Stored { position, len_bytes: 100 }
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
}
