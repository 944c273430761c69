//! Publishes, their confirms, returns and refusals.

use baton_model::{Envelope, Publish, PublishOutcome, Tag, ValueRef};

use super::*;
use crate::methods::confirm;
use crate::short_str::ShortRef;

fn to(exchange: &str, key: &str) -> basic::Publish {
    basic::Publish { exchange: short(exchange), routing_key: short(key), ..Default::default() }
}

fn published(peer: &mut Peer) -> Box<Publish> {
    let mut requests = peer.take_requests();
    match requests.pop() {
        Some(Request::Publish(publish)) if requests.is_empty() => publish,
        other => panic!("{other:?} after {requests:?}"),
    }
}

fn accepted(token: Token) -> Event {
    let outcome = PublishOutcome::Accepted { id: MessageId(1), seq: Seq(1), queues: 1 };
    Event::Published { token, outcome }
}

fn refused(token: Token, code: RefusalCode, text: &str) -> Event {
    Event::Published { token, outcome: PublishOutcome::Refused(Refusal::new(code, text)) }
}

#[test]
fn properties_become_an_envelope_and_come_back() {
    let mut peer = Peer::with_channel();
    let headers = FieldTable::new().with("k", 1).with("BCC", vec!["b".into()]).with("CC", vec!["c".into()]);
    let headers = headers.encode();
    let text = |text: &'static str| Some(ShortRef::from_static(text));
    let properties = Properties {
        content_type: text("text/plain"),
        content_encoding: text("gzip"),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text("c-1"),
        reply_to: text("replies"),
        expiration: text("60000"),
        message_id: text("m-1"),
        timestamp: Some(1_700_000_000),
        kind: text("order"),
        user_id: text("guest"),
        app_id: text("app"),
        cluster_id: text("cl"),
    };
    assert_eq!(peer.publish(&to("x", "key"), &properties, b"body"), []);
    let publish = published(&mut peer);
    assert_eq!((publish.exchange.as_str(), publish.key.as_str()), ("x", "key"));
    assert_eq!(publish.more_keys.iter().map(Name::as_str).collect::<Vec<_>>(), ["c", "b"]);
    assert_eq!((publish.durable, publish.mandatory, publish.confirm), (true, false, false));
    assert_eq!((publish.priority, publish.ttl_ms, publish.delay_ms), (Some(9), Some(60_000), None));
    let content = publish.message.content();
    assert_eq!(&content[content.len() - 4..], b"body");
    let envelope: Envelope<'_> = publish.message.envelope();
    assert_eq!(envelope.get(Tag::Timestamp), Some(ValueRef::Timestamp(1_700_000_000_000)));
    assert_eq!(envelope.get(Tag::TtlMs), Some(ValueRef::U64(60_000)));
    assert_eq!(envelope.headers().count(), 2, "without BCC");
    let Some(ValueRef::List(keys)) = envelope.get(Tag::Key) else { panic!() };
    assert_eq!(keys.filter_map(|key| key.as_str()).collect::<Vec<_>>(), ["key", "c"]);

    let (consumer, link) = peer.consume(true);
    let got = peer.event(Event::Delivered(Box::new(delivery(consumer, link, 1, publish.message.clone()))));
    let [Got::Content(1, Method::Basic(crate::methods::Basic::Deliver(deliver)), content)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!((deliver.exchange.as_str(), deliver.routing_key.as_str()), ("x", "key"));
    let shown = FieldTable::new().with("k", 1).with("CC", vec!["c".into()]).encode();
    let expected = Properties { headers: Some(shown.as_table()), ..properties };
    assert_eq!(content.properties.check().unwrap(), expected);
    assert_eq!(&content.body[..], b"body");
}

#[test]
fn a_message_takes_one_buffer_of_its_size() {
    let mut peer = Peer::with_channel();
    peer.publish(&to("", "q"), &Properties::default(), &[7; 1000]);
    let message = published(&mut peer).message;
    assert_eq!(message.body_slice(), [7; 1000]);
    assert_eq!(message.size_bytes(), 1000 + message.envelope_bytes() as usize);
    assert_eq!(message.envelope().str(Tag::Key), Some("q"));
    assert_eq!(message.envelope().str(Tag::Exchange), Some(""));
    assert_eq!(message.envelope().fields().count(), 2, "absent properties stay absent");
}

#[test]
fn odd_values_of_properties_are_kept() {
    let mut peer = Peer::with_channel();
    let sent = Properties {
        delivery_mode: Some(0),
        timestamp: Some(u64::MAX),
        priority: Some(255),
        ..Default::default()
    };
    peer.publish(&to("", "q"), &sent, b"");
    let publish = published(&mut peer);
    assert!(!publish.durable);
    let (consumer, link) = peer.consume(true);
    let got = peer.event(Event::Delivered(Box::new(delivery(consumer, link, 1, publish.message.clone()))));
    let [Got::Content(_, _, content)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(content.properties.view().unwrap(), sent);
}

#[test]
fn confirms_of_a_burst_are_one_frame() {
    let mut peer = Peer::with_channel();
    peer.publish(&to("", "q"), &Properties::default(), b"before confirms are on");
    assert!(!published(&mut peer).confirm);
    assert_eq!(peer.send(1, confirm::Select { no_wait: false }), [method(1, confirm::SelectOk)]);
    assert_eq!(peer.send(1, confirm::Select { no_wait: true }), []);
    let mut tokens = Vec::new();
    for _ in 0..4 {
        peer.publish(&to("", "q"), &Properties::default(), b"x");
        let publish = published(&mut peer);
        assert!(publish.confirm);
        tokens.push(publish.token);
    }
    let got = peer.events(tokens[..3].iter().copied().map(accepted).collect());
    assert_eq!(got, [method(1, basic::Ack { delivery_tag: 3, multiple: true })]);
    let full = refused(tokens[3], RefusalCode::QueueFull, "full");
    let nack = basic::Nack { delivery_tag: 4, multiple: false, requeue: false };
    assert_eq!(peer.event(full), [method(1, nack)]);
}

#[test]
fn an_unroutable_mandatory_message_comes_back_before_its_ack() {
    let mut peer = Peer::with_channel();
    peer.send(1, confirm::Select { no_wait: true });
    let mandatory = basic::Publish { mandatory: true, ..to("", "nowhere") };
    let properties = Properties { message_id: Some(ShortRef::from_static("m")), ..Default::default() };
    peer.publish(&mandatory, &properties, b"back");
    let publish = published(&mut peer);
    assert!(publish.mandatory);
    let (token, key) = (publish.token, publish.key.clone());
    let returned =
        Event::Returned { token, exchange: Name::default(), key, message: publish.message.clone() };
    let got = peer.events(vec![returned, accepted(token)]);
    let [Got::Content(1, returned, content), ack] = &got[..] else { panic!("{got:?}") };
    let expected = basic::Return {
        reply_code: 312,
        reply_text: short("NO_ROUTE"),
        exchange: short(""),
        routing_key: short("nowhere"),
    };
    assert_eq!(*returned, expected.into());
    assert_eq!((content.properties.view().unwrap(), &content.body[..]), (properties, &b"back"[..]));
    assert_eq!(*ack, method(1, basic::Ack { delivery_tag: 1, multiple: false }));
}

#[test]
fn refusals_that_are_errors_close_the_channel() {
    for (code, confirm, expected) in [
        (RefusalCode::ExchangeNotFound, true, Some(404)),
        (RefusalCode::ExchangeNotFound, false, Some(404)),
        (RefusalCode::AccessDenied, true, Some(403)),
        (RefusalCode::QueueFull, false, None),
        (RefusalCode::DiskFull, false, Some(406)),
        (RefusalCode::MemoryFull, false, Some(406)),
    ] {
        let mut peer = Peer::with_channel();
        if confirm {
            peer.send(1, confirm::Select { no_wait: true });
        }
        peer.publish(&to("x", "k"), &Properties::default(), b"");
        let token = published(&mut peer).token;
        let got = peer.event(refused(token, code, "why"));
        match expected {
            Some(expected) => assert_eq!(Peer::channel_failure(&got).0, expected),
            None => assert_eq!(got, []),
        }
    }
}

#[test]
fn what_rabbitmq_refuses_is_refused() {
    let text = |text: &'static str| Some(ShortRef::from_static(text));
    let cc = FieldTable::new().with("CC", "text").encode();
    let cases = [
        (Properties { expiration: text("abc"), ..Default::default() }, "invalid expiration 'abc'"),
        (Properties { expiration: text(""), ..Default::default() }, "invalid expiration ''"),
        (Properties { expiration: text("-1"), ..Default::default() }, "invalid expiration '-1'"),
        (
            Properties { user_id: text("root"), ..Default::default() },
            "user_id property set to 'root' but authenticated user was 'guest'",
        ),
        (
            Properties { reply_to: text("amq.rabbitmq.reply-to"), ..Default::default() },
            "fast reply consumer does not exist",
        ),
        (Properties { headers: Some(cc.as_table()), ..Default::default() }, "invalid message"),
    ];
    for (properties, text) in cases {
        let mut peer = Peer::with_channel();
        let (code, told) = Peer::channel_failure(&peer.publish(&to("", "q"), &properties, b""));
        assert_eq!(code, 406);
        assert!(told.starts_with(&format!("PRECONDITION_FAILED - {text}")), "{told}");
    }
    let mut peer = Peer::with_channel();
    let immediate = basic::Publish { immediate: true, ..to("", "q") };
    let got = peer.publish(&immediate, &Properties::default(), b"");
    assert_eq!(Peer::connection_failure(&got), (540, "NOT_IMPLEMENTED - immediate=true".to_owned()));
}

#[test]
fn a_message_over_the_limit_closes_its_channel_alone() {
    let mut peer = Peer::with_channel();
    peer.send(2, channel::Open::default());
    let (code, text) =
        Peer::channel_failure(&peer.publish(&to("", "q"), &Properties::default(), &vec![0; (1 << 20) + 1]));
    let expected = "PRECONDITION_FAILED - message size 1048577 is larger than configured max size 1048576";
    assert_eq!((code, text.as_str()), (406, expected));
    assert_eq!(peer.send(1, channel::CloseOk), []);
    assert_eq!(peer.send(2, basic::Qos::default()), [method(2, basic::QosOk)]);
}

#[test]
fn delays_come_from_a_header() {
    for (delay, expected) in [(400, Some(400)), (0, None), (-5, None)] {
        let mut peer = Peer::with_channel();
        let headers = FieldTable::new().with("x-delay", delay).encode();
        let properties = Properties { headers: Some(headers.as_table()), ..Default::default() };
        peer.publish(&to("", "q"), &properties, b"");
        assert_eq!(published(&mut peer).delay_ms, expected);
    }
}

#[test]
fn answers_for_a_channel_that_is_gone_do_not_reach_its_successor() {
    let mut peer = Peer::with_channel();
    peer.send(1, confirm::Select { no_wait: true });
    peer.publish(&to("", "q"), &Properties::default(), b"");
    let old = published(&mut peer).token;
    peer.send(1, channel::Close::default());
    let token = *peer.tokens().last().unwrap();
    assert_eq!(peer.reply(token, Ok(Reply::Done)), [method(1, channel::CloseOk)]);
    peer.send(1, channel::Open::default());
    peer.send(1, confirm::Select { no_wait: true });
    peer.publish(&to("", "q"), &Properties::default(), b"");
    let new = published(&mut peer).token;
    assert_eq!(peer.event(accepted(old)), []);
    assert_eq!(peer.event(accepted(new)), [method(1, basic::Ack { delivery_tag: 1, multiple: false })]);
}
