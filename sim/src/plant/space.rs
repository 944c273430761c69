//! Bugs about the journal's space, planted around its readers and its housekeeping: what is in use is gone, what is not stays.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use baton_core::codec;
use baton_journal::{
    EachRecord, Epoch, Housekeeping, Journal, JournalError, JournalReader, Location, Position, SealedBatch,
    SegmentInfo, SnapshotSource,
};

use super::Plant;

/// [`Plant::LosePage`], [`Plant::RemoveLive`], [`Plant::KeepSegments`].
pub(super) struct WastefulJournal {
    pub(super) journal: Box<dyn Journal>,
    pub(super) plant: Plant,
    /// What [`Lazy`] has not removed.
    pub(super) kept: Arc<Mutex<BTreeSet<Position>>>,
}

impl Journal for WastefulJournal {
    fn epoch(&self) -> Epoch {
        self.journal.epoch()
    }
    fn end(&self) -> Position {
        self.journal.end()
    }
    fn durable(&self) -> Position {
        self.journal.durable()
    }
    fn write(&mut self, batch: &SealedBatch) -> Result<Position, JournalError> {
        self.journal.write(batch)
    }
    fn sync(&mut self) -> Result<Position, JournalError> {
        self.journal.sync()
    }
    fn reader(&self) -> Arc<dyn JournalReader> {
        let reader = self.journal.reader();
        if self.plant == Plant::LosePage { Arc::new(WithoutPages(reader)) } else { reader }
    }
    fn housekeeping(&self) -> Arc<dyn Housekeeping> {
        let housekeeping = self.journal.housekeeping();
        match self.plant {
            Plant::RemoveLive => Arc::new(Hasty(housekeeping)),
            Plant::KeepSegments => Arc::new(Lazy { inner: housekeeping, kept: Arc::clone(&self.kept) }),
            _ => housekeeping,
        }
    }
}

/// Some places of pages are not there.
struct WithoutPages(Arc<dyn JournalReader>);

impl JournalReader for WithoutPages {
    fn read_into(&self, location: Location, buf: &mut Vec<u8>) -> Result<(), JournalError> {
        self.0.read_into(location, buf)?;
        let lost = location.position.0.is_multiple_of(3) && codec::decode_page(buf).is_ok();
        if lost { Err(JournalError::NotFound { position: location.position }) } else { Ok(()) }
    }
    fn scan(
        &self,
        from: Position,
        until: Position,
        each: &mut EachRecord<'_>,
    ) -> Result<Position, JournalError> {
        self.0.scan(from, until, each)
    }
}

/// Each snapshot is followed by the removal of the oldest segment that it covers, whatever is in it.
struct Hasty(Arc<dyn Housekeeping>);

impl Housekeeping for Hasty {
    fn segments(&self) -> Vec<SegmentInfo> {
        self.0.segments()
    }
    fn sync(&self) -> Result<Position, JournalError> {
        self.0.sync()
    }
    fn remove_segment(&self, base: Position) -> Result<(), JournalError> {
        self.0.remove_segment(base)
    }
    fn write_snapshot(
        &self,
        position: Position,
        source: &mut SnapshotSource<'_>,
    ) -> Result<(), JournalError> {
        self.0.write_snapshot(position, source)?;
        match self.0.segments().first() {
            Some(oldest) if oldest.sealed && oldest.end <= position => self.0.remove_segment(oldest.base),
            _ => Ok(()),
        }
    }
    fn snapshot_position(&self) -> Option<Position> {
        self.0.snapshot_position()
    }
}

/// Removes nothing, and does not show what it should have removed.
struct Lazy {
    inner: Arc<dyn Housekeeping>,
    kept: Arc<Mutex<BTreeSet<Position>>>,
}

impl Housekeeping for Lazy {
    fn segments(&self) -> Vec<SegmentInfo> {
        let kept = self.kept.lock().expect("nobody panics holding it");
        self.inner.segments().into_iter().filter(|segment| !kept.contains(&segment.base)).collect()
    }
    fn sync(&self) -> Result<Position, JournalError> {
        self.inner.sync()
    }
    fn remove_segment(&self, base: Position) -> Result<(), JournalError> {
        self.kept.lock().expect("nobody panics holding it").insert(base);
        Ok(())
    }
    fn write_snapshot(
        &self,
        position: Position,
        source: &mut SnapshotSource<'_>,
    ) -> Result<(), JournalError> {
        self.inner.write_snapshot(position, source)
    }
    fn snapshot_position(&self) -> Option<Position> {
        self.inner.snapshot_position()
    }
}
