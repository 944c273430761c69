//! A hoarder: sends bursts of small messages that fill pages of an index, mostly to a queue that few take from; some live for a
//! short time only, some come later.

use baton_model::{Event, Message, Request};

use super::neutral::{Ask, Brain};
use super::{World, any_publish};
use crate::Dice;
use crate::fact::body;
use crate::topology::{DEEP, KEYS, PLAIN, PRIO, TEMP, WORK};

/// It remembers nothing.
#[derive(Debug)]
pub(super) struct Hoarder {
    /// Most of what it sends lives for a short time only.
    pub(super) brief: bool,
}

impl Brain for Hoarder {
    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>, ask: &mut Ask) {
        if !dice.one_in(8) {
            return;
        }
        let target = *dice.pick(&[DEEP, DEEP, DEEP, DEEP, PLAIN, WORK, KEYS, PRIO, TEMP]);
        let (brief, late, large) = (dice.one_in(4) != self.brief, dice.one_in(3), dice.one_in(3));
        for _ in 0..130 + dice.below(470) {
            let mut publish = any_publish(dice, ask.token(), world.serials);
            publish.exchange = "".into();
            publish.key = target.into();
            publish.durable = target == PRIO || !dice.one_in(400);
            publish.priority = (target == PRIO).then(|| dice.below(5) as u8);
            publish.ttl_ms = (target == DEEP && brief).then(|| 500 + dice.below(4_000));
            publish.delay_ms = (target == WORK && late).then(|| dice.below(3_000));
            publish.group_key = (target == KEYS).then(|| format!("k{}", dice.below(3)).into());
            publish.dedup_id = None;
            if large {
                publish.message = Message::new(body(*world.serials, dice.index(2_000)).into(), 0);
            }
            ask.requests.push(Request::Publish(Box::new(publish)));
        }
    }

    fn hear(&mut self, _event: Event) {}
}
