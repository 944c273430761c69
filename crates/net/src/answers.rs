//! Turns a refused request into the event that its session understands as the answer. Used by the driver alone.

use baton_model::event::Event;
use baton_model::{PublishOutcome, Refusal, Request};

/// The answer to `request`, refused. `None`: the request has no answer; it is dropped (it gives up or regulates something,
/// and is never refused on an open connection).
pub(crate) fn refused(request: &Request, refusal: Refusal) -> Option<Event> {
    let token = match request {
        Request::Publish(publish) => {
            return Some(Event::Published {
                token: publish.token,
                outcome: PublishOutcome::Refused(refusal),
            });
        }
        Request::Fetch(fetch) => return Some(Event::Fetched { token: fetch.token, result: Err(refusal) }),
        Request::Settle(settle) => settle.token?,
        Request::Subscribe(subscribe) => subscribe.token,
        Request::List(list) => list.token,
        Request::ListGroup(group) => group.token,
        Request::Authenticate { token, .. }
        | Request::Open { token, .. }
        | Request::Unsubscribe { token, .. }
        | Request::Recover { token, .. }
        | Request::Group { token, .. }
        | Request::Listen { token, .. }
        | Request::Unlisten { token, .. }
        | Request::Listeners { token, .. }
        | Request::Catalog { token, .. }
        | Request::Inspect { token, .. } => *token,
        Request::Credit { .. }
        | Request::LinkWindow { .. }
        | Request::Flow { .. }
        | Request::CancelFetch { .. }
        | Request::Detach { .. } => return None,
    };
    Some(Event::Reply { token, result: Err(refusal) })
}
