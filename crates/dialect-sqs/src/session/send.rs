//! `SendMessage` and `SendMessageBatch`: every rule about a message that is sent, and the answer when it is durable.

use baton_model::{Event, Name, Publish, PublishOutcome, Request, Seq};
use bytes::Bytes;
use http::Response;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::{Answer, Cx, Facts, State, Step, Stop, index};
use crate::error::{Kind, SqsError};
use crate::input::{self, SendMessage};
use crate::limits::{DELAY_S_MAX, ID_MAX, MESSAGE_BYTES_MAX};
use crate::message::{self, Ascii, Digest16, Outgoing, hex, hex16, message_id, sequence_number};
use crate::wire::{Call, Record};

use super::settle::{Failed, check_batch};

/// Messages on their way.
#[derive(Debug)]
pub(super) struct Sending {
    batch: bool,
    fifo: bool,
    entries: Vec<Entry>,
    failed: Vec<Failed>,
    open: usize,
}

#[derive(Debug)]
struct Entry {
    id: Name,
    body_md5: Digest16,
    attributes_md5: Option<Digest16>,
    system_md5: Option<Digest16>,
    outcome: Option<PublishOutcome>,
}

pub(super) fn one<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: SendMessage<'_> = call.input()?;
    let queue = cx.queue(call, &input.queue_url)?;
    let facts = cx.facts(queue)?.clone();
    let body_md5 = message::md5(input.message_body.as_deref().unwrap_or_default().as_bytes());
    let checked = check(queue, &input, body_md5, &facts, cx)?;
    let (entry, request) = checked.submit(queue, &input, 0, cx);
    cx.requests.push(request);
    let sending =
        Sending { batch: false, fifo: facts.fifo, entries: vec![entry], failed: Vec::new(), open: 1 };
    Ok(Step::Wait(State::Send(sending)))
}

pub(super) fn batch<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: input::SendMessageBatch<'_> = call.input()?;
    let queue = cx.queue(call, &input.queue_url)?;
    let facts = cx.facts(queue)?.clone();
    let entries = input.entries.as_deref().unwrap_or_default();
    check_batch("SendMessageBatchRequestEntry", entries.iter().map(|entry| entry.id.as_deref()))?;
    let bytes: usize = entries.iter().map(size_bytes).sum();
    if bytes as u64 > MESSAGE_BYTES_MAX {
        let text = format!(
            "Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {bytes} bytes."
        );
        return Err(SqsError::new(Kind::BatchRequestTooLong, text).into());
    }
    if entries.iter().any(|entry| entry.message_body.is_none()) {
        return Err(SqsError::missing("SendMessageBatchRequestEntry.MessageBody").into());
    }
    if facts.fifo {
        check_fifo(entries, &facts)?;
    }
    let mut sending = Sending {
        batch: true,
        fifo: facts.fifo,
        entries: Vec::with_capacity(entries.len()),
        failed: Vec::new(),
        open: 0,
    };
    let bodies = entries.iter().map(|entry| entry.message_body.as_deref().unwrap_or_default().as_bytes());
    let digests = message::md5_each(&bodies.collect::<Vec<_>>());
    cx.requests.reserve(entries.len());
    for (entry, body_md5) in entries.iter().zip(digests) {
        match check(queue, entry, body_md5, &facts, cx) {
            Ok(checked) => {
                let (entry, request) = checked.submit(queue, entry, sending.entries.len(), cx);
                cx.requests.push(request);
                sending.entries.push(entry);
            }
            Err(error) => sending.failed.push(Failed::new(entry.id.as_deref(), error)),
        }
    }
    sending.open = sending.entries.len();
    if sending.open == 0 {
        return Ok(Step::Done(sending.answer(cx.answer)));
    }
    Ok(Step::Wait(State::Send(sending)))
}

const NO_DEDUP_ID: &str = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly";

