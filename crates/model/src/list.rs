//! A queue used as a list: what can be asked by position, by value and by end, and what is answered.
//!
//! The elements of a list are a queue's ready messages, in the order in which they would be delivered; what is in flight,
//! scheduled or set aside is not part of it. A queue without ready messages is the same as none: reading, popping and
//! counting treat both alike. Which end of the queue is the *left* one is the queue's to say ([`crate::policy::ListPolicy`]).
//!
//! Indexes count from 0 at the left, or from -1 backwards at the right, and are cut to what there is, as Redis does.
//! Elements are compared by their bodies.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::Name;
use crate::error::Refusal;
use crate::ids::{DeliveryRef, LinkId, Time, Token};
use crate::message::Message;
use crate::request::Publish;

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Index 0.
    Left,
    /// Index -1.
    Right,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// One operation. Answered by [`crate::event::Reply::Listed`]. Operations of one connection are done in the order they are asked for:
/// those behind one that waits wait for its end, at most [`crate::limits::LIST_REQUESTS_BEHIND_MAX`] of them.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Echoed.
    pub token: Token,
    /// The link that leases of popped elements belong to, where the queue leases them.
    pub link: LinkId,
    /// What.
    pub op: ListOp,
    /// `Pop` and `Move` that find nothing wait so long from when their turn comes, milliseconds, longest-waiting first, and
    /// are answered with [`Listed::Absent`] when nothing came. Ignored by the others. `None`: not at all; `u64::MAX`: for ever.
    pub wait_ms: Option<u64>,
}

/// Several operations, all in one step: nothing comes between them, and what they write is in one batch of the journal.
/// An operation that is refused does not keep the others from being done. Answered by [`Listed::All`] or [`Listed::Changed`].
#[derive(Clone, Debug)]
pub struct ListGroup {
    /// Echoed.
    pub token: Token,
    /// As in [`ListRequest`].
    pub link: LinkId,
    /// Nothing is done unless all of these lists are at these versions.
    pub unless_changed: Vec<(Name, Version)>,
    /// In this order. None of them waits.
    pub ops: Vec<ListOp>,
}

/// A list's version: another one after every change of its elements or of its expiry, as long as the process lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Version(pub u32, pub u64);

/// What to do.
#[derive(Clone, Debug)]
pub enum ListOp {
    /// Add elements at an end, one after the other: the last of them is outermost. Answered by [`Listed::Count`], the new length.
    Push {
        /// The queue.
        queue: Name,
        /// Where.
        side: Side,
        /// What, at least one.
        messages: SmallVec<[Message; 1]>,
        /// Make the queue if there is none. False: only where elements are already, else nothing is done and the answer is 0.
        create: bool,
    },
    /// Take elements from an end of the first of the queues that has any. Answered by [`Listed::Popped`] or [`Listed::Absent`].
    Pop {
        /// In order of preference.
        queues: SmallVec<[Name; 1]>,
        /// Which end.
        side: Side,
        /// At most so many.
        count_max: u64,
    },
    /// Take one element from an end and put it at an end of another queue or of the same, in one step; the queue is made if there
    /// is none. Answered by [`Listed::Element`] or [`Listed::Absent`].
    Move {
        /// From here.
        from: Name,
        /// To there.
        to: Name,
        /// From which end.
        take: Side,
        /// At which end.
        put: Side,
    },
    /// How many elements. Answered by [`Listed::Count`].
    Length {
        /// The queue.
        queue: Name,
    },
    /// Elements by their indexes, both ends included. Answered by [`Listed::Elements`].
    Range {
        /// The queue.
        queue: Name,
        /// From.
        first: i64,
        /// To.
        last: i64,
    },
    /// One element. Answered by [`Listed::Element`] or [`Listed::Absent`].
    Index {
        /// The queue.
        queue: Name,
        /// Which.
        index: i64,
    },
    /// Replace one element. Answered by [`Listed::Done`]; refused with `QueueNotFound` or `MessageNotFound`.
    Set {
        /// The queue.
        queue: Name,
        /// Which.
        index: i64,
        /// By what.
        message: Message,
    },
    /// Put an element beside the leftmost one that equals `pivot`. Answered by [`Listed::Count`], the new length (0: no such list), or
    /// [`Listed::Absent`]: no such element.
    Insert {
        /// The queue.
        queue: Name,
        /// Beside this.
        pivot: Bytes,
        /// On which side of it.
        side: Side,
        /// What.
        message: Message,
    },
    /// Remove elements that equal `value`: the first `count` from the left, the first `-count` from the right, or with 0 all.
    /// Answered by [`Listed::Count`].
    Remove {
        /// The queue.
        queue: Name,
        /// Equal to this.
        value: Bytes,
        /// How many, from where.
        count: i64,
    },
    /// Remove all elements outside of a range. Answered by [`Listed::Done`].
    Trim {
        /// The queue.
        queue: Name,
        /// The first that stays.
        first: i64,
        /// The last that stays.
        last: i64,
    },
    /// Where elements that equal `value` are. Answered by [`Listed::Indexes`].
    Find {
        /// The queue.
        queue: Name,
        /// Equal to this.
        value: Bytes,
        /// Begin with the so manieth match: from the left if positive, from the right if negative. Not 0.
        rank: i64,
        /// At most so many matches; 0: all.
        count_max: u64,
        /// Compare at most so many elements; 0: all.
        examine_max: u64,
    },
    /// Remove all elements of these. Answered by [`Listed::Count`]: how many of them had any.
    Delete {
        /// Which.
        queues: Vec<Name>,
    },
    /// How many of these have elements; one that is named twice counts twice. Answered by [`Listed::Count`].
    Exist {
        /// Which.
        queues: Vec<Name>,
    },
    /// All elements go to another queue, in place of what is there. Answered by [`Listed::Count`]: 1, or 0 if `if_absent` and there is one;
    /// refused with `QueueNotFound`.
    Rename {
        /// From here.
        from: Name,
        /// To there.
        to: Name,
        /// Only if the other has no elements.
        if_absent: bool,
    },
    /// All elements go at a time, or no longer. Answered by [`Listed::Count`]: 1 if that changed something.
    Expire {
        /// The queue.
        queue: Name,
        /// When; in the past: now. `None`: never.
        at: Option<Time>,
        /// On which condition.
        condition: ExpireIf,
    },
    /// When all elements go. Answered by [`Listed::Expires`] or [`Listed::Absent`].
    Expiry {
        /// The queue.
        queue: Name,
    },
    /// Names of queues that have elements, in order. Answered by [`Listed::Names`].
    Names {
        /// Only greater ones.
        after: Option<Name>,
        /// Look at no more queues than this.
        examine_max: u64,
    },
    /// How many queues of the namespace have elements. Answered by [`Listed::Count`].
    CountAll,
    /// Remove all elements of all queues of the namespace. Answered by [`Listed::Count`].
    DeleteAll,
    /// The versions of these. Answered by [`Listed::Versions`].
    Versions {
        /// Which.
        queues: Vec<Name>,
    },
    /// Send a message as [`crate::request::Request::Publish`] does. Answered by [`Listed::Count`]: how many queues and listeners it reached.
    Send(Box<Publish>),
}

