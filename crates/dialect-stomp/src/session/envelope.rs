//! Headers of a message to the neutral envelope, in one pass over them, and what they ask of the broker. The names are
//! RabbitMQ's and ActiveMQ's; the mapping is a table in `docs/features/stomp.md`. The way back is in `deliver`.

use std::borrow::Cow;

use baton_model::value::encode_name;
use baton_model::{EnvelopeWriter, Name, Tag, Time, ValueRef};
use smallvec::SmallVec;

use super::failure::Failure;
use super::queue::{flag, is_shaping, number};
use crate::escape::unescape;
use crate::frame::Headers;
use crate::version::Version;

/// A message's headers, sorted by what they mean.
#[derive(Debug, Default)]
pub(super) struct Sent<'a> {
    content_type: Option<&'a [u8]>,
    content_encoding: Option<&'a [u8]>,
    pub(super) durable: Option<bool>,
    pub(super) priority: Option<u8>,
    correlation_id: Option<&'a [u8]>,
    pub(super) reply_to: Option<&'a [u8]>,
    pub(super) ttl_ms: Option<u64>,
    message_id: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    pub(super) user_id: Option<&'a [u8]>,
    app_id: Option<&'a [u8]>,
    pub(super) delay_ms: Option<u64>,
    group: Option<&'a [u8]>,
    dedup: Option<&'a [u8]>,
    pub(super) transaction: Option<&'a [u8]>,
    pub(super) receipt: Option<&'a [u8]>,
    pub(super) destination: Option<&'a [u8]>,
    /// The application's own.
    own: SmallVec<[(&'a [u8], &'a [u8]); 16]>,
    version: Version,
}

/// What of a message's headers the request to the engine needs as names.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) group: Option<Name>,
    pub(super) dedup: Option<Name>,
}

impl<'a> Sent<'a> {
    /// Sorts the headers of a SEND.
    ///
    /// # Errors
    /// Values that are none, and what is not offered.
    pub(super) fn read(now: Time, headers: &Headers<'a>) -> Result<Self, Failure> {
        let mut sent = Self { version: headers.version(), ..Self::default() };
        let mut expires = None;
        for (index, (name, value)) in headers.raw().enumerate() {
            let (name, value) = match sent.version {
                Version::V10 => (name.trim_ascii(), value.trim_ascii()),
                _ => (name, value),
            };
            if let Some(slot) = sent.text_slot(name) {
                slot.get_or_insert(value);
                continue;
            }
            match name {
                // Ours to say, not the sender's.
                b"content-length" | b"message-id" | b"subscription" | b"ack" | b"redelivered" => {}
                b"persistent" => {
                    if sent.durable.is_none() {
                        sent.durable = Some(flag("persistent", value)?);
                    }
                }
                b"priority" | b"JMSPriority" => {
                    if sent.priority.is_none() {
                        sent.priority = Some(priority(name, value)?);
                    }
                }
                b"expiration" => {
                    if sent.ttl_ms.is_none() {
                        sent.ttl_ms = Some(number("expiration", value)?);
                    }
                }
                b"expires" | b"JMSExpiration" => {
                    expires.get_or_insert(number("expires", value)?);
                    sent.own(headers, index, name, value);
                }
                b"AMQ_SCHEDULED_DELAY" | b"x-delay" => {
                    if sent.delay_ms.is_none() {
                        sent.delay_ms = Some(number("AMQ_SCHEDULED_DELAY", value)?).filter(|ms| *ms > 0);
                    }
                }
                b"AMQ_SCHEDULED_PERIOD" | b"AMQ_SCHEDULED_REPEAT" | b"AMQ_SCHEDULED_CRON" => {
                    let name = String::from_utf8_lossy(name);
                    return Err(Failure::unsupported(format!(
                        "'{name}' is not offered: a message is delivered once; send it again, or use AMQ_SCHEDULED_DELAY alone"
                    )));
                }
                b"JMSXGroupID" => {
                    sent.group.get_or_insert(value);
                    sent.own(headers, index, name, value);
                }
                b"x-deduplication-id" | b"_AMQ_DUPL_ID" => {
                    sent.dedup.get_or_insert(value);
                    sent.own(headers, index, name, value);
                }
                _ if is_shaping(name) => {}
                _ => sent.own(headers, index, name, value),
            }
        }
        // An absolute time, as JMS has it; 0: never.
        if let Some(at) = expires.filter(|at| *at > 0) {
            let ttl_ms = at.saturating_sub(now.0);
            sent.ttl_ms = Some(sent.ttl_ms.map_or(ttl_ms, |other| other.min(ttl_ms)));
        }
        Ok(sent)
    }

