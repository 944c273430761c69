//! Snapshots: when one is due, and its records.
//!
//! Each record of a snapshot is a version byte and then items, each behind its length (u32 LE). Items are described in
//! `docs/formats/records.md`.

use baton_core::codec;
use baton_core::snapshot::Item;
use baton_journal::{JournalError, Position};
use baton_model::Time;

use crate::Machine;
use crate::error::EngineError;

/// First byte of each record of a snapshot.
const VERSION: u8 = 1;
/// Items are gathered into records of about this size.
const RECORD_BYTES: usize = 256 << 10;

/// A snapshot is due when the journal has grown by so many times its size. The partition stands still while one is encoded
/// (about 5 ns a byte), so it must be rare beside the messages that come in. A deep queue is a few bytes a page in it.
const GROWTH: u64 = 32;
/// Beyond this growth, bytes, twice its size is enough: so much is replayed in about half a second.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

/// From one snapshot to another that only gives space back, there is at least so much time, milliseconds,
const PAUSE_MS_MIN: u64 = 1_000;
/// and a millisecond for so many bytes of the last one: fifty times what encoding it takes.
const PAUSE_BYTES_PER_MS: u64 = 4_000;
/// When the journal holds more than it should, less is enough: milliseconds, and five times what encoding takes.
const URGENT_PAUSE_MS_MIN: u64 = 10;
const URGENT_PAUSE_BYTES_PER_MS: u64 = 40_000;

/// When the next snapshot is due.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the newest snapshot (or the newest attempt) stands.
    pub(crate) last_position: Position,
    /// How large it was.
    pub(crate) last_bytes: u64,
    /// The position that the newest durable snapshot covers.
    pub(crate) covered: Position,
    /// One waits to be written, or is being written.
    pub(crate) under_way: bool,
    /// One is wanted, though the journal has not grown enough: dead segments wait for it, or pages that were given up.
    pub(crate) wanted: bool,
    /// When the newest one began.
    pub(crate) begun_at: Time,
    grow_min: u64,
}

impl Plan {
    pub(crate) fn new(covered: Position, last_bytes: u64, grow_min: u64, now: Time) -> Self {
        Self {
            last_position: covered,
            last_bytes,
            covered,
            under_way: false,
            wanted: false,
            begun_at: now,
            grow_min,
        }
    }

    /// Whether another one, only to give space back, would not take too much of the time.
    pub(crate) fn has_rested(&self, now: Time, urgent: bool) -> bool {
        let pause_ms = match urgent {
            true => URGENT_PAUSE_MS_MIN.max(self.last_bytes / URGENT_PAUSE_BYTES_PER_MS),
            false => PAUSE_MS_MIN.max(self.last_bytes / PAUSE_BYTES_PER_MS),
        };
        now.since_ms(self.begun_at) >= pause_ms
    }

    /// What is covered when those that were begun are written.
    pub(crate) fn will_cover(&self) -> Position {
        if self.under_way { self.last_position.max(self.covered) } else { self.covered }
    }

    /// Whether a journal that ends at `end` has grown enough.
    pub(crate) fn is_due(&self, end: Position) -> bool {
        let grown = end.since(self.last_position);
        let twice = self.last_bytes.saturating_mul(2);
        let many = self.last_bytes.saturating_mul(GROWTH).min(twice.max(GROWTH_BYTES_MAX));
        !self.under_way && (self.wanted && grown > 0 || grown >= self.grow_min.max(many))
    }
}

/// The records of a snapshot of all durable state.
pub(crate) fn encode(machine: &Machine) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    machine.snapshot(&mut |item| {
        if record.is_empty() {
            record.reserve_exact(RECORD_BYTES + RECORD_BYTES / 4);
            record.push(VERSION);
        }
        let at = record.len();
        record.extend_from_slice(&[0; 4]);
        codec::encode_item(&item, &mut record);
        let len = u32::try_from(record.len() - at - 4).expect("an item has names and numbers, no contents");
        if let Some(slot) = record.get_mut(at..at + 4) {
            slot.copy_from_slice(&len.to_le_bytes());
        }
        if record.len() >= RECORD_BYTES {
            records.push(std::mem::take(&mut record));
        }
    });
    if !record.is_empty() {
        records.push(record);
    }
    records
}

/// Hands over the items of one record of a snapshot, the `number`th.
pub(crate) fn decode(
    record: &[u8],
    number: u64,
    each: &mut dyn FnMut(Item) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let damaged = |offset, defect| EngineError::Snapshot {
        record: number,
        source: codec::DecodeError { offset, defect },
    };
    let Some((&VERSION, mut rest)) = record.split_first() else {
        let version = record.first().copied().unwrap_or_default();
        return Err(damaged(0, codec::Defect::UnknownKind(version)));
    };
    while !rest.is_empty() {
        let at = record.len() - rest.len();
        let truncated = || damaged(at, codec::Defect::Truncated);
        let (len, behind) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (item, behind) = behind.split_at_checked(len).ok_or_else(truncated)?;
        each(codec::decode_item(item).map_err(|error| damaged(at + 4 + error.offset, error.defect))?)?;
        rest = behind;
    }
    Ok(())
}

/// Turns an error of ours into one that a journal's reader may return.
pub(crate) fn not_understood(position: Position, error: &dyn std::fmt::Display) -> JournalError {
    JournalError::NotUnderstood { position, why: error.to_string() }
}
