//! Optimistic transactions: operations that were to be done only if lists are as they were seen are done only if nobody
//! has pushed to them in between.
//!
//! A request is carried out between the moment it is asked and the moment it is answered, wherever it waits meanwhile: a push
//! came in between if it was asked behind the answer of who looked, and answered before the operations were asked; or if all
//! three are of one connection, whose requests are carried out in their order.

use std::collections::{BTreeMap, HashMap};

use baton_model::list::{ListOp, Listed, Version};
use baton_model::{Event, Name, Refusal, Reply, Request, Token};

use super::Checker;
use crate::fact::{Fact, Key};

/// A request, and when it was asked, in facts.
#[derive(Debug)]
struct Asked {
    at: u64,
    ops: Vec<ListOp>,
    /// What was to be unchanged.
    versions: Vec<(Name, Version)>,
}

#[derive(Debug, Default)]
pub(super) struct Watched {
    facts: u64,
    asked: BTreeMap<(Key, Token), Asked>,
    /// When a list was last seen at a version.
    seen: HashMap<(Name, Version), Done>,
    /// Pushes to a list.
    pushed: BTreeMap<Name, Vec<Done>>,
}

/// By whom, and when it was asked and answered.
#[derive(Clone, Copy, Debug)]
struct Done {
    by: Key,
    asked: u64,
    told: u64,
}

impl Done {
    /// Surely before a request that was asked then.
    fn is_before(&self, by: Key, asked: u64) -> bool {
        self.told < asked || (self.by == by && self.asked < asked)
    }
}

impl Watched {
    fn told(&mut self, to: Key, token: Token, listed: &Listed) -> Result<(), String> {
        let Some(asked) = self.asked.remove(&(to, token)) else { return Ok(()) };
        let when = Done { by: to, asked: asked.at, told: self.facts };
        match listed {
            Listed::Changed => return Ok(()),
            Listed::All(answers) => {
                for (name, version) in &asked.versions {
                    self.unchanged(name, *version, when)?;
                }
                for (op, answer) in asked.ops.iter().zip(answers) {
                    self.done(op, answer, when);
                }
            }
            Listed::Versions(versions) => {
                if let Some(ListOp::Versions { queues }) = asked.ops.first() {
                    for (name, version) in queues.iter().zip(versions) {
                        self.unchanged(name, *version, when)?;
                        self.seen.insert((name.clone(), *version), when);
                    }
                }
            }
            other => {
                if let Some(op) = asked.ops.first() {
                    self.done(op, &Ok(other.clone()), when);
                }
            }
        }
        Ok(())
    }

    fn done(&mut self, op: &ListOp, answer: &Result<Listed, Refusal>, when: Done) {
        if let (ListOp::Push { queue, .. }, Ok(Listed::Count(1..))) = (op, answer) {
            self.pushed.entry(queue.clone()).or_default().push(when);
        }
    }

    /// A list has the version, or had it then.
    fn unchanged(&self, name: &Name, version: Version, when: Done) -> Result<(), String> {
        let Some(seen) = self.seen.get(&(name.clone(), version)) else { return Ok(()) };
        let mut pushes = self.pushed.get(name).into_iter().flatten();
        let between =
            |push: &&Done| seen.is_before(push.by, push.asked) && push.is_before(when.by, when.asked);
        match pushes.find(between) {
            Some(push) => {
                Err(format!("{name} is said to be at {version:?} still, though {:x} pushed to it", push.by))
            }
            None => Ok(()),
        }
    }
}

impl Checker for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.facts += 1;
        let at = self.facts;
        match fact {
            Fact::Asked { by, request: Request::List(list), .. } => {
                let asked = Asked { at, ops: vec![list.op.clone()], versions: Vec::new() };
                self.asked.insert((*by, list.token), asked);
            }
            Fact::Asked { by, request: Request::ListGroup(group), .. } => {
                let asked = Asked { at, ops: group.ops.clone(), versions: group.unless_changed.clone() };
                self.asked.insert((*by, group.token), asked);
            }
            Fact::Told { to, event: Event::Reply { token, result: Ok(Reply::Listed(listed)) }, .. } => {
                return self.told(*to, *token, listed);
            }
            // Versions are those of a process.
            Fact::Died { .. } => *self = Self { facts: self.facts, ..Self::default() },
            _ => {}
        }
        Ok(())
    }
}