    /// Where a header goes whose value is kept as it is.
    fn text_slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match name {
            b"destination" => &mut self.destination,
            b"receipt" => &mut self.receipt,
            b"transaction" => &mut self.transaction,
            b"content-type" => &mut self.content_type,
            b"content-encoding" => &mut self.content_encoding,
            b"correlation-id" | b"JMSCorrelationID" => &mut self.correlation_id,
            b"reply-to" | b"JMSReplyTo" => &mut self.reply_to,
            b"amqp-message-id" => &mut self.message_id,
            b"timestamp" | b"JMSTimestamp" => &mut self.timestamp,
            b"type" | b"JMSType" => &mut self.kind,
            b"user-id" => &mut self.user_id,
            b"app-id" => &mut self.app_id,
            _ => return None,
        })
    }

    fn own(&mut self, headers: &Headers<'a>, index: usize, name: &'a [u8], value: &'a [u8]) {
        if !headers.is_repeated(index) {
            self.own.push((name, value));
        }
    }

    /// Writes the envelope.
    ///
    /// # Errors
    /// Escapes that are none; a timestamp that is none.
    pub(super) fn write(
        &self,
        buf: &mut Vec<u8>,
        (exchange, key): (&str, &str),
        reply_to: Option<&[u8]>,
    ) -> Result<Keys, Failure> {
        let mut keys = Keys::default();
        let mut writer = EnvelopeWriter::new(buf);
        writer.str(Tag::Exchange, exchange.as_bytes()).str(Tag::Key, key.as_bytes());
        self.text(&mut writer, Tag::ContentType, self.content_type)?;
        self.text(&mut writer, Tag::ContentEncoding, self.content_encoding)?;
        if !self.own.is_empty() {
            let mut result = Ok(());
            writer.headers(|buf| result = self.put_own(buf));
            result?;
        }
        if let Some(durable) = self.durable {
            writer.field(Tag::Durable, ValueRef::Bool(durable));
        }
        if let Some(priority) = self.priority {
            writer.field(Tag::Priority, ValueRef::U8(priority));
        }
        self.text(&mut writer, Tag::CorrelationId, self.correlation_id)?;
        match reply_to {
            Some(reply_to) => drop(writer.str(Tag::ReplyTo, reply_to)),
            None => self.text(&mut writer, Tag::ReplyTo, self.reply_to)?,
        }
        if let Some(ttl_ms) = self.ttl_ms {
            writer.field(Tag::TtlMs, ValueRef::U64(ttl_ms));
        }
        self.text(&mut writer, Tag::MessageId, self.message_id)?;
        if let Some(timestamp) = self.timestamp {
            writer.field(Tag::Timestamp, self.timestamp_value(timestamp)?);
        }
        self.text(&mut writer, Tag::Type, self.kind)?;
        self.text(&mut writer, Tag::UserId, self.user_id)?;
        self.text(&mut writer, Tag::AppId, self.app_id)?;
        if let Some(group) = self.group {
            let group = self.meant(group)?;
            writer.str(Tag::GroupKey, &group);
            keys.group = Some(Name::from_utf8_lossy(&group)).filter(|group| !group.is_empty());
        }
        if let Some(dedup) = self.dedup {
            let dedup = self.meant(dedup)?;
            writer.str(Tag::DedupId, &dedup);
            keys.dedup = Some(Name::from_utf8_lossy(&dedup));
        }
        if let Some(delay_ms) = self.delay_ms {
            writer.field(Tag::DelayMs, ValueRef::U64(delay_ms));
        }
        Ok(keys)
    }

    /// What bytes on the wire mean in the client's version.
    pub(super) fn meant<'b>(&self, raw: &'b [u8]) -> Result<Cow<'b, [u8]>, Failure> {
        Ok(unescape(self.version, raw)?)
    }

    fn put_own(&self, buf: &mut Vec<u8>) -> Result<(), Failure> {
        for (name, value) in &self.own {
            encode_name(buf, &self.meant(name)?);
            ValueRef::Str(&self.meant(value)?).encode(buf);
        }
        Ok(())
    }

    fn text(&self, writer: &mut EnvelopeWriter<'_>, tag: Tag, value: Option<&[u8]>) -> Result<(), Failure> {
        if let Some(value) = value {
            writer.str(tag, &self.meant(value)?);
        }
        Ok(())
    }

    /// RabbitMQ has seconds here and JMS milliseconds. A number of seconds reaches 10^11 in the year 5138, and that many
    /// milliseconds passed in 1973: which of the two is meant can be told from the number.
    fn timestamp_value(&self, timestamp: &[u8]) -> Result<ValueRef<'static>, Failure> {
        let number = number("timestamp", timestamp)?;
        let ms = if number < 100_000_000_000 { number.saturating_mul(1_000) } else { number };
        Ok(ValueRef::Timestamp(i64::try_from(ms).unwrap_or(i64::MAX)))
    }
}

fn priority(name: &[u8], value: &[u8]) -> Result<u8, Failure> {
    let name = String::from_utf8_lossy(name);
    let priority = number(&name, value)?;
    u8::try_from(priority).map_err(|_| Failure::header(&name, value, "a number from 0 to 255"))
}
