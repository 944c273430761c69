//! An AMQP 0-9-1 client. One channel publishes with confirms, consumes and settles; the other does so in transactions.

use std::collections::{BTreeMap, VecDeque};

use baton_dialect::{Session, SessionContext};
use baton_dialect_amqp091::content::write_content;
use baton_dialect_amqp091::frame::{PROTOCOL_HEADER, write_any_method};
use baton_dialect_amqp091::methods::{Basic, Tx, basic, channel, confirm, connection, tx};
use baton_dialect_amqp091::{
    AmqpSession, Assembler, Command, FieldTable, FrameDecoder, FrameType, Method, Properties, SessionOptions,
    ShortStr,
};
use bytes::{Bytes, BytesMut};

use super::World;
use super::wire::Protocol;
use crate::Dice;
use crate::fact::{Ended, Known, Serial, body, serial_of};
use crate::topology::{BRIEF, DEAD, FAN, FULL, KEYS, ONCE, PLAIN, SMALL, TEMP, WORK};

/// The channel with confirms.
const CONFIRMS: u16 = 1;
/// The channel with transactions.
const TRANSACTIONS: u16 = 2;
/// Most of a body in one frame, so that larger messages take several.
const FRAME_BYTES_MAX: u32 = 4096;

/// A delivery that is not settled.
#[derive(Clone, Copy)]
struct Held {
    channel: u16,
    tag: u64,
    serial: Serial,
}

/// One client.
#[derive(Default)]
pub(super) struct Client {
    assemblers: BTreeMap<u16, Assembler>,
    /// Numbers of messages that are not confirmed, by their tags.
    unconfirmed: BTreeMap<u64, Serial>,
    last_tag: u64,
    held: Vec<Held>,
    last_delivery: BTreeMap<u16, u64>,
    consumers: u32,
    /// Consumers whose messages are settled when they leave.
    unsettled: Vec<ShortStr>,
    /// What the transaction has come to, and what those that are being committed had.
    transaction: Vec<Known>,
    /// What is held again if it is rolled back.
    settled: Vec<Held>,
    committing: VecDeque<Vec<Known>>,
    /// It wants to end the connection.
    over: bool,
}

fn short(text: &str) -> ShortStr {
    ShortStr::new(text).expect("names here are short")
}

fn put(out: &mut BytesMut, channel: u16, method: &Method) {
    write_any_method(out, channel, method);
}

impl Client {
    /// Says something that counts at once, or with the transaction.
    fn note(&mut self, channel: u16, known: Known, world: &mut World<'_>) {
        if channel == TRANSACTIONS {
            self.transaction.push(known);
        } else {
            world.known.push(known);
        }
    }

    fn publish(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
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
        write_content(out, channel, FRAME_BYTES_MAX, &publish, &properties, &content)
            .expect("properties are small");
        if channel == CONFIRMS {
            self.last_tag += 1;
            self.unconfirmed.insert(self.last_tag, serial);
        }
        self.note(channel, Known::Sent { serial }, world);
    }

    fn consume(&mut self, dice: &mut Dice, out: &mut BytesMut) {
        self.consumers += 1;
        let queue = *dice.pick(&[PLAIN, WORK, KEYS, SMALL, FULL, BRIEF, ONCE, DEAD]);
        let consumer_tag = short(&format!("c{}", self.consumers));
        let no_ack = queue == ONCE;
        if no_ack {
            self.unsettled.push(consumer_tag.clone());
        }
        let consume = basic::Consume { queue: short(queue), consumer_tag, no_ack, ..Default::default() };
        let channel = if dice.one_in(3) { TRANSACTIONS } else { CONFIRMS };
        put(out, channel, &consume.into());
    }

    fn settle(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        let Held { channel, tag: delivery_tag, serial } = self.held.remove(dice.index(self.held.len()));
        let multiple = dice.one_in(5);
        let mut settled = vec![Held { channel, tag: delivery_tag, serial }];
        if multiple {
            let before = |other: &Held| other.channel == channel && other.tag < delivery_tag;
            settled.extend(self.held.extract_if(.., |other| before(other)));
        }
        let requeue = dice.one_in(2);
        let given_up = if requeue { Ended::Released } else { Ended::Rejected };
        let (method, ended): (Method, _) = match dice.below(8) {
            0 => (basic::Nack { delivery_tag, multiple, requeue }.into(), given_up),
            1 if !multiple => (basic::Reject { delivery_tag, requeue }.into(), given_up),
            _ => (basic::Ack { delivery_tag, multiple }.into(), Ended::Completed),
        };
        put(out, channel, &method);
        for held in settled {
            self.note(channel, Known::Settled { serial: held.serial, ended }, world);
            self.settled.extend((channel == TRANSACTIONS).then_some(held));
        }
    }

