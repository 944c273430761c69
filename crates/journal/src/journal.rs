//! The traits: one writer, many readers, housekeeping beside them, and recovery before all of them. The
//! rules that bind them together stand at the top of the crate.

use std::sync::Arc;

use bytes::Bytes;

use crate::{BatchBuilder, Epoch, JournalError, Location, Position, SealedBatch};

/// Receives each record of a scan or replay, in order. An error stops the scan and is handed on.
pub type EachRecord<'a> = dyn FnMut(Location, &[u8]) -> Result<(), JournalError> + 'a;
/// Receives each record of a snapshot, in order. An error stops the reading and is handed on.
pub type EachSnapshotRecord<'a> = dyn FnMut(&[u8]) -> Result<(), JournalError> + 'a;
/// Writes the records of a snapshot into the sink it is given. Called once.
pub type SnapshotSource<'a> = dyn FnMut(&mut dyn SnapshotSink) -> Result<(), JournalError> + 'a;

/// What opening a journal yields: read `recovery` to the end, then use `journal`.
pub struct Opened {
    /// The writer.
    pub journal: Box<dyn Journal>,
    /// What was there before.
    pub recovery: Box<dyn Recovery>,
}

/// The single writer of a journal.
pub trait Journal: Send {
    /// The epoch of this opening; every batch must carry it.
    fn epoch(&self) -> Epoch;

    /// Where the next batch begins: behind the last one that was written.
    fn end(&self) -> Position;

    /// Everything before this position is on stable storage.
    fn durable(&self) -> Position;

    /// Writes a batch: when this returns, it can be read and survives the death of the process, not that of the machine.
    /// Returns the new end.
    ///
    /// # Errors
    /// `Full`: nothing counts, go on with a batch that starts at [`Journal::end`]. `OutOfSequence` and `NotDurable`: a bug,
    /// nothing was written. `Failed` and `Fenced` are final and repeated by every later call.
    fn write(&mut self, batch: &SealedBatch) -> Result<Position, JournalError>;

    /// Blocks until everything that was written is on stable storage, and returns that position. To be called also
    /// before an orderly stop.
    ///
    /// # Errors
    /// `Failed` and `Fenced`, which are final: a failed sync is not tried again.
    fn sync(&mut self) -> Result<Position, JournalError>;

    /// Writes a batch and blocks until it is on stable storage. Returns the new end.
    ///
    /// # Errors
    /// As for [`Journal::write`] and [`Journal::sync`].
    fn append(&mut self, batch: &SealedBatch) -> Result<Position, JournalError> {
        self.write(batch)?;
        self.sync()
    }

    /// A reader of this journal, for any thread.
    fn reader(&self) -> Arc<dyn JournalReader>;

    /// Snapshots and removal of segments, for any thread, so that they need not hold up appends.
    fn housekeeping(&self) -> Arc<dyn Housekeeping>;

    /// A builder for the batch that begins at [`Journal::end`].
    fn batch_builder(&self) -> BatchBuilder {
        BatchBuilder::new(self.epoch(), self.end())
    }
}

/// Reads what has been written.
pub trait JournalReader: Send + Sync {
    /// Reads the bytes at `location` into `buf`, replacing what is in it. A location may span several batches of one
    /// segment (their headers and padding are then among the bytes), for reading ahead.
    ///
    /// # Errors
    /// `NotFound` when any of it lies beyond the end of its segment or in a removed one, with the first position that is
    /// not there; `Unreadable` when storage fails.
    fn read_into(&self, location: Location, buf: &mut Vec<u8>) -> Result<(), JournalError>;

    /// Reads the bytes at `location`. Checksums are not looked at, because they cover whole batches.
    ///
    /// # Errors
    /// As for [`JournalReader::read_into`].
    fn read(&self, location: Location) -> Result<Bytes, JournalError> {
        let mut buf = Vec::new();
        self.read_into(location, &mut buf)?;
        Ok(Bytes::from(buf))
    }

