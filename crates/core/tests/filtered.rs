//! Consumers with a condition: they get what meets it, others get the rest, and the order is kept for both.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use baton_core::Context;
use baton_model::filter::{Comparison, Constant, Filter};
use baton_model::policy::QueuePolicy;
use baton_model::request::{ConsumerFilter, InspectOp, LeaseMode, Outcome, Request, Subscribe};
use baton_model::{
    ConnectionId, ConsumerId, EnvelopeWriter, Event, Message, Name, Publish, Reply, Tag, Token,
};
use common::{A, B, Broker, LINK, delivered, refs};

/// Only messages of that kind.
fn only(kind: &str, drop_others: bool) -> impl FnOnce(&mut Subscribe) + use<> {
    let text = format!("type = '{kind}'").into();
    let kind = Filter::Constant(Constant::Text(kind.as_bytes().into()));
    let condition = Filter::Compare(Comparison::Equal, Box::new(Filter::Field(Tag::Type)), Box::new(kind));
    move |subscribe| {
        subscribe.filter = Some(ConsumerFilter { condition: Arc::new(condition), drop_others, text });
    }
}

/// A message whose kind is the first letter of its text.
fn message(broker: &mut Broker, text: &str) -> Publish {
    let mut publish = broker.message("", "q", text);
    let mut content = Vec::new();
    let mut envelope = EnvelopeWriter::new(&mut content);
    envelope.str(Tag::Key, b"q").str(Tag::Type, &text.as_bytes()[..1]);
    let envelope_bytes = envelope.len_bytes();
    content.extend_from_slice(text.as_bytes());
    publish.message = Message::new(content.into(), envelope_bytes);
    publish
}

fn send(broker: &mut Broker, text: &str, priority: Option<u8>) -> Vec<(u64, u32, String)> {
    let publish = Publish { priority, ..message(broker, text) };
    delivered(&broker.publish(publish).1)
}

fn bodies(events: &[(ConnectionId, Event)]) -> Vec<String> {
    delivered(events).into_iter().map(|(_, _, body)| body).collect()
}

#[test]
fn others_get_the_rest_in_order() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for text in ["a1", "b1", "a2", "b2", "c1"] {
        send(&mut broker, text, None);
    }
    let (_, events) = broker.subscribe(A, 1, "q", only("b", false));
    assert_eq!(bodies(&events), ["b1", "b2"]);
    assert_eq!(send(&mut broker, "b3", None), [(A.0, 1, "b3".to_owned())]);
    assert!(send(&mut broker, "a3", None).is_empty());
    let (_, events) = broker.subscribe(B, 2, "q", |_| ());
    assert_eq!(bodies(&events), ["a1", "a2", "c1", "a3"]);
}

#[test]
fn what_comes_back_is_looked_at_again() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for text in ["b1", "a1", "b2"] {
        send(&mut broker, text, None);
    }
    let (_, taken) = broker.subscribe(A, 1, "q", |_| ());
    assert_eq!(bodies(&taken).len(), 3);
    let (_, events) = broker.subscribe(B, 2, "q", only("b", false));
    assert!(bodies(&events).is_empty());
    let events = broker.step(A, Request::Detach { link: LINK, failed: false });
    assert_eq!(bodies(&events), ["b1", "b2"]);
    // Given back to itself, too: a release goes to its place, which the consumer has passed.
    let held = refs(&events);
    broker.settle_as(B, &held[..1], Outcome::Release { failed: false, delay_ms: None });
    let events = broker.step(B, Request::Detach { link: LINK, failed: false });
    assert!(bodies(&events).is_empty());
    assert_eq!(broker.drain("q"), ["b1", "a1", "b2"]);
}

#[test]
fn priorities_and_windows_hold() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy { priority_max: 9, ..QueuePolicy::default() });
    for (text, priority) in [("b1", 1), ("a1", 9), ("b2", 5), ("b3", 5)] {
        send(&mut broker, text, Some(priority));
    }
    let (_, events) = broker.subscribe(A, 1, "q", |subscribe| {
        only("b", false)(subscribe);
        subscribe.window = Some(2);
    });
    assert_eq!(bodies(&events), ["b2", "b3"]);
    send(&mut broker, "b4", Some(9));
    let token = broker.token();
    let settle = baton_model::request::Settle {
        token: Some(token),
        deliveries: refs(&events).into(),
        outcome: Outcome::Complete,
    };
    assert_eq!(bodies(&broker.step(A, Request::Settle(settle))), ["b4", "b1"]);
}

#[test]
fn a_queue_of_its_own_drops_the_rest() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for text in ["a1", "b1", "a2"] {
        send(&mut broker, text, None);
    }
    let (_, events) = broker.subscribe(A, 1, "q", only("b", true));
    assert_eq!(bodies(&events), ["b1"]);
    send(&mut broker, "a3", None);
    let info = broker.queue("q");
    assert_eq!((info.ready, info.in_flight), (0, 1));
    broker.restart(false);
    assert_eq!(broker.drain("q"), ["b1"]);
}

