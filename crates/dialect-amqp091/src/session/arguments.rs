//! Arguments of `queue.declare`: read into a neutral policy, with RabbitMQ's checks and words; and compared with the policy
//! of the queue that is there. The mapping is a table in `docs/features/amqp091.md`. Arguments that are not here are ignored.

use baton_model::policy::{
    Backoff, BackoffOn, Capacity, Counter, DeadLetterPolicy, DispatchPolicy, Growth, Overflow, RetryPolicy,
};
use baton_model::{Name, QueuePolicy};

use super::failure::Failure;
use super::queue::{TYPE_LABEL, WantedQueue};
use crate::methods::queue::Declare;
use crate::table::{TableRef, ValueRef};

/// Attempts a quorum queue allows when nothing is said: RabbitMQ's default since 4.0.
const QUORUM_DELIVERY_LIMIT: u32 = 20;

/// Highest of the 32 priorities that quorum queues tell apart without being asked, as RabbitMQ 4.3.
const QUORUM_PRIORITY_MAX: u8 = 31;

/// Reads one declaration's arguments, for errors that name the queue.
struct Reader<'a> {
    table: TableRef<'a>,
    queue: &'a str,
    vhost: &'a str,
}

/// The policy that a declaration asks for.
///
/// # Errors
/// 406 for arguments of the wrong type or out of range, 502 for a broken table.
pub(super) fn queue_policy(declare: &Declare, vhost: &str) -> Result<WantedQueue, Failure> {
    let table = declare.arguments.as_table();
    table.check()?;
    let reader = Reader { table, queue: declare.queue.as_str(), vhost };
    let kind = reader.word(TYPE_LABEL, &["classic", "quorum"], |given| match given {
        "stream" => "streams are not offered; declare a classic or quorum queue".to_owned(),
        _ => "{unsupported_queue_type}; it must be classic or quorum".to_owned(),
    })?;
    let quorum = kind == Some("quorum");
    let dead_letter =
        match (reader.text("x-dead-letter-exchange")?, reader.text("x-dead-letter-routing-key")?) {
            (Some(exchange), key) => Some(DeadLetterPolicy { exchange, key }),
            (None, Some(_)) => {
                return Err(reader.invalid("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined"));
            }
            (None, None) => None,
        };
    let overflow =
        reader.word("x-overflow", &["drop-head", "reject-publish", "reject-publish-dlx"], |given| {
            format!("{{invalid_overflow,<<\"{given}\">>}}")
        })?;
    let capacity = Capacity {
        messages_max: reader.number("x-max-length")?,
        bytes_max: reader.number("x-max-length-bytes")?,
        message_bytes_max: None,
        overflow: match overflow {
            Some("reject-publish") => Overflow::Refuse,
            Some("reject-publish-dlx") => Overflow::RefuseAndDeadLetter,
            _ => Overflow::DropOldest,
        },
    };
    let policy = QueuePolicy {
        durable: declare.durable,
        persist_all: quorum,
        exclusive: declare.exclusive,
        auto_delete: declare.auto_delete,
        idle_ms_max: reader.positive("x-expires")?,
        ttl_ms: reader.number("x-message-ttl")?,
        capacity,
        dead_letter,
        priority_max: reader.priority_max(quorum)?,
        retry: RetryPolicy {
            attempts_max: reader.delivery_limit(quorum)?,
            counter: Counter::Failed,
            backoff: reader.backoff()?,
        },
        linked_lease_ms_max: reader.positive("x-consumer-timeout")?,
        dispatch: DispatchPolicy {
            single_active: reader.flag("x-single-active-consumer")?.unwrap_or_default(),
            ..DispatchPolicy::default()
        },
        labels: vec![(Name::from(TYPE_LABEL), Name::from(kind.unwrap_or("classic")))],
        ..QueuePolicy::default()
    };
    Ok(WantedQueue { policy, names_type: kind.is_some() })
}

impl<'a> Reader<'a> {
    fn invalid(&self, name: &str, why: &str) -> Failure {
        let Self { queue, vhost, .. } = self;
        Failure::precondition(format!("invalid arg '{name}' for queue '{queue}' in vhost '{vhost}': {why}"))
    }

    fn wrong_type(&self, name: &str, value: ValueRef<'_>) -> Failure {
        self.invalid(name, &format!("{{unacceptable_type,{}}}", type_name(value)))
    }

