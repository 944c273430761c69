//! Answers on one connection come in the order of the questions, for publishes that asked for one, and none comes twice. (A publish that
//! asked for none may be kept waiting while others are refused; that it was refused itself is told when it is.)

use std::collections::{BTreeMap, BTreeSet};

use baton_model::event::PublishOutcome;
use baton_model::request::Settle;
use baton_model::{Event, Request, Token};

use super::{Checker, flat};
use crate::fact::{Fact, Key};

#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The place of each confirmed publish among all that was asked, and of the last one that was answered.
    asked: BTreeMap<(Key, Token), u64>,
    published: BTreeMap<Key, u64>,
    count: u64,
    answered: BTreeSet<(Key, Token)>,
}

impl Checker for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Asked { by, request, .. } = fact {
            for request in flat(request) {
                let token = match request {
                    Request::Publish(publish) if publish.confirm => {
                        self.count += 1;
                        self.asked.insert((*by, publish.token), self.count);
                        publish.token
                    }
                    Request::Settle(Settle { token: Some(token), .. }) => *token,
                    Request::Fetch(fetch) => fetch.token,
                    _ => continue,
                };
                // A token that is used anew, once its question was answered, gets an answer anew: for a message that found its
                // queue gone, and for what a session had to know before it could ask.
                self.answered.remove(&(*by, token));
            }
        }
        let Fact::Told { to, event, .. } = fact else { return Ok(()) };
        let token = match event {
            Event::Published { token, outcome } => {
                let place = self.asked.get(&(*to, *token)).copied();
                // Those that asked for no answer may share a token.
                let Some(place) = place else { return Ok(()) };
                let last = self.published.insert(*to, place);
                if last.is_some_and(|last| last >= place) {
                    return Err(format!("connection {to:x}: publish {token} is answered behind a later one"));
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
