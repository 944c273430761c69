//! What can be configured about a journal on disk, with defaults and their reasons.

use crate::layout::SEGMENT_HEADER_BYTES;

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of batches in one segment, unless a single batch is larger. Default 64 MiB: about a tenth of a second
    /// of full load, so that removal is fine-grained, and few enough files for terabytes.
    pub segment_bytes: u64,
    /// Free space below which only essential batches (acknowledgements) get new segments, so that a full disk
    /// can be drained; a quarter of it is set aside as a file. Default 64 MiB. 0 switches both off.
    pub disk_reserve_bytes: u64,
    /// Prepare segments on a thread of the journal. Default true; without it all work is done within the calls, which a
    /// deterministic simulation needs.
    pub background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, disk_reserve_bytes: 64 << 20, background: true }
    }
}

/// The first segment after opening is small, so that it is zero-filled in a few milliseconds; each further one is
/// four times as large up to `segment_bytes`, since the preparing thread has that much more time.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const GROWTH: u64 = 4;
pub(crate) const PAGE_BYTES: u64 = 4096;

impl Options {
    pub(crate) fn first_segment_bytes(&self) -> u64 {
        self.segment_bytes.min(FIRST_SEGMENT_BYTES)
    }

    pub(crate) fn next_segment_bytes(&self, before: u64) -> u64 {
        self.segment_bytes.min(before.saturating_mul(GROWTH))
    }

    /// Length of a segment file with room for `segment_bytes` of batches.
    pub(crate) fn file_bytes(segment_bytes: u64) -> u64 {
        SEGMENT_HEADER_BYTES.saturating_add(segment_bytes).next_multiple_of(PAGE_BYTES)
    }

    /// Length of the file that is set aside for essential batches; 0 for none.
    pub(crate) fn reserve_file_bytes(&self) -> u64 {
        match self.disk_reserve_bytes {
            0 => 0,
            bytes => Self::file_bytes((bytes / 4).min(self.segment_bytes)),
        }
    }
}
