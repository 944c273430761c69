//! Answers in the order of their commands: those that are known wait for earlier ones that are not.

use std::collections::VecDeque;

use baton_model::list::{Listed, Version};
use baton_model::{Name, Refusal, Reply, Time, Token};

use super::{Phase, RespSession};
use crate::commands::Shape;
use crate::reply::{Protocol, Writer, Written};
use baton_dialect::Output;

/// What is written when an answer comes.
#[derive(Debug)]
pub(super) enum Expected {
    /// Nothing: nobody asked.
    Silent,
    /// The result of an operation.
    List(Shape),
    /// The results of a transaction.
    Transaction(Vec<Part>),
    /// A login: `OK`, or with `true` the greeting of `HELLO`.
    Login(bool),
    /// The database was chosen; in vain: it was that one before.
    Selected(usize),
    /// A subscription began or ended: its kind, its topic (`None`: there was none), how many there are now.
    Subscription(&'static str, Option<Name>, u64),
    /// Versions of lists to be watched.
    Watch(Vec<Name>),
    /// Who listens, asked for in this way.
    Listeners(super::pubsub::Question),
    /// How many keys there are, for `INFO`.
    Info,
}

/// One answer of a transaction.
#[derive(Debug)]
pub(super) enum Part {
    /// Known already.
    Known(Written),
    /// The result of the next operation.
    List(Shape),
}

#[derive(Debug)]
enum Slot {
    Waits(Expected),
    Known(Written),
}

/// The commands that are not answered yet. Tokens are consecutive, so that a slot is found by its token.
#[derive(Debug, Default)]
pub(super) struct Answers {
    slots: VecDeque<Slot>,
    /// The token of the first slot.
    first: u64,
}

impl Answers {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many commands are not answered yet.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A place for an answer that is to come.
    pub(super) fn expect(&mut self, expected: Expected) -> Token {
        self.slots.push_back(Slot::Waits(expected));
        Token(self.first + self.slots.len() as u64 - 1)
    }

    /// An answer that is known.
    pub(super) fn say(&mut self, out: &mut Output, protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) {
        if self.slots.is_empty() {
            return write(&mut Writer::new(out, protocol));
        }
        if let Some(Slot::Known(known)) = self.slots.back_mut() {
            return write(&mut known.writer(protocol));
        }
        let mut known = Written::default();
        write(&mut known.writer(protocol));
        self.slots.push_back(Slot::Known(known));
    }

    /// How the answer is written that is the next one, if it is the result of one operation. Its slot is gone then: what is written for
    /// it is to be written at once, and [`Answers::go_on`] called.
    fn take_next(&mut self, token: Token) -> Option<Shape> {
        let is_next = token.0 == self.first;
        let slot =
            self.slots.pop_front_if(|slot| is_next && matches!(slot, Slot::Waits(Expected::List(_))))?;
        self.first += 1;
        match slot {
            Slot::Waits(Expected::List(shape)) => Some(shape),
            _ => None,
        }
    }

    /// Writes what stood behind an answer that is written now.
    fn go_on(&mut self, out: &mut Output, protocol: Protocol) {
        while let Some(Slot::Known(known)) = self.slots.pop_front_if(|slot| matches!(slot, Slot::Known(_))) {
            Writer::new(out, protocol).written(known);
            self.first += 1;
        }
    }

    /// What an answer is for. `None`: nobody waits for it.
    fn take(&mut self, token: Token) -> Option<Expected> {
        let index = usize::try_from(token.0.checked_sub(self.first)?).ok()?;
        let slot = self.slots.get_mut(index)?;
        match std::mem::replace(slot, Slot::Known(Written::default())) {
            Slot::Waits(expected) => Some(expected),
            known @ Slot::Known(_) => {
                *slot = known;
                None
            }
        }
    }

    /// Writes an answer in its place.
    fn put(
        &mut self,
        token: Token,
        out: &mut Output,
        protocol: Protocol,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        if token.0 == self.first {
            write(&mut Writer::new(out, protocol));
            self.slots.pop_front();
            self.first += 1;
            return self.go_on(out, protocol);
        }
        let index = token.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(Slot::Known(known)) = index.and_then(|index| self.slots.get_mut(index)) {
            write(&mut known.writer(protocol));
        }
    }
}

impl RespSession {
    pub(super) fn answered(
        &mut self,
        now: Time,
        token: Token,
        result: Result<Reply, Refusal>,
        out: &mut Output,
    ) {
        if let Some(shape) = self.answers.take_next(token) {
            let listed = self.note_leases(listed(result));
            shape.write(now, &listed, &mut self.writer(out));
            return self.answers.go_on(out, self.protocol);
        }
        let Some(expected) = self.answers.take(token) else { return };
        if self.phase == Phase::Trying(token) {
            self.tried(result, out);
            return self.write(token, out, |_, _| {});
        }
        match expected {
            Expected::Silent => self.write(token, out, |_, _| {}),
            Expected::List(shape) => {
                let listed = self.note_leases(listed(result));
                self.write(token, out, |_, w| shape.write(now, &listed, w));
            }
            Expected::Transaction(parts) => self.executed(now, token, parts, listed(result), out),
            Expected::Login(greet) => self.logged_in(token, greet, result, out),
            Expected::Selected(before) => match result {
                Ok(_) => self.write(token, out, |_, w| w.simple("OK")),
                Err(refusal) => {
                    self.database = before;
                    self.write(token, out, |_, w| w.error(&crate::commands::error(&refusal)));
                }
            },
            Expected::Subscription(kind, topic, count) => {
                self.write(token, out, |_, w| match &result {
                    Ok(_) => super::pubsub::subscription(w, kind, topic.as_ref(), count),
                    Err(refusal) => w.error(&crate::commands::error(refusal)),
                });
            }
            Expected::Watch(names) => {
                if let Ok(Listed::Versions(versions)) = listed(result) {
                    let watched: Vec<(Name, Version)> = names.into_iter().zip(versions).collect();
                    self.transaction.watch(watched);
                }
                self.write(token, out, |_, w| w.simple("OK"));
            }
            Expected::Listeners(question) => self.write(token, out, |_, w| question.write(&result, w)),
            Expected::Info => {
                let keys = match listed(result) {
                    Ok(Listed::Count(count)) => count,
                    _ => 0,
                };
                self.write(token, out, |session, w| w.bulk(session.info(now, keys).as_bytes()));
            }
        }
    }

    /// What was popped and leased is this connection's to settle.
    fn note_leases(&mut self, listed: Result<Listed, Refusal>) -> Result<Listed, Refusal> {
        if let Ok(Listed::Popped(popped)) = &listed {
            self.leases.extend_from_slice(&popped.leases);
        }
        listed
    }

    /// Writes the answer of a token in its place.
    pub(super) fn write(
        &mut self,
        token: Token,
        out: &mut Output,
        write: impl FnOnce(&Self, &mut Writer<'_>),
    ) {
        let protocol = self.protocol;
        let mut answers = std::mem::take(&mut self.answers);
        answers.put(token, out, protocol, |w| write(self, w));
        self.answers = answers;
    }
}

fn listed(result: Result<Reply, Refusal>) -> Result<Listed, Refusal> {
    result.map(|reply| match reply {
        Reply::Listed(listed) => listed,
        _ => Listed::Done,
    })
}
