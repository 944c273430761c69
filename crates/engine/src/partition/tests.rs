//! The loop's promises, with the stand-in core and a memory journal that appends when it is told to.

mod alarms;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_journal::MemoryStore;
use baton_model::request::{LeaseMode, Settle, Subscribe};
use baton_model::{
    Bytes, ConsumerId, DeliveryRef, Event, LinkId, Message, Outcome, Publish, PublishOutcome, RefusalCode,
    Request, Time, Token,
};

use crate::testing::{Driver, events};
use crate::{Alarms, Health, Options, Port};

const T0: Time = Time(1_000_000);

pub(crate) fn publish(token: u64, key: &str, body: usize) -> Request {
    Request::Publish(Box::new(Publish {
        token: Token(token),
        confirm: true,
        exchange: "".into(),
        key: key.into(),
        more_keys: Default::default(),
        message: Message::new(Bytes::from(vec![7; body]), 0),
        durable: true,
        mandatory: false,
        priority: None,
        ttl_ms: None,
        delay_ms: None,
        group_key: None,
        dedup_id: None,
    }))
}

fn subscribe(window: u32) -> Request {
    Request::Subscribe(Box::new(Subscribe {
        token: Token(900),
        consumer: ConsumerId(1),
        link: LinkId(1),
        queue: "q".into(),
        lease: LeaseMode::Linked,
        window: Some(window),
        credit: None,
        priority: 0,
        exclusive: false,
        session: None,
        linked_lease_ms_max: None,
        filter: None,
        label: "".into(),
    }))
}

fn settle(token: Option<u64>, delivery: DeliveryRef) -> Request {
    let deliveries = std::iter::once(delivery).collect();
    Request::Settle(Settle { token: token.map(Token), deliveries, outcome: Outcome::Complete })
}

fn submit(port: &Port, request: Request) {
    let bytes = match &request {
        Request::Publish(publish) => publish.message.size_bytes(),
        _ => 0,
    };
    port.submit(&mut vec![request], bytes);
}

fn start(store: &MemoryStore, options: Options) -> Driver {
    let mut driver = Driver::start(store.open().unwrap(), T0, options).unwrap();
    driver.rest(T0.after_ms(100));
    driver
}

/// What arrived, in short: `p1` accepted, `x1 DiskFull` refused, `d1` delivered, `s1` settled, `r1` replied, `b+` and `b-` blocked or not, `c` closing.
fn told(port: &Port) -> Vec<String> {
    let tell = |event| match event {
        Event::Published { token, outcome: PublishOutcome::Refused(refusal) } => {
            format!("x{token} {:?}", refusal.code)
        }
        Event::Published { token, .. } => format!("p{token}"),
        Event::Delivered(delivery) => format!("d{}", delivery.at.seq),
        Event::Settled { token, stale } if stale.is_empty() => format!("s{token}"),
        Event::Settled { token, .. } => format!("s{token} stale"),
        Event::Reply { token, result: Ok(_) } => format!("r{token}"),
        Event::Reply { token, result: Err(refusal) } => format!("r{token} {:?}", refusal.code),
        Event::Blocked { reason } => if reason.is_some() { "b+" } else { "b-" }.to_owned(),
        Event::Closing { .. } => "c".to_owned(),
        other => panic!("{other:?}"),
    };
    events(port).into_iter().map(tell).collect()
}

fn deliveries(port: &Port) -> Vec<DeliveryRef> {
    let delivered = |event| match event {
        Event::Delivered(delivery) => Some(delivery.at),
        _ => None,
    };
    events(port).into_iter().filter_map(delivered).collect()
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (producer, consumer) = (driver.connect(), driver.connect());
    submit(&consumer, subscribe(10));
    submit(&producer, publish(1, "q", 10));
    assert!(driver.turn(T0.after_ms(200)), "a publish goes to the disk at once");
    assert_eq!(told(&consumer), ["r900"], "what depends on nothing leaves at once");
    assert!(told(&producer).is_empty());
    submit(&producer, publish(2, "q", 10));
    driver.turn(T0.after_ms(200));
    assert!(told(&producer).is_empty() && told(&consumer).is_empty());
    assert!(driver.land());
    assert_eq!((told(&producer), told(&consumer)), (vec!["p1".to_owned()], vec!["d1".to_owned()]));
    assert!(driver.turn(T0.after_ms(200)), "the second one was waiting for its turn");
    driver.land();
    assert_eq!((told(&producer), told(&consumer)), (vec!["p2".to_owned()], vec!["d2".to_owned()]));
}

