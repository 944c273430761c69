//! A message comes in: routed, checked against duplicates and capacity, and stored once for all its queues.

use std::sync::Arc;

use baton_model::policy::{DedupPolicy, KeyMode, Overflow};
use baton_model::{
    ConnectionId, Event, MessageId, Name, Overlay, Publish, PublishOutcome, QueueId, Refusal, RefusalCode,
    Seq, Time,
};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::Machine;
use crate::context::Context;
use crate::queue::Queue;
use crate::record::{Enqueued, Place, Record};
use crate::routing::Targets;

/// Places of one message, those that survive a restart apart.
#[derive(Default)]
struct Plan {
    durable: SmallVec<[Place; 1]>,
    transient: SmallVec<[Place; 1]>,
}

/// Whether queues are asked if they take a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// They are, and may refuse.
    Asked,
    /// They were, and it takes place: part of a group cannot be refused any more.
    Given,
}

/// What messages take of a queue.
#[derive(Clone, Copy, Default)]
pub(super) struct Room {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Machine {
    pub(super) fn publish(
        &mut self,
        now: Time,
        from: ConnectionId,
        publish: Publish,
        admission: Admission,
        cx: &mut Context<'_>,
    ) {
        let token = publish.token;
        let confirm = publish.confirm;
        match self.try_publish(now, from, publish, admission, cx) {
            Ok((outcome, needs)) if confirm => {
                cx.emit(from, needs, Event::Published { token, outcome });
            }
            Ok(_) => {}
            Err(refusal) => {
                self.totals.refused += 1;
                cx.emit(from, None, Event::Published { token, outcome: PublishOutcome::Refused(refusal) });
            }
        }
    }

    pub(super) fn try_publish(
        &mut self,
        now: Time,
        from: ConnectionId,
        publish: Publish,
        admission: Admission,
        cx: &mut Context<'_>,
    ) -> Result<(PublishOutcome, Option<u64>), Refusal> {
        let targets = self.route(from, &publish)?;
        let heard = self.tell_listeners(from, &publish.exchange, &publish.key, &publish.message, cx);
        if targets.is_empty() {
            self.totals.unroutable += u64::from(heard == 0);
            if publish.mandatory && heard == 0 {
                cx.emit(
                    from,
                    None,
                    Event::Returned {
                        token: publish.token,
                        exchange: publish.exchange,
                        key: publish.key,
                        message: publish.message,
                    },
                );
            }
            return Ok((PublishOutcome::Accepted { id: MessageId(0), seq: Seq(0), queues: heard }, None));
        }
        if let Some((id, seq)) = self.duplicate(now, &publish, &targets) {
            self.totals.duplicates += 1;
            return Ok((PublishOutcome::Duplicate { id, seq }, None));
        }
        let mut refusal = None;
        let accepted: Targets = targets
            .into_iter()
            .filter(|queue| {
                let admitted = admission == Admission::Given;
                let asked =
                    if admitted { Ok(()) } else { self.admit(now, *queue, &publish, Room::default(), cx) };
                asked.map_err(|refused| refusal = Some((*queue, refused))).is_ok()
            })
            .collect();
        let mut stored = self.store_with(now, &publish, &accepted, None, cx);
        if let PublishOutcome::Accepted { queues, .. } = &mut stored.0 {
            *queues += heard;
        }
        if let Some((queue, refused)) = refusal {
            self.dead_letter_refused(now, queue, &publish, cx);
            return Err(refused);
        }
        self.totals.published += 1;
        for queue in &accepted {
            self.make_room(now, *queue, cx);
        }
        Ok(stored)
    }

