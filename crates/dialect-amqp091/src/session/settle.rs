//! Settling: ack, nack, reject, recover. Not here: delivery tags (`unacked`), transactions (`tx`), and that settlements which
//! follow each other become one request (`baton_dialect::settling`).

use baton_dialect::Output;
use baton_model::{Outcome, Request};

use super::AmqpSession;
use super::channel::Mode;
use super::failure::Failure;
use super::steps::Op;
use super::unacked::{Taken, UnknownTag};
use crate::codes::ReplyCode;
use crate::methods::basic;

impl AmqpSession {
    pub(super) fn ack(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        self.settle(number, tag, multiple, &Outcome::Complete, out)
    }

    /// A requeue by nack is a return: as in RabbitMQ 4.3 it does not count as a failed attempt.
    pub(super) fn nack(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        requeue: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let outcome = if requeue {
            Outcome::Release { failed: false, delay_ms: None }
        } else {
            Outcome::Reject { reason: None }
        };
        self.settle(number, tag, multiple, &outcome, out)
    }

    /// A requeue by reject counts as a failed attempt, as in RabbitMQ 4.3.
    pub(super) fn reject(
        &mut self,
        number: u16,
        tag: u64,
        requeue: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let outcome = if requeue {
            Outcome::Release { failed: true, delay_ms: None }
        } else {
            Outcome::Reject { reason: None }
        };
        self.settle(number, tag, false, &outcome, out)
    }

    fn settle(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        outcome: &Outcome,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let unknown = |_: UnknownTag| Failure::precondition(format!("unknown delivery tag {tag}"));
        let slot = self.slots.get_mut(usize::from(number)).and_then(|slot| slot.channel.as_deref_mut());
        let Some(channel) = slot else { return Ok(()) };
        let settling = &mut self.settling;
        let (unacked, mode) = (&mut channel.unacked, &mut channel.mode);
        let mut overfull = Ok(());
        let mut each = |taken: Taken| match mode {
            Mode::Tx(transaction) => {
                let added = transaction.settle(taken, outcome);
                if added.is_err() {
                    overfull = added;
                }
            }
            Mode::Plain | Mode::Confirm(_) => {
                if let Some(delivery) = taken.delivery {
                    settling.add(delivery, outcome, out);
                }
            }
        };
        if multiple {
            unacked.take_upto(tag, each).map_err(unknown)?;
        } else {
            each(unacked.take(tag).map_err(unknown)?);
        }
        overfull
    }

    /// Everything unsettled comes again.
    pub(super) fn recover(
        &mut self,
        number: u16,
        requeue: bool,
        no_wait: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if !requeue {
            return Err(Failure::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        let channel = self.opened(number)?;
        let (link, upto) = (channel.link, channel.unacked.last_tag());
        if let Some(token) = self.ask(number, Op::Recover { upto, no_wait }) {
            self.submit(Request::Recover { token, link }, out);
        }
        Ok(())
    }

    /// The engine took everything back.
    pub(super) fn recovered(&mut self, number: u16, upto: u64, no_wait: bool, out: &mut Output) {
        if let Some(channel) = self.channel(number) {
            channel.unacked.recovered(upto);
        }
        if !no_wait {
            super::write(out, number, &basic::RecoverOk);
        }
    }
}