#[test]
fn a_long_backlog_is_looked_through_in_pieces() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    let mut messages: Vec<_> = (0..1_200).map(|_| message(&mut broker, "a")).collect();
    messages.push(message(&mut broker, "b"));
    let mut effects = Vec::new();
    let mut cx = Context { store: &mut broker.store, effects: &mut effects };
    let mut subscribe = Subscribe {
        token: Token(1),
        consumer: ConsumerId(1),
        link: LINK,
        queue: "q".into(),
        lease: LeaseMode::Settled,
        window: None,
        credit: None,
        priority: 0,
        exclusive: false,
        session: None,
        linked_lease_ms_max: None,
        filter: None,
        label: Name::default(),
    };
    only("b", false)(&mut subscribe);
    // Past the harness, which dispatches until all is done, and checks after every step.
    for message in messages {
        broker.machine.step(broker.now, A, Request::Publish(Box::new(message)), &mut cx);
    }
    broker.machine.step(broker.now, A, Request::Subscribe(Box::new(subscribe)), &mut cx);
    let mut pieces = 0;
    loop {
        broker.machine.dispatch(broker.now, &mut cx);
        pieces += 1;
        if !broker.machine.unfinished() {
            break;
        }
    }
    let delivered = cx.effects.iter().filter(|effect| matches!(effect.event, Event::Delivered(_))).count();
    assert_eq!((delivered, pieces), (1, 3));
}

#[test]
fn a_deep_queue_is_looked_through_from_disk() {
    for by_snapshot in [true, false] {
        let mut broker = Broker::with_index_messages_max(100);
        broker.declare("q", QueuePolicy::default());
        // Every seventh is of the kind that is looked for, in every page.
        let texts: Vec<String> =
            (0..2_000).map(|i| format!("{}{i}", if i % 7 == 0 { "b" } else { "a" })).collect();
        let publishes: Vec<_> = texts.iter().map(|text| message(&mut broker, text)).collect();
        broker.publish_all(publishes);
        let sizes = broker.machine.sizes();
        assert!(sizes.messages == 2_000 && sizes.indexed < 500, "{sizes:?}");
        broker.restart(by_snapshot);
        for connection in [A, B] {
            let token = broker.token();
            broker.step(connection, Request::Open { token, namespace: "/".into(), label: String::new() });
        }
        let wanted: Vec<String> = texts.iter().filter(|text| text.starts_with('b')).cloned().collect();
        let (_, events) = broker.subscribe(A, 1, "q", only("b", false));
        assert_eq!(bodies(&events), wanted);
        // What comes back to places on disk is found again, in its order.
        broker.step(A, Request::Detach { link: LINK, failed: false });
        let (_, events) = broker.subscribe(B, 2, "q", only("b", false));
        assert_eq!(bodies(&events), wanted);
        let held = refs(&events);
        broker.settle_as(B, &held, Outcome::Complete);
        let mut rest = Vec::new();
        loop {
            let some = broker.drain("q");
            if some.is_empty() {
                break;
            }
            rest.extend(some);
        }
        assert!(rest.iter().eq(texts.iter().filter(|text| text.starts_with('a'))), "{}", rest.len());
    }
}

#[test]
fn explain_names_the_selector() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    send(&mut broker, "a1", None);
    let explain = |broker: &mut Broker| {
        let token = broker.token();
        let op = InspectOp::Explain { queue: "q".into(), seq: None };
        let events = broker.step(A, Request::Inspect { token, op: Box::new(op) });
        match common::reply(&events, token).unwrap() {
            Reply::Explained(sentences) => sentences.join(" "),
            other => panic!("{other:?}"),
        }
    };
    broker
        .subscribe(A, 1, "q", |subscribe| {
            only("b", false)(subscribe);
            (subscribe.window, subscribe.label) = (Some(1), "picky".into());
        })
        .0
        .unwrap();
    let why = explain(&mut broker);
    let sentence = "Consumer 'picky' takes only messages that meet its selector: type = 'b'.";
    assert!(why.contains(sentence) && !why.contains("can take messages"), "{why}");
    // A gate that is shut comes first: nothing passes it, whatever the selector says.
    send(&mut broker, "b1", None);
    assert!(explain(&mut broker).contains("its limit of 1"));
    let long = "ä".repeat(600);
    broker
        .subscribe(B, 2, "q", |subscribe| {
            only("c", false)(subscribe);
            subscribe.filter.as_mut().unwrap().text = long.as_str().into();
        })
        .0
        .unwrap();
    assert!(explain(&mut broker).contains(&format!(": {}….", "ä".repeat(500))));
}
