//! The life of a message, scenario by scenario: delivery, settlement, leases, counters, order, time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_core::Context;
use baton_model::event::{CancelReason, DeathReason};
use baton_model::policy::*;
use baton_model::request::{Fetch, FetchSelect, LeaseMode, Outcome, Request, Subscribe};
use baton_model::{ConsumerId, Event, Name, PublishOutcome, RefusalCode, Token};
use common::*;

fn release(failed: bool) -> Outcome {
    Outcome::Release { failed, delay_ms: None }
}

fn with_dead_letters(attempts_max: u32) -> QueuePolicy {
    QueuePolicy {
        dead_letter: Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) }),
        retry: RetryPolicy { attempts_max: Some(attempts_max), ..RetryPolicy::default() },
        ..QueuePolicy::default()
    }
}

#[test]
fn messages_leave_in_order_and_are_gone_when_completed() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for body in ["a", "b", "c"] {
        broker.send("q", body);
    }
    let got = broker.fetch("q", 2);
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((got[0].acquired, got[0].failed, got[0].redelivered), (1, 0, false));
    assert_eq!(broker.settle(&got, Outcome::Complete), 0);
    assert_eq!(broker.settle(&got, Outcome::Complete), 2, "a lease is settled once");
    assert_eq!(broker.drain("q"), ["c"]);
    assert!(broker.store.records.len() > 3);
    assert_eq!(broker.queue("q").bytes, 0);
}

#[test]
fn a_released_message_returns_to_its_place_and_counts() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for body in ["a", "b", "c"] {
        broker.send("q", body);
    }
    let got = broker.fetch("q", 2);
    broker.settle(&got[..1], release(true));
    broker.settle(&got[1..], release(false));
    let again = broker.fetch("q", 3);
    assert_eq!(again.iter().map(body).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((again[0].acquired, again[0].failed, again[0].redelivered), (2, 1, true));
    assert_eq!((again[1].acquired, again[1].failed), (2, 0));
    assert!(again[0].at.fence > got[1].at.fence, "fencing numbers only grow");
}

#[test]
fn a_queue_may_send_what_is_released_to_the_back() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy { release_to: ReleaseTo::Back, ..QueuePolicy::default() });
    broker.send("q", "a");
    broker.send("q", "b");
    let got = broker.fetch("q", 1);
    broker.settle(&got, release(false));
    assert_eq!(broker.drain("q"), ["b", "a"]);
}

#[test]
fn consumers_share_by_turns_within_their_windows_and_refill_on_settlement() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.subscribe(A, 1, "q", |s| s.window = Some(1)).0.unwrap();
    broker.subscribe(B, 2, "q", |s| s.window = Some(2)).0.unwrap();
    let mut seen = Vec::new();
    let mut held = Vec::new();
    for body in ["a", "b", "c", "d"] {
        let publish = broker.message("", "q", body);
        let (_, events) = broker.publish(publish);
        seen.extend(delivered(&events));
        held.extend(refs(&events));
    }
    let expected = [(1, 1, "a"), (2, 2, "b"), (2, 2, "c")];
    assert_eq!(seen, expected.map(|(c, n, b)| (c, n, b.to_owned())));
    assert_eq!(
        broker.settle_as(A, &held[1..2], Outcome::Complete),
        1,
        "a linked lease is its holder's alone"
    );
    let token = broker.token();
    let settle = baton_model::request::Settle {
        token: Some(token),
        deliveries: held[..1].into(),
        outcome: Outcome::Complete,
    };
    let events = broker.step(A, Request::Settle(settle));
    assert_eq!(delivered(&events), [(1, 1, "d".to_owned())]);
}

#[test]
fn higher_consumer_priority_is_served_first_and_paused_links_not_at_all() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.subscribe(A, 1, "q", |_| ()).0.unwrap();
    broker.subscribe(B, 2, "q", |s| s.priority = 5).0.unwrap();
    let send = |broker: &mut Broker, text: &str| {
        let publish = broker.message("", "q", text);
        delivered(&broker.publish(publish).1).into_iter().map(|(_, consumer, _)| consumer).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut broker, "a"), [2]);
    broker.machine.pause(B, true);
    assert_eq!(send(&mut broker, "b"), [1]);
    broker.machine.pause(B, false);
    assert_eq!(send(&mut broker, "c"), [2]);
}

