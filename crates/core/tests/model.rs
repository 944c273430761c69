//! The queue machine against a naive model of a queue: a list of messages that is scanned for everything. Generated
//! commands run on both; what is delivered, in which order, with which counters, and what is left must agree, and the
//! live state must be the fold of its records after every step (checked by the harness). Restarts are part of the commands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use baton_model::policy::*;
use baton_model::request::{LeaseMode, Outcome, Publish};
use baton_model::{Delivery, DeliveryRef, Name};
use common::{A, B, Broker, body};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Command {
    Send {
        priority: u8,
        ttl_ms: Option<u64>,
        delay_ms: Option<u64>,
        key: Option<u8>,
        durable: bool,
    },
    /// Enough to fill pages of the index; every fifth expires, every seventh is delayed, every third has a key.
    SendMany {
        count: u16,
        ms: u64,
        durable: bool,
    },
    Fetch {
        count: u32,
        lease_ms: Option<u64>,
    },
    /// All contents and pages are copied to the end of the journal.
    Rewrite,
    /// Settles the held delivery of that index (modulo how many are held).
    Settle {
        index: usize,
        outcome: Settling,
    },
    Advance {
        ms: u64,
    },
    Restart {
        by_snapshot: bool,
    },
    /// Connection B takes one and dies.
    TakeAndDie,
}

#[derive(Clone, Copy, Debug)]
enum Settling {
    Complete,
    Release { failed: bool, delay_ms: Option<u64> },
    Reject,
    Defer,
    Extend { ms: u64 },
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Ready,
    Scheduled(u64),
    Leased { until: Option<u64> },
    Deferred,
}

#[derive(Clone, Debug)]
struct Message {
    seq: u64,
    body: String,
    priority: u8,
    expires_at: Option<u64>,
    key: Option<u8>,
    durable: bool,
    state: State,
    acquired: u32,
    failed: u32,
}

/// The naive queue. Time only moves through `at`, which does what is due, message by message, in the order of time.
struct Model {
    policy: QueuePolicy,
    messages: Vec<Message>,
    dead: Vec<String>,
    next: u64,
}

impl Model {
    fn due(&self) -> Option<(u64, u64)> {
        let timers = self.messages.iter().filter_map(|m| {
            let at = match m.state {
                State::Ready => m.expires_at?,
                State::Scheduled(at) => at.min(m.expires_at.unwrap_or(u64::MAX)),
                State::Leased { until } => until?,
                State::Deferred => return None,
            };
            Some((at, m.seq))
        });
        timers.min()
    }

    fn pass(&mut self, now: u64) {
        while let Some((at, seq)) = self.due().filter(|(at, _)| *at <= now) {
            let m = self.messages.iter_mut().find(|m| m.seq == seq).unwrap();
            match m.state {
                State::Leased { .. } => self.release(at, seq, true, None),
                _ if m.expires_at.is_some_and(|expires| expires <= at) => self.die(seq),
                _ => m.state = State::Ready,
            }
        }
    }

    fn die(&mut self, seq: u64) {
        let index = self.messages.iter().position(|m| m.seq == seq).unwrap();
        self.dead.push(self.messages.remove(index).body);
    }

    fn release(&mut self, now: u64, seq: u64, failed: bool, delay_ms: Option<u64>) {
        let retry = self.policy.retry.clone();
        let to_back = self.policy.release_to == ReleaseTo::Back;
        let m = self.messages.iter_mut().find(|m| m.seq == seq).unwrap();
        let spent = match (retry.attempts_max, retry.counter) {
            (None, _) => false,
            (Some(max), Counter::Failed) => failed && m.failed + 1 > max,
            (Some(max), Counter::Acquired) => m.acquired >= max,
        };
        if spent {
            return self.die(seq);
        }
        m.failed += u32::from(failed);
        m.state = match delay_ms {
            Some(ms) if ms > 0 => State::Scheduled(now + ms),
            _ => State::Ready,
        };
        if to_back && m.key.is_none() {
            m.seq = self.next;
            self.next += 1;
        }
    }

