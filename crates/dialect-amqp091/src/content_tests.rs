//! Tests of `content`: whole messages by hand, bodies in one and many frames, limits, frames out of turn.

use super::*;
use crate::codes::ReplyCode;
use crate::frame::FrameDecoder;
use crate::methods::{basic, channel};
use crate::properties::Properties;
use crate::short_str::ShortStr;

fn publish(key: &str) -> Publish {
    Publish { routing_key: ShortStr::new(key).unwrap(), ..Default::default() }
}

/// A frame on channel 1 that owns its payload.
#[derive(Clone)]
struct Owned {
    frame_type: FrameType,
    payload: Bytes,
}

impl Assembler {
    fn take(&mut self, frame: &Owned) -> Result<Option<Command>, WireError> {
        self.push(Frame { frame_type: frame.frame_type, channel: 1, payload: (&frame.payload).into() })
    }
}

fn frames(mut bytes: BytesMut) -> Vec<Owned> {
    let batch = FrameDecoder::new(0).batch(&mut bytes).unwrap().unwrap();
    assert!(bytes.is_empty());
    batch.iter().map(|f| Owned { frame_type: f.frame_type, payload: f.payload.to_shared() }).collect()
}

fn frame(frame_type: FrameType, payload: &[u8]) -> Owned {
    Owned { frame_type, payload: Bytes::copy_from_slice(payload) }
}

fn header(class_id: u16, weight: u16, body_bytes: u64) -> Owned {
    let mut payload = BytesMut::new();
    payload.put_u16(class_id);
    payload.put_u16(weight);
    payload.put_u64(body_bytes);
    payload.put_u16(0);
    frame(FrameType::Header, &payload)
}

fn publish_frame() -> Owned {
    let mut out = BytesMut::new();
    frame::write_method(&mut out, 1, &publish("q"));
    frames(out).remove(0)
}

#[test]
fn a_publish_by_hand() {
    let bytes: &[u8] = &[
        1, 0, 1, 0, 0, 0, 10, 0, 60, 0, 40, 0, 0, 0, 1, b'q', 0, 206, // method
        2, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x10, 0, 2, 206, // header
        3, 0, 1, 0, 0, 0, 2, b'h', b'i', 206, // body
    ];
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() }.encode();
    let mut out = BytesMut::new();
    write_content(&mut out, 1, 0, &publish("q"), &properties, b"hi").unwrap();
    assert_eq!(out, bytes);
    let borrowed = PublishRef {
        exchange: ShortRef::from_static(""),
        routing_key: ShortRef::from_static("q"),
        mandatory: false,
    };
    let mut again = BytesMut::new();
    write_content(&mut again, 1, 0, &borrowed, &properties, b"hi").unwrap();
    assert_eq!(again, bytes);

    let mut assembler = Assembler::new(u64::MAX);
    let mut got = Vec::new();
    for frame in frames(out) {
        got.extend(assembler.take(&frame).unwrap());
    }
    let body = Bytes::from_static(b"hi");
    assert_eq!(got, [Command::Publish(publish("q"), Content::new(properties, body))]);
}

#[test]
fn deliver_by_reference_equals_the_generated_one() {
    let whole = basic::Deliver {
        consumer_tag: ShortStr::from_static("c"),
        delivery_tag: 9,
        redelivered: true,
        exchange: ShortStr::from_static("x"),
        routing_key: ShortStr::from_static("k"),
    };
    let borrowed = DeliverRef {
        consumer_tag: whole.consumer_tag.as_short(),
        delivery_tag: 9,
        redelivered: true,
        exchange: whole.exchange.as_short(),
        routing_key: whole.routing_key.as_short(),
    };
    let (mut a, mut b) = (BytesMut::new(), BytesMut::new());
    frame::write_method(&mut a, 3, &whole);
    frame::write_method(&mut b, 3, &borrowed);
    assert_eq!(a, b);
}

#[test]
fn bodies_split_and_join() {
    for body_len in [0, 1, 4, 8, 9, 16, 17, 1000] {
        let body: Vec<u8> = (0..body_len).map(|n: u32| n.to_be_bytes()[3]).collect();
        let mut out = BytesMut::new();
        write_content(&mut out, 1, 40, &publish("q"), &RawProperties::EMPTY, &body).unwrap();
        let frames = frames(out);
        assert_eq!(frames.len(), 2 + body.len().div_ceil(32));
        let mut assembler = Assembler::new(u64::MAX);
        let mut got = Vec::new();
        for frame in frames {
            assert!(frame.payload.len() <= 32, "a frame of 40 bytes carries 32");
            got.extend(assembler.take(&frame).unwrap());
        }
        let Some(Command::Publish(_, content)) = got.pop() else { panic!("no content") };
        assert_eq!(content.body, body);
        assert!(!assembler.is_mid_content());
    }
}

#[test]
fn a_body_in_one_frame_is_not_copied() {
    let body = Bytes::from(vec![7; 1024]);
    let mut assembler = Assembler::new(u64::MAX);
    assembler.take(&publish_frame()).unwrap();
    assembler.take(&header(60, 0, 1024)).unwrap();
    let frame = Owned { frame_type: FrameType::Body, payload: body.clone() };
    let Some(Command::Publish(_, content)) = assembler.take(&frame).unwrap() else { panic!("no content") };
    assert_eq!(content.body.as_ptr(), body.as_ptr());
}

