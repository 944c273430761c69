//! The one table of errors: what each is called in both protocols, its status, and whose fault it is.

use std::borrow::Cow;

use baton_model::{Refusal, RefusalCode};
use http::StatusCode;

/// Kinds of errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are the errors they are named after, as AWS documents them")]
pub enum Kind {
    QueueDoesNotExist,
    QueueNameExists,
    QueueDeletedRecently,
    PurgeQueueInProgress,
    ReceiptHandleIsInvalid,
    MessageNotInflight,
    EmptyBatchRequest,
    TooManyEntriesInBatchRequest,
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    InvalidBatchEntryId,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidParameterValue,
    InvalidMessageContents,
    InvalidAddress,
    MissingParameter,
    OverLimit,
    UnsupportedOperation,
    ResourceNotFound,
    RequestThrottled,
    InvalidAction,
    MalformedInput,
    MissingAuthenticationToken,
    IncompleteSignature,
    InvalidClientTokenId,
    SignatureDoesNotMatch,
    RequestExpired,
    AccessDenied,
    ServiceUnavailable,
    InternalFailure,
}

/// How a kind is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// JSON protocol: the `__type`.
    pub json: &'static str,
    /// Query protocol: the code. Clients of the JSON protocol get it in `x-amzn-query-error`, since their programs may still match on it.
    pub query: &'static str,
    /// HTTP status.
    pub status: StatusCode,
}

impl Kind {
    /// How it is shown.
    #[must_use]
    pub fn shown(self) -> Shown {
        let (json, query) = self.names();
        Shown { json, query, status: self.status() }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::MissingAuthenticationToken
            | Self::InvalidClientTokenId
            | Self::SignatureDoesNotMatch
            | Self::RequestExpired
            | Self::AccessDenied
            | Self::PurgeQueueInProgress
            | Self::OverLimit => StatusCode::FORBIDDEN,
            Self::ResourceNotFound => StatusCode::NOT_FOUND,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::QueueDoesNotExist => {
                ("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
            }
            Self::QueueNameExists => ("com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists"),
            Self::QueueDeletedRecently => {
                ("com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently")
            }
            Self::PurgeQueueInProgress => {
                ("com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress")
            }
            Self::ReceiptHandleIsInvalid => {
                ("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid")
            }
            Self::MessageNotInflight => {
                ("com.amazonaws.sqs#MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight")
            }
            Self::EmptyBatchRequest => {
                ("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest")
            }
            Self::TooManyEntriesInBatchRequest => (
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            ),
            Self::BatchEntryIdsNotDistinct => (
                "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            ),
            Self::BatchRequestTooLong => {
                ("com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong")
            }
            Self::InvalidBatchEntryId => {
                ("com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId")
            }
            Self::InvalidAttributeName => ("com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName"),
            Self::InvalidAttributeValue => {
                ("com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue")
            }
            Self::InvalidMessageContents => {
                ("com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents")
            }
            Self::InvalidAddress => ("com.amazonaws.sqs#InvalidAddress", "InvalidAddress"),
            Self::OverLimit => ("com.amazonaws.sqs#OverLimit", "OverLimit"),
            Self::UnsupportedOperation => {
                ("com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation")
            }
            Self::ResourceNotFound => {
                ("com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException")
            }
            Self::RequestThrottled => ("com.amazonaws.sqs#RequestThrottled", "RequestThrottled"),
            other => other.common_names(),
        }
    }

    /// Errors that are not SQS's own but every AWS service's.
    fn common_names(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidParameterValue => {
                ("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue")
            }
            Self::MissingParameter => {
                ("com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter")
            }
            Self::InvalidAction => ("com.amazon.coral.service#UnknownOperationException", "InvalidAction"),
            Self::MalformedInput => ("com.amazon.coral.service#SerializationException", "MalformedInput"),
            Self::MissingAuthenticationToken => {
                ("com.amazon.coral.service#MissingAuthenticationTokenException", "MissingAuthenticationToken")
            }
            Self::IncompleteSignature => {
                ("com.amazon.coral.service#IncompleteSignatureException", "IncompleteSignature")
            }
            Self::InvalidClientTokenId => {
                ("com.amazon.coral.service#UnrecognizedClientException", "InvalidClientTokenId")
            }
            Self::SignatureDoesNotMatch => {
                ("com.amazon.coral.service#InvalidSignatureException", "SignatureDoesNotMatch")
            }
            Self::RequestExpired => ("com.amazon.coral.service#RequestExpired", "RequestExpired"),
            Self::AccessDenied => ("com.amazon.coral.service#AccessDeniedException", "AccessDenied"),
            Self::ServiceUnavailable => {
                ("com.amazon.coral.service#ServiceUnavailableException", "ServiceUnavailable")
            }
            _ => ("com.amazon.coral.service#InternalFailure", "InternalFailure"),
        }
    }

    /// Whether the client is at fault.
    #[must_use]
    pub fn is_sender_fault(self) -> bool {
        self.status().is_client_error()
    }
}

/// An error with its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SqsError {
    /// What.
    pub kind: Kind,
    /// For a human, in AWS's words where programs are known to look at them.
    pub text: Cow<'static, str>,
}

impl SqsError {
    /// An error with its text.
    pub fn new(kind: Kind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn no_queue() -> Self {
        Self::new(Kind::QueueDoesNotExist, "The specified queue does not exist.")
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        let text = format!("The request must contain the parameter {parameter}.");
        Self::new(Kind::MissingParameter, text)
    }

    /// A value that is not allowed, in AWS's usual sentence.
    pub(crate) fn value(value: &str, parameter: &str, reason: &str) -> Self {
        let value: String = value.chars().take(100).collect();
        let text = format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}");
        Self::new(Kind::InvalidParameterValue, text)
    }

    pub(crate) fn receipt(handle: &str) -> Self {
        let handle: String = handle.chars().take(100).collect();
        let text = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
        Self::new(Kind::ReceiptHandleIsInvalid, text)
    }

    /// Every refusal of the broker as SQS says it.
    #[must_use]
    pub fn from_refusal(refusal: &Refusal) -> Self {
        let kind = match refusal.code {
            RefusalCode::QueueNotFound => return Self::no_queue(),
            RefusalCode::AccessDenied | RefusalCode::AuthenticationFailed | RefusalCode::NameReserved => {
                Kind::AccessDenied
            }
            RefusalCode::NamespaceNotFound => Kind::InvalidAddress,
            RefusalCode::LeaseLost | RefusalCode::MessageNotFound => Kind::MessageNotInflight,
            RefusalCode::MessageTooLarge | RefusalCode::Invalid => Kind::InvalidParameterValue,
            RefusalCode::QueueFull => Kind::OverLimit,
            RefusalCode::DiskFull | RefusalCode::MemoryFull | RefusalCode::Unavailable => {
                Kind::ServiceUnavailable
            }
            RefusalCode::QueueLocked
            | RefusalCode::ConsumerExclusive
            | RefusalCode::InUse
            | RefusalCode::NotEmpty
            | RefusalCode::Unsupported
            | RefusalCode::ExchangeNotFound
            | RefusalCode::BindingNotFound
            | RefusalCode::ExchangeMismatch => Kind::UnsupportedOperation,
        };
        Self::new(kind, refusal.text.clone())
    }
}
