//! Messages looked at and acted on where they are, without disturbing deliveries.

use baton_model::event::{Browsed, DeathReason};
use baton_model::limits::BROWSE_PAGE_MAX;
use baton_model::request::{InspectOp, MessageAction, MessageState};
use baton_model::value::MapRef;
use baton_model::{
    ConnectionId, Fence, Message, MessageId, Name, QueueId, Refusal, RefusalCode, Reply, Seq, Time,
};

use super::Machine;
use crate::context::Context;
use crate::queue::entries::{Entry, NEVER, PAGE, Slot, page_of};
use crate::record::{Record, Released, Removal, Runs};

impl Machine {
    pub(super) fn inspect(
        &mut self,
        now: Time,
        from: ConnectionId,
        op: InspectOp,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        match op {
            InspectOp::Browse { queue, from: first, count_max, states, headers } => {
                let id = self.find_queue(from, &queue)?;
                Ok(self.browse(id, first, count_max, &states, MapRef(&headers), cx))
            }
            InspectOp::Act { queue, seqs, action } => {
                let id = self.find_queue(from, &queue)?;
                let target = match &action {
                    MessageAction::Move { to } => Some(self.find_queue(from, to)?),
                    _ => None,
                };
                let mut count = 0;
                for seq in seqs {
                    if self.act(now, id, seq, &action, target, cx) {
                        count += 1;
                        *needs = (*needs).max(self.last_end);
                    }
                }
                self.touch(id);
                self.relieve(now, cx);
                Ok(Reply::Count(count))
            }
            InspectOp::Unpark { queue, key } => {
                let id = self.find_queue(from, &queue)?;
                let durable = self.state.queue(id).is_some_and(super::publish::survives);
                *needs = self.commit(Record::KeyHeld { queue: id, key, held: false, durable }, cx);
                self.touch(id);
                Ok(Reply::Done)
            }
            InspectOp::Explain { queue, seq } => {
                let id = self.find_queue(from, &queue)?;
                if let Some(seq) = seq.filter(|seq| !self.warm(id, *seq, cx)) {
                    let text = format!("message {seq} cannot be read from the disk at the moment: try again");
                    return Err(Refusal::new(RefusalCode::Unavailable, text));
                }
                Ok(Reply::Explained(self.explain(now, id, seq)))
            }
            InspectOp::StartTransfer { queue, to, per_second } => {
                let reply = self.start_transfer(now, from, &queue, to, per_second, cx)?;
                *needs = self.last_end;
                Ok(reply)
            }
            InspectOp::CancelTransfer { queue, id } => {
                let reply = self.cancel_transfer(from, &queue, id, cx)?;
                *needs = self.last_end;
                Ok(reply)
            }
            InspectOp::Transfers { queue } => self.list_transfers(from, &queue),
            InspectOp::Locate { id } => {
                let mut places = Vec::new();
                for queue in self.state.queue_ids() {
                    self.locate(id, queue, &mut places, cx);
                }
                Ok(Reply::Located(places))
            }
        }
    }

    /// Adds the places of a message in one queue. What cannot be read back now is left out.
    fn locate(
        &mut self,
        id: MessageId,
        queue: QueueId,
        places: &mut Vec<(Name, Seq, MessageState)>,
        cx: &mut Context<'_>,
    ) {
        let Some(found) = self.state.queue(queue) else { return };
        let cold = found.entries.pages().filter_map(|(page, slot)| match slot {
            Slot::Cold(cold) if (cold.summary.ids.0..=cold.summary.ids.1).contains(&id.0) => Some(page),
            _ => None,
        });
        for page in cold.collect::<Vec<_>>() {
            self.warm_page(queue, page, cx);
        }
        let Some(found) = self.state.queue(queue) else { return };
        let here = found.entries.hot_from(Seq(0));
        let here = here.filter(|(_, entry)| self.state.contents.get(entry.content).id == id);
        places.extend(here.map(|(seq, entry)| (found.name.clone(), seq, entry.state)));
    }

