//! What a partition does besides requests: sealing batches, watching the flight, snapshots.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use baton_core::snapshot::Item;
use baton_journal::{Position, SealedBatch};
use baton_model::Time;

use super::{Aloft, Partition, panic_text};
use crate::keeper::{KeeperJob, Kept};
use crate::snapshot;

impl Partition {
    /// How long the driver may sleep. `None`: until something wakes it.
    #[must_use]
    pub fn timeout(&self, now: Time) -> Option<Duration> {
        if self.stopped.is_some() {
            return None;
        }
        if !self.waiting.is_empty() || self.stopping || self.turn_wanted {
            return Some(Duration::ZERO);
        }
        // What waits for the flight is woken by it: a deadline that passed must not make the driver spin.
        let can_seal = |at: Option<Time>| at.filter(|at| self.aloft.is_none() || *at > now);
        let deadlines = [
            self.machine.next_deadline(),
            can_seal(self.linger_until),
            can_seal(self.pressure.full.then_some(self.probe_at)),
            self.next_reclaim(),
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_millis(next.since_ms(now)))
    }

    /// Jobs for the keeper, since last asked.
    pub fn take_jobs(&mut self) -> Vec<KeeperJob> {
        std::mem::take(&mut self.jobs)
    }

    /// All durable state, as the items of a snapshot.
    pub(crate) fn state(&self) -> Vec<Item> {
        let mut items = Vec::new();
        self.machine.snapshot(&mut |item| items.push(item));
        items
    }

    /// A snapshot of everything, if the journal has grown since the last one. Only when nothing is in flight or being filled.
    pub(crate) fn final_snapshot(&mut self) -> Option<KeeperJob> {
        let position = self.store.builder.base();
        let at_rest = self.aloft.is_none() && self.store.builder.is_empty() && self.stopped.is_none();
        if !at_rest || position <= self.plan.covered {
            return None;
        }
        self.snapshot_at(position)
    }

    pub(super) fn is_due(&self) -> bool {
        if self.stopped.is_some() {
            return false;
        }
        if self.store.builder.is_empty() {
            return self.pressure.full && self.probe_at <= self.now;
        }
        self.connections.fill_awaited()
            || self.linger_until.is_some_and(|until| until <= self.now)
            || self.stopping
            || self.store.asked_early
            || !self.waiting.is_empty()
            || self.is_batch_full()
    }

    pub(super) fn take_off(&mut self) -> SealedBatch {
        if self.pressure.full && self.now < self.probe_at {
            self.store.builder.mark_essential();
        } else if self.pressure.full {
            self.probe_at = self.now.after_ms(self.options.full_probe_ms);
        }
        let batch = self.store.builder.finish();
        let end = batch.end();
        self.linger_until = None;
        self.connections.take_off(&self.flight, end.0);
        self.aloft = Some(Aloft { end, freed: std::mem::take(&mut self.store.freed) });
        self.counts.batches += 1;
        self.counts.records += u64::from(batch.record_count());
        let bytes = batch.len_bytes() as u64;
        self.counts.batch_bytes += bytes;
        self.counts.batch_bytes_max = self.counts.batch_bytes_max.max(bytes);
        if self.plan.is_due(end) {
            self.snapshot_ready = self.snapshot_at(end);
        }
        self.counters.publish(&self.counts);
        batch
    }

    /// Takes note of a flight that landed, or failed.
    pub(super) fn observe_flight(&mut self) {
        let Some(aloft) = &mut self.aloft else { return };
        let landed = self.flight.landed();
        if landed >= aloft.end.0 {
            self.store.durable = landed;
            self.store.live.subtract(&mut aloft.freed);
            self.turn_wanted =
                std::mem::take(&mut self.store.asked_early) || self.flight.is_full() != self.pressure.full;
            self.aloft = None;
            self.reclaim.wanted |= self.store.live.take_emptied();
            self.jobs.extend(self.snapshot_ready.take());
        } else if let Some(error) = self.flight.failure() {
            self.aloft = None;
            self.snapshot_ready = None;
            if self.stopped.is_none() {
                self.stop(&error.to_string(), true);
            }
        }
    }

    /// What was given up without a record in the batch being filled: it goes with the flight, or counts now.
    pub(super) fn settle_freed(&mut self) {
        if self.aloft.is_none() {
            self.store.live.subtract(&mut self.store.freed);
            self.reclaim.wanted |= self.store.live.take_emptied();
        }
    }

    pub(super) fn heed_kept(&mut self, kept: Kept) {
        match kept {
            Kept::Snapshot { position, bytes, took, result } => {
                self.plan.under_way = false;
                match result {
                    Ok(()) => {
                        self.plan.covered = position;
                        self.plan.last_bytes = bytes;
                        self.store.live.subtract(&mut self.store.freed_pages.end());
                        self.reclaim.wanted = true;
                        self.counts.snapshots += 1;
                        self.counts.snapshot_bytes = bytes;
                        self.counts.snapshot_write_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no snapshot this time; the next restart takes longer");
                    }
                }
            }
            Kept::Removed { base, result } => self.heed_removed(base, result),
        }
    }

    /// Encodes a snapshot of the state as it is, which is what everything before `position` makes.
    fn snapshot_at(&mut self, position: Position) -> Option<KeeperJob> {
        let started = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| snapshot::encode(&self.machine))) {
            Ok(records) => {
                self.plan.under_way = true;
                self.plan.wanted = false;
                self.store.freed_pages.begin();
                self.plan.last_position = position;
                let pause_us = started.elapsed().as_micros();
                self.counts.snapshot_pause_us = u64::try_from(pause_us).unwrap_or(u64::MAX);
                Some(KeeperJob::Snapshot { position, records })
            }
            Err(panic) => {
                self.stop(&format!("a bug: {}", panic_text(&*panic)), false);
                None
            }
        }
    }
}
