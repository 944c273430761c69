//! Queue attributes and tags: checked, turned into a queue's policy, and shown again. What the policy has no word for stands in
//! its labels, under names that begin with `sqs:`; tags under `sqs-tag:`.

use baton_model::event::QueueInfo;
use baton_model::policy::{
    Capacity, Counter, DeadLetterPolicy, DedupPolicy, DispatchPolicy, KeyMode, KeyPolicy, Overflow,
    RetryPolicy,
};
use baton_model::{Name, QueuePolicy};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Kind, SqsError};
use crate::input::TextMap;
use crate::limits::{
    DEDUP_WINDOW_MS, DELAY_S_MAX, IN_FLIGHT_MAX, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, RECEIVE_COUNT_MAX,
    RETENTION_S_DEFAULT, RETENTION_S_MAX, RETENTION_S_MIN, SOURCE_QUEUES_MAX, VISIBILITY_S_DEFAULT,
    VISIBILITY_S_MAX, WAIT_S_MAX,
};
use crate::names;
use crate::options::SqsOptions;

const LABEL: &str = "sqs:";
const TAG: &str = "sqs-tag:";
pub(crate) const REDRIVE_ALLOW: &str = "RedriveAllowPolicy";
pub(crate) const POLICY: &str = "Policy";
const WAIT: &str = "ReceiveMessageWaitTimeSeconds";
/// When the queue was last purged, milliseconds since the epoch; not shown.
pub(crate) const PURGED_AT: &str = "purged-at";

/// Every attribute that can be asked for, in the order in which AWS's documentation has them.
const NAMES: [&str; 21] = [
    "Policy",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
    "ApproximateNumberOfMessagesDelayed",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

/// Values of `KmsDataKeyReusePeriodSeconds`.
const KEY_REUSE_S: std::ops::RangeInclusive<u64> = 60..=86_400;

/// The policy of a queue that is made with no attributes.
pub(crate) fn new_policy(fifo: bool) -> QueuePolicy {
    let mode = if fifo { KeyMode::Ordered } else { KeyMode::Fair };
    let dedup = DedupPolicy { window_ms: DEDUP_WINDOW_MS, by_body: false, per_key: false };
    QueuePolicy {
        persist_all: true,
        drop_expired: true,
        ttl_since_sent: !fifo,
        ttl_ms: Some(RETENTION_S_DEFAULT * 1_000),
        lease_ms: VISIBILITY_S_DEFAULT * 1_000,
        capacity: Capacity {
            message_bytes_max: Some(MESSAGE_BYTES_MAX),
            overflow: Overflow::Refuse,
            ..Capacity::default()
        },
        retry: RetryPolicy { counter: Counter::Acquired, ..RetryPolicy::default() },
        keys: KeyPolicy { mode, ..KeyPolicy::default() },
        dedup: fifo.then_some(dedup),
        dispatch: DispatchPolicy { in_flight_max: Some(IN_FLIGHT_MAX), ..DispatchPolicy::default() },
        ..QueuePolicy::default()
    }
}

/// A label of SQS's.
pub(crate) fn label<'p>(policy: &'p QueuePolicy, name: &str) -> Option<&'p str> {
    let own = |label: &&(Name, Name)| label.0.strip_prefix(LABEL) == Some(name);
    policy.labels.iter().find(own).map(|(_, value)| value.as_str())
}

/// Sets or (with an empty value) removes a label of SQS's.
pub(crate) fn set_label(policy: &mut QueuePolicy, name: &str, value: &str) {
    put(policy, format!("{LABEL}{name}"), value);
}

fn put(policy: &mut QueuePolicy, name: String, value: &str) {
    let name = Name::from(name);
    policy.labels.retain(|(own, _)| *own != name);
    if !value.is_empty() {
        policy.labels.push((name, Name::new(value)));
    }
}

/// How long a receive waits that does not say, milliseconds.
pub(crate) fn wait_ms(policy: &QueuePolicy) -> u64 {
    label(policy, WAIT).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0) * 1_000
}

/// Tags, in the order of their keys.
pub(crate) fn tags(policy: &QueuePolicy) -> Vec<(&str, &str)> {
    let tags = policy.labels.iter().filter_map(|(name, value)| Some((name.strip_prefix(TAG)?, value)));
    // An empty value cannot be told from none in a label; it stands as one space more.
    let mut tags: Vec<(&str, &str)> =
        tags.map(|(key, value)| (key, value.strip_prefix(' ').unwrap_or(value))).collect();
    tags.sort_unstable();
    tags
}

/// Sets a tag.
pub(crate) fn set_tag(policy: &mut QueuePolicy, key: &str, value: &str) {
    put(policy, format!("{TAG}{key}"), &format!(" {value}"));
}

