//! What a session may ask of the broker. Neutral: no word here belongs to one protocol.
//!
//! A session puts requests in its output; the connection driver checks them against the user's permissions and hands
//! what is allowed to the engine, in order, many at a time. Answers come back as [`crate::event::Event`]s; where several
//! requests of one kind may be open, a [`Token`] chosen by the session tells them apart.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::Name;
use crate::filter::Filter;
use crate::ids::{ConsumerId, DeliveryRef, LinkId, MessageId, Seq, Time, Token};
use crate::list::{ListGroup, ListRequest};
use crate::message::Message;
use crate::policy::QueuePolicy;
use crate::route::{Binding, ExchangePolicy};

/// Requests lie next to each other by the hundreds on their way; those that are sent for every message are there without a box
/// of their own.
const _: () = assert!(size_of::<Request>() <= 160);

/// One request.
#[derive(Clone, Debug)]
pub enum Request {
    /// Check who this is. Answered by the driver, never by the engine: [`crate::event::Reply::Authenticated`].
    Authenticate {
        /// Echoed.
        token: Token,
        /// The user's name.
        user: Name,
        /// The password, as sent.
        password: Bytes,
    },
    /// Choose the namespace that all names of this connection's later requests are in. Answered by [`crate::event::Reply::Opened`].
    Open {
        /// Echoed.
        token: Token,
        /// The namespace.
        namespace: Name,
        /// For humans: who and what is connected, such as `amqp 127.0.0.1:50412 (pika)`.
        label: String,
    },
    /// Send a message.
    Publish(Box<Publish>),
    /// Settle deliveries.
    Settle(Settle),
    /// Start a consumer. Answered by [`crate::event::Reply::Subscribed`].
    Subscribe(Box<Subscribe>),
    /// Stop a consumer. Its unsettled deliveries stay with the link. Answered by [`crate::event::Reply::Unsubscribed`].
    Unsubscribe {
        /// Echoed.
        token: Token,
        /// Which.
        consumer: ConsumerId,
    },
    /// Give a consumer that counts credit so many more.
    Credit {
        /// Which.
        consumer: ConsumerId,
        /// Deliveries it may get beyond those it was granted before.
        more: u32,
    },
    /// Most unsettled deliveries of a whole link, over all its consumers. `None`: no limit.
    LinkWindow {
        /// Which.
        link: LinkId,
        /// The limit.
        window: Option<u32>,
    },
    /// Stop or restart deliveries to a link.
    Flow {
        /// Which.
        link: LinkId,
        /// Whether deliveries flow.
        active: bool,
    },
    /// Take messages out once, now or until a deadline. Answered by [`crate::event::Event::Fetched`].
    Fetch(Box<Fetch>),
    /// Give up a fetch that waits; it is answered with what there is, usually nothing.
    CancelFetch {
        /// The fetch's token.
        token: Token,
    },
    /// Release all linked leases of a link, in their order, to be delivered again (also to the same consumer). Answered by `Reply::Done`.
    Recover {
        /// Echoed.
        token: Token,
        /// Which.
        link: LinkId,
    },
    /// The link is gone: its consumers stop and its linked leases end.
    Detach {
        /// Which.
        link: LinkId,
        /// Whether leases that end count as failures: yes when the peer vanished or broke the protocol.
        failed: bool,
    },
    /// All of these or none, in one record batch. Only `Publish` and `Settle` are allowed inside.
    /// Their own answers come first, then `Reply::Done`; a refusal of the group undoes nothing because nothing was done.
    Group {
        /// Echoed.
        token: Token,
        /// In this order.
        requests: Vec<Request>,
    },
    /// Use a queue as a list. Answered by [`crate::event::Reply::Listed`].
    List(ListRequest),
    /// Use queues as lists, several operations in one step. Answered by [`crate::event::Reply::Listed`].
    ListGroup(Box<ListGroup>),
    /// Hear what is sent through an exchange from now on, at most once and only while the connection lives: a copy of every message
    /// comes as [`crate::event::Event::Heard`]. Doing it twice is doing it once. Answered by `Reply::Done`.
    Listen {
        /// Echoed.
        token: Token,
        /// Which exchange.
        exchange: Name,
        /// Which messages.
        topic: Topic,
    },
    /// No longer. Answered by `Reply::Done`, also if it did not listen.
    Unlisten {
        /// Echoed.
        token: Token,
        /// Which exchange.
        exchange: Name,
        /// Which messages.
        topic: Topic,
    },
    /// Who listens to an exchange. Answered by [`crate::event::Reply::Listeners`].
    Listeners {
        /// Echoed.
        token: Token,
        /// Which exchange.
        exchange: Name,
    },
    /// Change or look at queues, exchanges and bindings. Answered by the matching [`crate::event::Reply`].
    Catalog {
        /// Echoed.
        token: Token,
        /// What.
        op: Box<CatalogOp>,
    },
    /// Look at or act on messages in place. Answered by the matching [`crate::event::Reply`].
    Inspect {
        /// Echoed.
        token: Token,
        /// What.
        op: Box<InspectOp>,
    },
}

