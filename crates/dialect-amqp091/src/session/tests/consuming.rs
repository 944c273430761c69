//! Consumers, deliveries and their settlement.

use std::sync::Arc;

use baton_model::event::{CancelReason, Death, DeathReason, Fetched};
use baton_model::request::{CatalogOp, LeaseMode, Settle};
use baton_model::value::encode_name;
use baton_model::{EnvelopeWriter, Outcome, Overlay, Tag, ValueRef};

use super::*;
use crate::table::FieldValue;

fn message(key: &str, headers: bool) -> Message {
    let mut buf = Vec::new();
    let mut writer = EnvelopeWriter::new(&mut buf);
    writer.str(Tag::Exchange, b"x").str(Tag::Key, key.as_bytes());
    if headers {
        writer.headers(|buf| {
            encode_name(buf, b"mine");
            ValueRef::I32(1).encode(buf);
            encode_name(buf, b"x-death");
            ValueRef::Str(b"made up").encode(buf);
        });
        writer.field(Tag::TtlMs, ValueRef::U64(100));
    }
    let envelope_bytes = writer.len_bytes();
    buf.extend_from_slice(b"body");
    Message::new(buf.into(), envelope_bytes)
}

fn deliver(peer: &mut Peer, (consumer, link): (ConsumerId, LinkId), seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        let event = Event::Delivered(Box::new(delivery(consumer, link, seq, message("q", false))));
        assert_eq!(peer.event(event).len(), 1);
    }
}

fn settled(peer: &mut Peer) -> Vec<(Outcome, Vec<u64>)> {
    let settle = |request: Request| match request {
        Request::Settle(Settle { token: None, deliveries, outcome }) => {
            (outcome, deliveries.iter().map(|delivery| delivery.seq.0).collect())
        }
        other => panic!("{other:?}"),
    };
    peer.take_requests().into_iter().map(settle).collect()
}

fn ack(tag: u64, multiple: bool) -> Method {
    basic::Ack { delivery_tag: tag, multiple }.into()
}

