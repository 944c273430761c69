//! Acknowledgements to publishers: which of a channel's publishes are settled, and the fewest frames that say so. One
//! `basic.ack` with `multiple` covers everything up to the first that is not settled yet; what is settled beyond it is
//! named one by one, so that nobody waits for a slower neighbour.

use std::collections::VecDeque;

use baton_dialect::Output;
use baton_model::{PublishOutcome, RefusalCode, Token};

use super::channel::{ChannelState, Mode};
use super::failure::{Failure, refused};
use super::token::Origin;
use super::{AmqpSession, token, write};
use crate::methods::basic::{Ack, Nack};
use crate::methods::confirm;

/// Publishes of a channel in confirm mode.
#[derive(Debug)]
pub(super) struct Confirms {
    /// The publish number before the first one that is confirmed: tags count from there.
    before: u64,
    /// The tag of the first in `states`.
    first: u64,
    /// One for each publish from the first that is not settled.
    states: VecDeque<State>,
    /// Settled in this burst.
    fresh: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Acked,
    Nacked,
    /// Settled and told.
    Told,
}

/// A frame to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64, multiple: bool },
}

impl Confirms {
    /// Confirms publishes after that number.
    fn new(before: u64) -> Self {
        Self { before, first: 1, states: VecDeque::new(), fresh: Vec::new() }
    }

    /// One more is published.
    pub(super) fn published(&mut self) {
        self.states.push_back(State::Waiting);
    }

    /// The engine settled a publish. True if it is the first of this burst.
    fn settled(&mut self, seq: u64, accepted: bool) -> bool {
        let Some(tag) = seq.checked_sub(self.before) else { return false };
        let index = tag.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(state) = index.and_then(|index| self.states.get_mut(index)) else { return false };
        if *state != State::Waiting {
            return false;
        }
        *state = if accepted { State::Acked } else { State::Nacked };
        self.fresh.push(tag);
        self.fresh.len() == 1
    }

    /// What to write for all that was settled since the last call.
    fn tell(&mut self, mut told: impl FnMut(Told)) {
        if self.fresh.is_empty() {
            return;
        }
        // The settled ones at the front, in runs of one kind; what was told already fits in any run.
        let mut run: Option<(State, u64, u64)> = None;
        let emit = |run: Option<(State, u64, u64)>, told: &mut dyn FnMut(Told)| match run {
            Some((State::Acked, tag, count)) => told(Told::Ack { tag, multiple: count > 1 }),
            Some((State::Nacked, tag, count)) => told(Told::Nack { tag, multiple: count > 1 }),
            _ => {}
        };
        while let Some(state) = self.states.front().copied().filter(|state| *state != State::Waiting) {
            let tag = self.first;
            self.states.pop_front();
            self.first += 1;
            run = match (run, state) {
                (run, State::Told) => run,
                (Some((kind, _, count)), state) if kind == state => Some((kind, tag, count + 1)),
                (run, state) => {
                    emit(run, &mut told);
                    Some((state, tag, 1))
                }
            };
        }
        emit(run, &mut told);
        for tag in self.fresh.drain(..) {
            let index = tag.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            let Some(state) = index.and_then(|index| self.states.get_mut(index)) else { continue };
            match std::mem::replace(state, State::Told) {
                State::Nacked => told(Told::Nack { tag, multiple: false }),
                _ => told(Told::Ack { tag, multiple: false }),
            }
        }
    }
}

impl AmqpSession {
    pub(super) fn confirm_select(
        &mut self,
        number: u16,
        no_wait: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let channel = self.opened(number)?;
        match &channel.mode {
            Mode::Tx(_) => return Err(Failure::precondition("cannot switch from tx to confirm mode")),
            Mode::Confirm(_) => {}
            Mode::Plain => channel.mode = Mode::Confirm(Confirms::new(channel.published)),
        }
        if !no_wait {
            self.answer(number, confirm::SelectOk, out);
        }
        Ok(())
    }

