//! A fetcher: takes messages once, with timed leases whose receipts it keeps over cuts and restarts, and comes back for
//! deferred ones.

use baton_model::request::{Fetch, FetchSelect, LeaseMode, Settle};
use baton_model::{Delivery, Event, LinkId, Outcome, QueueId, Request, Seq};

use super::World;
use super::consumer::any_outcome;
use super::neutral::{Ask, Brain};
use crate::Dice;
use crate::topology::{BRIEF, DEAD, DEEP, FLEETING, FULL, KEYS, LINE, ONCE, PLAIN, PRIO, SMALL, TEMP, WORK};

/// What it holds, whatever happened to its connection.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    held: Vec<Delivery>,
    deferred: Vec<(QueueId, Seq)>,
    waiting: Vec<baton_model::Token>,
}

impl Fetcher {
    fn fetch(&mut self, dice: &mut Dice, world: &World<'_>, ask: &mut Ask) {
        let queue = *dice.pick(&[
            PLAIN, PLAIN, WORK, KEYS, KEYS, LINE, PRIO, SMALL, FULL, BRIEF, ONCE, FLEETING, TEMP, DEAD, DEEP,
            DEEP,
        ]);
        let lease = match queue {
            ONCE => LeaseMode::Settled,
            _ if dice.one_in(5) => LeaseMode::Linked,
            _ => LeaseMode::Timed(Some(if dice.one_in(3) { 5_000 } else { 20 + dice.below(700) })),
        };
        let select = match self.deferred.first() {
            Some(_) if dice.one_in(3) => FetchSelect::Seqs(vec![self.deferred.remove(0).1]),
            _ => FetchSelect::Next,
        };
        let token = ask.token();
        let wait_until = dice.one_in(3).then(|| world.now.after_ms(dice.below(1_000)));
        if wait_until.is_some() {
            self.waiting.push(token);
        }
        ask.requests.push(Request::Fetch(Box::new(Fetch {
            token,
            link: LinkId(1),
            queue: queue.into(),
            select,
            count_max: 1 + dice.below(if queue == DEEP { 150 } else { 5 }) as u32,
            lease,
            wait_until,
            label: "fetcher".into(),
        })));
    }

    fn settle(&mut self, dice: &mut Dice, ask: &mut Ask) {
        let delivery = self.held.remove(dice.index(self.held.len()));
        let outcome = any_outcome(dice);
        if outcome == Outcome::Defer {
            self.deferred.push((delivery.at.queue, delivery.at.seq));
        }
        let deliveries = std::iter::once(delivery.at).collect();
        if matches!(outcome, Outcome::Extend { lease_ms: 1.. }) || dice.one_in(10) {
            // Settling again with the same receipt must do no harm.
            self.held.push(delivery);
        }
        let token = (!dice.one_in(4)).then(|| ask.token());
        ask.requests.push(Request::Settle(Settle { token, deliveries, outcome }));
    }
}

impl Brain for Fetcher {
    fn connect(&mut self) {
        self.waiting.clear();
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, ask: &mut Ask) {
        if dice.one_in(20)
            && let Some(token) = self.waiting.pop()
        {
            ask.requests.push(Request::CancelFetch { token });
        } else if self.held.is_empty() || dice.one_in(2) {
            self.fetch(dice, world, ask);
        } else {
            self.settle(dice, ask);
        }
    }

    fn hear(&mut self, event: Event) {
        if let Event::Fetched { result: Ok(fetched), .. } = event {
            self.held.extend(fetched.deliveries);
        }
    }
}
