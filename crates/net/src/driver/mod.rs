//! The one connection driver: moves bytes, events and time between a stream and a session. Called by [`crate::listen`]
//! with TCP and TLS streams, by tests with in-memory ones; any stream will do.
//!
//! ```text
//!            ┌─ Wake ─────────────────────────────┐
//!  stream ───┤ Bytes  Ended  Written  Room        │      burst: session.receive, .event for each, .tick, .flush
//!  engine ───┤ Rung                               ├───▶         gate.check each request ──▶ one port.submit
//!  time   ───┤ Deadline                           │             out.wire ──▶ pending ──▶ one write
//!  logins ───┤ LoggedIn                           │
//!            └────────────────────────────────────┘
//! ```
//!
//! Back-pressure: while bytes wait to be written no events are taken from the port, so deliveries pile up where the
//! engine sees and stops them; while much waits to be written, a login runs, or the engine is congested, the session
//! gets no bytes, and after a small read-ahead (only to notice that the peer went away) the socket is not read.
//!
//! - `wait` is the closed list of what wakes a connection; `burst` is what happens then; `farewell` how it ends.
//!
//! Conventions for sessions:
//! - A refused request comes back as its own answer: `Published { Refused }`, `Fetched { Err }`, else `Reply { Err }`
//!   with the request's token. Requests without an answer (credit, flow, detach) are dropped. Refusals come in the same
//!   burst, before answers of the engine to earlier requests, and what the session asked for after the refused request in
//!   that burst is not undone.
//! - `Authenticate` is answered here. Until then the session gets no more bytes; after the answer it is shown again what
//!   it left in its input, so it may stop in front of frames that only make sense when logged in. `Open` connects to the engine; requests
//!   before it are refused.
//! - The namespace in `Open` is replaced by its canonical name.
//! - `Closing` comes once, from an operator or a shutdown; the peer then has [`crate::limits::GOODBYE`].
//! - `disconnected` is called exactly once for every session that did not panic, also after it set `close` itself.

mod burst;
mod farewell;
mod pending;
mod wait;

use std::io;
use std::sync::Arc;

use baton_dialect::{Session, SessionContext};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connections::Entry;
use crate::hub::Hub;

use burst::Connection;

/// Makes the session of a new connection.
pub type SessionFactory = Arc<dyn Fn(SessionContext) -> Box<dyn Session> + Send + Sync>;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer closed its side.
    PeerClosed,
    /// The stream failed.
    Failed(io::Error),
    /// The session said so.
    SessionClosed,
    /// It was told goodbye and took too long to answer.
    GoodbyeOver,
    /// The first bytes are a TLS handshake, but nobody speaks TLS here.
    TlsToPlain,
    /// The session is broken: what it did.
    Defect(String),
}

/// Serves one connection until it ends. `entry` is the connection's, in the hub's list.
pub async fn drive<S>(stream: S, session: Box<dyn Session>, hub: Arc<Hub>, entry: Arc<Entry>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut connection = Connection::new(stream, session, hub, Arc::clone(&entry));
    let end = loop {
        let wake = connection.wait(entry.bell()).await;
        if let Some(end) = connection.handle(wake) {
            break end;
        }
    };
    log_end(&entry, &end);
    connection.farewell(end).await;
}

fn log_end(entry: &Entry, end: &End) {
    let (listener, peer) = (entry.listener, entry.peer);
    match end {
        End::PeerClosed | End::SessionClosed => tracing::debug!(listener, %peer, ?end, "connection closed"),
        End::Failed(error) => tracing::debug!(listener, %peer, %error, "connection lost"),
        End::GoodbyeOver => {
            tracing::warn!(listener, %peer, "closed: the peer did not say goodbye in time");
        }
        End::TlsToPlain => {
            entry.counters.failed_handshakes.add(1);
            tracing::warn!(
                listener, %peer,
                "closed: the peer speaks TLS but this listener does not; connect without TLS or configure [tls]"
            );
        }
        End::Defect(what) => {
            entry.counters.defects.add(1);
            tracing::error!(listener, %peer, what, "closed: a defect in Baton; please report it");
        }
    }
}

#[cfg(test)]
#[path = "../driver_tests.rs"]
mod tests;
