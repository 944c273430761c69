//! Elements of a list replaced, inserted between others, removed by value or by range.

use baton_model::list::{Listed, Side};
use baton_model::{Message, Name, QueueId, Refusal, RefusalCode, Seq, Time};

use super::super::Machine;
use super::read::cut;
use super::{Asker, End, no_list, unreadable};
use crate::context::Context;
use crate::record::{Record, Removal, Runs};

impl Machine {
    pub(super) fn list_set(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        index: i64,
        message: Message,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let id = self.find_list(now, asker, name, cx)?.ok_or_else(|| no_list(name))?;
        self.positional(id)?;
        let Some(seq) = self.place_of_index(id, index) else {
            return Err(Refusal::new(
                RefusalCode::MessageNotFound,
                format!("'{name}' has no element {index}"),
            ));
        };
        if !self.warm(id, seq, cx) {
            return Err(unreadable(name));
        }
        let durable = self.is_durable(id, seq);
        self.commit(Record::Edited { queue: id, seq, message, durable }, cx);
        Ok(Listed::Done)
    }

    /// The elements on the shorter side of the new one make room for it: those behind it get new places at the back, or those in
    /// front of it new places in front.
    pub(super) fn list_insert(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        (pivot, side): (&[u8], Side),
        message: Message,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Count(0)) };
        self.positional(id)?;
        let length = self.length(id);
        let mut at = None;
        for (index, seq) in (0..).zip(self.places_from_left(id, 0, length)) {
            if self.equals(id, name, seq, pivot, cx)? {
                at = Some(index);
                break;
            }
        }
        let Some(pivot) = at else { return Ok(Listed::Absent) };
        // Those that make room are about to move.
        if !self.warm_queue(id, cx) {
            return Err(unreadable(name));
        }
        let from_left = pivot + u64::from(side == Side::Right);
        let before = if self.end(id, Side::Left) == End::Front { from_left } else { length - from_left };
        self.totals.published += 1;
        if before >= length / 2 {
            let behind = self.places(id, before, length);
            self.put_element(now, id, End::Back, message, cx);
            let first = Seq(self.state.queue(id).map_or(1, |queue| queue.next_seq));
            self.replace_elements(id, &behind, first, cx);
        } else {
            self.put_element(now, id, End::Front, message, cx);
            // Each that goes in front makes the next one the last before the new one.
            for _ in 0..before {
                self.bring_to_front(id, before, cx);
            }
        }
        self.filled(id);
        Ok(Listed::Count(length + 1))
    }

    /// The element with that index goes in front of all others.
    fn bring_to_front(&mut self, id: QueueId, index: u64, cx: &mut Context<'_>) {
        // First the place: making room for it may give all elements others.
        let first = self.free_place(id, End::Front, cx);
        if let Some(seq) = self.place_at(id, index) {
            self.replace_elements(id, &[seq], first, cx);
        }
    }

    pub(super) fn list_remove(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        value: &[u8],
        count: i64,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Count(0)) };
        self.positional(id)?;
        let mut places = self.places_from_left(id, 0, self.length(id));
        if count < 0 {
            places.reverse();
        }
        let count_max = if count == 0 { u64::MAX } else { count.unsigned_abs() };
        let mut equal = Vec::new();
        for seq in places {
            if equal.len() as u64 == count_max {
                break;
            }
            if self.equals(id, name, seq, value, cx)? {
                equal.push(seq);
            }
        }
        self.remove_places(id, equal.clone(), Removal::Deleted, cx);
        Ok(Listed::Count(equal.len() as u64))
    }

    pub(super) fn list_trim(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        (first, last): (i64, i64),
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Done) };
        self.positional(id)?;
        let length = self.length(id);
        let (first, end) = cut(first, last, length).unwrap_or((length, length));
        let mut outside = self.places_from_left(id, 0, first);
        outside.extend(self.places_from_left(id, end, length));
        self.check_removable(id, name, &outside, cx)?;
        self.remove_places(id, outside, Removal::Deleted, cx);
        Ok(Listed::Done)
    }

    /// Before elements are removed: they can be.
    pub(super) fn check_removable(
        &mut self,
        id: QueueId,
        name: &Name,
        places: &[Seq],
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let mut places = places.to_vec();
        places.sort_unstable();
        let all = self.removable(id, &places, cx).len() == places.len();
        if all { Ok(()) } else { Err(unreadable(name)) }
    }

    /// Removes elements by their places. What cannot be read now, and would have to be, stays.
    pub(super) fn remove_places(
        &mut self,
        id: QueueId,
        mut places: Vec<Seq>,
        reason: Removal,
        cx: &mut Context<'_>,
    ) {
        places.sort_unstable();
        let places = self.removable(id, &places, cx);
        let (durable, transient): (Vec<Seq>, Vec<Seq>) =
            places.into_iter().partition(|seq| self.is_durable(id, *seq));
        for (seqs, durable) in [(durable, true), (transient, false)] {
            if !seqs.is_empty() {
                let seqs: Runs = seqs.into_iter().collect();
                self.commit(Record::Removed { queue: id, seqs, reason, durable }, cx);
            }
        }
        self.touch(id);
    }
}
