//! What a queue says of itself is what is in it, message by message; and when everything was taken out that can be, no
//! queue has anything left.

use baton_model::request::MessageState;

use super::Checker;
use crate::fact::{Audited, Fact};

#[derive(Debug)]
pub(super) struct Counters;

fn check(queue: &Audited) -> Result<(), String> {
    let Audited { info, messages } = queue;
    let count = |state| messages.iter().filter(|message| message.state == state).count() as u64;
    let bytes: u64 = messages.iter().map(|message| message.message.size_bytes() as u64).sum();
    let said = [info.ready, info.scheduled, info.in_flight, info.deferred, info.bytes];
    let found = [
        count(MessageState::Ready),
        count(MessageState::Scheduled),
        count(MessageState::InFlight),
        count(MessageState::Deferred),
        bytes,
    ];
    if said != found {
        return Err(format!(
            "queue {} says (ready, scheduled, in flight, deferred, bytes) {said:?}, in it are {found:?}",
            info.name
        ));
    }
    if !messages.is_sorted_by(|a, b| a.seq < b.seq) {
        return Err(format!("queue {} is not in order", info.name));
    }
    let capacity = &info.policy.capacity;
    if capacity.messages_max.is_some_and(|max| info.ready + info.scheduled > max)
        && messages.iter().all(|message| message.acquired == 0)
    {
        return Err(format!("queue {} holds more than it may: {said:?}", info.name));
    }
    Ok(())
}

impl Checker for Counters {
    fn name(&self) -> &'static str {
        "counters"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Audit { queues, .. } = fact else { return Ok(()) };
        queues.iter().try_for_each(check)
    }
}
