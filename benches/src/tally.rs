//! The bookkeeping of a run: which publishes are confirmed ([`ConfirmWindow`], one per producer), which messages
//! arrived and how often ([`Arrivals`], one per consumer), and the verdict over both ([`verdict`]). Pure data, no
//! sockets. Called by `producer`, `consumer` and `scenarios`; the crash test keeps its own, richer `crash::ledger`.

use serde::Serialize;

use crate::wire::scan::Confirm;

/// How far the newest publish may be ahead of the oldest unsettled one. Far above the limit of unconfirmed messages,
/// since a server may confirm out of order.
const SPAN_MAX: u64 = 1 << 14;
/// The same as a length.
const SPAN_SLOTS: usize = 1 << 14;

/// The publishes of one channel that wait for their confirm.
#[derive(Debug)]
pub struct ConfirmWindow {
    /// All sequences below are settled.
    floor: u64,
    /// The next sequence to be sent.
    next: u64,
    outstanding: u64,
    limit: u64,
    settled: Vec<bool>,
    refused: Vec<u64>,
}

impl ConfirmWindow {
    /// A window in which at most `limit` messages are unconfirmed.
    pub fn new(limit: usize) -> ConfirmWindow {
        ConfirmWindow {
            floor: 0,
            next: 0,
            outstanding: 0,
            limit: limit as u64,
            settled: vec![false; SPAN_SLOTS],
            refused: Vec::new(),
        }
    }

    /// How many messages may be sent now.
    pub fn room(&self) -> usize {
        let by_limit = self.limit.saturating_sub(self.outstanding);
        let by_span = SPAN_MAX - (self.next - self.floor);
        usize::try_from(by_limit.min(by_span)).unwrap_or(usize::MAX)
    }

    /// Notes that `count` further messages were sent; at most [`ConfirmWindow::room`].
    pub fn sent(&mut self, count: usize) {
        self.next += count as u64;
        self.outstanding += count as u64;
    }

    /// How many messages wait for a confirm.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// How many messages the server took responsibility for.
    pub fn confirmed(&self) -> u64 {
        self.next - self.outstanding - self.refused.len() as u64
    }

    /// Takes a confirm; tags count from 1, sequences from 0. Tag 0 with `multiple` means all so far.
    pub fn settle(&mut self, confirm: Confirm) {
        let last = if confirm.tag == 0 && confirm.multiple { self.next } else { confirm.tag };
        let Some(last) = last.checked_sub(1).filter(|last| *last < self.next) else { return };
        let first = if confirm.multiple { self.floor } else { last };
        for sequence in first.max(self.floor)..=last {
            self.settle_one(sequence, confirm.positive);
        }
        while self.floor < self.next
            && let Some(settled) = self.settled.get_mut(slot(self.floor))
            && *settled
        {
            *settled = false;
            self.floor += 1;
        }
    }

    fn settle_one(&mut self, sequence: u64, positive: bool) {
        if let Some(settled) = self.settled.get_mut(slot(sequence))
            && !*settled
        {
            *settled = true;
            self.outstanding -= 1;
            if !positive {
                self.refused.push(sequence);
            }
        }
    }

    /// Ends the window: which sequences were sent, and which of them carry no promise.
    pub fn finish(self) -> Published {
        let unsettled = (self.floor..self.next)
            .filter(|sequence| self.settled.get(slot(*sequence)).is_none_or(|settled| !settled))
            .collect();
        Published { count: self.next, refused: self.refused, unsettled }
    }
}

/// Where a sequence's state stands in the ring.
fn slot(sequence: u64) -> usize {
    usize::try_from(sequence % SPAN_MAX).expect("below SPAN_SLOTS, a usize")
}

/// What one producer sent: sequences `0..count`, all confirmed but the listed ones.
#[derive(Debug, Default)]
pub struct Published {
    /// How many were sent.
    pub count: u64,
    /// Those the server refused (basic.nack).
    pub refused: Vec<u64>,
    /// Those without an answer when the run ended.
    pub unsettled: Vec<u64>,
}

impl Published {
    /// How many of them the server took responsibility for.
    pub fn confirmed(&self) -> u64 {
        self.count - (self.refused.len() + self.unsettled.len()) as u64
    }
}

/// A growing set of sequences.
#[derive(Debug, Default, Clone)]
pub struct Bitmap(Vec<u64>);

impl Bitmap {
    /// Adds a sequence; false when it was there already.
    pub fn insert(&mut self, sequence: u64) -> bool {
        let word = usize::try_from(sequence / 64).expect("sequences of a run fit in memory");
        if word >= self.0.len() {
            self.0.resize(word + 1024, 0);
        }
        let Some(bits) = self.0.get_mut(word) else { return false };
        let mask = 1 << (sequence % 64);
        let fresh = *bits & mask == 0;
        *bits |= mask;
        fresh
    }

    /// Whether the sequence is in the set.
    pub fn contains(&self, sequence: u64) -> bool {
        usize::try_from(sequence / 64)
            .ok()
            .and_then(|word| self.0.get(word))
            .is_some_and(|bits| bits & (1 << (sequence % 64)) != 0)
    }

    /// How many sequences are in the set.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds all of `other`; returns how many were in both.
    pub fn merge(&mut self, other: &Bitmap) -> u64 {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut both = 0;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            both += u64::from((*mine & theirs).count_ones());
            *mine |= theirs;
        }
        both
    }
}

/// What one consumer received, by producer.
#[derive(Debug, Default)]
pub struct Arrivals {
    by_producer: Vec<Bitmap>,
    repeats: u64,
}

