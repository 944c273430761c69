//! The queue that a frame's headers ask for, with RabbitMQ's names for them; and whether the queue that is there is like it.
//! A header that is not given asks for nothing, so whatever is there will do. Who declares it is `send` and `subscribe`.

use baton_model::policy::{
    Capacity, Counter, DeadLetterPolicy, DispatchPolicy, KeyMode, KeyPolicy, Overflow, RetryPolicy,
};
use baton_model::{Name, QueuePolicy};

use super::failure::Failure;
use crate::frame::Headers;

/// The label of a queue's type, which AMQP 0-9-1 clients compare.
const TYPE_LABEL: &str = "x-queue-type";

/// What headers ask for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) policy: QueuePolicy,
    /// Names of the headers that were given.
    given: Vec<&'static str>,
}

/// Headers that shape a queue, and are no headers of a message.
const SHAPING: [&str; 15] = [
    "durable",
    "auto-delete",
    "exclusive",
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-priority",
    "x-queue-type",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-queue-name",
];

/// Whether a header is about the queue and not about the message.
pub(super) fn is_shaping(name: &[u8]) -> bool {
    // Most headers of applications begin with neither: this is asked for each of them.
    matches!(name.first(), Some(b'x' | b'd' | b'a' | b'e'))
        && SHAPING.iter().any(|known| known.as_bytes() == name)
}

/// What a queue is like when its headers say nothing.
pub(super) fn plain() -> QueuePolicy {
    QueuePolicy {
        // Message groups work in every queue that is made here; they cost nothing where no message has one.
        keys: KeyPolicy { mode: KeyMode::Sticky, ..KeyPolicy::default() },
        labels: vec![(Name::const_new(TYPE_LABEL), Name::const_new("classic"))],
        ..QueuePolicy::default()
    }
}

/// The policy that headers ask for; where they are silent, `base`.
///
/// # Errors
/// Values that are none.
pub(super) fn wanted(headers: &Headers<'_>, base: QueuePolicy) -> Result<Wanted, Failure> {
    let mut wanted = Wanted { policy: base, given: Vec::new() };
    for name in SHAPING {
        if let Some(value) = headers.text(name.as_bytes())? {
            wanted.read(name, &value)?;
        }
    }
    let policy = &mut wanted.policy;
    if policy.dead_letter.as_ref().is_some_and(|dead| dead.exchange.is_empty() && dead.key.is_none()) {
        let why = "x-dead-letter-routing-key";
        return Err(Failure::new(
            "invalid header",
            format!("an empty x-dead-letter-exchange needs '{why}': the name of a queue"),
        ));
    }
    if wanted.given.contains(&"x-dead-letter-routing-key")
        && !wanted.given.contains(&"x-dead-letter-exchange")
    {
        return Err(Failure::new(
            "invalid header",
            "'x-dead-letter-routing-key' needs 'x-dead-letter-exchange'; empty, it reaches the queue of that name",
        ));
    }
    Ok(wanted)
}

impl Wanted {
    fn read(&mut self, name: &'static str, value: &[u8]) -> Result<(), Failure> {
        let policy = &mut self.policy;
        match name {
            "durable" => policy.durable = flag(name, value)?,
            "auto-delete" => policy.auto_delete = flag(name, value)?,
            "exclusive" => policy.exclusive = flag(name, value)?,
            "x-message-ttl" => policy.ttl_ms = Some(number(name, value)?),
            "x-expires" => policy.idle_ms_max = Some(number(name, value)?.max(1)),
            "x-max-length" => policy.capacity.messages_max = Some(number(name, value)?),
            "x-max-length-bytes" => policy.capacity.bytes_max = Some(number(name, value)?),
            "x-overflow" => {
                policy.capacity.overflow = match value {
                    b"drop-head" => Overflow::DropOldest,
                    b"reject-publish" => Overflow::Refuse,
                    b"reject-publish-dlx" => Overflow::RefuseAndDeadLetter,
                    _ => {
                        return Err(Failure::header(
                            name,
                            value,
                            "drop-head, reject-publish or reject-publish-dlx",
                        ));
                    }
                };
            }
            "x-dead-letter-exchange" => {
                let key = policy.dead_letter.take().and_then(|dead| dead.key);
                policy.dead_letter = Some(DeadLetterPolicy { exchange: text(name, value)?, key });
            }
            "x-dead-letter-routing-key" => {
                let exchange = policy.dead_letter.take().map(|dead| dead.exchange).unwrap_or_default();
                policy.dead_letter = Some(DeadLetterPolicy { exchange, key: Some(text(name, value)?) });
            }
            "x-max-priority" => {
                let max = u8::try_from(number(name, value)?);
                policy.priority_max =
                    max.map_err(|_| Failure::header(name, value, "a number from 0 to 255"))?;
            }
            "x-queue-type" => {
                if value == b"stream" {
                    return Err(Failure::unsupported("streams are not offered; ask for classic or quorum"));
                }
                if !matches!(value, b"classic" | b"quorum") {
                    return Err(Failure::header(name, value, "classic or quorum"));
                }
                policy.labels = vec![(Name::const_new(TYPE_LABEL), text(name, value)?)];
                policy.persist_all = value == b"quorum";
            }
            "x-single-active-consumer" => policy.dispatch.single_active = flag(name, value)?,
            "x-delivery-limit" => {
                let limit = number(name, value)?;
                policy.retry.attempts_max = Some(u32::try_from(limit).unwrap_or(u32::MAX));
                policy.retry.counter = Counter::Failed;
            }
            // Read by who needs it.
            _ => return Ok(()),
        }
        self.given.push(name);
        Ok(())
    }