#[test]
fn events_of_a_connection_keep_their_order_and_others_do_not_wait() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (one, two) = (driver.connect(), driver.connect());
    let later = T0.after_ms(200);
    // One turn: durable, then not. The second must not overtake; another connection's may leave.
    submit(&one, publish(1, "q", 10));
    submit(&one, publish(2, "transient", 10));
    submit(&two, publish(3, "transient", 10));
    driver.turn(later);
    assert_eq!((told(&one).len(), told(&two)), (0, vec!["p3".to_owned()]));
    // While that batch flies, more that depends on nothing queues up behind it.
    submit(&one, publish(4, "transient", 10));
    driver.turn(later);
    submit(&one, publish(5, "q", 10));
    driver.turn(later);
    submit(&one, publish(6, "transient", 10));
    driver.turn(later);
    assert!(told(&one).is_empty());
    driver.land();
    assert_eq!(told(&one), ["p1", "p2", "p4"]);
    // Landed, but the partition has not noticed: what comes now still goes behind.
    submit(&one, publish(7, "transient", 10));
    driver.turn(later);
    assert!(told(&one).is_empty());
    driver.land();
    assert_eq!(told(&one), ["p5", "p6", "p7"]);
    submit(&one, publish(8, "transient", 10));
    driver.turn(later);
    assert_eq!(told(&one), ["p8"]);
}

#[test]
fn one_push_and_one_wake_per_connection_and_release() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let wakes = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&wakes);
    let port = driver.connect_with(Arc::new(move || {
        counting.fetch_add(1, Ordering::Relaxed);
    }));
    for token in 0..100 {
        submit(&port, publish(token, "q", 10));
    }
    driver.turn(T0.after_ms(200));
    submit(&port, publish(100, "transient", 10));
    driver.turn(T0.after_ms(200));
    assert_eq!(wakes.load(Ordering::Relaxed), 0);
    driver.land();
    assert_eq!(wakes.load(Ordering::Relaxed), 1);
    assert_eq!(told(&port).len(), 101);
    assert_eq!(driver.stats().batches, 2, "the recovery's and one for all");
}

#[test]
fn what_nobody_waits_for_lingers_and_rides() {
    let mut driver = start(&MemoryStore::default(), Options { linger_ms: 5, ..Options::default() });
    let (producer, consumer) = (driver.connect(), driver.connect());
    submit(&consumer, subscribe(10));
    submit(&producer, publish(1, "q", 10));
    submit(&producer, publish(2, "q", 10));
    driver.rest(T0.after_ms(200));
    let leased = deliveries(&consumer);
    let batches = driver.stats().batches;
    submit(&consumer, settle(None, leased[0]));
    assert!(!driver.turn(T0.after_ms(201)), "an acknowledgement alone does not go to the disk");
    assert_eq!(driver.timeout_ms(T0.after_ms(201)), Some(5));
    assert_eq!(driver.timeout_ms(T0.after_ms(204)), Some(2));
    assert!(!driver.turn(T0.after_ms(205)));
    assert!(driver.turn(T0.after_ms(206)), "but after a while it does");
    driver.rest(T0.after_ms(206));
    assert_eq!(driver.stats().batches, batches + 1);
    submit(&consumer, settle(None, leased[1]));
    driver.turn(T0.after_ms(207));
    submit(&producer, publish(3, "q", 10));
    assert!(driver.turn(T0.after_ms(208)), "it rides with what somebody waits for");
    driver.rest(T0.after_ms(208));
    let batches = driver.stats().batches;
    submit(&consumer, settle(Some(77), deliveries(&consumer)[0]));
    assert!(driver.turn(T0.after_ms(250)), "with a token somebody waits");
    assert!(told(&consumer).is_empty());
    driver.land();
    assert_eq!(told(&consumer), ["s77"]);
    assert_eq!(driver.stats().batches, batches + 1);
}

