//! A queue that is deep, and one that holds a few old messages among many that come and go: memory does not follow the first,
//! the disk does not follow the second, and nothing is lost when the broker dies on the way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use baton_engine::testing::{Driver, events};
use baton_engine::{Options, Port};
use baton_model::request::{CatalogOp, LeaseMode, Settle, Subscribe};
use baton_model::{
    Bytes, ConsumerId, Delivery, Event, LinkId, Message, Outcome, Publish, QueuePolicy, Request, Time, Token,
};

const T0: Time = Time(1_700_000_000_000);
const SEGMENT_BYTES: u64 = 512 << 10;

fn submit(port: &Port, request: Request) {
    port.submit(&mut vec![request], 1000);
}

fn open(directory: &Path, now: Time) -> Driver {
    let files = baton_journal_file::Options {
        segment_bytes: SEGMENT_BYTES,
        background: false,
        disk_reserve_bytes: 0,
    };
    let opened = baton_journal_file::open(directory, files).unwrap();
    let options = Options {
        snapshot_bytes_min: 256 << 10,
        linger_ms: 0,
        resident_bytes_max: 64 << 10,
        index_messages_max: 512,
        ..Options::default()
    };
    Driver::start(opened, now, options).unwrap()
}

fn connect(driver: &mut Driver) -> Port {
    let port = driver.connect();
    submit(&port, Request::Open { token: Token(1), namespace: "/".into(), label: String::new() });
    let op = CatalogOp::DeclareQueue { name: Some("q".into()), policy: Box::new(QueuePolicy::default()) };
    submit(&port, Request::Catalog { token: Token(1), op: Box::new(op) });
    port
}

fn subscribe(port: &Port, lease: LeaseMode, window: Option<u32>) {
    submit(
        port,
        Request::Subscribe(Box::new(Subscribe {
            token: Token(2),
            consumer: ConsumerId(1),
            link: LinkId(1),
            queue: "q".into(),
            lease,
            window,
            credit: None,
            priority: 0,
            exclusive: false,
            session: None,
            linked_lease_ms_max: None,
            filter: None,
            label: "c".into(),
        })),
    );
}

fn publish(port: &Port, number: u64) {
    publish_long(port, number, 1000);
}

fn publish_long(port: &Port, number: u64, body_bytes: usize) {
    let mut body = vec![b'.'; body_bytes];
    body[..8].copy_from_slice(&number.to_le_bytes());
    submit(
        port,
        Request::Publish(Box::new(Publish {
            token: Token(3),
            confirm: false,
            exchange: "".into(),
            key: "q".into(),
            more_keys: Default::default(),
            message: Message::new(Bytes::from(body), 0),
            durable: true,
            mandatory: false,
            priority: None,
            ttl_ms: None,
            delay_ms: None,
            group_key: None,
            dedup_id: None,
        })),
    );
}

fn number(delivery: &Delivery) -> u64 {
    u64::from_le_bytes(delivery.message.body_slice()[..8].try_into().unwrap())
}

fn deliveries(port: &Port) -> Vec<Delivery> {
    let delivered = |event| if let Event::Delivered(delivery) = event { Some(*delivery) } else { None };
    events(port).into_iter().filter_map(delivered).collect()
}

/// Everything that is in the queue, taken out for good.
fn drain(driver: &mut Driver, now: Time) -> Vec<u64> {
    let port = connect(driver);
    subscribe(&port, LeaseMode::Settled, None);
    let mut all = Vec::new();
    loop {
        driver.rest(now);
        let some = deliveries(&port);
        if some.is_empty() {
            return all;
        }
        all.extend(some.iter().map(number));
    }
}

