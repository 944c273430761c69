//! A queue as JSON: its counts and its policy.

use baton_model::event::QueueInfo;
use serde::Serialize;

use super::policy::PolicyJson;

/// A queue as it is.
#[derive(Debug, Serialize)]
pub struct QueueJson {
    name: String,
    ready: u64,
    in_flight: u64,
    scheduled: u64,
    deferred: u64,
    bytes: u64,
    consumers: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_at_ms: Option<u64>,
    created_at_ms: u64,
    changed_at_ms: u64,
    exclusive: bool,
    policy: PolicyJson,
}

impl From<&QueueInfo> for QueueJson {
    fn from(info: &QueueInfo) -> Self {
        Self {
            name: info.name.to_string(),
            ready: info.ready,
            in_flight: info.in_flight,
            scheduled: info.scheduled,
            deferred: info.deferred,
            bytes: info.bytes,
            consumers: info.consumers,
            oldest_at_ms: info.oldest_at.map(|time| time.0),
            created_at_ms: info.created_at.0,
            changed_at_ms: info.changed_at.0,
            exclusive: info.policy.exclusive,
            policy: PolicyJson::from(&info.policy),
        }
    }
}
