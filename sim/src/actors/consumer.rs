//! A consumer: windows, linked and timed and settled leases, every way to settle, links that go away, and acknowledgements
//! followed by a confirmed publish.

use baton_model::request::{LeaseMode, Settle, Subscribe};
use baton_model::{ConsumerId, DeliveryRef, Event, LinkId, Outcome, Request};

use super::neutral::{Ask, Brain};
use super::{World, any_publish};
use crate::Dice;
use crate::topology::{BRIEF, DEAD, FLEETING, FULL, KEYS, LINE, ONCE, PLAIN, PRIO, SMALL, TEMP, WORK};

/// Shorter leases than what records linger would go round and round, and the broker would never be at rest.
const LEASE_MS_MIN: u64 = 200;

/// Its consumers are numbered as they come; what it holds it forgets with the connection.
#[derive(Debug, Default)]
pub(super) struct Consumer {
    consumers: u32,
    held: Vec<DeliveryRef>,
}

/// How a delivery is settled, by the dice.
pub(super) fn any_outcome(dice: &mut Dice) -> Outcome {
    match dice.below(16) {
        0 | 1 => Outcome::Release { failed: true, delay_ms: None },
        2 => Outcome::Release { failed: dice.one_in(2), delay_ms: Some(dice.below(600)) },
        3 => Outcome::Release { failed: false, delay_ms: None },
        4 => Outcome::Reject { reason: Some("bad".into()) },
        5 => Outcome::Defer,
        6 => Outcome::Extend { lease_ms: dice.below(800) },
        _ => Outcome::Complete,
    }
}

impl Consumer {
    fn subscribe(&mut self, dice: &mut Dice, ask: &mut Ask) {
        self.consumers += 1;
        let queue = *dice.pick(&[
            PLAIN, PLAIN, WORK, WORK, KEYS, KEYS, LINE, PRIO, SMALL, FULL, BRIEF, ONCE, FLEETING, TEMP, DEAD,
        ]);
        let lease = match queue {
            ONCE => LeaseMode::Settled,
            _ if dice.one_in(4) => LeaseMode::Timed(Some(LEASE_MS_MIN + dice.below(2_000))),
            _ => LeaseMode::Linked,
        };
        ask.put(|token| {
            Request::Subscribe(Box::new(Subscribe {
                token,
                consumer: ConsumerId(self.consumers),
                link: LinkId(1 + dice.below(2) as u32),
                queue: queue.into(),
                lease,
                window: Some(1 + dice.below(6) as u32),
                credit: dice.one_in(4).then(|| 1 + dice.below(10) as u32),
                priority: dice.below(2) as i32,
                exclusive: false,
                session: None,
                linked_lease_ms_max: None,
                filter: None,
                label: "consumer".into(),
            }))
        });
    }

    fn settle(&mut self, dice: &mut Dice, ask: &mut Ask) {
        let count = (1 + dice.index(3)).min(self.held.len());
        let deliveries = (0..count).map(|_| self.held.remove(dice.index(self.held.len()))).collect();
        let outcome = any_outcome(dice);
        let token = dice.one_in(2).then(|| ask.token());
        if matches!(outcome, Outcome::Extend { lease_ms: 1.. }) {
            self.held.extend(&deliveries);
        }
        ask.requests.push(Request::Settle(Settle { token, deliveries, outcome }));
    }
}

impl Brain for Consumer {
    fn connect(&mut self) {
        self.consumers = 0;
    }

    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, ask: &mut Ask) {
        let link = LinkId(1 + dice.below(2) as u32);
        match dice.below(40) {
            _ if self.consumers == 0 => self.subscribe(dice, ask),
            0..4 => self.subscribe(dice, ask),
            4 => {
                let consumer = ConsumerId(1 + dice.below(u64::from(self.consumers)) as u32);
                ask.put(|token| Request::Unsubscribe { token, consumer });
            }
            5 => ask.put(|token| Request::Recover { token, link }),
            6 => ask.requests.push(Request::Detach { link, failed: dice.one_in(2) }),
            7 => {
                let consumer = ConsumerId(1 + dice.below(u64::from(self.consumers)) as u32);
                ask.requests.push(Request::Credit { consumer, more: 1 + dice.below(5) as u32 });
            }
            8 => {
                let window = dice.one_in(2).then(|| 1 + dice.below(8) as u32);
                ask.requests.push(Request::LinkWindow { link, window });
            }
            9 => ask.requests.push(Request::Flow { link, active: !dice.one_in(3) }),
            10..15 => {
                let publish = any_publish(dice, ask.token(), world.serials);
                ask.requests.push(Request::Publish(Box::new(publish)));
            }
            _ if self.held.is_empty() => {}
            _ => self.settle(dice, ask),
        }
    }

    fn hear(&mut self, event: Event) {
        if let Event::Delivered(delivery) = event {
            self.held.push(delivery.at);
        }
    }

    fn cut(&mut self) {
        self.consumers = 0;
        // Receipts of timed leases are still good; those of linked ones are tried too, and must be stale.
        self.held.truncate(4);
    }
}