#[test]
fn a_full_disk_refuses_publishes_and_lets_consumers_drain() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options { full_probe_ms: 1000, ..Options::default() });
    let (producer, consumer) = (driver.connect(), driver.connect());
    submit(&consumer, subscribe(10));
    submit(&producer, publish(1, "q", 10));
    driver.rest(T0.after_ms(200));
    let leased = deliveries(&consumer);
    assert_eq!(told(&producer), ["p1"]);
    store.set_full(true);
    submit(&producer, publish(2, "q", 10));
    driver.rest(T0.after_ms(210));
    assert_eq!(told(&producer), ["p2", "b+"], "what was taken in is written with the reserve");
    assert_eq!(driver.health(), Health::DiskFull);
    submit(&producer, publish(3, "q", 10));
    submit(&consumer, settle(Some(5), leased[0]));
    driver.rest(T0.after_ms(220));
    assert_eq!(told(&producer), ["x3 DiskFull"]);
    assert_eq!(told(&consumer), ["d2", "b+", "s5"]);
    // It is tried again from time to time, and passes by itself.
    driver.rest(T0.after_ms(1300));
    assert_eq!(driver.health(), Health::DiskFull);
    store.set_full(false);
    assert!(driver.timeout_ms(T0.after_ms(1300)).is_some_and(|ms| ms <= 1000));
    driver.rest(T0.after_ms(2400));
    assert_eq!((told(&producer), told(&consumer)), (vec!["b-".to_owned()], vec!["b-".to_owned()]));
    submit(&producer, publish(4, "q", 10));
    driver.rest(T0.after_ms(2410));
    assert_eq!(told(&producer), ["p4"]);
    assert_eq!(driver.health(), Health::Running);
}

#[test]
fn a_failed_sync_is_final_and_what_waited_never_leaves() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options::default());
    let (one, two) = (driver.connect(), driver.connect());
    submit(&one, publish(1, "q", 10));
    driver.turn(T0.after_ms(200));
    submit(&one, publish(2, "q", 10));
    submit(&two, publish(3, "transient", 10));
    driver.turn(T0.after_ms(200));
    assert_eq!(told(&two), ["p3"]);
    store.fail();
    driver.land();
    driver.rest(T0.after_ms(200));
    assert_eq!((told(&one), told(&two)), (vec!["c".to_owned()], vec!["c".to_owned()]));
    assert!(matches!(driver.health(), Health::Stopped(why) if why.contains("fdatasync")));
    submit(&two, publish(4, "transient", 10));
    submit(&two, Request::Open { token: Token(5), namespace: "n".into(), label: String::new() });
    let third = driver.connect();
    driver.rest(T0.after_ms(300));
    assert_eq!(told(&two), ["x4 Unavailable", "r5 Unavailable"]);
    assert_eq!(told(&third), ["c"]);
    assert_eq!(driver.timeout_ms(T0.after_ms(300)), None);
    // Only what was durable is there afterwards.
    drop(driver);
    assert_eq!(start(&store, Options::default()).stats().messages, 0);
}

#[test]
fn a_broken_core_stops_the_partition_but_not_the_process() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options::default());
    let port = driver.connect();
    submit(&port, publish(1, "q", 10));
    driver.turn(T0.after_ms(200));
    submit(&port, publish(2, "q", 10));
    submit(&port, publish(3, "panic", 10));
    submit(&port, publish(4, "q", 10));
    driver.turn(T0.after_ms(200));
    assert!(told(&port).is_empty());
    driver.land();
    driver.rest(T0.after_ms(200));
    assert_eq!(
        told(&port),
        ["p1", "c", "x4 Unavailable"],
        "the batch in flight is good, the one being filled is not"
    );
    assert!(matches!(driver.health(), Health::Stopped(why) if why.contains("told to break")));
    driver.shutdown(T0.after_ms(300)).unwrap();
    assert_eq!(start(&store, Options::default()).stats().messages, 1);
}

