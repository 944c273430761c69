//! The server's side of one connection: commands in, requests out; events in, answers out, in the order of the commands.
//!
//! ```text
//! execute.rs     one command: known, allowed, to whom     answers.rs   slots: answers wait for earlier ones
//! connection.rs  hello, auth, client, select, quit        pubsub.rs    subscribe, publish
//! server.rs      info, config, command                    transaction.rs  multi, exec, watch
//! ```
//!
//! A login and a `WATCH` hold back what was sent behind them. So does a command that waits for elements, but other commands on
//! lists, which stand behind it in the partition and are done there when it is over: a pipeline of them is one batch.

mod answers;
mod connection;
mod execute;
mod pubsub;
mod server;
mod transaction;

use baton_dialect::large::{LARGE_BYTES_MIN, LargeBody};
use baton_dialect::{Output, Session, SessionContext};
use baton_model::list::{ListOp, ListRequest};
use baton_model::{Bytes, DeliveryRef, Event, LinkId, Name, Outcome, Reply, Request, Time, Token};
use bytes::{Buf, BytesMut};

use crate::commands::{self, Shape, ends_with_element};
use crate::frame::{Parsed, parse};
use crate::limits::{BEHIND_BYTES_MAX, BEHIND_MAX, HELD_BYTES_MAX, LINE_BYTES_MAX};
use crate::reply::{Protocol, Writer};
use crate::table::Spec;
use answers::{Answers, Expected};

/// The only link: leases of popped elements last as long as the connection.
const LINK: LinkId = LinkId(0);

/// What stands behind a bulk string.
const LINE_END_BYTES: usize = 2;

/// What can be configured.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Who a client on this machine is that does not say: user and password. `None`: everybody must log in.
    pub anonymous: Option<(Name, Bytes)>,
    /// The namespaces that `SELECT` chooses from, by number; at least one.
    pub databases: Vec<Name>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            anonymous: Some((Name::const_new("guest"), Bytes::from_static(b"guest"))),
            databases: vec![Name::const_new("/")],
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct RespSession {
    context: SessionContext,
    options: SessionOptions,
    protocol: Protocol,
    phase: Phase,
    /// What answers a command that holds back all later ones.
    holding: Option<Token>,
    /// What answers the last command that waits for elements.
    waiting: Option<Token>,
    /// The next command cannot stand behind that.
    stuck: Option<Stuck>,
    /// Commands that came meanwhile.
    held: BytesMut,
    /// No command is whole before there are so many bytes.
    need: usize,
    answers: Answers,
    /// The last command that is known.
    recent: Option<&'static Spec>,
    user: Name,
    name: Vec<u8>,
    library: [Vec<u8>; 2],
    database: usize,
    /// Popped elements that the next command settles.
    leases: Vec<DeliveryRef>,
    subscriptions: pubsub::Subscriptions,
    transaction: transaction::Transaction,
    closing: bool,
}

/// Why a command does not stand behind one that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stuck {
    /// It is of another kind.
    Kind,
    /// Too many stand there.
    Crowd,
}

/// How far the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing was read yet.
    New,
    /// It is being found out whether a client that does not say who it is may go on.
    Trying(Token),
    /// It must log in.
    Closed,
    /// It may do what its user may.
    Open,
}

/// What became of the command at the front.
enum Next {
    /// It is done; it had so many bytes.
    Done(usize),
    /// There is none, or it has to wait.
    Not,
    /// Its last argument is not to be copied.
    Large(Large),
}

/// A command whose last argument becomes a message where it lies.
struct Large {
    spec: Option<&'static Spec>,
    /// Its bytes, and those of the last argument.
    length: usize,
    body_bytes: usize,
    /// Copies of the other arguments.
    others: Vec<Vec<u8>>,
}

impl Large {
    fn find(spec: Option<&'static Spec>, arguments: &[&[u8]], length: usize) -> Option<Self> {
        let (last, others) = arguments.split_last()?;
        let few = length.saturating_sub(last.len()) <= LINE_BYTES_MAX;
        let fits =
            last.len() >= LARGE_BYTES_MIN && few && spec.is_some_and(|spec| ends_with_element(spec.command));
        fits.then(|| {
            let others = others.iter().map(|argument| argument.to_vec()).collect();
            Self { spec, length, body_bytes: last.len(), others }
        })
    }
}

