//! The thread of a journal on disk: it prepares segments ahead of time, and ends when the journal is dropped.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::shared::Shared;

/// Requests that may wait: whoever asks only wants it done once more from now on.
const REQUESTS_MAX: usize = 1;

pub(crate) struct Background {
    /// `None` only while dropping: the thread ends when its channel does.
    prepare: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let (prepare, requests) = sync_channel(REQUESTS_MAX);
        let thread = spawn("journal-prepare", shared, move |shared| prepare_on_request(shared, &requests))?;
        Ok(Self { prepare: Some(prepare), thread: Some(thread) })
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
        if let Some(thread) = self.thread.take() {
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
