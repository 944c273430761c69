//! One HTTP connection's sessions: whole requests go to the session of the dialect that claims them, its requests to the
//! engine through the gate, and its response back. Called by [`crate::http`]; what a request means is the dialect's.
//!
//! A connection gets an engine port of its own when its first request needs one, and keeps it: a request then costs one
//! hand-over to the partition and one wake-up back. A peer that goes away while its request is open leaves the session
//! behind for as long as it takes to give back what it would have got.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton_access::Gate;
use baton_dialect::http::{HttpDialect, HttpOutput, HttpRequest, HttpSession};
use baton_engine::{Port, delivery_bytes};
use baton_model::{Event, Name, Request, Token};
use bytes::Bytes;
use hyper::Response;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::answers::refused;
use crate::connections::Entry;
use crate::hub::Hub;
use crate::limits::{HTTP_ABANDONED, REFUSAL_ROUNDS_MAX};

/// The answer to `Open` is of no interest: without an open namespace the gate refuses what follows.
const OPEN: Token = Token(u64::MAX);

/// The dialects of one HTTP connection.
pub(crate) struct Exchanges {
    hub: Arc<Hub>,
    entry: Arc<Entry>,
    bell: Arc<Notify>,
    closing: AtomicBool,
    slots: Vec<Slot>,
}

struct Slot {
    dialect: Arc<dyn HttpDialect>,
    /// The session while no request is open.
    idle: Mutex<Option<Box<Exchange>>>,
}

/// A session with its way to the engine.
struct Exchange {
    session: Box<dyn HttpSession>,
    hub: Arc<Hub>,
    entry: Arc<Entry>,
    bell: Arc<Notify>,
    namespace: Name,
    gate: Gate,
    user: Option<Name>,
    opened: bool,
    port: Option<Port>,
    catalog_version: u64,
    out: HttpOutput,
    events: Vec<Event>,
    told_to_stop: bool,
}

impl Exchanges {
    pub(crate) fn new(hub: Arc<Hub>, entry: Arc<Entry>, dialects: &[Arc<dyn HttpDialect>]) -> Self {
        let slots =
            dialects.iter().map(|dialect| Slot { dialect: Arc::clone(dialect), idle: Mutex::new(None) });
        Self {
            hub,
            entry,
            bell: Arc::new(Notify::new()),
            closing: AtomicBool::new(false),
            slots: slots.collect(),
        }
    }

    /// The dialect that claims a request, by its index.
    pub(crate) fn claimed(
        &self,
        head: &hyper::http::request::Parts,
    ) -> Option<(usize, &Arc<dyn HttpDialect>)> {
        let slots = self.slots.iter().map(|slot| &slot.dialect).enumerate();
        slots.into_iter().find(|(_, dialect)| dialect.claims(head))
    }

    /// Requests that wait for messages are answered, and those that come are not kept waiting.
    pub(crate) fn stop_waiting(&self) {
        self.closing.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Serves one request. When the returned future is dropped, the request is given up.
    pub(crate) async fn serve(&self, index: usize, request: HttpRequest) -> Response<Bytes> {
        let Some(slot) = self.slots.get(index) else { return Response::default() };
        let exchange = slot.idle.lock().take().unwrap_or_else(|| Box::new(self.exchange(&slot.dialect)));
        let mut open = Open { exchange: Some(exchange) };
        let Some(exchange) = open.exchange.as_mut() else { return Response::default() };
        exchange.begin(request);
        let response = loop {
            if self.closing.load(Ordering::Acquire) {
                exchange.stop_waiting();
            }
            if let Some(response) = exchange.out.response.take() {
                break response;
            }
            self.bell.notified().await;
            exchange.turn();
        };
        *slot.idle.lock() = open.exchange.take();
        response
    }

    fn exchange(&self, dialect: &Arc<dyn HttpDialect>) -> Exchange {
        Exchange {
            session: dialect.session(self.hub.session_context(&self.entry)),
            hub: Arc::clone(&self.hub),
            entry: Arc::clone(&self.entry),
            bell: Arc::clone(&self.bell),
            namespace: dialect.namespace(),
            gate: Gate::new(Arc::clone(self.hub.authenticator().directory())),
            user: None,
            opened: false,
            port: None,
            catalog_version: 0,
            out: HttpOutput::default(),
            events: Vec::new(),
            told_to_stop: false,
        }
    }
}

/// A request that is being served. Dropping it gives the request up.
struct Open {
    exchange: Option<Box<Exchange>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(mut exchange) = self.exchange.take() else { return };
        exchange.abandon();
        if let Ok(runtime) = Handle::try_current()
            && exchange.session.busy()
        {
            runtime.spawn(async move { exchange.finish().await });
        }
    }
}

