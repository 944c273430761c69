//! No two live leases on one message: a message is handed over again only when the lease before may have ended: settled,
//! run out, taken back, or (for linked ones) gone with its connection. A timed lease lives on through restarts, and through a
//! power failure once it is durable.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::request::{InspectOp, LeaseMode, MessageAction};
use baton_model::{DeliveryRef, Event, LinkId, Outcome, Request, Seq, Time, Token};

use super::{Checker, Copy, Ending, Modes, Names, Receipts, deliveries, flat, may_end};
use crate::fact::{Fact, Key, serial};

#[derive(Debug)]
struct Lease {
    at: DeliveryRef,
    /// Who holds it; a linked one ends with them.
    holder: Key,
    link: LinkId,
    linked: bool,
    /// It does not run out before.
    until: Option<Time>,
    /// It survives the machine.
    durable: bool,
    /// It may have ended.
    ended: bool,
}

#[derive(Debug, Default)]
pub(super) struct OneLease {
    leases: BTreeMap<Copy, Lease>,
    seen: BTreeSet<DeliveryRef>,
    /// Places whose leases an operator took back.
    taken_back: BTreeSet<(String, Seq)>,
    /// Extensions that will be answered, and until when they surely last.
    extending: BTreeMap<(Key, Token), (Vec<DeliveryRef>, Time)>,
    ending: Ending,
    modes: Modes,
    names: Names,
    receipts: Receipts,
}

fn place(names: &Names, at: &DeliveryRef) -> (String, Seq) {
    (names.of(at.queue).to_owned(), at.seq)
}

impl OneLease {
    fn end(&mut self, which: impl Fn(&Lease) -> bool) {
        self.leases.values_mut().filter(|lease| which(lease)).for_each(|lease| lease.ended = true);
    }

    fn lease(&mut self, at: &DeliveryRef) -> Option<&mut Lease> {
        let copy = self.receipts.copy(at)?;
        self.leases.get_mut(&copy).filter(|lease| lease.at == *at)
    }

    /// Extensions of the same leases that are under way at the same time count with the earliest end of all: which of them is done
    /// last is not known.
    fn cap(&mut self, deliveries: &[DeliveryRef], until: Time) {
        let same = |others: &[DeliveryRef]| others.iter().any(|delivery| deliveries.contains(delivery));
        let under_way = || self.extending.values().filter(|(others, _)| same(others));
        let until = under_way().map(|(_, other)| *other).chain([until]).min().unwrap_or(until);
        for (others, other) in self.extending.values_mut() {
            if same(others) {
                *other = until;
            }
        }
    }

    fn asked(&mut self, at: Time, by: Key, request: &Request) {
        match request {
            Request::Settle(settle) => {
                for delivery in &settle.deliveries {
                    let Some(lease) = self.lease(delivery) else { continue };
                    match settle.outcome {
                        Outcome::Extend { lease_ms } if lease_ms > 0 => {
                            lease.until = lease.until.map(|until| until.min(at.after_ms(lease_ms)));
                        }
                        _ => lease.ended |= may_end(&settle.outcome),
                    }
                }
                if let (Some(token), Outcome::Extend { lease_ms: lease_ms @ 1.. }) =
                    (settle.token, &settle.outcome)
                {
                    self.extending.insert((by, token), (settle.deliveries.to_vec(), at.after_ms(*lease_ms)));
                }
                if let Outcome::Extend { lease_ms: lease_ms @ 1.. } = settle.outcome {
                    self.cap(&settle.deliveries, at.after_ms(lease_ms));
                }
            }
            Request::Recover { link, .. } | Request::Detach { link, .. } => {
                self.end(|lease| lease.linked && lease.holder == by && lease.link == *link);
            }
            Request::Inspect { op, .. } => {
                if let InspectOp::Act { queue, seqs, action: MessageAction::EndLease } = &**op {
                    // Also of leases that were granted and have not left yet.
                    self.taken_back.extend(seqs.iter().map(|seq| (queue.to_string(), *seq)));
                    let Self { leases, names, taken_back, .. } = self;
                    let taken = |lease: &&mut Lease| taken_back.contains(&place(names, &lease.at));
                    leases.values_mut().filter(taken).for_each(|lease| lease.ended = true);
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, at: Time, to: Key, event: &Event) -> Result<(), String> {
        match event {
            Event::Settled { token, stale } => {
                if let Some((deliveries, until)) = self.extending.remove(&(to, *token)) {
                    for delivery in deliveries.iter().filter(|delivery| !stale.contains(delivery)) {
                        if let Some(lease) = self.lease(delivery).filter(|lease| lease.until.is_some()) {
                            lease.until = Some(until);
                        }
                    }
                }
            }
            Event::LeaseEnded { delivery, .. } => {
                if let Some(lease) = self.lease(delivery) {
                    lease.ended = true;
                }
            }
            _ => {}
        }
        let mode = self.modes.of(to, event);
        for delivery in deliveries(event) {
            let Some(serial) = serial(&delivery.message) else { continue };
            let settled = mode == Some(LeaseMode::Settled);
            let copy = (delivery.at.queue, delivery.at.seq, serial);
            if !settled && !self.seen.insert(delivery.at) {
                return Err(format!("the lease {:?} of message {serial} was handed out twice", delivery.at));
            }
            if let Some(lease) = self.leases.get(&copy) {
                if lease.at.fence >= delivery.at.fence && !settled {
                    // Leases of several connections are seen in another order than they were granted in.
                    continue;
                }
                let over = lease.ended || lease.until.is_some_and(|until| until <= at);
                if !over {
                    return Err(format!(
                        "message {serial} is handed out as {:?} while {lease:?} lives",
                        delivery.at
                    ));
                }
            }
            let linked = mode == Some(LeaseMode::Linked);
            let (holder, link, until) = (to, delivery.link, delivery.lease_until);
            let taken_back = self.taken_back.contains(&place(&self.names, &delivery.at));
            let ended = settled || taken_back || linked && self.ending.has(to, link);
            let durable = false;
            let lease = Lease { at: delivery.at, holder, link, linked, until, durable, ended };
            self.leases.insert(copy, lease);
        }
        Ok(())
    }
}

impl Checker for OneLease {
    fn name(&self) -> &'static str {
        "one_lease"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.ending.see(fact);
        self.modes.see(fact);
        self.names.see(fact);
        self.receipts.see(fact);
        match fact {
            Fact::Asked { at, by, request } => {
                flat(request).for_each(|request| self.asked(*at, *by, request));
            }
            Fact::Told { at, to, event } => return self.told(*at, *to, event),
            Fact::Cut { key } => self.end(|lease| lease.linked && lease.holder == *key),
            Fact::Durable => self.leases.values_mut().for_each(|lease| lease.durable = true),
            // Its receipt is worth nothing any more.
            Fact::Died { power } => self.end(|lease| lease.linked || (*power && !lease.durable)),
            _ => {}
        }
        Ok(())
    }
}
