//! Who asks, and where: every handler takes one of these, so that none can forget to authenticate. What a handler asks
//! of the engine goes through a [`Scope`], which asks the gate first, as the connection driver does for every dialect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request as HttpRequest};
use axum::http::StatusCode;
use axum::http::request::Parts;
use baton_access::{Gate, Grant};
use baton_model::event::Fetched;
use baton_model::limits::NAME_BYTES_MAX;
use baton_model::request::{CatalogOp, Fetch, InspectOp};
use baton_model::{DeliveryRef, Name, Outcome, Publish, PublishOutcome, RefusalCode, Reply, Request, Token};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Admin;
use crate::auth::Credentials;
use crate::client::Client;
use crate::error::{ApiError, ApiResult};

/// What an administrator is known by.
const ADMINISTRATOR: &str = "administrator";

/// Somebody who has proved who they are.
pub(crate) struct Caller(Grant);

impl Caller {
    /// Their name.
    pub(crate) fn user(&self) -> &str {
        self.0.user().name()
    }

    /// Refuses everybody but administrators.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn administrator(&self) -> ApiResult<()> {
        if self.0.user().has_tag(ADMINISTRATOR) {
            return Ok(());
        }
        let text = format!("user {} is no administrator; give it tags = [\"{ADMINISTRATOR}\"]", self.user());
        Err(ApiError::new(RefusalCode::AccessDenied, text))
    }
}

/// Whether a request comes from this machine.
fn is_loopback(parts: &Parts) -> bool {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .is_some_and(|info| info.0.ip().to_canonical().is_loopback())
}

impl FromRequestParts<Arc<Admin>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> ApiResult<Self> {
        let loopback = is_loopback(parts);
        let credentials = match Credentials::from_headers(&parts.headers)? {
            Some(credentials) => credentials,
            None if loopback && admin.options.guest => Credentials::guest(),
            None => {
                let text = "this needs a user and a password (HTTP Basic authentication)";
                return Err(ApiError::new(RefusalCode::AuthenticationFailed, text));
            }
        };
        let Credentials { user, password } = credentials;
        match admin.broker.login(user.into(), password.into(), loopback).await {
            Ok(grant) => Ok(Self(grant)),
            Err(refusal) if refusal.code == RefusalCode::AuthenticationFailed => {
                tracing::warn!(reason = refusal.text, "a login over HTTP failed");
                Err(ApiError::new(RefusalCode::AuthenticationFailed, "wrong user or password"))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Somebody who may read figures: anybody on this machine, callers from elsewhere.
pub(crate) struct MetricsReader;

impl FromRequestParts<Arc<Admin>> for MetricsReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> ApiResult<Self> {
        if !is_loopback(parts) {
            Caller::from_request_parts(parts, admin).await?;
        }
        Ok(Self)
    }
}

/// A caller and the namespace they act in.
pub(crate) struct Scope {
    caller: Caller,
    gate: Gate,
    client: Arc<Client>,
}

impl Scope {
    /// The caller's name.
    pub(crate) fn user(&self) -> &str {
        self.caller.user()
    }

    /// Asks for something about queues, exchanges or bindings.
    ///
    /// # Errors
    /// The gate's or the engine's refusal.
    pub(crate) async fn catalog(&mut self, op: CatalogOp) -> ApiResult<Reply> {
        self.reply(Request::Catalog { token: Token(0), op: Box::new(op) }).await
    }

    /// Asks for something about messages in place.
    ///
    /// # Errors
    /// The gate's or the engine's refusal.
    pub(crate) async fn inspect(&mut self, op: InspectOp) -> ApiResult<Reply> {
        self.reply(Request::Inspect { token: Token(0), op: Box::new(op) }).await
    }

    async fn reply(&mut self, request: Request) -> ApiResult<Reply> {
        self.gate.check(&request)?;
        Ok(self.client.reply(request).await?)
    }

    /// Sends messages; all are allowed or none is sent.
    ///
    /// # Errors
    /// The gate's refusal, or that no answer came.
    pub(crate) async fn publish(
        &mut self,
        publishes: Vec<Publish>,
    ) -> ApiResult<Vec<(PublishOutcome, bool)>> {
        let requests: Vec<Request> =
            publishes.into_iter().map(|publish| Request::Publish(Box::new(publish))).collect();
        requests.iter().try_for_each(|request| self.gate.check(request))?;
        Ok(self.client.publish(requests).await?)
    }

    /// Takes messages once.
    ///
    /// # Errors
    /// The gate's or the engine's refusal.
    pub(crate) async fn fetch(&mut self, fetch: Fetch, wait: Duration) -> ApiResult<Fetched> {
        let request = Request::Fetch(Box::new(fetch));
        self.gate.check(&request)?;
        Ok(self.client.fetch(request, wait).await?)
    }

    /// Settles deliveries of one queue. A receipt is only text, so the gate is asked whether the caller may read there, and
    /// the receipts must be of that queue.
    ///
    /// # Errors
    /// The gate's refusal, `LeaseLost` for receipts of other queues, or that no answer came.
    pub(crate) async fn settle(
        &mut self,
        queue: &Name,
        leases: &[DeliveryRef],
        outcome: Outcome,
    ) -> ApiResult<Vec<DeliveryRef>> {
        let reading = InspectOp::Explain { queue: queue.clone(), seq: None };
        self.gate.check(&Request::Inspect { token: Token(0), op: Box::new(reading) })?;
        let Reply::Queue { info, .. } = self.catalog(CatalogOp::Queue { name: queue.clone() }).await? else {
            return Err(ApiError::unexpected());
        };
        if leases.iter().any(|lease| lease.queue != info.id) {
            let text = format!(
                "a receipt is of another queue than {queue}, or of one of that name that was deleted"
            );
            return Err(ApiError::new(RefusalCode::LeaseLost, text));
        }
        Ok(self.client.settle(leases, outcome).await?)
    }
}

impl FromRequestParts<Arc<Admin>> for Scope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> ApiResult<Self> {
        #[derive(Deserialize)]
        struct Segments {
            namespace: String,
        }
        let caller = Caller::from_request_parts(parts, admin).await?;
        let Segments { namespace } = segments(parts, admin).await?;
        let mut gate = Gate::new(Arc::clone(&admin.directory));
        gate.authenticated(caller.0.clone());
        gate.check(&Request::Open {
            token: Token(0),
            namespace: name("namespace", namespace)?,
            label: String::new(),
        })?;
        let client = admin.client(gate.namespace()).await?;
        Ok(Self { caller, gate, client })
    }
}

/// A [`Scope`] and a queue in it.
pub(crate) struct QueueScope {
    pub(crate) scope: Scope,
    pub(crate) queue: Name,
}

impl FromRequestParts<Arc<Admin>> for QueueScope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> ApiResult<Self> {
        #[derive(Deserialize)]
        struct Segments {
            queue: String,
        }
        let scope = Scope::from_request_parts(parts, admin).await?;
        let Segments { queue } = segments(parts, admin).await?;
        Ok(Self { scope, queue: name("queue", queue)? })
    }
}