    fn browse(
        &mut self,
        id: QueueId,
        from: Seq,
        count_max: u32,
        states: &[MessageState],
        headers: MapRef<'_>,
        cx: &mut Context<'_>,
    ) -> Reply {
        let count_max = count_max.clamp(1, BROWSE_PAGE_MAX) as usize;
        let mut messages = Vec::new();
        let mut examined = 0;
        let mut page = page_of(from);
        while let Some((number, slot)) = self.state.queue(id).and_then(|queue| queue.entries.next_page(page))
        {
            if matches!(slot, Slot::Cold(_)) {
                self.warm_page(id, number, cx);
            }
            let Some(Slot::Hot(hot)) = self.state.queue(id).and_then(|queue| queue.entries.page(number))
            else {
                // It cannot be read now: the cursor stays at it.
                return Reply::Browsed { messages, next: Some(Seq(number * PAGE).max(from)) };
            };
            for (seq, entry) in hot.entries(number).filter(|(seq, _)| *seq >= from) {
                // A filter that matches little must not keep the partition busy: the page ends, the cursor goes on.
                if messages.len() == count_max || examined >= 10 * BROWSE_PAGE_MAX {
                    return Reply::Browsed { messages, next: Some(seq) };
                }
                examined += 1;
                if !states.is_empty() && !states.contains(&entry.state) {
                    continue;
                }
                let Some(message) = self.state.contents.get(entry.content).message(cx.store) else {
                    // It was just copied, and the copy is not durable yet: the cursor stays at it.
                    return Reply::Browsed { messages, next: Some(seq) };
                };
                if has_all(message.envelope().headers(), headers) {
                    messages.push(self.browsed(id, seq, entry, message));
                }
            }
            page = number + 1;
        }
        Reply::Browsed { messages, next: None }
    }

    fn browsed(&self, queue: QueueId, seq: Seq, entry: &Entry, message: Message) -> Browsed {
        let time = |at: u64| (at != NEVER).then_some(Time(at));
        Browsed {
            seq,
            id: self.state.contents.get(entry.content).id,
            state: entry.state,
            until: time(entry.until),
            expires_at: time(entry.expires_at),
            enqueued_at: Time(entry.enqueued_at),
            acquired: entry.acquired,
            failed: entry.failed,
            fence: (entry.state == MessageState::InFlight).then_some(Fence(entry.fence)),
            group_key: self.key_name(queue, entry),
            priority: entry.priority,
            message,
            overlay: entry.overlay.clone(),
        }
    }

    /// Acts on one message. False: it is not there, or not in a state for that.
    fn act(
        &mut self,
        now: Time,
        queue: QueueId,
        seq: Seq,
        action: &MessageAction,
        target: Option<QueueId>,
        cx: &mut Context<'_>,
    ) -> bool {
        if !self.warm(queue, seq, cx) {
            return false;
        }
        let Some(entry) = self.state.entry(queue, seq) else { return false };
        let (state, durable) = (entry.state, entry.durable);
        let in_flight = state == MessageState::InFlight;
        if in_flight != matches!(action, MessageAction::EndLease) {
            return false;
        }
        match action {
            MessageAction::EndLease => self.lease_ended(now, queue, seq, true, cx),
            MessageAction::Delete => {
                let seqs = Runs::one(seq);
                self.commit(Record::Removed { queue, seqs, reason: Removal::Deleted, durable }, cx);
            }
            MessageAction::Move { .. } => {
                let Some(target) = target else { return false };
                self.move_to(now, queue, seq, target, cx);
            }
            MessageAction::Release if state == MessageState::Ready => return false,
            MessageAction::Release => {
                let seqs = Runs::one(seq);
                let released = Released { queue, seqs, failed: false, deliver_at: None, back: None, durable };
                self.commit(Record::Released(released), cx);
            }
            MessageAction::DeadLetter => {
                let detail = Some(Name::new("operator"));
                self.dead_letter(now, queue, seq, DeathReason::Rejected, detail, cx);
            }
            MessageAction::Edit(message) => {
                self.commit(Record::Edited { queue, seq, message: message.clone(), durable }, cx);
            }
        }
        true
    }
}

/// Whether `headers` hold all of `wanted`.
fn has_all(headers: MapRef<'_>, mut wanted: MapRef<'_>) -> bool {
    wanted.all(|(name, value)| headers.find(name) == Some(value))
}