    fn commit(&mut self, world: &mut World<'_>, out: &mut BytesMut) {
        put(out, TRANSACTIONS, &tx::Commit.into());
        world.known.extend(self.transaction.iter().cloned());
        self.committing.push_back(std::mem::take(&mut self.transaction));
        self.settled.clear();
    }

    fn heard(&mut self, channel: u16, command: Command, world: &mut World<'_>) {
        match command {
            Command::Content(Method::Basic(Basic::Deliver(deliver)), content) => {
                let last = self.last_delivery.insert(channel, deliver.delivery_tag).unwrap_or(0);
                assert!(last < deliver.delivery_tag, "delivery tags only grow");
                if !self.unsettled.contains(&deliver.consumer_tag) {
                    let serial = serial_of(&content.body).unwrap_or_default();
                    self.held.push(Held { channel, tag: deliver.delivery_tag, serial });
                }
                world.known.push(Known::Read { body: content.body });
            }
            Command::Method(Method::Basic(Basic::Ack(ack))) => {
                for tag in self.told(ack.delivery_tag, ack.multiple) {
                    let serial = self.unconfirmed.remove(&tag);
                    world.known.extend(serial.map(|serial| Known::Confirmed { serial }));
                }
            }
            Command::Method(Method::Basic(Basic::Nack(nack))) => {
                for tag in self.told(nack.delivery_tag, nack.multiple) {
                    self.unconfirmed.remove(&tag);
                }
            }
            Command::Method(Method::Tx(Tx::CommitOk(_))) => {
                let done = self.committing.pop_front().expect("a commit is answered once");
                world.known.extend(done.iter().filter_map(Known::done));
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

impl Protocol for Client {
    fn session(&self, context: SessionContext) -> Box<dyn Session> {
        Box::new(AmqpSession::new(context, SessionOptions::default()))
    }

    fn connect(&mut self, out: &mut BytesMut) {
        *self = Self::default();
        out.extend_from_slice(PROTOCOL_HEADER);
        let start_ok = connection::StartOk {
            client_properties: FieldTable::new().encode(),
            mechanism: short("PLAIN"),
            response: Bytes::from_static(b"\0guest\0guest"),
            locale: short("en_US"),
        };
        put(out, 0, &start_ok.into());
        put(out, 0, &connection::TuneOk { channel_max: 8, frame_max: 8192, heartbeat: 0 }.into());
        put(out, 0, &connection::Open { virtual_host: short("/"), ..Default::default() }.into());
        for channel in [CONFIRMS, TRANSACTIONS] {
            put(out, channel, &channel::Open::default().into());
            put(out, channel, &basic::Qos { prefetch_count: 5, ..Default::default() }.into());
        }
        put(out, CONFIRMS, &confirm::Select { no_wait: false }.into());
        put(out, TRANSACTIONS, &tx::Select.into());
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        match dice.below(20) {
            0 | 1 => self.consume(dice, out),
            2 => {
                let consumer_tag = short(&format!("c{}", dice.below(4)));
                put(out, CONFIRMS, &basic::Cancel { consumer_tag, no_wait: false }.into());
            }
            3 => put(out, CONFIRMS, &basic::Recover { requeue: true }.into()),
            4..6 => self.commit(world, out),
            6 => {
                put(out, TRANSACTIONS, &tx::Rollback.into());
                self.transaction.clear();
                self.held.append(&mut self.settled);
            }
            7..14 if !self.held.is_empty() => self.settle(dice, world, out),
            _ => self.publish(dice, world, out),
        }
    }

    fn read(&mut self, received: &mut BytesMut, world: &mut World<'_>) {
        while let Some(batch) = FrameDecoder::new(0).batch(received).expect("the broker writes frames") {
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

    fn is_over(&self) -> bool {
        self.over
    }
}
