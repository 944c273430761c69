//! Messages out: from the envelope to the frame in one pass. What each field is called is in `docs/features/stomp.md`.

use baton_dialect::{ATTACHED_BYTES_MIN, Attached, Output};
use baton_model::event::{Death, DeathReason, Delivery};
use baton_model::{ConsumerId, Field, Message, MessageId, Overlay, Tag, ValueRef};
use bytes::{BufMut, BytesMut};

use super::StompSession;
use super::destination::{put_address, put_part};
use super::settle::{MESSAGE_ID_PREFIX, MESSAGE_ID_PREFIX_ESCAPED};
use super::subscribe::AckMode;
use crate::version::Version;
use crate::write::{FrameWriter, put_decimal};

/// What a frame may take on the wire besides its body, as a first guess, bytes.
const OVERHEAD_BYTES: usize = 384;

impl StompSession {
    /// A message for a subscription.
    pub(super) fn deliver(&mut self, delivery: &Delivery, out: &mut Output) {
        let Some(subscription) = self.subscriptions.get_mut(&delivery.consumer) else { return };
        let tag = if subscription.ack == AckMode::Auto {
            subscription.delivered(delivery.consumer, &mut self.replenishing);
            None
        } else {
            Some(subscription.unacked.push(delivery.at, delivery.id))
        };
        let body_bytes = delivery.message.body_slice().len();
        let copied = if body_bytes < ATTACHED_BYTES_MIN { body_bytes } else { 0 };
        out.wire.reserve(copied + OVERHEAD_BYTES);
        let mut writer = FrameWriter::new(&mut out.wire, self.version, "MESSAGE");
        if subscription.named {
            writer.raw("subscription", &subscription.id);
        }
        put_message_id(&mut writer, delivery.id);
        if let Some(tag) = tag
            && self.version == Version::V12
        {
            put_ack(&mut writer, delivery.consumer, tag);
        }
        if delivery.redelivered {
            writer.raw("redelivered", b"true");
        }
        put_message(&mut writer, &delivery.message, delivery.overlay.as_deref());
        put_body(writer, &delivery.message, &mut out.attached);
    }
}

/// Ends the frame with the message's body, which is not copied if it is large.
pub(super) fn put_body(writer: FrameWriter<'_>, message: &Message, attached: &mut Vec<Attached>) {
    let body = message.body_slice();
    if body.len() < ATTACHED_BYTES_MIN {
        return writer.body(body);
    }
    let bytes = message.body();
    writer.body_around(body.len(), |behind| attached.push(Attached { behind, bytes }));
}

pub(super) fn put_message_id(writer: &mut FrameWriter<'_>, id: MessageId) {
    // Its colon is to be escaped where there are escapes: stompest refuses the frame otherwise.
    let prefix = if writer.version() == Version::V10 { MESSAGE_ID_PREFIX } else { MESSAGE_ID_PREFIX_ESCAPED };
    writer.with("message-id", |out| {
        out.put_slice(prefix);
        put_decimal(out, id.0);
    });
}

fn put_ack(writer: &mut FrameWriter<'_>, consumer: ConsumerId, tag: u64) {
    writer.with("ack", |out| {
        put_decimal(out, consumer.0.into());
        out.put_u8(b'-');
        put_decimal(out, tag);
    });
}

/// All that the envelope says, with what happened to the message since.
pub(super) fn put_message(writer: &mut FrameWriter<'_>, message: &Message, overlay: Option<&Overlay>) {
    let (mut exchange, mut key): (&[u8], &[u8]) = (b"", b"");
    let mut addressed = false;
    let mut group_shown = false;
    let envelope = message.envelope();
    for Field { tag, value } in envelope.fields() {
        if !addressed && tag > Tag::Key {
            put_destination(writer, exchange, key, overlay);
            addressed = true;
        }
        match (tag, value) {
            (Tag::Exchange, ValueRef::Str(text)) => exchange = text,
            (Tag::Key, ValueRef::Str(text)) => key = text,
            (Tag::Key, ValueRef::List(mut keys)) => {
                if let Some(ValueRef::Str(text)) = keys.next() {
                    key = text;
                }
            }
            (Tag::Headers, ValueRef::Map(headers)) => {
                for (name, value) in headers {
                    let replaced = overlay.is_some() && is_about_deaths(name);
                    if !is_ours(name) && !replaced {
                        group_shown |= name == b"JMSXGroupID";
                        put_header(writer, name, value);
                    }
                }
            }
            (Tag::GroupKey, value) if !group_shown => put_header(writer, b"JMSXGroupID", value),
            (tag, value) => put_field(writer, tag, value, overlay),
        }
    }
    if !addressed {
        put_destination(writer, exchange, key, overlay);
    }
    if let Some(overlay) = overlay {
        put_deaths(writer, overlay);
    }
}

fn put_destination(writer: &mut FrameWriter<'_>, exchange: &[u8], key: &[u8], overlay: Option<&Overlay>) {
    let (exchange, key) = match overlay {
        Some(overlay) => {
            (overlay.exchange.as_bytes(), overlay.keys.first().map_or(&b""[..], |key| key.as_bytes()))
        }
        None => (exchange, key),
    };
    writer.with("destination", |out| put_address(out, exchange, key));
}

