//! A connection's port: requests in, events out. Made by the engine, used by the connection driver in `net` (and by
//! `admin` and the simulation). Never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use baton_model::{ConnectionId, Event, Reply, Request};
use parking_lot::Mutex;

use crate::inbox::{Inbox, Wake};

/// Called, from any thread, when a port has events to take or room for requests again. Must be quick and must not call the port.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Bytes of deliveries, and of elements of lists in answers, that may wait in an outbox before the partition stops delivering to that
/// connection, and its driver stops asking for more.
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

    /// Counts bytes of deliveries that are on their way here, parked ones included. Returns whether that is more than may wait.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::SeqCst).saturating_add(bytes) > OUTBOX_BYTES_MAX
    }

    /// Adds events and wakes the connection. Takes all of `events`, which stays usable. `bytes`: deliveries not yet reserved.
    pub fn push(&self, events: &mut Vec<Event>, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
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
        if self.bytes.load(Ordering::SeqCst) <= OUTBOX_BYTES_MAX {
            return false;
        }
        self.paused.store(true, Ordering::SeqCst);
        // The reader may have taken it all just before that, and would then never say so.
        let taken_meanwhile = self.bytes.load(Ordering::SeqCst) < OUTBOX_BYTES_MAX / 2;
        !(taken_meanwhile && self.paused.swap(false, Ordering::SeqCst))
    }
}

/// Bytes that an event counts with against [`OUTBOX_BYTES_MAX`]: the contents of the messages in it.
#[must_use]
pub fn delivery_bytes(event: &Event) -> usize {
    match event {
        Event::Delivered(delivery) => delivery.message.size_bytes(),
        Event::Fetched { result: Ok(fetched), .. } => {
            fetched.deliveries.iter().map(|delivery| delivery.message.size_bytes()).sum()
        }
        Event::Heard { message, .. } => message.size_bytes(),
        Event::Reply { result: Ok(Reply::Listed(listed)), .. } => listed.content_bytes(),
        _ => 0,
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
    #[doc(hidden)] // Public for the tests of `net`, which look into the inbox themselves.
    pub fn connect(id: ConnectionId, inbox: Arc<Inbox>, wake: Waker) -> Self {
        let outbox = Arc::new(Outbox::new(wake));
        inbox.push(Wake::Connect(id, Arc::clone(&outbox)));
        Self { id, inbox, outbox }
    }

    /// From now on the connection's messages wait during a resource alarm also where they ask for an answer, which then comes when it is over,
    /// as far as there is room for them: for protocols whose answers can be late, and whose refusals end the connection.
    pub fn wait_out_alarms(&self) {
        self.inbox.push(Wake::WaitOutAlarms(self.id));
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

    /// While true, so much waits to be taken and written that the driver must not ask for more. Ends by what the driver says to
    /// [`Port::written`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outbox.bytes.load(Ordering::SeqCst) > OUTBOX_BYTES_MAX
    }

    /// Grows with every change of queues, exchanges and bindings, before the change is answered (where the answer waits for
    /// the disk): who remembers what a queue is like compares it to know whether to ask again.
    #[must_use]
    pub fn catalog_version(&self) -> u64 {
        self.inbox.catalog_version()
    }

    /// Takes all events that wait into the empty `into`. Returns false if there were none.
    pub fn take_events(&self, into: &mut Vec<Event>) -> bool {
        std::mem::swap(&mut *self.outbox.events.lock(), into);
        !into.is_empty()
    }

    /// Says that `bytes` of deliveries taken earlier ([`delivery_bytes`]) have been written to the peer: their bodies
    /// count against [`OUTBOX_BYTES_MAX`] until then.
    pub fn written(&self, bytes: usize) {
        let bytes_left = |before: usize| before.saturating_sub(bytes);
        let before = self
            .outbox
            .bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |before| Some(bytes_left(before)))
            .unwrap_or_default();
        if bytes_left(before) < OUTBOX_BYTES_MAX / 2
            && self.outbox.paused.load(Ordering::SeqCst)
            && self.outbox.paused.swap(false, Ordering::SeqCst)
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
