//! One connection's SQS: a request comes whole, its action asks the engine what it must, and the answers make the response.
//!
//! An action that needs to know what its queue is like and does not yet stops with [`Stop::LookUp`]; the queue is asked for,
//! and the action begins anew. So every action is written as if it knew, and what is known is kept for the next request.
//!
//! ```text
//! request ─▶ begin ─▶ act ──Done──▶ response          send.rs      SendMessage(Batch)
//!              ▲       ├──Wait──▶ event … ─▶ response  receive.rs   ReceiveMessage
//!              └─LookUp┘                               settle.rs    Delete…, ChangeMessageVisibility(Batch)
//!                                                      queues.rs    queues, attributes, tags; permissions.rs
//!                                                      tasks.rs     moving dead letters back
//! ```

mod facts;
mod permissions;
mod queues;
mod receive;
mod send;
mod settle;
mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_dialect::SessionContext;
use baton_dialect::http::{HttpDialect, HttpOutput, HttpRequest, HttpSession};
use baton_model::request::CatalogOp;
use baton_model::{Event, Name, Refusal, RefusalCode, Reply, Request, Time, Token};
use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::error::{Kind, SqsError};
use crate::limits::{BODY_BYTES_MAX, FACTS_MAX, LOOKUPS_MAX};
use crate::message::{mix, uuid};
use crate::names;
use crate::options::SqsOptions;
use crate::sigv4::{self, Scope, Verifier, View};
use crate::wire::{self, Call, Protocol, Text, Writer};

pub(crate) use facts::Facts;

/// SQS, as `net` serves it.
#[derive(Clone, Debug)]
pub struct SqsDialect {
    options: Arc<SqsOptions>,
}

impl SqsDialect {
    /// SQS with these options.
    #[must_use]
    pub fn new(options: SqsOptions) -> Self {
        Self { options: Arc::new(options) }
    }
}

impl HttpDialect for SqsDialect {
    fn claims(&self, head: &Parts) -> bool {
        wire::claims(head)
    }

    fn session(&self, context: SessionContext) -> Box<dyn HttpSession> {
        Box::new(SqsSession::new(&context, Arc::clone(&self.options)))
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn too_large(&self, head: &Parts) -> Response<Bytes> {
        let text = format!("The request's body is longer than {BODY_BYTES_MAX} bytes.");
        Call::protocol(head).error(&SqsError::new(Kind::BatchRequestTooLong, text), &uuid(0, 0))
    }

    fn namespace(&self) -> Name {
        self.options.namespace.clone()
    }
}

/// One connection's session.
#[derive(Debug)]
pub struct SqsSession {
    options: Arc<SqsOptions>,
    encrypted: bool,
    /// Nobody can guess it: request ids are made of it.
    entropy: u64,
    /// What the broker takes at all.
    message_bytes_max: u64,
    /// Requests so far: the number of the open one.
    calls: u64,
    facts: BTreeMap<Name, Box<Facts>>,
    verifier: Verifier,
    open: Option<Open>,
}

/// The request that is open.
#[derive(Debug)]
struct Open {
    /// As long as it may have to be read again: many connections may wait for messages, and their buffers are not small.
    request: Option<HttpRequest>,
    answer: Answer,
    user: Name,
    state: State,
    lookups: u32,
}

/// What the response needs besides its content.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    protocol: Protocol,
    request_id: String,
}

impl Answer {
    fn writer(&self, action: &'static str, capacity: usize) -> Writer {
        Writer::new(self.protocol, action, capacity)
    }

    fn done(&self, writer: Writer) -> Response<Bytes> {
        self.protocol.response(writer.finish(&self.request_id), &self.request_id)
    }

    fn nothing(&self, action: &'static str) -> Response<Bytes> {
        self.done(Writer::nothing(self.protocol, action))
    }

    fn error(&self, error: &SqsError) -> Response<Bytes> {
        self.protocol.error(error, &self.request_id)
    }
}

