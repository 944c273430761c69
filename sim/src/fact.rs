//! What the checkers see: everything that goes into the broker and everything that comes out of it, in the order in which
//! it happens, and what an auditor finds. A fact about an event is told when the event leaves the broker, whether or not
//! anybody receives it: from then on the broker has promised it.

use baton_core::snapshot::Item;
use baton_model::event::{Browsed, QueueInfo};
use baton_model::{Bytes, Event, Message, Request, Time};

/// One connection in the life of the simulation (a restart of the broker begins new ones).
pub type Key = u64;
/// What tells messages apart: a number in front of every body.
pub type Serial = u64;

/// A queue as the auditor found it.
#[derive(Debug)]
pub struct Audited {
    /// What the broker says of it.
    pub info: QueueInfo,
    /// Everything that is in it.
    pub messages: Vec<Browsed>,
}

/// What a broker takes, as far as it says so, and as its disk shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Messages whose index is in memory.
    pub indexed_messages: u64,
    /// As many as may be.
    pub index_messages_max: u64,
    /// Bytes of contents in memory.
    pub resident_bytes: u64,
    /// As many as may be.
    pub resident_bytes_max: u64,
    /// Bytes of the journal that are in use.
    pub live_bytes: u64,
    /// A snapshot is due when the journal has grown by so much.
    pub snapshot_bytes_min: u64,
    /// Files of segments, without those that share a stretch of positions with the journal's end (nothing there is given up) and
    /// those shorter than a stretch (what is alive in their neighbours counts for them).
    pub segments: u64,
    /// Bytes of them.
    pub disk_bytes: u64,
    /// Of the longest one of them.
    pub segment_bytes: u64,
    /// Bytes of all files but snapshots (which are as large here as what they are about), if segments can be longer than stretches.
    pub directory_bytes: Option<u64>,
    /// As long as segments may be, and as long as one is.
    pub segment_bytes_max: u64,
}

/// What a client of a real protocol says and is told: as it understands the bytes itself, whatever the session makes of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// It sent a message, or committed the transaction that the message was sent in.
    Sent {
        /// Which.
        serial: Serial,
    },
    /// It was told that its message is safe.
    Confirmed {
        /// Which.
        serial: Serial,
    },
    /// It read a message.
    Read {
        /// Its body.
        body: Bytes,
    },
    /// It said what becomes of a message that it was given, or committed that.
    Settled {
        /// Which.
        serial: Serial,
        /// What.
        ended: Ended,
    },
    /// It hung up without waiting for an answer: what it would have received may be given back.
    Left,
    /// It was told that this is done.
    Done {
        /// Which.
        serial: Serial,
    },
}

impl Known {
    /// What is known when this is done for good.
    #[must_use]
    pub fn done(&self) -> Option<Self> {
        match *self {
            Self::Sent { serial } => Some(Self::Confirmed { serial }),
            Self::Settled { serial, .. } => Some(Self::Done { serial }),
            _ => None,
        }
    }
}

/// How a client lets go of a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ended {
    /// It is done with it.
    Completed,
    /// It gives it back.
    Released,
    /// It never wants to see it again.
    Rejected,
}

/// One fact.
#[derive(Debug)]
pub enum Fact<'a> {
    /// A request went into the broker; it will be executed in this order.
    Asked {
        /// When.
        at: Time,
        /// By whom.
        by: Key,
        /// What.
        request: &'a Request,
    },
    /// An event left the broker.
    Told {
        /// When.
        at: Time,
        /// To whom.
        to: Key,
        /// What.
        event: &'a Event,
    },
    /// A connection begins whose client speaks a real protocol, and tells what it knows from it.
    Spoken {
        /// Which.
        by: Key,
    },
    /// A client knows something from the bytes of its protocol.
    Client {
        /// Which.
        by: Key,
        /// What.
        known: &'a Known,
    },
    /// A connection is gone.
    Cut {
        /// Which.
        key: Key,
    },
    /// Everything that was told so far rests on what is on stable storage.
    Durable,
    /// The broker died.
    Died {
        /// With its machine: what was not on stable storage may be gone.
        power: bool,
    },
    /// The broker is back, with this durable state, before it did anything.
    Back {
        /// When.
        at: Time,
        /// All durable state.
        state: &'a [Item],
        /// Whether the state is one that was there at the end of a batch that was or may have been durable; `Err` says how it differs.
        known: Result<(), String>,
    },
    /// The auditor looked at everything at one moment.
    Audit {
        /// When.
        at: Time,
        /// All queues.
        queues: &'a [Audited],
    },
    /// The auditor took everything out that can be taken out.
    Drained,
    /// Nothing is left to do at this time: what the broker says of itself.
    AtRest {
        /// Contents that the broker holds.
        messages: u64,
        /// Connections that the broker knows.
        connections: u64,
        /// Connections that there are.
        connections_open: u64,
        /// Deliveries that left and were not taken, bytes, at most of any connection since the last rest.
        unread_bytes_max: usize,
    },
    /// For long nothing was asked, nothing was due, and everything was in order: the state is that of the last audit.
    Idle {
        /// What the broker takes.
        usage: Usage,
    },
}

/// The number in front of a body: `m17;…` is 17.
#[must_use]
pub fn serial(message: &Message) -> Option<Serial> {
    serial_of(message.body_slice())
}

/// As [`serial`], of a body.
#[must_use]
pub fn serial_of(body: &[u8]) -> Option<Serial> {
    let rest = body.strip_prefix(b"m")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// A body for a message of that number.
#[must_use]
pub fn body(serial: Serial, filler_bytes: usize) -> Vec<u8> {
    let mut body = format!("m{serial};").into_bytes();
    body.resize(body.len() + filler_bytes, b'x');
    body
}