#[test]
fn a_vanished_connection_gives_everything_back_as_failures() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    broker.send("q", "b");
    assert_eq!(broker.fetch_as(B, "q", 2, LeaseMode::Linked).len(), 2);
    broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
    let again = broker.fetch("q", 2);
    assert_eq!(
        again.iter().map(|d| (body(d), d.failed)).collect::<Vec<_>>(),
        [("a".into(), 1), ("b".into(), 1)]
    );
}

#[test]
fn timed_leases_end_survive_restarts_and_can_be_extended_by_anybody_with_the_receipt() {
    for by_snapshot in [false, true] {
        let mut broker = Broker::default();
        broker.declare("q", QueuePolicy::default());
        broker.send("q", "a");
        let got = broker.fetch_as(A, "q", 1, LeaseMode::Timed(Some(1_000)));
        broker.advance(900);
        broker.restart(by_snapshot);
        assert_eq!(broker.settle_as(B, &[got[0].at], Outcome::Extend { lease_ms: 1_000 }), 0);
        broker.advance(900);
        assert_eq!(broker.fetch("q", 1).len(), 0);
        broker.advance(100);
        let again = broker.fetch("q", 1);
        assert_eq!((again[0].acquired, again[0].failed), (2, 1));
        assert_eq!(broker.settle_as(A, &[got[0].at], Outcome::Complete), 1, "an old receipt is stale");
        assert!(again[0].at.fence > got[0].at.fence);
    }
}

#[test]
fn linked_leases_end_with_the_process_and_messages_stay() {
    for by_snapshot in [false, true] {
        let mut broker = Broker::default();
        broker.declare("q", QueuePolicy::default());
        broker.declare("gone", QueuePolicy { durable: false, ..QueuePolicy::default() });
        for text in ["a", "b"] {
            broker.send("q", text);
        }
        let mut transient = broker.message("", "q", "transient");
        transient.durable = false;
        broker.publish(transient);
        let got = broker.fetch("q", 1);
        broker.restart(by_snapshot);
        let again = broker.fetch("q", 9);
        assert_eq!(again.iter().map(body).collect::<Vec<_>>(), ["a", "b"]);
        assert!(again[0].redelivered && !again[1].redelivered);
        assert!(again[0].at.fence > got[0].at.fence);
        assert!(broker.catalog(A, baton_model::request::CatalogOp::Queue { name: "gone".into() }).is_err());
        broker.send("q", "c");
        assert_eq!(broker.drain("q"), ["c"]);
    }
}

#[test]
fn spent_attempts_and_rejections_go_to_the_dead_letters_with_their_history() {
    let mut broker = Broker::default();
    broker.declare("dead", QueuePolicy::default());
    broker.declare("q", with_dead_letters(1));
    broker.send("q", "spent");
    broker.send("q", "rejected");
    for _ in 0..2 {
        let got = broker.fetch("q", 1);
        assert_eq!(body(&got[0]), "spent");
        broker.settle(&got, release(true));
    }
    let got = broker.fetch("q", 1);
    broker.settle(&got, Outcome::Reject { reason: Some("bad".into()) });
    let dead = broker.fetch("dead", 9);
    let history = |d: &baton_model::Delivery| {
        let overlay = d.overlay.clone().unwrap();
        (body(d), overlay.deaths[0].queue.clone(), overlay.deaths[0].reason, overlay.keys[0].clone())
    };
    assert_eq!(history(&dead[0]), ("spent".into(), "q".into(), DeathReason::AttemptsSpent, "dead".into()));
    assert_eq!(history(&dead[1]).2, DeathReason::Rejected);
    assert_eq!(dead[1].overlay.as_ref().unwrap().deaths[0].detail, Some("bad".into()));
    assert_eq!(dead[0].acquired, 1, "counters begin anew in the dead-letter queue");
}

