//! MULTI, EXEC, DISCARD, WATCH: commands are collected, and done in one step.

use baton_dialect::Output;
use baton_model::list::{ListGroup, ListOp, ListRequest, Listed, Version};
use baton_model::{Name, Refusal, Request, Time, Token};

use super::answers::{Expected, Part};
use super::{LINK, RespSession};
use crate::commands::{self, Ask, Shape};
use crate::limits::QUEUED_MAX;
use crate::reply::{Writer, Written};
use crate::table::Command;

/// A transaction, and what it depends on.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    open: bool,
    /// A command was refused: EXEC does nothing.
    spoilt: bool,
    ops: Vec<ListOp>,
    parts: Vec<Part>,
    watched: Vec<(Name, Version)>,
}

impl Transaction {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// How many operations there are.
    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    pub(super) fn last_op(&mut self) -> Option<&mut ListOp> {
        self.ops.last_mut()
    }

    pub(super) fn spoil(&mut self) {
        self.spoilt = self.open;
    }

    pub(super) fn unwatch(&mut self) {
        self.watched.clear();
    }

    pub(super) fn watch(&mut self, versions: Vec<(Name, Version)>) {
        self.watched.extend(versions);
    }
}

impl RespSession {
    pub(super) fn multi(&mut self, out: &mut Output) {
        if self.transaction.open {
            return self.refuse(out, "ERR MULTI calls can not be nested");
        }
        self.transaction.open = true;
        self.say(out, |w| w.simple("OK"));
    }

    /// Puts a command in the transaction.
    pub(super) fn queue(&mut self, now: Time, command: Command, a: &[&[u8]], out: &mut Output) {
        if self.transaction.parts.len() >= QUEUED_MAX {
            self.transaction.spoil();
            return self.refuse(out, &format!("ERR a transaction has at most {QUEUED_MAX} commands"));
        }
        let part = match commands::read(now, command, a) {
            Some(Ok(Ask { op, shape, .. })) => {
                self.transaction.ops.push(op);
                Part::List(shape)
            }
            // Redis finds what is wrong with values when it executes, and does the rest.
            Some(Err(text)) => self.known(|w| w.error(&text)),
            None => match command {
                Command::Ping if a.len() == 1 => self.known(|w| w.simple("PONG")),
                Command::Ping | Command::Echo => {
                    self.known(|w| w.bulk(a.get(1).copied().unwrap_or_default()))
                }
                Command::Unwatch => self.known(|w| w.simple("OK")),
                Command::Flushdb => {
                    self.transaction.ops.push(ListOp::DeleteAll);
                    Part::List(Shape::Ok)
                }
                Command::Time => self.known(|w| {
                    w.array(2);
                    w.bulk((now.0 / 1000).to_string().as_bytes());
                    w.bulk((now.0 % 1000 * 1000).to_string().as_bytes());
                }),
                Command::Publish => match self.publish(a) {
                    Ok(op) => {
                        self.transaction.ops.push(op);
                        Part::List(Shape::Count)
                    }
                    Err(text) => self.known(|w| w.error(&text)),
                },
                _ => {
                    self.transaction.spoil();
                    return self.refuse(
                        out,
                        "ERR this command is not allowed in a transaction here; see docs/features/redis.md",
                    );
                }
            },
        };
        self.transaction.parts.push(part);
        self.say(out, |w| w.simple("QUEUED"));
    }

    fn known(&self, write: impl FnOnce(&mut Writer<'_>)) -> Part {
        let mut known = Written::default();
        write(&mut known.writer(self.protocol));
        Part::Known(known)
    }

    pub(super) fn discard(&mut self, out: &mut Output) {
        if !self.transaction.open {
            return self.refuse(out, "ERR DISCARD without MULTI");
        }
        self.transaction = Transaction::default();
        self.say(out, |w| w.simple("OK"));
    }

    pub(super) fn exec(&mut self, out: &mut Output) {
        if !self.transaction.open {
            return self.refuse(out, "ERR EXEC without MULTI");
        }
        let Transaction { spoilt, ops, parts, watched, .. } = std::mem::take(&mut self.transaction);
        if spoilt {
            return self.refuse(out, "EXECABORT Transaction discarded because of previous errors.");
        }
        let token = self.answers.expect(Expected::Transaction(parts));
        out.requests.push(Request::ListGroup(Box::new(ListGroup {
            token,
            link: LINK,
            unless_changed: watched,
            ops,
        })));
    }

    /// A transaction's results.
    pub(super) fn executed(
        &mut self,
        now: Time,
        token: Token,
        parts: Vec<Part>,
        result: Result<Listed, Refusal>,
        out: &mut Output,
    ) {
        let results = match result {
            Ok(Listed::All(results)) => results,
            Ok(_) => return self.write(token, out, |_, w| w.null_array()),
            Err(refusal) => {
                return self.write(token, out, |_, w| w.error(&commands::error(&refusal)));
            }
        };
        for popped in results.iter().filter_map(|result| match result {
            Ok(Listed::Popped(popped)) => Some(popped),
            _ => None,
        }) {
            self.leases.extend_from_slice(&popped.leases);
        }
        self.write(token, out, |_, w| {
            w.array(parts.len());
            let mut results = results.iter();
            for part in parts {
                match part {
                    Part::Known(known) => w.written(known),
                    Part::List(shape) => {
                        if let Some(result) = results.next() {
                            shape.write(now, result, w);
                        }
                    }
                }
            }
        });
    }

    pub(super) fn watch(&mut self, a: &[&[u8]], out: &mut Output) {
        if self.transaction.open {
            return self.refuse(out, "ERR WATCH inside MULTI is not allowed");
        }
        match a.iter().skip(1).map(|name| commands::key(name)).collect::<Result<Vec<Name>, _>>() {
            Err(text) => self.refuse(out, &text),
            Ok(queues) => {
                let token = self.answers.expect(Expected::Watch(queues.clone()));
                // The versions must be known before EXEC can ask for them.
                self.holding = Some(token);
                let op = ListOp::Versions { queues };
                let request = ListRequest { token, link: LINK, op, wait_ms: None };
                out.requests.push(Request::List(request));
            }
        }
    }
}
