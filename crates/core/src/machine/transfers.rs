//! Transfers: the messages of a queue move to others little by little, as many at a time as the transfer's rate allows. A
//! transfer and how far it came are recorded, and so is each move; a restart goes on with what runs. How fast it goes is not.

use std::collections::BTreeMap;
use std::ops::Range;

use baton_model::event::{DeathReason, Transfer, TransferState};
use baton_model::request::MessageState;
use baton_model::{ConnectionId, Name, QueueId, Refusal, RefusalCode, Reply, Seq, Time};

use super::Machine;
use super::publish::survives;
use crate::context::Context;
use crate::queue::entries::{PAGE, Slot, page_of};
use crate::record::{Record, TransferNoted};

/// Most messages that one tick moves, so that others are not kept waiting.
const MOVED_PER_TICK_MAX: u64 = 1_000;

/// How the transfers that run go on; at most one for each queue.
#[derive(Debug, Default)]
pub(super) struct Paces(BTreeMap<QueueId, Pace>);

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Messages before this place are done with.
    cursor: Seq,
    /// Its rate counts from here: from its begin, or from the restart behind which it went on.
    since: Time,
    /// What was moved by then.
    moved: u64,
}

impl Paces {
    /// The queue is gone, or its transfer has ended.
    pub(super) fn forget(&mut self, queue: QueueId) {
        self.0.remove(&queue);
    }
}

impl Machine {
    pub(super) fn start_transfer(
        &mut self,
        now: Time,
        from: ConnectionId,
        queue: &Name,
        to: Option<Name>,
        per_second: Option<u32>,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        let id = self.find_queue(from, queue)?;
        if let Some(to) = &to {
            self.find_queue(from, to)?;
        }
        if self.state.transfers.running(id).is_some() {
            let text = format!("a transfer from queue '{queue}' runs already; wait for its end or cancel it");
            return Err(Refusal::new(RefusalCode::InUse, text));
        }
        let Some(found) = self.state.queue(id) else { return Ok(Reply::Transfers(Vec::new())) };
        let transfer = Transfer {
            id: self.state.transfers.last_id.saturating_add(1),
            to,
            per_second: per_second.map(|rate| rate.max(1)),
            state: TransferState::Running,
            moved: 0,
            to_move: found.index.counts.ready,
            started_at: now,
        };
        let (end, durable) = (Seq(found.next_seq), survives(found));
        let noted = TransferNoted { queue: id, transfer: transfer.clone(), end, durable };
        self.commit(Record::TransferNoted(Box::new(noted)), cx);
        self.resume_transfer(now, id);
        self.touch(id);
        Ok(Reply::Transfers(vec![transfer]))
    }

    /// Begins to move, or goes on with it after a restart.
    pub(super) fn resume_transfer(&mut self, now: Time, id: QueueId) {
        let Some(running) = self.state.transfers.running(id) else { return };
        let moved = running.transfer.moved;
        self.transfers.0.insert(id, Pace { cursor: Seq(0), since: now, moved });
        if let Some(queue) = self.state.queue_mut(id) {
            queue.serve.transfer_at = Some(now.0);
        }
    }

    pub(super) fn cancel_transfer(
        &mut self,
        from: ConnectionId,
        queue: &Name,
        id: u64,
        cx: &mut Context<'_>,
    ) -> Result<Reply, Refusal> {
        let found = self.find_queue(from, queue)?;
        match self.state.transfers.running(found) {
            Some(running) if running.transfer.id == id => {
                let mut noted = running.clone();
                noted.transfer.state = TransferState::Cancelled;
                let shown = noted.transfer.clone();
                self.commit(Record::TransferNoted(Box::new(noted)), cx);
                self.end_transfer(found);
                Ok(Reply::Transfers(vec![shown]))
            }
            _ => {
                let text = format!("no transfer {id} from queue '{queue}' runs");
                Err(Refusal::new(RefusalCode::MessageNotFound, text))
            }
        }
    }

    pub(super) fn list_transfers(&self, from: ConnectionId, queue: &Name) -> Result<Reply, Refusal> {
        let id = self.find_queue(from, queue)?;
        let all = self.state.transfers.newest_first(id);
        Ok(Reply::Transfers(all.map(|noted| noted.transfer.clone()).collect()))
    }

    fn end_transfer(&mut self, queue: QueueId) {
        self.transfers.forget(queue);
        if let Some(queue) = self.state.queue_mut(queue) {
            queue.serve.transfer_at = None;
        }
        self.touch(queue);
    }