    /// The queues that a publish reaches.
    pub(super) fn route(&self, from: ConnectionId, publish: &Publish) -> Result<Targets, Refusal> {
        let namespace = self.clients.connection(from).map_or("", |c| c.namespace.as_str());
        let names = self.state.namespaces.get(namespace).ok_or_else(|| {
            Refusal::new(RefusalCode::NamespaceNotFound, format!("vhost '{namespace}' is not open"))
        })?;
        if publish.exchange.is_empty() && publish.more_keys.is_empty() {
            return Ok(names.queues.get(&publish.key).copied().into_iter().collect());
        }
        if names.exchanges.get(&publish.exchange).is_some_and(|exchange| exchange.policy.internal) {
            return Err(Refusal::new(
                RefusalCode::AccessDenied,
                format!("cannot publish to internal exchange '{}' in vhost '{namespace}'", publish.exchange),
            ));
        }
        let mut keys: SmallVec<[&Name; 4]> = SmallVec::new();
        keys.push(&publish.key);
        keys.extend(&publish.more_keys);
        let envelope = publish.message.envelope();
        names.route(&publish.exchange, &keys, &mut || envelope.headers()).ok_or_else(|| {
            Refusal::new(
                RefusalCode::ExchangeNotFound,
                format!("no exchange '{}' in vhost '{namespace}'", publish.exchange),
            )
        })
    }

    /// The earlier message with the same dedup id. Only a message for exactly one queue can be a duplicate: with several,
    /// each queue would have to answer for itself.
    pub(super) fn duplicate(
        &self,
        now: Time,
        publish: &Publish,
        targets: &Targets,
    ) -> Option<(MessageId, Seq)> {
        let [queue] = targets.as_slice() else { return None };
        let queue = self.state.queue(*queue)?;
        let id = dedup_id(queue.policy.dedup?, publish)?;
        queue.dedup.find(&id, now.0)
    }

    /// Whether a queue takes the message beside what is `taken` already. A full queue that refuses gets a chance to hand out
    /// what it has first.
    pub(super) fn admit(
        &mut self,
        now: Time,
        queue: QueueId,
        publish: &Publish,
        taken: Room,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let body_bytes = body_bytes(publish);
        let Some(found) = self.state.queue(queue) else { return Ok(()) };
        let capacity = &found.policy.capacity;
        if capacity.message_bytes_max.is_some_and(|max| body_bytes > max) {
            return Err(Refusal::new(
                RefusalCode::MessageTooLarge,
                format!("message of {body_bytes} bytes is larger than queue '{}' allows", found.name),
            ));
        }
        if capacity.overflow == Overflow::DropOldest || !full(found, taken, body_bytes) {
            return Ok(());
        }
        self.dispatch(now, cx);
        match self.state.queue(queue) {
            Some(found) if full(found, taken, body_bytes) => Err(Refusal::new(
                RefusalCode::QueueFull,
                format!("queue '{}' is full ({} messages)", found.name, found.waiting()),
            )),
            _ => Ok(()),
        }
    }

    /// Stores the message in the queues, with one durable record, one transient one, or both.
    pub(super) fn store_with(
        &mut self,
        now: Time,
        publish: &Publish,
        queues: &Targets,
        overlay: Option<&Arc<Overlay>>,
        cx: &mut Context<'_>,
    ) -> (PublishOutcome, Option<u64>) {
        let id = MessageId(self.state.next_message);
        self.state.next_message += 1;
        let mut plan = Plan::default();
        let mut first = None;
        for queue in queues {
            let Some(queue) = self.state.queue_mut(*queue) else { continue };
            let place = plan_place(now, queue, publish);
            first.get_or_insert(place.seq);
            let survives = survives(queue) && (publish.durable || queue.policy.persist_all);
            if survives { plan.durable.push(place) } else { plan.transient.push(place) }
        }
        let Some(seq) = first else {
            return (PublishOutcome::Accepted { id: MessageId(0), seq: Seq(0), queues: 0 }, None);
        };
        let content = self.state.contents.insert(id, publish.message.clone(), None, publish.durable);
        let mut needs = None;
        for (places, durable) in [(plan.durable, true), (plan.transient, false)] {
            if !places.is_empty() {
                self.state.share_next(content);
                let message = publish.message.clone();
                let enqueued = Enqueued { id, at: now, message, overlay: overlay.cloned(), places, durable };
                needs = self.commit(Record::Enqueued(Box::new(enqueued)), cx).or(needs);
            }
        }
        for queue in queues {
            self.touch(*queue);
        }
        let count = u32::try_from(queues.len()).unwrap_or(u32::MAX);
        (PublishOutcome::Accepted { id, seq, queues: count }, needs)
    }

