//! Work beside the appends: snapshots are written and dead segments removed here, on a thread of its own, so that neither
//! the partition nor the appends wait for it.

use std::time::{Duration, Instant};

use baton_journal::{Housekeeping, JournalError, Position};

/// Something to do.
#[derive(Debug)]
pub enum KeeperJob {
    /// Bring everything that is written to stable storage, while more is written.
    Sync,
    /// Write this snapshot; everything before its position is durable.
    Snapshot {
        /// Where replay goes on.
        position: Position,
        /// What was encoded.
        records: Vec<Vec<u8>>,
    },
    /// Remove this dead segment.
    Remove {
        /// Its base.
        base: Position,
    },
}

/// What became of it.
#[derive(Debug)]
pub enum Kept {
    /// A sync: up to where, or why not.
    Synced(Result<Position, JournalError>),
    /// A snapshot.
    Snapshot {
        /// Its position.
        position: Position,
        /// Its size.
        bytes: u64,
        /// How long writing took.
        took: Duration,
        /// Whether it counts now.
        result: Result<(), JournalError>,
    },
    /// A segment.
    Removed {
        /// Its base.
        base: Position,
        /// Whether it is gone.
        result: Result<(), JournalError>,
    },
}

/// Does one job. Blocks.
pub(crate) fn perform(housekeeping: &dyn Housekeeping, job: KeeperJob) -> Kept {
    match job {
        KeeperJob::Sync => Kept::Synced(housekeeping.sync()),
        KeeperJob::Snapshot { position, records } => {
            let started = Instant::now();
            let bytes = records.iter().map(|record| record.len() as u64).sum();
            let mut records = records.into_iter();
            let result = housekeeping.write_snapshot(position, &mut |sink| {
                // Each is dropped as soon as it is written.
                records.by_ref().try_for_each(|record| sink.record(&record))
            });
            Kept::Snapshot { position, bytes, took: started.elapsed(), result }
        }
        KeeperJob::Remove { base } => Kept::Removed { base, result: housekeeping.remove_segment(base) },
    }
}
