//! Transfers as they are recorded, and the fold of [`crate::Record::Transferred`]: messages go to other places, of their own
//! queue or of another. What decides which ones go is [`crate::machine`]'s.

use std::collections::{BTreeMap, VecDeque};

use baton_model::QueueId;
use baton_model::event::TransferState;
use baton_model::limits::TRANSFERS_REMEMBERED_MAX;
use baton_model::request::MessageState;

use crate::context::Load;
use crate::paging::Unreadable;
use crate::queue::{NEVER, NONE};
use crate::record::{TransferNoted, Transferred};
use crate::state::State;

/// The transfers of all queues.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// The largest number so far: none is given twice while the process lives.
    pub(crate) last_id: u64,
    /// The newest of a queue comes first, and only that one may run.
    of: BTreeMap<QueueId, VecDeque<TransferNoted>>,
}

impl Transfers {
    /// One has begun, gone on or ended.
    pub(crate) fn note(&mut self, noted: TransferNoted) {
        self.last_id = self.last_id.max(noted.transfer.id);
        let all = self.of.entry(noted.queue).or_default();
        match all.iter_mut().find(|known| known.transfer.id == noted.transfer.id) {
            Some(known) => *known = noted,
            None => {
                all.push_front(noted);
                all.truncate(TRANSFERS_REMEMBERED_MAX);
            }
        }
    }

    /// The queue is gone.
    pub(crate) fn forget(&mut self, queue: QueueId) {
        self.of.remove(&queue);
    }

    /// The one that runs.
    pub(crate) fn running(&self, queue: QueueId) -> Option<&TransferNoted> {
        let newest = self.of.get(&queue)?.front()?;
        (newest.transfer.state == TransferState::Running).then_some(newest)
    }

    pub(crate) fn newest_first(&self, queue: QueueId) -> impl DoubleEndedIterator<Item = &TransferNoted> {
        self.of.get(&queue).into_iter().flatten()
    }

    pub(crate) fn oldest_first(&self, queue: QueueId) -> impl Iterator<Item = &TransferNoted> {
        self.newest_first(queue).rev()
    }
}

impl State {
    pub(crate) fn transferred(
        &mut self,
        transferred: &Transferred,
        load: &mut dyn Load,
    ) -> Result<(), Unreadable> {
        let mut to = transferred.first;
        for seq in transferred.seqs.iter() {
            self.open(transferred.from, seq, load)?;
            self.open(transferred.to, to, load)?;
            let Some(content) = self.entry(transferred.from, seq).map(|entry| entry.content) else {
                continue;
            };
            let size = self.contents.size(content);
            let Some(from) = self.queue_mut(transferred.from) else { return Ok(()) };
            let new_page = if transferred.from == transferred.to {
                from.replace(seq, to, size, |_| {})
            } else {
                let Some(mut entry) = from.remove(seq, size) else { continue };
                entry.state = MessageState::Ready;
                entry.priority = 0;
                entry.durable = transferred.durable;
                entry.acquired = 0;
                entry.failed = 0;
                entry.key = NONE;
                entry.enqueued_at = transferred.at.0;
                entry.first_acquired_at = NEVER;
                entry.until = NEVER;
                entry.expires_at = entry.expires_at.min(transferred.expires_at.map_or(NEVER, |at| at.0));
                match self.queue_mut(transferred.to) {
                    Some(queue) => queue.insert(to, entry, size),
                    None => {
                        self.contents.release(content);
                        false
                    }
                }
            };
            if new_page {
                self.note_new_page(transferred.to, to);
            }
            to.0 += 1;
        }
        Ok(())
    }
}
