//! Why an engine did not start.

use baton_core::codec::DecodeError;
use baton_journal::JournalError;

/// Failure to start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be read back; the text says what to do about it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot holds something that is no item of a snapshot: damage, or a newer Baton wrote it. Start that version, or
    /// examine the directory with `baton doctor`.
    #[error("record {record} of the snapshot was not understood: {source}")]
    Snapshot {
        /// Which record, counted from 0.
        record: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// A page of an index that is needed at once cannot be read: damage. Examine the directory with `baton doctor`.
    #[error("{0}; examine the data directory with `baton doctor`")]
    Page(baton_core::Unreadable),
    /// The records contradict each other: a bug. Keep the directory and report it.
    #[error("the journal could not be folded into a state: {0}; keep the data directory and report this")]
    Broken(String),
    /// The system did not give a thread.
    #[error("could not start a thread: {0}; check the limits of this process")]
    Thread(std::io::Error),
}
