//! Channels: opened, failed, closed. A channel that failed drops everything until its close is answered; one that waits for
//! the engine keeps the order of its answers (`steps`). What channels do is in the modules of the classes.

use std::collections::{BTreeMap, VecDeque};

use baton_dialect::Output;
use baton_model::{ConsumerId, LinkId, Name, Request};

use super::confirms::Confirms;
use super::failure::Failure;
use super::steps::{Op, Step};
use super::tx::Transaction;
use super::unacked::Unacked;
use super::{AmqpSession, token, write};
use crate::codes::{ReplyCode, Severity};
use crate::content::Assembler;
use crate::methods::channel as methods;
use crate::short_str::ShortStr;

/// A channel number.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Publishes by all channels that had the number, so that tokens are not used twice.
    published: u64,
    /// How often it was opened.
    epoch: u16,
    pub(super) channel: Option<Box<Channel>>,
}

/// An open channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) link: LinkId,
    pub(super) state: ChannelState,
    pub(super) assembler: Assembler,
    /// Commands not answered yet, in order.
    pub(super) steps: VecDeque<Step>,
    pub(super) next_serial: u32,
    /// The number of the last publish; continues that of the channel before.
    pub(super) published: u64,
    /// The number before the first publish of this channel.
    pub(super) published_before: u64,
    pub(super) mode: Mode,
    /// Consumers by their tags.
    pub(super) tags: BTreeMap<ShortStr, ConsumerId>,
    pub(super) unacked: Unacked,
    /// What the next consumers may hold; `None`: any number.
    pub(super) prefetch: Option<u32>,
    /// The queue declared last, which an empty name means.
    pub(super) queue: Name,
    /// Direct reply-to: the consumer and the address that stands for it.
    pub(super) replies: Option<(ConsumerId, Name)>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChannelState {
    Open,
    /// Failed behind commands that are not answered yet: takes no more commands, says so when they are.
    Doomed,
    /// We closed it and wait for `close-ok`.
    Closing,
    /// The client closed it; answered when the engine has let go.
    Leaving,
}

/// How it publishes.
#[derive(Debug)]
pub(super) enum Mode {
    Plain,
    Confirm(Confirms),
    Tx(Box<Transaction>),
}

