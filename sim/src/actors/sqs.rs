//! An SQS client: sends, receives, deletes and changes visibility, one by one and in batches, with JSON or (every other one) the older
//! Query protocol, which it writes and reads itself. HTTP is not simulated: whole requests reach the real session, one at a time, and whole responses come back, both
//! late by any time.
//!
//! What holds: a message whose sending was answered is safe; one whose deletion was answered never comes back, if its receipt
//! was the newest. Receipts outlive connections and the broker. A client that does not wait for its answer gives up: what it
//! would have received goes back.

mod query;

use std::collections::VecDeque;

use baton_dialect::http::{HttpDialect, HttpOutput, HttpRequest, HttpSession};
use baton_dialect_sqs::{SqsDialect, SqsOptions};
use baton_engine::delivery_bytes;
use baton_model::{Event, Request, Time, Token};
use bytes::Bytes;
use serde_json::{Value, json};

use super::wire::context;
use super::{Actor, World};
use crate::Dice;
use crate::fact::{Ended, Known, Serial, body, serial_of};
use crate::network::some_of;
use crate::topology::{BRIEF, DEAD, DEEP, FULL, KEYS, LINE, PLAIN, SMALL, WORK};

/// Requests that a client lets wait for the one before.
const WAITING_MAX: usize = 4;

