//! Message move tasks: dead letters go back to where they died, or to another queue.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_model::event::{QueueInfo, Transfer, TransferState};
use baton_model::request::{CatalogOp, InspectOp};
use baton_model::{Event, Name, RefusalCode, Reply, Request};

use super::{Cx, State, Step, Stop};
use crate::error::{Kind, SqsError};
use crate::input::{CancelMessageMoveTask, MoveTask};
use crate::limits::{MOVE_RATE_MAX, TASKS_LISTED_MAX};
use crate::names;
use crate::wire::{Call, Text};

/// What was asked.
#[derive(Debug)]
pub(super) enum Asking {
    /// Whether the queue is a dead-letter queue of another.
    Source {
        from: Name,
        to: Option<Name>,
        per_second: Option<u32>,
    },
    Start(Name),
    Cancel,
    List {
        from: Name,
        count: usize,
    },
}

/// Queues asked for at once when somebody is looked for who uses a dead-letter queue.
const SCAN: u32 = 1_000;

pub(super) fn start<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: MoveTask<'_> = call.input()?;
    let from = source(&input, cx)?;
    let to = match input.destination_arn.as_deref() {
        None => None,
        Some(arn) => {
            let to = resource(arn, "DestinationArn", cx)?;
            if names::is_fifo(&to) != names::is_fifo(&from) {
                let text = "Source and destination queues must be of the same type.";
                return Err(SqsError::new(Kind::InvalidParameterValue, text).into());
            }
            Some(to)
        }
    };
    let per_second = match input.max_number_of_messages_per_second {
        None => None,
        Some(rate) if (1..=MOVE_RATE_MAX).contains(&rate) => u32::try_from(rate).ok(),
        Some(rate) => {
            let reason = format!("Must be between 1 and {MOVE_RATE_MAX}.");
            return Err(SqsError::value(&rate.to_string(), "MaxNumberOfMessagesPerSecond", &reason).into());
        }
    };
    cx.ask(CatalogOp::Queues { after: None, prefix: Name::default(), count_max: SCAN });
    Ok(Step::Wait(State::Task(Asking::Source { from, to, per_second })))
}

pub(super) fn cancel<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: CancelMessageMoveTask<'_> = call.input()?;
    let handle = input.task_handle.as_deref().ok_or_else(|| SqsError::missing("TaskHandle"))?;
    let (id, queue) = from_handle(handle).ok_or_else(|| {
        SqsError::new(Kind::InvalidParameterValue, "Value for parameter TaskHandle is invalid.")
    })?;
    inspect(InspectOp::CancelTransfer { queue, id }, cx);
    Ok(Step::Wait(State::Task(Asking::Cancel)))
}

pub(super) fn list<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: MoveTask<'_> = call.input()?;
    let from = source(&input, cx)?;
    let count = input.max_results.unwrap_or(1);
    if !(1..=TASKS_LISTED_MAX).contains(&count) {
        let reason = format!("Must be between 1 and {TASKS_LISTED_MAX}, if provided.");
        return Err(SqsError::value(&count.to_string(), "MaxResults", &reason).into());
    }
    inspect(InspectOp::Transfers { queue: from.clone() }, cx);
    let count = usize::try_from(count).unwrap_or(1);
    Ok(Step::Wait(State::Task(Asking::List { from, count })))
}

fn source(input: &MoveTask<'_>, cx: &Cx<'_>) -> Result<Name, Stop> {
    let arn: Option<&Text<'_>> = input.source_arn.as_ref();
    resource(arn.ok_or_else(|| SqsError::missing("SourceArn"))?, "SourceArn", cx)
}

/// The queue of an ARN, which must exist.
fn resource(arn: &str, parameter: &str, cx: &Cx<'_>) -> Result<Name, Stop> {
    let missing = || {
        let text = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
        Stop::from(SqsError::new(Kind::ResourceNotFound, text))
    };
    let name = names::from_arn(arn, cx.options).ok_or_else(missing)?;
    match cx.facts(name) {
        Ok(_) => Ok(Name::new(name)),
        Err(Stop::Error(error)) if error.kind == Kind::QueueDoesNotExist => Err(missing()),
        Err(stop) => Err(stop),
    }
}

fn inspect(op: InspectOp, cx: &mut Cx<'_>) {
    let request = Request::Inspect { token: cx.token(0), op: Box::new(op) };
    cx.requests.push(request);
}

/// A handle names the task and its queue.
fn handle(transfer: &Transfer, queue: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{queue}", transfer.id))
}

fn from_handle(handle: &str) -> Option<(u64, Name)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(handle).ok()?).ok()?;
    let (id, queue) = text.split_once(':')?;
    Some((id.parse().ok()?, Name::new(queue)))
}