/// What an entry lacks that orders or tells it apart refuses the whole batch: the others must not overtake it.
fn check_fifo(entries: &[SendMessage<'_>], facts: &Facts) -> Result<(), SqsError> {
    if entries.iter().any(|entry| entry.message_group_id.is_none()) {
        let text = "The request must contain the parameter MessageGroupId.";
        return Err(SqsError::new(Kind::InvalidParameterValue, text));
    }
    if !facts.dedup_by_body && entries.iter().any(|entry| entry.message_deduplication_id.is_none()) {
        return Err(SqsError::new(Kind::InvalidParameterValue, NO_DEDUP_ID));
    }
    Ok(())
}

/// What counts against the size of a batch before anything is checked.
fn size_bytes(entry: &SendMessage<'_>) -> usize {
    let attributes = entry.message_attributes.iter().flatten();
    let attributes = attributes.map(|(name, value)| {
        let text = value.string_value.as_deref().map_or(0, str::len);
        let binary = value.binary_value.as_deref().map_or(0, |encoded| encoded.len() / 4 * 3);
        name.len() + value.data_type.as_deref().map_or(0, str::len) + text + binary
    });
    entry.message_body.as_deref().map_or(0, str::len) + attributes.sum::<usize>()
}

/// A message that breaks no rule.
struct Checked<'a> {
    outgoing: Outgoing<'a>,
    system_md5: Option<Digest16>,
    trace: Option<Name>,
    group: Option<Name>,
    dedup: Option<Name>,
}

fn check<'a>(
    queue: &'a str,
    input: &'a SendMessage<'a>,
    body_md5: Digest16,
    facts: &Facts,
    cx: &Cx<'_>,
) -> Result<Checked<'a>, SqsError> {
    let body = input.message_body.as_deref().filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| SqsError::missing("MessageBody"))?;
    if !message::is_allowed(body.as_bytes()) {
        return Err(SqsError::new(
            Kind::InvalidMessageContents,
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        ));
    }
    let attributes = message::check(input.message_attributes.as_ref())?;
    let trace = message::trace_header(input.message_system_attributes.as_ref())?;
    let bytes = body.len() + attributes.iter().map(message::Attribute::size_bytes).sum::<usize>();
    if bytes as u64 > facts.message_bytes_max {
        let text = format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {} bytes.",
            facts.message_bytes_max
        );
        return Err(SqsError::new(Kind::InvalidParameterValue, text));
    }
    let delay_ms = delay_ms(input.delay_seconds, facts.fifo)?;
    let (group, dedup) = ids(body, input, facts)?;
    let attributes_md5 = (!attributes.is_empty()).then(|| message::digest(&attributes));
    let outgoing = Outgoing {
        queue,
        body,
        body_md5,
        attributes,
        attributes_md5,
        trace: None,
        sent_at_ms: cx.now.0,
        sender: "",
        group: None,
        dedup: None,
        delay_ms,
    };
    let (trace, system_md5) = trace.map_or((None, None), |(trace, md5)| (Some(trace), Some(md5)));
    Ok(Checked { outgoing, system_md5, trace, group, dedup })
}

fn delay_ms(seconds: Option<i64>, fifo: bool) -> Result<Option<u64>, SqsError> {
    let Some(seconds) = seconds else { return Ok(None) };
    if fifo && seconds != 0 {
        let reason = "The request include parameter that is not valid for this queue type.";
        return Err(SqsError::value(&seconds.to_string(), "DelaySeconds", reason));
    }
    if !(0..=DELAY_S_MAX).contains(&seconds) {
        let reason = format!("DelaySeconds must be >= 0 and <= {DELAY_S_MAX}.");
        return Err(SqsError::value(&seconds.to_string(), "DelaySeconds", &reason));
    }
    // A FIFO queue has one delay for all its messages: 0 says nothing.
    Ok((!fifo).then(|| u64::try_from(seconds).unwrap_or_default() * 1_000))
}

/// The message's group and deduplication id, by the rules of the queue's kind.
fn ids(body: &str, input: &SendMessage<'_>, facts: &Facts) -> Result<(Option<Name>, Option<Name>), SqsError> {
    let id = |value: &Option<crate::wire::Text<'_>>, parameter: &str| match value.as_deref() {
        None => Ok(None),
        Some(id) if is_id(id) => Ok(Some(Name::new(id))),
        Some(id) => {
            let reason = format!(
                "{parameter} can only include alphanumeric and punctuation characters. 1 to {ID_MAX} in length."
            );
            Err(SqsError::value(id, parameter, &reason))
        }
    };
    let group = id(&input.message_group_id, "MessageGroupId")?;
    let dedup = id(&input.message_deduplication_id, "MessageDeduplicationId")?;
    if !facts.fifo {
        if let Some(dedup) = dedup {
            let reason = "The request include parameter that is not valid for this queue type.";
            return Err(SqsError::value(&dedup, "MessageDeduplicationId", reason));
        }
        return Ok((group, None));
    }
    if group.is_none() {
        return Err(SqsError::missing("MessageGroupId"));
    }
    let dedup = match dedup {
        None if facts.dedup_by_body => Some(Name::from(hex(&Sha256::digest(body.as_bytes())))),
        None => return Err(SqsError::new(Kind::InvalidParameterValue, NO_DEDUP_ID)),
        dedup => dedup,
    };
    Ok((group, dedup))
}