#[test]
fn a_slow_reader_pauses_its_deliveries_until_it_has_read() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (producer, consumer) = (driver.connect(), driver.connect());
    submit(&consumer, subscribe(1000));
    for token in 0..10 {
        submit(&producer, publish(token, "q", 1 << 20));
        driver.rest(T0.after_ms(200));
    }
    let mut first = Vec::new();
    consumer.take_events(&mut first);
    let taken = first.iter().map(crate::delivery_bytes).sum::<usize>();
    assert_eq!(taken, 5 << 20, "stopped when the limit was passed");
    consumer.written(taken);
    driver.rest(T0.after_ms(200));
    assert_eq!(deliveries(&consumer).len(), 5);
    assert_eq!(driver.stats().pauses, 2);
}

#[test]
fn a_content_that_left_the_memory_before_it_was_written_is_read_from_its_batch() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (producer, consumer) = (driver.connect(), driver.connect());
    submit(&consumer, subscribe(10));
    let Request::Publish(mut unconfirmed) = publish(1, "evict", 500) else { unreachable!() };
    unconfirmed.confirm = false;
    submit(&producer, Request::Publish(unconfirmed));
    assert!(driver.turn(T0.after_ms(200)), "somebody waits for it");
    assert_eq!(told(&consumer), ["r900"], "it has been read, and is not durable");
    driver.land();
    assert_eq!(told(&consumer), ["d1"]);
    submit(&producer, publish(2, "evict", 500));
    driver.rest(T0.after_ms(200));
    assert_eq!((told(&producer), told(&consumer)), (vec!["p2".to_owned()], vec!["d2".to_owned()]));
}

#[test]
fn batches_and_the_inbox_have_limits() {
    let mut driver =
        start(&MemoryStore::default(), Options { batch_bytes_max: 1 << 20, ..Options::default() });
    let wakes = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&wakes);
    let port = driver.connect();
    let idle = driver.connect_with(Arc::new(move || {
        counting.fetch_add(1, Ordering::Relaxed);
    }));
    for token in 0..17 {
        assert!(!idle.congested());
        submit(&port, publish(token, "q", 4 << 20));
    }
    assert!(idle.congested());
    driver.turn(T0.after_ms(200));
    assert!(!idle.congested());
    assert_eq!(driver.timeout_ms(T0.after_ms(200)), Some(0), "the rest waits for the batch");
    assert_eq!(wakes.load(Ordering::Relaxed), 0);
    driver.rest(T0.after_ms(200));
    assert_eq!(wakes.load(Ordering::Relaxed), 1, "told that it may go on");
    assert_eq!(told(&port).len(), 17);
    assert!(driver.stats().batch_bytes_max < 6 << 20);
}

#[test]
fn timers_are_told_and_kept() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let port = driver.connect();
    submit(&port, subscribe(0));
    submit(&port, publish(1, "timer", 10));
    driver.rest(T0.after_ms(200));
    assert_eq!(told(&port), ["r900", "p1"]);
    let timeout = driver.timeout_ms(T0.after_ms(300)).unwrap();
    assert_eq!(timeout, 900);
    driver.rest(T0.after_ms(1199));
    assert!(told(&port).is_empty());
    driver.rest(T0.after_ms(1200));
    assert_eq!(told(&port), ["b+"]);
    driver.rest(T0);
    assert!(told(&port).is_empty(), "time does not run backwards");
}

