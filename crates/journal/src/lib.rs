//! The journal: the one place where a partition's facts become durable.
//!
//! Here live the [`Journal`] trait with its contract, the framing of batches ([`BatchBuilder`]), the
//! memory journal ([`memory`]) and the suite that every implementation passes ([`conformance`]). No
//! disk, network, thread or clock: `journal-file` (and later `journal-object`) bring those. The engine
//! is the only caller; what a record means is its business and never looked at here.
//!
//! # The contract
//!
//! ```text
//!  position 0                                                                              end()
//!     │ removed segment │ sealed segment      │ sealed segment          │ active segment     │
//!     ├─ ─ ─ ─ ─ ─ ─ ─ ─┼──────────┬──────────┼───────┬─────────┬───────┼──────────┬─────────┤
//!     ╎    (all dead)   │ batch    │ batch    │ batch │ batch   │ batch │ batch    │ batch   │→ next base
//!     └─ ─ ─ ─ ─ ─ ─ ─ ─┴──────────┴──────────┴───────┴────▲────┴───────┴──────────┴─────────┘
//!                                                          │
//!                                   snapshot: state that holds everything left of this
//!                                   position; recovery = snapshot + the records right of it
//!
//!  one batch:  ┌────────┬─────┬───────────┬─────┬───────────┬─────┐
//!              │ header │ len │ payload   │ len │ payload   │ pad │   positions count all of these bytes
//!              └────────┴─────┴─────▲─────┴─────┴───────────┴─────┘   and nothing else
//!                                   └ Location { position, len_bytes }: readable as long as its segment exists
//! ```
//!
//! 1. **Positions** are byte offsets over the whole life of a journal. They only grow; each batch begins
//!    where the one before ended, also across segments, so whoever builds batches knows the base of the
//!    next one, and the [`Location`] of each record in it, before the current one is durable.
//! 2. **One writer.** A [`Journal`] is used by one thread. Opening it took whatever excludes a second
//!    writer (a lock on the directory, an epoch in an object store) and chose an [`Epoch`] that no earlier
//!    opening had.
//! 3. **Two stages.** When [`Journal::write`] has returned `Ok`, the batch is in the system's hands: it can be read, and it
//!    survives the death of the process. When a sync that began after that has returned `Ok` ([`Journal::sync`],
//!    [`Housekeeping::sync`] from any thread, or [`Journal::append`], which is both), it is on stable storage, which
//!    [`Journal::durable`] says too. A batch is there whole or not at all, and only with all batches before it. After the
//!    death of the process the batch whose `write` did not return may be there or not; after that of the machine those from
//!    [`Journal::durable`] on may be, up to any one of them. Nothing is there that nobody wrote. A batch says in its header how far
//!    storage had got when it was written ([`BatchBuilder::set_durable`]): so recovery can tell what was never
//!    promised from what was damaged.
//! 4. **A failure is final.** After [`JournalError::Failed`] or [`JournalError::Fenced`] each later write and sync
//!    returns the same error: what reached storage is unknown, only recovery can tell. The exception is
//!    [`JournalError::Full`]: nothing of the batch counts, the journal stays usable, and the next batch must
//!    start at [`Journal::end`] again. Batches flagged *essential* (acknowledgements, which lead to free space)
//!    may use a reserve that other batches are refused.
//! 5. **Reading never writes.** A [`JournalReader`] may be used from any number of threads while the writer
//!    writes. [`JournalReader::read`] returns the bytes of a location without looking at checksums (a
//!    location may be a part of a record); [`JournalReader::scan`] checks every batch it passes.
//! 6. **A segment goes whole.** [`Housekeeping::remove_segment`] takes a sealed segment that the newest
//!    snapshot covers. The caller vouches that nothing in it is live, and that the records that say so are durable. Before a segment is sealed
//!    it is synced. Holes left of the snapshot are
//!    therefore normal, holes right of it are corruption.
//! 7. **A snapshot is atomic.** It counts when [`Housekeeping::write_snapshot`] has returned `Ok`; until then
//!    the previous one does. One older snapshot is kept, for the day the newest cannot be read. To the
//!    journal it is a sequence of opaque records, streamed in and out, never whole in memory.
//! 8. **Only a torn tail is repaired:** a broken batch in the newest segment, when no valid one follows that was written
//!    after it had become durable; all from there on is given up. No sync had returned `Ok` for it, so nothing promised is lost. Any other damage
//!    makes opening fail with [`JournalError::Corrupt`], which names file and offset.

mod batch;
pub mod conformance;
mod error;
pub mod frame;
mod journal;
pub mod memory;
mod position;

pub use batch::{ATTACHED_BYTES_MIN, BatchBuilder, SLACK_BYTES, SealedBatch};
pub use error::{JournalError, JournalErrorKind};
pub use journal::{
    EachRecord, EachSnapshotRecord, Housekeeping, Journal, JournalReader, Opened, Recovery, SegmentInfo,
    SnapshotSink, SnapshotSource, TornTail,
};
pub use memory::{MemoryJournal, MemoryStore};
pub use position::{Epoch, Location, Position};
