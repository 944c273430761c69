//! Appending: what happens between a sealed batch and its landing. Used by the journal's thread, by an idle partition
//! itself, and by a synchronous driver.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use baton_journal::frame::{each_record, read_header};
use baton_journal::{BatchBuilder, Journal, JournalError, Position, SealedBatch};
use parking_lot::Mutex;

use crate::flight::Flight;
use crate::partition::panic_text;
use crate::stats::Counters;

/// The journal's writing end.
pub(crate) struct Writer {
    journal: Mutex<Box<dyn Journal>>,
    flight: Arc<Flight>,
    counters: Arc<Counters>,
}

/// What came of an attempt to append.
pub(crate) enum Attempt {
    /// The flight has landed, or failed for good.
    Landed {
        /// The partition wants to know.
        wake: bool,
        /// Its buffer can be used again.
        batch: SealedBatch,
    },
    /// The disk is full, the reserve too: try again later.
    Again(SealedBatch),
}

impl Writer {
    pub(crate) fn new(journal: Box<dyn Journal>, flight: Arc<Flight>, counters: Arc<Counters>) -> Self {
        Self { journal: Mutex::new(journal), flight, counters }
    }

    /// Tries to append. Blocks until it is durable.
    pub(crate) fn attempt(&self, mut batch: SealedBatch) -> Attempt {
        match self.append(&batch) {
            Ok(end) => {
                batch.stored();
                // Wakes the partition also when there is space again, so that it tells everybody.
                let space_again = !batch.is_essential() && self.flight.is_full();
                if space_again {
                    self.flight.set_full(false);
                }
                let wake = self.flight.land(Ok(end));
                Attempt::Landed { wake: wake || space_again || self.flight.is_full(), batch }
            }
            Err(JournalError::Full { .. }) if !batch.is_essential() => {
                self.flight.set_full(true);
                // What is in it has happened and cannot be taken back, so it goes into the reserve; no more publishes follow.
                match as_essential(&batch) {
                    Ok(batch) => self.attempt(batch),
                    Err(error) => self.fail(batch, error),
                }
            }
            Err(JournalError::Full { .. }) => Attempt::Again(batch),
            Err(error) => self.fail(batch, error),
        }
    }

    /// Gives up: nothing lands any more.
    pub(crate) fn fail(&self, batch: SealedBatch, error: JournalError) -> Attempt {
        self.flight.land(Err(error));
        Attempt::Landed { wake: true, batch }
    }

    /// Brings everything to stable storage, whatever the sync policy.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.journal.lock().sync().map(drop)
    }

    fn append(&self, batch: &SealedBatch) -> Result<Position, JournalError> {
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| self.journal.lock().append(batch)));
        self.counters.appends.record(started.elapsed());
        result.unwrap_or_else(|panic| {
            Err(JournalError::Failed {
                during: "a bug in the journal",
                file: "the journal".to_owned(),
                source: Arc::new(io::Error::other(panic_text(&*panic))),
            })
        })
    }
}

/// The same batch, allowed to use the reserve.
fn as_essential(batch: &SealedBatch) -> Result<SealedBatch, JournalError> {
    let not_ours = |why: String| JournalError::NotUnderstood {
        position: batch.base(),
        why: format!("a sealed batch: {why}"),
    };
    let bytes = &batch.bytes();
    let header =
        read_header(bytes, batch.base(), batch.epoch()).map_err(|defect| not_ours(defect.to_string()))?;
    let mut builder = BatchBuilder::new(batch.epoch(), batch.base());
    builder.mark_essential();
    each_record(bytes, &header, &mut |_, payload| {
        builder.record(|buf| buf.extend_from_slice(payload)).map(drop)
    })?;
    let essential = builder.finish();
    if essential.end() == batch.end() {
        Ok(essential)
    } else {
        Err(not_ours("it changed its length".to_owned()))
    }
}
