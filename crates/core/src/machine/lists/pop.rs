//! Elements are taken from an end of a list: settled as they leave, or leased where the queue's policy says so.

use baton_model::list::{Listed, Popped, Side};
use baton_model::request::{LeaseMode, MessageState};
use baton_model::{DeliveryRef, Message, Name, QueueId, Refusal, Seq, Time};
use smallvec::SmallVec;

use super::super::Machine;
use super::{Asker, End, plain};
use crate::context::Context;
use crate::record::{Record, Removal, Runs};

/// What a pop came to.
pub(super) enum Taken {
    /// Elements.
    Some(Popped),
    /// There are none.
    None,
    /// There are some, but the first of them cannot be read from disk yet: it is asked for, and there soon.
    NotYet,
}

impl Machine {
    #[expect(clippy::too_many_arguments, reason = "the fields of the operation, and what every step has")]
    pub(super) fn list_pop(
        &mut self,
        now: Time,
        asker: Asker,
        names: &[Name],
        side: Side,
        count_max: u64,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        for name in names {
            let Some(id) = self.find_list(now, asker, name, cx)? else { continue };
            match self.take_elements(now, asker, id, side, count_max, needs, cx)? {
                Taken::Some(popped) => return Ok(Listed::Popped(popped)),
                Taken::None => {}
                Taken::NotYet => return Err(super::unreadable(name)),
            }
        }
        Ok(Listed::Absent)
    }

    /// Takes up to so many elements from a side of one list.
    #[expect(clippy::too_many_arguments, reason = "the fields of the operation, and what every step has")]
    pub(super) fn take_elements(
        &mut self,
        now: Time,
        asker: Asker,
        id: QueueId,
        side: Side,
        count_max: u64,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Taken, Refusal> {
        let may_leave = self.budget(now, id, 0);
        let count_max = count_max.min(self.length(id)).min(may_leave);
        if count_max == 0 {
            return Ok(Taken::None);
        }
        self.decide_front(now, id, side, cx);
        let end = self.end(id, side);
        let Some(queue) = self.state.queue(id) else { return Ok(Taken::None) };
        let name = queue.name.clone();
        let taken = if !plain(queue) || queue.policy.list.lease_pops {
            if end == End::Back {
                self.positional(id)?;
            }
            self.take_leased(now, asker, (id, &name), end, count_max, needs, cx)
        } else {
            self.take_settled(now, (id, name), end, count_max, cx)
        };
        // What cannot be read is looked at again by the next dispatch: by this one it would be for ever.
        if !matches!(taken, Taken::NotYet) {
            self.touch(id);
        }
        Ok(taken)
    }

    fn take_settled(
        &mut self,
        now: Time,
        (id, name): (QueueId, Name),
        end: End,
        count_max: u64,
        cx: &mut Context<'_>,
    ) -> Taken {
        let mut elements: SmallVec<[Message; 1]> = SmallVec::new();
        let mut groups: SmallVec<[(bool, SmallVec<[Seq; 4]>); 1]> = SmallVec::new();
        let mut not_yet = false;
        while (elements.len() as u64) < count_max {
            // What is about to be looked at must be in memory.
            if self.outermost(id, end).is_some_and(|seq| !self.warm(id, seq, cx)) {
                not_yet = elements.is_empty();
                break;
            }
            let Some((seq, priority)) = self.take_outermost(now, id, end, cx) else { break };
            let content = self.state.entry(id, seq).map(|entry| entry.content);
            let Some(message) = content.and_then(|content| self.state.contents.take(content, cx.store))
            else {
                if let Some(queue) = self.state.queue_mut(id) {
                    queue.index.ready.insert(priority, seq);
                }
                self.unread.push(id);
                not_yet = elements.is_empty();
                break;
            };
            elements.push(message);
            let durable = self.is_durable(id, seq);
            match groups.last_mut() {
                Some((same, seqs)) if *same == durable => seqs.push(seq),
                _ => groups.push((durable, SmallVec::from_slice(&[seq]))),
            }
        }
        for (durable, mut seqs) in groups {
            seqs.sort_unstable();
            let seqs: Runs = seqs.into_iter().collect();
            self.commit(Record::Removed { queue: id, seqs, reason: Removal::Completed, durable }, cx);
        }
        let count = elements.len() as u64;
        self.totals.delivered += count;
        self.totals.completed += count;
        if let Some(queue) = self.state.queue_mut(id).filter(|queue| queue.policy.dispatch.rate.is_some()) {
            queue.serve.spend(count);
        }
        match (elements.is_empty(), not_yet) {
            (false, _) => Taken::Some(Popped { queue: name, elements, leases: Box::default() }),
            (true, true) => Taken::NotYet,
            (true, false) => Taken::None,
        }
    }

    /// Takes the outermost element at an end out of the index, for a record that is about to follow. One that has expired is
    /// left to its timer.
    fn take_outermost(
        &mut self,
        now: Time,
        id: QueueId,
        end: End,
        cx: &mut Context<'_>,
    ) -> Option<(Seq, u8)> {
        loop {
            let seq = self.outermost(id, end).filter(|seq| self.warm(id, *seq, cx))?;
            let queue = self.state.queue_mut(id)?;
            let entry = queue.entries.get(seq);
            let priority = entry.map_or(0, |entry| entry.priority);
            let takes =
                entry.is_some_and(|entry| entry.state == MessageState::Ready && entry.expires_at >= now.0);
            match end {
                End::Front => {
                    queue.index.ready.pop();
                }
                End::Back => queue.index.ready.remove(priority, seq),
            }
            if takes {
                return Some((seq, priority));
            }
        }
    }

    /// As deliveries are: for queues that lease what is popped, and for those whose order is more than a line.
    #[expect(clippy::too_many_arguments, reason = "the fields of the operation, and what every step has")]
    fn take_leased(
        &mut self,
        now: Time,
        asker: Asker,
        (id, name): (QueueId, &Name),
        end: End,
        count_max: u64,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Taken {
        let label = Name::const_new("list");
        let leases = self.state.queue(id).is_some_and(|queue| queue.policy.list.lease_pops);
        let mode = if leases { LeaseMode::Linked } else { LeaseMode::Settled };
        let Some(consumer) = self.clients.fetcher(asker.connection, asker.link, id, &label) else {
            return Taken::None;
        };
        let count_max = u32::try_from(count_max).unwrap_or(u32::MAX);
        let (fetched, need) = match end {
            End::Front => self.take_for_fetch(now, id, consumer, count_max, mode, cx),
            End::Back => {
                let mut seqs = Vec::new();
                while seqs.len() < count_max as usize
                    && let Some((seq, _)) = self.take_outermost(now, id, end, cx)
                {
                    seqs.push(seq);
                }
                self.take_by_seqs(now, id, consumer, &seqs, mode, cx)
            }
        };
        self.forget_ended(consumer);
        *needs = (*needs).max(need.durable).max(need.written);
        if fetched.deliveries.is_empty() {
            return if fetched.remaining > 0 { Taken::NotYet } else { Taken::None };
        }
        let held: Box<[DeliveryRef]> = fetched.deliveries.iter().filter(|_| leases).map(|d| d.at).collect();
        let elements = fetched.deliveries.into_iter().map(|delivery| delivery.message).collect();
        Taken::Some(Popped { queue: name.clone(), elements, leases: held })
    }
}
