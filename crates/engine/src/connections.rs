//! The connections of a partition, and the order of what leaves for each: an event that needs nothing that is not stored
//! yet leaves at once, unless an earlier one of the same connection still waits.
//!
//! Each connection has five lanes, in this order: `now`, then with the batch in flight when that is written, or durable, then the
//! same with the batch being filled. An event takes the first lane that is safe, and never one in front of the lane
//! where the connection's last event waits. For a connection of a namespace that is synced at intervals, written is
//! enough.

use std::sync::Arc;

use baton_core::Effect;
use baton_model::{ConnectionId, Event};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::flight::{Flight, Group, Slot, Stage};
use crate::port::{Outbox, delivery_bytes};

/// See the top of this file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lane {
    Now,
    Flight(Stage),
    Fill(Stage),
}

/// One of something for each lane.
#[derive(Default)]
struct Lanes<T> {
    now: T,
    flight: Stages<T>,
    fill: Stages<T>,
}

/// One of something for each stage of a batch.
#[derive(Default)]
struct Stages<T> {
    written: T,
    durable: T,
}

impl<T> Lanes<T> {
    fn of(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Now => &mut self.now,
            Lane::Flight(stage) => self.flight.of(stage),
            Lane::Fill(stage) => self.fill.of(stage),
        }
    }
}

impl<T> Stages<T> {
    fn of(&mut self, stage: Stage) -> &mut T {
        match stage {
            Stage::Written => &mut self.written,
            Stage::Durable => &mut self.durable,
        }
    }
}

impl<T> Lanes<Vec<T>> {
    fn clear(&mut self) {
        for lane in [&mut self.now, &mut self.flight.written, &mut self.flight.durable] {
            lane.clear();
        }
        self.fill.written.clear();
        self.fill.durable.clear();
    }
}

/// How far the journal has got, as the partition knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Everything before this is durable.
    pub(crate) durable: u64,
    /// Everything before this is written.
    pub(crate) written: u64,
    /// Where that will be when the flight has landed.
    pub(crate) flight_end: u64,
    /// The flight will be durable when it has landed.
    pub(crate) flight_syncs: bool,
    /// The generation of this process is durable: from here on written is enough where it may be.
    pub(crate) begun: bool,
}

/// Events that room is made for at once in a lane, at most; there may be more, the list then grows as it goes.
const EVENTS_RESERVED_MAX: usize = 512;

struct Connection {
    outbox: Arc<Outbox>,
    lanes: Lanes<Vec<Event>>,
    /// As many events were parked last, to make room for as many at once.
    usual_events: usize,
    /// Bytes of events in the lanes that its outbox does not count yet.
    uncounted_bytes: usize,
    /// Events of it were parked with the flight that lands at this position.
    parked_until: Stages<u64>,
    slots: Stages<Slot>,
    /// Its namespace is synced at this interval, milliseconds; `None`: before anything is told.
    interval_ms: Option<u64>,
    paused: bool,
    /// It stands in `over_limit`.
    listed: bool,
}

impl Connection {
    /// The lane in which its last event waits, if one does.
    fn last(&self, landed: u64) -> Lane {
        let Lanes { flight, fill, .. } = &self.lanes;
        if !fill.durable.is_empty() {
            Lane::Fill(Stage::Durable)
        } else if !fill.written.is_empty() {
            Lane::Fill(Stage::Written)
        } else if !flight.durable.is_empty() || self.parked_until.durable > landed {
            Lane::Flight(Stage::Durable)
        } else if !flight.written.is_empty() || self.parked_until.written > landed {
            Lane::Flight(Stage::Written)
        } else {
            Lane::Now
        }
    }
}

impl Progress {
    /// The first lane that is safe.
    fn lane(&self, effect: &Effect, relaxed: bool) -> Lane {
        let mut durable = effect.needs.durable.unwrap_or(0);
        let mut written = effect.needs.written.unwrap_or(0);
        if relaxed && self.begun {
            written = written.max(std::mem::take(&mut durable));
        }
        let for_durable = if durable <= self.durable {
            Lane::Now
        } else if self.flight_syncs && durable <= self.flight_end {
            Lane::Flight(Stage::Durable)
        } else {
            Lane::Fill(Stage::Durable)
        };
        let for_written = if written <= self.written {
            Lane::Now
        } else if written <= self.flight_end {
            Lane::Flight(Stage::Written)
        } else {
            Lane::Fill(Stage::Written)
        };
        for_durable.max(for_written)
    }
}

/// All connections of a partition.
#[derive(Default)]
pub(crate) struct Connections {
    /// Iterated only where the order does not matter to anybody (wake-ups) or is made definite by sorting.
    all: HashMap<ConnectionId, Connection, FixedState>,
    /// Who has something in a lane.
    dirty: Lanes<Vec<ConnectionId>>,
    over_limit: Vec<ConnectionId>,
    /// Who has events that its outbox does not count yet.
    uncounted: Vec<ConnectionId>,
}