fn put_field(writer: &mut FrameWriter<'_>, tag: Tag, value: ValueRef<'_>, overlay: Option<&Overlay>) {
    let name: &[u8] = match tag {
        Tag::ContentType => b"content-type",
        Tag::ContentEncoding => b"content-encoding",
        Tag::CorrelationId => b"correlation-id",
        Tag::MessageId => b"amqp-message-id",
        Tag::Type => b"type",
        Tag::UserId => b"user-id",
        Tag::AppId => b"app-id",
        Tag::Subject => b"subject",
        Tag::Priority => b"priority",
        Tag::Durable => {
            if matches!(value, ValueRef::Bool(true) | ValueRef::U8(2)) {
                writer.raw("persistent", b"true");
            }
            return;
        }
        Tag::TtlMs if overlay.is_some_and(|overlay| overlay.ttl_removed) => return,
        Tag::TtlMs => b"expiration",
        Tag::Timestamp => return put_timestamp(writer, value),
        Tag::ReplyTo => return put_reply_to(writer, value),
        _ => return,
    };
    put_header(writer, name, value);
}

/// Whole seconds as seconds, as RabbitMQ; others as milliseconds, as JMS. They are told apart when they are read.
fn put_timestamp(writer: &mut FrameWriter<'_>, value: ValueRef<'_>) {
    match value {
        ValueRef::Timestamp(ms) if ms % 1_000 == 0 => {
            writer.number("timestamp", (ms / 1_000).unsigned_abs());
        }
        ValueRef::Timestamp(ms) => {
            writer.number("timestamp", ms.unsigned_abs());
        }
        ValueRef::U64(seconds) => {
            writer.number("timestamp", seconds);
        }
        _ => {}
    }
}

/// A destination as it was sent; the bare name of a queue, as other protocols and temporary queues have it, as a
/// destination that a reply can be sent to.
fn put_reply_to(writer: &mut FrameWriter<'_>, value: ValueRef<'_>) {
    match value {
        ValueRef::Str(text) if !text.starts_with(b"/") && !text.contains(&b'/') => {
            writer.with("reply-to", |out| {
                out.put_slice(b"/reply-queue/");
                put_part(out, text);
            });
        }
        value => put_header(writer, b"reply-to", value),
    }
}

fn put_header(writer: &mut FrameWriter<'_>, name: &[u8], value: ValueRef<'_>) {
    match value {
        ValueRef::Str(text) | ValueRef::Symbol(text) | ValueRef::Bytes(text) => {
            writer.header(name, text);
        }
        ValueRef::List(_) | ValueRef::Map(_) => {}
        value => {
            let mut text = BytesMut::new();
            put_plain(&mut text, value);
            writer.header(name, &text);
        }
    }
}

/// A value that is not text, as text.
fn put_plain(out: &mut BytesMut, value: ValueRef<'_>) {
    use std::fmt::Write;
    let written = match value {
        ValueRef::Bool(v) => write!(out, "{v}"),
        ValueRef::I8(v) => write!(out, "{v}"),
        ValueRef::U8(v) => write!(out, "{v}"),
        ValueRef::I16(v) => write!(out, "{v}"),
        ValueRef::U16(v) => write!(out, "{v}"),
        ValueRef::I32(v) => write!(out, "{v}"),
        ValueRef::U32(v) => write!(out, "{v}"),
        ValueRef::I64(v) | ValueRef::Timestamp(v) => write!(out, "{v}"),
        ValueRef::U64(v) => write!(out, "{v}"),
        ValueRef::F32(v) => write!(out, "{v}"),
        ValueRef::F64(v) => write!(out, "{v}"),
        ValueRef::Decimal { scale, value } => {
            write!(out, "{}", f64::from(value) / 10_f64.powi(i32::from(scale)))
        }
        ValueRef::Char(v) => write!(out, "{}", char::from_u32(v).unwrap_or(char::REPLACEMENT_CHARACTER)),
        ValueRef::Uuid(v) => v.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        _ => Ok(()),
    };
    debug_assert!(written.is_ok(), "a growing buffer takes everything");
}

/// Names that the frame has of its own: an application's header of that name, which only other protocols can make, would
/// be taken for it.
fn is_ours(name: &[u8]) -> bool {
    matches!(
        // 1.0 takes spaces off.
        name.trim_ascii(),
        b"subscription"
            | b"message-id"
            | b"ack"
            | b"destination"
            | b"content-length"
            | b"content-type"
            | b"content-encoding"
            | b"redelivered"
            | b"persistent"
            | b"priority"
            | b"correlation-id"
            | b"reply-to"
            | b"expiration"
            | b"amqp-message-id"
            | b"timestamp"
            | b"type"
            | b"user-id"
            | b"app-id"
            | b"receipt"
            | b"transaction"
    )
}

fn is_about_deaths(name: &[u8]) -> bool {
    name.starts_with(b"x-first-death-") || name.starts_with(b"x-last-death-") || name == b"x-death-count"
}

/// The first death and the last, as RabbitMQ names them; the whole list, which is a table, has no place in a header.
fn put_deaths(writer: &mut FrameWriter<'_>, overlay: &Overlay) {
    if let Some((queue, reason, exchange)) = &overlay.first_death {
        writer.header(b"x-first-death-queue", queue.as_bytes());
        writer.raw("x-first-death-reason", reason_word(*reason));
        writer.header(b"x-first-death-exchange", exchange.as_bytes());
    }
    if let Some(Death { queue, reason, exchange, .. }) = overlay.deaths.first() {
        writer.header(b"x-last-death-queue", queue.as_bytes());
        writer.raw("x-last-death-reason", reason_word(*reason));
        writer.header(b"x-last-death-exchange", exchange.as_bytes());
        let deaths = overlay.deaths.iter().map(|death| death.count).sum();
        writer.number("x-death-count", deaths);
    }
}

fn reason_word(reason: DeathReason) -> &'static [u8] {
    match reason {
        DeathReason::Rejected => b"rejected",
        DeathReason::Expired => b"expired",
        DeathReason::Overflow => b"maxlen",
        DeathReason::AttemptsSpent => b"delivery_limit",
        DeathReason::Operator => b"operator",
    }
}
