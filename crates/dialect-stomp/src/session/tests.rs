//! Sessions against a scripted engine: what a client sends, what is asked of the engine, what the client gets.

use baton_dialect::{Output, Session, SessionContext};
use baton_model::event::{Delivery, QueueInfo};
use baton_model::request::{CatalogOp, LeaseMode, Settle};
use baton_model::{
    ConsumerId, DeliveryRef, Event, Fence, LinkId, Message, MessageId, Name, Outcome, Publish,
    PublishOutcome, QueueId, QueuePolicy, Refusal, RefusalCode, Reply, Request, Seq, Tag, Time, Token,
    ValueRef,
};
use bytes::BytesMut;

use super::{SessionOptions, StompSession};

/// A session with a client on one side and a script on the other.
struct Peer {
    session: StompSession,
    now: Time,
    closed: bool,
    requests: Vec<Request>,
}

impl Peer {
    fn new() -> Self {
        let context = SessionContext {
            peer: Name::from("127.0.0.1:50412"),
            loopback: true,
            encrypted: false,
            entropy: 0x5eed,
            message_bytes_max: 1 << 20,
            version: "0.0.1",
        };
        let session = StompSession::new(context, SessionOptions::default());
        Self { session, now: Time(1_000_000), closed: false, requests: Vec::new() }
    }

    /// A connection of that version, open for `guest` on `/`.
    fn open(version: &str) -> Self {
        let mut peer = Self::new();
        peer.send(&format!("CONNECT\naccept-version:{version}\nhost:/\n\n\0"));
        let token = peer.authenticate_token();
        peer.reply(token, Ok(Reply::Authenticated { user: Name::from("guest") }));
        let token = peer.open_request().0;
        let got = peer.reply(token, Ok(Reply::Opened));
        assert!(got.starts_with(&format!("CONNECTED\nversion:{version}\n")), "{got}");
        peer
    }

    fn send(&mut self, frames: &str) -> String {
        let mut input = BytesMut::from(frames.as_bytes());
        let mut out = Output::default();
        self.session.receive(self.now, &mut input, &mut out);
        self.take(out)
    }

    fn event(&mut self, event: Event) -> String {
        let mut out = Output::default();
        self.session.event(self.now, event, &mut out);
        self.take(out)
    }

    fn reply(&mut self, token: Token, result: Result<Reply, Refusal>) -> String {
        self.event(Event::Reply { token, result })
    }

    fn tick(&mut self, ms: u64) -> String {
        self.now = self.now.after_ms(ms);
        let mut out = Output::default();
        self.session.tick(self.now, &mut out);
        self.take(out)
    }

    fn take(&mut self, mut out: Output) -> String {
        self.session.flush(self.now, &mut out);
        self.closed |= out.close;
        self.requests.append(&mut out.requests);
        String::from_utf8(out.wire.to_vec()).unwrap()
    }

    fn next(&mut self) -> Request {
        assert!(!self.requests.is_empty(), "nothing was asked for");
        self.requests.remove(0)
    }

    fn authenticate_token(&mut self) -> Token {
        let Request::Authenticate { token, .. } = self.next() else { panic!("a login") };
        token
    }

    fn open_request(&mut self) -> (Token, Name) {
        let Request::Open { token, namespace, .. } = self.next() else { panic!("a namespace") };
        (token, namespace)
    }

    fn publish(&mut self) -> Publish {
        let Request::Publish(publish) = self.next() else { panic!("a publish") };
        *publish
    }

    fn declare(&mut self) -> (Token, Name, QueuePolicy) {
        let Request::Catalog { token, op } = self.next() else { panic!("the catalog") };
        let CatalogOp::DeclareQueue { name, policy } = *op else { panic!("a declaration") };
        (token, name.unwrap(), *policy)
    }

    /// Declares are answered as if the queue were made.
    fn declared(&mut self) -> Name {
        let (token, name, policy) = self.declare();
        assert_eq!(self.reply(token, Ok(queue(&name, policy, true))), "");
        name
    }

    fn subscribed(&mut self) -> baton_model::request::Subscribe {
        let Request::Subscribe(subscribe) = self.next() else { panic!("a subscription") };
        let reply = Reply::Subscribed { consumer: subscribe.consumer, session: None };
        self.reply(subscribe.token, Ok(reply));
        *subscribe
    }

