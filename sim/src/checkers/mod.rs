//! The checkers: each one promise, from facts alone. They know what was asked and what was told, and nothing of how the
//! broker keeps its word. What cannot be known from outside (whether a request was still executed before a crash) they
//! count in the broker's favour.
//!
//! ```text
//! kept        nothing confirmed is lost              fences     fencing numbers only grow, over restarts too
//! settled     nothing completed comes back           counters   what a queue says of itself is what is in it
//! one_lease   no two live leases on one message      durable    what recovery finds was, or may have been, durable
//! order       queues and keys in order               bounded    windows, outboxes, nothing left behind
//! answers     answers in order, each once            budgets    memory and disk follow what is there
//! clients     what clients read and are told in     lists      lists lose nothing and give nothing twice
//!             their own protocols is what happened
//! dedup       what was said before is left out,  watched    transactions are done only on what was seen
//!             and nothing else
//! ```

mod answers;
mod bounded;
mod budgets;
mod clients;
mod counters;
mod dedup;
mod durable;
mod fences;
mod kept;
mod lists;
mod one_lease;
mod order;
mod settled;
mod watched;

use std::collections::BTreeMap;

use baton_model::event::Delivery;
use baton_model::request::{LeaseMode, Outcome};
use baton_model::{ConsumerId, DeliveryRef, Event, LinkId, QueueId, Reply, Request, Seq, Token};

use crate::fact::{Fact, Key, Serial};

/// One promise.
pub trait Checker {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Looks at a fact.
    ///
    /// # Errors
    /// The promise is broken: how.
    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String>;
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(durable::Durable),
        Box::new(kept::Kept::default()),
        Box::new(settled::Settled::default()),
        Box::new(one_lease::OneLease::default()),
        Box::new(fences::Fences::default()),
        Box::new(order::Order::default()),
        Box::new(answers::Answers::default()),
        Box::new(counters::Counters),
        Box::new(bounded::Bounded::default()),
        Box::new(budgets::Budgets::default()),
        Box::new(clients::Clients::default()),
        Box::new(lists::Lists::default()),
        Box::new(dedup::Dedup::default()),
        Box::new(watched::Watched::default()),
    ]
}

/// A message at a place of a queue: what is delivered, settled and lost.
type Copy = (QueueId, Seq, Serial);

/// The deliveries that an event carries.
fn deliveries(event: &Event) -> &[Delivery] {
    match event {
        Event::Delivered(delivery) => std::slice::from_ref(&**delivery),
        Event::Fetched { result: Ok(fetched), .. } => &fetched.deliveries,
        _ => &[],
    }
}

/// Requests with those inside of groups in place of the groups.
fn flat<'r>(request: &'r Request) -> Box<dyn Iterator<Item = &'r Request> + 'r> {
    match request {
        Request::Group { requests, .. } => Box::new(requests.iter()),
        other => Box::new(std::iter::once(other)),
    }
}

/// Whether an outcome may end a lease.
fn may_end(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Extend { lease_ms: 1.. })
}

/// Names of queues by their ids, as far as they were told.
#[derive(Debug, Default)]
struct Names(BTreeMap<QueueId, String>);

impl Names {
    fn see(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Told { event: Event::Reply { result: Ok(Reply::Queue { info, .. }), .. }, .. } => {
                self.0.insert(info.id, info.name.to_string());
            }
            Fact::Audit { queues, .. } => {
                self.0.extend(queues.iter().map(|queue| (queue.info.id, queue.info.name.to_string())));
            }
            _ => {}
        }
    }

    fn of(&self, queue: QueueId) -> &str {
        self.0.get(&queue).map_or("", String::as_str)
    }
}

/// How deliveries are leased: by the consumer or fetch that they are for.
#[derive(Debug, Default)]
struct Modes {
    consumers: BTreeMap<(Key, ConsumerId), LeaseMode>,
    fetches: BTreeMap<(Key, Token), LeaseMode>,
}

impl Modes {
    fn see(&mut self, fact: &Fact<'_>) {
        if let Fact::Asked { by, request, .. } = fact {
            match request {
                Request::Subscribe(subscribe) => {
                    self.consumers.insert((*by, subscribe.consumer), subscribe.lease);
                }
                Request::Fetch(fetch) => {
                    self.fetches.insert((*by, fetch.token), fetch.lease);
                }
                _ => {}
            }
        }
    }

    fn of(&self, to: Key, event: &Event) -> Option<LeaseMode> {
        match event {
            Event::Delivered(delivery) => self.consumers.get(&(to, delivery.consumer)).copied(),
            Event::Fetched { token, .. } => self.fetches.get(&(to, *token)).copied(),
            _ => None,
        }
    }
}

/// Which message a receipt is for.
#[derive(Debug, Default)]
struct Receipts(BTreeMap<DeliveryRef, Serial>);

impl Receipts {
    fn see(&mut self, fact: &Fact<'_>) {
        if let Fact::Told { event, .. } = fact {
            for delivery in deliveries(event) {
                if let Some(serial) = crate::fact::serial(&delivery.message) {
                    self.0.insert(delivery.at, serial);
                }
            }
        }
    }

    fn copy(&self, at: &DeliveryRef) -> Option<Copy> {
        self.0.get(at).map(|serial| (at.queue, at.seq, *serial))
    }
}

/// Links whose linked leases end at a moment that is not known: what is told of them until the answer may have ended before
/// it left. A detached link gives no answer and may be used again, so it stays.
#[derive(Debug, Default)]
struct Ending(BTreeMap<(Key, LinkId), Option<Token>>);

impl Ending {
    fn see(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Asked { by, request: Request::Recover { link, token }, .. } => {
                let until = self.0.entry((*by, *link)).or_insert(Some(*token));
                *until = until.and(Some(*token));
            }
            Fact::Asked { by, request: Request::Detach { link, .. }, .. } => {
                self.0.insert((*by, *link), None);
            }
            Fact::Told { to, event: Event::Reply { token, .. }, .. } => {
                self.0.retain(|(key, _), until| key != to || *until != Some(*token));
            }
            _ => {}
        }
    }

    fn has(&self, key: Key, link: LinkId) -> bool {
        self.0.contains_key(&(key, link))
    }
}
