//! Class `connection` (10): its methods as plain data.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{Bytes, BytesMut};

use crate::error::WireError;
use crate::methods::{Method, MethodFields};
use crate::short_str::ShortStr;
use crate::table::Table;
use crate::wire::FieldReader;

/// A method of class `connection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// `connection.start`.
    Start(Start),
    /// `connection.start-ok`.
    StartOk(StartOk),
    /// `connection.secure`.
    Secure(Secure),
    /// `connection.secure-ok`.
    SecureOk(SecureOk),
    /// `connection.tune`.
    Tune(Tune),
    /// `connection.tune-ok`.
    TuneOk(TuneOk),
    /// `connection.open`.
    Open(Open),
    /// `connection.open-ok`.
    OpenOk(OpenOk),
    /// `connection.close`.
    Close(Close),
    /// `connection.close-ok`.
    CloseOk(CloseOk),
    /// `connection.blocked`.
    Blocked(Blocked),
    /// `connection.unblocked`.
    Unblocked(Unblocked),
    /// `connection.update-secret`.
    UpdateSecret(UpdateSecret),
    /// `connection.update-secret-ok`.
    UpdateSecretOk(UpdateSecretOk),
}

/// `connection.start` (10, 10); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// `version-major`: 8 bits, unsigned.
    pub version_major: u8,
    /// `version-minor`: 8 bits, unsigned.
    pub version_minor: u8,
    /// `server-properties`: table, not yet read.
    pub server_properties: Table,
    /// `mechanisms`: long string.
    pub mechanisms: Bytes,
    /// `locales`: long string.
    pub locales: Bytes,
}

/// `connection.start-ok` (10, 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartOk {
    /// `client-properties`: table, not yet read.
    pub client_properties: Table,
    /// `mechanism`: short string.
    pub mechanism: ShortStr,
    /// `response`: long string.
    pub response: Bytes,
    /// `locale`: short string.
    pub locale: ShortStr,
}

/// `connection.secure` (10, 20); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secure {
    /// `challenge`: long string.
    pub challenge: Bytes,
}

/// `connection.secure-ok` (10, 21).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecureOk {
    /// `response`: long string.
    pub response: Bytes,
}

/// `connection.tune` (10, 30); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tune {
    /// `channel-max`: 16 bits, unsigned.
    pub channel_max: u16,
    /// `frame-max`: 32 bits, unsigned.
    pub frame_max: u32,
    /// `heartbeat`: 16 bits, unsigned.
    pub heartbeat: u16,
}

/// `connection.tune-ok` (10, 31).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TuneOk {
    /// `channel-max`: 16 bits, unsigned.
    pub channel_max: u16,
    /// `frame-max`: 32 bits, unsigned.
    pub frame_max: u32,
    /// `heartbeat`: 16 bits, unsigned.
    pub heartbeat: u16,
}

/// `connection.open` (10, 40); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// `virtual-host`: short string.
    pub virtual_host: ShortStr,
    /// `capabilities`: short string.
    pub capabilities: ShortStr,
    /// `insist`: flag.
    pub insist: bool,
}

/// `connection.open-ok` (10, 41).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOk {
    /// `known-hosts`: short string.
    pub known_hosts: ShortStr,
}

/// `connection.close` (10, 50); the sender waits for an answer.
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

/// `connection.close-ok` (10, 51).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseOk;

/// `connection.blocked` (10, 60).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// `reason`: short string.
    pub reason: ShortStr,
}

/// `connection.unblocked` (10, 61).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unblocked;

/// `connection.update-secret` (10, 70); the sender waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateSecret {
    /// `new-secret`: long string.
    pub new_secret: Bytes,
    /// `reason`: short string.
    pub reason: ShortStr,
}

/// `connection.update-secret-ok` (10, 71).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateSecretOk;

