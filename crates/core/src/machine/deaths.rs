//! Where messages end that are not completed: dead-lettered, in one record that takes them from one queue and puts them
//! into others, or gone.
//!
//! ```text
//! Rejected       a consumer refused it           Expired   its time to live ended
//! AttemptsSpent  its retries are spent           Overflow  its queue was full
//! Operator       somebody moved it
//! ```

use std::sync::Arc;

use baton_model::event::{Death, DeathReason, Overlay};
use baton_model::limits::HISTORY_ENTRIES_MAX;
use baton_model::policy::{KeyMode, Overflow};
use baton_model::request::MessageState;
use baton_model::{Message, Name, Publish, QueueId, Seq, Tag, Time, ValueRef};
use smallvec::SmallVec;

use super::Machine;
use super::publish::survives;
use crate::context::Context;
use crate::queue::Queue;
use crate::queue::entries::{Entry, NEVER, NONE, Slot};
use crate::record::{Enqueued, Moved, Place, Record, Released, Removal, Runs};
use crate::routing::Targets;

/// How long a message that could not be read waits, milliseconds: a batch is durable long before.
pub(super) const POSTPONED_MS: u64 = 100;

impl Machine {
    /// A message dies in a queue: it moves to where the queue's dead letters go, or is gone if that is nowhere.
    pub(super) fn dead_letter(
        &mut self,
        now: Time,
        queue: QueueId,
        seq: Seq,
        reason: DeathReason,
        detail: Option<Name>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        if reason == DeathReason::Expired {
            self.totals.expired += 1;
        }
        let policy = &self.state.queue(queue)?.policy;
        let stays = reason == DeathReason::Expired && policy.drop_expired;
        let Some(policy) = policy.dead_letter.clone().filter(|_| !stays) else {
            return self.drop_message(queue, seq, reason, cx);
        };
        let Some(message) = self.message(queue, seq, cx) else { return self.postpone(now, queue, seq, cx) };
        let found = self.state.queue(queue)?;
        let entry = found.entries.get(seq)?;
        let mut overlay = died(&message, entry, &found.name, now, reason, detail);
        overlay.exchange = policy.exchange.clone();
        if let Some(key) = policy.key {
            overlay.keys = vec![key];
        }
        let targets = self.dead_letter_targets(&found.namespace, &message, &overlay, reason);
        if targets.is_empty() {
            return self.drop_message(queue, seq, reason, cx);
        }
        self.totals.dead_lettered += 1;
        self.move_message(now, (queue, seq), &message, &targets, overlay, cx)
    }

    /// A message that should be moved cannot be read yet (it left the memory a moment ago and is still being written): it is
    /// taken back if it was leased, and dies at the next occasion. Never dropped: it would be lost.
    fn postpone(&mut self, now: Time, queue: QueueId, seq: Seq, cx: &mut Context<'_>) -> Option<u64> {
        let entry = self.state.entry(queue, seq)?;
        self.unread.push(queue);
        if entry.state != MessageState::InFlight {
            return None;
        }
        let durable = entry.durable;
        let deliver_at = Some(now.after_ms(POSTPONED_MS));
        let seqs = Runs::one(seq);
        let released = Released { queue, seqs, failed: true, deliver_at, back: None, durable };
        self.commit(Record::Released(released), cx)
    }

    /// Queues that a dead letter goes to. Those that would close a cycle without any rejection or operator in it are left out, as in
    /// RabbitMQ: nobody looked at the message on the way, so it would circle for ever.
    fn dead_letter_targets(
        &self,
        namespace: &Name,
        message: &Message,
        overlay: &Overlay,
        reason: DeathReason,
    ) -> Targets {
        let Some(names) = self.state.namespaces.get(namespace) else { return Targets::new() };
        let keys: SmallVec<[&Name; 4]> = overlay.keys.iter().collect();
        let envelope = message.envelope();
        let mut targets =
            names.route(&overlay.exchange, &keys, &mut || envelope.headers()).unwrap_or_default();
        if reason != DeathReason::Rejected {
            targets.retain(|target| {
                let name = self.state.queue(*target).map(|queue| &queue.name);
                !name.is_some_and(|name| closes_cycle(name, &overlay.deaths))
            });
        }
        targets
    }