#[test]
fn a_cycle_without_rejection_ends_and_one_with_rejections_goes_on() {
    let mut broker = Broker::default();
    let to = |key: &str| DeadLetterPolicy { exchange: Name::default(), key: Some(key.into()) };
    broker
        .declare("a", QueuePolicy { dead_letter: Some(to("b")), ttl_ms: Some(10), ..QueuePolicy::default() });
    broker
        .declare("b", QueuePolicy { dead_letter: Some(to("a")), ttl_ms: Some(10), ..QueuePolicy::default() });
    broker.send("a", "x");
    broker.advance(1_000);
    assert_eq!(
        broker.queue("a").ready + broker.queue("b").ready,
        0,
        "nobody rejected it: it would circle for ever"
    );
    broker.send("a", "y");
    for round in 1..4_u64 {
        let got = broker.fetch("a", 1);
        broker.settle(&got, Outcome::Reject { reason: None });
        broker.advance(10);
        let back = broker.fetch("a", 1);
        let deaths = &back[0].overlay.as_ref().unwrap().deaths;
        assert_eq!(deaths.iter().map(|d| d.count).collect::<Vec<_>>(), [round, round]);
        broker.settle(&back, release(false));
    }
}

#[test]
fn time_to_live_acts_wherever_the_message_stands() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "stays");
    let mut short = broker.message("", "q", "short");
    short.ttl_ms = Some(50);
    broker.publish(short);
    broker.advance(49);
    assert_eq!(broker.queue("q").ready, 2);
    broker.advance(1);
    assert_eq!(broker.queue("q").ready, 1);
    let mut now_or_never = broker.message("", "q", "zero");
    now_or_never.ttl_ms = Some(0);
    broker.publish(now_or_never);
    assert_eq!(broker.drain("q"), ["stays"]);
    broker.subscribe(A, 1, "q", |_| ()).0.unwrap();
    let mut zero = broker.message("", "q", "zero");
    zero.ttl_ms = Some(0);
    assert_eq!(delivered(&broker.publish(zero).1).len(), 1, "time to live 0 means at once or never");
}

#[test]
fn delays_and_backoff_hold_messages_and_keep_their_place() {
    let mut broker = Broker::default();
    let backoff =
        Backoff { growth: Growth::Linear, min_ms: 100, max_ms: 150, jitter: 0.0, on: BackoffOn::Failed };
    let retry = RetryPolicy { backoff: Some(backoff), ..RetryPolicy::default() };
    broker.declare("q", QueuePolicy { retry, ..QueuePolicy::default() });
    let mut later = broker.message("", "q", "later");
    later.delay_ms = Some(30);
    broker.publish(later);
    broker.send("q", "now");
    let got = broker.fetch("q", 9);
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["now"]);
    broker.settle(&got, release(true));
    broker.advance(30);
    assert_eq!(broker.drain("q"), ["later"]);
    broker.advance(69);
    assert_eq!(broker.queue("q").scheduled, 1);
    broker.advance(1);
    let got = broker.fetch("q", 1);
    broker.settle(&got, release(true));
    broker.advance(149);
    assert_eq!(broker.fetch("q", 1).len(), 0, "min × n, at most max");
    broker.advance(1);
    assert_eq!(broker.drain("q"), ["now"]);
}

#[test]
fn deferred_messages_are_fetched_by_their_place_only() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    let got = broker.fetch("q", 1);
    broker.settle(&got, Outcome::Defer);
    assert!(broker.drain("q").is_empty());
    broker.restart(false);
    let token = broker.token();
    let fetch = Fetch {
        token,
        link: LINK,
        queue: "q".into(),
        select: FetchSelect::Seqs(vec![got[0].at.seq]),
        count_max: 1,
        lease: LeaseMode::Linked,
        wait_until: None,
        label: Name::default(),
    };
    let events = broker.step(A, Request::Fetch(Box::new(fetch)));
    let found = fetched(&events, token).unwrap().deliveries;
    assert_eq!(body(&found[0]), "a");
}

#[test]
fn a_waiting_fetch_gets_the_next_message_or_nothing_in_time() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    let wait = |broker: &mut Broker| {
        let token = broker.token();
        let fetch = Fetch {
            token,
            link: LINK,
            queue: "q".into(),
            select: FetchSelect::Next,
            count_max: 5,
            lease: LeaseMode::Linked,
            wait_until: Some(broker.now.after_ms(100)),
            label: Name::default(),
        };
        (token, broker.step(B, Request::Fetch(Box::new(fetch))))
    };
    let (first, events) = wait(&mut broker);
    assert!(fetched(&events, first).is_none());
    let (second, _) = wait(&mut broker);
    let publish = broker.message("", "q", "a");
    let (_, events) = broker.publish(publish);
    assert_eq!(fetched(&events, first).unwrap().deliveries.len(), 1, "the longest waiting first");
    let events = broker.advance(100);
    assert_eq!(fetched(&events, second).unwrap().deliveries.len(), 0);
    assert_eq!(broker.machine.next_deadline(), None, "no timer is left behind");
}

