//! Properties and headers of a published message to the neutral envelope, and back. Routing facts that stand in headers (CC,
//! BCC, `x-delay`) are found here; what they do is in `publish`. The mapping is a table in `docs/features/amqp091.md`.

use baton_model::envelope::{Field, Fields};
use baton_model::value::{MapRef, encode_container};
use baton_model::{EnvelopeWriter, Overlay, Tag, ValueRef as Neutral};
use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

use super::deaths;
use super::failure::Failure;
use super::values::{encode_table, ms_to_seconds, put_entry, seconds_to_ms};
use crate::error::WireError;
use crate::properties::{self as flags, Properties};
use crate::short_str::ShortRef;
use crate::table::{TableRef, ValueRef};
use crate::wire::{put_len, reserve_len};

/// Headers that mean something to the broker.
#[derive(Debug, Default)]
pub(super) struct Special<'a> {
    /// More routing keys, shown to consumers.
    pub(super) cc: SmallVec<[&'a [u8]; 2]>,
    /// More routing keys, not shown.
    pub(super) bcc: SmallVec<[&'a [u8]; 2]>,
    has_bcc: bool,
    /// Milliseconds until it is deliverable.
    pub(super) delay_ms: Option<u64>,
}

impl<'a> Special<'a> {
    /// Finds them among the headers.
    ///
    /// # Errors
    /// 502 for broken tables, 406 for keys that are not a list of strings.
    pub(super) fn find(headers: Option<TableRef<'a>>) -> Result<Self, Failure> {
        let mut special = Self::default();
        for entry in headers.into_iter().flatten() {
            let (name, value) = entry?;
            match name.as_bytes() {
                b"CC" => special.cc = keys("CC", value)?,
                b"BCC" => {
                    special.bcc = keys("BCC", value)?;
                    special.has_bcc = true;
                }
                b"x-delay" => special.delay_ms = value.as_i64().and_then(|ms| u64::try_from(ms).ok()),
                _ => {}
            }
        }
        special.delay_ms = special.delay_ms.filter(|ms| *ms > 0);
        Ok(special)
    }
}

fn keys<'a>(name: &str, value: ValueRef<'a>) -> Result<SmallVec<[&'a [u8]; 2]>, Failure> {
    let bad = || {
        Failure::precondition(format!(
            "invalid message: {{unacceptable_type_in_header,<<\"{name}\">>}}; it must be a list of strings"
        ))
    };
    let mut keys = SmallVec::new();
    for value in value.as_array().ok_or_else(bad)? {
        match value? {
            ValueRef::LongStr(key) => keys.push(key),
            _ => return Err(bad()),
        }
    }
    Ok(keys)
}

/// What an envelope is written from.
#[derive(Debug)]
pub(super) struct Source<'a, 'h> {
    pub(super) exchange: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) properties: &'a Properties<'a>,
    pub(super) special: &'a Special<'h>,
    pub(super) reply_to: Option<&'a [u8]>,
    pub(super) ttl_ms: Option<u64>,
}

/// Writes the envelope of a published message.
///
/// # Errors
/// 502 for broken headers.
pub(super) fn write_envelope(buf: &mut Vec<u8>, source: &Source<'_, '_>) -> Result<(), WireError> {
    let Source { exchange, key, properties, special, reply_to, ttl_ms } = source;
    let mut key_list = Vec::new();
    let mut writer = EnvelopeWriter::new(buf);
    writer.str(Tag::Exchange, exchange);
    if special.cc.is_empty() {
        writer.str(Tag::Key, key);
    } else {
        encode_container(&mut key_list, false, |buf| {
            Neutral::Str(key).encode(buf);
            special.cc.iter().for_each(|key| Neutral::Str(key).encode(buf));
        });
        if let Some(list) = Neutral::decode(&mut key_list.as_slice()) {
            writer.field(Tag::Key, list);
        }
    }
    let text = |writer: &mut EnvelopeWriter<'_>, tag: Tag, value: Option<ShortRef<'_>>| {
        if let Some(value) = value {
            writer.str(tag, value.as_bytes());
        }
    };
    text(&mut writer, Tag::ContentType, properties.content_type);
    text(&mut writer, Tag::ContentEncoding, properties.content_encoding);
    if let Some(headers) = properties.headers {
        let mut result = Ok(());
        let without = special.has_bcc.then_some("BCC");
        writer.headers(|buf| result = encode_table(buf, headers, without));
        result?;
    }
    match properties.delivery_mode {
        None => {}
        Some(mode @ (1 | 2)) => drop(writer.field(Tag::Durable, Neutral::Bool(mode == 2))),
        Some(other) => drop(writer.field(Tag::Durable, Neutral::U8(other))),
    }
    if let Some(priority) = properties.priority {
        writer.field(Tag::Priority, Neutral::U8(priority));
    }
    text(&mut writer, Tag::CorrelationId, properties.correlation_id);
    if let Some(reply_to) = reply_to {
        writer.str(Tag::ReplyTo, reply_to);
    }
    if let Some(ttl_ms) = ttl_ms {
        writer.field(Tag::TtlMs, Neutral::U64(*ttl_ms));
    }
    text(&mut writer, Tag::MessageId, properties.message_id);
    if let Some(seconds) = properties.timestamp {
        writer.field(Tag::Timestamp, timestamp(seconds));
    }
    text(&mut writer, Tag::Type, properties.kind);
    text(&mut writer, Tag::UserId, properties.user_id);
    text(&mut writer, Tag::AppId, properties.app_id);
    text(&mut writer, Tag::Origin, properties.cluster_id);
    if let Some(delay_ms) = special.delay_ms {
        writer.field(Tag::DelayMs, Neutral::U64(delay_ms));
    }
    Ok(())
}

