//! The two signals that end a broker: the first asks, the second insists.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals from here on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's, which it has no reason to give.
    pub(crate) fn take() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and gives its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// From here on the next one ends the process at once.
    pub(crate) fn insist(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(
                signal = name,
                "second signal: ending at once; nothing that was confirmed is lost"
            );
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
    }
}
