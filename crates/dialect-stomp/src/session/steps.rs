//! What waits for the engine, in the order in which the client asked for it. Receipts leave in that order, each when what
//! its frame asked for is done; a failure leaves behind the receipts of what came before it.

use std::collections::VecDeque;

use baton_dialect::Output;
use baton_model::{ConsumerId, Name, Refusal, Reply, Token};
use smallvec::SmallVec;

use super::failure::Failure;
use super::queue::Wanted;
use super::tx::Planned;
use super::{StompSession, limits};

/// A receipt's id, as it stood on the wire.
pub(super) type Receipt = SmallVec<[u8; 24]>;

/// One thing that waits.
#[derive(Debug)]
struct Step {
    receipt: Option<Receipt>,
    op: Op,
    state: State,
}

#[derive(Debug)]
enum State {
    Waits,
    Done,
    Failed(Failure),
}

/// What is done with the engine's answer.
#[derive(Debug)]
pub(super) enum Op {
    /// Nothing: only the receipt waits.
    Nothing,
    /// A queue that must be as wanted.
    Declare { name: Name, wanted: Option<Box<Wanted>> },
    /// A subscription that is over now.
    Unsubscribe { consumer: ConsumerId },
    /// A transaction's end: its acknowledgements are done, or are not.
    Commit { planned: Vec<Planned> },
    /// The next page of a browser.
    Browse { consumer: ConsumerId },
    /// The last words.
    Goodbye,
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Steps {
    first: u64,
    steps: VecDeque<Step>,
}

/// A publish that asked for no answer, but was refused.
pub(super) const UNCONFIRMED: Token = Token(u64::MAX);
/// Nobody waits for the answer.
pub(super) const NOBODY: Token = Token(u64::MAX - 1);
/// The login.
pub(super) const AUTHENTICATE: Token = Token(u64::MAX - 2);
/// The namespace.
pub(super) const OPEN: Token = Token(u64::MAX - 3);

impl Steps {
    /// Takes a place; the token to ask with.
    pub(super) fn ask(&mut self, receipt: Option<Receipt>, op: Op) -> Token {
        let token = Token(self.first + self.steps.len() as u64);
        self.steps.push_back(Step { receipt, op, state: State::Waits });
        token
    }

    /// Something that is done already, behind what is not.
    pub(super) fn done(&mut self, receipt: Option<Receipt>, op: Op) {
        self.steps.push_back(Step { receipt, op, state: State::Done });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.steps.len() >= limits::STEPS_MAX
    }

    fn find(&mut self, token: Token) -> Option<&mut Step> {
        let at = usize::try_from(token.0.checked_sub(self.first)?).ok()?;
        self.steps.get_mut(at)
    }

    /// What the step of that token is for.
    pub(super) fn op(&mut self, token: Token) -> Option<&mut Op> {
        self.find(token).map(|step| &mut step.op)
    }
}

impl StompSession {
    /// A frame is done without the engine: its receipt leaves now, or behind what is due before.
    pub(super) fn finish(&mut self, receipt: Option<Receipt>, out: &mut Output) {
        let Some(receipt) = receipt else { return };
        if self.steps.is_empty() {
            self.write_receipt(&receipt, out);
        } else {
            self.steps.done(Some(receipt), Op::Nothing);
        }
    }

    /// The engine has answered a step.
    pub(super) fn answered(&mut self, token: Token, result: Result<(), Failure>, out: &mut Output) {
        let Some(step) = self.steps.find(token) else { return };
        step.state = match result {
            Ok(()) => State::Done,
            Err(failure) => State::Failed(failure),
        };
        self.run_steps(out);
    }

    /// The engine has answered a request of the catalog or the like.
    pub(super) fn replied(&mut self, token: Token, result: Result<Reply, Refusal>, out: &mut Output) {
        let Some(op) = self.steps.op(token) else { return };
        let op = std::mem::replace(op, Op::Nothing);
        let result = match op {
            Op::Declare { name, wanted } => self.declared(&name, wanted.as_deref(), result),
            Op::Unsubscribe { consumer } => {
                self.unsubscribed(consumer);
                result.map(|_| ()).map_err(|refusal| Failure::from(&refusal))
            }
            Op::Commit { planned } => self.committed(&planned, result),
            Op::Browse { consumer } => {
                if self.browsed(token, consumer, result, out) {
                    return;
                }
                Ok(())
            }
            Op::Goodbye => {
                if let Some(op) = self.steps.op(token) {
                    *op = Op::Goodbye;
                }
                Ok(())
            }
            Op::Nothing => result.map(|_| ()).map_err(|refusal| Failure::from(&refusal)),
        };
        self.answered(token, result, out);
    }

    /// Writes what need not wait any more.
    pub(super) fn run_steps(&mut self, out: &mut Output) {
        while let Some(step) = self.steps.steps.front() {
            if matches!(step.state, State::Waits) {
                return;
            }
            let Some(step) = self.steps.steps.pop_front() else { return };
            self.steps.first += 1;
            if let State::Failed(failure) = step.state {
                return self.write_error(&failure, step.receipt.as_deref(), out);
            }
            if let Some(receipt) = &step.receipt {
                self.write_receipt(receipt, out);
            }
            if matches!(step.op, Op::Goodbye) {
                return self.hang_up(out);
            }
        }
    }

    /// Something failed: it is said behind what is still due, and nothing more is taken from the client.
    pub(super) fn fail(&mut self, failure: Failure, receipt: Option<Receipt>, out: &mut Output) {
        if self.is_over() {
            return;
        }
        self.settling.flush(out);
        self.begin_end();
        self.steps.steps.push_back(Step { receipt, op: Op::Nothing, state: State::Failed(failure) });
        self.run_steps(out);
    }
}
