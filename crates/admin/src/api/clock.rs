//! `POST /admin/clock/advance`: moves the broker's time forward, with `--test-clock` only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_model::RefusalCode;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::scope::{Body, Caller};
use crate::Admin;
use crate::error::{ApiError, ApiResult};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdvanceBody {
    ms: u64,
}

/// Answers with the time it is then. Whatever is due by then is due at once.
pub(super) async fn advance(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Body(body): Body<AdvanceBody>,
) -> ApiResult<Json<JsonValue>> {
    caller.administrator()?;
    if !admin.broker.advance_clock_ms(body.ms) {
        let text = "the broker runs on the machine's clock; start it with --test-clock to move its time";
        return Err(ApiError::new(RefusalCode::Unsupported, text));
    }
    Ok(Json(json!({ "now_ms": admin.clock.now().0 })))
}
