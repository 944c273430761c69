//! The inbox of a partition: all that can wake it is one enum. Filled by ports and the journal thread, emptied by the
//! partition, which always takes everything that waits.

use std::sync::Arc;
use std::time::Duration;

use baton_model::{ConnectionId, Request};
use parking_lot::{Condvar, Mutex};

use crate::port::Outbox;

/// Everything that can wake a partition.
pub enum Wake {
    /// A connection begins; its events go to this outbox.
    Connect(ConnectionId, Arc<Outbox>),
    /// Requests of a connection, in order, and how many bytes they hold.
    Requests(ConnectionId, Vec<Request>, usize),
    /// A connection's outbox has room again.
    Resume(ConnectionId),
    /// A connection ended; what it held goes back.
    Disconnect(ConnectionId),
    /// The journal thread has finished (or failed) a batch: look at what it left.
    Journal,
    /// The clock was moved by hand: look at the timers.
    ClockMoved,
    /// Make a snapshot, make everything durable, stop.
    Shutdown,
}

/// A queue of [`Wake`]s with one reader.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Wake>,
    request_bytes: usize,
    asleep: bool,
}

/// Bytes of requests that may wait in an inbox before connections are told to stop reading. Large enough for several
/// journal batches, small enough that a stalled disk does not fill the memory.
pub const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Inbox {
    /// Adds one, and wakes the partition if it sleeps.
    pub fn push(&self, wake: Wake) {
        let mut state = self.state.lock();
        if let Wake::Requests(_, _, bytes) = &wake {
            state.request_bytes += bytes;
        }
        state.waiting.push(wake);
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Whether so much waits that connections should stop reading.
    pub fn congested(&self) -> bool {
        self.state.lock().request_bytes > INBOX_BYTES_MAX
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
        std::mem::take(&mut state.request_bytes) > INBOX_BYTES_MAX
    }
}
