//! A client with transactions: takes messages and settles them together with publishes, all or nothing.

use baton_model::request::{Fetch, FetchSelect, LeaseMode, Settle};
use baton_model::{DeliveryRef, Event, LinkId, Outcome, Request};

use super::neutral::{Ask, Brain};
use super::{World, any_publish};
use crate::Dice;
use crate::topology::{KEYS, PLAIN, PRIO, WORK};

/// What it holds.
#[derive(Debug, Default)]
pub(super) struct Transactor {
    held: Vec<DeliveryRef>,
}

impl Brain for Transactor {
    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, ask: &mut Ask) {
        if self.held.is_empty() || dice.one_in(3) {
            let lease = if dice.one_in(3) { LeaseMode::Timed(Some(1_000)) } else { LeaseMode::Linked };
            let queue = *dice.pick(&[PLAIN, WORK, KEYS, PRIO]);
            ask.put(|token| {
                Request::Fetch(Box::new(Fetch {
                    token,
                    link: LinkId(1),
                    queue: queue.into(),
                    select: FetchSelect::Next,
                    count_max: 3,
                    lease,
                    wait_until: None,
                    label: "transactor".into(),
                }))
            });
            return;
        }
        let mut requests = Vec::new();
        for _ in 0..dice.below(3) {
            let publish = any_publish(dice, ask.token(), world.serials);
            requests.push(Request::Publish(Box::new(publish)));
        }
        let count = 1 + dice.index(self.held.len());
        let outcome = if dice.one_in(5) {
            Outcome::Release { failed: true, delay_ms: None }
        } else {
            Outcome::Complete
        };
        let token = dice.one_in(2).then(|| ask.token());
        requests.push(Request::Settle(Settle {
            token,
            deliveries: self.held.drain(..count).collect(),
            outcome,
        }));
        ask.put(|token| Request::Group { token, requests });
    }

    fn hear(&mut self, event: Event) {
        if let Event::Fetched { result: Ok(fetched), .. } = event {
            self.held.extend(fetched.deliveries.iter().map(|delivery| delivery.at));
        }
    }
}
