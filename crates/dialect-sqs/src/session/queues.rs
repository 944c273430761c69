//! Queues themselves: made, found, listed, looked at, changed, deleted, purged, tagged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_dialect::http::HttpRequest;
use baton_model::event::QueueInfo;
use baton_model::request::CatalogOp;
use baton_model::{Event, Name, QueuePolicy, RefusalCode, Reply, Request};

use super::{Cx, State, Step, Stop, permissions};
use crate::attributes;
use crate::error::{Kind, SqsError};
use crate::input::{
    CreateQueue, GetQueueAttributes, GetQueueUrl, List, OneQueue, SetQueueAttributes, TagQueue, TextMap,
    UntagQueue,
};
use crate::limits::{NAME_PAUSE_MS, PAGE_MAX, PURGE_PAUSE_MS, TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX};
use crate::names;
use crate::wire::Call;

/// What was asked of the catalog, to make the answer of what it says.
#[derive(Debug)]
pub(super) enum Asking {
    /// Whether the name may be used.
    Rested(Name, Box<QueuePolicy>),
    Create(Box<QueuePolicy>),
    Delete(Name),
    Url,
    Show,
    /// The queue's policy was asked for, to be changed.
    Read(Change),
    /// It is done when it is done.
    Done(&'static str),
    List {
        count: Option<usize>,
        prefix: Name,
    },
    Tags,
    Sources {
        queue: Name,
        count: Option<usize>,
        found: Vec<Name>,
    },
}

/// What is to be changed in a policy; the values are read from the request again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Attributes,
    Tag,
    Untag,
    Purge,
    AddPermission,
    RemovePermission,
}

/// Queues asked for at once when sources of dead letters are looked for.
const SCAN: u32 = 1_000;

pub(super) fn act<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    let asking = match &*call.action {
        "CreateQueue" => create(call, cx)?,
        "GetQueueUrl" => {
            let input: GetQueueUrl<'_> = call.input()?;
            let name = input.queue_name.as_deref().ok_or_else(|| SqsError::missing("QueueName"))?;
            let owner = input.queue_owner_aws_account_id.as_deref();
            if owner.is_some_and(|owner| owner != cx.options.account_id) {
                return Err(SqsError::no_queue().into());
            }
            cx.ask(CatalogOp::Queue { name: Name::new(name) });
            Asking::Url
        }
        "ListQueues" => list(call, cx)?,
        "ListDeadLetterSourceQueues" => sources(call, cx)?,
        "GetQueueAttributes" => {
            let input: GetQueueAttributes<'_> = call.input()?;
            let name = cx.queue(call, &input.queue_url)?;
            cx.ask(CatalogOp::Queue { name: Name::new(name) });
            Asking::Show
        }
        "SetQueueAttributes" => {
            let input: SetQueueAttributes<'_> = call.input()?;
            let name = cx.queue(call, &input.queue_url)?;
            let attributes = input.attributes.ok_or_else(|| SqsError::missing("Attributes"))?;
            check_target(name, &attributes, cx)?;
            cx.ask(CatalogOp::Queue { name: Name::new(name) });
            Asking::Read(Change::Attributes)
        }
        "DeleteQueue" => {
            let name = one(call, cx)?;
            let op = CatalogOp::DeleteQueue { name: name.clone(), if_unused: false, if_empty: false };
            cx.ask(op);
            Asking::Delete(name)
        }
        "PurgeQueue" => look(call, cx, Asking::Read(Change::Purge))?,
        "ListQueueTags" => look(call, cx, Asking::Tags)?,
        "TagQueue" => look(call, cx, Asking::Read(Change::Tag))?,
        "AddPermission" => look(call, cx, Asking::Read(Change::AddPermission))?,
        "RemovePermission" => look(call, cx, Asking::Read(Change::RemovePermission))?,
        "UntagQueue" => look(call, cx, Asking::Read(Change::Untag))?,
        other => {
            let text = format!("The action {other} is not valid for this endpoint.");
            return Err(SqsError::new(Kind::InvalidAction, text).into());
        }
    };
    Ok(Step::Wait(State::Queue(asking)))
}

fn one<'a>(call: &'a Call<'a>, cx: &Cx<'_>) -> Result<Name, Stop> {
    let input: OneQueue<'_> = call.input()?;
    Ok(Name::new(cx.queue(call, &input.queue_url)?))
}

fn look<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>, asking: Asking) -> Result<Asking, Stop> {
    let name = one(call, cx)?;
    cx.ask(CatalogOp::Queue { name });
    Ok(asking)
}

