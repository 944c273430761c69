//! Transfers from queue to queue, fetch attempts that are repeated, and times to live that count from sending.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_model::event::{Transfer, TransferState};
use baton_model::policy::{Counter, DeadLetterPolicy, KeyMode, KeyPolicy, RetryPolicy};
use baton_model::request::{CatalogOp, Fetch, FetchSelect, InspectOp, LeaseMode, Outcome, Request};
use baton_model::{Delivery, Name, QueuePolicy, Refusal, RefusalCode, Reply, Time};

use common::{A, Broker, LINK, body, fetched, reply};

const TIMED: LeaseMode = LeaseMode::Timed(Some(10_000));

fn source(attempts_max: u32) -> QueuePolicy {
    QueuePolicy {
        dead_letter: Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) }),
        retry: RetryPolicy { attempts_max: Some(attempts_max), counter: Counter::Acquired, backoff: None },
        ..QueuePolicy::default()
    }
}

/// Sends to a queue, and lets each message die there.
fn kill(broker: &mut Broker, queue: &str, texts: &[&str]) {
    texts.iter().for_each(|text| broker.send(queue, text));
    let got = broker.fetch_as(A, queue, 100, TIMED);
    broker.settle(&got, Outcome::Extend { lease_ms: 0 });
}

fn inspect(broker: &mut Broker, op: InspectOp) -> Result<Vec<Transfer>, Refusal> {
    let token = broker.token();
    let events = broker.step(A, Request::Inspect { token, op: Box::new(op) });
    match reply(&events, token)? {
        Reply::Transfers(transfers) => Ok(transfers),
        other => panic!("{other:?}"),
    }
}

fn start(broker: &mut Broker, to: Option<&str>, per_second: Option<u32>) -> Result<Transfer, Refusal> {
    let op = InspectOp::StartTransfer { queue: "dead".into(), to: to.map(Name::new), per_second };
    inspect(broker, op).map(|transfers| transfers[0].clone())
}

fn newest(broker: &mut Broker) -> Transfer {
    inspect(broker, InspectOp::Transfers { queue: "dead".into() }).unwrap()[0].clone()
}

fn world() -> Broker {
    let mut broker = Broker::default();
    broker.declare("dead", QueuePolicy::default());
    broker.declare("a", source(1));
    broker.declare("b", source(1));
    broker
}

#[test]
fn each_message_goes_back_to_where_it_died() {
    let mut broker = world();
    kill(&mut broker, "a", &["a1", "a2"]);
    kill(&mut broker, "b", &["b1"]);
    let held = broker.fetch_as(A, "dead", 1, TIMED);
    assert_eq!(start(&mut broker, None, None).unwrap().to_move, 2);
    broker.advance(5);
    let done = newest(&mut broker);
    assert_eq!((done.state, done.moved), (TransferState::Completed, 2));
    let back = broker.fetch_as(A, "a", 10, TIMED);
    assert_eq!(back.iter().map(body).collect::<Vec<_>>(), ["a2"]);
    assert_eq!(back[0].acquired, 1, "it begins anew");
    assert_eq!(broker.drain("b"), ["b1"]);
    assert_eq!(body(&held[0]), "a1", "what was in flight stayed");
    assert_eq!(broker.queue("dead").in_flight, 1);
    // Dying again, it comes again, and goes back again.
    broker.settle(&back, Outcome::Extend { lease_ms: 0 });
    start(&mut broker, None, None).unwrap();
    broker.advance(5);
    assert_eq!(broker.drain("a"), ["a2"]);
}

#[test]
fn a_transfer_keeps_to_its_rate_and_can_be_cancelled() {
    let mut broker = world();
    kill(&mut broker, "a", &["1", "2", "3", "4", "5"]);
    let started = start(&mut broker, Some("b"), Some(1)).unwrap();
    assert_eq!(start(&mut broker, None, None).unwrap_err().code, RefusalCode::InUse);
    broker.advance(2_500);
    assert_eq!(broker.queue("b").ready, 2);
    assert_eq!(newest(&mut broker).state, TransferState::Running);
    let cancel = InspectOp::CancelTransfer { queue: "dead".into(), id: started.id };
    let cancelled = inspect(&mut broker, cancel.clone()).unwrap();
    assert_eq!((cancelled[0].moved, &cancelled[0].state), (2, &TransferState::Cancelled));
    assert_eq!(inspect(&mut broker, cancel).unwrap_err().code, RefusalCode::MessageNotFound);
    broker.advance(10_000);
    assert_eq!((broker.queue("dead").ready, broker.queue("b").ready), (3, 2));
}

