//! Where the elements of a list are: from an index to a place, and places in front of all others.

use baton_model::{QueueId, Refusal, Seq};

use super::super::Machine;
use super::{End, unreadable};
use crate::context::Context;
use crate::queue::Queue;
use crate::queue::entries::{Slot, page_of};
use crate::record::{Record, Runs, Transferred};

/// Places in front of the first element that are looked at for a free one. Those in flight to consumers are seldom more.
const OCCUPIED_MAX: u64 = 1_000;
/// Places made free in front of a list at once, at least; a longer list gets as many as it has elements, so that pushing in
/// front costs the same however often it is done.
const FRONT_ROOM_MIN: u64 = 1_024;

impl Machine {
    /// Places of the elements with indexes from `first` to before `end`, counted from the front.
    pub(super) fn places(&self, id: QueueId, first: u64, end: u64) -> Vec<Seq> {
        let Some(queue) = self.state.queue(id) else { return Vec::new() };
        let total = queue.index.counts.ready;
        let end = end.min(total);
        if first >= end {
            return Vec::new();
        }
        if first <= total - end {
            take(queue.index.ready.runs(), first, end - first, false)
        } else {
            let mut places = take(queue.index.ready.runs_back(), total - end, end - first, true);
            places.reverse();
            places
        }
    }

    /// The place of the element with that index, counted from the front.
    pub(super) fn place_at(&self, id: QueueId, index: u64) -> Option<Seq> {
        self.places(id, index, index + 1).first().copied()
    }

    /// The outermost element at an end.
    pub(super) fn outermost(&self, id: QueueId, end: End) -> Option<Seq> {
        let ready = &self.state.queue(id)?.index.ready;
        match end {
            End::Front => ready.peek(),
            End::Back => ready.peek_back(),
        }
        .map(|(_, seq)| seq)
    }

    /// A free place at an end.
    pub(super) fn free_place(&mut self, id: QueueId, end: End, cx: &mut Context<'_>) -> Seq {
        if end == End::Front {
            for _ in 0..2 {
                if let Some(place) = self.state.queue(id).and_then(front_place) {
                    return place;
                }
                self.make_front_room(id, cx);
            }
        }
        Seq(self.state.queue(id).map_or(1, |queue| queue.next_seq))
    }

    /// Before something is put in front: what has to move for it, or is on the same page, is in memory.
    ///
    /// # Errors
    /// It cannot be read now.
    pub(super) fn prepare_front(&mut self, id: QueueId, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let Some(queue) = self.state.queue(id) else { return Ok(()) };
        let name = queue.name.clone();
        let ready = match front_place(queue) {
            Some(place) => {
                let page = page_of(place);
                !matches!(queue.entries.page(page), Some(Slot::Cold(_))) || self.warm_page(id, page, cx)
            }
            None => self.warm_queue(id, cx),
        };
        if ready { Ok(()) } else { Err(unreadable(&name)) }
    }

    /// All elements go further back, so that there are places in front of them.
    fn make_front_room(&mut self, id: QueueId, cx: &mut Context<'_>) {
        let places = self.places(id, 0, u64::MAX);
        let Some(queue) = self.state.queue(id) else { return };
        let room = FRONT_ROOM_MIN.max(places.len() as u64);
        let first = Seq(queue.next_seq + room);
        self.replace_elements(id, &places, first, cx);
    }

    /// Elements get consecutive places in their queue, which must be free.
    pub(super) fn replace_elements(&mut self, id: QueueId, places: &[Seq], first: Seq, cx: &mut Context<'_>) {
        let mut first = first;
        for (durable, seqs) in self.by_durability(id, places) {
            let count = seqs.count();
            let transferred = Transferred {
                from: id,
                seqs,
                to: id,
                first,
                at: baton_model::Time(0),
                expires_at: None,
                durable,
            };
            self.commit(Record::Transferred(transferred), cx);
            first.0 += count;
        }
    }

    /// Places in their order, in groups of those that survive a restart and those that do not.
    pub(super) fn by_durability(&self, id: QueueId, places: &[Seq]) -> Vec<(bool, Runs)> {
        let mut groups: Vec<(bool, Runs)> = Vec::new();
        for seq in places {
            let durable = self.is_durable(id, *seq);
            match groups.last_mut() {
                Some((same, runs)) if *same == durable => runs.push(*seq),
                _ => groups.push((durable, Runs::one(*seq))),
            }
        }
        groups
    }

    pub(super) fn is_durable(&self, id: QueueId, seq: Seq) -> bool {
        self.state.entry(id, seq).is_none_or(|entry| entry.durable)
    }
}

/// A free place in front of all elements, if there is one near.
fn front_place(queue: &Queue) -> Option<Seq> {
    let Some((_, first)) = queue.index.ready.peek() else { return Some(Seq(queue.next_seq)) };
    let lowest = first.0.saturating_sub(OCCUPIED_MAX).max(1);
    (lowest..first.0)
        .rev()
        .map(Seq)
        .find(|seq| queue.entries.get(*seq).is_none() && queue.entries.cold(*seq).is_none())
}

/// Takes `count` places behind the first `skip` of some runs; `back`: the runs come last first, and so do the places.
fn take(runs: impl Iterator<Item = (u64, u64)>, skip: u64, count: u64, back: bool) -> Vec<Seq> {
    let mut places = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let (mut skip, mut left) = (skip, count);
    for (first, length) in runs {
        if left == 0 {
            break;
        }
        if skip >= length {
            skip -= length;
            continue;
        }
        let here = (length - skip).min(left);
        if back {
            let last = first + length - 1 - skip;
            places.extend((0..here).map(|i| Seq(last - i)));
        } else {
            places.extend((0..here).map(|i| Seq(first + skip + i)));
        }
        left -= here;
        skip = 0;
    }
    places
}
