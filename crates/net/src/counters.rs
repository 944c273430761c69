//! What is counted for the metrics: plain numbers that only grow (except `open`), one set per listener. `admin` reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that many threads change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds `n` bytes.
    pub fn add_bytes(&self, n: usize) {
        self.add(n as u64);
    }

    /// Takes one off.
    pub(crate) fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one listener.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections open now.
    pub open: Count,
    /// Connections accepted.
    pub accepted: Count,
    /// Connections closed at once because there were too many.
    pub refused: Count,
    /// Connections that failed before a session began: TLS handshakes that failed or took too long, TLS where none is spoken.
    pub failed_handshakes: Count,
    /// Logins refused.
    pub failed_logins: Count,
    /// Requests refused for lack of permission.
    pub denied_requests: Count,
    /// Connections closed because of a defect in Baton's own session. Anything but 0 is a bug to report.
    pub defects: Count,
    /// Bytes read from peers, without TLS.
    pub bytes_in: Count,
    /// Bytes written to peers, without TLS.
    pub bytes_out: Count,
}
