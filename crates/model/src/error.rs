//! Why a request was refused: what the caller can do ([`ErrorKind`]) and what exactly it was ([`RefusalCode`]).
//! Each dialect maps the codes to its wire errors in one table.

use std::fmt;

/// What the caller can do about a refusal. Coarse on purpose: retry logic needs no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The same request may succeed later, unchanged.
    Retry,
    /// The request itself is wrong; change it.
    Invalid,
    /// It names something that does not exist; create it first.
    NotFound,
    /// It contradicts what exists; look at that first.
    Conflict,
    /// The user may not do this; ask whoever grants permissions.
    Denied,
    /// A configured limit is met; send less, consume more, or raise the limit.
    Limit,
    /// Another node owns this partition now; reconnect.
    Fenced,
    /// Stored data is damaged; run `baton doctor`.
    Corrupt,
    /// Baton is at fault; report it.
    Bug,
}

/// What exactly was refused. Dialects choose wire codes by this, so two situations that any protocol tells apart are two codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalCode {
    /// No such namespace (AMQP vhost).
    NamespaceNotFound,
    /// No such queue.
    QueueNotFound,
    /// No such exchange.
    ExchangeNotFound,
    /// No such binding.
    BindingNotFound,
    /// No such message, or no longer.
    MessageNotFound,
    /// The lease ended, was settled already, or belongs to somebody newer.
    LeaseLost,
    /// An exchange of that name exists with other properties.
    ExchangeMismatch,
    /// The queue belongs to another connection (exclusive).
    QueueLocked,
    /// The queue has an exclusive consumer, or has consumers and an exclusive one was asked for.
    ConsumerExclusive,
    /// The queue or exchange is in use, and the request said only if unused.
    InUse,
    /// The queue holds messages, and the request said only if empty.
    NotEmpty,
    /// The name is reserved, or otherwise not allowed for this.
    NameReserved,
    /// The request has a value out of range or of the wrong form.
    Invalid,
    /// The queue is full and its policy refuses.
    QueueFull,
    /// The message is larger than the queue or the broker allows.
    MessageTooLarge,
    /// The journal's disk is full, or has less space left than its watermark; consumers can still drain.
    DiskFull,
    /// The broker holds more memory than its watermark; consumers can still drain.
    MemoryFull,
    /// The user may not do this.
    AccessDenied,
    /// Wrong user name or password.
    AuthenticationFailed,
    /// The partition has stopped: a failed disk or a broken invariant. Nothing it confirmed is lost.
    Unavailable,
    /// Not in this version of Baton.
    Unsupported,
}

impl RefusalCode {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::NamespaceNotFound
            | Self::QueueNotFound
            | Self::ExchangeNotFound
            | Self::BindingNotFound
            | Self::MessageNotFound => ErrorKind::NotFound,
            Self::LeaseLost
            | Self::ExchangeMismatch
            | Self::QueueLocked
            | Self::ConsumerExclusive
            | Self::InUse
            | Self::NotEmpty => ErrorKind::Conflict,
            Self::NameReserved | Self::AccessDenied | Self::AuthenticationFailed => ErrorKind::Denied,
            Self::Invalid | Self::Unsupported => ErrorKind::Invalid,
            Self::QueueFull | Self::MessageTooLarge | Self::DiskFull | Self::MemoryFull => ErrorKind::Limit,
            Self::Unavailable => ErrorKind::Retry,
        }
    }
}

/// A refusal: the code, and a sentence for a human that says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Refusal {
    /// What was refused.
    pub code: RefusalCode,
    /// For a human; names the thing and the remedy. Never parsed.
    pub text: String,
}

impl Refusal {
    /// A refusal with its text.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