    /// What became of a publish.
    pub(super) fn published(&mut self, token: Token, outcome: &PublishOutcome, out: &mut Output) {
        let Origin::Publish { channel: number, seq } = token::origin(token) else { return };
        let Some(channel) = self.channel(number) else { return };
        let ended = !matches!(channel.state, ChannelState::Open | ChannelState::Doomed);
        if ended || seq <= channel.published_before {
            return;
        }
        let confirms = match &mut channel.mode {
            Mode::Confirm(confirms) if seq > confirms.before => Some(confirms),
            _ => None,
        };
        let accepted = match outcome {
            PublishOutcome::Accepted { .. } | PublishOutcome::Duplicate { .. } => true,
            PublishOutcome::Refused(refusal) => {
                let told = confirms.is_some();
                match refusal.code {
                    // A full queue drops what is not confirmed, as in RabbitMQ.
                    RefusalCode::QueueFull => {}
                    RefusalCode::DiskFull
                    | RefusalCode::MemoryFull
                    | RefusalCode::Unavailable
                    | RefusalCode::MessageTooLarge
                        if told => {}
                    _ => {
                        let failure = refused(refusal, "", &self.client.vhost);
                        return self.fail_now(number, &failure.of((60, 40)), out);
                    }
                }
                false
            }
        };
        if confirms.is_some_and(|confirms| confirms.settled(seq, accepted)) {
            self.confirming.push(number);
        }
    }

    /// The end of a burst.
    pub(super) fn write_confirms(&mut self, out: &mut Output) {
        while let Some(number) = self.confirming.pop() {
            self.write_confirms_of(number, out);
        }
    }

    pub(super) fn write_confirms_of(&mut self, number: u16, out: &mut Output) {
        let Some(channel) = self.channel(number) else { return };
        if let Mode::Confirm(confirms) = &mut channel.mode {
            confirms.tell(|told| match told {
                Told::Ack { tag, multiple } => write(out, number, &Ack { delivery_tag: tag, multiple }),
                Told::Nack { tag, multiple } => {
                    write(out, number, &Nack { delivery_tag: tag, multiple, requeue: false });
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(confirms: &mut Confirms) -> Vec<Told> {
        let mut all = Vec::new();
        confirms.tell(|told| all.push(told));
        all
    }

    #[test]
    fn one_ack_covers_a_burst_and_gaps_are_not_covered() {
        let mut confirms = Confirms::new(100);
        (0..6).for_each(|_| confirms.published());
        assert!(confirms.settled(101, true) && !confirms.settled(102, true));
        confirms.settled(105, true);
        assert_eq!(
            told(&mut confirms),
            [Told::Ack { tag: 2, multiple: true }, Told::Ack { tag: 5, multiple: false }]
        );
        assert!(confirms.settled(103, false));
        confirms.settled(104, true);
        confirms.settled(106, true);
        assert_eq!(
            told(&mut confirms),
            [Told::Nack { tag: 3, multiple: false }, Told::Ack { tag: 6, multiple: true }]
        );
        assert!(!confirms.settled(106, true), "settled twice");
        assert!(!confirms.settled(100, true) && !confirms.settled(107, true), "never published");
        assert_eq!(told(&mut confirms), []);
    }

    proptest! {
        /// Whatever the order and the bursts, a client that believes what it is told learns each outcome exactly once.
        #[test]
        fn everything_is_told_once(order in Just((1..40_u64).collect::<Vec<_>>()).prop_shuffle(),
                                   nacked in prop::collection::vec(any::<bool>(), 40), burst in 1..8_usize) {
            let mut confirms = Confirms::new(0);
            order.iter().for_each(|_| confirms.published());
            let mut known: std::collections::BTreeMap<u64, bool> = Default::default();
            for seqs in order.chunks(burst) {
                for seq in seqs {
                    confirms.settled(*seq, !nacked[usize::try_from(*seq).unwrap()]);
                }
                for told in told(&mut confirms) {
                    let (tag, multiple, ack) = match told {
                        Told::Ack { tag, multiple } => (tag, multiple, true),
                        Told::Nack { tag, multiple } => (tag, multiple, false),
                    };
                    let from = if multiple { 1 } else { tag };
                    let news = (from..=tag).filter(|tag| !known.contains_key(tag)).collect::<Vec<_>>();
                    prop_assert!(!news.is_empty());
                    for tag in news {
                        prop_assert_eq!(ack, !nacked[usize::try_from(tag).unwrap()]);
                        known.insert(tag, ack);
                    }
                }
                for seq in seqs {
                    prop_assert!(known.contains_key(seq), "{} was not told in its burst", seq);
                }
            }
            prop_assert_eq!(known.len(), order.len());
            prop_assert!(confirms.states.is_empty());
        }
    }
}
