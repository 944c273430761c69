//! Class `exchange` (40): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::short_str::ShortStr;
use crate::table::Table;
use crate::wire::FieldReader;

/// A method of class `exchange`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// `exchange.declare`.
    Declare(Declare),
    /// `exchange.declare-ok`.
    DeclareOk(DeclareOk),
    /// `exchange.delete`.
    Delete(Delete),
    /// `exchange.delete-ok`.
    DeleteOk(DeleteOk),
    /// `exchange.bind`.
    Bind(Bind),
    /// `exchange.bind-ok`.
    BindOk(BindOk),
    /// `exchange.unbind`.
    Unbind(Unbind),
    /// `exchange.unbind-ok`.
    UnbindOk(UnbindOk),
}

/// `exchange.declare` (40, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declare {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `type`: short string.
    pub kind: ShortStr,
    /// `passive`: flag.
    pub passive: bool,
    /// `durable`: flag.
    pub durable: bool,
    /// `auto-delete`: flag.
    pub auto_delete: bool,
    /// `internal`: flag.
    pub internal: bool,
    /// `nowait`: flag.
    pub no_wait: bool,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `exchange.declare-ok` (40, 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeclareOk;

/// `exchange.delete` (40, 20); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `if-unused`: flag.
    pub if_unused: bool,
    /// `nowait`: flag.
    pub no_wait: bool,
}

/// `exchange.delete-ok` (40, 21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOk;

/// `exchange.bind` (40, 30); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `destination`: short string.
    pub destination: ShortStr,
    /// `source`: short string.
    pub source: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
    /// `nowait`: flag.
    pub no_wait: bool,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `exchange.bind-ok` (40, 31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindOk;

/// `exchange.unbind` (40, 40); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unbind {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `destination`: short string.
    pub destination: ShortStr,
    /// `source`: short string.
    pub source: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
    /// `nowait`: flag.
    pub no_wait: bool,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `exchange.unbind-ok` (40, 51).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnbindOk;

impl Exchange {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Declare(Declare::decode(fields)?),
            11 => Self::DeclareOk(DeclareOk),
            20 => Self::Delete(Delete::decode(fields)?),
            21 => Self::DeleteOk(DeleteOk),
            30 => Self::Bind(Bind::decode(fields)?),
            31 => Self::BindOk(BindOk),
            40 => Self::Unbind(Unbind::decode(fields)?),
            51 => Self::UnbindOk(UnbindOk),
            _ => return Err(WireError::UnknownMethod { class_id: 40, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Declare(method) => method.encode_fields(out),
            Self::DeclareOk(method) => method.encode_fields(out),
            Self::Delete(method) => method.encode_fields(out),
            Self::DeleteOk(method) => method.encode_fields(out),
            Self::Bind(method) => method.encode_fields(out),
            Self::BindOk(method) => method.encode_fields(out),
            Self::Unbind(method) => method.encode_fields(out),
            Self::UnbindOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Declare(_) => (40, 10),
            Self::DeclareOk(_) => (40, 11),
            Self::Delete(_) => (40, 20),
            Self::DeleteOk(_) => (40, 21),
            Self::Bind(_) => (40, 30),
            Self::BindOk(_) => (40, 31),
            Self::Unbind(_) => (40, 40),
            Self::UnbindOk(_) => (40, 51),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Declare(_) => "exchange.declare",
            Self::DeclareOk(_) => "exchange.declare-ok",
            Self::Delete(_) => "exchange.delete",
            Self::DeleteOk(_) => "exchange.delete-ok",
            Self::Bind(_) => "exchange.bind",
            Self::BindOk(_) => "exchange.bind-ok",
            Self::Unbind(_) => "exchange.unbind",
            Self::UnbindOk(_) => "exchange.unbind-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Declare(_) | Self::Delete(_) | Self::Bind(_) | Self::Unbind(_))
    }
}

impl From<Declare> for Method {
    fn from(method: Declare) -> Self {
        Self::Exchange(Exchange::Declare(method))
    }
}

impl From<DeclareOk> for Method {
    fn from(method: DeclareOk) -> Self {
        Self::Exchange(Exchange::DeclareOk(method))
    }
}

impl From<Delete> for Method {
    fn from(method: Delete) -> Self {
        Self::Exchange(Exchange::Delete(method))
    }
}

impl From<DeleteOk> for Method {
    fn from(method: DeleteOk) -> Self {
        Self::Exchange(Exchange::DeleteOk(method))
    }
}

impl From<Bind> for Method {
    fn from(method: Bind) -> Self {
        Self::Exchange(Exchange::Bind(method))
    }
}

impl From<BindOk> for Method {
    fn from(method: BindOk) -> Self {
        Self::Exchange(Exchange::BindOk(method))
    }
}

impl From<Unbind> for Method {
    fn from(method: Unbind) -> Self {
        Self::Exchange(Exchange::Unbind(method))
    }
}

impl From<UnbindOk> for Method {
    fn from(method: UnbindOk) -> Self {
        Self::Exchange(Exchange::UnbindOk(method))
    }
}
