//! What can be configured about a partition, and its limits with their reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_model::Name;

/// How a partition runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Feeds the jitter of retries. Default 0; the binary takes it from the system.
    pub seed: u64,
    /// How long records that nobody waits for (leases, settles without a token) wait for a batch to ride with, milliseconds.
    /// Default 5: at a low rate it saves the syncs of acknowledgements, and a crash redelivers that much more at most.
    pub linger_ms: u64,
    /// What must be durable before a client is told.
    pub sync: SyncPolicy,
    /// A batch is sealed when it has so many bytes. Default 8 MiB: a tenth of a second of a slow disk; bounds what
    /// two batches hold in memory.
    pub batch_bytes_max: usize,
    /// A snapshot is taken when the journal has grown by so many bytes (or eight times the last snapshot) since the last one.
    /// Default 32 MiB, half a segment: replayed in a fraction of a second, and a segment that is dead comes back as the next one
    /// before it is needed.
    pub snapshot_bytes_min: u64,
    /// Contents kept in memory, bytes; beyond that they are read back from the journal. Default 64 MiB: consumers that keep up
    /// never wait for the disk.
    pub resident_bytes_max: u64,
    /// Messages of which the index is kept in memory, about; pages of it beyond lie in the journal. Default 128 Ki, about 20 MiB.
    pub index_messages_max: u64,
    /// How often a full disk is tried again, milliseconds. Default 1000.
    pub full_probe_ms: u64,
    /// Below this average time of an append an idle partition writes by itself instead of waking another thread.
    /// Default 500 µs: what a wake-up costs on a busy machine is a good part of that. Zero: never.
    pub inline_append_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            linger_ms: 5,
            sync: SyncPolicy::default(),
            batch_bytes_max: 8 << 20,
            snapshot_bytes_min: 32 << 20,
            resident_bytes_max: 64 << 20,
            index_messages_max: 128 << 10,
            full_probe_ms: 1000,
            inline_append_max: Duration::from_micros(500),
        }
    }
}

/// When what the clients of a namespace are told is brought to stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// Before they are told: it survives whatever happens to the machine.
    #[default]
    Always,
    /// They are told when it is written, which survives the end of the process, and within so many milliseconds it is on stable
    /// storage: a power failure may cost what was told in that time.
    Interval(u64),
}

/// Which namespace is synced how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPolicy {
    /// Those that are not named.
    pub others: Sync,
    /// By name.
    pub namespaces: BTreeMap<Name, Sync>,
}

impl SyncPolicy {
    /// How a namespace is synced.
    #[must_use]
    pub fn of(&self, namespace: &Name) -> Sync {
        self.namespaces.get(namespace).copied().unwrap_or(self.others)
    }

    /// The longest interval of all. `None`: everything is synced before it is told.
    pub(crate) fn interval_ms_max(&self) -> Option<u64> {
        let all = self.namespaces.values().chain([&self.others]);
        all.filter_map(|sync| sync.interval_ms()).max()
    }
}

impl Sync {
    /// The interval, milliseconds.
    #[must_use]
    pub fn interval_ms(self) -> Option<u64> {
        match self {
            Self::Always => None,
            Self::Interval(ms) => Some(ms),
        }
    }
}

/// When so much is written and not durable, it is synced, whatever the interval: what a power failure may cost stays small, and so does
/// what a sync has to do at once.
pub(crate) const UNSYNCED_BYTES: u64 = 16 << 20;

/// With so much, nothing is written before it is synced: a disk that is slower than what comes in keeps it back.
pub(crate) const UNSYNCED_BYTES_MAX: u64 = 64 << 20;

/// Largest content that is journaled, bytes: half of the journal's largest record, so that its places always fit beside it.
pub(crate) const CONTENT_BYTES_MAX: usize = baton_journal::frame::RECORD_BYTES_MAX / 2;

/// Most bytes of contents in one atomic group: it is one batch, and a batch has a limit ([`baton_journal::frame::BATCH_BYTES_MAX`]).
pub(crate) const GROUP_BYTES_MAX: usize = baton_journal::frame::BATCH_BYTES_MAX / 2;

/// Batches up to this size may be appended by an idle partition itself; more bytes take long enough to be worth a thread.
pub(crate) const INLINE_BYTES_MAX: usize = 256 << 10;