/// What a listener wants to hear.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// Messages with exactly this routing key.
    Key(Name),
    /// Messages whose routing key matches this pattern, as in [`crate::route::ExchangeKind::Pattern`].
    Pattern(Name),
}

/// Send a message to an exchange; the empty exchange name reaches the queue whose name is the key.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Echoed in [`crate::event::Event::Published`], which comes when the message is refused, and if `confirm`
    /// also when it is accepted: durable, or at once if it is transient.
    pub token: Token,
    /// Whether acceptance is answered.
    pub confirm: bool,
    /// The exchange.
    pub exchange: Name,
    /// The routing key.
    pub key: Name,
    /// More routing keys (CC and BCC).
    pub more_keys: SmallVec<[Name; 2]>,
    /// The message.
    pub message: Message,
    /// Survives a restart, in queues that do.
    pub durable: bool,
    /// If it reaches no queue: give it back with [`crate::event::Event::Returned`], before the answer.
    pub mandatory: bool,
    /// Priority; `None` is the lowest.
    pub priority: Option<u8>,
    /// Time to live, milliseconds. `None`: as the queue says.
    pub ttl_ms: Option<u64>,
    /// Becomes deliverable so much later, milliseconds. `None`: as the queue says.
    pub delay_ms: Option<u64>,
    /// Ordering key.
    pub group_key: Option<Name>,
    /// Deduplication id.
    pub dedup_id: Option<Name>,
}

/// Settle deliveries, all the same way. Those that are no longer current are left alone and, with a token, named in the answer.
#[derive(Clone, Debug)]
pub struct Settle {
    /// `Some`: answer with [`crate::event::Event::Settled`] when it is durable.
    /// `None`: nobody waits, the record rides with the next batch, at most a few milliseconds later.
    pub token: Option<Token>,
    /// Which.
    pub deliveries: SmallVec<[DeliveryRef; 4]>,
    /// How.
    pub outcome: Outcome,
}

/// What becomes of a delivered message.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Done: it is gone.
    Complete,
    /// Done, also if the lease has ended since, as long as nobody else got the message after it.
    CompleteLate,
    /// Not done: it goes back, to be offered again.
    Release {
        /// Counts as a failed attempt.
        failed: bool,
        /// Offered again only after so long; `None`: as the queue's retry policy says.
        delay_ms: Option<u64>,
    },
    /// Refused for good: dead-lettered where the queue has a place for that, dropped otherwise.
    Reject {
        /// A reason of the consumer's own, kept in the history.
        reason: Option<Name>,
    },
    /// Set aside: only fetched by its sequence number.
    Defer,
    /// The timed lease ends later: so long from now, milliseconds. 0 ends it now, as a timeout.
    Extend {
        /// From now.
        lease_ms: u64,
    },
}

/// How messages are leased to a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseMode {
    /// While the link lives.
    Linked,
    /// For so long, milliseconds; `None`: as the queue says. Survives connections and restarts.
    Timed(Option<u64>),
    /// Settled as it is delivered: at most once.
    Settled,
}

