//! Items of a snapshot.

use std::sync::Arc;

use baton_model::{Fence, MessageId, QueueId, Seq};

use super::codes::Code;
use super::error::{DecodeError, Defect};
use super::messages::{put_names, put_overlay, take_names, take_overlay};
use super::page::{put_summary, take_summary};
use super::wire::{Reader, put_bytes, put_len, put_name, put_opt, put_varint};
use crate::context::Stored;
use crate::snapshot::{EntryItem, Item};

const MACHINE: u8 = 1;
const CATALOG: u8 = 2;
const QUEUE: u8 = 3;
const ENTRY: u8 = 4;
const PAGE: u8 = 5;

const FIRST_ACQUIRED: u8 = 1;
const UNTIL: u8 = 1 << 1;
const EXPIRES: u8 = 1 << 2;
const KEY: u8 = 1 << 3;
const OVERLAY: u8 = 1 << 4;
const PRIORITY: u8 = 1 << 5;
const LINKED: u8 = 1 << 6;
const KNOWN: u8 = (1 << 7) - 1;

/// Appends the bytes of an item.
pub fn encode_item(item: &Item, buf: &mut Vec<u8>) {
    match item {
        Item::Machine { next_queue, next_message, generation } => {
            buf.push(MACHINE);
            put_varint(buf, (*next_queue).into());
            put_varint(buf, *next_message);
            put_varint(buf, (*generation).into());
        }
        Item::Catalog(record) => {
            buf.push(CATALOG);
            let mut bytes = Vec::new();
            super::encode(record, &mut bytes);
            put_bytes(buf, &bytes);
        }
        Item::Queue { queue, next_seq, last_fence, held_keys, dedup } => {
            buf.push(QUEUE);
            put_varint(buf, queue.0.into());
            put_varint(buf, next_seq.0);
            put_varint(buf, last_fence.0);
            put_names(buf, held_keys);
            put_len(buf, dedup.len());
            for (name, id, seq, until) in dedup {
                put_name(buf, name);
                put_varint(buf, id.0);
                put_varint(buf, seq.0);
                put_varint(buf, until.0);
            }
        }
        Item::Entry(entry) => put_entry(buf, entry),
        Item::Page { queue, page, at, summary } => {
            buf.push(PAGE);
            put_varint(buf, queue.0.into());
            put_varint(buf, *page);
            put_varint(buf, at.position);
            put_varint(buf, at.len_bytes.into());
            put_summary(buf, summary);
        }
    }
}

fn put_entry(buf: &mut Vec<u8>, entry: &EntryItem) {
    buf.push(ENTRY);
    buf.push(
        if entry.first_acquired_at.is_some() { FIRST_ACQUIRED } else { 0 }
            | if entry.until.is_some() { UNTIL } else { 0 }
            | if entry.expires_at.is_some() { EXPIRES } else { 0 }
            | if entry.key.is_some() { KEY } else { 0 }
            | if entry.overlay.is_some() { OVERLAY } else { 0 }
            | if entry.priority != 0 { PRIORITY } else { 0 }
            | if entry.linked { LINKED } else { 0 },
    );
    buf.push(entry.state.code());
    put_varint(buf, entry.queue.0.into());
    put_varint(buf, entry.seq.0);
    put_varint(buf, entry.id.0);
    put_varint(buf, entry.content.position);
    put_varint(buf, entry.content.len_bytes.into());
    put_varint(buf, entry.envelope_bytes.into());
    put_varint(buf, entry.enqueued_at.0);
    put_opt(buf, entry.first_acquired_at.map(|at| at.0));
    put_varint(buf, entry.acquired.into());
    put_varint(buf, entry.failed.into());
    put_opt(buf, entry.until.map(|at| at.0));
    put_opt(buf, entry.expires_at.map(|at| at.0));
    put_varint(buf, entry.fence.0);
    if entry.priority != 0 {
        buf.push(entry.priority);
    }
    if let Some(key) = &entry.key {
        put_name(buf, key);
    }
    if let Some(overlay) = &entry.overlay {
        put_overlay(buf, overlay);
    }
}

/// Reads one item, all of `bytes`.
///
/// # Errors
/// The first thing that is wrong, with its offset: the snapshot is damaged, or was written by a newer Baton.
pub fn decode_item(bytes: &[u8]) -> Result<Item, DecodeError> {
    let mut input = Reader::new(bytes);
    let item = match input.u8()? {
        MACHINE => Item::Machine {
            next_queue: input.u32()?,
            next_message: input.varint()?,
            generation: input.u32()?,
        },
        CATALOG => {
            let record = input.bytes()?;
            let from = input.at() - record.len();
            let (record, _) = super::decode(record)
                .map_err(|error| DecodeError { offset: from + error.offset, ..error })?;
            Item::Catalog(record)
        }
        QUEUE => Item::Queue {
            queue: QueueId(input.u32()?),
            next_seq: Seq(input.varint()?),
            last_fence: Fence(input.varint()?),
            held_keys: take_names(&mut input)?,
            dedup: (0..input.count()?)
                .map(|_| Ok((input.name()?, MessageId(input.varint()?), Seq(input.varint()?), input.time()?)))
                .collect::<Result<_, DecodeError>>()?,
        },
        ENTRY => Item::Entry(Box::new(take_entry(&mut input)?)),
        PAGE => Item::Page {
            queue: QueueId(input.u32()?),
            page: input.varint()?,
            at: Stored { position: input.varint()?, len_bytes: input.u32()? },
            summary: Box::new(take_summary(&mut input)?),
        },
        unknown => return Err(DecodeError { offset: 0, defect: Defect::UnknownKind(unknown) }),
    };
    input.finish()?;
    Ok(item)
}

fn take_entry(input: &mut Reader<'_>) -> Result<EntryItem, DecodeError> {
    let flags = input.flags(KNOWN)?;
    let has = |flag: u8| flags & flag != 0;
    // Struct fields are read in the order they are written here, which is that of the bytes.
    Ok(EntryItem {
        state: Code::take(input)?,
        queue: QueueId(input.u32()?),
        seq: Seq(input.varint()?),
        id: MessageId(input.varint()?),
        content: Stored { position: input.varint()?, len_bytes: input.u32()? },
        envelope_bytes: input.u32()?,
        enqueued_at: input.time()?,
        first_acquired_at: input.opt_time(has(FIRST_ACQUIRED))?,
        acquired: input.u32()?,
        failed: input.u32()?,
        until: input.opt_time(has(UNTIL))?,
        expires_at: input.opt_time(has(EXPIRES))?,
        fence: Fence(input.varint()?),
        linked: has(LINKED),
        priority: if has(PRIORITY) { input.u8()? } else { 0 },
        key: input.opt_name(has(KEY))?,
        overlay: if has(OVERLAY) { Some(Arc::new(take_overlay(input)?)) } else { None },
    })
}
