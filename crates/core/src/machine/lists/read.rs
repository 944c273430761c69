//! Elements of a list looked at, by index, range or value. Nothing changes.

use baton_model::limits::LIST_RANGE_MAX;
use baton_model::list::{Listed, Side};
use baton_model::{Message, Name, QueueId, Refusal, RefusalCode, Seq, Time};

use super::super::Machine;
use super::{Asker, End, unreadable};
use crate::context::Context;

impl Machine {
    pub(super) fn list_range(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        (first, last): (i64, i64),
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Elements(Vec::new())) };
        self.positional(id)?;
        let Some((first, end)) = cut(first, last, self.length(id)) else {
            return Ok(Listed::Elements(Vec::new()));
        };
        if end - first > LIST_RANGE_MAX {
            let text = format!("a range has at most {LIST_RANGE_MAX} elements; ask for the list in parts");
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        let places = self.places_from_left(id, first, end);
        let messages = places.into_iter().map(|seq| self.shown(id, name, seq, needs, cx));
        Ok(Listed::Elements(messages.collect::<Result<_, _>>()?))
    }

    pub(super) fn list_index(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        index: i64,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Absent) };
        self.positional(id)?;
        match self.place_of_index(id, index) {
            Some(seq) => Ok(Listed::Element(self.shown(id, name, seq, needs, cx)?)),
            None => Ok(Listed::Absent),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the operation, and what every step has")]
    pub(super) fn list_find(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        value: &[u8],
        rank: i64,
        (count_max, examine_max): (u64, u64),
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Absent) };
        self.positional(id)?;
        let length = self.length(id);
        let mut places = self.places_from_left(id, 0, length);
        if rank < 0 {
            places.reverse();
        }
        let mut skip = rank.unsigned_abs().saturating_sub(1);
        let mut found = Vec::new();
        let examined = if examine_max == 0 { length } else { examine_max.min(length) };
        for (index, seq) in (0..examined).zip(places) {
            if !self.equals(id, name, seq, value, cx)? {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            found.push(if rank < 0 { length - 1 - index } else { index });
            if found.len() as u64 == count_max {
                break;
            }
        }
        Ok(Listed::Indexes(found))
    }

    /// Whether the element at a place has that body.
    pub(super) fn equals(
        &mut self,
        id: QueueId,
        name: &Name,
        seq: Seq,
        value: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<bool, Refusal> {
        let message = self.message(id, seq, cx).ok_or_else(|| unreadable(name))?;
        Ok(message.body_slice() == value)
    }

    /// An element as its reader gets it: what it shows must be durable first.
    pub(super) fn shown(
        &mut self,
        id: QueueId,
        name: &Name,
        seq: Seq,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Message, Refusal> {
        let message = self.message(id, seq, cx).ok_or_else(|| unreadable(name))?;
        let stored = self.state.entry(id, seq).and_then(|e| self.state.contents.get(e.content).stored());
        *needs = (*needs).max(stored.map(|stored| stored.position + u64::from(stored.len_bytes)));
        Ok(message)
    }

    /// Places from a list's index to before another, counted from the left.
    pub(super) fn places_from_left(&self, id: QueueId, first: u64, end: u64) -> Vec<Seq> {
        if self.end(id, Side::Left) == End::Front {
            return self.places(id, first, end);
        }
        let length = self.length(id);
        let mut places = self.places(id, length.saturating_sub(end), length.saturating_sub(first));
        places.reverse();
        places
    }

    /// The place of an index as clients count. `None`: out of range.
    pub(super) fn place_of_index(&self, id: QueueId, index: i64) -> Option<Seq> {
        let length = self.length(id);
        let index = from_left(index, length).filter(|index| *index < length)?;
        let index = if self.end(id, Side::Left) == End::Front { index } else { length - 1 - index };
        self.place_at(id, index)
    }
}

/// An index counted from the left. `None`: it lies in front of the first.
fn from_left(index: i64, length: u64) -> Option<u64> {
    match u64::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(index.unsigned_abs()),
    }
}

/// A range of indexes, cut to what there is: first and behind the last. `None`: it is empty.
pub(super) fn cut(first: i64, last: i64, length: u64) -> Option<(u64, u64)> {
    let first = from_left(first, length).unwrap_or(0);
    let end = from_left(last, length)?.saturating_add(1).min(length);
    (first < end).then_some((first, end))
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        for (first, last, expected) in [
            (0, -1, Some((0, 5))),
            (-100, 100, Some((0, 5))),
            (1, 3, Some((1, 4))),
            (-2, -1, Some((3, 5))),
            (3, 1, None),
            (5, 9, None),
            (0, -6, None),
            (i64::MIN, i64::MAX, Some((0, 5))),
        ] {
            assert_eq!(cut(first, last, 5), expected, "{first} {last}");
        }
        assert_eq!(cut(0, -1, 0), None);
    }
}
