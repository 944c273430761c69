//! Nothing confirmed is lost: each copy of a durable message that was confirmed is in a queue, or somebody did something to
//! it that may take it away: completed it, rejected it where there are no dead letters, got it with a settled lease, purged
//! or deleted it; or its own time to live ended where there are no dead letters.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::event::PublishOutcome;
use baton_model::list::ListOp;
use baton_model::request::{CatalogOp, InspectOp, LeaseMode, MessageAction};
use baton_model::{DeliveryRef, Event, MessageId, Outcome, QueueId, Request, Seq, Time, Token};

use super::{Checker, Modes, Names, Receipts, deliveries, flat};
use crate::fact::{Audited, Fact, Key, Known, Serial, serial};
use crate::topology::{FAN, FLEETING, ONCE, PLAIN, SMALL, TEMP, rejects_to_nowhere};

/// What may have taken a copy away.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Taken {
    /// Whoever had it with this receipt.
    With(DeliveryRef),
    /// An operator, from the queue of this name.
    From(String),
}

impl Taken {
    /// Several receipts of one place take one copy.
    fn place(&self) -> (Option<(QueueId, Seq)>, &str) {
        match self {
            Self::With(delivery) => (Some((delivery.queue, delivery.seq)), ""),
            Self::From(queue) => (None, queue),
        }
    }
}

#[derive(Debug, Default)]
struct Sent {
    targets: Vec<String>,
    /// Copies that were confirmed; 0: not (yet).
    confirmed: usize,
    /// It was answered that it is safe, or that nobody wanted it.
    accepted: bool,
    /// Which message it is; not known if it was confirmed with its transaction only, and not seen since.
    id: Option<MessageId>,
    taken: BTreeSet<Taken>,
    /// Its own time to live is over then, wherever it is.
    expires_at: Option<Time>,
    transient: bool,
    /// Nothing but a refusal can keep it from all its targets.
    surely: bool,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    sent: BTreeMap<Serial, Sent>,
    tokens: BTreeMap<(Key, Token), Serial>,
    /// Settlements that will be answered: what they may take away, unless the answer says that they were stale.
    asked: BTreeMap<(Key, Token), Vec<(Serial, Taken)>>,
    /// What is published by transactions that are not answered, without an answer of its own.
    groups: BTreeMap<(Key, Token), Vec<Serial>>,
    /// Elements of lists, which are for `lists`.
    pushed: BTreeSet<Serial>,
    names: Names,
    modes: Modes,
    receipts: Receipts,
}

impl Kept {
    fn asked(&mut self, at: Time, by: Key, request: &Request) {
        match request {
            Request::Publish(publish) => {
                let Some(serial) = serial(&publish.message) else { return };
                self.tokens.insert((by, publish.token), serial);
                let targets = match publish.exchange.as_str() {
                    FAN => vec![PLAIN.to_owned(), SMALL.to_owned()],
                    _ => std::iter::once(&publish.key)
                        .chain(&publish.more_keys)
                        .map(ToString::to_string)
                        .collect(),
                };
                let transient = !publish.durable || targets.iter().any(|target| target == FLEETING);
                let expires_at = publish.ttl_ms.map(|ms| at.after_ms(ms));
                let surely = publish.dedup_id.is_none() && !targets.iter().any(|target| target == TEMP);
                self.sent.insert(serial, Sent { targets, transient, expires_at, surely, ..Sent::default() });
            }
            Request::Settle(settle) => {
                let mut may = Vec::new();
                for delivery in &settle.deliveries {
                    let Some((queue, _, serial)) = self.receipts.copy(delivery) else { continue };
                    let name = self.names.of(queue);
                    let takes = match settle.outcome {
                        Outcome::Complete | Outcome::CompleteLate => true,
                        // An unknown queue is one that was made anew: it has no dead letters.
                        Outcome::Reject { .. } => rejects_to_nowhere(name),
                        _ => false,
                    };
                    let taken = Taken::With(*delivery);
                    if let Some(sent) = self.sent.get_mut(&serial).filter(|_| takes)
                        && sent.taken.insert(taken.clone())
                    {
                        may.push((serial, taken));
                    }
                }
                if let Some(token) = settle.token {
                    self.asked.insert((by, token), may);
                }
            }
            Request::List(list) => self.pushed.extend(pushed(std::slice::from_ref(&list.op))),
            Request::ListGroup(group) => self.pushed.extend(pushed(&group.ops)),
            Request::Catalog { op, .. } => match &**op {
                CatalogOp::PurgeQueue { name } | CatalogOp::DeleteQueue { name, .. } => self.take_all(name),
                _ => {}
            },
            Request::Inspect { op, .. } => {
                if let InspectOp::Act { queue, action: MessageAction::Delete, .. } = &**op {
                    // Which message it was is known by its place only, and that of a copy nobody was given is not known here.
                    self.take_all(queue);
                }
            }
            _ => {}
        }
    }

    /// Everything that was sent to a queue so far may be gone from it.
    fn take_all(&mut self, queue: &str) {
        for sent in self.sent.values_mut().filter(|sent| sent.targets.iter().any(|target| target == queue)) {
            sent.taken.insert(Taken::From(queue.to_owned()));
        }
    }

