//! When nothing happens, memory does not follow the backlog and the disk follows what is alive. What must be there is
//! counted from the messages themselves: the broker's own account of what is in use has to agree.

use std::collections::{BTreeMap, BTreeSet};

use baton_core::STRETCH_BYTES;
use baton_journal_file::SEGMENT_HEADER_BYTES;
use baton_model::event::Browsed;
use baton_model::request::MessageState;
use baton_model::{MessageId, Request};

use super::{Checker, flat};
use crate::fact::{Audited, Fact, Serial, Usage, serial};
use crate::topology::FLEETING;

/// Messages of a page of an index.
const PAGE: u64 = 128;
/// Pages that stay in memory, whatever there is no room for: those at the head of a queue, and the newest.
const PAGES_KEPT: u64 = 4;
/// What a content takes in the journal beside itself, with its record.
const RECORD_BYTES: u64 = 48;
/// What a message takes on a page of an index, at most.
const ENTRY_BYTES: u64 = 120;

/// By how much the journal grows between snapshots of brokers as small as these, at least.
const SNAPSHOT_GROWTH_BYTES: u64 = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Budgets {
    transient: BTreeSet<Serial>,
    /// Messages that cannot leave the memory, and their bytes.
    pinned: u64,
    pinned_bytes: u64,
    /// Bytes of the journal that must be in use, and that may be.
    live_bytes_min: u64,
    live_bytes_max: u64,
    /// Most messages that were found at any time: as many may be on pages that the last two snapshots still name.
    entries_max: u64,
}

impl Budgets {
    fn is_transient(&self, queue: &Audited, found: &Browsed) -> bool {
        queue.info.name == FLEETING
            || serial(&found.message).is_none_or(|serial| self.transient.contains(&serial))
    }

    fn audit(&mut self, queues: &[Audited]) {
        (self.pinned, self.pinned_bytes, self.live_bytes_max) = (0, 0, 0);
        let mut durable: BTreeMap<MessageId, u64> = BTreeMap::new();
        for queue in queues {
            let mut pages: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
            for found in &queue.messages {
                let transient = self.is_transient(queue, found);
                let (count, pinned) = pages.entry(found.seq.0 / PAGE).or_default();
                *count += 1;
                *pinned |= transient || found.state == MessageState::InFlight;
                let bytes = found.message.content().len() as u64;
                if transient {
                    self.pinned_bytes += bytes;
                } else {
                    durable.insert(found.id, bytes);
                    self.live_bytes_max += bytes + RECORD_BYTES + ENTRY_BYTES;
                }
            }
            let head = pages.keys().next().map_or(0, |first| first + PAGES_KEPT);
            let newest = pages.keys().next_back().copied().unwrap_or_default();
            for (page, (count, pinned)) in pages {
                self.pinned += if pinned || page < head || page == newest { count } else { 0 };
            }
        }
        self.live_bytes_min = durable.values().sum();
        let entries = queues.iter().map(|queue| queue.messages.len() as u64).sum();
        self.entries_max = self.entries_max.max(entries);
    }

    fn check(&self, usage: &Usage) -> Result<(), String> {
        // A sweep that found no more begins again when there is an eighth more.
        let may = (self.pinned + usage.index_messages_max) / 8 * 9 + PAGE;
        if usage.indexed_messages > may {
            return Err(format!("{} cannot leave the memory, {may} may be there: {usage:?}", self.pinned));
        }
        if usage.resident_bytes > usage.resident_bytes_max + self.pinned_bytes {
            return Err(format!(
                "contents of {} bytes cannot leave the memory: {usage:?}",
                self.pinned_bytes
            ));
        }
        // Pages that were given up count until two snapshots later, and no snapshot is due until the journal has grown.
        let given_up =
            2 * (usage.snapshot_bytes_min + SNAPSHOT_GROWTH_BYTES) + self.entries_max * ENTRY_BYTES;
        let (min, max) = (self.live_bytes_min, 2 * self.live_bytes_max + given_up);
        if !(min..=max).contains(&usage.live_bytes) {
            return Err(format!("from {min} to {max} bytes can be in use: {usage:?}"));
        }
        // Each file has a header, and what is alive in a stretch that two segments share counts for both: these here are hardly
        // longer than stretches.
        let blurred = usage.segments * SEGMENT_HEADER_BYTES + 4 * STRETCH_BYTES;
        let goal = 2 * usage.live_bytes + 2 * usage.segment_bytes + blurred;
        if usage.disk_bytes > goal {
            return Err(format!("the disk should hold {goal} bytes at most: {usage:?}"));
        }
        let goal = 2 * usage.live_bytes + 2 * usage.segment_bytes_max + blurred;
        if usage.directory_bytes.is_some_and(|bytes| bytes > goal) {
            return Err(format!("the directory should hold {goal} bytes at most: {usage:?}"));
        }
        Ok(())
    }
}

impl Checker for Budgets {
    fn name(&self) -> &'static str {
        "budgets"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Asked { request, .. } => {
                for request in flat(request) {
                    if let Request::Publish(publish) = request
                        && !publish.durable
                    {
                        self.transient.extend(serial(&publish.message));
                    }
                }
            }
            Fact::Audit { queues, .. } => self.audit(queues),
            Fact::Idle { usage } => return self.check(usage),
            _ => {}
        }
        Ok(())
    }
}
