//! Receiving over HTTP: messages are taken under a timed lease, so that an answer that gets lost on the way costs
//! nothing but the lease's time. `settle` says what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use baton_model::limits::FETCH_MAX;
use baton_model::request::{Fetch, FetchSelect, LeaseMode};
use baton_model::{DeliveryRef, LinkId, Name, Outcome, Seq, Token};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::scope::{Body, QueueScope};
use crate::Admin;
use crate::error::{ApiError, ApiResult};
use crate::json::message::{MessageJson, parse_receipt, receipt};

/// Longest wait of one request: proxies cut off what waits longer.
const WAIT_MS_MAX: u64 = 60_000;

/// How to receive.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReceiveBody {
    count_max: u32,
    wait_ms: u64,
    lease_ms: Option<u64>,
    settle: SettleWord,
    /// Take these (deferred or waiting) messages instead of the next ones.
    seqs: Vec<u64>,
}

impl Default for ReceiveBody {
    fn default() -> Self {
        Self { count_max: 1, wait_ms: 0, lease_ms: None, settle: SettleWord::Lease, seqs: Vec::new() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SettleWord {
    /// Leave them leased; the answer has receipts to settle by.
    Lease,
    /// Complete them before answering: at most once.
    Complete,
    /// Give them back before answering.
    Release,
}

/// `POST …/queues/{queue}/receive`
pub(super) async fn receive(
    State(admin): State<Arc<Admin>>,
    QueueScope { mut scope, queue }: QueueScope,
    Body(body): Body<ReceiveBody>,
) -> ApiResult<Json<JsonValue>> {
    let wait_ms = if admin.is_closing() { 0 } else { body.wait_ms.min(WAIT_MS_MAX) };
    let fetch = Fetch {
        token: Token(0),
        link: LinkId(0),
        queue: queue.clone(),
        select: match body.seqs.is_empty() {
            true => FetchSelect::Next,
            false => FetchSelect::Seqs(body.seqs.into_iter().map(Seq).collect()),
        },
        count_max: body.count_max.clamp(1, FETCH_MAX),
        lease: LeaseMode::Timed(body.lease_ms),
        wait_until: (wait_ms > 0).then(|| admin.clock.now().after_ms(wait_ms)),
        label: format!("http ({})", scope.user()).into(),
    };
    let fetched = scope.fetch(fetch, Duration::from_millis(wait_ms)).await?;
    let leases: Vec<DeliveryRef> = fetched.deliveries.iter().map(|delivery| delivery.at).collect();
    let outcome = match body.settle {
        SettleWord::Lease => None,
        SettleWord::Complete => Some(Outcome::Complete),
        SettleWord::Release => Some(Outcome::Release { failed: false, delay_ms: Some(0) }),
    };
    if let (Some(outcome), false) = (outcome, leases.is_empty()) {
        scope.settle(&queue, &leases, outcome).await?;
    }
    let messages: Vec<MessageJson> = fetched.deliveries.iter().map(MessageJson::delivered).collect();
    Ok(Json(json!({ "messages": messages, "remaining": fetched.remaining })))
}

/// How to settle what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleBody {
    receipts: Vec<String>,
    outcome: OutcomeWord,
    /// Of `release`: counts as a failed attempt.
    #[serde(default)]
    failed: bool,
    /// Of `release`: offered again only after so long; left out: as the queue's retry policy says.
    delay_ms: Option<u64>,
    /// Of `reject`: kept in the message's history.
    reason: Option<String>,
    /// Of `extend`: the new length of the lease from now.
    lease_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeWord {
    Complete,
    Release,
    Reject,
    Defer,
    Extend,
}

/// `POST …/queues/{queue}/settle`
pub(super) async fn settle(
    QueueScope { mut scope, queue }: QueueScope,
    Body(body): Body<SettleBody>,
) -> ApiResult<Json<JsonValue>> {
    let leases = leases(&body.receipts)?;
    let outcome = match body.outcome {
        OutcomeWord::Complete => Outcome::Complete,
        OutcomeWord::Release => Outcome::Release { failed: body.failed, delay_ms: body.delay_ms },
        OutcomeWord::Reject => Outcome::Reject { reason: body.reason.map(Name::from) },
        OutcomeWord::Defer => Outcome::Defer,
        OutcomeWord::Extend => match body.lease_ms {
            Some(lease_ms) => Outcome::Extend { lease_ms },
            None => {
                return Err(ApiError::invalid(
                    "extend needs \"lease_ms\": how long the lease lasts from now",
                ));
            }
        },
    };
    let stale = scope.settle(&queue, &leases, outcome).await?;
    let settled = leases.len().saturating_sub(stale.len());
    let stale: Vec<String> = stale.into_iter().map(receipt).collect();
    Ok(Json(json!({ "settled": settled, "stale": stale })))
}

fn leases(receipts: &[String]) -> ApiResult<Vec<DeliveryRef>> {
    if receipts.is_empty() || receipts.len() > usize::try_from(FETCH_MAX).unwrap_or(usize::MAX) {
        return Err(ApiError::invalid(format!("receipts: 1 to {FETCH_MAX} of them")));
    }
    receipts
        .iter()
        .map(|text| {
            parse_receipt(text).ok_or_else(|| {
                ApiError::invalid(format!(
                    "{text:?} is not a receipt; use what `receive` gave with the message"
                ))
            })
        })
        .collect()
}