impl AmqpSession {
    /// The open channel of that number.
    pub(super) fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        self.slots.get_mut(usize::from(number))?.channel.as_deref_mut()
    }

    /// The open channel of that number; handlers are only called for one.
    pub(super) fn opened(&mut self, number: u16) -> Result<&mut Channel, Failure> {
        self.channel(number).ok_or_else(not_open)
    }

    pub(super) fn open_channel(&mut self, number: u16, out: &mut Output) -> Result<(), Failure> {
        if number > self.client.channel_max {
            let text = format!(
                "number of channels opened ({}) has reached the negotiated channel_max ({})",
                self.open_channels, self.client.channel_max
            );
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        let index = usize::from(number);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let body_bytes_max = self.options.body_bytes_max.min(self.context.message_bytes_max);
        let slot = self.slots.get_mut(index).ok_or_else(not_open)?;
        slot.epoch = slot.epoch.wrapping_add(1);
        slot.channel = Some(Box::new(Channel {
            link: token::link(number, slot.epoch),
            state: ChannelState::Open,
            assembler: Assembler::new(body_bytes_max),
            steps: VecDeque::new(),
            next_serial: 0,
            published: slot.published,
            published_before: slot.published,
            mode: Mode::Plain,
            tags: BTreeMap::new(),
            unacked: Unacked::default(),
            prefetch: None,
            queue: Name::default(),
            replies: None,
        }));
        self.open_channels += 1;
        write(out, number, &methods::OpenOk::default());
        Ok(())
    }

    /// A command failed. What was asked before it is answered first.
    pub(super) fn fail(&mut self, number: u16, failure: Failure, out: &mut Output) {
        if failure.code.severity() == Severity::Connection {
            return self.fail_connection(&failure, out);
        }
        match self.channel(number) {
            None => self.fail_connection(&failure, out),
            Some(channel) if channel.state != ChannelState::Open => {}
            Some(channel) if channel.steps.is_empty() => self.fail_now(number, &failure, out),
            Some(channel) => {
                channel.state = ChannelState::Doomed;
                channel.steps.push_back(Step::Fail(failure));
            }
        }
    }

    /// A channel (or, by the code, the connection) fails at once; what it still waits for is forgotten.
    pub(super) fn fail_now(&mut self, number: u16, failure: &Failure, out: &mut Output) {
        if failure.code.severity() == Severity::Connection {
            return self.fail_connection(failure, out);
        }
        self.write_confirms_of(number, out);
        self.let_go(number, true, out);
        if let Some(channel) = self.channel(number) {
            channel.state = ChannelState::Closing;
            let (class_id, method_id) = failure.method;
            let reply_text = failure.code.text(&failure.text);
            write(
                out,
                number,
                &methods::Close { reply_code: failure.code.code(), reply_text, class_id, method_id },
            );
        }
    }

    /// The client closes a channel: answered when the engine has taken back what it held, so that a client that has the
    /// answer finds its messages in the queue again.
    pub(super) fn close_channel(&mut self, number: u16, out: &mut Output) {
        match self.channel(number).map(|channel| channel.state) {
            // Both sides close at once: theirs is answered, ours still waits.
            Some(ChannelState::Closing) => return write(out, number, &methods::CloseOk),
            None | Some(ChannelState::Leaving) => return,
            Some(ChannelState::Open | ChannelState::Doomed) => {}
        }
        self.write_confirms_of(number, out);
        let Some(channel) = self.channel(number) else { return };
        // Failures that were about to be told are moot.
        channel.steps.retain(|step| !matches!(step, Step::Fail(_)));
        let steps = std::mem::take(&mut channel.steps);
        self.let_go(number, true, out);
        if let Some(channel) = self.channel(number) {
            channel.state = ChannelState::Leaving;
            channel.steps = steps;
        }
        if let Some(token) = self.ask(number, Op::Close) {
            // A group of nothing is answered when everything before it is.
            self.submit(Request::Group { token, requests: Vec::new() }, out);
        }
    }

    /// Gives back what a channel holds: consumers, deliveries, half received and uncommitted messages. The channel's
    /// shell stays.
    pub(super) fn let_go(&mut self, number: u16, failed: bool, out: &mut Output) {
        let Some(channel) = self.channel(number) else { return };
        let link = channel.link;
        let held = channel.assembler.held_bytes() as u64;
        channel.assembler.reset();
        channel.steps.clear();
        channel.tags.clear();
        channel.unacked = Unacked::default();
        channel.replies = None;
        channel.mode = Mode::Plain;
        self.assembling_bytes = self.assembling_bytes.saturating_sub(held);
        self.consumers.retain(|_, consumer| consumer.link != link);
        self.submit(Request::Detach { link, failed }, out);
    }

    /// The number is free again.
    pub(super) fn free_channel(&mut self, number: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        if let Some(channel) = slot.channel.take() {
            slot.published = channel.published;
            self.open_channels = self.open_channels.saturating_sub(1);
        }
    }

    /// Gives back what all channels hold, and forgets them.
    pub(super) fn detach_all(&mut self, failed: bool, out: &mut Output) {
        let numbers = 0..u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        for number in numbers {
            let state = self.channel(number).map(|channel| channel.state);
            if matches!(state, Some(ChannelState::Open | ChannelState::Doomed)) {
                self.let_go(number, failed, out);
            }
            self.free_channel(number);
        }
    }
}

/// Work on a channel that is not there.
pub(super) fn not_open() -> Failure {
    Failure::new(ReplyCode::ChannelError, "expected 'channel.open'")
}