impl Asking {
    pub(super) fn event(self, event: Event, cx: &mut Cx<'_>) -> Result<Step, SqsError> {
        let Event::Reply { result, .. } = event else { return Ok(Step::Wait(State::Task(self))) };
        let reply = match result {
            Ok(reply) => reply,
            Err(refusal) if refusal.code == RefusalCode::InUse => {
                return Err(SqsError::new(
                    Kind::InvalidParameterValue,
                    "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
                ));
            }
            Err(refusal)
                if matches!(refusal.code, RefusalCode::MessageNotFound | RefusalCode::QueueNotFound) =>
            {
                return Err(SqsError::new(Kind::ResourceNotFound, "Task does not exist."));
            }
            Err(refusal) => return Err(SqsError::from_refusal(&refusal)),
        };
        match (self, reply) {
            (Self::Source { from, to, per_second }, Reply::Queues(queues)) => {
                searched(&queues, from, to, per_second, cx)
            }
            (Self::Start(from), Reply::Transfers(transfers)) => {
                let mut writer = cx.answer.writer("StartMessageMoveTask", 64);
                if let Some(transfer) = transfers.first() {
                    writer.text("TaskHandle", &handle(transfer, &from));
                }
                Ok(Step::Done(cx.answer.done(writer)))
            }
            (Self::Cancel, Reply::Transfers(transfers)) => {
                let mut writer = cx.answer.writer("CancelMessageMoveTask", 64);
                let moved = transfers.first().map_or(0, |transfer| transfer.moved);
                writer.number("ApproximateNumberOfMessagesMoved", moved);
                Ok(Step::Done(cx.answer.done(writer)))
            }
            (Self::List { from, count }, Reply::Transfers(transfers)) => {
                Ok(listed(&transfers, &from, count, cx))
            }
            _ => Err(SqsError::new(Kind::InternalFailure, "The broker gave an answer of the wrong kind.")),
        }
    }
}

/// Looks for a queue whose dead letters go to `from`, page after page of all queues; only then there is something to move back.
fn searched(
    queues: &[QueueInfo],
    from: Name,
    to: Option<Name>,
    per_second: Option<u32>,
    cx: &mut Cx<'_>,
) -> Result<Step, SqsError> {
    let uses = |info: &QueueInfo| {
        let dead_letter = info.policy.dead_letter.as_ref();
        dead_letter.is_some_and(|to| to.exchange.is_empty() && to.key.as_ref() == Some(&from))
    };
    if queues.iter().any(uses) {
        inspect(InspectOp::StartTransfer { queue: from.clone(), to, per_second }, cx);
        return Ok(Step::Wait(State::Task(Asking::Start(from))));
    }
    match queues.last() {
        Some(last) if queues.len() >= SCAN as usize => {
            let after = Some(last.name.clone());
            cx.ask(CatalogOp::Queues { after, prefix: Name::default(), count_max: SCAN });
            Ok(Step::Wait(State::Task(Asking::Source { from, to, per_second })))
        }
        _ => Err(SqsError::new(
            Kind::InvalidParameterValue,
            "Source queue must be configured as a Dead Letter Queue.",
        )),
    }
}

fn listed(transfers: &[Transfer], from: &str, count: usize, cx: &Cx<'_>) -> Step {
    let mut writer = cx.answer.writer("ListMessageMoveTasks", 256 * count);
    let shown = transfers.iter().take(count);
    writer.structures("Results", "ListMessageMoveTasksResultEntry", shown, |writer, transfer| {
        let (status, failure) = match &transfer.state {
            TransferState::Running => ("RUNNING", None),
            TransferState::Completed => ("COMPLETED", None),
            TransferState::Cancelled => ("CANCELLED", None),
            TransferState::Failed(reason) => ("FAILED", Some(reason)),
        };
        if transfer.state == TransferState::Running {
            writer.text("TaskHandle", &handle(transfer, from));
        }
        writer.text("Status", status);
        writer.text("SourceArn", &names::arn(cx.options, from));
        if let Some(to) = &transfer.to {
            writer.text("DestinationArn", &names::arn(cx.options, to));
        }
        if let Some(rate) = transfer.per_second {
            writer.number("MaxNumberOfMessagesPerSecond", u64::from(rate));
        }
        writer.number("ApproximateNumberOfMessagesMoved", transfer.moved);
        writer.number("ApproximateNumberOfMessagesToMove", transfer.to_move);
        if let Some(reason) = failure {
            writer.text("FailureReason", reason);
        }
        writer.number("StartedTimestamp", transfer.started_at.0);
    });
    Step::Done(cx.answer.done(writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_model::Time;

    #[test]
    fn a_handle_names_the_task_and_garbage_does_not() {
        let transfer = Transfer {
            id: 7,
            to: None,
            per_second: None,
            state: TransferState::Running,
            moved: 0,
            to_move: 0,
            started_at: Time(0),
        };
        assert_eq!(from_handle(&handle(&transfer, "q.fifo")), Some((7, Name::new("q.fifo"))));
        for garbage in ["", "foobared", "ü", &URL_SAFE_NO_PAD.encode("x:q")] {
            assert_eq!(from_handle(garbage), None, "{garbage}");
        }
    }
}
