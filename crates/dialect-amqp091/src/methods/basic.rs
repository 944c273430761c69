//! Class `basic` (60): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::short_str::ShortStr;
use crate::table::Table;
use crate::wire::FieldReader;

/// A method of class `basic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basic {
    /// `basic.qos`.
    Qos(Qos),
    /// `basic.qos-ok`.
    QosOk(QosOk),
    /// `basic.consume`.
    Consume(Consume),
    /// `basic.consume-ok`.
    ConsumeOk(ConsumeOk),
    /// `basic.cancel`.
    Cancel(Cancel),
    /// `basic.cancel-ok`.
    CancelOk(CancelOk),
    /// `basic.publish`.
    Publish(Publish),
    /// `basic.return`.
    Return(Return),
    /// `basic.deliver`.
    Deliver(Deliver),
    /// `basic.get`.
    Get(Get),
    /// `basic.get-ok`.
    GetOk(GetOk),
    /// `basic.get-empty`.
    GetEmpty(GetEmpty),
    /// `basic.ack`.
    Ack(Ack),
    /// `basic.reject`.
    Reject(Reject),
    /// `basic.recover-async`.
    RecoverAsync(RecoverAsync),
    /// `basic.recover`.
    Recover(Recover),
    /// `basic.recover-ok`.
    RecoverOk(RecoverOk),
    /// `basic.nack`.
    Nack(Nack),
}

/// `basic.qos` (60, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qos {
    /// `prefetch-size`: 32 bits, unsigned.
    pub prefetch_size: u32,
    /// `prefetch-count`: 16 bits, unsigned.
    pub prefetch_count: u16,
    /// `global`: flag.
    pub global: bool,
}

/// `basic.qos-ok` (60, 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QosOk;

/// `basic.consume` (60, 20); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consume {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `consumer-tag`: short string.
    pub consumer_tag: ShortStr,
    /// `no-local`: flag.
    pub no_local: bool,
    /// `no-ack`: flag.
    pub no_ack: bool,
    /// `exclusive`: flag.
    pub exclusive: bool,
    /// `nowait`: flag.
    pub no_wait: bool,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `basic.consume-ok` (60, 21).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumeOk {
    /// `consumer-tag`: short string.
    pub consumer_tag: ShortStr,
}

/// `basic.cancel` (60, 30); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancel {
    /// `consumer-tag`: short string.
    pub consumer_tag: ShortStr,
    /// `nowait`: flag.
    pub no_wait: bool,
}

/// `basic.cancel-ok` (60, 31).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelOk {
    /// `consumer-tag`: short string.
    pub consumer_tag: ShortStr,
}

/// `basic.publish` (60, 40); content follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
    /// `mandatory`: flag.
    pub mandatory: bool,
    /// `immediate`: flag.
    pub immediate: bool,
}

/// `basic.return` (60, 50); content follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// `reply-code`: 16 bits, unsigned.
    pub reply_code: u16,
    /// `reply-text`: short string.
    pub reply_text: ShortStr,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
}

/// `basic.deliver` (60, 60); content follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliver {
    /// `consumer-tag`: short string.
    pub consumer_tag: ShortStr,
    /// `delivery-tag`: 64 bits, unsigned.
    pub delivery_tag: u64,
    /// `redelivered`: flag.
    pub redelivered: bool,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
}

/// `basic.get` (60, 70); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Get {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `no-ack`: flag.
    pub no_ack: bool,
}

/// `basic.get-ok` (60, 71); content follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOk {
    /// `delivery-tag`: 64 bits, unsigned.
    pub delivery_tag: u64,
    /// `redelivered`: flag.
    pub redelivered: bool,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
    /// `message-count`: 32 bits, unsigned.
    pub message_count: u32,
}

/// `basic.get-empty` (60, 72).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetEmpty {
    /// `cluster-id`: short string.
    pub cluster_id: ShortStr,
}

