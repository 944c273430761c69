//! The threads of a journal on disk: one prepares segments ahead of time, one syncs at intervals if the policy says so. Both
//! end when the journal is dropped.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::options::SyncPolicy;
use crate::shared::Shared;

/// Requests that may wait: whoever asks only wants it done once more from now on.
const REQUESTS_MAX: usize = 1;

pub(crate) struct Background {
    /// `None` only while dropping: the threads end when their channel does.
    prepare: Option<SyncSender<()>>,
    interval: Option<SyncSender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let mut threads = Vec::new();
        let (prepare, requests) = sync_channel(REQUESTS_MAX);
        threads.push(spawn("journal-prepare", shared, move |shared| prepare_on_request(shared, &requests))?);
        let mut interval = None;
        if let SyncPolicy::Interval(every) = shared.options.sync {
            let (sender, ends) = sync_channel::<()>(REQUESTS_MAX);
            interval = Some(sender);
            threads.push(spawn("journal-sync", shared, move |shared| {
                while ends.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    // The failure poisons the journal; the next append reports it.
                    let _ = shared.sync();
                }
            })?);
        }
        Ok(Self { prepare: Some(prepare), interval, threads })
    }

    pub(crate) fn prepare_soon(&self) {
        if let Some(prepare) = &self.prepare {
            // When one request waits already, a second would change nothing.
            let _ = prepare.try_send(());
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.prepare = None;
        self.interval = None;
        for thread in self.threads.drain(..) {
            // A panic there has been printed, and there is nothing to clean up.
            let _ = thread.join();
        }
    }
}

fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    body: impl FnOnce(&Shared) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&shared))
}

fn prepare_on_request(shared: &Shared, requests: &Receiver<()>) {
    while requests.recv().is_ok() {
        shared.spares.prepare();
    }
}
