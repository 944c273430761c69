//! Target for the session of AMQP 0-9-1: the input is a list of operations of a client, an engine and a clock. Promises: no
//! panic; what the client gets can be read; every confirm is told once; a delivery is settled at most once; after the
//! end nothing follows. Not here: the codec alone (`amqp`).

use std::collections::{BTreeMap, BTreeSet};

use baton_dialect::{Output, Session, SessionContext};
use baton_dialect_amqp091::content::write_content;
use baton_dialect_amqp091::frame::{PROTOCOL_HEADER, write_any_method};
use baton_dialect_amqp091::methods::{Basic, basic, channel, confirm, connection, queue, tx};
use baton_dialect_amqp091::{
    AmqpSession, Assembler, Command, FieldTable, FrameDecoder, FrameType, Method, Properties, RawProperties,
    SessionOptions, ShortStr,
};
use baton_model::event::{CancelReason, Delivery, Fetched, QueueInfo};
use baton_model::{
    Bytes, ConsumerId, DeliveryRef, Event, Fence, LinkId, Message, MessageId, Name, Publish, PublishOutcome,
    QueueId, QueuePolicy, Refusal, RefusalCode, Reply, Request, Seq, Time, Token,
};
use bytes::BytesMut;

/// Reads the operations; a list that ends early is as good as any.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }
}

/// A session between a client that says anything and an engine that answers as an engine may.
struct Run {
    session: AmqpSession,
    now: Time,
    over: bool,
    /// Questions not answered yet, oldest first.
    open: Vec<Request>,
    consumers: BTreeMap<ConsumerId, LinkId>,
    /// Delivered with acknowledgement and not settled.
    leased: BTreeSet<DeliveryRef>,
    settled: BTreeSet<DeliveryRef>,
    seq: u64,
    client: BytesMut,
    assemblers: BTreeMap<u16, Assembler>,
    /// Confirms told, by channel; forgotten when the channel is opened again.
    told: BTreeMap<u16, BTreeSet<u64>>,
}

