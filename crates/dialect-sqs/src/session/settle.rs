//! `DeleteMessage` and `ChangeMessageVisibility`, single and in batches; and what all batches have in common.

use baton_dialect::http::HttpOutput;
use baton_model::request::Settle;
use baton_model::{DeliveryRef, Event, Name, Outcome, Request};
use bytes::Bytes;
use http::Response;
use smallvec::smallvec;

use super::receive::visibility_ms;
use super::{Answer, Cx, Facts, State, Step, Stop, index};
use crate::error::{Kind, SqsError};
use crate::input::{self, SettleBatch};
use crate::limits::{BATCH_ENTRIES_MAX, BATCH_ID_MAX, VISIBILITY_S_MAX};
use crate::receipt;
use crate::wire::{Call, Record};

/// An entry of a batch that failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    id: Name,
    error: SqsError,
}

impl Failed {
    pub(super) fn new(id: Option<&str>, error: SqsError) -> Self {
        Self { id: id.map(Name::new).unwrap_or_default(), error }
    }

    pub(super) fn write(writer: &mut Record, failed: &[Self]) {
        writer.structures("Failed", "BatchResultErrorEntry", failed, |writer, failed| {
            writer.text("Id", &failed.id);
            writer.bool("SenderFault", failed.error.kind.is_sender_fault());
            writer.text("Code", failed.error.kind.shown().query);
            writer.text("Message", &failed.error.text);
        });
    }
}

/// The rules of a batch as a whole. `entry`: what AWS's sentence calls an entry.
///
/// # Errors
/// None or too many entries, ids that are not allowed or not distinct.
pub(super) fn check_batch<'i>(
    entry: &str,
    ids: impl ExactSizeIterator<Item = Option<&'i str>>,
) -> Result<(), SqsError> {
    let count = ids.len();
    if count == 0 {
        let text = format!("There should be at least one {entry} in the request.");
        return Err(SqsError::new(Kind::EmptyBatchRequest, text));
    }
    if count > BATCH_ENTRIES_MAX {
        let text =
            format!("Maximum number of entries per request are {BATCH_ENTRIES_MAX}. You have sent {count}.");
        return Err(SqsError::new(Kind::TooManyEntriesInBatchRequest, text));
    }
    let mut seen: Vec<&str> = Vec::with_capacity(count);
    for id in ids {
        let id = id.ok_or_else(|| SqsError::missing(&format!("{entry}.Id")))?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=BATCH_ID_MAX).contains(&id.len()) || !id.bytes().all(allowed) {
            return Err(SqsError::new(
                Kind::InvalidBatchEntryId,
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if seen.contains(&id) {
            return Err(SqsError::new(Kind::BatchEntryIdsNotDistinct, format!("Id {id} repeated.")));
        }
        seen.push(id);
    }
    Ok(())
}

/// Deliveries being settled.
#[derive(Debug)]
pub(super) struct Settling {
    action: Action,
    batch: bool,
    fifo: bool,
    entries: Vec<Entry>,
    failed: Vec<Failed>,
    open: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Delete,
    Change,
}

#[derive(Debug)]
struct Entry {
    id: Name,
    handle: String,
    at: DeliveryRef,
    stale: bool,
}

pub(super) fn delete<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    one(call, Action::Delete, cx)
}

pub(super) fn change<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    one(call, Action::Change, cx)
}

pub(super) fn delete_batch<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    batch(call, Action::Delete, cx)
}

pub(super) fn change_batch<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    batch(call, Action::Change, cx)
}

fn one<'a>(call: &'a Call<'a>, action: Action, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: input::Settle<'_> = call.input()?;
    let queue = cx.queue(call, &input.queue_url)?;
    let facts = cx.facts(queue)?;
    let fifo = facts.fifo;
    let (entry, outcome) = check(action, &input, facts, cx)?;
    let settle = Settle { token: Some(cx.token(0)), deliveries: smallvec![entry.at], outcome };
    cx.requests.push(Request::Settle(settle));
    let settling = Settling { action, batch: false, fifo, entries: vec![entry], failed: Vec::new(), open: 1 };
    Ok(Step::Wait(State::Settle(settling)))
}

fn batch<'a>(call: &'a Call<'a>, action: Action, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: SettleBatch<'_> = call.input()?;
    let queue = cx.queue(call, &input.queue_url)?;
    let facts = cx.facts(queue)?;
    let inputs = input.entries.as_deref().unwrap_or_default();
    let name = match action {
        Action::Delete => "DeleteMessageBatchRequestEntry",
        Action::Change => "ChangeMessageVisibilityBatchRequestEntry",
    };
    check_batch(name, inputs.iter().map(|entry| entry.id.as_deref()))?;
    let fifo = facts.fifo;
    let mut settling =
        Settling { action, batch: true, fifo, entries: Vec::new(), failed: Vec::new(), open: 0 };
    let mut settles: Vec<Settle> = Vec::new();
    for input in inputs {
        match check(action, input, facts, cx) {
            Ok((entry, outcome)) => {
                // Those that are settled alike go together: one record for all of them.
                match settles.last_mut().filter(|last| last.outcome == outcome) {
                    Some(same) => same.deliveries.push(entry.at),
                    None => settles.push(Settle {
                        token: Some(cx.token(settles.len())),
                        deliveries: smallvec![entry.at],
                        outcome,
                    }),
                }
                settling.entries.push(entry);
            }
            Err(error) => settling.failed.push(Failed::new(input.id.as_deref(), error)),
        }
    }
    settling.open = settles.len();
    cx.requests.extend(settles.into_iter().map(Request::Settle));
    if settling.open == 0 {
        return Ok(Step::Done(settling.answer(cx.answer)));
    }
    Ok(Step::Wait(State::Settle(settling)))
}

