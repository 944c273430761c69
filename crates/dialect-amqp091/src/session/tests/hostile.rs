//! Broken and misplaced bytes: the right code, and nothing else.

use super::*;
use crate::methods::queue;

fn raw(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(206);
    bytes
}

#[test]
fn what_breaks_the_protocol_closes_the_connection_with_its_code() {
    let method_bytes = |channel, method: Method| {
        let mut bytes = BytesMut::new();
        write_any_method(&mut bytes, channel, &method);
        bytes.to_vec()
    };
    let mut wrong_end = raw(1, 1, &[0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0]);
    *wrong_end.last_mut().unwrap() = 0;
    let cases = [
        (wrong_end, 501),
        (raw(9, 1, b"hello"), 501),
        (raw(1, 1, &[0x1a, 0x0a, 0, 1]), 503),
        (raw(1, 1, &[0, 50, 0, 10, 0, 0, 32, b'a']), 502),
        (raw(3, 1, b"orphan"), 505),
        (raw(2, 1, &[0; 14]), 505),
        (raw(2, 0, &[0; 14]), 505),
        (method_bytes(42, basic::Qos::default().into()), 504),
        (method_bytes(1, channel::Open::default().into()), 504),
        (method_bytes(0, channel::Open::default().into()), 503),
        (method_bytes(1, connection::TuneOk::default().into()), 503),
        (method_bytes(0, connection::TuneOk::default().into()), 503),
        (method_bytes(1, queue::DeclareOk::default().into()), 503),
        (method_bytes(2048, channel::Open::default().into()), 530),
        (method_bytes(1, channel::Flow { active: false }.into()), 540),
        (
            [
                method_bytes(1, basic::Publish::default().into()),
                method_bytes(1, basic::Qos::default().into()),
            ]
            .concat(),
            505,
        ),
    ];
    for (bytes, code) in cases {
        let mut peer = Peer::with_channel();
        let got = peer.bytes(&bytes);
        assert_eq!(Peer::connection_failure(&got).0, code, "{bytes:?}");
        assert!(matches!(peer.take_requests()[..], [Request::Detach { failed: true, .. }]));
        assert_eq!(peer.send(1, basic::Qos::default()), [], "nothing is heard any more");
        assert_eq!(peer.event(Event::Blocked { reason: None }), []);
        assert_eq!(peer.send(0, connection::CloseOk), []);
        assert!(peer.closed);
    }
}

#[test]
fn work_before_the_connection_is_open_is_refused() {
    let mut peer = Peer::new();
    peer.bytes(PROTOCOL_HEADER);
    assert_eq!(Peer::connection_failure(&peer.send(1, channel::Open::default())).0, 504);
    let mut peer = Peer::new();
    peer.bytes(PROTOCOL_HEADER);
    assert_eq!(Peer::connection_failure(&peer.send(0, connection::Open::default())).0, 503);
    let mut peer = Peer::new();
    peer.bytes(PROTOCOL_HEADER);
    let got = peer.bytes(&[1, 0, 0, 0, 0, 0x20, 1]);
    assert_eq!(Peer::connection_failure(&got).0, 501, "strangers may send small frames only");
}

#[test]
fn unfinished_messages_on_many_channels_are_bounded() {
    let mut peer = Peer::open();
    let mut header = vec![0, 60, 0, 0];
    header.extend_from_slice(&1_000_000_u64.to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    for number in 1..=100 {
        peer.send(number, channel::Open::default());
        peer.send(number, basic::Publish::default());
        peer.bytes(&raw(2, number, &header));
        let got = peer.bytes(&raw(3, number, &[0; 131_064]));
        if !got.is_empty() {
            assert_eq!(Peer::connection_failure(&got).0, 506);
            assert!(number > 16, "honest clients do this much: {number}");
            return;
        }
    }
    panic!("100 MB were reserved for messages that are not there");
}

#[test]
fn commands_that_wait_are_bounded() {
    let mut peer = Peer::with_channel();
    let mut burst = BytesMut::new();
    for _ in 0..=super::super::limits::STEPS_MAX {
        write_any_method(&mut burst, 1, &queue::Purge { queue: short("q"), ..Default::default() }.into());
    }
    assert_eq!(Peer::connection_failure(&peer.bytes(&burst)).0, 506);
}

#[test]
fn closes_that_cross_are_both_answered() {
    let mut peer = Peer::with_channel();
    assert_eq!(Peer::channel_failure(&peer.send(1, basic::Ack { delivery_tag: 1, multiple: false })).0, 406);
    assert_eq!(peer.send(1, channel::Close::default()), [method(1, channel::CloseOk)]);
    assert_eq!(peer.send(1, channel::CloseOk), []);
    assert_eq!(peer.send(1, channel::Open::default()).len(), 1);
    // A close-ok nobody asked for any more does no harm.
    assert_eq!(peer.send(9, channel::CloseOk), []);
}

#[test]
fn a_connection_that_vanishes_gives_everything_back() {
    let mut peer = Peer::with_channel();
    peer.send(2, channel::Open::default());
    let mut out = Output::default();
    peer.session.disconnected(peer.now, &mut out);
    assert!(matches!(
        out.requests[..],
        [Request::Detach { failed: true, .. }, Request::Detach { failed: true, .. }]
    ));
    assert!(out.wire.is_empty());
}
