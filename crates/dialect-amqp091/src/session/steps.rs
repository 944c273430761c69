//! Commands of a channel that wait for the engine, and what follows behind them. RabbitMQ answers each channel strictly in
//! order; here requests go to the engine at once and their answers are put back into the order of the commands.
//! What each answer does is in the modules of the classes.

use baton_dialect::Output;
use baton_model::event::Fetched;
use baton_model::route::ExchangePolicy;
use baton_model::{ConsumerId, LinkId, Name, Refusal, RefusalCode, Reply, Token};

use super::channel::ChannelState;
use super::failure::{Failure, refused};
use super::queue::WantedQueue;
use super::{AmqpSession, limits, token, write};
use crate::codes::ReplyCode;
use crate::frame::write_any_method;
use crate::methods::Method;
use crate::methods::{basic, channel, exchange, queue, tx};
use crate::short_str::ShortStr;

/// A command that is not answered yet.
#[derive(Debug)]
pub(super) enum Step {
    /// The engine has not answered.
    Wait { serial: u32, op: Op },
    /// The engine has answered before it was its turn.
    Answered { op: Op, answer: Answer },
    /// An answer of our own, behind others.
    Write(Method),
    /// The channel fails here.
    Fail(Failure),
}

/// What is done with the engine's answer.
#[derive(Debug)]
pub(super) enum Op {
    /// `wanted` is compared with what there is; `None`: passive.
    DeclareExchange {
        name: Name,
        wanted: Option<Box<ExchangePolicy>>,
        reserved: bool,
        no_wait: bool,
    },
    DeleteExchange {
        no_wait: bool,
    },
    BindExchange {
        no_wait: bool,
    },
    UnbindExchange {
        no_wait: bool,
    },
    BindQueue {
        name: Name,
        no_wait: bool,
    },
    UnbindQueue {
        name: Name,
    },
    DeclareQueue {
        name: Name,
        wanted: Option<Box<WantedQueue>>,
        reserved: bool,
        no_wait: bool,
    },
    PurgeQueue {
        name: Name,
        no_wait: bool,
    },
    DeleteQueue {
        name: Name,
        no_wait: bool,
    },
    /// What type is the queue? Asked before its first delivery; refusals come with the command behind.
    Look {
        name: Name,
        exclusive: bool,
    },
    /// The queue of a direct reply-to.
    ReplyQueue,
    Consume {
        queue: Name,
        tag: ShortStr,
        no_wait: bool,
    },
    Cancel {
        consumer: ConsumerId,
        tag: ShortStr,
        no_wait: bool,
    },
    Get {
        queue: Name,
        no_ack: bool,
    },
    /// `upto`: the last tag given out when it was asked.
    Recover {
        upto: u64,
        no_wait: bool,
    },
    Commit,
    Close,
}

/// What the engine said.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Result<Reply, Refusal>),
    Fetched(Result<Fetched, Refusal>),
}

impl Op {
    /// Class and method, for errors.
    fn ids(&self) -> (u16, u16) {
        match self {
            Self::DeclareExchange { .. } => (40, 10),
            Self::DeleteExchange { .. } => (40, 20),
            Self::BindExchange { .. } => (40, 30),
            Self::UnbindExchange { .. } => (40, 40),
            Self::DeclareQueue { .. } => (50, 10),
            Self::BindQueue { .. } => (50, 20),
            Self::PurgeQueue { .. } => (50, 30),
            Self::DeleteQueue { .. } => (50, 40),
            Self::UnbindQueue { .. } => (50, 50),
            Self::Consume { .. } | Self::ReplyQueue | Self::Look { .. } => (60, 20),
            Self::Cancel { .. } => (60, 30),
            Self::Get { .. } => (60, 70),
            Self::Recover { .. } => (60, 110),
            Self::Commit => (90, 20),
            Self::Close => (20, 40),
        }
    }

    /// The name that a refusal is about.
    fn name(&self) -> &str {
        match self {
            Self::DeclareExchange { name, .. }
            | Self::DeclareQueue { name, .. }
            | Self::BindQueue { name, .. }
            | Self::UnbindQueue { name }
            | Self::PurgeQueue { name, .. }
            | Self::DeleteQueue { name, .. }
            | Self::Look { name, .. } => name,
            Self::Consume { queue, .. } | Self::Get { queue, .. } => queue,
            _ => "",
        }
    }
}

