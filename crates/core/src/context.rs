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

/// Keeps what the core decides. The core calls it in the order things happen and never looks back.
pub trait Store {
    /// Takes a durable record (the core keeps transient ones to itself) and says where it will lie.
    /// The record is not on stable storage yet: what depends on it says so in [`Effect::needs`].
    fn append(&mut self, record: &Record) -> Appended;

    /// Reads back a content that [`Appended::content`] located. `None`: the disk failed; the caller leaves the message where it is.
    fn load(&mut self, at: Stored) -> Option<Bytes>;

    /// What was appended last is to be written soon, though nobody waits for it.
    fn hurry(&mut self) {}

    /// Nothing refers to the content any more; its space may be reclaimed.
    fn free(&mut self, at: Stored);
}

/// Where a record will lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Appended {
    /// The journal position behind the record: once everything before it is durable, the record is.
    pub end: u64,
    /// Of an `Enqueued` or `Edited` record: where the message's content lies.
    pub content: Option<Stored>,
}

/// An event for a connection, and what must be durable before it leaves.
#[derive(Clone, Debug)]
pub struct Effect {
    /// To whom.
    pub connection: ConnectionId,
    /// What.
    pub event: Event,
    /// The journal position that must be durable first ([`Appended::end`]). `None`: it depends on nothing.
    /// Events of one connection never overtake each other, whatever they need.
    pub needs: Option<u64>,
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
    pub(crate) fn emit(&mut self, connection: ConnectionId, needs: Option<u64>, event: Event) {
        self.effects.push(Effect { connection, event, needs });
    }
}
