//! Fetches: several messages in one record, many that wait, late completion, limits, and what goes with clearing a queue.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_core::Record;
use baton_model::policy::{DeadLetterPolicy, DedupPolicy, DispatchPolicy, KeyMode, KeyPolicy};
use baton_model::request::{CatalogOp, Fetch, FetchSelect, LeaseMode, Outcome, Request};
use baton_model::{Delivery, Name, QueuePolicy, Reply, Seq, Time, Token};

use common::{A, B, Broker, LINK, body, fetched};

const TIMED: LeaseMode = LeaseMode::Timed(Some(30_000));

fn keyed(mode: KeyMode) -> QueuePolicy {
    QueuePolicy { keys: KeyPolicy { mode, ..KeyPolicy::default() }, ..QueuePolicy::default() }
}

fn send_keyed(broker: &mut Broker, key: &str, text: &str) {
    let mut publish = broker.message("", "q", text);
    publish.group_key = Some(key.into());
    broker.publish(publish);
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(body).collect()
}

fn leases(broker: &Broker) -> usize {
    broker.store.records.iter().filter(|(record, _)| matches!(record, Record::Leased(_))).count()
}

fn wait(broker: &mut Broker, until: u64) -> Token {
    let token = broker.token();
    let fetch = Fetch {
        token,
        link: LINK,
        queue: "q".into(),
        select: FetchSelect::Next,
        count_max: 10,
        lease: TIMED,
        wait_until: Some(Time(until)),
        label: Name::default(),
    };
    assert!(fetched(&broker.step(B, Request::Fetch(Box::new(fetch))), token).is_none(), "it waits");
    token
}

#[test]
fn one_fetch_makes_one_record() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    for i in 0..12 {
        broker.send("q", &i.to_string());
    }
    let got = broker.fetch_as(A, "q", 10, TIMED);
    assert_eq!(bodies(&got), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(leases(&broker), 1);
    let fences: Vec<u64> = got.iter().map(|delivery| delivery.at.fence.0).collect();
    assert!(fences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{fences:?}");
}

#[test]
fn one_fetch_takes_a_run_of_an_ordered_key_and_then_others() {
    let mut broker = Broker::default();
    broker.declare("q", keyed(KeyMode::Ordered));
    for (key, text) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1"), ("b", "b2")] {
        send_keyed(&mut broker, key, text);
    }
    let got = broker.fetch_as(A, "q", 4, TIMED);
    assert_eq!(bodies(&got), ["a1", "a2", "b1", "b2"]);
    assert_eq!(leases(&broker), 2, "one for each key");
    assert_eq!(bodies(&broker.fetch_as(A, "q", 4, TIMED)), ["c1"]);
    send_keyed(&mut broker, "a", "a3");
    assert!(broker.fetch_as(A, "q", 4, TIMED).is_empty(), "two of its key are in flight");
    broker.settle(&got[..1], Outcome::Complete);
    assert!(broker.fetch_as(A, "q", 4, TIMED).is_empty(), "one is still");
    broker.settle(&got[1..2], Outcome::Complete);
    assert_eq!(bodies(&broker.fetch_as(A, "q", 4, TIMED)), ["a3"]);
}

#[test]
fn one_fetch_of_a_fair_queue_alternates_among_keys() {
    let mut broker = Broker::default();
    broker.declare("q", keyed(KeyMode::Fair));
    for (key, text) in [("busy", "1"), ("busy", "2"), ("busy", "3"), ("calm", "x")] {
        send_keyed(&mut broker, key, text);
    }
    assert_eq!(bodies(&broker.fetch_as(A, "q", 3, TIMED)), ["1", "x", "2"]);
}

#[test]
fn fetches_that_wait_are_served_in_their_turn_and_told_when_time_is_up() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    let until = broker.now.0 + 20_000;
    let first = wait(&mut broker, until);
    let second = wait(&mut broker, until);
    let publish = broker.message("", "q", "x");
    let (_, events) = broker.publish(publish);
    assert_eq!(bodies(&fetched(&events, first).unwrap().deliveries), ["x"]);
    assert!(fetched(&events, second).is_none());
    let events = broker.advance(20_000);
    assert!(fetched(&events, second).unwrap().deliveries.is_empty());
}

#[test]
fn a_late_completion_counts_until_somebody_else_has_the_message() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "x");
    let got = broker.fetch_as(A, "q", 1, TIMED);
    broker.advance(30_000);
    assert_eq!(broker.settle(&got, Outcome::Complete), 1, "its lease has ended");
    assert_eq!(broker.settle(&got, Outcome::CompleteLate), 0);
    assert_eq!(broker.queue("q").ready, 0);

    broker.send("q", "y");
    let old = broker.fetch_as(A, "q", 1, TIMED);
    broker.advance(30_000);
    let new = broker.fetch_as(B, "q", 1, TIMED);
    assert_eq!(broker.settle(&old, Outcome::CompleteLate), 1, "somebody else has it");
    broker.advance(30_000);
    assert_eq!(broker.settle(&old, Outcome::CompleteLate), 1, "somebody else had it");
    assert_eq!(broker.settle(&new, Outcome::CompleteLate), 0);
}