    /// Hands over every record of the batches from `from` (a batch boundary: a segment's base, a position that
    /// `write` returned) up to `until` (exclusive; batches are never split), each batch checked against its checksum.
    /// Stops at the end of the journal or at a removed segment and returns the position reached: the
    /// base of the first batch that was not read.
    ///
    /// # Errors
    /// `Corrupt` when a batch is damaged or `from` is no boundary; `NotFound` when `from` is in no segment;
    /// and whatever `each` returns.
    fn scan(
        &self,
        from: Position,
        until: Position,
        each: &mut EachRecord<'_>,
    ) -> Result<Position, JournalError>;
}

/// One segment: a run of batches that is removed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Position of its first batch, and its name.
    pub base: Position,
    /// Position behind its last batch.
    pub end: Position,
    /// Whether it takes no more batches.
    pub sealed: bool,
    /// Bytes it occupies in storage, preallocated space included.
    pub file_bytes: u64,
}

impl SegmentInfo {
    /// Bytes of its batches.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.end.since(self.base)
    }
}

/// Work beside the appends. Usable from any thread.
pub trait Housekeeping: Send + Sync {
    /// All segments, oldest first. The last one is active: not sealed.
    fn segments(&self) -> Vec<SegmentInfo>;

    /// Brings everything that was written before this was called to stable storage while the writer goes on, and returns that position.
    ///
    /// # Errors
    /// As for [`Journal::sync`]; the writer fails with it.
    fn sync(&self) -> Result<Position, JournalError>;

    /// Removes a sealed segment that the newest snapshot covers. The caller vouches that nothing in it is
    /// live, by records that are durable; reading from it afterwards is `NotFound`.
    ///
    /// # Errors
    /// `NotRemovable` when it is active, not covered by a snapshot, or unknown; `Failed` when storage fails, in
    /// which case the segment may come back at the next opening.
    fn remove_segment(&self, base: Position) -> Result<(), JournalError>;

    /// Stores a snapshot: the state after everything before `position`, which must be a batch boundary (a
    /// position that `write` returned). Blocks until it is durable; the previous one counts until then.
    /// What was written is synced first, so that the snapshot never knows more than the journal.
    ///
    /// # Errors
    /// `SnapshotRefused` when `position` is beyond the end or not after the newest snapshot; `Full` and
    /// `Failed` leave the previous snapshot in force and do not poison appends; and whatever `source` returns.
    fn write_snapshot(&self, position: Position, source: &mut SnapshotSource<'_>)
    -> Result<(), JournalError>;

    /// The position of the snapshot in force.
    fn snapshot_position(&self) -> Option<Position>;
}

/// Takes the records of a snapshot, in order.
pub trait SnapshotSink {
    /// Adds one record: opaque, at most [`crate::frame::RECORD_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// `TooLarge`, `Full` or `Failed`; the snapshot is then given up.
    fn record(&mut self, payload: &[u8]) -> Result<(), JournalError>;
}

/// A torn tail that recovery cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment file.
    pub file: String,
    /// Byte offset in it from which nothing counts.
    pub offset: u64,
    /// The position that is the end of the journal now.
    pub position: Position,
    /// How the broken batch was recognised.
    pub what: String,
}

/// What a journal held when it was opened.
pub trait Recovery: Send {
    /// The snapshot to start from, if there is one.
    fn snapshot_position(&self) -> Option<Position>;

    /// The end of the journal; equal to [`Journal::end`] until something is appended.
    fn end(&self) -> Position;

    /// The torn tail that was cut off, if there was one.
    fn torn_tail(&self) -> Option<&TornTail>;

    /// Hands over the records of the snapshot; none if there is no snapshot.
    ///
    /// # Errors
    /// `Corrupt` or `Unreadable`; and whatever `each` returns.
    fn read_snapshot(&mut self, each: &mut EachSnapshotRecord<'_>) -> Result<(), JournalError>;

    /// Hands over all records from the snapshot's position (or the start) to the end, in order.
    ///
    /// # Errors
    /// As for [`JournalReader::scan`].
    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), JournalError>;
}
