//! Class `channel` (20): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{Bytes, BytesMut};

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::short_str::ShortStr;
use crate::wire::FieldReader;

/// A method of class `channel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// `channel.open`.
    Open(Open),
    /// `channel.open-ok`.
    OpenOk(OpenOk),
    /// `channel.flow`.
    Flow(Flow),
    /// `channel.flow-ok`.
    FlowOk(FlowOk),
    /// `channel.close`.
    Close(Close),
    /// `channel.close-ok`.
    CloseOk(CloseOk),
}

/// `channel.open` (20, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// `out-of-band`: short string.
    pub out_of_band: ShortStr,
}

/// `channel.open-ok` (20, 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOk {
    /// `channel-id`: long string.
    pub channel_id: Bytes,
}

/// `channel.flow` (20, 20); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// `active`: flag.
    pub active: bool,
}

/// `channel.flow-ok` (20, 21).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowOk {
    /// `active`: flag.
    pub active: bool,
}

/// `channel.close` (20, 40); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// `reply-code`: 16 bits, unsigned.
    pub reply_code: u16,
    /// `reply-text`: short string.
    pub reply_text: ShortStr,
    /// `class-id`: 16 bits, unsigned.
    pub class_id: u16,
    /// `method-id`: 16 bits, unsigned.
    pub method_id: u16,
}

/// `channel.close-ok` (20, 41).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseOk;

impl Channel {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Open(Open::decode(fields)?),
            11 => Self::OpenOk(OpenOk::decode(fields)?),
            20 => Self::Flow(Flow::decode(fields)?),
            21 => Self::FlowOk(FlowOk::decode(fields)?),
            40 => Self::Close(Close::decode(fields)?),
            41 => Self::CloseOk(CloseOk),
            _ => return Err(WireError::UnknownMethod { class_id: 20, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Open(method) => method.encode_fields(out),
            Self::OpenOk(method) => method.encode_fields(out),
            Self::Flow(method) => method.encode_fields(out),
            Self::FlowOk(method) => method.encode_fields(out),
            Self::Close(method) => method.encode_fields(out),
            Self::CloseOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Open(_) => (20, 10),
            Self::OpenOk(_) => (20, 11),
            Self::Flow(_) => (20, 20),
            Self::FlowOk(_) => (20, 21),
            Self::Close(_) => (20, 40),
            Self::CloseOk(_) => (20, 41),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "channel.open",
            Self::OpenOk(_) => "channel.open-ok",
            Self::Flow(_) => "channel.flow",
            Self::FlowOk(_) => "channel.flow-ok",
            Self::Close(_) => "channel.close",
            Self::CloseOk(_) => "channel.close-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Flow(_) | Self::Close(_))
    }
}

impl From<Open> for Method {
    fn from(method: Open) -> Self {
        Self::Channel(Channel::Open(method))
    }
}

impl From<OpenOk> for Method {
    fn from(method: OpenOk) -> Self {
        Self::Channel(Channel::OpenOk(method))
    }
}

impl From<Flow> for Method {
    fn from(method: Flow) -> Self {
        Self::Channel(Channel::Flow(method))
    }
}

impl From<FlowOk> for Method {
    fn from(method: FlowOk) -> Self {
        Self::Channel(Channel::FlowOk(method))
    }
}

impl From<Close> for Method {
    fn from(method: Close) -> Self {
        Self::Channel(Channel::Close(method))
    }
}

impl From<CloseOk> for Method {
    fn from(method: CloseOk) -> Self {
        Self::Channel(Channel::CloseOk(method))
    }
}
