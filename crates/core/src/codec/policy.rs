//! Policies of queues and exchanges: presence bits, then the fields that are there, in the order of their bits.
//!
//! A new field takes the next bit and comes last. A reader that does not know a bit refuses the record: to run a queue
//! under half of its policy would be worse than not to start.

use baton_model::list::Side;
use baton_model::policy::{
    Backoff, Capacity, DeadLetterPolicy, DedupPolicy, DispatchPolicy, Growth, KeyPolicy, ListPolicy, Rate,
    RetryPolicy,
};
use baton_model::route::ExchangePolicy;
use baton_model::{Name, QueuePolicy};

use super::codes::Code;
use super::error::{DecodeError, Defect};
use super::wire::{Reader, put_f64, put_len, put_name, put_opt, put_varint};

mod bit {
    pub(super) const DURABLE: u64 = 1;
    pub(super) const EXCLUSIVE: u64 = 1 << 1;
    pub(super) const AUTO_DELETE: u64 = 1 << 2;
    pub(super) const PAUSED: u64 = 1 << 3;
    pub(super) const SINGLE_ACTIVE: u64 = 1 << 4;
    pub(super) const IDLE: u64 = 1 << 5;
    pub(super) const TTL: u64 = 1 << 6;
    pub(super) const DELAY: u64 = 1 << 7;
    pub(super) const MESSAGES_MAX: u64 = 1 << 8;
    pub(super) const BYTES_MAX: u64 = 1 << 9;
    pub(super) const MESSAGE_BYTES_MAX: u64 = 1 << 10;
    pub(super) const OVERFLOW: u64 = 1 << 11;
    pub(super) const DEAD_LETTER: u64 = 1 << 12;
    pub(super) const PRIORITY_MAX: u64 = 1 << 13;
    pub(super) const ATTEMPTS_MAX: u64 = 1 << 14;
    pub(super) const COUNTER: u64 = 1 << 15;
    pub(super) const BACKOFF: u64 = 1 << 16;
    pub(super) const LINKED_LEASE_MAX: u64 = 1 << 17;
    pub(super) const RELEASE_TO: u64 = 1 << 18;
    pub(super) const KEYS: u64 = 1 << 19;
    pub(super) const DEDUP: u64 = 1 << 20;
    pub(super) const RATE: u64 = 1 << 21;
    pub(super) const IN_FLIGHT_MAX: u64 = 1 << 22;
    pub(super) const LABELS: u64 = 1 << 23;
    pub(super) const PERSIST_ALL: u64 = 1 << 24;
    pub(super) const LIST: u64 = 1 << 25;
    pub(super) const DROP_EXPIRED: u64 = 1 << 26;
    pub(super) const TTL_SINCE_SENT: u64 = 1 << 27;
    pub(super) const KNOWN: u64 = (1 << 28) - 1;
}

fn bits(policy: &QueuePolicy) -> u64 {
    let (capacity, retry, dispatch) = (&policy.capacity, &policy.retry, &policy.dispatch);
    [
        (bit::DURABLE, policy.durable),
        (bit::EXCLUSIVE, policy.exclusive),
        (bit::AUTO_DELETE, policy.auto_delete),
        (bit::PAUSED, dispatch.paused),
        (bit::SINGLE_ACTIVE, dispatch.single_active),
        (bit::IDLE, policy.idle_ms_max.is_some()),
        (bit::TTL, policy.ttl_ms.is_some()),
        (bit::DELAY, policy.delay_ms != 0),
        (bit::MESSAGES_MAX, capacity.messages_max.is_some()),
        (bit::BYTES_MAX, capacity.bytes_max.is_some()),
        (bit::MESSAGE_BYTES_MAX, capacity.message_bytes_max.is_some()),
        (bit::OVERFLOW, capacity.overflow.code() != 0),
        (bit::DEAD_LETTER, policy.dead_letter.is_some()),
        (bit::PRIORITY_MAX, policy.priority_max != 0),
        (bit::ATTEMPTS_MAX, retry.attempts_max.is_some()),
        (bit::COUNTER, retry.counter.code() != 0),
        (bit::BACKOFF, retry.backoff.is_some()),
        (bit::LINKED_LEASE_MAX, policy.linked_lease_ms_max.is_some()),
        (bit::RELEASE_TO, policy.release_to.code() != 0),
        (bit::KEYS, policy.keys.mode.code() != 0 || policy.keys.poison.code() != 0),
        (bit::DEDUP, policy.dedup.is_some()),
        (bit::RATE, dispatch.rate.is_some()),
        (bit::IN_FLIGHT_MAX, dispatch.in_flight_max.is_some()),
        (bit::LABELS, !policy.labels.is_empty()),
        (bit::PERSIST_ALL, policy.persist_all),
        (bit::LIST, policy.list != ListPolicy::default()),
        (bit::DROP_EXPIRED, policy.drop_expired),
        (bit::TTL_SINCE_SENT, policy.ttl_since_sent),
    ]
    .into_iter()
    .fold(0, |bits, (bit, set)| if set { bits | bit } else { bits })
}

