//! What leases promise whatever becomes of connections, and what the dead letters promise whatever operators do. Found by
//! the simulation.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_core::{Context, Machine, Needs};
use baton_model::policy::{Capacity, DeadLetterPolicy, KeyMode, KeyPoison, KeyPolicy, RetryPolicy};
use baton_model::request::{Fetch, FetchSelect, InspectOp, LeaseMode, MessageAction, Outcome};
use baton_model::{Event, Name, QueuePolicy, Request};
use common::{A, B, Broker, LINK, refs};

#[test]
fn timed_leases_outlive_their_connection_and_its_links() {
    let endings: [fn(&mut Broker); 3] = [
        |broker| {
            broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
        },
        |broker| {
            broker.step(B, Request::Detach { link: LINK, failed: true });
        },
        |broker| {
            let token = broker.token();
            broker.step(B, Request::Recover { token, link: LINK });
        },
    ];
    for end in endings {
        let mut broker = Broker::default();
        broker.declare("q", QueuePolicy::default());
        ["a", "b"].iter().for_each(|text| broker.send("q", text));
        let fetched = broker.fetch_as(B, "q", 1, LeaseMode::Timed(Some(1_000)));
        let (_, events) =
            broker.subscribe(B, 1, "q", |subscribe| subscribe.lease = LeaseMode::Timed(Some(1_000)));
        let delivered = refs(&events);
        assert_eq!((fetched.len(), delivered.len()), (1, 1));
        end(&mut broker);
        // A new consumer that may be called as the one before inside.
        broker.machine.connect(B);
        let (subscribed, _) = broker.subscribe(A, 1, "q", |subscribe| subscribe.window = Some(1));
        assert!(subscribed.is_ok());
        assert_eq!(broker.queue("q").in_flight, 2, "nobody else gets what is leased for a time");
        assert_eq!(broker.settle_as(A, &[fetched[0].at], Outcome::Complete), 0, "the receipt is good");
        let events = broker.advance(1_000);
        let again = refs(&events);
        assert_eq!(again.iter().map(|at| at.seq).collect::<Vec<_>>(), [delivered[0].seq], "its time is over");
        assert!(again[0].fence > delivered[0].fence);
    }
}

#[test]
fn a_link_recovers_what_is_linked_to_it_only() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    ["a", "b"].iter().for_each(|text| broker.send("q", text));
    broker.fetch_as(A, "q", 1, LeaseMode::Timed(Some(1_000)));
    broker.fetch_as(A, "q", 1, LeaseMode::Linked);
    let token = broker.token();
    broker.step(A, Request::Recover { token, link: LINK });
    let info = broker.queue("q");
    assert_eq!((info.in_flight, info.ready), (1, 1));
}

#[test]
fn what_an_operator_moves_back_out_of_the_dead_letters_can_die_again() {
    let mut broker = Broker::default();
    broker.declare("dead", QueuePolicy::default());
    let dead_letter = Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) });
    let retry = RetryPolicy { attempts_max: Some(0), ..RetryPolicy::default() };
    broker.declare("q", QueuePolicy { dead_letter, retry, ..QueuePolicy::default() });
    broker.send("q", "a");
    for round in 1..=3 {
        let got = broker.fetch("q", 1);
        broker.settle(&got, Outcome::Release { failed: true, delay_ms: None });
        assert_eq!(broker.queue("dead").ready, 1, "round {round}: a message that fails again is not lost");
        let token = broker.token();
        let seqs = (1..=9).map(baton_model::Seq).collect();
        let action = MessageAction::Move { to: "q".into() };
        let op = Box::new(InspectOp::Act { queue: "dead".into(), seqs, action });
        broker.step(A, Request::Inspect { token, op });
        assert_eq!(broker.queue("q").ready, 1);
    }
}

/// What a fetch must wait for before it is answered.
fn needs(broker: &mut Broker, lease: LeaseMode) -> Needs {
    let fetch = Fetch {
        token: broker.token(),
        link: LINK,
        queue: "q".into(),
        select: FetchSelect::Next,
        count_max: 1,
        lease,
        wait_until: None,
        label: Name::default(),
    };
    let mut effects = Vec::new();
    let mut cx = Context { store: &mut broker.store, effects: &mut effects };
    broker.machine.step(broker.now, A, Request::Fetch(Box::new(fetch)), &mut cx);
    effects.iter().find(|effect| matches!(effect.event, Event::Fetched { .. })).unwrap().needs
}

