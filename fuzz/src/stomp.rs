//! Targets for STOMP: frames (however they are cut, and written again), selectors, and the session between a client that says
//! anything and an engine that answers as an engine may.

use std::collections::BTreeSet;

use baton_dialect::{Output, Session, SessionContext};
use baton_dialect_stomp::{
    Decoded, FrameDecoder, FrameWriter, SessionOptions, StompSession, Version, WireError,
};
use baton_model::event::{CancelReason, Delivery};
use baton_model::{
    ConsumerId, DeliveryRef, Envelope, Event, Fence, LinkId, Message, MessageId, Name, PublishOutcome,
    QueueId, Refusal, RefusalCode, Reply, Request, Seq, Time, Token,
};
use bytes::{Buf, BytesMut};

type Kept = (&'static str, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

/// Splits the input in reads of the size in its second byte, and compares with splitting it whole; what was read is written
/// and read again. The first byte chooses the version.
pub fn frames(data: &[u8]) {
    let Some((&[version, read_bytes], stream)) = data.split_first_chunk::<2>() else { return };
    let version = [Version::V10, Version::V11, Version::V12][usize::from(version % 3)];
    let (whole, whole_end) = split_in_reads(stream, stream.len().max(1), version);
    let (got, got_end) = split_in_reads(stream, usize::from(read_bytes).max(1), version);
    if whole_end.is_none() {
        assert_eq!((got, got_end), (whole.clone(), None));
    } else {
        assert!(got_end.is_some() || got.len() <= whole.len() + 1);
    }
    for (command, headers, body) in whole {
        let mut out = BytesMut::new();
        let mut writer = FrameWriter::new(&mut out, version, command);
        for (name, value) in &headers {
            writer.header(name, value);
        }
        writer.body(&body);
        let (again, end) = split_in_reads(&out, out.len(), version);
        assert_eq!((again.len(), end), (1, None));
        assert_eq!(again[0].2, body);
    }
}

fn split_in_reads(stream: &[u8], read_bytes: usize, version: Version) -> (Vec<Kept>, Option<WireError>) {
    let mut decoder = FrameDecoder::new(2_000);
    decoder.set_version(version);
    let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
    for read in stream.chunks(read_bytes) {
        buffer.extend_from_slice(read);
        loop {
            let (used, more) = match decoder.decode(&buffer) {
                Ok(Decoded::Frame { frame, used }) => {
                    let mut headers = Vec::new();
                    for (at, (name, _)) in frame.headers.raw().enumerate() {
                        // What cannot be unescaped is an error when it is asked for; names that need escapes are kept as they are.
                        if let Ok(Some(value)) = frame.headers.text(name)
                            && !frame.headers.is_repeated(at)
                            && name.trim_ascii() != b"content-length"
                        {
                            headers.push((name.to_vec(), value.into_owned()));
                        }
                    }
                    got.push((frame.command.as_str(), headers, frame.body.to_vec()));
                    (used, true)
                }
                Ok(Decoded::Incomplete { used }) => (used, false),
                Err(error) => return (got, Some(error)),
            };
            assert!(used <= buffer.len());
            buffer.advance(used);
            if !more {
                break;
            }
        }
    }
    (got, None)
}

/// Reads the input as a selector, and asks whether an empty message passes.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match baton_dialect::selector::parse(text) {
        Ok(filter) => drop(filter.matches(Envelope::new(b""))),
        Err(error) => assert!(error.at <= text.len()),
    }
}

/// A session, what it asked for and has no answer to, and what it may still settle.
struct Run {
    session: StompSession,
    now: Time,
    over: bool,
    open: Vec<Request>,
    consumers: BTreeSet<ConsumerId>,
    leased: BTreeSet<DeliveryRef>,
    seq: u64,
    /// Receipts asked for and receipts told.
    receipts: (u64, u64),
}

