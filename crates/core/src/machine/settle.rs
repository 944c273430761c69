//! Deliveries are settled, and leases end: completed, put back, rejected, set aside, or extended.

use baton_model::event::DeathReason;
use baton_model::policy::{Backoff, BackoffOn, Counter, Growth, KeyPoison, ReleaseTo};
use baton_model::request::{MessageState, Outcome, Settle};
use baton_model::{ConnectionId, DeliveryRef, Event, LinkId, Name, QueueId, Reply, Seq, Time, Token};

use super::Machine;
use super::publish::survives;
use crate::context::Context;
use crate::number::whole;
use crate::queue::entries::{NEVER, NONE};
use crate::record::{Record, Released, Removal, Runs};

/// Messages of one queue that are settled alike.
struct Group {
    queue: QueueId,
    durable: bool,
    seqs: Vec<Seq>,
}

/// How one message goes back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Back {
    durable: bool,
    failed: bool,
    deliver_at: Option<Time>,
    back: bool,
}

impl Machine {
    pub(super) fn settle(&mut self, now: Time, from: ConnectionId, settle: &Settle, cx: &mut Context<'_>) {
        let mut stale = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        for delivery in &settle.deliveries {
            let current = match settle.outcome {
                Outcome::CompleteLate => self.newest(from, *delivery),
                _ => self.current(from, *delivery),
            };
            match current {
                None => stale.push(*delivery),
                Some(durable) => match groups.last_mut() {
                    Some(group) if group.queue == delivery.queue && group.durable == durable => {
                        group.seqs.push(delivery.seq);
                    }
                    _ => groups.push(Group { queue: delivery.queue, durable, seqs: vec![delivery.seq] }),
                },
            }
        }
        let mut needs = None;
        for mut group in groups {
            if group.seqs.len() > 1 && !group.seqs.is_sorted() {
                group.seqs.sort_unstable();
            }
            group.seqs.dedup();
            let end = self.settle_group(now, group, &settle.outcome, cx);
            needs = needs.max(end);
        }
        if let Some(token) = settle.token {
            cx.emit(from, needs, Event::Settled { token, stale });
        }
    }

    /// Whether a delivery is its message's current one, and may be settled by that connection: linked leases only by the
    /// one that holds them, timed ones by whoever has the receipt. Returns whether the message is durable.
    fn current(&self, from: ConnectionId, delivery: DeliveryRef) -> Option<bool> {
        let entry = self.state.entry(delivery.queue, delivery.seq)?;
        let leased = entry.state == MessageState::InFlight && entry.fence == delivery.fence.0;
        let own = !entry.linked
            || entry.holder != NONE
                && self.clients.consumer(entry.holder).is_some_and(|c| c.connection == from);
        (leased && own).then_some(entry.durable)
    }

    /// As [`Machine::current`], and also for a message whose lease has ended if nobody else got it since.
    fn newest(&self, from: ConnectionId, delivery: DeliveryRef) -> Option<bool> {
        let entry = self.state.entry(delivery.queue, delivery.seq)?;
        let waits = matches!(entry.state, MessageState::Ready | MessageState::Scheduled);
        let newest = waits && entry.fence == delivery.fence.0 && entry.acquired > 0;
        if newest { Some(entry.durable) } else { self.current(from, delivery) }
    }

    fn settle_group(
        &mut self,
        now: Time,
        group: Group,
        outcome: &Outcome,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let Group { queue, durable, seqs } = group;
        match outcome {
            Outcome::Complete | Outcome::CompleteLate => {
                self.totals.completed += seqs.len() as u64;
                seqs.iter().for_each(|seq| self.give_up(queue, *seq));
                let seqs = seqs.into_iter().collect();
                let end =
                    self.commit(Record::Removed { queue, seqs, reason: Removal::Completed, durable }, cx);
                self.freed_up(queue);
                end
            }
            Outcome::Release { failed, delay_ms } => self.release(now, queue, &seqs, *failed, *delay_ms, cx),
            Outcome::Reject { reason } => {
                let ends = seqs.into_iter().map(|seq| {
                    self.give_up(queue, seq);
                    self.dead_letter(now, queue, seq, DeathReason::Rejected, reason.clone(), cx)
                });
                let end = ends.max().flatten();
                self.touch(queue);
                end
            }
            Outcome::Defer => {
                seqs.iter().for_each(|seq| self.give_up(queue, *seq));
                let seqs: Runs = seqs.into_iter().collect();
                let end = self.commit(Record::Deferred { queue, seqs, durable }, cx);
                self.touch(queue);
                end
            }
            Outcome::Extend { lease_ms: 0 } => self.release(now, queue, &seqs, true, Some(0), cx),
            Outcome::Extend { lease_ms } => {
                let until = now.after_ms(*lease_ms);
                // A lease that lasts as long as its link needs no extension.
                let limited = |seq: &Seq| self.state.entry(queue, *seq).is_some_and(|e| e.until != NEVER);
                let seqs: Vec<Seq> = seqs.into_iter().filter(limited).collect();
                let ends = seqs
                    .into_iter()
                    .map(|seq| self.commit(Record::Extended { queue, seq, until, durable }, cx));
                let end = ends.max().flatten();
                self.touch(queue);
                end
            }
        }
    }