#[test]
fn a_transfer_goes_on_after_a_restart_and_keeps_its_rate_and_its_number() {
    for by_snapshot in [false, true] {
        let mut broker = world();
        kill(&mut broker, "a", &["1", "2", "3", "4", "5"]);
        let cancelled = start(&mut broker, Some("b"), Some(1)).unwrap();
        let cancel = |id| InspectOp::CancelTransfer { queue: "dead".into(), id };
        inspect(&mut broker, cancel(cancelled.id)).unwrap();
        let started = start(&mut broker, None, Some(1)).unwrap();
        assert!(started.id > cancelled.id);
        broker.advance(2_500);
        broker.send("dead", "came later");

        broker.restart(by_snapshot);
        let all = inspect(&mut broker, InspectOp::Transfers { queue: "dead".into() }).unwrap();
        assert_eq!(all.iter().map(|transfer| transfer.id).collect::<Vec<_>>(), [started.id, cancelled.id]);
        assert_eq!((all[0].moved, all[0].to_move, &all[0].state), (2, 5, &TransferState::Running));
        assert_eq!(all[1].state, TransferState::Cancelled);
        assert_eq!(start(&mut broker, None, None).unwrap_err().code, RefusalCode::InUse);
        broker.advance(1_500);
        assert_eq!(newest(&mut broker).moved, 3, "its rate counts anew");

        broker.restart(by_snapshot);
        broker.advance(5_000);
        let ended = newest(&mut broker);
        assert_eq!((ended.id, ended.moved, ended.state), (started.id, 5, TransferState::Completed));
        assert_eq!(broker.drain("a"), ["1", "2", "3", "4", "5"]);
        assert_eq!(broker.drain("dead"), ["came later"]);

        broker.restart(by_snapshot);
        assert_eq!(newest(&mut broker).state, TransferState::Completed);
        assert!(start(&mut broker, None, None).unwrap().id > started.id);
    }
}

#[test]
fn a_name_rests_on_after_a_restart() {
    for by_snapshot in [false, true] {
        let mut broker = world();
        let until = broker.now.after_ms(60_000);
        let ask = |broker: &mut Broker, op| {
            let token = broker.token();
            let events = broker.step(A, Request::Catalog { token, op: Box::new(op) });
            reply(&events, token)
        };
        ask(&mut broker, CatalogOp::Rest { name: "gone".into(), until }).unwrap();
        broker.restart(by_snapshot);
        broker.advance(59_000);
        let resting = CatalogOp::Resting { name: "gone".into() };
        assert!(matches!(ask(&mut broker, resting.clone()), Ok(Reply::Count(1_000))));
        broker.restart(by_snapshot);
        broker.advance(1_000);
        assert!(matches!(ask(&mut broker, resting), Ok(Reply::Count(0))));
    }
}

#[test]
fn a_message_that_never_died_has_nowhere_to_go() {
    let mut broker = world();
    kill(&mut broker, "a", &["x"]);
    broker.send("dead", "straight");
    start(&mut broker, None, None).unwrap();
    broker.advance(5);
    let failed = newest(&mut broker);
    assert!(matches!(failed.state, TransferState::Failed(_)), "{failed:?}");
    assert_eq!((failed.moved, broker.queue("dead").ready), (1, 1));
    broker
        .catalog(A, CatalogOp::DeleteQueue { name: "dead".into(), if_unused: false, if_empty: false })
        .unwrap();
    broker.declare("dead", QueuePolicy::default());
    assert_eq!(inspect(&mut broker, InspectOp::Transfers { queue: "dead".into() }).unwrap(), []);
}

