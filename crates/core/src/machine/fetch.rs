//! Fetches are served: messages taken once, now or when there are some.

use baton_model::event::Fetched;
use baton_model::policy::KeyMode;
use baton_model::request::{Fetch, FetchSelect, LeaseMode, MessageState};
use baton_model::{ConnectionId, Delivery, DeliveryRef, Event, Name, QueueId, Seq, Time};

use super::Machine;
use super::dispatch::{Handover, Lease, lease};
use crate::context::{Context, Needs};
use crate::queue::Queue;
use crate::queue::entries::Entry;
use crate::record::Record;

impl Machine {
    /// Takes up to so many messages for a fetch.
    pub(super) fn take_for_fetch(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        count_max: u32,
        mode: LeaseMode,
        cx: &mut Context<'_>,
    ) -> (Fetched, Needs) {
        let Some(policy) = self.state.queue(queue).map(|queue| &queue.policy) else {
            return (Fetched::default(), Needs::default());
        };
        let lease = lease(now, mode, policy.lease_ms, policy.linked_lease_ms_max);
        let mut all = Vec::new();
        let mut planned: Vec<Handover> = Vec::new();
        loop {
            let taken = all.len() + planned.len();
            let room = (count_max as usize).saturating_sub(taken);
            if room == 0 || self.budget(now, queue, planned.len() as u64) == 0 {
                break;
            }
            let Some((seq, key)) = self.take_next(now, queue, consumer, cx) else { break };
            let Some(handover) = self.prepare(queue, seq, consumer, lease, cx) else {
                self.put_back(queue, seq);
                break;
            };
            planned.push(handover);
            let Some(key) = key else { continue };
            // One fetch may take several messages of a key, although one of it is in flight: its own.
            for seq in self.more_of(now, queue, (key, seq), room - 1, cx) {
                if self.budget(now, queue, planned.len() as u64) == 0 {
                    break;
                }
                let Some(handover) = self.prepare(queue, seq, consumer, lease, cx) else { break };
                planned.push(handover);
            }
            // Keys offer their next message by what is in flight.
            self.deliver_fetched(now, queue, consumer, &mut planned, &mut all, cx);
        }
        self.deliver_fetched(now, queue, consumer, &mut planned, &mut all, cx);
        self.fetched(queue, all)
    }

    /// The messages of an ordered key behind `first` that can leave together with it.
    fn more_of(
        &mut self,
        now: Time,
        queue: QueueId,
        (key, first): (u32, Seq),
        count_max: usize,
        cx: &mut Context<'_>,
    ) -> Vec<Seq> {
        let ordered = |queue: &&Queue| queue.policy.keys.mode == KeyMode::Ordered;
        let Some(found) = self.state.queue(queue).filter(ordered) else { return Vec::new() };
        let mut seqs: Vec<Seq> = found.index.keys.ready_after(key, first).take(count_max).collect();
        let mut alive = |seq: &Seq| {
            self.warm(queue, *seq, cx)
                && self.state.entry(queue, *seq).is_some_and(|entry| entry.expires_at >= now.0)
        };
        let count = seqs.iter().take_while(|seq| alive(seq)).count();
        seqs.truncate(count);
        seqs
    }

    fn deliver_fetched(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        planned: &mut Vec<Handover>,
        all: &mut Vec<(Delivery, ConnectionId, Needs)>,
        cx: &mut Context<'_>,
    ) {
        for handover in planned.iter() {
            self.clients.took(consumer, handover.seq, handover.lease != Lease::Settled);
        }
        all.extend(self.deliver(now, queue, std::mem::take(planned), cx));
    }

    /// As [`Machine::take_for_fetch`], or once more what an earlier attempt of that name got.
    pub(super) fn take_for_attempt(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        name: &Name,
        fetch: &Fetch,
        cx: &mut Context<'_>,
    ) -> (Fetched, Needs) {
        let known = self.attempts.find(now, queue, name).map(<[_]>::to_vec).unwrap_or_default();
        let current = |at: &DeliveryRef| {
            let entry = self.state.entry(queue, at.seq);
            entry.is_some_and(|entry| entry.state == MessageState::InFlight && entry.fence == at.fence.0)
        };
        if !known.is_empty() && known.iter().all(current) {
            return self.repeat(now, queue, consumer, &known, fetch.lease, cx);
        }
        let (fetched, needs) = self.take_for_fetch(now, queue, consumer, fetch.count_max, fetch.lease, cx);
        if !fetched.deliveries.is_empty() {
            let deliveries = fetched.deliveries.iter().map(|delivery| delivery.at).collect();
            self.attempts.remember(now, queue, name.clone(), deliveries);
        }
        (fetched, needs)
    }

