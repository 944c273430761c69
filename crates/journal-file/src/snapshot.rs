//! Snapshot files: a header and checksummed blocks of records, streamed in both directions. Which snapshot counts
//! is decided in `survey`, when one is written in `housekeeping`. Bytes: `docs/formats/journal.md`.

use std::io;
use std::sync::Arc;

use baton_journal::frame::{RECORD_BYTES_MAX, RECORD_HEADER_BYTES, crc32c};
use baton_journal::{EachSnapshotRecord, JournalError, Position, SnapshotSink, SnapshotSource};

use crate::disk::{Disk, DiskFile, is_full};
use crate::layout::{TEMPORARY_SUFFIX, field, snapshot_name};
use crate::scan::unreadable;

/// Version of snapshot files, and the newest one that is read.
const SNAPSHOT_VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"BATONSNP";
const HEADER_BYTES: usize = 32;
const BLOCK_HEADER_BYTES: usize = 16;
/// A block is written when it has reached this; only a record larger than this makes a larger block.
const BLOCK_BYTES: usize = 256 << 10;
const KIND_RECORDS: u32 = 0;
const KIND_END: u32 = 1;

fn failed(during: &'static str, file: &str, source: io::Error) -> JournalError {
    JournalError::Failed { during, file: file.to_owned(), source: Arc::new(source) }
}

struct Sink<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
    offset: u64,
    block: Vec<u8>,
    sequence: u32,
    record_count: u64,
    free_bytes: &'a dyn Fn() -> u64,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_at(self.offset, bytes).map_err(|error| match is_full(&error) {
            true => JournalError::Full {
                needed_bytes: bytes.len() as u64,
                free_bytes: (self.free_bytes)(),
                reserve_bytes: 0,
            },
            false => failed("writing a snapshot", self.name, error),
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn end_block(&mut self, kind: u32) -> Result<(), JournalError> {
        let mut block = std::mem::take(&mut self.block);
        let payload_bytes = block.len().saturating_sub(BLOCK_HEADER_BYTES);
        let payload_bytes = u32::try_from(payload_bytes).expect("a block is one record or 256 KiB");
        let mut fill = |at: usize, bytes: [u8; 4]| {
            if let Some(to) = block.get_mut(at..at + 4) {
                to.copy_from_slice(&bytes);
            }
        };
        fill(4, payload_bytes.to_le_bytes());
        fill(8, self.sequence.to_le_bytes());
        fill(12, kind.to_le_bytes());
        let crc = crc32c(block.get(4..).unwrap_or_default());
        if let Some(to) = block.get_mut(..4) {
            to.copy_from_slice(&crc.to_le_bytes());
        }
        self.write(&block)?;
        self.sequence = self.sequence.wrapping_add(1);
        block.clear();
        block.resize(BLOCK_HEADER_BYTES, 0);
        self.block = block;
        Ok(())
    }
}

impl SnapshotSink for Sink<'_> {
    fn record(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        let len = payload.len();
        let too_large = || JournalError::TooLarge { bytes: len as u64, bytes_max: RECORD_BYTES_MAX as u64 };
        let len_bytes = u32::try_from(len).ok().filter(|_| len <= RECORD_BYTES_MAX).ok_or_else(too_large)?;
        if self.block.len() > BLOCK_HEADER_BYTES && self.block.len() + len > BLOCK_BYTES {
            self.end_block(KIND_RECORDS)?;
        }
        self.block.extend_from_slice(&len_bytes.to_le_bytes());
        self.block.extend_from_slice(payload);
        self.record_count += 1;
        Ok(())
    }
}

fn encode_header(position: Position) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let mut fill = |at: usize, bytes: &[u8]| {
        if let Some(to) = header.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    fill(0, &MAGIC);
    fill(12, &SNAPSHOT_VERSION.to_le_bytes());
    fill(16, &position.0.to_le_bytes());
    let crc = crc32c(header.get(12..).unwrap_or_default());
    if let Some(to) = header.get_mut(8..12) {
        to.copy_from_slice(&crc.to_le_bytes());
    }
    header
}

fn write_file(
    disk: &dyn Disk,
    name: &str,
    position: Position,
    source: &mut SnapshotSource<'_>,
) -> Result<(), JournalError> {
    let free_bytes = || disk.free_bytes().unwrap_or(0);
    let file = disk.create(name).map_err(|error| match is_full(&error) {
        true => JournalError::Full { needed_bytes: 0, free_bytes: free_bytes(), reserve_bytes: 0 },
        false => failed("creating a snapshot", name, error),
    })?;
    let block = vec![0; BLOCK_HEADER_BYTES];
    let mut sink = Sink {
        file: file.as_ref(),
        name,
        offset: 0,
        block,
        sequence: 0,
        record_count: 0,
        free_bytes: &free_bytes,
    };
    sink.write(&encode_header(position))?;
    source(&mut sink)?;
    if sink.block.len() > BLOCK_HEADER_BYTES {
        sink.end_block(KIND_RECORDS)?;
    }
    let record_count = sink.record_count;
    sink.block.extend_from_slice(&record_count.to_le_bytes());
    sink.end_block(KIND_END)?;
    file.sync_data().map_err(|e| failed("fdatasync", name, e))
}

