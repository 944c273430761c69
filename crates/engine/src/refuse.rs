//! Answering requests without the core: while producers are kept back, after the partition has stopped, and for what is too large
//! for a journal.

use baton_model::list::ListOp;
use baton_model::{Event, PublishOutcome, Refusal, RefusalCode, Request};

use crate::options::{CONTENT_BYTES_MAX, GROUP_BYTES_MAX};

/// The answer to a request that is refused, if it wants one.
pub(crate) fn answer(request: Request, refusal: &dyn Fn() -> Refusal) -> Option<Event> {
    let reply = |token| Some(Event::Reply { token, result: Err(refusal()) });
    match request {
        Request::Publish(publish) => {
            Some(Event::Published { token: publish.token, outcome: PublishOutcome::Refused(refusal()) })
        }
        // Nothing was done to them: that is what `stale` says.
        Request::Settle(settle) => {
            settle.token.map(|token| Event::Settled { token, stale: settle.deliveries.into_vec() })
        }
        Request::Fetch(fetch) => Some(Event::Fetched { token: fetch.token, result: Err(refusal()) }),
        Request::Authenticate { token, .. }
        | Request::Open { token, .. }
        | Request::Unsubscribe { token, .. }
        | Request::Recover { token, .. }
        | Request::Group { token, .. }
        | Request::Catalog { token, .. }
        | Request::Inspect { token, .. } => reply(token),
        Request::Listen { token, .. }
        | Request::Unlisten { token, .. }
        | Request::Listeners { token, .. } => reply(token),
        Request::Subscribe(subscribe) => reply(subscribe.token),
        Request::List(list) => reply(list.token),
        Request::ListGroup(group) => reply(group.token),
        Request::Credit { .. }
        | Request::LinkWindow { .. }
        | Request::Flow { .. }
        | Request::CancelFetch { .. }
        | Request::Detach { .. } => None,
    }
}

/// Whether the request brings contents in, and so needs space.
pub(crate) fn needs_space(request: &Request) -> bool {
    match request {
        Request::Publish(_) => true,
        Request::Group { requests, .. } => requests.iter().any(|r| matches!(r, Request::Publish(_))),
        Request::List(list) => list.op.brings(),
        Request::ListGroup(group) => group.ops.iter().any(ListOp::brings),
        _ => false,
    }
}

/// Whether the request is larger than one batch of the journal may be.
pub(crate) fn too_large(request: &Request) -> bool {
    let content_bytes = |request: &Request| match request {
        Request::Publish(publish) => publish.message.size_bytes(),
        _ => 0,
    };
    match request {
        Request::Publish(_) => content_bytes(request) > CONTENT_BYTES_MAX,
        Request::Group { requests, .. } => {
            let sizes = requests.iter().map(content_bytes);
            let all = sizes.clone().fold(0, usize::saturating_add);
            all > GROUP_BYTES_MAX || sizes.max().unwrap_or(0) > CONTENT_BYTES_MAX
        }
        Request::List(list) => ops_too_large(std::slice::from_ref(&list.op)),
        Request::ListGroup(group) => ops_too_large(&group.ops),
        _ => false,
    }
}

/// As [`too_large`], for operations on lists.
fn ops_too_large(ops: &[ListOp]) -> bool {
    let all = ops.iter().map(ListOp::content_bytes).fold(0, usize::saturating_add);
    all > GROUP_BYTES_MAX || ops.iter().any(|op| op.message_bytes_max() > CONTENT_BYTES_MAX)
}

/// The request is too large.
pub(crate) fn message_too_large() -> Refusal {
    Refusal::new(
        RefusalCode::MessageTooLarge,
        format!(
            "a message may have {CONTENT_BYTES_MAX} bytes and a transaction {GROUP_BYTES_MAX}; send less at once"
        ),
    )
}

/// The partition has stopped.
pub(crate) fn unavailable(why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!(
            "the broker has stopped working ({why}); nothing it confirmed is lost, its operator must restart it"
        ),
    )
}