#[test]
fn a_fetch_says_that_the_limit_of_messages_in_flight_holds_it_back() {
    let mut broker = Broker::default();
    let dispatch = DispatchPolicy { in_flight_max: Some(2), ..DispatchPolicy::default() };
    broker.declare("q", QueuePolicy { dispatch, ..QueuePolicy::default() });
    (0..3).for_each(|i| broker.send("q", &i.to_string()));
    let got = broker.fetch_as(A, "q", 10, TIMED);
    assert_eq!(got.len(), 2);
    let token = broker.token();
    let fetch = Fetch {
        token,
        link: LINK,
        queue: "q".into(),
        select: FetchSelect::Next,
        count_max: 10,
        lease: TIMED,
        wait_until: None,
        label: Name::default(),
    };
    let events = broker.step(A, Request::Fetch(Box::new(fetch)));
    let answer = fetched(&events, token).unwrap();
    assert!(answer.deliveries.is_empty() && answer.held_back);
    broker.settle(&got[..1], Outcome::Complete);
    assert_eq!(broker.fetch_as(A, "q", 10, TIMED).len(), 1);
}

#[test]
fn clearing_takes_what_is_in_flight_and_scheduled_too() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    (0..3).for_each(|i| broker.send("q", &i.to_string()));
    let mut later = broker.message("", "q", "later");
    later.delay_ms = Some(1_000);
    broker.publish(later);
    let got = broker.fetch_as(A, "q", 1, TIMED);
    assert!(matches!(broker.catalog(A, CatalogOp::ClearQueue { name: "q".into() }), Ok(Reply::Count(4))));
    let info = broker.queue("q");
    assert_eq!((info.ready, info.scheduled, info.in_flight, info.bytes), (0, 0, 0, 0));
    assert_eq!(broker.settle(&got, Outcome::CompleteLate), 1);
}

#[test]
fn expired_messages_are_dropped_where_the_policy_says_so() {
    let mut broker = Broker::default();
    broker.declare("dead", QueuePolicy::default());
    let dead_letter = Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) });
    let policy = QueuePolicy { ttl_ms: Some(10), dead_letter, ..QueuePolicy::default() };
    broker.declare("keeps", policy.clone());
    broker.declare("drops", QueuePolicy { drop_expired: true, ..policy });
    broker.send("keeps", "kept");
    broker.send("drops", "gone");
    broker.advance(11);
    assert_eq!(broker.drain("dead"), ["kept"]);
}

#[test]
fn a_name_rests_for_those_who_ask() {
    let mut broker = Broker::default();
    let until = broker.now.after_ms(60_000);
    broker.catalog(A, CatalogOp::Rest { name: "q".into(), until }).unwrap();
    let left = |broker: &mut Broker| match broker.catalog(B, CatalogOp::Resting { name: "q".into() }) {
        Ok(Reply::Count(ms)) => ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(left(&mut broker), 60_000);
    broker.advance(60_000);
    assert_eq!(left(&mut broker), 0);
}

#[test]
fn the_window_of_deduplication_is_per_key_where_the_policy_says_so() {
    let mut broker = Broker::default();
    let dedup = Some(DedupPolicy { window_ms: 1_000, by_body: false, per_key: true });
    broker.declare("q", QueuePolicy { dedup, ..keyed(KeyMode::Ordered) });
    for key in ["a", "b", "a"] {
        let mut publish = broker.message("", "q", key);
        (publish.group_key, publish.dedup_id) = (Some(key.into()), Some("1".into()));
        broker.publish(publish);
    }
    assert_eq!(broker.drain("q"), ["a", "b"]);
}

#[test]
fn a_message_asked_for_by_its_place_while_it_cannot_be_read_stays_in_line_once() {
    let mut broker = Broker::default();
    broker.machine.set_resident_bytes_max(0);
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    broker.store.unreadable = true;
    let token = broker.token();
    let fetch = Fetch {
        token,
        link: LINK,
        queue: "q".into(),
        select: FetchSelect::Seqs(vec![Seq(1)]),
        count_max: 1,
        lease: LeaseMode::Linked,
        wait_until: None,
        label: Name::default(),
    };
    let events = broker.step(A, Request::Fetch(Box::new(fetch)));
    assert!(fetched(&events, token).unwrap().deliveries.is_empty());
    broker.store.unreadable = false;
    let got = broker.fetch("q", 5);
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["a"]);
    assert_eq!((got[0].acquired, broker.queue("q").ready), (1, 0));
}

#[test]
fn a_lease_of_no_time_is_over_when_the_message_has_left() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    for acquired in 1..=3 {
        let got = broker.fetch_as(A, "q", 1, LeaseMode::Timed(Some(0)));
        assert_eq!(got.iter().map(|delivery| delivery.acquired).collect::<Vec<_>>(), [acquired]);
    }
}
