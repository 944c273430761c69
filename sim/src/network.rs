//! The network between a client and the broker, for clients that speak the neutral vocabulary: two queues in order, each
//! moved on as far as the scenario says, so that everything can be late by any time. A cut loses what is on the way in
//! both directions. (Clients of real protocols have bytes in place of requests, see `actors::wire`.)

use std::collections::VecDeque;

use baton_model::{Event, Request};

use crate::Dice;

/// One connection's way there and back.
#[derive(Debug, Default)]
pub(crate) struct Line {
    up: VecDeque<Request>,
    down: VecDeque<Event>,
}

impl Line {
    pub(crate) fn send(&mut self, requests: impl IntoIterator<Item = Request>) {
        self.up.extend(requests);
    }

    pub(crate) fn arrived(&mut self, event: Event) {
        self.down.push_back(event);
    }

    /// Requests that reach the broker now: usually all, at times only the first few.
    pub(crate) fn up(&mut self, dice: &mut Dice) -> Vec<Request> {
        let count = some_of(dice, self.up.len());
        self.up.drain(..count).collect()
    }

    /// Events that reach the client now.
    pub(crate) fn down(&mut self, dice: &mut Dice) -> Vec<Event> {
        let count = some_of(dice, self.down.len());
        self.down.drain(..count).collect()
    }

    pub(crate) fn cut(&mut self) {
        self.up.clear();
        self.down.clear();
    }
}

/// Usually all of `len`, at times fewer.
pub(crate) fn some_of(dice: &mut Dice, len: usize) -> usize {
    if len > 1 && dice.one_in(3) { 1 + dice.index(len) } else { len }
}