/// Start a consumer.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// Echoed.
    pub token: Token,
    /// Chosen by the session.
    pub consumer: ConsumerId,
    /// The link its leases belong to.
    pub link: LinkId,
    /// The queue.
    pub queue: Name,
    /// How messages are leased.
    pub lease: LeaseMode,
    /// Most unsettled deliveries; `None`: no limit.
    pub window: Option<u32>,
    /// Deliveries it may get until more [`Request::Credit`] arrives; `None`: it does not count.
    pub credit: Option<u32>,
    /// Served before consumers of lower priority.
    pub priority: i32,
    /// The only consumer of the queue.
    pub exclusive: bool,
    /// In a queue of sessions ([`crate::policy::KeyMode::Session`]): lock this one for as long as the consumer lives.
    pub session: Option<SessionSelect>,
    /// Longest a linked lease may last, milliseconds; `None`: as the queue says.
    pub linked_lease_ms_max: Option<u64>,
    /// Only messages that meet a condition are for this consumer. Those with an ordering key are not, in queues where keys
    /// mean something.
    pub filter: Option<ConsumerFilter>,
    /// For humans, in `explain`: the consumer tag.
    pub label: Name,
}

/// What a consumer wants of a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct ConsumerFilter {
    /// The condition.
    pub condition: Arc<Filter>,
    /// Messages that do not meet it are dropped: the queue is this consumer's own, and nobody else waits for them.
    /// Otherwise they stay for others, in their order.
    pub drop_others: bool,
    /// For humans, in `explain`: the condition as its client wrote it.
    pub text: Name,
}

/// Which session a consumer locks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionSelect {
    /// The free session whose first message waits longest. Refused with `MessageNotFound` when there is none.
    Next,
    /// This one, whether it has messages or not. Refused with `QueueLocked` when another consumer holds it.
    Key(Name),
}

/// Take messages once.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Echoed.
    pub token: Token,
    /// The link that linked leases belong to.
    pub link: LinkId,
    /// The queue.
    pub queue: Name,
    /// What to take.
    pub select: FetchSelect,
    /// At most so many, 1 to [`crate::limits::FETCH_MAX`].
    pub count_max: u32,
    /// How messages are leased.
    pub lease: LeaseMode,
    /// Answered when at least one message is there, or at this time with none. `None`: at once.
    pub wait_until: Option<Time>,
    /// For humans, in `explain`.
    pub label: Name,
}

/// What a fetch takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchSelect {
    /// The next ones in order.
    Next,
    /// Deferred (or any waiting) messages by their sequence numbers.
    Seqs(Vec<Seq>),
    /// As `Next`; but a repetition with the same name gets the same deliveries once more, their leases begun anew, as long
    /// as nobody has settled any of them: for a receiver whose answer got lost. Names are remembered for five minutes.
    Attempt(Name),
}

/// Change or look at the catalog.
#[derive(Clone, Debug)]
pub enum CatalogOp {
    /// Create a queue if it does not exist. Answered by `Reply::Queue` either way, with `created` telling which;
    /// whether an existing queue's policy is acceptable is the dialect's to say.
    DeclareQueue {
        /// Its name; `None`: the broker makes one.
        name: Option<Name>,
        /// Its policy.
        policy: Box<QueuePolicy>,
    },
    /// Look at a queue. Answered by `Reply::Queue`.
    Queue {
        /// Its name.
        name: Name,
    },
    /// Give a queue another policy (durability and exclusivity cannot change). Answered by `Reply::Done`.
    UpdateQueue {
        /// Its name.
        name: Name,
        /// Its new policy.
        policy: Box<QueuePolicy>,
    },
    /// Delete a queue and what is in it. Answered by `Reply::Count`.
    DeleteQueue {
        /// Its name.
        name: Name,
        /// Only if it has no consumers.
        if_unused: bool,
        /// Only if it has no messages.
        if_empty: bool,
    },
    /// Drop all ready and scheduled messages. Answered by `Reply::Count`.
    PurgeQueue {
        /// Its name.
        name: Name,
    },
    /// Drop all messages, those in flight too. Answered by `Reply::Count`.
    ClearQueue {
        /// Its name.
        name: Name,
    },
    /// A name is not to be used for a new queue before that time, for those who ask by [`CatalogOp::Resting`]. Not durable.
    /// Answered by `Reply::Done`.
    Rest {
        /// The name, which no queue has.
        name: Name,
        /// Until then.
        until: Time,
    },
    /// For how long, in milliseconds, a name is still to rest. Answered by `Reply::Count`.
    Resting {
        /// The name.
        name: Name,
    },
    /// All queues of the namespace, in order of their names. Answered by `Reply::Queues`.
    Queues {
        /// Only names greater than this one.
        after: Option<Name>,
        /// Only names that begin so.
        prefix: Name,
        /// At most so many.
        count_max: u32,
    },
    /// Create an exchange if it does not exist. Answered by `Reply::Exchange` either way.
    DeclareExchange {
        /// Its name.
        name: Name,
        /// Its policy.
        policy: ExchangePolicy,
    },
    /// Look at an exchange. Answered by `Reply::Exchange`.
    Exchange {
        /// Its name.
        name: Name,
    },
    /// Delete an exchange and its bindings. Answered by `Reply::Done`.
    DeleteExchange {
        /// Its name.
        name: Name,
        /// Only if nothing is bound to it.
        if_unused: bool,
    },
    /// All exchanges of the namespace with their bindings. Answered by `Reply::Exchanges`.
    Exchanges,
    /// Bind; doing it twice is doing it once. Answered by `Reply::Done`.
    Bind(Binding),
    /// Unbind. Answered by `Reply::Done`, also where there was no such binding.
    Unbind(Binding),
}

