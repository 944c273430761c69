//! The disk follows what is alive: dead segments go whole, and of those that a few live messages pin, these are copied to the
//! end of the journal in the background, so that the segments can go too.
//!
//! ```text
//!  sealed segments   [ dead ] [ 3 % live ] [ 98 % live ] [ 60 % live ]      active segment
//!                        │         │ copied, when the dead parts of all are too much  ▲
//!                        ▼         └──────────────────────────────────────────────────┘
//!                     removed, once a snapshot covers it
//! ```
//!
//! What is copied is a record like any other: a crash in between leaves the old place or the new one. The goal is that the
//! segments never hold more than twice what is alive, and two segments.

use std::collections::VecDeque;

use baton_core::{Context, Rewrite, STRETCH_BYTES};
use baton_journal::{JournalError, Position, SegmentInfo};
use baton_model::Time;

use super::Partition;
use crate::keeper::KeeperJob;

/// When something may have become removable, segments are looked at at most this often, milliseconds: one look costs a lock and a list.
const RECLAIM_INTERVAL_MS: u64 = 100;
/// Segments that may be on their way out at the same time, so that the keeper's queue stays short.
const REMOVALS_MAX: usize = 32;
/// Jobs that can be waiting for the keeper: those and one snapshot.
pub(crate) const KEEPER_JOBS_MAX: usize = REMOVALS_MAX + 1;

/// Copying may use so many bytes per millisecond, beside as many as are appended anyway: 16 MiB a second do not disturb a disk
/// that is worth being called one, and clear a segment in a few seconds.
const REWRITE_BYTES_PER_MS: u64 = 16 << 10;
/// Most bytes copied between two batches of requests, so that nobody waits for it: about a millisecond.
const REWRITE_BYTES_PER_TURN: u64 = 1 << 20;
/// What may be saved up of that while nothing happens.
const REWRITE_BYTES_SAVED_MAX: u64 = 4 << 20;
/// How long a run that has used up its bytes waits, milliseconds.
const REWRITE_PAUSE_MS: u64 = 10;
/// Segments cleared in one run: each makes the question whether a content is concerned a little longer.
const SEGMENTS_PER_RUN_MAX: usize = 16;
/// A segment of which more than this part is alive is not worth being copied: in 256ths.
const LIVE_PART_MAX: u64 = 160;
/// How long a segment that a run could not clear (what pins it could not be read, or is of no durable queue) is left alone, milliseconds.
const RETRY_MS: u64 = 10_000;

/// What is under way.
pub(super) struct Reclaim {
    /// Something may have become removable.
    pub(super) wanted: bool,
    /// When to look again.
    at: Time,
    /// Segments on their way out.
    removing: Vec<Position>,
    run: Option<Run>,
    /// Segments that runs have been through, and when.
    tried: VecDeque<(Position, Time)>,
    /// The journal's end when segments were last looked at.
    looked_at_end: u64,
    /// They are looked at again when it has grown by so much: a quarter of the longest.
    look_bytes: u64,
}

/// A segment is being cleared.
struct Run {
    rewrite: Rewrite,
    /// Bytes that may be copied now.
    allowed_bytes: u64,
    /// When, and at which end of the journal, that was last counted.
    counted: (Time, u64),
}

impl Reclaim {
    pub(super) fn new(now: Time) -> Self {
        Self {
            wanted: true,
            at: now,
            removing: Vec::new(),
            run: None,
            tried: VecDeque::new(),
            looked_at_end: 0,
            look_bytes: STRETCH_BYTES,
        }
    }

    fn has_tried(&self, base: Position) -> bool {
        self.tried.iter().any(|(tried, _)| *tried == base)
    }
}

impl Partition {
    /// When segments want to be looked at, or a run goes on.
    pub(super) fn next_reclaim(&self) -> Option<Time> {
        let look = self.reclaim.wanted.then_some(self.reclaim.at);
        let run = self.reclaim.run.as_ref().filter(|_| !self.pressure.full);
        let run = run.map(|run| match run.allowed_bytes {
            0 => run.counted.0.after_ms(REWRITE_PAUSE_MS),
            _ => self.now,
        });
        [look, run].into_iter().flatten().min()
    }

    pub(super) fn heed_removed(&mut self, base: Position, result: Result<(), JournalError>) {
        self.reclaim.removing.retain(|removing| *removing != base);
        self.reclaim.wanted = true;
        match result {
            Ok(()) => self.counts.segments_removed += 1,
            Err(error) => tracing::warn!(%error, "a dead segment stays for now"),
        }
    }

    /// Sends dead segments on their way out, and chooses one to be cleared if that is not enough.
    pub(super) fn reclaim_segments(&mut self) {
        let grown = self.store.written.saturating_sub(self.reclaim.looked_at_end) >= self.reclaim.look_bytes;
        let due = self.reclaim.wanted && self.now >= self.reclaim.at;
        if !(due || grown) {
            return;
        }
        self.reclaim.wanted = false;
        self.reclaim.at = self.now.after_ms(RECLAIM_INTERVAL_MS);
        self.reclaim.looked_at_end = self.store.written;
        let segments = self.housekeeping.segments();
        if let Some(oldest) = segments.first() {
            self.store.live.forget_before(oldest.base);
        }
        for base in self.store.live.dead(&segments, self.plan.covered) {
            if self.reclaim.removing.len() >= REMOVALS_MAX {
                self.reclaim.wanted = true;
                break;
            }
            if !self.reclaim.removing.contains(&base) {
                self.reclaim.removing.push(base);
                self.jobs.push(KeeperJob::Remove { base });
            }
        }
        self.counts.disk_bytes = segments.iter().map(SegmentInfo::len_bytes).sum();
        self.choose(&segments);
    }

