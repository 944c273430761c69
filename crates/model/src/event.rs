//! What the broker tells a session: answers to its requests, deliveries, and news it did not ask for.
//!
//! Events of one connection arrive in order. None of them leaves before what it depends on is on stable storage.

use std::sync::Arc;

use crate::Name;
use crate::error::Refusal;
use crate::ids::{ConsumerId, DeliveryRef, Fence, LinkId, MessageId, QueueId, Seq, Time, Token};
use crate::list::Listed;
use crate::message::Message;
use crate::policy::QueuePolicy;
use crate::request::{MessageState, Topic};
use crate::route::{Binding, ExchangePolicy};

/// What is told about every message is there without a box of its own.
const _: () = assert!(size_of::<Event>() <= 104);

/// One event.
#[derive(Clone, Debug)]
pub enum Event {
    /// Answer to a publish that asked for one, or that was refused.
    Published {
        /// The publish's.
        token: Token,
        /// What became of it.
        outcome: PublishOutcome,
    },
    /// A mandatory message that reached no queue. Comes before its `Published`.
    Returned {
        /// The publish's.
        token: Token,
        /// As sent.
        exchange: Name,
        /// As sent.
        key: Name,
        /// As sent.
        message: Message,
    },
    /// A message for a consumer.
    Delivered(Box<Delivery>),
    /// Answer to a fetch.
    Fetched {
        /// The fetch's.
        token: Token,
        /// What it got; empty when nothing came in time.
        result: Result<Fetched, Refusal>,
    },
    /// Answer to a settle that had a token.
    Settled {
        /// The settle's.
        token: Token,
        /// Deliveries that were no longer current; nothing was done to them.
        stale: Vec<DeliveryRef>,
    },
    /// A consumer ended without having asked to.
    Cancelled {
        /// Which.
        consumer: ConsumerId,
        /// Why.
        reason: CancelReason,
    },
    /// A timed or linked lease that this link held has ended without it; the delivery is somebody else's now.
    LeaseEnded {
        /// Which link held it.
        link: LinkId,
        /// Which delivery.
        delivery: DeliveryRef,
    },
    /// A message was sent that this connection listens for, see [`crate::request::Request::Listen`].
    Heard {
        /// Which of its topics matched; with several, one event comes for each.
        topic: Topic,
        /// The routing key.
        key: Name,
        /// The message.
        message: Message,
    },
    /// Producers are asked to stop (`Some`, with the limit that was met) or may go on (`None`): memory or disk is short.
    /// Meanwhile a publish with `confirm` is refused ([`crate::RefusalCode::MemoryFull`], [`crate::RefusalCode::DiskFull`];
    /// the same publish will do later), one without waits in the broker, up to a limit. All else goes on. A dialect whose
    /// protocol can say so says so; one that cannot leaves it out, since its publishes are answered. Comes also right after
    /// a connection began, before its handshake is over.
    Blocked {
        /// Which limit, in few words: `low on memory`.
        reason: Option<Name>,
    },
    /// The broker shuts down or an operator closes the connection: say goodbye as the protocol does.
    Closing {
        /// For the peer.
        reason: Name,
    },
    /// Answer to everything else.
    Reply {
        /// The request's.
        token: Token,
        /// What came of it.
        result: Result<Reply, Refusal>,
    },
}

/// What became of a publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublishOutcome {
    /// It is in so many queues, on stable storage where it is durable. 0: it reached none and was dropped, or was returned.
    Accepted {
        /// Its id in the broker.
        id: MessageId,
        /// Its place in the first of the queues.
        seq: Seq,
        /// How many.
        queues: u32,
    },
    /// A message with this dedup id was accepted before: this is that one's answer, and nothing was stored.
    Duplicate {
        /// Of the earlier one.
        id: MessageId,
        /// Of the earlier one.
        seq: Seq,
    },
    /// At least one queue refused it.
    Refused(Refusal),
}

/// One hand-over of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to settle it by.
    pub at: DeliveryRef,
    /// To whom; for a fetch, of no meaning.
    pub consumer: ConsumerId,
    /// The link that holds the lease.
    pub link: LinkId,
    /// The message's id in the broker.
    pub id: MessageId,
    /// The message.
    pub message: Message,
    /// Leases granted in this queue, this one included.
    pub acquired: u32,
    /// Leases that ended badly in this queue.
    pub failed: u32,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// When it came into this queue.
    pub enqueued_at: Time,
    /// When it was first leased in this queue.
    pub first_acquired_at: Option<Time>,
    /// When a timed lease ends.
    pub lease_until: Option<Time>,
    /// What happened to it before it came here; `None` for most messages.
    pub overlay: Option<Arc<Overlay>>,
}

/// What happened to a message since it was sent, laid over its unchangeable envelope. Only moved and dead-lettered messages have one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overlay {
    /// The exchange it last went through, in place of the envelope's.
    pub exchange: Name,
    /// The routing keys it last went by, in place of the envelope's; the first is the main one.
    pub keys: Vec<Name>,
    /// The envelope's time to live no longer counts (it died of it once, or was moved).
    pub ttl_removed: bool,
    /// Deaths, newest first, one entry per queue and reason.
    pub deaths: Vec<Death>,
    /// The first death of all: queue, reason, exchange.
    pub first_death: Option<(Name, DeathReason, Name)>,
}