    /// Moves as many as may move by now.
    pub(super) fn go_on_with_transfer(&mut self, now: Time, id: QueueId, cx: &mut Context<'_>) {
        let due = self.state.queue(id).and_then(|queue| queue.serve.transfer_at).filter(|at| *at <= now.0);
        let running = self.state.transfers.running(id).cloned();
        let (Some(_), Some(mut noted), Some(pace)) = (due, running, self.transfers.0.get(&id).copied())
        else {
            return;
        };
        let to = noted.transfer.to.clone();
        let limit = usize::try_from(allowed(&noted.transfer, pace, now)).unwrap_or(usize::MAX);
        let (seqs, at_end) = self.ready_between(id, pace.cursor..noted.end, limit, cx);
        let mut moved = 0;
        let mut state = if at_end { TransferState::Completed } else { TransferState::Running };
        for seq in &seqs {
            match self.transfer_target(id, *seq, to.as_ref()) {
                Some(target) => {
                    self.move_to(now, id, *seq, target, cx);
                    // What cannot be read for the moment stays, and is tried again.
                    if self.state.entry(id, *seq).is_some() {
                        state = TransferState::Running;
                        break;
                    }
                    moved += 1;
                }
                None => {
                    state = TransferState::Failed(Name::const_new("CouldNotDetermineMessageSource"));
                    break;
                }
            }
        }
        let before = (noted.transfer.moved, noted.transfer.state.clone());
        noted.transfer.moved += moved;
        noted.transfer.state = state;
        let cursor = seqs.get(usize::try_from(moved).unwrap_or(usize::MAX)).copied().unwrap_or(pace.cursor);
        let pace = Pace { cursor, ..pace };
        let next = next_at(&noted.transfer, pace, now);
        let runs = noted.transfer.state == TransferState::Running;
        if (noted.transfer.moved, &noted.transfer.state) != (before.0, &before.1) {
            self.commit(Record::TransferNoted(Box::new(noted)), cx);
        }
        if !runs {
            return self.end_transfer(id);
        }
        self.transfers.0.insert(id, pace);
        if let Some(queue) = self.state.queue_mut(id) {
            queue.serve.transfer_at = Some(next);
        }
    }

    /// Ready messages between two places, and whether there are no others.
    fn ready_between(
        &mut self,
        id: QueueId,
        places: Range<Seq>,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> (Vec<Seq>, bool) {
        let mut ready = Vec::new();
        let mut page = page_of(places.start);
        while let Some((number, slot)) = self.state.queue(id).and_then(|queue| queue.entries.next_page(page))
        {
            let cold = matches!(slot, Slot::Cold(_));
            if Seq(number * PAGE) >= places.end {
                break;
            }
            if cold && !self.warm_page(id, number, cx) {
                return (ready, false);
            }
            let Some(Slot::Hot(hot)) = self.state.queue(id).and_then(|queue| queue.entries.page(number))
            else {
                break;
            };
            let here = hot.entries(number).filter(|(seq, _)| places.contains(seq));
            ready.extend(here.filter(|(_, entry)| entry.state == MessageState::Ready).map(|(seq, _)| seq));
            if ready.len() >= limit {
                ready.truncate(limit);
                return (ready, false);
            }
            page = number + 1;
        }
        (ready, true)
    }

    /// Where a message goes: to the transfer's own queue, or to where it died last.
    fn transfer_target(&self, from: QueueId, seq: Seq, to: Option<&Name>) -> Option<QueueId> {
        let queue = self.state.queue(from)?;
        let overlay = queue.entries.get(seq)?.overlay.as_ref();
        let died = overlay.and_then(|overlay| {
            overlay
                .deaths
                .iter()
                .find(|death| death.reason != DeathReason::Operator)
                .map(|death| &death.queue)
        });
        let names = self.state.namespaces.get(&queue.namespace)?;
        names.queues.get(to.or(died)?).copied()
    }
}

/// How many messages may move at `now`.
fn allowed(transfer: &Transfer, pace: Pace, now: Time) -> u64 {
    let Some(rate) = transfer.per_second else { return MOVED_PER_TICK_MAX };
    let by_now = now.since_ms(pace.since).saturating_mul(u64::from(rate)) / 1_000;
    by_now.saturating_sub(transfer.moved.saturating_sub(pace.moved)).min(MOVED_PER_TICK_MAX)
}

/// When the next one may move.
fn next_at(transfer: &Transfer, pace: Pace, now: Time) -> u64 {
    let Some(rate) = transfer.per_second else { return now.0 + 1 };
    let next = transfer.moved.saturating_sub(pace.moved) + 1;
    let wait_ms = next.saturating_mul(1_000).div_ceil(u64::from(rate));
    pace.since.after_ms(wait_ms).0.max(now.0 + 1)
}