    fn settle(&mut self) -> Settle {
        let Request::Settle(settle) = self.next() else { panic!("a settlement") };
        settle
    }

    fn confirm(&mut self, token: Token) -> String {
        let outcome = PublishOutcome::Accepted { id: MessageId(1), seq: Seq(1), queues: 1 };
        self.event(Event::Published { token, outcome })
    }

    fn deliver(&mut self, consumer: u32, seq: u64) -> String {
        let mut envelope = Vec::new();
        let mut writer = baton_model::EnvelopeWriter::new(&mut envelope);
        writer.str(Tag::Exchange, b"").str(Tag::Key, b"a").str(Tag::ContentType, b"text/plain");
        let envelope_bytes = u32::try_from(envelope.len()).unwrap();
        envelope.extend_from_slice(b"hello");
        self.event(Event::Delivered(Box::new(Delivery {
            at: at(seq),
            consumer: ConsumerId(consumer),
            link: LinkId(consumer),
            id: MessageId(seq),
            message: Message::new(envelope.into(), envelope_bytes),
            acquired: 1,
            failed: 0,
            redelivered: false,
            enqueued_at: Time(1),
            first_acquired_at: None,
            lease_until: None,
            overlay: None,
        })))
    }
}

fn at(seq: u64) -> DeliveryRef {
    DeliveryRef { queue: QueueId(1), seq: Seq(seq), fence: Fence(seq) }
}

fn queue(name: &Name, policy: QueuePolicy, created: bool) -> Reply {
    let info = QueueInfo {
        name: name.clone(),
        id: QueueId(1),
        policy,
        ready: 0,
        scheduled: 0,
        in_flight: 0,
        deferred: 0,
        bytes: 0,
        consumers: 0,
        oldest_at: None,
        created_at: Time(1),
        changed_at: Time(1),
    };
    Reply::Queue { created, info: Box::new(info) }
}

#[test]
fn versions_are_agreed_on() {
    for version in ["1.0", "1.1", "1.2"] {
        Peer::open(version);
    }
    let mut peer = Peer::new();
    let got = peer.send("CONNECT\naccept-version:3.0\n\n\0");
    assert!(
        got.starts_with("ERROR\nmessage:version not supported\n") && got.contains("version:1.0,1.1,1.2"),
        "{got}"
    );
    assert!(peer.closed);
    let mut peer = Peer::new();
    assert!(peer.send("SEND\ndestination:a\n\n\0").contains("the first frame must be CONNECT"));
}

#[test]
fn a_host_that_is_no_vhost_is_the_default_unless_it_is_a_path() {
    let open = |host: &str| {
        let mut peer = Peer::new();
        peer.send(&format!("CONNECT\naccept-version:1.2\nhost:{host}\n\n\0"));
        let token = peer.authenticate_token();
        peer.reply(token, Ok(Reply::Authenticated { user: Name::from("guest") }));
        let (token, namespace) = peer.open_request();
        assert_eq!(namespace, host);
        let got = peer.reply(token, Err(Refusal::new(RefusalCode::NamespaceNotFound, "no such vhost")));
        (peer, got)
    };
    let (mut peer, _) = open("localhost");
    assert_eq!(peer.open_request().1, "/");
    let (_, got) = open("/shop");
    assert!(got.contains("message:Bad CONNECT") && got.contains("no such vhost"), "{got}");
}

#[test]
fn frames_sent_before_connected_are_kept() {
    let mut peer = Peer::new();
    peer.send("CONNECT\naccept-version:1.2\nhost:/\n\n\0");
    let token = peer.authenticate_token();
    peer.reply(token, Ok(Reply::Authenticated { user: Name::from("guest") }));
    assert_eq!(peer.send("SEND\ndestination:/amq/queue/a\n\none\0SEND\ndest"), "");
    let token = peer.open_request().0;
    peer.reply(token, Ok(Reply::Opened));
    assert_eq!(&peer.publish().message.body()[..], b"one");
    peer.send("ination:/amq/queue/a\n\ntwo\0");
    assert_eq!(&peer.publish().message.body()[..], b"two");
}

