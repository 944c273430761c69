//! Messages of one subscription that wait for their acknowledgement, by the number they were given. Who asks is `settle`.

use std::collections::VecDeque;

use baton_model::{DeliveryRef, MessageId};

/// Deliveries of one subscription, oldest first.
#[derive(Debug)]
pub(super) struct Unacked {
    /// The number of the first of `slots`.
    first: u64,
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    at: DeliveryRef,
    id: MessageId,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Held,
    /// The broker took it back: an acknowledgement that is on its way comes too late, and is no mistake.
    Ended,
    /// Settled in a transaction that is not over.
    Planned,
    Settled,
}

/// A delivery that is being settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub(super) tag: u64,
    /// `None`: it was taken back meanwhile.
    pub(super) at: Option<DeliveryRef>,
}

/// No delivery of that number is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unknown;

impl Default for Unacked {
    fn default() -> Self {
        Self { first: 1, slots: VecDeque::new() }
    }
}

impl Unacked {
    /// One more; its number.
    pub(super) fn push(&mut self, at: DeliveryRef, id: MessageId) -> u64 {
        self.slots.push_back(Slot { at, id, state: State::Held });
        self.first + self.slots.len() as u64 - 1
    }

    /// The number of a message that is held, by its id. There may be several when the broker took it back and gave it again:
    /// then it is the newest one, which alone can be settled; or, with `upto`, the oldest, so that nothing between them is
    /// settled that the client may not have seen.
    pub(super) fn find(&self, id: MessageId, upto: bool) -> Option<u64> {
        let named = |state: State| move |slot: &Slot| slot.id == id && slot.state == state;
        let held = self.slots.iter().rposition(named(State::Held));
        let ended = self.slots.iter().position(named(State::Ended));
        let at = if upto { [held, ended].into_iter().flatten().min() } else { held.or(ended) };
        Some(self.first + at? as u64)
    }

    /// Takes one out; with `planned` only until the transaction is over.
    pub(super) fn take(&mut self, tag: u64, planned: bool) -> Result<Taken, Unknown> {
        let at = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()).ok_or(Unknown)?;
        let slot = self.slots.get_mut(at).ok_or(Unknown)?;
        let taken = slot.take(tag, planned).ok_or(Unknown)?;
        self.trim();
        Ok(taken)
    }

    /// Takes out all up to that one, that one included.
    pub(super) fn take_upto(
        &mut self,
        tag: u64,
        planned: bool,
        mut each: impl FnMut(Taken),
    ) -> Result<(), Unknown> {
        let count = tag.checked_sub(self.first).and_then(|at| usize::try_from(at + 1).ok()).ok_or(Unknown)?;
        if count > self.slots.len() {
            return Err(Unknown);
        }
        let mut any = false;
        for (at, slot) in self.slots.iter_mut().take(count).enumerate() {
            if let Some(taken) = slot.take(self.first + at as u64, planned) {
                any = true;
                each(taken);
            }
        }
        self.trim();
        if any { Ok(()) } else { Err(Unknown) }
    }

    /// The transaction is over: what was planned is done, or held again.
    pub(super) fn decide(&mut self, tag: u64, done: bool) {
        let at = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at))
            && slot.state == State::Planned
        {
            slot.state = if done { State::Settled } else { State::Held };
        }
        self.trim();
    }

    /// The broker took a delivery back.
    pub(super) fn lease_ended(&mut self, at: DeliveryRef) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.at == at && slot.state == State::Held) {
            slot.state = State::Ended;
        }
    }

    fn trim(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.state == State::Settled) {
            self.slots.pop_front();
            self.first += 1;
        }
    }
}

impl Slot {
    fn take(&mut self, tag: u64, planned: bool) -> Option<Taken> {
        let at = match self.state {
            State::Held => Some(self.at),
            State::Ended => None,
            State::Planned | State::Settled => return None,
        };
        self.state = if planned && at.is_some() { State::Planned } else { State::Settled };
        Some(Taken { tag, at })
    }
}

#[cfg(test)]
mod tests {
    use baton_model::{Fence, QueueId, Seq};

    use super::*;

    fn at(seq: u64) -> DeliveryRef {
        DeliveryRef { queue: QueueId(1), seq: Seq(seq), fence: Fence(seq) }
    }

    fn three() -> Unacked {
        let mut unacked = Unacked::default();
        for seq in 1..=3 {
            assert_eq!(unacked.push(at(seq), MessageId(100 + seq)), seq);
        }
        unacked
    }

    #[test]
    fn each_is_settled_once() {
        let mut unacked = three();
        assert_eq!(unacked.take(2, false), Ok(Taken { tag: 2, at: Some(at(2)) }));
        assert_eq!(unacked.take(2, false), Err(Unknown));
        assert_eq!(unacked.take(4, false), Err(Unknown));
        assert_eq!(unacked.take(0, false), Err(Unknown));
        let mut tags = Vec::new();
        unacked.take_upto(3, false, |taken| tags.push(taken.tag)).unwrap();
        assert_eq!(tags, [1, 3]);
        assert_eq!(unacked.take_upto(3, false, |_| ()), Err(Unknown));
        assert_eq!(unacked.push(at(4), MessageId(104)), 4);
    }

    #[test]
    fn what_a_transaction_gives_up_is_held_again() {
        let mut unacked = three();
        unacked.take(1, true).unwrap();
        unacked.take(2, true).unwrap();
        assert_eq!(unacked.take(1, true), Err(Unknown));
        unacked.decide(1, false);
        unacked.decide(2, true);
        assert!(unacked.take(1, false).is_ok());
        assert_eq!(unacked.take(2, false), Err(Unknown));
    }

    #[test]
    fn what_was_taken_back_is_no_mistake_once() {
        let mut unacked = three();
        unacked.lease_ended(at(1));
        assert_eq!(unacked.take(1, false), Ok(Taken { tag: 1, at: None }));
        assert_eq!(unacked.take(1, false), Err(Unknown));
        assert_eq!(unacked.find(MessageId(103), false), Some(3));
        assert_eq!(unacked.find(MessageId(101), false), None);
    }

    #[test]
    fn a_message_that_was_given_again_is_settled_by_its_id() {
        let mut unacked = three();
        unacked.lease_ended(at(1));
        assert_eq!(unacked.push(at(9), MessageId(101)), 4);
        // One that settles all up to it may not reach over what came between.
        assert_eq!(unacked.find(MessageId(101), true), Some(1));
        assert_eq!(unacked.find(MessageId(101), false), Some(4));
        assert_eq!(unacked.take(4, false), Ok(Taken { tag: 4, at: Some(at(9)) }));
        // The client may have read both.
        assert_eq!(unacked.find(MessageId(101), false), Some(1));
        assert_eq!(unacked.take(1, false), Ok(Taken { tag: 1, at: None }));
        assert_eq!(unacked.find(MessageId(101), false), None);
    }
}
