//! Resource alarms: whoever watches memory and disk says so here, and the partition keeps producers back meanwhile. What is
//! measured, and where the watermarks are, is the binary's business.

use baton_model::{Name, Refusal, RefusalCode};

/// Which resources are short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Alarms {
    /// The process holds more memory than its watermark.
    pub memory: bool,
    /// The file system of the data has less space left than its watermark.
    pub disk: bool,
}

/// Unconfirmed messages that one connection may have waiting for the end of an alarm, bytes. What a client has on its way when
/// it is told to stop fits many times; beyond that it does not listen, and is refused.
pub(crate) const HELD_BYTES_PER_CONNECTION_MAX: usize = 1 << 20;

/// The same of all connections together: small against any watermark that makes sense, since these wait in memory.
pub(crate) const HELD_BYTES_MAX: usize = 32 << 20;

/// What keeps producers back. The journal says itself that its disk is full; the rest are alarms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pressure {
    pub(crate) full: bool,
    pub(crate) alarms: Alarms,
}

impl Pressure {
    /// Producers are kept back.
    pub(crate) fn any(self) -> bool {
        self.full || self.alarms.memory || self.alarms.disk
    }

    /// For producers, in few words. `None`: nothing keeps them back.
    pub(crate) fn reason(self) -> Option<Name> {
        let reason = match (self.full, self.alarms.memory, self.alarms.disk) {
            (true, _, _) => "the disk is full",
            (false, true, true) => "low on memory & disk",
            (false, true, false) => "low on memory",
            (false, false, true) => "low on disk",
            (false, false, false) => return None,
        };
        Some(Name::const_new(reason))
    }

    /// What a publish is told.
    pub(crate) fn refusal(self) -> Refusal {
        let (code, text) = if self.full {
            let text = "the broker's disk is full; consume messages or free disk space, then send again";
            (RefusalCode::DiskFull, text)
        } else if self.alarms.disk {
            let text = "the broker is low on disk space (limits.disk_free_bytes_min) and takes no messages until there is \
                        more; consume messages or free disk space, then send again";
            (RefusalCode::DiskFull, text)
        } else {
            let text = "the broker is low on memory (limits.memory_bytes_max) and takes no messages until there is more; \
                        consume messages, then send again";
            (RefusalCode::MemoryFull, text)
        };
        Refusal::new(code, text)
    }
}
