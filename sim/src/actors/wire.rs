//! What all clients have in common that speak a real protocol over a connection of its own: the real session that serves
//! them, with bytes between them that arrive in pieces of any size, late by any time, cut anywhere. What the network driver
//! does around a session is done here: bytes in, events in, ticks when they are due, a login that is always right.

use std::collections::VecDeque;

use baton_dialect::{Output, Session, SessionContext};
use baton_engine::delivery_bytes;
use baton_model::{Event, Name, Reply, Request, Time};
use bytes::BytesMut;

use super::{Actor, World};
use crate::Dice;
use crate::network::some_of;

/// A client's side of a protocol: its own encoder and parser, and what it does.
pub(super) trait Protocol {
    /// The broker's side of a new connection.
    fn session(&self, context: SessionContext) -> Box<dyn Session>;

    /// A connection begins: forgets the last one, and says hello.
    fn connect(&mut self, out: &mut BytesMut);

    /// It does something: what it says goes to `out`.
    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, out: &mut BytesMut);

    /// Takes what is whole off the front of `received`.
    fn read(&mut self, received: &mut BytesMut, world: &mut World<'_>);

    /// It has had enough of this connection.
    fn is_over(&self) -> bool;
}

/// One client with its session.
pub(super) struct Wire<P> {
    protocol: P,
    number: usize,
    session: Box<dyn Session>,
    /// From the client, not yet at the session.
    up: BytesMut,
    /// At the session, not taken by it.
    input: BytesMut,
    /// From the session, not yet at the client.
    down: BytesMut,
    /// At the client, not read by it.
    received: BytesMut,
    /// From the engine, not yet at the session.
    events: VecDeque<Event>,
    /// Asked for by the session while it heard events.
    requests: Vec<Request>,
    /// The session ends the connection once its last words are read.
    ending: bool,
}

/// What the session of the client with that number is told of its connection.
pub(super) fn context(number: usize) -> SessionContext {
    SessionContext {
        peer: Name::from("sim"),
        loopback: true,
        encrypted: false,
        entropy: number as u64,
        message_bytes_max: 1 << 20,
        version: "0",
    }
}

impl<P: Protocol> Wire<P> {
    pub(super) fn new(number: usize, protocol: P) -> Self {
        Self {
            session: protocol.session(context(number)),
            protocol,
            number,
            up: BytesMut::new(),
            input: BytesMut::new(),
            down: BytesMut::new(),
            received: BytesMut::new(),
            events: VecDeque::new(),
            requests: Vec::new(),
            ending: false,
        }
    }

    /// What the session did: bytes go on their way, a login is answered, the rest is for the broker.
    fn done(&mut self, world: &mut World<'_>, mut out: Output) {
        loop {
            assert!(out.attached.is_empty(), "bodies here are small");
            world.plant.written(&mut out.wire);
            self.down.extend_from_slice(&out.wire);
            out.wire.clear();
            self.ending |= out.close;
            let mut answers = Vec::new();
            for mut request in out.requests.drain(..) {
                if let Request::Authenticate { token, user, .. } = request {
                    answers.push(Event::Reply { token, result: Ok(Reply::Authenticated { user }) });
                    continue;
                }
                answers.extend(world.plant.asked(&mut request));
                self.requests.push(request);
            }
            if answers.is_empty() {
                return;
            }
            answers.into_iter().for_each(|answer| self.session.event(world.now, answer, &mut out));
            // It may have left frames behind that had to wait for the login.
            self.session.receive(world.now, &mut self.input, &mut out);
            self.session.flush(world.now, &mut out);
        }
    }

    fn tick(&mut self, world: &mut World<'_>) {
        if self.session.deadline().is_some_and(|deadline| deadline <= world.now) {
            let mut out = Output::default();
            self.session.tick(world.now, &mut out);
            self.session.flush(world.now, &mut out);
            self.done(world, out);
        }
    }
}

impl<P: Protocol> Actor for Wire<P> {
    fn speaks_bytes(&self) -> bool {
        true
    }

    fn connect(&mut self, _world: &mut World<'_>) {
        self.session = self.protocol.session(context(self.number));
        for bytes in [&mut self.up, &mut self.input, &mut self.down, &mut self.received] {
            bytes.clear();
        }
        self.events.clear();
        self.requests.clear();
        self.ending = false;
        self.protocol.connect(&mut self.up);
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        self.protocol.act(dice, world, &mut self.up);
    }

    fn up(&mut self, dice: &mut Dice, world: &mut World<'_>) -> Vec<Request> {
        self.tick(world);
        let count = some_of(dice, self.up.len());
        let arrived = self.up.split_to(count);
        self.input.extend_from_slice(&arrived);
        let mut out = Output::default();
        self.session.receive(world.now, &mut self.input, &mut out);
        self.session.flush(world.now, &mut out);
        self.done(world, out);
        std::mem::take(&mut self.requests)
    }

    fn arrived(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn down(&mut self, dice: &mut Dice, world: &mut World<'_>) -> usize {
        self.tick(world);
        let count = some_of(dice, self.events.len());
        let mut out = Output::default();
        let mut bytes = 0;
        for event in self.events.drain(..count) {
            bytes += delivery_bytes(&event);
            self.session.event(world.now, event, &mut out);
        }
        self.session.flush(world.now, &mut out);
        self.done(world, out);
        let count = some_of(dice, self.down.len());
        let arrived = self.down.split_to(count);
        self.received.extend_from_slice(&arrived);
        self.protocol.read(&mut self.received, world);
        bytes
    }

    fn wants_close(&self) -> bool {
        self.protocol.is_over() || self.ending && self.down.is_empty()
    }

    fn cut(&mut self) {
        let mut out = Output::default();
        self.session.disconnected(Time(0), &mut out);
        assert!(out.wire.is_empty(), "nothing can be written to a connection that is gone");
    }
}
