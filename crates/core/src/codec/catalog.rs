//! Records of the catalog (queues, exchanges, bindings, names, transfers) and of the partition itself. Rare, so written plainly.

use baton_model::event::{Transfer, TransferState};
use baton_model::route::{Binding, Destination};
use baton_model::{QueueId, Seq};
use bytes::Bytes;

use super::error::{DecodeError, Defect};
use super::wire::{Reader, put_bytes, put_name, put_varint};
use super::{kind, policy};
use crate::record::{QueueCreated, Record, TransferNoted};

const DESTINATION_EXCHANGE: u8 = 1;
const DURABLE: u8 = 2;

/// Flags of a transfer.
const NOTED_DURABLE: u8 = 1;
const HAS_TARGET: u8 = 2;
const HAS_RATE: u8 = 4;

/// Appends a record of the catalog; those of messages are in `super::messages` and never come here.
pub(super) fn put(buf: &mut Vec<u8>, record: &Record) {
    match record {
        Record::QueueCreated(created) => {
            buf.push(kind::QUEUE_CREATED);
            put_varint(buf, created.queue.0.into());
            put_varint(buf, created.at.0);
            put_name(buf, &created.namespace);
            put_name(buf, &created.name);
            policy::put_queue(buf, &created.policy);
        }
        Record::QueueChanged { queue, policy, at } => {
            buf.push(kind::QUEUE_CHANGED);
            put_varint(buf, queue.0.into());
            put_varint(buf, at.0);
            policy::put_queue(buf, policy);
        }
        Record::QueueDeleted { queue } => {
            buf.push(kind::QUEUE_DELETED);
            put_varint(buf, queue.0.into());
        }
        Record::ExchangeCreated { namespace, name, policy } => {
            buf.push(kind::EXCHANGE_CREATED);
            put_name(buf, namespace);
            put_name(buf, name);
            policy::put_exchange(buf, policy);
        }
        Record::ExchangeDeleted { namespace, name } => {
            buf.push(kind::EXCHANGE_DELETED);
            put_name(buf, namespace);
            put_name(buf, name);
        }
        Record::Bound { namespace, binding, durable } => {
            buf.push(kind::BOUND);
            put_name(buf, namespace);
            put_binding(buf, binding, *durable);
        }
        Record::Unbound { namespace, binding } => {
            buf.push(kind::UNBOUND);
            put_name(buf, namespace);
            put_binding(buf, binding, false);
        }
        Record::NameRested { namespace, name, at, until } => {
            buf.push(kind::NAME_RESTED);
            put_name(buf, namespace);
            put_name(buf, name);
            put_varint(buf, at.0);
            put_varint(buf, until.0);
        }
        Record::TransferNoted(noted) => put_transfer(buf, noted),
        Record::Recovered { generation, at } => {
            buf.push(kind::RECOVERED);
            put_varint(buf, (*generation).into());
            put_varint(buf, at.0);
        }
        _ => debug_assert!(false, "not a record of the catalog"),
    }
}

pub(super) fn take(kind: u8, input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    Ok(match kind {
        kind::QUEUE_CREATED => {
            let queue = QueueId(input.u32()?);
            let at = input.time()?;
            let (namespace, name) = (input.name()?, input.name()?);
            let policy = policy::take_queue(input)?;
            Record::QueueCreated(Box::new(QueueCreated { queue, namespace, name, policy, at }))
        }
        kind::QUEUE_CHANGED => {
            let queue = QueueId(input.u32()?);
            let at = input.time()?;
            Record::QueueChanged { queue, policy: Box::new(policy::take_queue(input)?), at }
        }
        kind::QUEUE_DELETED => Record::QueueDeleted { queue: QueueId(input.u32()?) },
        kind::EXCHANGE_CREATED => Record::ExchangeCreated {
            namespace: input.name()?,
            name: input.name()?,
            policy: Box::new(policy::take_exchange(input)?),
        },
        kind::EXCHANGE_DELETED => Record::ExchangeDeleted { namespace: input.name()?, name: input.name()? },
        kind::BOUND => {
            let namespace = input.name()?;
            let (binding, durable) = take_binding(input)?;
            Record::Bound { namespace, binding, durable }
        }
        kind::UNBOUND => {
            let namespace = input.name()?;
            let (binding, _) = take_binding(input)?;
            Record::Unbound { namespace, binding }
        }
        kind::NAME_RESTED => Record::NameRested {
            namespace: input.name()?,
            name: input.name()?,
            at: input.time()?,
            until: input.time()?,
        },
        kind::TRANSFER_NOTED => Record::TransferNoted(Box::new(take_transfer(input)?)),
        kind::RECOVERED => Record::Recovered { generation: input.u32()?, at: input.time()? },
        unknown => return Err(DecodeError { offset: 0, defect: Defect::UnknownKind(unknown) }),
    })
}

