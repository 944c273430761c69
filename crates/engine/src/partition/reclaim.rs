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

use std::collections::{HashMap, VecDeque};

use baton_core::{Context, Rewrite, STRETCH_BYTES};
use baton_journal::{JournalError, Position, SegmentInfo};
use baton_model::Time;

use super::Partition;
use crate::keeper::KeeperJob;

/// When something may have become removable, segments are looked at at most this often, milliseconds: one look costs a lock and a list,
const RECLAIM_INTERVAL_MS: u64 = 10;
/// and a millisecond more for so many stretches that are counted, which is far more than one look takes.
const STRETCHES_PER_MS: u64 = 4 << 10;
/// What the segments may hold beyond what is needed and half as much again: this part of the longest of them. A small part, because
/// those that are active, prepared and on their way out come on top of it.
const SPARE_PART: u64 = 4;
/// Segments that may be on their way out at the same time, so that the keeper's queue stays short.
const REMOVALS_MAX: usize = 32;
/// Jobs that can be waiting for the keeper: those and one snapshot.
pub(crate) const KEEPER_JOBS_MAX: usize = REMOVALS_MAX + 1;

/// Copying may use so many bytes per millisecond, beside as many as are appended, or given up, anyway: 16 MiB a second do not disturb
/// a disk that is worth being called one, and clear a segment in a few seconds.
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
/// A segment that lost this part of what is needed in it since the last look is emptying by itself, and is left alone.
const EMPTYING_PART: u64 = 8;
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
    /// What was needed in those that could be cleared, at the last look.
    seen: HashMap<Position, u64>,
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
    /// When that was last counted.
    counted_at: Time,
    /// The journal's end then, and all that had ever been given up.
    counted_bytes: u64,
}

/// What segments hold.
#[derive(Default)]
struct Holdings {
    longest_bytes: u64,
    /// Of dead ones that no snapshot covers, nor the one that is being written.
    uncovered_bytes: u64,
    /// Of those that only a snapshot may name something in.
    named_bytes: u64,
    /// Dead parts of all others.
    dead_bytes: u64,
    /// Those that can be cleared: by the part of them that is needed, in 256ths, with the dead rest.
    worth: Vec<(u64, u64, SegmentInfo)>,
}

impl Holdings {
    fn spare_bytes(&self) -> u64 {
        self.longest_bytes / SPARE_PART
    }
}