/// What a request is about: with the ids of its entries, in their order, if it is a batch.
#[derive(Debug)]
enum Call {
    /// What is known of each when it is answered.
    Promised(Vec<Known>),
    Receive(&'static str),
}

/// A message that was received and not deleted.
#[derive(Clone, Debug)]
struct Held {
    queue: &'static str,
    handle: String,
    serial: Serial,
}

/// One client with its session.
pub(super) struct Client {
    number: usize,
    session: Box<dyn HttpSession>,
    /// From the client, not yet at the session.
    up: VecDeque<(Call, HttpRequest)>,
    /// What the session works on.
    open: Option<Call>,
    /// From the session, not yet at the client.
    down: VecDeque<(Call, http::Response<Bytes>)>,
    events: VecDeque<Event>,
    requests: Vec<Request>,
    /// Kept over connections.
    held: Vec<Held>,
    leaving: bool,
}

fn session(number: usize) -> Box<dyn HttpSession> {
    SqsDialect::new(SqsOptions::default()).session(context(number))
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            session: session(number),
            up: VecDeque::new(),
            open: None,
            down: VecDeque::new(),
            events: VecDeque::new(),
            requests: Vec::new(),
            held: Vec::new(),
            leaving: false,
        }
    }

    /// Whether it speaks the older protocol.
    fn speaks_query(&self) -> bool {
        self.number % 2 == 1
    }

    fn request(&self, action: &str, queue: &str, mut input: Value) -> HttpRequest {
        input["QueueUrl"] = Value::from(format!("http://localhost/000000000000/{queue}"));
        let builder = http::Request::builder()
            .method(http::Method::POST)
            .uri("/")
            .header("host", "localhost")
            .header("authorization", "AWS4-HMAC-SHA256 anybody");
        let (builder, body) = if self.speaks_query() {
            let form = builder.header("content-type", "application/x-www-form-urlencoded");
            (form, query::form(action, &input))
        } else {
            let json = builder.header("content-type", "application/x-amz-json-1.0");
            (json.header("x-amz-target", format!("AmazonSQS.{action}")), input.to_string())
        };
        let (head, ()) = builder.body(()).expect("headers are plain").into_parts();
        HttpRequest { head, body: body.into() }
    }

    /// Sends a request of one entry, or a batch of several.
    fn call(&mut self, action: &str, queue: &str, mut entries: Vec<Value>, known: Vec<Known>, batch: bool) {
        let input = if batch {
            for (at, entry) in entries.iter_mut().enumerate() {
                entry["Id"] = Value::from(at.to_string());
            }
            json!({ "Entries": entries })
        } else {
            entries.remove(0)
        };
        let action = if batch { format!("{action}Batch") } else { action.to_owned() };
        let request = self.request(&action, queue, input);
        self.up.push_back((Call::Promised(known), request));
    }

    fn send(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        let queue = *dice.pick(&[PLAIN, PLAIN, WORK, WORK, KEYS, KEYS, LINE, LINE, LINE, SMALL, FULL, BRIEF]);
        let batch = dice.one_in(3);
        let (mut entries, mut known) = (Vec::new(), Vec::new());
        for _ in 0..if batch { 1 + dice.index(4) } else { 1 } {
            *world.serials += 1;
            let serial = *world.serials;
            let content = body(serial, if dice.one_in(8) { dice.index(9_000) } else { dice.index(60) });
            let mut entry = json!({ "MessageBody": String::from_utf8_lossy(&content) });
            match queue {
                WORK if dice.one_in(4) => entry["DelaySeconds"] = Value::from(dice.below(3)),
                KEYS | LINE => entry["MessageGroupId"] = Value::from(format!("k{}", dice.below(3))),
                _ => {}
            }
            if queue == LINE {
                // Now and then it says what may have been said before.
                let id = if dice.one_in(3) { dice.below(20) } else { 100 + serial };
                entry["MessageDeduplicationId"] = Value::from(format!("d{id}"));
            }
            entries.push(entry);
            known.push(Known::Confirmed { serial });
            world.known.push(Known::Sent { serial });
        }
        self.call("SendMessage", queue, entries, known, batch);
    }

    fn receive(&mut self, dice: &mut Dice) {
        let queue = *dice.pick(&[PLAIN, PLAIN, WORK, KEYS, LINE, LINE, SMALL, FULL, BRIEF, DEAD, DEEP]);
        let input = json!({
            "MaxNumberOfMessages": 1 + dice.below(10),
            "VisibilityTimeout": 1 + dice.below(5),
            "WaitTimeSeconds": dice.below(2),
        });
        let request = self.request("ReceiveMessage", queue, input);
        self.up.push_back((Call::Receive(queue), request));
    }

    fn settle(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        let first = self.held.remove(dice.index(self.held.len()));
        let queue = first.queue;
        let batch = dice.one_in(3);
        let mut settled = vec![first];
        if batch {
            settled.extend(self.held.extract_if(.., |held| held.queue == queue).take(dice.index(3)));
        }
        let timeout_s = dice.one_in(4).then(|| dice.below(4));
        let (mut entries, mut known) = (Vec::new(), Vec::new());
        for held in &settled {
            let serial = held.serial;
            let mut entry = json!({ "ReceiptHandle": held.handle });
            if let Some(timeout_s) = timeout_s {
                entry["VisibilityTimeout"] = Value::from(timeout_s);
            } else {
                known.push(Known::Done { serial });
            }
            match timeout_s {
                None => world.known.push(Known::Settled { serial, ended: Ended::Completed }),
                Some(0) => world.known.push(Known::Settled { serial, ended: Ended::Released }),
                Some(_) => {}
            }
            entries.push(entry);
        }
        if timeout_s.is_some() || dice.one_in(10) {
            // Deleting again with the same receipt must do no harm.
            self.held.extend(settled);
        }
        let action = if timeout_s.is_some() { "ChangeMessageVisibility" } else { "DeleteMessage" };
        self.call(action, queue, entries, known, batch);
    }

    /// What the session did: a response goes on its way, the rest is for the broker.
    fn done(&mut self, world: &mut World<'_>, mut out: HttpOutput) {
        loop {
            if let Some(mut response) = out.response.take()
                && let Some(call) = self.open.take()
                && !self.leaving
            {
                let mut bytes = response.body().to_vec();
                world.plant.written(&mut bytes);
                *response.body_mut() = bytes.into();
                self.down.push_back((call, response));
            }
            let mut answers = Vec::new();
            for mut request in out.requests.drain(..) {
                answers.extend(world.plant.asked(&mut request));
                self.requests.push(request);
            }
            if answers.is_empty() {
                return;
            }
            answers.into_iter().for_each(|answer| self.session.event(world.now, answer, &mut out));
        }
    }

    /// The client reads a response. Refusals promise nothing.
    fn heard(&mut self, call: Call, response: &http::Response<Bytes>, world: &mut World<'_>) {
        if !response.status().is_success() {
            return;
        }
        let answer: Value = match response.body().is_empty() {
            true => Value::Null,
            false if self.speaks_query() => query::answer(&String::from_utf8_lossy(response.body())),
            false => serde_json::from_slice(response.body()).expect("responses are JSON"),
        };
        match call {
            Call::Promised(known) => match answer.get("Successful").and_then(Value::as_array) {
                Some(entries) => {
                    for entry in entries {
                        let at = entry["Id"].as_str().and_then(|id| id.parse::<usize>().ok());
                        let known = at.and_then(|at| known.get(at));
                        world.known.extend(known.cloned());
                    }
                }
                // A batch of which nothing was successful says what failed.
                None if answer.get("Failed").is_some() => {}
                None => world.known.extend(known),
            },
            Call::Receive(queue) => {
                for message in answer["Messages"].as_array().into_iter().flatten() {
                    let text = |name: &str| message[name].as_str().expect("messages are whole").to_owned();
                    let (body, handle) = (text("Body"), text("ReceiptHandle"));
                    let serial = serial_of(body.as_bytes()).unwrap_or_default();
                    self.held.push(Held { queue, handle, serial });
                    world.known.push(Known::Read { body: body.into() });
                }
            }
        }
    }
}

