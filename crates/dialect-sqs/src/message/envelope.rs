//! Writes the envelope of a message that is sent, and reads what a receive shows. The mapping is a table in `docs/features/sqs.md`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::value::encode_name;
use baton_model::{Bytes, Delivery, EnvelopeWriter, Message, Tag, ValueRef};
use smallvec::SmallVec;

use super::original::{DIALECT, Original};
use super::{Attribute, Attributes, Digest16, digest, md5};

/// The attribute that says that a body is shown in base64, because it is no text that SQS allows.
const ENCODING: &str = "Baton.BodyEncoding";
/// The header that carries the trace header.
const TRACE: &str = "AWSTraceHeader";

/// A message that is sent, checked.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) queue: &'a str,
    pub(crate) body: &'a str,
    pub(crate) body_md5: Digest16,
    pub(crate) attributes: Attributes<'a>,
    pub(crate) attributes_md5: Option<Digest16>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) sent_at_ms: u64,
    pub(crate) sender: &'a str,
    pub(crate) group: Option<&'a str>,
    pub(crate) dedup: Option<&'a str>,
    pub(crate) delay_ms: Option<u64>,
}

/// Envelope and body in one allocation.
pub(crate) fn write(outgoing: Outgoing<'_>) -> Message {
    let attributes: usize = outgoing.attributes.iter().map(|a| 2 * a.size_bytes() + 40).sum();
    let ids = outgoing.group.map_or(0, str::len) + outgoing.dedup.map_or(0, str::len);
    let envelope = 160
        + outgoing.queue.len()
        + outgoing.sender.len()
        + attributes
        + ids
        + outgoing.trace.map_or(0, str::len);
    let mut buf = Vec::with_capacity(envelope + outgoing.body.len());
    let body = outgoing.body;
    let len = write_envelope(&mut buf, outgoing);
    buf.extend_from_slice(body.as_bytes());
    Message::new(Bytes::from(buf), len)
}

fn write_envelope(buf: &mut Vec<u8>, outgoing: Outgoing<'_>) -> u32 {
    let body_bytes = outgoing.body.len();
    let kept = Original {
        body_md5: outgoing.body_md5,
        attributes_md5: outgoing.attributes_md5,
        attributes: outgoing.attributes,
    };
    let mut writer = EnvelopeWriter::new(buf);
    writer.str(Tag::Exchange, b"").str(Tag::Key, outgoing.queue.as_bytes());
    if !kept.attributes.is_empty() || outgoing.trace.is_some() {
        writer.headers(|buf| {
            for attribute in &kept.attributes {
                encode_name(buf, attribute.name.as_bytes());
                header(attribute).encode(buf);
            }
            if let Some(trace) = outgoing.trace {
                encode_name(buf, TRACE.as_bytes());
                ValueRef::Str(trace.as_bytes()).encode(buf);
            }
        });
    }
    writer.field(Tag::Durable, ValueRef::Bool(true));
    let sent_at = i64::try_from(outgoing.sent_at_ms).unwrap_or(i64::MAX);
    writer.field(Tag::Timestamp, ValueRef::Timestamp(sent_at));
    writer.str(Tag::UserId, outgoing.sender.as_bytes());
    if let Some(group) = outgoing.group {
        writer.str(Tag::GroupKey, group.as_bytes());
    }
    if let Some(dedup) = outgoing.dedup {
        writer.str(Tag::DedupId, dedup.as_bytes());
    }
    if let Some(delay_ms) = outgoing.delay_ms {
        writer.field(Tag::DelayMs, ValueRef::U64(delay_ms));
    }
    writer.list(Tag::Original, |buf| {
        ValueRef::Symbol(DIALECT).encode(buf);
        let mut bytes: SmallVec<[u8; 64]> = SmallVec::new();
        kept.write(&mut bytes, body_bytes);
        ValueRef::Bytes(&bytes).encode(buf);
    });
    writer.len_bytes()
}

/// The nearest neutral value: numbers that other protocols have as numbers become such.
fn header<'a>(attribute: &'a Attribute<'_>) -> ValueRef<'a> {
    if attribute.is_binary() {
        return ValueRef::Bytes(&attribute.value);
    }
    let text = std::str::from_utf8(&attribute.value).unwrap_or_default();
    if attribute.data_type.starts_with("Number") {
        if let Ok(whole) = text.parse::<i64>() {
            return ValueRef::I64(whole);
        }
        if let Ok(float) = text.parse::<f64>() {
            return ValueRef::F64(float);
        }
    }
    ValueRef::Str(&attribute.value)
}