/// Removes a tag.
pub(crate) fn remove_tag(policy: &mut QueuePolicy, key: &str) {
    put(policy, format!("{TAG}{key}"), "");
}

/// A redrive policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Redrive {
    /// The dead-letter queue's name.
    pub(crate) target: String,
    receive_count_max: u32,
}

/// Reads the value of `RedrivePolicy`.
///
/// # Errors
/// It is no JSON, or names no queue of this account, or a count that is not allowed.
pub(crate) fn redrive(text: &str, options: &SqsOptions) -> Result<Redrive, SqsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Json {
        dead_letter_target_arn: Option<String>,
        max_receive_count: Option<Value>,
    }
    let bad = |reason: &str| SqsError::value(text, "RedrivePolicy", reason);
    let json: Json =
        serde_json::from_str(text).map_err(|_| bad("Redrive policy is not a valid JSON map."))?;
    let arn = json
        .dead_letter_target_arn
        .ok_or_else(|| bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn."))?;
    let count = json
        .max_receive_count
        .ok_or_else(|| bad("Redrive policy does not contain mandatory attribute: maxReceiveCount."))?;
    let count = match &count {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let range = format!(
        "Invalid value for maxReceiveCount: must be between 1 and {RECEIVE_COUNT_MAX}, both inclusive."
    );
    let count = count.filter(|count| (1..=RECEIVE_COUNT_MAX).contains(count)).ok_or_else(|| bad(&range))?;
    let target =
        names::from_arn(&arn, options).ok_or_else(|| bad("Invalid value for deadLetterTargetArn."))?;
    Ok(Redrive { target: target.to_owned(), receive_count_max: u32::try_from(count).unwrap_or(u32::MAX) })
}

/// Whether a queue may use another as its dead-letter queue, by that one's redrive-allow policy.
pub(crate) fn allows(redrive_allow: Option<&str>, source: &str, options: &SqsOptions) -> bool {
    let Some(json) = redrive_allow.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return true;
    };
    let arn = names::arn(options, source);
    match json.get("redrivePermission").and_then(Value::as_str) {
        Some("denyAll") => false,
        Some("byQueue") => json
            .get("sourceQueueArns")
            .and_then(Value::as_array)
            .is_some_and(|arns| arns.iter().any(|own| own.as_str() == Some(&arn))),
        _ => true,
    }
}

/// Puts attributes into a policy. `creating`: those that cannot change later are allowed.
///
/// # Errors
/// A name that does not exist, a value that is not allowed.
pub(crate) fn apply(
    policy: &mut QueuePolicy,
    attributes: &TextMap<'_>,
    name: &str,
    creating: bool,
    options: &SqsOptions,
) -> Result<(), SqsError> {
    let fifo = names::is_fifo(name);
    for (attribute, value) in attributes {
        set(policy, attribute, value, fifo, creating, options)?;
    }
    let declared = attributes.get("FifoQueue").map(|value| value.eq_ignore_ascii_case("true"));
    if creating && fifo && declared != Some(true) {
        return Err(SqsError::new(
            Kind::InvalidParameterValue,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        ));
    }
    if creating && !fifo && declared == Some(true) {
        return Err(SqsError::new(
            Kind::InvalidParameterValue,
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.",
        ));
    }
    let with_key = attributes.get("KmsMasterKeyId").is_some_and(|key| !key.is_empty());
    if with_key && attributes.get("SqsManagedSseEnabled").is_some_and(|value| flag(value) == Some(true)) {
        return Err(SqsError::new(
            Kind::InvalidAttributeName,
            "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
        ));
    }
    let limit = label(policy, "FifoThroughputLimit");
    if limit == Some("perMessageGroupId") && !policy.dedup.is_some_and(|dedup| dedup.per_key) {
        return Err(SqsError::new(
            Kind::InvalidAttributeValue,
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.",
        ));
    }
    Ok(())
}

