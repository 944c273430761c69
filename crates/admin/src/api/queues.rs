//! Queues: list, show, create, change, delete, purge, explain.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use baton_model::event::QueueInfo;
use baton_model::limits::BROWSE_PAGE_MAX;
use baton_model::request::{CatalogOp, InspectOp};
use baton_model::{Name, Refusal, RefusalCode, Reply, Seq};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::Scope;
use super::scope::{Body, Caller, Params, QueueScope};
use crate::error::{ApiError, ApiResult};
use crate::json::policy::PolicyJson;
use crate::json::queue::QueueJson;
use crate::{Admin, shown};

/// `GET /api/v1/namespaces`
pub(super) async fn namespaces(State(admin): State<Arc<Admin>>, _caller: Caller) -> Json<JsonValue> {
    let namespaces: Vec<&str> = admin.namespaces().map(shown).collect();
    Json(json!({ "namespaces": namespaces }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    #[serde(default = "page")]
    count_max: u32,
}

fn page() -> u32 {
    100
}

/// `GET …/queues?prefix=&after=&count_max=`: in order of names; `next` is the `after` of the next page.
pub(super) async fn list(mut scope: Scope, Params(query): Params<ListQuery>) -> ApiResult<Json<JsonValue>> {
    let count_max = query.count_max.clamp(1, BROWSE_PAGE_MAX);
    let op = CatalogOp::Queues { after: query.after.map(Name::from), prefix: query.prefix.into(), count_max };
    let Reply::Queues(queues) = scope.catalog(op).await? else { return Err(ApiError::unexpected()) };
    let full = queues.len() >= usize::try_from(count_max).unwrap_or(usize::MAX);
    let next = queues.last().filter(|_| full).map(|queue| queue.name.to_string());
    let queues: Vec<QueueJson> = queues.iter().map(QueueJson::from).collect();
    Ok(Json(json!({ "queues": queues, "next": next })))
}

/// `GET …/queues/{queue}`
pub(super) async fn show(QueueScope { mut scope, queue }: QueueScope) -> ApiResult<Json<QueueJson>> {
    Ok(Json(QueueJson::from(&*info(&mut scope, queue).await?)))
}

/// What a queue is now.
pub(super) async fn info(scope: &mut Scope, name: Name) -> ApiResult<Box<QueueInfo>> {
    match scope.catalog(CatalogOp::Queue { name }).await? {
        Reply::Queue { info, .. } => Ok(info),
        _ => Err(ApiError::unexpected()),
    }
}

/// `PUT …/queues/{queue}`: creates a queue with the policy in the body. A queue that exists with that policy is left as it is.
pub(super) async fn create(
    QueueScope { mut scope, queue }: QueueScope,
    Body(policy): Body<PolicyJson>,
) -> ApiResult<(StatusCode, Json<JsonValue>)> {
    let policy = policy.into_policy()?;
    let op = CatalogOp::DeclareQueue { name: Some(queue.clone()), policy: Box::new(policy.clone()) };
    let Reply::Queue { created, info } = scope.catalog(op).await? else {
        return Err(ApiError::unexpected());
    };
    if !created && info.policy != policy {
        let text = format!(
            "queue {queue} exists with another policy; change it with PATCH, or delete it first. \
             `baton queue show {queue}` prints what it has"
        );
        return Err(Refusal::new(RefusalCode::InUse, text).into());
    }
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "created": created, "queue": QueueJson::from(&*info) }))))
}

/// `PATCH …/queues/{queue}`: lays the fields of the body over the queue's policy; `null` takes one away.
pub(super) async fn change(
    QueueScope { mut scope, queue }: QueueScope,
    Body(patch): Body<JsonValue>,
) -> ApiResult<Json<QueueJson>> {
    let before = info(&mut scope, queue.clone()).await?;
    let mut merged = serde_json::to_value(PolicyJson::from(&before.policy))
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    merge(&mut merged, patch);
    let policy: PolicyJson =
        serde_json::from_value(merged).map_err(|error| ApiError::invalid(error.to_string()))?;
    let mut policy = policy.into_policy()?;
    policy.exclusive = before.policy.exclusive;
    let op = CatalogOp::UpdateQueue { name: queue.clone(), policy: Box::new(policy) };
    scope.catalog(op).await?;
    Ok(Json(QueueJson::from(&*info(&mut scope, queue).await?)))
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut JsonValue, patch: JsonValue) {
    let JsonValue::Object(fields) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in fields {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(JsonValue::Null), value);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteQuery {
    #[serde(default)]
    if_unused: bool,
    #[serde(default)]
    if_empty: bool,
}

/// `DELETE …/queues/{queue}?if_unused=&if_empty=`
pub(super) async fn delete(
    QueueScope { mut scope, queue }: QueueScope,
    Params(query): Params<DeleteQuery>,
) -> ApiResult<Json<JsonValue>> {
    let op = CatalogOp::DeleteQueue { name: queue, if_unused: query.if_unused, if_empty: query.if_empty };
    counted(&scope.catalog(op).await?)
}

/// `POST …/queues/{queue}/purge`
pub(super) async fn purge(QueueScope { mut scope, queue }: QueueScope) -> ApiResult<Json<JsonValue>> {
    counted(&scope.catalog(CatalogOp::PurgeQueue { name: queue }).await?)
}

/// An answer that is a number of messages.
pub(super) fn counted(reply: &Reply) -> ApiResult<Json<JsonValue>> {
    match reply {
        Reply::Count(messages) => Ok(Json(json!({ "messages": messages }))),
        _ => Err(ApiError::unexpected()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    seq: Option<u64>,
}

/// `GET …/queues/{queue}/explain?seq=`
pub(super) async fn explain(
    QueueScope { mut scope, queue }: QueueScope,
    Params(query): Params<ExplainQuery>,
) -> ApiResult<Json<JsonValue>> {
    match scope.inspect(InspectOp::Explain { queue, seq: query.seq.map(Seq) }).await? {
        Reply::Explained(reasons) => Ok(Json(json!({ "reasons": reasons }))),
        _ => Err(ApiError::unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let mut policy = json!({ "ttl_ms": 5, "capacity": { "messages_max": 1, "overflow": "refuse" } });
        merge(
            &mut policy,
            json!({ "ttl_ms": null, "capacity": { "messages_max": 2 }, "keys": { "mode": "fair" } }),
        );
        let expected =
            json!({ "capacity": { "messages_max": 2, "overflow": "refuse" }, "keys": { "mode": "fair" } });
        assert_eq!(policy, expected);
    }
}