impl Actor for Client {
    fn speaks_bytes(&self) -> bool {
        true
    }

    fn connect(&mut self, _world: &mut World<'_>) {
        let held = std::mem::take(&mut self.held);
        *self = Self { held, ..Self::new(self.number) };
        // The driver opens the dialect's namespace for each connection.
        let open = Request::Open { token: Token(1), namespace: "/".into(), label: "sqs".into() };
        self.requests.push(open);
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        if self.leaving {
            return;
        }
        if dice.one_in(60) {
            self.leaving = true;
            world.known.push(Known::Left);
            self.up.clear();
            let mut out = HttpOutput::default();
            self.session.abandoned(world.now, &mut out);
            return self.done(world, out);
        }
        match dice.below(20) {
            _ if self.up.len() >= WAITING_MAX => {}
            0..6 => self.receive(dice),
            6..14 if !self.held.is_empty() => self.settle(dice, world),
            _ => self.send(dice, world),
        }
    }

    fn up(&mut self, _dice: &mut Dice, world: &mut World<'_>) -> Vec<Request> {
        if !self.session.busy()
            && let Some((call, request)) = self.up.pop_front()
        {
            self.open = Some(call);
            let mut out = HttpOutput::default();
            self.session.request(world.now, request, &mut out);
            self.done(world, out);
        }
        std::mem::take(&mut self.requests)
    }

    fn arrived(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn down(&mut self, dice: &mut Dice, world: &mut World<'_>) -> usize {
        let count = some_of(dice, self.events.len());
        let mut bytes = 0;
        for event in self.events.drain(..count).collect::<Vec<_>>() {
            bytes += delivery_bytes(&event);
            let mut out = HttpOutput::default();
            self.session.event(world.now, event, &mut out);
            self.done(world, out);
        }
        let count = some_of(dice, self.down.len());
        for (call, response) in self.down.drain(..count).collect::<Vec<_>>() {
            self.heard(call, &response, world);
        }
        bytes
    }

    fn wants_close(&self) -> bool {
        self.leaving && !self.session.busy() && self.requests.is_empty()
    }

    fn cut(&mut self) {
        self.session.abandoned(Time(0), &mut HttpOutput::default());
    }
}
