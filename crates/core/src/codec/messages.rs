//! Records of messages. `Enqueued`, `Leased` and `Removed` are written for every message, so they are short and quick.
//!
//! A content (envelope and body) is always the last thing in its record: one contiguous range up to the end, which is
//! how a message's body is later read back from the journal without parsing anything.

use std::sync::Arc;

use baton_model::event::{Death, Overlay};
use baton_model::{Fence, Message, MessageId, Name, QueueId, Seq, Time};
use smallvec::SmallVec;

use super::codes::Code;
use super::error::DecodeError;
use super::wire::{Reader, put_len, put_name, put_opt, put_runs, put_varint};
use super::{ContentRange, MakeContent, kind};
use crate::record::{Enqueued, Leased, Moved, Place, Record, Released, Removal, Runs, Transferred};

const DURABLE: u8 = 1;

const HAS_OVERLAY: u8 = 2;

const HAS_UNTIL: u8 = 2;
const LINKED: u8 = 4;

const REASON_SHIFT: u8 = 1;
const REASON_MASK: u8 = 0b110;

const FAILED: u8 = 2;
const HAS_DELIVER_AT: u8 = 4;
const HAS_BACK: u8 = 8;

const HELD: u8 = 2;

fn durable_flag(durable: bool) -> u8 {
    u8::from(durable)
}

pub(super) fn put_enqueued(buf: &mut Vec<u8>, start: usize, enqueued: &Enqueued) -> ContentRange {
    buf.push(kind::ENQUEUED);
    let overlay = enqueued.overlay.as_ref();
    buf.push(durable_flag(enqueued.durable) | if overlay.is_some() { HAS_OVERLAY } else { 0 });
    put_varint(buf, enqueued.id.0);
    put_varint(buf, enqueued.at.0);
    put_places(buf, &enqueued.places);
    if let Some(overlay) = overlay {
        put_overlay(buf, overlay);
    }
    put_content(buf, start, &enqueued.message)
}

pub(super) fn take_enqueued(
    input: &mut Reader<'_>,
    content: &MakeContent<'_>,
) -> Result<(Record, Option<ContentRange>), DecodeError> {
    let flags = input.flags(DURABLE | HAS_OVERLAY)?;
    let durable = flags & DURABLE != 0;
    let id = MessageId(input.varint()?);
    let at = input.time()?;
    let places = take_places(input)?;
    let overlay = if flags & HAS_OVERLAY != 0 { Some(Arc::new(take_overlay(input)?)) } else { None };
    let (message, range) = take_content(input, content)?;
    let enqueued = Enqueued { id, at, message, overlay, places, durable };
    Ok((Record::Enqueued(Box::new(enqueued)), Some(range)))
}

pub(super) fn put_leased(buf: &mut Vec<u8>, leased: &Leased) {
    buf.push(kind::LEASED);
    buf.push(
        durable_flag(leased.durable)
            | if leased.until.is_some() { HAS_UNTIL } else { 0 }
            | if leased.linked { LINKED } else { 0 },
    );
    put_varint(buf, leased.queue.0.into());
    put_varint(buf, leased.fence.0);
    put_varint(buf, leased.at.0);
    put_opt(buf, leased.until.map(|until| until.0));
    put_runs(buf, &leased.seqs);
}

pub(super) fn take_leased(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let flags = input.flags(DURABLE | HAS_UNTIL | LINKED)?;
    Ok(Record::Leased(Leased {
        durable: flags & DURABLE != 0,
        linked: flags & LINKED != 0,
        queue: QueueId(input.u32()?),
        fence: Fence(input.varint()?),
        at: input.time()?,
        until: input.opt_time(flags & HAS_UNTIL != 0)?,
        seqs: input.runs()?,
    }))
}

pub(super) fn put_removed(buf: &mut Vec<u8>, queue: QueueId, seqs: &Runs, reason: Removal, durable: bool) {
    buf.push(kind::REMOVED);
    buf.push(durable_flag(durable) | reason.code() << REASON_SHIFT);
    put_varint(buf, queue.0.into());
    put_runs(buf, seqs);
}

