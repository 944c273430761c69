//! An async client over an engine port: submits requests, waits for the answers that carry their tokens.
//!
//! The HTTP handlers are its callers. It speaks the same requests as every dialect; there is no side door into the
//! core. Permissions are not looked at here (see `api::scope`). What a caller that went away had fetched is given back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_engine::{Port, Waker};
use baton_model::event::Fetched;
use baton_model::request::Settle;
use baton_model::{
    DeliveryRef, Event, Name, Outcome, PublishOutcome, Refusal, RefusalCode, Reply, Request, Token,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

/// Longest that an answer is waited for, beyond what the request itself waits. A healthy partition answers within
/// milliseconds; this only keeps an HTTP request from hanging on a stopped one.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// One engine port, used by any number of tasks at once. Dropping it ends the port.
pub struct Client {
    shared: Arc<Shared>,
    pump: AbortHandle,
}

struct Shared {
    port: Port,
    pending: Mutex<HashMap<Token, Pending>>,
    next_token: AtomicU64,
}

struct Pending {
    /// `None`: the caller went away, and this is a fetch whose deliveries go back when they come.
    answer: Option<oneshot::Sender<Answer>>,
    returned: bool,
    fetch: bool,
}

/// The events that answer a request.
#[derive(Debug)]
enum Answer {
    Published { outcome: PublishOutcome, returned: bool },
    Fetched(Result<Fetched, Refusal>),
    Settled(Vec<DeliveryRef>),
    Reply(Result<Reply, Refusal>),
}

impl Client {
    /// Opens a port with `connect` (the engine's) and a namespace on it.
    ///
    /// # Errors
    /// What the engine answers to opening the namespace, most likely that it does not exist.
    pub async fn connect(
        connect: impl FnOnce(Waker) -> Port,
        namespace: Name,
        label: String,
    ) -> Result<Self, Refusal> {
        let notify = Arc::new(Notify::new());
        let waker_notify = Arc::clone(&notify);
        let port = connect(Arc::new(move || waker_notify.notify_one()));
        let shared = Arc::new(Shared { port, pending: Mutex::default(), next_token: AtomicU64::new(1) });
        let pump = tokio::spawn(pump(Arc::clone(&shared), notify)).abort_handle();
        let client = Self { shared, pump };
        client.reply(Request::Open { token: Token(0), namespace, label }).await?;
        Ok(client)
    }

    /// Sends messages (`Publish` requests), in order and as one unit, and waits until each is durable or refused. Their
    /// tokens are set here. The flags say which ones were returned because no queue took them.
    ///
    /// # Errors
    /// Only that no answer came.
    pub async fn publish(&self, mut requests: Vec<Request>) -> Result<Vec<(PublishOutcome, bool)>, Refusal> {
        let mut bytes = 0;
        let mut open = Vec::with_capacity(requests.len());
        for request in &mut requests {
            let Request::Publish(publish) = request else { continue };
            let expected = self.expect(false);
            publish.token = expected.token;
            publish.confirm = true;
            bytes += publish.message.size_bytes();
            open.push(expected);
        }
        self.shared.port.submit(&mut requests, bytes);
        let mut outcomes = Vec::with_capacity(open.len());
        for open in open {
            match open.answer(ANSWER_WAIT_MAX).await? {
                Answer::Published { outcome, returned } => outcomes.push((outcome, returned)),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(outcomes)
    }

    /// Takes messages once with a `Fetch` request, which may wait for `wait`. Its token is set here.
    /// When the returned future is dropped, the fetch is cancelled and whatever it got goes back to its queue.
    ///
    /// # Errors
    /// The engine's refusal, or that no answer came.
    pub async fn fetch(&self, request: Request, wait: Duration) -> Result<Fetched, Refusal> {
        match self.open(request, true).answer(wait + ANSWER_WAIT_MAX).await? {
            Answer::Fetched(result) => result,
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the waiting of all fetches: they are answered with what there is, usually nothing.
    pub fn stop_waiting(&self) {
        let mut requests: Vec<Request> = self
            .shared
            .pending
            .lock()
            .iter()
            .filter(|(_, pending)| pending.fetch)
            .map(|(token, _)| Request::CancelFetch { token: *token })
            .collect();
        self.shared.port.submit(&mut requests, 0);
    }

    /// Settles deliveries durably; the answer names those that were no longer current.
    ///
    /// # Errors
    /// Only that no answer came.
    pub async fn settle(
        &self,
        deliveries: &[DeliveryRef],
        outcome: Outcome,
    ) -> Result<Vec<DeliveryRef>, Refusal> {
        let deliveries = deliveries.iter().copied().collect();
        let open = self.open(Request::Settle(Settle { token: Some(Token(0)), deliveries, outcome }), false);
        match open.answer(ANSWER_WAIT_MAX).await? {
            Answer::Settled(stale) => Ok(stale),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks anything that is answered by a [`Reply`]. The request's token is set here.
    ///
    /// # Errors
    /// The engine's refusal, or that no answer came.
    pub async fn reply(&self, request: Request) -> Result<Reply, Refusal> {
        match self.open(request, false).answer(ANSWER_WAIT_MAX).await? {
            Answer::Reply(result) => result,
            other => Err(unexpected(&other)),
        }
    }

    fn open(&self, mut request: Request, fetch: bool) -> Open {
        let open = self.expect(fetch);
        match &mut request {
            Request::Catalog { token, .. }
            | Request::Inspect { token, .. }
            | Request::Open { token, .. }
            | Request::Settle(Settle { token: Some(token), .. }) => *token = open.token,
            Request::Fetch(fetch) => fetch.token = open.token,
            other => debug_assert!(false, "nothing here asks {other:?}"),
        }
        self.shared.port.submit(&mut vec![request], 0);
        open
    }

    /// Prepares for an answer; the request with its token must be submitted next.
    fn expect(&self, fetch: bool) -> Open {
        let token = Token(self.shared.next_token.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        self.shared.pending.lock().insert(token, Pending { answer: Some(sender), returned: false, fetch });
        Open { shared: Arc::clone(&self.shared), token, receiver: Some(receiver), fetch }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A request whose answer is waited for.
struct Open {
    shared: Arc<Shared>,
    token: Token,
    /// Taken when the answer was taken.
    receiver: Option<oneshot::Receiver<Answer>>,
    fetch: bool,
}

impl Open {
    async fn answer(mut self, wait_max: Duration) -> Result<Answer, Refusal> {
        let Some(receiver) = self.receiver.as_mut() else { return Err(stopped()) };
        let answer = tokio::time::timeout(wait_max, receiver).await;
        match answer {
            Ok(answer) => {
                self.receiver = None;
                answer.map_err(|_| stopped())
            }
            Err(_) => Err(Refusal::new(
                RefusalCode::Unavailable,
                "the broker did not answer in time; look at its log and at /readyz",
            )),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        let mut pending = self.shared.pending.lock();
        if let Ok(answer) = receiver.try_recv() {
            drop(pending);
            self.shared.give_back(&answer);
        } else if self.fetch && pending.contains_key(&self.token) {
            pending.insert(self.token, Pending { answer: None, returned: false, fetch: true });
            drop(pending);
            self.shared.port.submit(&mut vec![Request::CancelFetch { token: self.token }], 0);
        } else {
            pending.remove(&self.token);
        }
    }
}

impl Shared {
    fn dispatch(&self, event: Event) {
        match event {
            Event::Published { token, outcome } => {
                self.finish(token, |returned| Answer::Published { outcome, returned });
            }
            Event::Returned { token, .. } => {
                if let Some(pending) = self.pending.lock().get_mut(&token) {
                    pending.returned = true;
                }
            }
            Event::Fetched { token, result } => {
                if let Ok(fetched) = &result {
                    let bytes = fetched.deliveries.iter().map(|d| d.message.size_bytes()).sum();
                    self.port.written(bytes);
                }
                self.finish(token, |_| Answer::Fetched(result));
            }
            Event::Settled { token, stale } => self.finish(token, |_| Answer::Settled(stale)),
            Event::Reply { token, result } => self.finish(token, |_| Answer::Reply(result)),
            // The engine stops: nobody will be answered any more, and dropping the senders says so.
            Event::Closing { .. } => self.pending.lock().clear(),
            Event::Delivered(_)
            | Event::Heard { .. }
            | Event::Cancelled { .. }
            | Event::LeaseEnded { .. }
            | Event::Blocked { .. } => {}
        }
    }

    fn finish(&self, token: Token, answer: impl FnOnce(bool) -> Answer) {
        let Some(pending) = self.pending.lock().remove(&token) else { return };
        let answer = answer(pending.returned);
        let undelivered = match pending.answer {
            Some(sender) => sender.send(answer).err(),
            None => Some(answer),
        };
        if let Some(answer) = undelivered {
            self.give_back(&answer);
        }
    }

    /// Deliveries that nobody will see go back at once instead of waiting for the end of their leases.
    fn give_back(&self, answer: &Answer) {
        let Answer::Fetched(Ok(fetched)) = answer else { return };
        if fetched.deliveries.is_empty() {
            return;
        }
        let deliveries = fetched.deliveries.iter().map(|delivery| delivery.at).collect();
        let outcome = Outcome::Release { failed: false, delay_ms: Some(0) };
        self.port.submit(&mut vec![Request::Settle(Settle { token: None, deliveries, outcome })], 0);
    }
}

async fn pump(shared: Arc<Shared>, notify: Arc<Notify>) {
    let mut events = Vec::new();
    loop {
        notify.notified().await;
        while shared.port.take_events(&mut events) {
            events.drain(..).for_each(|event| shared.dispatch(event));
        }
    }
}

fn stopped() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "the broker is shutting down; ask again when it is back")
}

fn unexpected(answer: &Answer) -> Refusal {
    tracing::error!(?answer, "the engine gave an answer of the wrong kind");
    Refusal::new(
        RefusalCode::Unavailable,
        "the engine gave an answer of the wrong kind; report this with the log",
    )
}