/// Deaths of a message in one queue for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// The queue.
    pub queue: Name,
    /// Why.
    pub reason: DeathReason,
    /// What the consumer said.
    pub detail: Option<Name>,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_at: Time,
    /// The last time.
    pub last_at: Time,
    /// The exchange it had come through.
    pub exchange: Name,
    /// The routing keys it had come by.
    pub keys: Vec<Name>,
    /// The time to live it had, if it had one of its own, milliseconds.
    pub ttl_ms: Option<u64>,
}

/// Why a message was dead-lettered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeathReason {
    /// A consumer refused it.
    Rejected,
    /// Its time to live ended.
    Expired,
    /// Its queue was full.
    Overflow,
    /// It spent its attempts.
    AttemptsSpent,
    /// An operator moved it there.
    Operator,
}

/// What a fetch got.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The deliveries, in order.
    pub deliveries: Vec<Delivery>,
    /// Messages still ready in the queue.
    pub remaining: u64,
    /// The queue has as many messages in flight as it may; no more leave before some are settled.
    pub held_back: bool,
}

/// Why a consumer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelReason {
    /// Its queue was deleted (or expired).
    QueueDeleted,
    /// It held a delivery longer than allowed; its deliveries went back.
    TooSlow,
}

/// Answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The user is who they say.
    Authenticated {
        /// Their name, as later checks use it.
        user: Name,
    },
    /// The namespace is open.
    Opened,
    /// It is done.
    Done,
    /// The consumer is started; deliveries follow.
    Subscribed {
        /// Which.
        consumer: ConsumerId,
        /// The session it holds, if it asked for one.
        session: Option<Name>,
    },
    /// The consumer is stopped; no delivery follows.
    Unsubscribed {
        /// Which.
        consumer: ConsumerId,
    },
    /// How many messages were concerned.
    Count(u64),
    /// A queue.
    Queue {
        /// It was created by this request.
        created: bool,
        /// The queue.
        info: Box<QueueInfo>,
    },
    /// Queues.
    Queues(Vec<QueueInfo>),
    /// An exchange.
    Exchange {
        /// It was created by this request.
        created: bool,
        /// Its policy.
        policy: Box<ExchangePolicy>,
    },
    /// Exchanges with their bindings.
    Exchanges(Vec<(Name, ExchangePolicy, Vec<Binding>)>),
    /// Messages in place.
    Browsed {
        /// In order.
        messages: Vec<Browsed>,
        /// Where the next page begins; `None`: this was the last.
        next: Option<Seq>,
    },
    /// What a list operation came to.
    Listed(Listed),
    /// Who listens: each topic with how many connections do.
    Listeners(Vec<(Topic, u64)>),
    /// Sentences that say why, most important first.
    Explained(Vec<String>),
    /// Transfers, newest first.
    Transfers(Vec<Transfer>),
    /// Queues that hold the message, with its place and state there.
    Located(Vec<(Name, Seq, MessageState)>),
}

/// Messages being moved from one queue to others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Its number, unique in the life of a broker process, and among those of its queue.
    pub id: u64,
    /// Where it moves to; `None`: each message to the queue where it last died.
    pub to: Option<Name>,
    /// At most so many a second.
    pub per_second: Option<u32>,
    /// How it stands.
    pub state: TransferState,
    /// Messages moved so far.
    pub moved: u64,
    /// Messages there were to move when it began.
    pub to_move: u64,
    /// When it began.
    pub started_at: Time,
}

/// How a transfer stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransferState {
    /// It runs.
    Running,
    /// All are moved.
    Completed,
    /// Somebody ended it.
    Cancelled,
    /// It ended: a message had nowhere to go. The reason is for humans.
    Failed(Name),
}

/// A queue as it is.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: QueueId,
    /// Its policy.
    pub policy: QueuePolicy,
    /// Messages that can be delivered.
    pub ready: u64,
    /// Messages that wait for their time.
    pub scheduled: u64,
    /// Messages leased.
    pub in_flight: u64,
    /// Messages set aside.
    pub deferred: u64,
    /// Bytes of the contents of all of these.
    pub bytes: u64,
    /// Consumers.
    pub consumers: u32,
    /// When the oldest ready message came.
    pub oldest_at: Option<Time>,
    /// When it was created.
    pub created_at: Time,
    /// When its policy last changed.
    pub changed_at: Time,
}

/// A message as a browser sees it.
#[derive(Clone, Debug)]
pub struct Browsed {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: MessageId,
    /// Its state.
    pub state: MessageState,
    /// When the state ends by itself (delivery time, lease end), if it does.
    pub until: Option<Time>,
    /// When it expires, if it does.
    pub expires_at: Option<Time>,
    /// When it came into this queue.
    pub enqueued_at: Time,
    /// Leases granted.
    pub acquired: u32,
    /// Leases that ended badly.
    pub failed: u32,
    /// The lease, if it is in flight.
    pub fence: Option<Fence>,
    /// Ordering key.
    pub group_key: Option<Name>,
    /// Priority.
    pub priority: u8,
    /// The message.
    pub message: Message,
    /// What happened to it before.
    pub overlay: Option<Arc<Overlay>>,
}
