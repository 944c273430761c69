//! An AMQP 0-9-1 client and the real session that serves it, with bytes between them that arrive in pieces of any size, cut
//! anywhere. One channel publishes with confirms, consumes and settles; the other does so in transactions. What the network
//! driver does around a session is done here: bytes in, events in, ticks when they are due, a login that is always right.

use std::collections::{BTreeMap, VecDeque};

use baton_dialect::{Output, Session, SessionContext};
use baton_dialect_amqp091::content::write_content;
use baton_dialect_amqp091::frame::{PROTOCOL_HEADER, write_any_method};
use baton_dialect_amqp091::methods::{Basic, basic, channel, confirm, connection, tx};
use baton_dialect_amqp091::{
    AmqpSession, Assembler, Command, FieldTable, FrameDecoder, FrameType, Method, Properties, SessionOptions,
    ShortStr,
};
use baton_engine::delivery_bytes;
use baton_model::{Event, Name, Reply, Request, Time};
use bytes::{Bytes, BytesMut};

use super::{Actor, World};
use crate::Dice;
use crate::fact::{Serial, body};
use crate::network::some_of;
use crate::topology::{BRIEF, DEAD, FAN, FULL, KEYS, ONCE, PLAIN, SMALL, TEMP, WORK};

/// The channel with confirms.
const CONFIRMS: u16 = 1;
/// The channel with transactions.
const TRANSACTIONS: u16 = 2;
/// Most of a body in one frame, so that larger messages take several.
const FRAME_BYTES_MAX: u32 = 4096;

/// One client with its session.
pub(super) struct Client {
    session: AmqpSession,
    /// From the client, not yet at the session.
    up: BytesMut,
    /// At the session, not taken by it.
    input: BytesMut,
    /// From the session, not yet at the client.
    down: BytesMut,
    /// At the client, not read by it.
    received: BytesMut,
    /// From the engine, not yet at the session.
    events: VecDeque<Event>,
    /// Asked for by the session while it heard events.
    requests: Vec<Request>,
    assemblers: BTreeMap<u16, Assembler>,
    /// Numbers of messages that are not confirmed, by their tags.
    unconfirmed: BTreeMap<u64, Serial>,
    last_tag: u64,
    held: Vec<(u16, u64)>,
    last_delivery: BTreeMap<u16, u64>,
    consumers: u32,
    /// The session or the client wants to end the connection.
    over: bool,
    number: usize,
}

