//! Messages are handed out: queue by queue, to whoever stands longest in its line, as many as can leave at once in one record.

use baton_model::request::{LeaseMode, MessageState};
use baton_model::{ConnectionId, Delivery, DeliveryRef, Event, Fence, Message, QueueId, Seq, Time};

use super::Machine;
use crate::context::{Context, Needs};
use crate::queue::entries::{Entry, NEVER, NONE};
use crate::queue::serve::{Taker, Turn};
use crate::record::{Leased, Record, Removal, Runs};

/// A message on its way to somebody.
pub(super) struct Handover {
    pub(super) seq: Seq,
    /// Read before anything is recorded: what cannot be read back is not leased.
    message: Message,
    /// The consumer that gets it, or stands for the fetch that does.
    pub(super) consumer: u32,
    pub(super) lease: Lease,
    pub(super) durable: bool,
}

/// A lease as it will be recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    Linked { until: u64 },
    Timed { until: u64 },
    Settled,
}

/// Most messages that one call of dispatch hands out of one queue. A consumer without a limit must not get a whole backlog
/// in one go: the caller must have the chance to pause a connection that does not read.
const HANDOVERS_MAX: u64 = 2_000;

/// One round through a queue's line.
#[derive(Default)]
struct Round {
    /// Who stands up to here has been asked already, and stays where it is.
    after: Option<Turn>,
    /// On their way, not recorded yet.
    handovers: Vec<Handover>,
    /// Handed out in this round, those on their way included.
    count: u64,
}

impl Machine {
    /// Hands out what can be delivered. Called once after a batch of steps, so that many deliveries make one record.
    /// A queue with very much to hand out is not finished in one call: see [`Machine::unfinished`].
    pub fn dispatch(&mut self, now: Time, cx: &mut Context<'_>) {
        for queue in std::mem::take(&mut self.crowded) {
            self.overflowing.push(queue);
            self.touch(queue);
        }
        self.serve_all(now, cx);
        while !self.lists_resumed.is_empty() {
            self.serve_lists(now, cx);
            self.serve_all(now, cx);
        }
        self.spill(cx);
    }

    /// As [`Machine::dispatch`], within the making of room: what could not be read a moment ago is not tried again for that.
    pub(super) fn serve_all(&mut self, now: Time, cx: &mut Context<'_>) {
        for queue in std::mem::take(&mut self.unread) {
            self.touch(queue);
        }
        for queue in std::mem::take(&mut self.later) {
            self.touch(queue);
        }
        let mut index = 0;
        while let Some(queue) = self.dirty.get(index).copied() {
            index += 1;
            if let Some(queue) = self.state.queue_mut(queue) {
                queue.serve.dirty = false;
            }
            self.dispatch_queue(now, queue, cx);
            self.refresh_timer(queue);
            if index == self.dirty.len() {
                self.dirty.clear();
                index = 0;
                self.relieve(now, cx);
            }
        }
        self.state.contents.evict();
    }

    /// Whether the last dispatch left something to hand out: call it again soon, after pausing connections that do not read.
    #[must_use]
    pub fn unfinished(&self) -> bool {
        !self.later.is_empty()
    }

    pub(super) fn dispatch_queue(&mut self, now: Time, queue: QueueId, cx: &mut Context<'_>) {
        let mut round = Round::default();
        // Where messages have keys each one is decided anew; others only when the batch is made.
        let one_by_one = self.state.queue(queue).is_some_and(|q| !q.index.keys.is_empty());
        while let Some((turn, taker)) = self.state.queue(queue).and_then(|q| q.serve.next_taker(round.after))
        {
            // With nothing ready nobody need be asked, however many wait.
            let ready = self.state.queue(queue).map_or(0, |q| q.index.counts.ready);
            let planned = round.handovers.len() as u64;
            if ready <= planned || self.budget(now, queue, planned) == 0 {
                break;
            }
            if round.count >= HANDOVERS_MAX {
                self.later.push(queue);
                break;
            }
            match taker {
                Taker::Consumer(consumer) => {
                    if !self.serve_consumer(now, (queue, consumer), turn, &mut round, cx) {
                        continue;
                    }
                }
                Taker::Fetch(fetch) => {
                    self.hand_over(now, queue, std::mem::take(&mut round.handovers), cx);
                    if !self.serve_waiting(now, queue, fetch, cx) {
                        // What one fetch cannot have, no other can; consumers behind it may own keys.
                        if self.state.queue(queue).is_none_or(|q| !q.index.keys.has_owners()) {
                            break;
                        }
                        round.after = Some(turn);
                    }
                }
                Taker::List(number) => {
                    self.hand_over(now, queue, std::mem::take(&mut round.handovers), cx);
                    if !self.serve_list(now, queue, number, cx) {
                        round.after = Some(turn);
                    }
                }
            }
            if one_by_one {
                self.hand_over(now, queue, std::mem::take(&mut round.handovers), cx);
            }
        }
        self.hand_over(now, queue, round.handovers, cx);
    }

