//! Driving a partition without threads: tests and the simulation decide when time passes, when a batch is appended and when
//! housekeeping is done. Every order of these that threads can produce can be produced here, and repeated.

use std::sync::Arc;

use baton_core::snapshot::Item;
use baton_journal::{Housekeeping, JournalError, Opened, Position};
use baton_model::{ConnectionId, Event, Time};

use crate::alarms::Alarms;
use crate::error::EngineError;
use crate::inbox::{Inbox, Wake};
use crate::keeper::{self, KeeperJob};
use crate::options::Options;
use crate::partition::Partition;
use crate::port::{Port, Waker};
use crate::stats::{Counters, Health, Stats};
use crate::writer::{Attempt, Departure, Writer};

/// A partition with everything around it but threads.
pub struct Driver {
    partition: Partition,
    inbox: Arc<Inbox>,
    writer: Writer,
    housekeeping: Arc<dyn Housekeeping>,
    counters: Arc<Counters>,
    in_flight: Option<Departure>,
    jobs: Vec<KeeperJob>,
    next_connection: u64,
}

impl Driver {
    /// Recovers what `opened` holds.
    ///
    /// # Errors
    /// As for [`crate::Engine::start`].
    pub fn start(opened: Opened, now: Time, options: Options) -> Result<Self, EngineError> {
        let counters = Arc::new(Counters::default());
        let (partition, journal) = Partition::recover(opened, now, options, Arc::clone(&counters))?;
        let housekeeping = journal.housekeeping();
        let writer = Writer::new(journal, partition.flight(), Arc::clone(&counters));
        Ok(Self {
            partition,
            inbox: Arc::default(),
            writer,
            housekeeping,
            counters,
            in_flight: None,
            jobs: Vec::new(),
            next_connection: 1,
        })
    }

    /// Opens a port whose waker is `waker`.
    pub fn connect_with(&mut self, waker: Waker) -> Port {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        Port::connect(id, Arc::clone(&self.inbox), waker)
    }

    /// Opens a port that nobody wakes: look with [`events`].
    pub fn connect(&mut self) -> Port {
        self.connect_with(Arc::new(|| {}))
    }

    /// Says which resources are short.
    pub fn set_alarms(&mut self, alarms: Alarms) {
        self.inbox.push(Wake::Alarms(alarms));
    }

    /// One turn with everything that waits. If a batch is due and none is in flight, it takes off; returns whether one is in flight.
    pub fn turn(&mut self, now: Time) -> bool {
        let mut wakes = Vec::new();
        if self.inbox.take(&mut wakes, Some(std::time::Duration::ZERO)) {
            self.partition.note_congestion();
        }
        self.partition.turn(now, &mut wakes);
        self.take_off();
        self.in_flight.is_some()
    }

    /// Appends the batch in flight; what waited for it leaves. False: nothing is in flight, or the disk is full.
    pub fn land(&mut self) -> bool {
        let Some(departure) = self.in_flight.take() else { return false };
        match self.writer.attempt(departure) {
            Attempt::Landed { wake } => {
                if wake {
                    self.inbox.push(Wake::Journal);
                }
                true
            }
            Attempt::Again(departure) => {
                self.in_flight = Some(departure);
                false
            }
        }
    }

    /// Does the oldest job of housekeeping. False: there is none.
    pub fn keep(&mut self) -> bool {
        if self.jobs.is_empty() {
            return false;
        }
        let kept = keeper::perform(&*self.housekeeping, self.jobs.remove(0));
        self.inbox.push(Wake::Kept(kept));
        true
    }

    /// Turns, appends and keeps house until nothing is left to do at `now`.
    ///
    /// # Panics
    /// When that does not come to an end, which would be a bug (or a disk that is full to the last byte).
    pub fn rest(&mut self, now: Time) {
        for _ in 0..100_000 {
            self.turn(now);
            let worked = [self.land(), self.keep()].contains(&true);
            if !worked
                && self.inbox.is_empty()
                && self.partition.timeout(now) != Some(std::time::Duration::ZERO)
            {
                return;
            }
        }
        panic!("the partition does not come to rest");
    }

    /// When the partition next wants a turn though nobody wakes it, milliseconds from `now`.
    #[must_use]
    pub fn timeout_ms(&self, now: Time) -> Option<u64> {
        self.partition.timeout(now).map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// Shuts down in order: everything is durable and in a snapshot.
    ///
    /// # Errors
    /// The last sync failed.
    pub fn shutdown(mut self, now: Time) -> Result<(), JournalError> {
        self.inbox.push(Wake::Shutdown);
        while !(self.partition.is_stopping() && self.partition.is_drained()) {
            self.turn(now);
            self.land();
        }
        self.writer.sync()?;
        self.partition.say_goodbye();
        self.jobs.extend(self.partition.take_jobs());
        while self.keep() {}
        self.turn(now);
        self.jobs.extend(self.partition.final_snapshot());
        while self.keep() {}
        Ok(())
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// All durable state, as the items of a snapshot.
    #[must_use]
    pub fn state(&self) -> Vec<Item> {
        self.partition.state()
    }

    /// The journal's end, and up to where it is durable.
    #[must_use]
    pub fn stored(&self) -> (Position, Position) {
        self.writer.stored()
    }

    /// Its numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.counters.health()
    }

    fn take_off(&mut self) {
        if self.in_flight.is_none() {
            self.in_flight = self.partition.seal();
        }
        self.jobs.extend(self.partition.take_jobs());
    }
}

/// All events that wait in a port, counted as written.
#[must_use]
pub fn events(port: &Port) -> Vec<Event> {
    let mut events = Vec::new();
    port.take_events(&mut events);
    port.written(events.iter().map(crate::delivery_bytes).sum());
    events
}
