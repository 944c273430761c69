//! What happens when a connection was woken: everything that waits goes through the session at once, then its requests
//! go to the engine with one call and its bytes to the stream with one write.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use baton_access::{Gate, Grant};
use baton_dialect::{Output, Session};
use baton_engine::{Port, delivery_bytes};
use baton_model::{Event, Refusal, RefusalCode, Reply, Request, Time, Token};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use crate::answers::refused;
use crate::connections::Entry;
use crate::hub::Hub;
use crate::limits::{GOODBYE, INPUT_SLACK_BYTES, REFUSAL_ROUNDS_MAX, REQUESTS_RESERVED_MAX};

use super::End;
use super::pending::Pending;
use super::wait::{ReadSize, Wake};

/// How a TLS connection begins: a handshake record of any version. No protocol of Baton begins so.
const TLS_HANDSHAKE_RECORD: [u8; 2] = [0x16, 0x03];

/// One connection.
pub(super) struct Connection<S> {
    pub(super) stream: S,
    pub(super) session: Box<dyn Session>,
    pub(super) hub: Arc<Hub>,
    pub(super) entry: Arc<Entry>,
    pub(super) gate: Gate,
    /// The engine; from `Open` on.
    pub(super) port: Option<Port>,
    pub(super) out: Output,
    /// Read, and not taken by the session.
    pub(super) input: BytesMut,
    /// Bytes in `input` that the session has not been shown.
    pub(super) unseen: bool,
    /// What the session took since requests were last submitted, bytes.
    taken: usize,
    /// To be written.
    pub(super) pending: Pending,
    /// There is something to write, or the stream holds some of it back.
    pub(super) unflushed: bool,
    /// Bytes of deliveries whose encoding is in `pending`.
    pub(super) owed: usize,
    events: Vec<Event>,
    /// Events of the driver's own: refusals, logins, the goodbye.
    answers: Vec<Event>,
    pub(super) login: Option<Login>,
    pub(super) read_size: ReadSize,
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) armed_at: Option<Instant>,
    /// The session's deadline that the timer was last set for.
    armed_for: Option<Time>,
    /// Requests of the last burst, to make room for as many at once.
    usual_requests: usize,
    /// The peer was told goodbye and has until then.
    goodbye_until: Option<Instant>,
    seen_any: bool,
}

/// A password that is being checked.
pub(super) struct Login {
    token: Token,
    pub(super) task: JoinHandle<Result<Grant, Refusal>>,
}

