//! Elements go from one list to another, in one step: they are never in both and never in neither.

use baton_model::list::{Listed, Side};
use baton_model::{MessageId, Name, QueueId, Refusal, Seq, Time};
use smallvec::SmallVec;

use super::super::Machine;
use super::super::publish::survives;
use super::pop::Taken;
use super::{Asker, End, unreadable};
use crate::context::Context;
use crate::record::{Enqueued, Place, Record, Removal, Runs, Transferred};

impl Machine {
    pub(super) fn list_move(
        &mut self,
        now: Time,
        asker: Asker,
        from: (&Name, Side),
        to: (&Name, Side),
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(source) = self.find_list(now, asker, from.0, cx)? else { return Ok(Listed::Absent) };
        match self.move_element(now, asker, (source, from), to, needs, cx)? {
            Taken::Some(popped) => {
                Ok(popped.elements.into_iter().next().map_or(Listed::Absent, Listed::Element))
            }
            Taken::None => Ok(Listed::Absent),
            Taken::NotYet => Err(unreadable(from.0)),
        }
    }

    /// Moves one element of a list that was found.
    pub(super) fn move_element(
        &mut self,
        now: Time,
        asker: Asker,
        (source, (from, take)): (QueueId, (&Name, Side)),
        (to, put): (&Name, Side),
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Taken, Refusal> {
        self.positional(source)?;
        if self.budget(now, source, 0) == 0 || self.length(source) == 0 {
            return Ok(Taken::None);
        }
        self.decide_front(now, source, take, cx);
        let target = match self.find_any(asker, to)? {
            Some(target) => {
                self.settle_list(now, asker, target, cx);
                target
            }
            None => self.make_list(now, asker, to, put, cx)?,
        };
        self.positional(target)?;
        self.decide_front(now, target, put.other(), cx);
        let Some(seq) = self.outermost(source, self.end(source, take)) else { return Ok(Taken::None) };
        let Ok(message) = self.shown(source, from, seq, needs, cx) else {
            self.unread.push(source);
            return Ok(Taken::NotYet);
        };
        let (leaves, enters) = (self.end(source, take), self.end(target, put));
        if enters == End::Front {
            self.prepare_front(target, cx)?;
        }
        if source != target {
            self.forget_expiry_of_empty(now, target, cx);
            self.transfer_to(now, source, &[seq], (target, enters), cx);
        } else if leaves != enters {
            let first = self.free_place(source, enters, cx);
            // It may have got another place for the room in front.
            let seq = self.outermost(source, leaves).unwrap_or(seq);
            self.replace_elements(source, &[seq], first, cx);
        }
        self.filled(target);
        self.touch(source);
        self.make_room(now, target, cx);
        let popped = baton_model::list::Popped {
            queue: from.clone(),
            elements: SmallVec::from_buf([message]),
            leases: Box::default(),
        };
        Ok(Taken::Some(popped))
    }

    /// Elements go to the back of another queue, in their order.
    pub(super) fn transfer(
        &mut self,
        now: Time,
        from: QueueId,
        places: &[Seq],
        to: QueueId,
        cx: &mut Context<'_>,
    ) {
        self.transfer_to(now, from, places, (to, End::Back), cx);
    }

    /// Several elements keep their order at the back; in front there is only ever one.
    fn transfer_to(
        &mut self,
        now: Time,
        from: QueueId,
        places: &[Seq],
        (to, end): (QueueId, End),
        cx: &mut Context<'_>,
    ) {
        let Some(target) = self.state.queue(to) else { return };
        let expires_at = target.policy.ttl_ms.map(|ms| now.after_ms(ms));
        let target_survives = survives(target);
        for (durable, seqs) in self.by_durability(from, places) {
            if durable && !target_survives {
                for seq in seqs.iter() {
                    self.transfer_transient(now, (from, seq), (to, end), expires_at, cx);
                }
                continue;
            }
            let first = self.free_place(to, end, cx);
            let transferred = Transferred { from, seqs, to, first, at: now, expires_at, durable };
            self.commit(Record::Transferred(transferred), cx);
        }
    }

    /// A durable element goes where nothing survives a restart: the journal only knows that it left.
    fn transfer_transient(
        &mut self,
        now: Time,
        (from, seq): (QueueId, Seq),
        (to, end): (QueueId, End),
        expires_at: Option<Time>,
        cx: &mut Context<'_>,
    ) {
        let Some(message) = self.message(from, seq, cx) else { return };
        let id = self.state.entry(from, seq).map(|entry| self.state.contents.get(entry.content).id);
        let place = Place {
            queue: to,
            seq: self.free_place(to, end, cx),
            priority: 0,
            expires_at,
            deliver_at: None,
            key: None,
            dedup: None,
        };
        let seqs = Runs::one(seq);
        self.commit(Record::Removed { queue: from, seqs, reason: Removal::Completed, durable: true }, cx);
        let enqueued = Enqueued {
            id: id.unwrap_or(MessageId(0)),
            at: now,
            message,
            overlay: None,
            places: SmallVec::from_buf([place]),
            durable: false,
        };
        self.commit(Record::Enqueued(Box::new(enqueued)), cx);
    }
}
