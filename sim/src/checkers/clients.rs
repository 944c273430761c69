//! What clients of real protocols know is what happened: a message is published when its client sent it (or committed it), in
//! that order; a client reads what the broker handed to its connection, byte for byte, each once and in order; what becomes of
//! it is what the client said; and it is told that this is done when the broker has said so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use baton_model::list::{ListOp, Listed};
use baton_model::{Event, Message, Outcome, Reply, Request, Token};

use super::{Checker, Receipts, deliveries, flat};
use crate::fact::{Ended, Fact, Key, Known, Serial, serial, serial_of};

/// What is known of one connection.
#[derive(Debug, Default)]
struct Client {
    /// Sent, and not asked for by its session; and what was asked for.
    sent: VecDeque<Serial>,
    published: BTreeSet<Serial>,
    /// Handed to the connection, and not read.
    handed: VecDeque<Message>,
    /// What it said of messages and its session did not carry out.
    said: BTreeMap<(Serial, Ended), usize>,
    /// It hung up.
    left: bool,
    /// Settlements that will be answered.
    asked: BTreeMap<Token, Vec<Serial>>,
    /// Messages about which the broker said that they are settled, or taken back.
    over: BTreeMap<Serial, usize>,
}

#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: BTreeMap<Key, Client>,
    receipts: Receipts,
}

impl Client {
    fn publishes(&mut self, serial: Serial) -> Result<(), String> {
        if let Some(at) = self.sent.iter().position(|sent| *sent == serial) {
            self.sent.drain(..=at);
            self.published.insert(serial);
        } else if !self.published.contains(&serial) {
            return Err(format!(
                "message {serial} is published, which its client did not send, or before one that it sent later"
            ));
        }
        Ok(())
    }

    fn settles(&mut self, serial: Serial, outcome: &Outcome) -> Result<(), String> {
        let ended = match outcome {
            Outcome::Complete | Outcome::CompleteLate => Ended::Completed,
            Outcome::Release { .. } | Outcome::Extend { lease_ms: 0 } => Ended::Released,
            Outcome::Reject { .. } => Ended::Rejected,
            _ => return Ok(()),
        };
        match self.said.get_mut(&(serial, ended)) {
            Some(left @ 1..) => *left -= 1,
            _ if self.left && ended == Ended::Released => {}
            _ => return Err(format!("message {serial} is {ended:?}, which its client did not say")),
        }
        Ok(())
    }

    fn knows(&mut self, known: &Known) -> Result<(), String> {
        match known {
            Known::Sent { serial } => self.sent.push_back(*serial),
            Known::Settled { serial, ended } => *self.said.entry((*serial, *ended)).or_default() += 1,
            Known::Read { body } => {
                let at = self.handed.iter().position(|message| message.body_slice() == &body[..]);
                let Some(at) = at else {
                    return Err(format!(
                        "a client reads message {:?} of {} bytes, which was not handed to it so, or too often",
                        serial_of(body),
                        body.len()
                    ));
                };
                self.handed.drain(..=at);
            }
            Known::Done { serial } => match self.over.get_mut(serial) {
                Some(left @ 1..) => *left -= 1,
                _ => {
                    return Err(format!(
                        "a client is told that message {serial} is settled, the broker was not"
                    ));
                }
            },
            Known::Left => self.left = true,
            // That is for `kept`.
            Known::Confirmed { .. } => {}
        }
        Ok(())
    }

    fn is_over(&mut self, serials: impl IntoIterator<Item = Serial>) {
        serials.into_iter().for_each(|serial| *self.over.entry(serial).or_default() += 1);
    }

    /// The elements of an answer.
    fn listed(&mut self, listed: &Listed) {
        match listed {
            Listed::Popped(popped) => self.handed.extend(popped.elements.iter().cloned()),
            Listed::Element(element) => self.handed.push_back(element.clone()),
            Listed::Elements(elements) => self.handed.extend(elements.iter().cloned()),
            Listed::All(all) => all.iter().flatten().for_each(|listed| self.listed(listed)),
            _ => {}
        }
    }

    /// The elements that list operations bring.
    fn pushes(&mut self, request: &Request) -> Result<(), String> {
        let ops = match request {
            Request::List(list) => std::slice::from_ref(&list.op),
            Request::ListGroup(group) => &group.ops,
            _ => return Ok(()),
        };
        for op in ops {
            if let ListOp::Push { messages, .. } = op {
                messages.iter().filter_map(serial).try_for_each(|serial| self.publishes(serial))?;
            }
        }
        Ok(())
    }

    fn told(&mut self, event: &Event) {
        self.handed.extend(deliveries(event).iter().map(|delivery| delivery.message.clone()));
        if let Event::Reply { result: Ok(Reply::Listed(listed)), .. } = event {
            self.listed(listed);
        }
        match event {
            Event::Settled { token, .. } | Event::Reply { token, result: Ok(Reply::Done) } => {
                let serials = self.asked.remove(token).unwrap_or_default();
                self.is_over(serials);
            }
            _ => {}
        }
    }
}

impl Checker for Clients {
    fn name(&self) -> &'static str {
        "clients"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.receipts.see(fact);
        let (Fact::Spoken { by: key }
        | Fact::Cut { key }
        | Fact::Client { by: key, .. }
        | Fact::Asked { by: key, .. }
        | Fact::Told { to: key, .. }) = fact
        else {
            if matches!(fact, Fact::Died { .. }) {
                self.clients.clear();
            }
            return Ok(());
        };
        let receipts = &self.receipts;
        if matches!(fact, Fact::Spoken { .. }) {
            self.clients.insert(*key, Client::default());
        }
        let Some(client) = self.clients.get_mut(key) else { return Ok(()) };
        let seen = match fact {
            Fact::Client { known, .. } => client.knows(known),
            Fact::Asked { request, .. } => client.asks(request, receipts),
            Fact::Told { event, .. } => {
                if let Event::LeaseEnded { delivery, .. } = event {
                    client.is_over(receipts.0.get(delivery).copied());
                }
                client.told(event);
                Ok(())
            }
            Fact::Cut { .. } => {
                self.clients.remove(key);
                Ok(())
            }
            _ => Ok(()),
        };
        seen.map_err(|what| format!("connection {key:x}: {what}"))
    }
}

impl Client {
    fn asks(&mut self, request: &Request, receipts: &Receipts) -> Result<(), String> {
        self.pushes(request)?;
        let mut settled = Vec::new();
        for request in flat(request) {
            match request {
                Request::Publish(publish) => {
                    serial(&publish.message).map_or(Ok(()), |serial| self.publishes(serial))?;
                }
                Request::Settle(settle) => {
                    for serial in settle.deliveries.iter().filter_map(|delivery| receipts.0.get(delivery)) {
                        self.settles(*serial, &settle.outcome)?;
                        settled.push(*serial);
                    }
                }
                _ => {}
            }
        }
        match request {
            Request::Group { token, .. } => {
                self.asked.insert(*token, settled);
            }
            Request::Settle(settle) => {
                settle.token.map(|token| self.asked.insert(token, settled));
            }
            _ => {}
        }
        Ok(())
    }
}
