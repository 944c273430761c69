//! A target for the core: the input is a list of operations on a partition. After each, the live state must be the fold of
//! its records (the core's own test harness sees to that); at the end every queue's counters must be what is in it, and
//! everything that can be taken out comes out once.

use std::collections::BTreeMap;

use baton_model::event::Browsed;
use baton_model::policy::{
    Capacity, Counter, DeadLetterPolicy, DedupPolicy, KeyMode, KeyPoison, KeyPolicy, Overflow, ReleaseTo,
    RetryPolicy,
};
use baton_model::request::{
    CatalogOp, FetchSelect, InspectOp, LeaseMode, MessageAction, MessageState, Settle,
};
use baton_model::{
    ConnectionId, DeliveryRef, Event, LinkId, Message, Name, Outcome, QueuePolicy, Reply, Request, Seq,
};

use common::{A, B, Broker, LINK};

#[path = "../../crates/core/tests/common/mod.rs"]
mod common;

/// Operations of one run, so that a run stays short.
const OPERATIONS_MAX: usize = 80;
const QUEUES: [&str; 4] = ["one", "two", "three", "dead"];

/// The input, byte by byte; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// `Some` for a quarter of all bytes.
    fn maybe(&mut self, bound: u8) -> Option<u8> {
        let byte = self.byte();
        byte.is_multiple_of(4).then_some(byte / 4 % bound)
    }

    fn queue(&mut self) -> &'static str {
        QUEUES[usize::from(self.below(4))]
    }

    fn connection(&mut self) -> ConnectionId {
        if self.byte() < 128 { A } else { B }
    }
}

fn policy(input: &mut Input<'_>) -> QueuePolicy {
    let modes = [KeyMode::Off, KeyMode::Ordered, KeyMode::Sticky, KeyMode::Fair];
    let poisons = [KeyPoison::Skip, KeyPoison::Block, KeyPoison::Park];
    let overflows = [Overflow::DropOldest, Overflow::Refuse, Overflow::RefuseAndDeadLetter];
    let dead_letter = Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) });
    QueuePolicy {
        durable: input.byte() < 230,
        ttl_ms: input.maybe(200).map(u64::from),
        delay_ms: u64::from(input.maybe(50).unwrap_or(0)),
        capacity: Capacity {
            messages_max: input.maybe(6).map(u64::from),
            overflow: overflows[usize::from(input.below(3))],
            ..Capacity::default()
        },
        dead_letter: dead_letter.filter(|_| input.byte() < 200),
        priority_max: input.below(3),
        retry: RetryPolicy {
            attempts_max: input.maybe(3).map(u32::from),
            counter: if input.byte() < 128 { Counter::Failed } else { Counter::Acquired },
            backoff: None,
        },
        release_to: if input.byte() < 200 { ReleaseTo::Original } else { ReleaseTo::Back },
        keys: KeyPolicy {
            mode: modes[usize::from(input.below(4))],
            poison: poisons[usize::from(input.below(3))],
        },
        dedup: input.maybe(200).map(|window_ms| DedupPolicy {
            window_ms: u64::from(window_ms),
            by_body: false,
            per_key: false,
        }),
        ..QueuePolicy::default()
    }
}

struct Run {
    broker: Broker,
    held: Vec<DeliveryRef>,
    sent: u32,
}

/// See the top of this file.
pub fn operations(data: &[u8]) {
    let mut input = Input(data);
    // With and without room in memory for the index.
    let room = if input.byte() < 128 { u64::from(input.byte()) } else { 1 << 18 };
    let mut run = Run { broker: Broker::with_index_messages_max(room), held: Vec::new(), sent: 0 };
    run.broker.machine.set_resident_bytes_max(if input.byte() < 128 { 0 } else { u64::MAX });
    run.broker.declare("dead", QueuePolicy::default());
    for queue in &QUEUES[..3] {
        let policy = policy(&mut input);
        run.broker.declare(queue, policy);
    }
    for _ in 0..OPERATIONS_MAX {
        if input.0.is_empty() {
            break;
        }
        run.operate(&mut input);
    }
    run.finish();
}

impl Run {
    fn operate(&mut self, input: &mut Input<'_>) {
        match input.below(22) {
            0..6 => self.send(input),
            6..9 => self.fetch(input),
            9..13 => self.settle(input),
            13 => {
                let events = self.broker.advance(u64::from(input.byte()));
                self.take(&events);
            }
            14 => self.subscribe(input),
            15 => self.end_something(input),
            16 => self.act_on_one(input),
            17 => self.change_queue(input),
            18 => self.group(input),
            19 => self.send_many(input),
            20 => self.broker.rewrite(0..u64::MAX),
            _ => {
                self.broker.restart(input.byte() < 128);
            }
        }
    }

