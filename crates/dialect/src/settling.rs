//! Settlements that are collected before they become requests: those that follow each other with the same outcome go to the
//! engine as one. Dialects whose clients acknowledge message by message keep one per connection. Not here: which deliveries a
//! client means, and whether it holds them.

use baton_model::request::Settle;
use baton_model::{DeliveryRef, Outcome, Request};
use smallvec::SmallVec;

use crate::Output;

/// Settlements that are not handed on yet. Nobody waits for them: who is to be told gets a request of its own, behind a
/// [`flush`](Self::flush).
#[derive(Debug, Default)]
pub struct Settling {
    outcome: Option<Outcome>,
    deliveries: SmallVec<[DeliveryRef; 4]>,
}

impl Settling {
    /// One more; hands on those before it if their outcome differs.
    pub fn add(&mut self, delivery: DeliveryRef, outcome: &Outcome, out: &mut Output) {
        if self.outcome.as_ref() != Some(outcome) {
            self.flush(out);
            self.outcome = Some(outcome.clone());
        }
        self.deliveries.push(delivery);
    }

    /// Hands them on: before every request whose answer they could change, and at the end of a burst.
    pub fn flush(&mut self, out: &mut Output) {
        let Some(outcome) = self.outcome.take() else { return };
        let deliveries = std::mem::take(&mut self.deliveries);
        out.requests.push(Request::Settle(Settle { token: None, deliveries, outcome }));
    }

    /// Hands them on if what they do can be seen by what follows: messages that go back or die, not those that are done.
    pub fn flush_unless_complete(&mut self, out: &mut Output) {
        if self.outcome.as_ref().is_some_and(|outcome| *outcome != Outcome::Complete) {
            self.flush(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use baton_model::{Fence, QueueId, Seq};

    use super::*;

    const BACK: Outcome = Outcome::Release { failed: false, delay_ms: None };

    fn at(seq: u64) -> DeliveryRef {
        DeliveryRef { queue: QueueId(1), seq: Seq(seq), fence: Fence(seq) }
    }

    /// What was handed on: places and outcomes.
    fn handed_on(out: &mut Output) -> Vec<(Vec<u64>, Outcome)> {
        let settled = out.requests.drain(..).map(|request| match request {
            Request::Settle(Settle { token: None, deliveries, outcome }) => {
                (deliveries.iter().map(|one| one.seq.0).collect(), outcome)
            }
            other => panic!("{other:?}"),
        });
        settled.collect()
    }

    #[test]
    fn what_follows_with_the_same_outcome_is_one_request() {
        let (mut settling, mut out) = (Settling::default(), Output::default());
        for (seq, outcome) in
            [(1, Outcome::Complete), (2, Outcome::Complete), (3, BACK), (4, Outcome::Complete)]
        {
            settling.add(at(seq), &outcome, &mut out);
        }
        settling.flush(&mut out);
        let expected = [(vec![1, 2], Outcome::Complete), (vec![3], BACK), (vec![4], Outcome::Complete)];
        assert_eq!(handed_on(&mut out), expected);
        settling.flush(&mut out);
        assert!(out.requests.is_empty());
    }

    #[test]
    fn what_is_done_can_wait_and_what_goes_back_cannot() {
        let (mut settling, mut out) = (Settling::default(), Output::default());
        settling.add(at(1), &Outcome::Complete, &mut out);
        settling.flush_unless_complete(&mut out);
        assert!(out.requests.is_empty());
        settling.add(at(2), &Outcome::Reject { reason: None }, &mut out);
        settling.flush_unless_complete(&mut out);
        let expected = [(vec![1], Outcome::Complete), (vec![2], Outcome::Reject { reason: None })];
        assert_eq!(handed_on(&mut out), expected);
    }
}
