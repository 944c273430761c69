//! What a partition tells about itself while it runs. The partition counts in plain numbers and publishes them once per
//! turn; readers take a snapshot. Numbers of single queues come from the core, through `Request::Catalog`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How a partition is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Health {
    /// It works.
    #[default]
    Running,
    /// The disk is full: publishes are refused, consumers drain. Passes by itself when there is space.
    DiskFull,
    /// It has stopped for good and refuses everything: why.
    Stopped(String),
    /// It was shut down in order.
    ShutDown,
}

/// Number of buckets of [`Stats::append_us`].
pub const APPEND_BUCKETS: usize = 24;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Numbers of a partition since it started, at one moment.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Appends (writes with their syncs) by how long they took: bucket `i` counts those below 2^i microseconds that are in no
            /// lower bucket; the last one counts all longer ones.
            pub append_us: [u64; APPEND_BUCKETS],
        }

        /// The partition's own, plain.
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $(pub(crate) $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($name: AtomicU64,)* pub(crate) appends: Appends, health: Mutex<Health> }

        impl Counters {
            pub(crate) fn publish(&self, counts: &Counts) {
                $(self.$name.store(counts.$name, Ordering::Relaxed);)*
            }

            pub(crate) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* append_us: self.appends.read() }
            }
        }
    };
}

counters! {
    /// Messages taken in.
    published,
    /// Of these, those that reached no queue.
    unroutable,
    /// Requests refused, by the core or before it (disk full, stopped, too large).
    refused,
    /// Publishes that repeated an earlier one, by their dedup id.
    duplicates,
    /// Deliveries handed over, those of fetches included.
    delivered,
    /// Of these, those that were not the message's first.
    redelivered,
    /// Deliveries settled as done.
    completed,
    /// Deliveries that went back.
    released,
    /// Messages moved to dead-letter queues.
    dead_lettered,
    /// Messages whose time to live ended.
    expired,
    /// Messages dropped from full queues, or with nowhere to go.
    dropped,
    /// Queues now.
    queues,
    /// Messages now, each counted once however many queues hold it.
    messages,
    /// Consumers now.
    consumers,
    /// Connections now.
    connections,
    /// Turns: how often the partition woke up and worked.
    turns,
    /// Batches sealed, each one write.
    batches,
    /// Records in them.
    records,
    /// Bytes of them, framing included.
    batch_bytes,
    /// The largest of them, bytes.
    batch_bytes_max,
    /// Syncs: of batches that somebody waited for, and of what was written meanwhile.
    syncs,
    /// The journal's end: bytes over its whole life.
    journal_end,
    /// How much of that is on stable storage.
    journal_durable,
    /// Bytes of contents that messages refer to.
    live_bytes,
    /// Bytes of contents that are in memory.
    resident_bytes,
    /// Messages whose index is in memory.
    indexed_messages,
    /// Bytes of the journal on disk: of all segments, as far as they are written.
    disk_bytes,
    /// Bytes of contents and pages copied forward, so that the segments they lay in can go.
    rewritten_bytes,
    /// How often contents were read back from storage.
    chunks_read,
    /// Snapshots written.
    snapshots,
    /// Size of the last one, bytes.
    snapshot_bytes,
    /// How long the partition stood still for the last one, microseconds.
    snapshot_pause_us,
    /// How long writing the last one took, microseconds.
    snapshot_write_us,
    /// Segments removed.
    segments_removed,
    /// Connections that deliveries are paused to, because they read too slowly: how often that began.
    pauses,
    /// 1 while the disk is full.
    disk_full,
    /// 1 while producers are kept back because memory is short.
    memory_alarm,
    /// 1 while producers are kept back because disk space is short.
    disk_alarm,
    /// How often it began that producers were kept back.
    blocks,
    /// Publishes that wait until producers may go on.
    held,
    /// Records replayed when the partition started.
    recovered_records,
    /// How long that took, with the snapshot, microseconds.
    recovery_us,
}

/// How long appends take; written by whoever appends.
#[derive(Debug, Default)]
pub(crate) struct Appends {
    buckets: [AtomicU64; APPEND_BUCKETS],
    average_us: AtomicU64,
}

impl Appends {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        if let Some(count) = self.buckets.get(bucket.min(APPEND_BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let average = self.average_us.load(Ordering::Relaxed);
        let moved = if average == 0 { us } else { average - average / 8 + us / 8 };
        self.average_us.store(moved, Ordering::Relaxed);
    }

    /// The moving average over about eight appends. Zero before the first.
    pub(crate) fn average(&self) -> Duration {
        Duration::from_micros(self.average_us.load(Ordering::Relaxed))
    }

    fn read(&self) -> [u64; APPEND_BUCKETS] {
        std::array::from_fn(|i| self.buckets.get(i).map_or(0, |count| count.load(Ordering::Relaxed)))
    }
}

impl Counters {
    pub(crate) fn set_health(&self, health: Health) {
        *self.health.lock() = health;
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }
}
