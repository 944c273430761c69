//! A STOMP client of each version: sends with receipts, subscribes in all modes of acknowledgement, settles one by one or all
//! up to one, does both in transactions, unsubscribes and says goodbye. It writes and reads its frames itself.
//!
//! A receipt is a promise: that of a SEND, that the message is safe; that of an ACK or NACK, that this is done; that of a COMMIT, both
//! for all of the transaction. Within a transaction a receipt promises nothing.

use std::collections::{BTreeMap, VecDeque};

use baton_dialect::{Session, SessionContext};
use baton_dialect_stomp::{SessionOptions, StompSession};
use bytes::{Buf, Bytes, BytesMut};

use super::World;
use super::wire::Protocol;
use crate::Dice;
use crate::fact::{Ended, Known, Serial, body, serial_of};
use crate::topology::{BRIEF, DEAD, FAN, FLEETING, FULL, KEYS, ONCE, PLAIN, PRIO, SMALL, TEMP, WORK};

/// Headers of a frame to be written.
type Headers = Vec<(&'static str, String)>;

/// A frame as it was read.
struct Frame {
    command: String,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Auto,
    Cumulative,
    Individual,
}

/// A message that is not settled.
#[derive(Clone, Debug)]
struct Held {
    subscription: u64,
    /// What an acknowledgement has to name.
    id: String,
    serial: Serial,
    /// How many came before it.
    arrival: u64,
}

#[derive(Default)]
struct Transaction {
    /// What is so if it is committed.
    known: Vec<Known>,
    /// What is held again if it is not.
    settled: Vec<Held>,
}

/// One client.
pub(super) struct Client {
    number: usize,
    version: &'static str,
    subscriptions: BTreeMap<u64, Mode>,
    last_subscription: u64,
    held: Vec<Held>,
    arrivals: u64,
    /// Receipts that are awaited, in their order, and what each promises.
    awaited: VecDeque<(u64, Vec<Known>)>,
    last_receipt: u64,
    /// It began and is not over.
    transaction: Option<(u64, Transaction)>,
    last_transaction: u64,
    leaving: bool,
    over: bool,
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            version: ["1.2", "1.1", "1.0"][number % 3],
            subscriptions: BTreeMap::new(),
            last_subscription: 0,
            held: Vec::new(),
            arrivals: 0,
            awaited: VecDeque::new(),
            last_receipt: 0,
            transaction: None,
            last_transaction: 0,
            leaving: false,
            over: false,
        }
    }

    /// Asks for a receipt, and notes what it promises.
    fn receipt(&mut self, headers: &mut Headers, promised: Vec<Known>) {
        self.last_receipt += 1;
        headers.push(("receipt", format!("r{}", self.last_receipt)));
        self.awaited.push_back((self.last_receipt, promised));
    }

    /// Puts a frame into the transaction, once in so many times if there is one.
    fn in_transaction(&mut self, dice: &mut Dice, headers: &mut Headers) -> bool {
        let Some((id, _)) = &self.transaction else { return false };
        let within = dice.one_in(2);
        if within {
            headers.push(("transaction", format!("t{id}")));
        }
        within
    }

    /// What was just said counts now, or with the transaction. The receipt, if one is wanted, promises it when it counts now.
    fn say(
        &mut self,
        within: bool,
        receipt: bool,
        headers: &mut Headers,
        known: Vec<Known>,
        world: &mut World<'_>,
    ) {
        if receipt {
            let promised = known.iter().filter_map(Known::done).filter(|_| !within);
            let promised = promised.collect();
            self.receipt(headers, promised);
        }
        match &mut self.transaction {
            Some((_, transaction)) if within => transaction.known.extend(known),
            _ => world.known.extend(known),
        }
    }

    fn send(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        *world.serials += 1;
        let serial = *world.serials;
        let content = body(serial, if dice.one_in(8) { dice.index(9_000) } else { dice.index(60) });
        let target = *dice.pick(&[
            PLAIN, PLAIN, WORK, WORK, KEYS, KEYS, PRIO, SMALL, FULL, BRIEF, ONCE, FLEETING, TEMP, FAN,
        ]);
        let destination = match target {
            FAN => format!("/exchange/{FAN}"),
            // It would be made anew as another queue.
            FLEETING => format!("/amq/queue/{FLEETING}"),
            _ => format!("/queue/{target}"),
        };
        let mut headers: Headers = vec![("destination", destination)];
        if target == PRIO || !dice.one_in(8) {
            headers.push(("persistent", "true".to_owned()));
        }
        match target {
            PLAIN if dice.one_in(8) => headers.push(("expiration", dice.below(2_000).to_string())),
            WORK if dice.one_in(4) => headers.push(("AMQ_SCHEDULED_DELAY", dice.below(1_500).to_string())),
            KEYS => headers.push(("JMSXGroupID", format!("k{}", dice.below(3)))),
            PRIO => {
                headers.push(("priority", dice.below(5).to_string()));
                if dice.one_in(2) {
                    headers.push(("x-deduplication-id", format!("d{}", dice.below(20))));
                }
            }
            _ => {}
        }
        let within = self.in_transaction(dice, &mut headers);
        let receipt = !dice.one_in(4);
        self.say(within, receipt, &mut headers, vec![Known::Sent { serial }], world);
        write(out, "SEND", headers, &content);
    }

    fn subscribe(&mut self, dice: &mut Dice, out: &mut BytesMut) {
        let queue = *dice.pick(&[PLAIN, PLAIN, WORK, KEYS, PRIO, SMALL, FULL, BRIEF, ONCE, TEMP, DEAD]);
        let mode = match queue {
            // What is done when it leaves may be lost on the way: nowhere else is that allowed.
            ONCE => Mode::Auto,
            _ if dice.one_in(4) => Mode::Cumulative,
            _ => Mode::Individual,
        };
        self.last_subscription += 1;
        let id = self.last_subscription;
        self.subscriptions.insert(id, mode);
        let ack = match mode {
            Mode::Auto => "auto",
            Mode::Cumulative => "client",
            Mode::Individual => "client-individual",
        };
        let mut headers = vec![
            ("id", format!("s{id}")),
            ("destination", format!("/queue/{queue}")),
            ("ack", ack.to_owned()),
            ("prefetch-count", (1 + dice.below(6)).to_string()),
        ];
        if dice.one_in(2) {
            self.receipt(&mut headers, Vec::new());
        }
        write(out, "SUBSCRIBE", headers, b"");
    }

    fn unsubscribe(&mut self, dice: &mut Dice, out: &mut BytesMut) {
        let ids: Vec<u64> = self.subscriptions.keys().copied().collect();
        let id = *dice.pick(&ids);
        self.subscriptions.remove(&id);
        // What it held goes back, but for what a transaction is about.
        self.held.retain(|held| held.subscription != id);
        if let Some((_, transaction)) = &mut self.transaction {
            transaction.settled.retain(|held| held.subscription != id);
        }
        let mut headers = vec![("id", format!("s{id}"))];
        if dice.one_in(2) {
            self.receipt(&mut headers, Vec::new());
        }
        write(out, "UNSUBSCRIBE", headers, b"");
    }

    fn settle(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        let mut meant = self.held.remove(dice.index(self.held.len()));
        let cumulative = self.subscriptions.get(&meant.subscription) == Some(&Mode::Cumulative);
        if cumulative {
            // Before 1.2 a message that came again has the same id: the first one is meant.
            let same = |held: &Held| held.id == meant.id && held.subscription == meant.subscription;
            let first = self.held.iter_mut().filter(|held| same(held)).min_by_key(|held| held.arrival);
            if let Some(first) = first.filter(|first| first.arrival < meant.arrival) {
                std::mem::swap(first, &mut meant);
            }
        }
        let mut settled = vec![meant.clone()];
        if cumulative {
            let before =
                |held: &Held| held.subscription == meant.subscription && held.arrival < meant.arrival;
            settled.extend(self.held.extract_if(.., |held| before(held)));
        }
        let mut headers: Headers = match self.version {
            "1.2" => vec![("id", meant.id.clone())],
            _ => vec![("message-id", meant.id.clone()), ("subscription", format!("s{}", meant.subscription))],
        };
        let (command, ended) = match dice.below(8) {
            0 => ("NACK", Ended::Released),
            1 => ("NACK", Ended::Rejected),
            _ => ("ACK", Ended::Completed),
        };
        if ended == Ended::Rejected {
            headers.push(("requeue", "false".to_owned()));
        }
        let within = self.in_transaction(dice, &mut headers);
        let known = settled.iter().map(|held| Known::Settled { serial: held.serial, ended }).collect();
        let receipt = dice.one_in(2);
        self.say(within, receipt, &mut headers, known, world);
        if let Some((_, transaction)) = self.transaction.as_mut().filter(|_| within) {
            transaction.settled.extend(settled);
        }
        write(out, command, headers, b"");
    }

    fn transact(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        let Some((id, transaction)) = self.transaction.take() else {
            self.last_transaction += 1;
            self.transaction = Some((self.last_transaction, Transaction::default()));
            return write(out, "BEGIN", vec![("transaction", format!("t{}", self.last_transaction))], b"");
        };
        let mut headers = vec![("transaction", format!("t{id}"))];
        if dice.one_in(4) {
            self.held.extend(transaction.settled);
            return write(out, "ABORT", headers, b"");
        }
        if !dice.one_in(5) {
            self.receipt(&mut headers, transaction.known.iter().filter_map(Known::done).collect());
        }
        world.known.extend(transaction.known);
        write(out, "COMMIT", headers, b"");
    }

    fn heard(&mut self, frame: Frame, world: &mut World<'_>) {
        let header = |name: &str| frame.headers.get(name).map(String::as_str);
        match frame.command.as_str() {
            "MESSAGE" => {
                let id = header("subscription").and_then(|id| id.strip_prefix('s')?.parse().ok());
                let subscription: u64 = id.expect("a message names its subscription");
                let serial = serial_of(&frame.body).unwrap_or_default();
                let mode = self.subscriptions.get(&subscription);
                self.arrivals += 1;
                let named = if self.version == "1.2" { "ack" } else { "message-id" };
                match mode {
                    None | Some(Mode::Auto) => {}
                    Some(_) => {
                        let id = header(named).expect("a message can be acknowledged").to_owned();
                        let arrival = self.arrivals;
                        self.held.push(Held { subscription, id, serial, arrival });
                    }
                }
                world.known.push(Known::Read { body: frame.body });
            }
            "RECEIPT" => {
                let id = header("receipt-id").and_then(|id| id.strip_prefix('r')?.parse().ok());
                let (awaited, promised) = self.awaited.pop_front().expect("a receipt was asked for");
                assert_eq!(id, Some(awaited), "receipts come in the order of their frames");
                world.known.extend(promised);
                self.over |= self.leaving && self.awaited.is_empty();
            }
            "CONNECTED" => assert_eq!(header("version"), Some(self.version)),
            // Something was refused: the broker closes the connection.
            "ERROR" => self.over = true,
            other => panic!("the broker wrote a frame {other}"),
        }
    }
}

