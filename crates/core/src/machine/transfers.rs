//! Transfers: the messages of a queue move to others little by little, as many at a time as the transfer's rate allows. What
//! runs is not recorded; each move is.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use baton_model::event::{DeathReason, Transfer, TransferState};
use baton_model::limits::TRANSFERS_REMEMBERED_MAX;
use baton_model::request::MessageState;
use baton_model::{ConnectionId, Name, QueueId, Refusal, RefusalCode, Reply, Seq, Time};

use super::Machine;
use crate::context::Context;
use crate::queue::entries::{PAGE, Slot, page_of};

/// Most messages that one tick moves, so that others are not kept waiting.
const MOVED_PER_TICK_MAX: u64 = 1_000;

/// Transfers of all queues.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    last_id: u64,
    of: BTreeMap<QueueId, VecDeque<Moving>>,
}

/// One transfer. The newest of a queue comes first, and only that one may run.
#[derive(Debug)]
struct Moving {
    shown: Transfer,
    /// Messages before this place are done with.
    cursor: Seq,
    /// Messages from this place on came later.
    end: Seq,
}

impl Transfers {
    /// The queue is gone.
    pub(super) fn forget(&mut self, queue: QueueId) {
        self.of.remove(&queue);
    }

    fn running(&mut self, queue: QueueId) -> Option<&mut Moving> {
        let newest = self.of.get_mut(&queue)?.front_mut()?;
        (newest.shown.state == TransferState::Running).then_some(newest)
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
    ) -> Result<Reply, Refusal> {
        let id = self.find_queue(from, queue)?;
        if let Some(to) = &to {
            self.find_queue(from, to)?;
        }
        if self.transfers.running(id).is_some() {
            let text = format!("a transfer from queue '{queue}' runs already; wait for its end or cancel it");
            return Err(Refusal::new(RefusalCode::InUse, text));
        }
        let Some(found) = self.state.queue_mut(id) else { return Ok(Reply::Transfers(Vec::new())) };
        found.serve.transfer_at = Some(now.0);
        self.transfers.last_id += 1;
        let shown = Transfer {
            id: self.transfers.last_id,
            to,
            per_second: per_second.map(|rate| rate.max(1)),
            state: TransferState::Running,
            moved: 0,
            to_move: found.index.counts.ready,
            started_at: now,
        };
        let moving = Moving { shown: shown.clone(), cursor: Seq(0), end: Seq(found.next_seq) };
        let all = self.transfers.of.entry(id).or_default();
        all.push_front(moving);
        all.truncate(TRANSFERS_REMEMBERED_MAX);
        self.touch(id);
        Ok(Reply::Transfers(vec![shown]))
    }

    pub(super) fn cancel_transfer(
        &mut self,
        from: ConnectionId,
        queue: &Name,
        id: u64,
    ) -> Result<Reply, Refusal> {
        let found = self.find_queue(from, queue)?;
        match self.transfers.running(found) {
            Some(moving) if moving.shown.id == id => {
                moving.shown.state = TransferState::Cancelled;
                let shown = moving.shown.clone();
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
        let all = self.transfers.of.get(&id).into_iter().flatten();
        Ok(Reply::Transfers(all.map(|moving| moving.shown.clone()).collect()))
    }

    fn end_transfer(&mut self, queue: QueueId) {
        if let Some(queue) = self.state.queue_mut(queue) {
            queue.serve.transfer_at = None;
        }
        self.touch(queue);
    }

    /// Moves as many as may move by now.
    pub(super) fn go_on_with_transfer(&mut self, now: Time, id: QueueId, cx: &mut Context<'_>) {
        let due = self.state.queue(id).and_then(|queue| queue.serve.transfer_at).filter(|at| *at <= now.0);
        let (Some(_), Some(moving)) = (due, self.transfers.running(id)) else { return };
        let (to, cursor, end) = (moving.shown.to.clone(), moving.cursor, moving.end);
        let allowed = allowed(&moving.shown, now);
        let limit = usize::try_from(allowed).unwrap_or(usize::MAX);
        let (seqs, at_end) = self.ready_between(id, cursor..end, limit, cx);
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
        let Some(moving) = self.transfers.running(id) else { return };
        moving.shown.moved += moved;
        moving.cursor = seqs.get(usize::try_from(moved).unwrap_or(usize::MAX)).copied().unwrap_or(cursor);
        moving.shown.state = state;
        if moving.shown.state == TransferState::Running {
            let next = next_at(&moving.shown, now);
            if let Some(queue) = self.state.queue_mut(id) {
                queue.serve.transfer_at = Some(next);
            }
        } else {
            self.end_transfer(id);
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
fn allowed(transfer: &Transfer, now: Time) -> u64 {
    let Some(rate) = transfer.per_second else { return MOVED_PER_TICK_MAX };
    let passed_ms = now.since_ms(transfer.started_at);
    let by_now = passed_ms.saturating_mul(u64::from(rate)) / 1_000;
    by_now.saturating_sub(transfer.moved).min(MOVED_PER_TICK_MAX)
}

/// When the next one may move.
fn next_at(transfer: &Transfer, now: Time) -> u64 {
    let Some(rate) = transfer.per_second else { return now.0 + 1 };
    let wait_ms = (transfer.moved + 1).saturating_mul(1_000).div_ceil(u64::from(rate));
    transfer.started_at.after_ms(wait_ms).0.max(now.0 + 1)
}