    fn publish(&mut self, input: &mut Input<'_>) -> baton_model::Publish {
        self.sent += 1;
        let queue = input.queue();
        let mut publish = self.broker.message("", queue, &format!("m{}", self.sent));
        // What a transient message was called is forgotten with it.
        publish.durable = input.byte() < 200;
        publish.dedup_id = input.maybe(4).filter(|_| publish.durable).map(|id| format!("d{id}").into());
        publish.priority = input.maybe(4);
        publish.ttl_ms = input.maybe(60).map(u64::from);
        publish.delay_ms = input.maybe(60).map(u64::from);
        publish.group_key = input.maybe(3).map(|key| format!("k{key}").into());
        publish.confirm = input.byte() < 128;
        publish
    }

    fn step(&mut self, from: ConnectionId, request: Request) {
        let events = self.broker.step(from, request);
        self.take(&events);
    }

    fn take(&mut self, events: &[(ConnectionId, Event)]) {
        for (_, event) in events {
            match event {
                Event::Delivered(delivery) => self.held.push(delivery.at),
                Event::Fetched { result: Ok(fetched), .. } => {
                    self.held.extend(fetched.deliveries.iter().map(|delivery| delivery.at));
                }
                _ => {}
            }
        }
        let spare = self.held.len().saturating_sub(64);
        self.held.drain(..spare);
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let publish = self.publish(input);
        self.step(input.connection(), Request::Publish(Box::new(publish)));
    }

    fn lease(input: &mut Input<'_>) -> LeaseMode {
        match input.below(4) {
            0 => LeaseMode::Settled,
            // A consumer whose leases end as they begin would get the same message for ever at one moment.
            1 => LeaseMode::Timed(Some(1 + u64::from(input.byte()))),
            _ => LeaseMode::Linked,
        }
    }

    /// Enough to fill a page of the index or two.
    fn send_many(&mut self, input: &mut Input<'_>) {
        let first = self.publish(input);
        let count = 100 + u32::from(input.byte());
        let publishes = (0..count).map(|_| {
            self.sent += 1;
            baton_model::Publish { token: self.broker.token(), dedup_id: None, ..first.clone() }
        });
        let publishes = publishes.collect();
        self.broker.publish_all(publishes);
    }

    fn fetch(&mut self, input: &mut Input<'_>) {
        let seqs = [Seq(u64::from(input.below(12)))];
        let select = if input.byte() < 200 { FetchSelect::Next } else { FetchSelect::Seqs(seqs.to_vec()) };
        let wait_ms = input.maybe(60).map(u64::from);
        let request = Request::Fetch(Box::new(baton_model::request::Fetch {
            token: self.broker.token(),
            link: LINK,
            queue: input.queue().into(),
            select,
            count_max: u32::from(1 + input.below(4)),
            lease: Self::lease(input),
            wait_until: wait_ms.map(|ms| self.broker.now.after_ms(ms)),
            label: Name::default(),
        }));
        self.step(input.connection(), request);
    }

    fn outcome(input: &mut Input<'_>) -> Outcome {
        match input.below(8) {
            0 => Outcome::Release { failed: true, delay_ms: None },
            1 => Outcome::Release { failed: false, delay_ms: Some(u64::from(input.byte())) },
            2 => Outcome::Reject { reason: Some("bad".into()) },
            3 => Outcome::Defer,
            4 => Outcome::Extend { lease_ms: u64::from(input.byte()) },
            _ => Outcome::Complete,
        }
    }

    /// Receipts are used again, too.
    fn settlement(&mut self, input: &mut Input<'_>) -> Settle {
        let from = usize::from(input.byte()) % self.held.len().max(1);
        let deliveries = self.held.iter().skip(from).take(1 + usize::from(input.below(3))).copied().collect();
        let token = (input.byte() < 128).then(|| self.broker.token());
        Settle { token, deliveries, outcome: Self::outcome(input) }
    }

    fn settle(&mut self, input: &mut Input<'_>) {
        let settle = self.settlement(input);
        self.step(input.connection(), Request::Settle(settle));
    }

    fn subscribe(&mut self, input: &mut Input<'_>) {
        let (from, queue, id) = (input.connection(), input.queue(), u32::from(input.below(3)));
        let (window, credit) = (input.maybe(3).map(u32::from), input.maybe(5).map(u32::from));
        let (lease, link) = (Self::lease(input), LinkId(1 + u32::from(input.below(2))));
        let (exclusive, linked_max) = (input.byte() > 220, input.maybe(50).map(u64::from));
        let (_, events) = self.broker.subscribe(from, id, queue, |subscribe| {
            (subscribe.window, subscribe.credit, subscribe.lease) = (window, credit, lease);
            (subscribe.link, subscribe.exclusive) = (link, exclusive);
            subscribe.linked_lease_ms_max = linked_max;
        });
        self.take(&events);
    }