/// A message as a receive shows it.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) body: Cow<'a, str>,
    pub(crate) body_md5: Digest16,
    pub(crate) attributes: Attributes<'a>,
    pub(crate) attributes_md5: Option<Digest16>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) sender: Option<&'a str>,
    pub(crate) sent_at_ms: u64,
    pub(crate) group: Option<&'a str>,
    pub(crate) dedup: Option<&'a str>,
}

/// Reads a delivery, whichever protocol its message came through.
pub(crate) fn received(delivery: &Delivery) -> Received<'_> {
    let body = delivery.message.body_slice();
    let mut shown = Received {
        body: Cow::Borrowed(""),
        body_md5: Digest16::default(),
        attributes: Vec::new(),
        attributes_md5: None,
        trace: None,
        sender: None,
        sent_at_ms: delivery.enqueued_at.0,
        group: None,
        dedup: None,
    };
    let mut original = None;
    let mut headers = None;
    let mut timestamp = None;
    for field in delivery.message.envelope().fields() {
        match (field.tag, field.value) {
            (Tag::Headers, ValueRef::Map(map)) => headers = Some(map),
            (Tag::Timestamp, ValueRef::Timestamp(ms)) => timestamp = u64::try_from(ms).ok(),
            (Tag::UserId, value) => shown.sender = value.as_str(),
            (Tag::GroupKey, value) => shown.group = value.as_str(),
            (Tag::DedupId, value) => shown.dedup = value.as_str(),
            (Tag::Original, ValueRef::List(mut list)) => {
                if let (Some(ValueRef::Symbol(DIALECT)), Some(ValueRef::Bytes(bytes))) =
                    (list.next(), list.next())
                {
                    original = Original::read(bytes, body.len());
                }
            }
            _ => {}
        }
    }
    let trace = headers.and_then(|headers| headers.find(TRACE.as_bytes()));
    shown.trace = trace.and_then(|value| value.as_str());
    if let Some(original) = original {
        // It came in through SQS, where the body was checked.
        shown.body = text(body);
        shown.body_md5 = original.body_md5;
        shown.attributes = original.attributes;
        shown.attributes_md5 = original.attributes_md5;
        shown.sent_at_ms = timestamp.unwrap_or(shown.sent_at_ms);
        return shown;
    }
    shown.attributes =
        headers.into_iter().flatten().filter_map(|(name, value)| foreign(name, value)).collect();
    match std::str::from_utf8(body) {
        Ok(body) if super::attributes::is_allowed(body.as_bytes()) && !body.is_empty() => {
            shown.body = Cow::Borrowed(body);
        }
        _ => {
            shown.body = Cow::Owned(STANDARD.encode(body));
            let base64 = Cow::Borrowed(&b"base64"[..]);
            shown.attributes.push(Attribute { name: ENCODING, data_type: "String", value: base64 });
        }
    }
    shown.body_md5 = md5(shown.body.as_bytes());
    shown.attributes.sort_by(|a, b| a.name.cmp(b.name));
    shown.attributes.dedup_by(|a, b| a.name == b.name);
    shown.attributes_md5 = (!shown.attributes.is_empty()).then(|| digest(&shown.attributes));
    shown
}

fn text(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(body) => Cow::Borrowed(body),
        Err(_) => String::from_utf8_lossy(body),
    }
}

/// A header of another protocol as an attribute. Those that have no form here are left out.
fn foreign<'a>(name: &'a [u8], value: ValueRef<'a>) -> Option<Attribute<'a>> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && *name != TRACE)?;
    let owned = |text: String| Cow::Owned(text.into_bytes());
    let (data_type, value) = match value {
        ValueRef::Str(text) | ValueRef::Symbol(text) => match std::str::from_utf8(text) {
            Ok(_) => ("String", Cow::Borrowed(text)),
            Err(_) => ("Binary", Cow::Borrowed(text)),
        },
        ValueRef::Bytes(bytes) => ("Binary", Cow::Borrowed(bytes)),
        ValueRef::Bool(flag) => ("String", owned(flag.to_string())),
        ValueRef::F32(float) => ("Number", owned(float.to_string())),
        ValueRef::F64(float) => ("Number", owned(float.to_string())),
        ValueRef::U64(number) => ("Number", owned(number.to_string())),
        ValueRef::Decimal { scale, value } => ("Number", owned(decimal(scale, value))),
        ValueRef::Timestamp(ms) => ("Number", owned(ms.to_string())),
        other => ("Number", owned(other.as_i64()?.to_string())),
    };
    (!value.is_empty()).then_some(Attribute { name, data_type, value })
}

/// `value` / 10^`scale` with all its digits.
fn decimal(scale: u8, value: i32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(usize::from(scale)));
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        for (scale, value, text) in [(0, 7, "7"), (1, -25, "-2.5"), (3, 5, "0.005"), (2, 100, "1.00")] {
            assert_eq!(decimal(scale, value), text);
        }
    }
}