/// What all files have.
fn directory_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn the_disk_follows_what_is_alive_though_old_messages_stay() {
    const KEPT_ONE_IN: u64 = 200;
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), T0);
    let port = connect(&mut driver);
    subscribe(&port, LeaseMode::Linked, Some(500));
    let mut now = T0;
    let (mut removed, mut most) = (0, 0.0_f64);
    for number in 0..20_000 {
        publish(&port, number);
        if number % 50 != 49 {
            continue;
        }
        now = now.after_ms(5);
        driver.turn(now);
        driver.land();
        driver.turn(now);
        for delivery in deliveries(&port) {
            if !self::number(&delivery).is_multiple_of(KEPT_ONE_IN) {
                let deliveries = std::iter::once(delivery.at).collect();
                let outcome = Outcome::Complete;
                submit(&port, Request::Settle(Settle { token: None, deliveries, outcome }));
            }
        }
        if number % 250 == 249 {
            while driver.keep() {}
            let stats = driver.stats();
            let over = directory_bytes(directory.path()) as f64 - 2.0 * stats.live_bytes as f64;
            most = most.max(over / SEGMENT_BYTES as f64);
            removed = stats.segments_removed;
        }
    }
    assert!(removed > 20, "{removed} segments removed");
    assert!(most <= 2.0, "{most} segments more than twice what is alive");
    now = now.after_ms(1_000);
    driver.rest(now);
    assert!(driver.stats().rewritten_bytes > 0);
    drop(driver);
    let left = drain(&mut open(directory.path(), now), now);
    let expected: Vec<u64> = (0..20_000).filter(|number: &u64| number.is_multiple_of(KEPT_ONE_IN)).collect();
    assert!(expected.iter().all(|number| left.contains(number)), "nothing that was kept is lost");
}

/// Ten thousand messages into the queue.
fn fill(driver: &mut Driver, port: &Port) {
    for number in 0..10_000 {
        publish(port, number);
        if number % 100 == 99 {
            driver.rest(T0);
        }
    }
}

#[test]
fn a_deep_queue_is_in_memory_neither_before_nor_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), T0);
    let port = connect(&mut driver);
    fill(&mut driver, &port);
    let in_memory = |driver: &Driver| {
        let stats = driver.stats();
        assert_eq!(stats.messages, 10_000);
        assert!(stats.indexed_messages < 1_500, "{stats:?}");
        assert!(stats.resident_bytes < 200 << 10, "{stats:?}");
    };
    in_memory(&driver);
    drop((port, driver));
    let mut driver = open(directory.path(), T0.after_ms(1));
    in_memory(&driver);
    assert_eq!(drain(&mut driver, T0.after_ms(1)), (0..10_000).collect::<Vec<_>>());
    assert_eq!(driver.stats().messages, 0);
}

#[test]
fn the_pages_of_a_queue_that_was_emptied_hold_no_disk_though_nothing_more_happens() {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), T0);
    let port = connect(&mut driver);
    fill(&mut driver, &port);
    assert_eq!(drain(&mut driver, T0).len(), 10_000);
    // Only time passes: whoever drives it gives it a turn when it wants one.
    let mut now = T0;
    for _ in 0..200 {
        now = now.after_ms(driver.timeout_ms(now).unwrap_or(60_000).max(1));
        driver.rest(now);
    }
    let stats = driver.stats();
    assert!(stats.live_bytes < 10_000, "{stats:?}");
    assert!(directory_bytes(directory.path()) <= 2 * SEGMENT_BYTES + 2 * stats.live_bytes, "{stats:?}");
}

#[test]
fn long_contents_stay_in_the_journal_when_it_is_read_and_come_back_whole() {
    const BODY_BYTES: usize = 3 << 20;
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), T0);
    let port = connect(&mut driver);
    for number in 0..4 {
        publish_long(&port, number, if number == 2 { 1000 } else { BODY_BYTES });
    }
    driver.turn(T0);
    driver.land();
    // No snapshot is written before the end.
    drop((port, driver));
    let now = T0.after_ms(1);
    let mut driver = open(directory.path(), now);
    let stats = driver.stats();
    assert!(stats.recovered_records >= 4, "{stats:?}");
    assert!(stats.resident_bytes <= 1_000, "{stats:?}");
    let port = connect(&mut driver);
    subscribe(&port, LeaseMode::Settled, None);
    driver.rest(now);
    let found: Vec<_> =
        deliveries(&port).iter().map(|at| (number(at), at.message.body_slice().len())).collect();
    assert_eq!(found, [(0, BODY_BYTES), (1, BODY_BYTES), (2, 1000), (3, BODY_BYTES)]);
}
