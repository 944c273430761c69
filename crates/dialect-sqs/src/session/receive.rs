//! `ReceiveMessage`: waiting, and what a receive shows of a message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_dialect::http::HttpOutput;
use baton_model::event::DeathReason;
use baton_model::request::{Fetch, FetchSelect, LeaseMode, Settle};
use baton_model::{Delivery, Event, LinkId, Name, Outcome, Request, Time};
use bytes::Bytes;
use http::Response;

use super::{Answer, Cx, State, Step, Stop};
use crate::error::{Kind, SqsError};
use crate::input::ReceiveMessage;
use crate::limits::{RECEIVE_MAX, VISIBILITY_S_MAX, WAIT_S_MAX};
use crate::message::{self, Attribute, Received, hex16, message_id, sequence_number};
use crate::names;
use crate::options::SqsOptions;
use crate::receipt;
use crate::wire::{Call, Record, Text};

/// A receive that waits for messages.
#[derive(Debug)]
pub(super) struct Receiving {
    fifo: bool,
    /// Too many messages in flight are an error: standard queues say so to those who do not wait.
    refuses: bool,
    /// A repetition must give the same receipts.
    repeatable: bool,
    shown: Shown,
}

/// What a receive asked to be shown.
#[derive(Debug, Default)]
struct Shown {
    system: u16,
    attributes: Vec<Pattern>,
}

/// A name of message attributes, as a receive asks for them.
#[derive(Debug)]
enum Pattern {
    All,
    Prefix(String),
    Name(String),
}

/// The system attributes, in the order in which they are shown.
const SYSTEM: [&str; 9] = [
    "SenderId",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];
const ALL: u16 = (1 << SYSTEM.len()) - 1;

pub(super) fn receive<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let input: ReceiveMessage<'_> = call.input()?;
    let queue = cx.queue(call, &input.queue_url)?;
    let facts = cx.facts(queue)?;
    let (fifo, wait_ms) = (facts.fifo, facts.wait_ms);
    let count = input.max_number_of_messages.unwrap_or(1);
    if !(1..=RECEIVE_MAX).contains(&count) {
        let reason = format!("Must be between 1 and {RECEIVE_MAX}, if provided.");
        return Err(SqsError::value(&count.to_string(), "MaxNumberOfMessages", &reason).into());
    }
    let lease_ms = input.visibility_timeout.map(|s| visibility_ms(s, "VisibilityTimeout")).transpose()?;
    let wait_ms = match input.wait_time_seconds {
        None => wait_ms,
        Some(s) if (0..=WAIT_S_MAX).contains(&s) => u64::try_from(s).unwrap_or_default() * 1_000,
        Some(s) => {
            let reason = format!("Must be >= 0 and <= {WAIT_S_MAX}, if provided.");
            return Err(SqsError::value(&s.to_string(), "WaitTimeSeconds", &reason).into());
        }
    };
    let select = match attempt_id(&input, fifo)? {
        Some(id) => FetchSelect::Attempt(Name::new(id)),
        None => FetchSelect::Next,
    };
    let repeatable = select != FetchSelect::Next;
    let shown = Shown::read(&input)?;
    let fetch = Fetch {
        token: cx.token(0),
        link: LinkId(0),
        queue: Name::new(queue),
        select,
        count_max: u32::try_from(count).unwrap_or(1),
        lease: LeaseMode::Timed(lease_ms),
        wait_until: (wait_ms > 0).then(|| cx.now.after_ms(wait_ms)),
        label: Name::const_new("sqs"),
    };
    cx.requests.push(Request::Fetch(Box::new(fetch)));
    Ok(Step::Wait(State::Receive(Receiving { fifo, refuses: !fifo && wait_ms == 0, repeatable, shown })))
}

/// A visibility timeout in milliseconds.
pub(super) fn visibility_ms(seconds: i64, parameter: &str) -> Result<u64, SqsError> {
    if !(0..=VISIBILITY_S_MAX).contains(&seconds) {
        let reason = format!("Must be between 0 and {VISIBILITY_S_MAX}.");
        return Err(SqsError::value(&seconds.to_string(), parameter, &reason));
    }
    Ok(u64::try_from(seconds).unwrap_or_default() * 1_000)
}

fn attempt_id<'a>(input: &'a ReceiveMessage<'_>, fifo: bool) -> Result<Option<&'a str>, SqsError> {
    let parameter = "ReceiveRequestAttemptId";
    match input.receive_request_attempt_id.as_deref() {
        None => Ok(None),
        Some(id) if !fifo => {
            let reason = "The request include parameter that is not valid for this queue type.";
            Err(SqsError::value(id, parameter, reason))
        }
        Some(id) if super::send::is_id(id) => Ok(Some(id)),
        Some(id) => {
            let reason = "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.";
            Err(SqsError::value(id, parameter, reason))
        }
    }
}

impl Shown {
    fn read(input: &ReceiveMessage<'_>) -> Result<Self, SqsError> {
        let mut shown = Self::default();
        let names = [&input.attribute_names, &input.message_system_attribute_names];
        for name in names.into_iter().flatten().flatten() {
            shown.system |= match &**name {
                "All" => ALL,
                name => match SYSTEM.iter().position(|known| *known == name) {
                    Some(bit) => 1 << bit,
                    None => {
                        let text = format!("Unknown Attribute {name}.");
                        return Err(SqsError::new(Kind::InvalidAttributeName, text));
                    }
                },
            };
        }
        let names = input.message_attribute_names.iter().flatten();
        shown.attributes = names.map(Pattern::read).collect();
        Ok(shown)
    }
}

