//! Why bytes are not a record or a snapshot item.

use std::fmt;

/// What is wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// Bytes in front of what is wrong, counted from the start of the record or item.
    pub offset: usize,
    /// What is wrong there.
    pub defect: Defect,
}

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// The bytes end too early.
    Truncated,
    /// A kind that this version does not know: damage, or a newer Baton wrote it.
    UnknownKind(u8),
    /// Flags or presence bits that this version does not know: damage, or a newer Baton wrote them.
    UnknownBits(u64),
    /// A code without a meaning, or a number out of range.
    BadValue(&'static str),
    /// A name that is not UTF-8.
    NotUtf8,
    /// Bytes behind the end.
    Trailing,
    /// Bytes that are not what was written.
    Checksum,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newer = "damage, or a newer Baton wrote it: examine it with `baton doctor`, or use that version";
        match self.defect {
            Defect::Truncated => write!(f, "it ends too early")?,
            Defect::UnknownKind(kind) => write!(f, "kind {kind} is not known ({newer})")?,
            Defect::UnknownBits(bits) => write!(f, "bits {bits:#x} are not known ({newer})")?,
            Defect::BadValue(what) => write!(f, "not a valid {what}")?,
            Defect::NotUtf8 => write!(f, "a name is not UTF-8")?,
            Defect::Trailing => write!(f, "bytes follow its end")?,
            Defect::Checksum => write!(f, "the checksum does not match: damage")?,
        }
        write!(f, ", at byte {}", self.offset)
    }
}

impl std::error::Error for DecodeError {}
