//! A partition to test with: a machine, a store in memory, a clock that is set by hand, and a second machine that folds
//! every durable record as it is written. After each step the two must agree: what recovery would rebuild is what there is.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use baton_core::snapshot::Item;
use baton_core::{Appended, Context, Effect, Held, Load, Machine, Record, Rewrite, Store, Stored, codec};
use baton_model::envelope::{EnvelopeWriter, Tag};
use baton_model::event::{Fetched, QueueInfo};
use baton_model::policy::QueuePolicy;
use baton_model::request::{
    CatalogOp, Fetch, FetchSelect, LeaseMode, Outcome, Publish, Request, Settle, Subscribe,
};
use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::{
    Bytes, ConnectionId, ConsumerId, Delivery, DeliveryRef, Event, LinkId, Message, Name, PublishOutcome,
    Refusal, Reply, Time, Token, ValueRef,
};

/// Keeps records as they are, and contents and pages by position. Counts what is in use, as the engine does.
#[derive(Clone, Default)]
pub struct MemoryStore {
    pub records: Vec<(Record, Option<Stored>)>,
    contents: Readable,
    /// Bytes in use by stretch.
    used: BTreeMap<u64, u64>,
    /// Contents cannot be read back for the moment.
    pub unreadable: bool,
    end: u64,
}

impl MemoryStore {
    /// Everything in use must be what the machine says.
    pub fn check_uses(&mut self, machine: &mut Machine) {
        let mut told: BTreeMap<u64, u64> = BTreeMap::new();
        machine.held(&mut |held| *told.entry(held.stretch).or_default() += held.bytes, &mut |_| {
            panic!("what was given up is told at once")
        });
        self.used.retain(|_, bytes| *bytes > 0);
        assert_eq!(told, self.used, "what is in use is not what was counted");
    }

    /// Where the next record will lie.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The first position in use, by stretches: none before it is read any more.
    pub fn lowest_read(&self) -> u64 {
        let first = self.used.iter().find(|(_, bytes)| **bytes > 0);
        first.map_or(self.end, |(stretch, _)| stretch * baton_core::STRETCH_BYTES)
    }

    /// Everything before a position is gone.
    pub fn forget_before(&mut self, position: u64) {
        self.contents.0.borrow_mut().retain(|at, _| *at >= position);
    }

    /// The same contents, for recovery: readable always.
    pub fn readable(&self) -> Readable {
        self.contents.clone()
    }

    fn give_up(&mut self, at: Held) {
        let used = self.used.get_mut(&at.stretch).expect("given up without being used");
        *used = used.checked_sub(at.bytes).expect("more was given up than there was");
    }
}

/// See [`MemoryStore::readable`].
#[derive(Clone, Default)]
pub struct Readable(Rc<RefCell<BTreeMap<u64, Bytes>>>);

impl Load for Readable {
    fn load(&mut self, at: Stored) -> Option<Bytes> {
        self.0.borrow().get(&at.position).cloned()
    }
}

impl Load for MemoryStore {
    fn load(&mut self, at: Stored) -> Option<Bytes> {
        if self.unreadable { None } else { self.contents.load(at) }
    }
}

impl Store for MemoryStore {
    fn append(&mut self, record: &Record) -> Appended {
        assert!(record.durable(), "a transient record was written");
        let mut buf = Vec::new();
        let range = codec::encode(record, &mut buf);
        let content = range.map(|range| {
            let from = range.offset as usize;
            let position = self.end + u64::from(range.offset);
            let bytes = Bytes::copy_from_slice(&buf[from..from + range.len_bytes as usize]);
            self.contents.0.borrow_mut().insert(position, bytes);
            Stored { position, len_bytes: range.len_bytes }
        });
        if let Some(content) = content {
            self.hold(content.into());
        }
        self.end += buf.len() as u64;
        let (decoded, _) = codec::decode(&buf).expect("what was written can be read");
        assert_eq!(&decoded, record, "a record is read as it was written");
        self.records.push((record.clone(), content));
        Appended { end: self.end, content }
    }

    fn free(&mut self, at: Held) {
        self.give_up(at);
    }

    fn hold(&mut self, at: Held) {
        *self.used.entry(at.stretch).or_default() += at.bytes;
    }

    fn free_page(&mut self, at: Held) {
        self.give_up(at);
    }
}