/// Letters, digits and punctuation of ASCII, 1 to 128 of them.
pub(super) fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Checked<'_> {
    fn submit(self, queue: &str, input: &SendMessage<'_>, index: usize, cx: &Cx<'_>) -> (Entry, Request) {
        let Self { outgoing, system_md5, trace, group, dedup } = self;
        let entry = Entry {
            id: input.id.as_deref().map(Name::new).unwrap_or_default(),
            body_md5: outgoing.body_md5,
            attributes_md5: outgoing.attributes_md5,
            system_md5,
            outcome: None,
        };
        let delay_ms = outgoing.delay_ms;
        let mut outgoing: Outgoing<'_> = outgoing;
        outgoing.trace = trace.as_deref();
        outgoing.group = group.as_deref();
        outgoing.dedup = dedup.as_deref();
        outgoing.sender = cx.user;
        let message = message::write(outgoing);
        let publish = Publish {
            token: cx.token(index),
            confirm: true,
            exchange: Name::default(),
            key: Name::new(queue),
            more_keys: SmallVec::new(),
            message,
            durable: true,
            mandatory: false,
            priority: None,
            ttl_ms: None,
            delay_ms,
            group_key: group,
            dedup_id: dedup,
        };
        (entry, Request::Publish(Box::new(publish)))
    }
}

impl Sending {
    /// One message is stored or refused. The response, when it was the last.
    pub(super) fn event(&mut self, event: Event, answer: &Answer) -> Option<Response<Bytes>> {
        let Event::Published { token, outcome } = event else { return None };
        let entry = self.entries.get_mut(index(token)).filter(|entry| entry.outcome.is_none())?;
        entry.outcome = Some(outcome);
        self.open -= 1;
        (self.open == 0).then(|| self.answer(answer))
    }

    fn answer(&self, answer: &Answer) -> Response<Bytes> {
        if !self.batch {
            let Some(entry) = self.entries.first() else { return answer.nothing("SendMessage") };
            return match entry.accepted() {
                Ok(accepted) => {
                    let mut writer = answer.writer("SendMessage", 256);
                    entry.write(&mut writer, &accepted, self.fifo);
                    answer.done(writer)
                }
                Err(error) => answer.error(&error),
            };
        }
        let mut writer = answer.writer("SendMessageBatch", 160 * (self.entries.len() + self.failed.len()));
        let mut failed = self.failed.clone();
        let mut successful = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match entry.accepted() {
                Ok(accepted) => successful.push((entry, accepted)),
                Err(error) => failed.push(Failed::new(Some(&entry.id), error)),
            }
        }
        writer.structures(
            "Successful",
            "SendMessageBatchResultEntry",
            &successful,
            |writer, (entry, accepted)| {
                writer.text("Id", &entry.id);
                entry.write(writer, accepted, self.fifo);
            },
        );
        Failed::write(&mut writer, &failed);
        answer.done(writer)
    }
}

/// What a stored message is called.
struct Accepted {
    id: Ascii<36>,
    seq: Seq,
}

impl Entry {
    fn accepted(&self) -> Result<Accepted, SqsError> {
        match &self.outcome {
            Some(PublishOutcome::Accepted { queues: 0, .. }) => Err(SqsError::no_queue()),
            Some(PublishOutcome::Accepted { id, seq, .. } | PublishOutcome::Duplicate { id, seq }) => {
                Ok(Accepted { id: message_id(*id), seq: *seq })
            }
            Some(PublishOutcome::Refused(refusal)) => Err(SqsError::from_refusal(refusal)),
            None => Err(SqsError::new(Kind::ServiceUnavailable, "The broker did not answer; try again.")),
        }
    }

    fn write(&self, writer: &mut Record, accepted: &Accepted, fifo: bool) {
        writer.text("MessageId", &accepted.id);
        writer.text("MD5OfMessageBody", &hex16(&self.body_md5));
        if let Some(md5) = &self.attributes_md5 {
            writer.text("MD5OfMessageAttributes", &hex16(md5));
        }
        if let Some(md5) = &self.system_md5 {
            writer.text("MD5OfMessageSystemAttributes", &hex16(md5));
        }
        if fifo {
            writer.text("SequenceNumber", &sequence_number(accepted.seq));
        }
    }
}
