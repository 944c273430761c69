//! Appending: what happens between a sealed batch and its landing: it is written, and synced if somebody waits for that.
//! Used by the journal's thread, by an idle partition itself, and by a synchronous driver.

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

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct Departure {
    /// The partition has it, too, until it has landed: it reads in it.
    pub(crate) batch: Arc<SealedBatch>,
    /// It lands when it is durable; otherwise when it is written.
    pub(crate) syncs: bool,
}

/// What came of an attempt to append.
pub(crate) enum Attempt {
    /// The flight has landed, or failed for good.
    Landed {
        /// The partition wants to know.
        wake: bool,
    },
    /// The disk is full, the reserve too: try again later.
    Again(Departure),
}

impl Writer {
    pub(crate) fn new(journal: Box<dyn Journal>, flight: Arc<Flight>, counters: Arc<Counters>) -> Self {
        Self { journal: Mutex::new(journal), flight, counters }
    }

    /// Tries to write, and to sync if the batch wants it. Blocks until that is done.
    pub(crate) fn attempt(&self, departure: Departure) -> Attempt {
        let Departure { batch, syncs } = departure;
        let started = Instant::now();
        match self.guarded(|journal| journal.write(&batch)) {
            Ok(end) => {
                let landed = if syncs { self.sync_written(started).map(|_| end) } else { Ok(end) };
                let end = match landed {
                    Ok(end) => end,
                    Err(error) => return self.fail(error),
                };
                // Wakes the partition also when there is space again, so that it tells everybody.
                let space_again = !batch.is_essential() && self.flight.is_full();
                if space_again {
                    self.flight.set_full(false);
                }
                // When the partition hears of it, it is the only one that has the batch, and can use its buffer again.
                drop(batch);
                let wake = self.flight.land(Ok(end));
                Attempt::Landed { wake: wake || space_again || self.flight.is_full() }
            }
            Err(JournalError::Full { .. }) if !batch.is_essential() => {
                self.flight.set_full(true);
                // What is in it has happened and cannot be taken back, so it goes into the reserve; no more publishes follow.
                match as_essential(&batch) {
                    Ok(batch) => self.attempt(Departure { batch: Arc::new(batch), syncs }),
                    Err(error) => self.fail(error),
                }
            }
            Err(JournalError::Full { .. }) => Attempt::Again(Departure { batch, syncs }),
            Err(error) => self.fail(error),
        }
    }

    /// Gives up: nothing lands any more.
    pub(crate) fn fail(&self, error: JournalError) -> Attempt {
        self.flight.land(Err(error));
        Attempt::Landed { wake: true }
    }

    /// Brings everything to stable storage.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.guarded(|journal| journal.sync()).map(drop)
    }

    /// The journal's end, and up to where it is durable.
    pub(crate) fn stored(&self) -> (Position, Position) {
        let journal = self.journal.lock();
        (journal.end(), journal.durable())
    }

    /// The batch is written: who waits for no more is told, before the rest waits for the disk.
    fn sync_written(&self, started: Instant) -> Result<(), JournalError> {
        self.flight.written();
        let result = self.sync();
        self.counters.appends.record(started.elapsed());
        result
    }

    /// A panic in the journal is a failure of it.
    fn guarded(
        &self,
        work: impl FnOnce(&mut dyn Journal) -> Result<Position, JournalError>,
    ) -> Result<Position, JournalError> {
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut **self.journal.lock())));
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
    builder.set_durable(batch.durable());
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
