//! Consumers with a condition: each message is looked at once for each of them, and again only when it came back; one call
//! looks at a bounded number of them. Messages that are not for a consumer stay where they are, for others.

use baton_model::request::MessageState;
use baton_model::{QueueId, Seq, Time};

use super::Machine;
use crate::context::Context;
use crate::queue::NONE;
use crate::record::{Record, Removal, Runs};

/// Messages looked at for one consumer in one go. More are looked at in the next dispatch, so that a consumer that wants
/// one in a million does not hold up the partition.
const LOOKED_AT_MAX: u32 = 512;

impl Machine {
    /// Takes the next message that meets a consumer's condition out of the index.
    pub(super) fn take_filtered(
        &mut self,
        now: Time,
        queue: QueueId,
        consumer: u32,
        cx: &mut Context<'_>,
    ) -> Option<Seq> {
        for _ in 0..LOOKED_AT_MAX {
            let ready = &mut self.state.queue_mut(queue)?.index.ready;
            let filtering = self.clients.consumer_mut(consumer)?.filtering.as_mut()?;
            let (priority, seq) = filtering.next(ready)?;
            let (condition, drop_others) =
                (std::sync::Arc::clone(&filtering.filter.condition), filtering.filter.drop_others);
            let seq = Seq(seq);
            let readable = self.warm(queue, seq, cx);
            let waits = self.state.entry(queue, seq).filter(|entry| {
                entry.state == MessageState::Ready && entry.key == NONE && entry.expires_at >= now.0
            });
            let durable = match waits.map(|entry| entry.durable) {
                Some(durable) if readable => Some(durable),
                None if readable => continue,
                _ => None,
            };
            let message = durable.and_then(|durable| Some((durable, self.message(queue, seq, cx)?)));
            let Some((durable, message)) = message else {
                // It cannot be read now; the next dispatch tries again.
                if let Some(filtering) = self.clients.consumer_mut(consumer)?.filtering.as_mut() {
                    filtering.look_again(priority, seq.0);
                }
                self.unread.push(queue);
                return None;
            };
            if condition.matches(message.envelope()) {
                self.state.queue_mut(queue)?.index.ready.remove(priority, seq);
                return Some(seq);
            }
            if drop_others {
                self.totals.dropped += 1;
                let seqs = Runs::one(seq);
                self.commit(Record::Removed { queue, seqs, reason: Removal::Dropped, durable }, cx);
            }
        }
        self.later.push(queue);
        None
    }
}
