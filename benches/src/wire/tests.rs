//! Tests of the wire module: what is encoded scans back, in any split of the bytes; hostile bytes are refused.

use super::encode::{self, Method, Properties, Route, Value};
use super::scan::{Confirm, Delivery, Event, Fields, Incoming, reply_addresses};
use super::template::PublishRing;
use super::{WireError, frame, method};
use crate::payload::Payload;

const MAGIC: u64 = 0x1234_5678_9abc_def0;

/// A delivery as a server would send it: the deliver method before our own encoding of header and body.
fn delivery(tag: u64, redelivered: bool, properties: Properties<'_>, body: &[u8]) -> Vec<u8> {
    let mut published = Vec::new();
    encode::publish(&mut published, 1, Route::queue(b"q"), properties, body);
    let method_len = u32::from_be_bytes(published[3..7].try_into().unwrap()) as usize + 8;
    let mut out = Vec::new();
    Method::begin(&mut out, 1, method::BASIC_DELIVER)
        .short(b"consumer")
        .u64(tag)
        .u8(u8::from(redelivered))
        .short(b"")
        .short(b"q")
        .end();
    out.extend_from_slice(&published[method_len..]);
    out
}

/// Feeds the bytes in pieces of `step` and collects a description of every event.
fn scan(mut bytes: &[u8], step: usize) -> Result<Vec<String>, WireError> {
    let mut incoming = Incoming::default();
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let (mut piece, rest) = bytes.split_at(step.min(bytes.len()));
        while !piece.is_empty() {
            incoming.fill(&mut piece).unwrap();
        }
        bytes = rest;
        while let Some(event) = incoming.next_event()? {
            seen.push(match event {
                Event::Deliver(Delivery { tag, redelivered, body, properties }) => {
                    let (correlation, reply) = reply_addresses(properties)?;
                    format!(
                        "deliver {tag} {redelivered} {} {} {}",
                        String::from_utf8_lossy(correlation),
                        String::from_utf8_lossy(reply),
                        body.len()
                    )
                }
                other => format!("{other:?}"),
            });
        }
    }
    Ok(seen)
}

#[test]
fn deliveries_survive_any_split_of_the_stream() {
    let reply = Properties { correlation_id: b"7", reply_to: b"amq.reply", ..Properties::default() };
    let mut bytes = delivery(1, false, Properties::default(), &[5; 1024]);
    bytes.extend(delivery(2, true, reply, &[6; 40]));
    bytes.extend(delivery(3, false, Properties::default(), &[]));
    bytes.extend([frame::HEARTBEAT, 0, 0, 0, 0, 0, 0, frame::END]);
    let expected =
        ["deliver 1 false   1024", "deliver 2 true 7 amq.reply 40", "deliver 3 false   0", "Heartbeat"];
    for step in [1, 2, 3, 7, 20, 21, 1000, 4096] {
        assert_eq!(scan(&bytes, step).unwrap(), expected, "step {step}");
    }
}

#[test]
fn a_body_of_several_frames_is_joined() {
    let whole = delivery(9, false, Properties::default(), &[1; 50]);
    let body_at = whole.len() - 50 - 8;
    let mut bytes = whole[..body_at].to_vec();
    for len in [20u8, 30] {
        bytes.extend([frame::BODY, 0, 1, 0, 0, 0, len]);
        bytes.extend(vec![1; usize::from(len)]);
        bytes.push(frame::END);
    }
    assert_eq!(scan(&bytes, 11).unwrap(), ["deliver 9 false   50"]);
}

#[test]
fn a_buffer_full_of_deliveries_is_compacted_without_loss() {
    let mut bytes = Vec::new();
    for tag in 0..2_000 {
        bytes.extend(delivery(tag, false, Properties::default(), &[3; 1024]));
    }
    let seen = scan(&bytes, 60_001).unwrap();
    assert_eq!(seen.len(), 2_000);
    assert_eq!(seen.last().unwrap(), "deliver 1999 false   1024");
}

#[test]
fn acks_and_confirms_have_the_bytes_of_the_definition() {
    let mut out = Vec::new();
    encode::ack(&mut out, 0x0102, 0x0304_0506_0708_090a);
    assert_eq!(
        out,
        [1, 1, 2, 0, 0, 0, 13, 0, 60, 0, 80, 3, 4, 5, 6, 7, 8, 9, 10, 0, frame::END],
        "basic.ack, multiple off"
    );
    let mut incoming = Incoming::default();
    incoming.fill(&mut out.as_slice()).unwrap();
    let confirm = Confirm { tag: 0x0304_0506_0708_090a, multiple: false, positive: true };
    assert_eq!(incoming.next_event().unwrap(), Some(Event::Confirm(confirm)));

    out.clear();
    encode::nack(&mut out, 1, 4, true);
    assert_eq!(out, [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 120, 0, 0, 0, 0, 0, 0, 0, 4, 2, frame::END]);
}

