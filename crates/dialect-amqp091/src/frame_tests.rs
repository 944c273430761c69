//! Tests of `frame`: bytes written by hand from section 4.2.3 of the specification, split and joined in every way.

use super::*;
use crate::codes::ReplyCode;
use crate::methods::channel;
use crate::methods::{Basic, Channel, basic};

/// channel.open on channel 1: type, channel, size, class 20 method 10, empty short string, end.
const CHANNEL_OPEN: &[u8] = &[1, 0, 1, 0, 0, 0, 5, 0, 20, 0, 10, 0, 206];
const HEARTBEAT: &[u8] = &[8, 0, 0, 0, 0, 0, 0, 206];

fn first_error(bytes: &[u8]) -> WireError {
    let mut buffer = BytesMut::from(bytes);
    let error = FrameDecoder::default().batch(&mut buffer).unwrap_err();
    assert_eq!(buffer, bytes, "an error consumes nothing");
    error
}

fn only_method(mut bytes: BytesMut) -> Method {
    let batch = FrameDecoder::default().batch(&mut bytes).unwrap().unwrap();
    assert!(bytes.is_empty());
    Method::decode(batch.iter().next().unwrap().payload).unwrap()
}

#[test]
fn known_bytes() {
    let batch = FrameDecoder::default().batch(&mut BytesMut::from(CHANNEL_OPEN)).unwrap().unwrap();
    let frame = batch.iter().next().unwrap();
    assert_eq!((frame.frame_type, frame.channel), (FrameType::Method, 1));
    assert_eq!(frame.payload.as_bytes(), &CHANNEL_OPEN[7..12]);
    let method = Method::decode(frame.payload).unwrap();
    assert_eq!(method, Method::Channel(Channel::Open(channel::Open::default())));
    assert_eq!((method.name(), method.ids()), ("channel.open", (20, 10)));

    let mut out = BytesMut::new();
    write_method(&mut out, 1, &channel::Open::default());
    assert_eq!(out, CHANNEL_OPEN);
    write_heartbeat(&mut out);
    assert_eq!(&out[CHANNEL_OPEN.len()..], HEARTBEAT);
}

#[test]
fn ack_is_nineteen_bytes_in_a_frame_of_its_own() {
    let mut out = BytesMut::new();
    write_method(&mut out, 7, &basic::Ack { delivery_tag: 0x0102, multiple: true });
    assert_eq!(&out[..], [1, 0, 7, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 1, 2, 1, 206]);
    let method = only_method(out);
    assert_eq!(method, Method::Basic(Basic::Ack(basic::Ack { delivery_tag: 0x0102, multiple: true })));
    let mut again = BytesMut::new();
    write_any_method(&mut again, 7, &method);
    assert_eq!(again.len(), 21);
}

#[test]
fn every_cut_of_a_stream_gives_the_same_frames() {
    let stream = [CHANNEL_OPEN, HEARTBEAT, CHANNEL_OPEN].concat();
    let decoder = FrameDecoder::default();
    for cut in 0..=stream.len() {
        let mut buffer = BytesMut::new();
        let mut kinds = Vec::new();
        for part in [&stream[..cut], &stream[cut..]] {
            buffer.extend_from_slice(part);
            if let Some(batch) = decoder.batch(&mut buffer).unwrap() {
                kinds.extend(batch.iter().map(|frame| frame.frame_type));
            }
        }
        assert!(buffer.is_empty());
        assert_eq!(kinds, [FrameType::Method, FrameType::Heartbeat, FrameType::Method], "cut at {cut}");
    }
}

#[test]
fn a_batch_stops_before_a_broken_frame() {
    let mut buffer = BytesMut::from(&[CHANNEL_OPEN, &[9, 0, 0, 0, 0, 0, 0, 206]].concat()[..]);
    let decoder = FrameDecoder::default();
    assert_eq!(decoder.batch(&mut buffer).unwrap().unwrap().iter().count(), 1);
    assert_eq!(decoder.batch(&mut buffer).unwrap_err(), WireError::UnknownFrameType { frame_type: 9 });
}