/// What an open request waits for.
#[derive(Debug)]
enum State {
    LookUp(Name),
    Send(send::Sending),
    Receive(receive::Receiving),
    Settle(settle::Settling),
    Queue(queues::Asking),
    Task(tasks::Asking),
    /// The peer went away.
    Abandoned,
}

/// How far an action came.
enum Step {
    Done(Response<Bytes>),
    Wait(State),
}

/// Why an action stopped.
enum Stop {
    Error(SqsError),
    /// It must know what that queue is like.
    LookUp(Name),
}

impl From<SqsError> for Stop {
    fn from(error: SqsError) -> Self {
        Self::Error(error)
    }
}

/// What an action works with.
struct Cx<'c> {
    now: Time,
    options: &'c SqsOptions,
    facts: &'c BTreeMap<Name, Box<Facts>>,
    answer: &'c Answer,
    user: &'c Name,
    /// Scheme and host of URLs, as the client sees them.
    endpoint: &'c str,
    call: u64,
    requests: &'c mut Vec<Request>,
}

impl Cx<'_> {
    /// What a queue is like.
    fn facts(&self, name: &str) -> Result<&Facts, Stop> {
        match self.facts.get(name) {
            Some(facts) if facts.missing => Err(SqsError::no_queue().into()),
            Some(facts) => Ok(facts),
            None => Err(Stop::LookUp(Name::new(name))),
        }
    }

    /// The queue that a request is about.
    fn queue<'a>(&self, call: &'a Call<'a>, url: &'a Option<Text<'a>>) -> Result<&'a str, Stop> {
        let url = call.queue_url(url)?;
        names::from_url(url, &self.options.account_id).ok_or_else(|| SqsError::no_queue().into())
    }

    fn token(&self, index: usize) -> Token {
        token(self.call, index)
    }

    fn ask(&mut self, op: CatalogOp) {
        let request = Request::Catalog { token: self.token(0), op: Box::new(op) };
        self.requests.push(request);
    }

    fn url(&self, name: &str) -> String {
        url(self.endpoint, self.options, name)
    }
}

fn url(endpoint: &str, options: &SqsOptions, name: &str) -> String {
    format!("{endpoint}/{}/{name}", options.account_id)
}

/// Tokens tell a late answer to an earlier request from those of this one.
fn token(call: u64, index: usize) -> Token {
    Token(call << 8 | u64::try_from(index).unwrap_or(0xff) & 0xff)
}

fn index(token: Token) -> usize {
    usize::try_from(token.0 & 0xff).unwrap_or_default()
}

fn token_of(event: &Event) -> Option<Token> {
    match event {
        Event::Published { token, .. }
        | Event::Fetched { token, .. }
        | Event::Settled { token, .. }
        | Event::Reply { token, .. } => Some(*token),
        _ => None,
    }
}

impl SqsSession {
    /// A session for a connection.
    #[must_use]
    pub fn new(context: &SessionContext, options: Arc<SqsOptions>) -> Self {
        Self {
            options,
            encrypted: context.encrypted,
            entropy: context.entropy,
            message_bytes_max: context.message_bytes_max,
            calls: 0,
            facts: BTreeMap::new(),
            verifier: Verifier::default(),
            open: None,
        }
    }

    fn request_id(&self) -> String {
        let words = (self.entropy ^ self.calls, self.entropy.rotate_left(32).wrapping_add(self.calls));
        (*uuid(mix(words.0), mix(words.1))).to_owned()
    }