    /// The same deliveries once more, under the same leases, begun anew.
    fn repeat(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        known: &[DeliveryRef],
        mode: LeaseMode,
        cx: &mut Context<'_>,
    ) -> (Fetched, Needs) {
        let lease_ms = self.state.queue(queue).map_or(0, |queue| queue.policy.lease_ms);
        let lease = lease(now, mode, lease_ms, None);
        let mut all = Vec::new();
        for at in known {
            let Some(handover) = self.prepare(queue, at.seq, consumer, lease, cx) else { continue };
            let end = match lease {
                Lease::Timed { until } => {
                    let durable = handover.durable;
                    let extended = Record::Extended { queue, seq: at.seq, until: Time(until), durable };
                    self.commit(extended, cx)
                }
                Lease::Linked { .. } | Lease::Settled => None,
            };
            let delivery = self.delivery(queue, &handover);
            let record = Needs { durable: None, written: end };
            all.extend(delivery.map(|(delivery, to, needs)| (delivery, to, needs.and(record))));
        }
        self.touch(queue);
        self.fetched(queue, all)
    }

    /// Takes messages by their places, deferred ones included.
    pub(super) fn take_by_seqs(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        seqs: &[Seq],
        mode: LeaseMode,
        cx: &mut Context<'_>,
    ) -> (Fetched, Needs) {
        let lease_ms = self.state.queue(queue).map_or(0, |queue| queue.policy.lease_ms);
        let lease = lease(now, mode, lease_ms, None);
        let mut all = Vec::new();
        for seq in seqs {
            let waits = |entry: &&Entry| entry.state != MessageState::InFlight;
            if !self.warm(queue, *seq, cx) || self.state.entry(queue, *seq).filter(waits).is_none() {
                continue;
            }
            let Some(handover) = self.prepare(queue, *seq, consumer, lease, cx) else { continue };
            self.clients.took(consumer, *seq, lease != Lease::Settled);
            all.extend(self.deliver(now, queue, vec![handover], cx));
        }
        self.fetched(queue, all)
    }

    /// Whether the queue's limit of messages in flight is reached.
    pub(super) fn at_limit(&self, queue: QueueId) -> bool {
        self.state.queue(queue).is_some_and(|queue| {
            queue.policy.dispatch.in_flight_max.is_some_and(|max| queue.index.counts.in_flight >= max)
        })
    }

    fn fetched(&self, queue: QueueId, all: Vec<(Delivery, ConnectionId, Needs)>) -> (Fetched, Needs) {
        let needs = all.iter().fold(Needs::default(), |all, (_, _, needs)| all.and(*needs));
        let remaining = self.state.queue(queue).map_or(0, |queue| queue.index.counts.ready);
        let deliveries = all.into_iter().map(|(delivery, _, _)| delivery).collect();
        (Fetched { deliveries, remaining, held_back: self.at_limit(queue) }, needs)
    }

    /// Answers a fetch that waits if there is something for it now.
    pub(super) fn serve_waiting(
        &mut self,
        now: Time,
        queue: QueueId,
        number: u64,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(waiting) = self.clients.waiting.get(&number) else { return false };
        let attempt = match &waiting.fetch.select {
            FetchSelect::Next => None,
            FetchSelect::Attempt(name) => Some(name.clone()),
            FetchSelect::Seqs(_) => return false,
        };
        let (connection, link, count_max, mode) =
            (waiting.connection, waiting.fetch.link, waiting.fetch.count_max, waiting.fetch.lease);
        let label = waiting.fetch.label.clone();
        let Some(consumer) = self.clients.fetcher(connection, link, queue, &label) else { return false };
        let (fetched, needs) = self.take_for_fetch(now, queue, consumer, count_max, mode, cx);
        self.forget_ended(consumer);
        if fetched.deliveries.is_empty() {
            return false;
        }
        if let Some(name) = attempt {
            let deliveries = fetched.deliveries.iter().map(|delivery| delivery.at).collect();
            self.attempts.remember(now, queue, name, deliveries);
        }
        if let Some(waiting) = self.end_waiting(number) {
            cx.emit(connection, needs, Event::Fetched { token: waiting.fetch.token, result: Ok(fetched) });
        }
        true
    }
}