    fn get(&self, name: &str) -> Result<Option<ValueRef<'a>>, Failure> {
        Ok(self.table.get(name)?)
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(value) = self.integer(name)? else { return Ok(None) };
        let negative = |_| self.invalid(name, &format!("{{value_negative,{value}}}"));
        u64::try_from(value).map(Some).map_err(negative)
    }

    fn positive(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.number(name)? {
            Some(0) => Err(self.invalid(name, "{value_zero,0}")),
            value => Ok(value),
        }
    }

    fn string(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    fn text(&self, name: &str) -> Result<Option<Name>, Failure> {
        Ok(self.string(name)?.map(Name::from))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    /// One of some words; `why` says what is wrong with another.
    fn word(
        &self,
        name: &str,
        known: &[&str],
        why: impl FnOnce(&str) -> String,
    ) -> Result<Option<&'a str>, Failure> {
        match self.string(name)? {
            Some(given) if !known.contains(&given) => Err(self.invalid(name, &why(given))),
            given => Ok(given),
        }
    }

    fn priority_max(&self, quorum: bool) -> Result<u8, Failure> {
        let name = "x-max-priority";
        match self.number(name)? {
            None => Ok(if quorum { QUORUM_PRIORITY_MAX } else { 0 }),
            Some(max) => {
                let too_large = |_| self.invalid(name, &format!("{{max_value_exceeded,{max}}}"));
                u8::try_from(max).map_err(too_large)
            }
        }
    }

    /// -1 lifts the limit.
    fn delivery_limit(&self, quorum: bool) -> Result<Option<u32>, Failure> {
        let name = "x-delivery-limit";
        match self.integer(name)? {
            None => Ok(quorum.then_some(QUORUM_DELIVERY_LIMIT)),
            Some(-1) => Ok(None),
            Some(limit) => {
                let bad = |_| self.invalid(name, &format!("{{value_negative,{limit}}}"));
                u64::try_from(limit).map(|limit| Some(u32::try_from(limit).unwrap_or(u32::MAX))).map_err(bad)
            }
        }
    }

    /// Delayed retries: the waiting time grows by the minimum with every attempt.
    fn backoff(&self) -> Result<Option<Backoff>, Failure> {
        let known = ["disabled", "all", "failed", "returned"];
        let kind = self.word("x-delayed-retry-type", &known, |_| {
            "it must be disabled, all, failed or returned".to_owned()
        })?;
        let (min, max) = (self.number("x-delayed-retry-min")?, self.number("x-delayed-retry-max")?);
        let on = match kind {
            Some("all") => BackoffOn::All,
            Some("failed") => BackoffOn::Failed,
            Some("returned") => BackoffOn::Returned,
            _ => return Ok(None),
        };
        let Some(min_ms) = min else {
            return Err(self.invalid("x-delayed-retry-min", "x-delayed-retry-type needs it, in milliseconds"));
        };
        let max_ms = max.unwrap_or(u64::MAX);
        if max_ms < min_ms {
            return Err(self.invalid("x-delayed-retry-max", "it must not be below x-delayed-retry-min"));
        }
        Ok(Some(Backoff { growth: Growth::Linear, min_ms, max_ms, jitter: 0.0, on }))
    }
}

/// RabbitMQ's word for a type.
fn type_name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Bool(_) => "bool",
        ValueRef::I8(_) => "byte",
        ValueRef::U8(_) => "unsignedbyte",
        ValueRef::I16(_) => "short",
        ValueRef::U16(_) => "unsignedshort",
        ValueRef::I32(_) => "signedint",
        ValueRef::U32(_) => "unsignedint",
        ValueRef::I64(_) | ValueRef::I64Upper(_) => "long",
        ValueRef::F32(_) => "float",
        ValueRef::F64(_) => "double",
        ValueRef::Decimal { .. } => "decimal",
        ValueRef::LongStr(_) => "longstr",
        ValueRef::Binary(_) => "binary",
        ValueRef::Timestamp(_) => "timestamp",
        ValueRef::Array(_) => "array",
        ValueRef::Table(_) => "table",
        ValueRef::Void => "void",
    }
}