#[test]
fn receipts_come_in_order_and_when_it_is_done() {
    let mut peer = Peer::open("1.2");
    let got = peer.send(
        "SEND\ndestination:/queue/a\npersistent:true\nreceipt:1\n\nx\0SEND\ndestination:/queue/a\nreceipt:2\n\ny\0BEGIN\ntransaction:t\nreceipt:3\n\n\0",
    );
    assert_eq!(got, "");
    peer.declared();
    let (first, second) = (peer.publish(), peer.publish());
    assert!(first.durable && first.confirm && !second.durable);
    assert_eq!(peer.confirm(second.token), "");
    assert_eq!(
        peer.confirm(first.token),
        "RECEIPT\nreceipt-id:1\n\n\0\nRECEIPT\nreceipt-id:2\n\n\0\nRECEIPT\nreceipt-id:3\n\n\0\n"
    );
}

#[test]
fn a_refused_send_is_an_error_behind_earlier_receipts() {
    let mut peer = Peer::open("1.2");
    peer.send("SEND\ndestination:/topic/a\nreceipt:1\n\nx\0SEND\ndestination:/topic/a\nreceipt:2\n\ny\0");
    let (first, second) = (peer.publish(), peer.publish());
    let refusal = Refusal::new(RefusalCode::QueueFull, "queue 'a' is full");
    peer.event(Event::Published { token: second.token, outcome: PublishOutcome::Refused(refusal) });
    assert!(!peer.closed);
    let got = peer.confirm(first.token);
    assert!(got.starts_with("RECEIPT\nreceipt-id:1\n\n\0\nERROR\nmessage:resource_error\n"), "{got}");
    assert!(got.contains("receipt-id:2\n") && got.ends_with("queue 'a' is full\0\n"), "{got}");
    assert!(peer.closed);
}

#[test]
fn headers_become_neutral_and_come_back() {
    let mut peer = Peer::open("1.2");
    peer.send(concat!(
        "SEND\ndestination:/topic/a\ncontent-type:text/plain\npriority:4\ncorrelation-id:c\\c1\nreply-to:/queue/r\n",
        "expiration:500\namqp-message-id:m1\ntimestamp:1700000000\ntype:t\nJMSXGroupID:g\nAMQ_SCHEDULED_DELAY:250\n",
        "colour:red\\nish\ncolour:blue\n\nbody\0",
    ));
    let publish = peer.publish();
    assert_eq!((publish.exchange.as_str(), publish.key.as_str()), ("amq.topic", "a"));
    assert_eq!((publish.priority, publish.ttl_ms, publish.delay_ms), (Some(4), Some(500), Some(250)));
    assert_eq!(publish.group_key.as_deref(), Some("g"));
    let envelope = publish.message.envelope();
    assert_eq!(envelope.str(Tag::CorrelationId), Some("c:1"));
    assert_eq!(envelope.get(Tag::Timestamp), Some(ValueRef::Timestamp(1_700_000_000_000)));
    assert_eq!(envelope.headers().find(b"colour"), Some(ValueRef::Str(b"red\nish")));
    let mut out = BytesMut::new();
    let mut writer = crate::FrameWriter::new(&mut out, crate::Version::V12, "MESSAGE");
    super::deliver::put_message(&mut writer, &publish.message, None);
    let text = String::from_utf8(out.to_vec()).unwrap();
    for line in [
        "destination:/topic/a",
        "content-type:text/plain",
        "colour:red\\nish",
        "JMSXGroupID:g",
        "priority:4",
        "correlation-id:c\\c1",
        "reply-to:/queue/r",
        "expiration:500",
        "amqp-message-id:m1",
        "timestamp:1700000000",
        "type:t",
    ] {
        assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{line} in {text}");
    }
    assert!(!text.contains("blue"));
}