impl Connection {
    #[inline(always)]
    pub(super) fn decode(method_id: u16, fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match method_id {
            10 => Self::Start(Start::decode(fields)?),
            11 => Self::StartOk(StartOk::decode(fields)?),
            20 => Self::Secure(Secure::decode(fields)?),
            21 => Self::SecureOk(SecureOk::decode(fields)?),
            30 => Self::Tune(Tune::decode(fields)?),
            31 => Self::TuneOk(TuneOk::decode(fields)?),
            40 => Self::Open(Open::decode(fields)?),
            41 => Self::OpenOk(OpenOk::decode(fields)?),
            50 => Self::Close(Close::decode(fields)?),
            51 => Self::CloseOk(CloseOk),
            60 => Self::Blocked(Blocked::decode(fields)?),
            61 => Self::Unblocked(Unblocked),
            70 => Self::UpdateSecret(UpdateSecret::decode(fields)?),
            71 => Self::UpdateSecretOk(UpdateSecretOk),
            _ => return Err(WireError::UnknownMethod { class_id: 10, method_id }),
        })
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Start(method) => method.encode_fields(out),
            Self::StartOk(method) => method.encode_fields(out),
            Self::Secure(method) => method.encode_fields(out),
            Self::SecureOk(method) => method.encode_fields(out),
            Self::Tune(method) => method.encode_fields(out),
            Self::TuneOk(method) => method.encode_fields(out),
            Self::Open(method) => method.encode_fields(out),
            Self::OpenOk(method) => method.encode_fields(out),
            Self::Close(method) => method.encode_fields(out),
            Self::CloseOk(method) => method.encode_fields(out),
            Self::Blocked(method) => method.encode_fields(out),
            Self::Unblocked(method) => method.encode_fields(out),
            Self::UpdateSecret(method) => method.encode_fields(out),
            Self::UpdateSecretOk(method) => method.encode_fields(out),
        }
    }

    pub(super) fn ids(&self) -> (u16, u16) {
        match self {
            Self::Start(_) => (10, 10),
            Self::StartOk(_) => (10, 11),
            Self::Secure(_) => (10, 20),
            Self::SecureOk(_) => (10, 21),
            Self::Tune(_) => (10, 30),
            Self::TuneOk(_) => (10, 31),
            Self::Open(_) => (10, 40),
            Self::OpenOk(_) => (10, 41),
            Self::Close(_) => (10, 50),
            Self::CloseOk(_) => (10, 51),
            Self::Blocked(_) => (10, 60),
            Self::Unblocked(_) => (10, 61),
            Self::UpdateSecret(_) => (10, 70),
            Self::UpdateSecretOk(_) => (10, 71),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "connection.start",
            Self::StartOk(_) => "connection.start-ok",
            Self::Secure(_) => "connection.secure",
            Self::SecureOk(_) => "connection.secure-ok",
            Self::Tune(_) => "connection.tune",
            Self::TuneOk(_) => "connection.tune-ok",
            Self::Open(_) => "connection.open",
            Self::OpenOk(_) => "connection.open-ok",
            Self::Close(_) => "connection.close",
            Self::CloseOk(_) => "connection.close-ok",
            Self::Blocked(_) => "connection.blocked",
            Self::Unblocked(_) => "connection.unblocked",
            Self::UpdateSecret(_) => "connection.update-secret",
            Self::UpdateSecretOk(_) => "connection.update-secret-ok",
        }
    }

    pub(super) fn has_content(&self) -> bool {
        false
    }

    pub(super) fn is_synchronous(&self) -> bool {
        matches!(
            self,
            Self::Start(_)
                | Self::Secure(_)
                | Self::Tune(_)
                | Self::Open(_)
                | Self::Close(_)
                | Self::UpdateSecret(_)
        )
    }
}

impl From<Start> for Method {
    fn from(method: Start) -> Self {
        Self::Connection(Connection::Start(method))
    }
}

impl From<StartOk> for Method {
    fn from(method: StartOk) -> Self {
        Self::Connection(Connection::StartOk(method))
    }
}

impl From<Secure> for Method {
    fn from(method: Secure) -> Self {
        Self::Connection(Connection::Secure(method))
    }
}

impl From<SecureOk> for Method {
    fn from(method: SecureOk) -> Self {
        Self::Connection(Connection::SecureOk(method))
    }
}

impl From<Tune> for Method {
    fn from(method: Tune) -> Self {
        Self::Connection(Connection::Tune(method))
    }
}

impl From<TuneOk> for Method {
    fn from(method: TuneOk) -> Self {
        Self::Connection(Connection::TuneOk(method))
    }
}

impl From<Open> for Method {
    fn from(method: Open) -> Self {
        Self::Connection(Connection::Open(method))
    }
}

impl From<OpenOk> for Method {
    fn from(method: OpenOk) -> Self {
        Self::Connection(Connection::OpenOk(method))
    }
}

impl From<Close> for Method {
    fn from(method: Close) -> Self {
        Self::Connection(Connection::Close(method))
    }
}

impl From<CloseOk> for Method {
    fn from(method: CloseOk) -> Self {
        Self::Connection(Connection::CloseOk(method))
    }
}

impl From<Blocked> for Method {
    fn from(method: Blocked) -> Self {
        Self::Connection(Connection::Blocked(method))
    }
}

impl From<Unblocked> for Method {
    fn from(method: Unblocked) -> Self {
        Self::Connection(Connection::Unblocked(method))
    }
}

impl From<UpdateSecret> for Method {
    fn from(method: UpdateSecret) -> Self {
        Self::Connection(Connection::UpdateSecret(method))
    }
}

impl From<UpdateSecretOk> for Method {
    fn from(method: UpdateSecretOk) -> Self {
        Self::Connection(Connection::UpdateSecretOk(method))
    }
}
