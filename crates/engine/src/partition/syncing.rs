//! When what is written is brought to stable storage. A batch that somebody waits for is synced as part of its flight. What
//! nobody waits for (namespaces that are synced at intervals, leases, acknowledgements) is synced with the next such batch, and
//! otherwise when its time is over: by the flight if that is little, from beside the flights if it is much.
//!
//! What was given up counts as given up only when the record that says so is durable.

use std::collections::VecDeque;

use baton_journal::{JournalError, Position};
use baton_model::{ConnectionId, Name, Time};

use super::Partition;
use crate::keeper::KeeperJob;
use crate::options::{INLINE_BYTES_MAX, Options, UNSYNCED_BYTES, UNSYNCED_BYTES_MAX};
use crate::segments::Freed;

/// See the top of this file.
pub(super) struct Syncing {
    /// Everything before this is durable.
    pub(super) durable: u64,
    /// Where this process began to write.
    started_at: u64,
    /// What of this turn is to be durable within so many milliseconds.
    within_ms: Option<u64>,
    /// When what is in the batch being filled is to be durable.
    fill_by: Option<Time>,
    /// When what is written and not durable is to be.
    written_by: Option<Time>,
    /// A sync from beside the flights is under way.
    under_way: bool,
    /// It failed: nothing will land any more.
    failure: Option<JournalError>,
    /// Given up by records that are written, and where they end.
    freed: VecDeque<(u64, Freed)>,
    /// How long what no client asked for (leases, expiries) may take to be durable, milliseconds.
    unasked_ms: u64,
}

impl Syncing {
    /// `end`: of the journal, where everything is durable.
    pub(super) fn starting_at(end: u64, now: Time, options: &Options) -> Self {
        let interval_ms_max = options.sync.interval_ms_max();
        Self {
            durable: end,
            started_at: end,
            within_ms: None,
            // A generation begins: its number must not be given twice.
            fill_by: Some(now),
            written_by: None,
            under_way: false,
            failure: None,
            freed: VecDeque::new(),
            unasked_ms: interval_ms_max.unwrap_or(options.linger_ms),
        }
    }

    /// Whether the generation of this process is durable.
    pub(super) fn begun(&self) -> bool {
        self.durable > self.started_at
    }

    /// Records were made for a client that is told when they are durable (`None`), or written, with this interval; or for no client.
    pub(super) fn note(&mut self, within_ms: u64) {
        self.within_ms = Some(self.within_ms.map_or(within_ms, |other| other.min(within_ms)));
    }

    pub(super) fn note_unasked(&mut self) {
        self.note(self.unasked_ms);
    }

    /// The turn is over. Returns when the batch being filled has to take off for the sake of what was noted.
    pub(super) fn end_turn(&mut self, now: Time) -> Option<Time> {
        if let Some(ms) = self.within_ms.take() {
            self.fill_by = earlier(self.fill_by, Some(now.after_ms(ms)));
        }
        self.fill_by
    }
}

fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.into_iter().chain(other).min()
}

impl Partition {
    /// The connection uses this namespace from now on.
    pub(super) fn note_sync(&mut self, connection: ConnectionId, namespace: &Name) {
        let interval_ms = self.options.sync.of(namespace).interval_ms();
        self.connections.set_interval(connection, interval_ms);
    }

    /// How long what this connection asks for may take to be durable if nobody waits for it, milliseconds.
    pub(super) fn sync_within_ms(&self, connection: ConnectionId) -> u64 {
        self.connections.interval_ms(connection).unwrap_or(self.options.linger_ms)
    }

    /// Whether the batch that takes off now lands when it is durable.
    pub(super) fn decides_to_sync(&mut self, end: Position) -> bool {
        let unsynced_bytes = end.0.saturating_sub(self.syncing.durable);
        let due = earlier(self.syncing.fill_by, self.syncing.written_by).is_some_and(|by| by <= self.now);
        let syncs = self.connections.sync_awaited()
            || self.stopping
            || self.pressure.full
            || !self.syncing.begun()
            || unsynced_bytes > UNSYNCED_BYTES_MAX
            || (due && !self.syncing.under_way && unsynced_bytes <= INLINE_BYTES_MAX as u64);
        if syncs {
            (self.syncing.fill_by, self.syncing.written_by) = (None, None);
        }
        syncs
    }

    /// The deadline that a batch takes along which is only written.
    pub(super) fn take_fill_by(&mut self) -> Option<Time> {
        self.syncing.fill_by.take()
    }

    /// A batch is written, and not durable if there is a deadline for that.
    pub(super) fn note_written(&mut self, end: u64, sync_by: Option<Time>, freed: Freed) {
        self.store.written = end;
        self.syncing.written_by = earlier(self.syncing.written_by, sync_by);
        if !freed.is_empty() {
            self.syncing.freed.push_back((end, freed));
        }
    }

    /// Everything before this is durable.
    pub(super) fn note_durable(&mut self, durable: u64) {
        self.syncing.durable = self.syncing.durable.max(durable);
        let durable = self.syncing.durable;
        while let Some((_, mut freed)) = self.syncing.freed.pop_front_if(|(end, _)| *end <= durable) {
            self.store.live.subtract(&mut freed);
        }
        if durable >= self.store.written {
            self.syncing.written_by = None;
        }
        self.reclaim.wanted |= self.store.live.take_emptied();
    }

    /// When what is written is to be synced from beside the flights, if nobody else does that.
    pub(super) fn next_sync(&self) -> Option<Time> {
        let flight_syncs = self.aloft.as_ref().is_some_and(|aloft| aloft.syncs);
        self.syncing.written_by.filter(|_| !self.syncing.under_way && !flight_syncs)
    }

    /// Begins a sync from beside the flights if one is due.
    pub(super) fn sync_when_due(&mut self) {
        let unsynced_bytes = self.store.written.saturating_sub(self.syncing.durable);
        let due = self.next_sync().is_some_and(|by| by <= self.now || unsynced_bytes > UNSYNCED_BYTES);
        if due && self.stopped.is_none() {
            self.syncing.under_way = true;
            self.syncing.written_by = None;
            self.jobs.push(KeeperJob::Sync);
        }
    }

    pub(super) fn heed_synced(&mut self, result: Result<Position, JournalError>) {
        self.syncing.under_way = false;
        self.counts.syncs += 1;
        match result {
            Ok(durable) => self.note_durable(durable.0),
            Err(error) => self.syncing.failure = Some(error),
        }
        self.heed_failed_sync();
    }

    /// Stops for a sync that failed, once the flight, which fails too or is the last, has ended.
    pub(super) fn heed_failed_sync(&mut self) {
        if self.aloft.is_none()
            && self.stopped.is_none()
            && let Some(error) = self.syncing.failure.take()
        {
            self.stop(&error.to_string(), true);
        }
    }
}