/// Seconds that have no milliseconds in the neutral range (some clients send nonsense here) are kept as they are.
fn timestamp(seconds: u64) -> Neutral<'static> {
    match i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000)) {
        Some(_) => Neutral::Timestamp(seconds_to_ms(seconds)),
        None => Neutral::U64(seconds),
    }
}

/// What a delivery shows besides its envelope.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown<'a> {
    pub(super) overlay: Option<&'a Overlay>,
    /// For queues that count: leases that ended badly.
    pub(super) delivery_count: Option<u32>,
    /// For queues that count: leases before this one.
    pub(super) acquired_count: Option<u32>,
    /// The dead-letter key took the place of all the message's keys.
    pub(super) without_cc: bool,
}

impl Shown<'_> {
    fn adds_headers(&self) -> bool {
        let dead = self.overlay.is_some_and(|overlay| !overlay.deaths.is_empty());
        dead || self.delivery_count.is_some() || self.acquired_count.is_some()
    }
}

/// Exchange and routing key as the envelope has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Address<'a> {
    pub(super) exchange: &'a [u8],
    pub(super) key: &'a [u8],
    /// All keys, if there are several.
    pub(super) keys: Option<baton_model::value::ListRef<'a>>,
}

/// Reads the address off the front of an envelope's fields, and stops at the first property.
pub(super) fn take_address<'a>(fields: &mut Fields<'a>) -> Address<'a> {
    let mut address = Address::default();
    loop {
        let before = *fields;
        match fields.next() {
            Some(Field { tag: Tag::Exchange, value: Neutral::Str(exchange) }) => address.exchange = exchange,
            Some(Field { tag: Tag::Key, value: Neutral::Str(key) }) => address.key = key,
            Some(Field { tag: Tag::Key, value: Neutral::List(mut keys) }) => {
                address.keys = Some(keys);
                if let Some(Neutral::Str(key)) = keys.next() {
                    address.key = key;
                }
            }
            Some(Field { tag: Tag::Exchange | Tag::Key, .. }) => {}
            _ => {
                *fields = before;
                return address;
            }
        }
    }
}

/// Writes the properties of a delivery, flags first, from the fields behind the address, in one pass: fields are in the
/// order of the properties.
pub(super) fn put_properties(out: &mut BytesMut, fields: Fields<'_>, shown: &Shown<'_>) {
    let flags_at = out.len();
    out.put_u16(0);
    let mut set = 0;
    let mut headers_due = shown.adds_headers();
    for Field { tag, value } in fields {
        if headers_due && tag >= Tag::Headers {
            headers_due = false;
            set |= flags::HEADERS;
            let sent = match value {
                Neutral::Map(headers) if tag == Tag::Headers => headers,
                _ => MapRef::default(),
            };
            put_headers(out, sent, shown);
            if tag == Tag::Headers {
                continue;
            }
        }
        set |= put_property(out, tag, value, shown);
    }
    if headers_due {
        set |= flags::HEADERS;
        put_headers(out, MapRef::default(), shown);
    }
    if let Some(slot) = out.get_mut(flags_at..flags_at + 2) {
        slot.copy_from_slice(&set.to_be_bytes());
    }
}