    /// Gives one message to the consumer whose turn it is. False: it got none, and the round goes on behind it if it stays where it is.
    fn serve_consumer(
        &mut self,
        now: Time,
        (queue, consumer): (QueueId, u32),
        turn: Turn,
        round: &mut Round,
        cx: &mut Context<'_>,
    ) -> bool {
        let allowed = self.allowed(queue, consumer);
        if !allowed || !self.clients.can_take(consumer) {
            // It stands again when it has room; a consumer that is not the active one stays in line.
            if allowed {
                self.leave_line(queue, consumer);
            } else {
                round.after = Some(turn);
            }
            return false;
        }
        let next = if self.clients.consumer(consumer).is_some_and(|consumer| consumer.filtering.is_some()) {
            self.take_filtered(now, queue, consumer, cx).map(|seq| (seq, None))
        } else {
            self.take_next(now, queue, consumer, cx)
        };
        let Some((seq, key)) = next else {
            round.after = Some(turn);
            return false;
        };
        let Some(lease) = self.lease_of(now, queue, consumer) else { return false };
        let Some(handover) = self.prepare(queue, seq, consumer, lease, cx) else {
            self.put_back(queue, seq);
            round.after = Some(turn);
            return false;
        };
        if let Some(key) = key
            && let Some(queue) = self.state.queue_mut(queue)
        {
            queue.index.keys.taken_by(key, consumer);
        }
        round.handovers.push(handover);
        round.count += 1;
        self.clients.took(consumer, seq, lease != Lease::Settled);
        self.leave_line(queue, consumer);
        if self.clients.can_take(consumer)
            && let (Some(consumer_), Some(queue)) =
                (self.clients.consumer_mut(consumer), self.state.queue_mut(queue))
        {
            consumer_.turn = Some(queue.serve.stand(consumer_.priority, Taker::Consumer(consumer)));
        }
        true
    }

    /// Reads a message that is to be handed to somebody. `None`: it cannot be read now, and the next dispatch looks again;
    /// who took it out of the index puts it back.
    pub(super) fn prepare(
        &mut self,
        queue: QueueId,
        seq: Seq,
        consumer: u32,
        lease: Lease,
        cx: &mut Context<'_>,
    ) -> Option<Handover> {
        let durable = self.state.entry(queue, seq)?.durable;
        if let Some(message) = self.message(queue, seq, cx) {
            return Some(Handover { seq, message, consumer, lease, durable });
        }
        self.unread.push(queue);
        None
    }

    /// Undoes what [`Machine::take_next`] did to the index.
    pub(super) fn put_back(&mut self, queue: QueueId, seq: Seq) {
        let Some(queue) = self.state.queue_mut(queue) else { return };
        let place = queue.entries.get(seq).map(|entry| (entry.key, entry.priority));
        // A key offers its next message by what is in flight: nothing was taken out.
        if let Some((NONE, priority)) = place {
            queue.index.ready.insert(priority, seq);
        }
    }

    fn leave_line(&mut self, queue: QueueId, consumer: u32) {
        if let Some(turn) = self.clients.consumer_mut(consumer).and_then(|consumer| consumer.turn.take())
            && let Some(queue) = self.state.queue_mut(queue)
        {
            queue.serve.leave(turn);
        }
    }

