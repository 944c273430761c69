//! Messages as JSON: what `send` takes, what `peek` and `receive` give. Bodies are text when they are valid UTF-8 and
//! base64 otherwise, and `encoding` says which.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_model::event::{Browsed, Death, DeathReason, Overlay};
use baton_model::limits::NAME_BYTES_MAX;
use baton_model::request::MessageState;
use baton_model::value::encode_map;
use baton_model::{
    Bytes, Delivery, DeliveryRef, Envelope, EnvelopeWriter, Fence, Message, Name, Publish, QueueId, Refusal,
    RefusalCode, Seq, Tag, Token, ValueRef,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::value::{headers_from_json, headers_to_json};
use super::words;

words!(state for MessageState {
    MessageState::Ready = "ready", MessageState::Scheduled = "scheduled",
    MessageState::InFlight = "in-flight", MessageState::Deferred = "deferred",
});
words!(death_reason for DeathReason {
    DeathReason::Rejected = "rejected", DeathReason::Expired = "expired", DeathReason::Overflow = "overflow",
    DeathReason::AttemptsSpent = "attempts-spent", DeathReason::Operator = "operator",
});

/// A message to send.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SendJson {
    body: String,
    encoding: Option<Encoding>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    headers: JsonMap<String, Json>,
    durable: Option<bool>,
    priority: Option<u8>,
    ttl_ms: Option<u64>,
    delay_ms: Option<u64>,
    message_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    reply_to: Option<String>,
    r#type: Option<String>,
    app_id: Option<String>,
    subject: Option<String>,
    timestamp_ms: Option<i64>,
    group_key: Option<String>,
    dedup_id: Option<String>,
}

/// How a body is written in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Encoding {
    /// The text itself.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Standard base64 with padding.
    #[serde(rename = "base64")]
    Base64,
}

impl SendJson {
    /// The request that sends this to `exchange` with `key`.
    ///
    /// # Errors
    /// `Invalid`, naming the field that is wrong.
    pub fn into_publish(self, exchange: Name, key: Name) -> Result<Publish, Refusal> {
        let body = match self.encoding.unwrap_or(Encoding::Utf8) {
            Encoding::Utf8 => self.body.as_bytes().to_vec(),
            Encoding::Base64 => STANDARD.decode(&self.body).map_err(|error| {
                invalid(format!(
                    "body is not valid base64 ({error}); leave out \"encoding\" to send it as text"
                ))
            })?,
        };
        let headers = headers_from_json(&self.headers)?;
        let group_key = self.group_key.as_deref().map(|key| name("group_key", key)).transpose()?;
        let dedup_id = self.dedup_id.as_deref().map(|id| name("dedup_id", id)).transpose()?;
        let durable = self.durable.unwrap_or(true);

        let mut content = Vec::with_capacity(body.len() + 128);
        let mut envelope = EnvelopeWriter::new(&mut content);
        let text = |envelope: &mut EnvelopeWriter<'_>, tag, value: Option<&str>| {
            if let Some(value) = value {
                envelope.str(tag, value.as_bytes());
            }
        };
        envelope.str(Tag::Exchange, exchange.as_bytes()).str(Tag::Key, key.as_bytes());
        text(&mut envelope, Tag::ContentType, self.content_type.as_deref());
        text(&mut envelope, Tag::ContentEncoding, self.content_encoding.as_deref());
        if !headers.is_empty() {
            envelope.headers(|buf| encode_map(&headers, buf));
        }
        envelope.field(Tag::Durable, ValueRef::Bool(durable));
        if let Some(priority) = self.priority {
            envelope.field(Tag::Priority, ValueRef::U8(priority));
        }
        text(&mut envelope, Tag::CorrelationId, self.correlation_id.as_deref());
        text(&mut envelope, Tag::ReplyTo, self.reply_to.as_deref());
        if let Some(ttl_ms) = self.ttl_ms {
            envelope.field(Tag::TtlMs, ValueRef::U64(ttl_ms));
        }
        text(&mut envelope, Tag::MessageId, self.message_id.as_deref());
        if let Some(at) = self.timestamp_ms {
            envelope.field(Tag::Timestamp, ValueRef::Timestamp(at));
        }
        text(&mut envelope, Tag::Type, self.r#type.as_deref());
        text(&mut envelope, Tag::AppId, self.app_id.as_deref());
        text(&mut envelope, Tag::GroupKey, self.group_key.as_deref());
        text(&mut envelope, Tag::DedupId, self.dedup_id.as_deref());
        text(&mut envelope, Tag::CausationId, self.causation_id.as_deref());
        text(&mut envelope, Tag::Subject, self.subject.as_deref());
        if let Some(delay_ms) = self.delay_ms {
            envelope.field(Tag::DelayMs, ValueRef::U64(delay_ms));
        }
        let envelope_bytes = envelope.len_bytes();
        content.extend_from_slice(&body);
        Ok(Publish {
            token: Token(0),
            confirm: true,
            exchange,
            key,
            more_keys: smallvec::SmallVec::new(),
            message: Message::new(Bytes::from(content), envelope_bytes),
            durable,
            mandatory: true,
            priority: self.priority,
            ttl_ms: self.ttl_ms,
            delay_ms: self.delay_ms,
            group_key,
            dedup_id,
        })
    }
}