/// A [`Scope`] and an exchange in it.
pub(crate) struct ExchangeScope {
    pub(crate) scope: Scope,
    pub(crate) exchange: Name,
}

impl FromRequestParts<Arc<Admin>> for ExchangeScope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> ApiResult<Self> {
        #[derive(Deserialize)]
        struct Segments {
            exchange: String,
        }
        let scope = Scope::from_request_parts(parts, admin).await?;
        let Segments { exchange } = segments(parts, admin).await?;
        Ok(Self { scope, exchange: name("exchange", exchange)? })
    }
}

async fn segments<T: DeserializeOwned + Send>(parts: &mut Parts, admin: &Arc<Admin>) -> ApiResult<T> {
    let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, admin).await;
    path.map(|path| path.0).map_err(|error| ApiError::invalid(error.body_text()))
}

/// A name from a path, within the length that names have.
///
/// # Errors
/// `Invalid`.
fn name(what: &str, text: String) -> ApiResult<Name> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(ApiError::invalid(format!("a {what}'s name has 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(Name::from(text))
}

/// What stands behind the `?` of a request.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        match Query::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(error) => Err(ApiError::invalid(error.body_text())),
        }
    }
}

/// JSON in a request's body, also where the client did not say that it is JSON. No body is an empty object.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: HttpRequest, state: &S) -> ApiResult<Self> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let text =
                    "the body is too large; send fewer messages at once, or raise limits.message_bytes_max";
                return ApiError::new(RefusalCode::MessageTooLarge, text);
            }
            ApiError::invalid(error.body_text())
        })?;
        let bytes = if bytes.is_empty() { axum::body::Bytes::from_static(b"{}") } else { bytes };
        let json: Result<Json<T>, JsonRejection> = Json::from_bytes(&bytes);
        json.map(|json| Self(json.0)).map_err(|error| ApiError::invalid(error.body_text()))
    }
}