fn set(
    policy: &mut QueuePolicy,
    attribute: &str,
    value: &str,
    fifo: bool,
    creating: bool,
    options: &SqsOptions,
) -> Result<(), SqsError> {
    let bad = || invalid(attribute);
    let number = |min: u64, max: u64| {
        value.parse::<u64>().ok().filter(|number| (min..=max).contains(number)).ok_or_else(bad)
    };
    let whole = |number: i64| u64::try_from(number).unwrap_or_default();
    match attribute {
        "VisibilityTimeout" => policy.lease_ms = number(0, whole(VISIBILITY_S_MAX))? * 1_000,
        "DelaySeconds" => policy.delay_ms = number(0, whole(DELAY_S_MAX))? * 1_000,
        "MessageRetentionPeriod" => {
            policy.ttl_ms = Some(number(RETENTION_S_MIN, RETENTION_S_MAX)? * 1_000);
        }
        "MaximumMessageSize" => {
            policy.capacity.message_bytes_max = Some(number(MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX)?);
        }
        WAIT => set_label(policy, WAIT, &number(0, whole(WAIT_S_MAX))?.to_string()),
        "RedrivePolicy" if value.is_empty() => {
            policy.dead_letter = None;
            policy.retry.attempts_max = None;
        }
        "RedrivePolicy" => {
            let redrive = redrive(value, options)?;
            policy.retry.attempts_max = Some(redrive.receive_count_max);
            policy.retry.counter = Counter::Acquired;
            policy.dead_letter =
                Some(DeadLetterPolicy { exchange: Name::default(), key: Some(Name::from(redrive.target)) });
        }
        REDRIVE_ALLOW => {
            check_redrive_allow(value)?;
            set_label(policy, REDRIVE_ALLOW, value);
        }
        POLICY => {
            let is_object = serde_json::from_str::<Value>(value).is_ok_and(|json| json.is_object());
            if !value.is_empty() && !is_object {
                return Err(bad());
            }
            set_label(policy, POLICY, value);
        }
        "KmsMasterKeyId" | "KmsDataKeyReusePeriodSeconds" | "SqsManagedSseEnabled" => {
            return set_encryption(policy, attribute, value);
        }
        "FifoQueue" if fifo || creating && flag(value) == Some(true) => {
            // What it is does not change, but may be said again. What is wrong with the name is said by `apply`.
            if flag(value).ok_or_else(bad)? != fifo && !creating {
                return Err(SqsError::new(
                    Kind::InvalidAttributeValue,
                    "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
                ));
            }
        }
        _ => return set_fifo(policy, attribute, value, fifo),
    }
    Ok(())
}

/// Attributes of encryption at rest: kept and shown, and nothing else.
fn set_encryption(policy: &mut QueuePolicy, attribute: &str, value: &str) -> Result<(), SqsError> {
    match attribute {
        "KmsMasterKeyId" => {
            set_label(policy, attribute, value);
            if !value.is_empty() {
                set_label(policy, "SqsManagedSseEnabled", "false");
            }
        }
        "SqsManagedSseEnabled" => {
            let on = flag(value).ok_or_else(|| invalid(attribute))?;
            set_label(policy, attribute, if on { "true" } else { "false" });
            if on {
                set_label(policy, "KmsMasterKeyId", "");
            }
        }
        _ => {
            let seconds = value.parse::<u64>().ok().filter(|s| KEY_REUSE_S.contains(s));
            set_label(policy, attribute, &seconds.ok_or_else(|| invalid(attribute))?.to_string());
        }
    }
    Ok(())
}

/// Attributes of FIFO queues only, and names that do not exist.
fn set_fifo(policy: &mut QueuePolicy, attribute: &str, value: &str, fifo: bool) -> Result<(), SqsError> {
    let known =
        matches!(attribute, "ContentBasedDeduplication" | "DeduplicationScope" | "FifoThroughputLimit");
    let Some(dedup) = policy.dedup.as_mut().filter(|_| known && fifo) else {
        let text = format!("Unknown Attribute {attribute}.");
        return Err(SqsError::new(Kind::InvalidAttributeName, text));
    };
    match (attribute, value) {
        ("ContentBasedDeduplication", value) => {
            dedup.by_body = flag(value).ok_or_else(|| invalid(attribute))?;
        }
        ("DeduplicationScope", "queue") => dedup.per_key = false,
        ("DeduplicationScope", "messageGroup") => dedup.per_key = true,
        ("FifoThroughputLimit", "perQueue" | "perMessageGroupId") => set_label(policy, attribute, value),
        _ => return Err(invalid(attribute)),
    }
    Ok(())
}

fn flag(value: &str) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Some(true),
        _ if value.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn check_redrive_allow(value: &str) -> Result<(), SqsError> {
    if value.is_empty() {
        return Ok(());
    }
    let bad = |reason: &str| SqsError::value(value, REDRIVE_ALLOW, reason);
    let json: Value =
        serde_json::from_str(value).map_err(|_| bad("Redrive allow policy is not a valid JSON map."))?;
    let arns = json.get("sourceQueueArns").map(|arns| arns.as_array().map_or(0, Vec::len));
    match (json.get("redrivePermission").and_then(Value::as_str), arns) {
        (Some("allowAll" | "denyAll"), None) => Ok(()),
        (Some("byQueue"), _) if !all_arns(&json) => Err(bad("sourceQueueArns must be ARNs of queues.")),
        (Some("byQueue"), Some(count)) if (1..=SOURCE_QUEUES_MAX).contains(&count) => Ok(()),
        (Some("byQueue"), _) => Err(bad(&format!(
            "sourceQueueArns must have between 1 and {SOURCE_QUEUES_MAX} queues with redrivePermission byQueue."
        ))),
        (Some("allowAll" | "denyAll"), Some(_)) => {
            Err(bad("sourceQueueArns can only be given with redrivePermission byQueue."))
        }
        _ => Err(bad("redrivePermission must be allowAll, denyAll or byQueue.")),
    }
}