    fn next_ready(&self, now: u64, in_hand: &[u64]) -> Option<u64> {
        let ordered = self.policy.keys.mode == KeyMode::Ordered;
        let may_leave = |m: &Message| {
            if !ordered || m.key.is_none() {
                return true;
            }
            let of_key = self.messages.iter().filter(|o| o.key == m.key && o.state != State::Deferred);
            // Everything of the key in flight must be this fetch's own, and everything waiting must be later.
            of_key.filter(|o| o.seq != m.seq).all(|o| match o.state {
                State::Leased { .. } => {
                    in_hand.last().is_some_and(|last| self.key_of(*last) == m.key) && in_hand.contains(&o.seq)
                }
                _ => o.seq > m.seq,
            })
        };
        let alive = |m: &Message| m.state == State::Ready && m.expires_at.is_none_or(|at| at >= now);
        let candidates = self.messages.iter().filter(|m| alive(m) && may_leave(m));
        // A fetch goes on with the key of its last message.
        let last_key = in_hand.last().and_then(|seq| self.key_of(*seq)).filter(|_| ordered);
        let more =
            candidates.clone().filter(|m| last_key.is_some() && m.key == last_key).map(|m| m.seq).min();
        more.or_else(|| candidates.min_by_key(|m| (std::cmp::Reverse(m.priority), m.seq)).map(|m| m.seq))
    }

    fn key_of(&self, seq: u64) -> Option<u8> {
        self.messages.iter().find(|m| m.seq == seq).and_then(|m| m.key)
    }

    fn fetch(&mut self, now: u64, count: u32, lease_ms: Option<u64>) -> Vec<(String, u32, u32)> {
        let mut taken = Vec::new();
        let mut in_hand = Vec::new();
        while taken.len() < count as usize {
            let Some(seq) = self.next_ready(now, &in_hand) else { break };
            in_hand.push(seq);
            let m = self.messages.iter_mut().find(|m| m.seq == seq).unwrap();
            m.acquired += 1;
            m.state = State::Leased { until: lease_ms.map(|ms| now + ms) };
            taken.push((m.body.clone(), m.acquired, m.failed));
        }
        taken
    }

    fn restart(&mut self) {
        self.messages.retain(|m| m.durable);
        for m in &mut self.messages {
            if m.state == (State::Leased { until: None }) {
                m.state = State::Ready;
            }
        }
    }
}

/// As [`command`], with many messages now and then.
fn deep_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (60..300_u16, 0..300_u64, prop::bool::weighted(0.9))
            .prop_map(|(count, ms, durable)| Command::SendMany { count, ms, durable }),
        3 => (1..150_u32, prop::option::of(1..300_u64)).prop_map(|(count, lease_ms)| Command::Fetch { count, lease_ms }),
        1 => Just(Command::Rewrite),
        20 => command(),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let settling = prop_oneof![
        4 => Just(Settling::Complete),
        4 => (any::<bool>(), prop::option::of(0..300_u64))
            .prop_map(|(failed, delay_ms)| Settling::Release { failed, delay_ms }),
        1 => Just(Settling::Reject),
        1 => Just(Settling::Defer),
        1 => (0..400_u64).prop_map(|ms| Settling::Extend { ms }),
    ];
    let some_ms = || prop::option::weighted(0.3, 0..300_u64);
    prop_oneof![
        6 => (0..4_u8, some_ms(), some_ms(), prop::option::of(0..3_u8), prop::bool::weighted(0.8))
            .prop_map(|(priority, ttl_ms, delay_ms, key, durable)| Command::Send { priority, ttl_ms, delay_ms, key, durable }),
        5 => (1..4_u32, prop::option::of(1..300_u64)).prop_map(|(count, lease_ms)| Command::Fetch { count, lease_ms }),
        7 => (any::<usize>(), settling).prop_map(|(index, outcome)| Command::Settle { index, outcome }),
        3 => (0..200_u64).prop_map(|ms| Command::Advance { ms }),
        1 => any::<bool>().prop_map(|by_snapshot| Command::Restart { by_snapshot }),
        1 => Just(Command::TakeAndDie),
    ]
}

fn policy() -> impl Strategy<Value = QueuePolicy> {
    let counter = prop_oneof![Just(Counter::Failed), Just(Counter::Acquired)];
    let mode = prop_oneof![Just(KeyMode::Off), Just(KeyMode::Ordered)];
    let release_to = prop_oneof![3 => Just(ReleaseTo::Original), 1 => Just(ReleaseTo::Back)];
    (0..3_u8, prop::option::of(1..4_u32), counter, mode, release_to).prop_map(
        |(priority_max, attempts_max, counter, mode, release_to)| QueuePolicy {
            priority_max,
            retry: RetryPolicy { attempts_max, counter, backoff: None },
            keys: KeyPolicy { mode, poison: KeyPoison::Skip },
            release_to,
            dead_letter: Some(DeadLetterPolicy { exchange: Name::default(), key: Some("dead".into()) }),
            ..QueuePolicy::default()
        },
    )
}

