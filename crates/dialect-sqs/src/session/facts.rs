//! What a session remembers of a queue, so that sending and receiving need not ask. Forgotten when any queue changes.

use baton_model::QueueId;
use baton_model::event::QueueInfo;

use crate::attributes;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::names;

/// One queue.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// There is no such queue.
    pub(crate) missing: bool,
    pub(crate) id: QueueId,
    pub(crate) fifo: bool,
    /// Messages without a deduplication id are told apart by their bodies.
    pub(crate) dedup_by_body: bool,
    /// How long a receive waits that does not say, milliseconds.
    pub(crate) wait_ms: u64,
    pub(crate) message_bytes_max: u64,
    /// Who may use it as a dead-letter queue.
    pub(crate) redrive_allow: Option<String>,
}

impl Facts {
    /// `message_bytes_max`: what the broker takes at all.
    pub(crate) fn of(info: &QueueInfo, message_bytes_max: u64) -> Self {
        let policy = &info.policy;
        Self {
            missing: false,
            id: info.id,
            fifo: names::is_fifo(&info.name),
            dedup_by_body: policy.dedup.is_some_and(|dedup| dedup.by_body),
            wait_ms: attributes::wait_ms(policy),
            message_bytes_max: policy
                .capacity
                .message_bytes_max
                .unwrap_or(MESSAGE_BYTES_MAX)
                .min(message_bytes_max),
            redrive_allow: attributes::label(policy, attributes::REDRIVE_ALLOW).map(str::to_owned),
        }
    }

    pub(crate) fn missing() -> Self {
        Self {
            missing: true,
            id: QueueId(0),
            fifo: false,
            dedup_by_body: false,
            wait_ms: 0,
            message_bytes_max: 0,
            redrive_allow: None,
        }
    }
}
