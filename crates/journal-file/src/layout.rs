//! Names of files and the fixed parts of a segment file: its header page with the seal and the mark. Byte by
//! byte in `docs/formats/journal.md`; batches are framed in `baton_journal::frame`.
//!
//! ```text
//!  0            512          1024         4096
//!  ├────────────┼────────────┼────────────┼─────────┬─────────┬──── ─ ─
//!  │ header     │ seal       │ mark       │ batch   │ batch   │ zeros or old content
//!  └────────────┴────────────┴────────────┴─────────┴─────────┴──── ─ ─
//!   once         once, when    version 1 only
//!                it is full
//! ```
//! Each of the three lies in a sector of its own, so that writing one never endangers another.

use baton_journal::frame::crc32c;
use baton_journal::{Epoch, JournalError, Position};

/// Version of segment files, and the newest one that is read.
pub const FORMAT_VERSION: u16 = 2;
/// Bytes before the first batch of a segment.
pub const SEGMENT_HEADER_BYTES: u64 = 4096;
pub(crate) const SEAL_OFFSET: u64 = 512;
pub(crate) const MARK_OFFSET: u64 = 1024;
/// Name of the lock file.
pub const LOCK_FILE: &str = "lock";
pub(crate) const RESERVE_FILE: &str = "reserve";
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";
const SEGMENT_SUFFIX: &str = ".seg";
const SNAPSHOT_SUFFIX: &str = ".snap";
const IDLE_SUFFIX: &str = ".idle";
const SPARE_PREFIX: &str = "spare-";

const SEGMENT_MAGIC: [u8; 8] = *b"BATONSEG";
const SEAL_MAGIC: [u8; 4] = *b"SEAL";
const MARK_MAGIC: [u8; 4] = *b"MARK";
const FLAG_RELAXED: u16 = 1;

/// What a file of the directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment(Position),
    /// An empty segment whose header is just being replaced.
    Idle(Position),
    Snapshot(Position),
    Spare(u64),
    Reserve,
    Temporary,
    Lock,
    Foreign,
}

pub(crate) fn file_kind(name: &str) -> FileKind {
    let number = |digits: &str| {
        let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    if name.ends_with(TEMPORARY_SUFFIX) {
        FileKind::Temporary
    } else if let Some(base) = name.strip_suffix(SEGMENT_SUFFIX).and_then(number) {
        FileKind::Segment(Position(base))
    } else if let Some(base) = name.strip_suffix(IDLE_SUFFIX).and_then(number) {
        FileKind::Idle(Position(base))
    } else if let Some(position) = name.strip_suffix(SNAPSHOT_SUFFIX).and_then(number) {
        FileKind::Snapshot(Position(position))
    } else if let Some(count) = name.strip_prefix(SPARE_PREFIX).and_then(number) {
        FileKind::Spare(count)
    } else if name == RESERVE_FILE {
        FileKind::Reserve
    } else if name == LOCK_FILE {
        FileKind::Lock
    } else {
        FileKind::Foreign
    }
}

pub(crate) fn segment_name(base: Position) -> String {
    format!("{:020}{SEGMENT_SUFFIX}", base.0)
}

pub(crate) fn idle_name(base: Position) -> String {
    format!("{:020}{IDLE_SUFFIX}", base.0)
}

pub(crate) fn snapshot_name(position: Position) -> String {
    format!("{:020}{SNAPSHOT_SUFFIX}", position.0)
}

pub(crate) fn spare_name(count: u64) -> String {
    format!("{SPARE_PREFIX}{count:020}")
}

/// The header of a segment, its seal and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) base: Position,
    /// Of all batches in it: every opening begins a segment of its own.
    pub(crate) epoch: Epoch,
    /// Of version 1, synced at intervals: an invalid batch may precede valid ones at the end.
    pub(crate) relaxed: bool,
    /// Where its batches end, once it is full.
    pub(crate) seal: Option<Position>,
    /// Up to where it was synced, if that was ever noted (relaxed ones only).
    pub(crate) mark: Option<Position>,
}

pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = page.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// The whole header page of a new segment: everything else in it is zero, also what a recycled file held.
pub(crate) fn encode_header(base: Position, epoch: Epoch) -> Vec<u8> {
    let mut page = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).unwrap_or(4096)];
    put(&mut page, 0, &SEGMENT_MAGIC);
    put(&mut page, 12, &FORMAT_VERSION.to_le_bytes());
    put(&mut page, 16, &base.0.to_le_bytes());
    put(&mut page, 24, &epoch.0.to_le_bytes());
    let crc = crc32c(page.get(12..64).unwrap_or_default());
    put(&mut page, 8, &crc.to_le_bytes());
    page
}

