//! What leaves when a batch is written and what waits until it is durable, what becomes of both when the process or the machine
//! dies, and when there is a sync: the real core on a journal in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_engine::testing::{Driver, events};
use baton_engine::{Health, Options, Port, Sync, SyncPolicy};
use baton_journal::{
    Epoch, Housekeeping, Journal, JournalError, JournalReader, MemoryStore, Opened, Position, SealedBatch,
};
use baton_model::request::{CatalogOp, Fetch, FetchSelect, LeaseMode, Settle};
use baton_model::{
    Bytes, DeliveryRef, Event, LinkId, Message, Name, Outcome, Publish, PublishOutcome, QueuePolicy, Request,
    Time, Token,
};
use parking_lot::Mutex;

const T0: Time = Time(1_700_000_000_000);
const INTERVAL_MS: u64 = 1000;

/// `quick` is synced at intervals, other namespaces are not.
fn options() -> Options {
    let namespaces = BTreeMap::from([(Name::const_new("quick"), Sync::Interval(INTERVAL_MS))]);
    Options { sync: SyncPolicy { others: Sync::Always, namespaces }, ..Options::default() }
}

fn start(store: &MemoryStore, options: Options) -> Driver {
    let mut driver = Driver::start(store.open().unwrap(), T0, options).unwrap();
    driver.rest(T0);
    driver
}

fn submit(port: &Port, request: Request) {
    port.submit(&mut vec![request], 100);
}

/// Connected, with a queue `q`.
fn connect(driver: &mut Driver, namespace: &str) -> Port {
    let port = driver.connect();
    submit(&port, Request::Open { token: Token(1), namespace: namespace.into(), label: String::new() });
    let op = CatalogOp::DeclareQueue { name: Some("q".into()), policy: Box::new(QueuePolicy::default()) };
    submit(&port, Request::Catalog { token: Token(2), op: Box::new(op) });
    driver.rest(T0);
    assert_eq!(told(&port), ["r1", "r2"]);
    port
}

fn publish(token: u64, confirm: bool) -> Request {
    Request::Publish(Box::new(Publish {
        token: Token(token),
        confirm,
        exchange: "".into(),
        key: "q".into(),
        more_keys: Default::default(),
        message: Message::new(Bytes::from(token.to_le_bytes().to_vec()), 0),
        durable: true,
        mandatory: false,
        priority: None,
        ttl_ms: None,
        delay_ms: None,
        group_key: None,
        dedup_id: None,
    }))
}

fn fetch(token: u64, lease: LeaseMode) -> Request {
    Request::Fetch(Box::new(Fetch {
        token: Token(token),
        link: LinkId(1),
        queue: "q".into(),
        select: FetchSelect::Next,
        count_max: 10,
        lease,
        wait_until: None,
        label: Name::default(),
    }))
}

fn complete(token: u64, delivery: DeliveryRef) -> Request {
    let deliveries = std::iter::once(delivery).collect();
    Request::Settle(Settle { token: Some(Token(token)), deliveries, outcome: Outcome::Complete })
}

/// In short: `p1` accepted, `f2 3` fetched three messages, `s3` settled, `s3 stale` not, `r1` replied, `c` closing.
fn tell(event: Event) -> String {
    match event {
        Event::Published { token, outcome: PublishOutcome::Accepted { .. } } => format!("p{token}"),
        Event::Fetched { token, result } => format!("f{token} {}", result.unwrap().deliveries.len()),
        Event::Settled { token, stale } if stale.is_empty() => format!("s{token}"),
        Event::Settled { token, .. } => format!("s{token} stale"),
        Event::Reply { token, result: Ok(_) } => format!("r{token}"),
        Event::Closing { .. } => "c".to_owned(),
        other => panic!("{other:?}"),
    }
}

fn told(port: &Port) -> Vec<String> {
    events(port).into_iter().map(tell).collect()
}

fn fetched(port: &Port) -> Vec<DeliveryRef> {
    let mut deliveries = Vec::new();
    for event in events(port) {
        if let Event::Fetched { result, .. } = event {
            deliveries.extend(result.unwrap().deliveries.into_iter().map(|delivery| delivery.at));
        }
    }
    deliveries
}

/// One turn, and the batch that took off lands.
fn step(driver: &mut Driver, now: Time) {
    driver.turn(now);
    driver.land();
}

/// A journal that says, before each sync, what has left for some ports.
struct Watched {
    journal: Box<dyn Journal>,
    ports: Ports,
    log: Log,
}

type Ports = Arc<Mutex<Vec<Port>>>;
type Log = Arc<Mutex<Vec<Vec<String>>>>;

