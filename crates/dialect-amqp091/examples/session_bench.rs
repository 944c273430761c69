//! Times the session on one thread, without an engine: publishes of 1 KiB with confirms, deliveries with acknowledgements.
//! `cargo run --release -p baton-dialect-amqp091 --example session_bench`. Nanoseconds per message, best of seven rounds:
//! for comparing two commits on one machine and for profiles, not for quoting.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a command-line tool over its own data"
)]

use std::hint::black_box;
use std::time::Instant;

use baton_dialect::{Output, Session, SessionContext};
use baton_dialect_amqp091::content::write_content;
use baton_dialect_amqp091::frame::{PROTOCOL_HEADER, write_any_method};
use baton_dialect_amqp091::methods::{basic, channel, confirm, connection};
use baton_dialect_amqp091::{AmqpSession, FieldTable, Properties, SessionOptions, ShortRef, ShortStr};
use baton_model::event::Delivery;
use baton_model::{
    Bytes, ConsumerId, DeliveryRef, Event, Fence, LinkId, Message, MessageId, Name, PublishOutcome, QueueId,
    Reply, Request, Seq, Time, Token,
};
use bytes::BytesMut;

const ROUNDS: u32 = 7;
const BURSTS: u64 = 4_000;
/// Messages in one burst, as one read from a busy socket would bring them.
const BURST: u64 = 50;

fn main() {
    let mut session = opened();
    let mut out = Output::default();
    let publishes = publishes();
    let mut message = None;
    time("publish: read, envelope, request", || {
        session.receive(Time(1), &mut BytesMut::from(&publishes[..]), &mut out);
        session.flush(Time(1), &mut out);
        message = out.requests.pop();
        out.requests.clear();
    });
    let Some(Request::Publish(publish)) = message else { panic!("{message:?}") };
    let mut session = opened();
    let mut input = BytesMut::new();
    let mut tokens: Vec<Token> = Vec::new();
    time("publish and confirm", || {
        input.extend_from_slice(&publishes);
        session.receive(Time(1), &mut input, &mut out);
        tokens.extend(out.requests.drain(..).map(|request| token_of(&request)));
        for token in tokens.drain(..) {
            let outcome = PublishOutcome::Accepted { id: MessageId(1), seq: Seq(1), queues: 1 };
            session.event(Time(1), Event::Published { token, outcome }, &mut out);
        }
        session.flush(Time(1), &mut out);
        black_box(&out.wire);
        out.wire.clear();
    });
    let (mut session, consumer, link) = consuming();
    let mut seq = 0;
    time("deliver and ack", || {
        let first = seq + 1;
        for _ in 0..BURST {
            seq += 1;
            let delivery = delivery(consumer, link, seq, publish.message.clone());
            session.event(Time(1), Event::Delivered(Box::new(delivery)), &mut out);
        }
        session.flush(Time(1), &mut out);
        out.wire.clear();
        for delivery_tag in first..=seq {
            write_any_method(&mut input, 1, &basic::Ack { delivery_tag, multiple: false }.into());
        }
        session.receive(Time(1), &mut input, &mut out);
        session.flush(Time(1), &mut out);
        black_box(&out.requests);
        out.requests.clear();
    });
}

fn time(what: &str, mut burst: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for _ in 0..BURSTS {
            burst();
        }
        let count = f64::from(u32::try_from(BURSTS * BURST).unwrap());
        best = best.min(begin.elapsed().as_secs_f64() * 1e9 / count);
    }
    println!("{what:36} {best:7.0} ns");
}

fn publishes() -> BytesMut {
    let headers = FieldTable::new().with("x-tenant", "acme").with("x-attempt", 3_i64).encode();
    let properties = Properties {
        content_type: Some(ShortRef::from_static("application/json")),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        message_id: Some(ShortRef::from_static("0193-4f2a-77c1")),
        timestamp: Some(1_700_000_000),
        ..Properties::default()
    };
    let publish = basic::Publish { routing_key: short("orders"), ..Default::default() };
    let mut bytes = BytesMut::new();
    for _ in 0..BURST {
        write_content(&mut bytes, 1, 131_072, &publish, &properties.encode(), &[b'x'; 1024]).unwrap();
    }
    bytes
}

