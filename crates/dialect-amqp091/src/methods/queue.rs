//! Class `queue` (50): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::short_str::ShortStr;
use crate::table::Table;
use crate::wire::FieldReader;

/// A method of class `queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// `queue.declare`.
    Declare(Declare),
    /// `queue.declare-ok`.
    DeclareOk(DeclareOk),
    /// `queue.bind`.
    Bind(Bind),
    /// `queue.bind-ok`.
    BindOk(BindOk),
    /// `queue.purge`.
    Purge(Purge),
    /// `queue.purge-ok`.
    PurgeOk(PurgeOk),
    /// `queue.delete`.
    Delete(Delete),
    /// `queue.delete-ok`.
    DeleteOk(DeleteOk),
    /// `queue.unbind`.
    Unbind(Unbind),
    /// `queue.unbind-ok`.
    UnbindOk(UnbindOk),
}

/// `queue.declare` (50, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declare {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `passive`: flag.
    pub passive: bool,
    /// `durable`: flag.
    pub durable: bool,
    /// `exclusive`: flag.
    pub exclusive: bool,
    /// `auto-delete`: flag.
    pub auto_delete: bool,
    /// `nowait`: flag.
    pub no_wait: bool,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `queue.declare-ok` (50, 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclareOk {
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `message-count`: 32 bits, unsigned.
    pub message_count: u32,
    /// `consumer-count`: 32 bits, unsigned.
    pub consumer_count: u32,
}

/// `queue.bind` (50, 20); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
    /// `nowait`: flag.
    pub no_wait: bool,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `queue.bind-ok` (50, 21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindOk;

/// `queue.purge` (50, 30); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `nowait`: flag.
    pub no_wait: bool,
}

/// `queue.purge-ok` (50, 31).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeOk {
    /// `message-count`: 32 bits, unsigned.
    pub message_count: u32,
}

/// `queue.delete` (50, 40); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `if-unused`: flag.
    pub if_unused: bool,
    /// `if-empty`: flag.
    pub if_empty: bool,
    /// `nowait`: flag.
    pub no_wait: bool,
}

/// `queue.delete-ok` (50, 41).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOk {
    /// `message-count`: 32 bits, unsigned.
    pub message_count: u32,
}

/// `queue.unbind` (50, 50); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unbind {
    /// `ticket`: 16 bits, unsigned.
    pub ticket: u16,
    /// `queue`: short string.
    pub queue: ShortStr,
    /// `exchange`: short string.
    pub exchange: ShortStr,
    /// `routing-key`: short string.
    pub routing_key: ShortStr,
    /// `arguments`: table, not yet read.
    pub arguments: Table,
}

/// `queue.unbind-ok` (50, 51).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnbindOk;

impl Queue {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Declare(Declare::decode(fields)?),
            11 => Self::DeclareOk(DeclareOk::decode(fields)?),
            20 => Self::Bind(Bind::decode(fields)?),
            21 => Self::BindOk(BindOk),
            30 => Self::Purge(Purge::decode(fields)?),
            31 => Self::PurgeOk(PurgeOk::decode(fields)?),
            40 => Self::Delete(Delete::decode(fields)?),
            41 => Self::DeleteOk(DeleteOk::decode(fields)?),
            50 => Self::Unbind(Unbind::decode(fields)?),
            51 => Self::UnbindOk(UnbindOk),
            _ => return Err(WireError::UnknownMethod { class_id: 50, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Declare(method) => method.encode_fields(out),
            Self::DeclareOk(method) => method.encode_fields(out),
            Self::Bind(method) => method.encode_fields(out),
            Self::BindOk(method) => method.encode_fields(out),
            Self::Purge(method) => method.encode_fields(out),
            Self::PurgeOk(method) => method.encode_fields(out),
            Self::Delete(method) => method.encode_fields(out),
            Self::DeleteOk(method) => method.encode_fields(out),
            Self::Unbind(method) => method.encode_fields(out),
            Self::UnbindOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Declare(_) => (50, 10),
            Self::DeclareOk(_) => (50, 11),
            Self::Bind(_) => (50, 20),
            Self::BindOk(_) => (50, 21),
            Self::Purge(_) => (50, 30),
            Self::PurgeOk(_) => (50, 31),
            Self::Delete(_) => (50, 40),
            Self::DeleteOk(_) => (50, 41),
            Self::Unbind(_) => (50, 50),
            Self::UnbindOk(_) => (50, 51),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Declare(_) => "queue.declare",
            Self::DeclareOk(_) => "queue.declare-ok",
            Self::Bind(_) => "queue.bind",
            Self::BindOk(_) => "queue.bind-ok",
            Self::Purge(_) => "queue.purge",
            Self::PurgeOk(_) => "queue.purge-ok",
            Self::Delete(_) => "queue.delete",
            Self::DeleteOk(_) => "queue.delete-ok",
            Self::Unbind(_) => "queue.unbind",
            Self::UnbindOk(_) => "queue.unbind-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Declare(_) | Self::Bind(_) | Self::Purge(_) | Self::Delete(_) | Self::Unbind(_))
    }
}

impl From<Declare> for Method {
    fn from(method: Declare) -> Self {
        Self::Queue(Queue::Declare(method))
    }
}

impl From<DeclareOk> for Method {
    fn from(method: DeclareOk) -> Self {
        Self::Queue(Queue::DeclareOk(method))
    }
}

impl From<Bind> for Method {
    fn from(method: Bind) -> Self {
        Self::Queue(Queue::Bind(method))
    }
}

impl From<BindOk> for Method {
    fn from(method: BindOk) -> Self {
        Self::Queue(Queue::BindOk(method))
    }
}

impl From<Purge> for Method {
    fn from(method: Purge) -> Self {
        Self::Queue(Queue::Purge(method))
    }
}

impl From<PurgeOk> for Method {
    fn from(method: PurgeOk) -> Self {
        Self::Queue(Queue::PurgeOk(method))
    }
}

impl From<Delete> for Method {
    fn from(method: Delete) -> Self {
        Self::Queue(Queue::Delete(method))
    }
}

impl From<DeleteOk> for Method {
    fn from(method: DeleteOk) -> Self {
        Self::Queue(Queue::DeleteOk(method))
    }
}

impl From<Unbind> for Method {
    fn from(method: Unbind) -> Self {
        Self::Queue(Queue::Unbind(method))
    }
}

impl From<UnbindOk> for Method {
    fn from(method: UnbindOk) -> Self {
        Self::Queue(Queue::UnbindOk(method))
    }
}