#[test]
fn broken_frames_have_their_codes() {
    let cases: [(&[u8], WireError, ReplyCode); 6] = [
        (&[1, 0, 1, 0, 0, 0, 1, 0, 205], WireError::FrameEnd { found: 205 }, ReplyCode::FrameError),
        (&[4, 0, 0, 0, 0, 0, 0], WireError::UnknownFrameType { frame_type: 4 }, ReplyCode::FrameError),
        (
            &[3, 0, 1, 0, 0, 0x20, 1],
            WireError::FrameTooLarge { payload_bytes: 8193, frame_bytes_max: 8192 },
            ReplyCode::FrameError,
        ),
        (
            &[8, 0, 0, 0, 0, 0, 1],
            WireError::FramePayload { what: "heartbeat", payload_bytes: 1 },
            ReplyCode::FrameError,
        ),
        (
            &[8, 0, 1, 0, 0, 0, 0],
            unexpected(1, "heartbeats on channel 0 only", FrameType::Heartbeat),
            ReplyCode::UnexpectedFrame,
        ),
        (
            &[2, 0, 0, 0, 0, 0, 0],
            unexpected(0, "a method frame or heartbeat", FrameType::Header),
            ReplyCode::UnexpectedFrame,
        ),
    ];
    for (bytes, error, code) in cases {
        assert_eq!(first_error(bytes), error);
        assert_eq!(error.reply_code(), code);
    }
}

#[test]
fn frame_max_counts_the_payload_as_rabbitmq_does() {
    let mut head = vec![3, 0, 1, 0, 0, 0x20, 0];
    assert!(FrameDecoder::default().batch(&mut BytesMut::from(&head[..])).unwrap().is_none());
    assert_eq!(FrameDecoder::default().wanted_bytes(&head), 8200);
    head[3] = 0xff;
    assert!(FrameDecoder::default().batch(&mut BytesMut::from(&head[..])).is_err());
    assert_eq!(FrameDecoder::default().wanted_bytes(&head), 7);
    assert!(FrameDecoder::new(0).batch(&mut BytesMut::from(&head[..])).unwrap().is_none(), "0 is no limit");
}

#[test]
fn method_payloads_have_their_codes() {
    let decode = |bytes: &'static [u8]| Method::decode(&Bytes::from_static(bytes)).unwrap_err();
    let short = decode(&[0, 20, 0]);
    assert_eq!(short, WireError::FramePayload { what: "method", payload_bytes: 3 });
    assert_eq!(short.reply_code(), ReplyCode::FrameError);
    for ids in [&[0, 20, 0, 99][..], &[0, 99, 0, 10]] {
        let unknown = Method::decode(&Bytes::copy_from_slice(ids)).unwrap_err();
        assert_eq!(unknown.reply_code(), ReplyCode::CommandInvalid);
        assert_eq!(unknown.failing_method(), (u16::from(ids[1]), u16::from(ids[3])));
    }
    let truncated = decode(&[0, 60, 0, 80, 0, 0, 0, 0]);
    assert_eq!(truncated, WireError::Truncated { what: "method", missing_bytes: 4 });
    assert_eq!(truncated.reply_code(), ReplyCode::SyntaxError);
    let trailing = decode(&[0, 20, 0, 41, 7]);
    assert_eq!(trailing, WireError::TrailingBytes { what: "method", excess_bytes: 1 });
    let not_utf8 = decode(&[0, 20, 0, 10, 1, 0xff]);
    assert_eq!((not_utf8.clone(), not_utf8.reply_code()), (WireError::NotUtf8, ReplyCode::FrameError));
}

#[test]
fn protocol_headers() {
    assert_eq!(ProtocolHeader::detect(PROTOCOL_HEADER), Some(ProtocolHeader::Amqp091));
    assert_eq!(ProtocolHeader::detect(b"AMQP\x01\x01\x00\x09rest"), Some(ProtocolHeader::Amqp091));
    assert_eq!(ProtocolHeader::detect(b"AMQP\x00\x01\x00\x00"), Some(ProtocolHeader::Amqp10));
    assert_eq!(ProtocolHeader::detect(b"AMQP\x03\x01\x00\x00"), Some(ProtocolHeader::Amqp10Sasl));
    assert_eq!(ProtocolHeader::detect(b"AMQP\x02\x01\x00\x00"), Some(ProtocolHeader::Amqp10Tls));
    let old = *b"AMQP\x01\x01\x08\x00";
    assert_eq!(ProtocolHeader::detect(&old), Some(ProtocolHeader::Unsupported(old)));
    for len in 0..8 {
        assert_eq!(
            ProtocolHeader::detect(&PROTOCOL_HEADER[..len]),
            None,
            "{len} bytes may still become ours"
        );
    }
    let stranger = ProtocolHeader::detect(b"GET");
    assert_eq!(stranger, Some(ProtocolHeader::Unsupported(*b"GET\0\0\0\0\0")));
}