fn check(
    action: Action,
    input: &input::Settle<'_>,
    facts: &Facts,
    cx: &Cx<'_>,
) -> Result<(Entry, Outcome), SqsError> {
    let handle = input.receipt_handle.as_deref().ok_or_else(|| SqsError::missing("ReceiptHandle"))?;
    let at = receipt::decode(handle, &cx.options.account_id).filter(|(at, _)| at.queue == facts.id);
    let (at, received_at) = at.ok_or_else(|| SqsError::receipt(handle))?;
    let outcome = match action {
        // In order means that nobody is to delete what he no longer holds.
        Action::Delete if facts.fifo => Outcome::Complete,
        Action::Delete => Outcome::CompleteLate,
        Action::Change => {
            let seconds = input.visibility_timeout.ok_or_else(|| SqsError::missing("VisibilityTimeout"))?;
            let lease_ms = visibility_ms(seconds, "VisibilityTimeout")?;
            let held_ms = if received_at == receipt::UNKNOWN { 0 } else { cx.now.since_ms(received_at) };
            let whole_ms = held_ms.saturating_add(lease_ms);
            if i64::try_from(whole_ms / 1_000).is_ok_and(|whole_s| whole_s > VISIBILITY_S_MAX) {
                let reason = format!(
                    "Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_S_MAX} seconds]"
                );
                return Err(SqsError::value(&seconds.to_string(), "VisibilityTimeout", &reason));
            }
            Outcome::Extend { lease_ms }
        }
    };
    let id = input.id.as_deref().map(Name::new).unwrap_or_default();
    Ok((Entry { id, handle: handle.to_owned(), at, stale: false }, outcome))
}

impl Settling {
    /// Some are settled, durably. The response, when they were the last.
    pub(super) fn event(
        &mut self,
        event: Event,
        answer: &Answer,
        _out: &mut HttpOutput,
    ) -> Option<Response<Bytes>> {
        match event {
            Event::Settled { stale, token } => {
                debug_assert!(index(token) <= BATCH_ENTRIES_MAX, "a batch has no more settles than entries");
                let late = self.entries.iter_mut().filter(|entry| stale.contains(&entry.at));
                late.for_each(|entry| entry.stale = true);
            }
            Event::Reply { result: Err(refusal), .. } => {
                return Some(answer.error(&SqsError::from_refusal(&refusal)));
            }
            _ => return None,
        }
        self.open = self.open.saturating_sub(1);
        (self.open == 0).then(|| self.answer(answer))
    }

    fn answer(&self, answer: &Answer) -> Response<Bytes> {
        let action = match (self.action, self.batch) {
            (Action::Delete, false) => "DeleteMessage",
            (Action::Delete, true) => "DeleteMessageBatch",
            (Action::Change, false) => "ChangeMessageVisibility",
            (Action::Change, true) => "ChangeMessageVisibilityBatch",
        };
        if !self.batch {
            return match self.entries.first().and_then(|entry| self.error(entry)) {
                Some(error) => answer.error(&error),
                None => answer.nothing(action),
            };
        }
        let mut failed = self.failed.clone();
        let mut successful = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match self.error(entry) {
                Some(error) => failed.push(Failed::new(Some(&entry.id), error)),
                None => successful.push(entry),
            }
        }
        let xml = match self.action {
            Action::Delete => "DeleteMessageBatchResultEntry",
            Action::Change => "ChangeMessageVisibilityBatchResultEntry",
        };
        let mut writer = answer.writer(action, 40 * self.entries.len() + 200 * failed.len());
        writer.structures("Successful", xml, successful, |writer, entry| writer.text("Id", &entry.id));
        Failed::write(&mut writer, &failed);
        answer.done(writer)
    }

    /// What a receipt that is no longer current amounts to: deleting twice is deleting once, unless order depends on it.
    fn error(&self, entry: &Entry) -> Option<SqsError> {
        if !entry.stale {
            return None;
        }
        let reason = match (self.action, self.fifo) {
            (Action::Delete, false) => return None,
            (Action::Delete, true) => "The receipt handle has expired.",
            (Action::Change, _) => {
                "Message does not exist or is not available for visibility timeout change."
            }
        };
        Some(SqsError::value(&entry.handle, "ReceiptHandle", reason))
    }
}
