//! What the core alone costs per message: publish, deliver and settle in batches, with records encoded but not written.
//! `cargo run --release -p baton-core --example core_bench`
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use baton_core::{Appended, Context, Effect, Held, Load, Machine, Record, Store, Stored, codec};
use baton_model::policy::QueuePolicy;
use baton_model::request::{CatalogOp, LeaseMode, Outcome, Publish, Request, Settle, Subscribe};
use baton_model::{Bytes, ConnectionId, ConsumerId, DeliveryRef, Event, LinkId, Message, Name, Time, Token};

#[derive(Default)]
struct Encoder {
    buf: Vec<u8>,
    base: u64,
}

impl Store for Encoder {
    fn append(&mut self, record: &Record) -> Appended {
        if self.buf.len() > 1 << 20 {
            self.base += self.buf.len() as u64;
            self.buf.clear();
        }
        let start = self.base + self.buf.len() as u64;
        let content = codec::encode(record, &mut self.buf);
        let content = content
            .map(|range| Stored { position: start + u64::from(range.offset), len_bytes: range.len_bytes });
        Appended { end: self.base + self.buf.len() as u64, content }
    }

    fn free(&mut self, _: Held) {}

    fn hold(&mut self, _: Held) {}

    fn free_page(&mut self, _: Held) {}
}

impl Load for Encoder {
    fn load(&mut self, _: Stored) -> Option<Bytes> {
        None
    }
}

const A: ConnectionId = ConnectionId(1);
const BATCH: u64 = 128;

fn consumer(queue: Name) -> Subscribe {
    Subscribe {
        token: Token(0),
        consumer: ConsumerId(1),
        link: LinkId(1),
        queue,
        lease: LeaseMode::Linked,
        window: Some(256),
        credit: None,
        priority: 0,
        exclusive: false,
        session: None,
        linked_lease_ms_max: None,
        filter: None,
        label: Name::default(),
    }
}

fn main() {
    let mut machine = Machine::new(1);
    let mut store = Encoder::default();
    let mut effects: Vec<Effect> = Vec::new();
    let mut cx = Context { store: &mut store, effects: &mut effects };
    machine.connect(A);
    let name = Name::new("bench");
    let open = Request::Open { token: Token(0), namespace: "/".into(), label: String::new() };
    let declare =
        CatalogOp::DeclareQueue { name: Some(name.clone()), policy: Box::new(QueuePolicy::default()) };
    machine.step(Time(1), A, open, &mut cx);
    machine.step(Time(1), A, Request::Catalog { token: Token(0), op: Box::new(declare) }, &mut cx);
    machine.step(Time(1), A, Request::Subscribe(Box::new(consumer(name.clone()))), &mut cx);
    cx.effects.clear();

    let body = vec![7_u8; 1024];
    let rounds = 20_000_u64;
    let started = Instant::now();
    let mut held: Vec<DeliveryRef> = Vec::new();
    for round in 0..rounds {
        let now = Time(2 + round);
        for token in 0..BATCH {
            let publish = Publish {
                token: Token(token),
                confirm: true,
                exchange: Name::default(),
                key: name.clone(),
                more_keys: Default::default(),
                message: Message::new(Bytes::copy_from_slice(&body), 0),
                durable: true,
                mandatory: false,
                priority: None,
                ttl_ms: None,
                delay_ms: None,
                group_key: None,
                dedup_id: None,
            };
            machine.step(now, A, Request::Publish(Box::new(publish)), &mut cx);
        }
        if !held.is_empty() {
            let settle =
                Settle { token: None, deliveries: held.as_slice().into(), outcome: Outcome::Complete };
            machine.step(now, A, Request::Settle(settle), &mut cx);
        }
        machine.dispatch(now, &mut cx);
        held.clear();
        held.extend(cx.effects.drain(..).filter_map(|effect| match effect.event {
            Event::Delivered(delivery) => Some(delivery.at),
            _ => None,
        }));
    }
    let ns = started.elapsed().as_nanos() as f64 / (rounds * BATCH) as f64;
    println!(
        "{ns:.0} ns per message: published, leased, delivered, settled ({} held at the end)",
        held.len()
    );
}
