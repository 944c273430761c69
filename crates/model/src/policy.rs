//! How a queue behaves: plain data, whichever protocol it came from. The rules themselves are in `core`.

use crate::Name;
use crate::ids::Time;
use crate::list::Side;

/// All that can be said about a queue. `Default` is a durable, unbounded FIFO queue that never dead-letters.
#[derive(Clone, PartialEq, Debug)]
pub struct QueuePolicy {
    /// The queue, and the durable messages in it, survive a restart.
    pub durable: bool,
    /// Every message in it survives a restart, whatever its sender asked for. Only means anything in a durable queue.
    pub persist_all: bool,
    /// Only the connection that declared it may use it; it goes with that connection.
    pub exclusive: bool,
    /// Deleted when its last consumer goes (not before it had one).
    pub auto_delete: bool,
    /// Deleted when it had no consumer, no fetch and no redeclare for so long.
    pub idle_ms_max: Option<u64>,
    /// Messages expire so long after they were enqueued; the shorter of this and the message's own counts.
    pub ttl_ms: Option<u64>,
    /// The queue's time to live counts from when a message was sent, also for those that died elsewhere and were moved here, and
    /// a changed one is for the messages that are there too.
    pub ttl_since_sent: bool,
    /// Messages without a delay of their own become deliverable so long after they were enqueued.
    pub delay_ms: u64,
    /// Capacity.
    pub capacity: Capacity,
    /// Where messages go that were rejected, expired, pushed out or failed too often. `None`: nowhere, they are gone.
    pub dead_letter: Option<DeadLetterPolicy>,
    /// Messages whose time to live ends are gone, also where there is a dead-letter policy.
    pub drop_expired: bool,
    /// Highest priority told apart; greater ones count as this one. 0: all messages are equal.
    pub priority_max: u8,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// Length of a timed lease when the consumer does not say, in milliseconds.
    pub lease_ms: u64,
    /// Longest a linked lease may last before the message is taken back and its consumer cancelled.
    pub linked_lease_ms_max: Option<u64>,
    /// Where a released message goes.
    pub release_to: ReleaseTo,
    /// Ordering keys.
    pub keys: KeyPolicy,
    /// Deduplication.
    pub dedup: Option<DedupPolicy>,
    /// Limits of dispatch.
    pub dispatch: DispatchPolicy,
    /// The queue used as a list.
    pub list: ListPolicy,
    /// What dialects and users attach to the queue (AMQP's `x-queue-type`, SQS tags); Baton gives them back and reads none.
    pub labels: Vec<(Name, Name)>,
}

/// How much fits, and what happens then. `None`: no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capacity {
    /// Messages waiting (ready and scheduled; what is in flight does not count).
    pub messages_max: Option<u64>,
    /// Bytes of the bodies of those.
    pub bytes_max: Option<u64>,
    /// One message's body, bytes.
    pub message_bytes_max: Option<u64>,
    /// What happens when the queue is full.
    pub overflow: Overflow,
}

/// What a full queue does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// The oldest messages make room: dead-lettered where there is a dead-letter policy, dropped otherwise.
    #[default]
    DropOldest,
    /// The new message is refused.
    Refuse,
    /// The new message is refused and dead-lettered.
    RefuseAndDeadLetter,
}

/// Where dead letters go: through an exchange, so to queues in the end. The default exchange (empty name) reaches a queue by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterPolicy {
    /// The exchange.
    pub exchange: Name,
    /// The routing key; `None` keeps the message's own.
    pub key: Option<Name>,
}

/// Attempts and backoff.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RetryPolicy {
    /// After so many attempts counted by `counter` a message is poison. `None`: never.
    pub attempts_max: Option<u32>,
    /// Which counter is compared.
    pub counter: Counter,
    /// How long a message waits before it is offered again. `None`: not at all.
    pub backoff: Option<Backoff>,
}

/// The two counters of a message in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Counter {
    /// Leases that ended badly: released as failure, timed out, consumer gone. Poison when it **exceeds** the maximum.
    #[default]
    Failed,
    /// All leases ever granted. Poison when the message would be handed out once more than the maximum.
    Acquired,
}

/// Waiting time before attempt n+1, `n` counted from 1 by the counter of the policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Backoff {
    /// Shape.
    pub growth: Growth,
    /// The first waiting time, milliseconds.
    pub min_ms: u64,
    /// The longest waiting time, milliseconds.
    pub max_ms: u64,
    /// Fraction (0 to 1) of the waiting time that is taken off at random, by a seed the core is given.
    pub jitter: f64,
    /// Which releases wait.
    pub on: BackoffOn,
}

/// How waiting times grow.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Growth {
    /// min, min, min …
    Constant,
    /// min × n.
    Linear,
    /// min × factor^(n-1).
    Exponential(f64),
}