    /// Moves a message to other queues, at their backs, as one step.
    pub(super) fn move_message(
        &mut self,
        now: Time,
        (from, seq): (QueueId, Seq),
        message: &Message,
        targets: &[QueueId],
        overlay: Overlay,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let entry = self.state.entry(from, seq)?;
        let (content, was_durable) = (entry.content, entry.durable);
        let message_durable = self.state.contents.get(content).durable;
        let priority = sent_priority(message);
        let came_at = Time(entry.enqueued_at);
        let key = self.key_name(from, entry);
        let mut kept: SmallVec<[Place; 1]> = SmallVec::new();
        let mut others: SmallVec<[Place; 1]> = SmallVec::new();
        for target in targets {
            let Some(queue) = self.state.queue_mut(*target) else { continue };
            let place = Place {
                queue: queue.id,
                seq: Seq(queue.next_seq),
                priority: priority.min(queue.policy.priority_max),
                expires_at: expiry(now, queue, came_at, &overlay),
                deliver_at: (queue.policy.delay_ms > 0).then(|| now.after_ms(queue.policy.delay_ms)),
                key: key.clone().filter(|_| queue.policy.keys.mode != KeyMode::Off),
                dedup: None,
            };
            queue.next_seq += 1;
            if survives(queue) && (message_durable || queue.policy.persist_all) {
                kept.push(place);
            } else {
                others.push(place);
            }
        }
        let overlay = Arc::new(overlay);
        // The move itself carries the places that are as durable as where the message was; the others are a new arrival
        // of the same content, written first so that a crash between the two can only repeat, never lose.
        let (moved, arrived) = if was_durable { (kept, others) } else { (others, kept) };
        let mut needs = None;
        if !arrived.is_empty() {
            let message = message.clone();
            let id = self.state.contents.get(content).id;
            self.state.share_next(content);
            let enqueued = Enqueued {
                id,
                at: now,
                message,
                overlay: Some(overlay.clone()),
                places: arrived,
                durable: !was_durable,
            };
            needs = self.commit(Record::Enqueued(Box::new(enqueued)), cx);
        }
        let moved = Moved { from, seq, at: now, places: moved, overlay, durable: was_durable };
        needs = needs.max(self.commit(Record::Moved(Box::new(moved)), cx));
        self.touch(from);
        for target in targets {
            self.touch(*target);
            if self
                .state
                .queue(*target)
                .is_some_and(|queue| queue.policy.capacity.overflow == Overflow::DropOldest)
            {
                self.overflowing.push(*target);
            }
        }
        needs
    }

    /// A message is gone.
    fn drop_message(
        &mut self,
        queue: QueueId,
        seq: Seq,
        reason: DeathReason,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let durable = self.state.entry(queue, seq)?.durable;
        let reason = if reason == DeathReason::Expired { Removal::Expired } else { Removal::Dropped };
        self.totals.dropped += u64::from(reason == Removal::Dropped);
        let end = self.commit(Record::Removed { queue, seqs: Runs::one(seq), reason, durable }, cx);
        self.touch(queue);
        end
    }

    /// A full queue gives up the message that has waited longest. False if it has none, or cannot part with it yet.
    pub(super) fn drop_oldest(&mut self, now: Time, queue: QueueId, cx: &mut Context<'_>) -> bool {
        let Some(seq) = self.oldest(queue, cx).filter(|seq| self.warm(queue, *seq, cx)) else { return false };
        self.dead_letter(now, queue, seq, DeathReason::Overflow, None, cx);
        // It stays if it cannot be read yet; room is made when it can.
        self.state.entry(queue, seq).is_none()
    }

