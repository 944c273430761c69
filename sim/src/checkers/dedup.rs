//! Deduplication: of two messages with one id that come to a queue within its window, the second is not taken in; and none is
//! taken for the second that is the first.
//!
//! What is known of a publish is that it was carried out between the moment it was asked and the moment it was answered, and that
//! what was asked of the broker was carried out in that order.

use std::collections::BTreeMap;

use baton_model::event::PublishOutcome;
use baton_model::request::CatalogOp;
use baton_model::{Event, Request, Time, Token};

use super::{Checker, flat};
use crate::fact::{Fact, Key, Serial, serial};
use crate::topology::dedup_window_ms;

/// A publish with an id.
#[derive(Clone, Debug)]
struct Attempt {
    serial: Serial,
    asked: Time,
    /// When it was answered that it is taken in, for good.
    accepted: Option<Time>,
    /// It was refused, or was itself a repetition: it is no reason to leave out another.
    void: bool,
}

#[derive(Debug, Default)]
pub(super) struct Dedup {
    /// By queue and id, in the order in which they were asked.
    attempts: BTreeMap<(String, String), Vec<Attempt>>,
    open: BTreeMap<(Key, Token), (String, String, Serial)>,
}

impl Dedup {
    fn asked(&mut self, at: Time, by: Key, request: &Request) {
        match request {
            Request::Publish(publish) => {
                let (queue, id) =
                    (publish.key.to_string(), publish.dedup_id.as_ref().map(ToString::to_string));
                let Some((id, serial)) = id.zip(serial(&publish.message)) else { return };
                if dedup_window_ms(&queue).is_none() || !publish.exchange.is_empty() {
                    return;
                }
                let attempt = Attempt { serial, asked: at, accepted: None, void: false };
                self.attempts.entry((queue.clone(), id.clone())).or_default().push(attempt);
                if publish.confirm {
                    self.open.insert((by, publish.token), (queue, id, serial));
                }
            }
            Request::Catalog { op, .. } => {
                if let CatalogOp::DeleteQueue { name, .. } = &**op {
                    self.attempts.retain(|(queue, _), _| name != queue);
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, at: Time, to: Key, event: &Event) -> Result<(), String> {
        let Event::Published { token, outcome } = event else { return Ok(()) };
        let Some((queue, id, serial)) = self.open.remove(&(to, *token)) else { return Ok(()) };
        let window_ms = dedup_window_ms(&queue).unwrap_or_default();
        let Some(attempts) = self.attempts.get_mut(&(queue.clone(), id.clone())) else { return Ok(()) };
        let Some(index) = attempts.iter().position(|attempt| attempt.serial == serial) else { return Ok(()) };
        let (earlier, rest) = attempts.split_at_mut(index);
        let Some((this, later)) = rest.split_first_mut() else { return Ok(()) };
        // Whether both were surely within the window: it began, at the earliest, when the first was asked.
        let surely = |first: Time, second: Time| second.since_ms(first) < window_ms;
        match outcome {
            // The queue is not there at the moment.
            PublishOutcome::Accepted { queues: 0, .. } | PublishOutcome::Refused(_) => this.void = true,
            PublishOutcome::Accepted { .. } => {
                this.accepted = Some(at);
                let before = earlier.iter().find(|one| one.accepted.is_some() && surely(one.asked, at));
                let behind =
                    later.iter().find(|one| one.accepted.is_some_and(|until| surely(this.asked, until)));
                if let Some(other) = before.or(behind) {
                    return Err(format!(
                        "queue {queue} took in {serial} and {} with the one id {id} within {window_ms} ms",
                        other.serial
                    ));
                }
            }
            PublishOutcome::Duplicate { .. } => {
                this.void = true;
                // The first was carried out, at the latest, when it was answered; if it never was, nobody knows when.
                let remembered =
                    |one: &Attempt| one.accepted.is_none_or(|until| this.asked.since_ms(until) < window_ms);
                if !earlier.iter().any(|one| !one.void && remembered(one)) {
                    return Err(format!(
                        "queue {queue} left out {serial} as a repetition of {id}, which it is not"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Checker for Dedup {
    fn name(&self) -> &'static str {
        "dedup"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Asked { at, by, request } => {
                flat(request).for_each(|request| self.asked(*at, *by, request));
            }
            Fact::Told { at, to, event } => return self.told(*at, *to, event),
            // Nobody is answered any more.
            Fact::Died { .. } => self.open.clear(),
            _ => {}
        }
        Ok(())
    }
}