/// A message as it is shown.
#[derive(Debug, Default, Serialize)]
pub struct MessageJson {
    seq: u64,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_until_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    enqueued_at_ms: u64,
    acquired: u32,
    failed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    redelivered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until_ms: Option<u64>,
    #[serde(flatten)]
    envelope: JsonMap<String, Json>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deaths: Vec<DeathJson>,
    body_bytes: usize,
    encoding: Option<Encoding>,
    body: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    body_truncated: bool,
}

#[derive(Debug, Serialize)]
struct DeathJson {
    queue: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    count: u64,
    first_at_ms: u64,
    last_at_ms: u64,
    exchange: String,
    keys: Vec<String>,
}

impl MessageJson {
    /// A message in place. At most `body_bytes_max` of its body are shown.
    #[must_use]
    pub fn browsed(browsed: &Browsed, body_bytes_max: usize) -> Self {
        let mut json = Self {
            seq: browsed.seq.0,
            id: browsed.id.to_string(),
            state: Some(state::word(browsed.state)),
            state_until_ms: browsed.until.map(|time| time.0),
            expires_at_ms: browsed.expires_at.map(|time| time.0),
            enqueued_at_ms: browsed.enqueued_at.0,
            acquired: browsed.acquired,
            failed: browsed.failed,
            ..Self::default()
        };
        json.content(&browsed.message, browsed.overlay.as_deref(), body_bytes_max);
        json
    }

    /// A message as it was handed over, whole.
    #[must_use]
    pub fn delivered(delivery: &Delivery) -> Self {
        let mut json = Self {
            seq: delivery.at.seq.0,
            id: delivery.id.to_string(),
            receipt: Some(receipt(delivery.at)),
            enqueued_at_ms: delivery.enqueued_at.0,
            acquired: delivery.acquired,
            failed: delivery.failed,
            redelivered: Some(delivery.redelivered),
            lease_until_ms: delivery.lease_until.map(|time| time.0),
            ..Self::default()
        };
        json.content(&delivery.message, delivery.overlay.as_deref(), usize::MAX);
        json
    }

    fn content(&mut self, message: &Message, overlay: Option<&Overlay>, body_bytes_max: usize) {
        self.envelope = envelope_json(message.envelope());
        if let Some(overlay) = overlay {
            self.deaths = overlay.deaths.iter().map(DeathJson::from).collect();
        }
        let body = message.body_slice();
        self.body_bytes = body.len();
        let shown = body.get(..body_bytes_max).unwrap_or(body);
        self.body_truncated = shown.len() < body.len();
        (self.encoding, self.body) = match std::str::from_utf8(shown) {
            Ok(text) => (Some(Encoding::Utf8), text.to_owned()),
            // A text cut within its last character is still a text.
            Err(error) if self.body_truncated && error.error_len().is_none() => {
                let text = shown.get(..error.valid_up_to()).unwrap_or_default();
                (Some(Encoding::Utf8), String::from_utf8_lossy(text).into_owned())
            }
            Err(_) => (Some(Encoding::Base64), STANDARD.encode(shown)),
        };
    }
}

impl From<&Death> for DeathJson {
    fn from(death: &Death) -> Self {
        Self {
            queue: death.queue.to_string(),
            reason: death_reason::word(death.reason),
            detail: death.detail.as_ref().map(ToString::to_string),
            count: death.count,
            first_at_ms: death.first_at.0,
            last_at_ms: death.last_at.0,
            exchange: death.exchange.to_string(),
            keys: death.keys.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The envelope's fields by the names that [`SendJson`] takes, and `exchange` and `key`.
fn envelope_json(envelope: Envelope<'_>) -> JsonMap<String, Json> {
    let mut object = JsonMap::new();
    for field in envelope.fields() {
        let name = match field.tag {
            Tag::Exchange => "exchange",
            Tag::Key => "key",
            Tag::ContentType => "content_type",
            Tag::ContentEncoding => "content_encoding",
            Tag::Headers => {
                object.insert("headers".to_owned(), headers_to_json(envelope.headers()).into());
                continue;
            }
            Tag::Durable => "durable",
            Tag::Priority => "priority",
            Tag::CorrelationId => "correlation_id",
            Tag::ReplyTo => "reply_to",
            Tag::TtlMs => "ttl_ms",
            Tag::MessageId => "message_id",
            Tag::Timestamp => "timestamp_ms",
            Tag::Type => "type",
            Tag::UserId => "user_id",
            Tag::AppId => "app_id",
            Tag::Origin => "origin",
            Tag::GroupKey => "group_key",
            Tag::DedupId => "dedup_id",
            Tag::CausationId => "causation_id",
            Tag::SchemaVersion => "schema_version",
            Tag::Subject => "subject",
            Tag::DelayMs => "delay_ms",
            // The bytes of one dialect; they mean nothing here.
            Tag::Original => continue,
        };
        object.insert(name.to_owned(), plain_json(field.value));
    }
    object
}

fn plain_json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Bool(v) => v.into(),
        ValueRef::Timestamp(ms) => ms.into(),
        ValueRef::Str(bytes) | ValueRef::Bytes(bytes) | ValueRef::Symbol(bytes) => {
            String::from_utf8_lossy(bytes).into()
        }
        other => other.as_i64().map_or(Json::Null, Json::from),
    }
}

/// A delivery as text that any client may hold and settle by: queue id, place, fencing number.
#[must_use]
pub fn receipt(at: DeliveryRef) -> String {
    format!("{}.{}.{}", at.queue, at.seq, at.fence)
}

/// Reads a receipt. `None` if it is not one.
#[must_use]
pub fn parse_receipt(text: &str) -> Option<DeliveryRef> {
    let mut parts = text.split('.');
    let mut next = || parts.next()?.parse::<u64>().ok();
    let at = DeliveryRef {
        queue: QueueId(u32::try_from(next()?).ok()?),
        seq: Seq(next()?),
        fence: Fence(next()?),
    };
    next().is_none().then_some(at).filter(|at| receipt(*at) == text)
}

fn name(field: &str, text: &str) -> Result<Name, Refusal> {
    if text.len() > NAME_BYTES_MAX {
        return Err(invalid(format!("{field} is longer than {NAME_BYTES_MAX} bytes")));
    }
    Ok(Name::from(text))
}

fn invalid(text: String) -> Refusal {
    Refusal::new(RefusalCode::Invalid, text)
}

#[cfg(test)]
mod tests {
    use baton_model::{MessageId, Time};
    use serde_json::json;

