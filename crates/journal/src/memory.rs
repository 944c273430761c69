//! A journal in memory: for tests of what stands on a journal, and for brokers that keep nothing. Keeps
//! every promise of the contract except surviving the process. The [`MemoryStore`] plays the disk: it outlives
//! the journals opened on it, and tests can make it full, let it fail, or take what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::frame::{RECORD_BYTES_MAX, check_batch, each_record, read_header};
use crate::{
    EachRecord, EachSnapshotRecord, Epoch, Housekeeping, Journal, JournalError, JournalReader, Location,
    Opened, Position, Recovery, SealedBatch, SegmentInfo, SnapshotSink, SnapshotSource, TornTail,
};

#[derive(Debug)]
struct Batch {
    epoch: Epoch,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    end: Position,
    batches: BTreeMap<Position, Batch>,
}

#[derive(Debug)]
struct Stored {
    segments: BTreeMap<Position, Segment>,
    snapshot: Option<(Position, Vec<Vec<u8>>)>,
    end: Position,
    durable: Position,
    syncs: u64,
    openings: u64,
    open: bool,
    full: bool,
    failure: Option<JournalError>,
}

/// What a memory journal leaves behind when it is dropped, so that it can be opened again.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    segment_bytes: u64,
    stored: Arc<Mutex<Stored>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl MemoryStore {
    /// An empty store whose segments take up to `segment_bytes` bytes of batches (one batch may be larger).
    #[must_use]
    pub fn new(segment_bytes: u64) -> Self {
        let active = Segment { end: Position::START, batches: BTreeMap::new() };
        let stored = Stored {
            segments: BTreeMap::from([(Position::START, active)]),
            snapshot: None,
            end: Position::START,
            durable: Position::START,
            syncs: 0,
            openings: 0,
            open: false,
            full: false,
            failure: None,
        };
        Self { segment_bytes, stored: Arc::new(Mutex::new(stored)) }
    }

    /// Opens the journal, as a restarted process would.
    ///
    /// # Errors
    /// `Locked` while another journal is open on this store.
    pub fn open(&self) -> Result<Opened, JournalError> {
        let mut stored = self.stored.lock();
        if stored.open {
            return Err(JournalError::Locked {
                directory: "the memory store".to_owned(),
                holder: "a journal of this process".to_owned(),
            });
        }
        stored.open = true;
        stored.failure = None;
        stored.openings += 1;
        // What recovery finds is what counts.
        stored.durable = stored.end;
        let journal = MemoryJournal { epoch: Epoch(stored.openings), store: self.clone() };
        let recovery = MemoryRecovery {
            snapshot: stored.snapshot.as_ref().map(|s| s.0),
            end: stored.end,
            store: self.clone(),
        };
        Ok(Opened { journal: Box::new(journal), recovery: Box::new(recovery) })
    }

    /// From now on batches are refused with `Full` (essential ones are not), until this is taken back.
    pub fn set_full(&self, full: bool) {
        self.stored.lock().full = full;
    }

    /// The machine loses power while no journal is open: what was not synced is gone.
    pub fn lose_power(&self) {
        let mut stored = self.stored.lock();
        let durable = stored.durable;
        for segment in stored.segments.values_mut() {
            segment.batches.retain(|base, _| *base < durable);
            segment.end = segment.end.min(durable);
        }
        // The one that was begun for what is gone.
        while let Some(last) = stored.segments.last_entry().filter(|last| *last.key() > durable) {
            last.remove();
        }
        stored.end = durable;
    }

    /// How often something was synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.stored.lock().syncs
    }

    /// From now on, until the journal is opened again, writing and syncing fail.
    pub fn fail(&self) {
        self.stored.lock().failure = Some(JournalError::Failed {
            during: "fdatasync",
            file: "the memory store".to_owned(),
            source: Arc::new(io::Error::other("told to fail")),
        });
    }

    fn sync_all(&self) -> Result<Position, JournalError> {
        let mut stored = self.stored.lock();
        if let Some(failure) = &stored.failure {
            return Err(failure.clone());
        }
        stored.syncs += u64::from(stored.durable < stored.end);
        stored.durable = stored.end;
        Ok(stored.end)
    }

    fn locate<T>(
        &self,
        position: Position,
        found: impl FnOnce(Position, &Batch) -> Option<T>,
    ) -> Result<T, JournalError> {
        let stored = self.stored.lock();
        let segment = stored.segments.range(..=position).next_back().map(|(_, s)| s);
        let batch = segment.and_then(|s| s.batches.range(..=position).next_back());
        batch.and_then(|(base, batch)| found(*base, batch)).ok_or(JournalError::NotFound { position })
    }
}