impl RespSession {
    /// A session for a new connection.
    #[must_use]
    pub fn new(context: SessionContext, options: SessionOptions) -> Self {
        Self {
            context,
            options,
            protocol: Protocol::default(),
            phase: Phase::New,
            holding: None,
            waiting: None,
            stuck: None,
            held: BytesMut::new(),
            need: 0,
            answers: Answers::default(),
            recent: None,
            user: Name::default(),
            name: Vec::new(),
            library: [Vec::new(), Vec::new()],
            database: 0,
            leases: Vec::new(),
            subscriptions: pubsub::Subscriptions::default(),
            transaction: transaction::Transaction::default(),
            closing: false,
        }
    }

    /// Does all whole commands of `input` until one holds back the others.
    fn work(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        let mut done = 0;
        self.stuck = None;
        while self.holding.is_none() && !self.closing {
            match self.work_one(now, input.get(done..).unwrap_or_default(), out) {
                Next::Done(length) => done += length,
                Next::Not => break,
                Next::Large(large) => {
                    input.advance(std::mem::take(&mut done));
                    let whole = input.split_to(large.length.min(input.len()));
                    if input.is_empty() {
                        // Nothing of the buffer stays with the connection.
                        *input = BytesMut::new();
                    }
                    self.execute_large(now, &large, whole, out);
                }
            }
        }
        input.advance(done.min(input.len()));
    }

    /// Does the command at the front, if it is whole and not large.
    fn work_one(&mut self, now: Time, rest: &[u8], out: &mut Output) -> Next {
        if rest.is_empty() || rest.len() < self.need {
            return Next::Not;
        }
        self.need = 0;
        let bytes_max = usize::try_from(self.context.message_bytes_max).unwrap_or(usize::MAX);
        match parse(rest, bytes_max) {
            Parsed::Command(arguments, length) => {
                if let Some(name) = arguments.first() {
                    let spec = self.spec(name);
                    self.stuck = self.waiting.and_then(|_| self.stuck_at(spec, length));
                    if self.stuck.is_some() {
                        return Next::Not;
                    }
                    self.settle_leases(out);
                    if let Some(large) = Large::find(spec, &arguments, length) {
                        return Next::Large(large);
                    }
                    self.execute(now, spec, &arguments, out);
                }
                Next::Done(length)
            }
            Parsed::Incomplete(need) => {
                self.need = need;
                Next::Not
            }
            Parsed::Wrong(why) => {
                self.say(out, |w| w.error(&format!("ERR Protocol error: {why}")));
                self.close(out);
                Next::Not
            }
        }
    }

    /// Does a command whose last argument becomes a message where it lies.
    fn execute_large(&mut self, now: Time, large: &Large, mut whole: BytesMut, out: &mut Output) {
        let mut arguments: Vec<&[u8]> = large.others.iter().map(Vec::as_slice).collect();
        arguments.push(&[]);
        let before = (out.requests.len(), self.transaction.len());
        self.execute(now, large.spec, &arguments, out);
        let op = if self.transaction.len() > before.1 {
            self.transaction.last_op()
        } else {
            match out.requests.get_mut(before.0..).and_then(<[Request]>::last_mut) {
                Some(Request::List(list)) => Some(&mut list.op),
                _ => None,
            }
        };
        if let Some(op) = op {
            whole.truncate(large.length.saturating_sub(LINE_END_BYTES));
            let body_at = whole.len().saturating_sub(large.body_bytes);
            commands::put_last_body(op, LargeBody::new(whole, body_at));
        }
    }

    /// Why a command of so many bytes cannot stand behind one that waits.
    fn stuck_at(&self, spec: Option<&Spec>, length: usize) -> Option<Stuck> {
        // What those do depends on nothing but the lists.
        if spec.is_none_or(|spec| spec.group != "list") || length > BEHIND_BYTES_MAX {
            Some(Stuck::Kind)
        } else {
            (self.answers.len() >= BEHIND_MAX).then_some(Stuck::Crowd)
        }
    }

    /// What was popped and leased is settled: the client lives, and goes on.
    fn settle_leases(&mut self, out: &mut Output) {
        if !self.leases.is_empty() {
            let deliveries = std::mem::take(&mut self.leases).into();
            out.requests.push(Request::Settle(baton_model::request::Settle {
                token: None,
                deliveries,
                outcome: Outcome::Complete,
            }));
        }
    }