#[test]
fn an_announced_size_alone_allocates_nothing() {
    let mut assembler = Assembler::new(u64::MAX);
    assembler.take(&publish_frame()).unwrap();
    assembler.take(&header(60, 0, MESSAGE_BYTES_HARD_MAX)).unwrap();
    assert_eq!(assembler.held_bytes(), 0);
    assembler.take(&frame(FrameType::Body, &[0; 100])).unwrap();
    assert!(assembler.held_bytes() <= 100 * BODY_RESERVE_FACTOR + HEAD_ROOM_BYTES);
    assembler.reset();
    assert!(!assembler.is_mid_content());
}

#[test]
fn over_the_configured_limit_is_read_and_reported() {
    let mut assembler = Assembler::new(10);
    assembler.take(&publish_frame()).unwrap();
    assembler.take(&header(60, 0, 11)).unwrap();
    assert_eq!(assembler.take(&frame(FrameType::Body, &[0; 6])).unwrap(), None);
    assert_eq!(assembler.held_bytes(), 0);
    let done = assembler.take(&frame(FrameType::Body, &[0; 5])).unwrap().unwrap();
    let method = publish("q").into();
    assert_eq!(done, Command::TooLarge { method, body_bytes: 11, body_bytes_max: 10 });
    let mut out = BytesMut::new();
    frame::write_method(&mut out, 1, &channel::Close::default());
    let next = assembler.take(&frames(out).remove(0)).unwrap();
    assert!(matches!(next, Some(Command::Method(_))));
}

#[test]
fn frames_out_of_turn_have_their_codes() {
    let body = || frame(FrameType::Body, &[0; 3]);
    let cases: [(&[Owned], ReplyCode, (u16, u16)); 9] = [
        (&[body()], ReplyCode::UnexpectedFrame, (0, 0)),
        (&[header(60, 0, 1)], ReplyCode::UnexpectedFrame, (0, 0)),
        (&[publish_frame(), body()], ReplyCode::UnexpectedFrame, (60, 40)),
        (&[publish_frame(), publish_frame()], ReplyCode::UnexpectedFrame, (60, 40)),
        (&[publish_frame(), header(50, 0, 1)], ReplyCode::UnexpectedFrame, (60, 40)),
        (&[publish_frame(), header(60, 1, 1)], ReplyCode::UnexpectedFrame, (60, 40)),
        (&[publish_frame(), header(60, 0, 2), body()], ReplyCode::FrameError, (60, 40)),
        (&[publish_frame(), header(60, 0, u64::MAX)], ReplyCode::FrameError, (60, 40)),
        (&[publish_frame(), header(60, 0, 9), publish_frame()], ReplyCode::UnexpectedFrame, (60, 40)),
    ];
    for (frames, code, method) in cases {
        let mut assembler = Assembler::new(u64::MAX);
        let results: Vec<_> = frames.iter().map(|frame| assembler.take(frame)).collect();
        let (last, before) = results.split_last().unwrap();
        assert!(before.iter().all(|result| result == &Ok(None)));
        let error = last.as_ref().unwrap_err();
        assert_eq!((error.reply_code(), error.failing_method()), (code, method), "{error}");
    }
    let cut = ContentHeader::decode(&Bytes::from_static(&[0; 11])).unwrap_err();
    assert_eq!(cut.reply_code(), ReplyCode::FrameError);
}

#[test]
fn properties_over_frame_max_are_refused_before_writing() {
    let mut out = BytesMut::new();
    let properties = RawProperties::from_raw(Bytes::from(vec![0; 21]));
    let result = write_content(&mut out, 1, 40, &publish("q"), &properties, b"body");
    assert_eq!(result, Err(EncodeError::PropertiesTooLarge { bytes: 41, frame_bytes_max: 40 }));
    assert!(out.is_empty());
}

#[test]
fn other_contents_arrive_too() {
    let deliver = basic::Deliver { delivery_tag: 4, ..Default::default() };
    let mut out = BytesMut::new();
    write_content(&mut out, 1, 0, &deliver, &RawProperties::EMPTY, b"").unwrap();
    write_content(&mut out, 1, 0, &publish("q"), &RawProperties::EMPTY, b"x").unwrap();
    let mut assembler = Assembler::new(u64::MAX);
    let got: Vec<_> = frames(out).iter().filter_map(|frame| assembler.take(frame).unwrap()).collect();
    let empty = Content::new(RawProperties::EMPTY, Bytes::new());
    let full = Content { body: Bytes::from_static(b"x"), ..empty.clone() };
    assert_eq!(got, [Command::Content(deliver.into(), empty), Command::Publish(publish("q"), full)]);
}

#[test]
fn a_body_of_several_frames_is_made_a_message_where_it_lies() {
    let body: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    for envelope_bytes in [0, 7, HEAD_ROOM_BYTES, HEAD_ROOM_BYTES + 1] {
        let mut out = BytesMut::new();
        write_content(&mut out, 1, 8192, &publish("q"), &RawProperties::EMPTY, &body).unwrap();
        let mut assembler = Assembler::new(u64::MAX);
        let mut got = None;
        for frame in frames(out) {
            got = assembler.take(&frame).unwrap().or(got);
        }
        let Some(Command::Publish(_, content)) = got else { panic!("no content") };
        let at = content.body.as_ptr();
        let envelope = vec![3; envelope_bytes];
        let whole = content.into_message_content(&envelope);
        assert!(whole == [&envelope[..], &body[..]].concat(), "{envelope_bytes} in front");
        let kept = whole[envelope_bytes..].as_ptr() == at;
        assert_eq!(kept, envelope_bytes <= HEAD_ROOM_BYTES, "the body is not copied if the envelope fits");
    }
}