pub(super) fn take_removed(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let flags = input.flags(DURABLE | REASON_MASK)?;
    let reason = Removal::from_code((flags & REASON_MASK) >> REASON_SHIFT)
        .expect("all four codes of two bits are reasons");
    Ok(Record::Removed {
        durable: flags & DURABLE != 0,
        reason,
        queue: QueueId(input.u32()?),
        seqs: input.runs()?,
    })
}

pub(super) fn put_transferred(buf: &mut Vec<u8>, transferred: &Transferred) {
    buf.push(kind::TRANSFERRED);
    buf.push(
        durable_flag(transferred.durable) | if transferred.expires_at.is_some() { HAS_UNTIL } else { 0 },
    );
    put_varint(buf, transferred.from.0.into());
    put_varint(buf, transferred.to.0.into());
    put_varint(buf, transferred.first.0);
    put_varint(buf, transferred.at.0);
    put_opt(buf, transferred.expires_at.map(|at| at.0));
    put_runs(buf, &transferred.seqs);
}

pub(super) fn take_transferred(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let flags = input.flags(DURABLE | HAS_UNTIL)?;
    Ok(Record::Transferred(Transferred {
        durable: flags & DURABLE != 0,
        from: QueueId(input.u32()?),
        to: QueueId(input.u32()?),
        first: Seq(input.varint()?),
        at: input.time()?,
        expires_at: input.opt_time(flags & HAS_UNTIL != 0)?,
        seqs: input.runs()?,
    }))
}

pub(super) fn put_released(buf: &mut Vec<u8>, released: &Released) {
    buf.push(kind::RELEASED);
    buf.push(
        durable_flag(released.durable)
            | if released.failed { FAILED } else { 0 }
            | if released.deliver_at.is_some() { HAS_DELIVER_AT } else { 0 }
            | if released.back.is_some() { HAS_BACK } else { 0 },
    );
    put_varint(buf, released.queue.0.into());
    put_opt(buf, released.deliver_at.map(|at| at.0));
    put_opt(buf, released.back.map(|seq| seq.0));
    put_runs(buf, &released.seqs);
}

pub(super) fn take_released(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let flags = input.flags(DURABLE | FAILED | HAS_DELIVER_AT | HAS_BACK)?;
    Ok(Record::Released(Released {
        durable: flags & DURABLE != 0,
        failed: flags & FAILED != 0,
        queue: QueueId(input.u32()?),
        deliver_at: input.opt_time(flags & HAS_DELIVER_AT != 0)?,
        back: input.opt_varint(flags & HAS_BACK != 0)?.map(Seq),
        seqs: input.runs()?,
    }))
}

pub(super) fn put_deferred(buf: &mut Vec<u8>, queue: QueueId, seqs: &Runs, durable: bool) {
    buf.push(kind::DEFERRED);
    buf.push(durable_flag(durable));
    put_varint(buf, queue.0.into());
    put_runs(buf, seqs);
}

pub(super) fn take_deferred(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let durable = input.flags(DURABLE)? != 0;
    Ok(Record::Deferred { durable, queue: QueueId(input.u32()?), seqs: input.runs()? })
}

pub(super) fn put_extended(buf: &mut Vec<u8>, queue: QueueId, seq: Seq, until: Time, durable: bool) {
    buf.push(kind::EXTENDED);
    buf.push(durable_flag(durable));
    put_varint(buf, queue.0.into());
    put_varint(buf, seq.0);
    put_varint(buf, until.0);
}

pub(super) fn take_extended(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let durable = input.flags(DURABLE)? != 0;
    Ok(Record::Extended {
        durable,
        queue: QueueId(input.u32()?),
        seq: Seq(input.varint()?),
        until: input.time()?,
    })
}

pub(super) fn put_moved(buf: &mut Vec<u8>, moved: &Moved) {
    buf.push(kind::MOVED);
    buf.push(durable_flag(moved.durable));
    put_varint(buf, moved.from.0.into());
    put_varint(buf, moved.seq.0);
    put_varint(buf, moved.at.0);
    put_places(buf, &moved.places);
    put_overlay(buf, &moved.overlay);
}

pub(super) fn take_moved(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let durable = input.flags(DURABLE)? != 0;
    Ok(Record::Moved(Box::new(Moved {
        durable,
        from: QueueId(input.u32()?),
        seq: Seq(input.varint()?),
        at: input.time()?,
        places: take_places(input)?,
        overlay: Arc::new(take_overlay(input)?),
    })))
}