/// Both sides, and what the test holds.
struct Both {
    broker: Broker,
    model: Model,
    held: Vec<Delivery>,
    sent: u64,
    forgotten: Vec<DeliveryRef>,
}

impl Both {
    fn new(policy: QueuePolicy, mut broker: Broker) -> Self {
        broker.declare("dead", QueuePolicy::default());
        broker.declare("q", policy.clone());
        let model = Model { policy, messages: Vec::new(), dead: Vec::new(), next: 1 };
        Self { broker, model, held: Vec::new(), sent: 0, forgotten: Vec::new() }
    }

    fn run(&mut self, command: &Command) {
        match command {
            Command::Send { priority, ttl_ms, delay_ms, key, durable } => {
                let publish = self.sent(*priority, *ttl_ms, *delay_ms, *key, *durable);
                self.broker.publish(publish);
            }
            Command::SendMany { count, ms, durable } => {
                let mut publishes = Vec::new();
                for i in 0..*count {
                    let every = |n: u16| (i % n == 0).then_some(());
                    let (ttl_ms, delay_ms) = (every(5).map(|()| 50 + ms), every(7).map(|()| *ms));
                    let key = every(3).map(|()| (i % 11) as u8);
                    publishes.push(self.sent((i % 4) as u8, ttl_ms, delay_ms, key, *durable));
                }
                self.broker.publish_all(publishes);
            }
            Command::Rewrite => self.broker.rewrite(0..u64::MAX),
            Command::Fetch { count, lease_ms } => {
                let lease = lease_ms.map_or(LeaseMode::Linked, |ms| LeaseMode::Timed(Some(ms)));
                let got = self.broker.fetch_as(A, "q", *count, lease);
                let expected = self.model.fetch(self.broker.now.0, *count, *lease_ms);
                let seen: Vec<_> = got.iter().map(|d| (body(d), d.acquired, d.failed)).collect();
                assert_eq!(seen, expected);
                self.held.extend(got);
            }
            Command::Settle { index, outcome } => self.settle(*index, *outcome),
            Command::Advance { ms } => {
                self.broker.advance(*ms);
            }
            Command::Restart { by_snapshot } => {
                self.broker.restart(*by_snapshot);
                self.model.restart();
                // Linked leases ended with their connections, so what was held by them is stale, whatever happens to it next.
                let linked = self.held.iter().filter(|d| d.lease_until.is_none());
                self.forgotten.extend(linked.map(|d| d.at));
            }
            Command::TakeAndDie => {
                let got = self.broker.fetch_as(B, "q", 1, LeaseMode::Linked);
                let expected = self.model.fetch(self.broker.now.0, 1, None);
                assert_eq!(got.len(), expected.len());
                self.broker.run(|machine, now, cx| machine.disconnect(now, B, cx));
                self.broker.machine.connect(B);
                if let Some(got) = got.first() {
                    let text = body(got);
                    let seq = self.model.messages.iter().find(|m| m.body == text).unwrap().seq;
                    self.model.release(self.broker.now.0, seq, true, None);
                }
            }
        }
        self.model.pass(self.broker.now.0);
        self.compare();
    }

    /// A message that the model has already.
    fn sent(
        &mut self,
        priority: u8,
        ttl_ms: Option<u64>,
        delay_ms: Option<u64>,
        key: Option<u8>,
        durable: bool,
    ) -> Publish {
        self.sent += 1;
        let text = format!("m{}", self.sent);
        let mut publish = self.broker.message("", "q", &text);
        (publish.priority, publish.ttl_ms, publish.delay_ms) = (Some(priority), ttl_ms, delay_ms);
        publish.durable = durable;
        publish.group_key = key.map(|key| key.to_string().into());
        let now = self.broker.now.0;
        let delay = delay_ms.filter(|ms| *ms > 0);
        self.model.messages.push(Message {
            seq: self.model.next,
            body: text,
            priority: priority.min(self.model.policy.priority_max),
            expires_at: ttl_ms.map(|ms| now + delay.unwrap_or(0) + ms),
            key: key.filter(|_| self.model.policy.keys.mode != KeyMode::Off),
            durable,
            state: delay.map_or(State::Ready, |ms| State::Scheduled(now + ms)),
            acquired: 0,
            failed: 0,
        });
        self.model.next += 1;
        publish
    }