    /// The queue needs serving after a completion only if something waited for it: a key, a limit, or its timers.
    fn freed_up(&mut self, queue: QueueId) {
        let waits = self.state.queue(queue).is_some_and(|queue| {
            queue.keyed() || queue.policy.dispatch.in_flight_max.is_some() || queue.serve.timer.is_some()
        });
        if waits {
            self.touch(queue);
        }
    }

    /// Leased messages go back, those that have spent their attempts to the dead letters.
    pub(super) fn release(
        &mut self,
        now: Time,
        queue: QueueId,
        seqs: &[Seq],
        failed: bool,
        delay_ms: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let mut needs = None;
        let mut run: Option<(Back, Runs)> = None;
        for seq in seqs {
            self.give_up(queue, *seq);
            if self.is_spent(queue, *seq, failed) {
                needs = needs.max(self.write_released(queue, run.take(), cx));
                needs = needs.max(self.poison(now, queue, *seq, cx));
                continue;
            }
            let Some(back) = self.how_back(now, queue, *seq, failed, delay_ms) else { continue };
            match &mut run {
                Some((same, seqs)) if *same == back => seqs.push(*seq),
                _ => {
                    needs = needs.max(self.write_released(queue, run.take(), cx));
                    run = Some((back, Runs::one(*seq)));
                }
            }
        }
        needs = needs.max(self.write_released(queue, run, cx));
        self.totals.released += seqs.len() as u64;
        self.touch(queue);
        needs
    }

    fn write_released(
        &mut self,
        queue: QueueId,
        run: Option<(Back, Runs)>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let (Back { durable, failed, deliver_at, back }, seqs) = run?;
        let to_back = self.state.queue(queue).filter(|_| back).map(|queue| Seq(queue.next_seq));
        let released = Released { queue, seqs, failed, deliver_at, back: to_back, durable };
        self.commit(Record::Released(released), cx)
    }

    /// Whether one more end of a lease spends the message's attempts.
    fn is_spent(&self, queue: QueueId, seq: Seq, failed: bool) -> bool {
        let (Some(queue), Some(entry)) = (self.state.queue(queue), self.state.entry(queue, seq)) else {
            return false;
        };
        match (queue.policy.retry.attempts_max, queue.policy.retry.counter) {
            (None, _) => false,
            (Some(max), Counter::Failed) => failed && entry.failed.saturating_add(1) > max,
            (Some(max), Counter::Acquired) => entry.acquired >= max,
        }
    }

    /// What happens to a message that has spent its attempts, by the policy of its key.
    fn poison(&mut self, now: Time, queue: QueueId, seq: Seq, cx: &mut Context<'_>) -> Option<u64> {
        let found = self.state.queue(queue)?;
        let entry = found.entries.get(seq)?;
        let key = found.index.keys.name(entry.key).filter(|_| entry.key != NONE).cloned();
        let durable = entry.durable;
        // The key is the queue's: it is held through a restart even if the message that was poison does not survive one.
        let key_durable = survives(found);
        let hold = |key: Name| Record::KeyHeld { queue, key, held: true, durable: key_durable };
        match (key, found.policy.keys.poison) {
            (Some(key), KeyPoison::Block) => {
                let seqs = Runs::one(seq);
                let released = Released { queue, seqs, failed: true, deliver_at: None, back: None, durable };
                self.commit(hold(key), cx);
                self.commit(Record::Released(released), cx)
            }
            (Some(key), KeyPoison::Park) => {
                self.commit(hold(key), cx);
                self.dead_letter(now, queue, seq, DeathReason::AttemptsSpent, None, cx)
            }
            _ => self.dead_letter(now, queue, seq, DeathReason::AttemptsSpent, None, cx),
        }
    }

