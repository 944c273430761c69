//! Ordering keys beyond SQS's order: sessions, sticky consumers, fairness; and what operators do to single messages.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_model::event::Browsed;
use baton_model::policy::{KeyMode, KeyPolicy, QueuePolicy};
use baton_model::request::{
    InspectOp, MessageAction, MessageState, Outcome, Request, SessionSelect, Subscribe,
};
use baton_model::{Bytes, Event, Message, RefusalCode, Reply, Seq};
use common::{A, B, Broker, body, delivered, refs, reply};

fn keyed(mode: KeyMode) -> Broker {
    let mut broker = Broker::default();
    let keys = KeyPolicy { mode, ..KeyPolicy::default() };
    broker.declare("q", QueuePolicy { keys, ..QueuePolicy::default() });
    broker
}

fn send(broker: &mut Broker, key: &str, text: &str) -> Vec<(u64, u32, String)> {
    let mut publish = broker.message("", "q", text);
    publish.group_key = Some(key.into());
    delivered(&broker.publish(publish).1)
}

fn session(key: Option<&str>) -> impl FnOnce(&mut Subscribe) + use<'_> {
    move |subscribe| {
        subscribe.session = Some(key.map_or(SessionSelect::Next, |key| SessionSelect::Key(key.into())));
    }
}

#[test]
fn a_session_belongs_to_one_consumer_present_and_future_messages_alike() {
    let mut broker = keyed(KeyMode::Session);
    send(&mut broker, "blue", "b1");
    send(&mut broker, "red", "r1");
    assert!(broker.fetch("q", 9).is_empty(), "nobody gets a session's messages without its lock");
    let (first, events) = broker.subscribe(A, 1, "q", session(None));
    assert!(
        matches!(first, Ok(Reply::Subscribed { session: Some(key), .. }) if key == "blue"),
        "the longest waiting"
    );
    assert_eq!(delivered(&events), [(1, 1, "b1".to_owned())]);
    let held = refs(&events);
    assert_eq!(
        send(&mut broker, "blue", "b2"),
        [(1, 1, "b2".to_owned())],
        "in order, without waiting for b1"
    );
    assert!(send(&mut broker, "red", "r2").is_empty());
    let (taken, _) = broker.subscribe(B, 2, "q", session(Some("blue")));
    assert_eq!(taken.unwrap_err().code, RefusalCode::QueueLocked);
    let (second, events) = broker.subscribe(B, 2, "q", session(None));
    assert!(matches!(second, Ok(Reply::Subscribed { session: Some(key), .. }) if key == "red"));
    assert_eq!(delivered(&events), [(2, 2, "r1".to_owned()), (2, 2, "r2".to_owned())]);
    let (none, _) = broker.subscribe(B, 3, "q", session(None));
    assert_eq!(none.unwrap_err().code, RefusalCode::MessageNotFound);
    let (plain, _) = broker.subscribe(B, 4, "q", |_| ());
    assert_eq!(plain.unwrap_err().code, RefusalCode::Invalid, "a queue of sessions needs one to be named");

    assert_eq!(broker.settle_as(A, &held, Outcome::Complete), 0);
    broker.run(|machine, now, cx| machine.disconnect(now, A, cx));
    let (again, events) = broker.subscribe(B, 5, "q", session(Some("blue")));
    assert!(again.is_ok(), "the lock went with its holder");
    assert_eq!(delivered(&events), [(2, 5, "b2".to_owned())]);
}

#[test]
fn a_sticky_key_stays_with_its_consumer_until_that_goes() {
    let mut broker = keyed(KeyMode::Sticky);
    broker.subscribe(A, 1, "q", |s| s.window = Some(2)).0.unwrap();
    broker.subscribe(B, 2, "q", |_| ()).0.unwrap();
    assert_eq!(send(&mut broker, "k", "k1"), [(1, 1, "k1".to_owned())]);
    assert_eq!(send(&mut broker, "m", "m1"), [(2, 2, "m1".to_owned())]);
    assert_eq!(send(&mut broker, "k", "k2"), [(1, 1, "k2".to_owned())]);
    assert!(send(&mut broker, "k", "k3").is_empty(), "its consumer has no room, and nobody else may have it");
    assert_eq!(send(&mut broker, "m", "m2"), [(2, 2, "m2".to_owned())], "which holds up no other key");
    let events = broker.run(|machine, now, cx| machine.disconnect(now, A, cx));
    assert_eq!(
        delivered(&events).into_iter().map(|(_, _, text)| text).collect::<Vec<_>>(),
        ["k1", "k2", "k3"]
    );
}

#[test]
fn fair_keys_take_turns_so_that_a_busy_one_starves_nobody() {
    let mut broker = keyed(KeyMode::Fair);
    for text in ["a1", "a2", "a3", "a4"] {
        send(&mut broker, "a", text);
    }
    send(&mut broker, "b", "b1");
    send(&mut broker, "c", "c1");
    let order: Vec<String> = (0..6).flat_map(|_| broker.fetch("q", 1)).map(|d| body(&d)).collect();
    assert_eq!(order[..3].iter().filter(|text| text.starts_with('a')).count(), 1, "{order:?}");
    assert_eq!(order[3..], ["a2", "a3", "a4"]);
}

