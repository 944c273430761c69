//! A partition: the synchronous heart of the engine. It has no thread and reads no clock; `run` and [`crate::testing`]
//! drive it the same way:
//!
//! ```text
//! turn(now, wakes)   steps the core for everything that waits, lets leave what may leave, parks the rest
//! seal()             gives the batch to append, if one is due and none is in flight
//! (write it, land)   what was parked with it leaves: when it is written, and when it is durable
//! ```
//!
//! What is due when, and what happens to snapshots, is in `upkeep`; when something is synced, in `syncing`; what happens to old
//! segments, in `reclaim`; when something breaks, in `stopping`.

mod blocking;
mod reclaim;
mod stopping;
mod syncing;
mod upkeep;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use baton_core::{Context, Effect, Needs};
use baton_journal::{Housekeeping, Journal, Opened, Position};
use baton_model::{ConnectionId, Event, Request, Time};

use crate::alarms::{Alarms, Pressure};
use crate::connections::{Connections, Progress};
use crate::error::EngineError;
use crate::flight::Flight;
use crate::inbox::Wake;
use crate::keeper::KeeperJob;
use crate::options::Options;
use crate::recovery::{Recovered, recover};
use crate::segments::Freed;
use crate::snapshot::Plan;
use crate::stats::{Counters, Counts};
use crate::store::BatchStore;
use crate::writer::Departure;
use crate::{Machine, refuse};

pub(crate) use reclaim::KEEPER_JOBS_MAX;
use reclaim::Reclaim;
pub(crate) use stopping::panic_text;
use syncing::Syncing;

/// One partition.
pub struct Partition {
    machine: Machine,
    store: BatchStore,
    connections: Connections,
    effects: Vec<Effect>,
    /// Taken from the inbox and not worked on yet, because the batch is full.
    waiting: VecDeque<Wake>,
    /// Connections stopped reading and wait to be told.
    congested: bool,
    flight: Arc<Flight>,
    aloft: Option<Aloft>,
    syncing: Syncing,
    now: Time,
    /// When the batch being filled is sealed though nobody waits for it.
    linger_until: Option<Time>,
    /// What keeps producers back, as everybody was told.
    pressure: Pressure,
    /// As last heard.
    alarms: Alarms,
    held: blocking::Held,
    probe_at: Time,
    /// Something that landed lets work go on though nobody wakes this partition.
    turn_wanted: bool,
    stopped: Option<String>,
    stopping: bool,
    plan: Plan,
    /// Encoded at a batch boundary that is not durable yet.
    snapshot_ready: Option<KeeperJob>,
    jobs: Vec<KeeperJob>,
    reclaim: Reclaim,
    housekeeping: Arc<dyn Housekeeping>,
    /// Requests refused without asking the core.
    refused: u64,
    counts: Counts,
    counters: Arc<Counters>,
    options: Options,
}

/// The batch in flight.
struct Aloft {
    end: Position,
    freed: Freed,
    /// It lands when it is durable.
    syncs: bool,
    /// When it is to be, if it is only written.
    sync_by: Option<Time>,
}

