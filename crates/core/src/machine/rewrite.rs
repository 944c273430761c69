//! Parts of the journal are given up though some messages in them are still wanted: their contents are copied to its end, and
//! so are pages of indexes. Which parts, how fast, and what happens to them afterwards is the engine's to say.
//!
//! Messages are found through the indexes, queue by queue and page by page, a few at a time; what a cold page says about
//! where its contents lie is enough to pass over nearly all of them.

use std::ops::Range;

use baton_model::{QueueId, Seq};

use super::Machine;
use crate::context::{Context, Held, Stored};
use crate::queue::entries::{PAGE, Slot};
use crate::record::Record;

/// Pages looked at between two batches of requests.
const PAGES_MAX: usize = 1024;

/// A run through all queues for what lies in some parts of the journal.
#[derive(Debug)]
pub struct Rewrite {
    parts: Vec<Range<u64>>,
    /// Queues it has not been through yet. `None`: it has not begun.
    queues: Option<Vec<QueueId>>,
    /// The page of the last of them that it has come to.
    page: u64,
    /// Bytes copied so far.
    copied_bytes: u64,
}

impl Rewrite {
    /// A run for what lies in these ranges of positions, which nothing is written to any more. They should be few.
    #[must_use]
    pub fn new(parts: Vec<Range<u64>>) -> Self {
        Self { parts, queues: None, page: 0, copied_bytes: 0 }
    }

    /// How much was copied so far.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    fn has(&self, at: Stored) -> bool {
        self.parts.iter().any(|part| part.contains(&at.position))
    }
}

impl Machine {
    /// Goes on with a run, until about `bytes_max` have been copied or enough was looked at. True: it has been through
    /// everything. What could not be read is left; then the part is still in use, and another run may be tried.
    pub fn rewrite(&mut self, run: &mut Rewrite, bytes_max: u64, cx: &mut Context<'_>) -> bool {
        let end = run.copied_bytes.saturating_add(bytes_max);
        if run.queues.is_none() {
            run.queues = Some(self.state.queue_ids());
        }
        for _ in 0..PAGES_MAX {
            if run.copied_bytes >= end {
                return false;
            }
            let Some(queue) = run.queues.as_ref().and_then(|queues| queues.last().copied()) else {
                return true;
            };
            match self.state.queue(queue).and_then(|queue| queue.entries.next_page(run.page)) {
                Some((page, _)) => {
                    run.page = page + 1;
                    self.rewrite_page(queue, page, run, cx);
                }
                None => {
                    run.queues.as_mut().and_then(Vec::pop);
                    run.page = 0;
                }
            }
        }
        false
    }

    fn rewrite_page(&mut self, queue: QueueId, page: u64, run: &mut Rewrite, cx: &mut Context<'_>) {
        let Some(found) = self.state.queue(queue) else { return };
        let (cold, moves) = match found.entries.page(page) {
            Some(Slot::Cold(cold)) => {
                let moves = run.has(cold.at);
                if !moves && !run.parts.iter().any(|part| cold.summary.touches(part)) {
                    return;
                }
                (true, moves)
            }
            Some(Slot::Hot(hot)) => (false, hot.clean.as_ref().is_some_and(|clean| run.has(clean.at))),
            Some(Slot::Empty) | None => return,
        };
        if cold && !self.warm_page(queue, page, cx) {
            return;
        }
        self.copy_contents(queue, page, run, cx);
        if moves {
            self.write_page_anew(queue, page, cx);
        }
        if cold {
            self.write_page(queue, page, cx);
            self.state.evict_page(queue, page);
            self.tell_uses(cx);
        }
    }

    fn copy_contents(&mut self, queue: QueueId, page: u64, run: &mut Rewrite, cx: &mut Context<'_>) {
        for seq in (page * PAGE..(page + 1) * PAGE).map(Seq) {
            let Some(entry) = self.state.entry(queue, seq).filter(|entry| entry.durable) else { continue };
            let content = self.state.contents.get(entry.content);
            let Some(at) = content.stored().filter(|at| run.has(*at)) else { continue };
            let Some(message) = content.message(cx.store) else { continue };
            run.copied_bytes += Held::from(at).bytes;
            self.commit(Record::Copied { queue, seq, message, durable: true }, cx);
        }
    }
}