/// `basic.ack` (60, 80).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// `delivery-tag`: 64 bits, unsigned.
    pub delivery_tag: u64,
    /// `multiple`: flag.
    pub multiple: bool,
}

/// `basic.reject` (60, 90).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reject {
    /// `delivery-tag`: 64 bits, unsigned.
    pub delivery_tag: u64,
    /// `requeue`: flag.
    pub requeue: bool,
}

/// `basic.recover-async` (60, 100).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverAsync {
    /// `requeue`: flag.
    pub requeue: bool,
}

/// `basic.recover` (60, 110); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recover {
    /// `requeue`: flag.
    pub requeue: bool,
}

/// `basic.recover-ok` (60, 111).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoverOk;

/// `basic.nack` (60, 120).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// `delivery-tag`: 64 bits, unsigned.
    pub delivery_tag: u64,
    /// `multiple`: flag.
    pub multiple: bool,
    /// `requeue`: flag.
    pub requeue: bool,
}

impl Basic {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Qos(Qos::decode(fields)?),
            11 => Self::QosOk(QosOk),
            20 => Self::Consume(Consume::decode(fields)?),
            21 => Self::ConsumeOk(ConsumeOk::decode(fields)?),
            30 => Self::Cancel(Cancel::decode(fields)?),
            31 => Self::CancelOk(CancelOk::decode(fields)?),
            40 => Self::Publish(Publish::decode(fields)?),
            50 => Self::Return(Return::decode(fields)?),
            60 => Self::Deliver(Deliver::decode(fields)?),
            70 => Self::Get(Get::decode(fields)?),
            71 => Self::GetOk(GetOk::decode(fields)?),
            72 => Self::GetEmpty(GetEmpty::decode(fields)?),
            80 => Self::Ack(Ack::decode(fields)?),
            90 => Self::Reject(Reject::decode(fields)?),
            100 => Self::RecoverAsync(RecoverAsync::decode(fields)?),
            110 => Self::Recover(Recover::decode(fields)?),
            111 => Self::RecoverOk(RecoverOk),
            120 => Self::Nack(Nack::decode(fields)?),
            _ => return Err(WireError::UnknownMethod { class_id: 60, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Qos(method) => method.encode_fields(out),
            Self::QosOk(method) => method.encode_fields(out),
            Self::Consume(method) => method.encode_fields(out),
            Self::ConsumeOk(method) => method.encode_fields(out),
            Self::Cancel(method) => method.encode_fields(out),
            Self::CancelOk(method) => method.encode_fields(out),
            Self::Publish(method) => method.encode_fields(out),
            Self::Return(method) => method.encode_fields(out),
            Self::Deliver(method) => method.encode_fields(out),
            Self::Get(method) => method.encode_fields(out),
            Self::GetOk(method) => method.encode_fields(out),
            Self::GetEmpty(method) => method.encode_fields(out),
            Self::Ack(method) => method.encode_fields(out),
            Self::Reject(method) => method.encode_fields(out),
            Self::RecoverAsync(method) => method.encode_fields(out),
            Self::Recover(method) => method.encode_fields(out),
            Self::RecoverOk(method) => method.encode_fields(out),
            Self::Nack(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Qos(_) => (60, 10),
            Self::QosOk(_) => (60, 11),
            Self::Consume(_) => (60, 20),
            Self::ConsumeOk(_) => (60, 21),
            Self::Cancel(_) => (60, 30),
            Self::CancelOk(_) => (60, 31),
            Self::Publish(_) => (60, 40),
            Self::Return(_) => (60, 50),
            Self::Deliver(_) => (60, 60),
            Self::Get(_) => (60, 70),
            Self::GetOk(_) => (60, 71),
            Self::GetEmpty(_) => (60, 72),
            Self::Ack(_) => (60, 80),
            Self::Reject(_) => (60, 90),
            Self::RecoverAsync(_) => (60, 100),
            Self::Recover(_) => (60, 110),
            Self::RecoverOk(_) => (60, 111),
            Self::Nack(_) => (60, 120),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Qos(_) => "basic.qos",
            Self::QosOk(_) => "basic.qos-ok",
            Self::Consume(_) => "basic.consume",
            Self::ConsumeOk(_) => "basic.consume-ok",
            Self::Cancel(_) => "basic.cancel",
            Self::CancelOk(_) => "basic.cancel-ok",
            Self::Publish(_) => "basic.publish",
            Self::Return(_) => "basic.return",
            Self::Deliver(_) => "basic.deliver",
            Self::Get(_) => "basic.get",
            Self::GetOk(_) => "basic.get-ok",
            Self::GetEmpty(_) => "basic.get-empty",
            Self::Ack(_) => "basic.ack",
            Self::Reject(_) => "basic.reject",
            Self::RecoverAsync(_) => "basic.recover-async",
            Self::Recover(_) => "basic.recover",
            Self::RecoverOk(_) => "basic.recover-ok",
            Self::Nack(_) => "basic.nack",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Return(_) | Self::Deliver(_) | Self::GetOk(_))
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Qos(_) | Self::Consume(_) | Self::Cancel(_) | Self::Get(_) | Self::Recover(_))
    }
}