#[test]
fn prefetch_is_the_window_of_consumers_that_follow() {
    let mut peer = Peer::with_channel();
    let qos = |prefetch_count, global| basic::Qos { prefetch_size: 0, prefetch_count, global };
    assert_eq!(peer.send(1, qos(5, false)), [method(1, basic::QosOk)]);
    assert_eq!(peer.send(1, qos(9, true)), [method(1, basic::QosOk)]);
    let requests = peer.take_requests();
    assert!(matches!(requests[..], [Request::LinkWindow { window: Some(9), .. }]), "{requests:?}");
    let arguments = FieldTable::new().with("x-priority", 7).with("x-consumer-timeout", 1000).encode();
    let consume = basic::Consume { queue: short("q"), arguments, exclusive: true, ..Default::default() };
    peer.send(1, consume);
    let requests = peer.take_requests();
    let [_, Request::Subscribe(subscribe)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((subscribe.lease, subscribe.window, subscribe.credit), (LeaseMode::Linked, Some(5), None));
    assert_eq!((subscribe.priority, subscribe.linked_lease_ms_max), (7, Some(1000)));
    assert!(subscribe.exclusive && subscribe.label.starts_with("amq.ctag-"));
    let got = peer.send(1, basic::Qos { prefetch_size: 1, ..Default::default() });
    assert_eq!(Peer::connection_failure(&got), (540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)".to_owned()));
}

#[test]
fn settlements_of_a_burst_with_one_outcome_are_one_request() {
    let mut peer = Peer::with_channel();
    let consumer = peer.consume(false);
    deliver(&mut peer, consumer, 11..=20);
    let mut burst = BytesMut::new();
    for tag in [1, 2, 3] {
        write_any_method(&mut burst, 1, &ack(tag, false));
    }
    let nack = |delivery_tag, multiple, requeue| basic::Nack { delivery_tag, multiple, requeue };
    let reject = |delivery_tag, requeue| basic::Reject { delivery_tag, requeue };
    write_any_method(&mut burst, 1, &nack(5, true, true).into());
    write_any_method(&mut burst, 1, &reject(6, true).into());
    write_any_method(&mut burst, 1, &reject(7, false).into());
    write_any_method(&mut burst, 1, &nack(8, false, false).into());
    write_any_method(&mut burst, 1, &ack(0, true));
    assert_eq!(peer.bytes(&burst), []);
    assert_eq!(
        settled(&mut peer),
        [
            (Outcome::Complete, vec![11, 12, 13]),
            (Outcome::Release { failed: false, delay_ms: None }, vec![14, 15]),
            (Outcome::Release { failed: true, delay_ms: None }, vec![16]),
            (Outcome::Reject { reason: None }, vec![17, 18]),
            (Outcome::Complete, vec![19, 20]),
        ]
    );
}

#[test]
fn completions_ride_behind_publishes_and_nothing_else_does() {
    let mut peer = Peer::with_channel();
    let consumer = peer.consume(false);
    deliver(&mut peer, consumer, 1..=4);
    let mut burst = BytesMut::new();
    let publish = basic::Publish { routing_key: short("q"), ..Default::default() };
    for tag in 1..=2 {
        write_any_method(&mut burst, 1, &ack(tag, false));
        write_content(&mut burst, 1, 0, &publish, &Properties::default().encode(), b"").unwrap();
    }
    let nack = basic::Nack { delivery_tag: 3, multiple: false, requeue: true };
    write_any_method(&mut burst, 1, &nack.into());
    write_content(&mut burst, 1, 0, &publish, &Properties::default().encode(), b"").unwrap();
    peer.bytes(&burst);
    let kinds = peer.take_requests();
    assert!(
        matches!(
            &kinds[..],
            [
                Request::Publish(_),
                Request::Publish(_),
                Request::Settle(Settle { outcome: Outcome::Complete, .. }),
                Request::Settle(Settle { outcome: Outcome::Release { .. }, .. }),
                Request::Publish(_)
            ]
        ),
        "{kinds:?}"
    );
}

#[test]
fn unknown_tags_close_the_channel() {
    let cases = [
        ack(99, false),
        ack(99, true),
        ack(0, false),
        basic::Reject { delivery_tag: 99, requeue: true }.into(),
        basic::Nack { delivery_tag: 99, multiple: true, requeue: true }.into(),
    ];
    for case in cases {
        let mut peer = Peer::with_channel();
        let tag = if case == ack(0, false) { 0 } else { 99 };
        let expected = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
        assert_eq!(Peer::channel_failure(&peer.send(1, case)), (406, expected));
        assert!(matches!(peer.take_requests()[..], [Request::Detach { failed: true, .. }]));
        // Everything is dropped until close-ok, which frees the number.
        assert_eq!(peer.send(1, ack(1, false)), []);
        assert_eq!(peer.publish(&basic::Publish::default(), &Properties::default(), b"x"), []);
        assert_eq!(peer.send(1, channel::CloseOk), []);
        assert_eq!(peer.send(1, channel::Open::default()).len(), 1);
    }
}

#[test]
fn a_lease_that_ended_may_be_acked_late_to_no_effect() {
    let mut peer = Peer::with_channel();
    let (consumer, link) = peer.consume(false);
    deliver(&mut peer, (consumer, link), 1..=2);
    let ended = delivery(consumer, link, 1, message("q", false)).at;
    assert_eq!(peer.event(Event::LeaseEnded { link, delivery: ended }), []);
    assert_eq!(peer.send(1, ack(1, false)), []);
    assert_eq!(settled(&mut peer), []);
    assert_eq!(peer.send(1, ack(2, false)), []);
    assert_eq!(settled(&mut peer), [(Outcome::Complete, vec![2])]);
}

#[test]
fn no_ack_consumers_get_credit_for_what_was_written() {
    let mut peer = Peer::with_channel();
    let consume = basic::Consume { queue: short("q"), no_ack: true, ..Default::default() };
    peer.send(1, consume);
    let requests = peer.take_requests();
    let [_, Request::Subscribe(subscribe)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((subscribe.lease, subscribe.window, subscribe.credit), (LeaseMode::Settled, None, Some(2000)));
    let mut peer = Peer::with_channel();
    let consumer = peer.consume(true);
    deliver(&mut peer, consumer, 1..1000);
    assert!(peer.take_requests().is_empty());
    deliver(&mut peer, consumer, [1000]);
    let requests = peer.take_requests();
    assert!(
        matches!(requests[..], [Request::Credit { consumer: whose, more: 1000 }] if whose == consumer.0),
        "{requests:?}"
    );
    assert_eq!(Peer::channel_failure(&peer.send(1, ack(1, false))).0, 406);
}

#[test]
fn consumer_tags_are_unique_in_their_channel() {
    let mut peer = Peer::with_channel();
    peer.consume(false);
    let again = basic::Consume { queue: short("q"), consumer_tag: short("t"), ..Default::default() };
    let got = peer.send(1, again);
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 't'";
    assert_eq!(Peer::connection_failure(&got), (530, text.to_owned()));
}

#[test]
fn deliveries_on_their_way_come_before_cancel_ok() {
    let mut peer = Peer::with_channel();
    let consumer = peer.consume(false);
    let cancel = basic::Cancel { consumer_tag: short("t"), no_wait: false };
    assert_eq!(peer.send(1, cancel.clone()), []);
    let token = peer.only_token();
    deliver(&mut peer, consumer, [1]);
    let ok = || method(1, basic::CancelOk { consumer_tag: short("t") });
    assert_eq!(peer.reply(token, Ok(Reply::Unsubscribed { consumer: consumer.0 })), [ok()]);
    assert_eq!(peer.send(1, ack(1, false)), [], "it is still the client's to settle");
    assert_eq!(settled(&mut peer), [(Outcome::Complete, vec![1])]);
    assert_eq!(peer.send(1, cancel), [ok()], "nobody of that name: accepted");
}

#[test]
fn the_end_of_a_queue_is_told_to_those_who_can_hear_it() {
    let mut peer = Peer::with_channel();
    let (consumer, _) = peer.consume(false);
    let cancelled = |reason| Event::Cancelled { consumer, reason };
    let told = method(1, basic::Cancel { consumer_tag: short("t"), no_wait: true });
    assert_eq!(peer.event(cancelled(CancelReason::QueueDeleted)), [told]);
    for (reason, closes) in [(CancelReason::QueueDeleted, false), (CancelReason::TooSlow, true)] {
        let mut peer = Peer::open_with(&[]);
        peer.send(1, channel::Open::default());
        peer.consume(false);
        let got = peer.event(cancelled(reason));
        if closes {
            assert_eq!(Peer::channel_failure(&got).0, 406);
        } else {
            assert_eq!(got, []);
        }
    }
}

#[test]
fn who_deletes_the_queue_hears_of_that_before_its_consumer_is_cancelled() {
    use crate::methods::queue::{Delete, DeleteOk};
    let mut peer = Peer::with_channel();
    let (consumer, _) = peer.consume(false);
    peer.send(1, Delete { queue: short("q"), ..Default::default() });
    let token = peer.only_token();
    assert_eq!(peer.event(Event::Cancelled { consumer, reason: CancelReason::QueueDeleted }), []);
    let ok = method(1, DeleteOk { message_count: 2 });
    let told = method(1, basic::Cancel { consumer_tag: short("t"), no_wait: true });
    assert_eq!(peer.reply(token, Ok(Reply::Count(2))), [ok, told]);
}

#[test]
fn get_answers_in_its_turn() {
    let mut peer = Peer::with_channel();
    let get = basic::Get { queue: short("q"), ..Default::default() };
    peer.send(1, get.clone());
    peer.send(1, get);
    let tokens = peer.tokens();
    assert_eq!(tokens.len(), 3, "asks once what kind of queue it is");
    let fetched = |deliveries| Ok(Fetched { deliveries, remaining: 4, held_back: false });
    let one = delivery(ConsumerId(0), LinkId(0), 5, message("key", false));
    // The second answer comes first: it waits.
    assert_eq!(peer.event(Event::Fetched { token: tokens[2], result: fetched(vec![one]) }), []);
    assert_eq!(peer.reply(tokens[0], Ok(queue("q", QueuePolicy::default(), false))), []);
    let got = peer.event(Event::Fetched { token: tokens[1], result: fetched(vec![]) });
    let [empty, Got::Content(1, Method::Basic(crate::methods::Basic::GetOk(ok)), content)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(*empty, method(1, basic::GetEmpty::default()));
    assert_eq!((ok.delivery_tag, ok.message_count, ok.routing_key.as_str()), (1, 4, "key"));
    assert_eq!(&content.body[..], b"body");
}

#[test]
fn recover_gives_everything_back() {
    let mut peer = Peer::with_channel();
    let consumer = peer.consume(false);
    deliver(&mut peer, consumer, 1..=2);
    peer.send(1, basic::Recover { requeue: true });
    let token = peer.only_token();
    deliver(&mut peer, consumer, [3]);
    assert_eq!(peer.reply(token, Ok(Reply::Done)), [method(1, basic::RecoverOk)]);
    assert_eq!(peer.send(1, ack(3, false)), [], "the client could not know");
    assert_eq!(settled(&mut peer), []);
    assert_eq!(Peer::channel_failure(&peer.send(1, ack(2, false))).0, 406);
    let mut peer = Peer::with_channel();
    let got = peer.send(1, basic::Recover { requeue: false });
    assert_eq!(Peer::connection_failure(&got), (540, "NOT_IMPLEMENTED - requeue=false".to_owned()));
}

#[test]
fn deaths_are_told_in_headers() {
    let mut peer = Peer::with_channel();
    let (consumer, link) = peer.consume(true);
    let death = |queue: &str, reason, count| Death {
        queue: Name::from(queue),
        reason,
        detail: None,
        count,
        first_at: Time(1_700_000_000_999),
        last_at: Time(1_800_000_000_000),
        exchange: Name::from("x"),
        keys: vec![Name::from("q"), Name::from("cc")],
        ttl_ms: (reason == DeathReason::Expired).then_some(100),
    };
    let deaths = vec![
        death("moved", DeathReason::Operator, 1),
        death("late", DeathReason::Expired, 2),
        death("q", DeathReason::Rejected, 1),
    ];
    let overlay = Overlay {
        exchange: Name::from("dlx"),
        keys: vec![Name::from("dead")],
        ttl_removed: true,
        deaths,
        first_death: Some((Name::from("q"), DeathReason::Rejected, Name::from("x"))),
    };
    let mut dead = delivery(consumer, link, 1, message("q", true));
    dead.overlay = Some(Arc::new(overlay));
    let got = peer.event(Event::Delivered(Box::new(dead)));
    let [Got::Content(1, Method::Basic(crate::methods::Basic::Deliver(deliver)), content)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!((deliver.exchange.as_str(), deliver.routing_key.as_str()), ("dlx", "dead"));
    let properties = content.properties.check().unwrap();
    assert_eq!(properties.expiration, None);
    let entry = |queue: &str, reason: &str, count: i64| {
        FieldTable::new()
            .with("count", count)
            .with("reason", reason)
            .with("queue", queue)
            .with("time", FieldValue::Timestamp(1_700_000_000))
            .with("exchange", "x")
            .with("routing-keys", vec!["q".into(), "cc".into()])
    };
    let expected = FieldTable::new()
        .with("mine", 1)
        .with(
            "x-death",
            vec![
                entry("late", "expired", 2).with("original-expiration", "100").into(),
                entry("q", "rejected", 1).into(),
            ],
        )
        .with("x-first-death-queue", "q")
        .with("x-first-death-reason", "rejected")
        .with("x-first-death-exchange", "x")
        .with("x-last-death-queue", "late")
        .with("x-last-death-reason", "expired")
        .with("x-last-death-exchange", "x");
    assert_eq!(FieldTable::from_ref(properties.headers.unwrap()).unwrap(), expected);
}

#[test]
fn quorum_queues_show_their_counters() {
    for (kind, shown) in [("quorum", true), ("classic", false)] {
        let mut peer = Peer::with_channel();
        let labels = vec![(Name::from("x-queue-type"), Name::from(kind))];
        peer.send(1, basic::Get { queue: short("q"), ..Default::default() });
        let tokens = peer.tokens();
        peer.reply(tokens[0], Ok(queue("q", QueuePolicy { labels, ..Default::default() }, false)));
        let mut again = delivery(ConsumerId(0), LinkId(0), 1, message("q", false));
        (again.acquired, again.failed, again.redelivered) = (3, 1, true);
        let fetched = Fetched { deliveries: vec![again], ..Fetched::default() };
        let got = peer.event(Event::Fetched { token: tokens[1], result: Ok(fetched) });
        let [Got::Content(_, _, content)] = &got[..] else { panic!("{got:?}") };
        let headers =
            content.properties.view().unwrap().headers.map(|headers| FieldTable::from_ref(headers).unwrap());
        let counters = FieldTable::new().with("x-delivery-count", 1_i64).with("x-acquired-count", 2_i64);
        assert_eq!(headers, shown.then_some(counters));
    }
}

#[test]
fn direct_reply_to_is_a_queue_nobody_can_guess() {
    let mut peer = Peer::with_channel();
    let consume =
        |no_ack| basic::Consume { queue: short("amq.rabbitmq.reply-to"), no_ack, ..Default::default() };
    peer.send(1, consume(true));
    let requests = peer.take_requests();
    let [Request::Catalog { op, .. }, Request::Subscribe(subscribe)] = &requests[..] else {
        panic!("{requests:?}")
    };
    let CatalogOp::DeclareQueue { name: Some(name), policy } = &**op else { panic!("{op:?}") };
    assert!(policy.exclusive && policy.auto_delete && !policy.durable);
    assert_eq!((&subscribe.queue, subscribe.lease), (name, LeaseMode::Settled));
    assert_eq!(name.len(), "amq.rabbitmq.reply-to.".len() + 32);
    let reply_to = Some(crate::short_str::ShortRef::from_static("amq.rabbitmq.reply-to"));
    peer.publish(
        &basic::Publish { routing_key: short("rpc"), ..Default::default() },
        &Properties { reply_to, ..Default::default() },
        b"ask",
    );
    let requests = peer.take_requests();
    let [Request::Publish(publish)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(publish.message.envelope().str(Tag::ReplyTo), Some(name.as_str()));
    // What it was made of does not show, and the next one differs.
    let mut other = Peer::with_channel();
    other.send(1, consume(true));
    other.send(1, channel::Close::default());
    other.send(2, channel::Open::default());
    other.send(2, consume(true));
    let requests = other.take_requests();
    let names = requests.iter().filter_map(|request| match request {
        Request::Subscribe(subscribe) => Some(subscribe.queue.clone()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
}