impl Reclaim {
    pub(super) fn new(now: Time) -> Self {
        Self {
            wanted: true,
            at: now,
            removing: Vec::new(),
            run: None,
            tried: VecDeque::new(),
            seen: HashMap::new(),
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
            0 => run.counted_at.after_ms(REWRITE_PAUSE_MS),
            _ => self.now,
        });
        [look, run].into_iter().flatten().min()
    }

    /// Something became removable for which nothing else has to be waited.
    pub(super) fn look_at_segments_now(&mut self) {
        (self.reclaim.wanted, self.reclaim.at) = (true, self.now);
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
        let counting_ms = self.store.live.stretches() / STRETCHES_PER_MS;
        self.reclaim.at = self.now.after_ms(RECLAIM_INTERVAL_MS + counting_ms);
        self.reclaim.looked_at_end = self.store.written;
        let segments = self.housekeeping.segments();
        if let Some(oldest) = segments.first() {
            self.store.live.forget_before(oldest.base);
            self.store.freed_pages.forget_before(oldest.base);
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
        let holdings = self.survey_segments(&segments);
        self.want_snapshot(&holdings);
        self.choose(holdings);
    }

    fn survey_segments(&mut self, segments: &[SegmentInfo]) -> Holdings {
        let mut holdings = Holdings::default();
        let now = self.now;
        self.reclaim.tried.retain(|(_, at)| now.since_ms(*at) < RETRY_MS);
        let seen = std::mem::take(&mut self.reclaim.seen);
        let covered = self.plan.will_cover();
        let (live, named) = (&self.store.live, self.store.freed_pages.named());
        for segment in segments {
            // Of a segment whose tail was torn, the space prepared behind it is taken up too.
            let len = segment.file_bytes.max(segment.len_bytes());
            holdings.longest_bytes = len.max(holdings.longest_bytes);
            if !segment.sealed {
                continue;
            }
            let held = live.between(segment.base, segment.end).min(len);
            let needed = held.saturating_sub(named.between(segment.base, segment.end));
            if held == 0 {
                holdings.uncovered_bytes += if segment.end > covered { len } else { 0 };
                continue;
            }
            if needed == 0 {
                holdings.named_bytes += len;
                continue;
            }
            holdings.dead_bytes += len - needed;
            // The stretch at its end is copied whole: nothing may be written there any more.
            let settled = segment.end.0.next_multiple_of(STRETCH_BYTES) <= self.store.written;
            let part = needed.saturating_mul(256) / len.max(1);
            if !settled || part > LIVE_PART_MAX || self.reclaim.has_tried(segment.base) {
                continue;
            }
            self.reclaim.seen.insert(segment.base, needed);
            let before = seen.get(&segment.base).copied();
            if before.is_some_and(|before| needed >= before - before / EMPTYING_PART) {
                holdings.worth.push((part, len - needed, *segment));
            } else {
                self.reclaim.wanted = true;
            }
        }
        self.reclaim.look_bytes = holdings.spare_bytes().max(STRETCH_BYTES);
        holdings
    }

    /// Asks for a snapshot when segments wait for one that takes up disk, whether something else happens or not: those that are
    /// dead, and those that are pinned by pages that were given up, which go when two more have been written.
    fn want_snapshot(&mut self, holdings: &Holdings) {
        let needed_bytes = self.store.needed_bytes();
        let goal_bytes = needed_bytes / 2 + holdings.spare_bytes();
        let Holdings { uncovered_bytes, named_bytes, dead_bytes, .. } = *holdings;
        let given_up_bytes = self.store.freed_pages.named().total_bytes();
        let in_the_way =
            given_up_bytes > 0 && (dead_bytes > goal_bytes || given_up_bytes > holdings.spare_bytes());
        let waiting_bytes = uncovered_bytes + named_bytes;
        if self.plan.under_way || (waiting_bytes <= holdings.spare_bytes() && !in_the_way) {
            return;
        }
        // What is drained quickly leaves as much again until two snapshots are written.
        let urgent = waiting_bytes + dead_bytes > needed_bytes / 4 + holdings.spare_bytes();
        let rested = self.plan.has_rested(self.now, urgent);
        self.plan.wanted |= rested;
        // Otherwise, look again.
        self.reclaim.wanted |= !rested;
    }

    /// Begins to clear segments when the dead parts of those that are pinned are too much, those first that hold least.
    fn choose(&mut self, holdings: Holdings) {
        let goal_bytes = self.store.needed_bytes() / 2 + holdings.spare_bytes();
        let Holdings { mut dead_bytes, mut worth, .. } = holdings;
        if self.reclaim.run.is_some() || dead_bytes <= goal_bytes {
            return;
        }
        worth.sort_unstable_by_key(|(part, _, _)| *part);
        let mut parts = Vec::new();
        for (_, dead, segment) in worth.into_iter().take(SEGMENTS_PER_RUN_MAX) {
            let from = segment.base.0 / STRETCH_BYTES * STRETCH_BYTES;
            parts.push(from..segment.end.0.next_multiple_of(STRETCH_BYTES));
            self.reclaim.tried.push_back((segment.base, self.now));
            dead_bytes = dead_bytes.saturating_sub(dead);
            if dead_bytes <= goal_bytes {
                break;
            }
        }
        if !parts.is_empty() {
            let (rewrite, allowed_bytes) = (Rewrite::new(parts), REWRITE_BYTES_PER_TURN);
            let (counted_at, counted_bytes) = (self.now, self.counted_bytes());
            self.reclaim.run = Some(Run { rewrite, allowed_bytes, counted_at, counted_bytes });
        }
    }

    /// What was ever appended, and what was ever given up: as many bytes may be copied beside.
    fn counted_bytes(&self) -> u64 {
        self.store.builder.base().0.saturating_add(self.store.live.given_up_bytes())
    }

    /// Goes on with the run that is under way. A full disk has no room for copies.
    pub(super) fn rewrite(&mut self) {
        let counted_bytes = self.counted_bytes();
        let Some(run) = self.reclaim.run.as_mut().filter(|_| !self.pressure.full) else { return };
        let passed_ms = self.now.since_ms(run.counted_at);
        let beside = counted_bytes.saturating_sub(run.counted_bytes);
        let more = passed_ms.saturating_mul(REWRITE_BYTES_PER_MS).saturating_add(beside);
        run.allowed_bytes = run.allowed_bytes.saturating_add(more).min(REWRITE_BYTES_SAVED_MAX);
        (run.counted_at, run.counted_bytes) = (self.now, counted_bytes);
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
            self.look_at_segments_now();
        } else {
            // Others come first: the run goes on with the next turn.
            self.turn_wanted |= run.allowed_bytes > 0;
        }
    }
}