/// A broker on a watched journal, the ports to watch, and what was seen.
fn watched() -> (Driver, Ports, Log) {
    let opened = MemoryStore::default().open().unwrap();
    let (ports, log) = (Ports::default(), Log::default());
    let journal = Watched { journal: opened.journal, ports: Arc::clone(&ports), log: Arc::clone(&log) };
    let opened = Opened { journal: Box::new(journal), recovery: opened.recovery };
    let mut driver = Driver::start(opened, T0, options()).unwrap();
    driver.rest(T0);
    (driver, ports, log)
}

impl Journal for Watched {
    fn epoch(&self) -> Epoch {
        self.journal.epoch()
    }
    fn end(&self) -> Position {
        self.journal.end()
    }
    fn durable(&self) -> Position {
        self.journal.durable()
    }
    fn write(&mut self, batch: &SealedBatch) -> Result<Position, JournalError> {
        self.journal.write(batch)
    }
    fn sync(&mut self) -> Result<Position, JournalError> {
        let told = self.ports.lock().iter().flat_map(told).collect();
        self.log.lock().push(told);
        self.journal.sync()
    }
    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }
    fn housekeeping(&self) -> Arc<dyn Housekeeping> {
        self.journal.housekeeping()
    }
}

#[test]
fn a_timed_lease_leaves_when_it_is_written_and_is_synced_soon() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options::default());
    let port = connect(&mut driver, "/");
    submit(&port, publish(3, true));
    driver.rest(T0.after_ms(100));
    let syncs = store.syncs();
    submit(&port, fetch(4, LeaseMode::Timed(Some(60_000))));
    assert!(driver.turn(T0.after_ms(200)));
    assert_eq!(told(&port), ["p3"], "a lease that is not even written would not survive the process");
    driver.land();
    assert_eq!((told(&port), store.syncs()), (vec!["f4 1".to_owned()], syncs));
    driver.turn(T0.after_ms(200));
    assert_eq!(driver.timeout_ms(T0.after_ms(200)), Some(5));
    assert!(!driver.keep());
    driver.turn(T0.after_ms(205));
    assert!(driver.keep(), "with nothing else to do it is synced from beside");
    assert_eq!(store.syncs(), syncs + 1);
    driver.rest(T0.after_ms(205));
    let stats = driver.stats();
    assert_eq!(stats.journal_durable, stats.journal_end);
    assert!(driver.timeout_ms(T0.after_ms(205)).unwrap() > 1000, "only the end of the lease is left");
}

#[test]
fn a_lease_survives_the_process_and_not_the_machine_where_its_receipt_is_worth_nothing() {
    for power_fails in [false, true] {
        let store = MemoryStore::default();
        let mut driver = start(&store, Options::default());
        let port = connect(&mut driver, "/");
        submit(&port, publish(3, true));
        driver.rest(T0.after_ms(100));
        submit(&port, fetch(4, LeaseMode::Timed(Some(60_000))));
        step(&mut driver, T0.after_ms(200));
        let first = fetched(&port)[0];
        drop(driver);
        if power_fails {
            store.lose_power();
        }
        let mut driver = start(&store, Options::default());
        let port = connect(&mut driver, "/");
        submit(&port, fetch(5, LeaseMode::Timed(Some(60_000))));
        driver.rest(T0.after_ms(300));
        let again = fetched(&port);
        submit(&port, complete(6, first));
        driver.rest(T0.after_ms(400));
        if power_fails {
            assert!(again[0].fence > first.fence && again[0].seq == first.seq, "{again:?}");
            assert_eq!(told(&port), ["s6 stale"], "the message is somebody else's");
            submit(&port, complete(7, again[0]));
            driver.rest(T0.after_ms(500));
            assert_eq!(told(&port), ["s7"]);
        } else {
            assert_eq!((again.len(), told(&port)), (0, vec!["s6".to_owned()]));
        }
    }
}

#[test]
fn at_most_once_waits_until_it_is_durable() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options::default());
    let port = connect(&mut driver, "/");
    submit(&port, publish(3, true));
    driver.rest(T0.after_ms(100));
    submit(&port, fetch(4, LeaseMode::Settled));
    step(&mut driver, T0.after_ms(200));
    assert_eq!(told(&port), ["p3", "f4 1"]);
    drop(driver);
    store.lose_power();
    let mut driver = start(&store, Options::default());
    let port = connect(&mut driver, "/");
    submit(&port, fetch(5, LeaseMode::Settled));
    driver.rest(T0.after_ms(300));
    assert_eq!(told(&port), ["f5 0"]);
}

