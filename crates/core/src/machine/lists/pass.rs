//! An element that comes in while somebody waits for one goes straight to them: it never becomes part of the list, and there is
//! nothing to record. Of the two records that would say it came and went at once, recovery would make the same nothing.
//!
//! What both sides are told leaves when everything recorded before is durable: that the list was empty is something that others
//! may have brought about, and must not be undone when it has been seen.

use baton_model::list::{ListOp, Listed, Popped};
use baton_model::{Message, QueueId, Time};
use smallvec::SmallVec;

use super::super::Machine;
use super::plain;
use crate::context::Context;
use crate::queue::Queue;
use crate::queue::serve::Taker;

impl Machine {
    /// Who gets an element that comes into this queue before anybody else could see it, if there is such a one: it must be first in
    /// line, take what it gets for good, and have nothing in front of it.
    pub(super) fn passes_to(&mut self, now: Time, id: QueueId) -> Option<u64> {
        let queue = self.state.queue(id).filter(|queue| passes(queue))?;
        let Some((_, Taker::List(number))) = queue.serve.next_taker(None) else { return None };
        let waiting = self.clients.waiting_lists.get(&number)?;
        (matches!(waiting.op, ListOp::Pop { .. }) && self.budget(now, id, 0) > 0).then_some(number)
    }

    /// Gives it to them.
    pub(super) fn pass(
        &mut self,
        id: QueueId,
        number: u64,
        message: Message,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) {
        let Some(queue) = self.state.queue_mut(id) else { return };
        // Who watches the list must know that something was there.
        queue.index.changes += 1;
        if queue.policy.dispatch.rate.is_some() {
            queue.serve.spend(1);
        }
        let elements = SmallVec::from_buf([message]);
        let popped = Popped { queue: queue.name.clone(), elements, leases: Box::default() };
        self.totals.published += 1;
        self.totals.delivered += 1;
        self.totals.completed += 1;
        *needs = (*needs).max(self.last_end);
        self.end_list_wait(number, Ok(Listed::Popped(popped)), *needs, cx);
    }
}

/// Whether an element that comes into this queue would be there for nobody but the first in line, at once, and without limits
/// that may turn it away.
fn passes(queue: &Queue) -> bool {
    let policy = &queue.policy;
    let unlimited = policy.capacity.messages_max.is_none() && policy.capacity.bytes_max.is_none();
    queue.serve.lists_waiting > 0
        && queue.index.counts.ready == 0
        && plain(queue)
        && unlimited
        && !policy.list.lease_pops
        && policy.delay_ms == 0
        && policy.ttl_ms.is_none()
}