#[test]
fn what_is_not_offered_is_said() {
    for (frame, words) in [
        ("SEND\ndestination:a\nAMQ_SCHEDULED_CRON:* * * * *\n\n\0", "AMQ_SCHEDULED_CRON"),
        ("SEND\n\n\0", "needs the header 'destination'"),
        ("SEND\ndestination:/nonsense/a\n\n\0", "/queue/, /topic/"),
        ("SEND\ndestination:a\npriority:256\n\n\0", "0 to 255"),
        ("SEND\ndestination:a\ntransaction:t\n\n\0", "send BEGIN first"),
        ("SUBSCRIBE\ndestination:a\n\n\0", "needs the header 'id'"),
        ("SUBSCRIBE\ndestination:a\nid:1\nack:sometimes\n\n\0", "client-individual"),
        ("ACK\nid:1-1\n\n\0", "does not hold"),
        ("UNSUBSCRIBE\nid:7\n\n\0", "no subscription '7'"),
        ("COMMIT\ntransaction:t\n\n\0", "no transaction 't'"),
        ("SEND\ndestination:\\x\n\n\0", "undefined escape"),
        ("CONNECT\n\n\0", "was sent before"),
    ] {
        let mut peer = Peer::open("1.2");
        let mut got = peer.send(frame);
        while !peer.closed {
            // The failure waits behind a declaration.
            peer.requests.retain(|request| matches!(request, Request::Catalog { .. }));
            let (token, name, policy) = peer.declare();
            got += &peer.reply(token, Ok(queue(&name, policy, true)));
        }
        assert!(got.starts_with("ERROR\n") && got.contains(words), "{frame}: {got}");
    }
}

#[test]
fn a_queue_that_is_different_is_an_error_only_if_the_header_was_given() {
    for (headers, fits) in [("", true), ("durable:false\n", true), ("durable:true\n", false)] {
        let mut peer = Peer::open("1.2");
        peer.send(&format!("SUBSCRIBE\nid:1\ndestination:/queue/a\n{headers}\n\0"));
        let (token, name, _) = peer.declare();
        let there = QueuePolicy { durable: false, ..QueuePolicy::default() };
        let got = peer.reply(token, Ok(queue(&name, there, false)));
        assert_eq!(got.contains("inequivalent header 'durable'"), !fits, "{headers}: {got}");
    }
}

#[test]
fn messages_are_acknowledged_as_each_version_does() {
    for (version, one) in [
        ("1.2", "ACK\nid:1-2\n\n\0"),
        ("1.1", "ACK\nsubscription:s\nmessage-id:ID\\cbaton-2\n\n\0"),
        ("1.0", "ACK\nmessage-id:ID:baton-2\n\n\0"),
        ("1.0", "ACK\nsubscription:s\nmessage-id:ID\\cbaton-2\n\n\0"),
    ] {
        let mut peer = Peer::open(version);
        peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\n\n\0");
        peer.declared();
        let subscribe = peer.subscribed();
        assert_eq!((subscribe.lease, subscribe.window), (LeaseMode::Linked, Some(1_000)));
        let got = peer.deliver(1, 1);
        let colon = if version == "1.0" { ":" } else { "\\c" };
        assert!(got.starts_with(&format!("MESSAGE\nsubscription:s\nmessage-id:ID{colon}baton-")), "{got}");
        assert_eq!(got.contains("\nack:1-1\n"), version == "1.2");
        peer.deliver(1, 2);
        peer.deliver(1, 3);
        assert_eq!(peer.send(one), "");
        let settle = peer.settle();
        assert_eq!(settle.deliveries.as_slice(), [at(1), at(2)], "{version}: cumulative");
        assert_eq!(settle.outcome, Outcome::Complete);
        assert!(peer.send(one).contains("does not hold"), "twice is a mistake");
    }
}

#[test]
fn client_individual_is_for_one_and_nack_gives_back_or_rejects() {
    let mut peer = Peer::open("1.2");
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client-individual\nprefetch-count:2\n\n\0");
    peer.declared();
    assert_eq!(peer.subscribed().window, Some(2));
    for seq in 1..=3 {
        peer.deliver(1, seq);
    }
    peer.send("NACK\nid:1-2\n\n\0NACK\nid:1-1\nrequeue:false\n\n\0");
    let (back, dead) = (peer.settle(), peer.settle());
    assert_eq!(
        (back.deliveries[0], back.outcome),
        (at(2), Outcome::Release { failed: false, delay_ms: None })
    );
    assert_eq!((dead.deliveries[0], dead.outcome), (at(1), Outcome::Reject { reason: None }));
    peer.send("ACK\nid:1-3\nreceipt:r\n\n\0");
    let settle = peer.settle();
    let got = peer.event(Event::Settled { token: settle.token.unwrap(), stale: Vec::new() });
    assert_eq!(got, "RECEIPT\nreceipt-id:r\n\n\0\n");
}

