//! Elements come in at an end of a list.

use baton_model::list::{Listed, Side};
use baton_model::policy::Overflow;
use baton_model::{
    Message, MessageId, Name, Publish, PublishOutcome, QueueId, QueuePolicy, Refusal, RefusalCode, Time,
};
use smallvec::SmallVec;

use super::super::Machine;
use super::super::publish::{Admission, survives};
use super::{Asker, End};
use crate::context::Context;
use crate::queue::Queue;
use crate::record::{Enqueued, Place, QueueCreated, Record};

impl Machine {
    #[expect(clippy::too_many_arguments, reason = "the fields of the operation, and what every step has")]
    pub(super) fn list_push(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        side: Side,
        mut messages: SmallVec<[Message; 1]>,
        create: bool,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let found = match self.find_any(asker, name)? {
            Some(id) => {
                self.settle_list(now, asker, id, cx);
                Some(id)
            }
            None => None,
        };
        if !create && found.is_none_or(|id| self.length(id) == 0) {
            return Ok(Listed::Count(0));
        }
        let id = match found {
            Some(id) => id,
            None => self.make_list(now, asker, name, side, cx)?,
        };
        self.decide_front(now, id, side.other(), cx);
        let end = self.end(id, side);
        if end == End::Front {
            self.positional(id)?;
            self.prepare_front(id, cx)?;
        }
        self.admit_elements(now, id, &messages, cx)?;
        self.forget_expiry_of_empty(now, id, cx);
        if messages.len() == 1
            && !asker.grouped
            && let Some(number) = self.passes_to(now, id)
            && let Some(message) = messages.pop()
        {
            self.pass(id, number, message, needs, cx);
            return Ok(Listed::Count(1));
        }
        self.totals.published += messages.len() as u64;
        for message in messages {
            self.put_element(now, id, end, message, cx);
        }
        self.filled(id);
        let length = self.length(id);
        self.make_room(now, id, cx);
        Ok(Listed::Count(length))
    }

    /// Puts one element at an end.
    pub(super) fn put_element(
        &mut self,
        now: Time,
        id: QueueId,
        end: End,
        message: Message,
        cx: &mut Context<'_>,
    ) {
        let seq = self.free_place(id, end, cx);
        let Some(queue) = self.state.queue(id) else { return };
        let policy = &queue.policy;
        let deliver_at = (policy.delay_ms > 0).then(|| now.after_ms(policy.delay_ms));
        let expires_at = policy.ttl_ms.map(|ms| deliver_at.unwrap_or(now).after_ms(ms));
        let place = Place { queue: id, seq, priority: 0, expires_at, deliver_at, key: None, dedup: None };
        let durable = survives(queue);
        let enqueued = Enqueued {
            id: MessageId(self.state.next_message),
            at: now,
            message,
            overlay: None,
            places: SmallVec::from_buf([place]),
            durable,
        };
        self.commit(Record::Enqueued(Box::new(enqueued)), cx);
    }

    /// A queue has new elements: it is served, at once where somebody waits for elements of a list.
    pub(super) fn filled(&mut self, id: QueueId) {
        self.touch(id);
        if self.state.queue(id).is_some_and(|queue| queue.serve.lists_waiting > 0)
            && !self.lists_filled.contains(&id)
        {
            self.lists_filled.push(id);
        }
    }

    /// Makes the queue of a list that did not exist.
    pub(super) fn make_list(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        back: Side,
        cx: &mut Context<'_>,
    ) -> Result<QueueId, Refusal> {
        if name.starts_with("amq.") {
            let text = format!("queue name '{name}' contains the reserved prefix 'amq.'");
            return Err(Refusal::new(RefusalCode::NameReserved, text));
        }
        let namespace = self.namespace(asker.connection);
        let queue = QueueId(self.state.next_queue);
        self.state.next_queue += 1;
        let policy = QueuePolicy::of_list(back);
        let created = QueueCreated { queue, namespace, name: name.clone(), policy, at: now };
        self.commit(Record::QueueCreated(Box::new(created)), cx);
        self.queue_appeared(queue);
        self.touch(queue);
        Ok(queue)
    }

    /// All elements fit, or none is taken. A full queue that refuses gets a chance to hand out what it has first.
    fn admit_elements(
        &mut self,
        now: Time,
        id: QueueId,
        messages: &[Message],
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let body_bytes = |message: &Message| message.body_slice().len() as u64;
        let Some(queue) = self.state.queue(id) else { return Ok(()) };
        let capacity = &queue.policy.capacity;
        if let Some(max) = capacity.message_bytes_max
            && let Some(large) = messages.iter().map(body_bytes).find(|bytes| *bytes > max)
        {
            let text = format!("message of {large} bytes is larger than queue '{}' allows", queue.name);
            return Err(Refusal::new(RefusalCode::MessageTooLarge, text));
        }
        if capacity.overflow == Overflow::DropOldest
            || (capacity.messages_max.is_none() && capacity.bytes_max.is_none())
        {
            return Ok(());
        }
        let bytes = messages.iter().map(body_bytes).sum();
        let more = messages.len() as u64 - 1;
        if too_full(queue, bytes, more) {
            self.dispatch(now, cx);
        }
        match self.state.queue(id) {
            Some(queue) if too_full(queue, bytes, more) => Err(Refusal::new(
                RefusalCode::QueueFull,
                format!("queue '{}' is full ({} messages)", queue.name, queue.waiting()),
            )),
            _ => Ok(()),
        }
    }

    /// An ordinary send among list operations.
    pub(super) fn list_send(
        &mut self,
        now: Time,
        asker: Asker,
        publish: Publish,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let (outcome, _) = self.try_publish(now, asker.connection, publish, Admission::Asked, cx)?;
        match outcome {
            PublishOutcome::Accepted { queues, .. } => Ok(Listed::Count(queues.into())),
            PublishOutcome::Duplicate { .. } => Ok(Listed::Count(0)),
            PublishOutcome::Refused(refusal) => Err(refusal),
        }
    }
}

/// Whether a queue has no room for so many bytes in one message and `more` others.
fn too_full(queue: &Queue, bytes: u64, more: u64) -> bool {
    let capacity = &queue.policy.capacity;
    capacity.messages_max.is_some_and(|max| queue.waiting() + more >= max)
        || capacity.bytes_max.is_some_and(|max| queue.index.counts.waiting_bytes + bytes > max)
}