#[test]
fn events_leave_at_their_stages_and_never_overtake_each_other() {
    let (mut driver, ports, log) = watched();
    let (leaser, producer, quick) =
        (connect(&mut driver, "/"), connect(&mut driver, "/"), connect(&mut driver, "quick"));
    (10..14).for_each(|token| submit(&producer, publish(token, true)));
    driver.rest(T0.after_ms(100));
    assert_eq!(told(&producer), ["p10", "p11", "p12", "p13"]);
    log.lock().clear();
    // One batch for all: a lease and then a publish, a publish and then a lease, and one who needs no sync.
    let timed = LeaseMode::Timed(Some(1000));
    for request in [fetch(20, timed), publish(21, true), fetch(22, timed)] {
        submit(&leaser, request);
    }
    submit(&producer, publish(30, true));
    submit(&producer, fetch(31, timed));
    submit(&quick, publish(40, true));
    assert!(driver.turn(T0.after_ms(200)));
    // More behind it, that needs nothing of it or what is in it: it has to keep its place all the same.
    submit(&quick, fetch(41, LeaseMode::Timed(Some(1000))));
    submit(&producer, fetch(32, timed));
    driver.turn(T0.after_ms(200));
    let everybody = [leaser, producer, quick];
    assert!(everybody.iter().all(|port| told(port).is_empty()));
    ports.lock().extend(everybody);
    driver.land();
    assert_eq!(*log.lock(), [["f20 4", "p40"]], "before the sync");
    let after = |ports: &[Port]| ports.iter().map(told).collect::<Vec<_>>();
    assert_eq!(after(&ports.lock()), [vec!["p21", "f22 1"], vec!["p30", "f31 1", "f32 0"], vec![]]);
    driver.rest(T0.after_ms(200));
    assert_eq!(after(&ports.lock()), [vec![], vec![], vec!["f41 1"]]);
}

#[test]
fn a_namespace_synced_at_intervals_is_told_what_is_written_and_synced_once_an_interval() {
    let store = MemoryStore::default();
    let mut driver = start(&store, options());
    let port = connect(&mut driver, "quick");
    driver.rest(T0.after_ms(INTERVAL_MS));
    let (before, begun) = (store.syncs(), T0.after_ms(2 * INTERVAL_MS));
    for n in 0..100 {
        let now = begun.after_ms(n * 9);
        submit(&port, publish(10 + n, true));
        submit(&port, fetch(1000 + n, LeaseMode::Settled));
        step(&mut driver, now);
        step(&mut driver, now);
        assert_eq!(told(&port), [format!("p{}", 10 + n), format!("f{} 1", 1000 + n)]);
        assert!(!driver.keep());
    }
    assert_eq!(store.syncs(), before);
    let timeout_ms = driver.timeout_ms(begun.after_ms(900)).unwrap();
    assert_eq!(timeout_ms, 100, "an interval after the first of them");
    driver.turn(begun.after_ms(900 + timeout_ms));
    assert!(driver.keep(), "though nobody does anything");
    driver.rest(begun.after_ms(1000));
    assert_eq!((store.syncs(), driver.timeout_ms(begun.after_ms(1000))), (before + 1, None));
    let stats = driver.stats();
    assert_eq!(stats.journal_durable, stats.journal_end);
}

#[test]
fn what_was_told_survives_the_process_and_what_is_older_than_the_interval_the_machine() {
    for power_fails in [false, true] {
        let store = MemoryStore::default();
        let mut driver = start(&store, options());
        let port = connect(&mut driver, "quick");
        driver.rest(T0.after_ms(INTERVAL_MS));
        for n in 0..5 {
            submit(&port, publish(10 + n, true));
            driver.rest(T0.after_ms(1000 + n * 500));
            assert_eq!(told(&port).len(), 1);
        }
        drop(driver);
        if power_fails {
            store.lose_power();
        }
        let mut driver = start(&store, options());
        let port = connect(&mut driver, "quick");
        submit(&port, fetch(5, LeaseMode::Linked));
        driver.rest(T0.after_ms(4000));
        // Those of 1000, 1500 and 2000 were synced at 2000, the next sync would have been at 3500.
        assert_eq!(fetched(&port).len(), if power_fails { 3 } else { 5 });
        submit(&port, publish(20, true));
        step(&mut driver, T0.after_ms(4100));
        assert_eq!(told(&port), ["p20"]);
        drop(driver);
        if power_fails {
            store.lose_power();
        }
        let mut driver = start(&store, options());
        let port = connect(&mut driver, "quick");
        submit(&port, fetch(5, LeaseMode::Linked));
        driver.rest(T0.after_ms(4200));
        assert_eq!(
            fetched(&port).len(),
            if power_fails { 3 } else { 6 },
            "the rest of the last one is there again"
        );
    }
}

