//! Time, and the identifiers that are numbers. Newtypes, so that two of them cannot be swapped unnoticed.
//! Names of queues and exchanges are text (`crate::Name`) and not here.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A point in time: milliseconds since the Unix epoch, by whatever clock the caller uses
    /// (the machine's, a simulation's, or the test clock). The pure crates only ever receive it.
    Time(u64)
}
number! {
    /// One client connection, unique in the life of a broker process.
    ConnectionId(u64)
}
number! {
    /// A scope inside a connection that leases belong to, chosen by the session: an AMQP channel, an AMQP 1.0 link,
    /// the whole connection for protocols that have nothing smaller. When it goes, its linked leases end.
    LinkId(u32)
}
number! {
    /// A consumer inside a connection, chosen by the session and unique in the connection while it lives.
    ConsumerId(u32)
}
number! {
    /// What a session calls an answer by: chosen by the session, echoed by the broker.
    Token(u64)
}
number! {
    /// A queue for as long as it exists. Never reused within a journal's life.
    QueueId(u32)
}
number! {
    /// A message's place in its queue: grows by one with every enqueue at the back. A message released to the *back* gets a new one;
    /// one that is put in front gets a lower one than those there, which may have been another's before.
    Seq(u64)
}
number! {
    /// A lease's fencing number: only ever grows within a queue, across restarts too.
    Fence(u64)
}
number! {
    /// A message for as long as it exists anywhere in the broker; kept when it is moved or dead-lettered.
    MessageId(u64)
}

impl Time {
    /// The time `ms` milliseconds later; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time, 0 if `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A delivery as its receiver names it: the queue, the message's place in it, and the lease under which it was handed over.
/// Enough to settle it from any process that holds it, and refused when the lease is no longer the message's current one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryRef {
    /// The queue that delivered.
    pub queue: QueueId,
    /// The message's place in it.
    pub seq: Seq,
    /// The lease.
    pub fence: Fence,
}
