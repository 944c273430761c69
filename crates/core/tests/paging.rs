//! Deep queues: pages of the index leave the memory and come back, and nobody notices. What goes on between is checked against
//! a naive queue in `model.rs`; here is what a page knows while it is away, and that it does go away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_core::{Record, STRETCH_BYTES};
use baton_model::policy::*;
use baton_model::request::*;
use baton_model::{Name, Publish, Reply, Seq};
use common::{A, Broker, body};

/// A broker with hardly any room for its index, and a queue with so many messages `m0`, `m1`, …
fn deep(policy: QueuePolicy, count: usize) -> Broker {
    let mut broker = Broker::with_index_messages_max(100);
    broker.declare("q", policy);
    broker.send_all("q", (0..count).map(|i| format!("m{i}")));
    broker
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("m{i}")).collect()
}

fn drain_all(broker: &mut Broker, queue: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let some = broker.drain(queue);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

fn browse(broker: &mut Broker, from: u64, count_max: u32) -> (Vec<String>, Option<Seq>) {
    let token = broker.token();
    let op = InspectOp::Browse {
        queue: "q".into(),
        from: Seq(from),
        count_max,
        states: Vec::new(),
        headers: Default::default(),
    };
    let events = broker.step(A, Request::Inspect { token, op: Box::new(op) });
    match common::reply(&events, token).unwrap() {
        Reply::Browsed { messages, next } => {
            let text =
                |m: &baton_model::event::Browsed| String::from_utf8(m.message.body().to_vec()).unwrap();
            (messages.iter().map(text).collect(), next)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deep_queue_is_not_in_memory_and_comes_out_in_order() {
    let mut broker = deep(QueuePolicy::default(), 5_000);
    let sizes = broker.machine.sizes();
    assert_eq!(sizes.messages, 5_000);
    assert!(sizes.indexed < 500, "{sizes:?}");
    assert_eq!(broker.queue("q").ready, 5_000);
    assert!(broker.queue("q").oldest_at.is_some());
    assert_eq!(drain_all(&mut broker, "q"), texts(0..5_000));
    assert_eq!(broker.machine.sizes().messages, 0);
}

#[test]
fn a_restart_leaves_what_is_on_disk_there() {
    for by_snapshot in [true, false] {
        let mut broker = deep(QueuePolicy::default(), 3_000);
        let got = broker.fetch("q", 200);
        broker.settle(&got[..150], Outcome::Complete);
        broker.restart(by_snapshot);
        assert_eq!(broker.queue("q").ready, 2_850);
        assert!(broker.machine.sizes().indexed < 1_000, "{:?}", broker.machine.sizes());
        broker.step(
            A,
            Request::Open { token: Default::default(), namespace: "/".into(), label: String::new() },
        );
        assert_eq!(drain_all(&mut broker, "q"), texts(150..3_000));
    }
}

#[test]
fn messages_on_disk_expire_and_become_deliverable_in_time() {
    let mut broker = Broker::with_index_messages_max(100);
    broker.declare("q", QueuePolicy::default());
    let mut publishes: Vec<Publish> = Vec::new();
    for i in 0..2_000_u64 {
        let mut publish = broker.message("", "q", &format!("m{i}"));
        publish.ttl_ms = (i % 2 == 0).then_some(1_000 + i);
        publish.delay_ms = (i % 2 == 1).then_some(5_000 + i);
        publishes.push(publish);
    }
    broker.publish_all(publishes);
    assert!(broker.machine.sizes().indexed < 500);
    broker.advance(1_999);
    let info = broker.queue("q");
    assert_eq!((info.ready, info.scheduled), (500, 1_000), "half of the even ones have expired");
    broker.advance(4_001);
    let info = broker.queue("q");
    assert_eq!((info.ready, info.scheduled), (500, 500), "and half of the odd ones have come due");
    broker.advance(1_000);
    assert_eq!(drain_all(&mut broker, "q").len(), 1_000);
}

#[test]
fn what_cannot_be_read_back_now_waits() {
    let mut broker = deep(QueuePolicy::default(), 1_000);
    let first = broker.fetch("q", 100);
    assert_eq!(first.len(), 100);
    broker.store.unreadable = true;
    let got = broker.fetch("q", 1_000).len();
    assert!(got < 300, "only what was in memory");
    assert!(browse(&mut broker, 0, 10).1.is_some(), "the cursor stays");
    broker.store.unreadable = false;
    let rest = broker.fetch("q", 1_000);
    assert_eq!(rest.len(), 900 - got);
    assert_eq!(body(&rest[0]), format!("m{}", 100 + got));
}

#[test]
fn browsing_and_single_messages_reach_the_disk() {
    let mut broker = deep(QueuePolicy::default(), 2_000);
    assert_eq!(browse(&mut broker, 1_001, 3), (texts(1_000..1_003), Some(Seq(1_004))));
    let token = broker.token();
    let op = InspectOp::Act { queue: "q".into(), seqs: vec![Seq(1_002)], action: MessageAction::Delete };
    let events = broker.step(A, Request::Inspect { token, op: Box::new(op) });
    assert!(matches!(common::reply(&events, token), Ok(Reply::Count(1))));
    assert_eq!(browse(&mut broker, 1_001, 2).0, ["m1000", "m1002"]);
    let mut all = texts(0..2_000);
    all.remove(1_001);
    assert_eq!(drain_all(&mut broker, "q"), all);
}

#[test]
fn a_deep_queue_is_purged_and_deleted_without_being_read() {
    let mut broker = deep(QueuePolicy { priority_max: 3, ..QueuePolicy::default() }, 3_000);
    broker.store.unreadable = true;
    let purged = broker.catalog(A, CatalogOp::PurgeQueue { name: "q".into() });
    assert!(matches!(purged, Ok(Reply::Count(3_000))), "{purged:?}");
    assert_eq!(broker.queue("q").bytes, 0);
    broker.send_all("q", (0..3_000).map(|i| format!("n{i}")));
    let delete = CatalogOp::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false };
    assert!(matches!(broker.catalog(A, delete), Ok(Reply::Count(3_000))));
    assert_eq!(broker.machine.sizes().messages, 0);
}

#[test]
fn a_deep_queue_with_holes_is_purged_without_being_read() {
    let mut broker = deep(QueuePolicy::default(), 100);
    // The page goes to disk as soon as it is full, with what is left of it.
    let got = broker.fetch("q", 100);
    broker.settle(&got[40..60], Outcome::Complete);
    let rest: Vec<_> = got[..40].iter().chain(&got[60..]).cloned().collect();
    broker.settle(&rest, Outcome::Release { delay_ms: None, failed: false });
    broker.send_all("q", (0..1_000).map(|i| format!("n{i}")));
    assert!(broker.machine.sizes().indexed < 500, "{:?}", broker.machine.sizes());
    broker.store.unreadable = true;
    let purged = broker.catalog(A, CatalogOp::PurgeQueue { name: "q".into() });
    assert!(matches!(purged, Ok(Reply::Count(1_080))), "{purged:?}");
    assert_eq!(broker.queue("q").bytes, 0);
}

#[test]
fn what_was_leased_leaves_the_memory_when_it_comes_back() {
    let mut broker = deep(QueuePolicy::default(), 3_000);
    let got = broker.fetch("q", 2_000);
    assert!(broker.machine.sizes().indexed >= 2_000, "{:?}", broker.machine.sizes());
    broker.settle(&got, Outcome::Release { delay_ms: None, failed: false });
    (0..10).for_each(|_| drop(broker.run(|_, _, _| ())));
    assert!(broker.machine.sizes().indexed < 900, "{:?}", broker.machine.sizes());
    assert_eq!(drain_all(&mut broker, "q"), texts(0..3_000));
}

#[test]
fn browsing_waits_at_a_message_that_cannot_be_read_now() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    broker.send("q", "a");
    broker.machine.set_resident_bytes_max(0);
    broker.send("q", "b");
    broker.store.unreadable = true;
    assert_eq!(browse(&mut broker, 0, 10), (vec!["a".to_owned()], Some(Seq(2))));
    broker.store.unreadable = false;
    assert_eq!(browse(&mut broker, 2, 10), (vec!["b".to_owned()], None));
}

#[test]
fn what_comes_back_behind_a_sweep_leaves_again() {
    let mut broker = Broker::with_index_messages_max(700);
    broker.declare("q", QueuePolicy::default());
    broker.send_all("q", texts(0..1_500).into_iter());
    // The first time a sweep goes as far as it must; the second time it has been past what comes back.
    for _ in 0..2 {
        let mut from = 0;
        while let (_, Some(next)) = browse(&mut broker, from, 1_500) {
            from = next.0;
        }
        broker.queue("q");
        let sizes = broker.machine.sizes();
        assert!(sizes.indexed <= 700, "{sizes:?}");
    }
}

#[test]
fn keys_and_priorities_work_from_disk() {
    let keys = KeyPolicy { mode: KeyMode::Ordered, ..KeyPolicy::default() };
    for by_snapshot in [true, false] {
        let mut broker = Broker::with_index_messages_max(100);
        broker.declare("q", QueuePolicy { keys, ..QueuePolicy::default() });
        let mut publishes: Vec<Publish> = Vec::new();
        for i in 0..2_000 {
            let mut publish = broker.message("", "q", &format!("m{i}"));
            publish.group_key = Some(Name::from(format!("k{}", i % 10)));
            publishes.push(publish);
        }
        broker.publish_all(publishes);
        broker.restart(by_snapshot);
        broker.step(
            A,
            Request::Open { token: Default::default(), namespace: "/".into(), label: String::new() },
        );
        let mut seen: Vec<String> = Vec::new();
        while let Some(one) = broker.fetch("q", 1).pop() {
            seen.push(body(&one));
            broker.settle(&[one], Outcome::Complete);
        }
        assert_eq!(seen, texts(0..2_000), "each key's next message is the oldest of all");
    }
}

#[test]
fn a_full_deep_queue_drops_its_oldest_from_disk() {
    let capacity = Capacity { messages_max: Some(1_500), ..Capacity::default() };
    let mut broker = deep(QueuePolicy { capacity, ..QueuePolicy::default() }, 4_000);
    assert_eq!(broker.queue("q").ready, 1_500);
    assert_eq!(drain_all(&mut broker, "q"), texts(2_500..4_000));
}

#[test]
fn a_part_of_the_journal_is_given_up_by_copying_what_is_wanted_of_it() {
    let text = |i: usize| format!("{i} {}", "x".repeat(1_000));
    let mut broker = Broker::with_index_messages_max(100);
    broker.declare("q", QueuePolicy::default());
    broker.send_all("q", (0..3_000).map(text));
    let held = broker.fetch("q", 10);
    let end = broker.store.end();
    broker.rewrite(0..end);
    assert!(
        broker.store.lowest_read() >= end / STRETCH_BYTES * STRETCH_BYTES,
        "nothing old is wanted any more"
    );
    assert!(broker.store.records.iter().any(|(record, _)| matches!(record, Record::Copied { .. })));
    broker.settle(&held, Outcome::Complete);
    broker.restart(true);
    broker.step(A, Request::Open { token: Default::default(), namespace: "/".into(), label: String::new() });
    broker.store.forget_before(end);
    assert!(drain_all(&mut broker, "q").into_iter().eq((10..3_000).map(text)));
}