#[test]
fn others_are_not_told_earlier_and_take_with_them_what_waits_for_the_interval() {
    let store = MemoryStore::default();
    let mut driver = start(&store, options());
    let (port, quick) = (connect(&mut driver, "/"), connect(&mut driver, "quick"));
    driver.rest(T0.after_ms(INTERVAL_MS));
    let (before, now) = (store.syncs(), T0.after_ms(5000));
    submit(&quick, publish(10, true));
    step(&mut driver, now);
    assert_eq!((told(&quick), store.syncs()), (vec!["p10".to_owned()], before));
    submit(&port, publish(11, true));
    driver.turn(now.after_ms(1));
    assert!(told(&port).is_empty());
    driver.land();
    assert_eq!((told(&port), store.syncs()), (vec!["p11".to_owned()], before + 1));
    driver.rest(now.after_ms(10));
    let stats = driver.stats();
    assert_eq!(stats.journal_durable, stats.journal_end, "the sync was for both");
    // What nobody waits for is no reason to wait longer than a moment.
    submit(&port, publish(12, false));
    assert!(!driver.turn(now.after_ms(20)));
    assert!(driver.turn(now.after_ms(25)));
    driver.land();
    assert_eq!(store.syncs(), before + 2);
}

#[test]
fn what_is_only_written_is_synced_for_who_wants_to_see_it_durable() {
    let store = MemoryStore::default();
    let mut driver = start(&store, options());
    let (port, quick) = (connect(&mut driver, "/"), connect(&mut driver, "quick"));
    driver.rest(T0.after_ms(INTERVAL_MS));
    let (before, now) = (store.syncs(), T0.after_ms(5000));
    // Nobody waits for this one; it is written with what needs no more than that.
    submit(&port, publish(10, false));
    submit(&quick, publish(11, true));
    step(&mut driver, now);
    assert_eq!((told(&quick), store.syncs()), (vec!["p11".to_owned()], before));
    submit(&port, fetch(12, LeaseMode::Linked));
    driver.turn(now.after_ms(1));
    assert!(told(&port).is_empty(), "the message could still be lost");
    driver.land();
    assert_eq!((told(&port), store.syncs()), (vec!["f12 1".to_owned()], before + 1));
}

#[test]
fn a_sync_from_beside_that_fails_is_the_end() {
    let store = MemoryStore::default();
    let mut driver = start(&store, options());
    let port = connect(&mut driver, "quick");
    driver.rest(T0.after_ms(INTERVAL_MS));
    submit(&port, publish(10, true));
    step(&mut driver, T0.after_ms(5000));
    assert_eq!(told(&port), ["p10"]);
    store.fail();
    driver.turn(T0.after_ms(6000));
    assert!(driver.keep());
    driver.turn(T0.after_ms(6000));
    assert!(matches!(driver.health(), Health::Stopped(_)));
    assert_eq!(told(&port), ["c"], "nobody is left waiting");
}

#[test]
fn an_orderly_end_is_durable() {
    let store = MemoryStore::default();
    let mut driver = start(&store, options());
    let port = connect(&mut driver, "quick");
    submit(&port, publish(10, true));
    step(&mut driver, T0.after_ms(100));
    driver.shutdown(T0.after_ms(101)).unwrap();
    store.lose_power();
    let mut driver = start(&store, options());
    let port = connect(&mut driver, "quick");
    submit(&port, fetch(5, LeaseMode::Linked));
    driver.rest(T0.after_ms(200));
    assert_eq!(fetched(&port).len(), 1);
}

#[test]
fn what_was_asked_before_a_change_of_namespace_goes_by_the_rule_of_the_old_one() {
    let (mut driver, ports, log) = watched();
    let port = connect(&mut driver, "/");
    let _ = connect(&mut driver, "quick");
    driver.rest(T0.after_ms(INTERVAL_MS));
    log.lock().clear();
    // One burst: what is confirmed in `/` must be durable, what comes behind it may not overtake it.
    let open = Request::Open { token: Token(11), namespace: "quick".into(), label: String::new() };
    port.submit(&mut vec![publish(10, true), open, publish(12, true)], 100);
    driver.turn(T0.after_ms(5000));
    ports.lock().push(port);
    driver.land();
    assert_eq!(*log.lock(), [Vec::<String>::new()], "before the sync");
    assert_eq!(told(&ports.lock()[0]), ["p10", "r11", "p12"]);
}

#[test]
fn who_asks_sees_what_time_has_brought_about() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let port = connect(&mut driver, "/");
    submit(&port, publish(3, true));
    submit(&port, fetch(4, LeaseMode::Timed(Some(10))));
    driver.rest(T0.after_ms(100));
    assert_eq!(told(&port), ["p3", "f4 1"]);
    // Nothing was due before: the turn that brings the question is the one in which the lease is over.
    submit(&port, fetch(5, LeaseMode::Timed(Some(0))));
    driver.rest(T0.after_ms(110));
    assert_eq!(fetched(&port).len(), 1);
    submit(&port, fetch(6, LeaseMode::Timed(Some(10))));
    driver.rest(T0.after_ms(110));
    assert_eq!(fetched(&port).len(), 1, "a lease of no time is over");
}
