//! The threads around a partition: one that works, one that appends, one that keeps house, one that syncs what nobody waits for.
//!
//! The working thread sleeps in the inbox. It hands a sealed batch to the appending thread, which wakes the connections
//! whose events waited, and wakes the working thread only if that asked for it. When nothing else waits and storage is
//! quick, the working thread appends by itself: at low rates that saves a wake-up for each batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use baton_journal::{Housekeeping, JournalError};
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::flight::Flight;
use crate::inbox::{Inbox, Wake};
use crate::keeper::{self, KeeperJob};
use crate::options::{INLINE_BYTES_MAX, Options};
use crate::partition::Partition;
use crate::stats::Counters;
use crate::writer::{Attempt, Departure, Writer};

/// How long between attempts to append to a disk that is full to the last byte.
const FULL_RETRY: Duration = Duration::from_millis(50);
/// How long a shutdown waits for a full disk before it gives up what is not durable (and so was never confirmed).
const SHUTDOWN_FULL_WAIT: Duration = Duration::from_secs(5);

/// The way of batches to the appending thread.
#[derive(Default)]
pub(crate) struct Runway {
    state: Mutex<RunwayState>,
    wake: Condvar,
    giving_up: AtomicBool,
}

#[derive(Default)]
struct RunwayState {
    departure: Option<Departure>,
    closed: bool,
}

impl Runway {
    fn submit(&self, departure: Departure) {
        self.state.lock().departure = Some(departure);
        self.wake.notify_one();
    }

    fn next(&self) -> Option<Departure> {
        let mut state = self.state.lock();
        loop {
            if let Some(departure) = state.departure.take() {
                return Some(departure);
            }
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }
}

/// The appending thread.
pub(crate) fn append_loop(runway: &Runway, writer: &Writer, inbox: &Inbox) {
    while let Some(mut departure) = runway.next() {
        loop {
            match writer.attempt(departure) {
                Attempt::Landed { wake } => {
                    if wake {
                        inbox.push(Wake::Journal);
                    }
                    break;
                }
                Attempt::Again(again) if runway.giving_up.load(Ordering::Relaxed) => {
                    let needed_bytes = again.batch.len_bytes() as u64;
                    let error = JournalError::Full { needed_bytes, free_bytes: 0, reserve_bytes: 0 };
                    writer.fail(error);
                    break;
                }
                Attempt::Again(again) => {
                    departure = again;
                    std::thread::sleep(FULL_RETRY);
                }
            }
        }
    }
}

/// The keeping thread, and the syncing one.
pub(crate) fn keep_loop(jobs: &Receiver<KeeperJob>, housekeeping: &dyn Housekeeping, inbox: &Inbox) {
    while let Ok(job) = jobs.recv() {
        inbox.push(Wake::Kept(keeper::perform(housekeeping, job)));
    }
}

/// What the working thread works with.
pub(crate) struct Worker {
    pub(crate) partition: Partition,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) runway: Arc<Runway>,
    pub(crate) keeper: Option<SyncSender<KeeperJob>>,
    pub(crate) syncer: Option<SyncSender<KeeperJob>>,
    /// Of both.
    pub(crate) keeper_threads: Vec<std::thread::JoinHandle<()>>,
    pub(crate) housekeeping: Arc<dyn Housekeeping>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) options: Options,
}

impl Worker {
    /// The working thread.
    pub(crate) fn work_loop(mut self) {
        let mut wakes = Vec::new();
        loop {
            self.pass_on();
            if self.partition.is_stopping() && self.partition.is_drained() {
                break;
            }
            if self.must_wait_for_flight() {
                self.wait_for_flight();
                continue;
            }
            let timeout = self.partition.timeout(self.clock.now());
            if self.inbox.take(&mut wakes, timeout) {
                self.partition.note_congestion();
            }
            self.partition.turn(self.clock.now(), &mut wakes);
            self.inbox.set_catalog_version(self.partition.catalog_version());
        }
        self.end(&mut wakes);
    }

    /// Lets go what the last turn left: a batch, jobs.
    fn pass_on(&mut self) {
        while let Some(departure) = self.partition.seal() {
            if self.appends_itself(&departure) {
                match self.writer.attempt(departure) {
                    // Something may be due that waited for it.
                    Attempt::Landed { .. } => continue,
                    Attempt::Again(departure) => self.runway.submit(departure),
                }
            } else {
                self.runway.submit(departure);
            }
            break;
        }
        for job in self.partition.take_jobs() {
            // A sync must not wait for a snapshot that is being written.
            let thread = if matches!(job, KeeperJob::Sync) { &mut self.syncer } else { &mut self.keeper };
            if thread.as_ref().is_some_and(|thread| thread.send(job).is_err()) {
                *thread = None;
            }
        }
    }

    /// What is only written takes less time than waking another thread for it.
    fn appends_itself(&self, departure: &Departure) -> bool {
        let quick =
            || self.counters.appends.average() < self.options.inline_append_max && self.inbox.is_empty();
        departure.batch.len_bytes() <= INLINE_BYTES_MAX && (!departure.syncs || quick())
    }

    /// With a full batch behind a flight, or at the end, there is nothing else to do.
    fn must_wait_for_flight(&self) -> bool {
        self.partition.is_aloft() && (self.partition.is_batch_full() || self.partition.is_stopping())
    }

    fn wait_for_flight(&mut self) {
        if !self.flight.wait(SHUTDOWN_FULL_WAIT) && self.partition.is_stopping() && self.flight.is_full() {
            self.runway.giving_up.store(true, Ordering::Relaxed);
        }
        self.partition.turn(self.clock.now(), &mut Vec::new());
    }

    /// Everything is durable (or has failed): goodbyes, a last snapshot, and the other threads end.
    fn end(&mut self, wakes: &mut Vec<Wake>) {
        if self.partition.stopped().is_none()
            && let Err(error) = self.writer.sync()
        {
            tracing::error!(%error, "the last sync failed");
        }
        self.partition.say_goodbye();
        self.runway.close();
        // Closing the channels ends their threads when they have done what they were given.
        (self.keeper, self.syncer) = (None, None);
        for thread in self.keeper_threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a housekeeping thread panicked");
            }
        }
        wakes.extend(self.inbox.close().into_iter().filter(|wake| matches!(wake, Wake::Kept(_))));
        self.partition.turn(self.clock.now(), wakes);
        if let Some(job) = self.partition.final_snapshot() {
            let kept = keeper::perform(&*self.housekeeping, job);
            wakes.push(Wake::Kept(kept));
            self.partition.turn(self.clock.now(), wakes);
        }
    }
}