impl Protocol for Client {
    fn session(&self, context: SessionContext) -> Box<dyn Session> {
        Box::new(StompSession::new(context, SessionOptions::default()))
    }

    fn connect(&mut self, out: &mut BytesMut) {
        *self = Self::new(self.number);
        // The broker's heart-beats stand between its frames; whoever promises its own and falls silent is cut off.
        let heartbeat = ["0,0", "0,500", "0,0", "20000,0"][self.number % 4];
        let headers = vec![
            ("accept-version", self.version.to_owned()),
            ("host", "/".to_owned()),
            ("heart-beat", heartbeat.to_owned()),
        ];
        write(out, "CONNECT", headers, b"");
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut) {
        if self.leaving {
            return;
        }
        match dice.below(60) {
            _ if self.subscriptions.is_empty() && dice.one_in(2) => self.subscribe(dice, out),
            0..4 => self.subscribe(dice, out),
            4 | 5 if !self.subscriptions.is_empty() => self.unsubscribe(dice, out),
            6..14 => self.transact(dice, world, out),
            14 => {
                self.leaving = true;
                let mut headers = Vec::new();
                self.receipt(&mut headers, Vec::new());
                write(out, "DISCONNECT", headers, b"");
            }
            15..18 => out.extend_from_slice(b"\n"),
            18..42 if !self.held.is_empty() => self.settle(dice, world, out),
            _ => self.send(dice, world, out),
        }
    }