fn inspect(broker: &mut Broker, op: InspectOp) -> Reply {
    let token = broker.token();
    let events = broker.step(A, Request::Inspect { token, op: Box::new(op) });
    assert!(
        !events.iter().any(|(_, event)| matches!(event, Event::Delivered(_))),
        "looking disturbs nothing"
    );
    reply(&events, token).unwrap()
}

fn browse(
    broker: &mut Broker,
    from: u64,
    count_max: u32,
    states: &[MessageState],
) -> (Vec<Browsed>, Option<Seq>) {
    let queue = "q".into();
    let op =
        InspectOp::Browse { queue, from: Seq(from), count_max, states: states.into(), headers: Bytes::new() };
    match inspect(broker, op) {
        Reply::Browsed { messages, next } => (messages, next),
        other => panic!("{other:?}"),
    }
}

fn act(broker: &mut Broker, seq: Seq, action: MessageAction) -> u64 {
    match inspect(broker, InspectOp::Act { queue: "q".into(), seqs: vec![seq], action }) {
        Reply::Count(count) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn browsing_goes_page_by_page_and_changes_nothing() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    (0..5).for_each(|index| broker.send("q", &format!("m{index}")));
    let held = broker.fetch("q", 1);
    let (first, next) = browse(&mut broker, 0, 3, &[]);
    let (rest, end) = browse(&mut broker, next.unwrap().0, 3, &[]);
    let states: Vec<_> = first.iter().chain(&rest).map(|m| (m.seq.0, m.state, m.acquired)).collect();
    assert_eq!(states[0], (held[0].at.seq.0, MessageState::InFlight, 1));
    assert_eq!((states.len(), end), (5, None));
    assert_eq!(browse(&mut broker, 0, 9, &[MessageState::InFlight]).0.len(), 1);
    let again = broker.fetch("q", 4);
    assert!(again.iter().all(|d| !d.redelivered), "seen is not delivered");
}

#[test]
fn operators_act_on_single_messages_wherever_they_stand() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.declare("other", QueuePolicy::default());
    ["a", "b", "c", "d"].iter().for_each(|text| broker.send("q", text));
    let seqs: Vec<Seq> = browse(&mut broker, 0, 9, &[]).0.iter().map(|m| m.seq).collect();
    assert_eq!(act(&mut broker, seqs[1], MessageAction::Delete), 1);
    assert_eq!(act(&mut broker, seqs[2], MessageAction::Move { to: "other".into() }), 1);
    let edited = Message::new(Bytes::from_static(b"D"), 0);
    assert_eq!(act(&mut broker, seqs[3], MessageAction::Edit(edited)), 1);
    assert_eq!(act(&mut broker, Seq(99), MessageAction::Delete), 0);
    let held = broker.fetch("q", 1);
    assert_eq!(
        act(&mut broker, seqs[0], MessageAction::Delete),
        0,
        "what is in flight belongs to its holder"
    );
    assert_eq!(act(&mut broker, seqs[0], MessageAction::EndLease), 1);
    assert_eq!(broker.settle(&held, Outcome::Complete), 1);
    for by_snapshot in [true, false] {
        broker.restart(by_snapshot);
        assert_eq!(broker.queue("q").ready, 2);
    }
    assert_eq!(broker.drain("q"), ["a", "D"]);
    let moved = broker.fetch("other", 1);
    assert_eq!(body(&moved[0]), "c");
}

#[test]
fn explain_names_every_gate_that_is_shut() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    let explain =
        |broker: &mut Broker, seq| match inspect(broker, InspectOp::Explain { queue: "q".into(), seq }) {
            Reply::Explained(sentences) => sentences.join(" "),
            other => panic!("{other:?}"),
        };
    assert!(explain(&mut broker, None).contains("Nobody consumes"));
    let events = broker.subscribe(B, 1, "q", |s| (s.window, s.label) = (Some(1), "worker".into())).1;
    let held = refs(&events);
    assert!(explain(&mut broker, Some(held[0].seq)).contains("leased by consumer 'worker'"));
    broker.send("q", "b");
    let why = explain(&mut broker, Some(Seq(held[0].seq.0 + 1)));
    assert!(why.contains("The message is ready.") && why.contains("its limit of 1"), "{why}");
    broker.machine.pause(B, true);
    assert!(explain(&mut broker, None).contains("reads too slowly"));
    let mut later = broker.message("", "q", "later");
    later.delay_ms = Some(5_000);
    broker.publish(later);
    assert!(explain(&mut broker, Some(Seq(held[0].seq.0 + 2))).contains("scheduled"));
    assert!(explain(&mut broker, Some(Seq(77))).contains("not in the queue"));
}