#[test]
fn snapshots_bound_recovery_and_free_segments() {
    let store = MemoryStore::new(256 << 10);
    let options = || Options { snapshot_bytes_min: 1 << 20, ..Options::default() };
    let mut driver = start(&store, options());
    let port = driver.connect();
    submit(&port, subscribe(4));
    let mut now = T0.after_ms(200);
    for token in 0..200 {
        submit(&port, publish(token, "q", 32 << 10));
        now = now.after_ms(50);
        driver.rest(now);
        // All but the first are done soon.
        for delivery in deliveries(&port).into_iter().filter(|at| at.seq.0 != 1) {
            submit(&port, settle(None, delivery));
        }
        driver.rest(now);
    }
    driver.rest(now.after_ms(1000));
    let stats = driver.stats();
    assert!(stats.snapshots >= 5, "{stats:?}");
    assert!(stats.segments_removed >= 15, "{stats:?}");
    assert!(stats.live_bytes < 3 * (32 << 10), "{stats:?}");
    drop(driver);
    let mut driver = start(&store, options());
    let stats = driver.stats();
    assert!(stats.recovered_records < 200, "{stats:?}");
    assert_eq!(stats.published, 200);
    let port = driver.connect();
    submit(&port, subscribe(10));
    driver.rest(now.after_ms(2000));
    let again = deliveries(&port);
    assert_eq!(
        again.first().map(|at| at.seq.0),
        Some(1),
        "the oldest is still there, from the oldest segment"
    );
    assert!(driver.stats().chunks_read >= 1, "read from the journal");
    for delivery in again {
        submit(&port, settle(None, delivery));
    }
    driver.rest(now.after_ms(2010));
    driver.rest(now.after_ms(3000));
    assert_eq!(driver.stats().live_bytes, 0);
}

#[test]
fn a_segment_stays_while_its_release_is_not_durable() {
    let store = MemoryStore::new(64 << 10);
    let mut driver = start(&store, Options { snapshot_bytes_min: 256 << 10, ..Options::default() });
    let port = driver.connect();
    submit(&port, subscribe(100));
    let mut now = T0.after_ms(200);
    for token in 0..20 {
        submit(&port, publish(token, "q", 32 << 10));
        now = now.after_ms(200);
        driver.rest(now);
    }
    let leased = deliveries(&port);
    for delivery in &leased {
        submit(&port, settle(Some(1), *delivery));
    }
    now = now.after_ms(200);
    assert!(driver.turn(now));
    let removed = driver.stats().segments_removed;
    driver.turn(now.after_ms(500));
    while driver.keep() {}
    driver.turn(now.after_ms(1000));
    assert_eq!(driver.stats().segments_removed, removed);
    driver.rest(now.after_ms(1500));
    driver.rest(now.after_ms(2000));
    assert!(driver.stats().segments_removed > removed);
}

#[test]
fn shutdown_keeps_everything_and_says_goodbye() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options::default());
    let port = driver.connect();
    for token in 0..10 {
        submit(&port, publish(token, "q", 100));
    }
    driver.shutdown(T0.after_ms(200)).unwrap();
    let told = told(&port);
    assert_eq!((told.len(), told.last().map(String::as_str)), (11, Some("c")));
    submit(&port, publish(11, "q", 1));
    let driver = start(&store, Options::default());
    assert_eq!(driver.stats().messages, 10);
    assert_eq!(driver.stats().recovered_records, 0, "a snapshot holds it all");
}

#[test]
fn what_does_not_fit_a_journal_is_refused_before_the_core_sees_it() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let port = driver.connect();
    let huge = crate::options::GROUP_BYTES_MAX / 2 + 1;
    let requests = vec![publish(1, "q", huge), publish(2, "q", huge)];
    port.submit(&mut vec![Request::Group { token: Token(3), requests }], 10);
    driver.rest(T0.after_ms(200));
    let answers = events(&port);
    let refused = |event: &Event| matches!(event, Event::Reply { token: Token(3), result: Err(refusal) } if refusal.code == RefusalCode::MessageTooLarge);
    assert!(answers.len() == 1 && refused(&answers[0]), "{answers:?}");
}
