//! The connection itself: CONNECT, heart-beats, DISCONNECT, receipts and errors on the wire.

use baton_dialect::Output;
use baton_model::{Bytes, Name, Refusal, RefusalCode, Reply, Request, Time};

use super::failure::Failure;
use super::steps::{AUTHENTICATE, OPEN, Op, Receipt};
use super::{StompSession, limits};
use crate::frame::{Command, Frame};
use crate::version::{SUPPORTED, Version};
use crate::write::FrameWriter;

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nobody has said CONNECT.
    Stranger,
    /// The password is being checked.
    Authenticating,
    /// The namespace is being opened.
    Opening,
    /// CONNECTED was said.
    Running,
    /// The last words wait for what is due before them.
    Ending,
    /// The socket closes.
    Gone,
}

/// What the client said of itself.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) user: Name,
    pub(super) vhost: Name,
    /// The `client-id` of ActiveMQ's clients.
    pub(super) id: Name,
}

/// Whom a client means that does not say who it is, as RabbitMQ's default.
const GUEST: &str = "guest";

/// The namespace of a client that names none, or that names the machine it connected to.
const DEFAULT_VHOST: &str = "/";

/// Heart-beats and time-outs.
#[derive(Debug, Default)]
pub(super) struct Timers {
    last_received: Time,
    last_sent: Time,
    /// We promised to send something this often, milliseconds; 0: never.
    send_ms: u64,
    /// The peer did; 0: never.
    receive_ms: u64,
    /// The handshake or the goodbye must be done by then.
    give_up: Option<Time>,
    now: Time,
}

impl Timers {
    pub(super) fn received(&mut self, now: Time) {
        self.now = now;
        self.last_received = now;
    }

    pub(super) fn sent(&mut self, now: Time) {
        self.now = now;
        self.last_sent = now;
    }

    fn silent_until(&self) -> Option<Time> {
        let ms = self.receive_ms * limits::HEARTBEATS_MISSED_MAX + limits::HEARTBEAT_MARGIN_MS;
        (self.receive_ms > 0).then(|| self.last_received.after_ms(ms))
    }

    /// Twice an interval, so that one that is late does no harm.
    fn beat_at(&self) -> Option<Time> {
        (self.send_ms > 0).then(|| self.last_sent.after_ms(self.send_ms / 2))
    }
}