fn put_transfer(buf: &mut Vec<u8>, noted: &TransferNoted) {
    let Transfer { id, to, per_second, state, moved, to_move, started_at } = &noted.transfer;
    buf.push(kind::TRANSFER_NOTED);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    buf.push(
        flag(noted.durable, NOTED_DURABLE)
            | flag(to.is_some(), HAS_TARGET)
            | flag(per_second.is_some(), HAS_RATE),
    );
    put_varint(buf, noted.queue.0.into());
    for number in [*id, started_at.0, *moved, *to_move, noted.end.0] {
        put_varint(buf, number);
    }
    if let Some(to) = to {
        put_name(buf, to);
    }
    if let Some(rate) = per_second {
        put_varint(buf, (*rate).into());
    }
    match state {
        TransferState::Running => buf.push(0),
        TransferState::Completed => buf.push(1),
        TransferState::Cancelled => buf.push(2),
        TransferState::Failed(reason) => {
            buf.push(3);
            put_name(buf, reason);
        }
    }
}

fn take_transfer(input: &mut Reader<'_>) -> Result<TransferNoted, DecodeError> {
    let flags = input.flags(NOTED_DURABLE | HAS_TARGET | HAS_RATE)?;
    let queue = QueueId(input.u32()?);
    let (id, started_at) = (input.varint()?, input.time()?);
    let (moved, to_move, end) = (input.varint()?, input.varint()?, Seq(input.varint()?));
    let to = input.opt_name(flags & HAS_TARGET != 0)?;
    let per_second = if flags & HAS_RATE != 0 { Some(input.u32()?) } else { None };
    let offset = input.at();
    let state = match input.u8()? {
        0 => TransferState::Running,
        1 => TransferState::Completed,
        2 => TransferState::Cancelled,
        3 => TransferState::Failed(input.name()?),
        _ => return Err(DecodeError { offset, defect: Defect::BadValue("state of a transfer") }),
    };
    let transfer = Transfer { id, to, per_second, state, moved, to_move, started_at };
    Ok(TransferNoted { queue, transfer, end, durable: flags & NOTED_DURABLE != 0 })
}

fn put_binding(buf: &mut Vec<u8>, binding: &Binding, durable: bool) {
    let (is_exchange, destination) = match &binding.destination {
        Destination::Queue(name) => (0, name),
        Destination::Exchange(name) => (DESTINATION_EXCHANGE, name),
    };
    buf.push(is_exchange | if durable { DURABLE } else { 0 });
    put_name(buf, &binding.source);
    put_name(buf, destination);
    put_name(buf, &binding.key);
    put_bytes(buf, &binding.arguments);
}

fn take_binding(input: &mut Reader<'_>) -> Result<(Box<Binding>, bool), DecodeError> {
    let flags = input.flags(DESTINATION_EXCHANGE | DURABLE)?;
    let source = input.name()?;
    let destination = input.name()?;
    let destination = if flags & DESTINATION_EXCHANGE != 0 {
        Destination::Exchange(destination)
    } else {
        Destination::Queue(destination)
    };
    let key = input.name()?;
    let arguments = Bytes::copy_from_slice(input.bytes()?);
    Ok((Box::new(Binding { source, destination, key, arguments }), flags & DURABLE != 0))
}