fn short(text: &str) -> ShortStr {
    ShortStr::new(text).expect("names here are short")
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        let context = SessionContext {
            peer: Name::from("sim"),
            loopback: true,
            encrypted: false,
            entropy: number as u64,
            message_bytes_max: 1 << 20,
            version: "0",
        };
        Self {
            session: AmqpSession::new(context, SessionOptions::default()),
            up: BytesMut::new(),
            input: BytesMut::new(),
            down: BytesMut::new(),
            received: BytesMut::new(),
            events: VecDeque::new(),
            requests: Vec::new(),
            assemblers: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            last_tag: 0,
            held: Vec::new(),
            last_delivery: BTreeMap::new(),
            consumers: 0,
            over: false,
            number,
        }
    }

    fn method(&mut self, channel: u16, method: &Method) {
        write_any_method(&mut self.up, channel, method);
    }

    fn publish(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        *world.serials += 1;
        let serial = *world.serials;
        let content = body(serial, if dice.one_in(8) { dice.index(9_000) } else { dice.index(60) });
        let target = *dice.pick(&[PLAIN, PLAIN, WORK, WORK, KEYS, SMALL, FULL, BRIEF, ONCE, TEMP, FAN]);
        let fan = target == FAN;
        let publish = basic::Publish {
            exchange: short(if fan { FAN } else { "" }),
            routing_key: short(if fan { "" } else { target }),
            mandatory: dice.one_in(8),
            ..Default::default()
        };
        let delivery_mode = Some(if dice.one_in(8) { 1 } else { 2 });
        let properties = Properties { delivery_mode, ..Default::default() }.encode();
        let channel = if dice.one_in(4) { TRANSACTIONS } else { CONFIRMS };
        write_content(&mut self.up, channel, FRAME_BYTES_MAX, &publish, &properties, &content)
            .expect("properties are small");
        if channel == CONFIRMS {
            self.last_tag += 1;
            self.unconfirmed.insert(self.last_tag, serial);
        }
    }

    fn consume(&mut self, dice: &mut Dice) {
        self.consumers += 1;
        let queue = *dice.pick(&[PLAIN, WORK, KEYS, SMALL, FULL, BRIEF, ONCE, DEAD]);
        let consume = basic::Consume {
            queue: short(queue),
            consumer_tag: short(&format!("c{}", self.consumers)),
            no_ack: queue == ONCE,
            ..Default::default()
        };
        let channel = if dice.one_in(3) { TRANSACTIONS } else { CONFIRMS };
        self.method(channel, &consume.into());
    }

    fn settle(&mut self, dice: &mut Dice) {
        let (channel, delivery_tag) = self.held.remove(dice.index(self.held.len()));
        let multiple = dice.one_in(5);
        if multiple {
            self.held.retain(|(other, tag)| *other != channel || *tag > delivery_tag);
        }
        let requeue = dice.one_in(2);
        let method = match dice.below(8) {
            0 => basic::Nack { delivery_tag, multiple, requeue }.into(),
            1 if !multiple => basic::Reject { delivery_tag, requeue }.into(),
            _ => basic::Ack { delivery_tag, multiple }.into(),
        };
        self.method(channel, &method);
    }

    /// What the session did: bytes go on their way, a login is answered, the rest is for the broker.
    fn done(&mut self, now: Time, mut out: Output) {
        loop {
            assert!(out.attached.is_empty(), "bodies here are small");
            self.down.extend_from_slice(&out.wire);
            out.wire.clear();
            self.over |= out.close;
            let mut logins = Vec::new();
            for request in out.requests.drain(..) {
                match request {
                    Request::Authenticate { token, user, .. } => {
                        let result = Ok(Reply::Authenticated { user });
                        logins.push(Event::Reply { token, result });
                    }
                    other => self.requests.push(other),
                }
            }
            if logins.is_empty() {
                return;
            }
            logins.into_iter().for_each(|login| self.session.event(now, login, &mut out));
            // It may have left frames behind that had to wait for the login.
            self.session.receive(now, &mut self.input, &mut out);
            self.session.flush(now, &mut out);
        }
    }

    fn tick(&mut self, now: Time) {
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            let mut out = Output::default();
            self.session.tick(now, &mut out);
            self.session.flush(now, &mut out);
            self.done(now, out);
        }
    }

    /// The client reads what reached it.
    fn read(&mut self, world: &mut World<'_>) {
        while let Some(batch) =
            FrameDecoder::new(0).batch(&mut self.received).expect("the broker writes frames")
        {
            for frame in &batch {
                if frame.frame_type == FrameType::Heartbeat {
                    continue;
                }
                let number = frame.channel;
                let assembler = self.assemblers.entry(number).or_insert_with(|| Assembler::new(u64::MAX));
                if let Some(command) = assembler.push(frame).expect("the broker writes whole contents") {
                    self.heard(number, command, world);
                }
            }
        }
    }

    fn heard(&mut self, channel: u16, command: Command, world: &mut World<'_>) {
        match command {
            Command::Content(Method::Basic(Basic::Deliver(deliver)), _) => {
                let last = self.last_delivery.insert(channel, deliver.delivery_tag).unwrap_or(0);
                assert!(last < deliver.delivery_tag, "delivery tags only grow");
                self.held.push((channel, deliver.delivery_tag));
            }
            Command::Method(Method::Basic(Basic::Ack(ack))) => {
                for tag in self.told(ack.delivery_tag, ack.multiple) {
                    world.confirmed.extend(self.unconfirmed.remove(&tag));
                }
            }
            Command::Method(Method::Basic(Basic::Nack(nack))) => {
                for tag in self.told(nack.delivery_tag, nack.multiple) {
                    self.unconfirmed.remove(&tag);
                }
            }
            // Something was refused: this client gives up then.
            Command::Method(Method::Channel(channel::Channel::Close(_)))
            | Command::Method(Method::Connection(connection::Connection::Close(_))) => self.over = true,
            _ => {}
        }
    }

    fn told(&self, tag: u64, multiple: bool) -> Vec<u64> {
        let first = if multiple { 0 } else { tag };
        let told: Vec<u64> = self.unconfirmed.range(first..=tag).map(|(tag, _)| *tag).collect();
        assert!(!told.is_empty(), "confirm {tag} says nothing new");
        told
    }
}