impl Arrivals {
    /// Notes an arrival; false when this consumer had the message before.
    pub fn note(&mut self, producer: u32, sequence: u64) -> bool {
        let index = producer as usize;
        if index >= self.by_producer.len() {
            self.by_producer.resize_with(index + 1, Bitmap::default);
        }
        let fresh = self.by_producer.get_mut(index).is_some_and(|bitmap| bitmap.insert(sequence));
        self.repeats += u64::from(!fresh);
        fresh
    }

    /// Joins what another consumer received; messages that both had count as repeated.
    pub fn merge(&mut self, other: &Arrivals) {
        self.repeats += other.repeats;
        if other.by_producer.len() > self.by_producer.len() {
            self.by_producer.resize_with(other.by_producer.len(), Bitmap::default);
        }
        for (mine, theirs) in self.by_producer.iter_mut().zip(&other.by_producer) {
            self.repeats += mine.merge(theirs);
        }
    }
}

/// What became of every message of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Messages sent.
    pub published: u64,
    /// Messages that the server confirmed.
    pub confirmed: u64,
    /// Messages that the server refused.
    pub refused: u64,
    /// Messages received, each counted once.
    pub received: u64,
    /// Further receipts of messages already received.
    pub duplicates: u64,
    /// Confirmed messages that never arrived. Anything but 0 fails the run.
    pub lost: u64,
    /// Received messages that were never sent. Anything but 0 fails the run.
    pub unknown: u64,
}

/// Judges a run: `published` by producer number, `arrivals` merged over all consumers.
pub fn verdict(published: &[Published], arrivals: &Arrivals) -> Verdict {
    let mut verdict = Verdict { duplicates: arrivals.repeats, ..Verdict::default() };
    let nothing = Bitmap::default();
    for (producer, sent) in published.iter().enumerate() {
        let arrived = arrivals.by_producer.get(producer).unwrap_or(&nothing);
        let without_promise = |sequence: &u64| !arrived.contains(*sequence);
        let missing = (0..sent.count).filter(without_promise).count() as u64;
        let excused = sent.refused.iter().chain(&sent.unsettled).filter(|s| without_promise(s));
        verdict.lost += missing - excused.count() as u64;
        verdict.published += sent.count;
        verdict.refused += sent.refused.len() as u64;
        verdict.confirmed += sent.confirmed();
        verdict.received += arrived.len();
        verdict.unknown += arrived.len() - (sent.count - missing);
    }
    for stranger in arrivals.by_producer.iter().skip(published.len()) {
        verdict.unknown += stranger.len();
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(tag: u64, multiple: bool) -> Confirm {
        Confirm { tag, multiple, positive: true }
    }

    #[test]
    fn the_window_opens_as_confirms_come_in_any_order() {
        let mut window = ConfirmWindow::new(4);
        assert_eq!(window.room(), 4);
        window.sent(4);
        assert_eq!(window.room(), 0);
        window.settle(ack(3, false));
        assert_eq!((window.room(), window.outstanding()), (1, 3));
        window.settle(ack(3, false));
        assert_eq!(window.outstanding(), 3, "a second confirm of the same message changes nothing");
        window.settle(ack(2, true));
        assert_eq!(window.outstanding(), 1);
        window.sent(3);
        window.settle(ack(0, true));
        assert_eq!((window.outstanding(), window.confirmed()), (0, 7));
        window.settle(ack(99, true));
        let published = window.finish();
        assert_eq!((published.count, published.unsettled.len()), (7, 0));
    }

    #[test]
    fn refused_and_unanswered_messages_carry_no_promise() {
        let mut window = ConfirmWindow::new(8);
        window.sent(6);
        window.settle(Confirm { tag: 2, multiple: false, positive: false });
        window.settle(ack(5, false));
        let published = window.finish();
        assert_eq!(published.refused, [1]);
        assert_eq!(published.unsettled, [0, 2, 3, 5]);
        let verdict = verdict(&[published], &Arrivals::default());
        assert_eq!((verdict.confirmed, verdict.lost), (1, 1), "only sequence 4 was confirmed");
    }

    #[test]
    fn a_window_goes_round_its_ring_many_times() {
        let mut window = ConfirmWindow::new(256);
        let mut sent = 0;
        while sent < 3 * SPAN_MAX {
            let room = window.room();
            window.sent(room);
            sent += room as u64;
            window.settle(ack(sent - 100, true));
        }
        window.settle(ack(sent, true));
        assert_eq!(window.finish().unsettled, [0u64; 0]);
    }

    #[test]
    fn one_straggler_stops_the_window_at_its_span() {
        let mut window = ConfirmWindow::new(256);
        window.sent(1);
        let mut next = 1;
        while window.room() > 0 {
            window.sent(1);
            next += 1;
            window.settle(ack(next, false));
        }
        assert_eq!(next, SPAN_MAX);
        window.settle(ack(1, false));
        assert!(window.room() > 0);
    }

    #[test]
    fn lost_duplicate_and_unknown_messages_are_counted() {
        let sent = [
            Published { count: 100, ..Published::default() },
            Published { count: 10, ..Published::default() },
        ];
        let (mut first, mut second) = (Arrivals::default(), Arrivals::default());
        for sequence in 0..60 {
            assert!(first.note(0, sequence));
        }
        for sequence in 50..99 {
            assert!(second.note(0, sequence));
        }
        assert!(!second.note(0, 70));
        for sequence in 0..10 {
            second.note(1, sequence);
        }
        second.note(1, 10);
        second.note(7, 0);
        first.merge(&second);
        let verdict = verdict(&sent, &first);
        let expected = Verdict {
            published: 110,
            confirmed: 110,
            refused: 0,
            received: 99 + 11,
            duplicates: 10 + 1,
            lost: 1,
            unknown: 2,
        };
        assert_eq!(verdict, expected);
    }
}
