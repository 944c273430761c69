//! Transactions: SEND, ACK and NACK wait for the COMMIT and then happen together, in one batch of the journal, over all
//! queues. Several may be open at a time, each by its name.

use baton_dialect::Output;
use baton_model::request::Settle;
use baton_model::{ConsumerId, Outcome, Refusal, Reply, Request};

use super::failure::Failure;
use super::steps::{Op, Receipt};
use super::unacked::Taken;
use super::{StompSession, limits};
use crate::frame::Frame;

/// What waits for the commit.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    requests: Vec<Request>,
    /// Bytes of the bodies in `requests`.
    bytes: u64,
    planned: Vec<Planned>,
}

/// A delivery that is settled in a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    consumer: ConsumerId,
    tag: u64,
}

impl Transaction {
    fn check(&self) -> Result<(), Failure> {
        if self.requests.len() > limits::TX_FRAMES_MAX || self.planned.len() > limits::TX_FRAMES_MAX {
            let max = limits::TX_FRAMES_MAX;
            return Err(Failure::new(
                "resource_error",
                format!("the transaction has more than {max} frames; commit more often"),
            ));
        }
        Ok(())
    }
}

impl StompSession {
    pub(super) fn begin(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let name = name(frame)?;
        if self.transactions.len() >= limits::TRANSACTIONS_MAX {
            let max = limits::TRANSACTIONS_MAX;
            let text = format!("more than {max} transactions are open; commit or abort some");
            return Err(Failure::new("resource_error", text));
        }
        if self.transactions.contains_key(name) {
            let shown = String::from_utf8_lossy(name);
            let text = format!("transaction '{shown}' has begun already; commit or abort it first");
            return Err(Failure::new("transaction exists", text));
        }
        self.transactions.insert(name.into(), Transaction::default());
        self.finish(frame.headers.get(b"receipt").map(Receipt::from_slice), out);
        Ok(())
    }

    pub(super) fn commit(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let name = name(frame)?;
        let transaction = self.transactions.remove(name).ok_or_else(|| unknown(name))?;
        self.tx_bytes = self.tx_bytes.saturating_sub(transaction.bytes);
        let receipt = frame.headers.get(b"receipt").map(Receipt::from_slice);
        let token = self.steps.ask(receipt, Op::Commit { planned: transaction.planned });
        self.submit(Request::Group { token, requests: transaction.requests }, out);
        Ok(())
    }

    /// Sends are forgotten; what was settled is unsettled again, and stays with the client.
    pub(super) fn abort(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let name = name(frame)?;
        let transaction = self.transactions.remove(name).ok_or_else(|| unknown(name))?;
        self.tx_bytes = self.tx_bytes.saturating_sub(transaction.bytes);
        self.decide(&transaction.planned, false);
        self.finish(frame.headers.get(b"receipt").map(Receipt::from_slice), out);
        Ok(())
    }

    /// The engine has carried out a transaction, or has refused all of it.
    pub(super) fn committed(
        &mut self,
        planned: &[Planned],
        result: Result<Reply, Refusal>,
    ) -> Result<(), Failure> {
        self.decide(planned, result.is_ok());
        result.map(|_| ()).map_err(|refusal| Failure::from(&refusal))
    }

    fn decide(&mut self, planned: &[Planned], done: bool) {
        for Planned { consumer, tag } in planned {
            if let Some(subscription) = self.subscriptions.get_mut(consumer) {
                subscription.unacked.decide(*tag, done);
            }
        }
    }

    pub(super) fn plan_publish(&mut self, name: &[u8], request: Request, bytes: u64) -> Result<(), Failure> {
        self.tx_bytes += bytes;
        if self.tx_bytes > limits::TX_BYTES_MAX {
            let max = limits::TX_BYTES_MAX;
            let text = format!("transactions of one connection hold at most {max} bytes; commit more often");
            return Err(Failure::new("resource_error", text));
        }
        let transaction = self.transactions.get_mut(name).ok_or_else(|| unknown(name))?;
        transaction.bytes += bytes;
        transaction.requests.push(request);
        transaction.check()
    }

    pub(super) fn plan_settle(
        &mut self,
        name: &[u8],
        consumer: ConsumerId,
        taken: &[Taken],
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        let transaction = self.transactions.get_mut(name).ok_or_else(|| unknown(name))?;
        let held = taken.iter().filter_map(|taken| Some((taken.tag, taken.at?)));
        for (tag, delivery) in held {
            transaction.planned.push(Planned { consumer, tag });
            match transaction.requests.last_mut() {
                Some(Request::Settle(settle)) if settle.outcome == *outcome => {
                    settle.deliveries.push(delivery);
                }
                _ => {
                    let deliveries = std::iter::once(delivery).collect();
                    let settle = Settle { token: None, deliveries, outcome: outcome.clone() };
                    transaction.requests.push(Request::Settle(settle));
                }
            }
        }
        transaction.check()
    }
}

fn name<'a>(frame: &Frame<'a>) -> Result<&'a [u8], Failure> {
    let missing = || Failure::missing(frame.command.as_str(), "transaction");
    frame.headers.get(b"transaction").filter(|name| !name.is_empty()).ok_or_else(missing)
}

fn unknown(name: &[u8]) -> Failure {
    let shown = String::from_utf8_lossy(name);
    Failure::new("transaction not found", format!("no transaction '{shown}' has begun; send BEGIN first"))
}
