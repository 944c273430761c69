//! What can be configured about a journal on disk, with defaults and their reasons.

use crate::layout::SEGMENT_HEADER_BYTES;

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Most bytes of batches in one segment, unless a single batch is larger. Default 64 MiB: few enough files for terabytes. While
    /// the journal holds little, segments have a quarter of it, so that what is prepared, in use, and on its way out is little too.
    pub segment_bytes: u64,
    /// Free space below which only essential batches (acknowledgements) get new segments, so that a full disk
    /// can be drained; an eighth of it is set aside as a file. Default 64 MiB. 0 switches both off.
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
/// While there is little to hold, a segment is this part of the largest: the active one, the one prepared for the time after it and
/// a few that wait for their removal together are then less than two of those.
const SMALL_PART: u64 = 4;
/// Segments are not divided below this: each costs a header and five syncs.
const SMALL_BYTES_MIN: u64 = 64 << 10;
/// Of what the journal holds, the part that one segment may be.
const HELD_PART: u64 = 64;
/// What part of the space that is kept for acknowledgements is set aside as a file: hundreds of thousands of them find room in it.
const RESERVE_PART: u64 = 8;
pub(crate) const PAGE_BYTES: u64 = 4096;

impl Options {
    pub(crate) fn first_segment_bytes(&self) -> u64 {
        self.small_segment_bytes().min(FIRST_SEGMENT_BYTES)
    }

    pub(crate) fn next_segment_bytes(&self, before: u64) -> u64 {
        self.segment_bytes.min(before.saturating_mul(GROWTH))
    }

    fn small_segment_bytes(&self) -> u64 {
        let small_bytes = (self.segment_bytes / SMALL_PART).max(SMALL_BYTES_MIN);
        self.segment_bytes.min(small_bytes)
    }

    /// How large a segment is in a journal whose segments have `held_bytes`.
    pub(crate) fn segment_bytes_for(&self, held_bytes: u64) -> u64 {
        let part = (held_bytes / HELD_PART).next_multiple_of(PAGE_BYTES);
        self.segment_bytes.min(part.max(self.small_segment_bytes()))
    }

    /// Length of a segment file with room for `segment_bytes` of batches.
    pub(crate) fn file_bytes(segment_bytes: u64) -> u64 {
        SEGMENT_HEADER_BYTES.saturating_add(segment_bytes).next_multiple_of(PAGE_BYTES)
    }

    /// Length of the file that is set aside for essential batches; 0 for none.
    pub(crate) fn reserve_file_bytes(&self) -> u64 {
        match self.disk_reserve_bytes {
            0 => 0,
            bytes => Self::file_bytes((bytes / RESERVE_PART).min(self.segment_bytes)),
        }
    }
}
