//! Whatever was done, the state folded from the journal and the state read from a snapshot are the same, and nothing of it
//! is missing from the segments: the real core, random requests, a disk that is files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use baton_core::snapshot::Item;
use baton_engine::testing::{Driver, events};
use baton_engine::{Options, Port};
use baton_model::policy::{
    Capacity, Counter, DeadLetterPolicy, DedupPolicy, KeyMode, KeyPolicy, RetryPolicy,
};
use baton_model::request::{CatalogOp, LeaseMode, Settle, Subscribe};
use baton_model::{
    Bytes, ConsumerId, DeliveryRef, Event, LinkId, Message, Outcome, Publish, QueuePolicy, Request, Seq,
    Time, Token,
};

/// SplitMix64: what a seed did, it does again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn often(&mut self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }
}

const QUEUES: [&str; 5] = ["plain", "dead", "keys", "dedup", "small"];
const T0: Time = Time(1_700_000_000_000);

fn policy(queue: &str) -> QueuePolicy {
    let plain = QueuePolicy {
        priority_max: 5,
        dead_letter: Some(DeadLetterPolicy { exchange: "".into(), key: Some("dead".into()) }),
        ..QueuePolicy::default()
    };
    match queue {
        "dead" => QueuePolicy::default(),
        "keys" => QueuePolicy {
            keys: KeyPolicy { mode: KeyMode::Ordered, ..KeyPolicy::default() },
            retry: RetryPolicy { attempts_max: Some(2), counter: Counter::Acquired, backoff: None },
            ..plain
        },
        "dedup" => QueuePolicy {
            dedup: Some(DedupPolicy { window_ms: 5000, by_body: false, per_key: false }),
            ttl_ms: Some(3000),
            ..plain
        },
        "small" => {
            QueuePolicy { capacity: Capacity { messages_max: Some(10), ..Capacity::default() }, ..plain }
        }
        _ => plain,
    }
}

fn submit(port: &Port, request: Request) {
    port.submit(&mut vec![request], 1000);
}

fn publish(dice: &mut Dice) -> Request {
    let body = vec![b'x'; usize::try_from(dice.roll(3000)).unwrap()];
    let queue = QUEUES[usize::try_from(dice.roll(5)).unwrap()];
    let maybe = |dice: &mut Dice, sides, one_in| dice.often(one_in).then(|| dice.roll(sides));
    Request::Publish(Box::new(Publish {
        token: Token(1),
        confirm: dice.often(2),
        exchange: "".into(),
        key: queue.into(),
        more_keys: if dice.often(5) { std::iter::once("plain".into()).collect() } else { Default::default() },
        message: Message::new(Bytes::from(body), 0),
        // What a transient message was called is forgotten with it.
        durable: queue == "dedup" || !dice.often(8),
        mandatory: false,
        priority: dice.often(2).then(|| u8::try_from(dice.roll(7)).unwrap()),
        ttl_ms: maybe(dice, 4000, 4),
        delay_ms: maybe(dice, 4000, 4),
        group_key: dice.often(2).then(|| format!("k{}", dice.roll(3)).into()),
        dedup_id: dice.often(2).then(|| format!("d{}", dice.roll(20)).into()),
    }))
}

fn settle(dice: &mut Dice, delivery: DeliveryRef) -> Request {
    let outcome = match dice.roll(8) {
        0 => Outcome::Release { failed: true, delay_ms: None },
        1 => Outcome::Release { failed: false, delay_ms: Some(500) },
        2 => Outcome::Reject { reason: Some("bad".into()) },
        3 => Outcome::Defer,
        _ => Outcome::Complete,
    };
    let token = dice.often(2).then_some(Token(2));
    Request::Settle(Settle { token, deliveries: std::iter::once(delivery).collect(), outcome })
}

fn subscribe(queue: usize, lease: LeaseMode) -> Request {
    Request::Subscribe(Box::new(Subscribe {
        token: Token(3),
        consumer: ConsumerId(u32::try_from(queue).unwrap()),
        link: LinkId(1),
        queue: QUEUES[queue].into(),
        lease,
        window: Some(5),
        credit: None,
        priority: 0,
        exclusive: false,
        session: None,
        linked_lease_ms_max: None,
        filter: None,
        label: "c".into(),
    }))
}

fn open(directory: &Path, now: Time, index_messages_max: u64) -> Driver {
    let files =
        baton_journal_file::Options { segment_bytes: 64 << 10, background: false, disk_reserve_bytes: 0 };
    let opened = baton_journal_file::open(directory, files).unwrap();
    // Nothing lingers, so that a partition at rest has everything on its disk.
    let options = Options {
        snapshot_bytes_min: 100 << 10,
        linger_ms: 0,
        resident_bytes_max: 50 << 10,
        index_messages_max,
        ..Options::default()
    };
    Driver::start(opened, now, options).unwrap()
}