/// Writes one property; its flag, or 0 if this protocol has none for it or it does not fit.
fn put_property(out: &mut BytesMut, tag: Tag, value: Neutral<'_>, shown: &Shown<'_>) -> u16 {
    match (tag, value) {
        (Tag::ContentType, value) => put_text(out, flags::CONTENT_TYPE, value),
        (Tag::ContentEncoding, value) => put_text(out, flags::CONTENT_ENCODING, value),
        (Tag::Headers, Neutral::Map(headers)) => {
            put_headers(out, headers, shown);
            flags::HEADERS
        }
        (Tag::Durable, Neutral::Bool(durable)) => put_u8(out, flags::DELIVERY_MODE, 1 + u8::from(durable)),
        (Tag::Durable, Neutral::U8(mode)) => put_u8(out, flags::DELIVERY_MODE, mode),
        (Tag::Priority, Neutral::U8(priority)) => put_u8(out, flags::PRIORITY, priority),
        (Tag::CorrelationId, value) => put_text(out, flags::CORRELATION_ID, value),
        (Tag::ReplyTo, value) => put_text(out, flags::REPLY_TO, value),
        (Tag::TtlMs, Neutral::U64(ttl_ms)) => {
            if shown.overlay.is_some_and(|overlay| overlay.ttl_removed) {
                return 0;
            }
            put_digits(out, ttl_ms);
            flags::EXPIRATION
        }
        (Tag::MessageId, value) => put_text(out, flags::MESSAGE_ID, value),
        (Tag::Timestamp, Neutral::Timestamp(ms)) => put_u64(out, flags::TIMESTAMP, ms_to_seconds(ms)),
        (Tag::Timestamp, Neutral::U64(seconds)) => put_u64(out, flags::TIMESTAMP, seconds),
        (Tag::Type, value) => put_text(out, flags::KIND, value),
        (Tag::UserId, value) => put_text(out, flags::USER_ID, value),
        (Tag::AppId, value) => put_text(out, flags::APP_ID, value),
        (Tag::Origin, value) => put_text(out, flags::CLUSTER_ID, value),
        _ => 0,
    }
}

fn put_u8(out: &mut BytesMut, flag: u16, value: u8) -> u16 {
    out.put_u8(value);
    flag
}

fn put_u64(out: &mut BytesMut, flag: u16, value: u64) -> u16 {
    out.put_u64(value);
    flag
}

/// Text, or what other protocols allow as ids: numbers and bytes. What is over 255 bytes is left out.
fn put_text(out: &mut BytesMut, flag: u16, value: Neutral<'_>) -> u16 {
    let fits = match value {
        Neutral::Str(text) | Neutral::Symbol(text) | Neutral::Bytes(text) => {
            ShortRef::from_bytes(text).map(|text| text.put(out)).is_ok()
        }
        Neutral::U64(number) => {
            put_digits(out, number);
            true
        }
        Neutral::Uuid(uuid) => {
            let hex = uuid.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            ShortRef::from_bytes(hex.as_bytes()).map(|text| text.put(out)).is_ok()
        }
        _ => false,
    };
    if fits { flag } else { 0 }
}

/// A number as a short string of decimal digits.
fn put_digits(out: &mut BytesMut, number: u64) {
    use std::fmt::Write;
    let at = out.len();
    out.put_u8(0);
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "a growing buffer takes everything");
    let digits = u8::try_from(out.len() - at - 1).expect("a number of 64 bits has at most 20 digits");
    if let Some(length) = out.get_mut(at) {
        *length = digits;
    }
}

/// The headers as sent, with what happened to the message since.
fn put_headers(out: &mut BytesMut, sent: MapRef<'_>, shown: &Shown<'_>) {
    let at = reserve_len(out);
    let dead = shown.overlay.filter(|overlay| !overlay.deaths.is_empty());
    for (name, value) in sent {
        let replaced = dead.is_some() && deaths::is_about_deaths(name)
            || shown.without_cc && name == b"CC"
            || shown.delivery_count.is_some() && name == b"x-delivery-count"
            || shown.acquired_count.is_some() && name == b"x-acquired-count";
        if !replaced {
            put_entry(out, name, value);
        }
    }
    if let Some(overlay) = dead {
        deaths::put_deaths(out, overlay);
    }
    if let Some(count) = shown.delivery_count {
        put_entry(out, b"x-delivery-count", Neutral::I64(count.into()));
    }
    if let Some(count) = shown.acquired_count {
        put_entry(out, b"x-acquired-count", Neutral::I64(count.into()));
    }
    put_len(out, at);
}