fn create<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Asking, Stop> {
    let input: CreateQueue<'_> = call.input()?;
    let name = input.queue_name.as_deref().ok_or_else(|| SqsError::missing("QueueName"))?;
    if !names::is_valid(name) {
        return Err(SqsError::new(
            Kind::InvalidParameterValue,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )
        .into());
    }
    let attributes = input.attributes.unwrap_or_default();
    let mut policy = attributes::new_policy(names::is_fifo(name));
    attributes::apply(&mut policy, &attributes, name, true, cx.options)?;
    check_target(name, &attributes, cx)?;
    tag(&mut policy, &input.tags.unwrap_or_default())?;
    let (name, policy) = (Name::new(name), Box::new(policy));
    if cx.options.relaxed {
        cx.ask(CatalogOp::DeclareQueue { name: Some(name), policy: policy.clone() });
        return Ok(Asking::Create(policy));
    }
    cx.ask(CatalogOp::Resting { name: name.clone() });
    Ok(Asking::Rested(name, policy))
}

/// The dead-letter queue that attributes name must exist, be of the same kind, and allow it.
fn check_target(name: &str, attributes: &TextMap<'_>, cx: &Cx<'_>) -> Result<(), Stop> {
    let Some(text) = attributes.get("RedrivePolicy").filter(|text| !text.is_empty()) else { return Ok(()) };
    let redrive = attributes::redrive(text, cx.options)?;
    let bad = |reason: &str| SqsError::value(text, "RedrivePolicy", reason);
    let target = match cx.facts(&redrive.target) {
        Ok(target) => target,
        Err(Stop::Error(error)) if error.kind == Kind::QueueDoesNotExist => {
            return Err(bad("Dead letter target does not exist.").into());
        }
        Err(stop) => return Err(stop),
    };
    if target.fifo != names::is_fifo(name) {
        return Err(bad("Dead-letter queue must be same type of queue as the source.").into());
    }
    if !attributes::allows(target.redrive_allow.as_deref(), name, cx.options) {
        return Err(bad("The dead-letter queue's redrive allow policy does not allow this queue.").into());
    }
    Ok(())
}

fn list<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Asking, Stop> {
    let input: List<'_> = call.input()?;
    let prefix = Name::new(input.queue_name_prefix.as_deref().unwrap_or_default());
    let count = page(&input)?;
    let after = after(&input)?;
    let count_max = SCAN.saturating_add(1);
    cx.ask(CatalogOp::Queues { after, prefix: prefix.clone(), count_max });
    Ok(Asking::List { count, prefix })
}

fn sources<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Asking, Stop> {
    let input: List<'_> = call.input()?;
    let queue = cx.queue(call, &input.queue_url)?;
    cx.facts(queue)?;
    let count = page(&input)?;
    let after = after(&input)?;
    cx.ask(CatalogOp::Queues { after, prefix: Name::default(), count_max: SCAN });
    Ok(Asking::Sources { queue: Name::new(queue), count, found: Vec::new() })
}

/// How many a page has; `None`: as many as there are, without a token for more.
fn page(input: &List<'_>) -> Result<Option<usize>, SqsError> {
    match input.max_results {
        None if input.next_token.is_none() => Ok(None),
        None => Ok(usize::try_from(PAGE_MAX).ok()),
        Some(count) if (1..=PAGE_MAX).contains(&count) => Ok(usize::try_from(count).ok()),
        Some(count) => {
            let reason = format!("Must be between 1 and {PAGE_MAX}, if provided.");
            Err(SqsError::value(&count.to_string(), "MaxResults", &reason))
        }
    }
}

/// A page's token is the last name of the page before.
fn after(input: &List<'_>) -> Result<Option<Name>, SqsError> {
    let Some(token) = input.next_token.as_deref() else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.map(|name| Some(Name::from(name)))
        .ok_or_else(|| SqsError::new(Kind::InvalidParameterValue, "Invalid or expired next token."))
}

fn tag(policy: &mut QueuePolicy, tags: &TextMap<'_>) -> Result<(), SqsError> {
    for (key, value) in tags {
        let (keys, values) = (key.chars().count(), value.chars().count());
        if keys == 0
            || keys > TAG_KEY_MAX
            || values > TAG_VALUE_MAX
            || key.to_ascii_lowercase().starts_with("aws:")
        {
            let text = format!(
                "Tag keys must be between 1 and {TAG_KEY_MAX} characters in length and not begin with aws:, tag values up to {TAG_VALUE_MAX}."
            );
            return Err(SqsError::new(Kind::InvalidParameterValue, text));
        }
        attributes::set_tag(policy, key, value);
    }
    if attributes::tags(policy).len() > TAGS_MAX {
        let text = format!("Too many tags added for queue. Maximum number of tags allowed is {TAGS_MAX}.");
        return Err(SqsError::new(Kind::InvalidParameterValue, text));
    }
    Ok(())
}

