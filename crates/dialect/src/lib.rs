//! What every wire protocol of Baton is: a [`Session`], one per connection, that turns bytes into requests and events
//! into bytes. Sessions have no socket, no clock, no threads and no randomness; the one driver in `net` (and the
//! simulation) moves bytes and time for all of them.
//!
//! ```text
//!            bytes, now                       requests
//!  peer ───────────────▶ Session::receive ───────────────▶ access check ──▶ engine
//!  peer ◀─────────────── Session::event   ◀──────────────────────────────── engine
//!             bytes       (and ::flush)          events
//! ```
//!
//! Protocols on HTTP have sessions of their own kind, which get whole requests: [`http`].
//!
//! No queue logic, no dialect's own types, and no knowledge of the engine's inside is here.

pub mod http;
pub mod large;
pub mod names;
pub mod selector;
pub mod settling;

use baton_model::{Event, Name, Request, Time};
use bytes::{Bytes, BytesMut};

/// One connection's protocol machine.
///
/// The driver calls, in any order: [`receive`](Self::receive) when bytes came, [`event`](Self::event) for each event of
/// the engine, [`tick`](Self::tick) when [`deadline`](Self::deadline) is reached; and after each such burst
/// [`flush`](Self::flush) once, then hands `out.requests` to the engine and writes `out.wire` with one call.
/// When the socket ends it calls [`disconnected`](Self::disconnected) and submits what that asked for; nothing follows.
pub trait Session: Send {
    /// Bytes came. Takes whole frames off the front of `input` and leaves an unfinished rest there.
    /// `input` is never larger than one frame's limit plus one read; a session that waits for more than it allows must close.
    fn receive(&mut self, now: Time, input: &mut BytesMut, out: &mut Output);

    /// How many bytes must be at the front of the input before the session can do anything with it, where it knows: the length of
    /// a large frame that has begun. The driver then gathers them in a buffer of just that size, in which the frame can
    /// become a message without being copied ([`large`]). 0: not known.
    fn awaited_bytes(&self) -> usize {
        0
    }

    /// Whether messages wait during a resource alarm even if they ask for an answer: true where an answer may be late, and a refusal
    /// would end the connection. Asked once, when the connection is opened.
    fn waits_out_alarms(&self) -> bool {
        false
    }

    /// The engine says something.
    fn event(&mut self, now: Time, event: Event, out: &mut Output);

    /// `now` has reached the deadline that [`deadline`](Self::deadline) gave.
    fn tick(&mut self, now: Time, out: &mut Output);

    /// When the session next wants to be ticked (heart-beats, time-outs). `None`: never.
    fn deadline(&self) -> Option<Time>;

    /// The end of a burst: write what was collected to be written together (confirms of many messages, runs of acks).
    fn flush(&mut self, now: Time, out: &mut Output);

    /// The socket is gone. Requests that give up what the connection holds go to `out`; nothing may be written.
    /// The engine also ends everything of a connection that vanishes, so a session with nothing special does nothing.
    fn disconnected(&mut self, now: Time, out: &mut Output);

    /// What an operator sees of this connection: protocol, user, client product. One line.
    fn describe(&self) -> String;
}

/// What a session wants done. Filled by the session, emptied by the driver.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes for the peer.
    pub wire: BytesMut,
    /// Large pieces that belong between them, in order; whoever takes `wire` takes these too. See [`Output::attach`].
    pub attached: Vec<Attached>,
    /// Requests for the engine, in order.
    pub requests: Vec<Request>,
    /// The session is over: write `wire`, then close the socket. Requests are still submitted.
    pub close: bool,
}

/// Bytes that belong between those of [`Output::wire`].
#[derive(Debug)]
pub struct Attached {
    /// So many bytes of `wire` come before them.
    pub behind: usize,
    /// The bytes.
    pub bytes: Bytes,
}

/// Pieces of a body of at least so many bytes are worth being attached: below, copying costs less than one more piece to write.
pub const ATTACHED_BYTES_MIN: usize = 64 << 10;

impl Output {
    /// Adds bytes behind what is in `wire` so far without copying them, so that a large body is not held twice while it is
    /// being sent.
    pub fn attach(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.attached.push(Attached { behind: self.wire.len(), bytes });
        }
    }
}

/// What a session is told when it is made. All randomness and all limits come from here.
#[derive(Clone, Debug)]
pub struct SessionContext {
    /// The peer, for humans: `127.0.0.1:50412`.
    pub peer: Name,
    /// The peer is on the same machine, by a loopback address.
    pub loopback: bool,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// A number nobody can guess, different for every connection; names that must not be guessed are made of it.
    pub entropy: u64,
    /// Largest body of a message accepted, bytes. What else a message has is bounded by its dialect's own limits.
    pub message_bytes_max: u64,
    /// The product's version, for greetings.
    pub version: &'static str,
}