/// Runs the operations.
pub fn session(data: &[u8]) {
    let mut input = Input(data);
    let context = SessionContext {
        peer: Name::from("fuzz"),
        loopback: true,
        encrypted: false,
        entropy: 1,
        message_bytes_max: 1 << 16,
        version: "0",
    };
    let mut run = Run {
        session: AmqpSession::new(context, SessionOptions::default()),
        now: Time(1),
        over: false,
        open: Vec::new(),
        consumers: BTreeMap::new(),
        leased: BTreeSet::new(),
        settled: BTreeSet::new(),
        seq: 0,
        client: BytesMut::new(),
        assemblers: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    if input.byte() % 8 != 0 {
        run.handshake();
    }
    while !input.0.is_empty() && !run.over {
        run.operation(&mut input);
    }
    let mut out = Output::default();
    run.session.disconnected(run.now, &mut out);
    assert!(out.wire.is_empty(), "written to a socket that is gone");
}

impl Run {
    fn handshake(&mut self) {
        let mut bytes = BytesMut::from(&PROTOCOL_HEADER[..]);
        let capabilities = FieldTable::new().with("consumer_cancel_notify", true);
        let start_ok = connection::StartOk {
            client_properties: FieldTable::new().with("capabilities", capabilities).encode(),
            mechanism: short("PLAIN"),
            response: Bytes::from_static(b"\0guest\0guest"),
            locale: short("en_US"),
        };
        write_any_method(&mut bytes, 0, &start_ok.into());
        let tune_ok = connection::TuneOk { channel_max: 8, frame_max: 8192, heartbeat: 5 };
        write_any_method(&mut bytes, 0, &tune_ok.into());
        let open = connection::Open { virtual_host: short("/"), ..Default::default() };
        write_any_method(&mut bytes, 0, &open.into());
        for number in 1..=3 {
            write_any_method(&mut bytes, number, &channel::Open::default().into());
        }
        self.send(&bytes);
        self.answer(0, true);
        self.answer(0, true);
    }

    fn operation(&mut self, input: &mut Input<'_>) {
        let op = input.byte();
        let number = u16::from(op >> 5) % 4;
        match op % 32 {
            0..=3 => self.publish(number, input),
            4..=6 => self.deliver(input.byte()),
            7..=12 => self.answer(usize::from(input.byte() % 4), op.is_multiple_of(2)),
            13 => self.send(input.bytes()),
            14 => {
                let payload = Bytes::copy_from_slice(input.bytes());
                if let Ok(method) = Method::decode(&payload) {
                    self.method(number, &method);
                }
            }
            15 => {
                self.now = self.now.after_ms(u64::from(input.byte()) * 50);
                self.step(|session, now, out| {
                    if session.deadline().is_some_and(|deadline| deadline <= now) {
                        session.tick(now, out);
                    }
                });
            }
            16 => {
                if let Some((consumer, _)) = self.consumers.pop_first() {
                    let reason = if input.byte().is_multiple_of(2) {
                        CancelReason::TooSlow
                    } else {
                        CancelReason::QueueDeleted
                    };
                    self.event(Event::Cancelled { consumer, reason });
                }
            }
            17 => {
                if let Some(delivery) = self.leased.pop_first() {
                    let link = LinkId(1 << 16 | u32::from(number));
                    self.event(Event::LeaseEnded { link, delivery });
                }
            }
            18 => self.event(Event::Closing { reason: Name::from("fuzz") }),
            kind => self.method(number.max(1), &command(kind, input)),
        }
    }

    fn publish(&mut self, number: u16, input: &mut Input<'_>) {
        let publish = basic::Publish {
            routing_key: short("q"),
            mandatory: input.byte().is_multiple_of(2),
            ..Default::default()
        };
        let properties = match input.byte() % 3 {
            0 => Properties::default().encode(),
            1 => RawProperties::from_raw(Bytes::copy_from_slice(input.bytes())),
            _ => {
                let headers = FieldTable::new().with("CC", vec!["a".into()]).with("x-delay", 5).encode();
                Properties { headers: Some(headers.as_table()), ..Default::default() }.encode()
            }
        };
        let mut bytes = BytesMut::new();
        if write_content(&mut bytes, number, 4096, &publish, &properties, input.bytes()).is_ok() {
            self.send(&bytes);
        }
    }

    fn method(&mut self, number: u16, method: &Method) {
        if let Method::Channel(_) = method {
            // Channels may begin anew: what was told on the old one is another's.
            self.told.remove(&number);
        }
        let mut bytes = BytesMut::new();
        write_any_method(&mut bytes, number, method);
        self.send(&bytes);
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut input = BytesMut::from(bytes);
        self.step(|session, now, out| session.receive(now, &mut input, out));
    }

    fn event(&mut self, event: Event) {
        self.step(|session, now, out| session.event(now, event, out));
    }

    fn step(&mut self, act: impl FnOnce(&mut AmqpSession, Time, &mut Output)) {
        if self.over {
            return;
        }
        let mut out = Output::default();
        act(&mut self.session, self.now, &mut out);
        self.session.flush(self.now, &mut out);
        self.over = out.close;
        for request in out.requests {
            self.asked(request);
        }
        self.client.extend_from_slice(&out.wire);
        self.read();
    }

    fn asked(&mut self, request: Request) {
        match request {
            Request::Settle(settle) => {
                for delivery in settle.deliveries {
                    assert!(delivery.seq.0 <= self.seq, "never delivered");
                    self.leased.remove(&delivery);
                    assert!(self.settled.insert(delivery), "settled twice");
                }
            }
            Request::Detach { link, .. } => self.consumers.retain(|_, other| *other != link),
            Request::Credit { .. } | Request::LinkWindow { .. } | Request::Flow { .. } => {}
            request => self.open.push(request),
        }
    }

    fn deliver(&mut self, which: u8) {
        let index = usize::from(which).checked_rem(self.consumers.len()).unwrap_or_default();
        let Some((consumer, link)) = self.consumers.iter().nth(index).map(|(c, l)| (*c, *l)) else { return };
        let delivery = self.delivery(consumer, link);
        self.event(Event::Delivered(Box::new(delivery)));
    }

    fn delivery(&mut self, consumer: ConsumerId, link: LinkId) -> Delivery {
        self.seq += 1;
        let at = DeliveryRef { queue: QueueId(1), seq: Seq(self.seq), fence: Fence(self.seq) };
        assert!(self.leased.insert(at));
        Delivery {
            at,
            consumer,
            link,
            id: MessageId(self.seq),
            message: Message::new(Bytes::from_static(b"body"), 0),
            acquired: 2,
            failed: 1,
            redelivered: true,
            enqueued_at: self.now,
            first_acquired_at: None,
            lease_until: None,
            overlay: None,
        }
    }

    /// Answers the oldest question, or a later one of those few that a driver may answer out of order.
    fn answer(&mut self, skip: usize, well: bool) {
        if self.open.is_empty() {
            return;
        }
        let request = self.open.remove(skip.min(self.open.len() - 1));
        let refusal = || Refusal::new(RefusalCode::AccessDenied, "fuzz");
        let event = match request {
            Request::Publish(publish) => return self.published(&publish, well),
            Request::Fetch(fetch) => {
                let deliveries = vec![self.delivery(ConsumerId(0), fetch.link)];
                let result = if well {
                    Ok(Fetched { deliveries, remaining: 1, held_back: false })
                } else {
                    Err(refusal())
                };
                Event::Fetched { token: fetch.token, result }
            }
            Request::Authenticate { token, user, .. } => reply(token, well, Reply::Authenticated { user }),
            Request::Open { token, .. } => reply(token, well, Reply::Opened),
            Request::Subscribe(subscribe) => {
                if well {
                    self.consumers.insert(subscribe.consumer, subscribe.link);
                }
                reply(
                    subscribe.token,
                    well,
                    Reply::Subscribed { consumer: subscribe.consumer, session: None },
                )
            }
            Request::Unsubscribe { token, consumer } => {
                self.consumers.remove(&consumer);
                reply(token, well, Reply::Unsubscribed { consumer })
            }
            Request::Catalog { token, .. } => reply(token, well, info()),
            Request::Recover { token, .. } | Request::Group { token, .. } => reply(token, well, Reply::Done),
            other => panic!("{other:?} needs no answer"),
        };
        self.event(event);
    }

    fn published(&mut self, publish: &Publish, well: bool) {
        let token = publish.token;
        let outcome = match (well, publish.confirm) {
            (true, true) => PublishOutcome::Accepted { id: MessageId(1), seq: Seq(1), queues: 1 },
            (true, false) => return,
            (false, _) => PublishOutcome::Refused(Refusal::new(RefusalCode::QueueFull, "full")),
        };
        if publish.mandatory && well {
            let (exchange, key) = (publish.exchange.clone(), publish.key.clone());
            self.event(Event::Returned { token, exchange, key, message: publish.message.clone() });
        }
        self.event(Event::Published { token, outcome });
    }

    /// The client reads what it got.
    fn read(&mut self) {
        if self.client.starts_with(PROTOCOL_HEADER) {
            return;
        }
        while let Some(batch) = FrameDecoder::new(0).batch(&mut self.client).unwrap() {
            for frame in &batch {
                if frame.frame_type == FrameType::Heartbeat {
                    continue;
                }
                let number = frame.channel;
                let assembler = self.assemblers.entry(number).or_insert_with(|| Assembler::new(u64::MAX));
                match assembler.push(frame).unwrap() {
                    Some(Command::Content(_, content)) => drop(content.properties.check().unwrap()),
                    Some(Command::Method(Method::Basic(Basic::Ack(ack)))) => {
                        self.told(number, ack.delivery_tag, ack.multiple);
                    }
                    Some(Command::Method(Method::Basic(Basic::Nack(nack)))) => {
                        self.told(number, nack.delivery_tag, nack.multiple);
                    }
                    Some(Command::Method(Method::Channel(_))) => {
                        self.told.remove(&number);
                    }
                    _ => {}
                }
            }
        }
        assert!(self.client.is_empty(), "half a frame was written");
    }

    fn told(&mut self, number: u16, tag: u64, multiple: bool) {
        let told = self.told.entry(number).or_default();
        let first = if multiple { 1 } else { tag };
        let news = (first..=tag).filter(|tag| told.insert(*tag)).count();
        assert!(news > 0, "confirm {tag} on channel {number} says nothing new");
    }
}

/// A command that makes sense.
fn command(kind: u8, input: &mut Input<'_>) -> Method {
    let tag = u64::from(input.byte() % 16);
    let flag = tag.is_multiple_of(2);
    match kind {
        19 => basic::Ack { delivery_tag: tag, multiple: flag }.into(),
        20 => basic::Nack { delivery_tag: tag, multiple: flag, requeue: tag.is_multiple_of(3) }.into(),
        21 => basic::Reject { delivery_tag: tag, requeue: flag }.into(),
        22 => basic::Consume { queue: short("q"), no_ack: flag, ..Default::default() }.into(),
        23 => basic::Cancel { consumer_tag: short("t"), no_wait: flag }.into(),
        24 => basic::Get { queue: short("q"), no_ack: flag, ..Default::default() }.into(),
        25 => queue::Declare { queue: short("q"), exclusive: flag, ..Default::default() }.into(),
        26 => confirm::Select { no_wait: flag }.into(),
        27 if flag => tx::Select.into(),
        27 => tx::Commit.into(),
        28 => tx::Rollback.into(),
        29 => basic::Recover { requeue: true }.into(),
        30 if flag => channel::Close::default().into(),
        30 => channel::CloseOk.into(),
        _ => channel::Open::default().into(),
    }
}

fn reply(token: Token, well: bool, reply: Reply) -> Event {
    let refusal = Refusal::new(RefusalCode::QueueNotFound, "fuzz");
    Event::Reply { token, result: if well { Ok(reply) } else { Err(refusal) } }
}

fn info() -> Reply {
    let info = QueueInfo {
        name: Name::from("q"),
        id: QueueId(1),
        policy: QueuePolicy {
            durable: false,
            labels: vec![(Name::from("x-queue-type"), Name::from("quorum"))],
            ..Default::default()
        },
        ready: 0,
        scheduled: 0,
        in_flight: 0,
        deferred: 0,
        bytes: 0,
        consumers: 0,
        oldest_at: None,
        created_at: Time(0),
        changed_at: Time(0),
    };
    Reply::Queue { created: true, info: Box::new(info) }
}

fn short(text: &str) -> ShortStr {
    ShortStr::new(text).unwrap()
}
