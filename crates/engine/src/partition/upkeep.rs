//! What a partition does besides requests: sealing batches, watching the flight, snapshots.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_core::snapshot::Item;
use baton_journal::Position;
use baton_model::Time;

use super::{Aloft, Partition, panic_text};
use crate::keeper::{KeeperJob, Kept};
use crate::snapshot;
use crate::writer::Departure;

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
            self.next_sync(),
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
            // An empty batch asks whether there is space again, lets what was written before it become durable, or is where
            // a snapshot stands.
            return (self.pressure.full && self.probe_at <= self.now)
                || self.connections.sync_awaited()
                || (self.plan.wanted && !self.plan.under_way && !self.pressure.full);
        }
        self.connections.fill_awaited()
            || self.linger_until.is_some_and(|until| until <= self.now)
            || self.stopping
            || !self.waiting.is_empty()
            || self.is_batch_full()
    }

    pub(super) fn take_off(&mut self) -> Departure {
        if self.pressure.full && self.now < self.probe_at {
            self.store.builder.mark_essential();
        } else if self.pressure.full {
            self.probe_at = self.now.after_ms(self.options.full_probe_ms);
        }
        self.store.builder.set_durable(Position(self.syncing.durable));
        let batch = Arc::new(self.store.builder.finish());
        let end = batch.end();
        self.linger_until = None;
        let syncs = self.decides_to_sync(end);
        let sync_by = self.take_fill_by();
        self.connections.take_off(&self.flight, end.0);
        if !syncs || batch.is_large() {
            // Its deadline counts from when it is written; what it refers to is to leave the memory.
            self.flight.want();
        }
        self.store.aloft = Some(Arc::clone(&batch));
        self.aloft = Some(Aloft { end, freed: std::mem::take(&mut self.store.freed), syncs, sync_by });
        self.counts.batches += 1;
        self.counts.syncs += u64::from(syncs);
        self.counts.records += u64::from(batch.record_count());
        let bytes = batch.len_bytes() as u64;
        self.counts.batch_bytes += bytes;
        self.counts.batch_bytes_max = self.counts.batch_bytes_max.max(bytes);
        if self.plan.is_due(end) {
            self.snapshot_ready = self.snapshot_at(end);
        }
        self.counters.publish(&self.counts);
        Departure { batch, syncs }
    }

    /// Takes note of a flight that landed, or failed.
    pub(super) fn observe_flight(&mut self) {
        let Some(end) = self.aloft.as_ref().map(|aloft| aloft.end.0) else { return };
        if self.flight.landed() >= end
            && let Some(aloft) = self.aloft.take()
        {
            self.store.landed();
            self.note_written(end, aloft.sync_by, aloft.freed);
            if aloft.syncs {
                self.note_durable(end);
            }
            self.turn_wanted = self.flight.is_full() != self.pressure.full;
            self.jobs.extend(self.snapshot_ready.take());
            self.heed_failed_sync();
        } else if let Some(error) = self.flight.failure() {
            self.aloft = None;
            self.store.aloft = None;
            self.snapshot_ready = None;
            if self.stopped.is_none() {
                self.stop(&error.to_string(), true);
            }
        }
    }

    /// What was given up without a record in the batch being filled: it goes with the flight, or counts now.
    pub(super) fn settle_freed(&mut self) {
        if self.aloft.is_none() && !self.store.freed.is_empty() {
            let freed = std::mem::take(&mut self.store.freed);
            self.note_written(self.store.written, None, freed);
            self.note_durable(self.syncing.durable);
        }
    }

    pub(super) fn heed_kept(&mut self, kept: Kept) {
        match kept {
            Kept::Synced(result) => self.heed_synced(result),
            Kept::Snapshot { position, bytes, took, result } => {
                self.plan.under_way = false;
                match result {
                    Ok(()) => {
                        self.note_durable(position.0);
                        self.plan.covered = position;
                        self.plan.last_bytes = bytes;
                        self.store.live.subtract(&mut self.store.freed_pages.end());
                        self.look_at_segments_now();
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
                self.plan.begun_at = self.now;
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
