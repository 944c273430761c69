//! Names of places in a journal: positions, locations, and the epoch of a writer. No behaviour beyond
//! arithmetic. Used by everything that speaks to a journal.

use std::fmt;

/// A byte offset over the whole life of a journal; only framed batch bytes (padding included) are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// Where every journal begins.
    pub const START: Self = Self(0);

    /// The position `len_bytes` later. Saturates: 2^64 bytes are never written.
    #[must_use]
    pub const fn plus(self, len_bytes: u64) -> Self {
        Self(self.0.saturating_add(len_bytes))
    }

    /// Bytes from `earlier` to here; 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A range of bytes inside one record, by which a message body is read back without parsing anything.
/// Valid as long as the segment that holds it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Where the first byte is.
    pub position: Position,
    /// How many bytes; 0 is legal and reads as nothing.
    pub len_bytes: u32,
}

impl Location {
    /// The part of this location that begins `offset_bytes` in and has `len_bytes` bytes, or `None`
    /// when it would reach beyond the location.
    #[must_use]
    pub fn part(self, offset_bytes: u32, len_bytes: u32) -> Option<Self> {
        let end = offset_bytes.checked_add(len_bytes)?;
        (end <= self.len_bytes)
            .then(|| Self { position: self.position.plus(u64::from(offset_bytes)), len_bytes })
    }

    /// The position behind the last byte.
    #[must_use]
    pub fn end(self) -> Position {
        self.position.plus(u64::from(self.len_bytes))
    }
}

/// Names one opening of a journal for writing. No two openings share it, and no outsider can guess it: a
/// message body that imitates a batch is not taken for one, because the epoch in it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
