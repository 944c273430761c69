//! Errors of this protocol: a code, a text as RabbitMQ words it, and the method that failed; and how refusals of the
//! engine become such errors. Whether a channel or the connection closes follows from the code.

use baton_model::{Refusal, RefusalCode};

use crate::codes::ReplyCode;
use crate::error::WireError;

/// What closes a channel or the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) code: ReplyCode,
    pub(super) text: String,
    /// Class and method that failed; (0, 0): none, or not yet known.
    pub(super) method: (u16, u16),
}

impl Failure {
    pub(super) fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), method: (0, 0) }
    }

    pub(super) fn precondition(text: impl Into<String>) -> Self {
        Self::new(ReplyCode::PreconditionFailed, text)
    }

    /// The failing method, unless one is named already.
    pub(super) fn of(mut self, method: (u16, u16)) -> Self {
        if self.method == (0, 0) {
            self.method = method;
        }
        self
    }
}

impl From<&WireError> for Failure {
    fn from(error: &WireError) -> Self {
        Self::new(error.reply_code(), error.to_string()).of(error.failing_method())
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::from(&error)
    }
}

/// What a refusal of the engine is in this protocol. `name` and `vhost` are of the thing that the command was about.
pub(super) fn refused(refusal: &Refusal, name: &str, vhost: &str) -> Failure {
    let (code, text) = match refusal.code {
        RefusalCode::NamespaceNotFound => (ReplyCode::NotAllowed, format!("vhost {vhost} not found")),
        RefusalCode::QueueNotFound
        | RefusalCode::ExchangeNotFound
        | RefusalCode::BindingNotFound
        | RefusalCode::MessageNotFound => (ReplyCode::NotFound, refusal.text.clone()),
        RefusalCode::QueueLocked => (ReplyCode::ResourceLocked, locked_text(name, vhost)),
        RefusalCode::ConsumerExclusive => {
            (ReplyCode::AccessRefused, format!("queue '{name}' in vhost '{vhost}' in exclusive use"))
        }
        RefusalCode::NotEmpty => {
            (ReplyCode::PreconditionFailed, format!("queue '{name}' in vhost '{vhost}' not empty"))
        }
        RefusalCode::NameReserved | RefusalCode::AccessDenied | RefusalCode::AuthenticationFailed => {
            (ReplyCode::AccessRefused, refusal.text.clone())
        }
        RefusalCode::InUse
        | RefusalCode::ExchangeMismatch
        | RefusalCode::LeaseLost
        | RefusalCode::Invalid
        | RefusalCode::QueueFull
        | RefusalCode::MessageTooLarge
        | RefusalCode::DiskFull
        | RefusalCode::MemoryFull => (ReplyCode::PreconditionFailed, refusal.text.clone()),
        RefusalCode::Unsupported => (ReplyCode::NotImplemented, refusal.text.clone()),
        RefusalCode::Unavailable => (ReplyCode::InternalError, refusal.text.clone()),
    };
    Failure::new(code, text)
}

/// RabbitMQ's words for a queue that belongs to another connection.
pub(super) fn locked_text(name: &str, vhost: &str) -> String {
    format!(
        "cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
    )
}