#[test]
fn ordered_keys_hand_out_one_at_a_time_and_wait_for_retries() {
    let mut broker = Broker::default();
    let keys = KeyPolicy { mode: KeyMode::Ordered, poison: KeyPoison::Skip };
    broker.declare("q", QueuePolicy { keys, ..QueuePolicy::default() });
    for (key, text) in [("k", "k1"), ("k", "k2"), ("m", "m1"), ("k", "k3")] {
        let mut publish = broker.message("", "q", text);
        publish.group_key = Some(key.into());
        broker.publish(publish);
    }
    let one = |broker: &mut Broker| broker.fetch("q", 1);
    let k1 = one(&mut broker);
    let m1 = one(&mut broker);
    assert_eq!((body(&k1[0]), body(&m1[0])), ("k1".into(), "m1".into()));
    assert!(one(&mut broker).is_empty(), "k has a message in flight");
    broker.settle(&k1, Outcome::Release { failed: true, delay_ms: Some(50) });
    assert!(one(&mut broker).is_empty(), "no later one overtakes what waits for its retry");
    broker.advance(50);
    let several = broker.fetch("q", 10);
    assert_eq!(
        several.iter().map(body).collect::<Vec<_>>(),
        ["k1", "k2", "k3"],
        "one fetch may take several of a key"
    );
    broker.settle(&several[..1], Outcome::Complete);
    assert!(one(&mut broker).is_empty());
}

#[test]
fn poison_in_a_key_blocks_parks_or_is_skipped() {
    for (poison, next, dead) in
        [(KeyPoison::Skip, vec!["k2"], 1), (KeyPoison::Block, vec![], 0), (KeyPoison::Park, vec![], 1)]
    {
        let mut broker = Broker::default();
        broker.declare("dead", QueuePolicy::default());
        let keys = KeyPolicy { mode: KeyMode::Ordered, poison };
        broker.declare("q", QueuePolicy { keys, ..with_dead_letters(0) });
        for text in ["k1", "k2"] {
            let mut publish = broker.message("", "q", text);
            publish.group_key = Some("k".into());
            broker.publish(publish);
        }
        let got = broker.fetch("q", 1);
        broker.settle(&got, release(true));
        broker.restart(true);
        assert_eq!(broker.drain("q"), next, "{poison:?}");
        assert_eq!(broker.queue("dead").ready, dead, "{poison:?}");
        let token = broker.token();
        let unpark = baton_model::request::InspectOp::Unpark { queue: "q".into(), key: "k".into() };
        broker.step(A, Request::Inspect { token, op: Box::new(unpark) });
        let rest: &[&str] = match poison {
            KeyPoison::Skip => &[],
            KeyPoison::Block => &["k1", "k2"],
            KeyPoison::Park => &["k2"],
        };
        assert_eq!(broker.drain("q"), rest, "{poison:?}");
    }
}

#[test]
fn dedup_answers_with_the_original_within_its_window() {
    let mut broker = Broker::default();
    let dedup = Some(DedupPolicy { window_ms: 1_000, by_body: true, per_key: false });
    broker.declare("q", QueuePolicy { dedup, ..QueuePolicy::default() });
    let send = |broker: &mut Broker, body: &str, id: Option<&str>| {
        let mut publish = broker.message("", "q", body);
        publish.dedup_id = id.map(Name::new);
        broker.publish(publish).0
    };
    let PublishOutcome::Accepted { id, seq, .. } = send(&mut broker, "a", Some("1")) else { panic!() };
    assert_eq!(send(&mut broker, "b", Some("1")), PublishOutcome::Duplicate { id, seq });
    assert!(matches!(send(&mut broker, "a", None), PublishOutcome::Accepted { .. }));
    assert!(matches!(send(&mut broker, "a", None), PublishOutcome::Duplicate { .. }));
    broker.drain("q");
    broker.restart(true);
    assert!(matches!(send(&mut broker, "b", Some("1")), PublishOutcome::Duplicate { .. }));
    broker.advance(1_000);
    assert!(matches!(send(&mut broker, "b", Some("1")), PublishOutcome::Accepted { .. }));
}

