//! Class `tx` (90): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::wire::FieldReader;

/// A method of class `tx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tx {
    /// `tx.select`.
    Select(Select),
    /// `tx.select-ok`.
    SelectOk(SelectOk),
    /// `tx.commit`.
    Commit(Commit),
    /// `tx.commit-ok`.
    CommitOk(CommitOk),
    /// `tx.rollback`.
    Rollback(Rollback),
    /// `tx.rollback-ok`.
    RollbackOk(RollbackOk),
}

/// `tx.select` (90, 10); the sender waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Select;

/// `tx.select-ok` (90, 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectOk;

/// `tx.commit` (90, 20); the sender waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit;

/// `tx.commit-ok` (90, 21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitOk;

/// `tx.rollback` (90, 30); the sender waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollback;

/// `tx.rollback-ok` (90, 31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollbackOk;

impl Tx {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, _fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Select(Select),
            11 => Self::SelectOk(SelectOk),
            20 => Self::Commit(Commit),
            21 => Self::CommitOk(CommitOk),
            30 => Self::Rollback(Rollback),
            31 => Self::RollbackOk(RollbackOk),
            _ => return Err(WireError::UnknownMethod { class_id: 90, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Select(method) => method.encode_fields(out),
            Self::SelectOk(method) => method.encode_fields(out),
            Self::Commit(method) => method.encode_fields(out),
            Self::CommitOk(method) => method.encode_fields(out),
            Self::Rollback(method) => method.encode_fields(out),
            Self::RollbackOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Select(_) => (90, 10),
            Self::SelectOk(_) => (90, 11),
            Self::Commit(_) => (90, 20),
            Self::CommitOk(_) => (90, 21),
            Self::Rollback(_) => (90, 30),
            Self::RollbackOk(_) => (90, 31),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Select(_) => "tx.select",
            Self::SelectOk(_) => "tx.select-ok",
            Self::Commit(_) => "tx.commit",
            Self::CommitOk(_) => "tx.commit-ok",
            Self::Rollback(_) => "tx.rollback",
            Self::RollbackOk(_) => "tx.rollback-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Select(_) | Self::Commit(_) | Self::Rollback(_))
    }
}

impl From<Select> for Method {
    fn from(method: Select) -> Self {
        Self::Tx(Tx::Select(method))
    }
}

impl From<SelectOk> for Method {
    fn from(method: SelectOk) -> Self {
        Self::Tx(Tx::SelectOk(method))
    }
}

impl From<Commit> for Method {
    fn from(method: Commit) -> Self {
        Self::Tx(Tx::Commit(method))
    }
}

impl From<CommitOk> for Method {
    fn from(method: CommitOk) -> Self {
        Self::Tx(Tx::CommitOk(method))
    }
}

impl From<Rollback> for Method {
    fn from(method: Rollback) -> Self {
        Self::Tx(Tx::Rollback(method))
    }
}

impl From<RollbackOk> for Method {
    fn from(method: RollbackOk) -> Self {
        Self::Tx(Tx::RollbackOk(method))
    }
}