    /// Whether the queue's limits let one more message leave when `planned` are on their way already.
    pub(super) fn budget(&mut self, now: Time, queue: QueueId, planned: u64) -> u64 {
        let Some(queue) = self.state.queue_mut(queue) else { return 0 };
        let limits = queue.policy.dispatch;
        if limits.paused {
            return 0;
        }
        let in_flight = queue.index.counts.in_flight + planned;
        let room = limits.in_flight_max.map_or(u64::MAX, |max| max.saturating_sub(in_flight));
        room.min(queue.serve.tokens(limits.rate, now).saturating_sub(planned))
    }

    /// With a single active consumer, only that one is served.
    pub(super) fn allowed(&self, queue: QueueId, consumer: u32) -> bool {
        self.state.queue(queue).is_some_and(|queue| {
            !queue.policy.dispatch.single_active || queue.serve.consumers.values().next() == Some(&consumer)
        })
    }

    /// Takes the next message that a consumer may have out of the index, with its key if it has one. Its entry is in memory.
    /// Messages that expired before now are left for the timer.
    pub(super) fn take_next(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        cx: &mut Context<'_>,
    ) -> Option<(Seq, Option<u32>)> {
        loop {
            let (seq, key) = self.state.queue(queue)?.next_for(consumer)?;
            if !self.warm(queue, seq, cx) {
                return None;
            }
            let queue = self.state.queue_mut(queue)?;
            let entry = queue.entries.get(seq);
            if key.is_some() {
                let expired = entry.is_some_and(|entry| entry.expires_at < now.0);
                return (!expired).then_some((seq, key));
            }
            // Expired: its timer is due, and takes it out by its entry.
            let lives = entry.is_some_and(|e| e.state == MessageState::Ready && e.expires_at >= now.0);
            queue.index.ready.pop();
            if lives {
                return Some((seq, None));
            }
        }
    }

    fn lease_of(&self, now: Time, queue: QueueId, consumer: u32) -> Option<Lease> {
        let policy = &self.state.queue(queue)?.policy;
        let consumer = self.clients.consumer(consumer)?;
        let linked_max = consumer.linked_lease_ms_max.or(policy.linked_lease_ms_max);
        let mode = match consumer.lease {
            // A lease that ends at once would come back to the consumer for ever, without a pause.
            LeaseMode::Timed(ms) => LeaseMode::Timed(Some(ms.unwrap_or(policy.lease_ms).max(1))),
            other => other,
        };
        Some(lease(now, mode, policy.lease_ms, linked_max))
    }

    /// Records the leases and sends the deliveries.
    fn hand_over(&mut self, now: Time, queue: QueueId, handovers: Vec<Handover>, cx: &mut Context<'_>) {
        for (delivery, connection, needs) in self.deliver(now, queue, handovers, cx) {
            cx.emit(connection, needs, Event::Delivered(Box::new(delivery)));
        }
    }

    /// Records the leases, in runs of equal ones, and makes the deliveries.
    pub(super) fn deliver(
        &mut self,
        now: Time,
        queue: QueueId,
        handovers: Vec<Handover>,
        cx: &mut Context<'_>,
    ) -> Vec<(Delivery, ConnectionId, Needs)> {
        let mut deliveries = Vec::with_capacity(handovers.len());
        let mut rest = handovers.into_iter().peekable();
        while let Some(first) = rest.next() {
            let (lease, durable) = (first.lease, first.durable);
            let mut group = vec![first];
            while let Some(same) = rest.next_if(|other| other.lease == lease && other.durable == durable) {
                group.push(same);
            }
            self.lease_group(now, queue, group, cx, &mut deliveries);
        }
        if let Some(queue) = self.state.queue_mut(queue)
            && queue.policy.dispatch.rate.is_some()
        {
            queue.serve.spend(deliveries.len() as u64);
        }
        deliveries
    }

