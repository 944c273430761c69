//! What a refused HTTP request gets: a status by the kind of the refusal, and `{"code", "message"}` as JSON.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use baton_model::{ErrorKind, Refusal, RefusalCode};
use serde_json::json;

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiError(pub Refusal);

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl ApiError {
    /// A refusal with its text.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self(Refusal::new(code, text))
    }

    /// The request is wrong.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(RefusalCode::Invalid, text)
    }

    /// An answer of a kind that the request cannot have.
    pub fn unexpected() -> Self {
        Self::new(RefusalCode::Unavailable, "the engine gave an answer of the wrong kind; report this")
    }
}

/// The HTTP status of a refusal.
#[must_use]
pub fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::AuthenticationFailed => StatusCode::UNAUTHORIZED,
        RefusalCode::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::DiskFull | RefusalCode::MemoryFull => StatusCode::INSUFFICIENT_STORAGE,
        RefusalCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
        other => match other.kind() {
            ErrorKind::Retry | ErrorKind::Fenced => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Limit => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Corrupt | ErrorKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

/// The word for a refusal that programs compare: the code's name in kebab case. Part of the API.
#[must_use]
pub fn word(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::NamespaceNotFound => "namespace-not-found",
        RefusalCode::QueueNotFound => "queue-not-found",
        RefusalCode::ExchangeNotFound => "exchange-not-found",
        RefusalCode::BindingNotFound => "binding-not-found",
        RefusalCode::MessageNotFound => "message-not-found",
        RefusalCode::LeaseLost => "lease-lost",
        RefusalCode::ExchangeMismatch => "exchange-mismatch",
        RefusalCode::QueueLocked => "queue-locked",
        RefusalCode::ConsumerExclusive => "consumer-exclusive",
        RefusalCode::InUse => "in-use",
        RefusalCode::NotEmpty => "not-empty",
        RefusalCode::NameReserved => "name-reserved",
        RefusalCode::Invalid => "invalid",
        RefusalCode::QueueFull => "queue-full",
        RefusalCode::MessageTooLarge => "message-too-large",
        RefusalCode::DiskFull => "disk-full",
        RefusalCode::MemoryFull => "memory-full",
        RefusalCode::AccessDenied => "access-denied",
        RefusalCode::AuthenticationFailed => "authentication-failed",
        RefusalCode::Unavailable => "unavailable",
        RefusalCode::Unsupported => "unsupported",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Refusal { code, text } = self.0;
        let mut response =
            (status(code), Json(json!({ "code": word(code), "message": text }))).into_response();
        if code == RefusalCode::AuthenticationFailed {
            let challenge = HeaderValue::from_static("Basic realm=\"baton\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_what_the_caller_can_do() {
        for (code, expected) in [
            (RefusalCode::QueueNotFound, 404),
            (RefusalCode::QueueFull, 429),
            (RefusalCode::DiskFull, 507),
            (RefusalCode::MemoryFull, 507),
            (RefusalCode::MessageTooLarge, 413),
            (RefusalCode::LeaseLost, 409),
            (RefusalCode::Invalid, 400),
            (RefusalCode::Unsupported, 501),
            (RefusalCode::AccessDenied, 403),
            (RefusalCode::Unavailable, 503),
        ] {
            assert_eq!(status(code).as_u16(), expected, "{code:?}");
        }
    }

    #[test]
    fn a_failed_login_is_challenged() {
        let response = ApiError::new(RefusalCode::AuthenticationFailed, "no").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
