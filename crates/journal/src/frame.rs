//! The bytes of a batch: layout, limits, checking and taking apart. Byte by byte in
//! `docs/formats/journal.md`. Building is in `batch`; files and segments are `journal-file`'s business.

use crate::{Epoch, JournalError, Location, Position};

/// First bytes of each batch.
pub const BATCH_MAGIC: [u8; 4] = *b"BtnB";
/// Version written into each batch, and the newest one that is read.
pub const BATCH_VERSION: u16 = 2;
/// Bytes of the header of a batch.
pub const HEADER_BYTES: usize = 40;
/// Batches begin and end at multiples of this, so that positions do not depend on where segments end.
pub const ALIGN_BYTES: usize = 8;
/// Bytes of the length in front of each record.
pub const RECORD_HEADER_BYTES: usize = 4;
/// Largest record: the largest message anyone configures (128 MiB) with its envelope, several times over.
pub const RECORD_BYTES_MAX: usize = 512 << 20;
/// Largest batch. Bounds what recovery must hold in memory at once.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

pub(crate) const CRC_FROM: usize = 8;

/// The header of a batch, without the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of records, padding not included.
    pub payload_bytes: u32,
    /// Position of the first byte of the header.
    pub base: Position,
    /// The writer.
    pub epoch: Epoch,
    /// Number of records.
    pub record_count: u32,
    /// Everything before this was on stable storage when the batch was written: at most `base`.
    pub durable: Position,
    /// CRC32C over everything behind it up to the end of the records.
    pub crc: u32,
}

impl BatchHeader {
    /// Bytes of the whole batch: header, records and padding.
    #[must_use]
    pub fn framed_bytes(&self) -> u64 {
        (HEADER_BYTES as u64 + u64::from(self.payload_bytes)).next_multiple_of(ALIGN_BYTES as u64)
    }
}

/// CRC32C (Castagnoli), as used for all checksums of a journal.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a 32-bit checksum, returned in 64 bits")]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// As [`crc32c`], of bytes in pieces.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a 32-bit checksum, returned in 64 bits")]
pub fn crc32c_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    pieces.for_each(|piece| digest.update(piece));
    digest.finalize() as u32
}

/// Why bytes are not the batch that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchDefect {
    /// Nothing that looks like a batch: zeros, or old content.
    #[error("no batch begins here")]
    NoBatch,
    /// A batch, but of another place or writer: what a recycled segment held before.
    #[error("a batch of position {base} and epoch {epoch} stands here")]
    Stale {
        /// Its base.
        base: Position,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The batch claims a version this build does not know, and its checksum cannot be judged.
    #[error("batch format version {version} is not known")]
    Version {
        /// The version.
        version: u16,
    },
    /// The length is beyond the limit or the available bytes.
    #[error("the batch claims {payload_bytes} payload bytes, which do not fit")]
    Length {
        /// The length it claims.
        payload_bytes: u32,
    },
    /// The checksum does not match.
    #[error("the checksum does not match: {stored:08x} is stored, {computed:08x} was computed")]
    Checksum {
        /// In the header.
        stored: u32,
        /// Over the bytes.
        computed: u32,
    },
    /// The checksum matches but the records do not fill the payload: a bug of the writer.
    #[error("the records do not fill the batch")]
    Records,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// Reads the header that should stand at `base`, written in `epoch`. `bytes` begins at the header and
/// needs to hold only that. Says nothing about the checksum.
///
/// # Errors
/// `NoBatch` when the magic is missing or fewer than [`HEADER_BYTES`] bytes are there, `Stale` for a batch of
/// another place, `Version` and `Length` for a header that cannot be used.
pub fn read_header(bytes: &[u8], base: Position, epoch: Epoch) -> Result<BatchHeader, BatchDefect> {
    let parsed = || {
        Some((
            array::<4>(bytes, 0)?,
            u32_at(bytes, 4)?,
            u16_at(bytes, 8)?,
            u16_at(bytes, 10)?,
            u32_at(bytes, 12)?,
            u64_at(bytes, 16)?,
            u64_at(bytes, 24)?,
            u32_at(bytes, 32)?,
            u32_at(bytes, 36)?,
        ))
    };
    let (magic, crc, version, flags, payload_bytes, found_base, found_epoch, record_count, unsynced) =
        parsed().ok_or(BatchDefect::NoBatch)?;
    if magic != BATCH_MAGIC {
        return Err(BatchDefect::NoBatch);
    }
    // Version 1 knew no batches behind others that were not durable.
    let known = version == BATCH_VERSION || (version == 1 && unsynced == 0);
    if !known || flags != 0 {
        return Err(BatchDefect::Version { version });
    }
    let (found_base, found_epoch) = (Position(found_base), Epoch(found_epoch));
    if found_base != base || found_epoch != epoch {
        return Err(BatchDefect::Stale { base: found_base, epoch: found_epoch });
    }
    if payload_bytes as usize > BATCH_BYTES_MAX {
        return Err(BatchDefect::Length { payload_bytes });
    }
    let durable = base.0.saturating_sub(u64::from(unsynced).saturating_mul(ALIGN_BYTES as u64));
    Ok(BatchHeader { payload_bytes, base, epoch, record_count, durable: Position(durable), crc })
}

/// Checks the whole batch whose first byte is the first of `bytes` (more may follow): length, checksum,
/// records.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_batch(bytes: &[u8], header: &BatchHeader) -> Result<(), BatchDefect> {
    let too_long = BatchDefect::Length { payload_bytes: header.payload_bytes };
    let covered = bytes.get(CRC_FROM..HEADER_BYTES + header.payload_bytes as usize).ok_or(too_long)?;
    let computed = crc32c(covered);
    if computed != header.crc {
        return Err(BatchDefect::Checksum { stored: header.crc, computed });
    }
    let mut count = 0u32;
    let walked = each_record(bytes, header, &mut |_, _| {
        count = count.saturating_add(1);
        Ok(())
    });
    if walked.is_err() || count != header.record_count {
        return Err(BatchDefect::Records);
    }
    Ok(())
}

/// Hands each record of a checked batch to `each`.
///
/// # Errors
/// What `each` returns; `NotUnderstood` if the records do not fill the payload, which [`check_batch`] excludes.
pub fn each_record(
    bytes: &[u8],
    header: &BatchHeader,
    each: &mut crate::EachRecord<'_>,
) -> Result<(), JournalError> {
    let broken = || JournalError::NotUnderstood {
        position: header.base,
        why: "the records do not fill the batch".to_owned(),
    };
    let mut at = HEADER_BYTES;
    let end = HEADER_BYTES + header.payload_bytes as usize;
    while at < end {
        let len_bytes = u32_at(bytes, at).ok_or_else(broken)?;
        at += RECORD_HEADER_BYTES;
        let payload_end = at.checked_add(len_bytes as usize).filter(|to| *to <= end).ok_or_else(broken)?;
        let payload = bytes.get(at..payload_end).ok_or_else(broken)?;
        each(Location { position: header.base.plus(at as u64), len_bytes }, payload)?;
        at = payload_end;
    }
    Ok(())
}
