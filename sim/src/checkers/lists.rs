//! Lists lose nothing and give nothing twice: a confirmed element is in one of the lists, or was popped or removed, once. A
//! transaction's elements are there all or none. Elements that one connection pushed leave in that order. **A pop that was not
//! answered before its connection ended may have taken as many elements as it asked for**, which nobody has; so they are
//! counted, and no more may be missing. A popped element that is leased is not gone before its receiver goes on.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::list::{ListOp, Listed, Popped, Side};
use baton_model::{DeliveryRef, Event, Message, Reply, Request, Token};

use super::{Checker, deliveries};
use crate::fact::{Audited, Fact, Key, Known, Serial, serial, serial_of};
use crate::topology::{LEASED, LIST, SPARE};

/// What is known of an element.
#[derive(Debug)]
struct Element {
    leased: bool,
    /// By whom, and behind how many others.
    pushed: (Key, u64),
    /// What was pushed in the same step.
    together: (Key, Token),
    confirmed: bool,
    /// It was popped or removed, and that was answered.
    gone: bool,
    /// Somebody asked for its end.
    may_be_gone: bool,
    /// Whose it is, if it is leased.
    holder: Option<Key>,
}

/// Operations that are not answered.
type Asked = Vec<ListOp>;

#[derive(Debug, Default)]
pub(super) struct Lists {
    elements: BTreeMap<Serial, Element>,
    together: BTreeMap<(Key, Token), Vec<Serial>>,
    pushes: u64,
    asked: BTreeMap<(Key, Token), Asked>,
    leases: BTreeMap<DeliveryRef, Serial>,
    /// Elements that pops without an answer may have taken.
    lost_max: u64,
    /// The last place that each connection popped of each other's pushes.
    popped: BTreeMap<(Key, Key), u64>,
    /// The auditor takes everything out.
    over: bool,
}

fn is_list(queue: &str) -> bool {
    [LIST, SPARE, LEASED].contains(&queue)
}

fn pops(op: &ListOp) -> u64 {
    match op {
        ListOp::Pop { queues, count_max, .. } if queues.iter().any(|queue| queue != LEASED) => *count_max,
        _ => 0,
    }
}

impl Lists {
    fn asked(&mut self, by: Key, token: Token, ops: &[ListOp]) {
        for op in ops {
            match op {
                ListOp::Push { queue, messages, .. } => {
                    for serial in messages.iter().filter_map(serial) {
                        self.pushes += 1;
                        let element = Element {
                            leased: queue == LEASED,
                            pushed: (by, self.pushes),
                            together: (by, token),
                            confirmed: false,
                            gone: false,
                            may_be_gone: false,
                            holder: None,
                        };
                        self.elements.insert(serial, element);
                        self.together.entry((by, token)).or_default().push(serial);
                    }
                }
                ListOp::Remove { value, .. } => {
                    let element = serial_of(value).and_then(|serial| self.elements.get_mut(&serial));
                    element.into_iter().for_each(|element| element.may_be_gone = true);
                }
                _ => {}
            }
        }
        self.asked.insert((by, token), ops.to_vec());
    }

