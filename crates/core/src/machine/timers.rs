//! What time does: messages expire, become deliverable, come back from their leases; fetches have waited long enough;
//! idle queues go.

use baton_model::event::{CancelReason, DeathReason};
use baton_model::request::MessageState;
use baton_model::{QueueId, Seq, Time};

use super::Machine;
use crate::context::Context;
use crate::queue::entries::{NEVER, NONE};
use crate::record::{Record, Released, Runs};

/// Most messages whose time has come that one tick handles per queue, so that a million of them expiring at once do not
/// keep everybody else waiting: the queue's timer stays due, and the next tick goes on.
const DUE_PER_TICK_MAX: usize = 10_000;

/// Most pages that one tick reads back per queue for the same reason.
const DUE_PAGES_PER_TICK_MAX: usize = 128;

impl Machine {
    /// When [`Machine::tick`] next has something to do. `None`: never.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let queues = self.timers.first().map(|(at, _)| *at);
        [queues, self.clients.next_list_deadline()].into_iter().flatten().min().map(Time)
    }

    /// Does what is due at `now`: expiry, delays, leases, idle queues, waiting fetches.
    pub fn tick(&mut self, now: Time, cx: &mut Context<'_>) {
        // A message that can be delivered now is, rather than expire now: time to live 0 means at once or never.
        self.dispatch(now, cx);
        let due: Vec<QueueId> =
            self.timers.iter().take_while(|(at, _)| *at <= now.0).map(|(_, queue)| *queue).collect();
        for queue in due {
            self.tick_queue(now, queue, cx);
            self.touch(queue);
        }
        self.end_due_list_waits(now, cx);
        self.relieve(now, cx);
        self.dispatch(now, cx);
    }

    fn tick_queue(&mut self, now: Time, id: QueueId, cx: &mut Context<'_>) {
        let Some(queue) = self.state.queue_mut(id) else { return };
        queue.dedup.expire(now.0);
        self.warm_due(now, id, cx);
        let Some(queue) = self.state.queue_mut(id) else { return };
        let due: Vec<Seq> = queue
            .index
            .timers
            .iter()
            .take_while(|(at, _)| *at <= now.0)
            .take(DUE_PER_TICK_MAX)
            .map(|(_, seq)| *seq)
            .collect();
        let mut arrived: [Runs; 2] = [Runs::default(), Runs::default()];
        for seq in due {
            let Some(entry) = self.state.entry(id, seq) else { continue };
            match entry.state {
                MessageState::InFlight => self.lease_timed_out(now, id, seq, cx),
                _ if entry.expires_at <= now.0 => {
                    self.dead_letter(now, id, seq, DeathReason::Expired, None, cx);
                }
                MessageState::Scheduled => {
                    if let Some(runs) = arrived.get_mut(usize::from(entry.durable)) {
                        runs.push(seq);
                    }
                }
                MessageState::Ready | MessageState::Deferred => {}
            }
        }
        for (seqs, durable) in arrived.into_iter().zip([false, true]) {
            if !seqs.is_empty() {
                let released =
                    Released { queue: id, seqs, failed: false, deliver_at: None, back: None, durable };
                self.commit(Record::Released(released), cx);
            }
        }
        self.go_on_with_transfer(now, id, cx);
        while let Some(fetch) = self.state.queue(id).and_then(|queue| queue.serve.fetch_due(now)) {
            self.fetch_in_vain(fetch, cx);
        }
        if self.state.queue(id).and_then(|queue| queue.policy.list.expires_at).is_some_and(|at| at <= now) {
            self.expire_list(now, id, cx);
        }
        let gone = |queue: &crate::queue::Queue| {
            queue.serve.idle(&queue.policy, now) || queue.empty_until().is_some_and(|at| at <= now.0)
        };
        if self.state.queue(id).is_some_and(gone) {
            self.delete_queue(id, cx);
        }
    }

    /// Reads back cold pages with messages whose time has come. One that cannot be read now is tried again a little later.
    fn warm_due(&mut self, now: Time, id: QueueId, cx: &mut Context<'_>) {
        for _ in 0..DUE_PAGES_PER_TICK_MAX {
            let first = self.state.queue(id).and_then(|queue| queue.index.page_timers.first().copied());
            let Some((at, page)) = first.filter(|(at, _)| *at <= now.0) else { return };
            if !self.warm_page(id, page, cx) {
                if let Some(queue) = self.state.queue_mut(id) {
                    queue.postpone_page((at, page), now.after_ms(super::deaths::POSTPONED_MS).0);
                }
                return;
            }
        }
    }

    /// A timed lease that ends is a failed attempt. A linked one that lasted too long is not, but its consumer is too slow:
    /// it is cancelled, as RabbitMQ 4.3 does.
    fn lease_timed_out(&mut self, now: Time, queue: QueueId, seq: Seq, cx: &mut Context<'_>) {
        let Some(entry) = self.state.entry(queue, seq) else { return };
        let (linked, holder) = (entry.linked, entry.holder);
        debug_assert_ne!(entry.until, NEVER, "a lease without end has no timer");
        self.lease_ended(now, queue, seq, !linked, cx);
        if linked && holder != NONE {
            self.cancel_consumer(now, holder, CancelReason::TooSlow, cx);
        }
    }

    /// Tells the machine's timers when the queue next wants to be looked at.
    pub(super) fn refresh_timer(&mut self, id: QueueId) {
        let Some(queue) = self.state.queue_mut(id) else { return };
        let next = queue.next_timer();
        if next == queue.serve.timer {
            return;
        }
        if let Some(old) = queue.serve.timer.take() {
            self.timers.remove(&(old, id));
        }
        queue.serve.timer = next;
        if let Some(next) = next {
            self.timers.insert((next, id));
        }
    }
}