    /// The head, which is the most urgent where there are priorities, as RabbitMQ has it.
    fn oldest(&mut self, queue: QueueId, cx: &mut Context<'_>) -> Option<Seq> {
        let found = self.state.queue(queue)?;
        if let Some((_, seq)) = found.index.ready.peek() {
            return Some(seq);
        }
        // Only keyed or scheduled messages wait: the oldest of those, found in the order of places. What is cold waits.
        let mut page = found.entries.page_range().start;
        loop {
            let (number, slot) = self.state.queue(queue)?.entries.next_page(page)?;
            if matches!(slot, Slot::Cold(_)) && !self.warm_page(queue, number, cx) {
                return None;
            }
            if let Some(Slot::Hot(hot)) = self.state.queue(queue)?.entries.page(number) {
                let mut waiting = hot.entries(number).filter(|(_, e)| e.state != MessageState::InFlight);
                if let Some((seq, _)) = waiting.next() {
                    return Some(seq);
                }
            }
            page = number + 1;
        }
    }

    /// Queues that got dead letters and are too full now make room. A chain of such queues ends: see `closes_cycle`.
    pub(super) fn relieve(&mut self, now: Time, cx: &mut Context<'_>) {
        while let Some(queue) = self.overflowing.pop() {
            self.make_room(now, queue, cx);
        }
    }

    /// A full queue refused a message whose policy wants it dead-lettered all the same.
    pub(super) fn dead_letter_refused(
        &mut self,
        now: Time,
        queue: QueueId,
        publish: &Publish,
        cx: &mut Context<'_>,
    ) {
        let Some(found) = self.state.queue(queue) else { return };
        let (Overflow::RefuseAndDeadLetter, Some(policy)) =
            (found.policy.capacity.overflow, found.policy.dead_letter.clone())
        else {
            return;
        };
        let (exchange, keys) = address(&publish.message);
        let mut overlay = Overlay { exchange, keys, ..Overlay::default() };
        add_death(&mut overlay, &found.name, now, DeathReason::Overflow, None, publish.ttl_ms);
        overlay.exchange = policy.exchange;
        if let Some(key) = policy.key {
            overlay.keys = vec![key];
        }
        let namespace = found.namespace.clone();
        let targets = self.dead_letter_targets(&namespace, &publish.message, &overlay, DeathReason::Overflow);
        self.store_dead(now, publish, &targets, overlay, cx);
    }

    fn store_dead(
        &mut self,
        now: Time,
        publish: &Publish,
        targets: &Targets,
        overlay: Overlay,
        cx: &mut Context<'_>,
    ) {
        let mut publish = publish.clone();
        (publish.ttl_ms, publish.delay_ms, publish.dedup_id) = (None, None, None);
        self.totals.dead_lettered += u64::from(!targets.is_empty());
        self.store_with(now, &publish, targets, Some(&Arc::new(overlay)), cx);
        self.overflowing.extend(targets.iter().copied());
    }

    /// A message's content, from memory or disk.
    pub(super) fn message(&mut self, queue: QueueId, seq: Seq, cx: &mut Context<'_>) -> Option<Message> {
        if !self.warm(queue, seq, cx) {
            return None;
        }
        self.state.contents.get(self.state.entry(queue, seq)?.content).message(cx.store)
    }

    pub(super) fn key_name(&self, queue: QueueId, entry: &Entry) -> Option<Name> {
        (entry.key != NONE).then(|| self.state.queue(queue)?.index.keys.name(entry.key).cloned()).flatten()
    }

    /// An operator moves a message to another queue.
    pub(super) fn move_to(
        &mut self,
        now: Time,
        from: QueueId,
        seq: Seq,
        to: QueueId,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let message = self.message(from, seq, cx)?;
        let found = self.state.queue(from)?;
        let entry = found.entries.get(seq)?;
        let mut overlay = died(&message, entry, &found.name, now, DeathReason::Operator, None);
        overlay.exchange = Name::default();
        overlay.keys = vec![self.state.queue(to)?.name.clone()];
        self.move_message(now, (from, seq), &message, &[to], overlay, cx)
    }
}

