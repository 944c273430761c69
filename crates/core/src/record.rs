//! Records: the facts that a partition's state is the fold of. What happened, never what was asked; every decision
//! (routes, sequence numbers, times, jitter) is already made in them.
//!
//! The bytes are in [`crate::codec`]; applying them is [`crate::Machine::apply`]. A record whose `durable` is false
//! concerns only what does not survive a restart: it is applied like any other, but never written.

use std::sync::Arc;

use baton_model::event::Transfer;
use baton_model::route::{Binding, ExchangePolicy};
use baton_model::{Fence, Message, MessageId, Name, Overlay, QueueId, QueuePolicy, Seq, Time};
use smallvec::SmallVec;

use crate::snapshot::EntryItem;

/// One fact.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// A queue exists.
    QueueCreated(Box<QueueCreated>),
    /// A queue has another policy.
    QueueChanged {
        /// Which.
        queue: QueueId,
        /// Its policy from now on.
        policy: Box<QueuePolicy>,
        /// When.
        at: Time,
    },
    /// A queue and all that was in it are gone, with its bindings.
    QueueDeleted {
        /// Which.
        queue: QueueId,
    },
    /// An exchange exists.
    ExchangeCreated {
        /// Where.
        namespace: Name,
        /// Its name.
        name: Name,
        /// Its policy.
        policy: Box<ExchangePolicy>,
    },
    /// An exchange is gone, with the bindings from and to it.
    ExchangeDeleted {
        /// Where.
        namespace: Name,
        /// Its name.
        name: Name,
    },
    /// A binding exists.
    Bound {
        /// Where.
        namespace: Name,
        /// What.
        binding: Box<Binding>,
        /// It survives a restart: both its ends do.
        durable: bool,
    },
    /// A binding is gone.
    Unbound {
        /// Where.
        namespace: Name,
        /// What.
        binding: Box<Binding>,
    },
    /// A name is not to be used for a while.
    NameRested {
        /// Where.
        namespace: Name,
        /// The name.
        name: Name,
        /// When that was said.
        at: Time,
        /// Until when.
        until: Time,
    },
    /// A transfer began, went on or ended; what it moved is in records of its own.
    TransferNoted(Box<TransferNoted>),
    /// A message came in, to one or more queues; its content is stored once.
    Enqueued(Box<Enqueued>),
    /// Messages were leased, with consecutive fencing numbers in the order of `seqs`.
    Leased(Leased),
    /// Messages are gone from their queue for good.
    Removed {
        /// Which queue.
        queue: QueueId,
        /// Which messages.
        seqs: Runs,
        /// Why.
        reason: Removal,
        /// They were durable.
        durable: bool,
    },
    /// Leased messages went back, or scheduled and deferred ones became ready.
    Released(Released),
    /// Leased messages were set aside.
    Deferred {
        /// Which queue.
        queue: QueueId,
        /// Which messages.
        seqs: Runs,
        /// They are durable.
        durable: bool,
    },
    /// A timed lease ends at another time.
    Extended {
        /// Which queue.
        queue: QueueId,
        /// Which message.
        seq: Seq,
        /// The new end.
        until: Time,
        /// It is durable.
        durable: bool,
    },
    /// A message left a queue for others (dead-lettered, moved by an operator), in one step: it is never in both or neither.
    Moved(Box<Moved>),
    /// Messages that wait went to consecutive places of another queue, or of the same one, in one step.
    Transferred(Transferred),
    /// A message's content was replaced in place.
    Edited {
        /// Which queue.
        queue: QueueId,
        /// Which message.
        seq: Seq,
        /// The new content.
        message: Message,
        /// It is durable.
        durable: bool,
    },
    /// A message's content lies at another place of the journal, so that the place where it lay can be reclaimed. Nothing else changes.
    Copied {
        /// Which queue.
        queue: QueueId,
        /// Which message.
        seq: Seq,
        /// The same content.
        message: Message,
        /// It is durable.
        durable: bool,
    },
    /// A page of a queue's index as it is, so that it need not stay in memory. Nothing else changes.
    PageWritten {
        /// Which queue.
        queue: QueueId,
        /// The page's number: its places divided by [`crate::snapshot::PAGE_PLACES`].
        page: u64,
        /// All messages of the page, in order; none is in flight.
        entries: Vec<EntryItem>,
    },
    /// The partition was recovered: no connection from before lives, so linked leases have ended (not as failures: the
    /// consumers did nothing wrong), and fencing numbers go on from `generation` × 2^40.
    Recovered {
        /// How often this partition has been recovered, this time included.
        generation: u32,
        /// When.
        at: Time,
    },
    /// A key was parked or blocked, or let go.
    KeyHeld {
        /// Which queue.
        queue: QueueId,
        /// Which key.
        key: Name,
        /// Whether its messages wait for an operator.
        held: bool,
        /// The queue is durable.
        durable: bool,
    },
}