impl StompSession {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Gone => None,
            // The first tick is only to learn what time it is.
            Phase::Stranger if self.timers.give_up.is_none() => Some(Time(0)),
            Phase::Running => [self.timers.silent_until(), self.timers.beat_at()].into_iter().flatten().min(),
            _ => self.timers.give_up,
        }
    }

    pub(super) fn on_tick(&mut self, now: Time, out: &mut Output) {
        // We are called often. When a call comes very late, time has jumped (a suspended machine, a test clock), and what
        // the peer sent meanwhile may still be unread: it gets its time again.
        if self.timers.receive_ms > 0
            && now.since_ms(self.timers.now) > self.timers.receive_ms.max(self.timers.send_ms)
        {
            self.timers.last_received = now;
        }
        self.timers.now = now;
        let give_up = self.timers.give_up.is_some_and(|at| at <= now);
        match self.phase {
            Phase::Gone => {}
            Phase::Stranger if self.timers.give_up.is_none() => {
                self.timers.give_up = Some(now.after_ms(limits::HANDSHAKE_MS_MAX));
            }
            Phase::Running => {
                if self.timers.silent_until().is_some_and(|at| at <= now) {
                    // Dead or unreachable: there is nobody to say goodbye to.
                    self.hang_up(out);
                } else if self.timers.beat_at().is_some_and(|at| at <= now) {
                    out.wire.extend_from_slice(b"\n");
                    self.timers.sent(now);
                }
            }
            _ if give_up => self.hang_up(out),
            _ => {}
        }
    }

    /// CONNECT or STOMP.
    pub(super) fn connect(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        if self.phase != Phase::Stranger {
            return Err(Failure::new(
                "already connected",
                "CONNECT was sent before; open another connection",
            ));
        }
        let headers = &frame.headers;
        let Some(version) = Version::negotiate(headers.get(b"accept-version")) else {
            let asked =
                String::from_utf8_lossy(headers.get(b"accept-version").unwrap_or_default()).into_owned();
            return Err(Failure::new(
                "version not supported",
                format!("supported versions are {SUPPORTED}; accept-version was '{asked}'"),
            ));
        };
        if frame.command == Command::Stomp && version == Version::V10 {
            return Err(Failure::new(
                "version not supported",
                "the command STOMP needs accept-version 1.1 or 1.2",
            ));
        }
        self.version = version;
        self.read_heartbeat(headers.get(b"heart-beat"))?;
        let text = |name: &[u8]| headers.get(name).map(Name::from_utf8_lossy);
        self.client.id = text(b"client-id").unwrap_or_default();
        self.client.vhost =
            text(b"host").filter(|host| !host.is_empty()).unwrap_or(Name::const_new(DEFAULT_VHOST));
        let (user, password) = match (text(b"login"), headers.get(b"passcode")) {
            (None, None) => (Name::const_new(GUEST), Bytes::from_static(GUEST.as_bytes())),
            (user, password) => {
                (user.unwrap_or_default(), Bytes::copy_from_slice(password.unwrap_or_default()))
            }
        };
        self.client.user = user.clone();
        self.phase = Phase::Authenticating;
        out.requests.push(Request::Authenticate { token: AUTHENTICATE, user, password });
        Ok(())
    }

    /// `cx,cy`: what the client can send, and what it wants to get, milliseconds.
    fn read_heartbeat(&mut self, header: Option<&[u8]>) -> Result<(), Failure> {
        let Some(header) = header else { return Ok(()) };
        let invalid =
            || Failure::header("heart-beat", header, "two numbers of milliseconds, like 10000,10000");
        let text = std::str::from_utf8(header).map_err(|_| invalid())?;
        let (can, wants) = text.split_once(',').ok_or_else(invalid)?;
        let number = |text: &str| text.trim().parse::<u32>().map(u64::from).map_err(|_| invalid());
        let (can, wants) = (number(can)?, number(wants)?);
        let at_least = |ms: u64| if ms == 0 { 0 } else { ms.max(limits::HEARTBEAT_MS_MIN) };
        self.timers.receive_ms = at_least(can);
        self.timers.send_ms = at_least(wants);
        Ok(())
    }

    /// The driver or the engine answered a question of the connection itself. Whether frames that wait may go on.
    pub(super) fn connection_answered(
        &mut self,
        token: baton_model::Token,
        result: Result<Reply, Refusal>,
        out: &mut Output,
    ) {
        match (token, self.phase, result) {
            (AUTHENTICATE, Phase::Authenticating, Ok(reply)) => {
                if let Reply::Authenticated { user } = reply {
                    self.client.user = user;
                }
                self.open(out);
            }
            (AUTHENTICATE, Phase::Authenticating, Err(refusal)) => {
                let text = format!("{}; log in with the headers login and passcode", refusal.text);
                self.fail(Failure::new("Bad CONNECT", text), None, out);
            }
            (OPEN, Phase::Opening, Ok(_)) => self.connected(out),
            // Clients send the name of the machine, as the specification recommends; only a path is meant as a vhost for sure.
            (OPEN, Phase::Opening, Err(refusal))
                if refusal.code == RefusalCode::NamespaceNotFound && !self.client.vhost.starts_with('/') =>
            {
                self.client.vhost = Name::const_new(DEFAULT_VHOST);
                self.open(out);
            }
            (OPEN, Phase::Opening, Err(refusal)) => {
                self.fail(Failure::new("Bad CONNECT", refusal.text), None, out);
            }
            _ => {}
        }
    }

    fn open(&mut self, out: &mut Output) {
        self.phase = Phase::Opening;
        let label = format!("stomp {} ({})", self.context.peer, self.client.id);
        out.requests.push(Request::Open { token: OPEN, namespace: self.client.vhost.clone(), label });
    }

    fn connected(&mut self, out: &mut Output) {
        self.phase = Phase::Running;
        self.timers.last_received = self.timers.now;
        self.timers.last_sent = self.timers.now;
        self.decoder.set_version(self.version);
        let session = self.names.next("session-");
        let Timers { send_ms, receive_ms, .. } = self.timers;
        // CONNECTED is never escaped; nothing in it would need it.
        FrameWriter::new(&mut out.wire, self.version, "CONNECTED")
            .raw("version", self.version.as_str().as_bytes())
            .raw("server", format!("Baton/{}", self.context.version).as_bytes())
            .raw("session", session.as_bytes())
            .raw("heart-beat", format!("{send_ms},{receive_ms}").as_bytes())
            .end();
    }

    /// The client leaves. Its receipt comes when the engine has taken back what the connection held, so that whoever has it
    /// finds messages back in their queues.
    pub(super) fn disconnect(&mut self, frame: &Frame<'_>, out: &mut Output) {
        let receipt = frame.headers.get(b"receipt").map(Receipt::from_slice);
        self.begin_end();
        let links: Vec<_> = self.subscriptions.values().map(|subscription| subscription.link).collect();
        for link in links {
            self.submit(Request::Detach { link, failed: true }, out);
        }
        let owned: Vec<Name> = self.temp_queues.values().map(|(queue, _)| queue.clone()).collect();
        for name in owned {
            let op = baton_model::request::CatalogOp::DeleteQueue { name, if_unused: false, if_empty: false };
            self.submit(Request::Catalog { token: super::steps::NOBODY, op: Box::new(op) }, out);
        }
        let token = self.steps.ask(receipt, Op::Goodbye);
        self.submit(Request::Group { token, requests: Vec::new() }, out);
    }

    /// Nothing more is taken from the client; what is due is still said.
    pub(super) fn begin_end(&mut self) {
        self.phase = Phase::Ending;
        self.timers.give_up = Some(self.timers.now.after_ms(limits::CLOSE_MS_MAX));
    }

    /// The broker closes the connection for reasons of its own.
    pub(super) fn shut_down(&mut self, reason: &str, out: &mut Output) {
        if self.phase == Phase::Stranger {
            return self.hang_up(out);
        }
        self.fail(Failure::new("connection closed by broker", format!("{reason}; connect again")), None, out);
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ending | Phase::Gone)
    }

    pub(super) fn hang_up(&mut self, out: &mut Output) {
        self.phase = Phase::Gone;
        out.close = true;
    }

    pub(super) fn write_receipt(&self, receipt: &[u8], out: &mut Output) {
        FrameWriter::new(&mut out.wire, self.version, "RECEIPT").raw("receipt-id", receipt).end();
    }

    /// The last frame of a connection that fails.
    pub(super) fn write_error(&mut self, failure: &Failure, receipt: Option<&[u8]>, out: &mut Output) {
        let mut writer = FrameWriter::new(&mut out.wire, self.version, "ERROR");
        writer.header(b"message", failure.message.as_bytes()).raw("content-type", b"text/plain");
        // What the specification wants when no version is common, and harmless otherwise.
        writer.raw("version", SUPPORTED.as_bytes());
        if let Some(receipt) = receipt {
            writer.raw("receipt-id", receipt);
        }
        writer.body(failure.detail.as_bytes());
        self.hang_up(out);
    }
}
