//! Exchanges and bindings: list, declare, delete, bind, unbind.

use axum::Json;
use axum::http::StatusCode;
use baton_model::request::CatalogOp;
use baton_model::route::{Binding, ExchangePolicy};
use baton_model::{Name, Refusal, RefusalCode, Reply};
use serde_json::{Value as JsonValue, json};

use super::Scope;
use super::scope::{Body, ExchangeScope};
use crate::error::{ApiError, ApiResult};
use crate::json::route::{BindingJson, ExchangeJson};

async fn all(scope: &mut Scope) -> ApiResult<Vec<(Name, ExchangePolicy, Vec<Binding>)>> {
    match scope.catalog(CatalogOp::Exchanges).await? {
        Reply::Exchanges(exchanges) => Ok(exchanges),
        _ => Err(ApiError::unexpected()),
    }
}

/// `GET …/exchanges`: all of them with their bindings.
pub(super) async fn list(mut scope: Scope) -> ApiResult<Json<JsonValue>> {
    let exchanges: Vec<JsonValue> = all(&mut scope)
        .await?
        .iter()
        .map(|(name, policy, bindings)| {
            let bindings: Vec<BindingJson> = bindings.iter().map(BindingJson::from).collect();
            json!({ "name": name.as_str(), "policy": ExchangeJson::from(policy), "bindings": bindings })
        })
        .collect();
    Ok(Json(json!({ "exchanges": exchanges })))
}

/// `GET …/bindings`
pub(super) async fn bindings(mut scope: Scope) -> ApiResult<Json<JsonValue>> {
    let exchanges = all(&mut scope).await?;
    let bindings: Vec<BindingJson> =
        exchanges.iter().flat_map(|(_, _, bindings)| bindings).map(BindingJson::from).collect();
    Ok(Json(json!({ "bindings": bindings })))
}

/// `PUT …/exchanges/{exchange}`
pub(super) async fn declare(
    ExchangeScope { mut scope, exchange: name }: ExchangeScope,
    Body(policy): Body<ExchangeJson>,
) -> ApiResult<(StatusCode, Json<JsonValue>)> {
    let wanted = ExchangePolicy::from(policy);
    let op = CatalogOp::DeclareExchange { name: name.clone(), policy: wanted.clone() };
    let Reply::Exchange { created, policy } = scope.catalog(op).await? else {
        return Err(ApiError::unexpected());
    };
    if !created && *policy != wanted {
        let text = format!("exchange {name} exists with other properties; delete it first");
        return Err(Refusal::new(RefusalCode::ExchangeMismatch, text).into());
    }
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "created": created, "policy": ExchangeJson::from(&*policy) }))))
}

/// `DELETE …/exchanges/{exchange}`
pub(super) async fn delete(
    ExchangeScope { mut scope, exchange: name }: ExchangeScope,
) -> ApiResult<Json<JsonValue>> {
    scope.catalog(CatalogOp::DeleteExchange { name, if_unused: false }).await?;
    Ok(Json(json!({})))
}

/// `PUT …/bindings`; doing it twice is doing it once.
pub(super) async fn bind(mut scope: Scope, Body(binding): Body<BindingJson>) -> ApiResult<Json<JsonValue>> {
    scope.catalog(CatalogOp::Bind(binding.into_binding()?)).await?;
    Ok(Json(json!({})))
}

/// `DELETE …/bindings` with the binding in the body.
pub(super) async fn unbind(mut scope: Scope, Body(binding): Body<BindingJson>) -> ApiResult<Json<JsonValue>> {
    scope.catalog(CatalogOp::Unbind(binding.into_binding()?)).await?;
    Ok(Json(json!({})))
}
