//! The bytes of records and snapshot items; `docs/formats/records.md` describes them for readers of a journal.
//!
//! Pure: bytes in, values out and back. Framing, checksums and files are the journal's; the engine calls this while it
//! fills a batch and while it recovers. Damaged bytes give a [`DecodeError`] that names the offset, never a panic, and
//! what a count or length claims is never trusted with an allocation.
//!
//! A layout never changes once released: new fields of a policy get a new presence bit, anything else a new kind byte.

mod catalog;
mod codes;
mod error;
mod item;
mod messages;
mod page;
mod policy;
mod wire;

use bytes::Bytes;

pub use error::{DecodeError, Defect};
pub use item::{decode_item, encode_item};
pub use page::decode_page;

use crate::record::Record;
use wire::Reader;

/// Where a message's content lies inside the encoded record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentRange {
    /// Bytes of the record in front of it.
    pub offset: u32,
    /// Its length.
    pub len_bytes: u32,
}

/// First byte of each record. The numbers are on disk: never reuse one.
mod kind {
    pub(super) const QUEUE_CREATED: u8 = 1;
    pub(super) const QUEUE_CHANGED: u8 = 2;
    pub(super) const QUEUE_DELETED: u8 = 3;
    pub(super) const EXCHANGE_CREATED: u8 = 4;
    pub(super) const EXCHANGE_DELETED: u8 = 5;
    pub(super) const BOUND: u8 = 6;
    pub(super) const UNBOUND: u8 = 7;
    pub(super) const NAME_RESTED: u8 = 8;
    pub(super) const TRANSFER_NOTED: u8 = 9;
    pub(super) const RECOVERED: u8 = 15;
    pub(super) const ENQUEUED: u8 = 16;
    pub(super) const LEASED: u8 = 17;
    pub(super) const REMOVED: u8 = 18;
    pub(super) const RELEASED: u8 = 19;
    pub(super) const DEFERRED: u8 = 20;
    pub(super) const EXTENDED: u8 = 21;
    pub(super) const MOVED: u8 = 22;
    pub(super) const EDITED: u8 = 23;
    pub(super) const KEY_HELD: u8 = 24;
    pub(super) const COPIED: u8 = 25;
    pub(super) const PAGE_WRITTEN: u8 = 26;
    pub(super) const TRANSFERRED: u8 = 32;
}

/// Appends the bytes of a record. Returns where in them the message's content lies, for `Enqueued`, `Edited` and
/// `Copied`, and where the entries lie, for `PageWritten`.
pub fn encode(record: &Record, buf: &mut Vec<u8>) -> Option<ContentRange> {
    let range = encode_head(record, buf);
    if let Some(content) = content(record) {
        buf.extend_from_slice(content);
    }
    range
}

/// The content that a record ends with, if it has one.
#[must_use]
pub fn content(record: &Record) -> Option<&Bytes> {
    match record {
        Record::Enqueued(enqueued) => Some(enqueued.message.content()),
        Record::Edited { message, .. } | Record::Copied { message, .. } => Some(message.content()),
        _ => None,
    }
}

/// As [`encode`], without the content, which follows at once.
pub fn encode_head(record: &Record, buf: &mut Vec<u8>) -> Option<ContentRange> {
    let start = buf.len();
    match record {
        Record::Enqueued(enqueued) => return Some(messages::put_enqueued(buf, start, enqueued)),
        Record::Leased(leased) => messages::put_leased(buf, leased),
        Record::Removed { queue, seqs, reason, durable } => {
            messages::put_removed(buf, *queue, seqs, *reason, *durable);
        }
        Record::Released(released) => messages::put_released(buf, released),
        Record::Deferred { queue, seqs, durable } => messages::put_deferred(buf, *queue, seqs, *durable),
        Record::Extended { queue, seq, until, durable } => {
            messages::put_extended(buf, *queue, *seq, *until, *durable);
        }
        Record::Moved(moved) => messages::put_moved(buf, moved),
        Record::Transferred(transferred) => messages::put_transferred(buf, transferred),
        Record::Edited { queue, seq, message, durable } => {
            return Some(messages::put_edited(buf, start, kind::EDITED, (*queue, *seq), message, *durable));
        }
        Record::Copied { queue, seq, message, durable } => {
            return Some(messages::put_edited(buf, start, kind::COPIED, (*queue, *seq), message, *durable));
        }
        Record::PageWritten { queue, page, entries } => {
            return Some(page::put_page_written(buf, start, *queue, *page, entries));
        }
        Record::KeyHeld { queue, key, held, durable } => {
            messages::put_key_held(buf, *queue, key, *held, *durable);
        }
        Record::QueueCreated(_)
        | Record::QueueChanged { .. }
        | Record::QueueDeleted { .. }
        | Record::ExchangeCreated { .. }
        | Record::ExchangeDeleted { .. }
        | Record::Bound { .. }
        | Record::Unbound { .. }
        | Record::NameRested { .. }
        | Record::TransferNoted(_)
        | Record::Recovered { .. } => catalog::put(buf, record),
    }
    None
}

