//! `/healthz`: the process is alive. `/readyz`: it takes messages. Both without a login, for supervisors.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::Admin;

/// Alive: whoever can answer is.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready, or 503 with the reasons why not, one a line.
pub(crate) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    match admin.broker.not_ready() {
        reasons if reasons.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        reasons => {
            (StatusCode::SERVICE_UNAVAILABLE, reasons.iter().map(|reason| format!("{reason}\n")).collect())
        }
    }
}