#[test]
fn nothing_is_handed_out_that_a_crash_would_hand_out_again() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    ["a", "b", "c", "d"].iter().for_each(|text| broker.send("q", text));
    let before = needs(&mut broker, LeaseMode::Timed(Some(10)));
    broker.restart(false);
    let linked = needs(&mut broker, LeaseMode::Linked);
    assert!(
        linked.durable > before.written,
        "the numbers of this generation are granted again if it is forgotten"
    );
    let timed = needs(&mut broker, LeaseMode::Timed(Some(10)));
    assert_eq!(timed.durable, linked.durable, "who dies with the machine gets it again");
    let settled = needs(&mut broker, LeaseMode::Settled);
    assert!(
        timed.written > linked.durable && settled.durable > timed.written,
        "each waits for its own record"
    );
    assert_eq!((linked.written, settled.written), (None, None));
    assert_eq!(needs(&mut broker, LeaseMode::Linked), Needs::default(), "nothing is left");
}

#[test]
fn a_full_queue_whose_oldest_message_cannot_be_read_yet_makes_room_later() {
    for restarts in [false, true] {
        makes_room_later(restarts);
    }
}

fn makes_room_later(restarts: bool) {
    let mut broker = Broker::default();
    broker.declare("dead", QueuePolicy::default());
    let dead_letter = Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) });
    let capacity = Capacity { messages_max: Some(1), ..Capacity::default() };
    broker.declare("q", QueuePolicy { dead_letter, capacity, ..QueuePolicy::default() });
    broker.machine.set_resident_bytes_max(0);
    broker.store.unreadable = true;
    ["a", "b", "c"].iter().for_each(|text| broker.send("q", text));
    assert_eq!(broker.queue("q").ready, 3, "nothing is lost meanwhile");
    broker.store.unreadable = false;
    if restarts {
        broker.restart(true);
    }
    broker.advance(1);
    broker.run(|machine, now, cx| machine.dispatch(now, cx));
    assert_eq!((broker.queue("q").ready, broker.queue("dead").ready), (1, 2));
}

#[test]
fn a_key_parked_for_a_transient_message_stays_parked_through_a_restart() {
    for by_snapshot in [false, true] {
        let mut broker = Broker::default();
        let retry = RetryPolicy { attempts_max: Some(0), ..RetryPolicy::default() };
        let keys = KeyPolicy { mode: KeyMode::Ordered, poison: KeyPoison::Park };
        broker.declare("q", QueuePolicy { retry, keys, ..QueuePolicy::default() });
        for (text, durable) in [("poison", false), ("later", true)] {
            let mut publish = broker.message("", "q", text);
            (publish.durable, publish.group_key) = (durable, Some("k".into()));
            broker.publish(publish);
        }
        let got = broker.fetch("q", 1);
        broker.settle(&got, Outcome::Release { failed: true, delay_ms: None });
        assert_eq!(broker.fetch("q", 1).len(), 0, "an operator must look first");
        broker.restart(by_snapshot);
        assert_eq!(broker.fetch("q", 1).len(), 0, "by snapshot: {by_snapshot}");
    }
}

#[test]
fn a_timed_lease_lasts_at_least_a_moment() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    let (_, events) = broker.subscribe(A, 1, "q", |subscribe| subscribe.lease = LeaseMode::Timed(Some(0)));
    assert_eq!(refs(&events).len(), 1, "not again and again in the same instant");
    assert_eq!(refs(&broker.advance(1)).len(), 1);
}

#[test]
fn a_lease_that_ended_while_the_broker_was_down_is_due_at_once() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "m");
    assert_eq!(broker.fetch_as(A, "q", 1, LeaseMode::Timed(Some(5))).len(), 1);
    let mut machine = Machine::new(7);
    let mut contents = broker.store.readable();
    for (record, content) in &broker.store.records {
        machine.apply(record.clone(), *content, &mut contents).unwrap();
    }
    let now = broker.now.after_ms(10);
    let mut effects = Vec::new();
    machine.recovered(now, &mut Context { store: &mut broker.store, effects: &mut effects });
    assert!(machine.next_deadline().is_some_and(|at| at <= now), "before anybody asks for a message");
}