/// An argument as a policy shows it: its text and type. Arguments that say no more than the default does are none.
type Shown = Option<(String, &'static str)>;

/// The first argument in which a queue is not as wanted, and how, in RabbitMQ's words.
pub(super) fn difference(wanted: &WantedQueue, there: &QueuePolicy) -> Option<(&'static str, String)> {
    let flags = [
        ("durable", wanted.policy.durable, there.durable),
        ("auto_delete", wanted.policy.auto_delete, there.auto_delete),
    ];
    for (name, wanted, there) in flags {
        if wanted != there {
            return Some((name, format!("received '{wanted}' but current is '{there}'")));
        }
    }
    // A queue that came through another protocol was never said to be of a type: only what the client says is compared.
    let foreign = !there.labels.iter().any(|(name, _)| name == TYPE_LABEL);
    let pairs = shown(&wanted.policy).into_iter().zip(shown(there));
    for ((name, wanted_value), (_, there_value)) in pairs {
        let how = match (wanted_value, there_value) {
            (wanted, there) if wanted == there => continue,
            (_, None) if foreign && name == TYPE_LABEL => continue,
            (_, Some(_)) if name == TYPE_LABEL && !wanted.names_type => continue,
            (None, _) if foreign => continue,
            (Some((wanted, _)), Some((there, _))) => format!("received '{wanted}' but current is '{there}'"),
            (Some((wanted, kind)), None) => {
                format!("received the value '{wanted}' of type '{kind}' but current is none")
            }
            (None, Some((there, kind))) => {
                format!("received none but current is the value '{there}' of type '{kind}'")
            }
            (None, None) => continue,
        };
        return Some((name, how));
    }
    None
}

/// All arguments of a policy, in the same order for every policy.
fn shown(policy: &QueuePolicy) -> [(&'static str, Shown); 15] {
    let number = |value: Option<u64>| -> Shown {
        // Clients write small numbers as 32 bits and others as 64.
        value.map(|n| (n.to_string(), if i32::try_from(n).is_ok() { "signedint" } else { "long" }))
    };
    let text = |value: Option<&str>| -> Shown { value.map(|text| (text.to_owned(), "longstr")) };
    let label = |wanted: &str| policy.labels.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_str());
    let quorum = label(TYPE_LABEL) == Some("quorum");
    let dead_letter = policy.dead_letter.as_ref();
    let overflow = match policy.capacity.overflow {
        Overflow::DropOldest => None,
        Overflow::Refuse => Some("reject-publish"),
        Overflow::RefuseAndDeadLetter => Some("reject-publish-dlx"),
    };
    let priority_default = if quorum { QUORUM_PRIORITY_MAX } else { 0 };
    let priority_max = Some(policy.priority_max).filter(|max| *max != priority_default);
    let delivery_limit = match (policy.retry.attempts_max, quorum) {
        (Some(QUORUM_DELIVERY_LIMIT), true) | (None, false) => None,
        (None, true) => Some(("-1".to_owned(), "signedint")),
        (limit, _) => number(limit.map(u64::from)),
    };
    let backoff = policy.retry.backoff.as_ref();
    let retry_type = backoff.map(|backoff| match backoff.on {
        BackoffOn::All => "all",
        BackoffOn::Failed => "failed",
        BackoffOn::Returned => "returned",
    });
    let single_active = policy.dispatch.single_active.then(|| ("true".to_owned(), "bool"));
    [
        (TYPE_LABEL, text(label(TYPE_LABEL))),
        ("x-message-ttl", number(policy.ttl_ms)),
        ("x-expires", number(policy.idle_ms_max)),
        ("x-max-length", number(policy.capacity.messages_max)),
        ("x-max-length-bytes", number(policy.capacity.bytes_max)),
        ("x-overflow", text(overflow)),
        ("x-dead-letter-exchange", text(dead_letter.map(|policy| policy.exchange.as_str()))),
        ("x-dead-letter-routing-key", text(dead_letter.and_then(|policy| policy.key.as_deref()))),
        ("x-max-priority", number(priority_max.map(u64::from))),
        ("x-single-active-consumer", single_active),
        ("x-delivery-limit", delivery_limit),
        ("x-consumer-timeout", number(policy.linked_lease_ms_max)),
        ("x-delayed-retry-type", text(retry_type)),
        ("x-delayed-retry-min", number(backoff.map(|backoff| backoff.min_ms))),
        ("x-delayed-retry-max", number(backoff.map(|b| b.max_ms).filter(|max| *max != u64::MAX))),
    ]
}