pub struct Broker {
    pub machine: Machine,
    pub store: MemoryStore,
    pub now: Time,
    folded: Machine,
    folded_count: usize,
    token: u64,
    index_messages_max: u64,
}

pub const A: ConnectionId = ConnectionId(1);
pub const B: ConnectionId = ConnectionId(2);
pub const LINK: LinkId = LinkId(1);

impl Default for Broker {
    fn default() -> Self {
        let mut broker = Self {
            machine: Machine::new(7),
            store: MemoryStore::default(),
            now: Time(1_000_000),
            folded: Machine::new(0),
            folded_count: 0,
            token: 0,
            index_messages_max: 1 << 18,
        };
        for connection in [A, B] {
            broker.machine.connect(connection);
            broker.step(
                connection,
                Request::Open { token: Token(0), namespace: "/".into(), label: "test".into() },
            );
        }
        broker
    }
}

impl Broker {
    /// A broker that keeps so many messages of its indexes in memory.
    pub fn with_index_messages_max(messages: u64) -> Self {
        let mut broker = Self { index_messages_max: messages, ..Self::default() };
        broker.machine.set_index_messages_max(messages);
        broker
    }

    /// One step, then dispatch; returns the effects' events with their receivers.
    pub fn step(&mut self, from: ConnectionId, request: Request) -> Vec<(ConnectionId, Event)> {
        self.run(|machine, now, cx| machine.step(now, from, request, cx))
    }

    pub fn run(
        &mut self,
        act: impl FnOnce(&mut Machine, Time, &mut Context<'_>),
    ) -> Vec<(ConnectionId, Event)> {
        let mut effects: Vec<Effect> = Vec::new();
        let mut cx = Context { store: &mut self.store, effects: &mut effects };
        act(&mut self.machine, self.now, &mut cx);
        self.machine.dispatch(self.now, &mut cx);
        while self.machine.unfinished() {
            self.machine.dispatch(self.now, &mut cx);
        }
        if self.machine.next_deadline().is_some_and(|at| at <= self.now) {
            self.machine.tick(self.now, &mut cx);
        }
        self.check_fold();
        effects.into_iter().map(|effect| (effect.connection, effect.event)).collect()
    }

    /// Lets time pass; everything due on the way happens at its time.
    pub fn advance(&mut self, ms: u64) -> Vec<(ConnectionId, Event)> {
        let end = self.now.after_ms(ms);
        let mut events = Vec::new();
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            events.extend(self.run(|machine, now, cx| machine.tick(now, cx)));
        }
        self.now = end;
        events
    }

    fn check_fold(&mut self) {
        let machine = &mut self.machine;
        self.store.check_uses(machine);
        let mut store = self.store.readable();
        for (record, content) in &self.store.records[self.folded_count..] {
            self.folded.apply(record.clone(), *content, &mut store).unwrap();
        }
        self.folded_count = self.store.records.len();
        assert_eq!(
            durable_state(&self.machine, self.now),
            durable_state(&self.folded, self.now),
            "live state is not the fold of its records"
        );
    }

    /// The process dies and comes back: by snapshot if asked, else by all records.
    pub fn restart(&mut self, by_snapshot: bool) {
        let mut machine = Machine::new(7);
        machine.set_index_messages_max(self.index_messages_max);
        if by_snapshot {
            let mut store = self.store.readable();
            self.machine.snapshot(&mut |item| machine.restore(item, &mut store).unwrap());
        } else {
            let mut store = self.store.readable();
            for (record, content) in &self.store.records {
                machine.apply(record.clone(), *content, &mut store).unwrap();
            }
        }
        let used = &mut self.store.used;
        used.clear();
        machine.held(&mut |held| *used.entry(held.stretch).or_default() += held.bytes, &mut |_| {});
        self.machine = machine;
        self.run(|machine, now, cx| machine.recovered(now, cx));
        for connection in [A, B] {
            self.machine.connect(connection);
        }
    }

    /// Copies everything between these positions to the end of the journal.
    pub fn rewrite(&mut self, positions: std::ops::Range<u64>) {
        let all = positions.start..positions.end.min(self.store.end());
        let mut run = Rewrite::new(std::iter::once(all).collect());
        let mut done = false;
        while !done {
            self.run(|machine, _, cx| done = machine.rewrite(&mut run, 10_000, cx));
        }
    }

