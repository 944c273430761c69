//! Who is served from a queue, and when the queue may serve: consumers and waiting fetches in their turns, the token
//! bucket, idleness. None of this is recorded; after a restart clients come again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use baton_model::policy::{QueuePolicy, Rate};
use baton_model::{ConnectionId, Time};

use crate::number::whole;

/// Somebody who can take messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Taker {
    /// A consumer, by its index.
    Consumer(u32),
    /// A fetch that waits, by its number.
    Fetch(u64),
    /// One that waits for elements of lists, by its number.
    List(u64),
}

/// A place in the line: higher priority first, then who came to stand in it first.
pub(crate) type Turn = (Reverse<i32>, u64);

/// The serving side of one queue.
#[derive(Debug)]
pub(crate) struct Serve {
    /// The connection that alone may use the queue.
    pub(crate) owner: Option<ConnectionId>,
    /// All consumers, by priority and in the order they came.
    pub(crate) consumers: BTreeMap<Turn, u32>,
    /// A consumer is the only one.
    pub(crate) exclusive: bool,
    /// It has had a consumer: `auto_delete` acts from then on.
    pub(crate) had_consumer: bool,
    /// How many in the line wait for elements of lists.
    pub(crate) lists_waiting: u32,
    /// It waits for the next dispatch.
    pub(crate) dirty: bool,
    /// When the machine will look at it next.
    pub(crate) timer: Option<u64>,
    /// When the transfer that takes messages out of it goes on.
    pub(crate) transfer_at: Option<u64>,
    line: BTreeMap<Turn, Taker>,
    fetch_deadlines: BTreeSet<(u64, u64)>,
    turn: u64,
    used_at: u64,
    tokens: f64,
    tokens_at: u64,
}

impl Serve {
    pub(crate) fn new(at: Time) -> Self {
        Self {
            owner: None,
            consumers: BTreeMap::new(),
            exclusive: false,
            had_consumer: false,
            lists_waiting: 0,
            dirty: false,
            timer: None,
            transfer_at: None,
            line: BTreeMap::new(),
            fetch_deadlines: BTreeSet::new(),
            turn: 0,
            used_at: at.0,
            tokens: f64::INFINITY,
            tokens_at: at.0,
        }
    }

    /// The queue was used: its idle time begins anew.
    pub(crate) fn used(&mut self, now: Time) {
        self.used_at = self.used_at.max(now.0);
    }

    /// A new number in the order of coming.
    pub(crate) fn next_turn(&mut self, priority: i32) -> Turn {
        self.turn += 1;
        (Reverse(priority), self.turn)
    }

    /// Stands behind the others of its priority. Returns the place, which the taker must keep to leave by.
    pub(crate) fn stand(&mut self, priority: i32, taker: Taker) -> Turn {
        let turn = self.next_turn(priority);
        self.line.insert(turn, taker);
        self.lists_waiting += u32::from(matches!(taker, Taker::List(_)));
        turn
    }

    pub(crate) fn leave(&mut self, turn: Turn) {
        if let Some(Taker::List(_)) = self.line.remove(&turn) {
            self.lists_waiting -= 1;
        }
    }

    /// Who is next after `after` (the beginning: `None`).
    pub(crate) fn next_taker(&self, after: Option<Turn>) -> Option<(Turn, Taker)> {
        match after {
            None => self.line.first_key_value().map(|(turn, taker)| (*turn, *taker)),
            Some(after) => {
                let behind = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
                self.line.range(behind).next().map(|(turn, taker)| (*turn, *taker))
            }
        }
    }

    pub(crate) fn nobody_waits(&self) -> bool {
        self.line.is_empty()
    }

    /// A fetch waits until a time.
    pub(crate) fn fetch_waits(&mut self, until: Time, fetch: u64) {
        self.fetch_deadlines.insert((until.0, fetch));
    }

    pub(crate) fn fetch_done(&mut self, until: Time, fetch: u64) {
        self.fetch_deadlines.remove(&(until.0, fetch));
    }

    /// A fetch that has waited long enough at `now`.
    pub(crate) fn fetch_due(&self, now: Time) -> Option<u64> {
        self.fetch_deadlines.first().filter(|(at, _)| *at <= now.0).map(|(_, fetch)| *fetch)
    }

    /// All fetches that wait.
    pub(crate) fn fetches(&self) -> impl Iterator<Item = u64> + '_ {
        self.line.values().filter_map(|taker| match taker {
            Taker::Fetch(fetch) => Some(*fetch),
            Taker::Consumer(_) | Taker::List(_) => None,
        })
    }

    /// All that wait for elements of lists.
    pub(crate) fn lists(&self) -> impl Iterator<Item = u64> + '_ {
        self.line.values().filter_map(|taker| match taker {
            Taker::List(number) => Some(*number),
            Taker::Consumer(_) | Taker::Fetch(_) => None,
        })
    }

    /// Since when nobody uses it. `None`: somebody does.
    pub(crate) fn unused_since(&self) -> Option<u64> {
        let unused = self.consumers.is_empty() && self.fetch_deadlines.is_empty() && self.lists_waiting == 0;
        unused.then_some(self.used_at)
    }

    /// Whether the queue has been idle for longer than it may.
    pub(crate) fn idle(&self, policy: &QueuePolicy, now: Time) -> bool {
        self.idle_at(policy).is_some_and(|at| at <= now.0)
    }

    fn idle_at(&self, policy: &QueuePolicy) -> Option<u64> {
        policy.idle_ms_max.and_then(|ms| Some(self.unused_since()?.saturating_add(ms)))
    }

    /// Messages that may leave now by the rate limit.
    pub(crate) fn tokens(&mut self, rate: Option<Rate>, now: Time) -> u64 {
        let Some(rate) = rate else { return u64::MAX };
        let passed_s = Time(now.0).since_ms(Time(self.tokens_at)) as f64 / 1000.0;
        self.tokens = (self.tokens + passed_s * rate.per_second).min(f64::from(rate.burst.max(1)));
        self.tokens_at = now.0;
        whole(self.tokens)
    }

    pub(crate) fn spend(&mut self, tokens: u64) {
        self.tokens -= tokens as f64;
    }

    /// When serving has something to do by itself.
    pub(crate) fn next_timer(&self, policy: &QueuePolicy, ready: u64) -> Option<u64> {
        let fetch = self.fetch_deadlines.first().map(|(at, _)| *at);
        let rate = policy.dispatch.rate.filter(|_| ready > 0 && !self.line.is_empty() && self.tokens < 1.0);
        let token = rate.map(|rate| {
            let wait_ms = ((1.0 - self.tokens) / rate.per_second * 1000.0).ceil();
            // A rate near zero waits for ever.
            self.tokens_at.saturating_add(whole(wait_ms).max(1))
        });
        [fetch, self.idle_at(policy), token, self.transfer_at].into_iter().flatten().min()
    }
}
