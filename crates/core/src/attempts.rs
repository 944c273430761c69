//! Fetches that may be repeated: what each got, under the name it gave, so that a receiver whose answer got lost gets the same
//! again. Not recorded; a restart forgets them.

use std::collections::{BTreeMap, VecDeque};

use baton_model::limits::{ATTEMPT_WINDOW_MS, ATTEMPTS_MAX};
use baton_model::{DeliveryRef, Name, QueueId, Time};

/// All attempts that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    known: BTreeMap<(QueueId, Name), (Time, Vec<DeliveryRef>)>,
    /// In the order in which they came.
    order: VecDeque<(Time, QueueId, Name)>,
}

impl Attempts {
    /// What an attempt of that name got, if it is remembered.
    pub(crate) fn find(&self, now: Time, queue: QueueId, name: &Name) -> Option<&[DeliveryRef]> {
        let (at, deliveries) = self.known.get(&(queue, name.clone()))?;
        (now.since_ms(*at) < ATTEMPT_WINDOW_MS).then_some(deliveries.as_slice())
    }

    /// Remembers what an attempt got, in place of what it got before.
    pub(crate) fn remember(&mut self, now: Time, queue: QueueId, name: Name, deliveries: Vec<DeliveryRef>) {
        let old = |(at, ..): &(Time, QueueId, Name)| now.since_ms(*at) >= ATTEMPT_WINDOW_MS;
        while self.order.front().is_some_and(old) || self.order.len() >= ATTEMPTS_MAX {
            let Some((at, queue, name)) = self.order.pop_front() else { break };
            let key = (queue, name);
            if self.known.get(&key).is_some_and(|(newest, _)| *newest == at) {
                self.known.remove(&key);
            }
        }
        self.order.push_back((now, queue, name.clone()));
        self.known.insert((queue, name), (now, deliveries));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_remembered_for_their_window_and_do_not_pile_up() {
        let mut attempts = Attempts::default();
        let name = |i: usize| Name::from(i.to_string());
        for i in 0..=ATTEMPTS_MAX {
            attempts.remember(Time(0), QueueId(1), name(i), Vec::new());
        }
        assert_eq!((attempts.known.len(), attempts.order.len()), (ATTEMPTS_MAX, ATTEMPTS_MAX));
        assert!(attempts.find(Time(0), QueueId(1), &name(0)).is_none());
        assert!(attempts.find(Time(ATTEMPT_WINDOW_MS - 1), QueueId(1), &name(1)).is_some());
        assert!(attempts.find(Time(ATTEMPT_WINDOW_MS), QueueId(1), &name(1)).is_none());
        assert!(attempts.find(Time(0), QueueId(2), &name(1)).is_none());
        attempts.remember(Time(ATTEMPT_WINDOW_MS), QueueId(1), name(0), Vec::new());
        assert_eq!((attempts.known.len(), attempts.order.len()), (1, 1));
    }
}