pub(super) fn put_queue(buf: &mut Vec<u8>, policy: &QueuePolicy) {
    let bits = bits(policy);
    put_varint(buf, bits);
    put_varint(buf, policy.lease_ms);
    put_opt(buf, policy.idle_ms_max);
    put_opt(buf, policy.ttl_ms);
    put_opt(buf, (policy.delay_ms != 0).then_some(policy.delay_ms));
    put_opt(buf, policy.capacity.messages_max);
    put_opt(buf, policy.capacity.bytes_max);
    put_opt(buf, policy.capacity.message_bytes_max);
    if bits & bit::OVERFLOW != 0 {
        buf.push(policy.capacity.overflow.code());
    }
    if let Some(dead_letter) = &policy.dead_letter {
        put_name(buf, &dead_letter.exchange);
        put_opt_name(buf, dead_letter.key.as_ref());
    }
    if policy.priority_max != 0 {
        buf.push(policy.priority_max);
    }
    put_opt(buf, policy.retry.attempts_max.map(u64::from));
    if bits & bit::COUNTER != 0 {
        buf.push(policy.retry.counter.code());
    }
    if let Some(backoff) = &policy.retry.backoff {
        put_backoff(buf, backoff);
    }
    put_opt(buf, policy.linked_lease_ms_max);
    if bits & bit::RELEASE_TO != 0 {
        buf.push(policy.release_to.code());
    }
    if bits & bit::KEYS != 0 {
        buf.push(policy.keys.mode.code());
        buf.push(policy.keys.poison.code());
    }
    if let Some(dedup) = policy.dedup {
        put_varint(buf, dedup.window_ms);
        buf.push(u8::from(dedup.by_body) | u8::from(dedup.per_key) << 1);
    }
    if let Some(rate) = policy.dispatch.rate {
        put_f64(buf, rate.per_second);
        put_varint(buf, rate.burst.into());
    }
    put_opt(buf, policy.dispatch.in_flight_max);
    if bits & bit::LABELS != 0 {
        put_labels(buf, &policy.labels);
    }
    if bits & bit::LIST != 0 {
        put_list(buf, &policy.list);
    }
}

