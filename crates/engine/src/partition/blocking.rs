//! Keeping producers back while the disk is full or a resource alarm is on. Everybody is told ([`Event::Blocked`]). A publish
//! that asks for an answer gets it: a refusal. One that asks for none waits here, up to a limit, because a refusal of it can
//! only be said by ending something, often a channel on which the same client also consumes; so does every publish of a connection
//! of which any refusal is the end. Nothing else is kept back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use baton_model::{ConnectionId, Event, Name, Request, Token};

use super::Partition;
use crate::alarms::{Alarms, HELD_BYTES_MAX, HELD_BYTES_PER_CONNECTION_MAX, Pressure};
use crate::inbox::Wake;
use crate::refuse;
use crate::stats::Health;

/// Counted for each publish besides its message, bytes: about what the rest of the request takes.
const REQUEST_BYTES: usize = 256;

/// Publishes that wait for the end of the pressure.
#[derive(Default)]
pub(super) struct Held {
    requests: VecDeque<(ConnectionId, Request)>,
    bytes: usize,
    by_connection: BTreeMap<ConnectionId, usize>,
    /// The namespaces of connections, for those that go while something of theirs waits.
    namespaces: BTreeMap<ConnectionId, Name>,
    /// Connections whose publishes wait in any case.
    patient: BTreeSet<ConnectionId>,
    /// Connections that are gone.
    gone: Vec<ConnectionId>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Takes a request in, or gives it back if too much waits.
    fn hold(&mut self, connection: ConnectionId, request: Request, bytes: usize) -> Option<Request> {
        let bytes = bytes.saturating_add(REQUEST_BYTES);
        let own = self.by_connection.entry(connection).or_default();
        if own.saturating_add(bytes) > HELD_BYTES_PER_CONNECTION_MAX
            || self.bytes.saturating_add(bytes) > HELD_BYTES_MAX
        {
            return Some(request);
        }
        *own += bytes;
        self.bytes += bytes;
        self.requests.push_back((connection, request));
        None
    }
}

impl Partition {
    /// Takes note of the journal's word and of alarms; tells everybody when producers begin or cease to be kept back.
    pub(super) fn heed_pressure(&mut self) {
        let pressure = Pressure { full: self.flight.is_full(), alarms: self.alarms };
        let before = std::mem::replace(&mut self.pressure, pressure);
        if before.full != pressure.full {
            self.probe_at = self.now.after_ms(self.options.full_probe_ms);
            if pressure.full {
                tracing::warn!(
                    "the disk is full: publishes are refused until there is space, consumers go on"
                );
                self.counters.set_health(Health::DiskFull);
            } else {
                tracing::info!("the disk has space again: publishes are taken");
                self.counters.set_health(Health::Running);
            }
        }
        if before.any() != pressure.any() {
            self.counts.blocks += u64::from(pressure.any());
            for id in self.connections.ids() {
                self.tell_blocked(id);
            }
        }
        if !self.held.is_empty() && (!pressure.any() || self.stopping) {
            self.release_held();
        }
    }

    pub(super) fn set_alarms(&mut self, alarms: Alarms) {
        self.alarms = alarms;
        self.heed_pressure();
    }

    pub(super) fn tell_blocked(&mut self, connection: ConnectionId) {
        let reason = self.pressure.reason();
        self.tell(connection, Event::Blocked { reason });
    }

    /// Whether the request has to wait or be refused for now.
    pub(super) fn keeps_back(&self, request: &Request) -> bool {
        // An orderly end is no time to keep anybody back, as long as there is somewhere to write to.
        let pressed = self.pressure.full || (self.pressure.any() && !self.stopping);
        pressed && refuse::needs_space(request)
    }

    /// A publish that asked for no answer waits, if there is room. `Some`: there is none.
    pub(super) fn hold(&mut self, connection: ConnectionId, request: Request) -> Option<Request> {
        let patient = self.held.patient.contains(&connection);
        let bytes = match &request {
            Request::Publish(publish) if patient || !publish.confirm => publish.message.size_bytes(),
            Request::Group { requests, .. } if patient => {
                let messages = requests.iter().filter_map(|request| match request {
                    Request::Publish(publish) => Some(publish.message.size_bytes() + REQUEST_BYTES),
                    _ => None,
                });
                messages.fold(0, usize::saturating_add)
            }
            _ => return Some(request),
        };
        self.held.hold(connection, request, bytes)
    }

    /// See [`Port::wait_out_alarms`](crate::Port::wait_out_alarms).
    pub(super) fn wait_out_alarms(&mut self, connection: ConnectionId) {
        self.held.patient.insert(connection);
    }

    /// The connection uses this namespace from now on.
    pub(super) fn note_namespace(&mut self, connection: ConnectionId, namespace: &Name) {
        self.held.namespaces.insert(connection, namespace.clone());
    }

    /// A connection ended. Returns whether the core still has to hear of it.
    pub(super) fn ends(&mut self, connection: ConnectionId) -> bool {
        self.held.patient.remove(&connection);
        let gone = self.held.gone.iter().position(|id| *id == connection);
        if let Some(index) = gone {
            self.held.gone.swap_remove(index);
        }
        self.connections.remove(connection) || gone.is_some()
    }

    /// A connection ended, and the core has heard of it. What of its messages waits shall find its way though: a connection
    /// of its name stays until then.
    pub(super) fn outlive(&mut self, connection: ConnectionId) {
        let namespace = self.held.namespaces.remove(&connection);
        if let Some(namespace) = namespace.filter(|_| self.held.by_connection.contains_key(&connection)) {
            self.machine.connect(connection);
            let token = Token(0);
            self.step_core(connection, Request::Open { token, namespace, label: String::new() });
            self.held.gone.push(connection);
        }
    }

    /// What waited is worked on before everything else.
    fn release_held(&mut self) {
        let mut wakes: Vec<Wake> = Vec::new();
        for (connection, request) in std::mem::take(&mut self.held.requests) {
            match wakes.last_mut() {
                Some(Wake::Requests(id, requests, _)) if *id == connection => requests.push(request),
                _ => wakes.push(Wake::Requests(connection, vec![request], 0)),
            }
        }
        self.held.bytes = 0;
        self.held.by_connection.clear();
        wakes.extend(self.held.gone.iter().map(|id| Wake::Disconnect(*id)));
        wakes.into_iter().rev().for_each(|wake| self.waiting.push_front(wake));
    }
}
