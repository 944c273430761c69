//! The end of a connection: the session and the engine are told, what is left is written, and the stream is closed so
//! that the peer reads the last bytes rather than a reset.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{LAST_WRITE, LINGER, READ_BYTES_MIN};

use super::End;
use super::burst::{Connection, panic_text};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn farewell(mut self, end: End) {
        self.login = None;
        if !matches!(end, End::Defect(_)) {
            self.tell_session();
        }
        // What the connection held goes back now, not when the last byte is written.
        self.port = None;
        match end {
            End::Failed(_) => return,
            End::PeerClosed if self.pending.is_empty() => return,
            End::TlsToPlain => {
                // A fatal alert, so that the peer's TLS says what happened instead of reporting a broken connection:
                // record type 21, TLS 1.2, two bytes: fatal, protocol_version (RFC 8446, 6).
                self.pending.push(&[21, 3, 3, 0, 2, 2, 70]);
                self.unflushed = true;
            }
            End::PeerClosed | End::SessionClosed | End::GoodbyeOver | End::Defect(_) => {}
        }
        let mut peer_closed = matches!(end, End::PeerClosed);
        let written = timeout(LAST_WRITE, async {
            poll_fn(|cx| self.poll_last_write(cx, &mut peer_closed)).await?;
            self.stream.shutdown().await
        });
        if !matches!(written.await, Ok(Ok(()))) || peer_closed {
            return;
        }
        let _ = timeout(LINGER, poll_fn(|cx| self.poll_discard(cx))).await;
    }

    fn tell_session(&mut self) {
        let now = self.hub.clock.now();
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.session.disconnected(now, &mut self.out);
            self.submit(now);
        }));
        self.out.wire.clear();
        self.out.attached.clear();
        if let Err(panic) = told {
            self.entry.counters.defects.add(1);
            let (listener, peer, what) = (self.entry.listener, self.entry.peer, panic_text(&*panic));
            tracing::error!(listener, %peer, what, "a defect in Baton at the end of a connection; please report it");
        }
    }

    /// Writes what is left while throwing away what comes, so that a peer that only sends is not waited for in vain.
    fn poll_last_write(&mut self, cx: &mut Context<'_>, peer_closed: &mut bool) -> Poll<io::Result<()>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(result) = self.poll_write_pending(cx) {
            return Poll::Ready(result);
        }
        if !*peer_closed && self.poll_discard(cx).is_ready() {
            *peer_closed = true;
        }
        Poll::Pending
    }

    /// Reads and forgets until the peer closes.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; READ_BYTES_MIN];
        loop {
            match pin!(self.stream.read(&mut scrap)).poll(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