#[test]
fn many_messages_are_moved_in_pieces() {
    let mut broker = world();
    let texts: Vec<String> = (0..1_200).map(|i| i.to_string()).collect();
    texts.iter().for_each(|text| broker.send("dead", text));
    start(&mut broker, Some("b"), None).unwrap();
    broker.advance(10);
    assert_eq!(newest(&mut broker).moved, 1_200);
    assert_eq!(broker.queue("b").ready, 1_200);
}

fn attempt(broker: &mut Broker, name: &str, wait_ms: u64) -> Option<Vec<Delivery>> {
    let token = broker.token();
    let fetch = Fetch {
        token,
        link: LINK,
        queue: "q".into(),
        select: FetchSelect::Attempt(name.into()),
        count_max: 2,
        lease: TIMED,
        wait_until: (wait_ms > 0).then(|| broker.now.after_ms(wait_ms)),
        label: Name::default(),
    };
    let events = broker.step(A, Request::Fetch(Box::new(fetch)));
    fetched(&events, token).map(|fetched| fetched.deliveries)
}

#[test]
fn a_repeated_attempt_gets_the_same_deliveries_until_one_is_settled() {
    let mut broker = Broker::default();
    let keys = KeyPolicy { mode: KeyMode::Ordered, ..KeyPolicy::default() };
    broker.declare("q", QueuePolicy { keys, ..QueuePolicy::default() });
    for text in ["1", "2", "3"] {
        let mut publish = broker.message("", "q", text);
        publish.group_key = Some("g".into());
        broker.publish(publish);
    }
    let first = attempt(&mut broker, "x", 0).unwrap();
    broker.advance(8_000);
    let again = attempt(&mut broker, "x", 0).unwrap();
    let at = |all: &[Delivery]| all.iter().map(|delivery| delivery.at).collect::<Vec<_>>();
    assert_eq!(at(&again), at(&first));
    assert_eq!(again[0].lease_until, Some(Time(broker.now.0 + 10_000)));
    broker.advance(8_000);
    assert_eq!(broker.queue("q").in_flight, 2, "the repetition began the leases anew");
    broker.settle(&again[..1], Outcome::Complete);
    assert!(attempt(&mut broker, "x", 0).unwrap().is_empty(), "the key is still in flight");
    broker.settle(&again[1..], Outcome::Complete);
    assert_eq!(attempt(&mut broker, "x", 0).unwrap().iter().map(body).collect::<Vec<_>>(), ["3"]);
}

#[test]
fn an_attempt_that_waited_is_repeated_as_well() {
    let mut broker = Broker::default();
    broker.declare("q", QueuePolicy::default());
    assert!(attempt(&mut broker, "x", 5_000).is_none());
    broker.send("q", "1");
    assert_eq!(attempt(&mut broker, "x", 0).unwrap().iter().map(body).collect::<Vec<_>>(), ["1"]);
    assert_eq!(broker.queue("q").in_flight, 1);
}

#[test]
fn a_time_to_live_since_sending_goes_on_where_the_message_moves_and_changes_with_the_queue() {
    let mut broker = Broker::default();
    let policy =
        |ttl_ms| QueuePolicy { ttl_ms: Some(ttl_ms), ttl_since_sent: true, ..QueuePolicy::default() };
    broker.declare("dead", policy(10_000));
    broker.declare("a", QueuePolicy { ttl_ms: Some(60_000), ttl_since_sent: true, ..source(1) });
    broker.send("a", "x");
    broker.advance(6_000);
    let got = broker.fetch_as(A, "a", 1, TIMED);
    broker.settle(&got, Outcome::Extend { lease_ms: 0 });
    assert_eq!(broker.queue("dead").ready, 1);
    broker.advance(4_001);
    assert_eq!(broker.queue("dead").ready, 0, "ten seconds after it was sent");

    broker.send("dead", "old");
    broker.advance(3_000);
    broker.send("dead", "young");
    let change = |ttl_ms| CatalogOp::UpdateQueue { name: "dead".into(), policy: Box::new(policy(ttl_ms)) };
    broker.catalog(A, change(2_000)).unwrap();
    broker.advance(1);
    assert_eq!(broker.queue("dead").ready, 1);
    broker.catalog(A, change(20_000)).unwrap();
    broker.advance(19_000);
    assert_eq!(broker.drain("dead"), ["young"]);
    broker.restart(false);
}