/// Which releases wait for the backoff.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackoffOn {
    /// Failures only.
    #[default]
    Failed,
    /// Returns that do not count as failure only.
    Returned,
    /// Both.
    All,
}

/// Where a released message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReleaseTo {
    /// Its original place in the order.
    #[default]
    Original,
    /// Behind all others.
    Back,
}

/// Ordering keys: whether a message's group key means anything in this queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyPolicy {
    /// How keys order messages.
    pub mode: KeyMode,
    /// What happens to a key when one of its messages has spent its attempts.
    pub poison: KeyPoison,
}

/// How keys order messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyMode {
    /// Group keys are ignored.
    #[default]
    Off,
    /// While a message of a key is in flight (or waits for its retry), no later one of that key leaves. SQS FIFO.
    Ordered,
    /// As `Ordered`, and a key's messages go only to the holder of the key's session lock, who gets them in order without waiting. Service Bus.
    Session,
    /// A key sticks to the consumer that got its first message until that consumer goes. JMSXGroupID.
    Sticky,
    /// Keys do not order; consumers' turns alternate among keys so that one busy key cannot starve others. SQS fair queues.
    Fair,
}

/// What happens to a key when one of its messages is poison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyPoison {
    /// The message is dead-lettered, the key goes on with a hole in its order.
    #[default]
    Skip,
    /// The message stays first and its key is held until an operator acts.
    Block,
    /// The message is dead-lettered and the key's later messages wait until an operator unparks the key.
    Park,
}

/// Deduplication window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DedupPolicy {
    /// How long an id is remembered, milliseconds.
    pub window_ms: u64,
    /// Messages without a dedup id are compared by a hash of their body.
    pub by_body: bool,
    /// Ids count per ordering key instead of per queue.
    pub per_key: bool,
}

/// Limits of dispatch.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct DispatchPolicy {
    /// Nothing leaves while true; sending goes on.
    pub paused: bool,
    /// Messages per second handed out at most, with a burst of so many.
    pub rate: Option<Rate>,
    /// Messages in flight at most.
    pub in_flight_max: Option<u64>,
    /// Only one consumer at a time gets messages, the others wait for it to go.
    pub single_active: bool,
}

/// The queue used as a list ([`crate::list`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListPolicy {
    /// Which end of the list is the front of the queue, where messages are delivered from; the other one is where sent messages come
    /// in. `None`: nobody has used an end yet. The first push decides (its end is the back), or the first pop (its end is the front),
    /// so that both of the usual pairs, push left with pop right and push right with pop left, are first in, first out for everybody.
    pub front: Option<Side>,
    /// Popped elements are leased to their receiver's link, not settled: they come back when it goes.
    pub lease_pops: bool,
    /// Deleted when it has been without messages, consumers and waiting requests for so long, milliseconds.
    pub empty_ms_max: Option<u64>,
    /// All elements go then.
    pub expires_at: Option<Time>,
}

/// How long a queue that a push made stays when it is empty, milliseconds: long enough that a queue in use never goes,
/// short enough that names used once do not pile up.
pub const LIST_EMPTY_MS_DEFAULT: u64 = 60_000;

impl QueuePolicy {
    /// The policy of a queue that came into being because somebody pushed an element at that end.
    #[must_use]
    pub fn of_list(back: Side) -> Self {
        let list = ListPolicy {
            front: Some(back.other()),
            empty_ms_max: Some(LIST_EMPTY_MS_DEFAULT),
            ..ListPolicy::default()
        };
        Self { list, ..Self::default() }
    }
}

/// A token bucket.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Tokens per second, above 0.
    pub per_second: f64,
    /// Bucket size, at least 1.
    pub burst: u32,
}

/// Length of a timed lease when nobody says, milliseconds: SQS's default visibility timeout.
pub const LEASE_MS_DEFAULT: u64 = 30_000;

impl Default for QueuePolicy {
    fn default() -> Self {
        Self {
            durable: true,
            persist_all: false,
            exclusive: false,
            auto_delete: false,
            idle_ms_max: None,
            ttl_ms: None,
            ttl_since_sent: false,
            delay_ms: 0,
            capacity: Capacity::default(),
            dead_letter: None,
            drop_expired: false,
            priority_max: 0,
            retry: RetryPolicy::default(),
            lease_ms: LEASE_MS_DEFAULT,
            linked_lease_ms_max: None,
            release_to: ReleaseTo::default(),
            keys: KeyPolicy::default(),
            dedup: None,
            dispatch: DispatchPolicy::default(),
            list: ListPolicy::default(),
            labels: Vec::new(),
        }
    }
}