/// When a new expiry replaces what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExpireIf {
    /// Only if there is none.
    pub none: bool,
    /// Only if there is one.
    pub some: bool,
    /// Only if it is later; none counts as never.
    pub later: bool,
    /// Only if it is earlier; none counts as never.
    pub earlier: bool,
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Listed {
    /// There is nothing.
    Absent,
    /// It is done.
    Done,
    /// A number.
    Count(u64),
    /// One element.
    Element(Message),
    /// Elements, in order.
    Elements(Vec<Message>),
    /// Elements that were taken.
    Popped(Popped),
    /// Indexes, in the order they were found.
    Indexes(Vec<u64>),
    /// When all elements go; `None`: never.
    Expires(Option<Time>),
    /// Names.
    Names {
        /// In order.
        names: Vec<Name>,
        /// Go on behind this one; `None`: that was all.
        next: Option<Name>,
    },
    /// Versions, in the order asked for.
    Versions(Vec<Version>),
    /// The answers of a group, in order.
    All(Vec<Result<Self, Refusal>>),
    /// A list of the group's condition has changed: nothing was done.
    Changed,
}

/// See [`Listed::Popped`].
#[derive(Clone, Debug)]
pub struct Popped {
    /// Where they were.
    pub queue: Name,
    /// In the order they were taken.
    pub elements: SmallVec<[Message; 1]>,
    /// What to settle them by, if the queue leases what is popped; else empty, and they are gone.
    pub leases: Box<[DeliveryRef]>,
}

impl Listed {
    /// Bytes of the messages that it shows.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Element(message) => message.size_bytes(),
            Self::Elements(messages) => messages.iter().map(Message::size_bytes).sum(),
            Self::Popped(popped) => popped.elements.iter().map(Message::size_bytes).sum(),
            Self::All(all) => all.iter().flatten().map(Self::content_bytes).sum(),
            _ => 0,
        }
    }
}

impl ListOp {
    /// Bytes of the messages that it brings in.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Push { messages, .. } => messages.iter().map(Message::size_bytes).sum(),
            Self::Set { message, .. } | Self::Insert { message, .. } => message.size_bytes(),
            Self::Send(publish) => publish.message.size_bytes(),
            _ => 0,
        }
    }

    /// The largest of the messages that it brings in, bytes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        match self {
            Self::Push { messages, .. } => messages.iter().map(Message::size_bytes).max().unwrap_or(0),
            other => other.content_bytes(),
        }
    }

    /// Whether it brings messages in.
    #[must_use]
    pub fn brings(&self) -> bool {
        matches!(self, Self::Push { .. } | Self::Set { .. } | Self::Insert { .. } | Self::Send(_))
    }
}
