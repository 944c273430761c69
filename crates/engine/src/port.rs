//! A connection's port: requests in, events out. Made by the engine, used by the connection driver in `net` (and by
//! `admin` and the simulation). Never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use baton_model::{ConnectionId, Event, Request};
use parking_lot::Mutex;

use crate::inbox::{Inbox, Wake};

/// Called, from any thread, when a port has events to take or room for requests again. Must be quick and must not call the port.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Bytes of deliveries that may wait in an outbox before the partition stops delivering to that connection.
/// Several network buffers full, so that a reader that keeps up never notices.
pub const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the events of one connection wait to be taken.
pub struct Outbox {
    events: Mutex<Vec<Event>>,
    bytes: AtomicUsize,
    paused: AtomicBool,
    wake: Waker,
}

impl Outbox {
    /// An empty outbox that calls `wake` when it gets something.
    pub fn new(wake: Waker) -> Self {
        Self { events: Mutex::default(), bytes: AtomicUsize::new(0), paused: AtomicBool::new(false), wake }
    }

    /// Adds events and wakes the connection. Takes all of `events`, which stays usable.
    pub fn push(&self, events: &mut Vec<Event>, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut waiting = self.events.lock();
        if waiting.is_empty() {
            std::mem::swap(&mut *waiting, events);
            drop(waiting);
            (self.wake)();
        } else {
            waiting.append(events);
        }
    }

    /// Wakes the connection without giving it anything.
    pub fn wake(&self) {
        (self.wake)();
    }

    /// Whether too much waits; remembered, so that the port says [`Wake::Resume`] when it has been taken.
    pub fn over_limit(&self) -> bool {
        let over = self.bytes.load(Ordering::Relaxed) > OUTBOX_BYTES_MAX;
        if over {
            self.paused.store(true, Ordering::Release);
        }
        over
    }
}

/// One connection's way to the engine. Dropping it ends the connection: its consumers stop and its linked leases end.
pub struct Port {
    id: ConnectionId,
    inbox: Arc<Inbox>,
    outbox: Arc<Outbox>,
}

impl Port {
    /// Registers a connection with a partition's inbox.
    pub(crate) fn connect(id: ConnectionId, inbox: Arc<Inbox>, wake: Waker) -> Self {
        let outbox = Arc::new(Outbox::new(wake));
        inbox.push(Wake::Connect(id, Arc::clone(&outbox)));
        Self { id, inbox, outbox }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Hands over requests, in order, as one unit. `requests` is empty afterwards and keeps its capacity for the next time only by chance.
    /// `bytes`: what the requests hold, for back-pressure; the bytes read from the peer will do.
    pub fn submit(&self, requests: &mut Vec<Request>, bytes: usize) {
        if !requests.is_empty() {
            self.inbox.push(Wake::Requests(self.id, std::mem::take(requests), bytes));
        }
    }

    /// While true, the driver must not read from the peer. The waker is called when that changes.
    #[must_use]
    pub fn congested(&self) -> bool {
        self.inbox.congested()
    }

    /// Takes all events that wait into the empty `into`. Returns false if there were none.
    pub fn take_events(&self, into: &mut Vec<Event>) -> bool {
        std::mem::swap(&mut *self.outbox.events.lock(), into);
        !into.is_empty()
    }

    /// Says that `bytes` of deliveries taken earlier have been written to the peer: their bodies count against
    /// [`OUTBOX_BYTES_MAX`] until then. A delivery counts with its message's `size_bytes`.
    pub fn written(&self, bytes: usize) {
        let before = self.outbox.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before.saturating_sub(bytes) < OUTBOX_BYTES_MAX / 2
            && self.outbox.paused.load(Ordering::Acquire)
            && self.outbox.paused.swap(false, Ordering::AcqRel)
        {
            self.inbox.push(Wake::Resume(self.id));
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.inbox.push(Wake::Disconnect(self.id));
    }
}
