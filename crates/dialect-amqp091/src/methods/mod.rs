//! All methods of AMQP 0-9-1 with RabbitMQ's extensions, one module per class: plain data, its reading and its
//! writing. Not here: what a method does, and content (`content`). Called by `content`, `frame` and the session.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::frame::Payload;
use crate::wire::FieldReader;

pub mod access;
mod access_wire;
pub mod basic;
mod basic_wire;
pub mod channel;
mod channel_wire;
pub mod confirm;
mod confirm_wire;
pub mod connection;
mod connection_wire;
pub mod exchange;
mod exchange_wire;
pub mod queue;
mod queue_wire;
pub mod tx;
mod tx_wire;

pub use access::Access;
pub use basic::Basic;
pub use channel::Channel;
pub use confirm::Confirm;
pub use connection::Connection;
pub use exchange::Exchange;
pub use queue::Queue;
pub use tx::Tx;

/// What can be written as the payload of a method frame: every method here, and borrowed forms of the hot ones
/// (`content::DeliverRef`).
pub trait MethodFields {
    /// Class number.
    const CLASS_ID: u16;
    /// Method number.
    const METHOD_ID: u16;

    /// Appends the fields, without class and method number.
    fn encode_fields(&self, out: &mut BytesMut);
}

/// Any method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Class `connection` (10).
    Connection(Connection),
    /// Class `channel` (20).
    Channel(Channel),
    /// Class `access` (30).
    Access(Access),
    /// Class `exchange` (40).
    Exchange(Exchange),
    /// Class `queue` (50).
    Queue(Queue),
    /// Class `basic` (60).
    Basic(Basic),
    /// Class `confirm` (85).
    Confirm(Confirm),
    /// Class `tx` (90).
    Tx(Tx),
}

impl Method {
    /// Reads the payload of a method frame: class, method and all fields.
    ///
    /// # Errors
    /// [`WireError`] for an unknown method, fields too short or too long, a name that is not UTF-8.
    #[inline]
    pub fn decode<'a>(payload: impl Into<Payload<'a>>) -> Result<Self, WireError> {
        let payload = payload.into();
        if payload.len() < 4 {
            return Err(WireError::FramePayload { what: "method", payload_bytes: payload.len() });
        }
        let mut fields = FieldReader::new(payload);
        let class_id = fields.short()?;
        let method_id = fields.short()?;
        let method = match class_id {
            10 => Self::Connection(Connection::decode(method_id, &mut fields)?),
            20 => Self::Channel(Channel::decode(method_id, &mut fields)?),
            30 => Self::Access(Access::decode(method_id, &mut fields)?),
            40 => Self::Exchange(Exchange::decode(method_id, &mut fields)?),
            50 => Self::Queue(Queue::decode(method_id, &mut fields)?),
            60 => Self::Basic(Basic::decode(method_id, &mut fields)?),
            85 => Self::Confirm(Confirm::decode(method_id, &mut fields)?),
            90 => Self::Tx(Tx::decode(method_id, &mut fields)?),
            _ => return Err(WireError::UnknownMethod { class_id, method_id }),
        };
        fields.finish()?;
        Ok(method)
    }

    /// Class and method number.
    #[must_use]
    pub fn ids(&self) -> (u16, u16) {
        match self {
            Self::Connection(method) => method.ids(),
            Self::Channel(method) => method.ids(),
            Self::Access(method) => method.ids(),
            Self::Exchange(method) => method.ids(),
            Self::Queue(method) => method.ids(),
            Self::Basic(method) => method.ids(),
            Self::Confirm(method) => method.ids(),
            Self::Tx(method) => method.ids(),
        }
    }

    /// Such as `basic.publish`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connection(method) => method.name(),
            Self::Channel(method) => method.name(),
            Self::Access(method) => method.name(),
            Self::Exchange(method) => method.name(),
            Self::Queue(method) => method.name(),
            Self::Basic(method) => method.name(),
            Self::Confirm(method) => method.name(),
            Self::Tx(method) => method.name(),
        }
    }

    /// Whether a content header and body frames follow.
    #[must_use]
    pub fn has_content(&self) -> bool {
        match self {
            Self::Connection(method) => method.has_content(),
            Self::Channel(method) => method.has_content(),
            Self::Access(method) => method.has_content(),
            Self::Exchange(method) => method.has_content(),
            Self::Queue(method) => method.has_content(),
            Self::Basic(method) => method.has_content(),
            Self::Confirm(method) => method.has_content(),
            Self::Tx(method) => method.has_content(),
        }
    }

    /// Whether the sender waits for an answer (before `no-wait`, where the method has that).
    #[must_use]
    pub fn is_synchronous(&self) -> bool {
        match self {
            Self::Connection(method) => method.is_synchronous(),
            Self::Channel(method) => method.is_synchronous(),
            Self::Access(method) => method.is_synchronous(),
            Self::Exchange(method) => method.is_synchronous(),
            Self::Queue(method) => method.is_synchronous(),
            Self::Basic(method) => method.is_synchronous(),
            Self::Confirm(method) => method.is_synchronous(),
            Self::Tx(method) => method.is_synchronous(),
        }
    }

    /// Appends the fields, without class and method number.
    pub(crate) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Connection(method) => method.encode_fields(out),
            Self::Channel(method) => method.encode_fields(out),
            Self::Access(method) => method.encode_fields(out),
            Self::Exchange(method) => method.encode_fields(out),
            Self::Queue(method) => method.encode_fields(out),
            Self::Basic(method) => method.encode_fields(out),
            Self::Confirm(method) => method.encode_fields(out),
            Self::Tx(method) => method.encode_fields(out),
        }
    }
}
