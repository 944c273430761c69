//! Who is connected: one [`Entry`] per connection, the bell that wakes its driver, and the way to close one or all.
//! Written by listeners and drivers, read by `admin`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_model::{Name, Time};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::counters::Counters;

/// One connection.
#[derive(Debug)]
pub struct Entry {
    /// Its number, unique in the process.
    pub id: u64,
    /// The listener's name: `amqp`, `http`.
    pub listener: &'static str,
    /// The peer.
    pub peer: SocketAddr,
    /// By TLS.
    pub encrypted: bool,
    /// Since when.
    pub since: Time,
    /// The listener's counters.
    pub counters: Arc<Counters>,
    description: Mutex<String>,
    bell: Notify,
    closing: AtomicBool,
    reason: Mutex<Name>,
}

impl Entry {
    /// Protocol, user and client product in one line; empty until the session knows them.
    #[must_use]
    pub fn description(&self) -> String {
        self.description.lock().clone()
    }

    /// Asks the connection to say goodbye; it is closed a few seconds later even if the peer does not answer.
    pub fn close(&self, reason: &str) {
        *self.reason.lock() = Name::new(reason);
        self.closing.store(true, Ordering::Release);
        self.ring();
    }

    /// Wakes the connection's driver.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(crate) fn bell(&self) -> &Notify {
        &self.bell
    }

    pub(crate) fn describe(&self, description: String) {
        *self.description.lock() = description;
    }

    /// Why the connection is to be closed, if it is.
    pub(crate) fn closing(&self) -> Option<Name> {
        self.closing.load(Ordering::Acquire).then(|| self.reason.lock().clone())
    }

    /// Whether the peer is on this machine.
    #[must_use]
    pub fn loopback(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }
}

/// All connections.
#[derive(Debug)]
pub struct Connections {
    state: Mutex<State>,
    max: usize,
    gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    all: HashMap<u64, Arc<Entry>>,
    last_id: u64,
    closed: Option<Name>,
}

/// Keeps a connection in the list; dropping it takes it out.
#[derive(Debug)]
pub struct Registered {
    all: Arc<Connections>,
    /// The connection.
    pub entry: Arc<Entry>,
}

/// What a listener knows of a connection when it begins.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The listener's name.
    pub listener: &'static str,
    /// The peer.
    pub peer: SocketAddr,
    /// By TLS.
    pub encrypted: bool,
    /// Now.
    pub since: Time,
    /// The listener's counters.
    pub counters: Arc<Counters>,
}

impl Connections {
    /// An empty list with room for `max`.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { state: Mutex::default(), max, gone: Notify::new() }
    }

    /// Adds a connection and counts it; `None` when there are too many or all are being closed.
    pub fn register(self: &Arc<Self>, arrival: Arrival) -> Option<Registered> {
        let mut state = self.state.lock();
        if state.all.len() >= self.max || state.closed.is_some() {
            arrival.counters.refused.add(1);
            return None;
        }
        arrival.counters.accepted.add(1);
        arrival.counters.open.add(1);
        state.last_id += 1;
        let entry = Arc::new(Entry {
            id: state.last_id,
            listener: arrival.listener,
            peer: arrival.peer,
            encrypted: arrival.encrypted,
            since: arrival.since,
            counters: arrival.counters,
            description: Mutex::default(),
            bell: Notify::new(),
            closing: AtomicBool::new(false),
            reason: Mutex::default(),
        });
        state.all.insert(entry.id, Arc::clone(&entry));
        Some(Registered { all: Arc::clone(self), entry })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.state.lock().all.values().cloned().collect();
        all.sort_unstable_by_key(|entry| entry.id);
        all
    }

    /// One by its number.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Entry>> {
        self.state.lock().all.get(&id).cloned()
    }

    /// Asks all to say goodbye and takes in no more. Ends when all are gone or `patience` is over; returns how many are left.
    pub async fn close_all(&self, reason: &str, patience: Duration) -> usize {
        let all = {
            let mut state = self.state.lock();
            state.closed = Some(Name::new(reason));
            state.all.values().cloned().collect::<Vec<_>>()
        };
        for entry in all {
            entry.close(reason);
        }
        let all_gone = async {
            while !self.is_empty() {
                self.gone.notified().await;
            }
        };
        let _ = tokio::time::timeout(patience, all_gone).await;
        self.len()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.all.state.lock();
        state.all.remove(&self.entry.id);
        self.entry.counters.open.take_one();
        if state.all.is_empty() {
            self.all.gone.notify_one();
        }
    }
}
