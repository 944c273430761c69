//! Routes and groups, scenario by scenario: fan-out with one stored content, alternate exchanges, unroutable messages, transactions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_core::Record;
use baton_model::policy::{Capacity, Overflow, QueuePolicy};
use baton_model::request::{CatalogOp, Outcome, Request, Settle};
use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::{Bytes, Event, Name, PublishOutcome, RefusalCode};
use common::*;

#[test]
fn a_message_for_several_queues_is_stored_once_and_freed_with_the_last() {
    let mut broker = Broker::default();
    broker.exchange("e", ExchangeKind::Fanout);
    for queue in ["a", "b"] {
        broker.declare(queue, QueuePolicy::default());
        broker.bind("e", queue, "");
    }
    broker.declare("t", QueuePolicy { durable: false, ..QueuePolicy::default() });
    broker.bind("e", "t", "");
    let publish = broker.message("e", "key", "x");
    let (outcome, _) = broker.publish(publish);
    assert!(matches!(outcome, PublishOutcome::Accepted { queues: 3, .. }));
    let stored =
        broker.store.records.iter().filter(|(record, _)| matches!(record, Record::Enqueued(_))).count();
    assert_eq!(stored, 1);
    for queue in ["a", "t", "b"] {
        assert_eq!(broker.drain(queue), ["x"]);
    }
}

#[test]
fn unroutable_is_accepted_returned_or_goes_to_the_alternate() {
    let mut broker = Broker::default();
    broker.declare("lost", QueuePolicy::default());
    broker.exchange("lost-and-found", ExchangeKind::Fanout);
    broker.bind("lost-and-found", "lost", "");
    let mut policy = ExchangePolicy::durable(ExchangeKind::Direct);
    policy.alternate = Some("lost-and-found".into());
    broker.catalog(A, CatalogOp::DeclareExchange { name: "e".into(), policy }).unwrap();
    broker.exchange("plain", ExchangeKind::Direct);
    let publish = broker.message("e", "nowhere", "x");
    broker.publish(publish);
    assert_eq!(broker.drain("lost"), ["x"]);
    let mut publish = broker.message("plain", "nowhere", "y");
    publish.mandatory = true;
    let (outcome, events) = broker.publish(publish);
    assert!(matches!(outcome, PublishOutcome::Accepted { queues: 0, .. }));
    assert!(matches!(events[0].1, Event::Returned { .. }), "returned before it is answered");
    let publish = broker.message("missing", "k", "z");
    let (outcome, _) = broker.publish(publish);
    assert!(matches!(outcome, PublishOutcome::Refused(r) if r.code == RefusalCode::ExchangeNotFound));
}

#[test]
fn exchanges_bound_in_a_circle_reach_each_queue_once() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for name in ["a", "b"] {
        broker.exchange(name, ExchangeKind::Topic);
        broker.bind(name, "q", "#");
    }
    for (source, to) in [("a", "b"), ("b", "a")] {
        let destination = Destination::Exchange(to.into());
        let binding =
            Binding { source: source.into(), destination, key: "x.*".into(), arguments: Bytes::new() };
        broker.catalog(A, CatalogOp::Bind(binding)).unwrap();
    }
    let publish = broker.message("a", "x.y", "once");
    broker.publish(publish);
    assert_eq!(broker.drain("q"), ["once"]);
}

#[test]
fn routes_survive_restarts_and_auto_delete_exchanges_go_with_their_last_binding() {
    for by_snapshot in [false, true] {
        let mut broker = Broker::default();
        broker.declare("q", QueuePolicy::default());
        broker.exchange("e", ExchangeKind::Direct);
        broker.bind("e", "q", "k");
        let mut policy = ExchangePolicy::durable(ExchangeKind::Fanout);
        policy.auto_delete = true;
        broker.catalog(A, CatalogOp::DeclareExchange { name: "auto".into(), policy }).unwrap();
        broker.bind("auto", "q", "");
        broker.restart(by_snapshot);
        let publish = broker.message("e", "k", "x");
        broker.publish(publish);
        assert_eq!(broker.drain("q"), ["x"]);
        let delete = CatalogOp::DeleteQueue { name: "q".into(), if_unused: false, if_empty: true };
        broker.catalog(A, delete).unwrap();
        assert!(broker.catalog(A, CatalogOp::Exchange { name: "auto".into() }).is_err());
        assert!(broker.catalog(A, CatalogOp::Exchange { name: "e".into() }).is_ok());
    }
}

