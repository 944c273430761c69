//! The clients. Each does what a roll of the dice says, with what it knows from the events it received; none checks
//! anything, that is for the checkers.
//!
//! ```text
//! producer    publishes with confirms          fetcher      timed leases, kept over cuts and restarts
//! consumer    windows, all settlements         transactor   groups of settlements and publishes
//! hoarder     sends bursts that nobody waits for
//! operator    purges, deletes, moves, edits
//!
//! amqp, stomp, redis, sqs                      speak the protocol of that name, byte for byte, to the real session
//! wire                                         the connection between them and it
//! ```

mod amqp;
mod consumer;
mod fetcher;
mod hoarder;
mod neutral;
mod operator;
mod producer;
mod redis;
mod sqs;
mod stomp;
mod transactor;
mod wire;

use baton_model::{Event, Message, Publish, Request, Time, Token};

use crate::Dice;
use crate::fact::{Known, Serial, body};
use crate::plant::Planted;
use crate::topology::{BRIEF, FAN, FLEETING, FULL, KEYS, LINE, ONCE, PLAIN, PRIO, SMALL, TEMP, WORK};

/// What an actor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "described at the top of this file")]
pub enum Role {
    Producer,
    Consumer,
    Fetcher,
    Transactor,
    Operator,
    Amqp,
    Hoarder,
    Stomp,
    Redis,
    Sqs,
}

impl Role {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        use Role::{Amqp, Consumer, Fetcher, Operator, Producer, Redis, Sqs, Stomp, Transactor};
        *dice.pick(&[
            Producer, Producer, Consumer, Consumer, Fetcher, Fetcher, Transactor, Operator, Amqp, Amqp,
            Stomp, Stomp, Redis, Redis, Sqs, Sqs,
        ])
    }

    pub(crate) fn actor(self, number: usize) -> Box<dyn Actor> {
        match self {
            Self::Producer => Box::new(neutral::Neutral::new(producer::Producer)),
            Self::Consumer => Box::new(neutral::Neutral::new(consumer::Consumer::default())),
            Self::Fetcher => Box::new(neutral::Neutral::new(fetcher::Fetcher::default())),
            Self::Transactor => Box::new(neutral::Neutral::new(transactor::Transactor::default())),
            Self::Operator => Box::new(neutral::Neutral::new(operator::Operator::default())),
            Self::Hoarder => Box::new(neutral::Neutral::new(hoarder::Hoarder { brief: number % 2 == 1 })),
            Self::Amqp => Box::new(wire::Wire::new(number, amqp::Client::default())),
            Self::Redis => Box::new(wire::Wire::new(number, redis::Client::new(number))),
            Self::Sqs => Box::new(sqs::Client::new(number)),
            Self::Stomp => Box::new(wire::Wire::new(number, stomp::Client::new(number))),
        }
    }
}

/// What an actor works with.
pub(crate) struct World<'a> {
    pub(crate) now: Time,
    /// The last number given to a message.
    pub(crate) serials: &'a mut Serial,
    /// What the client comes to know, if it speaks a protocol of its own.
    pub(crate) known: &'a mut Vec<Known>,
    /// What is wrong with the sessions.
    pub(crate) plant: &'a mut Planted,
}

/// A client and its side of the network.
pub(crate) trait Actor {
    /// Whether it speaks a real protocol, and tells what it knows.
    fn speaks_bytes(&self) -> bool {
        false
    }

    /// A connection begins.
    fn connect(&mut self, world: &mut World<'_>);

    /// It does something.
    fn act(&mut self, dice: &mut Dice, world: &mut World<'_>);

    /// What reaches the broker now.
    fn up(&mut self, dice: &mut Dice, world: &mut World<'_>) -> Vec<Request>;

    /// The broker sent this; it is on its way.
    fn arrived(&mut self, event: Event);

    /// Reads what reaches it now. Returns how many bytes of deliveries that were.
    fn down(&mut self, dice: &mut Dice, world: &mut World<'_>) -> usize;

    /// Whether it wants the connection closed.
    fn wants_close(&self) -> bool {
        false
    }

    /// The connection is gone, and what was on its way.
    fn cut(&mut self);
}

/// A publish somewhere, by the dice.
pub(crate) fn any_publish(dice: &mut Dice, token: Token, serials: &mut Serial) -> Publish {
    *serials += 1;
    let filler_bytes = if dice.one_in(12) { dice.index(6_000) } else { dice.index(60) };
    let content = body(*serials, filler_bytes);
    let target = *dice.pick(&[
        PLAIN, PLAIN, PLAIN, WORK, WORK, KEYS, KEYS, LINE, PRIO, SMALL, FULL, BRIEF, ONCE, FLEETING, TEMP,
        FAN,
    ]);
    let fan = target == FAN;
    Publish {
        token,
        confirm: !dice.one_in(5),
        exchange: if fan { FAN.into() } else { "".into() },
        key: if fan { "".into() } else { target.into() },
        more_keys: Default::default(),
        message: Message::new(content.into(), 0),
        // What a transient message was called is forgotten with it.
        durable: [PRIO, LINE].contains(&target) || !dice.one_in(8),
        mandatory: dice.one_in(10),
        priority: (target == PRIO).then(|| dice.below(5) as u8),
        ttl_ms: (target == PLAIN).then(|| dice.maybe(8, 2_000)).flatten(),
        delay_ms: (target == WORK).then(|| dice.maybe(3, 1_500)).flatten(),
        group_key: [KEYS, LINE].contains(&target).then(|| format!("k{}", dice.below(3)).into()),
        dedup_id: ([PRIO, LINE].contains(&target) && dice.one_in(2))
            .then(|| format!("d{}", dice.below(20)).into()),
    }
}
