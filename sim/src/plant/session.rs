//! Bugs planted around the sessions of real protocols: between them and the broker, and between them and their clients.

use baton_model::event::PublishOutcome;
use baton_model::list::{ListOp, Listed};
use baton_model::{Event, MessageId, Reply, Request, Seq};

use super::{Plant, Planted};

impl Planted {
    /// A session asks for something, and this is what it hears before the broker has even seen it.
    pub(crate) fn asked(&mut self, request: &mut Request) -> Option<Event> {
        match self.plant {
            Plant::AnswerEarly => answer(request),
            Plant::SettleAnother => {
                if let Request::Settle(settle) = request
                    && let Some(first) = settle.deliveries.first_mut()
                {
                    let meant = *first;
                    *first = self.settled.replace(meant).unwrap_or(meant);
                }
                None
            }
            _ => None,
        }
    }

    /// A client's requests come into the broker.
    pub(crate) fn submitted(&mut self, requests: &mut [Request]) {
        for request in requests {
            if let Request::ListGroup(group) = request
                && self.plant == Plant::IgnoreWatches
            {
                group.unless_changed.clear();
            }
            if let Request::Publish(publish) = request
                && let Some(id) = &mut publish.dedup_id
                && matches!(self.plant, Plant::LoseDedupIds | Plant::MixDedupIds)
                && self.dice.one_in(2)
            {
                match self.plant {
                    Plant::LoseDedupIds => publish.dedup_id = None,
                    _ => *id = "d1".into(),
                }
            }
        }
    }

    /// A session wrote this.
    pub(crate) fn written(&mut self, wire: &mut [u8]) {
        if self.plant == Plant::GarbleBodies
            && let Some(at) = wire.windows(8).rposition(|bytes| bytes == b"xxxxxxxx")
            && self.dice.one_in(3)
        {
            wire[at] = b'y';
        }
    }
}

/// The answer that a request hopes for.
fn answer(request: &Request) -> Option<Event> {
    match request {
        Request::Publish(publish) if publish.confirm => {
            let outcome = PublishOutcome::Accepted { id: MessageId(0), seq: Seq(0), queues: 1 };
            Some(Event::Published { token: publish.token, outcome })
        }
        Request::Settle(settle) => settle.token.map(|token| Event::Settled { token, stale: Vec::new() }),
        Request::List(list) if matches!(list.op, ListOp::Push { .. }) => {
            Some(Event::Reply { token: list.token, result: Ok(Reply::Listed(Listed::Count(1))) })
        }
        Request::Group { token, .. } => Some(Event::Reply { token: *token, result: Ok(Reply::Done) }),
        _ => None,
    }
}
