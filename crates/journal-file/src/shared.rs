//! What the writer, readers, housekeeping and the background threads of one open journal share: the segments, how far
//! storage got, and whether it failed. Reading is here; writing is in `writer`, removal and snapshots in `housekeeping`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use baton_journal::frame::each_record;
use baton_journal::{EachRecord, Epoch, JournalError, JournalReader, Location, Position};
use parking_lot::{Mutex, RwLock};

use crate::disk::{Disk, DiskFile};
use crate::options::Options;
use crate::scan::{SegmentScan, offset_in_file, unreadable};
use crate::spares::Spares;

/// A segment of an open journal.
pub(crate) struct Segment {
    pub(crate) base: Position,
    pub(crate) epoch: Epoch,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) end: AtomicU64,
    pub(crate) sealed: AtomicBool,
    pub(crate) file_bytes: AtomicU64,
}

impl Segment {
    pub(crate) fn end(&self) -> Position {
        Position(self.end.load(Ordering::Acquire))
    }
}

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) epoch: Epoch,
    pub(crate) segments: RwLock<BTreeMap<Position, Arc<Segment>>>,
    pub(crate) durable: AtomicU64,
    pub(crate) spares: Spares,
    /// All snapshot files; the first counts.
    pub(crate) snapshots: Mutex<Vec<Position>>,
    /// Held while a segment is removed or a snapshot written, and to close.
    pub(crate) housekeeping: Mutex<Closed>,
    failure: Mutex<Option<JournalError>>,
    has_failed: AtomicBool,
    syncing: Mutex<()>,
}

/// Whether the writer is gone, and with it the lock on the directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed(pub(crate) bool);

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        epoch: Epoch,
        segments: BTreeMap<Position, Arc<Segment>>,
        spares: Spares,
        snapshots: Vec<Position>,
    ) -> Self {
        let end = segments.values().next_back().map_or(0, |s| s.end().0);
        Self {
            disk,
            options,
            epoch,
            segments: RwLock::new(segments),
            durable: AtomicU64::new(end),
            spares,
            snapshots: Mutex::new(snapshots),
            housekeeping: Mutex::new(Closed(false)),
            failure: Mutex::new(None),
            has_failed: AtomicBool::new(false),
            syncing: Mutex::new(()),
        }
    }

    /// The error that poisoned the journal, if one did.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        if !self.has_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    /// Poisons the journal; the first failure is the one that is kept.
    pub(crate) fn fail(&self, during: &'static str, file: &str, source: io::Error) -> JournalError {
        let error = JournalError::Failed { during, file: file.to_owned(), source: Arc::new(source) };
        tracing::error!(%error, "the journal stops");
        let kept = self.failure.lock().get_or_insert(error).clone();
        self.has_failed.store(true, Ordering::Release);
        kept
    }

    pub(crate) fn active(&self) -> Option<Arc<Segment>> {
        self.segments.read().values().next_back().cloned()
    }

    /// What all segment files have.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.segments.read().values().map(|segment| segment.file_bytes.load(Ordering::Acquire)).sum()
    }

    pub(crate) fn end(&self) -> Position {
        self.active().map_or(Position::START, |active| active.end())
    }

    /// Brings everything written so far to stable storage.
    pub(crate) fn sync(&self) -> Result<Position, JournalError> {
        let _one_at_a_time = self.syncing.lock();
        self.check()?;
        // Earlier segments were synced when they were sealed.
        let Some(active) = self.active() else { return Ok(Position::START) };
        let end = active.end();
        if self.durable.load(Ordering::Acquire) < end.0 {
            active.file.sync_data().map_err(|e| self.fail("fdatasync", &active.name, e))?;
            self.durable.fetch_max(end.0, Ordering::AcqRel);
        }
        Ok(end)
    }

    fn holding(&self, position: Position) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let (_, segment) = segments.range(..=position).next_back()?;
        (position < segment.end()).then(|| Arc::clone(segment))
    }
}

impl JournalReader for Shared {
    fn read_into(&self, location: Location, buf: &mut Vec<u8>) -> Result<(), JournalError> {
        let position = location.position;
        // An empty record may be the last thing of a segment: its length lies in front of it.
        let in_front = u64::from(location.len_bytes == 0);
        let held = self.holding(Position(position.0.saturating_sub(in_front)));
        let segment = held.ok_or(JournalError::NotFound { position })?;
        if location.end() > segment.end() {
            return Err(JournalError::NotFound { position: segment.end() });
        }
        // What it held is written over: only what is longer is filled first.
        buf.resize(location.len_bytes as usize, 0);
        let offset = offset_in_file(segment.base, position);
        let count = segment.file.read_at(offset, buf).map_err(|e| unreadable(&segment.name, e))?;
        if count < buf.len() {
            let what = "the file is shorter than what was written to it".to_owned();
            return Err(JournalError::Corrupt { file: segment.name.clone(), offset, what });
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
        let mut window = Vec::new();
        while at < until {
            let Some(segment) = self.holding(at) else {
                // The end, or a removed segment behind what was read.
                let stop = at > from || at == self.end();
                return if stop { Ok(at) } else { Err(JournalError::NotFound { position: at }) };
            };
            let stop = segment.end().min(until);
            let mut scan =
                SegmentScan::new(segment.file.as_ref(), &segment.name, segment.base, segment.epoch)?
                    .reusing(window);
            while at < stop {
                let header = scan.batch_at(at)?.map_err(|defect| JournalError::Corrupt {
                    file: segment.name.clone(),
                    offset: offset_in_file(segment.base, at),
                    what: defect.to_string(),
                })?;
                each_record(scan.batch_bytes(&header)?, &header, each)?;
                at = at.plus(header.framed_bytes());
            }
            window = scan.into_window();
        }
        Ok(at)
    }
}