pub(super) fn put_edited(
    buf: &mut Vec<u8>,
    start: usize,
    kind: u8,
    (queue, seq): (QueueId, Seq),
    message: &Message,
    durable: bool,
) -> ContentRange {
    buf.push(kind);
    buf.push(durable_flag(durable));
    put_varint(buf, queue.0.into());
    put_varint(buf, seq.0);
    put_content(buf, start, message)
}

pub(super) fn take_edited(
    input: &mut Reader<'_>,
    kind: u8,
    content: &MakeContent<'_>,
) -> Result<(Record, Option<ContentRange>), DecodeError> {
    let durable = input.flags(DURABLE)? != 0;
    let queue = QueueId(input.u32()?);
    let seq = Seq(input.varint()?);
    let (message, range) = take_content(input, content)?;
    let record = if kind == kind::COPIED {
        Record::Copied { queue, seq, message, durable }
    } else {
        Record::Edited { queue, seq, message, durable }
    };
    Ok((record, Some(range)))
}

pub(super) fn put_key_held(buf: &mut Vec<u8>, queue: QueueId, key: &Name, held: bool, durable: bool) {
    buf.push(kind::KEY_HELD);
    buf.push(durable_flag(durable) | if held { HELD } else { 0 });
    put_varint(buf, queue.0.into());
    put_name(buf, key);
}

pub(super) fn take_key_held(input: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let flags = input.flags(DURABLE | HELD)?;
    Ok(Record::KeyHeld {
        durable: flags & DURABLE != 0,
        held: flags & HELD != 0,
        queue: QueueId(input.u32()?),
        key: input.name()?,
    })
}

/// Length of the envelope, length of the whole; then follows the whole, up to the end of the record.
fn put_content(buf: &mut Vec<u8>, start: usize, message: &Message) -> ContentRange {
    let content = message.content();
    put_varint(buf, message.envelope_bytes().into());
    put_len(buf, content.len());
    let offset = u32::try_from(buf.len() - start).expect("places of one message are far below 4 GiB");
    let len_bytes = u32::try_from(content.len()).expect("contents are far below 4 GiB");
    ContentRange { offset, len_bytes }
}

fn take_content(
    input: &mut Reader<'_>,
    content: &MakeContent<'_>,
) -> Result<(Message, ContentRange), DecodeError> {
    let envelope_bytes = input.u32()?;
    let len_bytes = input.u32()?;
    let from = input.at();
    input.raw(len_bytes as usize)?;
    let message = Message::new(content(from..input.at(), envelope_bytes as usize), envelope_bytes);
    let offset = u32::try_from(from).unwrap_or(u32::MAX);
    Ok((message, ContentRange { offset, len_bytes }))
}

const PLACE_PRIORITY: u8 = 1;
const PLACE_EXPIRES_AT: u8 = 2;
const PLACE_DELIVER_AT: u8 = 4;
const PLACE_KEY: u8 = 8;
const PLACE_DEDUP: u8 = 16;

fn put_places(buf: &mut Vec<u8>, places: &[Place]) {
    put_len(buf, places.len());
    for place in places {
        buf.push(
            if place.priority != 0 { PLACE_PRIORITY } else { 0 }
                | if place.expires_at.is_some() { PLACE_EXPIRES_AT } else { 0 }
                | if place.deliver_at.is_some() { PLACE_DELIVER_AT } else { 0 }
                | if place.key.is_some() { PLACE_KEY } else { 0 }
                | if place.dedup.is_some() { PLACE_DEDUP } else { 0 },
        );
        put_varint(buf, place.queue.0.into());
        put_varint(buf, place.seq.0);
        if place.priority != 0 {
            buf.push(place.priority);
        }
        put_opt(buf, place.expires_at.map(|at| at.0));
        put_opt(buf, place.deliver_at.map(|at| at.0));
        if let Some(key) = &place.key {
            put_name(buf, key);
        }
        if let Some((id, until)) = &place.dedup {
            put_name(buf, id);
            put_varint(buf, until.0);
        }
    }
}

