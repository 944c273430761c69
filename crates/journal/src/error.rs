//! What can go wrong with a journal, and what to do about it. One enum for the trait and all its
//! implementations; the engine decides by [`JournalError::kind`].

use std::io;
use std::sync::Arc;

use crate::{Epoch, Position};

/// Failure of a journal operation. Cheap to clone, because a poisoned journal repeats its error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// No space for this batch (or snapshot). Nothing of it counts and the journal stays usable: refuse
    /// publishes, let consumers drain, free disk space; it recovers by itself.
    #[error(
        "the disk is full: {needed_bytes} bytes wanted, {free_bytes} free, {reserve_bytes} kept in reserve; \
         free disk space or let consumers drain the queues"
    )]
    Full {
        /// Bytes that would have to be written.
        needed_bytes: u64,
        /// Bytes the file system has left.
        free_bytes: u64,
        /// Bytes that only essential batches may use.
        reserve_bytes: u64,
    },
    /// Storage failed while writing or syncing; the journal is poisoned. What reached storage is
    /// unknown: examine the disk (system log), then restart the broker so that it recovers from what is there.
    #[error(
        "{during} failed on {file}: {source}; the journal stops here, check the disk and the system log, \
         then restart the broker"
    )]
    Failed {
        /// The operation, for example `fdatasync`.
        during: &'static str,
        /// The file it was done to.
        file: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another writer has taken over. Step down and let nothing leave that depends on this journal.
    #[error("another writer took over this journal from epoch {epoch}; this one must stop")]
    Fenced {
        /// The epoch that is no longer valid.
        epoch: Epoch,
    },
    /// A second process uses the directory. Stop that one, or give this one a directory of its own.
    #[error("{directory} is in use by {holder}; stop it, or choose another data directory")]
    Locked {
        /// The directory.
        directory: String,
        /// Who holds it, for example `process 4711`.
        holder: String,
    },
    /// Stored bytes are damaged beyond what a crash explains. Run `baton doctor` on the directory and
    /// restore from a copy; nothing is repaired by guessing.
    #[error("{file} is damaged at offset {offset}: {what}; examine the directory with `baton doctor`")]
    Corrupt {
        /// The segment or snapshot file.
        file: String,
        /// Byte offset within that file.
        offset: u64,
        /// What was expected there and what was found.
        what: String,
    },
    /// The file was written by a newer Baton. Use that version, or a newer one.
    #[error("{file} has format version {version}, this Baton reads up to {version_max}; use a newer Baton")]
    Unsupported {
        /// The file.
        file: String,
        /// The version found in it.
        version: u16,
        /// The newest version this build knows.
        version_max: u16,
    },
    /// Reading failed, the writer is not affected. Retry; if it stays, check the disk.
    #[error("reading {file} failed: {source}; check the disk and the permissions")]
    Unreadable {
        /// The file (or directory).
        file: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Nothing is stored there: not yet written, or the segment was removed.
    #[error("the journal holds nothing at position {position}")]
    NotFound {
        /// The position asked for.
        position: Position,
    },
    /// A record or batch beyond the limit. Refuse the message.
    #[error("{bytes} bytes are more than the journal takes at once ({bytes_max})")]
    TooLarge {
        /// Bytes asked for.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A batch was built for another place or another writer: a bug of the caller, nothing was written.
    #[error("a batch for {got} (epoch {got_epoch}) was appended where {expected} (epoch {epoch}) was due")]
    OutOfSequence {
        /// Where the journal ends.
        expected: Position,
        /// The epoch of this opening.
        epoch: Epoch,
        /// The base of the batch.
        got: Position,
        /// The epoch of the batch.
        got_epoch: Epoch,
    },
    /// A batch claims that more is durable than is: a bug of the caller, nothing was written.
    #[error(
        "a batch claims that everything before {claimed} is durable, but only what precedes {durable} is"
    )]
    NotDurable {
        /// What it claims.
        claimed: Position,
        /// How far storage got.
        durable: Position,
    },
    /// The segment cannot be removed; keep it and ask again later.
    #[error("segment {base} stays: {why}")]
    NotRemovable {
        /// The segment.
        base: Position,
        /// Which condition is not met.
        why: &'static str,
    },
    /// A snapshot for a position where none may be.
    #[error("no snapshot at {position}: {why}")]
    SnapshotRefused {
        /// The position asked for.
        position: Position,
        /// Which condition is not met.
        why: &'static str,
    },
    /// The reader of a record (the engine) did not accept its content: it was written by a newer Baton, or there
    /// is a bug. Do not go on with half a state.
    #[error("the content of the record at {position} was not understood: {why}")]
    NotUnderstood {
        /// The record; for records of a snapshot, the snapshot's position.
        position: Position,
        /// The reader's reason.
        why: String,
    },
}

/// What the caller should do about a [`JournalError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JournalErrorKind {
    /// Ask again later, against a recovered journal if this one is poisoned.
    Retry,
    /// The request can never succeed on this version.
    Invalid,
    /// There is nothing at that place.
    NotFound,
    /// Someone or something else is in the way.
    Conflict,
    /// A limit or the disk is reached; refuse new work, finish old work.
    Limit,
    /// Stop writing for ever.
    Fenced,
    /// Stored data is damaged; stop and examine.
    Corrupt,
    /// A bug in Baton.
    Bug,
}

impl JournalError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> JournalErrorKind {
        match self {
            Self::Full { .. } | Self::TooLarge { .. } => JournalErrorKind::Limit,
            Self::Failed { .. } | Self::Unreadable { .. } => JournalErrorKind::Retry,
            Self::Fenced { .. } => JournalErrorKind::Fenced,
            Self::Locked { .. } | Self::NotRemovable { .. } => JournalErrorKind::Conflict,
            Self::Corrupt { .. } => JournalErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::NotUnderstood { .. } => JournalErrorKind::Invalid,
            Self::NotFound { .. } => JournalErrorKind::NotFound,
            Self::OutOfSequence { .. } | Self::NotDurable { .. } | Self::SnapshotRefused { .. } => {
                JournalErrorKind::Bug
            }
        }
    }

    /// Whether every later append will return this error too.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Fenced { .. })
    }
}
