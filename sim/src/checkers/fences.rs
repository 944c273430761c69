//! Fencing numbers only grow per queue: no number is granted twice, each connection sees them grow, and after a restart
//! they are greater than all that were handed out before.

use std::collections::BTreeMap;

use baton_model::request::LeaseMode;
use baton_model::{Fence, QueueId};

use super::{Checker, Copy, Modes, deliveries};
use crate::fact::{Fact, Key, serial};

#[derive(Debug, Default)]
pub(super) struct Fences {
    /// The greatest ever seen, and the greatest from before the last restart.
    greatest: BTreeMap<QueueId, (Fence, Fence)>,
    last: BTreeMap<(Key, QueueId), Fence>,
    granted: BTreeMap<(QueueId, Fence), Copy>,
    modes: Modes,
}

impl Checker for Fences {
    fn name(&self) -> &'static str {
        "fences"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.modes.see(fact);
        match fact {
            Fact::Told { to, event, .. } if self.modes.of(*to, event) != Some(LeaseMode::Settled) => {
                for delivery in deliveries(event) {
                    let (queue, fence) = (delivery.at.queue, delivery.at.fence);
                    let copy = (queue, delivery.at.seq, serial(&delivery.message).unwrap_or_default());
                    if let Some(before) = self.granted.insert((queue, fence), copy)
                        && before != copy
                    {
                        return Err(format!(
                            "fence {fence} of queue {queue} was granted for {before:?} and for {copy:?}"
                        ));
                    }
                    let (greatest, before_restart) = self.greatest.entry(queue).or_default();
                    if fence <= *before_restart {
                        return Err(format!(
                            "fence {fence} of queue {queue} is not greater than {before_restart}, granted before the restart"
                        ));
                    }
                    *greatest = fence.max(*greatest);
                    let last = self.last.insert((*to, queue), fence);
                    if last.is_some_and(|last| last > fence) {
                        return Err(format!(
                            "connection {to:x} got fence {fence} of queue {queue} behind {last:?}"
                        ));
                    }
                }
            }
            Fact::Died { .. } => {
                self.greatest.values_mut().for_each(|(greatest, before)| *before = *greatest);
                self.last.clear();
            }
            _ => {}
        }
        Ok(())
    }
}