/// The input is a list of operations: frames by number, raw bytes, answers of the engine, time.
pub fn session(data: &[u8]) {
    let context = SessionContext {
        peer: Name::const_new("fuzz"),
        loopback: true,
        encrypted: false,
        entropy: 7,
        message_bytes_max: 10_000,
        version: "0",
    };
    let mut run = Run {
        session: StompSession::new(context, SessionOptions::default()),
        now: Time(1_000),
        over: false,
        open: Vec::new(),
        consumers: BTreeSet::new(),
        leased: BTreeSet::new(),
        seq: 0,
        receipts: (0, 0),
    };
    run.client(b"CONNECT\naccept-version:1.2\nhost:/\nheart-beat:1000,1000\n\n\0");
    let mut bytes = data.iter().copied();
    while let Some(operation) = bytes.next() {
        if run.over {
            break;
        }
        let argument = bytes.next().unwrap_or_default();
        run.operate(operation, argument, &mut bytes);
    }
    let mut out = Output::default();
    run.session.disconnected(run.now, &mut out);
    assert!(out.wire.is_empty(), "something was written to a socket that is gone");
}

impl Run {
    fn operate(&mut self, operation: u8, argument: u8, bytes: &mut impl Iterator<Item = u8>) {
        let n = argument % 4;
        match operation % 18 {
            0 => self.frame(&format!("SEND\ndestination:/queue/{n}\npersistent:true\n"), true),
            1 => self.frame(&format!("SEND\ndestination:/topic/{n}\ntransaction:{n}\n"), argument > 127),
            2 => self.frame(&format!("SUBSCRIBE\nid:{argument}\ndestination:/queue/{n}\nack:client\n"), true),
            3 => self.frame(
                &format!("SUBSCRIBE\nid:{argument}\ndestination:/topic/{n}\nselector:a = {n}\n"),
                false,
            ),
            4 => self.frame(&format!("UNSUBSCRIBE\nid:{argument}\n"), argument > 127),
            5 => self.frame(&format!("ACK\nid:{}-{}\n", n + 1, argument / 8), argument > 127),
            6 => self.frame(&format!("NACK\nid:{}-{}\ntransaction:{n}\n", n + 1, argument / 8), false),
            7 => self.frame(&format!("BEGIN\ntransaction:{n}\n"), argument > 127),
            8 => self.frame(&format!("COMMIT\ntransaction:{n}\n"), true),
            9 => self.frame(&format!("ABORT\ntransaction:{n}\n"), argument > 127),
            10 => self.frame(&format!("SEND\ndestination:/queue/{n}\nreply-to:/temp-queue/{n}\n"), false),
            11 => {
                let raw: Vec<u8> = bytes.take(usize::from(argument)).collect();
                self.client(&raw);
            }
            12 | 13 => self.answer(argument, false),
            14 => self.answer(argument, argument.is_multiple_of(8)),
            15 => self.deliver(argument),
            16 => {
                self.now = self.now.after_ms(u64::from(argument) * 20);
                let mut out = Output::default();
                if self.session.deadline().is_some_and(|at| at <= self.now) {
                    self.session.tick(self.now, &mut out);
                }
                self.take(out);
            }
            _ => {
                let consumer = ConsumerId(u32::from(n) + 1);
                if self.consumers.remove(&consumer) {
                    self.engine(Event::Cancelled { consumer, reason: CancelReason::QueueDeleted });
                }
            }
        }
    }

    fn frame(&mut self, head: &str, receipt: bool) {
        let receipt = if receipt { "receipt:r\n" } else { "" };
        self.client(format!("{head}{receipt}\nx\0").as_bytes());
    }

    fn client(&mut self, bytes: &[u8]) {
        self.receipts.0 += bytes.windows(8).filter(|window| *window == b"receipt:").count() as u64;
        let mut input = BytesMut::from(bytes);
        let mut out = Output::default();
        self.session.receive(self.now, &mut input, &mut out);
        self.take(out);
    }

