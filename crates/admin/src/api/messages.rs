//! Messages: peek, send, act on single ones.

use axum::Json;
use baton_model::limits::BROWSE_PAGE_MAX;
use baton_model::request::{InspectOp, MessageAction};
use baton_model::{Bytes, Name, PublishOutcome, Refusal, RefusalCode, Reply, Seq};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::Scope;
use super::queues::counted;
use super::scope::{Body, ExchangeScope, Params, QueueScope};
use crate::error::{ApiError, ApiResult, word};
use crate::json::message::{MessageJson, SendJson, state};

/// Most messages of one send request: they are all in memory at once.
const SEND_MESSAGES_MAX: usize = 10_000;
/// Shown of a body unless more is asked for: enough to know it by.
const BODY_BYTES_DEFAULT: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeekQuery {
    #[serde(default)]
    from: u64,
    #[serde(default = "page")]
    count_max: u32,
    #[serde(default)]
    state: String,
    body_bytes_max: Option<usize>,
}

fn page() -> u32 {
    100
}

/// `GET …/messages?from=&count_max=&state=&body_bytes_max=`: messages in place, undisturbed.
pub(super) async fn peek(
    QueueScope { mut scope, queue }: QueueScope,
    Params(query): Params<PeekQuery>,
) -> ApiResult<Json<JsonValue>> {
    let states = query
        .state
        .split(',')
        .filter(|word| !word.is_empty())
        .map(|word| {
            state::parse(word).ok_or_else(|| {
                ApiError::invalid(format!(
                    "{word:?} is not a state; use ready, scheduled, in-flight or deferred"
                ))
            })
        })
        .collect::<ApiResult<Vec<_>>>()?;
    let op = InspectOp::Browse {
        queue,
        from: Seq(query.from),
        count_max: query.count_max.clamp(1, BROWSE_PAGE_MAX),
        states,
        headers: Bytes::new(),
    };
    let Reply::Browsed { messages, next } = scope.inspect(op).await? else {
        return Err(ApiError::unexpected());
    };
    let body_bytes_max = query.body_bytes_max.unwrap_or(BODY_BYTES_DEFAULT);
    let messages: Vec<MessageJson> =
        messages.iter().map(|message| MessageJson::browsed(message, body_bytes_max)).collect();
    Ok(Json(json!({ "messages": messages, "next": next.map(|seq| seq.0) })))
}

/// One message, or many under `messages`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SendBody {
    Many { messages: Vec<JsonValue> },
    One(JsonValue),
}

/// `POST …/queues/{queue}/messages`
pub(super) async fn send_to_queue(
    QueueScope { mut scope, queue }: QueueScope,
    Body(body): Body<SendBody>,
) -> ApiResult<Json<JsonValue>> {
    send(&mut scope, Name::default(), queue, body).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyQuery {
    #[serde(default)]
    key: String,
}

/// `POST …/exchanges/{exchange}/messages?key=`
pub(super) async fn send_to_exchange(
    ExchangeScope { mut scope, exchange }: ExchangeScope,
    Params(query): Params<KeyQuery>,
    Body(body): Body<SendBody>,
) -> ApiResult<Json<JsonValue>> {
    send(&mut scope, exchange, query.key.into(), body).await
}

async fn send(scope: &mut Scope, exchange: Name, key: Name, body: SendBody) -> ApiResult<Json<JsonValue>> {
    let (messages, many) = match body {
        SendBody::Many { messages } => (messages, true),
        SendBody::One(message) => (vec![message], false),
    };
    if messages.len() > SEND_MESSAGES_MAX {
        return Err(ApiError::invalid(format!("at most {SEND_MESSAGES_MAX} messages in one request")));
    }
    let publishes = messages
        .into_iter()
        .map(|message| {
            let send: SendJson =
                serde_json::from_value(message).map_err(|error| ApiError::invalid(error.to_string()))?;
            Ok(send.into_publish(exchange.clone(), key.clone())?)
        })
        .collect::<ApiResult<Vec<_>>>()?;
    let outcomes = scope.publish(publishes).await?;
    if many {
        let refused =
            outcomes.iter().filter(|(outcome, _)| matches!(outcome, PublishOutcome::Refused(_))).count();
        let messages: Vec<JsonValue> =
            outcomes.into_iter().map(|(outcome, returned)| outcome_json(outcome, returned)).collect();
        return Ok(Json(json!({ "messages": messages, "refused": refused })));
    }
    match outcomes.into_iter().next() {
        Some((PublishOutcome::Refused(refusal), _)) => Err(refusal.into()),
        Some((outcome, returned)) => {
            if returned && exchange.is_empty() {
                let text = format!("there is no queue {key}; create it with `baton queue create {key}`");
                return Err(Refusal::new(RefusalCode::QueueNotFound, text).into());
            }
            Ok(Json(outcome_json(outcome, returned)))
        }
        None => Err(ApiError::unexpected()),
    }
}

/// What became of one message. `returned`: no queue took it.
fn outcome_json(outcome: PublishOutcome, returned: bool) -> JsonValue {
    match outcome {
        PublishOutcome::Accepted { queues, .. } if returned || queues == 0 => json!({ "queues": 0 }),
        PublishOutcome::Accepted { id, seq, queues } => {
            json!({ "id": id.to_string(), "seq": seq.0, "queues": queues })
        }
        PublishOutcome::Duplicate { id, seq } => {
            json!({ "id": id.to_string(), "seq": seq.0, "duplicate": true })
        }
        PublishOutcome::Refused(refusal) => {
            json!({ "error": { "code": word(refusal.code), "message": refusal.text } })
        }
    }
}

/// What to do to which messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActBody {
    seqs: Vec<u64>,
    action: ActionWord,
    /// Of `move`: the queue to move to.
    to: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActionWord {
    Delete,
    Move,
    Release,
    EndLease,
    DeadLetter,
}

/// `POST …/queues/{queue}/actions`
pub(super) async fn act(
    QueueScope { mut scope, queue }: QueueScope,
    Body(body): Body<ActBody>,
) -> ApiResult<Json<JsonValue>> {
    let action = match (body.action, body.to) {
        (ActionWord::Move, Some(to)) => {
            let to = Name::from(to);
            MessageAction::Move { to }
        }
        (ActionWord::Move, None) => return Err(ApiError::invalid("move needs \"to\": the queue to move to")),
        (_, Some(_)) => return Err(ApiError::invalid("only move has a \"to\"")),
        (ActionWord::Delete, None) => MessageAction::Delete,
        (ActionWord::Release, None) => MessageAction::Release,
        (ActionWord::EndLease, None) => MessageAction::EndLease,
        (ActionWord::DeadLetter, None) => MessageAction::DeadLetter,
    };
    let seqs = body.seqs.into_iter().map(Seq).collect();
    counted(&scope.inspect(InspectOp::Act { queue, seqs, action }).await?)
}