    pub fn token(&mut self) -> Token {
        self.token += 1;
        Token(self.token)
    }

    pub fn catalog(&mut self, from: ConnectionId, op: CatalogOp) -> Result<Reply, Refusal> {
        let token = self.token();
        let events = self.step(from, Request::Catalog { token, op: Box::new(op) });
        reply(&events, token)
    }

    pub fn declare(&mut self, name: &str, policy: QueuePolicy) -> QueueInfo {
        let op = CatalogOp::DeclareQueue { name: Some(name.into()), policy: Box::new(policy) };
        match self.catalog(A, op).unwrap() {
            Reply::Queue { info, .. } => *info,
            other => panic!("{other:?}"),
        }
    }

    pub fn queue(&mut self, name: &str) -> QueueInfo {
        match self.catalog(A, CatalogOp::Queue { name: name.into() }).unwrap() {
            Reply::Queue { info, .. } => *info,
            other => panic!("{other:?}"),
        }
    }

    pub fn exchange(&mut self, name: &str, kind: ExchangeKind) {
        let op = CatalogOp::DeclareExchange { name: name.into(), policy: ExchangePolicy::durable(kind) };
        self.catalog(A, op).unwrap();
    }

    pub fn bind(&mut self, source: &str, queue: &str, key: &str) {
        let binding = Binding {
            source: source.into(),
            destination: Destination::Queue(queue.into()),
            key: key.into(),
            arguments: Bytes::new(),
        };
        self.catalog(A, CatalogOp::Bind(binding)).unwrap();
    }

    pub fn publish(&mut self, publish: Publish) -> (PublishOutcome, Vec<(ConnectionId, Event)>) {
        let token = publish.token;
        let events = self.step(A, Request::Publish(Box::new(publish)));
        let outcome = events.iter().find_map(|(_, event)| match event {
            Event::Published { token: t, outcome } if *t == token => Some(outcome.clone()),
            _ => None,
        });
        (outcome.expect("a publish is answered"), events)
    }

    /// Sends many messages in one go: nothing is handed out before the last.
    pub fn publish_all(&mut self, publishes: Vec<Publish>) {
        self.run(|machine, now, cx| {
            for publish in publishes {
                machine.step(now, A, Request::Publish(Box::new(publish)), cx);
            }
        });
    }

    /// Sends many texts to a queue.
    pub fn send_all(&mut self, queue: &str, bodies: impl Iterator<Item = String>) {
        let publishes = bodies.map(|body| self.message("", queue, &body)).collect();
        self.publish_all(publishes);
    }

    /// Sends a text to a queue and expects it to be accepted.
    pub fn send(&mut self, queue: &str, body: &str) {
        let publish = self.message("", queue, body);
        let (outcome, _) = self.publish(publish);
        assert!(matches!(outcome, PublishOutcome::Accepted { queues: 1.., .. }), "{outcome:?}");
    }

    pub fn message(&mut self, exchange: &str, key: &str, body: &str) -> Publish {
        let mut content = Vec::new();
        let mut envelope = EnvelopeWriter::new(&mut content);
        envelope.str(Tag::Exchange, exchange.as_bytes()).str(Tag::Key, key.as_bytes());
        let envelope_bytes = envelope.len_bytes();
        content.extend_from_slice(body.as_bytes());
        Publish {
            token: self.token(),
            confirm: true,
            exchange: exchange.into(),
            key: key.into(),
            more_keys: Default::default(),
            message: Message::new(content.into(), envelope_bytes),
            durable: true,
            mandatory: false,
            priority: None,
            ttl_ms: None,
            delay_ms: None,
            group_key: None,
            dedup_id: None,
        }
    }

    pub fn fetch_as(
        &mut self,
        from: ConnectionId,
        queue: &str,
        count_max: u32,
        lease: LeaseMode,
    ) -> Vec<Delivery> {
        let token = self.token();
        let fetch = Fetch {
            token,
            link: LINK,
            queue: queue.into(),
            select: FetchSelect::Next,
            count_max,
            lease,
            wait_until: None,
            label: Name::default(),
        };
        let events = self.step(from, Request::Fetch(Box::new(fetch)));
        fetched(&events, token).expect("a fetch is answered").deliveries
    }