pub(super) fn take_queue(input: &mut Reader<'_>) -> Result<QueuePolicy, DecodeError> {
    let offset = input.at();
    let bits = input.varint()?;
    if bits & !bit::KNOWN != 0 {
        return Err(DecodeError { offset, defect: Defect::UnknownBits(bits & !bit::KNOWN) });
    }
    let has = |bit: u64| bits & bit != 0;
    // The fields are read in the order of the struct expression, which is that of the bytes.
    let lease_ms = input.varint()?;
    let idle_ms_max = input.opt_varint(has(bit::IDLE))?;
    let ttl_ms = input.opt_varint(has(bit::TTL))?;
    let delay_ms = input.opt_varint(has(bit::DELAY))?.unwrap_or(0);
    let capacity = Capacity {
        messages_max: input.opt_varint(has(bit::MESSAGES_MAX))?,
        bytes_max: input.opt_varint(has(bit::BYTES_MAX))?,
        message_bytes_max: input.opt_varint(has(bit::MESSAGE_BYTES_MAX))?,
        overflow: opt(input, has(bit::OVERFLOW), Code::take)?.unwrap_or_default(),
    };
    let dead_letter = opt(input, has(bit::DEAD_LETTER), |input| {
        Ok(DeadLetterPolicy { exchange: input.name()?, key: take_opt_name(input)? })
    })?;
    let priority_max = opt(input, has(bit::PRIORITY_MAX), Reader::u8)?.unwrap_or(0);
    let retry = RetryPolicy {
        attempts_max: opt(input, has(bit::ATTEMPTS_MAX), Reader::u32)?,
        counter: opt(input, has(bit::COUNTER), Code::take)?.unwrap_or_default(),
        backoff: opt(input, has(bit::BACKOFF), take_backoff)?,
    };
    let linked_lease_ms_max = input.opt_varint(has(bit::LINKED_LEASE_MAX))?;
    let release_to = opt(input, has(bit::RELEASE_TO), Code::take)?.unwrap_or_default();
    let keys = opt(input, has(bit::KEYS), |input| {
        Ok(KeyPolicy { mode: Code::take(input)?, poison: Code::take(input)? })
    })?;
    let dedup = opt(input, has(bit::DEDUP), |input| {
        let window_ms = input.varint()?;
        let flags = input.flags(3)?;
        Ok(DedupPolicy { window_ms, by_body: flags & 1 != 0, per_key: flags & 2 != 0 })
    })?;
    let dispatch = DispatchPolicy {
        paused: has(bit::PAUSED),
        rate: opt(input, has(bit::RATE), |input| Ok(Rate { per_second: input.f64()?, burst: input.u32()? }))?,
        in_flight_max: input.opt_varint(has(bit::IN_FLIGHT_MAX))?,
        single_active: has(bit::SINGLE_ACTIVE),
    };
    let labels = opt(input, has(bit::LABELS), take_labels)?.unwrap_or_default();
    let list = opt(input, has(bit::LIST), take_list)?.unwrap_or_default();
    Ok(QueuePolicy {
        durable: has(bit::DURABLE),
        persist_all: has(bit::PERSIST_ALL),
        drop_expired: has(bit::DROP_EXPIRED),
        ttl_since_sent: has(bit::TTL_SINCE_SENT),
        exclusive: has(bit::EXCLUSIVE),
        auto_delete: has(bit::AUTO_DELETE),
        idle_ms_max,
        ttl_ms,
        delay_ms,
        capacity,
        dead_letter,
        priority_max,
        retry,
        lease_ms,
        linked_lease_ms_max,
        release_to,
        keys: keys.unwrap_or_default(),
        dedup,
        dispatch,
        list,
        labels,
    })
}

const LIST_FRONT_LEFT: u8 = 1;
const LIST_FRONT_RIGHT: u8 = 1 << 1;
const LIST_LEASE_POPS: u8 = 1 << 2;
const LIST_EMPTY: u8 = 1 << 3;
const LIST_EXPIRES: u8 = 1 << 4;
const LIST_KNOWN: u8 = (1 << 5) - 1;

fn put_list(buf: &mut Vec<u8>, list: &ListPolicy) {
    buf.push(
        match list.front {
            None => 0,
            Some(Side::Left) => LIST_FRONT_LEFT,
            Some(Side::Right) => LIST_FRONT_RIGHT,
        } | if list.lease_pops { LIST_LEASE_POPS } else { 0 }
            | if list.empty_ms_max.is_some() { LIST_EMPTY } else { 0 }
            | if list.expires_at.is_some() { LIST_EXPIRES } else { 0 },
    );
    put_opt(buf, list.empty_ms_max);
    put_opt(buf, list.expires_at.map(|at| at.0));
}

fn take_list(input: &mut Reader<'_>) -> Result<ListPolicy, DecodeError> {
    let offset = input.at();
    let flags = input.flags(LIST_KNOWN)?;
    let front = match (flags & LIST_FRONT_LEFT != 0, flags & LIST_FRONT_RIGHT != 0) {
        (false, false) => None,
        (true, false) => Some(Side::Left),
        (false, true) => Some(Side::Right),
        (true, true) => return Err(DecodeError { offset, defect: Defect::BadValue("front of a list") }),
    };
    Ok(ListPolicy {
        front,
        lease_pops: flags & LIST_LEASE_POPS != 0,
        empty_ms_max: input.opt_varint(flags & LIST_EMPTY != 0)?,
        expires_at: input.opt_time(flags & LIST_EXPIRES != 0)?,
    })
}