impl Asking {
    /// The catalog's answer.
    pub(super) fn event(
        self,
        event: Event,
        request: &HttpRequest,
        cx: &mut Cx<'_>,
    ) -> Result<Step, SqsError> {
        let Event::Reply { result, .. } = event else { return Ok(Step::Wait(State::Queue(self))) };
        let reply = match result {
            Ok(reply) => reply,
            // The name is held exclusively by a connection of another protocol.
            Err(refusal) if refusal.code == RefusalCode::QueueLocked => return Err(SqsError::no_queue()),
            Err(refusal) => return Err(SqsError::from_refusal(&refusal)),
        };
        let call = Call::read(request)?;
        match (self, reply) {
            (Self::Rested(..), Reply::Count(1..)) => Err(SqsError::new(
                Kind::QueueDeletedRecently,
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )),
            (Self::Rested(name, policy), Reply::Count(_)) => {
                cx.ask(CatalogOp::DeclareQueue { name: Some(name), policy: policy.clone() });
                Ok(Step::Wait(State::Queue(Self::Create(policy))))
            }
            (Self::Create(made), Reply::Queue { created, info }) => {
                let input: CreateQueue<'_> = call.input()?;
                let attributes = input.attributes.unwrap_or_default();
                let differs = attributes::difference(&info, &attributes, &made, cx.options);
                if let Some(attribute) = differs.filter(|_| !created) {
                    let text = format!(
                        "A queue already exists with the same name and a different value for attribute {attribute}"
                    );
                    return Err(SqsError::new(Kind::QueueNameExists, text));
                }
                Ok(shown_url("CreateQueue", &info, cx))
            }
            (Self::Url, Reply::Queue { info, .. }) => Ok(shown_url("GetQueueUrl", &info, cx)),
            (Self::Show, Reply::Queue { info, .. }) => show(&call, &info, cx),
            (Self::Tags, Reply::Queue { info, .. }) => {
                let mut writer = cx.answer.writer("ListQueueTags", 128);
                writer.map("Tags", "Tag", "Key", attributes::tags(&info.policy));
                Ok(Step::Done(cx.answer.done(writer)))
            }
            (Self::Read(change), Reply::Queue { info, .. }) => change.apply(&call, &info, cx),
            (Self::Delete(name), _) => {
                if cx.options.relaxed {
                    return Ok(Step::Done(cx.answer.nothing("DeleteQueue")));
                }
                cx.ask(CatalogOp::Rest { name, until: cx.now.after_ms(NAME_PAUSE_MS) });
                Ok(Step::Wait(State::Queue(Self::Done("DeleteQueue"))))
            }
            (Self::Done(action), _) => Ok(Step::Done(cx.answer.nothing(action))),
            (Self::List { count, prefix }, Reply::Queues(queues)) => Ok(listed(&queues, count, &prefix, cx)),
            (Self::Sources { queue, count, found }, Reply::Queues(queues)) => {
                Ok(sourced(&queues, queue, count, found, cx))
            }
            _ => Err(SqsError::new(Kind::InternalFailure, "The broker gave an answer of the wrong kind.")),
        }
    }
}

fn shown_url(action: &'static str, info: &QueueInfo, cx: &Cx<'_>) -> Step {
    let mut writer = cx.answer.writer(action, 128);
    writer.text("QueueUrl", &cx.url(&info.name));
    Step::Done(cx.answer.done(writer))
}

fn show<'a>(call: &'a Call<'a>, info: &QueueInfo, cx: &Cx<'_>) -> Result<Step, SqsError> {
    let input: GetQueueAttributes<'_> = call.input()?;
    let asked = input.attribute_names.iter().flatten().map(|name| &**name);
    let values = attributes::show(info, asked, cx.options)?;
    let mut writer = cx.answer.writer("GetQueueAttributes", 1_024);
    let pairs = values.iter().map(|(name, value)| (*name, value.as_str()));
    writer.map("Attributes", "Attribute", "Name", pairs);
    Ok(Step::Done(cx.answer.done(writer)))
}

