//! The queues and exchanges of every simulated broker, and what the checkers may rely on for each.

use baton_model::policy::{
    Backoff, BackoffOn, Capacity, Counter, DeadLetterPolicy, DedupPolicy, Growth, KeyMode, KeyPolicy,
    ListPolicy, Overflow, RetryPolicy,
};
use baton_model::request::CatalogOp;
use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::{Bytes, QueuePolicy};

/// No policy of its own; messages may be given a time to live and then vanish. First deliveries are in order.
pub const PLAIN: &str = "plain";
/// Retries with backoff, then dead letters. Gets delayed messages.
pub const WORK: &str = "work";
/// Ordered keys; what is rejected is dead-lettered, retries never end.
pub const KEYS: &str = "keys";
/// Ordered keys and deduplication: a FIFO queue to SQS's clients, which it is known to by its name.
pub const LINE: &str = "line.fifo";
/// Priorities and deduplication.
pub const PRIO: &str = "prio";
/// Holds eight messages; the oldest make room, to the dead letters.
pub const SMALL: &str = "small";
/// Holds eight messages and refuses more.
pub const FULL: &str = "full";
/// Messages live for a third of a second, then they are dead letters.
pub const BRIEF: &str = "brief";
/// Its messages are settled as they are delivered.
pub const ONCE: &str = "once";
/// Does not survive a restart.
pub const FLEETING: &str = "fleeting";
/// Deleted and made again by the operator.
pub const TEMP: &str = "temp";
/// Fills with messages that are seldom taken.
pub const DEEP: &str = "deep";
/// Where dead letters go.
pub const DEAD: &str = "dead";
/// A list that elements come into on the left and leave on the right.
pub const LIST: &str = "list";
/// A list that elements of [`LIST`] are moved to.
pub const SPARE: &str = "spare";
/// A list whose popped elements are leased.
pub const LEASED: &str = "leased";
/// A fanout exchange to [`PLAIN`] and [`SMALL`].
pub const FAN: &str = "fan";

/// All queues.
pub const QUEUES: [&str; 16] = [
    DEAD, DEEP, PLAIN, WORK, KEYS, LINE, PRIO, SMALL, FULL, BRIEF, ONCE, FLEETING, TEMP, LIST, SPARE, LEASED,
];

/// Most deliveries that wait in [`SMALL`] and [`FULL`].
const SMALL_MESSAGES_MAX: u64 = 8;
/// Time to live in [`BRIEF`], milliseconds.
const BRIEF_TTL_MS: u64 = 300;
/// How long [`PRIO`] and [`LINE`] remember a dedup id, milliseconds.
const DEDUP_WINDOW_MS: u64 = 5_000;

/// A queue's policy.
#[must_use]
pub fn policy(queue: &str) -> QueuePolicy {
    let plain = QueuePolicy::default();
    let dead_letter = Some(DeadLetterPolicy { exchange: "".into(), key: Some(DEAD.into()) });
    let capacity =
        |overflow| Capacity { messages_max: Some(SMALL_MESSAGES_MAX), overflow, ..Capacity::default() };
    let dedup = DedupPolicy { window_ms: DEDUP_WINDOW_MS, by_body: false, per_key: false };
    let backoff =
        Backoff { growth: Growth::Linear, min_ms: 40, max_ms: 200, jitter: 0.5, on: BackoffOn::Failed };
    match queue {
        WORK => QueuePolicy {
            dead_letter,
            retry: RetryPolicy { attempts_max: Some(2), counter: Counter::Failed, backoff: Some(backoff) },
            ..plain
        },
        KEYS => QueuePolicy {
            dead_letter,
            keys: KeyPolicy { mode: KeyMode::Ordered, ..KeyPolicy::default() },
            ..plain
        },
        LINE => QueuePolicy {
            keys: KeyPolicy { mode: KeyMode::Ordered, ..KeyPolicy::default() },
            dedup: Some(dedup),
            ..plain
        },
        PRIO => QueuePolicy { dead_letter, priority_max: 3, dedup: Some(dedup), ..plain },
        SMALL => QueuePolicy { dead_letter, capacity: capacity(Overflow::DropOldest), ..plain },
        FULL => QueuePolicy { capacity: capacity(Overflow::Refuse), ..plain },
        BRIEF => QueuePolicy { dead_letter, ttl_ms: Some(BRIEF_TTL_MS), ..plain },
        FLEETING => QueuePolicy { durable: false, ..plain },
        LEASED => QueuePolicy { list: ListPolicy { lease_pops: true, ..plain.list }, ..plain },
        _ => plain,
    }
}

/// Whether a message that is rejected in this queue is gone.
#[must_use]
pub fn rejects_to_nowhere(queue: &str) -> bool {
    policy(queue).dead_letter.is_none()
}

/// Whether first deliveries leave this queue in the order of its places.
#[must_use]
pub fn is_fifo(queue: &str) -> bool {
    [PLAIN, SMALL, FULL, BRIEF, TEMP, DEEP].contains(&queue)
}

/// Whether keys are ordered in this queue.
#[must_use]
pub fn is_keyed(queue: &str) -> bool {
    [KEYS, LINE].contains(&queue)
}

/// How long this queue remembers a dedup id, milliseconds, if it does.
#[must_use]
pub fn dedup_window_ms(queue: &str) -> Option<u64> {
    policy(queue).dedup.map(|dedup| dedup.window_ms)
}

/// What makes all of it, in order.
#[must_use]
pub fn setup() -> Vec<CatalogOp> {
    let queues = QUEUES.iter().map(|name| declare(name));
    let exchange = CatalogOp::DeclareExchange {
        name: FAN.into(),
        policy: ExchangePolicy::durable(ExchangeKind::Fanout),
    };
    let bind = |queue: &str| {
        CatalogOp::Bind(Binding {
            source: FAN.into(),
            destination: Destination::Queue(queue.into()),
            key: "".into(),
            arguments: Bytes::new(),
        })
    };
    queues.chain([exchange, bind(PLAIN), bind(SMALL)]).collect()
}

/// Declares one of the queues.
#[must_use]
pub fn declare(name: &str) -> CatalogOp {
    CatalogOp::DeclareQueue { name: Some(name.into()), policy: Box::new(policy(name)) }
}