    pub fn fetch(&mut self, queue: &str, count_max: u32) -> Vec<Delivery> {
        self.fetch_as(A, queue, count_max, LeaseMode::Linked)
    }

    /// Bodies of what a queue hands out, all of it, completed.
    pub fn drain(&mut self, queue: &str) -> Vec<String> {
        let all = self.fetch_as(A, queue, 1_000, LeaseMode::Settled);
        all.iter().map(body).collect()
    }

    pub fn settle_as(&mut self, from: ConnectionId, deliveries: &[DeliveryRef], outcome: Outcome) -> usize {
        let token = self.token();
        let settle = Settle { token: Some(token), deliveries: deliveries.into(), outcome };
        let events = self.step(from, Request::Settle(settle));
        let stale = events.iter().find_map(|(_, event)| match event {
            Event::Settled { token: t, stale } if *t == token => Some(stale.len()),
            _ => None,
        });
        stale.expect("a settle with a token is answered")
    }

    /// Settles as connection A and returns how many were stale.
    pub fn settle(&mut self, deliveries: &[Delivery], outcome: Outcome) -> usize {
        let refs: Vec<DeliveryRef> = deliveries.iter().map(|delivery| delivery.at).collect();
        self.settle_as(A, &refs, outcome)
    }

    pub fn subscribe(
        &mut self,
        from: ConnectionId,
        id: u32,
        queue: &str,
        change: impl FnOnce(&mut Subscribe),
    ) -> (Result<Reply, Refusal>, Vec<(ConnectionId, Event)>) {
        let token = self.token();
        let mut subscribe = Subscribe {
            token,
            consumer: ConsumerId(id),
            link: LINK,
            queue: queue.into(),
            lease: LeaseMode::Linked,
            window: None,
            credit: None,
            priority: 0,
            exclusive: false,
            session: None,
            linked_lease_ms_max: None,
            filter: None,
            label: Name::default(),
        };
        change(&mut subscribe);
        let events = self.step(from, Request::Subscribe(Box::new(subscribe)));
        (reply(&events, token), events)
    }
}

/// What a snapshot tells, without the numbers that transient messages move too.
fn durable_state(machine: &Machine, now: Time) -> Vec<String> {
    let mut items = Vec::new();
    machine.snapshot(&mut |item| match item {
        Item::Machine { generation, .. } => items.push(format!("generation {generation}")),
        Item::Queue { queue, held_keys, mut dedup, .. } => {
            // Forgetting what is too old is a matter of time, not of records.
            dedup.retain(|(_, _, _, until)| *until > now);
            items.push(format!("{queue} {held_keys:?} {dedup:?}"));
        }
        // The policy's auto_delete flag is taken back just before a queue goes.
        other => items.push(format!("{other:?}")),
    });
    items
}

pub fn reply(events: &[(ConnectionId, Event)], token: Token) -> Result<Reply, Refusal> {
    let found = events.iter().find_map(|(_, event)| match event {
        Event::Reply { token: t, result } if *t == token => Some(result.clone()),
        _ => None,
    });
    found.expect("a request is answered")
}

pub fn fetched(events: &[(ConnectionId, Event)], token: Token) -> Option<Fetched> {
    events.iter().find_map(|(_, event)| match event {
        Event::Fetched { token: t, result } if *t == token => Some(result.clone().unwrap()),
        _ => None,
    })
}

/// Deliveries among events, as (connection, consumer, body).
pub fn delivered(events: &[(ConnectionId, Event)]) -> Vec<(u64, u32, String)> {
    let deliveries = events.iter().filter_map(|(to, event)| match event {
        Event::Delivered(delivery) => Some((to.0, delivery.consumer.0, body(delivery))),
        _ => None,
    });
    deliveries.collect()
}

pub fn refs(events: &[(ConnectionId, Event)]) -> Vec<DeliveryRef> {
    let deliveries = events.iter().filter_map(|(_, event)| match event {
        Event::Delivered(delivery) => Some(delivery.at),
        _ => None,
    });
    deliveries.collect()
}

pub fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.body().to_vec()).unwrap()
}

pub fn exchange_of(delivery: &Delivery) -> String {
    match delivery.message.envelope().get(Tag::Exchange) {
        Some(ValueRef::Str(text)) => String::from_utf8(text.to_vec()).unwrap(),
        _ => String::new(),
    }
}
