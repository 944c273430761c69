//! An operator: looks around, purges, deletes queues and makes them again, moves messages out of the dead letters, deletes,
//! edits, releases and dead-letters single ones, and takes leases back.

use baton_model::request::{CatalogOp, InspectOp, MessageAction};
use baton_model::{Event, Message, Name, Reply, Request, Seq, Token};

use super::World;
use super::neutral::{Ask, Brain};
use crate::Dice;
use crate::fact::{body, serial};
use crate::topology::{self, DEAD, DEEP, PLAIN, TEMP, WORK};

/// The last page it saw of each queue.
#[derive(Debug, Default)]
pub(super) struct Operator {
    asked: Vec<(Token, &'static str)>,
    seen: Vec<(&'static str, Seq, Message)>,
}

impl Operator {
    fn catalog(ask: &mut Ask, op: CatalogOp) {
        ask.put(|token| Request::Catalog { token, op: Box::new(op) });
    }

    fn browse(&mut self, dice: &mut Dice, ask: &mut Ask) {
        let queue = *dice.pick(&[PLAIN, WORK, DEAD, DEAD, DEEP]);
        let token = ask.token();
        self.asked.push((token, queue));
        let op = InspectOp::Browse {
            queue: queue.into(),
            from: Seq(if queue == DEEP { dice.below(700) } else { 0 }),
            count_max: 5,
            states: Vec::new(),
            headers: Default::default(),
        };
        ask.requests.push(Request::Inspect { token, op: Box::new(op) });
    }

    fn act_on(&mut self, dice: &mut Dice, ask: &mut Ask) {
        let (queue, seq, message) = self.seen.remove(dice.index(self.seen.len()));
        let action = match (queue, dice.below(6)) {
            (DEAD, _) => MessageAction::Move { to: WORK.into() },
            (PLAIN, 0) => MessageAction::Delete,
            (_, 1) => {
                let bytes = body(serial(&message).unwrap_or_default(), dice.index(100));
                MessageAction::Edit(Message::new(bytes.into(), 0))
            }
            (WORK, 2) => MessageAction::DeadLetter,
            (_, 3) => MessageAction::Release,
            _ => MessageAction::EndLease,
        };
        let op = InspectOp::Act { queue: Name::from(queue), seqs: vec![seq], action };
        ask.put(|token| Request::Inspect { token, op: Box::new(op) });
    }
}

impl Brain for Operator {
    fn connect(&mut self) {
        self.asked.clear();
        // After a crash another message may stand where one was that did not outlive it: nobody acts on a page from before.
        self.seen.clear();
    }

    fn act(&mut self, dice: &mut Dice, _world: &mut World<'_>, ask: &mut Ask) {
        match dice.below(30) {
            0 => {
                let name = (*dice.pick(&[PLAIN, TEMP, DEEP])).into();
                Self::catalog(ask, CatalogOp::PurgeQueue { name });
            }
            1 => {
                let if_unused = dice.one_in(2);
                let name = TEMP.into();
                Self::catalog(ask, CatalogOp::DeleteQueue { name, if_unused, if_empty: false });
                Self::catalog(ask, topology::declare(TEMP));
            }
            2..4 => Self::catalog(ask, topology::declare(TEMP)),
            4..20 if !self.seen.is_empty() => self.act_on(dice, ask),
            _ => self.browse(dice, ask),
        }
    }

    fn hear(&mut self, event: Event) {
        if let Event::Reply { token, result: Ok(Reply::Browsed { messages, .. }) } = event
            && let Some(at) = self.asked.iter().position(|(asked, _)| *asked == token)
        {
            let (_, queue) = self.asked.remove(at);
            self.seen.clear();
            self.seen.extend(messages.into_iter().map(|found| (queue, found.seq, found.message)));
        }
    }
}
