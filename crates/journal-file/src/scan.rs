//! Walking over the batches of one segment file, and judging its tail. Only reads. Used by recovery, by readers
//! and by the examiner.

use std::io;
use std::sync::Arc;

use baton_journal::frame::{
    ALIGN_BYTES, BATCH_MAGIC, BatchDefect, BatchHeader, HEADER_BYTES, check_batch, read_header,
};
use baton_journal::{Epoch, JournalError, Position};

use crate::disk::DiskFile;
use crate::layout::SEGMENT_HEADER_BYTES;

/// Bytes read at once while walking; a larger batch is read whole.
const WINDOW_BYTES: usize = 256 << 10;

pub(crate) fn unreadable(file: &str, source: io::Error) -> JournalError {
    JournalError::Unreadable { file: file.to_owned(), source: Arc::new(source) }
}

/// Offset in its segment's file of the byte at `position`.
pub(crate) fn offset_in_file(base: Position, position: Position) -> u64 {
    SEGMENT_HEADER_BYTES + position.since(base)
}

/// A segment file to be walked, and a window on it.
pub(crate) struct SegmentScan<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
    base: Position,
    epoch: Epoch,
    file_bytes: u64,
    window: Vec<u8>,
    window_offset: u64,
}

impl<'a> SegmentScan<'a> {
    pub(crate) fn new(
        file: &'a dyn DiskFile,
        name: &'a str,
        base: Position,
        epoch: Epoch,
    ) -> Result<Self, JournalError> {
        let file_bytes = file.len_bytes().map_err(|e| unreadable(name, e))?;
        Ok(Self { file, name, base, epoch, file_bytes, window: Vec::new(), window_offset: 0 })
    }

    /// Takes the window of an earlier scan, so that two large ones are never made.
    pub(crate) fn reusing(self, mut window: Vec<u8>) -> Self {
        window.clear();
        Self { window, ..self }
    }

    /// The window, for a later scan.
    pub(crate) fn into_window(self) -> Vec<u8> {
        self.window
    }

    /// The bytes from `offset`: at least `wanted` of them unless the file ends before.
    fn bytes_at(&mut self, offset: u64, wanted: usize, fresh: bool) -> Result<&[u8], JournalError> {
        let within = |window_offset: u64, len: usize| {
            let skip = usize::try_from(offset.checked_sub(window_offset)?).ok()?;
            (skip.saturating_add(wanted) <= len).then_some(skip)
        };
        if let Some(skip) = within(self.window_offset, self.window.len()).filter(|_| !fresh) {
            return Ok(self.window.get(skip..).unwrap_or_default());
        }
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let window_bytes = left.min(wanted.max(WINDOW_BYTES));
        if self.window.capacity() < window_bytes {
            // Made anew, not grown: the window for a large batch is not held beside a smaller one. It is kept for the next large batch: the
            // allocator does not always find the space again that one took.
            self.window = Vec::new();
        }
        self.window.resize(window_bytes, 0);
        let count = self.file.read_at(offset, &mut self.window).map_err(|e| unreadable(self.name, e))?;
        self.window.truncate(count);
        self.window_offset = offset;
        Ok(&self.window)
    }

    fn judge(
        &mut self,
        position: Position,
        fresh: bool,
    ) -> Result<Result<BatchHeader, BatchDefect>, JournalError> {
        let offset = offset_in_file(self.base, position);
        let (epoch, left) = (self.epoch, self.file_bytes.saturating_sub(offset));
        let header = match read_header(self.bytes_at(offset, HEADER_BYTES, fresh)?, position, epoch) {
            Ok(header) => header,
            Err(defect) => return Ok(Err(defect)),
        };
        let covered_bytes = HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        if covered_bytes > left {
            return Ok(Err(BatchDefect::Length { payload_bytes: header.payload_bytes }));
        }
        let wanted = usize::try_from(covered_bytes).unwrap_or(usize::MAX);
        let bytes = self.bytes_at(offset, wanted, false)?;
        Ok(check_batch(bytes, &header).map(|()| header))
    }

    /// The whole batch at `position`: its header, or what is wrong. A defect is looked at twice, so that a bit
    /// that flipped on its way from the disk does not decide.
    pub(crate) fn batch_at(
        &mut self,
        position: Position,
    ) -> Result<Result<BatchHeader, BatchDefect>, JournalError> {
        match self.judge(position, false)? {
            Ok(header) => Ok(Ok(header)),
            Err(_) => self.judge(position, true),
        }
    }

    /// The bytes of a batch that [`SegmentScan::batch_at`] has just found valid.
    pub(crate) fn batch_bytes(&mut self, header: &BatchHeader) -> Result<&[u8], JournalError> {
        let offset = offset_in_file(self.base, header.base);
        let wanted = HEADER_BYTES.saturating_add(header.payload_bytes as usize);
        self.bytes_at(offset, wanted, false)
    }

    /// The first valid batch that begins behind `position`, where none is: what tells damage from a torn tail.
    pub(crate) fn valid_batch_behind(
        &mut self,
        position: Position,
    ) -> Result<Option<BatchHeader>, JournalError> {
        let mut at = position.plus(ALIGN_BYTES as u64);
        loop {
            let offset = offset_in_file(self.base, at);
            // A damaged name may put the segment at the end of all positions, where none is behind another.
            let behind_all = at.plus(HEADER_BYTES as u64).since(at) < HEADER_BYTES as u64;
            if behind_all || offset.saturating_add(HEADER_BYTES as u64) > self.file_bytes {
                return Ok(None);
            }
            let bytes = self.bytes_at(offset, HEADER_BYTES, false)?;
            let found = bytes.chunks_exact(ALIGN_BYTES).position(|chunk| chunk.starts_with(&BATCH_MAGIC));
            let whole_chunks = (bytes.len() / ALIGN_BYTES).max(1);
            let skip = found.unwrap_or(whole_chunks).saturating_mul(ALIGN_BYTES) as u64;
            at = at.plus(skip);
            if found.is_none() {
                continue;
            }
            if let Ok(header) = self.judge(at, false)? {
                return Ok(Some(header));
            }
            at = at.plus(ALIGN_BYTES as u64);
        }
    }
}