/// A session with channel 1 open in confirm mode.
fn opened() -> AmqpSession {
    let context = SessionContext {
        peer: Name::from("bench"),
        loopback: true,
        encrypted: false,
        entropy: 1,
        message_bytes_max: 1 << 24,
        version: "0",
    };
    let mut session = AmqpSession::new(context, SessionOptions::default());
    let mut bytes = BytesMut::from(&PROTOCOL_HEADER[..]);
    let start_ok = connection::StartOk {
        client_properties: FieldTable::new().encode(),
        mechanism: short("PLAIN"),
        response: Bytes::from_static(b"\0guest\0guest"),
        locale: short("en_US"),
    };
    write_any_method(&mut bytes, 0, &start_ok.into());
    write_any_method(&mut bytes, 0, &connection::TuneOk { frame_max: 131_072, ..Default::default() }.into());
    let open = connection::Open { virtual_host: short("/"), ..Default::default() };
    write_any_method(&mut bytes, 0, &open.into());
    write_any_method(&mut bytes, 1, &channel::Open::default().into());
    write_any_method(&mut bytes, 1, &confirm::Select::default().into());
    drop(ask(&mut session, &mut bytes));
    session
}

fn consuming() -> (AmqpSession, ConsumerId, LinkId) {
    let mut session = opened();
    let mut bytes = BytesMut::new();
    write_any_method(&mut bytes, 1, &basic::Consume { queue: short("q"), ..Default::default() }.into());
    let subscribed = ask(&mut session, &mut bytes).into_iter().find_map(|request| match request {
        Request::Subscribe(subscribe) => Some((subscribe.consumer, subscribe.link)),
        _ => None,
    });
    let (consumer, link) = subscribed.unwrap();
    (session, consumer, link)
}

/// Feeds bytes and answers everything well; what was asked.
fn ask(session: &mut AmqpSession, bytes: &mut BytesMut) -> Vec<Request> {
    let mut out = Output::default();
    let mut asked = Vec::new();
    session.receive(Time(1), bytes, &mut out);
    while !out.requests.is_empty() {
        for request in std::mem::take(&mut out.requests) {
            let reply = match &request {
                Request::Authenticate { user, .. } => Reply::Authenticated { user: user.clone() },
                Request::Open { .. } => Reply::Opened,
                Request::Subscribe(subscribe) => {
                    Reply::Subscribed { consumer: subscribe.consumer, session: None }
                }
                _ => Reply::Done,
            };
            let token = token_of(&request);
            asked.push(request);
            session.event(Time(1), Event::Reply { token, result: Ok(reply) }, &mut out);
        }
    }
    asked
}

fn token_of(request: &Request) -> Token {
    match request {
        Request::Publish(publish) => publish.token,
        Request::Subscribe(subscribe) => subscribe.token,
        Request::Authenticate { token, .. }
        | Request::Open { token, .. }
        | Request::Catalog { token, .. }
        | Request::Group { token, .. } => *token,
        other => panic!("{other:?} is not asked here"),
    }
}

fn delivery(consumer: ConsumerId, link: LinkId, seq: u64, message: Message) -> Delivery {
    Delivery {
        at: DeliveryRef { queue: QueueId(7), seq: Seq(seq), fence: Fence(seq) },
        consumer,
        link,
        id: MessageId(seq),
        message,
        acquired: 1,
        failed: 0,
        redelivered: false,
        enqueued_at: Time(0),
        first_acquired_at: None,
        lease_until: None,
        overlay: None,
    }
}

fn short(text: &str) -> ShortStr {
    ShortStr::new(text).unwrap()
}