    fn writer<'a>(&self, out: &'a mut Output) -> Writer<'a> {
        Writer::new(out, self.protocol)
    }

    /// Answers at once, behind what is still to be answered.
    fn say(&mut self, out: &mut Output, write: impl FnOnce(&mut Writer<'_>)) {
        let protocol = self.protocol;
        self.answers.say(out, protocol, write);
    }

    fn refuse(&mut self, out: &mut Output, text: &str) {
        self.say(out, |w| w.error(text));
    }

    /// Asks for a list operation.
    fn ask(&mut self, op: ListOp, shape: Shape, wait_ms: Option<u64>, out: &mut Output) {
        let token = self.answers.expect(Expected::List(shape));
        if wait_ms.is_some() {
            self.waiting = Some(token);
        }
        out.requests.push(Request::List(ListRequest { token, link: LINK, op, wait_ms }));
    }

    /// Says nothing more than what is still to be answered, then closes.
    fn close(&mut self, out: &mut Output) {
        self.closing = true;
        out.close |= self.answers.is_empty();
    }

    /// What held back later commands is over.
    fn go_on(&mut self, now: Time, token: Token, out: &mut Output) {
        if self.holding == Some(token) {
            self.holding = None;
        }
        if self.waiting == Some(token) {
            self.waiting = None;
        }
        let goes_on = self.waiting.is_none() || self.stuck == Some(Stuck::Crowd);
        if goes_on && self.holding.is_none() && !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            self.work(now, &mut held, out);
            if self.held.is_empty() {
                self.held = held;
            }
        }
    }

    fn begin(&mut self, out: &mut Output) {
        match self.options.anonymous.clone().filter(|_| self.context.loopback) {
            Some((user, password)) => {
                let token = self.answers.expect(Expected::Silent);
                self.phase = Phase::Trying(token);
                self.holding = Some(token);
                out.requests.push(Request::Authenticate { token, user, password });
            }
            None => self.phase = Phase::Closed,
        }
    }

    fn tried(&mut self, result: Result<Reply, baton_model::Refusal>, out: &mut Output) {
        match result {
            Ok(Reply::Authenticated { user }) => {
                self.user = user;
                self.open(Expected::Silent, out);
            }
            _ => self.phase = Phase::Closed,
        }
    }

    /// Opens the chosen database.
    fn open(&mut self, expected: Expected, out: &mut Output) {
        self.phase = Phase::Open;
        let token = self.answers.expect(expected);
        let namespace = self.options.databases.get(self.database).cloned().unwrap_or_default();
        out.requests.push(Request::Open { token, namespace, label: self.describe() });
    }
}

impl Session for RespSession {
    fn receive(&mut self, now: Time, input: &mut BytesMut, out: &mut Output) {
        if self.phase == Phase::New && !input.is_empty() {
            self.begin(out);
        }
        if self.held.is_empty() && self.holding.is_none() {
            self.work(now, input, out);
            if self.holding.is_none() && self.stuck.is_none() && !self.closing {
                return;
            }
        }
        if self.closing {
            input.clear();
            return;
        }
        self.held.unsplit(input.split());
        if self.holding.is_none() && self.stuck.is_none() {
            let mut held = std::mem::take(&mut self.held);
            self.work(now, &mut held, out);
            if self.holding.is_some() || self.stuck.is_some() {
                self.held = held;
            } else {
                // What is not whole goes on growing there.
                *input = held;
            }
        } else if self.held.len() > HELD_BYTES_MAX {
            self.refuse(out, "ERR too many commands behind one that waits; wait for its answer first");
            self.close(out);
            out.close = true;
        }
    }

    fn awaited_bytes(&self) -> usize {
        if self.held.is_empty() { self.need } else { 0 }
    }

    fn event(&mut self, now: Time, event: Event, out: &mut Output) {
        match event {
            Event::Reply { token, result } => {
                self.answered(now, token, result, out);
                self.go_on(now, token, out);
                out.close |= self.closing && self.answers.is_empty();
            }
            Event::Heard { topic, key, message } => self.heard(&topic, &key, &message, out),
            Event::LeaseEnded { delivery, .. } => self.leases.retain(|held| *held != delivery),
            Event::Closing { .. } => {
                self.closing = true;
                out.close = true;
            }
            // Nothing else was asked for; what is refused while the broker is short of something says so itself.
            _ => {}
        }
    }

    fn tick(&mut self, _: Time, _: &mut Output) {}

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn flush(&mut self, _: Time, _: &mut Output) {}

    fn disconnected(&mut self, _: Time, _: &mut Output) {}

    fn describe(&self) -> String {
        format!("redis {} {} ({})", self.context.peer, self.user, String::from_utf8_lossy(&self.name))
    }
}

#[cfg(test)]
mod tests;
