//! What all clients that speak the neutral vocabulary have in common: a line, and a namespace opened first.

use baton_engine::delivery_bytes;
use baton_model::{Event, Request, Token};

use super::{Actor, World};
use crate::Dice;
use crate::network::Line;

/// What one of them is made of besides that.
pub(super) trait Brain {
    /// A connection begins, its namespace is open.
    fn connect(&mut self) {}

    /// It does something: what it asks for goes to `out`.
    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, ask: &mut Ask);

    /// It hears something.
    fn hear(&mut self, event: Event);

    /// The connection is gone.
    fn cut(&mut self) {}
}

/// Requests being made, with fresh tokens.
#[derive(Debug, Default)]
pub(super) struct Ask {
    last_token: u64,
    pub(super) requests: Vec<Request>,
}

impl Ask {
    /// A token that was not used on this connection before; they only grow.
    pub(super) fn token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    /// Adds a request with a fresh token.
    pub(super) fn put(&mut self, request: impl FnOnce(Token) -> Request) {
        let request = request(self.token());
        self.requests.push(request);
    }
}

/// A neutral client.
pub(super) struct Neutral<B> {
    brain: B,
    line: Line,
    ask: Ask,
}

impl<B: Brain> Neutral<B> {
    pub(super) fn new(brain: B) -> Self {
        Self { brain, line: Line::default(), ask: Ask::default() }
    }
}

impl<B: Brain> Actor for Neutral<B> {
    fn connect(&mut self, _world: &mut World<'_>) {
        self.ask = Ask::default();
        let token = self.ask.token();
        self.line.send([Request::Open { token, namespace: "/".into(), label: "sim".into() }]);
        self.brain.connect();
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        self.brain.act(dice, world, &mut self.ask);
        self.line.send(self.ask.requests.drain(..));
    }

    fn up(&mut self, dice: &mut Dice, _world: &mut World<'_>) -> Vec<Request> {
        self.line.up(dice)
    }

    fn arrived(&mut self, event: Event) {
        self.line.arrived(event);
    }

    fn down(&mut self, dice: &mut Dice, _world: &mut World<'_>) -> usize {
        let events = self.line.down(dice);
        let bytes = events.iter().map(delivery_bytes).sum();
        events.into_iter().for_each(|event| self.brain.hear(event));
        bytes
    }

    fn cut(&mut self) {
        self.line.cut();
        self.brain.cut();
    }
}
