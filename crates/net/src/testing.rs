//! What the tests of this crate share: an engine that only holds what it is given, and a session with a protocol of lines.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_access::{Directory, PermissionSpec, UserSpec, hash_password};
use baton_dialect::{Output, Session};
use baton_engine::inbox::{Inbox, Wake};
use baton_engine::port::Outbox;
use baton_engine::{Clock, Port, Waker, delivery_bytes};
use baton_model::event::Delivery;
use baton_model::ids::{
    ConnectionId, ConsumerId, DeliveryRef, Fence, LinkId, MessageId, QueueId, Seq, Time, Token,
};
use baton_model::request::{Fetch, FetchSelect, LeaseMode};
use baton_model::{Bytes, Event, Message, Name, Publish, PublishOutcome, Reply, Request};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::task::JoinHandle;

use crate::connections::{Arrival, Entry, Registered};
use crate::counters::Counters;
use crate::{Authenticator, Hub, HubSpec, Ports, drive};

/// An engine that does nothing by itself: tests look into its inbox and fill the outboxes.
#[derive(Default)]
pub(crate) struct FakeEngine {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) connected: AtomicU64,
}

impl Ports for FakeEngine {
    fn connect(&self, waker: Waker) -> Port {
        let id = self.connected.fetch_add(1, Ordering::Relaxed) + 1;
        Port::connect(ConnectionId(id), Arc::clone(&self.inbox), waker)
    }
}

impl FakeEngine {
    /// Everything that came since the last time, in order.
    pub(crate) fn take(&self) -> Vec<Wake> {
        let mut wakes = Vec::new();
        self.inbox.take(&mut wakes, Some(Duration::ZERO));
        wakes
    }
}

/// Requests in those wakes.
pub(crate) fn requests(wakes: Vec<Wake>) -> Vec<Request> {
    wakes
        .into_iter()
        .flat_map(|wake| match wake {
            Wake::Requests(_, requests, _) => requests,
            _ => Vec::new(),
        })
        .collect()
}

/// A delivery whose message has `body_bytes` of `x`.
pub(crate) fn delivery(body_bytes: usize) -> Event {
    Event::Delivered(Box::new(Delivery {
        at: DeliveryRef { queue: QueueId(1), seq: Seq(1), fence: Fence(1) },
        consumer: ConsumerId(1),
        link: LinkId(1),
        id: MessageId(1),
        message: Message::new(Bytes::from(vec![b'x'; body_bytes]), 0),
        acquired: 1,
        failed: 0,
        redelivered: false,
        enqueued_at: Time(0),
        first_acquired_at: None,
        lease_until: None,
        overlay: None,
    }))
}

/// Puts events in an outbox as the engine does.
pub(crate) fn push(outbox: &Outbox, mut events: Vec<Event>) {
    let bytes = events.iter().map(delivery_bytes).sum();
    outbox.push(&mut events, bytes);
}

/// A clock that follows tokio's, so that tests with paused time are consistent.
pub(crate) struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Time {
        Time(1_000_000).after_ms(u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// Everything a connection needs around it.
pub(crate) struct World {
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) counters: Arc<Counters>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_room_for(100)
    }

    /// Users: `guest` may everything from this machine, `ann` (password `pw`) may write to `orders`.
    pub(crate) fn with_room_for(connections_max: usize) -> Self {
        static HASH: OnceLock<String> = OnceLock::new();
        let ann = UserSpec {
            name: "ann".into(),
            password_hash: HASH.get_or_init(|| hash_password(b"pw", b"0123456789abcdef").unwrap()).clone(),
            permissions: vec![PermissionSpec {
                namespace: "/".into(),
                write: "^orders$".into(),
                ..PermissionSpec::default()
            }],
            ..UserSpec::default()
        };
        let directory = Directory::builder().user(ann).guest(true).build().unwrap();
        let engine = Arc::new(FakeEngine::default());
        let hub = Hub::new(HubSpec {
            ports: Arc::clone(&engine) as Arc<dyn Ports>,
            clock: Arc::new(TokioClock(tokio::time::Instant::now())),
            authenticator: Arc::new(Authenticator::new(Arc::new(directory))),
            connections_max,
            message_bytes_max: 16 * 1024 * 1024,
            version: "0.0.0",
        });
        Self { engine, hub, counters: Arc::default() }
    }

    pub(crate) fn register(&self) -> Registered {
        let arrival = Arrival {
            listener: "test",
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 4711)),
            encrypted: false,
            since: Time(0),
            counters: Arc::clone(&self.counters),
        };
        self.hub.connections().register(arrival).unwrap()
    }

    /// Drives a line session over `stream`.
    pub(crate) fn drive<S>(&self, stream: S) -> (JoinHandle<()>, Arc<Entry>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let registered = self.register();
        let entry = Arc::clone(&registered.entry);
        let hub = Arc::clone(&self.hub);
        let task = tokio::spawn(async move {
            let entry = Arc::clone(&registered.entry);
            drive(stream, Box::new(Lines::default()), hub, entry).await;
            drop(registered);
        });
        (task, entry)
    }

    /// A connection with `buffer` bytes in each direction.
    pub(crate) fn connect(&self, buffer: usize) -> (DuplexStream, JoinHandle<()>, Arc<Entry>) {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let (task, entry) = self.drive(theirs);
        (ours, task, entry)
    }

    /// The outbox of the connection that said `open` last; forgets what else the engine got.
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        let outbox = self.engine.take().into_iter().find_map(|wake| match wake {
            Wake::Connect(_, outbox) => Some(outbox),
            _ => None,
        });
        outbox.unwrap()
    }
}