/// See [`Record::QueueCreated`].
#[derive(Clone, PartialEq, Debug)]
pub struct QueueCreated {
    /// Its id.
    pub queue: QueueId,
    /// Where.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its policy.
    pub policy: QueuePolicy,
    /// When.
    pub at: Time,
}

/// See [`Record::Enqueued`].
#[derive(Clone, PartialEq, Debug)]
pub struct Enqueued {
    /// Its id. A message that goes to durable and transient queues has two records with the same id.
    pub id: MessageId,
    /// When.
    pub at: Time,
    /// The message.
    pub message: Message,
    /// What happened to it before, if this is no new message but one that came from a place that did not survive a restart.
    pub overlay: Option<Arc<Overlay>>,
    /// Where it is now.
    pub places: SmallVec<[Place; 1]>,
    /// It and its queues survive a restart.
    pub durable: bool,
}

/// A message's place in a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// The queue.
    pub queue: QueueId,
    /// Its place there.
    pub seq: Seq,
    /// Its priority, already limited to the queue's.
    pub priority: u8,
    /// When it expires.
    pub expires_at: Option<Time>,
    /// When it becomes deliverable, if not at once.
    pub deliver_at: Option<Time>,
    /// Its ordering key, where the queue heeds keys.
    pub key: Option<Name>,
    /// Its dedup id and until when that counts, where the queue deduplicates.
    pub dedup: Option<(Name, Time)>,
}

/// See [`Record::Leased`].
#[derive(Clone, PartialEq, Debug)]
pub struct Leased {
    /// Which queue.
    pub queue: QueueId,
    /// The first one's fencing number; the others follow.
    pub fence: Fence,
    /// When.
    pub at: Time,
    /// When the leases end at the latest.
    pub until: Option<Time>,
    /// They also end when their link goes.
    pub linked: bool,
    /// Which messages, in the order they were leased.
    pub seqs: Runs,
    /// They are durable.
    pub durable: bool,
}

/// See [`Record::Released`].
#[derive(Clone, PartialEq, Debug)]
pub struct Released {
    /// Which queue.
    pub queue: QueueId,
    /// Which messages.
    pub seqs: Runs,
    /// It counts as a failed attempt.
    pub failed: bool,
    /// When they become deliverable, if not at once.
    pub deliver_at: Option<Time>,
    /// Their new places (consecutive, in the order of `seqs`) if they went to the back.
    pub back: Option<Seq>,
    /// They are durable.
    pub durable: bool,
}

/// See [`Record::Moved`].
#[derive(Clone, PartialEq, Debug)]
pub struct Moved {
    /// The queue it left.
    pub from: QueueId,
    /// Its place there.
    pub seq: Seq,
    /// When.
    pub at: Time,
    /// Where it is now. Empty: nowhere, it was dropped on the way (a cycle, or no route).
    pub places: SmallVec<[Place; 1]>,
    /// What happened to it, this included.
    pub overlay: Arc<Overlay>,
    /// It was durable where it came from. A durable move to transient places is written as one to nowhere.
    pub durable: bool,
}

