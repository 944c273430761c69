//! The connection: handshake, credentials, tuning, heartbeats, close.

use super::*;
use crate::methods::connection::{
    Blocked, Close, CloseOk, OpenOk, TuneOk, Unblocked, UpdateSecret, UpdateSecretOk,
};

#[test]
fn other_protocols_are_answered_with_our_header() {
    for header in [&b"GET / HT"[..], b"AMQP\x00\x00\x09\x02", b"AMQP\x01\x01\x08\x00"] {
        let mut peer = Peer::new();
        assert_eq!(peer.bytes(header), []);
        assert_eq!(peer.raw_wire(), PROTOCOL_HEADER[..]);
        assert!(peer.closed);
        assert_eq!(peer.session.deadline(), None);
    }
}

#[test]
fn the_handshake_says_who_is_there() {
    let mut peer = Peer::new();
    let got = peer.bytes(PROTOCOL_HEADER);
    let [Got::Method(0, Method::Connection(Connection::Start(start)))] = &got[..] else { panic!("{got:?}") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!((&start.mechanisms[..], &start.locales[..]), (&b"PLAIN AMQPLAIN"[..], &b"en_US"[..]));
    let properties = start.server_properties.as_table();
    assert_eq!(properties.get("product").unwrap().unwrap().as_str(), Some("Baton"));
    let capabilities = properties.get("capabilities").unwrap().unwrap().as_table().unwrap();
    assert_eq!(capabilities.iter().count(), 9);

    peer.send(0, start_ok(b"\0ann\0secret", &[]));
    let requests = peer.take_requests();
    let [Request::Authenticate { token, user, password }] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((user.as_str(), &password[..]), ("ann", &b"secret"[..]));
    let got = peer.reply(*token, Ok(Reply::Authenticated { user: user.clone() }));
    assert_eq!(got, [method(0, connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 })]);
    peer.send(0, TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 });
    peer.send(0, connection::Open { virtual_host: short("shop"), ..Default::default() });
    let requests = peer.take_requests();
    let [Request::Open { token, namespace, label }] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((namespace.as_str(), label.as_str()), ("shop", "amqp 127.0.0.1:50412 (test 1)"));
    peer.reply(*token, Ok(Reply::Opened));
    assert_eq!(
        peer.session.describe(),
        "AMQP 0-9-1 127.0.0.1:50412 user 'ann' vhost 'shop' client 'test 1' 0 channels"
    );
    assert_eq!(peer.session.deadline(), None, "no heartbeats were agreed");
    for number in 1..=10 {
        peer.send(number, channel::Open::default());
    }
    let (code, _) = Peer::connection_failure(&peer.send(11, channel::Open::default()));
    assert_eq!(code, 530);
}

#[test]
fn wrong_credentials_are_told_only_to_those_who_can_hear_it() {
    for (capabilities, told) in [(&["authentication_failure_close"][..], true), (&[], false)] {
        let mut peer = Peer::new();
        peer.bytes(PROTOCOL_HEADER);
        peer.send(0, start_ok(b"\0guest\0wrong", capabilities));
        let token = peer.only_token();
        let got = peer.refuse(token, RefusalCode::AuthenticationFailed, "no");
        assert_eq!(peer.closed, !told);
        if told {
            let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
            assert_eq!(Peer::connection_failure(&got), (403, text.to_owned()));
            assert_eq!(peer.send(0, CloseOk), []);
            assert!(peer.closed);
        } else {
            assert_eq!(got, []);
        }
    }
}

#[test]
fn tuning_beyond_what_was_offered_is_refused() {
    for (tune_ok, text) in [
        ((2047, 4095), "NOT_ALLOWED - frame_max=4095 < 4096 min size"),
        (
            (2047, 131_073),
            "NOT_ALLOWED - negotiated frame_max = 131073 higher than the maximum allowed value (131072)",
        ),
        (
            (2048, 0),
            "NOT_ALLOWED - negotiated channel_max = 2048 higher than the maximum allowed value (2047)",
        ),
    ] {
        let mut peer = Peer::new();
        peer.bytes(PROTOCOL_HEADER);
        peer.send(0, start_ok(b"\0guest\0guest", &[]));
        let token = peer.only_token();
        peer.reply(token, Ok(Reply::Authenticated { user: Name::from("guest") }));
        let (channel_max, frame_max) = tune_ok;
        let got = peer.send(0, TuneOk { channel_max, frame_max, heartbeat: 0 });
        assert_eq!(Peer::connection_failure(&got), (530, text.to_owned()));
    }
}

#[test]
fn an_unknown_vhost_is_not_allowed() {
    let mut peer = Peer::new();
    peer.handshake(&[], "nope");
    let token = peer.only_token();
    let got = peer.refuse(token, RefusalCode::NamespaceNotFound, "whatever");
    assert_eq!(Peer::connection_failure(&got), (530, "NOT_ALLOWED - vhost nope not found".to_owned()));
}

#[test]
fn heartbeats_go_both_ways() {
    let mut peer = Peer::open();
    let begin = peer.now;
    assert_eq!(peer.session.deadline(), Some(begin.after_ms(30_000)));
    peer.now = begin.after_ms(30_000);
    assert_eq!(peer.tick(), [Got::Heartbeat]);
    peer.now = begin.after_ms(59_000);
    assert_eq!(peer.bytes(&[8, 0, 0, 0, 0, 0, 0, 206]), [], "theirs need no answer");
    assert_eq!(peer.session.deadline(), Some(begin.after_ms(60_000)));
    peer.now = begin.after_ms(60_000);
    assert_eq!(peer.tick(), [Got::Heartbeat]);
    while !peer.closed {
        peer.now = peer.session.deadline().unwrap();
        peer.tick();
    }
    assert_eq!(peer.now, begin.after_ms(59_000 + 120_000), "two intervals of silence");
}