    /// Whose rights a request has: those of the user that its access key belongs to. Without configured keys there may be a guest,
    /// whose requests must name a key too, whichever: no page in a browser can make such a request unasked.
    fn authenticate(&mut self, now: Time, request: &HttpRequest) -> Result<Name, SqsError> {
        if self.options.keys.is_empty()
            && let Some(guest) = &self.options.guest
        {
            let signed = request.header("authorization").is_some_and(|value| value.starts_with("AWS"))
                || request.query().contains("X-Amz-Credential=");
            let foreign = request.head.headers.contains_key("origin");
            return if signed && !foreign { Ok(guest.clone()) } else { Err(sigv4::missing()) };
        }
        let scope = Scope {
            region: &self.options.region,
            service: "sqs",
            normalize: true,
            check_time: self.options.check_time,
        };
        let key = self.verifier.verify(&View::of(request), &self.options.keys, scope, now)?;
        Ok(key.user.clone())
    }

    /// Begins an action, or begins it anew with more knowledge.
    fn run(
        &mut self,
        now: Time,
        request: HttpRequest,
        answer: Answer,
        user: Name,
        lookups: u32,
        out: &mut HttpOutput,
    ) {
        let endpoint = self.endpoint(&request);
        let mut cx = Cx {
            now,
            options: &self.options,
            facts: &self.facts,
            answer: &answer,
            user: &user,
            endpoint: &endpoint,
            call: self.calls,
            requests: &mut out.requests,
        };
        let step = Call::read(&request).map_err(Stop::from).and_then(|call| act(&call, &mut cx));
        let state = match step {
            Ok(Step::Done(response)) => return out.response = Some(response),
            Ok(Step::Wait(state)) => state,
            Err(Stop::Error(error)) => {
                out.requests.clear();
                return out.response = Some(answer.error(&error));
            }
            Err(Stop::LookUp(_)) if lookups >= LOOKUPS_MAX => {
                let error =
                    SqsError::new(Kind::ServiceUnavailable, "The queues change too quickly; try again.");
                return out.response = Some(answer.error(&error));
            }
            Err(Stop::LookUp(name)) => {
                out.requests.clear();
                let op = Box::new(CatalogOp::Queue { name: name.clone() });
                out.requests.push(Request::Catalog { token: token(self.calls, 0), op });
                State::LookUp(name)
            }
        };
        let read_again = matches!(state, State::LookUp(_) | State::Queue(_));
        self.open = Some(Open { request: read_again.then_some(request), answer, user, state, lookups });
    }

    fn endpoint(&self, request: &HttpRequest) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        let host = request.header("host").or_else(|| request.head.uri.authority().map(|host| host.as_str()));
        format!("{scheme}://{}", host.unwrap_or("localhost"))
    }

    fn learn(&mut self, name: Name, result: Result<Reply, Refusal>) -> Result<(), SqsError> {
        let facts = match result {
            Ok(Reply::Queue { info, .. }) => Facts::of(&info, self.message_bytes_max),
            Ok(_) => {
                return Err(SqsError::new(
                    Kind::InternalFailure,
                    "The broker gave an answer of the wrong kind.",
                ));
            }
            Err(refusal) if refusal.code == RefusalCode::QueueNotFound => Facts::missing(),
            Err(refusal) => return Err(SqsError::from_refusal(&refusal)),
        };
        if self.facts.len() >= FACTS_MAX {
            self.facts.clear();
        }
        self.facts.insert(name, Box::new(facts));
        Ok(())
    }

    fn answered(&mut self, now: Time, mut open: Open, event: Event, out: &mut HttpOutput) {
        let state = match open.state {
            State::LookUp(name) => {
                let Event::Reply { result, .. } = event else { return };
                match self.learn(name, result) {
                    Ok(()) => {
                        let Open { request, answer, user, lookups, .. } = open;
                        if let Some(request) = request {
                            self.run(now, request, answer, user, lookups + 1, out);
                        }
                        // What does not exist is asked for again by the next request.
                        self.facts.retain(|_, facts| !facts.missing);
                    }
                    Err(error) => out.response = Some(open.answer.error(&error)),
                }
                return;
            }
            State::Abandoned => {
                receive::give_back(event, out);
                return;
            }
            State::Send(mut sending) => match sending.event(event, &open.answer) {
                Some(response) => return out.response = Some(response),
                None => State::Send(sending),
            },
            State::Receive(receiving) => {
                return out.response = Some(receiving.event(now, event, &open.answer, &self.options));
            }
            State::Settle(mut settling) => match settling.event(event, &open.answer, out) {
                Some(response) => return out.response = Some(response),
                None => State::Settle(settling),
            },
            state @ (State::Queue(_) | State::Task(_)) => {
                let endpoint =
                    open.request.as_ref().map(|request| self.endpoint(request)).unwrap_or_default();
                let mut cx = Cx {
                    now,
                    options: &self.options,
                    facts: &self.facts,
                    answer: &open.answer,
                    user: &open.user,
                    endpoint: &endpoint,
                    call: self.calls,
                    requests: &mut out.requests,
                };
                let step = match state {
                    State::Task(asking) => asking.event(event, &mut cx),
                    State::Queue(asking) => match &open.request {
                        Some(request) => asking.event(event, request, &mut cx),
                        None => return,
                    },
                    other => Ok(Step::Wait(other)),
                };
                match step {
                    Ok(Step::Done(response)) => return out.response = Some(response),
                    Ok(Step::Wait(state)) => state,
                    Err(error) => return out.response = Some(open.answer.error(&error)),
                }
            }
        };
        open.state = state;
        self.open = Some(open);
    }
}