/// Look at or act on messages where they are. Never disturbs deliveries unless it says so.
#[derive(Clone, Debug)]
pub enum InspectOp {
    /// Messages of a queue in order. Answered by `Reply::Browsed`.
    Browse {
        /// The queue.
        queue: Name,
        /// From this place on.
        from: Seq,
        /// At most so many, up to [`crate::limits::BROWSE_PAGE_MAX`].
        count_max: u32,
        /// Only those in one of these states; empty: all.
        states: Vec<MessageState>,
        /// Only those whose headers hold all of these (encoded map items); empty: all.
        headers: Bytes,
    },
    /// Act on single messages of a queue, whatever their state unless they are in flight. Answered by `Reply::Count`.
    Act {
        /// The queue.
        queue: Name,
        /// Which.
        seqs: Vec<Seq>,
        /// What.
        action: MessageAction,
    },
    /// Let a parked or blocked key go on. Answered by `Reply::Done`.
    Unpark {
        /// The queue.
        queue: Name,
        /// The key.
        key: Name,
    },
    /// Why is the queue, or one message of it, not delivered? Answered by `Reply::Explained`.
    Explain {
        /// The queue.
        queue: Name,
        /// One message of it.
        seq: Option<Seq>,
    },
    /// Move the messages that are ready now to other queues, little by little. Answered by `Reply::Transfers` with the one that
    /// begins; refused with `InUse` while one of this queue runs. Not durable: a restart ends it, and what was not moved stays.
    StartTransfer {
        /// From this queue.
        queue: Name,
        /// To this one; `None`: each message to the queue where it last died.
        to: Option<Name>,
        /// At most so many a second; `None`: as fast as it goes.
        per_second: Option<u32>,
    },
    /// End a transfer that runs. Answered by `Reply::Transfers` with it.
    CancelTransfer {
        /// From this queue.
        queue: Name,
        /// Which.
        id: u64,
    },
    /// The transfers of a queue that run or ended lately, newest first. Answered by `Reply::Transfers`.
    Transfers {
        /// From this queue.
        queue: Name,
    },
    /// Where is the message now? Answered by `Reply::Located`.
    Locate {
        /// The message.
        id: MessageId,
    },
}

/// What can be done to a message in place.
#[derive(Clone, PartialEq, Debug)]
pub enum MessageAction {
    /// It is gone.
    Delete,
    /// It moves to another queue, at its back.
    Move {
        /// There.
        to: Name,
    },
    /// A scheduled or deferred message becomes ready now.
    Release,
    /// A message in flight is taken back from its holder, as a timeout.
    EndLease,
    /// It is dead-lettered.
    DeadLetter,
    /// Its content is replaced; its place, id and counters stay.
    Edit(Message),
}

/// Where in its life a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MessageState {
    /// Can be delivered as far as it is concerned.
    Ready,
    /// Waits for its time.
    Scheduled,
    /// Leased.
    InFlight,
    /// Set aside.
    Deferred,
}