    /// A queue that drops its oldest does so until it fits again, after having handed out what it can.
    pub(super) fn make_room(&mut self, now: Time, queue: QueueId, cx: &mut Context<'_>) {
        let overflowing = |machine: &Self| {
            machine.state.queue(queue).is_some_and(|q| {
                q.policy.capacity.overflow == Overflow::DropOldest && full(q, Room::default(), 0) && over(q)
            })
        };
        if !overflowing(self) {
            return;
        }
        self.serve_all(now, cx);
        while overflowing(self) && self.drop_oldest(now, queue, cx) {}
        if overflowing(self) && !self.crowded.contains(&queue) {
            self.crowded.push(queue);
        }
    }
}

/// Bytes of a message without its envelope, which is what capacities count.
pub(super) fn body_bytes(publish: &Publish) -> u64 {
    (publish.message.size_bytes() as u64).saturating_sub(publish.message.envelope_bytes().into())
}

/// Whether a queue has no room for one more message of that size, beside what is `taken` already.
fn full(queue: &Queue, taken: Room, body_bytes: u64) -> bool {
    let capacity = &queue.policy.capacity;
    let bytes = queue.index.counts.waiting_bytes + taken.bytes + body_bytes;
    capacity.messages_max.is_some_and(|max| queue.waiting() + taken.messages >= max)
        || capacity.bytes_max.is_some_and(|max| bytes > max)
}

/// Whether a queue holds more than it may.
fn over(queue: &Queue) -> bool {
    let capacity = &queue.policy.capacity;
    capacity.messages_max.is_some_and(|max| queue.waiting() > max)
        || capacity.bytes_max.is_some_and(|max| queue.index.counts.waiting_bytes > max)
}

/// Whether what is in the queue survives a restart.
pub(super) fn survives(queue: &Queue) -> bool {
    queue.policy.durable && !queue.policy.exclusive
}

/// Decides all that a place says.
fn plan_place(now: Time, queue: &mut Queue, publish: &Publish) -> Place {
    let policy = &queue.policy;
    let ttl_ms = match (policy.ttl_ms, publish.ttl_ms) {
        (Some(queue), Some(message)) => Some(queue.min(message)),
        (queue, message) => queue.or(message),
    };
    let delay_ms = publish.delay_ms.unwrap_or(policy.delay_ms);
    let deliver_at = (delay_ms > 0).then(|| now.after_ms(delay_ms));
    let key = publish.group_key.clone().filter(|_| policy.keys.mode != KeyMode::Off);
    let dedup =
        policy.dedup.and_then(|dedup| Some((dedup_id(dedup, publish)?, now.after_ms(dedup.window_ms))));
    let priority = publish.priority.unwrap_or(0).min(policy.priority_max);
    let seq = Seq(queue.next_seq);
    queue.next_seq += 1;
    // The time to live of a delayed message begins when it becomes deliverable: it must not expire before.
    let expires_at = ttl_ms.map(|ms| deliver_at.unwrap_or(now).after_ms(ms));
    Place { queue: queue.id, seq, priority, expires_at, deliver_at, key, dedup }
}

/// The id a message is remembered by: its own or its body's hash, in its key's scope where the policy says so.
fn dedup_id(dedup: DedupPolicy, publish: &Publish) -> Option<Name> {
    let id = match &publish.dedup_id {
        Some(id) => id.clone(),
        None if dedup.by_body => {
            let hash = Sha256::digest(publish.message.body_slice());
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
        None => return None,
    };
    Some(match &publish.group_key {
        Some(key) if dedup.per_key => format!("{}:{key}{id}", key.len()).into(),
        _ => id,
    })
}