const EXCHANGE_DURABLE: u64 = 1;
const EXCHANGE_AUTO_DELETE: u64 = 1 << 1;
const EXCHANGE_INTERNAL: u64 = 1 << 2;
const EXCHANGE_ALTERNATE: u64 = 1 << 3;
const EXCHANGE_LABELS: u64 = 1 << 4;
const EXCHANGE_KNOWN: u64 = (1 << 5) - 1;

pub(super) fn put_exchange(buf: &mut Vec<u8>, policy: &ExchangePolicy) {
    let bits = [
        (EXCHANGE_DURABLE, policy.durable),
        (EXCHANGE_AUTO_DELETE, policy.auto_delete),
        (EXCHANGE_INTERNAL, policy.internal),
        (EXCHANGE_ALTERNATE, policy.alternate.is_some()),
        (EXCHANGE_LABELS, !policy.labels.is_empty()),
    ]
    .into_iter()
    .fold(0, |bits, (bit, set)| if set { bits | bit } else { bits });
    put_varint(buf, bits);
    buf.push(policy.kind.code());
    if let Some(alternate) = &policy.alternate {
        put_name(buf, alternate);
    }
    if bits & EXCHANGE_LABELS != 0 {
        put_labels(buf, &policy.labels);
    }
}

pub(super) fn take_exchange(input: &mut Reader<'_>) -> Result<ExchangePolicy, DecodeError> {
    let offset = input.at();
    let bits = input.varint()?;
    if bits & !EXCHANGE_KNOWN != 0 {
        return Err(DecodeError { offset, defect: Defect::UnknownBits(bits & !EXCHANGE_KNOWN) });
    }
    Ok(ExchangePolicy {
        kind: Code::take(input)?,
        durable: bits & EXCHANGE_DURABLE != 0,
        auto_delete: bits & EXCHANGE_AUTO_DELETE != 0,
        internal: bits & EXCHANGE_INTERNAL != 0,
        alternate: input.opt_name(bits & EXCHANGE_ALTERNATE != 0)?,
        labels: opt(input, bits & EXCHANGE_LABELS != 0, take_labels)?.unwrap_or_default(),
    })
}

fn opt<'a, T>(
    input: &mut Reader<'a>,
    present: bool,
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if present { take(input).map(Some) } else { Ok(None) }
}

fn put_opt_name(buf: &mut Vec<u8>, name: Option<&Name>) {
    buf.push(u8::from(name.is_some()));
    if let Some(name) = name {
        put_name(buf, name);
    }
}

fn take_opt_name(input: &mut Reader<'_>) -> Result<Option<Name>, DecodeError> {
    let present = input.flags(1)? != 0;
    input.opt_name(present)
}

fn put_backoff(buf: &mut Vec<u8>, backoff: &Backoff) {
    match backoff.growth {
        Growth::Constant => buf.push(0),
        Growth::Linear => buf.push(1),
        Growth::Exponential(factor) => {
            buf.push(2);
            put_f64(buf, factor);
        }
    }
    put_varint(buf, backoff.min_ms);
    put_varint(buf, backoff.max_ms);
    put_f64(buf, backoff.jitter);
    buf.push(backoff.on.code());
}

fn take_backoff(input: &mut Reader<'_>) -> Result<Backoff, DecodeError> {
    let offset = input.at();
    let growth = match input.u8()? {
        0 => Growth::Constant,
        1 => Growth::Linear,
        2 => Growth::Exponential(input.f64()?),
        _ => return Err(DecodeError { offset, defect: Defect::BadValue("growth of waiting times") }),
    };
    Ok(Backoff {
        growth,
        min_ms: input.varint()?,
        max_ms: input.varint()?,
        jitter: input.f64()?,
        on: Code::take(input)?,
    })
}

fn put_labels(buf: &mut Vec<u8>, labels: &[(Name, Name)]) {
    put_len(buf, labels.len());
    for (name, value) in labels {
        put_name(buf, name);
        put_name(buf, value);
    }
}

fn take_labels(input: &mut Reader<'_>) -> Result<Vec<(Name, Name)>, DecodeError> {
    (0..input.count()?).map(|_| Ok((input.name()?, input.name()?))).collect()
}