    fn read(&mut self, received: &mut BytesMut, world: &mut World<'_>) {
        while let Some(frame) = read_frame(received) {
            self.heard(frame, world);
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

fn write(out: &mut BytesMut, command: &str, headers: Headers, body: &[u8]) {
    let mut head = format!("{command}\n");
    for (name, value) in headers {
        head += &format!("{name}:{value}\n");
    }
    if !body.is_empty() {
        head += &format!("content-length:{}\n", body.len());
    }
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b"\n");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\0");
}

/// Takes a whole frame off the front. Nothing that the simulation says needs an escape.
fn read_frame(received: &mut BytesMut) -> Option<Frame> {
    let blank = received.iter().take_while(|byte| **byte == b'\n').count();
    received.advance(blank);
    let head_bytes = received.windows(2).position(|two| two == b"\n\n")?;
    let head = String::from_utf8(received[..head_bytes].to_vec()).expect("headers are text");
    let mut lines = head.lines();
    let command = lines.next().expect("a frame has a command").to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        // The first one of a name counts.
        headers.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let rest = &received[head_bytes + 2..];
    let length = headers.get("content-length").map(|length| length.parse().expect("a length is a number"));
    let body_bytes: usize = match length {
        Some(length) => length,
        None => rest.iter().position(|byte| *byte == 0)?,
    };
    let end = *rest.get(body_bytes)?;
    assert_eq!(end, 0, "a frame ends behind its body");
    received.advance(head_bytes + 2);
    let body = received.split_to(body_bytes).freeze();
    received.advance(1);
    Some(Frame { command, headers, body })
}
