//! Transactions: publishes and settlements of a channel wait for the commit and then happen together, in one batch of the
//! journal, over all queues: more than RabbitMQ promises.

use baton_dialect::Output;
use baton_model::request::Settle;
use baton_model::{Outcome, Request};

use super::channel::Mode;
use super::failure::Failure;
use super::steps::Op;
use super::unacked::Taken;
use super::{AmqpSession, limits};
use crate::methods::tx;

/// What waits for the commit.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    requests: Vec<Request>,
    /// Bytes of the bodies in `requests`.
    bytes: u64,
    /// Tags settled in it, to be given back by a rollback.
    taken: Vec<Taken>,
}

impl Transaction {
    pub(super) fn publish(&mut self, request: Request, body_bytes: u64) -> Result<(), Failure> {
        self.bytes += body_bytes;
        if self.bytes > limits::TX_BYTES_MAX {
            let max = limits::TX_BYTES_MAX;
            return Err(Failure::precondition(format!(
                "transaction holds more than {max} bytes; commit more often"
            )));
        }
        self.push(request)
    }

    pub(super) fn settle(&mut self, taken: Taken, outcome: &Outcome) -> Result<(), Failure> {
        self.taken.push(taken);
        let Some(delivery) = taken.delivery else { return Ok(()) };
        if let Some(Request::Settle(settle)) = self.requests.last_mut()
            && settle.outcome == *outcome
        {
            settle.deliveries.push(delivery);
            return Ok(());
        }
        let deliveries = std::iter::once(delivery).collect();
        self.push(Request::Settle(Settle { token: None, deliveries, outcome: outcome.clone() }))
    }

    fn push(&mut self, request: Request) -> Result<(), Failure> {
        if self.requests.len() >= limits::TX_COMMANDS_MAX || self.taken.len() > limits::TX_COMMANDS_MAX {
            let max = limits::TX_COMMANDS_MAX;
            return Err(Failure::precondition(format!(
                "transaction has more than {max} commands; commit more often"
            )));
        }
        self.requests.push(request);
        Ok(())
    }
}

impl AmqpSession {
    pub(super) fn tx_select(&mut self, number: u16, out: &mut Output) -> Result<(), Failure> {
        let channel = self.opened(number)?;
        match &channel.mode {
            Mode::Confirm(_) => return Err(Failure::precondition("cannot switch from confirm to tx mode")),
            Mode::Tx(_) => {}
            Mode::Plain => channel.mode = Mode::Tx(Box::default()),
        }
        self.answer(number, tx::SelectOk, out);
        Ok(())
    }

    pub(super) fn tx_commit(&mut self, number: u16, out: &mut Output) -> Result<(), Failure> {
        let transaction = std::mem::take(self.transaction(number)?);
        if let Some(token) = self.ask(number, Op::Commit) {
            self.submit(Request::Group { token, requests: transaction.requests }, out);
        }
        Ok(())
    }

    /// Publishes are forgotten; what was settled is unsettled again, and stays with the client.
    pub(super) fn tx_rollback(&mut self, number: u16, out: &mut Output) -> Result<(), Failure> {
        let transaction = std::mem::take(self.transaction(number)?);
        self.opened(number)?.unacked.restore(transaction.taken);
        self.answer(number, tx::RollbackOk, out);
        Ok(())
    }

    fn transaction(&mut self, number: u16) -> Result<&mut Transaction, Failure> {
        match &mut self.opened(number)?.mode {
            Mode::Tx(transaction) => Ok(transaction),
            _ => Err(Failure::precondition("channel is not transactional")),
        }
    }
}
