//! Errors of this protocol: what the ERROR frame says, and how refusals of the engine become such errors. Every one of
//! them ends the connection, as the specification wants it.

use std::borrow::Cow;

use baton_model::{Refusal, RefusalCode};

use crate::error::WireError;

/// What an ERROR frame says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    /// The `message` header: short, and stable, since programs look at it.
    pub(super) message: Cow<'static, str>,
    /// The body: what was wrong and what to do.
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(message: &'static str, detail: impl Into<String>) -> Self {
        Self { message: Cow::Borrowed(message), detail: detail.into() }
    }

    /// A frame lacks a header.
    pub(super) fn missing(frame: &str, header: &str) -> Self {
        Self::new("missing header", format!("{frame} needs the header '{header}'"))
    }

    /// A header's value is not what it should be.
    pub(super) fn header(name: &str, value: &[u8], must_be: &str) -> Self {
        let value = String::from_utf8_lossy(value);
        Self::new("invalid header", format!("header '{name}' is '{value}': it must be {must_be}"))
    }

    /// Something that brokers of this protocol have, and this one does not.
    pub(super) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new("not implemented", detail)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let message = match error {
            WireError::BodyTooLarge { .. } => word(RefusalCode::MessageTooLarge),
            _ => "malformed frame",
        };
        Self::new(message, error.to_string())
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        Self::new(word(refusal.code), refusal.text.clone())
    }
}

/// RabbitMQ's word for each refusal, which its clients know from the `message` header.
fn word(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::NamespaceNotFound => "not_allowed",
        RefusalCode::QueueNotFound
        | RefusalCode::ExchangeNotFound
        | RefusalCode::BindingNotFound
        | RefusalCode::MessageNotFound => "not_found",
        RefusalCode::QueueLocked => "resource_locked",
        RefusalCode::ConsumerExclusive
        | RefusalCode::NameReserved
        | RefusalCode::AccessDenied
        | RefusalCode::AuthenticationFailed => "access_refused",
        RefusalCode::NotEmpty
        | RefusalCode::InUse
        | RefusalCode::ExchangeMismatch
        | RefusalCode::LeaseLost
        | RefusalCode::Invalid => "precondition_failed",
        RefusalCode::QueueFull
        | RefusalCode::MessageTooLarge
        | RefusalCode::DiskFull
        | RefusalCode::MemoryFull => "resource_error",
        RefusalCode::Unsupported => "not_implemented",
        RefusalCode::Unavailable => "internal_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_word_and_keeps_its_remedy() {
        for (code, word) in [
            (RefusalCode::NamespaceNotFound, "not_allowed"),
            (RefusalCode::QueueNotFound, "not_found"),
            (RefusalCode::ExchangeNotFound, "not_found"),
            (RefusalCode::BindingNotFound, "not_found"),
            (RefusalCode::MessageNotFound, "not_found"),
            (RefusalCode::QueueLocked, "resource_locked"),
            (RefusalCode::ConsumerExclusive, "access_refused"),
            (RefusalCode::NameReserved, "access_refused"),
            (RefusalCode::AccessDenied, "access_refused"),
            (RefusalCode::AuthenticationFailed, "access_refused"),
            (RefusalCode::NotEmpty, "precondition_failed"),
            (RefusalCode::InUse, "precondition_failed"),
            (RefusalCode::ExchangeMismatch, "precondition_failed"),
            (RefusalCode::LeaseLost, "precondition_failed"),
            (RefusalCode::Invalid, "precondition_failed"),
            (RefusalCode::QueueFull, "resource_error"),
            (RefusalCode::MessageTooLarge, "resource_error"),
            (RefusalCode::DiskFull, "resource_error"),
            (RefusalCode::MemoryFull, "resource_error"),
            (RefusalCode::Unsupported, "not_implemented"),
            (RefusalCode::Unavailable, "internal_error"),
        ] {
            let failure = Failure::from(&Refusal::new(code, "do this"));
            assert_eq!((failure.message.as_ref(), failure.detail.as_str()), (word, "do this"));
        }
    }
}