impl Pattern {
    fn read(name: &Text<'_>) -> Self {
        match &**name {
            "All" | ".*" | "*" => Self::All,
            name => match name.strip_suffix(".*").or_else(|| name.strip_suffix('*')) {
                Some(prefix) => Self::Prefix(prefix.to_owned()),
                None => Self::Name(name.to_owned()),
            },
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Name(own) => name == own,
        }
    }
}

/// What an abandoned receive got goes back at once instead of waiting for the end of its leases.
pub(super) fn give_back(event: Event, out: &mut HttpOutput) {
    let Event::Fetched { result: Ok(fetched), .. } = event else { return };
    if !fetched.deliveries.is_empty() {
        let deliveries = fetched.deliveries.iter().map(|delivery| delivery.at).collect();
        let outcome = Outcome::Release { failed: false, delay_ms: Some(0) };
        out.requests.push(Request::Settle(Settle { token: None, deliveries, outcome }));
    }
}

impl Receiving {
    pub(super) fn event(
        &self,
        now: Time,
        event: Event,
        answer: &Answer,
        options: &SqsOptions,
    ) -> Response<Bytes> {
        let fetched = match event {
            Event::Fetched { result: Ok(fetched), .. } => fetched,
            Event::Fetched { result: Err(refusal), .. } => {
                return answer.error(&SqsError::from_refusal(&refusal));
            }
            _ => {
                return answer.error(&SqsError::new(
                    Kind::InternalFailure,
                    "The broker gave an answer of the wrong kind.",
                ));
            }
        };
        if fetched.deliveries.is_empty() && fetched.held_back && self.refuses {
            let text = "Too many messages in flight; delete some of those that were received.";
            return answer.error(&SqsError::new(Kind::OverLimit, text));
        }
        let bytes: usize = fetched.deliveries.iter().map(|d| d.message.size_bytes() + 400).sum();
        let mut writer = answer.writer("ReceiveMessage", bytes);
        writer.structures("Messages", "Message", &fetched.deliveries, |writer, delivery| {
            self.message(writer, now, delivery, options);
        });
        answer.done(writer)
    }

    fn message(&self, writer: &mut Record, now: Time, delivery: &Delivery, options: &SqsOptions) {
        let received = message::received(delivery);
        let mut handle = String::with_capacity(52);
        let received_at = if self.repeatable { receipt::UNKNOWN } else { now };
        receipt::encode(delivery.at, received_at, &options.account_id, &mut handle);
        writer.text("MessageId", &message_id(delivery.id));
        writer.text("ReceiptHandle", &handle);
        writer.text("MD5OfBody", &hex16(&received.body_md5));
        writer.text("Body", &received.body);
        if self.shown.system != 0 {
            let values = self.system(delivery, &received, options);
            let pairs = values.iter().map(|(name, value)| (*name, value.as_str()));
            writer.map("Attributes", "Attribute", "Name", pairs);
        }
        if self.shown.attributes.is_empty() || received.attributes.is_empty() {
            return;
        }
        let asked = |attribute: &&Attribute<'_>| {
            self.shown.attributes.iter().any(|pattern| pattern.matches(attribute.name))
        };
        let shown: Vec<Attribute<'_>> = received.attributes.iter().filter(asked).cloned().collect();
        if shown.is_empty() {
            return;
        }
        let whole = received.attributes_md5.filter(|_| shown.len() == received.attributes.len());
        writer.text("MD5OfMessageAttributes", &hex16(&whole.unwrap_or_else(|| message::digest(&shown))));
        let pairs = shown.iter().map(|attribute| (attribute.name, attribute));
        writer.map_structures("MessageAttributes", "MessageAttribute", pairs, |writer, attribute| {
            if attribute.is_binary() {
                writer.text("BinaryValue", &STANDARD.encode(&attribute.value));
            } else {
                writer.text("StringValue", &String::from_utf8_lossy(&attribute.value));
            }
            writer.text("DataType", attribute.data_type);
        });
    }

    fn system(
        &self,
        delivery: &Delivery,
        received: &Received<'_>,
        options: &SqsOptions,
    ) -> Vec<(&'static str, String)> {
        let value = |name: &str| -> Option<String> {
            Some(match name {
                "SenderId" => received.sender.unwrap_or("unknown").to_owned(),
                "ApproximateFirstReceiveTimestamp" => delivery.first_acquired_at?.0.to_string(),
                "ApproximateReceiveCount" => delivery.acquired.to_string(),
                "SentTimestamp" => received.sent_at_ms.to_string(),
                "SequenceNumber" if self.fifo => sequence_number(delivery.at.seq),
                "MessageDeduplicationId" => received.dedup?.to_owned(),
                "MessageGroupId" => received.group?.to_owned(),
                "AWSTraceHeader" => received.trace?.to_owned(),
                "DeadLetterQueueSourceArn" => {
                    let death = delivery.overlay.as_ref()?.deaths.first()?;
                    // What an operator or a move task brought here did not die.
                    if death.reason == DeathReason::Operator {
                        return None;
                    }
                    names::arn(options, &death.queue)
                }
                _ => return None,
            })
        };
        let asked = SYSTEM.iter().enumerate().filter(|(bit, _)| self.shown.system & 1 << bit != 0);
        asked.filter_map(|(_, name)| Some((*name, value(name)?))).collect()
    }
}