impl Actor for Client {
    fn connect(&mut self, _world: &mut World<'_>) {
        *self = Self::new(self.number);
        self.up.extend_from_slice(PROTOCOL_HEADER);
        let start_ok = connection::StartOk {
            client_properties: FieldTable::new().encode(),
            mechanism: short("PLAIN"),
            response: Bytes::from_static(b"\0guest\0guest"),
            locale: short("en_US"),
        };
        self.method(0, &start_ok.into());
        self.method(0, &connection::TuneOk { channel_max: 8, frame_max: 8192, heartbeat: 0 }.into());
        self.method(0, &connection::Open { virtual_host: short("/"), ..Default::default() }.into());
        for channel in [CONFIRMS, TRANSACTIONS] {
            self.method(channel, &channel::Open::default().into());
            self.method(channel, &basic::Qos { prefetch_count: 5, ..Default::default() }.into());
        }
        self.method(CONFIRMS, &confirm::Select { no_wait: false }.into());
        self.method(TRANSACTIONS, &tx::Select.into());
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        match dice.below(20) {
            0 | 1 => self.consume(dice),
            2 => {
                let consumer_tag = short(&format!("c{}", dice.below(4)));
                self.method(CONFIRMS, &basic::Cancel { consumer_tag, no_wait: false }.into());
            }
            3 => self.method(CONFIRMS, &basic::Recover { requeue: true }.into()),
            4..6 => self.method(TRANSACTIONS, &tx::Commit.into()),
            6 => self.method(TRANSACTIONS, &tx::Rollback.into()),
            7..14 if !self.held.is_empty() => self.settle(dice),
            _ => self.publish(dice, world),
        }
    }

    fn up(&mut self, dice: &mut Dice, world: &mut World<'_>) -> Vec<Request> {
        self.tick(world.now);
        let count = some_of(dice, self.up.len());
        let arrived = self.up.split_to(count);
        self.input.extend_from_slice(&arrived);
        let mut out = Output::default();
        self.session.receive(world.now, &mut self.input, &mut out);
        self.session.flush(world.now, &mut out);
        self.done(world.now, out);
        std::mem::take(&mut self.requests)
    }

    fn arrived(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn down(&mut self, dice: &mut Dice, world: &mut World<'_>) -> usize {
        self.tick(world.now);
        let count = some_of(dice, self.events.len());
        let mut out = Output::default();
        let mut bytes = 0;
        for event in self.events.drain(..count) {
            bytes += delivery_bytes(&event);
            self.session.event(world.now, event, &mut out);
        }
        self.session.flush(world.now, &mut out);
        self.done(world.now, out);
        let count = some_of(dice, self.down.len());
        let arrived = self.down.split_to(count);
        self.received.extend_from_slice(&arrived);
        self.read(world);
        bytes
    }

    fn wants_close(&self) -> bool {
        self.over
    }

    fn cut(&mut self) {
        let mut out = Output::default();
        self.session.disconnected(Time(0), &mut out);
        assert!(out.wire.is_empty(), "nothing can be written to a connection that is gone");
    }
}