fn take_places(input: &mut Reader<'_>) -> Result<SmallVec<[Place; 1]>, DecodeError> {
    const KNOWN: u8 = PLACE_PRIORITY | PLACE_EXPIRES_AT | PLACE_DELIVER_AT | PLACE_KEY | PLACE_DEDUP;
    let mut places = SmallVec::new();
    for _ in 0..input.count()? {
        let flags = input.flags(KNOWN)?;
        let has = |flag: u8| flags & flag != 0;
        places.push(Place {
            queue: QueueId(input.u32()?),
            seq: Seq(input.varint()?),
            priority: if has(PLACE_PRIORITY) { input.u8()? } else { 0 },
            expires_at: input.opt_time(has(PLACE_EXPIRES_AT))?,
            deliver_at: input.opt_time(has(PLACE_DELIVER_AT))?,
            key: input.opt_name(has(PLACE_KEY))?,
            dedup: if has(PLACE_DEDUP) { Some((input.name()?, input.time()?)) } else { None },
        });
    }
    Ok(places)
}

const OVERLAY_TTL_REMOVED: u8 = 1;
const OVERLAY_FIRST_DEATH: u8 = 2;
const DEATH_DETAIL: u8 = 1;
const DEATH_TTL: u8 = 2;

pub(super) fn put_overlay(buf: &mut Vec<u8>, overlay: &Overlay) {
    buf.push(
        if overlay.ttl_removed { OVERLAY_TTL_REMOVED } else { 0 }
            | if overlay.first_death.is_some() { OVERLAY_FIRST_DEATH } else { 0 },
    );
    put_name(buf, &overlay.exchange);
    put_names(buf, &overlay.keys);
    put_len(buf, overlay.deaths.len());
    for death in &overlay.deaths {
        buf.push(
            if death.detail.is_some() { DEATH_DETAIL } else { 0 }
                | if death.ttl_ms.is_some() { DEATH_TTL } else { 0 },
        );
        put_name(buf, &death.queue);
        buf.push(death.reason.code());
        if let Some(detail) = &death.detail {
            put_name(buf, detail);
        }
        put_varint(buf, death.count);
        put_varint(buf, death.first_at.0);
        put_varint(buf, death.last_at.0);
        put_name(buf, &death.exchange);
        put_names(buf, &death.keys);
        put_opt(buf, death.ttl_ms);
    }
    if let Some((queue, reason, exchange)) = &overlay.first_death {
        put_name(buf, queue);
        buf.push(reason.code());
        put_name(buf, exchange);
    }
}

pub(super) fn take_overlay(input: &mut Reader<'_>) -> Result<Overlay, DecodeError> {
    let flags = input.flags(OVERLAY_TTL_REMOVED | OVERLAY_FIRST_DEATH)?;
    let exchange = input.name()?;
    let keys = take_names(input)?;
    let deaths = (0..input.count()?).map(|_| take_death(input)).collect::<Result<_, _>>()?;
    let first_death = if flags & OVERLAY_FIRST_DEATH != 0 {
        Some((input.name()?, Code::take(input)?, input.name()?))
    } else {
        None
    };
    Ok(Overlay { exchange, keys, ttl_removed: flags & OVERLAY_TTL_REMOVED != 0, deaths, first_death })
}

fn take_death(input: &mut Reader<'_>) -> Result<Death, DecodeError> {
    let flags = input.flags(DEATH_DETAIL | DEATH_TTL)?;
    Ok(Death {
        queue: input.name()?,
        reason: Code::take(input)?,
        detail: input.opt_name(flags & DEATH_DETAIL != 0)?,
        count: input.varint()?,
        first_at: input.time()?,
        last_at: input.time()?,
        exchange: input.name()?,
        keys: take_names(input)?,
        ttl_ms: input.opt_varint(flags & DEATH_TTL != 0)?,
    })
}

pub(super) fn put_names(buf: &mut Vec<u8>, names: &[Name]) {
    put_len(buf, names.len());
    for name in names {
        put_name(buf, name);
    }
}

pub(super) fn take_names(input: &mut Reader<'_>) -> Result<Vec<Name>, DecodeError> {
    (0..input.count()?).map(|_| input.name()).collect()
}