impl Drop for Login {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) fn new(stream: S, session: Box<dyn Session>, hub: Arc<Hub>, entry: Arc<Entry>) -> Self {
        let gate = Gate::new(Arc::clone(hub.authenticator().directory()));
        let mut connection = Self {
            stream,
            session,
            hub,
            entry,
            gate,
            port: None,
            out: Output::default(),
            input: BytesMut::new(),
            unseen: false,
            taken: 0,
            pending: Pending::default(),
            unflushed: false,
            owed: 0,
            events: Vec::new(),
            answers: Vec::new(),
            login: None,
            read_size: ReadSize::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed_at: None,
            armed_for: None,
            usual_requests: 0,
            goodbye_until: None,
            seen_any: false,
        };
        // A session may have a deadline from its first moment: how long the peer may say nothing.
        let now = connection.hub.clock.now();
        connection.arm_for_session(now);
        connection
    }

    /// Does what `wake` asks for. Returns why the connection ends, if it does.
    pub(super) fn handle(&mut self, wake: Wake) -> Option<End> {
        match wake {
            Wake::Bytes(n) => {
                self.entry.counters.bytes_in.add_bytes(n);
                self.unseen = true;
                if !mem::replace(&mut self.seen_any, true)
                    && !self.entry.encrypted
                    && self.input.starts_with(&TLS_HANDSHAKE_RECORD)
                {
                    return Some(End::TlsToPlain);
                }
            }
            Wake::Ended(Ok(())) => return Some(End::PeerClosed),
            Wake::Ended(Err(error)) => return Some(End::Failed(error)),
            Wake::LoggedIn(result) => self.logged_in(result),
            Wake::Deadline => self.disarm(),
            Wake::Rung | Wake::Written | Wake::Room => {}
        }
        // Looked at whatever woke it: a peer that never stops sending must not keep the bell or the timer from being heard.
        self.look_for_goodbye();
        if self.goodbye_until.is_some_and(|until| until <= Instant::now()) {
            return Some(End::GoodbyeOver);
        }
        match catch_unwind(AssertUnwindSafe(|| self.burst())) {
            Ok(end) => end,
            Err(panic) => Some(End::Defect(panic_text(&*panic))),
        }
    }

    fn burst(&mut self) -> Option<End> {
        let now = self.hub.clock.now();
        for event in self.answers.drain(..) {
            self.session.event(now, event, &mut self.out);
        }
        self.give_bytes(now);
        self.give_events(now);
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.session.tick(now, &mut self.out);
        }
        self.session.flush(now, &mut self.out);
        let end = self.submit(now);
        self.stage();
        self.arm_for_session(now);
        if end.is_some() {
            return end;
        }
        if self.out.close {
            return Some(End::SessionClosed);
        }
        let message_bytes_max = usize::try_from(self.hub.message_bytes_max).unwrap_or(usize::MAX);
        if !self.unseen && self.input.len() > message_bytes_max.saturating_add(INPUT_SLACK_BYTES) {
            return Some(End::Defect("the session waits for more than the largest message".into()));
        }
        None
    }

    fn give_bytes(&mut self, now: Time) {
        if !self.unseen || !self.may_receive() {
            return;
        }
        self.unseen = false;
        self.out.requests.reserve(self.usual_requests);
        let before = self.input.len();
        self.session.receive(now, &mut self.input, &mut self.out);
        self.taken += before.saturating_sub(self.input.len());
    }

    /// Takes events only when all earlier bytes are written: until then they wait where the engine counts them.
    fn give_events(&mut self, now: Time) {
        let Some(port) = &self.port else { return };
        if !self.pending.is_empty() || !port.take_events(&mut self.events) {
            return;
        }
        for event in self.events.drain(..) {
            self.owed += delivery_bytes(&event);
            self.session.event(now, event, &mut self.out);
        }
    }

    /// Hands over what the gate lets through; tells the session what it does not, which may make it ask for more.
    pub(super) fn submit(&mut self, now: Time) -> Option<End> {
        for _ in 0..REFUSAL_ROUNDS_MAX {
            if !self.out.requests.is_empty() {
                self.check();
            }
            if !self.out.requests.is_empty()
                && let Some(port) = &self.port
            {
                self.usual_requests = self.out.requests.len().min(REQUESTS_RESERVED_MAX);
                port.submit(&mut self.out.requests, mem::take(&mut self.taken));
            }
            self.out.requests.clear();
            if self.answers.is_empty() {
                return None;
            }
            for event in mem::take(&mut self.answers) {
                self.session.event(now, event, &mut self.out);
            }
            self.session.flush(now, &mut self.out);
        }
        Some(End::Defect("the session answers every refusal with another request that is refused".into()))
    }

    /// Leaves in `out.requests` what is for the engine.
    fn check(&mut self) {
        let mut requests = mem::take(&mut self.out.requests);
        requests.retain_mut(|request| match self.gate.check(request) {
            Ok(()) => self.admit(request),
            Err(refusal) => {
                self.entry.counters.denied_requests.add(1);
                tracing::debug!(listener = self.entry.listener, peer = %self.entry.peer, %refusal, "request refused");
                self.answers.extend(refused(request, refusal));
                false
            }
        });
        self.out.requests = requests;
    }

    /// Does the driver's part of an allowed request. Returns whether it goes on to the engine.
    #[inline]
    fn admit(&mut self, request: &mut Request) -> bool {
        match request {
            Request::Authenticate { token, user, password } => {
                let (token, user, password) = (*token, mem::take(user), mem::take(password));
                self.authenticate(token, user, password);
                false
            }
            Request::Open { namespace, .. } => {
                *namespace = self.gate.namespace().clone();
                if self.port.is_none() {
                    let entry = Arc::clone(&self.entry);
                    let port = self.hub.ports.connect(Arc::new(move || entry.ring()));
                    if self.session.waits_out_alarms() {
                        port.wait_out_alarms();
                    }
                    self.port = Some(port);
                }
                self.entry.describe(self.session.describe());
                true
            }
            _ => true,
        }
    }

    fn authenticate(&mut self, token: Token, user: baton_model::Name, password: bytes::Bytes) {
        if self.login.is_some() {
            let refusal = Refusal::new(RefusalCode::Invalid, "a login is being checked; wait for its answer");
            self.answers.push(Event::Reply { token, result: Err(refusal) });
            return;
        }
        let loopback = self.entry.loopback();
        let authenticator = self.hub.authenticator();
        if let Some(result) = authenticator.known(&user, &password, loopback) {
            self.answer_login(token, result);
            return;
        }
        let task = tokio::spawn(Arc::clone(authenticator).login(user, password, loopback));
        self.login = Some(Login { token, task });
    }

    fn logged_in(&mut self, result: Result<Grant, Refusal>) {
        if let Some(login) = self.login.take() {
            self.answer_login(login.token, result);
        }
    }

    fn answer_login(&mut self, token: Token, result: Result<Grant, Refusal>) {
        let result = match result {
            Ok(grant) => {
                let user = grant.user().name().clone();
                self.gate.authenticated(grant);
                Ok(Reply::Authenticated { user })
            }
            Err(refusal) => {
                self.entry.counters.failed_logins.add(1);
                tracing::warn!(listener = self.entry.listener, peer = %self.entry.peer, %refusal, "login refused");
                Err(refusal)
            }
        };
        self.answers.push(Event::Reply { token, result });
        // A session that waits for this may have left whole frames behind.
        self.unseen |= !self.input.is_empty();
    }

    fn look_for_goodbye(&mut self) {
        if self.goodbye_until.is_none()
            && let Some(reason) = self.entry.closing()
        {
            let until = Instant::now() + GOODBYE;
            self.goodbye_until = Some(until);
            self.arm(until);
            self.answers.push(Event::Closing { reason });
        }
    }

    /// Moves what the session wrote to what is being written.
    fn stage(&mut self) {
        if self.out.wire.is_empty() && self.out.attached.is_empty() {
            if self.pending.is_empty() && self.owed > 0 {
                // Deliveries that the session did not write: nobody waits for them any more.
                if let Some(port) = &self.port {
                    port.written(mem::take(&mut self.owed));
                }
            }
            return;
        }
        self.unflushed = true;
        self.pending.stage(&mut self.out);
    }

    fn arm_for_session(&mut self, now: Time) {
        let Some(deadline) = self.session.deadline() else { return };
        // A later deadline is looked at when the timer goes off for the earlier one: most are pushed on all the time.
        if self.armed_for.is_some_and(|armed| armed <= deadline) {
            return;
        }
        // At least one millisecond, so that a session that is never content does not turn the thread in circles.
        let wait = Duration::from_millis(deadline.since_ms(now).max(1));
        if let Some(at) = Instant::now().checked_add(wait) {
            self.arm(at);
            self.armed_for = Some(deadline);
        }
    }

    /// The timer went off: sets it again for the goodbye, if one is waited for; the burst does so for the session.
    fn disarm(&mut self) {
        self.armed_for = None;
        if let Some(until) = self.goodbye_until {
            self.arm(until);
        }
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let said =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the session panicked: {}", said.unwrap_or("no message"))
}
