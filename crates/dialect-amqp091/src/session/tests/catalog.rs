//! Exchanges and queues: what is asked, what is compared, what is refused.

use baton_model::policy::{Backoff, BackoffOn, Growth, Overflow};
use baton_model::request::CatalogOp;
use baton_model::route::{Destination, ExchangeKind, ExchangePolicy};

use super::*;
use crate::methods::{exchange, queue as q};
use crate::table::{FieldValue, Table};

fn declare(name: &str, arguments: impl std::borrow::Borrow<FieldTable>) -> q::Declare {
    q::Declare {
        queue: short(name),
        durable: true,
        arguments: arguments.borrow().encode(),
        ..Default::default()
    }
}

fn asked(peer: &mut Peer) -> (Token, CatalogOp) {
    let mut requests = peer.take_requests();
    match requests.pop() {
        Some(Request::Catalog { token, op }) if requests.is_empty() => (token, *op),
        other => panic!("{other:?} after {requests:?}"),
    }
}

fn policy_of(arguments: FieldTable) -> QueuePolicy {
    let mut peer = Peer::with_channel();
    assert_eq!(peer.send(1, declare("q", arguments)), []);
    match asked(&mut peer).1 {
        CatalogOp::DeclareQueue { policy, .. } => *policy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_become_a_policy() {
    let policy = policy_of(
        FieldTable::new()
            .with("x-message-ttl", 1000)
            .with("x-expires", 2000_i64)
            .with("x-max-length", FieldValue::U8(3))
            .with("x-max-length-bytes", 4)
            .with("x-overflow", "reject-publish-dlx")
            .with("x-dead-letter-exchange", "")
            .with("x-dead-letter-routing-key", "dead")
            .with("x-max-priority", 9)
            .with("x-single-active-consumer", true)
            .with("x-consumer-timeout", 5000)
            .with("x-delayed-retry-type", "failed")
            .with("x-delayed-retry-min", 100)
            .with("x-delayed-retry-max", 900)
            .with("x-queue-mode", "lazy"),
    );
    assert_eq!((policy.ttl_ms, policy.idle_ms_max, policy.priority_max), (Some(1000), Some(2000), 9));
    assert_eq!((policy.capacity.messages_max, policy.capacity.bytes_max), (Some(3), Some(4)));
    assert_eq!(policy.capacity.overflow, Overflow::RefuseAndDeadLetter);
    let dead_letter = policy.dead_letter.unwrap();
    assert_eq!((dead_letter.exchange.as_str(), dead_letter.key.as_deref()), ("", Some("dead")));
    assert!(policy.durable && policy.dispatch.single_active);
    assert_eq!((policy.linked_lease_ms_max, policy.retry.attempts_max), (Some(5000), None));
    let backoff =
        Backoff { growth: Growth::Linear, min_ms: 100, max_ms: 900, jitter: 0.0, on: BackoffOn::Failed };
    assert_eq!(policy.retry.backoff, Some(backoff));
    assert_eq!(policy.labels, [(Name::from("x-queue-type"), Name::from("classic"))]);

    let quorum = || FieldTable::new().with("x-queue-type", "quorum");
    assert_eq!(policy_of(quorum()).retry.attempts_max, Some(20));
    assert_eq!(policy_of(quorum().with("x-delivery-limit", -1)).retry.attempts_max, None);
    assert_eq!(policy_of(quorum().with("x-delivery-limit", 3)).retry.attempts_max, Some(3));
}

#[test]
fn arguments_out_of_range_are_refused_by_name() {
    for (name, value, why) in [
        ("x-message-ttl", FieldValue::I32(-1), "{value_negative,-1}"),
        ("x-message-ttl", "100".into(), "{unacceptable_type,longstr}"),
        ("x-expires", 0.into(), "{value_zero,0}"),
        ("x-max-length", FieldValue::F64(1.0), "{unacceptable_type,double}"),
        ("x-overflow", "explode".into(), "{invalid_overflow,<<\"explode\">>}"),
        ("x-dead-letter-exchange", 3.into(), "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", "k".into(), "routing_key_but_no_dlx_defined"),
        ("x-max-priority", 256.into(), "{max_value_exceeded,256}"),
        ("x-single-active-consumer", "yes".into(), "{unacceptable_type,longstr}"),
        ("x-queue-type", "stream".into(), "streams are not offered; declare a classic or quorum queue"),
        ("x-delivery-limit", FieldValue::I32(-2), "{value_negative,-2}"),
        ("x-delayed-retry-type", "all".into(), ""),
    ] {
        let mut arguments = FieldTable::new();
        arguments.insert(crate::short_str::ShortRef::new(name).unwrap(), value);
        let mut peer = Peer::with_channel();
        let (code, text) = Peer::channel_failure(&peer.send(1, declare("q", arguments)));
        let name = if name == "x-delayed-retry-type" { "x-delayed-retry-min" } else { name };
        let expected =
            format!("PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '/': {why}");
        assert!(code == 406 && text.starts_with(&expected), "{text}");
        assert!(!peer.take_requests().iter().any(|request| matches!(request, Request::Catalog { .. })));
    }
}

/// Declares a queue that exists with `there`.
fn redeclare(wanted: q::Declare, there: QueuePolicy) -> Vec<Got> {
    let mut peer = Peer::with_channel();
    peer.send(1, wanted);
    let (token, _) = asked(&mut peer);
    peer.reply(token, Ok(queue("q", there, false)))
}

#[test]
fn equivalence_is_checked_in_rabbitmqs_words() {
    let ttl = |ms: i32| FieldTable::new().with("x-message-ttl", ms);
    let there = policy_of(ttl(1000));
    let ok = q::DeclareOk { queue: short("q"), message_count: 3, consumer_count: 2 };
    assert_eq!(redeclare(declare("q", ttl(1000)), there.clone()), [method(1, ok.clone())]);
    let long =
        FieldTable::new().with("x-message-ttl", 1000_i64).with("unknown", 1).with("x-overflow", "drop-head");
    assert_eq!(redeclare(declare("q", long), there.clone()), [method(1, ok.clone())], "widths do not count");
    let cases = [
        (
            q::Declare { durable: false, ..declare("q", ttl(1000)) },
            "durable",
            "received 'false' but current is 'true'",
        ),
        (
            q::Declare { auto_delete: true, ..declare("q", ttl(1000)) },
            "auto_delete",
            "received 'true' but current is 'false'",
        ),
        (declare("q", ttl(2000)), "x-message-ttl", "received '2000' but current is '1000'"),
        (
            declare("q", FieldTable::new()),
            "x-message-ttl",
            "received none but current is the value '1000' of type 'signedint'",
        ),
        (
            declare("q", ttl(1000).with("x-max-length", 5)),
            "x-max-length",
            "received the value '5' of type 'signedint' but current is none",
        ),
        (
            declare("q", ttl(1000).with("x-queue-type", "quorum")),
            "x-queue-type",
            "received 'quorum' but current is 'classic'",
        ),
    ];
    for (wanted, argument, how) in cases {
        let expected =
            format!("PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'q' in vhost '/': {how}");
        assert_eq!(Peer::channel_failure(&redeclare(wanted, there.clone())), (406, expected));
    }
    // A queue of another protocol: only what the client says counts.
    let foreign = QueuePolicy { ttl_ms: Some(5), labels: Vec::new(), ..there };
    assert_eq!(redeclare(declare("q", FieldTable::new()), foreign.clone()), [method(1, ok)]);
    assert_eq!(Peer::channel_failure(&redeclare(declare("q", ttl(6)), foreign)).0, 406);
    let exclusive = q::Declare { exclusive: true, ..declare("q", FieldTable::new()) };
    assert_eq!(Peer::channel_failure(&redeclare(exclusive, QueuePolicy::default())).0, 405);
}

#[test]
fn errors_of_queues_have_their_codes_and_texts() {
    let get = |peer: &mut Peer| drop(peer.send(1, q::Purge { queue: short("q"), ..Default::default() }));
    let cases = [
        (RefusalCode::QueueNotFound, 404, "NOT_FOUND - why"),
        (
            RefusalCode::QueueLocked,
            405,
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.",
        ),
        (RefusalCode::AccessDenied, 403, "ACCESS_REFUSED - why"),
        (RefusalCode::NotEmpty, 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"),
    ];
    for (code, expected, text) in cases {
        let mut peer = Peer::with_channel();
        get(&mut peer);
        let token = peer.only_token();
        let got = peer.refuse(token, code, "why");
        assert_eq!(Peer::channel_failure(&got), (expected, text.to_owned()));
    }
    let mut peer = Peer::with_channel();
    get(&mut peer);
    let token = peer.only_token();
    assert_eq!(Peer::connection_failure(&peer.refuse(token, RefusalCode::Unavailable, "why")).0, 541);
}

#[test]
fn names_of_the_broker_are_looked_at_and_not_made() {
    let mut peer = Peer::with_channel();
    peer.send(1, declare("amq.mine", FieldTable::new()));
    let (token, op) = asked(&mut peer);
    assert!(matches!(op, CatalogOp::Queue { .. }));
    let got = peer.refuse(token, RefusalCode::QueueNotFound, "no");
    let text = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'";
    assert_eq!(Peer::channel_failure(&got), (403, text.to_owned()));

    let mut peer = Peer::with_channel();
    let fanout = exchange::Declare {
        exchange: short("amq.fanout"),
        kind: short("fanout"),
        durable: true,
        ..Default::default()
    };
    peer.send(1, fanout.clone());
    let (token, op) = asked(&mut peer);
    assert!(matches!(op, CatalogOp::Exchange { .. }));
    let there = Box::new(ExchangePolicy::durable(ExchangeKind::Fanout));
    let got = peer.reply(token, Ok(Reply::Exchange { created: false, policy: there.clone() }));
    assert_eq!(got, [method(1, exchange::DeclareOk)]);
    peer.send(1, exchange::Declare { kind: short("direct"), ..fanout });
    let (token, _) = asked(&mut peer);
    let got = peer.reply(token, Ok(Reply::Exchange { created: false, policy: there }));
    let text = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.fanout' in vhost '/': received 'direct' but current is 'fanout'";
    assert_eq!(Peer::channel_failure(&got), (406, text.to_owned()));
}

#[test]
fn the_default_exchange_and_unknown_types_are_refused() {
    let forbidden: [Method; 5] = [
        exchange::Declare { kind: short("direct"), ..Default::default() }.into(),
        exchange::Delete::default().into(),
        exchange::Bind { destination: short("amq.fanout"), ..Default::default() }.into(),
        q::Bind { queue: short("q"), ..Default::default() }.into(),
        q::Unbind { queue: short("q"), ..Default::default() }.into(),
    ];
    for case in forbidden {
        let mut peer = Peer::with_channel();
        let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
        assert_eq!(Peer::channel_failure(&peer.send(1, case)), (403, text.to_owned()));
    }
    let mut peer = Peer::with_channel();
    let unknown = exchange::Declare { exchange: short("e"), kind: short("random"), ..Default::default() };
    let text = "COMMAND_INVALID - unknown exchange type 'random'";
    assert_eq!(Peer::connection_failure(&peer.send(1, unknown)), (503, text.to_owned()));
}

#[test]
fn exchanges_are_declared_with_what_they_need() {
    let mut peer = Peer::with_channel();
    let delayed = exchange::Declare {
        exchange: short("later"),
        kind: short("x-delayed-message"),
        arguments: FieldTable::new()
            .with("x-delayed-type", "topic")
            .with("alternate-exchange", "other")
            .encode(),
        ..Default::default()
    };
    peer.send(1, delayed);
    let CatalogOp::DeclareExchange { policy, .. } = asked(&mut peer).1 else { panic!() };
    assert_eq!((policy.kind, policy.alternate.as_deref()), (ExchangeKind::Topic, Some("other")));
    assert_eq!(policy.labels.len(), 1, "remembers that it was declared as a delaying one");
}

#[test]
fn an_empty_name_means_the_last_queue_even_before_it_is_answered() {
    let mut peer = Peer::with_channel();
    let (code, text) = Peer::channel_failure(&peer.send(1, q::Purge::default()));
    assert_eq!((code, text.as_str()), (404, "NOT_FOUND - no previously declared queue"));
    let mut peer = Peer::with_channel();
    peer.send(1, declare("", FieldTable::new()));
    peer.send(1, q::Bind { exchange: short("amq.fanout"), ..Default::default() });
    let requests = peer.take_requests();
    let [Request::Catalog { op: declared, .. }, Request::Catalog { op: bound, .. }] = &requests[..] else {
        panic!("{requests:?}")
    };
    let CatalogOp::DeclareQueue { name: Some(name), .. } = &**declared else { panic!() };
    let CatalogOp::Bind(binding) = &**bound else { panic!() };
    assert_eq!(binding.destination, Destination::Queue(name.clone()));
    assert_eq!(binding.key, *name, "without queue and key the key is the queue");
}

#[test]
fn deleting_and_unbinding_what_is_not_there_is_accepted() {
    let mut peer = Peer::with_channel();
    peer.send(1, q::Delete { queue: short("q"), ..Default::default() });
    let token = peer.only_token();
    let got = peer.refuse(token, RefusalCode::QueueNotFound, "no");
    assert_eq!(got, [method(1, q::DeleteOk { message_count: 0 })]);
    peer.send(1, exchange::Delete { exchange: short("e"), ..Default::default() });
    let token = peer.only_token();
    let got = peer.refuse(token, RefusalCode::ExchangeNotFound, "no");
    assert_eq!(got, [method(1, exchange::DeleteOk)]);
    peer.send(1, q::Unbind { queue: short("q"), exchange: short("e"), ..Default::default() });
    let token = peer.only_token();
    assert_eq!(peer.refuse(token, RefusalCode::QueueNotFound, "no"), [method(1, q::UnbindOk)]);
}

#[test]
fn nobody_waits_for_no_wait_unless_it_fails() {
    let mut peer = Peer::with_channel();
    peer.send(1, q::Declare { no_wait: true, ..declare("q", FieldTable::new()) });
    peer.send(1, q::Bind { queue: short("q"), exchange: short("e"), no_wait: true, ..Default::default() });
    peer.send(1, basic::Qos::default());
    let tokens = peer.tokens();
    assert_eq!(peer.reply(tokens[0], Ok(queue("q", QueuePolicy::default(), true))), []);
    let got = peer.refuse(tokens[1], RefusalCode::ExchangeNotFound, "no exchange 'e' in vhost '/'");
    assert_eq!(Peer::channel_failure(&got).0, 404, "and qos is not answered any more");
}

#[test]
fn a_failure_waits_for_the_answers_before_it() {
    let mut peer = Peer::with_channel();
    peer.send(1, declare("q", FieldTable::new()));
    assert_eq!(peer.send(1, basic::Ack { delivery_tag: 5, multiple: false }), []);
    assert_eq!(peer.send(1, basic::Qos::default()), [], "nothing is taken any more");
    let token = peer.only_token();
    let got = peer.reply(token, Ok(queue("q", QueuePolicy::default(), true)));
    assert!(matches!(got[0], Got::Method(1, Method::Queue(crate::methods::Queue::DeclareOk(_)))));
    assert_eq!(Peer::channel_failure(&got[1..]).0, 406);
}

#[test]
fn bad_header_matches_are_refused() {
    for value in [FieldValue::from("some"), FieldValue::Void] {
        let mut peer = Peer::with_channel();
        let arguments: Table = FieldTable::new().with("x-match", value).encode();
        let bind = q::Bind { queue: short("q"), exchange: short("h"), arguments, ..Default::default() };
        assert_eq!(Peer::channel_failure(&peer.send(1, bind)).0, 406);
    }
}