/// The writer. Closing is dropping.
#[derive(Debug)]
pub struct MemoryJournal {
    epoch: Epoch,
    store: MemoryStore,
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.store.stored.lock().open = false;
    }
}

impl Journal for MemoryJournal {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn end(&self) -> Position {
        self.store.stored.lock().end
    }

    fn durable(&self) -> Position {
        self.store.stored.lock().durable
    }

    fn write(&mut self, batch: &SealedBatch) -> Result<Position, JournalError> {
        let mut guard = self.store.stored.lock();
        let stored = &mut *guard;
        if let Some(failure) = &stored.failure {
            return Err(failure.clone());
        }
        if batch.base() != stored.end || batch.epoch() != self.epoch {
            return Err(JournalError::OutOfSequence {
                expected: stored.end,
                epoch: self.epoch,
                got: batch.base(),
                got_epoch: batch.epoch(),
            });
        }
        if batch.durable() > stored.durable {
            return Err(JournalError::NotDurable { claimed: batch.durable(), durable: stored.durable });
        }
        let needed_bytes = batch.len_bytes() as u64;
        if stored.full && !batch.is_essential() {
            return Err(JournalError::Full { needed_bytes, free_bytes: 0, reserve_bytes: 0 });
        }
        let (base, active) = stored.segments.last_key_value().expect("one segment is always active");
        let used_bytes = active.end.since(*base);
        let active_base = if used_bytes > 0 && used_bytes + needed_bytes > self.store.segment_bytes {
            batch.base()
        } else {
            *base
        };
        if active_base == batch.base() {
            // A segment is synced before it is sealed.
            stored.durable = stored.durable.max(stored.end);
        }
        let active = stored
            .segments
            .entry(active_base)
            .or_insert_with(|| Segment { end: batch.base(), batches: BTreeMap::new() });
        active.batches.insert(batch.base(), Batch { epoch: self.epoch, bytes: batch.bytes().into_owned() });
        active.end = batch.end();
        stored.end = batch.end();
        Ok(stored.end)
    }

    fn sync(&mut self) -> Result<Position, JournalError> {
        self.store.sync_all()
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(self.store.clone())
    }

    fn housekeeping(&self) -> Arc<dyn Housekeeping> {
        Arc::new(self.store.clone())
    }
}

impl JournalReader for MemoryStore {
    fn read_into(&self, location: Location, buf: &mut Vec<u8>) -> Result<(), JournalError> {
        buf.clear();
        let position = location.position;
        let stored = self.stored.lock();
        let (_, segment) =
            stored.segments.range(..=position).next_back().ok_or(JournalError::NotFound { position })?;
        if location.end() > segment.end {
            return Err(JournalError::NotFound { position: position.max(segment.end) });
        }
        let first = segment.batches.range(..=position).next_back().map_or(position, |(base, _)| *base);
        for (base, batch) in segment.batches.range(first..location.end()) {
            let from = usize::try_from(position.since(*base)).unwrap_or(usize::MAX);
            let to = usize::try_from(location.end().since(*base)).unwrap_or(usize::MAX);
            buf.extend_from_slice(batch.bytes.get(from..to.min(batch.bytes.len())).unwrap_or_default());
        }
        Ok(())
    }

    fn scan(
        &self,
        from: Position,
        until: Position,
        each: &mut EachRecord<'_>,
    ) -> Result<Position, JournalError> {
        let mut at = from;
        while at < until {
            let held = self.locate(at, |base, b| {
                (b.bytes.len() as u64 > at.since(base)).then(|| (base, b.epoch, b.bytes.clone()))
            });
            let (base, epoch, bytes) = match held {
                Ok(held) => held,
                // The end, or a removed segment behind what was read.
                Err(_) if at > from || at == self.stored.lock().end => return Ok(at),
                Err(error) => return Err(error),
            };
            let corrupt = |what: String| JournalError::Corrupt {
                file: "the memory store".to_owned(),
                offset: at.0,
                what,
            };
            if base != at {
                return Err(corrupt("no batch begins here".to_owned()));
            }
            let header = read_header(&bytes, base, epoch).map_err(|d| corrupt(d.to_string()))?;
            check_batch(&bytes, &header).map_err(|d| corrupt(d.to_string()))?;
            each_record(&bytes, &header, each)?;
            at = at.plus(header.framed_bytes());
        }
        Ok(at)
    }
}