    fn answered(&mut self, to: Key, op: &ListOp, listed: &Listed) -> Result<(), String> {
        match (op, listed) {
            (ListOp::Push { messages, .. }, Listed::Count(_)) => {
                for serial in messages.iter().filter_map(serial) {
                    self.confirm(serial);
                }
            }
            (_, Listed::Popped(popped)) => self.popped(to, popped)?,
            (ListOp::Move { take: Side::Right, .. }, Listed::Element(message)) => {
                self.leaves(to, message)?;
            }
            (ListOp::Remove { value, .. }, Listed::Count(1..)) => {
                if let Some(serial) = serial_of(value) {
                    self.ends(serial)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything that came with it is there too.
    fn confirm(&mut self, serial: Serial) {
        let together = self.elements.get(&serial).and_then(|element| self.together.get(&element.together));
        for serial in together.into_iter().flatten() {
            if let Some(element) = self.elements.get_mut(serial) {
                element.confirmed = true;
            }
        }
    }

    fn popped(&mut self, to: Key, popped: &Popped) -> Result<(), String> {
        for (at, message) in popped.elements.iter().enumerate() {
            let Some(serial) = serial(message) else { continue };
            self.confirm(serial);
            let Some(lease) = popped.leases.get(at) else {
                if popped.queue == LIST {
                    self.leaves(to, message)?;
                }
                self.ends(serial)?;
                continue;
            };
            self.leases.insert(*lease, serial);
            let Some(element) = self.elements.get_mut(&serial) else { continue };
            if element.gone || element.holder.is_some() {
                return Err(format!("element {serial} is leased to {to:x}, though {element:?}"));
            }
            element.holder = Some(to);
        }
        Ok(())
    }

    /// An element leaves the list on the right: those that its pusher pushed before it have left before.
    fn leaves(&mut self, to: Key, message: &Message) -> Result<(), String> {
        let found = serial(message).and_then(|serial| Some((serial, self.elements.get(&serial)?)));
        let Some((serial, Element { pushed: (by, place), .. })) = found else { return Ok(()) };
        let last = self.popped.insert((to, *by), *place);
        if last.is_some_and(|last| last > *place) {
            return Err(format!("element {serial} leaves to {to:x} behind one that {by:x} pushed later"));
        }
        Ok(())
    }

    fn ends(&mut self, serial: Serial) -> Result<(), String> {
        self.confirm(serial);
        match self.elements.get_mut(&serial) {
            Some(element) if element.gone => Err(format!("element {serial} is taken twice: {element:?}")),
            Some(element) => {
                element.gone = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What was asked on these connections is not answered any more.
    fn give_up(&mut self, which: impl Fn(Key) -> bool) {
        let given_up = self.asked.extract_if(.., |(by, _), _| which(*by));
        self.lost_max += given_up.map(|(_, ops)| ops.iter().map(pops).sum::<u64>()).sum::<u64>();
        for element in self.elements.values_mut().filter(|element| element.holder.is_some_and(&which)) {
            element.holder = None;
        }
    }

    fn told(&mut self, to: Key, event: &Event) -> Result<(), String> {
        // The auditor, or whoever else takes messages from queues.
        for serial in deliveries(event).iter().filter_map(|delivery| serial(&delivery.message)) {
            if let Some(element) = self.elements.get_mut(&serial) {
                element.may_be_gone = true;
            }
        }
        let Event::Reply { token, result } = event else { return Ok(()) };
        let Some(ops) = self.asked.remove(&(to, *token)) else { return Ok(()) };
        match (result, &ops[..]) {
            (Ok(Reply::Listed(Listed::All(all))), ops) => {
                for (op, listed) in ops.iter().zip(all) {
                    listed.as_ref().map_or(Ok(()), |listed| self.answered(to, op, listed))?;
                }
                Ok(())
            }
            (Ok(Reply::Listed(listed)), [op]) => self.answered(to, op, listed),
            _ => Ok(()),
        }
    }

    fn audit(&mut self, queues: &[Audited]) -> Result<(), String> {
        let mut found = BTreeSet::new();
        for queue in queues.iter().filter(|queue| is_list(&queue.info.name)) {
            for serial in queue.messages.iter().filter_map(|message| serial(&message.message)) {
                if !found.insert(serial) {
                    return Err(format!("element {serial} is there twice, once in {}", queue.info.name));
                }
                if self.elements.get(&serial).is_some_and(|element| element.gone) {
                    return Err(format!("element {serial} was taken, and is in {} again", queue.info.name));
                }
                self.confirm(serial);
            }
        }
        let missing = |(serial, element): &(&Serial, &Element)| {
            element.confirmed && !element.gone && !element.may_be_gone && !found.contains(serial)
        };
        let missing: Vec<_> = self.elements.iter().filter(missing).collect();
        if let Some(leased) = missing.iter().find(|(_, element)| element.leased) {
            return Err(format!("leased element {leased:?} is nowhere, and nobody was done with it"));
        }
        let (count, most) = (missing.len() as u64, self.lost_max);
        if count > most {
            return Err(format!("{count} elements are nowhere, {most} may be: {missing:?}"));
        }
        Ok(())
    }
}

impl Checker for Lists {
    fn name(&self) -> &'static str {
        "lists"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Asked { by, request: Request::List(list), .. } => {
                self.asked(*by, list.token, std::slice::from_ref(&list.op));
            }
            Fact::Asked { by, request: Request::ListGroup(group), .. } => {
                self.asked(*by, group.token, &group.ops);
            }
            // Of leased elements: whether that is durable is not said.
            Fact::Asked { request: Request::Settle(settle), .. } => {
                for delivery in &settle.deliveries {
                    let serial = self.leases.get(delivery);
                    if let Some(element) = serial.and_then(|serial| self.elements.get_mut(serial)) {
                        (element.may_be_gone, element.holder) = (true, None);
                    }
                }
            }
            Fact::Told { to, event, .. } if !self.over => return self.told(*to, event),
            Fact::Client { by, known: Known::Confirmed { serial } }
                if self.elements.get(serial).is_some_and(|element| !element.confirmed) =>
            {
                return Err(format!(
                    "the client of {by:x} was told that element {serial} is safe, the session was not"
                ));
            }
            Fact::Cut { key } => self.give_up(|by| by == *key),
            Fact::Died { .. } => self.give_up(|_| true),
            Fact::Audit { queues, .. } if !self.over => return self.audit(queues),
            Fact::Drained => self.over = true,
            _ => {}
        }
        Ok(())
    }
}