impl AmqpSession {
    /// Takes a place in the channel's order for a request; the token to ask with.
    pub(super) fn ask(&mut self, number: u16, op: Op) -> Option<Token> {
        let channel = self.channel(number)?;
        let serial = channel.next_serial;
        channel.next_serial = token::next_serial(serial);
        channel.steps.push_back(Step::Wait { serial, op });
        Some(token::ask(channel.link, serial))
    }

    /// Answers a command without the engine: now, or behind what is still to be answered.
    pub(super) fn answer(&mut self, number: u16, method: impl Into<Method>, out: &mut Output) {
        let Some(channel) = self.channel(number) else { return };
        let method = method.into();
        if channel.steps.is_empty() {
            write_any_method(&mut out.wire, number, &method);
        } else {
            channel.steps.push_back(Step::Write(method));
        }
    }

    /// Whether the channel may take another command.
    pub(super) fn check_steps(&mut self, number: u16) -> Result<(), Failure> {
        match self.channel(number) {
            Some(channel) if channel.steps.len() >= limits::STEPS_MAX => {
                let text = format!("more than {} commands wait for their answer", limits::STEPS_MAX);
                Err(Failure::new(ReplyCode::ResourceError, text))
            }
            _ => Ok(()),
        }
    }

    /// The engine answered a request of a channel.
    pub(super) fn answered(&mut self, link: LinkId, serial: u32, answer: Answer, out: &mut Output) {
        let number = token::channel_of(link);
        let Some(channel) = self.channel(number).filter(|channel| channel.link == link) else { return };
        let waits = |step: &Step| matches!(step, Step::Wait { serial: other, .. } if *other == serial);
        let Some(at) = channel.steps.iter().position(waits) else { return };
        if at > 0 {
            if let Some(step) = channel.steps.get_mut(at)
                && let Step::Wait { op, .. } = std::mem::replace(step, Step::Write(channel::CloseOk.into()))
            {
                *step = Step::Answered { op, answer };
            }
            return;
        }
        if let Some(Step::Wait { op, .. }) = channel.steps.pop_front() {
            self.perform(number, op, answer, out);
        }
        self.run_steps(number, out);
    }

    /// Does all that need not wait any more.
    fn run_steps(&mut self, number: u16, out: &mut Output) {
        while let Some(channel) = self.channel(number) {
            if matches!(channel.steps.front(), None | Some(Step::Wait { .. })) {
                return;
            }
            match channel.steps.pop_front() {
                Some(Step::Answered { op, answer }) => self.perform(number, op, answer, out),
                Some(Step::Write(method)) => write_any_method(&mut out.wire, number, &method),
                Some(Step::Fail(failure)) => {
                    channel.state = ChannelState::Open;
                    self.fail_now(number, &failure, out);
                }
                Some(Step::Wait { .. }) | None => return,
            }
        }
    }

    /// It is the turn of a command whose answer is there.
    fn perform(&mut self, number: u16, op: Op, answer: Answer, out: &mut Output) {
        let ids = op.ids();
        if let (Op::DeclareQueue { name, .. }, Answer::Reply(Err(_))) = (&op, &answer) {
            self.known.remove(name);
        }
        let leaving = self.channel(number).is_some_and(|channel| channel.state == ChannelState::Leaving);
        if leaving && !matches!(op, Op::Close) {
            // The client has said that it hears nothing but close-ok any more.
            return;
        }
        let result = match answer {
            Answer::Fetched(result) => self.got(number, &op, result, out),
            Answer::Reply(result) => match self.overruled(&op, result) {
                Ok(reply) => self.done(number, op, reply, out),
                Err(refusal) => Err(refused(&refusal, op.name(), &self.client.vhost)),
            },
        };
        if let Err(failure) = result {
            self.fail_now(number, &failure.of(ids), out);
        }
    }