#[test]
fn a_publish_has_the_bytes_of_the_definition() {
    let mut out = Vec::new();
    encode::publish(&mut out, 1, Route::queue(b"ab"), Properties::default(), b"xyz");
    let mut expected = vec![1, 0, 1, 0, 0, 0, 11, 0, 60, 0, 40, 0, 0, 0, 2, b'a', b'b', 0, 0xCE];
    expected.extend([2, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x10, 0, 2, 0xCE]);
    expected.extend([3, 0, 1, 0, 0, 0, 3, b'x', b'y', b'z', 0xCE]);
    assert_eq!(out, expected);
}

#[test]
fn a_table_is_written_with_its_sizes() {
    let mut out = Vec::new();
    let inner = [("b", Value::Bool(true))];
    let table = [("s", Value::Text("hi")), ("i", Value::Int(-2)), ("t", Value::Table(&inner))];
    Method::begin(&mut out, 0, method::QUEUE_DECLARE).table(&table).end();
    let mut fields = Fields(&out[11..out.len() - 1]);
    let table = fields.long("table").unwrap();
    assert!(fields.0.is_empty());
    let expected: &[u8] = b"\x01sS\0\0\0\x02hi\x01iI\xff\xff\xff\xfe\x01tF\0\0\0\x04\x01bt\x01";
    assert_eq!(table, expected);
}

#[test]
fn broken_streams_are_refused() {
    let mut bad_end = delivery(1, false, Properties::default(), &[1; 8]);
    *bad_end.last_mut().unwrap() = 0;
    assert_eq!(scan(&bad_end, 500), Err(WireError::BadFrameEnd { size: 8 }));

    let huge = [1, 0, 0, 0xff, 0, 0, 0];
    assert_eq!(scan(&huge, 500), Err(WireError::FrameTooLarge { size: 0xff00_0000 }));

    let body_alone = [frame::BODY, 0, 1, 0, 0, 0, 0, frame::END];
    assert!(matches!(scan(&body_alone, 500), Err(WireError::ContentOrder { .. })));

    let short = [frame::METHOD, 0, 1, 0, 0, 0, 5, 0, 60, 0, 80, 1, frame::END];
    assert_eq!(scan(&short, 500), Err(WireError::Short { what: "confirm" }));
}

#[test]
fn the_ring_goes_round_the_queues_and_stamps_every_message() {
    let queues: Vec<String> = (0..3).map(|nth| format!("q{nth}")).collect();
    let mut ring = PublishRing::new(&queues, 5, MAGIC, 64, 4);
    let mut sent = Vec::new();
    for count in [1, 4, 2, 3, 4] {
        sent.extend_from_slice(ring.batch(count, |nth| nth * 10));
    }
    assert_eq!(ring.next_sequence(), 14);
    // Method frame: 7 + 4 + 2 + 1 (no exchange) + 1 + 2 (key) + 1 + 1; header 23; body 64 + 8.
    let slot_len = 19 + 23 + 72;
    assert_eq!(sent.len(), 14 * slot_len);
    for (nth, slot) in sent.chunks(slot_len).enumerate() {
        assert_eq!(&slot[15..17], format!("q{}", nth % 3).as_bytes());
        let payload = Payload::read(MAGIC, &slot[slot_len - 65..slot_len - 1]).unwrap();
        assert_eq!((payload.producer, payload.sequence), (5, nth as u64));
    }
    let last = Payload::read(MAGIC, &sent[sent.len() - 65..sent.len() - 1]).unwrap();
    assert_eq!(last.sent_ns, 30);
}

#[test]
fn foreign_and_damaged_bodies_are_recognised() {
    let mut body = vec![0; 64];
    Payload { producer: 1, sequence: 2, sent_ns: 3 }.write(MAGIC, &mut body);
    assert!(Payload::read(MAGIC, &body).is_ok());
    assert!(Payload::read(MAGIC + 1, &body).is_err());
    assert!(Payload::read(MAGIC, &body[..63]).is_err());
    body[63] ^= 1;
    assert!(Payload::read(MAGIC, &body).is_err());
}
