//! The inbox of a partition: all that can wake it is one enum. Filled by ports and the journal's threads, emptied by the
//! partition, which always takes everything that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use baton_model::{ConnectionId, Request};
use parking_lot::{Condvar, Mutex};

use crate::alarms::Alarms;
use crate::keeper::Kept;
use crate::port::Outbox;

/// Everything that can wake a partition.
pub enum Wake {
    /// A connection begins; its events go to this outbox.
    Connect(ConnectionId, Arc<Outbox>),
    /// Requests of a connection, in order, and how many bytes they hold.
    Requests(ConnectionId, Vec<Request>, usize),
    /// A connection's outbox has room again.
    Resume(ConnectionId),
    /// A connection's messages wait during an alarm, also those that ask for an answer.
    WaitOutAlarms(ConnectionId),
    /// A connection ended; what it held goes back.
    Disconnect(ConnectionId),
    /// The batch in flight has landed (or failed), and the partition wanted to know.
    Journal,
    /// A snapshot was written or a segment removed, or not.
    Kept(Kept),
    /// Resources are short, or no longer.
    Alarms(Alarms),
    /// The clock was moved by hand: look at the timers.
    ClockMoved,
    /// Make everything durable, make a snapshot, stop.
    Shutdown,
}

/// A queue of [`Wake`]s with one reader.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
    /// Written under the lock, read without.
    request_bytes: AtomicUsize,
    /// The partition's, as of its last turn.
    catalog_version: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<Wake>,
    asleep: bool,
    closed: bool,
}

/// Bytes of requests that may wait in an inbox before connections are told to stop reading. Large enough for several
/// journal batches, small enough that a stalled disk does not fill the memory.
pub const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Inbox {
    /// Adds one, and wakes the partition if it sleeps. Nothing happens once the partition has stopped.
    pub fn push(&self, wake: Wake) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if let Wake::Requests(_, _, bytes) = &wake {
            self.request_bytes.fetch_add(*bytes, Ordering::Relaxed);
        }
        state.waiting.push(wake);
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Whether so much waits that connections should stop reading.
    pub fn congested(&self) -> bool {
        self.request_bytes() > INBOX_BYTES_MAX
    }

    /// Bytes of requests that wait.
    pub fn request_bytes(&self) -> usize {
        self.request_bytes.load(Ordering::Relaxed)
    }

    /// How often the partition's catalog has changed, as of its last turn.
    pub(crate) fn catalog_version(&self) -> u64 {
        self.catalog_version.load(Ordering::Acquire)
    }

    pub(crate) fn set_catalog_version(&self, version: u64) {
        self.catalog_version.store(version, Ordering::Release);
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    /// From now on nothing is taken in; returns what still waited.
    pub(crate) fn close(&self) -> Vec<Wake> {
        let mut state = self.state.lock();
        state.closed = true;
        self.request_bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut state.waiting)
    }

    /// Takes everything that waits into the empty `into`; sleeps for it at most `timeout`. Returns whether the inbox was congested before.
    pub fn take(&self, into: &mut Vec<Wake>, timeout: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && timeout != Some(Duration::ZERO) {
            state.asleep = true;
            match timeout {
                Some(timeout) => drop(self.wake.wait_for(&mut state, timeout)),
                None => self.wake.wait(&mut state),
            }
            state.asleep = false;
        }
        std::mem::swap(&mut state.waiting, into);
        self.request_bytes.swap(0, Ordering::Relaxed) > INBOX_BYTES_MAX
    }
}