    fn lease_group(
        &mut self,
        now: Time,
        queue: QueueId,
        group: Vec<Handover>,
        cx: &mut Context<'_>,
        deliveries: &mut Vec<(Delivery, ConnectionId, Needs)>,
    ) {
        let Some(first) = group.first() else { return };
        let (lease, durable) = (first.lease, first.durable);
        let seqs: Runs = group.iter().map(|handover| handover.seq).collect();
        let first_delivery = deliveries.len();
        let settled = lease == Lease::Settled;
        if settled {
            // The messages are read before they go.
            for handover in &group {
                deliveries.extend(self.delivery(queue, handover));
            }
        }
        let record = match lease {
            Lease::Settled => Record::Removed { queue, seqs, reason: Removal::Completed, durable },
            Lease::Linked { until } | Lease::Timed { until } => Record::Leased(Leased {
                queue,
                fence: Fence(self.state.queue(queue).map_or(0, |queue| queue.last_fence) + 1),
                at: now,
                until: (until != NEVER).then_some(Time(until)),
                linked: matches!(lease, Lease::Linked { .. }),
                seqs,
                durable,
            }),
        };
        let end = self.commit(record, cx);
        if !settled {
            for handover in group {
                if let Some(entry) = self.entry_mut(queue, handover.seq) {
                    entry.holder = handover.consumer;
                }
                deliveries.extend(self.delivery(queue, &handover));
            }
        }
        // Who gets a message at most once waits until that is durable. Who may rely on the lease after a restart waits until its
        // record outlives the process; if the machine dies before it is durable, the message is given again under a number of the next
        // generation. All wait for the message itself, and for the generation of their fencing numbers: a crash must
        // not grant them again.
        let record = match lease {
            Lease::Settled => Needs { durable: end, written: None },
            Lease::Timed { .. } => Needs { durable: None, written: end },
            Lease::Linked { .. } => Needs::default(),
        };
        let needs_all = record.and(self.state.generation_end.into());
        for (_, _, needs) in deliveries.iter_mut().skip(first_delivery) {
            *needs = needs.and(needs_all);
        }
        let count = deliveries.len() as u64 - first_delivery as u64;
        self.totals.delivered += count;
        if settled {
            self.totals.completed += count;
        }
    }

    fn entry_mut(&mut self, queue: QueueId, seq: Seq) -> Option<&mut Entry> {
        self.state.queue_mut(queue)?.entries.get_mut(seq)
    }

    /// What the receiver sees. Needs: the message must be durable before anyone sees it.
    pub(super) fn delivery(
        &mut self,
        queue: QueueId,
        handover: &Handover,
    ) -> Option<(Delivery, ConnectionId, Needs)> {
        let entry = self.state.entry(queue, handover.seq)?;
        let consumer = self.clients.consumer(handover.consumer)?;
        let link = self.clients.links.get(consumer.link as usize)?.id;
        let content = self.state.contents.get(entry.content);
        // A lease that is not recorded yet counts too.
        let acquired = entry.acquired + u32::from(handover.lease == Lease::Settled);
        let delivery = Delivery {
            at: DeliveryRef { queue, seq: handover.seq, fence: Fence(entry.fence) },
            consumer: consumer.id,
            link,
            id: content.id,
            message: handover.message.clone(),
            acquired,
            failed: entry.failed,
            redelivered: acquired > 1,
            enqueued_at: Time(entry.enqueued_at),
            first_acquired_at: (entry.first_acquired_at != NEVER).then_some(Time(entry.first_acquired_at)),
            lease_until: (entry.until != NEVER && entry.state == MessageState::InFlight)
                .then_some(Time(entry.until)),
            overlay: entry.overlay.clone(),
        };
        self.totals.redelivered += u64::from(delivery.redelivered);
        let needs = content.stored().map(|stored| stored.position + u64::from(stored.len_bytes));
        Some((delivery, consumer.connection, needs.into()))
    }

    /// The holder of a linked lease, if it is linked.
    pub(super) fn holder(&self, queue: QueueId, seq: Seq) -> Option<u32> {
        self.state.entry(queue, seq).map(|entry| entry.holder).filter(|holder| *holder != NONE)
    }
}

pub(super) fn lease(now: Time, mode: LeaseMode, lease_ms: u64, linked_lease_ms_max: Option<u64>) -> Lease {
    match mode {
        LeaseMode::Settled => Lease::Settled,
        LeaseMode::Timed(ms) => Lease::Timed { until: now.after_ms(ms.unwrap_or(lease_ms)).0 },
        LeaseMode::Linked => {
            Lease::Linked { until: linked_lease_ms_max.map_or(NEVER, |ms| now.after_ms(ms).0) }
        }
    }
}