    /// The first header that was given and does not fit the queue that is there.
    pub(super) fn difference(&self, there: &QueuePolicy) -> Option<&'static str> {
        self.given.iter().copied().find(|name| !same(name, &self.policy, there))
    }
}

fn same(name: &str, wanted: &QueuePolicy, there: &QueuePolicy) -> bool {
    let capacity = |policy: &QueuePolicy| -> Capacity { policy.capacity.clone() };
    let (mine, theirs) = (capacity(wanted), capacity(there));
    let kind = |policy: &QueuePolicy| {
        policy.labels.iter().find(|(label, _)| label == TYPE_LABEL).map(|(_, kind)| kind.clone())
    };
    let retry = |policy: &QueuePolicy| -> RetryPolicy { policy.retry.clone() };
    let dispatch = |policy: &QueuePolicy| -> DispatchPolicy { policy.dispatch };
    match name {
        "durable" => wanted.durable == there.durable,
        "auto-delete" => wanted.auto_delete == there.auto_delete,
        "exclusive" => wanted.exclusive == there.exclusive,
        "x-message-ttl" => wanted.ttl_ms == there.ttl_ms,
        "x-expires" => wanted.idle_ms_max == there.idle_ms_max,
        "x-max-length" => mine.messages_max == theirs.messages_max,
        "x-max-length-bytes" => mine.bytes_max == theirs.bytes_max,
        "x-overflow" => mine.overflow == theirs.overflow,
        "x-dead-letter-exchange" | "x-dead-letter-routing-key" => wanted.dead_letter == there.dead_letter,
        "x-max-priority" => wanted.priority_max == there.priority_max,
        "x-queue-type" => kind(wanted) == kind(there),
        "x-single-active-consumer" => dispatch(wanted).single_active == dispatch(there).single_active,
        "x-delivery-limit" => retry(wanted).attempts_max == retry(there).attempts_max,
        _ => true,
    }
}

/// `true` or `false`.
///
/// # Errors
/// Anything else.
pub(super) fn flag(name: &str, value: &[u8]) -> Result<bool, Failure> {
    match value.trim_ascii() {
        b"true" | b"TRUE" | b"True" => Ok(true),
        b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(Failure::header(name, value, "true or false")),
    }
}

/// A number in decimal digits.
///
/// # Errors
/// Anything else.
pub(super) fn number(name: &str, value: &[u8]) -> Result<u64, Failure> {
    let digits = value.trim_ascii();
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_digits);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::header(name, value, "a whole number, not negative"))
}

fn text(name: &str, value: &[u8]) -> Result<Name, Failure> {
    std::str::from_utf8(value).map(Name::from).map_err(|_| Failure::header(name, value, "UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Decoded, FrameDecoder};

    fn wanted_by(headers: &str) -> Result<Wanted, Failure> {
        let bytes = format!("SUBSCRIBE\n{headers}\n\0");
        let mut decoder = FrameDecoder::new(100);
        let Decoded::Frame { frame, .. } = decoder.decode(bytes.as_bytes()).unwrap() else {
            panic!("a frame")
        };
        wanted(&frame.headers, plain())
    }

    #[test]
    fn every_header_becomes_policy() {
        let all = wanted_by(
            "durable:false\nauto-delete:true\nexclusive:true\nx-message-ttl:1000\nx-expires:2000\nx-max-length:5\nx-max-length-bytes:50\nx-overflow:reject-publish\nx-dead-letter-exchange:\nx-dead-letter-routing-key:dead\nx-max-priority:9\nx-queue-type:quorum\nx-single-active-consumer:true\nx-delivery-limit:3\n",
        )
        .unwrap();
        let policy = &all.policy;
        assert!(!policy.durable && policy.auto_delete && policy.exclusive && policy.persist_all);
        assert_eq!((policy.ttl_ms, policy.idle_ms_max), (Some(1000), Some(2000)));
        assert_eq!((policy.capacity.messages_max, policy.capacity.bytes_max), (Some(5), Some(50)));
        assert_eq!(policy.capacity.overflow, Overflow::Refuse);
        let dead = policy.dead_letter.as_ref().unwrap();
        assert_eq!((dead.exchange.as_str(), dead.key.as_deref()), ("", Some("dead")));
        assert_eq!((policy.priority_max, policy.retry.attempts_max), (9, Some(3)));
        assert!(policy.dispatch.single_active);
        assert_eq!(all.difference(policy), None);
        assert_eq!(all.difference(&plain()), Some("durable"));
    }

    #[test]
    fn silence_takes_what_is_there() {
        let silent = wanted_by("").unwrap();
        let other = QueuePolicy { durable: false, ttl_ms: Some(1), ..QueuePolicy::default() };
        assert_eq!(silent.difference(&other), None);
        assert_eq!(wanted_by("x-message-ttl:1\n").unwrap().difference(&other), None);
        assert_eq!(wanted_by("x-message-ttl:2\n").unwrap().difference(&other), Some("x-message-ttl"));
    }

    #[test]
    fn nonsense_is_refused() {
        for headers in [
            "durable:perhaps\n",
            "x-message-ttl:-1\n",
            "x-max-priority:256\n",
            "x-overflow:explode\n",
            "x-queue-type:stream\n",
            "x-dead-letter-routing-key:k\n",
            "x-dead-letter-exchange:\n",
        ] {
            assert!(wanted_by(headers).is_err(), "{headers}");
        }
    }
}
