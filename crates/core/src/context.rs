//! What the core is given to work with, and what it hands out: the [`Store`] that keeps records and message contents,
//! and [`Effect`]s. The engine implements the first over a journal and parks the second until they may leave.

use baton_model::{ConnectionId, Event};
use bytes::Bytes;

use crate::record::Record;

/// Where a message's content (envelope and body) lies in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Position of its first byte.
    pub position: u64,
    /// Its length.
    pub len_bytes: u32,
}

/// Length of a stretch of positions, the unit in which what is in use is counted. Segments have 2 MiB and more; a content
/// that begins at the end of a neighbour's stretch can keep a segment a little longer than needed, so stretches are much
/// shorter than segments.
pub const STRETCH_BYTES: u64 = 64 << 10;

/// What a content's record and its share of a batch's frame take beside the content itself, about. Counted as in use with the
/// content: of very small messages it is the larger part, and a segment full of them would look half dead.
const RECORD_BYTES_ABOUT: u64 = 48;

/// How much of one stretch of the journal is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Which: positions divided by [`STRETCH_BYTES`].
    pub stretch: u64,
    /// How much, with what the records around it take.
    pub bytes: u64,
}

impl From<Stored> for Held {
    fn from(at: Stored) -> Self {
        Self { stretch: at.position / STRETCH_BYTES, bytes: u64::from(at.len_bytes) + RECORD_BYTES_ABOUT }
    }
}

impl Held {
    /// Whether the stretch and these positions have something in common.
    #[must_use]
    pub fn touches(&self, positions: &std::ops::Range<u64>) -> bool {
        let from = self.stretch * STRETCH_BYTES;
        from < positions.end && positions.start < from + STRETCH_BYTES
    }
}

/// Reads back what [`Appended::content`] located.
pub trait Load {
    /// The bytes there. `None`: the disk failed; the caller leaves things as they are.
    fn load(&mut self, at: Stored) -> Option<Bytes>;
}

/// Keeps what the core decides. The core calls it in the order things happen and never looks back.
pub trait Store: Load {
    /// Takes a durable record (the core keeps transient ones to itself) and says where it will lie.
    /// The record is not on stable storage yet: what depends on it says so in [`Effect::needs`].
    /// What has a content there is in use from now on.
    fn append(&mut self, record: &Record) -> Appended;

    /// The content there is given up; when nobody else uses it, its space may be reclaimed.
    fn free(&mut self, at: Held);

    /// The content there is used once more: it has to be given up once more.
    fn hold(&mut self, at: Held);

    /// The page there is given up. Unlike a content it may still be read at the next recovery, as long as a snapshot names it:
    /// its space may be reclaimed when none that could be used does.
    fn free_page(&mut self, at: Held);
}

/// Where a record will lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Appended {
    /// The journal position behind the record: once everything before it is durable, the record is.
    pub end: u64,
    /// Of an `Enqueued`, `Edited` or `Copied` record: where the message's content lies; of a `PageWritten`: where its entries lie.
    pub content: Option<Stored>,
}

/// What must have become of records before an event leaves. Both are journal positions ([`Appended::end`]); `None`: it
/// depends on nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Everything before this is on stable storage: it survives whatever happens to the machine.
    pub durable: Option<u64>,
    /// Everything before this is in the operating system's hands: it survives the end of the process.
    pub written: Option<u64>,
}

impl Needs {
    /// What both need.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { durable: self.durable.max(other.durable), written: self.written.max(other.written) }
    }
}

/// A position that must be durable.
impl From<Option<u64>> for Needs {
    fn from(durable: Option<u64>) -> Self {
        Self { durable, written: None }
    }
}

/// An event for a connection, and what must be stored before it leaves.
#[derive(Clone, Debug)]
pub struct Effect {
    /// To whom.
    pub connection: ConnectionId,
    /// What.
    pub event: Event,
    /// What it waits for. Events of one connection never overtake each other, whatever they need.
    pub needs: Needs,
}

/// What a step works with.
pub struct Context<'a> {
    /// Keeps records and contents.
    pub store: &'a mut dyn Store,
    /// Collects what leaves, in order.
    pub effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    /// Adds an effect.
    pub(crate) fn emit(&mut self, connection: ConnectionId, needs: impl Into<Needs>, event: Event) {
        self.effects.push(Effect { connection, event, needs: needs.into() });
    }
}
