//! Batches that are written while the one in flight is being synced. Somebody waits for them only to be written (a timed lease is handed out
//! then), and a sync takes several times as long as a write: such a client does not wait for the syncs of others.
//!
//! ```text
//! flight N    |write| sync ........................ |
//! beside                |write|  timed leases leave
//! flight N+1                                        | whoever waits until what is beside is durable |
//! ```
//!
//! Who waits until such a batch is durable stays in the lanes of the batch being filled, and goes with the next flight, whose sync brings
//! everything before it to stable storage.

use std::sync::Arc;

use baton_journal::SealedBatch;

use super::Partition;
use crate::options::INLINE_BYTES_MAX;
use crate::segments::Freed;
use crate::writer::Departure;

/// See the top of this file.
pub(crate) struct Beside {
    pub(crate) batch: SealedBatch,
    freed: Freed,
    sync_by: Option<baton_model::Time>,
}

impl Partition {
    /// The batch being filled, if it is one to be written now: then say what came of that before anything else.
    pub(crate) fn seal_beside(&mut self) -> Option<Beside> {
        let awaited =
            self.aloft.as_ref().is_some_and(|aloft| aloft.syncs) && self.connections.write_awaited();
        let fits = !self.store.builder.is_empty() && self.store.builder.len_bytes() <= INLINE_BYTES_MAX;
        let undisturbed =
            self.stopped.is_none() && !self.stopping && !self.pressure.full && self.syncing.begun();
        if !(awaited && fits && undisturbed && self.flight.is_written()) {
            return None;
        }
        let batch = self.finish_batch();
        Some(Beside { batch, freed: std::mem::take(&mut self.store.freed), sync_by: self.take_fill_by() })
    }

    /// It is written.
    pub(crate) fn written_beside(&mut self, beside: Beside) {
        let Beside { batch, freed, sync_by } = beside;
        self.note_written(batch.end().0, sync_by, freed);
        self.store.builder.recycle(batch);
        let landed = self.progress().landed;
        self.connections.written_beside(landed);
        self.connections.release(&self.flight, self.flight_end());
    }

    /// It could not be written: it goes as a flight of its own, when the one before it has landed.
    pub(crate) fn take_off_instead(&mut self, beside: Beside) -> Option<Departure> {
        self.observe_flight();
        if self.stopped.is_some() {
            return None;
        }
        let Beside { batch, freed, sync_by } = beside;
        self.store.freed = freed;
        Some(self.send_off(Arc::new(batch), true, sync_by))
    }
}