#[test]
fn a_clock_that_jumps_costs_nobody_the_connection() {
    let mut peer = Peer::open();
    peer.now = peer.now.after_ms(12 * 3_600_000);
    assert_eq!(peer.tick(), [Got::Heartbeat]);
    let jumped = peer.now;
    while !peer.closed {
        peer.now = peer.session.deadline().unwrap();
        peer.tick();
    }
    assert_eq!(peer.now, jumped.after_ms(120_000), "from here on it counts again");
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let mut peer = Peer::new();
    assert_eq!(peer.session.deadline(), Some(Time(0)));
    assert_eq!(peer.tick(), []);
    assert_eq!(peer.session.deadline(), Some(peer.now.after_ms(10_000)));
    peer.bytes(PROTOCOL_HEADER);
    peer.now = peer.now.after_ms(10_000);
    assert_eq!(peer.tick(), []);
    assert!(peer.closed);
}

#[test]
fn the_clients_close_is_answered_when_everything_is_given_back() {
    let mut peer = Peer::with_channel();
    let exclusive = crate::methods::queue::Declare { exclusive: true, ..Default::default() };
    peer.send(1, exclusive);
    let requests = peer.take_requests();
    let [Request::Catalog { token, op }] = &requests[..] else { panic!("{requests:?}") };
    let baton_model::request::CatalogOp::DeclareQueue { name: Some(name), policy } = &**op else { panic!() };
    assert!(name.starts_with("amq.gen-"));
    peer.reply(*token, Ok(queue(name, QueuePolicy::clone(policy), true)));
    assert_eq!(peer.send(0, Close { reply_code: 200, ..Default::default() }), []);
    let requests = peer.take_requests();
    let [
        Request::Detach { failed: true, .. },
        Request::Catalog { op, .. },
        Request::Group { token, requests },
    ] = &requests[..]
    else {
        panic!("{requests:?}")
    };
    assert!(
        matches!(&**op, baton_model::request::CatalogOp::DeleteQueue { name: deleted, .. } if deleted == name)
    );
    assert!(requests.is_empty() && !peer.closed);
    assert_eq!(peer.reply(*token, Ok(Reply::Done)), [method(0, CloseOk)]);
    assert!(peer.closed);
}

#[test]
fn an_engine_that_does_not_answer_does_not_hold_a_closing_client() {
    let mut peer = Peer::open();
    peer.send(0, Close::default());
    peer.now = peer.session.deadline().unwrap();
    assert_eq!(peer.tick(), [method(0, CloseOk)]);
    assert!(peer.closed);
}

#[test]
fn the_broker_says_goodbye_and_nobody_failed() {
    let mut peer = Peer::with_channel();
    let got = peer.event(Event::Closing { reason: Name::from("shutdown") });
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!(Peer::connection_failure(&got), (320, text.to_owned()));
    assert!(matches!(peer.take_requests()[..], [Request::Detach { failed: false, .. }]));
    peer.now = peer.session.deadline().unwrap();
    peer.tick();
    assert!(peer.closed, "without close-ok too");
}

#[test]
fn blocked_is_told_to_those_who_asked() {
    let reason = || Event::Blocked { reason: Some(Name::from("low on disk")) };
    let mut peer = Peer::open();
    assert_eq!(peer.event(reason()), [method(0, Blocked { reason: short("low on disk") })]);
    assert_eq!(peer.event(Event::Blocked { reason: None }), [method(0, Unblocked)]);
    assert_eq!(Peer::open_with(&[]).event(reason()), []);
}

#[test]
fn blocked_during_the_handshake_is_told_after_it() {
    let reason = || Event::Blocked { reason: Some(Name::from("low on memory")) };
    for unblocked in [false, true] {
        let mut peer = Peer::new();
        assert_eq!(peer.event(reason()), []);
        peer.handshake(&["connection.blocked"], "/");
        if unblocked {
            assert_eq!(peer.event(Event::Blocked { reason: None }), []);
        }
        let token = peer.only_token();
        let mut expected = vec![method(0, OpenOk::default())];
        if !unblocked {
            expected.push(method(0, Blocked { reason: short("low on memory") }));
        }
        assert_eq!(peer.reply(token, Ok(Reply::Opened)), expected);
    }
}

#[test]
fn a_new_secret_is_checked() {
    let mut peer = Peer::open();
    let update = UpdateSecret { new_secret: Bytes::from_static(b"new"), reason: short("test") };
    assert_eq!(peer.send(0, update.clone()), []);
    let requests = peer.take_requests();
    let [Request::Authenticate { token, user, password }] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((user.as_str(), &password[..]), ("guest", &b"new"[..]));
    let got = peer.reply(*token, Ok(Reply::Authenticated { user: user.clone() }));
    assert_eq!(got, [method(0, UpdateSecretOk)]);
    peer.send(0, update);
    let token = peer.only_token();
    let got = peer.refuse(token, RefusalCode::AuthenticationFailed, "wrong");
    assert_eq!(Peer::connection_failure(&got).0, 530);
}