/// When a message that moves to `queue` expires there. What an operator moves begins anew.
fn expiry(now: Time, queue: &Queue, came_at: Time, overlay: &Overlay) -> Option<Time> {
    let died = overlay.deaths.first().is_some_and(|death| death.reason != DeathReason::Operator);
    let since = if died && queue.policy.ttl_since_sent { came_at } else { now };
    queue.policy.ttl_ms.map(|ms| since.after_ms(ms))
}

/// The priority of a message as it was sent: what the queue it leaves made of it says nothing about the next one.
fn sent_priority(message: &Message) -> u8 {
    match message.envelope().get(Tag::Priority) {
        Some(ValueRef::U8(priority)) => priority,
        _ => 0,
    }
}

/// The overlay of a message after one more death.
fn died(
    message: &Message,
    entry: &Entry,
    queue: &Name,
    now: Time,
    reason: DeathReason,
    detail: Option<Name>,
) -> Overlay {
    let mut overlay = match &entry.overlay {
        Some(overlay) => Overlay::clone(overlay),
        None => {
            let (exchange, keys) = address(message);
            Overlay { exchange, keys, ..Overlay::default() }
        }
    };
    let ttl_ms = match message.envelope().get(Tag::TtlMs) {
        Some(ValueRef::U64(ttl_ms)) if !overlay.ttl_removed && entry.expires_at != NEVER => Some(ttl_ms),
        _ => None,
    };
    add_death(&mut overlay, queue, now, reason, detail, ttl_ms);
    overlay
}

/// Adds a death in front, or counts one more of the same queue and reason and brings that to the front.
fn add_death(
    overlay: &mut Overlay,
    queue: &Name,
    now: Time,
    reason: DeathReason,
    detail: Option<Name>,
    ttl_ms: Option<u64>,
) {
    let same = |death: &Death| death.queue == *queue && death.reason == reason;
    let death = match overlay.deaths.iter().position(same) {
        Some(index) => {
            let mut death = overlay.deaths.remove(index);
            death.count += 1;
            death.last_at = now;
            death
        }
        None => Death {
            queue: queue.clone(),
            reason,
            detail,
            count: 1,
            first_at: now,
            last_at: now,
            exchange: overlay.exchange.clone(),
            keys: overlay.keys.clone(),
            ttl_ms,
        },
    };
    overlay.deaths.insert(0, death);
    overlay.deaths.truncate(HISTORY_ENTRIES_MAX);
    overlay.ttl_removed = true;
    overlay.first_death.get_or_insert_with(|| (queue.clone(), reason, overlay.exchange.clone()));
}

/// Where a message was sent: the exchange and all routing keys that its envelope shows.
fn address(message: &Message) -> (Name, Vec<Name>) {
    let envelope = message.envelope();
    let text = |value: ValueRef<'_>| value.as_str().map(Name::new);
    let exchange = envelope.get(Tag::Exchange).and_then(text).unwrap_or_default();
    let keys = match envelope.get(Tag::Key) {
        Some(ValueRef::List(keys)) => keys.filter_map(text).collect(),
        Some(key) => text(key).into_iter().collect(),
        None => Vec::new(),
    };
    (exchange, keys)
}

/// Whether a dead letter that goes to `queue` has been there before and nobody has looked at it since, neither a consumer that
/// rejected it nor an operator that moved it.
fn closes_cycle(queue: &Name, deaths: &[Death]) -> bool {
    let Some(before) = deaths.iter().position(|death| death.queue == *queue) else { return false };
    let looked_at = |death: &Death| matches!(death.reason, DeathReason::Rejected | DeathReason::Operator);
    !deaths.iter().take(before + 1).any(looked_at)
}
