//! Class `confirm` (85): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::wire::FieldReader;

/// A method of class `confirm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// `confirm.select`.
    Select(Select),
    /// `confirm.select-ok`.
    SelectOk(SelectOk),
}

/// `confirm.select` (85, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// `nowait`: flag.
    pub no_wait: bool,
}

/// `confirm.select-ok` (85, 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectOk;

impl Confirm {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Select(Select::decode(fields)?),
            11 => Self::SelectOk(SelectOk),
            _ => return Err(WireError::UnknownMethod { class_id: 85, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Select(method) => method.encode_fields(out),
            Self::SelectOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Select(_) => (85, 10),
            Self::SelectOk(_) => (85, 11),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Select(_) => "confirm.select",
            Self::SelectOk(_) => "confirm.select-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Select(_))
    }
}

impl From<Select> for Method {
    fn from(method: Select) -> Self {
        Self::Confirm(Confirm::Select(method))
    }
}

impl From<SelectOk> for Method {
    fn from(method: SelectOk) -> Self {
        Self::Confirm(Confirm::SelectOk(method))
    }
}