    /// Refusals that this protocol does not take for one.
    fn overruled(&self, op: &Op, result: Result<Reply, Refusal>) -> Result<Reply, Refusal> {
        use RefusalCode::{AccessDenied, ExchangeNotFound, QueueLocked, QueueNotFound};
        match (op, result) {
            // Names of the broker's own can be looked at and declared again, but not made.
            (Op::DeclareQueue { name, wanted: Some(_), reserved: true, .. }, Err(refusal))
                if refusal.code == QueueNotFound =>
            {
                let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
                Err(Refusal::new(RefusalCode::NameReserved, text))
            }
            (Op::DeclareExchange { name, wanted: Some(_), reserved: true, .. }, Err(refusal))
                if refusal.code == ExchangeNotFound =>
            {
                let text = format!("exchange name '{name}' contains reserved prefix 'amq.*'");
                Err(Refusal::new(RefusalCode::NameReserved, text))
            }
            (Op::DeleteQueue { .. }, Err(refusal)) if refusal.code == QueueNotFound => Ok(Reply::Count(0)),
            (Op::DeleteExchange { .. }, Err(refusal)) if refusal.code == ExchangeNotFound => Ok(Reply::Done),
            (Op::UnbindQueue { .. } | Op::UnbindExchange { .. }, Err(refusal))
                if refusal.code == QueueNotFound || refusal.code == ExchangeNotFound =>
            {
                Ok(Reply::Done)
            }
            // Whoever replies may ask whether the requester is still there.
            (Op::DeclareQueue { name, wanted: None, .. }, Err(refusal))
                if refusal.code == QueueLocked && super::consume::is_reply_address(name) =>
            {
                Ok(Reply::Done)
            }
            (Op::Look { .. }, Err(refusal)) if refusal.code != AccessDenied => Ok(Reply::Done),
            (_, result) => result,
        }
    }

    fn done(&mut self, number: u16, op: Op, reply: Reply, out: &mut Output) -> Result<(), Failure> {
        match op {
            Op::DeclareExchange { name, wanted, no_wait, .. } => {
                self.exchange_declared(number, &name, wanted.as_deref(), no_wait, &reply, out)?;
            }
            Op::DeleteExchange { no_wait: false } => write(out, number, &exchange::DeleteOk),
            Op::BindExchange { no_wait: false } => write(out, number, &exchange::BindOk),
            Op::UnbindExchange { no_wait: false } => write(out, number, &exchange::UnbindOk),
            Op::BindQueue { no_wait: false, .. } => write(out, number, &queue::BindOk),
            Op::UnbindQueue { .. } => write(out, number, &queue::UnbindOk),
            Op::DeclareQueue { name, wanted, no_wait, .. } => {
                self.queue_declared(number, &name, wanted.as_deref(), no_wait, reply, out)?;
            }
            Op::PurgeQueue { no_wait: false, .. } => {
                write(out, number, &queue::PurgeOk { message_count: count(&reply) });
            }
            Op::DeleteQueue { name, no_wait } => {
                self.owned.retain(|owned| *owned != name);
                self.known.remove(&name);
                if !no_wait {
                    write(out, number, &queue::DeleteOk { message_count: count(&reply) });
                }
            }
            Op::Look { name, exclusive } => self.looked(&name, exclusive, &reply)?,
            Op::Consume { tag, no_wait: false, .. } => {
                write(out, number, &basic::ConsumeOk { consumer_tag: tag });
            }
            Op::Cancel { consumer, tag, no_wait } => {
                self.forget_consumer(consumer);
                if !no_wait {
                    write(out, number, &basic::CancelOk { consumer_tag: tag });
                }
            }
            Op::Recover { upto, no_wait } => self.recovered(number, upto, no_wait, out),
            Op::Commit => write(out, number, &tx::CommitOk),
            Op::Close => {
                write(out, number, &channel::CloseOk);
                self.free_channel(number);
            }
            // Nobody waits for these.
            Op::DeleteExchange { .. }
            | Op::BindExchange { .. }
            | Op::UnbindExchange { .. }
            | Op::BindQueue { .. }
            | Op::PurgeQueue { .. }
            | Op::ReplyQueue
            | Op::Consume { .. }
            | Op::Get { .. } => {}
        }
        Ok(())
    }
}

fn count(reply: &Reply) -> u32 {
    match reply {
        Reply::Count(count) => u32::try_from(*count).unwrap_or(u32::MAX),
        _ => 0,
    }
}