impl Exchange {
    fn begin(&mut self, request: HttpRequest) {
        if let Some(port) = &self.port {
            let version = port.catalog_version();
            if mem::replace(&mut self.catalog_version, version) != version {
                self.session.catalog_changed();
            }
        }
        let bytes = request.body.len();
        self.session.request(self.hub.clock.now(), request, &mut self.out);
        self.submit(bytes);
    }

    /// Takes what the engine has said.
    fn turn(&mut self) {
        let Some(port) = &self.port else { return };
        if !port.take_events(&mut self.events) {
            return;
        }
        let now = self.hub.clock.now();
        let mut owed = 0;
        for event in self.events.drain(..) {
            owed += delivery_bytes(&event);
            if !matches!(event, Event::Reply { token: OPEN, .. }) {
                self.session.event(now, event, &mut self.out);
            }
        }
        if owed > 0 {
            port.written(owed);
        }
        self.submit(0);
    }

    fn stop_waiting(&mut self) {
        if !mem::replace(&mut self.told_to_stop, true) {
            self.session.stop_waiting(self.hub.clock.now(), &mut self.out);
            self.submit(0);
        }
    }

    fn abandon(&mut self) {
        self.session.abandoned(self.hub.clock.now(), &mut self.out);
        self.submit(0);
    }

    /// Waits, with nobody to answer any more, until the engine has said all that the session waits for.
    async fn finish(mut self: Box<Self>) {
        while self.session.busy() && timeout(HTTP_ABANDONED, self.bell.notified()).await.is_ok() {
            self.turn();
        }
    }

    /// Hands over what the gate lets through; tells the session what it does not, which may make it ask for more.
    fn submit(&mut self, mut bytes: usize) {
        for _ in 0..REFUSAL_ROUNDS_MAX {
            if self.out.requests.is_empty() {
                return;
            }
            self.enter();
            let mut answers: Vec<Event> = Vec::new();
            let mut requests = mem::take(&mut self.out.requests);
            requests.retain(|request| match self.gate.check(request) {
                Ok(()) => true,
                Err(refusal) => {
                    self.entry.counters.denied_requests.add(1);
                    tracing::debug!(listener = self.entry.listener, peer = %self.entry.peer, %refusal, "request refused");
                    answers.extend(refused(request, refusal));
                    false
                }
            });
            if let Some(port) = &self.port {
                port.submit(&mut requests, mem::take(&mut bytes));
            }
            for event in answers {
                self.session.event(self.hub.clock.now(), event, &mut self.out);
            }
        }
        tracing::error!(peer = %self.entry.peer, "a session answers every refusal with another request that is refused; report this");
        self.out.requests.clear();
        self.out.response = Some(Response::builder().status(500).body(Bytes::new()).unwrap_or_default());
    }

    /// Sees to it that the gate knows the user, and that there is a port with an open namespace.
    fn enter(&mut self) {
        if self.out.user != self.user {
            self.user.clone_from(&self.out.user);
            self.gate = Gate::new(Arc::clone(self.hub.authenticator().directory()));
            self.opened = false;
            let directory = self.hub.authenticator().directory();
            match self.user.as_ref().map(|user| directory.vouched(user, self.entry.loopback())) {
                Some(Ok(grant)) => self.gate.authenticated(grant),
                Some(Err(refusal)) => {
                    self.entry.counters.failed_logins.add(1);
                    tracing::warn!(listener = self.entry.listener, peer = %self.entry.peer, %refusal, "login refused");
                }
                None => {}
            }
        }
        if self.opened {
            return;
        }
        let label = format!("http {} ({})", self.entry.peer, self.user.as_deref().unwrap_or_default());
        self.entry.describe(label.clone());
        let open = Request::Open { token: OPEN, namespace: self.namespace.clone(), label: label.clone() };
        if self.gate.check(&open).is_err() {
            return;
        }
        self.opened = true;
        let namespace = self.gate.namespace().clone();
        let bell = Arc::clone(&self.bell);
        let port =
            self.port.get_or_insert_with(|| self.hub.ports.connect(Arc::new(move || bell.notify_one())));
        self.catalog_version = port.catalog_version();
        port.submit(&mut vec![Request::Open { token: OPEN, namespace, label }], 0);
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
