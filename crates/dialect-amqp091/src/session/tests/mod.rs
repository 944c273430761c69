//! The session against a scripted engine: what a client sends, what is asked of the engine, what the client gets. The client
//! is this crate's own codec. Here: the harness; the modules below have the tests.

mod catalog;
mod consuming;
mod handshake;
mod hostile;
mod pieces;
mod publishing;
mod transactions;

use baton_dialect::{Output, Session, SessionContext};
use baton_model::event::{Delivery, QueueInfo};
use baton_model::{
    Bytes, ConsumerId, DeliveryRef, Event, Fence, LinkId, Message, MessageId, Name, QueueId, QueuePolicy,
    Refusal, RefusalCode, Reply, Request, Seq, Time, Token,
};
use bytes::BytesMut;

use super::{AmqpSession, SessionOptions};
use crate::content::{Assembler, Command, Content, write_content};
use crate::frame::{FrameDecoder, FrameType, PROTOCOL_HEADER, write_any_method};
use crate::methods::{Connection, Method, basic, channel, connection};
use crate::properties::Properties;
use crate::short_str::ShortStr;
use crate::table::FieldTable;

/// What the client got.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Got {
    Method(u16, Method),
    Content(u16, Method, Content),
    Heartbeat,
}

/// A session with a client on one side and a script on the other.
pub(super) struct Peer {
    pub(super) session: AmqpSession,
    pub(super) now: Time,
    pub(super) closed: bool,
    pub(super) requests: Vec<Request>,
    wire: BytesMut,
    assemblers: std::collections::BTreeMap<u16, Assembler>,
}

pub(super) fn context() -> SessionContext {
    SessionContext {
        peer: Name::from("127.0.0.1:50412"),
        loopback: true,
        encrypted: false,
        entropy: 0x5eed,
        message_bytes_max: 1 << 20,
        version: "0.0.1",
    }
}

