//! What the core keeps its records in: they are encoded straight into the batch being filled, and their contents are read
//! back from there, from the batch in flight, or from the journal.

use std::sync::Arc;

use baton_core::codec;
use baton_core::{Appended, Held, Load, Record, Store, Stored};
use baton_journal::{BatchBuilder, Journal, JournalError, Location, Position, SealedBatch};
use bytes::Bytes;

use crate::reads::Reads;
use crate::segments::{Freed, FreedPages, Live};

/// See the top of this file.
pub(crate) struct BatchStore {
    pub(crate) builder: BatchBuilder,
    pub(crate) live: Live,
    /// Given up by records in the batch being filled.
    pub(crate) freed: Freed,
    pub(crate) freed_pages: FreedPages,
    /// What can be read from the journal: everything before it has been written.
    pub(crate) written: u64,
    /// The batch in flight.
    pub(crate) aloft: Option<Arc<SealedBatch>>,
    /// A record did not fit: the batch does not tell all that was decided, and must never be written.
    pub(crate) broken: Option<JournalError>,
    reads: Reads,
    read_errors: u64,
}

impl BatchStore {
    pub(crate) fn new(journal: &dyn Journal) -> Self {
        Self {
            builder: journal.batch_builder(),
            live: Live::default(),
            freed: Freed::default(),
            freed_pages: FreedPages::default(),
            written: journal.end().0,
            aloft: None,
            broken: None,
            reads: Reads::new(journal.reader()),
            read_errors: 0,
        }
    }

    /// The batch in flight has landed: its buffer can be used again.
    pub(crate) fn landed(&mut self) {
        if let Some(batch) = self.aloft.take().and_then(Arc::into_inner) {
            self.builder.recycle(batch);
        }
    }

    /// What is not written yet.
    fn unwritten(&self, at: Location) -> Option<Bytes> {
        if at.position >= self.builder.base() {
            return self.builder.read(at);
        }
        self.aloft.as_ref().filter(|batch| at.position >= batch.base())?.read(at)
    }

    /// Live bytes without those that only a snapshot may name.
    pub(crate) fn needed_bytes(&self) -> u64 {
        self.live.total_bytes().saturating_sub(self.freed_pages.named().total_bytes())
    }

    /// How often storage was read.
    pub(crate) fn chunks_read(&self) -> u64 {
        self.reads.chunks_read
    }
}

impl Store for BatchStore {
    fn append(&mut self, record: &Record) -> Appended {
        let mut range = None;
        let content = codec::content(record);
        match self.builder.record_with(|buf| range = codec::encode_head(record, buf), content) {
            Ok(location) => {
                let content = range.map(|range| Stored {
                    position: location.position.0 + u64::from(range.offset),
                    len_bytes: range.len_bytes,
                });
                if let Some(content) = content {
                    self.live.add(content.into());
                }
                Appended { end: location.end().0, content }
            }
            Err(error) => {
                self.broken.get_or_insert(error);
                Appended { end: u64::MAX, content: None }
            }
        }
    }

    fn free(&mut self, at: Held) {
        self.freed.add(at);
    }

    fn hold(&mut self, at: Held) {
        self.live.add(at);
    }

    fn free_page(&mut self, at: Held) {
        self.freed_pages.add(at);
    }
}

impl Load for BatchStore {
    fn load(&mut self, at: Stored) -> Option<Bytes> {
        if at.position.saturating_add(u64::from(at.len_bytes)) > self.written {
            return self.unwritten(Location { position: Position(at.position), len_bytes: at.len_bytes });
        }
        match self.reads.load(at, self.written) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                // A disk that fails does so for many messages: say it at the 1st, 2nd, 4th, 8th … time.
                self.read_errors += 1;
                if self.read_errors.is_power_of_two() {
                    tracing::error!(%error, times = self.read_errors, "a message's content could not be read back");
                }
                None
            }
        }
    }
}
