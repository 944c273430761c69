//! Removing segments and writing snapshots, beside the writer and from any thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use baton_journal::{Housekeeping, JournalError, Position, SegmentInfo, SnapshotSource};

use crate::layout::snapshot_name;
use crate::shared::{Closed, Segment, Shared};
use crate::snapshot;

/// The newest, and one for the day it cannot be read.
const SNAPSHOTS_KEPT: usize = 2;

impl Shared {
    /// The segment, if it may be removed.
    fn removable(&self, base: Position) -> Result<Arc<Segment>, JournalError> {
        let refuse = |why| Err(JournalError::NotRemovable { base, why });
        let segments = self.segments.read();
        let Some(segment) = segments.get(&base) else {
            return refuse("there is no such segment");
        };
        if !segment.sealed.load(Ordering::Acquire) {
            return refuse("it is the active one");
        }
        if self.snapshots.lock().first().is_none_or(|snapshot| segment.end() > *snapshot) {
            return refuse("no snapshot covers it");
        }
        Ok(Arc::clone(segment))
    }

    fn drop_old_snapshots(&self) -> Result<(), JournalError> {
        let old = {
            let mut snapshots = self.snapshots.lock();
            let kept = snapshots.len().min(SNAPSHOTS_KEPT);
            snapshots.split_off(kept)
        };
        for position in old {
            let name = snapshot_name(position);
            self.disk.remove(&name).map_err(|source| JournalError::Failed {
                during: "removing an old snapshot",
                file: name,
                source: Arc::new(source),
            })?;
        }
        Ok(())
    }
}

impl Housekeeping for Shared {
    fn segments(&self) -> Vec<SegmentInfo> {
        let info = |segment: &Arc<Segment>| SegmentInfo {
            base: segment.base,
            end: segment.end(),
            sealed: segment.sealed.load(Ordering::Acquire),
            file_bytes: segment.file_bytes.load(Ordering::Acquire),
        };
        self.segments.read().values().map(info).collect()
    }

    fn sync(&self) -> Result<Position, JournalError> {
        Self::sync(self)
    }

    fn remove_segment(&self, base: Position) -> Result<(), JournalError> {
        let closed = self.housekeeping.lock();
        if *closed == Closed(true) {
            return Err(JournalError::NotRemovable { base, why: "the journal is closed" });
        }
        self.check()?;
        let segment = self.removable(base)?;
        self.segments.write().remove(&base);
        let (name, file_bytes) = (segment.name.clone(), segment.file_bytes.load(Ordering::Acquire));
        // New readers cannot find it any more. If one is still reading, its file must keep its content.
        let file = Arc::into_inner(segment).map(|segment| segment.file);
        let failed =
            |during, source| JournalError::Failed { during, file: name.clone(), source: Arc::new(source) };
        let spare =
            self.spares.recycle(&name, file, file_bytes).map_err(|e| failed("removing a segment", e))?;
        self.disk.sync_dir().map_err(|e| failed("syncing the directory", e))?;
        self.spares.note_held(self.held_bytes());
        if let Some(spare) = spare {
            self.spares.keep(spare);
        }
        Ok(())
    }

    fn write_snapshot(
        &self,
        position: Position,
        source: &mut SnapshotSource<'_>,
    ) -> Result<(), JournalError> {
        let closed = self.housekeeping.lock();
        let refuse = |why| Err(JournalError::SnapshotRefused { position, why });
        if *closed == Closed(true) {
            return refuse("the journal is closed");
        }
        if position > self.end() {
            return refuse("it is beyond the end of the journal");
        }
        if self.snapshot_position().is_some_and(|newest| position <= newest) {
            return refuse("a snapshot at or after it exists");
        }
        self.sync()?;
        snapshot::write(self.disk.as_ref(), position, source)?;
        {
            let mut snapshots = self.snapshots.lock();
            // A damaged file of that name may have been replaced.
            snapshots.retain(|other| *other != position);
            snapshots.insert(0, position);
        }
        self.drop_old_snapshots()
    }

    fn snapshot_position(&self) -> Option<Position> {
        self.snapshots.lock().first().copied()
    }
}