impl Partition {
    /// Folds what the journal holds and begins where it ends. `flight` starts at the journal's end.
    ///
    /// # Errors
    /// What the journal held was damaged or not understood; nothing was written.
    pub(crate) fn recover(
        mut opened: Opened,
        now: Time,
        options: Options,
        counters: Arc<Counters>,
    ) -> Result<(Self, Box<dyn Journal>), EngineError> {
        let recovered = recover(&mut opened, &options)?;
        let Opened { journal, recovery } = opened;
        drop(recovery);
        let Recovered { machine, snapshot_position, snapshot_bytes, records } = recovered;
        let store = BatchStore::new(&*journal);
        let mut partition = Self {
            machine,
            store,
            connections: Connections::default(),
            effects: Vec::new(),
            waiting: VecDeque::new(),
            congested: false,
            flight: Arc::new(Flight::starting_at(journal.end())),
            aloft: None,
            syncing: Syncing::starting_at(journal.end().0, now, &options),
            now,
            linger_until: None,
            pressure: Pressure::default(),
            alarms: Alarms::default(),
            held: blocking::Held::default(),
            probe_at: now,
            turn_wanted: false,
            stopped: None,
            stopping: false,
            plan: Plan::new(snapshot_position, snapshot_bytes, options.snapshot_bytes_min, now),
            snapshot_ready: None,
            jobs: Vec::new(),
            reclaim: Reclaim::new(now),
            housekeeping: journal.housekeeping(),
            refused: 0,
            counts: Counts { recovered_records: records, ..Counts::default() },
            counters,
            options,
        };
        let (machine, store) = (&mut partition.machine, &mut partition.store);
        let (live, freed_pages) = (&mut store.live, &mut store.freed_pages);
        let mut given_up = Vec::new();
        machine.held(&mut |at| live.add(at), &mut |at| given_up.push(at));
        for at in given_up {
            // The snapshot names it: it counts until another one takes its place.
            live.add(at);
            freed_pages.add(at);
        }
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let mut cx = Context { store: &mut partition.store, effects: &mut partition.effects };
            partition.machine.recovered(now, &mut cx);
        }));
        worked.map_err(|panic| EngineError::Broken(panic_text(&*panic)))?;
        partition.effects.clear();
        partition.end_turn();
        Ok((partition, journal))
    }

    pub(crate) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    /// Works on all of `wakes` (which is empty afterwards) and on what is due at `now`; when the batch being filled gets too
    /// large, the rest waits for the next turn.
    pub fn turn(&mut self, now: Time, wakes: &mut Vec<Wake>) {
        self.now = self.now.max(now);
        self.counts.turns += 1;
        self.waiting.extend(wakes.drain(..));
        self.observe_flight();
        self.turn_wanted = false;
        if self.stopped.is_none() {
            match catch_unwind(AssertUnwindSafe(|| self.work())) {
                Err(panic) => self.stop(&format!("a bug: {}", panic_text(&*panic)), false),
                Ok(()) => {
                    if let Some(error) = self.store.broken.take() {
                        self.stop(&format!("a bug: a batch grew beyond its limit: {error}"), false);
                    }
                }
            }
        }
        if self.stopped.is_some() {
            self.refuse_waiting();
        }
        self.end_turn();
    }

    /// The batch being filled, if it is due and none is in flight. Write it and land the flight before asking again.
    pub(crate) fn seal(&mut self) -> Option<Departure> {
        self.observe_flight();
        if !self.is_due() {
            if self.aloft.is_some() && self.snapshot_ready.is_some() {
                self.flight.want();
            }
            return None;
        }
        if self.aloft.is_some() {
            if self.flight.want() {
                return None;
            }
            self.observe_flight();
        }
        (self.stopped.is_none()).then(|| self.take_off())
    }

    /// The inbox was congested: when what was taken from it has been worked on, connections are told to go on.
    pub(crate) fn note_congestion(&mut self) {
        self.congested = true;
    }

    /// Whether a batch is in flight, as far as was noticed.
    pub(crate) fn is_aloft(&self) -> bool {
        self.aloft.is_some()
    }

    /// See [`crate::Port::catalog_version`].
    pub(crate) fn catalog_version(&self) -> u64 {
        self.machine.catalog_version()
    }

    pub(crate) fn recovery_took(&mut self, took: Duration) {
        self.counts.recovery_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    }

    /// Whether the batch being filled has its full size: nothing more is worked on before it is sealed.
    pub(crate) fn is_batch_full(&self) -> bool {
        self.store.builder.len_bytes() >= self.options.batch_bytes_max
    }

    fn work(&mut self) {
        let records = self.store.builder.record_count();
        self.heed_pressure();
        // Who asks must see what time has brought about.
        self.tick();
        while !self.is_batch_full()
            && let Some(wake) = self.waiting.pop_front()
        {
            self.handle(wake);
        }
        self.tick();
        let mut cx = Context { store: &mut self.store, effects: &mut self.effects };
        self.machine.dispatch(self.now, &mut cx);
        self.rewrite();
        self.route();
        for id in self.connections.pausing() {
            self.counts.pauses += 1;
            self.machine.pause(id, true);
        }
        self.turn_wanted |= self.machine.unfinished();
        if self.store.builder.record_count() > records {
            self.syncing.note_unasked();
        }
    }

    fn tick(&mut self) {
        if self.machine.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            let mut cx = Context { store: &mut self.store, effects: &mut self.effects };
            self.machine.tick(self.now, &mut cx);
        }
    }

    fn handle(&mut self, wake: Wake) {
        match wake {
            Wake::Requests(id, requests, _) => {
                let records = self.store.builder.record_count();
                let before_ms = self.sync_within_ms(id);
                for request in requests {
                    self.step(id, request);
                }
                if self.store.builder.record_count() > records {
                    self.syncing.note(before_ms.min(self.sync_within_ms(id)));
                }
            }
            Wake::Connect(id, outbox) => {
                self.connections.add(id, outbox);
                self.machine.connect(id);
                if self.pressure.any() {
                    self.tell_blocked(id);
                }
            }
            Wake::Disconnect(id) => {
                if self.ends(id) {
                    let mut cx = Context { store: &mut self.store, effects: &mut self.effects };
                    self.machine.disconnect(self.now, id, &mut cx);
                    self.outlive(id);
                }
            }
            Wake::Resume(id) => {
                if self.connections.resume(id) {
                    self.machine.pause(id, false);
                }
            }
            Wake::Kept(kept) => self.heed_kept(kept),
            Wake::Alarms(alarms) => self.set_alarms(alarms),
            Wake::WaitOutAlarms(id) => self.wait_out_alarms(id),
            Wake::Shutdown => self.stopping = true,
            // Who moved the clock and then asks must see what time has brought about.
            Wake::ClockMoved => self.tick(),
            Wake::Journal => {}
        }
    }

    fn step(&mut self, connection: ConnectionId, request: Request) {
        let mut request = request;
        let refusal = if self.keeps_back(&request) {
            // At the end nothing waits any more.
            request = match if self.stopping { Some(request) } else { self.hold(connection, request) } {
                Some(request) => request,
                None => return,
            };
            self.pressure.refusal()
        } else if refuse::too_large(&request) {
            refuse::message_too_large()
        } else {
            if let Request::Open { namespace, .. } = &request {
                // What was asked before goes by the rule of the namespace that it was asked in.
                self.route();
                self.note_namespace(connection, namespace);
                self.note_sync(connection, namespace);
            }
            return self.step_core(connection, request);
        };
        self.refused += 1;
        let answer = refuse::answer(request, &|| refusal.clone());
        self.effects.extend(answer.map(|event| Effect { connection, event, needs: Needs::default() }));
    }

    fn step_core(&mut self, connection: ConnectionId, request: Request) {
        let mut cx = Context { store: &mut self.store, effects: &mut self.effects };
        self.machine.step(self.now, connection, request, &mut cx);
    }

    /// Puts the collected effects in their lanes.
    fn route(&mut self) {
        let progress = self.progress();
        for effect in self.effects.drain(..) {
            self.connections.route(effect, &progress);
        }
    }

    fn end_turn(&mut self) {
        self.connections.release(&self.flight, self.flight_end());
        if self.congested && self.waiting.is_empty() {
            self.congested = false;
            self.connections.wake_all();
        }
        let sync_by = self.syncing.end_turn(self.now);
        if self.store.builder.is_empty() {
            self.settle_freed();
        } else {
            let until = self.linger_until.unwrap_or(self.now.after_ms(self.options.linger_ms));
            self.linger_until = Some(sync_by.map_or(until, |by| by.min(until)));
        }
        self.sync_when_due();
        self.reclaim_segments();
        self.publish_counts();
    }

    fn publish_counts(&mut self) {
        let (totals, sizes, counts) = (self.machine.totals(), self.machine.sizes(), &mut self.counts);
        counts.published = totals.published;
        counts.unroutable = totals.unroutable;
        counts.refused = totals.refused + self.refused;
        counts.duplicates = totals.duplicates;
        counts.delivered = totals.delivered;
        counts.redelivered = totals.redelivered;
        counts.completed = totals.completed;
        counts.released = totals.released;
        counts.dead_lettered = totals.dead_lettered;
        counts.expired = totals.expired;
        counts.dropped = totals.dropped;
        counts.queues = sizes.queues as u64;
        counts.messages = sizes.messages as u64;
        counts.consumers = sizes.consumers as u64;
        counts.resident_bytes = sizes.resident_bytes;
        counts.indexed_messages = sizes.indexed;
        counts.connections = self.connections.len() as u64;
        counts.journal_end = self.store.written;
        counts.journal_durable = self.syncing.durable;
        counts.live_bytes = self.store.needed_bytes();
        counts.chunks_read = self.store.chunks_read();
        counts.disk_full = u64::from(self.pressure.full);
        counts.memory_alarm = u64::from(self.pressure.alarms.memory);
        counts.disk_alarm = u64::from(self.pressure.alarms.disk);
        counts.held = self.held.len() as u64;
        self.counters.publish(counts);
    }

    /// Where everything will be written when the flight lands.
    fn flight_end(&self) -> u64 {
        self.aloft.as_ref().map_or(self.store.written, |aloft| aloft.end.0)
    }

    fn progress(&self) -> Progress {
        Progress {
            durable: self.syncing.durable,
            written: self.store.written,
            flight_end: self.flight_end(),
            flight_syncs: self.aloft.as_ref().is_some_and(|aloft| aloft.syncs),
            begun: self.syncing.begun(),
        }
    }

    /// Sends one event to one connection behind everything it was sent before.
    fn tell(&mut self, connection: ConnectionId, event: Event) {
        let progress = self.progress();
        self.connections.route(Effect { connection, event, needs: Needs::default() }, &progress);
    }
}
