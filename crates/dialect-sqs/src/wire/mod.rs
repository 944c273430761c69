//! Both protocols: which one a request speaks, what action it asks for, and its parameters as [`crate::input`] reads them.

mod query;
mod text;
mod writer;

use std::borrow::Cow;

use baton_dialect::http::HttpRequest;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderName, Method, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Kind, SqsError};
pub use query::parameters;
pub use text::Text;
pub use writer::{Record, Writer};

const TARGET: &str = "x-amz-target";
const TARGET_PREFIX: &str = "AmazonSQS.";
const FORM: &str = "application/x-www-form-urlencoded";

/// The two protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// AWS JSON 1.0.
    Json,
    /// AWS JSON 1.1, which some clients send; it is answered in kind.
    Json11,
    /// Query parameters, XML answers.
    Query,
}

/// Whether a request is for SQS: the target says so, or it goes to the endpoint itself, or to the URL of a queue.
#[must_use]
pub fn claims(head: &Parts) -> bool {
    if head.headers.get(TARGET).is_some_and(|target| target.as_bytes().starts_with(TARGET_PREFIX.as_bytes()))
    {
        return true;
    }
    let path = head.uri.path();
    if path == "/" {
        return head.method == Method::POST
            || head
                .uri
                .query()
                .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    first == "queue" || first.len() == 12 && first.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a request asks for.
#[derive(Debug)]
pub struct Call<'a> {
    /// How it asks, and wants to be answered.
    pub protocol: Protocol,
    /// The action's name, as sent.
    pub action: Cow<'a, str>,
    parameters: Parameters<'a>,
    /// The queue's URL if only the request's own path says it.
    path: Option<&'a str>,
}

#[derive(Debug)]
enum Parameters<'a> {
    Json(&'a [u8]),
    Query(Value),
}

impl<'a> Call<'a> {
    /// The protocol of a request, whatever may be wrong with it: errors need it too.
    #[must_use]
    pub fn protocol(head: &Parts) -> Protocol {
        let content_type = head.headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        if content_type.starts_with(b"application/x-amz-json-1.1") {
            return Protocol::Json11;
        }
        if head.headers.contains_key(TARGET) || content_type.starts_with(b"application/x-amz-json") {
            return Protocol::Json;
        }
        Protocol::Query
    }

    /// Reads what a request asks for; its parameters are looked at by [`Call::input`].
    ///
    /// # Errors
    /// No action, or parameters that cannot be taken apart.
    pub fn read(request: &'a HttpRequest) -> Result<Self, SqsError> {
        let protocol = Self::protocol(&request.head);
        let path = Some(request.path()).filter(|path| path.len() > 1);
        if protocol != Protocol::Query {
            let target = request.header(TARGET).and_then(|target| target.strip_prefix(TARGET_PREFIX));
            let action = target.ok_or_else(|| {
                SqsError::new(
                    Kind::InvalidAction,
                    "The header X-Amz-Target must name an action, as in AmazonSQS.SendMessage.",
                )
            })?;
            return Ok(Self {
                protocol,
                action: action.into(),
                parameters: Parameters::Json(&request.body),
                path,
            });
        }
        let is_form = request
            .header(CONTENT_TYPE.as_str())
            .is_none_or(|kind| kind.starts_with(FORM) || kind.is_empty());
        let body = if is_form && *request.method() == Method::POST { &*request.body } else { &[] };
        let (action, value) = parameters(request.query().as_bytes(), body)?;
        let action = action.ok_or_else(|| SqsError::missing("Action"))?;
        Ok(Self { protocol, action: action.into(), parameters: Parameters::Query(value), path })
    }

    /// The parameters, in the shape of the action.
    ///
    /// # Errors
    /// They do not have that shape.
    pub fn input<T: Deserialize<'a>>(&'a self) -> Result<T, SqsError> {
        let read = match &self.parameters {
            Parameters::Json([]) => serde_json::from_slice(b"{}"),
            Parameters::Json(body) => serde_json::from_slice(body),
            Parameters::Query(value) => T::deserialize(value),
        };
        read.map_err(|error| {
            SqsError::new(Kind::MalformedInput, format!("The request cannot be read: {error}"))
        })
    }

    /// The URL of the queue it is about: its own parameter, or else the path it was sent to.
    pub fn queue_url(&self, parameter: &'a Option<Text<'a>>) -> Result<&'a str, SqsError> {
        match parameter {
            Some(url) if !url.is_empty() => Ok(url),
            _ => self
                .path
                .filter(|_| self.protocol == Protocol::Query)
                .ok_or_else(|| SqsError::missing("QueueUrl")),
        }
    }
}

impl Protocol {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::Query => "text/xml",
        })
    }

    /// A response with a body that a [`Writer`] made.
    #[must_use]
    pub fn response(self, body: Vec<u8>, request_id: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type());
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
        }
        response
    }

    /// The response that says an error.
    #[must_use]
    pub fn error(self, error: &SqsError, request_id: &str) -> Response<Bytes> {
        let shown = error.kind.shown();
        let fault = if error.kind.is_sender_fault() { "Sender" } else { "Receiver" };
        let text = match (self, error.kind) {
            // The older protocol has older words for it.
            (Self::Query, Kind::QueueDoesNotExist) => {
                "The specified queue does not exist for this wsdl version."
            }
            _ => &error.text,
        };
        let body = writer::error(self, &shown, fault, text, request_id);
        let mut response = self.response(body, request_id);
        *response.status_mut() = shown.status;
        if self != Self::Query
            && let Ok(code) = HeaderValue::from_str(&format!("{};{fault}", shown.query))
        {
            response.headers_mut().insert(HeaderName::from_static("x-amzn-query-error"), code);
        }
        response
    }
}
