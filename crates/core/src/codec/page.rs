//! Pages of a queue's index, and their summaries. A page's bytes end with a checksum of their own: they are read alone, long
//! after the batch around them was checked.

use std::sync::Arc;

use baton_model::request::MessageState;
use baton_model::{Fence, MessageId, QueueId, Seq, Time};
use smallvec::SmallVec;

use super::codes::Code;
use super::error::{DecodeError, Defect};
use super::messages::{put_overlay, take_overlay};
use super::wire::{Reader, put_len, put_name, put_opt, put_varint};
use super::{ContentRange, kind};
use crate::context::{Held, Stored};
use crate::queue::page::Summary;
use crate::record::Record;
use crate::snapshot::EntryItem;

const FIRST_ACQUIRED: u8 = 1;
const UNTIL: u8 = 1 << 1;
const EXPIRES: u8 = 1 << 2;
const KEY: u8 = 1 << 3;
const OVERLAY: u8 = 1 << 4;
const PRIORITY: u8 = 1 << 5;
const USED: u8 = 1 << 6;
const KNOWN: u8 = (1 << 7) - 1;

const CHECKSUM_BYTES: usize = 4;

/// The entry before, from which most numbers of the next differ by little.
#[derive(Default)]
struct Before {
    seq: u64,
    id: u64,
    end: u64,
    at: u64,
}

/// Appends a `PageWritten`; the page's bytes are all behind the kind, so that they can be read alone.
pub(super) fn put_page_written(
    buf: &mut Vec<u8>,
    start: usize,
    queue: QueueId,
    page: u64,
    entries: &[EntryItem],
) -> ContentRange {
    buf.push(kind::PAGE_WRITTEN);
    let from = buf.len();
    put_varint(buf, queue.0.into());
    put_varint(buf, page);
    put_len(buf, entries.len());
    let mut before = Before::default();
    for entry in entries {
        put_entry(buf, &mut before, entry);
    }
    let sum = checksum(buf.get(from..).unwrap_or_default());
    buf.extend_from_slice(&sum.to_le_bytes());
    let offset = |at: usize| u32::try_from(at).expect("a page is small");
    ContentRange { offset: offset(from - start), len_bytes: offset(buf.len() - from) }
}

/// Reads a `PageWritten` behind its kind: the record, and where in it the page lies.
pub(super) fn take_page_written(input: &mut Reader<'_>) -> Result<(Record, ContentRange), DecodeError> {
    let from = input.at();
    let all = input.raw(input.remaining())?;
    let (queue, page, entries) =
        page_of(all).map_err(|error| DecodeError { offset: from + error.offset, ..error })?;
    let too_long = || DecodeError { offset: from, defect: Defect::Truncated };
    let range = ContentRange {
        offset: u32::try_from(from).map_err(|_| too_long())?,
        len_bytes: u32::try_from(all.len()).map_err(|_| too_long())?,
    };
    Ok((Record::PageWritten { queue, page, entries }, range))
}

/// Reads a page's entries, all of `bytes`.
///
/// # Errors
/// The first thing that is wrong, with its offset; a checksum that does not match first of all.
pub fn decode_page(bytes: &[u8]) -> Result<Vec<EntryItem>, DecodeError> {
    page_of(bytes).map(|(_, _, entries)| entries)
}

