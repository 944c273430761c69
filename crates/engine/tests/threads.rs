//! The engine with its threads, the real core and journals: what callers of [`baton_engine::Engine`] rely on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use baton_engine::{Engine, Health, Options, Port, SystemClock, TestClock, delivery_bytes};
use baton_journal::{MemoryStore, Opened};
use baton_model::request::{CatalogOp, LeaseMode, Settle, Subscribe};
use baton_model::{
    Bytes, ConsumerId, Delivery, Event, LinkId, Message, MessageId, Outcome, Publish, PublishOutcome,
    QueuePolicy, Request, Token,
};

struct Client {
    port: Port,
    woken: Receiver<()>,
    waiting: Vec<Event>,
}

impl Client {
    fn new(engine: &Engine) -> Self {
        let (wake, woken) = sync_channel(1);
        let port = engine.connect(Arc::new(move || {
            // A full channel has a wake-up in it already.
            let _ = wake.try_send(());
        }));
        let mut client = Self { port, woken, waiting: Vec::new() };
        client.ask(Request::Open { token: Token(1), namespace: "default".into(), label: "test".into() });
        client
    }

    fn submit(&self, request: Request) {
        self.port.submit(&mut vec![request], 100);
    }

    /// The next events, at least one.
    fn events(&mut self) -> Vec<Event> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let mut events = std::mem::take(&mut self.waiting);
            if !events.is_empty() || self.port.take_events(&mut events) {
                self.port.written(events.iter().map(delivery_bytes).sum());
                return events;
            }
            assert!(Instant::now() < until, "no event for ten seconds");
            let _ = self.woken.recv_timeout(Duration::from_millis(100));
        }
    }

    fn ask(&mut self, request: Request) -> Event {
        self.submit(request);
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    fn declare(&mut self, name: &str) {
        let policy = Box::new(QueuePolicy::default());
        let op = Box::new(CatalogOp::DeclareQueue { name: Some(name.into()), policy });
        let answer = self.ask(Request::Catalog { token: Token(2), op });
        assert!(matches!(answer, Event::Reply { result: Ok(_), .. }), "{answer:?}");
    }

    fn subscribe(&mut self, queue: &str, window: u32) {
        self.submit(Request::Subscribe(Box::new(Subscribe {
            token: Token(3),
            consumer: ConsumerId(1),
            link: LinkId(1),
            queue: queue.into(),
            lease: LeaseMode::Linked,
            window: Some(window),
            credit: None,
            priority: 0,
            exclusive: false,
            session: None,
            linked_lease_ms_max: None,
            filter: None,
            label: "c".into(),
        })));
        let mut events = self.events();
        assert!(matches!(events.remove(0), Event::Reply { result: Ok(_), .. }));
        self.waiting = events;
    }

    fn complete(&self, delivery: &Delivery, token: Option<Token>) {
        let deliveries = std::iter::once(delivery.at).collect();
        self.submit(Request::Settle(Settle { token, deliveries, outcome: Outcome::Complete }));
    }
}

fn publish(token: u64, queue: &str, body: &[u8]) -> Request {
    Request::Publish(Box::new(Publish {
        token: Token(token),
        confirm: true,
        exchange: "".into(),
        key: queue.into(),
        more_keys: Default::default(),
        message: Message::new(Bytes::copy_from_slice(body), 0),
        durable: true,
        mandatory: false,
        priority: None,
        ttl_ms: None,
        delay_ms: None,
        group_key: None,
        dedup_id: None,
    }))
}

fn start(opened: Opened) -> Engine {
    Engine::start(opened, Arc::new(SystemClock), Options::default()).unwrap()
}

fn accepted(event: &Event) -> (Token, MessageId) {
    match event {
        Event::Published { token, outcome: PublishOutcome::Accepted { id, queues: 1, .. } } => (*token, *id),
        other => panic!("{other:?}"),
    }
}