#[test]
fn a_transaction_is_one_group_and_an_abort_undoes_its_acks() {
    let mut peer = Peer::open("1.2");
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client-individual\n\n\0");
    peer.declared();
    peer.subscribed();
    peer.deliver(1, 1);
    let work = "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/amq/queue/a\ntransaction:t\n\nx\0ACK\nid:1-1\ntransaction:t\n\n\0";
    assert_eq!(peer.send(work), "");
    peer.send("ABORT\ntransaction:t\n\n\0");
    assert!(peer.requests.is_empty());
    peer.send(work);
    peer.send("COMMIT\ntransaction:t\nreceipt:r\n\n\0");
    let Request::Group { token, requests } = peer.next() else { panic!("a group") };
    assert!(
        matches!(&requests[..], [Request::Publish(_), Request::Settle(settle)] if settle.deliveries[0] == at(1))
    );
    assert_eq!(peer.reply(token, Ok(Reply::Done)), "RECEIPT\nreceipt-id:r\n\n\0\n");
}

#[test]
fn subscriptions_to_topics_have_queues_of_their_own() {
    let mut peer = Peer::open("1.2");
    peer.send("SUBSCRIBE\nid:s\ndestination:/topic/a.>\n\n\0");
    let (_, name, policy) = peer.declare();
    assert!(policy.exclusive && policy.auto_delete && !policy.durable);
    let Request::Catalog { op, .. } = peer.next() else { panic!("a binding") };
    let CatalogOp::Bind(binding) = *op else { panic!("a binding") };
    assert_eq!((binding.source.as_str(), binding.key.as_str()), ("amq.topic", "a.#"));
    assert_eq!(peer.subscribed().queue, name);

    peer.send("SUBSCRIBE\nid:d\ndestination:/topic/a\ndurable:true\nauto-delete:false\n\n\0");
    let (_, name, policy) = peer.declare();
    assert!(policy.durable && !policy.exclusive && !policy.auto_delete);
    assert_eq!(name, "stomp-subscription.d.topic/a");
    peer.requests.clear();
    peer.send("UNSUBSCRIBE\nid:d\ndurable:true\n\n\0");
    assert!(matches!(peer.next(), Request::Detach { failed: false, .. }));
    assert!(matches!(peer.next(), Request::Unsubscribe { .. }));
    let Request::Catalog { op, .. } = peer.next() else { panic!("a deletion") };
    assert!(matches!(*op, CatalogOp::DeleteQueue { name: deleted, .. } if deleted == name));
}

#[test]
fn replies_come_by_themselves() {
    let mut peer = Peer::open("1.2");
    peer.send("SEND\ndestination:/amq/queue/a\nreply-to:/temp-queue/r\n\nx\0");
    let (_, queue, policy) = peer.declare();
    assert!(policy.exclusive && queue.starts_with("amq.gen-"));
    let subscribe = peer.subscribed();
    assert_eq!((subscribe.queue.clone(), subscribe.lease), (queue.clone(), LeaseMode::Settled));
    assert_eq!(peer.publish().message.envelope().str(Tag::ReplyTo), Some(queue.as_str()));
    assert!(peer.deliver(subscribe.consumer.0, 1).contains("subscription:/temp-queue/r\n"));
}

/// The largest that the peer may send, which is also large enough not to be copied.
fn large() -> Vec<u8> {
    vec![b'L'; 1 << 20]
}

#[test]
fn a_large_body_becomes_a_message_where_it_lies_and_is_not_copied_when_it_leaves() {
    for (transaction, closing) in [("", ""), ("transaction:t\n", "COMMIT\ntransaction:t\n\n\0")] {
        let mut peer = Peer::open("1.2");
        peer.send("BEGIN\ntransaction:t\n\n\0");
        let head = format!("SEND\ndestination:/amq/queue/a\n{transaction}content-length:1048576\n\n");
        let frame = [head.as_bytes(), &large(), b"\0"].concat();
        let mut out = Output::default();
        let mut input = BytesMut::from(&frame[..1_000]);
        peer.session.receive(peer.now, &mut input, &mut out);
        assert_eq!((input.len(), peer.session.awaited_bytes()), (1_000, frame.len()));
        let mut whole = BytesMut::with_capacity(frame.len());
        whole.extend_from_slice(&frame);
        let body_at = whole[head.len()..].as_ptr();
        peer.session.receive(peer.now, &mut whole, &mut out);
        assert!(whole.is_empty() && whole.capacity() == 0 && peer.session.awaited_bytes() == 0);
        peer.take(out);
        peer.send(closing);
        let message = match peer.next() {
            Request::Group { requests, .. } => match requests.into_iter().next() {
                Some(Request::Publish(publish)) => publish.message,
                other => panic!("{other:?}"),
            },
            Request::Publish(publish) => publish.message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message.body_slice(), large());
        assert_eq!(message.body_slice().as_ptr(), body_at, "it was not moved");
        assert_eq!(message.envelope().str(Tag::Key), Some("a"));

        let mut out = Output::default();
        super::deliver::put_body(
            crate::write::FrameWriter::new(&mut out.wire, crate::version::Version::V12, "MESSAGE"),
            &message,
            &mut out.attached,
        );
        let at = "MESSAGE\ncontent-length:1048576\n\n";
        assert_eq!(&out.wire[..], format!("{at}\0\n").as_bytes());
        assert_eq!((out.attached[0].behind, out.attached[0].bytes.as_ptr()), (at.len(), body_at));
    }
}

