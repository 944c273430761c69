//! How far a consumer with a condition has looked through a queue. It looks at every message once: what comes new is
//! behind where it stands, and what comes back is told apart. Who looks is `machine/filtered.rs`.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use baton_model::request::ConsumerFilter;
use smallvec::SmallVec;

use super::ready::Ready;

/// Places that came back and are to be looked at again, at most; a consumer with more looks at everything again.
const AGAIN_MAX: usize = 4_096;

/// One consumer's condition and its place in the queue.
#[derive(Debug)]
pub(crate) struct Filtering {
    pub(crate) filter: ConsumerFilter,
    /// Of each priority, places before this were looked at.
    seen: SmallVec<[(u8, u64); 1]>,
    /// Those of them that came back.
    again: BTreeSet<(Reverse<u8>, u64)>,
    /// Comebacks up to here are known.
    heard: u64,
}

impl Filtering {
    pub(crate) fn new(filter: ConsumerFilter) -> Self {
        Self { filter, seen: SmallVec::new(), again: BTreeSet::new(), heard: u64::MAX }
    }

    /// The next place to look at, with its priority; it counts as looked at from now on.
    pub(crate) fn next(&mut self, ready: &mut Ready) -> Option<(u8, u64)> {
        self.hear(ready);
        let back = self.again.first().map(|(Reverse(priority), seq)| (*priority, *seq));
        let fresh = ready
            .priorities()
            .find_map(|priority| Some((priority, ready.next_from(priority, self.seen_up_to(priority))?)));
        let (priority, seq) = match (back, fresh) {
            (Some(back), Some(fresh)) if (Reverse(back.0), back.1) < (Reverse(fresh.0), fresh.1) => back,
            (Some(back), None) => back,
            (_, Some(fresh)) => fresh,
            (None, None) => return None,
        };
        if !self.again.remove(&(Reverse(priority), seq)) {
            match self.seen.iter_mut().find(|(known, _)| *known == priority) {
                Some((_, up_to)) => *up_to = seq + 1,
                None => self.seen.push((priority, seq + 1)),
            }
        }
        Some((priority, seq))
    }

    /// A place that could not be looked at after all.
    pub(crate) fn look_again(&mut self, priority: u8, seq: u64) {
        self.again.insert((Reverse(priority), seq));
    }

    fn seen_up_to(&self, priority: u8) -> u64 {
        self.seen.iter().find(|(known, _)| *known == priority).map_or(0, |(_, up_to)| *up_to)
    }

    /// Learns what came back among the places that were looked at.
    fn hear(&mut self, ready: &mut Ready) {
        let now = ready.watch();
        if self.heard == now {
            return;
        }
        let known = ready.comebacks(self.heard).map(|places| {
            for (priority, seq) in places {
                if seq < self.seen.iter().find(|(known, _)| *known == priority).map_or(0, |(_, up_to)| *up_to)
                {
                    self.again.insert((Reverse(priority), seq));
                }
            }
        });
        if known.is_none() || self.again.len() > AGAIN_MAX {
            self.seen.clear();
            self.again.clear();
        }
        self.heard = now;
    }
}
