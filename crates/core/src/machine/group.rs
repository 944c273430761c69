//! All or nothing: several publishes and settlements in one step, so in one batch of the journal.

use std::collections::BTreeMap;

use baton_model::limits::GROUP_REQUESTS_MAX;
use baton_model::{ConnectionId, Publish, QueueId, Refusal, RefusalCode, Reply, Request, Time, Token};

use super::Machine;
use super::publish::{Admission, Room, body_bytes};
use crate::context::Context;

/// What the messages of a group take of the queues they go to, so that those at its end find what those before them leave.
type Planned = BTreeMap<QueueId, Room>;

impl Machine {
    pub(super) fn group(
        &mut self,
        now: Time,
        from: ConnectionId,
        token: Token,
        requests: Vec<Request>,
        cx: &mut Context<'_>,
    ) {
        let result = self.try_group(now, from, requests, cx);
        let needs = result.as_ref().ok().copied().flatten();
        super::reply(cx, from, token, needs, result.map(|_| Reply::Done));
    }

    /// First everything is checked, then everything is done. Returns what must be durable for all of it to be.
    fn try_group(
        &mut self,
        now: Time,
        from: ConnectionId,
        requests: Vec<Request>,
        cx: &mut Context<'_>,
    ) -> Result<Option<u64>, Refusal> {
        if requests.len() > GROUP_REQUESTS_MAX {
            let text = format!("a transaction has at most {GROUP_REQUESTS_MAX} steps; commit more often");
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        let mut planned = Planned::default();
        for request in &requests {
            match request {
                Request::Publish(publish) => self.plan(now, from, publish, &mut planned, cx)?,
                Request::Settle(_) => {}
                _ => {
                    let text = "only sends and settlements can be part of a transaction";
                    return Err(Refusal::new(RefusalCode::Invalid, text));
                }
            }
        }
        let mut needs = None;
        for request in requests {
            match request {
                Request::Publish(publish) => self.publish(now, from, *publish, Admission::Given, cx),
                Request::Settle(settle) => self.settle(now, from, &settle, cx),
                _ => {}
            }
            needs = needs.max(self.last_end);
        }
        Ok(needs)
    }

    /// Whether the queues of a message take it besides those of the group before it.
    fn plan(
        &mut self,
        now: Time,
        from: ConnectionId,
        publish: &Publish,
        planned: &mut Planned,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let targets = self.route(from, publish)?;
        if self.duplicate(now, publish, &targets).is_some() {
            return Ok(());
        }
        for queue in targets {
            let taken = planned.entry(queue).or_default();
            self.admit(now, queue, publish, *taken, cx)?;
            taken.messages += 1;
            taken.bytes += body_bytes(publish);
        }
        Ok(())
    }
}