#[test]
fn a_full_queue_drops_refuses_or_dead_letters() {
    for (overflow, kept, dead) in [
        (Overflow::DropOldest, vec!["b", "c"], vec!["a"]),
        (Overflow::Refuse, vec!["a", "b"], vec![]),
        (Overflow::RefuseAndDeadLetter, vec!["a", "b"], vec!["c"]),
    ] {
        let mut broker = Broker::default();
        broker.declare("dead", QueuePolicy::default());
        let capacity = Capacity { messages_max: Some(2), overflow, ..Capacity::default() };
        broker.declare("q", QueuePolicy { capacity, ..with_dead_letters(9) });
        for text in ["a", "b", "c"] {
            let publish = broker.message("", "q", text);
            let (outcome, _) = broker.publish(publish);
            if text == "c" && overflow != Overflow::DropOldest {
                assert!(matches!(outcome, PublishOutcome::Refused(r) if r.code == RefusalCode::QueueFull));
            }
        }
        assert_eq!(broker.drain("q"), kept, "{overflow:?}");
        let letters = broker.fetch("dead", 9);
        assert_eq!(letters.iter().map(body).collect::<Vec<_>>(), dead, "{overflow:?}");
        for letter in letters {
            assert_eq!(letter.overlay.unwrap().deaths[0].reason, DeathReason::Overflow);
        }
    }
}

#[test]
fn limits_of_dispatch_hold_messages_back() {
    let mut broker = Broker::default();
    let dispatch = DispatchPolicy { in_flight_max: Some(1), ..DispatchPolicy::default() };
    broker.declare("q", QueuePolicy { dispatch, ..QueuePolicy::default() });
    broker.send("q", "a");
    broker.send("q", "b");
    let (_, events) = broker.subscribe(A, 1, "q", |_| ());
    assert_eq!(delivered(&events).len(), 1);
    let first = refs(&events);
    let token = broker.token();
    let settle = baton_model::request::Settle {
        token: Some(token),
        deliveries: first.as_slice().into(),
        outcome: Outcome::Complete,
    };
    assert_eq!(delivered(&broker.step(A, Request::Settle(settle))).len(), 1);

    let rate = Some(Rate { per_second: 10.0, burst: 2 });
    let dispatch = DispatchPolicy { rate, ..DispatchPolicy::default() };
    broker.declare("slow", QueuePolicy { dispatch, ..QueuePolicy::default() });
    for text in ["1", "2", "3", "4"] {
        broker.send("slow", text);
    }
    let (_, events) = broker.subscribe(B, 2, "slow", |_| ());
    assert_eq!(delivered(&events).len(), 2, "the burst");
    assert_eq!(delivered(&broker.advance(99)).len(), 0);
    assert_eq!(delivered(&broker.advance(1)).len(), 1);
    assert_eq!(delivered(&broker.advance(100)).len(), 1);
}

#[test]
fn one_active_consumer_at_a_time_and_exclusive_ones() {
    let mut broker = Broker::default();
    let dispatch = DispatchPolicy { single_active: true, ..DispatchPolicy::default() };
    broker.declare("q", QueuePolicy { dispatch, ..QueuePolicy::default() });
    broker.subscribe(A, 1, "q", |_| ()).0.unwrap();
    broker.subscribe(B, 2, "q", |_| ()).0.unwrap();
    for text in ["a", "b"] {
        let publish = broker.message("", "q", text);
        assert_eq!(delivered(&broker.publish(publish).1), [(1, 1, text.to_owned())]);
    }
    let events = broker.run(|machine, now, cx| machine.disconnect(now, A, cx));
    assert_eq!(delivered(&events).len(), 2, "the next one takes over, with what the first held");
    broker.machine.connect(A);
    let (refused, _) = broker.subscribe(A, 3, "q", |s| s.exclusive = true);
    assert_eq!(refused.unwrap_err().code, RefusalCode::ConsumerExclusive);
}

#[test]
fn a_consumer_that_holds_too_long_is_cancelled_and_its_message_returns() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy { linked_lease_ms_max: Some(1_000), ..QueuePolicy::default() });
    broker.send("q", "a");
    broker.subscribe(B, 1, "q", |_| ()).0.unwrap();
    let events = broker.advance(1_000);
    assert!(events.iter().any(|(_, e)| matches!(e, Event::LeaseEnded { .. })));
    assert!(events.iter().any(|(_, e)| matches!(e, Event::Cancelled { reason: CancelReason::TooSlow, .. })));
    let again = broker.fetch("q", 1);
    assert_eq!((again[0].acquired, again[0].failed), (2, 0), "its time-out is not the message's failure");
}

