//! All or nothing: several publishes and settlements in one step, so in one batch of the journal.

use baton_model::limits::GROUP_REQUESTS_MAX;
use baton_model::{ConnectionId, Refusal, RefusalCode, Reply, Request, Time, Token};

use super::Machine;
use crate::context::Context;

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
        for request in &requests {
            match request {
                Request::Publish(publish) => {
                    for queue in self.route(from, publish)? {
                        self.admit(now, queue, publish, cx)?;
                    }
                }
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
                Request::Publish(publish) => self.publish(now, from, *publish, cx),
                Request::Settle(settle) => self.settle(now, from, &settle, cx),
                _ => {}
            }
            needs = needs.max(self.last_end);
        }
        Ok(needs)
    }
}