impl Change {
    /// Changes the policy that was read, and asks for the changed one to be put in its place.
    fn apply<'a>(self, call: &'a Call<'a>, info: &QueueInfo, cx: &mut Cx<'_>) -> Result<Step, SqsError> {
        let (name, mut policy) = (info.name.clone(), info.policy.clone());
        let action = match self {
            Self::Attributes => {
                let input: SetQueueAttributes<'_> = call.input()?;
                let attributes = input.attributes.unwrap_or_default();
                attributes::apply(&mut policy, &attributes, &name, false, cx.options)?;
                "SetQueueAttributes"
            }
            Self::Tag => {
                let input: TagQueue<'_> = call.input()?;
                tag(&mut policy, &input.tags.unwrap_or_default())?;
                "TagQueue"
            }
            Self::Untag => {
                let input: UntagQueue<'_> = call.input()?;
                let keys = input.tag_keys.unwrap_or_default();
                keys.iter().for_each(|key| attributes::remove_tag(&mut policy, key));
                "UntagQueue"
            }
            Self::AddPermission => {
                permissions::add(info, &mut policy, &call.input()?, cx.options)?;
                "AddPermission"
            }
            Self::RemovePermission => {
                permissions::remove(&mut policy, &call.input()?)?;
                "RemovePermission"
            }
            Self::Purge => return purge(name, policy, cx),
        };
        cx.ask(CatalogOp::UpdateQueue { name, policy: Box::new(policy) });
        Ok(Step::Wait(State::Queue(Asking::Done(action))))
    }
}

/// Purges, unless that was done within the last minute: when it was is kept with the queue.
fn purge(name: Name, mut policy: QueuePolicy, cx: &mut Cx<'_>) -> Result<Step, SqsError> {
    if !cx.options.relaxed {
        let before = attributes::label(&policy, attributes::PURGED_AT).and_then(|ms| ms.parse::<u64>().ok());
        if before.is_some_and(|before| cx.now.0 < before.saturating_add(PURGE_PAUSE_MS)) {
            let text = format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds.");
            return Err(SqsError::new(Kind::PurgeQueueInProgress, text));
        }
        attributes::set_label(&mut policy, attributes::PURGED_AT, &cx.now.0.to_string());
        // Both in order, answered one after the other; the first answer is not waited for.
        let update = CatalogOp::UpdateQueue { name: name.clone(), policy: Box::new(policy) };
        cx.requests.push(Request::Catalog { token: super::token(0, 1), op: Box::new(update) });
    }
    cx.ask(CatalogOp::ClearQueue { name });
    Ok(Step::Wait(State::Queue(Asking::Done("PurgeQueue"))))
}

/// Names that SQS can have: other protocols allow more.
fn is_visible(info: &QueueInfo) -> bool {
    names::is_valid(&info.name) && !info.policy.exclusive
}

fn listed(queues: &[QueueInfo], count: Option<usize>, _prefix: &Name, cx: &Cx<'_>) -> Step {
    let limit = count.unwrap_or(usize::try_from(PAGE_MAX).unwrap_or(usize::MAX));
    let visible: Vec<&QueueInfo> = queues.iter().filter(|info| is_visible(info)).collect();
    let urls: Vec<String> = visible.iter().take(limit).map(|info| cx.url(&info.name)).collect();
    let mut writer = cx.answer.writer("ListQueues", urls.iter().map(|url| url.len() + 8).sum());
    writer.texts("QueueUrls", "QueueUrl", urls.iter().map(String::as_str), false);
    if let Some(last) =
        visible.get(limit.saturating_sub(1)).filter(|_| count.is_some() && visible.len() > limit)
    {
        writer.text("NextToken", &URL_SAFE_NO_PAD.encode(&last.name));
    }
    Step::Done(cx.answer.done(writer))
}

/// Collects the queues whose dead letters go to `queue`, page after page of all queues.
fn sourced(
    queues: &[QueueInfo],
    queue: Name,
    count: Option<usize>,
    mut found: Vec<Name>,
    cx: &mut Cx<'_>,
) -> Step {
    let goes = |info: &&QueueInfo| {
        let to = info.policy.dead_letter.as_ref();
        to.is_some_and(|to| to.exchange.is_empty() && to.key.as_ref() == Some(&queue)) && is_visible(info)
    };
    found.extend(queues.iter().filter(goes).map(|info| info.name.clone()));
    let limit = count.unwrap_or(usize::try_from(PAGE_MAX).unwrap_or(usize::MAX));
    let more = queues.len() >= SCAN as usize;
    if let Some(last) = queues.last().filter(|_| more && found.len() <= limit) {
        let after = Some(last.name.clone());
        cx.ask(CatalogOp::Queues { after, prefix: Name::default(), count_max: SCAN });
        return Step::Wait(State::Queue(Asking::Sources { queue, count, found }));
    }
    let urls: Vec<String> = found.iter().take(limit).map(|name| cx.url(name)).collect();
    let mut writer = cx.answer.writer("ListDeadLetterSourceQueues", 128 * urls.len());
    writer.texts("queueUrls", "QueueUrl", urls.iter().map(String::as_str), true);
    if let Some(last) = found.get(limit.saturating_sub(1)).filter(|_| count.is_some() && found.len() > limit)
    {
        writer.text("NextToken", &URL_SAFE_NO_PAD.encode(last));
    }
    Step::Done(cx.answer.done(writer))
}
