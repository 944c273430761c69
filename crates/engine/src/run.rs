//! The threads around a partition: one that works, one that appends, one that keeps house.
//!
//! The working thread sleeps in the inbox. It hands a sealed batch to the appending thread, which wakes the connections
//! whose events waited, and wakes the working thread only if that asked for it. When nothing else waits and storage is
//! quick, the working thread appends by itself: at low rates that saves a wake-up for each batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use baton_journal::{Housekeeping, JournalError, SealedBatch};
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::flight::Flight;
use crate::inbox::{Inbox, Wake};
use crate::keeper::{self, KeeperJob};
use crate::options::{INLINE_BYTES_MAX, Options};
use crate::partition::Partition;
use crate::stats::Counters;
use crate::writer::{Attempt, Writer};

/// How long between attempts to append to a disk that is full to the last byte.
const FULL_RETRY: Duration = Duration::from_millis(50);
/// How long a shutdown waits for a full disk before it gives up what is not durable (and so was never confirmed).
const SHUTDOWN_FULL_WAIT: Duration = Duration::from_secs(5);

/// The way of batches to the appending thread, and of their buffers back.
#[derive(Default)]
pub(crate) struct Runway {
    state: Mutex<RunwayState>,
    wake: Condvar,
    giving_up: AtomicBool,
}

#[derive(Default)]
struct RunwayState {
    batch: Option<SealedBatch>,
    spent: Vec<SealedBatch>,
    closed: bool,
}

impl Runway {
    fn submit(&self, batch: SealedBatch) {
        self.state.lock().batch = Some(batch);
        self.wake.notify_one();
    }

    fn next(&self, spent: Option<SealedBatch>) -> Option<SealedBatch> {
        let mut state = self.state.lock();
        state.spent.extend(spent);
        loop {
            if let Some(batch) = state.batch.take() {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
    }

    fn take_spent(&self) -> Option<SealedBatch> {
        self.state.lock().spent.pop()
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }
}

/// The appending thread.
pub(crate) fn append_loop(runway: &Runway, writer: &Writer, inbox: &Inbox) {
    let mut spent = None;
    while let Some(mut batch) = runway.next(spent.take()) {
        loop {
            match writer.attempt(batch) {
                Attempt::Landed { wake, batch } => {
                    spent = Some(batch);
                    if wake {
                        inbox.push(Wake::Journal);
                    }
                    break;
                }
                Attempt::Again(again) if runway.giving_up.load(Ordering::Relaxed) => {
                    let needed_bytes = again.len_bytes() as u64;
                    let error = JournalError::Full { needed_bytes, free_bytes: 0, reserve_bytes: 0 };
                    writer.fail(again, error);
                    break;
                }
                Attempt::Again(again) => {
                    batch = again;
                    std::thread::sleep(FULL_RETRY);
                }
            }
        }
    }
}

/// The keeping thread.
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
    pub(crate) keeper_thread: Option<std::thread::JoinHandle<()>>,
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
        while let Some(batch) = self.partition.seal() {
            if self.appends_itself(&batch) {
                match self.writer.attempt(batch) {
                    Attempt::Landed { batch, .. } => {
                        self.partition.recycle(batch);
                        // Something may be due that waited for it.
                        continue;
                    }
                    Attempt::Again(batch) => self.runway.submit(batch),
                }
            } else {
                self.runway.submit(batch);
            }
            break;
        }
        while let Some(batch) = self.runway.take_spent() {
            self.partition.recycle(batch);
        }
        for job in self.partition.take_jobs() {
            if let Some(keeper) = &self.keeper
                && keeper.send(job).is_err()
            {
                self.keeper = None;
            }
        }
    }

    fn appends_itself(&self, batch: &SealedBatch) -> bool {
        batch.len_bytes() <= INLINE_BYTES_MAX
            && self.counters.appends.average() < self.options.inline_append_max
            && self.inbox.is_empty()
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
        // Closing the channel ends the keeper when it has done what it was given.
        self.keeper = None;
        if let Some(thread) = self.keeper_thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the housekeeping thread panicked");
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