pub(super) fn short(text: &str) -> ShortStr {
    ShortStr::new(text).unwrap()
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            session: AmqpSession::new(context(), SessionOptions::default()),
            now: Time(1_000_000),
            closed: false,
            requests: Vec::new(),
            wire: BytesMut::new(),
            assemblers: std::collections::BTreeMap::new(),
        }
    }

    /// A connection that is open for `guest` on `/`, with all capabilities.
    pub(super) fn open() -> Self {
        Self::open_with(&["authentication_failure_close", "consumer_cancel_notify", "connection.blocked"])
    }

    pub(super) fn open_with(capabilities: &[&'static str]) -> Self {
        let mut peer = Self::new();
        peer.handshake(capabilities, "/");
        let token = peer.only_token();
        assert_eq!(peer.reply(token, Ok(Reply::Opened)), [method(0, connection::OpenOk::default())]);
        peer
    }

    /// Up to `connection.open`.
    pub(super) fn handshake(&mut self, capabilities: &[&'static str], vhost: &str) {
        assert!(matches!(self.bytes(PROTOCOL_HEADER)[..], [Got::Method(0, _)]));
        self.send(0, start_ok(b"\0guest\0guest", capabilities));
        let token = self.only_token();
        let user = Name::from("guest");
        assert!(matches!(self.reply(token, Ok(Reply::Authenticated { user }))[..], [Got::Method(0, _)]));
        assert_eq!(
            self.send(0, connection::TuneOk { channel_max: 0, frame_max: 131_072, heartbeat: 60 }),
            []
        );
        let open = connection::Open { virtual_host: short(vhost), ..Default::default() };
        assert_eq!(self.send(0, open), []);
    }

    /// An open connection with channel 1.
    pub(super) fn with_channel() -> Self {
        let mut peer = Self::open();
        assert_eq!(peer.send(1, channel::Open::default()), [method(1, channel::OpenOk::default())]);
        peer
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Vec<Got> {
        let mut input = BytesMut::from(bytes);
        let mut out = Output::default();
        self.session.receive(self.now, &mut input, &mut out);
        self.take(out)
    }

    pub(super) fn send(&mut self, channel: u16, method: impl Into<Method>) -> Vec<Got> {
        let mut bytes = BytesMut::new();
        write_any_method(&mut bytes, channel, &method.into());
        self.bytes(&bytes)
    }

    pub(super) fn publish(
        &mut self,
        publish: &basic::Publish,
        properties: &Properties<'_>,
        body: &[u8],
    ) -> Vec<Got> {
        let mut bytes = BytesMut::new();
        write_content(&mut bytes, 1, 131_072, publish, &properties.encode(), body).unwrap();
        self.bytes(&bytes)
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<Got> {
        self.events(vec![event])
    }

    /// Events of one burst.
    pub(super) fn events(&mut self, events: Vec<Event>) -> Vec<Got> {
        let mut out = Output::default();
        for event in events {
            self.session.event(self.now, event, &mut out);
        }
        self.take(out)
    }

    pub(super) fn reply(&mut self, token: Token, result: Result<Reply, Refusal>) -> Vec<Got> {
        self.event(Event::Reply { token, result })
    }

    pub(super) fn refuse(&mut self, token: Token, code: RefusalCode, text: &str) -> Vec<Got> {
        self.reply(token, Err(Refusal::new(code, text)))
    }

    pub(super) fn tick(&mut self) -> Vec<Got> {
        let mut out = Output::default();
        self.session.tick(self.now, &mut out);
        self.take(out)
    }

    /// The end of a burst, and what the client sees of it.
    fn take(&mut self, mut out: Output) -> Vec<Got> {
        self.session.flush(self.now, &mut out);
        self.requests.append(&mut out.requests);
        self.closed |= out.close;
        self.wire.extend_from_slice(&out.wire);
        self.read()
    }

    fn read(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        if self.wire.starts_with(PROTOCOL_HEADER) {
            return all;
        }
        while let Some(batch) = FrameDecoder::new(0).batch(&mut self.wire).unwrap() {
            for frame in &batch {
                if frame.frame_type == FrameType::Heartbeat {
                    all.push(Got::Heartbeat);
                    continue;
                }
                let assembler =
                    self.assemblers.entry(frame.channel).or_insert_with(|| Assembler::new(u64::MAX));
                match assembler.push(frame).unwrap() {
                    None => {}
                    Some(Command::Method(method)) => all.push(Got::Method(frame.channel, method)),
                    Some(Command::Content(method, content)) => {
                        all.push(Got::Content(frame.channel, method, content));
                    }
                    Some(other) => panic!("servers do not send {other:?}"),
                }
            }
        }
        all
    }

    /// All bytes not read as frames.
    pub(super) fn raw_wire(&mut self) -> BytesMut {
        std::mem::take(&mut self.wire)
    }

    pub(super) fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// The one request there is, of which the token is wanted.
    pub(super) fn only_token(&mut self) -> Token {
        let requests = self.take_requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        token_of(&requests[0])
    }

    /// The tokens of all requests that have one.
    pub(super) fn tokens(&mut self) -> Vec<Token> {
        let with_token = |request: &Request| {
            !matches!(request, Request::Detach { .. } | Request::Settle(_) | Request::LinkWindow { .. })
        };
        self.take_requests().iter().filter(|request| with_token(request)).map(token_of).collect()
    }

    /// A consumer of queue `q` with tag `t`, started.
    pub(super) fn consume(&mut self, no_ack: bool) -> (ConsumerId, LinkId) {
        let consume =
            basic::Consume { queue: short("q"), consumer_tag: short("t"), no_ack, ..Default::default() };
        self.send(1, consume);
        let requests = self.take_requests();
        let [Request::Catalog { token: look, .. }, Request::Subscribe(subscribe)] = &requests[..] else {
            panic!("{requests:?}")
        };
        let (consumer, link) = (subscribe.consumer, subscribe.link);
        assert_eq!(self.reply(*look, Ok(queue("q", QueuePolicy::default(), false))), []);
        let ok = self.reply(subscribe.token, Ok(Reply::Subscribed { consumer, session: None }));
        assert_eq!(ok, [method(1, basic::ConsumeOk { consumer_tag: short("t") })]);
        (consumer, link)
    }

    /// The failure of channel 1 that was told, by code and text.
    pub(super) fn channel_failure(got: &[Got]) -> (u16, String) {
        match got {
            [Got::Method(1, Method::Channel(crate::methods::Channel::Close(close)))] => {
                (close.reply_code, close.reply_text.as_str().to_owned())
            }
            other => panic!("expected channel.close, got {other:?}"),
        }
    }

    /// The failure of the connection that was told, by code and text.
    pub(super) fn connection_failure(got: &[Got]) -> (u16, String) {
        match got {
            [.., Got::Method(0, Method::Connection(Connection::Close(close)))] => {
                (close.reply_code, close.reply_text.as_str().to_owned())
            }
            other => panic!("expected connection.close, got {other:?}"),
        }
    }
}

pub(super) fn token_of(request: &Request) -> Token {
    match request {
        Request::Publish(publish) => publish.token,
        Request::Subscribe(subscribe) => subscribe.token,
        Request::Fetch(fetch) => fetch.token,
        Request::Authenticate { token, .. }
        | Request::Open { token, .. }
        | Request::Unsubscribe { token, .. }
        | Request::Recover { token, .. }
        | Request::Group { token, .. }
        | Request::Catalog { token, .. } => *token,
        other => panic!("{other:?} has no token"),
    }
}

pub(super) fn method(channel: u16, method: impl Into<Method>) -> Got {
    Got::Method(channel, method.into())
}

pub(super) fn start_ok(response: &'static [u8], capabilities: &[&'static str]) -> connection::StartOk {
    let capabilities = capabilities.iter().fold(FieldTable::new(), |table, name| table.with(name, true));
    connection::StartOk {
        client_properties: FieldTable::new()
            .with("product", "test")
            .with("version", "1")
            .with("capabilities", capabilities)
            .encode(),
        mechanism: short("PLAIN"),
        response: Bytes::from_static(response),
        locale: short("en_US"),
    }
}

pub(super) fn queue(name: &str, policy: QueuePolicy, created: bool) -> Reply {
    let info = QueueInfo {
        name: Name::from(name),
        id: QueueId(7),
        policy,
        ready: 3,
        scheduled: 0,
        in_flight: 0,
        deferred: 0,
        bytes: 0,
        consumers: 2,
        oldest_at: None,
        created_at: Time(0),
        changed_at: Time(0),
    };
    Reply::Queue { created, info: Box::new(info) }
}

pub(super) fn delivery(consumer: ConsumerId, link: LinkId, seq: u64, message: Message) -> Delivery {
    Delivery {
        at: DeliveryRef { queue: QueueId(7), seq: Seq(seq), fence: Fence(seq) },
        consumer,
        link,
        id: MessageId(seq),
        message,
        acquired: 1,
        failed: 0,
        redelivered: false,
        enqueued_at: Time(0),
        first_acquired_at: None,
        lease_until: None,
        overlay: None,
    }
}