impl Housekeeping for MemoryStore {
    fn segments(&self) -> Vec<SegmentInfo> {
        let stored = self.stored.lock();
        let active = stored.segments.last_key_value().map(|(base, _)| *base);
        let info = |(base, segment): (&Position, &Segment)| SegmentInfo {
            base: *base,
            end: segment.end,
            sealed: Some(*base) != active,
            file_bytes: segment.end.since(*base),
        };
        stored.segments.iter().map(info).collect()
    }

    fn sync(&self) -> Result<Position, JournalError> {
        self.sync_all()
    }

    fn remove_segment(&self, base: Position) -> Result<(), JournalError> {
        let mut stored = self.stored.lock();
        let refuse = |why| Err(JournalError::NotRemovable { base, why });
        let Some(segment) = stored.segments.get(&base) else {
            return refuse("there is no such segment");
        };
        if stored.segments.last_key_value().is_some_and(|(active, _)| *active == base) {
            return refuse("it is the active one");
        }
        if stored.snapshot.as_ref().is_none_or(|(position, _)| segment.end > *position) {
            return refuse("no snapshot covers it");
        }
        stored.segments.remove(&base);
        Ok(())
    }

    fn write_snapshot(
        &self,
        position: Position,
        source: &mut SnapshotSource<'_>,
    ) -> Result<(), JournalError> {
        let refuse = |why| Err(JournalError::SnapshotRefused { position, why });
        {
            let stored = self.stored.lock();
            if position > stored.end {
                return refuse("it is beyond the end of the journal");
            }
            if stored.snapshot.as_ref().is_some_and(|(newest, _)| position <= *newest) {
                return refuse("a snapshot at or after it exists");
            }
        }
        self.sync_all()?;
        let mut sink = MemorySink(Vec::new());
        source(&mut sink)?;
        self.stored.lock().snapshot = Some((position, sink.0));
        Ok(())
    }

    fn snapshot_position(&self) -> Option<Position> {
        self.stored.lock().snapshot.as_ref().map(|s| s.0)
    }
}

struct MemorySink(Vec<Vec<u8>>);

impl SnapshotSink for MemorySink {
    fn record(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        if payload.len() > RECORD_BYTES_MAX {
            let bytes_max = RECORD_BYTES_MAX as u64;
            return Err(JournalError::TooLarge { bytes: payload.len() as u64, bytes_max });
        }
        self.0.push(payload.to_vec());
        Ok(())
    }
}

struct MemoryRecovery {
    snapshot: Option<Position>,
    end: Position,
    store: MemoryStore,
}

impl Recovery for MemoryRecovery {
    fn snapshot_position(&self) -> Option<Position> {
        self.snapshot
    }

    fn end(&self) -> Position {
        self.end
    }

    fn torn_tail(&self) -> Option<&TornTail> {
        None
    }

    fn read_snapshot(&mut self, each: &mut EachSnapshotRecord<'_>) -> Result<(), JournalError> {
        let records = self.store.stored.lock().snapshot.clone().map(|s| s.1).unwrap_or_default();
        records.iter().try_for_each(|record| each(record))
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), JournalError> {
        let from = self.snapshot.unwrap_or_default();
        self.store.scan(from, self.end, each).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JournalErrorKind, conformance};

    #[test]
    fn keeps_the_contract() {
        conformance::run(&mut || {
            let store = MemoryStore::new(conformance::SEGMENT_BYTES);
            Box::new(move || store.open())
        });
    }

    #[test]
    fn full_refuses_all_but_essential_batches_and_passes() {
        let store = MemoryStore::default();
        let mut journal = store.open().unwrap().journal;
        let mut builder = journal.batch_builder();
        store.set_full(true);
        builder.record(|b| b.push(1)).unwrap();
        let error = journal.append(&builder.finish()).unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::Limit);
        builder.restart(journal.end());
        builder.record(|b| b.push(2)).unwrap();
        builder.mark_essential();
        journal.append(&builder.finish()).unwrap();
        store.set_full(false);
        builder.record(|b| b.push(3)).unwrap();
        journal.append(&builder.finish()).unwrap();
    }

    #[test]
    fn a_failure_is_final_until_reopened() {
        let store = MemoryStore::default();
        let mut journal = store.open().unwrap().journal;
        store.fail();
        let mut builder = journal.batch_builder();
        builder.record(|b| b.push(1)).unwrap();
        let batch = builder.finish();
        assert!(journal.append(&batch).unwrap_err().is_final());
        assert!(journal.append(&batch).unwrap_err().is_final());
        assert!(journal.sync().is_err());
        drop(journal);
        let mut journal = store.open().unwrap().journal;
        let mut builder = journal.batch_builder();
        builder.record(|b| b.push(1)).unwrap();
        journal.append(&builder.finish()).unwrap();
    }
}