/// Reads one record, all of `bytes`. A message's content is copied out of them.
///
/// # Errors
/// The first thing that is wrong, with its offset: the journal is damaged, or was written by a newer Baton.
pub fn decode(bytes: &[u8]) -> Result<(Record, Option<ContentRange>), DecodeError> {
    decode_with(bytes, &|content, _| Bytes::copy_from_slice(bytes.get(content).unwrap_or_default()))
}

/// Reads one record, all of `bytes`. Of a message whose content is longer than `content_bytes_max` only the envelope is copied: its
/// message says less than the range that comes with it, and a state that it is applied to knows where to read the rest.
///
/// # Errors
/// As for [`decode`].
pub fn decode_head(
    bytes: &[u8],
    content_bytes_max: usize,
) -> Result<(Record, Option<ContentRange>), DecodeError> {
    decode_with(bytes, &|content, envelope_bytes| {
        let whole = content.len() <= content_bytes_max;
        let end =
            if whole { content.end } else { content.start.saturating_add(envelope_bytes).min(content.end) };
        Bytes::copy_from_slice(bytes.get(content.start..end).unwrap_or_default())
    })
}

/// Reads one record, all of `bytes`. A message's content shares them: nothing is copied.
///
/// # Errors
/// As for [`decode`].
pub fn decode_shared(bytes: &Bytes) -> Result<(Record, Option<ContentRange>), DecodeError> {
    decode_with(bytes, &|content, _| bytes.slice(content))
}

/// Makes the content that lies between two offsets, which are known to be inside the record and in order. It begins with an envelope
/// of so many bytes.
type MakeContent<'a> = dyn Fn(std::ops::Range<usize>, usize) -> Bytes + 'a;

fn decode_with(
    bytes: &[u8],
    content: &MakeContent<'_>,
) -> Result<(Record, Option<ContentRange>), DecodeError> {
    let mut input = Reader::new(bytes);
    let kind = input.u8()?;
    let (record, range) = match kind {
        kind::ENQUEUED => messages::take_enqueued(&mut input, content)?,
        kind::EDITED | kind::COPIED => messages::take_edited(&mut input, kind, content)?,
        kind::PAGE_WRITTEN => {
            let (record, range) = page::take_page_written(&mut input)?;
            (record, Some(range))
        }
        kind::LEASED => (messages::take_leased(&mut input)?, None),
        kind::REMOVED => (messages::take_removed(&mut input)?, None),
        kind::RELEASED => (messages::take_released(&mut input)?, None),
        kind::DEFERRED => (messages::take_deferred(&mut input)?, None),
        kind::EXTENDED => (messages::take_extended(&mut input)?, None),
        kind::MOVED => (messages::take_moved(&mut input)?, None),
        kind::TRANSFERRED => (messages::take_transferred(&mut input)?, None),
        kind::KEY_HELD => (messages::take_key_held(&mut input)?, None),
        kind::QUEUE_CREATED..=kind::TRANSFER_NOTED | kind::RECOVERED => {
            (catalog::take(kind, &mut input)?, None)
        }
        unknown => return Err(DecodeError { offset: 0, defect: Defect::UnknownKind(unknown) }),
    };
    input.finish()?;
    Ok((record, range))
}

#[cfg(test)]
mod tests;