fn encode_slot(magic: [u8; 4], epoch: Epoch, position: Position) -> Vec<u8> {
    let mut slot = vec![0; 24];
    put(&mut slot, 0, &magic);
    put(&mut slot, 8, &epoch.0.to_le_bytes());
    put(&mut slot, 16, &position.0.to_le_bytes());
    let crc = crc32c(slot.get(8..24).unwrap_or_default());
    put(&mut slot, 4, &crc.to_le_bytes());
    slot
}

fn decode_slot(page: &[u8], at: u64, magic: [u8; 4], epoch: Epoch) -> Option<Position> {
    let slot = page.get(usize::try_from(at).ok()?..)?.first_chunk::<24>()?;
    let valid = field::<4>(slot, 0) == magic
        && u32::from_le_bytes(field(slot, 4)) == crc32c(slot.get(8..24)?)
        && u64::from_le_bytes(field(slot, 8)) == epoch.0;
    valid.then(|| Position(u64::from_le_bytes(field(slot, 16))))
}

/// The seal: to be written at [`SEAL_OFFSET`].
pub(crate) fn encode_seal(epoch: Epoch, end: Position) -> Vec<u8> {
    encode_slot(SEAL_MAGIC, epoch, end)
}

/// Reads the header page of the segment called `name`, which should begin at `base`. A seal or mark that
/// is not valid counts as not there: a crash may have torn it, and nothing is lost by doing without.
pub(crate) fn decode_header(page: &[u8], name: &str, base: Position) -> Result<SegmentHeader, JournalError> {
    let corrupt =
        |what: &str| Err(JournalError::Corrupt { file: name.to_owned(), offset: 0, what: what.to_owned() });
    if field::<8>(page, 0) != SEGMENT_MAGIC {
        return corrupt("it does not begin with the header of a segment");
    }
    let version = u16::from_le_bytes(field(page, 12));
    if version > FORMAT_VERSION {
        let version_max = FORMAT_VERSION;
        return Err(JournalError::Unsupported { file: name.to_owned(), version, version_max });
    }
    if page.get(12..64).map(crc32c) != Some(u32::from_le_bytes(field(page, 8))) {
        return corrupt("the checksum of the segment header does not match");
    }
    let flags = u16::from_le_bytes(field(page, 14));
    let flags_known = if version == 1 { FLAG_RELAXED } else { 0 };
    if version == 0 || flags & !flags_known != 0 {
        return corrupt("the segment header has a version or flags that were never written");
    }
    if u64::from_le_bytes(field(page, 16)) != base.0 {
        return corrupt("the segment header names another position than the file name");
    }
    let epoch = Epoch(u64::from_le_bytes(field(page, 24)));
    Ok(SegmentHeader {
        base,
        epoch,
        relaxed: flags & FLAG_RELAXED != 0,
        seal: decode_slot(page, SEAL_OFFSET, SEAL_MAGIC, epoch),
        mark: decode_slot(page, MARK_OFFSET, MARK_MAGIC, epoch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_and_nothing_else() {
        assert_eq!(file_kind(&segment_name(Position(77))), FileKind::Segment(Position(77)));
        assert_eq!(file_kind(&snapshot_name(Position(u64::MAX))), FileKind::Snapshot(Position(u64::MAX)));
        assert_eq!(file_kind(&spare_name(3)), FileKind::Spare(3));
        assert_eq!(file_kind("00000000000000000001.snap.tmp"), FileKind::Temporary);
        for foreign in ["1.seg", "+0000000000000000001.seg", "99999999999999999999.seg", "notes", ".seg"] {
            assert_eq!(file_kind(foreign), FileKind::Foreign, "{foreign}");
        }
    }

    #[test]
    fn a_header_comes_back_with_its_seal() {
        let mut page = encode_header(Position(64), Epoch(5));
        put(&mut page, 512, &encode_seal(Epoch(5), Position(128)));
        put(&mut page, 1024, &encode_slot(MARK_MAGIC, Epoch(4), Position(96)));
        let header = decode_header(&page, "x", Position(64)).unwrap();
        let expected = SegmentHeader {
            base: Position(64),
            epoch: Epoch(5),
            relaxed: false,
            seal: Some(Position(128)),
            mark: None, // of an earlier epoch
        };
        assert_eq!(header, expected);
        assert!(decode_header(&page, "x", Position(63)).is_err());
        for at in 0..64 {
            let mut damaged = page.clone();
            damaged[at] ^= 1;
            assert!(decode_header(&damaged, "x", Position(64)).is_err(), "byte {at}");
        }
    }
}