/// Producers and consumers on threads of their own; each message arrives once, in its producer's order.
fn everything_arrives(options: &Options, open: &dyn Fn() -> Opened) {
    const PRODUCERS: u8 = 3;
    const EACH: u64 = 3000;
    let start = |opened| Engine::start(opened, Arc::new(SystemClock), options.clone()).unwrap();
    let engine = start(open());
    Client::new(&engine).declare("work");
    let producing: Vec<_> = (0..PRODUCERS)
        .map(|producer: u8| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                let mut client = Client::new(&engine);
                let (mut sent, mut confirmed) = (0, 0);
                while confirmed < EACH {
                    while sent < EACH && sent - confirmed < 100 {
                        let body = [&[producer][..], &sent.to_le_bytes()].concat();
                        client.submit(publish(sent, "work", &body));
                        sent += 1;
                    }
                    for event in client.events() {
                        assert_eq!(accepted(&event).0, Token(confirmed));
                        confirmed += 1;
                    }
                }
            })
        })
        .collect();
    let mut consumer = Client::new(&engine);
    consumer.subscribe("work", 256);
    let mut next = [0; PRODUCERS as usize];
    let (mut got, to_settle) = (0, u64::from(PRODUCERS) * EACH - 50);
    while got < to_settle {
        for event in consumer.events() {
            got += 1;
            let Event::Delivered(delivery) = event else { panic!("{event:?}") };
            let body = delivery.message.body();
            let number = u64::from_le_bytes(body[1..].try_into().unwrap());
            let next = &mut next[usize::from(body[0])];
            assert_eq!(number, *next, "in order, none lost, none twice");
            *next += 1;
            // The last ones stay unsettled.
            if got <= to_settle {
                consumer.complete(&delivery, None);
            }
        }
    }
    producing.into_iter().for_each(|thread| thread.join().unwrap());
    engine.shutdown();
    assert_eq!(engine.health(), Health::ShutDown);
    let stats = engine.stats();
    assert!(stats.batches < to_settle, "commits come in groups: {stats:?}");
    let closing = consumer.events().into_iter().any(|event| matches!(event, Event::Closing { .. }));
    assert!(closing || consumer.events().iter().any(|event| matches!(event, Event::Closing { .. })));
    drop((consumer, engine));

    let engine = start(open());
    assert_eq!(engine.stats().recovered_records, 0, "the snapshot of the shutdown holds it all");
    let mut consumer = Client::new(&engine);
    consumer.subscribe("work", 1000);
    let mut left = HashSet::new();
    while left.len() < 50 {
        for event in consumer.events() {
            let Event::Delivered(delivery) = event else { panic!("{event:?}") };
            assert!(delivery.redelivered);
            assert!(left.insert(delivery.id));
            consumer.complete(&delivery, None);
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(!consumer.port.take_events(&mut Vec::new()), "and no others");
}

#[test]
fn everything_arrives_over_memory() {
    let store = MemoryStore::default();
    everything_arrives(&Options::default(), &|| store.open().unwrap());
}

#[test]
fn everything_arrives_without_memory_for_contents() {
    let store = MemoryStore::default();
    let inline = Options { resident_bytes_max: 0, ..Options::default() };
    everything_arrives(&inline, &|| store.open().unwrap());
    let store = MemoryStore::default();
    let threaded = Options { inline_append_max: Duration::ZERO, ..inline };
    everything_arrives(&threaded, &|| store.open().unwrap());
}

#[test]
fn everything_arrives_over_files() {
    let directory = tempfile::tempdir().unwrap();
    let options = baton_journal_file::Options { segment_bytes: 1 << 20, ..Default::default() };
    everything_arrives(&Options::default(), &|| {
        baton_journal_file::open(directory.path(), options.clone()).unwrap()
    });
}

#[test]
fn a_process_that_dies_loses_nothing_confirmed() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |directory: &tempfile::TempDir| {
        baton_journal_file::open(directory.path(), baton_journal_file::Options::default()).unwrap()
    };
    let engine = start(open(&first));
    let mut client = Client::new(&engine);
    client.declare("work");
    for token in 0..100 {
        accepted(&client.ask(publish(token, "work", b"x")));
    }
    // What another process would find if this one were killed now.
    for file in std::fs::read_dir(first.path()).unwrap() {
        let file = file.unwrap();
        if file.path().extension().is_some_and(|extension| extension == "seg") {
            std::fs::copy(file.path(), second.path().join(file.file_name())).unwrap();
        }
    }
    let engine = start(open(&second));
    let mut consumer = Client::new(&engine);
    consumer.subscribe("work", 1000);
    let mut count = 0;
    while count < 100 {
        count += consumer.events().len();
    }
    assert!(engine.stats().recovered_records >= 100);
}

#[test]
fn a_test_clock_moves_everything() {
    let clock = Arc::new(TestClock::default());
    let engine = Engine::start(MemoryStore::default().open().unwrap(), clock, Options::default()).unwrap();
    let mut client = Client::new(&engine);
    client.declare("later");
    client.subscribe("later", 10);
    let Request::Publish(mut delayed) = publish(1, "later", b"x") else { unreachable!() };
    delayed.delay_ms = Some(3_600_000);
    accepted(&client.ask(Request::Publish(delayed)));
    assert!(engine.clock().advance_ms(3_600_000));
    engine.clock_moved();
    assert!(matches!(&client.events()[..], [Event::Delivered(_)]));
}

#[test]
fn shutdown_is_idempotent_and_ends_without_connections() {
    let engine = start(MemoryStore::default().open().unwrap());
    let other = engine.clone();
    engine.shutdown();
    other.shutdown();
    let port = engine.connect(Arc::new(|| {}));
    port.submit(&mut vec![publish(1, "q", b"x")], 1);
    let mut events = Vec::new();
    assert!(!port.take_events(&mut events));
}
