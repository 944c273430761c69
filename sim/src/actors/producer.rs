//! A producer: publishes, mostly with confirms, a few at a time.

use baton_model::{Event, Request};

use super::neutral::{Ask, Brain};
use super::{World, any_publish};
use crate::Dice;

/// It remembers nothing: what became of its messages is for the checkers.
#[derive(Debug)]
pub(super) struct Producer;

impl Brain for Producer {
    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, ask: &mut Ask) {
        for _ in 0..1 + dice.below(4) {
            let publish = any_publish(dice, ask.token(), world.serials);
            ask.requests.push(Request::Publish(Box::new(publish)));
        }
    }

    fn hear(&mut self, _event: Event) {}
}