#[test]
fn queues_go_when_idle_unused_or_with_their_connection() {
    let mut broker = Broker::default();
    broker.declare("idle", QueuePolicy { idle_ms_max: Some(500), ..QueuePolicy::default() });
    broker.declare("auto", QueuePolicy { auto_delete: true, ..QueuePolicy::default() });
    broker.declare("own", QueuePolicy { exclusive: true, ..QueuePolicy::default() });
    broker.send("own", "x");
    let names = |broker: &mut Broker| {
        let op =
            baton_model::request::CatalogOp::Queues { after: None, prefix: Name::default(), count_max: 9 };
        match broker.catalog(B, op).unwrap() {
            baton_model::Reply::Queues(all) => {
                all.into_iter().map(|q| q.name.to_string()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let op = baton_model::request::CatalogOp::Queue { name: "own".into() };
    assert_eq!(broker.catalog(B, op).unwrap_err().code, RefusalCode::QueueLocked);
    broker.advance(500);
    assert_eq!(names(&mut broker), ["auto", "own"]);
    broker.subscribe(B, 1, "auto", |_| ()).0.unwrap();
    broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
    broker.run(|machine, now, cx| machine.disconnect(now, A, cx));
    broker.machine.connect(B);
    assert_eq!(names(&mut broker), Vec::<String>::new());
}

#[test]
fn what_exceeds_the_memory_budget_is_read_back_in_order_when_it_can_be() {
    let mut broker = Broker::default();
    broker.machine.set_resident_bytes_max(100);
    broker.declare("q", QueuePolicy::default());
    for index in 0..20 {
        broker.send("q", &format!("message {index:02}"));
    }
    assert!(broker.machine.sizes().resident_bytes <= 130, "{:?}", broker.machine.sizes());
    broker.store.unreadable = true;
    let first = broker.fetch("q", 20);
    assert!(first.len() < 10, "those in memory");
    broker.store.unreadable = false;
    let events = broker.run(|_, _, _| ());
    assert!(events.is_empty());
    let rest = broker.fetch("q", 20);
    let bodies: Vec<_> = first.iter().chain(&rest).map(body).collect();
    assert_eq!(bodies, (0..20).map(|index| format!("message {index:02}")).collect::<Vec<_>>());
    assert_eq!(broker.settle(&rest, Outcome::Complete), 0);
}

#[test]
fn a_consumer_gets_what_could_not_be_read_at_the_next_dispatch() {
    let mut broker = Broker::default();
    broker.machine.set_resident_bytes_max(0);
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    broker.store.unreadable = true;
    let (_, events) = broker.subscribe(A, 1, "q", |_| ());
    assert!(delivered(&events).is_empty());
    broker.store.unreadable = false;
    assert_eq!(delivered(&broker.run(|_, _, _| ())), [(1, 1, "a".to_owned())]);
}

#[test]
fn a_queue_may_persist_what_its_senders_did_not_ask_for() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy { persist_all: true, ..QueuePolicy::default() });
    let mut publish = broker.message("", "q", "kept");
    publish.durable = false;
    broker.publish(publish);
    broker.restart(false);
    assert_eq!(broker.drain("q"), ["kept"]);
}

#[test]
fn one_dispatch_does_not_hand_out_a_whole_backlog() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    let messages: Vec<_> = (0..5_000).map(|index| broker.message("", "q", &index.to_string())).collect();
    let mut effects = Vec::new();
    let mut cx = Context { store: &mut broker.store, effects: &mut effects };
    let subscribe = Subscribe {
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
    // Past the harness, whose check after every step is far too slow for so many.
    for message in messages {
        broker.machine.step(broker.now, A, Request::Publish(Box::new(message)), &mut cx);
    }
    broker.machine.step(broker.now, A, Request::Subscribe(Box::new(subscribe)), &mut cx);
    broker.machine.dispatch(broker.now, &mut cx);
    assert!(broker.machine.unfinished());
    broker.machine.pause(A, true);
    while broker.machine.unfinished() {
        broker.machine.dispatch(broker.now, &mut cx);
    }
    let delivered = cx.effects.iter().filter(|effect| matches!(effect.event, Event::Delivered(_))).count();
    assert!((1_000..4_000).contains(&delivered), "{delivered}");
}
