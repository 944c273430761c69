//! Where time comes from: the machine's clock, or one that a test moves. The only file of this crate that reads the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use baton_model::Time;

/// A source of time. Shared by the engine and the connection drivers, so that all of them live in the same time.
pub trait Clock: Send + Sync {
    /// Now. May jump when an operator or a test moves it; partitions never let it run backwards.
    fn now(&self) -> Time;

    /// Moves a test clock forward. `false`: this clock cannot be moved.
    fn advance_ms(&self, _ms: u64) -> bool {
        false
    }
}

/// The machine's wall clock: delays, time to live and leases survive restarts, so they need a time that does.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes from")]
    fn now(&self) -> Time {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The machine's clock plus an offset that only grows: `--test-clock`.
#[derive(Debug, Default)]
pub struct TestClock {
    ahead_ms: AtomicU64,
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        SystemClock.now().after_ms(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn advance_ms(&self, ms: u64) -> bool {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
        true
    }
}