    /// Begins to clear segments when the dead parts of those that are pinned are too much, those first that hold least; asks
    /// for a snapshot when those that are dead wait for one.
    fn choose(&mut self, segments: &[SegmentInfo]) {
        let live_bytes = self.store.live.total_bytes();
        let (mut uncovered_bytes, mut dead_bytes, mut longest_bytes) = (0, 0, 0);
        let mut worth: Vec<(u64, u64, &SegmentInfo)> = Vec::new();
        let now = self.now;
        self.reclaim.tried.retain(|(_, at)| now.since_ms(*at) < RETRY_MS);
        for segment in segments.iter().filter(|segment| segment.sealed) {
            // Of a segment whose tail was torn, the space prepared behind it is taken up too.
            let len = segment.file_bytes.max(segment.len_bytes());
            longest_bytes = len.max(longest_bytes);
            let live = self.store.live.between(segment.base, segment.end).min(len);
            if live == 0 {
                uncovered_bytes += if segment.end > self.plan.covered { len } else { 0 };
                continue;
            }
            dead_bytes += len - live;
            // The stretch at its end is copied whole: nothing may be written there any more.
            let settled = segment.end.0.next_multiple_of(STRETCH_BYTES) <= self.store.written;
            let part = live.saturating_mul(256) / len.max(1);
            if settled && part <= LIVE_PART_MAX && !self.reclaim.has_tried(segment.base) {
                worth.push((part, len - live, segment));
            }
        }
        self.reclaim.look_bytes = (longest_bytes / 4).max(STRETCH_BYTES);
        // What is dead and waits for a snapshot takes up disk: one that is worth it is not waited for with another.
        self.plan.wanted |= uncovered_bytes > 0 && uncovered_bytes >= longest_bytes / 2;
        let goal_bytes = live_bytes / 2 + longest_bytes / 2;
        // Pages that were given up pin their segments until two more snapshots have begun, though nothing else happens.
        let given_up_bytes = self.store.freed_pages.total_bytes();
        if given_up_bytes > 0 && (dead_bytes > goal_bytes || given_up_bytes > longest_bytes) {
            let rested = self.plan.has_rested(now);
            self.plan.wanted |= rested;
            // Otherwise, look again.
            self.reclaim.wanted |= !rested;
        }
        if self.reclaim.run.is_some() || dead_bytes <= goal_bytes {
            return;
        }
        worth.sort_unstable_by_key(|(part, _, _)| *part);
        let mut parts = Vec::new();
        for (_, dead, segment) in worth.into_iter().take(SEGMENTS_PER_RUN_MAX) {
            let from = segment.base.0 / STRETCH_BYTES * STRETCH_BYTES;
            parts.push(from..segment.end.0.next_multiple_of(STRETCH_BYTES));
            self.reclaim.tried.push_back((segment.base, now));
            dead_bytes = dead_bytes.saturating_sub(dead);
            if dead_bytes <= goal_bytes {
                break;
            }
        }
        if !parts.is_empty() {
            let counted = (now, self.store.written);
            let (rewrite, allowed_bytes) = (Rewrite::new(parts), REWRITE_BYTES_PER_TURN);
            self.reclaim.run = Some(Run { rewrite, allowed_bytes, counted });
        }
    }

    /// Goes on with the run that is under way. A full disk has no room for copies.
    pub(super) fn rewrite(&mut self) {
        let end = self.store.builder.base().0;
        let Some(run) = self.reclaim.run.as_mut().filter(|_| !self.pressure.full) else { return };
        let passed_ms = self.now.since_ms(run.counted.0);
        let appended = end.saturating_sub(run.counted.1);
        let more = passed_ms.saturating_mul(REWRITE_BYTES_PER_MS).saturating_add(appended);
        run.allowed_bytes = run.allowed_bytes.saturating_add(more).min(REWRITE_BYTES_SAVED_MAX);
        run.counted = (self.now, end);
        let budget = run.allowed_bytes.min(REWRITE_BYTES_PER_TURN);
        if budget == 0 || self.store.builder.len_bytes() >= self.options.batch_bytes_max {
            return;
        }
        let before = run.rewrite.copied_bytes();
        let mut cx = Context { store: &mut self.store, effects: &mut self.effects };
        let done = self.machine.rewrite(&mut run.rewrite, budget, &mut cx);
        let copied = run.rewrite.copied_bytes() - before;
        run.allowed_bytes = run.allowed_bytes.saturating_sub(copied);
        self.counts.rewritten_bytes += copied;
        if done {
            self.reclaim.run = None;
            (self.reclaim.wanted, self.reclaim.at) = (true, self.now);
        } else {
            // Others come first: the run goes on with the next turn.
            self.turn_wanted |= run.allowed_bytes > 0;
        }
    }
}