fn all_arns(json: &Value) -> bool {
    let mut arns = json.get("sourceQueueArns").and_then(Value::as_array).into_iter().flatten();
    arns.all(|arn| arn.as_str().is_some_and(|arn| arn.starts_with("arn:aws") && arn.contains(":sqs:")))
}

fn invalid(attribute: &str) -> SqsError {
    SqsError::new(Kind::InvalidAttributeValue, format!("Invalid value for the parameter {attribute}."))
}

/// The attributes of a queue that were asked for; `All` is all that it has.
///
/// # Errors
/// A name that does not exist.
pub(crate) fn show<'n>(
    info: &QueueInfo,
    asked: impl Iterator<Item = &'n str>,
    options: &SqsOptions,
) -> Result<Vec<(&'static str, String)>, SqsError> {
    let mut wanted: Vec<&'static str> = Vec::new();
    for name in asked {
        match NAMES.iter().find(|known| **known == name) {
            Some(known) => wanted.push(known),
            None if name == "All" => wanted.extend(NAMES),
            None => {
                return Err(SqsError::new(Kind::InvalidAttributeName, format!("Unknown Attribute {name}.")));
            }
        }
    }
    let position = |name: &str| NAMES.iter().position(|known| *known == name);
    wanted.sort_unstable_by_key(|name| position(name));
    wanted.dedup();
    Ok(wanted.into_iter().filter_map(|name| Some((name, value(info, name, options)?))).collect())
}

/// One attribute's value as it is shown; `None` where the queue has none.
pub(crate) fn value(info: &QueueInfo, name: &str, options: &SqsOptions) -> Option<String> {
    let policy = &info.policy;
    let fifo = names::is_fifo(&info.name);
    Some(match name {
        "VisibilityTimeout" => (policy.lease_ms / 1_000).to_string(),
        "MaximumMessageSize" => {
            policy.capacity.message_bytes_max.unwrap_or(MESSAGE_BYTES_MAX).min(MESSAGE_BYTES_MAX).to_string()
        }
        "MessageRetentionPeriod" => policy.ttl_ms.map_or(RETENTION_S_MAX, |ms| ms / 1_000).to_string(),
        "ApproximateNumberOfMessages" => info.ready.to_string(),
        "ApproximateNumberOfMessagesNotVisible" => info.in_flight.to_string(),
        "ApproximateNumberOfMessagesDelayed" => info.scheduled.to_string(),
        "CreatedTimestamp" => (info.created_at.0 / 1_000).to_string(),
        "LastModifiedTimestamp" => (info.changed_at.0 / 1_000).to_string(),
        "QueueArn" => names::arn(options, &info.name),
        "DelaySeconds" => (policy.delay_ms / 1_000).to_string(),
        WAIT => label(policy, WAIT).unwrap_or("0").to_owned(),
        "RedrivePolicy" => {
            let target = policy.dead_letter.as_ref().filter(|to| to.exchange.is_empty())?.key.as_ref()?;
            let (arn, count) = (names::arn(options, target), policy.retry.attempts_max?);
            format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":{count}}}")
        }
        "FifoQueue" if fifo => "true".to_owned(),
        "ContentBasedDeduplication" if fifo => policy.dedup?.by_body.to_string(),
        "DeduplicationScope" if fifo => {
            if policy.dedup?.per_key { "messageGroup" } else { "queue" }.to_owned()
        }
        "FifoThroughputLimit" if fifo => label(policy, name).unwrap_or("perQueue").to_owned(),
        "SqsManagedSseEnabled" => label(policy, name).unwrap_or("true").to_owned(),
        POLICY | REDRIVE_ALLOW | "KmsMasterKeyId" => label(policy, name)?.to_owned(),
        "KmsDataKeyReusePeriodSeconds" => {
            let default = label(policy, "KmsMasterKeyId").map(|_| "300");
            label(policy, name).or(default)?.to_owned()
        }
        _ => return None,
    })
}

/// The first of the attributes whose value differs from what the queue has: what keeps two makers of one queue from agreeing.
pub(crate) fn difference<'n>(
    info: &QueueInfo,
    attributes: &'n TextMap<'_>,
    made: &QueuePolicy,
    options: &SqsOptions,
) -> Option<&'n str> {
    let as_asked = QueueInfo { policy: made.clone(), ..info.clone() };
    let differs = |name: &&str| value(info, name, options) != value(&as_asked, name, options);
    attributes.keys().map(|name| &**name).find(differs)
}