#[test]
fn frames_around_a_large_one_are_taken_in_their_order() {
    let mut peer = Peer::open("1.2");
    let send = |body: &[u8]| {
        let head = format!("\nSEND\ndestination:/amq/queue/a\ncontent-length:{}\n\n", body.len());
        [head.as_bytes(), body, b"\0"].concat()
    };
    let all = [send(b"one"), send(&large()), send(b"three")].concat();
    peer.send(std::str::from_utf8(&all).unwrap());
    for body in [&b"one"[..], &large(), b"three"] {
        assert_eq!(peer.publish().message.body_slice(), body);
    }
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_it_is_announced() {
    let mut peer = Peer::open("1.2");
    let error = peer.send("SEND\ndestination:/amq/queue/a\ncontent-length:1048577\n\n");
    assert!(error.starts_with("ERROR\nmessage:resource_error\n"), "{error}");
    assert!(error.contains("larger than 1048576 bytes") && error.contains("limits.message_bytes_max"));
    assert!(peer.closed && peer.requests.is_empty());
}

#[test]
fn heartbeats_are_sent_and_missed() {
    let mut peer = Peer::new();
    peer.send("CONNECT\naccept-version:1.2\nhost:/\nheart-beat:1000,2000\n\n\0");
    let token = peer.authenticate_token();
    peer.reply(token, Ok(Reply::Authenticated { user: Name::from("guest") }));
    let token = peer.open_request().0;
    assert!(peer.reply(token, Ok(Reply::Opened)).contains("heart-beat:2000,1000\n"));
    assert_eq!(peer.tick(1_000), "\n");
    assert_eq!(peer.send("\n"), "");
    assert_eq!(peer.tick(1_000), "\n");
    assert_eq!(peer.tick(1_000), "\n");
    assert!(!peer.closed);
    peer.tick(1_000);
    assert!(peer.closed, "silent for twice its interval and the margin");
}

#[test]
fn a_message_whose_queue_is_gone_makes_it_anew() {
    let mut peer = Peer::open("1.2");
    peer.send("SEND\ndestination:/queue/a\npersistent:true\nreceipt:1\n\nx\0");
    peer.declared();
    let Publish { token, exchange, key, message, .. } = peer.publish();
    peer.event(Event::Returned { token, exchange, key, message });
    let none = PublishOutcome::Accepted { id: MessageId(0), seq: Seq(0), queues: 0 };
    assert_eq!(peer.event(Event::Published { token, outcome: none }), "");
    assert_eq!(peer.declared(), "a");
    let again = peer.publish();
    assert!(again.durable && again.confirm && again.token == token);
    assert_eq!(peer.confirm(token), "RECEIPT\nreceipt-id:1\n\n\0\n");
}

#[test]
fn a_goodbye_comes_when_everything_is_back() {
    let mut peer = Peer::open("1.2");
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\n\n\0");
    peer.declared();
    peer.subscribed();
    assert_eq!(peer.send("DISCONNECT\nreceipt:bye\n\n\0SEND\ndestination:a\n\n\0"), "");
    assert!(matches!(peer.next(), Request::Detach { .. }));
    let Request::Group { token, .. } = peer.next() else { panic!("a fence") };
    assert!(peer.requests.is_empty() && !peer.closed);
    assert_eq!(peer.reply(token, Ok(Reply::Done)), "RECEIPT\nreceipt-id:bye\n\n\0\n");
    assert!(peer.closed);
}