    fn told(&mut self, to: Key, event: &Event) {
        match event {
            Event::Published { token, outcome: PublishOutcome::Accepted { queues, id, .. } } => {
                let serial = self.tokens.get(&(to, *token));
                if let Some(sent) = serial.and_then(|serial| self.sent.get_mut(serial)) {
                    sent.confirmed = *queues as usize;
                    sent.accepted = true;
                    sent.id = Some(*id);
                }
            }
            // What it is the same as is safe: nothing is expected of this one.
            Event::Published { token, outcome: PublishOutcome::Duplicate { .. } } => {
                let serial = self.tokens.get(&(to, *token));
                if let Some(sent) = serial.and_then(|serial| self.sent.get_mut(serial)) {
                    sent.accepted = true;
                }
            }
            Event::Reply { token, result } => {
                for serial in self.groups.remove(&(to, *token)).unwrap_or_default() {
                    if let Some(sent) = self.sent.get_mut(&serial).filter(|_| result.is_ok()) {
                        sent.accepted = true;
                        sent.confirmed = if sent.surely { sent.targets.len() } else { 0 };
                    }
                }
            }
            Event::Settled { token, stale } => {
                for (serial, taken) in self.asked.remove(&(to, *token)).unwrap_or_default() {
                    let was_stale = stale.iter().any(|delivery| taken == Taken::With(*delivery));
                    if let Some(sent) = self.sent.get_mut(&serial).filter(|_| was_stale) {
                        sent.taken.remove(&taken);
                    }
                }
            }
            _ => {}
        }
        if self.modes.of(to, event) == Some(LeaseMode::Settled) {
            for delivery in deliveries(event) {
                let serial = serial(&delivery.message);
                if let Some(sent) = serial.and_then(|serial| self.sent.get_mut(&serial)) {
                    sent.taken.insert(Taken::With(delivery.at));
                }
            }
        }
    }

    /// Copies that must be somewhere at this time.
    fn expected(sent: &Sent, at: Time) -> usize {
        let excused = sent.transient
            || sent.targets.iter().any(|target| target == ONCE)
            || sent.expires_at.is_some_and(|expires_at| expires_at <= at);
        let taken: BTreeSet<_> = sent.taken.iter().map(Taken::place).collect();
        if excused { 0 } else { sent.confirmed.saturating_sub(taken.len()) }
    }

    fn missing(&self, at: Time, found: &BTreeMap<MessageId, usize>) -> Result<(), String> {
        for (serial, sent) in &self.sent {
            let Some(id) = sent.id else { continue };
            let (expected, found) = (Self::expected(sent, at), found.get(&id).copied().unwrap_or(0));
            if found < expected {
                return Err(format!(
                    "message {serial} was confirmed: {sent:?}; {found} copies are left, not {expected}"
                ));
            }
        }
        Ok(())
    }

    fn audit(&mut self, at: Time, queues: &[Audited]) -> Result<(), String> {
        let mut found = BTreeMap::new();
        for message in queues.iter().flat_map(|queue| &queue.messages) {
            *found.entry(message.id).or_insert(0) += 1;
            if let Some(sent) = serial(&message.message).and_then(|serial| self.sent.get_mut(&serial)) {
                sent.id.get_or_insert(message.id);
            }
        }
        let unseen = self.sent.iter().find(|(_, sent)| sent.id.is_none() && Self::expected(sent, at) > 0);
        if let Some((serial, sent)) = unseen {
            return Err(format!(
                "message {serial} was confirmed with its transaction and is nowhere: {sent:?}"
            ));
        }
        self.missing(at, &found)
    }
}

/// Numbers of the elements that list operations bring.
fn pushed(ops: &[ListOp]) -> impl Iterator<Item = Serial> {
    let messages = ops.iter().filter_map(|op| match op {
        ListOp::Push { messages, .. } => Some(messages),
        _ => None,
    });
    messages.flatten().filter_map(serial)
}

impl Checker for Kept {
    fn name(&self) -> &'static str {
        "kept"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.names.see(fact);
        self.modes.see(fact);
        self.receipts.see(fact);
        match fact {
            Fact::Asked { at, by, request } => {
                if let Request::Group { token, requests } = request {
                    let published = requests.iter().filter_map(|request| match request {
                        Request::Publish(publish) if !publish.confirm => serial(&publish.message),
                        _ => None,
                    });
                    self.groups.insert((*by, *token), published.collect());
                }
                flat(request).for_each(|request| self.asked(*at, *by, request));
            }
            Fact::Told { to, event, .. } => self.told(*to, event),
            Fact::Client { by, known: Known::Confirmed { serial } }
                if self.sent.get(serial).is_none_or(|sent| !sent.accepted)
                    && !self.pushed.contains(serial) =>
            {
                return Err(format!(
                    "the client of {by:x} was told that message {serial} is safe, which the broker never said"
                ));
            }
            Fact::Back { at, state, .. } => {
                let mut found = BTreeMap::new();
                for item in *state {
                    if let baton_core::snapshot::Item::Entry(entry) = item {
                        *found.entry(entry.id).or_insert(0) += 1;
                    }
                }
                return self.missing(*at, &found);
            }
            Fact::Audit { at, queues } => return self.audit(*at, queues),
            _ => {}
        }
        Ok(())
    }
}