    use super::*;

    fn browsed(message: Message) -> Browsed {
        Browsed {
            seq: Seq(7),
            id: MessageId(9),
            state: MessageState::Ready,
            until: None,
            expires_at: None,
            enqueued_at: Time(5),
            acquired: 0,
            failed: 0,
            fence: None,
            group_key: None,
            priority: 0,
            message,
            overlay: None,
        }
    }

    fn sent(json: Json) -> Result<Publish, Refusal> {
        let send: SendJson = serde_json::from_value(json).unwrap();
        send.into_publish(Name::default(), Name::from("orders"))
    }

    #[test]
    fn what_is_sent_is_what_is_shown() {
        let publish = sent(json!({
            "body": "hello", "content_type": "text/plain", "headers": {"tries": 3}, "priority": 4, "ttl_ms": 1000,
            "delay_ms": 50, "message_id": "m", "correlation_id": "c", "reply_to": "r", "type": "t", "app_id": "a",
            "timestamp_ms": 12, "group_key": "g", "dedup_id": "d", "subject": "s", "causation_id": "x"
        }))
        .unwrap();
        assert_eq!((publish.ttl_ms, publish.delay_ms, publish.priority), (Some(1000), Some(50), Some(4)));
        let shown = serde_json::to_value(MessageJson::browsed(&browsed(publish.message), 1000)).unwrap();
        let expected = json!({
            "seq": 7, "id": "9", "state": "ready", "enqueued_at_ms": 5, "acquired": 0, "failed": 0,
            "exchange": "", "key": "orders", "content_type": "text/plain", "headers": {"tries": 3}, "durable": true,
            "priority": 4, "correlation_id": "c", "reply_to": "r", "ttl_ms": 1000, "message_id": "m",
            "timestamp_ms": 12, "type": "t", "app_id": "a", "group_key": "g", "dedup_id": "d",
            "causation_id": "x", "subject": "s", "delay_ms": 50,
            "body": "hello", "encoding": "utf-8", "body_bytes": 5
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn bodies_that_are_not_text_are_base64() {
        let publish = sent(json!({"body": "AP8=", "encoding": "base64"})).unwrap();
        assert_eq!(publish.message.body_slice(), [0, 255]);
        let shown = MessageJson::browsed(&browsed(publish.message), 1000);
        assert_eq!((shown.encoding, shown.body.as_str()), (Some(Encoding::Base64), "AP8="));
        assert!(sent(json!({"body": "%", "encoding": "base64"})).unwrap_err().text.contains("base64"));
    }

    #[test]
    fn long_bodies_are_cut_between_characters() {
        let publish = sent(json!({"body": "aé"})).unwrap();
        let shown = MessageJson::browsed(&browsed(publish.message), 2);
        assert_eq!((shown.body.as_str(), shown.body_truncated, shown.body_bytes), ("a", true, 3));
    }

    #[test]
    fn receipts_are_read_back_and_nothing_else_is() {
        let at = DeliveryRef { queue: QueueId(1), seq: Seq(2), fence: Fence(3) };
        assert_eq!(receipt(at), "1.2.3");
        assert_eq!(parse_receipt("1.2.3"), Some(at));
        for bad in ["", "1.2", "1.2.3.4", "01.2.3", "+1.2.3", "1.2.x", "5000000000.1.1"] {
            assert_eq!(parse_receipt(bad), None, "{bad}");
        }
    }
}