/// A protocol of lines: commands in, what happens out.
#[derive(Default)]
pub(crate) struct Lines {
    tokens: u64,
    logging_in: bool,
    next_tick: Option<Time>,
    tick_ms: u64,
}

impl Lines {
    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn command(&mut self, now: Time, line: &str, out: &mut Output) {
        let mut words = line.split(' ');
        let command = words.next().unwrap();
        let mut word = || words.next().unwrap_or_default().to_owned();
        match command {
            "echo" => say(out, &word()),
            "fill" => out.wire.extend_from_slice(&vec![b'f'; word().parse().unwrap()]),
            "login" => {
                self.logging_in = true;
                let (user, password) = (word().into(), Bytes::from(word()));
                out.requests.push(Request::Authenticate { token: self.token(), user, password });
            }
            "open" => {
                let namespace = word().into();
                out.requests.push(Request::Open { token: self.token(), namespace, label: String::new() });
            }
            "publish" => {
                let request = publish(self.token(), &word());
                out.requests.push(request);
            }
            "fetch" => {
                let request = fetch(self.token(), &word());
                out.requests.push(request);
            }
            "tick" => {
                self.tick_ms = word().parse().unwrap();
                self.next_tick = Some(now.after_ms(self.tick_ms));
            }
            "panic" => panic!("on demand"),
            "bye" => {
                say(out, "bye");
                out.close = true;
            }
            other => say(out, &format!("what is {other}?")),
        }
    }
}

fn say(out: &mut Output, line: &str) {
    out.wire.extend_from_slice(line.as_bytes());
    out.wire.extend_from_slice(b"\n");
}

pub(crate) fn publish(token: Token, exchange: &str) -> Request {
    Request::Publish(Box::new(Publish {
        token,
        confirm: true,
        exchange: exchange.into(),
        key: Name::default(),
        more_keys: Default::default(),
        message: Message::new(Bytes::new(), 0),
        durable: true,
        mandatory: false,
        priority: None,
        ttl_ms: None,
        delay_ms: None,
        group_key: None,
        dedup_id: None,
    }))
}

fn fetch(token: Token, queue: &str) -> Request {
    Request::Fetch(Box::new(Fetch {
        token,
        link: LinkId(1),
        queue: queue.into(),
        select: FetchSelect::Next,
        count_max: 1,
        lease: LeaseMode::Linked,
        wait_until: None,
        label: Name::default(),
    }))
}

/// What is longer and has no end is forgotten: looking for that again and again would take all the time there is.
const LINE_BYTES_MAX: usize = 64 << 10;

impl Session for Lines {
    fn receive(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        while !self.logging_in
            && let Some(end) = input.iter().position(|byte| *byte == b'\n')
        {
            let line = input.split_to(end + 1);
            self.command(now, std::str::from_utf8(&line[..end]).unwrap(), out);
        }
        if input.len() > LINE_BYTES_MAX {
            input.clear();
        }
    }

    fn event(&mut self, _now: Time, event: Event, out: &mut Output) {
        match event {
            Event::Delivered(delivery) => out.wire.extend_from_slice(&delivery.message.body()),
            Event::Closing { reason } => say(out, &format!("closing: {reason}")),
            Event::Published { outcome: PublishOutcome::Refused(refusal), .. } => {
                say(out, &format!("publish refused: {refusal}"));
            }
            Event::Fetched { result: Err(refusal), .. } => say(out, &format!("fetch refused: {refusal}")),
            Event::Reply { result, .. } => {
                self.logging_in = false;
                match result {
                    Ok(Reply::Authenticated { user }) => say(out, &format!("hello {user}")),
                    Ok(other) => say(out, &format!("{other:?}")),
                    Err(refusal) => say(out, &format!("refused: {refusal}")),
                }
            }
            other => say(out, &format!("{other:?}")),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Output) {
        say(out, "tick");
        self.next_tick = Some(now.after_ms(self.tick_ms));
    }

    fn deadline(&self) -> Option<Time> {
        self.next_tick
    }

    fn flush(&mut self, _now: Time, _out: &mut Output) {}

    fn disconnected(&mut self, _now: Time, out: &mut Output) {
        out.requests.push(Request::Detach { link: LinkId(7), failed: true });
        say(out, "nobody may see this");
    }

    fn describe(&self) -> String {
        "lines".into()
    }
}
