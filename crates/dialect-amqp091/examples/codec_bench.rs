//! Times the codec on one thread: a publish of 1 KiB with five properties, and a delivery of the same.
//! `cargo run --release -p baton-dialect-amqp091 --example codec_bench`. Nanoseconds per message, best of seven rounds:
//! for comparing two commits on one machine, not for quoting. Not part of the benchmarks that compare with peers.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a command-line tool over its own data"
)]

use std::hint::black_box;
use std::time::Instant;

use baton_dialect_amqp091::content::{DeliverRef, PublishRef, write_content};
use baton_dialect_amqp091::methods::basic;
use baton_dialect_amqp091::{
    Assembler, Command, FieldTable, FrameDecoder, Properties, RawProperties, ShortRef, frame,
};
use bytes::BytesMut;

const ROUNDS: u32 = 7;
const MESSAGES: u32 = 200_000;
/// Messages in one buffer, as one read from a busy socket would bring them.
const BATCH: u32 = 50;

fn main() {
    let headers = FieldTable::new().with("x-tenant", "acme").with("x-attempt", 3_i64).encode();
    let properties = Properties {
        content_type: Some(ShortRef::from_static("application/json")),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        message_id: Some(ShortRef::from_static("0193-4f2a-77c1")),
        timestamp: Some(1_700_000_000),
        ..Properties::default()
    };
    let raw = properties.encode();
    let body = vec![b'x'; 1024];
    let mut stream = BytesMut::new();
    for _ in 0..BATCH {
        put_publish(&mut stream, &raw, &body);
    }
    println!("one publish: {} bytes on the wire", stream.len() / usize::try_from(BATCH).unwrap());
    encoding(&raw, &properties, &body);
    acknowledgements();
    decoding(&stream);
}

fn encoding(raw: &RawProperties, properties: &Properties<'_>, body: &[u8]) {
    let mut out = BytesMut::with_capacity(1 << 20);
    time("encode publish, raw properties, 1 KiB body", || {
        for _ in 0..BATCH {
            put_publish(&mut out, raw, body);
        }
        black_box(&out);
        out.clear();
    });
    time("encode publish, properties from fields", || {
        for _ in 0..BATCH {
            put_publish(&mut out, &properties.encode(), body);
        }
        black_box(&out);
        out.clear();
    });
    time("encode deliver, raw properties, 1 KiB body", || {
        for tag in 0..BATCH {
            put_deliver(&mut out, u64::from(tag), raw, body);
        }
        black_box(&out);
        out.clear();
    });
}

fn acknowledgements() {
    let mut out = BytesMut::with_capacity(1 << 20);
    time("encode ack", || {
        for tag in 0..BATCH {
            frame::write_method(&mut out, 1, &basic::Ack { delivery_tag: u64::from(tag), multiple: false });
        }
        black_box(&out);
        out.clear();
    });
    let mut acks = BytesMut::new();
    for tag in 0..BATCH {
        frame::write_method(&mut acks, 1, &basic::Ack { delivery_tag: u64::from(tag), multiple: false });
    }
    time("decode ack", || {
        let mut buffer = BytesMut::from(&acks[..]);
        let mut assembler = Assembler::new(1 << 24);
        for frame in &FrameDecoder::new(131_072).batch(&mut buffer).unwrap().unwrap() {
            black_box(assembler.push(frame).unwrap());
        }
    });
}

fn decoding(stream: &BytesMut) {
    // Filling the buffer costs a copy of all bytes, which the socket's read would pay; it is timed alone to be subtracted.
    time("(filling the buffer)", || {
        black_box(BytesMut::from(&stream[..]));
    });
    time("decode: frames only, with filling", || {
        let mut buffer = BytesMut::from(&stream[..]);
        for frame in &FrameDecoder::new(131_072).batch(&mut buffer).unwrap().unwrap() {
            black_box(frame);
        }
    });
    time("decode: assembled, raw properties, with filling", || {
        decode(stream, |method, raw| {
            black_box((method, raw));
        });
    });
    time("decode: assembled, properties checked, with filling", || {
        decode(stream, |method, raw| {
            black_box((method, raw.check().unwrap()));
        });
    });
    time("decode: assembled, properties and each header read, with filling", || {
        decode(stream, |method, raw| {
            let view = raw.view().unwrap();
            for entry in view.headers.unwrap() {
                black_box(entry.unwrap());
            }
            black_box((method, view));
        });
    });
}

fn put_publish(out: &mut BytesMut, raw: &RawProperties, body: &[u8]) {
    let publish = PublishRef {
        exchange: ShortRef::from_static(""),
        routing_key: ShortRef::from_static("orders.incoming"),
        mandatory: false,
    };
    write_content(out, 1, 131_072, &publish, raw, body).unwrap();
}

fn put_deliver(out: &mut BytesMut, delivery_tag: u64, raw: &RawProperties, body: &[u8]) {
    let deliver = DeliverRef {
        consumer_tag: ShortRef::from_static("ctag1.1234"),
        delivery_tag,
        redelivered: false,
        exchange: ShortRef::from_static(""),
        routing_key: ShortRef::from_static("orders.incoming"),
    };
    write_content(out, 1, 131_072, &deliver, raw, body).unwrap();
}

fn decode(stream: &[u8], mut each: impl FnMut(&basic::Publish, &RawProperties)) {
    let mut buffer = BytesMut::from(stream);
    let mut assembler = Assembler::new(1 << 24);
    for frame in &FrameDecoder::new(131_072).batch(&mut buffer).unwrap().unwrap() {
        if let Some(Command::Publish(publish, content)) = assembler.push(frame).unwrap() {
            each(&publish, &content.properties);
            black_box(content.body);
        }
    }
}

/// Runs `batch`, which handles [`BATCH`] messages, until [`MESSAGES`] are done; the best of [`ROUNDS`].
fn time(what: &str, mut batch: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..MESSAGES / BATCH {
            batch();
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!("{:7.1} ns  {what}", best * 1e9 / f64::from(MESSAGES));
}
