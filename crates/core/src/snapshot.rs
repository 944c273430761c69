//! A snapshot: the durable state as a stream of items that rebuild it. Contents are not in it, only where they lie.

use std::sync::Arc;

use baton_model::request::MessageState;
use baton_model::{Fence, MessageId, Name, Overlay, QueueId, Seq, Time};

use crate::context::Stored;
pub use crate::queue::page::Summary;
use crate::record::Record;

/// One item of a snapshot. Order: catalog records first, then queues with their entries.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// Numbers of the whole partition.
    Machine {
        /// The next queue's id.
        next_queue: u32,
        /// The next message's id.
        next_message: u64,
        /// How often this state was recovered: part of every fencing number.
        generation: u32,
    },
    /// A queue, exchange, binding, resting name or transfer, as the record that makes it.
    Catalog(Record),
    /// Numbers of a queue; comes behind its `QueueCreated`.
    Queue {
        /// Which.
        queue: QueueId,
        /// The next message's place.
        next_seq: Seq,
        /// The last fencing number granted.
        last_fence: Fence,
        /// Keys that wait for an operator.
        held_keys: Vec<Name>,
        /// Dedup ids still remembered: id, of which message, at which place, until when.
        dedup: Vec<(Name, MessageId, Seq, Time)>,
    },
    /// A message in a queue.
    Entry(Box<EntryItem>),
    /// A page of messages of a queue that is in the journal, by its summary.
    Page {
        /// Which queue.
        queue: QueueId,
        /// The page's number: its places divided by [`PAGE_PLACES`].
        page: u64,
        /// Where its entries lie.
        at: Stored,
        /// What they are, in numbers.
        summary: Box<Summary>,
    },
}

/// Places in a page.
pub const PAGE_PLACES: u64 = crate::queue::entries::PAGE;

/// See [`Item::Entry`].
#[derive(Clone, PartialEq, Debug)]
pub struct EntryItem {
    /// Its queue.
    pub queue: QueueId,
    /// Its place.
    pub seq: Seq,
    /// Its id: entries with the same id share their content.
    pub id: MessageId,
    /// Where its content lies.
    pub content: Stored,
    /// How much of that is envelope.
    pub envelope_bytes: u32,
    /// When it came in.
    pub enqueued_at: Time,
    /// When it was first leased.
    pub first_acquired_at: Option<Time>,
    /// Leases granted.
    pub acquired: u32,
    /// Leases that ended badly.
    pub failed: u32,
    /// Its state.
    pub state: MessageState,
    /// When the state ends by itself: delivery time, lease end.
    pub until: Option<Time>,
    /// When it expires.
    pub expires_at: Option<Time>,
    /// The lease, if it is in flight.
    pub fence: Fence,
    /// The lease also ends when its link goes.
    pub linked: bool,
    /// Priority.
    pub priority: u8,
    /// Ordering key.
    pub key: Option<Name>,
    /// What happened to it before.
    pub overlay: Option<Arc<Overlay>>,
}