/// Writes the snapshot for `position` so that it is there whole or not at all; durable on return.
pub(crate) fn write(
    disk: &dyn Disk,
    position: Position,
    source: &mut SnapshotSource<'_>,
) -> Result<(), JournalError> {
    let name = snapshot_name(position);
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    if let Err(error) = write_file(disk, &temporary, position, source) {
        // What cannot be removed now is removed at the next opening.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.rename(&temporary, &name).map_err(|e| failed("renaming a snapshot", &name, e))?;
    disk.sync_dir().map_err(|e| failed("syncing the directory", &disk.name(), e))
}

struct Reader {
    file: Arc<dyn DiskFile>,
    name: String,
    offset: u64,
}

impl Reader {
    fn corrupt(&self, what: &str) -> JournalError {
        JournalError::Corrupt { file: self.name.clone(), offset: self.offset, what: what.to_owned() }
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<(), JournalError> {
        let count = self.file.read_at(self.offset, buf).map_err(|e| unreadable(&self.name, e))?;
        if count < buf.len() {
            return Err(self.corrupt("the snapshot ends early"));
        }
        Ok(())
    }

    fn header(&mut self, position: Position) -> Result<(), JournalError> {
        let mut header = [0; HEADER_BYTES];
        self.read(&mut header)?;
        let version = u16::from_le_bytes(field(&header, 12));
        if field::<8>(&header, 0) != MAGIC {
            return Err(self.corrupt("it does not begin with the header of a snapshot"));
        }
        if version > SNAPSHOT_VERSION {
            let file = self.name.clone();
            return Err(JournalError::Unsupported { file, version, version_max: SNAPSHOT_VERSION });
        }
        if header != encode_header(position) {
            return Err(self.corrupt("the header of the snapshot is damaged or of another position"));
        }
        self.offset = HEADER_BYTES as u64;
        Ok(())
    }

    /// Reads the next block into `block`, checked; its kind.
    fn block(&mut self, sequence: u32, block: &mut Vec<u8>) -> Result<u32, JournalError> {
        let mut header = [0; BLOCK_HEADER_BYTES];
        self.read(&mut header)?;
        let payload_bytes = u32::from_le_bytes(field(&header, 4)) as usize;
        if payload_bytes > RECORD_BYTES_MAX + RECORD_HEADER_BYTES + BLOCK_BYTES {
            return Err(self.corrupt("a block of the snapshot claims an impossible length"));
        }
        // A damaged length must not take memory that the file could never fill.
        let file_bytes = self.file.len_bytes().map_err(|e| unreadable(&self.name, e))?;
        if self.offset + (BLOCK_HEADER_BYTES + payload_bytes) as u64 > file_bytes {
            return Err(self.corrupt("the file ends within a block of the snapshot"));
        }
        block.clear();
        block.resize(BLOCK_HEADER_BYTES + payload_bytes, 0);
        self.read(block)?;
        if crc32c(block.get(4..).unwrap_or_default()) != u32::from_le_bytes(field(block, 0)) {
            return Err(self.corrupt("the checksum of a block of the snapshot does not match"));
        }
        if u32::from_le_bytes(field(block, 8)) != sequence {
            return Err(self.corrupt("a block of the snapshot is out of order"));
        }
        Ok(u32::from_le_bytes(field(block, 12)))
    }

    fn records(&self, block: &[u8], each: &mut EachSnapshotRecord<'_>) -> Result<u64, JournalError> {
        let mut count = 0;
        let mut rest = block.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
        while !rest.is_empty() {
            let broken = || self.corrupt("the records do not fill a block of the snapshot");
            let (len, behind) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            let (record, behind) =
                behind.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(broken)?;
            each(record)?;
            count += 1;
            rest = behind;
        }
        Ok(count)
    }
}

/// Hands every record of the snapshot for `position` to `each`; the number of records. Every block is checked
/// before its records are handed over, and the end of the file before this returns.
pub(crate) fn read(
    disk: &dyn Disk,
    position: Position,
    each: &mut EachSnapshotRecord<'_>,
) -> Result<u64, JournalError> {
    let name = snapshot_name(position);
    let file = disk.open(&name).map_err(|e| unreadable(&name, e))?;
    let mut reader = Reader { file, name, offset: 0 };
    reader.header(position)?;
    let mut block = Vec::new();
    let mut count = 0u64;
    for sequence in 0..=u32::MAX {
        match reader.block(sequence, &mut block)? {
            KIND_RECORDS => count += reader.records(&block, each)?,
            KIND_END if block.len() == BLOCK_HEADER_BYTES + 8 => {
                let expected = u64::from_le_bytes(field(&block, BLOCK_HEADER_BYTES));
                let complete = expected == count;
                let short = || reader.corrupt("the snapshot does not have as many records as it says");
                return complete.then_some(count).ok_or_else(short);
            }
            _ => return Err(reader.corrupt("a block of the snapshot is of an unknown kind")),
        }
        reader.offset += block.len() as u64;
    }
    Err(reader.corrupt("the snapshot does not end"))
}