    fn engine(&mut self, event: Event) {
        let mut out = Output::default();
        self.session.event(self.now, event, &mut out);
        self.take(out);
    }

    fn take(&mut self, mut out: Output) {
        assert!(!self.over || (out.wire.is_empty() && out.requests.is_empty()), "something follows the end");
        self.session.flush(self.now, &mut out);
        self.receipts.1 += out.wire.windows(8).filter(|window| *window == b"RECEIPT\n").count() as u64;
        assert!(self.receipts.1 <= self.receipts.0, "a receipt that nobody asked for");
        for request in out.requests {
            self.note(&request);
            self.open.push(request);
        }
        self.over |= out.close;
    }

    fn note(&mut self, request: &Request) {
        match request {
            Request::Settle(settle) => {
                for delivery in &settle.deliveries {
                    assert!(self.leased.remove(delivery), "settled twice, or never delivered");
                }
            }
            Request::Subscribe(subscribe) => drop(self.consumers.insert(subscribe.consumer)),
            Request::Unsubscribe { consumer, .. } => drop(self.consumers.remove(consumer)),
            Request::Group { requests, .. } => requests.iter().for_each(|request| self.note(request)),
            _ => {}
        }
    }

    /// The oldest question is answered.
    fn answer(&mut self, argument: u8, refuse: bool) {
        if self.open.is_empty() {
            return;
        }
        let refusal = || Refusal::new(RefusalCode::QueueFull, "no");
        let reply = |token: Token, reply: Reply| Event::Reply {
            token,
            result: if refuse { Err(refusal()) } else { Ok(reply) },
        };
        let event = match self.open.remove(0) {
            Request::Authenticate { token, user, .. } => reply(token, Reply::Authenticated { user }),
            Request::Open { token, .. } => reply(token, Reply::Opened),
            Request::Publish(publish) => {
                let token = publish.token;
                let queues = u32::from(argument % 4 != 1);
                let accepted = PublishOutcome::Accepted { id: MessageId(1), seq: Seq(1), queues };
                let outcome = if refuse { PublishOutcome::Refused(refusal()) } else { accepted };
                if queues == 0 && publish.mandatory {
                    let baton_model::Publish { exchange, key, message, .. } = *publish;
                    self.engine(Event::Returned { token, exchange, key, message });
                }
                if !publish.confirm && !refuse {
                    return;
                }
                Event::Published { token, outcome }
            }
            Request::Settle(settle) => match settle.token {
                Some(token) => Event::Settled { token, stale: Vec::new() },
                None => return,
            },
            Request::Subscribe(subscribe) => {
                reply(subscribe.token, Reply::Subscribed { consumer: subscribe.consumer, session: None })
            }
            Request::Unsubscribe { token, consumer } => reply(token, Reply::Unsubscribed { consumer }),
            Request::Catalog { token, .. } | Request::Inspect { token, .. } => reply(token, Reply::Done),
            Request::Group { token, .. } => reply(token, Reply::Done),
            _ => return,
        };
        self.engine(event);
    }

    fn deliver(&mut self, argument: u8) {
        let consumer = ConsumerId(u32::from(argument % 4) + 1);
        if !self.consumers.contains(&consumer) {
            return;
        }
        self.seq += 1;
        let at = DeliveryRef { queue: QueueId(1), seq: Seq(self.seq), fence: Fence(self.seq) };
        self.leased.insert(at);
        let delivery = Delivery {
            at,
            consumer,
            link: LinkId(consumer.0),
            id: MessageId(self.seq),
            message: Message::new(vec![argument; usize::from(argument)].into(), u32::from(argument / 2)),
            acquired: 1,
            failed: 0,
            redelivered: false,
            enqueued_at: self.now,
            first_acquired_at: None,
            lease_until: None,
            overlay: None,
        };
        self.engine(Event::Delivered(Box::new(delivery)));
        if argument > 240 {
            self.engine(Event::LeaseEnded { link: LinkId(consumer.0), delivery: at });
        }
    }
}