/// See [`Record::TransferNoted`].
#[derive(Clone, PartialEq, Debug)]
pub struct TransferNoted {
    /// The queue that it moves from.
    pub queue: QueueId,
    /// How it stands.
    pub transfer: Transfer,
    /// Messages from this place on came after it began, and are not moved.
    pub end: Seq,
    /// The queue survives a restart.
    pub durable: bool,
}

/// See [`Record::Transferred`].
#[derive(Clone, PartialEq, Debug)]
pub struct Transferred {
    /// The queue they left.
    pub from: QueueId,
    /// Their places there, in the order of their new places.
    pub seqs: Runs,
    /// The queue they are in now.
    pub to: QueueId,
    /// The first one's place there; the others follow.
    pub first: Seq,
    /// When. Between two queues they count as new in the second one; within one only their places change.
    pub at: Time,
    /// Between two queues: they expire no later.
    pub expires_at: Option<Time>,
    /// They are durable, and both queues survive a restart.
    pub durable: bool,
}

/// Why messages are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// Settled as done.
    Completed,
    /// Time to live ended, and nowhere to go.
    Expired,
    /// Pushed out of a full queue, or rejected, or spent, with nowhere to go.
    Dropped,
    /// Purged or deleted by a user.
    Deleted,
}

/// Sequence numbers as runs of consecutive ones, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runs(SmallVec<[(Seq, u32); 2]>);

impl Runs {
    /// One number.
    #[must_use]
    pub fn one(seq: Seq) -> Self {
        let mut runs = Self::default();
        runs.push(seq);
        runs
    }

    /// Adds a number behind the others.
    pub fn push(&mut self, seq: Seq) {
        match self.0.last_mut() {
            Some((first, count)) if first.0 + u64::from(*count) == seq.0 && *count < u32::MAX => *count += 1,
            _ => self.0.push((seq, 1)),
        }
    }

    /// Adds a whole run.
    pub fn push_run(&mut self, first: Seq, count: u32) {
        self.0.push((first, count));
    }

    /// The runs.
    #[must_use]
    pub fn runs(&self) -> &[(Seq, u32)] {
        &self.0
    }

    /// The numbers.
    pub fn iter(&self) -> impl Iterator<Item = Seq> + '_ {
        self.0.iter().flat_map(|(first, count)| (0..u64::from(*count)).map(|i| Seq(first.0 + i)))
    }

    /// How many numbers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Seq> for Runs {
    fn from_iter<I: IntoIterator<Item = Seq>>(seqs: I) -> Self {
        let mut runs = Self::default();
        seqs.into_iter().for_each(|seq| runs.push(seq));
        runs
    }
}

impl Record {
    /// Whether it must be written: false for what concerns only things that do not survive a restart.
    #[must_use]
    pub fn durable(&self) -> bool {
        match self {
            Self::QueueCreated(created) => created.policy.durable && !created.policy.exclusive,
            Self::ExchangeCreated { policy, .. } => policy.durable,
            // Deleting something transient is harmless to replay: it is not there.
            Self::QueueChanged { .. }
            | Self::QueueDeleted { .. }
            | Self::ExchangeDeleted { .. }
            | Self::Unbound { .. }
            | Self::NameRested { .. }
            | Self::PageWritten { .. }
            | Self::Recovered { .. } => true,
            Self::TransferNoted(noted) => noted.durable,
            Self::Enqueued(enqueued) => enqueued.durable,
            Self::Leased(leased) => leased.durable,
            Self::Released(released) => released.durable,
            Self::Moved(moved) => moved.durable,
            Self::Transferred(transferred) => transferred.durable,
            Self::Bound { durable, .. }
            | Self::Removed { durable, .. }
            | Self::Deferred { durable, .. }
            | Self::Extended { durable, .. }
            | Self::Edited { durable, .. }
            | Self::Copied { durable, .. }
            | Self::KeyHeld { durable, .. } => *durable,
        }
    }
}