    fn settle(&mut self, index: usize, outcome: Settling) {
        if self.held.is_empty() {
            return;
        }
        let delivery = self.held.remove(index % self.held.len());
        let (text, now) = (body(&delivery), self.broker.now.0);
        // Bodies name messages on both sides: places of transient messages may be used again after a restart.
        let current = self.model.messages.iter().find(|m| {
            m.body == text
                && m.acquired == delivery.acquired
                && matches!(m.state, State::Leased { .. })
                && !self.forgotten.contains(&delivery.at)
        });
        let current = current.map(|m| m.seq);
        let asked = match outcome {
            Settling::Complete => Outcome::Complete,
            Settling::Release { failed, delay_ms } => Outcome::Release { failed, delay_ms },
            Settling::Reject => Outcome::Reject { reason: None },
            Settling::Defer => Outcome::Defer,
            Settling::Extend { ms } => Outcome::Extend { lease_ms: ms },
        };
        let stale = self.broker.settle(std::slice::from_ref(&delivery), asked);
        assert_eq!(stale, usize::from(current.is_none()), "{outcome:?} of {text}");
        let Some(seq) = current else { return };
        match outcome {
            Settling::Complete => self.model.messages.retain(|m| m.seq != seq),
            Settling::Release { failed, delay_ms } => self.model.release(now, seq, failed, delay_ms),
            Settling::Reject => self.model.die(seq),
            Settling::Defer => self.change(seq, State::Deferred),
            Settling::Extend { ms: 0 } => self.model.release(now, seq, true, None),
            Settling::Extend { ms } => {
                let m = self.model.messages.iter_mut().find(|m| m.seq == seq).unwrap();
                if let State::Leased { until: Some(until) } = &mut m.state {
                    *until = now + ms;
                }
                self.held.push(delivery);
            }
        }
    }

    fn change(&mut self, seq: u64, state: State) {
        self.model.messages.iter_mut().find(|m| m.seq == seq).unwrap().state = state;
    }

    fn compare(&mut self) {
        let info = self.broker.queue("q");
        let count = |wanted: fn(&State) -> bool| {
            self.model.messages.iter().filter(|m| wanted(&m.state)).count() as u64
        };
        assert_eq!(info.ready, count(|s| *s == State::Ready), "ready");
        assert_eq!(info.scheduled, count(|s| matches!(s, State::Scheduled(_))), "scheduled");
        assert_eq!(info.in_flight, count(|s| matches!(s, State::Leased { .. })), "in flight");
        assert_eq!(info.deferred, count(|s| *s == State::Deferred), "deferred");
    }

    /// At the end nothing is lost and nothing came twice: everything left is drained from both.
    fn finish(mut self) {
        loop {
            let left = self.broker.drain("q");
            let now = self.broker.now.0;
            let expected: Vec<String> =
                self.model.fetch(now, 1_000, None).into_iter().map(|(text, _, _)| text).collect();
            assert_eq!(left, expected);
            if left.is_empty() {
                break;
            }
            self.model.messages.retain(|m| !left.contains(&m.body));
        }
        let mut dead = Vec::new();
        loop {
            let some = self.broker.drain("dead");
            if some.is_empty() {
                break;
            }
            dead.extend(some);
        }
        // Transient dead letters do not survive the restarts on the way.
        self.model.dead.retain(|text| dead.contains(text));
        dead.sort();
        self.model.dead.sort();
        assert_eq!(dead, self.model.dead);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_naive_queue_does(
        policy in policy(),
        commands in prop::collection::vec(command(), 1..120),
    ) {
        let mut both = Both::new(policy, Broker::default());
        for command in &commands {
            both.run(command);
        }
        both.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same with hardly any room for the index in memory: its pages come and go all the time.
    #[test]
    fn the_machine_does_the_same_with_its_index_on_disk(
        policy in policy(),
        messages_max in 0..200_u64,
        commands in prop::collection::vec(deep_command(), 1..60),
    ) {
        let mut both = Both::new(policy, Broker::with_index_messages_max(messages_max));
        for command in &commands {
            both.run(command);
        }
        both.finish();
    }
}