    fn end_something(&mut self, input: &mut Input<'_>) {
        let (from, link) = (input.connection(), LinkId(1 + u32::from(input.below(2))));
        let token = self.broker.token();
        let consumer = baton_model::ConsumerId(u32::from(input.below(3)));
        match input.below(6) {
            0 => self.step(from, Request::Detach { link, failed: input.byte() < 128 }),
            1 => self.step(from, Request::Recover { token, link }),
            2 => self.step(from, Request::Unsubscribe { token, consumer }),
            3 => self.step(from, Request::Credit { consumer, more: u32::from(input.below(4)) }),
            4 => {
                let window = input.maybe(3).map(u32::from);
                self.step(from, Request::LinkWindow { link, window });
            }
            _ => {
                let events = self.broker.run(|machine, now, cx| machine.disconnect(now, from, cx));
                self.take(&events);
                self.broker.machine.connect(from);
                let open = Request::Open { token, namespace: "/".into(), label: String::new() };
                self.step(from, open);
            }
        }
    }

    fn act_on_one(&mut self, input: &mut Input<'_>) {
        let queue = input.queue();
        let action = match input.below(7) {
            0 => MessageAction::Delete,
            1 => MessageAction::Move { to: input.queue().into() },
            2 => MessageAction::Release,
            3 => MessageAction::DeadLetter,
            4 => MessageAction::Edit(Message::new(vec![b'e'; usize::from(input.byte())].into(), 0)),
            _ => MessageAction::EndLease,
        };
        let seqs = vec![Seq(u64::from(input.below(12))), Seq(u64::from(input.below(12)))];
        let token = self.broker.token();
        let op = match input.below(5) {
            0 => InspectOp::Unpark { queue: queue.into(), key: format!("k{}", input.below(3)).into() },
            1 => InspectOp::Explain { queue: queue.into(), seq: Some(seqs[0]) },
            _ => InspectOp::Act { queue: queue.into(), seqs, action },
        };
        self.step(input.connection(), Request::Inspect { token, op: Box::new(op) });
    }

    fn change_queue(&mut self, input: &mut Input<'_>) {
        let (name, token) = (Name::from(QUEUES[usize::from(input.below(3))]), self.broker.token());
        let op = match input.below(4) {
            0 => CatalogOp::PurgeQueue { name },
            1 => CatalogOp::DeleteQueue { name, if_unused: false, if_empty: input.byte() < 128 },
            2 => CatalogOp::UpdateQueue { name, policy: Box::new(policy(input)) },
            _ => CatalogOp::DeclareQueue { name: Some(name), policy: Box::new(policy(input)) },
        };
        self.step(input.connection(), Request::Catalog { token, op: Box::new(op) });
    }

    fn group(&mut self, input: &mut Input<'_>) {
        let mut requests = vec![Request::Publish(Box::new(self.publish(input)))];
        let settle = self.settlement(input);
        requests.push(Request::Settle(settle));
        let token = self.broker.token();
        self.step(input.connection(), Request::Group { token, requests });
    }

    fn browse(&mut self, queue: &str) -> Option<Vec<Browsed>> {
        let (mut from, mut all) = (Seq(0), Vec::new());
        loop {
            let token = self.broker.token();
            let op = InspectOp::Browse {
                queue: queue.into(),
                from,
                count_max: 1000,
                states: Vec::new(),
                headers: Default::default(),
            };
            let events = self.broker.step(A, Request::Inspect { token, op: Box::new(op) });
            let Ok(Reply::Browsed { messages, next }) = common::reply(&events, token) else { return None };
            all.extend(messages);
            let Some(next) = next else { return Some(all) };
            from = next;
        }
    }

    fn drain(&mut self, queue: &str) -> u64 {
        let mut drained = 0;
        loop {
            let some = self.broker.drain(queue).len() as u64;
            if some == 0 {
                return drained;
            }
            drained += some;
        }
    }

    fn finish(mut self) {
        for connection in [A, B] {
            self.broker.run(|machine, now, cx| machine.disconnect(now, connection, cx));
            self.broker.machine.connect(connection);
            let token = self.broker.token();
            self.step(connection, Request::Open { token, namespace: "/".into(), label: String::new() });
        }
        // The longest delay, lease and time to live are over.
        self.broker.advance(2_000);
        for queue in QUEUES {
            let Some(messages) = self.browse(queue) else { continue };
            let info = self.broker.queue(queue);
            let mut counts: BTreeMap<MessageState, u64> = BTreeMap::new();
            messages.iter().for_each(|message| *counts.entry(message.state).or_default() += 1);
            let count = |state| counts.get(&state).copied().unwrap_or(0);
            let said = (info.ready, info.scheduled, info.in_flight, info.deferred);
            let (ready, scheduled) = (count(MessageState::Ready), count(MessageState::Scheduled));
            let found = (ready, scheduled, count(MessageState::InFlight), count(MessageState::Deferred));
            assert_eq!(said, found, "what {queue} says of itself");
            let bytes: usize = messages.iter().map(|message| message.message.size_bytes()).sum();
            assert_eq!(info.bytes, bytes as u64);
            let drained = self.drain(queue);
            // Keys that were blocked or parked wait for an operator.
            assert!(drained == ready || info.policy.keys.poison != KeyPoison::Skip, "{drained} of {ready}");
            assert_eq!(self.broker.queue(queue).ready, ready - drained);
        }
    }
}