impl Connections {
    pub(crate) fn add(&mut self, id: ConnectionId, outbox: Arc<Outbox>) {
        let connection = Connection {
            outbox,
            lanes: Lanes::default(),
            usual_events: 0,
            uncounted_bytes: 0,
            parked_until: Stages::default(),
            slots: Stages::default(),
            interval_ms: None,
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

    /// The namespace it uses from now on is synced at this interval, or before anything is told.
    pub(crate) fn set_interval(&mut self, id: ConnectionId, interval_ms: Option<u64>) {
        if let Some(connection) = self.all.get_mut(&id) {
            connection.interval_ms = interval_ms;
        }
    }

    /// The interval at which what it asks for is synced, if it is.
    pub(crate) fn interval_ms(&self, id: ConnectionId) -> Option<u64> {
        self.all.get(&id).and_then(|connection| connection.interval_ms)
    }

    /// Puts an effect in its lane.
    pub(crate) fn route(&mut self, effect: Effect, progress: &Progress) {
        let Some(connection) = self.all.get_mut(&effect.connection) else { return };
        let bytes = delivery_bytes(&effect.event);
        if bytes > 0 {
            if connection.uncounted_bytes == 0 {
                self.uncounted.push(effect.connection);
            }
            connection.uncounted_bytes += bytes;
        }
        let safe = progress.lane(&effect, connection.interval_ms.is_some());
        let lane = safe.max(connection.last(progress.written));
        let events = connection.lanes.of(lane);
        if events.is_empty() {
            self.dirty.of(lane).push(effect.connection);
            events.reserve(connection.usual_events);
        }
        events.push(effect.event);
    }

    /// Whether anybody waits for the batch being filled.
    pub(crate) fn fill_awaited(&self) -> bool {
        !self.dirty.fill.written.is_empty() || self.sync_awaited()
    }

    /// Whether anybody waits until it is durable, or what was written before it.
    pub(crate) fn sync_awaited(&self) -> bool {
        !self.dirty.fill.durable.is_empty()
    }

    /// Tells the outboxes how much is on its way to them, before any of it arrives.
    fn count(&mut self) {
        for id in self.uncounted.drain(..) {
            let Some(connection) = self.all.get_mut(&id) else { continue };
            let bytes = std::mem::take(&mut connection.uncounted_bytes);
            if connection.outbox.reserve(bytes) && !connection.paused && !connection.listed {
                connection.listed = true;
                self.over_limit.push(id);
            }
        }
    }

    /// Lets the first lane leave and parks the next ones with the flight.
    pub(crate) fn release(&mut self, flight: &Flight, flight_end: u64) {
        self.count();
        for id in self.dirty.now.drain(..) {
            if let Some(connection) = self.all.get_mut(&id) {
                connection.outbox.push(&mut connection.lanes.now, 0);
            }
        }
        for stage in [Stage::Written, Stage::Durable] {
            self.park(stage, flight, flight_end);
        }
    }

    fn park(&mut self, stage: Stage, flight: &Flight, flight_end: u64) {
        let ids = self.dirty.flight.of(stage);
        if ids.is_empty() {
            return;
        }
        let mut parking: Vec<(ConnectionId, Group, Slot)> = Vec::with_capacity(ids.len());
        for id in ids.drain(..) {
            if let Some(connection) = self.all.get_mut(&id) {
                let events = std::mem::take(connection.lanes.flight.of(stage));
                connection.usual_events = events.len().min(EVENTS_RESERVED_MAX);
                let group = Group { outbox: Arc::clone(&connection.outbox), events };
                *connection.parked_until.of(stage) = flight_end;
                parking.push((id, group, *connection.slots.of(stage)));
            }
        }
        let mut slots: Vec<(ConnectionId, Slot)> = parking.iter().map(|(id, _, slot)| (*id, *slot)).collect();
        let groups = parking.into_iter().map(|(_, group, _)| group);
        flight.attach(stage, &mut groups.zip(slots.iter_mut().map(|(_, slot)| slot)));
        for (id, slot) in slots {
            if let Some(connection) = self.all.get_mut(&id) {
                *connection.slots.of(stage) = slot;
            }
        }
    }

    /// The batch being filled takes off and will land at `flight_end`: the last lanes go with it.
    pub(crate) fn take_off(&mut self, flight: &Flight, flight_end: u64) {
        let (written, durable) =
            (self.board(Stage::Written, flight_end), self.board(Stage::Durable, flight_end));
        let (first_written, first_durable) = flight.take_off(written, durable);
        self.seat(Stage::Written, first_written);
        self.seat(Stage::Durable, first_durable);
    }

    /// The groups of those who wait for a stage of the batch being filled.
    fn board(&mut self, stage: Stage, flight_end: u64) -> Vec<Group> {
        let ids = self.dirty.fill.of(stage);
        ids.retain(|id| self.all.contains_key(id));
        let mut groups = Vec::with_capacity(ids.len());
        for id in ids.iter() {
            if let Some(connection) = self.all.get_mut(id) {
                let events = std::mem::take(connection.lanes.fill.of(stage));
                connection.usual_events = events.len().min(EVENTS_RESERVED_MAX);
                *connection.parked_until.of(stage) = flight_end;
                groups.push(Group { outbox: Arc::clone(&connection.outbox), events });
            }
        }
        groups
    }

    /// They know their slots from now on.
    fn seat(&mut self, stage: Stage, mut slot: Slot) {
        for id in self.dirty.fill.of(stage).drain(..) {
            if let Some(connection) = self.all.get_mut(&id) {
                *connection.slots.of(stage) = slot;
                slot = slot.next();
            }
        }
    }

    /// Drops what waits in all lanes: the batches it waits for will never land. `flight_too`: nor will the one in flight.
    pub(crate) fn drop_parked(&mut self, flight_too: bool) {
        for connection in self.all.values_mut() {
            connection.lanes.clear();
            if flight_too {
                connection.parked_until = Stages::default();
            }
        }
        self.dirty.clear();
    }

    /// Connections that too much waits for now and did not before. They count as paused from here on.
    pub(crate) fn pausing(&mut self) -> Vec<ConnectionId> {
        self.count();
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
