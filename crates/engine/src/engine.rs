//! The handle to a running engine. Cheap to clone; the last clone that goes shuts it down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use baton_journal::Opened;
use baton_model::ConnectionId;
use parking_lot::Mutex;

use crate::alarms::Alarms;
use crate::clock::Clock;
use crate::error::EngineError;
use crate::inbox::{Inbox, Wake};
use crate::keeper::KeeperJob;
use crate::options::Options;
use crate::partition::{KEEPER_JOBS_MAX, Partition};
use crate::port::{Port, Waker};
use crate::run::{Runway, Worker, append_loop, keep_loop};
use crate::stats::{Counters, Health, Stats};
use crate::writer::Writer;

/// A running engine: one partition and its threads.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    next_connection: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Recovers what `opened` holds, which takes as long as its snapshot and the records behind it, and starts.
    ///
    /// # Errors
    /// The journal was damaged, or written by a newer Baton: nothing was changed. Or there is no thread to be had.
    pub fn start(opened: Opened, clock: Arc<dyn Clock>, options: Options) -> Result<Self, EngineError> {
        let started = Instant::now();
        let counters = Arc::new(Counters::default());
        let (mut partition, journal) =
            Partition::recover(opened, clock.now(), options.clone(), Arc::clone(&counters))?;
        partition.recovery_took(started.elapsed());
        let inbox = Arc::new(Inbox::default());
        let flight = partition.flight();
        let housekeeping = journal.housekeeping();
        let writer = Arc::new(Writer::new(journal, Arc::clone(&flight), Arc::clone(&counters)));
        let runway = Arc::new(Runway::default());
        let (keeper, jobs) = sync_channel(KEEPER_JOBS_MAX);

        let (syncer, syncs) = sync_channel(1);
        let keeping = |name: &str, jobs: Receiver<KeeperJob>| {
            let (housekeeping, inbox) = (Arc::clone(&housekeeping), Arc::clone(&inbox));
            spawn(name, move || keep_loop(&jobs, &*housekeeping, &inbox))
        };
        let keeper_threads = vec![keeping("baton-keeper", jobs)?, keeping("baton-sync", syncs)?];
        let append_thread = spawn("baton-journal", {
            let (runway, writer, inbox) = (Arc::clone(&runway), Arc::clone(&writer), Arc::clone(&inbox));
            move || append_loop(&runway, &writer, &inbox)
        })?;
        let worker = Worker {
            partition,
            inbox: Arc::clone(&inbox),
            clock: Arc::clone(&clock),
            writer,
            flight,
            runway,
            keeper: Some(keeper),
            syncer: Some(syncer),
            keeper_threads,
            housekeeping,
            counters: Arc::clone(&counters),
            options,
        };
        let work_thread = spawn("baton-partition", move || worker.work_loop())?;
        let threads = Mutex::new(vec![work_thread, append_thread]);
        let next_connection = AtomicU64::new(1);
        Ok(Self { inner: Arc::new(Inner { inbox, clock, counters, next_connection, threads }) })
    }

    /// Opens a port. `waker` is called when it has events, or when it may submit again.
    #[must_use]
    pub fn connect(&self, waker: Waker) -> Port {
        let id = ConnectionId(self.inner.next_connection.fetch_add(1, Ordering::Relaxed));
        Port::connect(id, Arc::clone(&self.inner.inbox), waker)
    }

    /// Numbers, now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.counters.read()
    }

    /// Bytes of requests that wait to be worked on.
    #[must_use]
    pub fn inbox_bytes(&self) -> usize {
        self.inner.inbox.request_bytes()
    }

    /// Whether it works, and if not, why.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.counters.health()
    }

    /// The time all of the engine lives in.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Says which resources are short. Producers are kept back while one is; consumers go on.
    pub fn set_alarms(&self, alarms: Alarms) {
        self.inner.inbox.push(Wake::Alarms(alarms));
    }

    /// Call after [`Clock::advance_ms`]: timers are looked at again.
    pub fn clock_moved(&self) {
        self.inner.inbox.push(Wake::ClockMoved);
    }

    /// Works on everything that waits, makes it durable, says goodbye to the connections, writes a snapshot and ends the
    /// threads. Blocks until that is done; a second call does nothing (and may return before the first).
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

impl Inner {
    fn shutdown(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        self.inbox.push(Wake::Shutdown);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine panicked while it shut down");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EngineError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(EngineError::Thread)
}