/// Does random things for a while and leaves everything durable. Returns the time it is then. Ports that still hold leases may be `kept`.
fn live(driver: &mut Driver, dice: &mut Dice, mut now: Time, kept: &mut Vec<Port>) -> Time {
    let ports = [driver.connect(), driver.connect()];
    for port in &ports {
        submit(port, Request::Open { token: Token(1), namespace: "n".into(), label: String::new() });
    }
    for queue in QUEUES {
        let op = CatalogOp::DeclareQueue { name: Some(queue.into()), policy: Box::new(policy(queue)) };
        submit(&ports[0], Request::Catalog { token: Token(1), op: Box::new(op) });
    }
    for queue in 0..4 {
        let lease = if queue == 2 { LeaseMode::Timed(Some(700)) } else { LeaseMode::Linked };
        submit(&ports[1], subscribe(queue, lease));
    }
    let mut held = Vec::new();
    for _ in 0..800 {
        for port in &ports {
            held.extend(events(port).into_iter().filter_map(|event| match event {
                Event::Delivered(delivery) => Some(delivery.at),
                _ => None,
            }));
        }
        match dice.roll(10) {
            0..5 => submit(&ports[0], publish(dice)),
            5..8 if !held.is_empty() => {
                let index = usize::try_from(dice.roll(held.len() as u64)).unwrap();
                submit(&ports[1], settle(dice, held.swap_remove(index)));
            }
            8 => now = now.after_ms(dice.roll(300)),
            _ => drop(driver.keep()),
        }
        if dice.often(3) {
            driver.turn(now);
        }
        if dice.often(4) {
            driver.land();
        }
    }
    now = now.after_ms(100);
    if dice.often(2) {
        // Their leases end now, and not when the partition is recovered.
        drop(ports);
    } else {
        kept.extend(ports);
    }
    driver.rest(now);
    now
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "lock" {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// Takes out everything there is, so that each content is read from wherever it lies.
fn drain(driver: &mut Driver, now: Time) -> Vec<(u32, usize)> {
    let port = driver.connect();
    submit(&port, Request::Open { token: Token(1), namespace: "n".into(), label: String::new() });
    (0..QUEUES.len()).for_each(|queue| submit(&port, subscribe(queue, LeaseMode::Settled)));
    let mut drained = Vec::new();
    driver.rest(now);
    for event in events(&port) {
        if let Event::Delivered(delivery) = event {
            assert!(
                delivery.message.body_slice().iter().all(|byte| *byte == b'x'),
                "a content that is not its own"
            );
            drained.push((delivery.at.queue.0, delivery.message.size_bytes()));
        }
    }
    // What dies meanwhile moves to places that depend on the numbers that transient messages had.
    drained.sort_unstable();
    drained
}

/// Numbers that went to transient messages are known to a snapshot, and not to the records; dedup ids whose time is over are
/// forgotten sooner or later.
fn comparable(mut items: Vec<Item>, now: Time) -> Vec<Item> {
    for item in &mut items {
        match item {
            Item::Machine { next_message, .. } => *next_message = 0,
            Item::Queue { next_seq, dedup, .. } => {
                *next_seq = Seq(0);
                dedup.retain(|(_, _, _, until)| *until > now);
            }
            _ => {}
        }
    }
    items
}

#[test]
fn replay_and_snapshot_make_the_same_state() {
    for seed in 0..8 {
        // Without room in memory, and with more than enough.
        let room = if seed % 2 == 0 { u64::MAX } else { 0 };
        let open = |directory: &Path, now| open(directory, now, room);
        let (mut dice, mut kept) = (Dice(seed), Vec::new());
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut driver = open(first.path(), T0);
        let mut now = live(&mut driver, &mut dice, T0, &mut kept);
        // Killed here, or shut down in order.
        copy(first.path(), second.path());
        driver.shutdown(now).unwrap();
        for _ in 0..2 {
            now = now.after_ms(1);
            let mut shut_down = open(first.path(), now);
            let killed = open(second.path(), now);
            assert_eq!(shut_down.stats().recovered_records, 0, "seed {seed}");
            let (restored, replayed) = (comparable(shut_down.state(), now), comparable(killed.state(), now));
            for (restored, replayed) in restored.iter().zip(&replayed) {
                assert_eq!(restored, replayed, "seed {seed}: from the snapshot, and from the records");
            }
            assert_eq!(restored.len(), replayed.len(), "seed {seed}");
            assert_eq!(shut_down.stats().live_bytes, killed.stats().live_bytes, "seed {seed}");
            // And on from there.
            drop(killed);
            now = live(&mut shut_down, &mut dice, now, &mut kept);
            std::fs::remove_dir_all(second.path()).unwrap();
            std::fs::create_dir(second.path()).unwrap();
            copy(first.path(), second.path());
            shut_down.shutdown(now).unwrap();
        }
        // The longest delay and lease have passed.
        now = now.after_ms(10_000);
        let drained = drain(&mut open(first.path(), now), now);
        assert!(drained == drain(&mut open(second.path(), now), now), "seed {seed}: not the same messages");
        assert!(!drained.is_empty(), "seed {seed}");
    }
}