impl HttpSession for SqsSession {
    fn request(&mut self, now: Time, request: HttpRequest, out: &mut HttpOutput) {
        self.calls += 1;
        let answer = Answer { protocol: Call::protocol(&request.head), request_id: self.request_id() };
        let user = match self.authenticate(now, &request) {
            Ok(user) => user,
            Err(error) => return out.response = Some(answer.error(&error)),
        };
        out.user = Some(user.clone());
        self.run(now, request, answer, user, 0, out);
    }

    fn event(&mut self, now: Time, event: Event, out: &mut HttpOutput) {
        let ours = token_of(&event).is_some_and(|token| token.0 >> 8 == self.calls);
        if let Some(open) = self.open.take_if(|_| ours) {
            self.answered(now, open, event, out);
        } else if matches!(event, Event::Closing { .. })
            && let Some(open) = self.open.take()
        {
            let error = SqsError::new(Kind::ServiceUnavailable, "The broker is shutting down.");
            out.response = Some(open.answer.error(&error));
        }
    }

    fn stop_waiting(&mut self, _now: Time, out: &mut HttpOutput) {
        if let Some(Open { state: State::Receive(_), .. }) = &self.open {
            out.requests.push(Request::CancelFetch { token: token(self.calls, 0) });
        }
    }

    fn abandoned(&mut self, now: Time, out: &mut HttpOutput) {
        self.stop_waiting(now, out);
        match &mut self.open {
            Some(open) if matches!(open.state, State::Receive(_)) => open.state = State::Abandoned,
            // What was asked is done or refused, whether anybody hears of it or not.
            _ => self.open = None,
        }
    }

    fn busy(&self) -> bool {
        self.open.is_some()
    }

    fn catalog_changed(&mut self) {
        self.facts.clear();
    }
}

/// The table of actions.
fn act<'a>(call: &'a Call<'a>, cx: &mut Cx<'_>) -> Result<Step, Stop> {
    match &*call.action {
        "SendMessage" => send::one(call, cx),
        "SendMessageBatch" => send::batch(call, cx),
        "ReceiveMessage" => receive::receive(call, cx),
        "DeleteMessage" => settle::delete(call, cx),
        "DeleteMessageBatch" => settle::delete_batch(call, cx),
        "ChangeMessageVisibility" => settle::change(call, cx),
        "ChangeMessageVisibilityBatch" => settle::change_batch(call, cx),
        "StartMessageMoveTask" => tasks::start(call, cx),
        "CancelMessageMoveTask" => tasks::cancel(call, cx),
        "ListMessageMoveTasks" => tasks::list(call, cx),
        _ => queues::act(call, cx),
    }
}
