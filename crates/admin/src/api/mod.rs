//! The JSON API under `/api/v1` and `/admin`. One file per thing that is acted on; each handler authenticates by taking
//! a [`Scope`], asks for a permission, and sends one request to the engine.

mod clock;
mod exchanges;
mod messages;
mod queues;
mod receive;
mod scope;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use baton_model::RefusalCode;

pub(crate) use scope::{MetricsReader, Scope};

use crate::Admin;
use crate::error::ApiError;

/// JSON around a body: base64 needs a third more, escapes may need more.
pub(crate) const JSON_OVERHEAD: u64 = 2;

/// All routes of the API.
pub(crate) fn routes(admin: &Arc<Admin>) -> Router<Arc<Admin>> {
    let queue = "/api/v1/namespaces/{namespace}/queues/{queue}";
    let exchange = "/api/v1/namespaces/{namespace}/exchanges/{exchange}";
    let under = |path: &str, tail: &str| format!("{path}/{tail}");
    Router::new()
        .route("/api/v1/namespaces", get(queues::namespaces))
        .route("/api/v1/namespaces/{namespace}/queues", get(queues::list))
        .route(queue, get(queues::show).put(queues::create).patch(queues::change).delete(queues::delete))
        .route(&under(queue, "purge"), post(queues::purge))
        .route(&under(queue, "explain"), get(queues::explain))
        .route(&under(queue, "messages"), get(messages::peek).post(messages::send_to_queue))
        .route(&under(queue, "actions"), post(messages::act))
        .route(&under(queue, "receive"), post(receive::receive))
        .route(&under(queue, "settle"), post(receive::settle))
        .route("/api/v1/namespaces/{namespace}/exchanges", get(exchanges::list))
        .route(exchange, put(exchanges::declare).delete(exchanges::delete))
        .route(&under(exchange, "messages"), post(messages::send_to_exchange))
        .route(
            "/api/v1/namespaces/{namespace}/bindings",
            get(exchanges::bindings).put(exchanges::bind).delete(exchanges::unbind),
        )
        .route("/admin/clock/advance", post(clock::advance))
        .layer(DefaultBodyLimit::max(admin.body_bytes_max()))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown() -> (axum::http::StatusCode, ApiError) {
    (
        axum::http::StatusCode::NOT_FOUND,
        ApiError::invalid("there is nothing here; the API begins with /api/v1/namespaces"),
    )
}

async fn wrong_method() -> (axum::http::StatusCode, ApiError) {
    let text = "this address does not know that method; docs/features/observability.md lists what it knows";
    (axum::http::StatusCode::METHOD_NOT_ALLOWED, ApiError::new(RefusalCode::Unsupported, text))
}