#[test]
fn a_group_is_all_or_nothing_over_several_queues() {
    let mut broker = Broker::default();
    broker.declare("in", QueuePolicy::default());
    broker.declare("out", QueuePolicy::default());
    let capacity = Capacity { messages_max: Some(0), overflow: Overflow::Refuse, ..Capacity::default() };
    broker.declare("full", QueuePolicy { capacity, ..QueuePolicy::default() });
    broker.send("in", "job");
    let job = broker.fetch("in", 1);
    let settle =
        Settle { token: None, deliveries: [job[0].at].as_slice().into(), outcome: Outcome::Complete };
    let group = |broker: &mut Broker, to: &str| {
        let publish = broker.message("", to, "result");
        let token = broker.token();
        let requests = vec![Request::Settle(settle.clone()), Request::Publish(Box::new(publish))];
        let events = broker.step(A, Request::Group { token, requests });
        reply(&events, token)
    };
    assert_eq!(group(&mut broker, "full").unwrap_err().code, RefusalCode::QueueFull);
    assert_eq!(broker.queue("in").in_flight, 1, "nothing of it happened");
    group(&mut broker, "out").unwrap();
    assert_eq!((broker.queue("in").in_flight, broker.queue("out").ready), (0, 1));
}

#[test]
fn a_group_counts_its_own_messages_against_a_queue_that_is_almost_full() {
    let mut broker = Broker::default();
    let limited = |messages_max, bytes_max| {
        let capacity =
            Capacity { messages_max, bytes_max, overflow: Overflow::Refuse, ..Capacity::default() };
        QueuePolicy { capacity, ..QueuePolicy::default() }
    };
    broker.declare("three", limited(Some(3), None));
    broker.declare("bytes", limited(None, Some(10)));
    let group =
        |broker: &mut Broker, to: &[&str]| {
            let publishes = to.iter().map(|to| Request::Publish(Box::new(broker.message("", to, "12345"))));
            let requests = publishes.collect();
            let token = broker.token();
            let events = broker.step(A, Request::Group { token, requests });
            assert!(!events.iter().any(|(_, event)| matches!(
                event,
                Event::Published { outcome: PublishOutcome::Refused(_), .. }
            )));
            reply(&events, token)
        };
    broker.send("three", "first");
    for to in [&["three"; 3][..], &["bytes"; 3], &["bytes", "three", "bytes", "three", "bytes"]] {
        assert_eq!(group(&mut broker, to).unwrap_err().code, RefusalCode::QueueFull);
        assert_eq!(
            (broker.queue("three").ready, broker.queue("bytes").ready),
            (1, 0),
            "nothing of it happened"
        );
    }
    group(&mut broker, &["bytes", "three", "bytes", "three"]).unwrap();
    assert_eq!((broker.queue("three").ready, broker.queue("bytes").ready), (3, 2));
}

#[test]
fn deleting_a_queue_tells_its_consumers_and_frees_its_messages() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "held");
    broker.subscribe(B, 1, "q", |_| ()).0.unwrap();
    broker.send("q", "held too");
    let events = broker.step(
        A,
        Request::Catalog {
            token: baton_model::Token(9),
            op: Box::new(CatalogOp::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false }),
        },
    );
    assert!(events.iter().any(|(to, event)| *to == B && matches!(event, Event::Cancelled { .. })));
    broker.declare("q", QueuePolicy::default());
    assert_eq!(broker.drain("q"), Vec::<String>::new());
    let mut last = Vec::new();
    broker.machine.held(&mut |held| last.push(held), &mut |_| {});
    assert!(last.is_empty(), "contents are freed");
    let _ = Name::default();
}
