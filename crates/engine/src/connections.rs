//! The connections of a partition, and the order of what leaves for each: an event whose position is durable leaves at
//! once, unless an earlier one of the same connection still waits.
//!
//! Each connection has three lanes: `now`, `flight` (with the batch in flight) and `fill` (with the batch being filled).
//! An event takes the first lane that is safe, and never one in front of the lane where the connection's last event waits.

use std::sync::Arc;

use baton_core::Effect;
use baton_model::{ConnectionId, Event};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::flight::{Flight, Group, Slot};
use crate::port::{Outbox, delivery_bytes};

struct Connection {
    outbox: Arc<Outbox>,
    now: Vec<Event>,
    flight: Vec<Event>,
    fill: Vec<Event>,
    /// Events of it were parked with the flight that lands at this position.
    parked_until: u64,
    slot: Slot,
    paused: bool,
    /// It stands in `over_limit`.
    listed: bool,
}

/// All connections of a partition.
#[derive(Default)]
pub(crate) struct Connections {
    /// Iterated only where the order does not matter to anybody (wake-ups) or is made definite by sorting.
    all: HashMap<ConnectionId, Connection, FixedState>,
    in_now: Vec<ConnectionId>,
    in_flight: Vec<ConnectionId>,
    in_fill: Vec<ConnectionId>,
    over_limit: Vec<ConnectionId>,
}

impl Connections {
    pub(crate) fn add(&mut self, id: ConnectionId, outbox: Arc<Outbox>) {
        let connection = Connection {
            outbox,
            now: Vec::new(),
            flight: Vec::new(),
            fill: Vec::new(),
            parked_until: 0,
            slot: Slot::default(),
            paused: false,
            listed: false,
        };
        self.all.insert(id, connection);
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> bool {
        self.all.remove(&id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All ids, in order.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.all.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Puts an effect in its lane. `landed`: what is durable; `flight_end`: what will be when the flight lands.
    pub(crate) fn route(&mut self, effect: Effect, landed: u64, flight_end: u64) {
        let Some(connection) = self.all.get_mut(&effect.connection) else { return };
        let bytes = delivery_bytes(&effect.event);
        if bytes > 0 && connection.outbox.reserve(bytes) && !connection.paused && !connection.listed {
            connection.listed = true;
            self.over_limit.push(effect.connection);
        }
        let needs = effect.needs.unwrap_or(0);
        let (lane, dirty) = if needs > flight_end || !connection.fill.is_empty() {
            (&mut connection.fill, &mut self.in_fill)
        } else if needs > landed || !connection.flight.is_empty() || connection.parked_until > landed {
            (&mut connection.flight, &mut self.in_flight)
        } else {
            (&mut connection.now, &mut self.in_now)
        };
        if lane.is_empty() {
            dirty.push(effect.connection);
        }
        lane.push(effect.event);
    }

    /// Whether anybody waits for the batch being filled.
    pub(crate) fn fill_awaited(&self) -> bool {
        !self.in_fill.is_empty()
    }

    /// Lets the first lane leave and parks the second with the flight.
    pub(crate) fn release(&mut self, flight: &Flight, flight_end: u64) {
        for id in self.in_now.drain(..) {
            if let Some(connection) = self.all.get_mut(&id) {
                connection.outbox.push(&mut connection.now, 0);
            }
        }
        if self.in_flight.is_empty() {
            return;
        }
        let mut parking: Vec<(ConnectionId, Group, Slot)> = Vec::with_capacity(self.in_flight.len());
        for id in self.in_flight.drain(..) {
            if let Some(connection) = self.all.get_mut(&id) {
                let events = std::mem::take(&mut connection.flight);
                let group = Group { outbox: Arc::clone(&connection.outbox), events };
                connection.parked_until = flight_end;
                parking.push((id, group, connection.slot));
            }
        }
        let mut slots: Vec<(ConnectionId, Slot)> = parking.iter().map(|(id, _, slot)| (*id, *slot)).collect();
        let groups = parking.into_iter().map(|(_, group, _)| group);
        flight.attach(&mut groups.zip(slots.iter_mut().map(|(_, slot)| slot)));
        for (id, slot) in slots {
            if let Some(connection) = self.all.get_mut(&id) {
                connection.slot = slot;
            }
        }
    }

    /// The batch being filled takes off and will land at `flight_end`: the third lane goes with it.
    pub(crate) fn take_off(&mut self, flight: &Flight, flight_end: u64) {
        let mut ids = std::mem::take(&mut self.in_fill);
        ids.retain(|id| self.all.contains_key(id));
        let mut groups = Vec::with_capacity(ids.len());
        for id in &ids {
            if let Some(connection) = self.all.get_mut(id) {
                let events = std::mem::take(&mut connection.fill);
                connection.parked_until = flight_end;
                groups.push(Group { outbox: Arc::clone(&connection.outbox), events });
            }
        }
        let mut slot = flight.take_off(groups);
        for id in &ids {
            if let Some(connection) = self.all.get_mut(id) {
                connection.slot = slot;
                slot = slot.next();
            }
        }
        ids.clear();
        self.in_fill = ids;
    }

    /// Drops what waits in all lanes: the batches it waits for will never land. `flight_too`: nor will the one in flight.
    pub(crate) fn drop_parked(&mut self, flight_too: bool) {
        for connection in self.all.values_mut() {
            connection.now.clear();
            connection.flight.clear();
            connection.fill.clear();
            if flight_too {
                connection.parked_until = 0;
            }
        }
        self.in_now.clear();
        self.in_flight.clear();
        self.in_fill.clear();
    }

    /// Connections that too much waits for now and did not before. They count as paused from here on.
    pub(crate) fn pausing(&mut self) -> Vec<ConnectionId> {
        let mut ids = std::mem::take(&mut self.over_limit);
        ids.retain(|id| {
            let Some(connection) = self.all.get_mut(id) else { return false };
            connection.listed = false;
            connection.paused = connection.outbox.over_limit();
            connection.paused
        });
        ids
    }

    /// A connection has room again. False: it was not paused.
    pub(crate) fn resume(&mut self, id: ConnectionId) -> bool {
        self.all.get_mut(&id).is_some_and(|connection| std::mem::take(&mut connection.paused))
    }

    /// Wakes all, because requests may be handed over again.
    pub(crate) fn wake_all(&self) {
        self.all.values().for_each(|connection| connection.outbox.wake());
    }
}