impl From<Qos> for Method {
    fn from(method: Qos) -> Self {
        Self::Basic(Basic::Qos(method))
    }
}

impl From<QosOk> for Method {
    fn from(method: QosOk) -> Self {
        Self::Basic(Basic::QosOk(method))
    }
}

impl From<Consume> for Method {
    fn from(method: Consume) -> Self {
        Self::Basic(Basic::Consume(method))
    }
}

impl From<ConsumeOk> for Method {
    fn from(method: ConsumeOk) -> Self {
        Self::Basic(Basic::ConsumeOk(method))
    }
}

impl From<Cancel> for Method {
    fn from(method: Cancel) -> Self {
        Self::Basic(Basic::Cancel(method))
    }
}

impl From<CancelOk> for Method {
    fn from(method: CancelOk) -> Self {
        Self::Basic(Basic::CancelOk(method))
    }
}

impl From<Publish> for Method {
    fn from(method: Publish) -> Self {
        Self::Basic(Basic::Publish(method))
    }
}

impl From<Return> for Method {
    fn from(method: Return) -> Self {
        Self::Basic(Basic::Return(method))
    }
}

impl From<Deliver> for Method {
    fn from(method: Deliver) -> Self {
        Self::Basic(Basic::Deliver(method))
    }
}

impl From<Get> for Method {
    fn from(method: Get) -> Self {
        Self::Basic(Basic::Get(method))
    }
}

impl From<GetOk> for Method {
    fn from(method: GetOk) -> Self {
        Self::Basic(Basic::GetOk(method))
    }
}

impl From<GetEmpty> for Method {
    fn from(method: GetEmpty) -> Self {
        Self::Basic(Basic::GetEmpty(method))
    }
}

impl From<Ack> for Method {
    fn from(method: Ack) -> Self {
        Self::Basic(Basic::Ack(method))
    }
}

impl From<Reject> for Method {
    fn from(method: Reject) -> Self {
        Self::Basic(Basic::Reject(method))
    }
}

impl From<RecoverAsync> for Method {
    fn from(method: RecoverAsync) -> Self {
        Self::Basic(Basic::RecoverAsync(method))
    }
}

impl From<Recover> for Method {
    fn from(method: Recover) -> Self {
        Self::Basic(Basic::Recover(method))
    }
}

impl From<RecoverOk> for Method {
    fn from(method: RecoverOk) -> Self {
        Self::Basic(Basic::RecoverOk(method))
    }
}

impl From<Nack> for Method {
    fn from(method: Nack) -> Self {
        Self::Basic(Basic::Nack(method))
    }
}
