//! Class `access` (30): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::short_str::ShortStr;
use crate::wire::FieldReader;

/// A method of class `access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// `access.request`.
    Request(Request),
    /// `access.request-ok`.
    RequestOk(RequestOk),
}

/// `access.request` (30, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `realm`: short string.
    pub realm: ShortStr,
    /// `exclusive`: flag.
    pub exclusive: bool,
    /// `passive`: flag.
    pub passive: bool,
    /// `active`: flag.
    pub active: bool,
    /// `write`: flag.
    pub write: bool,
    /// `read`: flag.
    pub read: bool,
}

/// `access.request-ok` (30, 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOk {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
}

impl Access {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Request(Request::decode(fields)?),
            11 => Self::RequestOk(RequestOk::decode(fields)?),
            _ => return Err(WireError::UnknownMethod { class_id: 30, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Request(method) => method.encode_fields(out),
            Self::RequestOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Request(_) => (30, 10),
            Self::RequestOk(_) => (30, 11),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "access.request",
            Self::RequestOk(_) => "access.request-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Request(_))
    }
}

impl From<Request> for Method {
    fn from(method: Request) -> Self {
        Self::Access(Access::Request(method))
    }
}

impl From<RequestOk> for Method {
    fn from(method: RequestOk) -> Self {
        Self::Access(Access::RequestOk(method))
    }
}