fn page_of(bytes: &[u8]) -> Result<(QueueId, u64, Vec<EntryItem>), DecodeError> {
    let truncated = DecodeError { offset: bytes.len(), defect: Defect::Truncated };
    let (payload, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(truncated)?;
    if checksum(payload) != u32::from_le_bytes(*sum) {
        return Err(DecodeError { offset: payload.len(), defect: Defect::Checksum });
    }
    let mut input = Reader::new(payload);
    let queue = QueueId(input.u32()?);
    let page = input.varint()?;
    let mut before = Before::default();
    let entries =
        (0..input.count()?).map(|_| take_entry(&mut input, queue, &mut before)).collect::<Result<_, _>>()?;
    input.finish()?;
    Ok((queue, page, entries))
}

fn put_entry(buf: &mut Vec<u8>, before: &mut Before, entry: &EntryItem) {
    let used = entry.acquired != 0 || entry.failed != 0 || entry.fence.0 != 0;
    buf.push(
        if entry.first_acquired_at.is_some() { FIRST_ACQUIRED } else { 0 }
            | if entry.until.is_some() { UNTIL } else { 0 }
            | if entry.expires_at.is_some() { EXPIRES } else { 0 }
            | if entry.key.is_some() { KEY } else { 0 }
            | if entry.overlay.is_some() { OVERLAY } else { 0 }
            | if entry.priority != 0 { PRIORITY } else { 0 }
            | if used { USED } else { 0 },
    );
    buf.push(entry.state.code());
    put_delta(buf, before.seq, entry.seq.0);
    put_delta(buf, before.id, entry.id.0);
    put_delta(buf, before.end, entry.content.position);
    put_varint(buf, entry.content.len_bytes.into());
    put_varint(buf, entry.envelope_bytes.into());
    put_delta(buf, before.at, entry.enqueued_at.0);
    put_opt(buf, entry.first_acquired_at.map(|at| at.0));
    put_opt(buf, entry.until.map(|at| at.0));
    put_opt(buf, entry.expires_at.map(|at| at.0));
    if used {
        put_varint(buf, entry.acquired.into());
        put_varint(buf, entry.failed.into());
        put_varint(buf, entry.fence.0);
    }
    if entry.priority != 0 {
        buf.push(entry.priority);
    }
    if let Some(key) = &entry.key {
        put_name(buf, key);
    }
    if let Some(overlay) = &entry.overlay {
        put_overlay(buf, overlay);
    }
    *before = Before {
        seq: entry.seq.0,
        id: entry.id.0,
        end: entry.content.position.wrapping_add(u64::from(entry.content.len_bytes)),
        at: entry.enqueued_at.0,
    };
}

fn take_entry(input: &mut Reader<'_>, queue: QueueId, before: &mut Before) -> Result<EntryItem, DecodeError> {
    let flags = input.flags(KNOWN)?;
    let has = |flag: u8| flags & flag != 0;
    let state: MessageState = Code::take(input)?;
    let seq = Seq(take_delta(input, before.seq)?);
    let id = MessageId(take_delta(input, before.id)?);
    let content = Stored { position: take_delta(input, before.end)?, len_bytes: input.u32()? };
    let envelope_bytes = input.u32()?;
    let enqueued_at = Time(take_delta(input, before.at)?);
    let first_acquired_at = input.opt_time(has(FIRST_ACQUIRED))?;
    let until = input.opt_time(has(UNTIL))?;
    let expires_at = input.opt_time(has(EXPIRES))?;
    let (acquired, failed, fence) =
        if has(USED) { (input.u32()?, input.u32()?, input.varint()?) } else { (0, 0, 0) };
    let priority = if has(PRIORITY) { input.u8()? } else { 0 };
    let key = input.opt_name(has(KEY))?;
    let overlay = if has(OVERLAY) { Some(Arc::new(take_overlay(input)?)) } else { None };
    *before = Before {
        seq: seq.0,
        id: id.0,
        end: content.position.wrapping_add(u64::from(content.len_bytes)),
        at: enqueued_at.0,
    };
    let (fence, linked) = (Fence(fence), false);
    Ok(EntryItem {
        queue,
        seq,
        id,
        content,
        envelope_bytes,
        enqueued_at,
        first_acquired_at,
        acquired,
        failed,
        state,
        until,
        expires_at,
        fence,
        linked,
        priority,
        key,
        overlay,
    })
}

const KEYED: u8 = 1;
const TIMER: u8 = 1 << 1;

/// Appends a summary.
pub(super) fn put_summary(buf: &mut Vec<u8>, summary: &Summary) {
    let timed = summary.timer != u64::MAX;
    buf.push(if summary.keyed { KEYED } else { 0 } | if timed { TIMER } else { 0 });
    buf.extend_from_slice(&summary.present.to_le_bytes());
    put_len(buf, summary.ready.len());
    for (priority, bits) in &summary.ready {
        buf.push(*priority);
        buf.extend_from_slice(&bits.to_le_bytes());
    }
    summary.counts.iter().for_each(|count| put_varint(buf, (*count).into()));
    put_varint(buf, summary.waiting_bytes);
    put_varint(buf, summary.bytes);
    put_opt(buf, timed.then_some(summary.timer));
    put_varint(buf, summary.oldest_at);
    put_varint(buf, summary.ids.0);
    put_varint(buf, summary.ids.1);
    put_len(buf, summary.held.len());
    let mut before = 0;
    for held in &summary.held {
        put_delta(buf, before, held.stretch);
        put_varint(buf, held.bytes);
        before = held.stretch;
    }
}

/// Reads a summary.
pub(super) fn take_summary(input: &mut Reader<'_>) -> Result<Summary, DecodeError> {
    let flags = input.flags(KEYED | TIMER)?;
    let present = take_bits(input)?;
    if present == 0 {
        return input.bad(Defect::BadValue("page: it has no messages"));
    }
    let mut ready = SmallVec::new();
    for _ in 0..input.count()? {
        ready.push((input.u8()?, take_bits(input)?));
    }
    let counts = [input.u32()?, input.u32()?, input.u32()?];
    let (waiting_bytes, bytes) = (input.varint()?, input.varint()?);
    let timer = input.opt_varint(flags & TIMER != 0)?.unwrap_or(u64::MAX);
    let oldest_at = input.varint()?;
    let ids = (input.varint()?, input.varint()?);
    let mut held = Vec::new();
    let mut before = 0;
    for _ in 0..input.count()? {
        before = take_delta(input, before)?;
        held.push(Held { stretch: before, bytes: input.varint()? });
    }
    let (held, keyed) = (held.into_boxed_slice(), flags & KEYED != 0);
    Ok(Summary { ready, present, counts, waiting_bytes, bytes, timer, oldest_at, ids, keyed, held })
}

fn take_bits(input: &mut Reader<'_>) -> Result<u128, DecodeError> {
    let bytes = input.raw(16)?;
    Ok(u128::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

/// The distance from a number, zigzag.
fn put_delta(buf: &mut Vec<u8>, from: u64, to: u64) {
    let distance = to.wrapping_sub(from).cast_signed();
    put_varint(buf, ((distance << 1) ^ (distance >> 63)).cast_unsigned());
}

fn take_delta(input: &mut Reader<'_>, from: u64) -> Result<u64, DecodeError> {
    let zigzag = input.varint()?;
    let distance = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
    Ok(from.wrapping_add(distance))
}

fn checksum(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum).unwrap_or(u32::MAX)
}