    fn how_back(
        &mut self,
        now: Time,
        queue: QueueId,
        seq: Seq,
        failed: bool,
        delay_ms: Option<u64>,
    ) -> Option<Back> {
        let found = self.state.queue(queue)?;
        let entry = found.entries.get(seq)?;
        let (durable, keyed) = (entry.durable, entry.key != NONE);
        let attempts = if failed { entry.failed.saturating_add(1) } else { entry.acquired };
        let back = found.policy.release_to == ReleaseTo::Back && !keyed;
        let backoff = found.policy.retry.backoff.clone().filter(|backoff| match backoff.on {
            BackoffOn::All => true,
            BackoffOn::Failed => failed,
            BackoffOn::Returned => !failed,
        });
        let delay_ms = match (delay_ms, backoff) {
            (Some(delay_ms), _) => delay_ms,
            (None, Some(backoff)) => self.backoff_ms(&backoff, attempts),
            (None, None) => 0,
        };
        let deliver_at = (delay_ms > 0).then(|| now.after_ms(delay_ms));
        Some(Back { durable, failed, deliver_at, back })
    }

    fn backoff_ms(&mut self, backoff: &Backoff, attempts: u32) -> u64 {
        let min = backoff.min_ms as f64;
        let n = f64::from(attempts.max(1));
        let grown = match backoff.growth {
            Growth::Constant => min,
            Growth::Linear => min * n,
            Growth::Exponential(factor) => min * factor.powf(n - 1.0),
        };
        let capped = grown.min(backoff.max_ms as f64);
        let jitter = backoff.jitter.clamp(0.0, 1.0) * self.random();
        whole(capped * (1.0 - jitter))
    }

    /// All that a consumer holds as long as its link goes back, in order. Timed leases go on: they belong to the receipt.
    pub(super) fn release_all(&mut self, now: Time, consumer: u32, failed: bool, cx: &mut Context<'_>) {
        let Some(queue) = self.clients.consumer(consumer).map(|consumer| consumer.queue) else { return };
        let mut held = self.clients.leases(consumer);
        let linked = |seq: &Seq| self.state.entry(queue, *seq).is_some_and(|entry| entry.linked);
        held.retain(|seq| self.holder(queue, *seq) == Some(consumer) && linked(seq));
        if !held.is_empty() {
            self.release(now, queue, &held, failed, None, cx);
        }
    }

    /// Nobody holds a consumer's timed leases any more but who has the receipts.
    pub(super) fn let_go(&mut self, consumer: u32) {
        let Some(queue) = self.clients.consumer(consumer).map(|consumer| consumer.queue) else { return };
        for seq in self.clients.leases(consumer) {
            if self.holder(queue, seq) == Some(consumer) {
                self.give_up(queue, seq);
            }
        }
    }

    /// All that a link holds goes back and may come again, to the same consumers too.
    pub(super) fn recover_link(
        &mut self,
        now: Time,
        connection: ConnectionId,
        link: LinkId,
        token: Token,
        cx: &mut Context<'_>,
    ) {
        let index = self.clients.connection(connection).and_then(|c| c.links.get(&link).copied());
        let link = index.and_then(|index| self.clients.links.get(index as usize));
        for consumer in link.map(|link| link.consumers.clone()).unwrap_or_default() {
            self.release_all(now, consumer, false, cx);
        }
        super::reply(cx, connection, token, None, Ok(Reply::Done));
    }

    /// A lease has lasted its time: the message goes back. A linked holder is told, so that it forgets the delivery.
    pub(super) fn lease_ended(
        &mut self,
        now: Time,
        queue: QueueId,
        seq: Seq,
        failed: bool,
        cx: &mut Context<'_>,
    ) {
        let holder = self.holder(queue, seq).and_then(|holder| self.clients.consumer(holder));
        if let (Some(holder), Some(entry)) = (holder, self.state.entry(queue, seq)) {
            let fence = baton_model::Fence(entry.fence);
            let link = self.clients.links.get(holder.link as usize).map(|link| link.id).unwrap_or_default();
            let delivery = DeliveryRef { queue, seq, fence };
            cx.emit(holder.connection, None, Event::LeaseEnded { link, delivery });
        }
        self.release(now, queue, &[seq], failed, None, cx);
    }
}
