//! Transactions, and what they exclude.

use baton_model::Outcome;
use baton_model::request::Settle;

use super::*;
use crate::methods::{confirm, tx};

fn publish(peer: &mut Peer) {
    let publish = basic::Publish { routing_key: short("q"), ..Default::default() };
    assert_eq!(peer.publish(&publish, &Properties::default(), b"x"), []);
}

fn with_delivery() -> Peer {
    let mut peer = Peer::with_channel();
    let (consumer, link) = peer.consume(false);
    let message = Message::new(Bytes::from_static(b"x"), 0);
    peer.event(Event::Delivered(Box::new(delivery(consumer, link, 9, message))));
    assert_eq!(peer.send(1, tx::Select), [method(1, tx::SelectOk)]);
    peer
}

#[test]
fn a_commit_is_one_group() {
    let mut peer = with_delivery();
    publish(&mut peer);
    peer.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    publish(&mut peer);
    assert!(peer.take_requests().is_empty());
    assert_eq!(peer.send(1, tx::Commit), []);
    let requests = peer.take_requests();
    let [Request::Group { token, requests }] = &requests[..] else { panic!("{requests:?}") };
    assert!(
        matches!(
            &requests[..],
            [
                Request::Publish(_),
                Request::Settle(Settle { outcome: Outcome::Complete, token: None, .. }),
                Request::Publish(_)
            ]
        ),
        "{requests:?}"
    );
    assert_eq!(peer.reply(*token, Ok(Reply::Done)), [method(1, tx::CommitOk)]);
    peer.send(1, tx::Commit);
    let requests = peer.take_requests();
    assert!(matches!(&requests[..], [Request::Group { requests, .. }] if requests.is_empty()));
}

#[test]
fn a_rollback_forgets_publishes_and_gives_tags_back() {
    let mut peer = with_delivery();
    publish(&mut peer);
    peer.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    assert_eq!(peer.send(1, tx::Rollback), [method(1, tx::RollbackOk)]);
    peer.send(1, basic::Reject { delivery_tag: 1, requeue: false });
    peer.send(1, tx::Commit);
    let requests = peer.take_requests();
    let [Request::Group { requests, .. }] = &requests[..] else { panic!("{requests:?}") };
    assert!(matches!(&requests[..], [Request::Settle(Settle { outcome: Outcome::Reject { .. }, .. })]));
}

#[test]
fn a_refused_commit_closes_the_channel() {
    let mut peer = with_delivery();
    publish(&mut peer);
    peer.send(1, tx::Commit);
    let token = peer.only_token();
    let got = peer.refuse(token, RefusalCode::ExchangeNotFound, "no exchange 'x' in vhost '/'");
    let expected = (404, "NOT_FOUND - no exchange 'x' in vhost '/'".to_owned());
    assert_eq!(Peer::channel_failure(&got), expected);
}

#[test]
fn confirms_and_transactions_exclude_each_other() {
    let mut peer = Peer::with_channel();
    peer.send(1, tx::Select);
    let (code, text) = Peer::channel_failure(&peer.send(1, confirm::Select { no_wait: false }));
    assert_eq!((code, text.as_str()), (406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"));
    let mut peer = Peer::with_channel();
    peer.send(1, confirm::Select { no_wait: true });
    let (code, text) = Peer::channel_failure(&peer.send(1, tx::Select));
    assert_eq!((code, text.as_str()), (406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"));
    for outside in [Method::from(tx::Commit), tx::Rollback.into()] {
        let mut peer = Peer::with_channel();
        let (code, text) = Peer::channel_failure(&peer.send(1, outside));
        assert_eq!((code, text.as_str()), (406, "PRECONDITION_FAILED - channel is not transactional"));
    }
}
