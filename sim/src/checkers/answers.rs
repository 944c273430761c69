//! Answers on one connection come in the order of the questions, for publishes, and none comes twice.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::event::PublishOutcome;
use baton_model::{Event, Token};

use super::Checker;
use crate::fact::{Fact, Key};

#[derive(Debug, Default)]
pub(super) struct Answers {
    published: BTreeMap<Key, Token>,
    answered: BTreeSet<(Key, Token)>,
}

impl Checker for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Told { to, event, .. } = fact else { return Ok(()) };
        let token = match event {
            Event::Published { token, outcome } => {
                let last = self.published.insert(*to, *token);
                if last.is_some_and(|last| last >= *token) {
                    return Err(format!("connection {to:x}: publish {token} is answered behind {last:?}"));
                }
                if matches!(outcome, PublishOutcome::Refused(refusal) if refusal.text.is_empty()) {
                    return Err(format!("connection {to:x}: publish {token} is refused without a reason"));
                }
                token
            }
            Event::Settled { token, .. } | Event::Reply { token, .. } | Event::Fetched { token, .. } => token,
            _ => return Ok(()),
        };
        if !self.answered.insert((*to, *token)) {
            return Err(format!("connection {to:x}: {token} is answered twice"));
        }
        Ok(())
    }
}
